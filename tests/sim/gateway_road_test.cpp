// The call road from end to end on simulated time. After every story the journal is read back: it must tell the same one.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsSupersetOf;

// ---- Success ----------------------------------------------------------------------------------------------------

class RoadInEveryWire : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, RoadInEveryWire, testing::ValuesIn(kAll), [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(RoadInEveryWire, AnswersWholeAndStreamed) {
  for (const bool stream : {false, true}) {
    House house({});
    Asked asked{.wire = GetParam(), .stream = stream};
    const Caller& caller = house.serve(asked.call());
    const auto heard = hear(GetParam(), caller);
    EXPECT_EQ(caller.head.status, 200) << caller.body;
    EXPECT_EQ(heard.text, kFirstSays) << caller.body;
    EXPECT_TRUE(heard.whole);
    EXPECT_EQ(caller.begins, stream ? 1 : 0);
    EXPECT_EQ(caller.header("x-ballast-served-by"), "a/m");

    const auto r = house.record();
    EXPECT_EQ(caller.header("x-ballast-call-id"), to_string(r.id, "call"));
    EXPECT_EQ(r.status, records::CallStatus::ok);
    EXPECT_EQ(r.api, to_string(GetParam()));
    EXPECT_EQ(r.route, "chat");
    EXPECT_THAT(outcomes(r), ElementsAre("a:ok"));
    EXPECT_GT(r.billed_nano, 0);
    EXPECT_EQ(r.billed_nano, cost_of(house.first.simulator)) << "to the nano-dollar what the provider's own books say";
    EXPECT_EQ(r.incurred_nano, r.billed_nano);
    EXPECT_GT(r.usage.output, 0u);
    EXPECT_GT(r.latency_us, 0u);
    if (stream) EXPECT_LT(r.first_token_us, r.latency_us);
    EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "settled"));
  }
}

TEST_P(RoadInEveryWire, AnAnthropicProviderAnswersEveryone) {
  for (const bool stream : {false, true}) {
    House house({.route = {.targets = {*target_from("b/m", "t")}}, .second_kind = llm::ProviderKind::anthropic});
    Asked asked{.wire = GetParam(), .stream = stream};
    const Caller& caller = house.serve(asked.call());
    const auto heard = hear(GetParam(), caller);
    EXPECT_EQ(heard.text, kSecondSays) << caller.body;
    EXPECT_TRUE(heard.whole);
    const auto r = house.record();
    EXPECT_EQ(r.served_by, "b/m");
    EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator));
  }
}

// ---- Failures before the answer ---------------------------------------------------------------------------------

TEST_P(RoadInEveryWire, ARateLimitedProviderIsLeftForTheNext) {
  for (const bool stream : {false, true}) {
    House house({.first = {{.kind = SimFaultKind::http_429}}});
    Asked asked{.wire = GetParam(), .stream = stream};
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(hear(GetParam(), caller).text, kSecondSays) << caller.body;
    EXPECT_EQ(caller.header("x-ballast-served-by"), "b/m");
    EXPECT_EQ(caller.header("x-ballast-attempts"), "2");
    const auto r = house.record();
    EXPECT_THAT(outcomes(r), ElementsAre("a:provider_rate_limited", "b:ok"));
    EXPECT_EQ(r.attempts[0].http_status, 429);
    EXPECT_EQ(r.attempts[0].incurred_nano, 0) << "a refusal costs nothing";
    EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator));
    EXPECT_EQ(r.incurred_nano, r.billed_nano);
    EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "fail_over", "attempt", "settled"));
  }
}

TEST(Road, AShortRetryAfterIsWaitedForOnSimulatedTime) {
  House house({.first = {{.kind = SimFaultKind::http_429, .first = 1, .retry_after = 1500ms}}, .route = {.targets = {*target_from("a/m", "t")}}});
  Asked asked;
  const auto before = house.clock.elapsed();
  const Caller& caller = house.serve(asked.call());
  const auto r = house.record();
  // The only credential cools down for as long as the provider said.
  EXPECT_EQ(hear(asked.wire, caller).text, kFirstSays) << caller.body << "\n" << r.decision;
  EXPECT_GE(house.clock.elapsed() - before, 1500ms);
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_rate_limited", "a:ok"));
  EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "retry", "attempt", "settled"));
}

