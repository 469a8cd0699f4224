// The call road when every target rests: early tries, waiting, another round, and who is blamed for what.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

const Target kA = *target_from("a/m", "t");

// Calls that arrive while time passes.
struct Crowd {
  House& house;
  std::deque<Asked> asked;
  unsigned answered = 0, ended = 0;
  Duration longest{};

  Task<void> one(Call call, Caller& caller, MonoTime at) {
    co_await SleepUntil(house.loop, at);
    co_await house.gateway->serve(call, caller);
    ++ended;
    if (caller.head.status == 200) ++answered;
    longest = std::max<Duration>(longest, house.clock.mono() - at);
  }
  Caller& arrive(Duration after, Asked a = {}) {
    auto& caller = house.callers.emplace_back(house.loop);
    Call call = asked.emplace_back(std::move(a)).call();
    call.secret = kSecret;
    ++house.served;
    detach(one(call, caller, house.clock.mono() + after), [](std::exception_ptr e) { std::rethrow_exception(e); });
    return caller;
  }
};

std::uint64_t requests_to(const Upstream& upstream) {
  const auto counts = upstream.simulator.counts();
  const auto m = counts.find("m");
  return m == counts.end() ? 0 : m->second.requests;
}

void open(Breaker& breaker) {
  for (int i = 0; i < 5; ++i) breaker.try_acquire()->failure(ErrorCode::provider_timeout);
}

// ---- Waiting ------------------------------------------------------------------------------------------------------

TEST(Resting, ACallWaitsForAnEarlyTryInsteadOfFailingAtOnce) {
  for (const bool stream : {false, true}) {
    House house({.route = {.targets = {kA}}});
    open(house.breakers.of("a", "m"));
    Asked asked{.stream = stream};
    const auto before = house.clock.elapsed();
    const Caller& caller = house.serve(asked.call());
    EXPECT_EQ(hear(asked.wire, caller).text, kFirstSays) << caller.body;
    EXPECT_GE(house.clock.elapsed() - before, 1s);
    EXPECT_EQ(house.breakers.of("a", "m").view().state, BreakerState::closed) << "it is well: everybody may come again";
    const auto r = house.record();
    EXPECT_THAT(steps(r), ElementsAre("route", "plan", "skipped", "rested", "early_try", "attempt", "settled"));
  }
}

TEST(Resting, AnOutageOfAllLosesNobodyAndFloodsNobody) {
  const std::vector<SimFault> down{{.kind = SimFaultKind::http_503, .until = 15s}};
  House house({.first = down, .second = down});
  Crowd crowd{.house = house};
  for (int i = 0; i < 600; ++i) crowd.arrive(i * 50ms, {.stream = i % 2 == 0});
  house.loop.advance(15s);
  const auto during = requests_to(house.first) + requests_to(house.second);
  EXPECT_LT(during, 2u * (5 + 15 + 5) + 4) << "what opens the breakers, an early try a second, the probes";
  EXPECT_GT(house.breakers.waiting(), 200u);
  EXPECT_TRUE(house.loop.run_to_rest());
  EXPECT_EQ(crowd.ended, 600u);
  EXPECT_GE(crowd.answered, 597u) << "all but those whose attempts were used up before the breakers opened";
  EXPECT_LT(crowd.longest, 20s);
  EXPECT_LT(requests_to(house.first) + requests_to(house.second), 660u) << "a tenth more than calls";
  EXPECT_EQ(house.breakers.waiting(), 0u);
  house.record();
}

TEST(Resting, ASilentOutageLosesNobodyEither) {
  const std::vector<SimFault> down{{.kind = SimFaultKind::silence, .until = 12s}};
  House house({.first = down, .second = down});
  Crowd crowd{.house = house};
  for (int i = 0; i < 300; ++i) crowd.arrive(i * 100ms);
  EXPECT_TRUE(house.loop.run_to_rest());
  EXPECT_EQ(crowd.answered, 300u);
  house.record();
}

TEST(Resting, AnOldOutageIsToldAtOnce) {
  House house({.first = {{.kind = SimFaultKind::http_503}}, .route = {.targets = {kA}}});
  Breaker& breaker = house.breakers.of("a", "m");
  open(breaker);
  for (int i = 0; i < 10; ++i) {
    house.loop.advance(10s);
    if (auto probe = breaker.try_acquire()) probe->failure(ErrorCode::provider_error);
  }
  if (auto early = breaker.try_early()) early->neutral();
  Asked asked;
  const auto before = house.clock.elapsed();
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 503);
  EXPECT_EQ(house.clock.elapsed(), before) << "it has lasted for longer than anybody would wait";
  EXPECT_NE(caller.header("retry-after"), "");
  EXPECT_EQ(requests_to(house.first), 0u);
  house.record();
}

