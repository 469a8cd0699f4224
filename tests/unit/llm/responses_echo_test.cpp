// What a reply of the Responses API repeats of its request, laid over an answer that may have been made for another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../../golden/llm/recordings.hpp"
#include "base/json.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

constexpr Wire kResponses = Wire::openai_responses;

json::value J(std::string_view text) { return *parse_json(text); }

json::object echo(std::string_view request) {
  json::object o;
  repeat_request(kResponses, o, request);
  return o;
}

json::object bare_reply() {
  ChatReply reply{.id = "r", .model = "m", .created = 7, .usage = Usage{.input_uncached = 3, .output = 4}};
  Choice choice{.finish = FinishReason::stop};
  choice.parts.push_back({.body = Text{.text = "hi"}});
  reply.choices.push_back(std::move(choice));
  return *write_reply(kResponses, reply);
}

TEST(ResponsesEcho, WhatTheCallerDidNotSayIsTheDocumentedDefault) {
  const auto o = echo(R"({"model":"m","input":"hi"})");
  EXPECT_EQ(json::value(o), J(R"({"background":false,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},
    "parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,"prompt_cache_retention":null,"reasoning":{"effort":null,"summary":null},
    "safety_identifier":null,"store":false,"temperature":1,"text":{"format":{"type":"text"},"verbosity":"medium"},"tool_choice":"auto","tools":[],
    "top_logprobs":0,"top_p":1,"truncation":"disabled"})"));
  EXPECT_EQ(echo(""), o);
  EXPECT_EQ(echo("[1]"), o);
  EXPECT_EQ(echo(R"({"temperature":null,"tools":null,"metadata":null,"user":null})"), o) << "null is not said";
}

TEST(ResponsesEcho, WhatTheCallerSaidIsRepeatedAsWritten) {
  for (const std::string_view member :
       {R"("instructions":"be \u00e4 \"brief\"")", R"("max_output_tokens":77)", R"("metadata":{"feature":"f","x":""})", R"("temperature":0.25)",
        R"("top_p":0)", R"("tool_choice":{"type":"function","name":"now"})", R"("parallel_tool_calls":false)", R"("store":true)", R"("truncation":"auto")",
        R"("user":"ann")", R"("safety_identifier":"s")", R"("prompt_cache_key":"k")", R"("max_tool_calls":3)", R"("background":false)"}) {
    const auto request = "{\n \"input\" : [{\"role\":\"user\",\"content\":\"tools\"}] ,\n" + std::string(member) + " , \"model\":\"m\" }";
    const auto said = J("{" + std::string(member) + "}").as_object();
    EXPECT_EQ(echo(request).at(said.begin()->key()), said.begin()->value()) << member;
  }
  EXPECT_EQ(echo(R"({"temp\u0065rature":0.5,"input":"x"})").at("temperature"), 0.5) << "an escaped key";
}

TEST(ResponsesEcho, DefaultsFillWhatAnObjectLeavesOpen) {
  EXPECT_EQ(echo(R"({"reasoning":{"effort":"low"}})").at("reasoning"), J(R"({"effort":"low","summary":null})"));
  EXPECT_EQ(echo(R"({"text":{"verbosity":"low"}})").at("text"), J(R"({"format":{"type":"text"},"verbosity":"low"})"));
  EXPECT_EQ(echo(R"({"tools":[{"type":"function","name":"f"},{"type":"function","name":"g","strict":true,"parameters":{}},{"type":"custom"}]})").at("tools"),
            J(R"([{"type":"function","name":"f","parameters":null,"strict":null},{"type":"function","name":"g","strict":true,"parameters":{}},{"type":"custom"}])"));
}

TEST(ResponsesEcho, NothingElseOfTheRequestIsRepeated) {
  const auto o = echo(R"({"model":"alias","input":"secret","stream":true,"include":[],"authorization":"k","id":"x","output":[],"status":"failed","usage":{}})");
  EXPECT_EQ(o, echo("{}"));
}