TEST(Road, ASilentProviderIsLeftAtItsHeaderTimer) {
  for (const bool stream : {false, true}) {
    House house({.first = {{.kind = SimFaultKind::silence}}});
    Asked asked{.stream = stream};
    const auto before = house.clock.elapsed();
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(hear(asked.wire, caller).text, kSecondSays) << caller.body;
    const auto took = house.clock.elapsed() - before;
    EXPECT_GE(took, 5s);
    EXPECT_LT(took, 7s);
    const auto r = house.record();
    EXPECT_THAT(outcomes(r), ElementsAre("a:provider_timeout", "b:ok"));
    EXPECT_GT(r.attempts[0].incurred_nano, 0) << "who was silent may charge: booked at its ceiling";
    EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator)) << "but the caller pays for the answer alone";
    EXPECT_GT(r.incurred_nano, r.billed_nano);
    EXPECT_EQ(r.attempts[0].latency_us, 5'000'000u);
    EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "fail_over", "attempt", "settled"));
  }
}

TEST(Road, WhenAllFailTheLastReasonIsToldInTheCallersShape) {
  for (const Wire wire : kAll)
    for (const bool stream : {false, true}) {
      House house({.first = {{.kind = SimFaultKind::http_503}}, .second = {{.kind = SimFaultKind::http_503}}});
      Asked asked{.wire = wire, .stream = stream};
      const Caller& caller = house.serve(asked.call());
      EXPECT_EQ(caller.replies, 1);
      EXPECT_EQ(caller.head.status, wire == Wire::anthropic_messages ? 529 : 503);
      EXPECT_EQ(caller.header("x-ballast-error"), "provider_overloaded");
      EXPECT_TRUE(parse_json(caller.body)) << caller.body;
      const auto r = house.record();
      EXPECT_EQ(r.status, records::CallStatus::failed);
      EXPECT_EQ(r.error, "provider_overloaded");
      EXPECT_EQ(r.attempts.size(), 4u) << "the attempt budget";
      EXPECT_EQ(r.incurred_nano, 0);
    }
}

// ---- Failures inside a stream -----------------------------------------------------------------------------------

TEST_P(RoadInEveryWire, ACutWithinTheHoldBackIsInvisible) {
  for (const auto kind : {SimFaultKind::cut, SimFaultKind::stall, SimFaultKind::error_in_stream}) {
    House house({.first = {{.kind = kind, .after_tokens = 8}}, .route = {.retries = {.attempts = 6}, .rescue = {.mode = RescueMode::restart, .hold_back = 64}}});
    Asked asked{.wire = GetParam(), .stream = true};
    const Caller& caller = house.serve(asked.call());
    const auto heard = hear(GetParam(), caller);
    EXPECT_EQ(heard.text, kSecondSays) << caller.body;
    EXPECT_TRUE(heard.whole);
    EXPECT_FALSE(heard.failure);
    const auto r = house.record();
    EXPECT_EQ(r.status, records::CallStatus::ok);
    EXPECT_EQ(r.served_by, "b/m");
    EXPECT_TRUE(r.attempts.front().cut) << to_string(kind);
    EXPECT_FALSE(r.attempts.back().cut);
    EXPECT_GT(r.attempts.front().incurred_nano, 0) << "tokens were made";
    EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator));
    EXPECT_EQ(steps(r).back(), "settled");
    EXPECT_THAT(steps(r), IsSupersetOf({std::string("fail_over")}));
  }
}

TEST_P(RoadInEveryWire, ACutAfterTheHoldBackEndsInAnError) {
  House house({.first = {{.kind = SimFaultKind::cut, .after_tokens = 12}}, .route = {.rescue = {.mode = RescueMode::restart, .hold_back = 4}}});
  Asked asked{.wire = GetParam(), .stream = true};
  const Caller& caller = house.serve(asked.call());
  const auto heard = hear(GetParam(), caller);
  EXPECT_TRUE(kFirstSays.starts_with(heard.text));
  EXPECT_FALSE(heard.text.empty());
  EXPECT_TRUE(heard.failure) << caller.body;
  EXPECT_FALSE(heard.whole) << "never a truncated success";
  const auto r = house.record();
  EXPECT_EQ(r.status, records::CallStatus::failed);
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_bad_response"));
  EXPECT_TRUE(r.attempts[0].cut);
  EXPECT_EQ(r.billed_nano, 0);
  EXPECT_GT(r.incurred_nano, 0);
  EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "rescue_impossible", "settled"));
}

