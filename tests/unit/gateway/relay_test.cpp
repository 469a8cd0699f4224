// One answer stream from a provider's bytes to the caller's.
#include "gateway/relay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

using llm::Wire;
using testing::HasSubstr;
using testing::Not;

constexpr Wire kAll[] = {Wire::openai_chat, Wire::openai_responses, Wire::anthropic_messages, Wire::gemini};
constexpr std::size_t kCount = std::size(kAll);

std::string chunk(std::string_view delta, std::string_view finish = "null") {
  return R"(data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt","x_unknown":7,"choices":[{"index":0,"delta":)" +
         std::string(delta) + R"(,"finish_reason":)" + std::string(finish) + "}]}\n\n";
}
std::string says(std::string_view text) { return chunk(R"({"content":")" + std::string(text) + "\"}"); }
const std::string role = chunk(R"({"role":"assistant","content":""})");
const std::string stop = chunk("{}", R"("stop")");
const std::string usage_chunk =
    R"(data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}})" "\n\n";
const std::string done = "data: [DONE]\n\n";

// A whole stream of the wire that says `text`.
std::string stream_of(Wire wire, std::string_view text, std::uint64_t output = 4) {
  llm::ChatReply reply{.id = "id-1", .model = "m-1", .created = 1, .usage = llm::Usage{.input_uncached = 9, .output = output}};
  llm::Choice choice{.finish = llm::FinishReason::stop};
  choice.parts.push_back({.body = llm::Text{.text = std::string(text)}});
  reply.choices.push_back(std::move(choice));
  return stream_text(wire, reply, true);
}

struct Heard {
  std::string text;
  std::size_t starts = 0, finishes = 0;
  bool whole = false;
  std::optional<llm::Usage> usage;
  std::optional<Error> failure;
};
// What a client of the wire makes of the bytes.
Heard listen(Wire wire, std::string_view bytes) {
  Heard heard;
  net::SseParser parser;
  parser.push(bytes);
  llm::StreamDecoder decoder(wire);
  std::vector<llm::StreamEvent> events;
  for (auto e = parser.next(); e && *e; e = parser.next())
    if ((*e)->has_data) EXPECT_TRUE(decoder.push((*e)->event, (*e)->data, events)) << (*e)->data;
  heard.whole = decoder.finish().has_value();
  for (const auto& e : events) {
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) heard.text += t->text;
    if (const auto* u = std::get_if<llm::UsageUpdate>(&e)) heard.usage = u->usage;
    if (const auto* f = std::get_if<llm::StreamFailure>(&e)) heard.failure = f->error;
    heard.starts += std::holds_alternative<llm::StreamStart>(e);
    heard.finishes += std::holds_alternative<llm::Finish>(e);
  }
  return heard;
}

// A relay and the caller's bytes.
struct Line {
  llm::FactsReader reader;
  Relay relay;
  std::string out;
  explicit Line(RelayOptions options) : relay(options, reader) {}

  Result<void> feed(std::string_view bytes) {
    net::SseParser parser;
    parser.push(bytes);
    for (auto e = parser.next(); e && *e; e = parser.next())
      if (auto ok = relay.event(**e, out); !ok) return ok;
    return {};
  }
  Result<void> whole(Wire upstream, std::string_view bytes) {
    relay.begin(upstream, false);
    if (auto ok = feed(bytes); !ok) return ok;
    return relay.end(out);
  }
};

TEST(Relay, UsageThatNobodyAskedForIsInNoChunk) {
  struct Row { std::string_view sent, heard; };
  for (const auto& [sent, heard] : {Row{R"({"choices":[{"index":0,"delta":{"content":"\"usage\":null,"}}],"usage":null})", R"({"choices":[{"index":0,"delta":{"content":"\"usage\":null,"}}]})"},
                                    {R"({"usage":null,"choices":[{"index":0,"delta":{"content":"usage"}}]})", R"({"choices":[{"index":0,"delta":{"content":"usage"}}]})"},
                                    {R"({"id": "c", "usage" : null, "choices": [{"index": 0, "delta": {"content": "x"}}]})", R"({"id": "c", "choices": [{"index": 0, "delta": {"content": "x"}}]})"},
                                    {R"({"usage":null})", "{}"}}) {
    const std::string bytes = "data: " + std::string(sent) + "\n\n", kept = "data: " + std::string(heard) + "\n\n";
    Line quiet({.include_usage = false}), asked({.include_usage = true});
    quiet.relay.begin(Wire::openai_chat, false);
    asked.relay.begin(Wire::openai_chat, false);
    EXPECT_TRUE(quiet.feed(bytes));
    EXPECT_TRUE(asked.feed(bytes));
    EXPECT_EQ(quiet.out, kept);
    EXPECT_EQ(asked.out, bytes);
  }
}

