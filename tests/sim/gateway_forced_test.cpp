// Callers who ask for structure by a tool that must be called: its arguments are judged as an answer is, on every wire, whole and as a stream.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "structured_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The house's question, with a tool that must be called.
struct Forced : test::Asked {
  std::string parameters = kSchema;
  std::string choice = "tool";
  Call call() {
    Call c = test::Asked::call();
    std::string tools, force;
    switch (wire) {
      case Wire::openai_chat:
        tools = R"([{"type":"function","function":{"name":"order","parameters":)" + parameters + "}}]";
        force = choice == "tool" ? R"({"type":"function","function":{"name":"order"}})" : choice == "any" ? R"("required")" : R"("auto")";
        break;
      case Wire::openai_responses:
        tools = R"([{"type":"function","name":"order","parameters":)" + parameters + "}]";
        force = choice == "tool" ? R"({"type":"function","name":"order"})" : choice == "any" ? R"("required")" : R"("auto")";
        break;
      case Wire::anthropic_messages:
        tools = R"([{"name":"order","input_schema":)" + parameters + "}]";
        force = choice == "tool" ? R"({"type":"tool","name":"order"})" : R"({"type":")" + choice + "\"}";
        break;
      case Wire::gemini:
        tools = R"([{"functionDeclarations":[{"name":"order","parametersJsonSchema":)" + parameters + "}]}]";
        force = R"({"functionCallingConfig":{"mode":")" + std::string(choice == "auto" ? "AUTO" : "ANY") + R"("}})";
        break;
    }
    const std::string member = wire == Wire::gemini ? "toolConfig" : "tool_choice";
    body.insert(body.rfind('}'), R"(,"tools":)" + tools + ",\"" + member + "\":" + force);
    c.body = body;
    return c;
  }
};

struct Called {
  std::string name, arguments;
  std::size_t calls = 0;
  bool whole = false;
  std::optional<Error> failure;
};
void note(Called& called, const llm::ToolCall& call) {
  ++called.calls;
  called.name = call.name;
  called.arguments = call.arguments;
}
Called called_of(Wire wire, const Caller& caller) {
  Called called;
  if (caller.begins == 0) {
    const auto document = parse_json(caller.body);
    const auto reply = document ? llm::parse_reply(wire, *document) : Result<llm::ChatReply>(fail(document.error()));
    called.whole = reply.has_value();
    if (!reply) called.failure = reply.error();
    if (reply)
      for (const auto& part : reply->choices.at(0).parts)
        if (const auto* call = std::get_if<llm::ToolCall>(&part.body)) note(called, *call);
    return called;
  }
  StreamCollector collector;
  for (const auto& e : streamed(wire, caller, called.whole)) {
    collector.push(e);
    if (const auto* f = std::get_if<llm::StreamFailure>(&e)) called.failure = f->error;
  }
  const auto reply = collector.take();
  for (const auto& choice : reply.choices)
    for (const auto& part : choice.parts)
      if (const auto* call = std::get_if<llm::ToolCall>(&part.body)) note(called, *call);
  return called;
}

TEST(ForcedCalls, WhatHasOneReadingIsPutRightInOneCall) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true})
      for (const std::string_view choice : {"tool", "any"})
        for (const auto kind : {SimFaultKind::json_fenced, SimFaultKind::json_trailing_comma, SimFaultKind::json_prose}) {
          SCOPED_TRACE(fmt::format("{} {} {}", to_string(wire), stream ? "stream" : "whole", llm::to_string(kind)));
          if (wire == Wire::gemini || (wire == Wire::anthropic_messages && !stream)) continue;     // there the provider itself must write an object
          House house(lying(kind));
          Forced asked{{.wire = wire, .stream = stream}};
          asked.choice = choice;
          const Caller& caller = house.serve(asked.call());
          const Called called = called_of(wire, caller);
          EXPECT_TRUE(called.whole) << caller.body;
          EXPECT_EQ(called.calls, 1u);
          EXPECT_EQ(called.name, "order");
          EXPECT_TRUE(fits(called.arguments)) << caller.body;
          EXPECT_THAT(caller.header("x-ballast-structured"), testing::AnyOf("repaired", stream ? "watched" : "repaired"));
          EXPECT_THAT(outcomes(house.record()), ElementsAre("a:ok"));
        }
}

TEST(ForcedCalls, WhatIsWrongIsAskedForAgain) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true})
      for (const auto kind : {SimFaultKind::json_truncated, SimFaultKind::json_wrong_type}) {
        SCOPED_TRACE(fmt::format("{} {} {}", to_string(wire), stream ? "stream" : "whole", llm::to_string(kind)));
        Options o = lying(kind, 1);
        o.route.structured.hold = stream;
        House house(std::move(o));
        Forced asked{{.wire = wire, .stream = stream}};
        const Caller& caller = house.serve(asked.call());
        const Called called = called_of(wire, caller);
        EXPECT_TRUE(called.whole) << caller.body;
        EXPECT_TRUE(fits(called.arguments)) << caller.body;
        EXPECT_EQ(caller.header("x-ballast-structured"), "reasked");
        const auto r = house.record();
        EXPECT_THAT(outcomes(r), ElementsAre("a:provider_invalid_output", "a:ok"));
        EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator));
        EXPECT_EQ(r.billed_nano, r.attempts.back().incurred_nano);
        EXPECT_GT(r.attempts[1].usage.input, r.attempts[0].usage.input) << "the model is told what was wrong";
      }
}

