// Whole replies and streams are two forms of one thing: what is remembered can be told in either.
#include "gateway/collect.hpp"

#include <gtest/gtest.h>

#include "net/sse.hpp"

namespace ballast::gateway {
namespace {

using llm::Wire;

constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};

llm::ChatReply reply_of(std::vector<llm::Part> parts, llm::FinishReason finish = llm::FinishReason::stop) {
  llm::ChatReply reply{.id = "id-1", .model = "m", .created = 1'767'225'600,
                       .usage = llm::Usage{.input_uncached = 12, .cache_read = 3, .output = 40, .reasoning = 5}};
  reply.choices.push_back({.parts = std::move(parts), .finish = finish});
  return reply;
}
llm::Part text(std::string s) { return {.body = llm::Text{.text = std::move(s)}}; }
llm::Part tool(std::string id, std::string name, std::string arguments) {
  return {.body = llm::ToolCall{.id = std::move(id), .name = std::move(name), .arguments = std::move(arguments)}};
}
llm::ChatReply collect(const std::vector<llm::StreamEvent>& events) {
  StreamCollector collector;
  for (const auto& e : events) collector.push(e);
  return collector.take();
}
void expect_same(const llm::ChatReply& got, const llm::ChatReply& want) {
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.model, want.model);
  EXPECT_EQ(got.created, want.created);
  EXPECT_EQ(got.usage, want.usage);
  ASSERT_EQ(got.choices.size(), want.choices.size());
  for (std::size_t i = 0; i < got.choices.size(); ++i) EXPECT_EQ(got.choices[i], want.choices[i]) << "choice " << i;
}

TEST(Collect, AStreamMadeFromAReplySpellsThatReply) {
  llm::Part thought{.body = llm::Reasoning{.text = "Let me think about it at some length.", .signature = "c2ln", .sealed_by = Wire::anthropic_messages}};
  const std::string long_text = "It is a long answer, told in many pieces: größer, 日本語, 🚢🚢🚢. " + std::string(500, 'x');
  for (const auto& reply : {reply_of({text("Hello")}), reply_of({text(long_text)}), reply_of({text("one"), text("two")}),
                            reply_of({thought, text("So: yes.")}),
                            reply_of({text("I look it up."), tool("call_1", "weather", R"({"city":"Zürich"})"), tool("call_2", "time", "{}")},
                                     llm::FinishReason::tool_calls),
                            reply_of({thought, tool("call_1", "f", std::string(300, 'a'))}, llm::FinishReason::tool_calls),
                            reply_of({{.body = llm::Refusal{.text = "I would rather not."}}}, llm::FinishReason::refusal),
                            reply_of({text("cut sho")}, llm::FinishReason::length)})
    for (const std::size_t piece : {1u, 7u, 64u, 4096u}) expect_same(collect(as_stream(reply, piece)), reply);
}

TEST(Collect, SeveralChoicesKeepApart) {
  llm::ChatReply reply = reply_of({text("first")});
  reply.choices.push_back({.parts = {text("second"), tool("c", "f", "{}")}, .finish = llm::FinishReason::tool_calls});
  expect_same(collect(as_stream(reply)), reply);
}

TEST(Collect, NoPieceEndsInsideACharacter) {
  const auto reply = reply_of({text("日本語🚢größer日本語🚢größer")});
  for (std::size_t piece = 1; piece < 20; ++piece)
    for (const auto& event : as_stream(reply, piece))
      if (const auto* delta = std::get_if<llm::TextDelta>(&event)) {
        EXPECT_NE(static_cast<unsigned char>(delta->text.front()) & 0xC0, 0x80) << "piece of " << piece;
      }
}

TEST(Collect, ArgumentsOfInterleavedToolCallsFindTheirCall) {
  const auto reply = collect({llm::StreamStart{"id", "m", 1}, llm::ToolStart{0, 0, "a", "f", {}}, llm::ToolStart{0, 1, "b", "g", {}},
                              llm::ToolArgsDelta{0, 1, R"({"y")"}, llm::ToolArgsDelta{0, 0, R"({"x")"}, llm::ToolArgsDelta{0, 1, ":2}"},
                              llm::ToolArgsDelta{0, 0, ":1}"}, llm::ToolArgsDelta{0, 9, "nobody's"},
                              llm::Finish{0, llm::FinishReason::tool_calls, {}, {}}});
  ASSERT_EQ(reply.choices.size(), 1u);
  ASSERT_EQ(reply.choices[0].parts.size(), 2u);
  EXPECT_EQ(std::get<llm::ToolCall>(reply.choices[0].parts[0].body).arguments, R"({"x":1})");
  EXPECT_EQ(std::get<llm::ToolCall>(reply.choices[0].parts[1].body).arguments, R"({"y":2})");
}

TEST(Collect, TheLastUsageCounts) {
  const auto reply = collect({llm::StreamStart{"id", "m", 1}, llm::UsageUpdate{{.input_uncached = 5, .output = 1}},
                              llm::UsageUpdate{{.input_uncached = 5, .output = 30}}});
  EXPECT_EQ(reply.usage->output, 30u);
}

class CollectInEveryWire : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, CollectInEveryWire, testing::ValuesIn(kAll), [](const auto& info) { return std::string(to_string(info.param)); });

// What the wire's own decoder makes of a remembered reply told as a stream.
TEST_P(CollectInEveryWire, ARememberedReplyIsAWholeStreamOfTheWire) {
  const auto reply = reply_of({text("I look it up for you, one moment please, it will not take long at all."), tool("call_1", "weather", R"({"city":"Bern"})")},
                              llm::FinishReason::tool_calls);
  const std::string bytes = stream_text(GetParam(), reply, true);
  net::SseParser parser;
  parser.push(bytes);
  llm::StreamDecoder decoder(GetParam());
  std::vector<llm::StreamEvent> events;
  for (auto e = parser.next(); e && *e; e = parser.next())
    if ((*e)->has_data) ASSERT_TRUE(decoder.push((*e)->event, (*e)->data, events)) << (*e)->data;
  EXPECT_TRUE(decoder.finish());
  const auto got = collect(events);
  ASSERT_EQ(got.choices.size(), 1u);
  std::string words, arguments;
  for (const auto& part : got.choices[0].parts) {
    if (const auto* t = std::get_if<llm::Text>(&part.body)) words += t->text;
    if (const auto* c = std::get_if<llm::ToolCall>(&part.body)) {
      EXPECT_EQ(c->name, "weather");
      arguments += c->arguments;
    }
  }
  EXPECT_EQ(words, std::get<llm::Text>(reply.choices[0].parts[0].body).text);
  EXPECT_EQ(arguments, R"({"city":"Bern"})");
  ASSERT_TRUE(got.usage);
  EXPECT_EQ(got.usage->input(), 15u);
  EXPECT_EQ(got.usage->output, 40u);
}

}  // namespace
}  // namespace ballast::gateway
