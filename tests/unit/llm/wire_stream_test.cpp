// Streams that go wrong, and tool calls in every order.
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "../../golden/llm/recordings.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};

std::vector<StreamEvent> decode(Wire wire, const std::string& bytes, bool* whole = nullptr) {
  StreamDecoder decoder(wire);
  std::vector<StreamEvent> out;
  for (const auto& e : test::events_of(bytes)) EXPECT_TRUE(decoder.push(e.event, e.data, out)) << e.data;
  if (whole != nullptr) *whole = decoder.finish().has_value();
  return out;
}

std::map<std::uint32_t, std::pair<std::string, std::string>> calls_of(const std::vector<StreamEvent>& events) {
  std::map<std::uint32_t, std::pair<std::string, std::string>> out;
  for (const auto& e : events) {
    if (const auto* s = std::get_if<ToolStart>(&e)) out[s->index].first = s->id + ":" + s->name;
    if (const auto* a = std::get_if<ToolArgsDelta>(&e)) out[a->index].second += a->text;
  }
  return out;
}

class InEveryWire : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, InEveryWire, testing::ValuesIn(kAll), [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(InEveryWire, ACutStreamNeverLooksComplete) {
  StreamEncoder encoder(GetParam());
  std::string bytes;
  encoder.push(StreamStart{"id", "m", 1}, bytes);
  encoder.push(TextDelta{0, "half an ans", {}}, bytes);
  encoder.finish(bytes);
  bool whole = true;
  const auto events = decode(GetParam(), bytes, &whole);
  EXPECT_FALSE(whole);
  EXPECT_TRUE(std::ranges::any_of(events, [](const auto& e) { return std::holds_alternative<StreamFailure>(e); }));
  EXPECT_EQ(bytes.find("[DONE]"), std::string::npos);
  EXPECT_EQ(bytes.find("message_stop"), std::string::npos);
  EXPECT_EQ(bytes.find("response.completed"), std::string::npos);
}

TEST_P(InEveryWire, NothingFollowsAnError) {
  StreamEncoder encoder(GetParam());
  std::string bytes;
  encoder.push(StreamStart{"id", "m", 1}, bytes);
  encoder.error({.code = ErrorCode::provider_overloaded, .message = "busy"}, bytes);
  const auto size = bytes.size();
  encoder.push(TextDelta{0, "late", {}}, bytes);
  encoder.finish(bytes);
  EXPECT_EQ(bytes.size(), size);
  EXPECT_TRUE(encoder.ended());
  const auto events = decode(GetParam(), bytes);
  const auto* failure = std::get_if<StreamFailure>(&events.back());
  ASSERT_NE(failure, nullptr);
  EXPECT_EQ(failure->error.message, "busy");
}

TEST_P(InEveryWire, InterleavedCallsKeepTheirArguments) {
  const std::vector<StreamEvent> script = {
      StreamStart{"id", "m", 1}, TextDelta{0, "let me see", {}}, ToolStart{0, 0, "a", "first", {}}, ToolArgsDelta{0, 0, R"({"x":)"},
      ToolStart{0, 1, "b", "second", {}}, ToolArgsDelta{0, 1, R"({"y":)"}, ToolArgsDelta{0, 0, "1}"}, ToolArgsDelta{0, 1, "2}"},
      ToolStart{0, 2, "c", "third", {}}, ToolArgsDelta{0, 2, "{}"}, UsageUpdate{{.input_uncached = 3, .output = 4}}, Finish{0, FinishReason::tool_calls, "tool_calls", {}}};
  StreamEncoder encoder(GetParam());
  std::string bytes;
  for (const auto& e : script) encoder.push(e, bytes);
  encoder.finish(bytes);
  bool whole = false;
  const auto calls = calls_of(decode(GetParam(), bytes, &whole));
  EXPECT_TRUE(whole);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls.at(0), std::make_pair(std::string("a:first"), std::string(R"({"x":1})")));
  EXPECT_EQ(calls.at(1), std::make_pair(std::string("b:second"), std::string(R"({"y":2})")));
  EXPECT_EQ(calls.at(2), std::make_pair(std::string("c:third"), std::string("{}")));
}

// Whatever a provider sends between them: what waits is told in order, and the arguments of a call stay with it.
TEST_P(InEveryWire, AThousandCallsAtOnceKeepTheirArguments) {
  StreamEncoder encoder(GetParam());
  std::string bytes;
  encoder.push(StreamStart{"id", "m", 1}, bytes);
  constexpr std::uint32_t many = 1000;
  for (std::uint32_t i = 0; i < many; ++i) encoder.push(ToolStart{0, i, "c" + std::to_string(i), "f", {}}, bytes);
  for (const std::string_view piece : {"{", R"("a":{"b":"}"},)", R"("n":)"})
    for (std::uint32_t i = 0; i < many; ++i) encoder.push(ToolArgsDelta{0, i, std::string(piece)}, bytes);
  for (std::uint32_t i = many; i-- > 0;) encoder.push(ToolArgsDelta{0, i, std::to_string(i) + "}"}, bytes);
  encoder.push(Finish{0, FinishReason::tool_calls, "tool_calls", {}}, bytes);
  encoder.finish(bytes);
  bool whole = false;
  const auto calls = calls_of(decode(GetParam(), bytes, &whole));
  EXPECT_TRUE(whole);
  ASSERT_EQ(calls.size(), many);
  for (const auto& [index, call] : calls) EXPECT_EQ(call, std::make_pair("c" + std::to_string(index) + ":f", R"({"a":{"b":"}"},"n":)" + std::to_string(index) + "}"));
}