TEST_P(RoadInEveryWire, AContinuedStreamGoesOnWithTheNextProvider) {
  House house({.first = {{.kind = SimFaultKind::cut, .after_tokens = 12}}, .route = {.rescue = {.mode = RescueMode::proceed, .hold_back = 4}}});
  Asked asked{.wire = GetParam(), .stream = true};
  const Caller& caller = house.serve(asked.call());
  const auto heard = hear(GetParam(), caller);
  const auto r = house.record();
  EXPECT_TRUE(heard.whole) << caller.body << r.decision;
  EXPECT_FALSE(heard.failure);
  EXPECT_EQ(heard.text, std::string(kFirstSays.substr(0, 48)) + std::string(kSecondSays));
  EXPECT_EQ(r.status, records::CallStatus::ok);
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_bad_response", "b:ok"));
  EXPECT_THAT(steps(r), ElementsAre("route", "plan", "attempt", "rescue", "attempt", "settled"));
}

TEST(Road, ACallerWhoLeavesIsSettledAsCancelled) {
  House house({});
  Asked asked{.stream = true};
  Caller caller(house.loop);
  caller.leave_after = 1;
  house.serve(asked.call(), caller);
  EXPECT_EQ(caller.ends, 0);
  const auto r = house.record();
  EXPECT_EQ(r.status, records::CallStatus::cancelled);
  EXPECT_EQ(r.attempts.size(), 1u);
  EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator)) << "read on for its usage";
}

// ---- Memory -----------------------------------------------------------------------------------------------------

TEST_P(RoadInEveryWire, TheSecondCallIsAnsweredFromTheCacheInEitherForm) {
  for (const bool first_streams : {false, true})
    for (const bool second_streams : {false, true}) {
      House house({.route = {.cache = {.ttl = 1h}}});
      Asked asked{.wire = GetParam(), .stream = first_streams}, again{.wire = GetParam(), .stream = second_streams};
      const Caller& one = house.serve(asked.call());
      const auto made = house.record();
      EXPECT_EQ(made.cache, records::CacheState::miss);
      EXPECT_THAT(steps(made), ElementsAre("route", "cache_miss", "plan", "attempt", "settled"));

      const Caller& two = house.serve(again.call());
      EXPECT_EQ(hear(GetParam(), one).text, kFirstSays);
      EXPECT_EQ(hear(GetParam(), two).text, kFirstSays) << two.body;
      EXPECT_TRUE(hear(GetParam(), two).whole);
      EXPECT_EQ(two.begins, second_streams ? 1 : 0);
      EXPECT_EQ(two.header("x-ballast-cache"), "hit");
      const auto r = house.record();
      EXPECT_EQ(r.cache, records::CacheState::hit);
      EXPECT_EQ(r.served_by, "cache");
      EXPECT_TRUE(r.attempts.empty());
      EXPECT_EQ(r.incurred_nano, 0);
      EXPECT_EQ(r.billed_nano, 0);
      EXPECT_THAT(steps(r), ElementsAre("route", "cache_hit", "settled"));
      EXPECT_EQ(house.first.simulator.counts().at("m").requests, 1u);
    }
}