TEST(Relay, WhereBothSpeakTheSameWireBytesPassUntouched) {
  const std::string stream = ": keep-alive\n\n" + role + says("Hel") + says("lo, größer") + stop + usage_chunk + done;
  Line line({.include_usage = true});
  ASSERT_TRUE(line.whole(Wire::openai_chat, stream));
  EXPECT_EQ(line.out, stream);
  EXPECT_TRUE(line.relay.terminal());
  EXPECT_EQ(line.relay.finish(), llm::FinishReason::stop);
  EXPECT_EQ(line.relay.tokens_seen(), 2u);
  EXPECT_EQ(line.relay.content_bytes(), 3u + 12u);
  ASSERT_TRUE(line.relay.usage());
  EXPECT_EQ(line.relay.usage()->output, 4u);
}

TEST(Relay, LineEndsAndFieldsOfTheProviderSurvive) {
  const std::string stream = "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\r\n\r\nid: 7\r\ndata: [DONE]\r\n\r\n";
  Line line({});
  ASSERT_TRUE(line.whole(Wire::openai_chat, stream));
  EXPECT_EQ(line.out, stream);
}

TEST(Relay, AStreamWhoseOtherAnswerBreaksOffIsNotWhole) {
  const std::string half = R"(data: {"id":"c","choices":[{"index":1,"delta":{"content":"half"}}]})" "\n\n";
  for (const Wire client : {Wire::openai_chat, Wire::gemini}) {
    Line line({.client = client, .choices = 2, .collect = true});
    EXPECT_FALSE(line.whole(Wire::openai_chat, role + says("Hello") + half + stop + done));
  }
}

