// A prompt's tokens: its texts by the model's encoding, what stands around them, no further than is asked, and nothing for what is no request.
#include "gateway/prompt_tokens.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

using llm::Wire;

const tokens::Basis kGpt = tokens::basis_of("gpt-4o");

std::optional<std::uint64_t> tokens_of(Wire wire, std::string_view body, const tokens::Basis& basis = kGpt) {
  const auto n = Prompt(wire, body).count(basis);
  if (n) EXPECT_TRUE(n->whole);
  return n ? std::optional(n->tokens) : std::nullopt;
}

std::string chat(std::string_view content, std::string_view more = "") {
  return R"({"model":"m","messages":[{"role":"user","content":)" + std::string(content) + "}]" + std::string(more) + "}";
}

TEST(PromptTokens, TextsByTheEncodingAndThreeAroundEachMessage) {
  EXPECT_EQ(tokens_of(Wire::openai_chat, chat(R"("hello world")")), 2u + 3 + 3);
  EXPECT_EQ(tokens_of(Wire::openai_chat, chat(R"("hello\u0020world")")), 2u + 3 + 3) << "escapes are undone";
  const auto with_system = R"({"model":"m","max_tokens":5,"system":"hello","messages":[{"role":"user","content":[{"type":"text","text":"hello world"}]},
    {"role":"assistant","content":"hello"},{"role":"user","content":"hello"}]})";
  EXPECT_EQ(tokens_of(Wire::anthropic_messages, with_system), 1u + 2 + 1 + 1 + 4 * 3 + 3);
  EXPECT_EQ(tokens_of(Wire::anthropic_messages, with_system, tokens::basis_of("claude-sonnet-4-5")), 7u + 4 * 3 + 3) << "five and a quarter, rounded up";
}

TEST(PromptTokens, ToolsSchemasAndImagesCountToo) {
  const auto with = [&](const char* more) {
    return tokens_of(Wire::openai_chat, std::string(R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hello world"})") + more).value_or(0);
  };
  const auto plain = with("]}]}");
  EXPECT_EQ(plain, 8u);
  EXPECT_EQ(with(R"(,{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]})"), plain + 1024);
  EXPECT_EQ(with(R"(]}],"tools":[{"type":"function","function":{"name":"hello","description":"hello world","parameters":{}}}]})"), plain + 1 + 2 + 1);
  EXPECT_EQ(with(R"(]}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}})"), plain + 1);
}

TEST(PromptTokens, NothingForWhatIsNoRequestOrIsLong) {
  for (const auto* body : {"", "{", "[]", R"({"model":"m"})", R"({"model":"m","messages":7})"}) EXPECT_EQ(tokens_of(Wire::openai_chat, body), std::nullopt) << body;
  EXPECT_EQ(tokens_of(Wire::openai_chat, chat('"' + std::string(kMostCountedBytes, 'a') + '"')), std::nullopt);
  EXPECT_EQ(Prompt().count(kGpt), std::nullopt);
  EXPECT_EQ(Prompt().spared(*kGpt.encoding), 0u);
}

TEST(PromptTokens, NoFurtherThanTheLimitAndAnewForAWiderOne) {
  std::string words;
  for (int i = 0; i < 1000; ++i) words += " hello";
  Prompt prompt(Wire::openai_chat, words);           // no request: below is one
  const std::string body = chat('"' + words + '"');
  prompt = Prompt(Wire::openai_chat, body);
  const auto at = [&](std::uint64_t limit, const tokens::Basis& basis = kGpt) { return prompt.count(basis, limit); };
  EXPECT_FALSE(at(500)->whole);
  EXPECT_GE(at(500)->tokens, 500u);
  EXPECT_FALSE(at(1005)->whole) << "1,006 with what stands around";
  EXPECT_TRUE(at(1006)->whole);
  EXPECT_EQ(at(1006)->tokens, 1006u);
  EXPECT_EQ(at(500)->tokens, 1006u) << "known by now";
  const auto claude = tokens::basis_of("claude-sonnet-4-5");
  EXPECT_EQ(at(1256, claude)->tokens, 1256u) << "the same count, times its factor";
  EXPECT_GT(at(1255, claude)->tokens, 1255u);
}

TEST(PromptTokens, TextsThatStandAloneAreBoundByTheirTokens) {
  const auto& o200k = *kGpt.encoding;
  const auto spared = [&](std::string_view body, Wire wire = Wire::openai_chat) { return Prompt(wire, body).spared(o200k); };
  EXPECT_EQ(spared(chat(R"("hello world")")), 11u - 2);
  EXPECT_EQ(spared(chat(R"([{"type":"text","text":"hello world"}])")), 11u - 2);
  EXPECT_EQ(spared(chat(R"([{"type":"text","text":"hello world"},{"type":"text","text":"hello world"}])")), 0u) << "may be joined, and split elsewhere";
  EXPECT_EQ(spared(chat(R"("hello world")", R"(,"tools":[{"type":"function","function":{"name":"hello","description":"hello world"}}])")), 9u) << "tools keep their bytes";
  EXPECT_EQ(spared(R"({"model":"m","messages":[{"role":"user","content":"hello"},{"role":"tool","tool_call_id":"c","content":"hello world"}]})"), 4u) << "results, too";
  EXPECT_EQ(spared(R"({"model":"m","max_tokens":1,"system":"hello","messages":[{"role":"user","content":"hello"}]})", Wire::anthropic_messages), 8u);
  EXPECT_EQ(spared("{"), 0u);
}

}  // namespace
}  // namespace ballast::gateway