TEST_P(InEveryWire, MoreCallsThanAnyModelMakesAreRefused) {
  StreamEncoder encoder(GetParam());
  std::string bytes;
  encoder.push(StreamStart{"id", "m", 1}, bytes);
  for (std::uint32_t i = 0; i < 1025; ++i) {
    encoder.push(ToolStart{0, i, "c" + std::to_string(i), "f", {}}, bytes);
    encoder.push(ToolArgsDelta{0, i, "{}"}, bytes);
  }
  encoder.push(Finish{0, FinishReason::tool_calls, "tool_calls", {}}, bytes);
  encoder.finish(bytes);
  StreamDecoder decoder(GetParam());
  std::vector<StreamEvent> out;
  bool refused = false;
  for (const auto& e : test::events_of(bytes)) refused |= !decoder.push(e.event, e.data, out);
  EXPECT_TRUE(refused);
  EXPECT_LE(calls_of(out).size(), 1024u);
}

TEST(ChatStream, ToleratesTheDialects) {
  const std::string bytes =
      "data: {\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":null}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":null,\"function\":{\"name\":null,\"arguments\":\"{}\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"and text\",\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n";
  bool whole = false;
  const auto events = decode(Wire::openai_chat, bytes, &whole);   // no [DONE]: complete all the same
  EXPECT_TRUE(whole);
  const auto calls = calls_of(events);
  ASSERT_EQ(calls.size(), 2u);   // a repeated index with a new id is a new call
  EXPECT_EQ(calls.at(1).second, "{}");
}

TEST(ChatStream, SkipsAMalformedChunk) {
  StreamDecoder decoder(Wire::openai_chat);
  std::vector<StreamEvent> out;
  EXPECT_TRUE(decoder.push("", R"({"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"a"}}]})", out));
  const auto before = out.size();
  EXPECT_FALSE(decoder.push("", R"({"id":"i","choi)", out));
  EXPECT_FALSE(decoder.push("", R"({"choices":[{"index":0,"delta":{"content":"b","refusal":7}}]})", out));
  EXPECT_EQ(out.size(), before);
  EXPECT_TRUE(decoder.push("", R"({"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}]})", out));
  EXPECT_TRUE(decoder.finish());
}

TEST(AnthropicStream, UsageIsCumulativeAndKeepsTheInput) {
  const auto events = decode(Wire::anthropic_messages,
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":90,\"output_tokens\":1}}}\n\n"
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\n"
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
  std::optional<Usage> last;
  for (const auto& e : events)
    if (const auto* u = std::get_if<UsageUpdate>(&e)) last = u->usage;
  ASSERT_TRUE(last);
  EXPECT_EQ(last->input(), 100u);
  EXPECT_EQ(last->output, 20u);
}

TEST(SignedThoughts, ReturnThroughAChatClient) {
  StreamEncoder encoder(Wire::openai_chat);
  std::string bytes;
  for (const StreamEvent& e : std::vector<StreamEvent>{StreamStart{"i", "m", 1}, ReasoningDelta{0, "step one, ", false}, ReasoningDelta{0, "step two", false},
           ReasoningSeal{0, Reasoning{.signature = "SIG", .sealed_by = Wire::anthropic_messages}}, TextDelta{0, "answer", {}}, Finish{0, FinishReason::stop, "", {}}})
    encoder.push(e, bytes);
  encoder.finish(bytes);
  std::string thoughts;
  for (const auto& e : decode(Wire::openai_chat, bytes))
    if (const auto* r = std::get_if<ReasoningDelta>(&e)) thoughts += r->text;
  EXPECT_EQ(thoughts, "step one, step two");
  // What a client hands back after adding the deltas up.
  const auto request = parse_request(Wire::openai_chat, *parse_json(R"({"model":"m","messages":[{"role":"user","content":"q"},
    {"role":"assistant","content":"answer","reasoning_details":[{"type":"reasoning.text","text":"step one, step two","signature":"SIG","format":"anthropic-claude-v1"}]},
    {"role":"user","content":"go on"}]})"));
  ASSERT_TRUE(request);
  const auto written = write_request(Wire::anthropic_messages, *request);
  ASSERT_TRUE(written);
  EXPECT_EQ(written->at("messages").at(1).at("content").at(0), *parse_json(R"({"type":"thinking","thinking":"step one, step two","signature":"SIG"})"));
}

// Gemini 3 answers 400 where a call of a tool has no seal: from another model, or from a client that kept none.
TEST(SignedThoughts, WhereGeminiNeedsASealAndNoneCameBackAStandInSaysSo) {
  auto request = parse_request(Wire::openai_chat, *parse_json(R"({"model":"gemini-3-pro-preview","messages":[{"role":"user","content":"q"},
    {"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
                                      {"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"}]})"));
  ASSERT_TRUE(request);
  const auto seal = [&](std::size_t part) {
    const auto written = write_request(Wire::gemini, *request);
    const auto& o = written->at("contents").at(1).at("parts").at(part).as_object();
    return o.contains("thoughtSignature") ? std::string(o.at("thoughtSignature").as_string()) : std::string();
  };
  EXPECT_EQ(seal(0), "skip_thought_signature_validator");
  EXPECT_EQ(seal(1), "") << "the first call of a turn carries it for all";
  std::get<ToolCall>(request->messages[1].parts[0].body).signature = "REAL";
  EXPECT_EQ(seal(0), "REAL");
  std::get<ToolCall>(request->messages[1].parts[0].body).signature.clear();
  request->model = "gemini-2.5-flash";
  EXPECT_EQ(seal(0), "");
}

}  // namespace
}  // namespace ballast::llm
