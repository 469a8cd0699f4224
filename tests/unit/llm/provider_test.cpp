#include "llm/provider.hpp"

#include <gtest/gtest.h>

#include <map>

namespace ballast::llm {
namespace {

ProviderSpec spec(ProviderKind kind, std::string_view base) { return {.name = "p", .kind = kind, .base = *net::parse_url(base)}; }

TEST(Provider, ExtraHeadersGoWithEveryRequest) {
  for (const auto kind : {ProviderKind::openai, ProviderKind::azure, ProviderKind::anthropic, ProviderKind::gemini, ProviderKind::simulator}) {
    auto p = spec(kind, "https://p.example/v1");
    p.headers = {{"OpenAI-Organization", "org-1"}, {"x-title", "ours"}};
    const auto call = make_call(p, "s3cret", Operation::chat, Wire::openai_chat, "m", false);
    ASSERT_TRUE(call);
    EXPECT_EQ(call->headers.get("openai-organization"), "org-1");
    EXPECT_EQ(call->headers.get("x-title"), "ours");
  }
  for (const char* refused : {"Authorization", "x-api-key", "Host", "content-length", "Transfer-Encoding", "connection", "traceparent", "anthropic-version", "two words", ""})
    EXPECT_FALSE(why_not_extra(refused).empty()) << refused;
  for (const char* taken : {"OpenAI-Organization", "OpenAI-Project", "HTTP-Referer", "X-Title", "anthropic-beta"}) EXPECT_TRUE(why_not_extra(taken).empty()) << taken;
}

TEST(Provider, EachKindAsksItsOwnWayAndTheSecretStaysInItsHeader) {
  struct Row { ProviderKind kind; const char* base; Operation op; Wire caller; bool stream; const char *target, *header, *value; };
  const Row rows[] = {
      {ProviderKind::openai, "https://api.openai.com/v1", Operation::chat, Wire::openai_chat, true, "/v1/chat/completions", "authorization", "Bearer s3cret"},
      {ProviderKind::openai, "https://api.openai.com/v1", Operation::messages, Wire::anthropic_messages, false, "/v1/chat/completions", "authorization", "Bearer s3cret"},
      {ProviderKind::openai, "http://127.0.0.1:11434/v1", Operation::embeddings, Wire::openai_chat, false, "/v1/embeddings", "authorization", "Bearer s3cret"},
      {ProviderKind::azure, "https://x.openai.azure.com", Operation::chat, Wire::openai_chat, false, "/openai/deployments/m/chat/completions?api-version=2024-10-21", "api-key", "s3cret"},
      {ProviderKind::anthropic, "https://api.anthropic.com/v1", Operation::chat, Wire::openai_chat, true, "/v1/messages", "x-api-key", "s3cret"},
      {ProviderKind::anthropic, "https://api.anthropic.com/v1", Operation::count_tokens, Wire::anthropic_messages, false, "/v1/messages/count_tokens", "x-api-key", "s3cret"},
      {ProviderKind::gemini, "https://g.example/v1beta", Operation::chat, Wire::openai_chat, true, "/v1beta/models/m:streamGenerateContent?alt=sse", "x-goog-api-key", "s3cret"},
      {ProviderKind::gemini, "https://g.example/v1beta", Operation::generate, Wire::gemini, false, "/v1beta/models/m:generateContent", "x-goog-api-key", "s3cret"}};
  for (const auto& row : rows) {
    auto p = spec(row.kind, row.base);
    while (p.base.target.ends_with('/')) p.base.target.pop_back();
    const auto call = make_call(p, "s3cret", row.op, row.caller, "m", row.stream);
    ASSERT_TRUE(call) << row.target << ": " << describe(call.error());
    EXPECT_EQ(call->target, row.target);
    EXPECT_EQ(call->base, &p.base);
    EXPECT_EQ(call->headers.get(row.header), row.value) << row.target;
    EXPECT_EQ(call->target.find("s3cret"), std::string::npos) << "URLs reach logs";
  }
}

TEST(Provider, AModelNameCannotLeaveItsPathSegment) {
  const auto gemini = spec(ProviderKind::gemini, "https://g.example/v1beta");
  const auto call = make_call(gemini, "k", Operation::generate, Wire::gemini, "../x?key=1#", false);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->target.find('?'), std::string::npos);
  EXPECT_EQ(call->target.find("/x"), std::string::npos);
}

TEST(Provider, WhatAProviderDoesNotServeIsRefusedByName) {
  const auto call = make_call(spec(ProviderKind::anthropic, "https://a.example/v1"), "k", Operation::embeddings, Wire::openai_chat, "m", false);
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().code, ErrorCode::caller_invalid_request);
}

TEST(Provider, TheEnvironmentNamesProviders) {
  const std::map<std::string, std::string, std::less<>> vars{{"OPENAI_API_KEY", "a"}, {"OPENAI_BASE_URL", "http://127.0.0.1:9/v1/"}, {"GEMINI_API_KEY", ""}};
  const auto found = providers_from_environment([&](std::string_view name) -> std::optional<std::string> {
    const auto at = vars.find(name);
    return at == vars.end() ? std::nullopt : std::optional(at->second);
  });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(net::to_string(found[0].spec.base), "http://127.0.0.1:9/v1");
  EXPECT_EQ(found[0].secret, "a");
}

// Anthropic's SDK and tools are given https://api.anthropic.com, or a compatible server's https://x.example/anthropic.
TEST(Provider, ABaseWithoutItsVersionGetsIt) {
  struct Row { ProviderKind kind; const char *given, *used; };
  for (const auto& [kind, given, used] :
       {Row{ProviderKind::anthropic, "https://api.anthropic.com", "https://api.anthropic.com/v1"},
        {ProviderKind::anthropic, "https://x.example/anthropic/", "https://x.example/anthropic/v1"},
        {ProviderKind::anthropic, "https://x.example/v1", "https://x.example/v1"},
        {ProviderKind::gemini, "https://g.example", "https://g.example/v1beta"},
        {ProviderKind::gemini, "https://g.example/v1/projects/p", "https://g.example/v1/projects/p"},
        {ProviderKind::openai, "https://api.perplexity.ai", "https://api.perplexity.ai"}}) {
    const std::string name(to_string(kind)), key = kind == ProviderKind::anthropic ? "ANTHROPIC" : kind == ProviderKind::gemini ? "GEMINI" : "OPENAI";
    const std::map<std::string, std::string, std::less<>> vars{{key + "_API_KEY", "k"}, {key + "_BASE_URL", given}};
    const auto found = providers_from_environment([&](std::string_view variable) -> std::optional<std::string> {
      const auto at = vars.find(variable);
      return at == vars.end() ? std::nullopt : std::optional(at->second);
    });
    ASSERT_EQ(found.size(), 1u) << given;
    std::string base = net::to_string(found[0].spec.base);
    if (base.ends_with('/')) base.pop_back();
    EXPECT_EQ(base, used);
  }
}

}  // namespace
}  // namespace ballast::llm