TEST(Road, AnIdempotencyKeyIsPaidOnceAndAnsweredTwice) {
  for (const bool stream : {false, true}) {
    House house({});
    Asked asked{.stream = stream, .idempotency_key = "order-1"}, again = asked;
    const Caller& one = house.serve(asked.call());
    const auto paid = house.record();
    const Caller& two = house.serve(again.call());
    EXPECT_EQ(hear(asked.wire, two).text, hear(asked.wire, one).text);
    EXPECT_TRUE(hear(asked.wire, two).whole);
    EXPECT_EQ(house.first.simulator.counts().at("m").requests, 1u);
    EXPECT_GT(paid.billed_nano, 0);
    const auto r = house.record();
    EXPECT_EQ(r.cache, records::CacheState::replay);
    EXPECT_TRUE(r.attempts.empty());
    EXPECT_EQ(r.incurred_nano, 0);
    EXPECT_THAT(steps(r), ElementsAre("route", "idempotent_replay", "settled"));

    Asked other{.stream = stream, .max_tokens = 50, .idempotency_key = "order-1"};
    const Caller& three = house.serve(other.call());
    EXPECT_EQ(three.head.status, 409) << "the same key, another request";
    EXPECT_EQ(house.record().error, "caller_conflict");
  }
}

TEST(Road, ACallThatCostNothingLeavesItsIdempotencyKeyFree) {
  House house({.first = {{.kind = SimFaultKind::http_401, .first = 1}}, .route = {.targets = {*target_from("a/m", "t"), *target_from("b/m", "t")}, .retries = {.attempts = 1}}});
  Asked asked{.idempotency_key = "order-2"}, again = asked;
  EXPECT_EQ(house.serve(asked.call()).head.status, 502);
  EXPECT_EQ(house.record().error, "provider_auth");
  const Caller& two = house.serve(again.call());
  EXPECT_EQ(two.head.status, 200) << two.body;
  EXPECT_EQ(house.record().served_by, "b/m");
}

// ---- Money ------------------------------------------------------------------------------------------------------

TEST(Road, ABudgetRefusesBeforeAnythingIsSent) {
  House house({.budgets = {{.scope = BudgetScope::key, .amount = {1000}}}});
  Asked asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 429);
  EXPECT_EQ(caller.header("x-ballast-error"), "policy_budget_exceeded");
  EXPECT_NE(caller.header("retry-after"), "") << "the window's end is known";
  EXPECT_EQ(caller.header("x-should-retry"), "false") << "and too far away to wait for";
  EXPECT_NE(caller.body.find(R"(budget \"key/day\" (of key)"), std::string::npos) << caller.body;
  EXPECT_EQ(house.first.simulator.counts().size() + house.second.simulator.counts().size(), 0u);
  const auto r = house.record();
  EXPECT_EQ(r.status, records::CallStatus::failed);
  EXPECT_EQ(r.error, "policy_budget_exceeded");
  EXPECT_EQ(r.http_status, 429);
  EXPECT_TRUE(r.attempts.empty());
  EXPECT_TRUE(r.charges.empty());
  EXPECT_EQ(steps(r).back(), "settled");
}

