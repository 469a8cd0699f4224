// A reply of the Responses API repeats its request, whoever made the answer, for whom, and when.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::Not;

const Target kA = *target_from("a/m", "t"), kB = *target_from("b/m", "t");
constexpr llm::ProviderKind kOthers[] = {llm::ProviderKind::openai, llm::ProviderKind::anthropic, llm::ProviderKind::gemini};
constexpr std::string_view kMore = R"("instructions":"be brief","temperature":0.5,"max_output_tokens":77,"tool_choice":"auto",
  "tools":[{"type":"function","name":"now","parameters":{"type":"object","properties":{}}}],"reasoning":{"effort":"low"},"parallel_tool_calls":false)";

struct Asking : House {
  using House::House;
  const Caller& ask(bool stream, std::string_view more, std::string_view idempotency_key = {}) {
    const auto& body = bodies.emplace_back(R"({"model":"chat","input":"hi","stream":)" + std::string(stream ? "true" : "false") + "," + std::string(more) + "}");
    return serve(Call{.wire = Wire::openai_responses, .operation = llm::Operation::responses, .body = body, .content_type = "application/json",
                      .idempotency_key = idempotency_key});
  }
  std::deque<std::string> bodies;
};

// Every response object an answer holds: one, or those of a stream's events.
std::vector<json::value> responses(const Caller& caller) {
  std::vector<json::value> found;
  if (caller.begins == 0) return {*parse_json(caller.body)};
  net::SseParser parser;
  parser.push(caller.body);
  for (auto e = parser.next(); e && *e; e = parser.next()) {
    const auto data = parse_json((*e)->data);
    if (const auto* response = data ? data->as_object().if_contains("response") : nullptr) found.push_back(*response);
  }
  return found;
}
std::string who(const json::value& response) { return to_json(response.at("metadata")); }

TEST(ResponsesEcho, ATranslatedReplyRepeatsItsRequest) {
  for (const auto kind : kOthers)
    for (const bool stream : {false, true}) {
      Asking house({.route = {.targets = {kB}}, .second_kind = kind});
      const Caller& caller = house.ask(stream, std::string(kMore) + R"(,"metadata":{"feature":"f"})");
      ASSERT_EQ(caller.head.status, 200) << caller.body;
      const auto told = responses(caller);
      ASSERT_EQ(told.size(), stream ? 3u : 1u) << caller.body;   // created, in_progress and completed
      for (const auto& r : told) {
        EXPECT_EQ(r.at("instructions"), "be brief");
        EXPECT_EQ(r.at("temperature"), 0.5);
        EXPECT_EQ(r.at("max_output_tokens"), 77);
        EXPECT_EQ(r.at("tools").at(0).at("name"), "now");
        EXPECT_EQ(r.at("parallel_tool_calls"), false);
        EXPECT_EQ(r.at("reasoning"), *parse_json(R"({"effort":"low","summary":null})"));
        EXPECT_EQ(who(r), R"({"feature":"f"})");
        EXPECT_EQ(r.at("truncation"), "disabled");
      }
    }
}

