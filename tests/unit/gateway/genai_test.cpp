#include "gateway/genai.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

llm::ProviderSpec spec(llm::ProviderKind kind, std::string host) {
  llm::ProviderSpec out{.name = "mine", .kind = kind};
  out.base.origin.host = std::move(host);
  return out;
}

TEST(Genai, ProvidersAreCalledAsTheConventionsCallThem) {
  using enum llm::ProviderKind;
  struct Row { llm::ProviderKind kind; std::string host, newer, older; };
  const Row rows[] = {{openai, "api.openai.com", "openai", "openai"},
                      {openai, "api.mistral.ai", "mistral_ai", "mistral_ai"},
                      {openai, "api.x.ai", "x_ai", "xai"},
                      {openai, "team.openai.azure.com", "azure.ai.openai", "az.ai.openai"},
                      {openai, "127.0.0.1", "mine", "mine"},
                      {openai, "api.openai.com.evil.example", "mine", "mine"},
                      {azure, "team.openai.azure.com", "azure.ai.openai", "az.ai.openai"},
                      {anthropic, "proxy.internal", "anthropic", "anthropic"},
                      {gemini, "generativelanguage.googleapis.com", "gcp.gemini", "gemini"},
                      {gemini, "europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai", "vertex_ai"},
                      {simulator, "", "mine", "mine"}};
  for (const Row& row : rows) {
    const auto provider = spec(row.kind, row.host);
    EXPECT_EQ(genai_provider(provider), row.newer) << row.host;
    EXPECT_EQ(genai_system(genai_provider(provider)), row.older) << row.host;
  }
}

TEST(Genai, OperationsAreTheConventionsWhereTheyHaveOne) {
  for (const auto* name : {"chat", "responses", "messages"}) EXPECT_EQ(genai_operation(name), "chat");
  EXPECT_EQ(genai_operation("generate"), "generate_content");
  EXPECT_EQ(genai_operation("embeddings"), "embeddings");
  EXPECT_EQ(genai_operation("images.generations"), "images.generations");
}

TEST(Genai, NamesReadBack) {
  EXPECT_EQ(genai_names_from("newer"), GenaiNames::newer);
  EXPECT_EQ(genai_names_from("older"), GenaiNames::older);
  EXPECT_EQ(genai_names_from("both"), GenaiNames::both);
  EXPECT_EQ(genai_names_from("newest"), std::nullopt);
  EXPECT_TRUE(says_newer(GenaiNames::both) && says_older(GenaiNames::both));
  EXPECT_FALSE(says_older(GenaiNames::newer));
  EXPECT_FALSE(says_newer(GenaiNames::older));
}

}  // namespace
}  // namespace ballast::gateway
