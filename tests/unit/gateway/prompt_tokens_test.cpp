// A prompt's tokens: its texts by the model's encoding, what stands around them, and nothing for what is no request.
#include "gateway/prompt_tokens.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

TEST(PromptTokens, TextsByTheEncodingAndThreeAroundEachMessage) {
  const auto gpt = tokens::basis_of("gpt-4o");
  EXPECT_EQ(prompt_tokens(llm::Wire::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"hello world"}]})", gpt), 2u + 3 + 3);
  EXPECT_EQ(prompt_tokens(llm::Wire::openai_chat, R"({"model":"m","messages":[{"role":"user","content":"hello\u0020world"}]})", gpt), 2u + 3 + 3) << "escapes are undone";
  const auto with_system = R"({"model":"m","max_tokens":5,"system":"hello","messages":[{"role":"user","content":[{"type":"text","text":"hello world"}]},
    {"role":"assistant","content":"hello"},{"role":"user","content":"hello"}]})";
  EXPECT_EQ(prompt_tokens(llm::Wire::anthropic_messages, with_system, gpt), 1u + 2 + 1 + 1 + 4 * 3 + 3);
  EXPECT_EQ(prompt_tokens(llm::Wire::anthropic_messages, with_system, tokens::basis_of("claude-sonnet-4-5")), 2u + 3 + 2 + 2 + 4 * 3 + 3) << "each text rounded up";
}

TEST(PromptTokens, ToolsAndImagesCountToo) {
  const auto gpt = tokens::basis_of("gpt-4o");
  const auto with = [&](const char* more) {
    return prompt_tokens(llm::Wire::openai_chat, std::string(R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hello world"})") + more, gpt).value_or(0);
  };
  const auto plain = with("]}]}");
  EXPECT_EQ(plain, 8u);
  EXPECT_EQ(with(R"(,{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]})"), plain + 1024);
  EXPECT_EQ(with(R"(]}],"tools":[{"type":"function","function":{"name":"hello","description":"hello world","parameters":{}}}]})"), plain + 1 + 2 + 1);
}

TEST(PromptTokens, NothingForWhatIsNoRequest) {
  for (const auto* body : {"", "{", "[]", R"({"model":"m"})", R"({"model":"m","messages":7})"})
    EXPECT_EQ(prompt_tokens(llm::Wire::openai_chat, body, tokens::basis_of("gpt-4o")), std::nullopt) << body;
}

}  // namespace
}  // namespace ballast::gateway