TEST(Road, ABudgetKeepsWhatTheCallIncurredAndNoMore) {
  House house({.first = {{.kind = SimFaultKind::http_500}}, .budgets = {{.name = "daily", .scope = BudgetScope::key, .amount = {1'000'000'000}}}});
  Asked asked;
  house.serve(asked.call());
  const auto r = house.record();
  EXPECT_EQ(r.served_by, "b/m");
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_error", "a:provider_error", "a:provider_error", "b:ok"));
  ASSERT_EQ(r.charges.size(), 1u);
  EXPECT_EQ(r.charges[0].nano, r.incurred_nano);
  EXPECT_EQ(r.incurred_nano, cost_of(house.second.simulator));
  const auto status = house.gateway->setup()->budgets->status();
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(status[0].spent.nano, r.incurred_nano);
  EXPECT_EQ(status[0].held.nano, 0);
  EXPECT_THAT(steps(r), ElementsAre("route", "plan", "held", "attempt", "retry", "attempt", "retry", "attempt", "fail_over", "attempt", "settled"));
}

// ---- Degradation ------------------------------------------------------------------------------------------------

TEST_P(RoadInEveryWire, ATemplateAnswersWhenNobodyDoes) {
  for (const bool stream : {false, true}) {
    House house({.first = {{.kind = SimFaultKind::http_529}}, .second = {{.kind = SimFaultKind::reset}}, .route = {.degrade = {.answer = "We are busy."}}});
    Asked asked{.wire = GetParam(), .stream = stream};
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(caller.head.status, 200);
    EXPECT_EQ(hear(GetParam(), caller).text, "We are busy.") << caller.body;
    EXPECT_TRUE(hear(GetParam(), caller).whole);
    EXPECT_EQ(caller.header("x-ballast-served-by"), "template");
    const auto r = house.record();
    EXPECT_EQ(r.status, records::CallStatus::ok);
    EXPECT_EQ(r.served_by, "template");
    EXPECT_EQ(r.error, "provider_unreachable") << "what it stands in for";
    EXPECT_EQ(r.billed_nano, 0);
    EXPECT_EQ(r.attempts.size(), 4u);
    EXPECT_THAT(steps(r), IsSupersetOf({std::string("degraded"), std::string("settled")}));
  }
}

TEST(Road, AStaleAnswerComesBeforeTheTemplate) {
  House house({.first = {{.kind = SimFaultKind::http_503, .from = 30min}}, .second = {{.kind = SimFaultKind::http_503}},
               .route = {.cache = {.ttl = 10min}, .degrade = {.stale = 2h, .answer = "We are busy."}}});
  Asked asked, again;
  house.serve(asked.call());
  house.loop.advance(1h);
  const Caller& caller = house.serve(again.call());
  EXPECT_EQ(hear(asked.wire, caller).text, kFirstSays) << caller.body;
  const auto r = house.record();
  EXPECT_EQ(r.served_by, "stale");
  EXPECT_EQ(r.cache, records::CacheState::stale);
  EXPECT_EQ(r.billed_nano, 0);
}

// ---- Hedging ----------------------------------------------------------------------------------------------------

TEST_P(RoadInEveryWire, ASlowProviderIsOvertakenByItsHedge) {
  for (const bool stream : {false, true}) {
    House house({.first = {{.kind = SimFaultKind::silence}}, .route = {.hedge = {.after = 800ms}}});
    Asked asked{.wire = GetParam(), .stream = stream};
    const auto before = house.clock.elapsed();
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(hear(GetParam(), caller).text, kSecondSays) << caller.body;
    EXPECT_TRUE(hear(GetParam(), caller).whole);
    EXPECT_LT(house.clock.elapsed() - before, 4s) << "not at the header timer";
    const auto r = house.record();
    EXPECT_EQ(r.status, records::CallStatus::ok);
    EXPECT_EQ(r.served_by, "b/m");
    ASSERT_EQ(r.attempts.size(), 2u);
    EXPECT_FALSE(r.attempts[0].hedged);
    EXPECT_TRUE(r.attempts[1].hedged);
    EXPECT_GT(r.attempts[0].incurred_nano, 0) << "the loser may charge: booked at its ceiling";
    EXPECT_EQ(r.attempts[0].cost, records::Cost::unknown);
    EXPECT_EQ(r.attempts[1].cost, records::Cost::known);
    EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator));
  }
}

// While the winner is heard the loser is read on: what both cost is what the providers count.
TEST_P(RoadInEveryWire, AnOvertakenStreamThatEndsInTimeCostsWhatItCost) {
  House house({.first = {{.kind = SimFaultKind::slow_first_token, .delay = 600ms}},
               .route = {.hedge = {.after = 300ms}},
               .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {100'000'000'000}, .period = BudgetPeriod::month}},
               .second_pace = 5});
  Asked asked{.wire = GetParam(), .stream = true, .max_tokens = 4000};
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(hear(GetParam(), caller).text, kSecondSays) << caller.body;
  EXPECT_TRUE(hear(GetParam(), caller).whole);
  const auto r = house.record();
  EXPECT_EQ(r.status, records::CallStatus::ok);
  EXPECT_EQ(r.served_by, "b/m");
  EXPECT_THAT(outcomes(r), ElementsAre("a:ok", "b:ok"));
  EXPECT_EQ(r.billed_nano, cost_of(house.second.simulator));
  EXPECT_EQ(r.incurred_nano, cost_of(house.first.simulator) + cost_of(house.second.simulator));
  EXPECT_EQ(r.usage, r.attempts[1].usage) << "the answer's";
  const auto budget = house.gateway->setup()->budgets->status().at(0);
  EXPECT_EQ(budget.spent.nano, r.incurred_nano);
  EXPECT_EQ(budget.held, Money{});
}

}  // namespace
}  // namespace ballast::gateway
