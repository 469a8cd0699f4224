// Which model counts by what.
#include "tokens/estimate.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace ballast::tokens {
namespace {

TEST(TokensEstimate, ModelsOfOpenAiHaveTheirEncoding) {
  for (const auto* model : {"gpt-4o", "gpt-4o-mini", "gpt-4o-2024-08-06", "GPT-4o", "chatgpt-4o-latest", "gpt-4.1", "gpt-4.1-nano-2025-04-14", "gpt-5", "gpt-5-mini", "gpt-5.1-codex",
                            "o1", "o1-preview", "o3-mini", "o4-mini-2025-04-16", "openai/gpt-4o", "openrouter/openai/o3", "ft:gpt-4o-mini-2024-07-18:org:name:id", "azure/gpt-4.1",
                            "gpt-oss-20b", "gpt-4.5-preview"})
    EXPECT_EQ(encoding_of(model), &Encoding::o200k_base()) << model;
  for (const auto* model : {"gpt-4", "gpt-4-0613", "gpt-4-turbo", "gpt-4-32k", "gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-35-turbo", "ft:gpt-3.5-turbo:org::id", "text-embedding-3-small",
                            "text-embedding-3-large", "text-embedding-ada-002", "openai/gpt-4"})
    EXPECT_EQ(encoding_of(model), &Encoding::cl100k_base()) << model;
  for (const auto* model : {"", "gpt", "gpt-6", "o", "o10", "o1x", "claude-sonnet-4-5", "gemini-2.5-pro", "openai/", "llama3", "text-embedding-4", "solo1", "xgpt-4"})
    EXPECT_EQ(encoding_of(model), nullptr) << model;
}

TEST(TokensEstimate, SaysWhatItRestsOn) {
  const std::string text = "How many tokens is this sentence, and how would one know?";
  const auto n = Encoding::o200k_base().count(text);
  EXPECT_EQ(estimate("gpt-4o", text), (Estimate{n, true, "o200k_base"}));
  EXPECT_EQ(estimate("gpt-4", text), (Estimate{Encoding::cl100k_base().count(text), true, "cl100k_base"}));
  struct Row {
    const char* model;
    const char* by;
    double factor;
  };
  for (const Row& row : {Row{"anthropic/claude-sonnet-4-5", "o200k_base * 1.25", 1.25}, Row{"us.anthropic.claude-3-5-haiku-20241022-v1:0", "o200k_base * 1.25", 1.25},
                         Row{"models/gemini-2.5-pro", "o200k_base * 1.10", 1.1}, Row{"Meta-Llama-3.1-8B-Instruct", "o200k_base * 1.05", 1.05},
                         Row{"llama-2-7b", "o200k_base * 1.30", 1.3}, Row{"mistral-large-latest", "o200k_base * 1.30", 1.3}, Row{"gpt-6", "o200k_base * 1.00", 1.0}})
    EXPECT_EQ(estimate(row.model, text), (Estimate{static_cast<std::uint64_t>(std::ceil(static_cast<double>(n) * row.factor)), false, row.by})) << row.model;
  EXPECT_EQ(estimate("my-own-model", text), (Estimate{(text.size() + 3) / 4, false, "bytes / 4"}));
  EXPECT_EQ(estimate("my-own-model", ""), (Estimate{0, false, "bytes / 4"}));
  EXPECT_EQ(estimate("claude-sonnet-4-5", "").tokens, 0u);
}

}  // namespace
}  // namespace ballast::tokens
