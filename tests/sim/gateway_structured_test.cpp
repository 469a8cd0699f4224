// Models that lie about the JSON they were asked for, and what the caller gets all the same: on every wire, whole and as a stream.
#include "gateway/structured.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/json_scan.hpp"
#include "structured_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::int64_t last_cost(const records::CallRecord& r) { return r.attempts.back().incurred_nano; }

TEST(Structured, WhatHasOneReadingIsPutRightInOneCall) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true})
      for (const auto kind : {SimFaultKind::json_fenced, SimFaultKind::json_trailing_comma, SimFaultKind::json_prose}) {
        SCOPED_TRACE(fmt::format("{} {} {}", to_string(wire), stream ? "stream" : "whole", llm::to_string(kind)));
        House house(lying(kind));
        AskedFor asked{{.wire = wire, .stream = stream}};
        const Caller& caller = house.serve(asked.call());
        const Heard heard = hear(wire, caller);
        EXPECT_TRUE(heard.whole) << caller.body;
        EXPECT_TRUE(fits(heard.text)) << caller.body;
        EXPECT_THAT(caller.header("x-ballast-structured"), testing::AnyOf("repaired", stream ? "watched" : "repaired"));
        const auto r = house.record();
        EXPECT_THAT(outcomes(r), ElementsAre("a:ok"));
        EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator));
        EXPECT_EQ(r.billed_nano, r.incurred_nano);
      }
}

TEST(Structured, WhatIsWrongIsAskedForAgainAndBothCallsAreBooked) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true})
      for (const auto kind : {SimFaultKind::json_truncated, SimFaultKind::json_wrong_type}) {
        SCOPED_TRACE(fmt::format("{} {} {}", to_string(wire), stream ? "stream" : "whole", llm::to_string(kind)));
        Options o = lying(kind, 1);
        o.route.structured.hold = stream;
        House house(std::move(o));
        AskedFor asked{{.wire = wire, .stream = stream}};
        const Caller& caller = house.serve(asked.call());
        const Heard heard = hear(wire, caller);
        EXPECT_TRUE(heard.whole) << caller.body;
        EXPECT_TRUE(fits(heard.text)) << caller.body;
        EXPECT_EQ(caller.header("x-ballast-structured"), "reasked");
        const auto r = house.record();
        EXPECT_THAT(outcomes(r), ElementsAre("a:provider_invalid_output", "a:ok"));
        EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator));
        EXPECT_EQ(r.billed_nano, last_cost(r));
        EXPECT_THAT(steps(r), Contains("asked_again"));
        EXPECT_GT(r.attempts[1].usage.input, r.attempts[0].usage.input) << "the model is told what was wrong";
      }
}

TEST(Structured, AModelThatKeepsLyingIsAnErrorWithWhatWasWrong) {
  for (const auto wire : kAll) {
    House house(lying(SimFaultKind::json_wrong_type));
    AskedFor asked{{.wire = wire}};
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, 422);
    EXPECT_EQ(caller.header("x-ballast-error"), "provider_invalid_output");
    EXPECT_EQ(caller.header("x-should-retry"), "false");
    EXPECT_THAT(caller.body, HasSubstr("/name must be"));
    const auto r = house.record();
    EXPECT_THAT(outcomes(r), ElementsAre("a:provider_invalid_output", "a:provider_invalid_output"));
    EXPECT_EQ(r.error, "provider_invalid_output");
    EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator));
    EXPECT_EQ(r.billed_nano, 0);
    EXPECT_EQ(r.decision.find("Array"), std::string::npos);
  }
}

TEST(Structured, AStreamThatTurnsOutWrongEndsWithAnError) {
  for (const auto wire : kAll)
    for (const auto kind : {SimFaultKind::json_truncated, SimFaultKind::json_wrong_type}) {
      House house(lying(kind));
      AskedFor asked{{.wire = wire, .stream = true}};
      const Caller& caller = house.serve(asked.call());
      const Heard heard = hear(wire, caller);
      EXPECT_FALSE(heard.whole) << caller.body;
      EXPECT_TRUE(heard.failure) << caller.body;
      EXPECT_EQ(caller.header("x-ballast-structured"), "watched");
      JsonScan scan;
      EXPECT_EQ(scan.push(heard.text), heard.text.size()) << heard.text;
      const auto r = house.record();
      EXPECT_THAT(outcomes(r), ElementsAre("a:provider_invalid_output"));
      EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator)) << "read to its end, so that its cost is known";
      EXPECT_EQ(r.billed_nano, 0);
    }
}