// The cache does not ask who files an answer under what: it is one answer, told to each as his own.
TEST(ResponsesEcho, TwoCallersOfOneStoredAnswerSeeTheirOwnWords) {
  for (const auto kind : {llm::ProviderKind::simulator, llm::ProviderKind::anthropic})
    for (const bool first : {false, true})
      for (const bool second : {false, true}) {
        SCOPED_TRACE(std::to_string(static_cast<int>(kind)) + (first ? " stream" : " whole") + (second ? " stream" : " whole"));
        Asking house({.route = {.targets = {kB}, .cache = {.ttl = 1h}}, .second_kind = kind});
        const Caller& ann = house.ask(first, R"("instructions":"i","metadata":{"who":"ann"},"user":"ann","safety_identifier":"ann")");
        const Caller& bob = house.ask(second, R"("instructions":"i","metadata":{"who":"bob"})");
        const Caller& none = house.ask(second, R"("instructions":"i")");
        EXPECT_EQ(ann.header("x-ballast-cache"), "miss");
        EXPECT_EQ(bob.header("x-ballast-cache"), "hit");
        EXPECT_EQ(none.header("x-ballast-cache"), "hit");
        for (const auto& r : responses(ann)) EXPECT_EQ(who(r), R"({"who":"ann"})");
        for (const auto& r : responses(bob)) EXPECT_EQ(who(r), R"({"who":"bob"})");
        for (const auto& r : responses(none)) EXPECT_EQ(who(r), "{}");
        for (const Caller* later : {&bob, &none}) {
          EXPECT_THAT(later->body, Not(HasSubstr("\"ann\""))) << "another caller's name";
          for (const auto& r : responses(*later)) EXPECT_EQ(r.at("instructions"), "i");
          EXPECT_EQ(hear(Wire::openai_responses, *later).text, kSecondSays);
        }
        EXPECT_EQ(house.second.simulator.counts().at("m").requests, 1u);
      }
}

TEST(ResponsesEcho, AnIdempotentReplayIsTheSameToTheByte) {
  for (const auto kind : {llm::ProviderKind::simulator, llm::ProviderKind::anthropic}) {
    Asking house({.route = {.targets = {kB}}, .second_kind = kind});
    const std::string more = std::string(kMore) + R"(,"metadata":{"who":"ann"},"user":"ann")";
    const Caller& first = house.ask(false, more, "key-1");
    const Caller& again = house.ask(false, more, "key-1");
    EXPECT_EQ(again.header("x-ballast-cache"), "replay");
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(who(responses(again).at(0)), R"({"who":"ann"})");
  }
}

TEST(ResponsesEcho, AReplyThatPassesThroughIsUntouched) {
  const std::string body = " {\"id\" : \"r\",\"object\":\"response\",\"status\":\"completed\", \"temperature\":1.50, \"output\":[{\"type\":\"message\",\"role\":\"assistant\","
                           "\"content\":[{\"type\":\"output_text\",\"text\":\"hi\"}]}],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}\n";
  Says whole(body, "application/json");
  Asking house({.route = {.targets = {kA}}, .first_transport = &whole});
  EXPECT_EQ(house.ask(false, kMore).body, body);

  const std::string events = "event: response.created\ndata: {\"type\":\"response.created\", \"response\": {\"id\":\"r\"}}\n\n"
                             "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n"
                             "event: response.completed\ndata: {\"type\":\"response.completed\", \"response\":" + body.substr(0, body.size() - 1) + "}\n\n";
  Says stream(events, "text/event-stream");
  Asking other({.route = {.targets = {kA}}, .first_transport = &stream});
  EXPECT_EQ(other.ask(true, kMore).body, events);
}

// Whoever speaks for a provider that failed, and an error that ends a stream.
TEST(ResponsesEcho, WhatStandsInForAnAnswerRepeatsTheRequestToo) {
  for (const bool stream : {false, true}) {
    Asking house({.first = {{.kind = SimFaultKind::http_500}},
                  .route = {.targets = {kA}, .retries = {.attempts = 1}, .degrade = {.answer = "not now"}}});
    const Caller& caller = house.ask(stream, R"("instructions":"i","metadata":{"who":"ann"})");
    EXPECT_EQ(caller.header("x-ballast-served-by"), "template");
    for (const auto& r : responses(caller)) EXPECT_EQ(who(r), R"({"who":"ann"})");
  }
  Asking house({.second = {{.kind = SimFaultKind::cut, .after_tokens = 5}}, .route = {.targets = {kB}, .retries = {.attempts = 1}},
                .second_kind = llm::ProviderKind::anthropic});
  const auto told = responses(house.ask(true, R"("metadata":{"who":"ann"})"));
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told.back().at("status"), "failed");
  EXPECT_EQ(who(told.back()), R"({"who":"ann"})");
}

}  // namespace
}  // namespace ballast::gateway