TEST(Resting, NobodyWaitsPastTheRetryDeadline) {
  House house({.first = {{.kind = SimFaultKind::http_503}}, .route = {.targets = {kA}, .retries = {.attempts = 100, .deadline = 3s}}});
  open(house.breakers.of("a", "m"));
  Asked asked;
  const auto before = house.clock.elapsed();
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(caller.head.status, 503);
  EXPECT_LE(house.clock.elapsed() - before, 3s);
  house.record();
}

TEST(Resting, ADegradedAnswerAtHandIsGivenAtOnce) {
  House house({.route = {.targets = {kA}, .degrade = {.answer = "Later, please."}}});
  open(house.breakers.of("a", "m"));
  Asked asked;
  const auto before = house.clock.elapsed();
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(hear(asked.wire, caller).text, "Later, please.");
  EXPECT_EQ(caller.header("x-ballast-served-by"), "template");
  EXPECT_EQ(house.clock.elapsed(), before);
  house.loop.advance(1s);
  const Caller& next = house.serve(asked.call());
  EXPECT_EQ(hear(asked.wire, next).text, kFirstSays) << "but an early try is taken where there is one";
  house.record();
}

TEST(Resting, WhoLeavesWhileWaitingIsSettledAsGone) {
  House house({.route = {.targets = {kA}}});
  house.breakers.of("a", "m").reset();
  open(house.breakers.of("a", "m"));
  Crowd crowd{.house = house};
  Caller& caller = crowd.arrive(0ms);
  house.loop.advance(100ms);
  EXPECT_EQ(house.breakers.waiting(), 1u);
  caller.leave();
  EXPECT_TRUE(house.loop.run_to_rest());
  EXPECT_EQ(house.breakers.waiting(), 0u);
  EXPECT_EQ(requests_to(house.first), 0u);
  EXPECT_EQ(house.record().attempts.size(), 0u);
}

TEST(Resting, TheDearTargetInReserveHoldsForItself) {
  House house({.first = {{.kind = SimFaultKind::silence}},
               .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {100'000'000}, .period = BudgetPeriod::month}}});
  open(house.breakers.of("b", "m"));
  Asked asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(hear(asked.wire, caller).text, kSecondSays) << caller.body;
  const auto r = house.record();
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_timeout", "b:ok"));
  EXPECT_THAT(steps(r), Contains("another_round"));
  const auto status = house.gateway->setup()->budgets->status();
  EXPECT_EQ((status[0].spent + status[0].held).nano, r.incurred_nano);
}

TEST(Resting, AfterAllTimedOutAnotherRoundFindsTheOneThatRecovered) {
  const std::vector<SimFault> once{{.kind = SimFaultKind::silence, .first = 1}};
  House house({.first = once, .second = once});
  Asked asked;
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(hear(asked.wire, caller).text, kFirstSays) << caller.body;
  EXPECT_THAT(outcomes(house.record()), ElementsAre("a:provider_timeout", "b:provider_timeout", "a:ok"));
}

// ---- Blame --------------------------------------------------------------------------------------------------------

TEST(Resting, ATargetIsNotBlamedForTheRoutesDeadline) {
  for (const bool stream : {false, true}) {
    House house({.first = {{.kind = stream ? SimFaultKind::slow_first_token : SimFaultKind::silence}},
                 .route = {.targets = {kA}, .retries = {.attempts = 1, .deadline = 500ms}}});
    for (int i = 0; i < 10; ++i) {
      Asked asked{.stream = stream};
      house.serve(asked.call());
    }
    EXPECT_EQ(house.breakers.of("a", "m").view().state, BreakerState::closed) << "its own timer is ten times as long";
    const auto r = house.record();
    EXPECT_THAT(outcomes(r), ElementsAre("a:provider_timeout"));
    EXPECT_THAT(steps(r), Contains("not_blamed"));
  }
}

TEST(Resting, ATargetIsBlamedForItsOwnTimer) {
  House house({.first = {{.kind = SimFaultKind::silence}}, .route = {.targets = {kA}}});
  for (int i = 0; i < 5; ++i) {
    Asked asked;
    house.serve(asked.call());
  }
  EXPECT_EQ(house.breakers.of("a", "m").view().state, BreakerState::open);
  EXPECT_THAT(steps(house.record()), Not(Contains("not_blamed")));
}

}  // namespace
}  // namespace ballast::gateway