TEST(Structured, WhatNoStreamHasToldCanBeAskedForAgain) {
  llm::SimModel m{.name = "m", .answers = {}, .faults = {}};
  m.answers = {{.match = "cannot be used", .text = R"({"name":"a","price":2,"tags":["x"]})"}, {.match = "", .text = "I would rather not say."}};
  m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  Options o = lying(SimFaultKind::json_prose);
  o.first.clear();
  o.first_model = m;
  House house(std::move(o));
  AskedFor asked{{.stream = true}};
  const Caller& caller = house.serve(asked.call());
  const Heard heard = hear(Wire::openai_chat, caller);
  EXPECT_TRUE(heard.whole) << caller.body;
  EXPECT_EQ(heard.text, R"({"name":"a","price":2,"tags":["x"]})");
  EXPECT_THAT(outcomes(house.record()), ElementsAre("a:provider_invalid_output", "a:ok"));
}

TEST(Structured, OnFailurePassServesItAndSaysSo) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(wire), stream));
      Options o = lying(SimFaultKind::json_wrong_type);
      o.route.structured = {.pass = true, .hold = stream, .demand = {}};
      o.route.cache.ttl = std::chrono::hours(1);
      House house(std::move(o));
      AskedFor asked{{.wire = wire, .stream = stream}};
      const Caller& caller = house.serve(asked.call());
      const Heard heard = hear(wire, caller);
      EXPECT_TRUE(heard.whole) << caller.body;
      EXPECT_TRUE(parse_json(heard.text) && !fits(heard.text)) << caller.body;
      EXPECT_EQ(caller.header("x-ballast-structured"), "invalid");
      const auto r = house.record();
      EXPECT_EQ(r.billed_nano, last_cost(r));
      EXPECT_EQ(r.served_by, "a/m");
      house.serve(asked.call());
      EXPECT_EQ(house.record().cache, records::CacheState::miss) << "a wrong answer is never cached";
    }
}

TEST(Structured, TheCacheKeepsTheJudgedAnswer) {
  for (const bool stream : {false, true}) {
    Options o = lying(SimFaultKind::json_fenced);
    o.route.cache.ttl = std::chrono::hours(1);
    House house(std::move(o));
    AskedFor asked{{.stream = stream}};
    house.serve(asked.call());
    const Caller& again = house.serve(asked.call());
    EXPECT_EQ(again.header("x-ballast-cache"), "hit");
    EXPECT_TRUE(fits(hear(Wire::openai_chat, again).text)) << again.body;
  }
}

// What the call is held at before anything is sent.
std::int64_t held(const records::CallRecord& r) {
  const auto decision = parse_json(r.decision);
  for (const auto& s : decision->as_array())
    if (s.at("step").as_string() == "held") return s.at("ceiling_nano").as_int64();
  return 0;
}

TEST(Structured, AskingAgainHoldsMoneyForItself) {
  const auto house_with = [](std::int64_t nano) {
    Options o = lying(SimFaultKind::json_wrong_type, 1);
    o.budgets = {{.name = "all", .scope = BudgetScope::system, .amount = Money{nano}}};
    return std::make_unique<House>(std::move(o));
  };
  AskedFor asked;
  auto rich = house_with(1'000'000'000);
  EXPECT_EQ(rich->serve(asked.call()).head.status, 200);
  const auto r = rich->record();
  EXPECT_EQ(r.attempts.size(), 2u);
  auto poor = house_with(held(r) + 1000);
  const Caller& caller = poor->serve(asked.call());
  EXPECT_EQ(caller.head.status, 422);
  EXPECT_THAT(caller.body, HasSubstr("asking again failed"));
  const auto short_of = poor->record();
  EXPECT_EQ(short_of.attempts.size(), 1u);
  EXPECT_EQ(short_of.incurred_nano, cost_of(poor->first.simulator));
}

TEST(Structured, TheRoutesAttemptsAndItsWordBoundTheAsking) {
  for (const unsigned attempts : {1u, 2u}) {
    Options o = lying(SimFaultKind::json_wrong_type);
    o.route.retries.attempts = attempts;
    if (attempts == 2) o.route.structured.reask = 0;
    House house(std::move(o));
    AskedFor asked;
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, 422);
    EXPECT_THAT(caller.body, HasSubstr(attempts == 1 ? "attempts are used up" : "the route asks once"));
    EXPECT_EQ(house.record().attempts.size(), 1u);
  }
}

TEST(Structured, ADeadlineThatRunsOutWhileAskingAgainIsTold) {
  Options o = lying(SimFaultKind::json_wrong_type);
  llm::SimModel m{.name = "m", .answers = {}, .faults = {{.kind = SimFaultKind::json_wrong_type}}};
  m.latency.low = 900ms;
  m.price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}};
  o.first_model = m;
  o.route.retries.deadline = 2s;
  House house(std::move(o));
  AskedFor asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 422);
  EXPECT_THAT(caller.body, HasSubstr("asking again failed"));
  EXPECT_THAT(outcomes(house.record()), ElementsAre("a:provider_invalid_output", "a:provider_timeout"));
}