TEST(ResponsesEcho, OneAnswerIsToldToEachInHisOwnWords) {
  const std::string stored = to_json(json::value(bare_reply()));
  const auto ann = retell(kResponses, stored, R"({"metadata":{"who":"ann"},"instructions":"i"})");
  const auto bob = retell(kResponses, stored, R"({"instructions":"i"})");
  ASSERT_TRUE(ann && bob);
  EXPECT_EQ(J(*ann).at("metadata"), J(R"({"who":"ann"})"));
  EXPECT_EQ(J(*bob).at("metadata"), json::object());
  EXPECT_EQ(J(*bob).at("instructions"), "i");
  EXPECT_EQ(J(*bob).at("output"), bare_reply().at("output"));
}

TEST(ResponsesEcho, AProvidersOwnReplyKeepsItsParametersButNotWhoAsked) {
  const std::string stored = R"({"id":"r","tools":[],"temperature":0.98,"metadata":{"who":"ann"},"user":"ann","safety_identifier":"s1","prompt_cache_key":null,"output":[]})";
  const auto bob = retell(kResponses, stored, R"({"user":"bob","temperature":0.5,"prompt_cache_key":"k"})");
  ASSERT_TRUE(bob);
  EXPECT_EQ(J(*bob), J(R"({"id":"r","tools":[],"temperature":0.98,"metadata":{},"user":"bob","safety_identifier":null,"prompt_cache_key":"k","output":[]})"));
  const auto nobody = retell(kResponses, stored, "{}");
  ASSERT_TRUE(nobody);
  EXPECT_EQ(nobody->find("ann"), std::string::npos) << *nobody;
  EXPECT_FALSE(retell(kResponses, stored, R"({"metadata":{"who":"ann"},"user":"ann","safety_identifier":"s1"})")) << "it is hers already: not a byte changes";
}

TEST(ResponsesEcho, OtherWiresRepeatNothing) {
  for (const auto wire : {Wire::openai_chat, Wire::anthropic_messages, Wire::gemini}) {
    json::object o{{"id", "r"}};
    repeat_request(wire, o, R"({"metadata":{"a":"b"}})");
    EXPECT_EQ(o, (json::object{{"id", "r"}}));
    EXPECT_FALSE(retell(wire, R"({"id":"r"})", "{}"));
  }
  EXPECT_FALSE(retell(kResponses, "not json", "{}"));
}

TEST(ResponsesEcho, EveryResponseOfAStreamRepeatsIt) {
  for (const auto finish : {FinishReason::stop, FinishReason::length, FinishReason::none}) {
    StreamEncoder encoder(kResponses, {.request = R"({"instructions":"be brief","metadata":{"a":"b"},"stream":true})"});
    std::string bytes;
    encoder.push(StreamStart{"id", "m", 1}, bytes);
    encoder.push(TextDelta{0, "hi", {}}, bytes);
    if (finish != FinishReason::none) encoder.push(Finish{0, finish, {}, {}}, bytes);
    encoder.finish(bytes);
    std::vector<std::string> told;
    for (const auto& e : test::events_of(bytes)) {
      const auto event = J(e.data);
      const auto* response = event.as_object().if_contains("response");
      if (response == nullptr) continue;
      told.push_back(e.event);
      EXPECT_EQ(response->at("instructions"), "be brief");
      EXPECT_EQ(response->at("metadata"), J(R"({"a":"b"})"));
      EXPECT_EQ(response->at("temperature"), 1);
    }
    const std::string last = finish == FinishReason::stop ? "completed" : finish == FinishReason::length ? "incomplete" : "failed";
    EXPECT_THAT(told, testing::ElementsAre("response.created", "response.in_progress", "response." + last));
  }
}

// What served, not what was asked for: a tier that the target does not know was not bought.
TEST(ResponsesEcho, TheTierIsTheOneThatServed) {
  EXPECT_EQ(bare_reply().at("service_tier"), "default");
  ChatReply reply{.id = "r", .usage = Usage{.output = 1, .tier = ServiceTier::priority}};
  EXPECT_EQ(write_reply(kResponses, reply)->at("service_tier"), "priority");
}

}  // namespace
}  // namespace ballast::llm