TEST(Relay, WhereTheProviderDoesNotSayWhenTheCallersStreamSaysNow) {
  Line line({.client = Wire::openai_chat, .created = 1'795'000'000});
  ASSERT_TRUE(line.whole(Wire::anthropic_messages, stream_of(Wire::anthropic_messages, "Hello there.")));
  EXPECT_NE(line.out.find(R"("created":1795000000)"), std::string::npos) << line.out;
  EXPECT_EQ(line.out.find(R"("created":0)"), std::string::npos) << line.out;
}

class RelayInEveryWire : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, RelayInEveryWire, testing::ValuesIn(kAll), [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(RelayInEveryWire, PassesItsOwnStreamUntouched) {
  const auto stream = stream_of(GetParam(), "The answer, in a few pieces so that there is something to pass on, piece by piece by piece.");
  Line line({.client = GetParam(), .include_usage = true});
  ASSERT_TRUE(line.whole(GetParam(), stream));
  EXPECT_EQ(line.out, stream);
  ASSERT_TRUE(line.relay.usage());
  EXPECT_EQ(line.relay.usage()->input(), 9u);
  EXPECT_EQ(line.relay.usage()->output, 4u);
}

TEST(Relay, TheUsageChunkIsForWhoAskedForIt) {
  Line line({.include_usage = false});
  ASSERT_TRUE(line.whole(Wire::openai_chat, role + says("hi") + stop + usage_chunk + done));
  EXPECT_EQ(line.out, role + says("hi") + stop + done);
  ASSERT_TRUE(line.relay.usage()) << "the ledger reads it all the same";
  EXPECT_EQ(line.relay.usage()->total(), 13u);
}

TEST(Relay, AMalformedEventIsSkippedAndCounted) {
  for (const bool translate : {false, true}) {
    Line line({.client = translate ? Wire::anthropic_messages : Wire::openai_chat});
    ASSERT_TRUE(line.whole(Wire::openai_chat, role + says("be") + "data: {\"choices\":[{\"del\n\n" + says("fore") + "data: nonsense\n\n" + stop + done));
    EXPECT_EQ(line.relay.malformed(), 2u);
    EXPECT_THAT(line.out, Not(HasSubstr("nonsense")));
    const auto heard = listen(translate ? Wire::anthropic_messages : Wire::openai_chat, line.out);
    EXPECT_EQ(heard.text, "before");
    EXPECT_TRUE(heard.whole);
  }
}

TEST_P(RelayInEveryWire, ATruncatedStreamIsNeverASuccess) {
  for (const Wire client : kAll) {
    auto stream = stream_of(GetParam(), std::string(300, 'x'));
    stream.resize(stream.find("\n\n", stream.size() / 3) + 2);
    Line line({.client = client});
    const auto ended = line.whole(GetParam(), stream);
    ASSERT_FALSE(ended) << to_string(client);
    EXPECT_EQ(ended.error().code, ErrorCode::provider_bad_response);
    EXPECT_FALSE(listen(client, line.out).whole);
  }
}

TEST(Relay, AnEmptyStreamIsNoAnswer) {
  Line line({});
  EXPECT_FALSE(line.whole(Wire::openai_chat, ""));
  EXPECT_FALSE(line.whole(Wire::openai_chat, done)) << "a terminator alone is none either";
  EXPECT_FALSE(line.relay.content_seen());
}

TEST(Relay, AMissingDoneIsAppendedOnce) {
  Line line({});
  ASSERT_TRUE(line.whole(Wire::openai_chat, role + says("hi") + stop));
  EXPECT_EQ(line.out, role + says("hi") + stop + done);
}

TEST(Relay, EveryPairOfWiresTranslates) {
  const std::string text = "A sentence that is long enough to come in several pieces, größer and 日本語 included.";
  for (std::size_t from = 0; from < kCount; ++from)
    for (std::size_t to = 0; to < kCount; ++to) {
      Line line({.client = kAll[to], .include_usage = true});
      const auto ended = line.whole(kAll[from], stream_of(kAll[from], text));
      const std::string pair = std::string(to_string(kAll[from])) + " to " + std::string(to_string(kAll[to]));
      ASSERT_TRUE(ended) << pair << ": " << ended.error().message;
      const auto heard = listen(kAll[to], line.out);
      EXPECT_EQ(heard.text, text) << pair;
      EXPECT_TRUE(heard.whole) << pair;
      EXPECT_EQ(heard.finishes, 1u) << pair;
      ASSERT_TRUE(heard.usage) << pair;
      EXPECT_EQ(heard.usage->output, 4u) << pair;
    }
}

TEST(Relay, OpenAiBecomesAnthropicInTheOrderItsSdkDemands) {
  Line line({.client = Wire::anthropic_messages});
  ASSERT_TRUE(line.whole(Wire::openai_chat, role + says("Hi") + stop + usage_chunk + done));
  std::size_t at = 0;
  for (const std::string_view event : {"event: message_start\n", "event: content_block_start\n", "event: content_block_delta\n",
                                       "event: content_block_stop\n", "event: message_delta\n", "event: message_stop\n"}) {
    const auto found = line.out.find(event, at);
    ASSERT_NE(found, std::string::npos) << event << " after " << at << " in\n" << line.out;
    at = found;
  }
  EXPECT_THAT(line.out, HasSubstr(R"("text":"Hi")"));
  EXPECT_THAT(line.out, Not(HasSubstr("[DONE]")));
}

// A provider dies after some text; another, that speaks another wire, goes on.
TEST_P(RelayInEveryWire, TwoStreamsMakeOneCoherentAnswer) {
  const Wire client = GetParam();
  for (const Wire first : kAll)
    for (const Wire second : kAll) {
      auto begun = stream_of(first, std::string(150, 'a'));
      begun.resize(begun.find("\n\n", begun.find("aaaa")) + 2);
      Line line({.client = client, .include_usage = true, .may_continue = true, .collect = true});
      line.relay.begin(first, false);
      ASSERT_TRUE(line.feed(begun));
      const std::string so_far = line.relay.text();
      ASSERT_FALSE(so_far.empty());
      EXPECT_TRUE(line.relay.only_text());
      EXPECT_FALSE(line.relay.finished());

      line.relay.begin(second, true);
      EXPECT_TRUE(line.relay.content_seen()) << "the caller has seen some";
      ASSERT_TRUE(line.feed(stream_of(second, "bbb", 77)));
      ASSERT_TRUE(line.relay.end(line.out));

      const auto heard = listen(client, line.out);
      const std::string trio = std::string(to_string(first)) + ", " + std::string(to_string(second));
      EXPECT_EQ(heard.text, so_far + "bbb") << trio;
      EXPECT_TRUE(heard.whole) << trio;
      EXPECT_EQ(heard.finishes, 1u) << trio;
      EXPECT_LE(heard.starts, listen(client, stream_of(client, "x")).starts) << trio << ": one stream has one start";
      const auto whole = line.relay.collected();
      ASSERT_EQ(whole.choices.size(), 1u) << trio;
      std::string kept;
      for (const auto& part : whole.choices[0].parts) kept += std::get<llm::Text>(part.body).text;
      EXPECT_EQ(kept, so_far + "bbb") << trio << ": what is remembered is what was told";
    }
}

TEST_P(RelayInEveryWire, ACleanRestartForgetsTheFirstStream) {
  Line line({.client = GetParam(), .collect = true});
  line.relay.begin(Wire::openai_chat, false);
  ASSERT_TRUE(line.feed(role + says("lost words")));
  line.out.clear();                                          // held back, so thrown away
  ASSERT_TRUE(line.whole(Wire::gemini, stream_of(Wire::gemini, "found")));
  EXPECT_EQ(listen(GetParam(), line.out).text, "found");
  EXPECT_EQ(line.relay.tokens_seen(), 1u);
  EXPECT_EQ(line.relay.content_bytes(), 5u);
  EXPECT_EQ(std::get<llm::Text>(line.relay.collected().choices.at(0).parts.at(0).body).text, "found");
}

TEST(Relay, ToolCallsAndThoughtsCannotBeContinued) {
  Line tools({.may_continue = true});
  tools.relay.begin(Wire::openai_chat, false);
  ASSERT_TRUE(tools.feed(role + chunk(R"({"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":"{"}}]})")));
  EXPECT_FALSE(tools.relay.only_text());
  EXPECT_TRUE(tools.relay.content_seen());
  Line thoughts({.may_continue = true});
  thoughts.relay.begin(Wire::openai_chat, false);
  ASSERT_TRUE(thoughts.feed(role + chunk(R"({"reasoning_content":"hmm"})")));
  EXPECT_FALSE(thoughts.relay.only_text());
}

TEST(Relay, TheProvidersErrorInsideTheStreamIsTheResult) {
  for (const bool translate : {false, true}) {
    Line line({.client = translate ? Wire::gemini : Wire::openai_chat});
    line.relay.begin(Wire::openai_chat, false);
    ASSERT_TRUE(line.feed(role + says("so f")));
    const auto fed = line.feed("data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\",\"code\":\"server_overloaded\"}}\n\n");
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code, ErrorCode::provider_overloaded);
    EXPECT_THAT(line.out, Not(HasSubstr("Overloaded"))) << "the road decides what the caller hears";
  }
}

TEST_P(RelayInEveryWire, AFailureIsAnErrorEventThatItsClientsUnderstand) {
  for (const Wire upstream : kAll) {
    Line line({.client = GetParam()});
    auto begun = stream_of(upstream, std::string(150, 'a'));
    begun.resize(begun.find("\n\n", begun.find("aaaa")) + 2);
    line.relay.begin(upstream, false);
    ASSERT_TRUE(line.feed(begun));
    line.relay.fail({.code = ErrorCode::provider_timeout, .message = "the provider's stream fell silent"}, line.out);
    const auto heard = listen(GetParam(), line.out);
    ASSERT_TRUE(heard.failure) << to_string(upstream) << "\n" << line.out;
    EXPECT_THAT(heard.failure->message, HasSubstr("fell silent"));
    EXPECT_FALSE(heard.whole);
    EXPECT_THAT(line.out, Not(HasSubstr("[DONE]")));
    EXPECT_THAT(line.out, Not(HasSubstr("message_stop")));
  }
}

TEST(Relay, AnAnswerAboveItsLimitIsCut) {
  for (const bool translate : {false, true}) {
    Line line({.client = translate ? Wire::anthropic_messages : Wire::openai_chat, .max_answer_bytes = 10});
    line.relay.begin(Wire::openai_chat, false);
    ASSERT_TRUE(line.feed(role + says("12345") + says("67890")));
    const auto fed = line.feed(says("!"));
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code, ErrorCode::provider_bad_response);
  }
}

}  // namespace
}  // namespace ballast::gateway