TEST(Structured, AnAnswerThatRanOutOfRoomIsNotAskedForAgainWithoutMore) {
  House house(lying(SimFaultKind::over_report_usage, 0));
  AskedFor asked{{.max_tokens = 5}};
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 422);
  EXPECT_THAT(caller.body, HasSubstr("breaks off"));
  EXPECT_THAT(caller.body, HasSubstr("the limit of its answer allows no more"));
  EXPECT_EQ(house.record().attempts.size(), 1u);
}

TEST(Structured, EveryWayOfAskingGivesTheSameToTheCaller) {
  for (const auto wire : kAll)
    for (const auto kind : {llm::ProviderKind::simulator, llm::ProviderKind::anthropic, llm::ProviderKind::gemini, llm::ProviderKind::openai})
      for (const bool stream : {false, true})
        for (const auto asking : {llm::Asking::native, llm::Asking::tool}) {
          SCOPED_TRACE(fmt::format("{} to {} by {} {}", to_string(wire), llm::to_string(kind), llm::to_string(asking), stream ? "stream" : "whole"));
          Options o{.second_kind = kind, .asking = asking};
          o.route.targets = {*target_from("b/m", "t")};
          House house(std::move(o));
          AskedFor asked{{.wire = wire, .stream = stream}};
          const Caller& caller = house.serve(asked.call());
          const Heard heard = hear(wire, caller);
          EXPECT_TRUE(heard.whole) << caller.body;
          EXPECT_TRUE(fits(heard.text)) << caller.body;
          EXPECT_THAT(caller.body, Not(HasSubstr("tool_use")));
          EXPECT_THAT(caller.body, Not(HasSubstr("tool_calls\":[")));
          EXPECT_THAT(outcomes(house.record()), ElementsAre("b:ok"));
        }
}

TEST(Structured, ARoutesOwnSchemaIsAskedForWhereTheCallerBringsNone) {
  for (const auto wire : kAll)
    for (const bool stream : {false, true}) {
      Options o = lying(SimFaultKind::json_fenced);
      o.route.structured.demand = *compile_demand({.kind = llm::ResponseFormat::Kind::schema, .name = "order", .schema = *parse_json(kSchema)}, "schema");
      House house(std::move(o));
      test::Asked asked{.wire = wire, .stream = stream};
      const Caller& caller = house.serve(asked.call());
      EXPECT_TRUE(fits(hear(wire, caller).text)) << caller.body;
      house.record();
    }
}

TEST(Structured, ASchemaThatCannotBeUsedIsRefusedBeforeAnybodyIsAsked) {
  for (const auto wire : kAll) {
    House house(lying(SimFaultKind::json_fenced));
    AskedFor asked{{.wire = wire}, R"({"type":"object","properties":{"a":{"pattern":"(a+"}}})"};
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, 400);
    EXPECT_THAT(caller.body, HasSubstr("the schema cannot be used"));
    EXPECT_TRUE(house.record().attempts.empty());
  }
}

TEST(Structured, NothingIsJudgedWhereTheRouteSaysSo) {
  Options o = lying(SimFaultKind::json_fenced);
  o.route.structured.enforce = Enforce::none;
  House house(std::move(o));
  AskedFor asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_THAT(hear(Wire::openai_chat, caller).text, testing::StartsWith("```json"));
  EXPECT_EQ(caller.header("x-ballast-structured"), "");
  house.record();
}

TEST(Structured, ATemplateThatIsNotTheJsonIsNotGivenInItsPlace) {
  for (const bool good : {false, true}) {
    Options o = lying(SimFaultKind::http_500);
    o.route.degrade.answer = good ? R"({"name":"a","price":2,"tags":["x"]})" : "We are busy; please try again.";
    House house(std::move(o));
    AskedFor asked;
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, good ? 200 : 502) << caller.body;
    house.record();
  }
}

TEST(Structured, TheRestOfWhatTheCallerBeganIsNotJudged) {
  House house(lying(SimFaultKind::json_truncated));
  AskedFor asked;
  Call call = asked.call();
  asked.body.insert(asked.body.find("}]") + 1, R"(,{"role":"assistant","content":"{"})");
  call.body = asked.body;
  const Caller& caller = house.serve(call);
  EXPECT_EQ(caller.head.status, 200) << caller.body;
  EXPECT_EQ(caller.header("x-ballast-structured"), "");
  house.record();
}

TEST(Structured, AHedgesWinnerIsJudgedToo) {
  Options o = lying(SimFaultKind::json_wrong_type, 1);
  o.route.targets = {*target_from("a/m", "t"), *target_from("b/m", "t")};
  o.route.hedge.after = 5s;
  House house(std::move(o));
  AskedFor asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_TRUE(fits(hear(Wire::openai_chat, caller).text)) << caller.body;
  EXPECT_THAT(outcomes(house.record()), ElementsAre("a:provider_invalid_output", "a:ok"));
}

}  // namespace
}  // namespace ballast::gateway