TEST(ForcedCalls, AModelThatKeepsLyingIsAnError) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(wire), stream));
      House house(lying(SimFaultKind::json_wrong_type));
      Forced asked{{.wire = wire, .stream = stream}};
      const Caller& caller = house.serve(asked.call());
      const Called called = called_of(wire, caller);
      EXPECT_FALSE(called.whole && !called.failure) << caller.body;
      if (!stream) {
        EXPECT_EQ(caller.head.status, 422);
        EXPECT_THAT(caller.body, testing::AllOf(HasSubstr("call of"), HasSubstr("order"), HasSubstr("/name must be")));
      }
      const auto r = house.record();
      EXPECT_EQ(r.error, "provider_invalid_output");
      EXPECT_EQ(r.billed_nano, 0);
      EXPECT_EQ(r.decision.find("Array"), std::string::npos);
    }
}

TEST(ForcedCalls, OnFailurePassServesIt) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(wire), stream));
      Options o = lying(SimFaultKind::json_wrong_type);
      o.route.structured = {.pass = true, .hold = stream, .demand = {}};
      House house(std::move(o));
      Forced asked{{.wire = wire, .stream = stream}};
      const Caller& caller = house.serve(asked.call());
      const Called called = called_of(wire, caller);
      EXPECT_TRUE(called.whole) << caller.body;
      EXPECT_TRUE(parse_json(called.arguments) && !fits(called.arguments)) << caller.body;
      EXPECT_EQ(caller.header("x-ballast-structured"), "invalid");
      house.record();
    }
}

TEST(ForcedCalls, WordsInsteadOfACallAreAskedForAgain) {
  for (const bool stream : {false, true}) {
    llm::SimModel m{.name = "m", .answers = {}, .faults = {}};
    m.answers = {{.match = "no tool was called", .text = "", .tool = "order", .arguments = R"({"name":"a","price":2,"tags":["x"]})"}, {.match = "", .text = "I would rather talk."}};
    m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
    Options o{.first_model = m};
    o.route.targets = {*target_from("a/m", "t")};
    House house(std::move(o));
    Forced asked{{.stream = stream}};
    const Caller& caller = house.serve(asked.call());
    const Called called = called_of(Wire::openai_chat, caller);
    EXPECT_TRUE(fits(called.arguments)) << caller.body;
    EXPECT_THAT(caller.body, Not(HasSubstr("rather talk")));
    EXPECT_THAT(outcomes(house.record()), ElementsAre("a:provider_invalid_output", "a:ok"));
  }
}

TEST(ForcedCalls, NobodyJudgesWhereNothingIsForcedOrTheRouteSaysSo) {
  for (const bool forced : {false, true}) {
    llm::SimModel m{.name = "m", .answers = {{.match = "", .text = "", .tool = "order", .arguments = "{\"name\":5}"}}, .faults = {}};
    Options o{.first_model = m};
    o.route.targets = {*target_from("a/m", "t")};
    if (forced) o.route.structured.enforce = Enforce::none;
    House house(std::move(o));
    Forced asked;
    asked.choice = forced ? "tool" : "auto";
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(called_of(Wire::openai_chat, caller).arguments, "{\"name\":5}") << caller.body;
    EXPECT_EQ(caller.header("x-ballast-structured"), "");
    house.record();
  }
}

TEST(ForcedCalls, ASchemaThatCannotBeUsedIsNotJudgedByAndTheDecisionSaysSo) {
  for (const auto wire : kAll) {
    House house(lying(SimFaultKind::over_report_usage, 0));
    Forced asked{{.wire = wire}};
    asked.parameters = R"({"type":"object","properties":{"a":{"$ref":"https://example.com/remote"}},"required":["a"]})";
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, 200) << caller.body;
    EXPECT_EQ(caller.header("x-ballast-structured"), "");
    const auto r = house.record();
    EXPECT_THAT(steps(r), Contains("call_not_judged"));
    EXPECT_THAT(steps(r), Not(Contains("judged")));
  }
}

TEST(ForcedCalls, ARoutesOwnSchemaIsNotAskedForBesideThem) {
  Options o = lying(SimFaultKind::over_report_usage, 0);
  o.route.structured.demand = *compile_demand({.kind = llm::ResponseFormat::Kind::schema, .schema = *parse_json(R"({"type":"array"})")}, "schema");
  House house(std::move(o));
  Forced asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_TRUE(fits(called_of(Wire::openai_chat, caller).arguments)) << caller.body;
  EXPECT_EQ(caller.header("x-ballast-structured"), "valid");
  house.record();
}

}  // namespace
}  // namespace ballast::gateway
