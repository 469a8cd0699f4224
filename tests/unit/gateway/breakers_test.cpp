#include "gateway/breakers.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

struct World {
  SimClock clock;
  Breakers breakers{clock, {.breaker = {.jitter = 0.0}}};
  Breaker& b = breakers.of("p", "m");
  void fail(int times, ErrorCode code = ErrorCode::provider_error) {
    for (int i = 0; i < times; ++i)
      if (auto p = b.try_acquire()) p->failure(code);
  }
  void succeed(int times) {
    for (int i = 0; i < times; ++i)
      if (auto p = b.try_acquire()) p->success(100ms, 20ms);
  }
};

TEST(Breakers, OpensAfterFiveFailuresInARow) {
  World w;
  w.fail(4);
  w.succeed(1);
  w.fail(4);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  w.fail(1);
  EXPECT_EQ(w.b.view().state, BreakerState::open);
  EXPECT_FALSE(w.b.try_acquire());
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 2s);
  EXPECT_EQ(w.breakers.list().at(0).last_error, "provider_error");
}

TEST(Breakers, OpensWhenHalfOfManyFailWithinTheWindow) {
  World w;
  for (int i = 0; i < 9; ++i) { w.fail(1); w.succeed(1); }
  EXPECT_EQ(w.b.view().state, BreakerState::closed) << "too few to judge";
  w.clock.advance(31s);
  for (int i = 0; i < 5; ++i) { w.fail(1); w.succeed(1); }
  EXPECT_EQ(w.b.view().state, BreakerState::closed) << "the earlier ones are forgotten";
  for (int i = 0; i < 5; ++i) { w.succeed(1); w.fail(1); }
  EXPECT_EQ(w.b.view().state, BreakerState::open);
}

TEST(Breakers, CountsOnlyWhatSpeaksOfTheTarget) {
  World w;
  for (const auto code : {ErrorCode::provider_rate_limited, ErrorCode::provider_quota, ErrorCode::provider_auth, ErrorCode::provider_rejected,
                          ErrorCode::provider_context_length, ErrorCode::provider_content_filter, ErrorCode::caller_cancelled})
    w.fail(10, code);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  for (const auto code : {ErrorCode::provider_timeout, ErrorCode::provider_unreachable, ErrorCode::provider_overloaded,
                          ErrorCode::provider_error, ErrorCode::provider_bad_response})
    w.fail(1, code);
  EXPECT_EQ(w.b.view().state, BreakerState::open);
}

TEST(Breakers, OneProbeAtATimeDecides) {
  World w;
  w.fail(5);
  w.clock.advance(2s);
  EXPECT_EQ(w.b.view().state, BreakerState::half_open);
  {
    auto probe = w.b.try_acquire();
    ASSERT_TRUE(probe && probe->probe());
    EXPECT_FALSE(w.b.try_acquire());
    EXPECT_FALSE(w.b.view().admits);
  }                                                   // its caller left: the probe is returned
  auto probe = w.b.try_acquire();
  ASSERT_TRUE(probe);
  probe->failure(ErrorCode::provider_timeout);
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 4s) << "the cool-down doubles";
  w.clock.advance(4s);
  w.b.try_acquire()->success(1ms, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  w.fail(5);
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 2s) << "and begins anew after a success";
}

TEST(Breakers, AnEarlyTryASecondAndNoMore) {
  World w;
  EXPECT_FALSE(w.b.try_early()) << "it does not rest";
  w.fail(5);
  EXPECT_FALSE(w.b.try_early()) << "not at once";
  int tries = 0;
  for (int ms = 0; ms < 1900; ms += 10) {
    w.clock.advance(10ms);
    for (int caller = 0; caller < 100; ++caller)
      if (auto p = w.b.try_early()) {
        EXPECT_TRUE(p->early());
        ++tries;
        p->failure(ErrorCode::provider_timeout);
      }
  }
  EXPECT_EQ(tries, 1);
  EXPECT_EQ(w.b.listing().early_tries, 1u);
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 100ms) << "its failure does not lengthen the rest";
  w.clock.advance(100ms);
  EXPECT_FALSE(w.b.view().early) << "half-open: first the probe";
  auto probe = w.b.try_acquire();
  ASSERT_TRUE(probe && probe->probe());
  w.clock.advance(1s);
  EXPECT_TRUE(w.b.view().early) << "while the probe is out it rests again";
  EXPECT_TRUE(w.b.try_early());
  EXPECT_FALSE(w.b.try_early());
}

TEST(Breakers, AnEarlySuccessClosesAndALateOneDoesNot) {
  World w;
  w.fail(5);
  w.clock.advance(1s);
  auto early = w.b.try_early();
  early->success(1ms, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  w.fail(5);
  EXPECT_EQ(w.b.view().down_since, w.clock.mono());
  w.clock.advance(1s);
  early = w.b.try_early();
  w.clock.advance(1s);
  w.b.try_acquire()->failure(ErrorCode::provider_error);
  early->success(1s, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::open) << "the probe spoke after it";
  EXPECT_EQ(w.b.view().down_since, w.clock.mono() - 2s);
}

TEST(Breakers, EarlyTriesCanBeTurnedOff) {
  SimClock clock;
  Breakers none(clock, {.breaker = {.early_every = 0s}});
  Breaker& b = none.of("p", "m");
  for (int i = 0; i < 5; ++i) b.try_acquire()->failure(ErrorCode::provider_error);
  clock.advance(1900ms);
  EXPECT_FALSE(b.try_early());
  EXPECT_EQ(b.view().early_at, MonoTime::max());
}

TEST(Breakers, OnlySoManyCallsMayWait) {
  SimClock clock;
  Breakers set(clock, {.max_waiting = 2});
  auto first = set.take_place();
  {
    const auto second = set.take_place();
    EXPECT_TRUE(first && second);
    EXPECT_FALSE(set.take_place());
  }
  const auto moved = std::move(first);
  EXPECT_EQ(set.waiting(), 1u);
  EXPECT_TRUE(set.take_place());
}

TEST(Breakers, TheCoolDownHasACeiling) {
  World w;
  w.fail(5);
  for (int i = 0; i < 20; ++i) {
    w.clock.advance(30s);
    w.fail(1);
  }
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 30s);
}

TEST(Breakers, ALateReportFromBeforeDoesNotMoveTheNewState) {
  World w;
  auto slow = w.b.try_acquire();
  auto slower = w.b.try_acquire();
  w.fail(5);
  slow->success(9s, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::open);
  w.clock.advance(2s);
  auto probe = w.b.try_acquire();
  slower->failure(ErrorCode::provider_timeout);
  EXPECT_EQ(w.b.view().state, BreakerState::half_open);
  probe->success(1s, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
}

TEST(Breakers, ResetAndAveragesAndBounds) {
  World w;
  w.succeed(3);
  EXPECT_EQ(w.b.view().latency, 100ms);
  EXPECT_EQ(w.b.view().first_token, 20ms);
  w.fail(5);
  EXPECT_FALSE(w.breakers.reset("p", "other"));
  EXPECT_TRUE(w.breakers.reset("p", ""));
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  Breakers small(w.clock, {.max_targets = 10});
  for (int i = 0; i < 1000; ++i) small.of("p", "m" + std::to_string(i));
  EXPECT_LE(small.list().size(), 11u);
}

TEST(Breakers, EightThreadsGetOneProbe) {
  World w;
  w.fail(5);
  for (int round = 0; round < 50; ++round) {
    w.clock.advance(1min);
    std::atomic<int> probes{0};
    std::atomic<int> at_the_line{0};
    std::vector<std::optional<Permit>> permits(8);
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
          ++at_the_line;
          while (at_the_line < 8) std::this_thread::yield();
          permits[t] = w.b.try_acquire();
          if (permits[t]) ++probes;
        });
    }
    ASSERT_EQ(probes, 1);
    for (auto& p : permits)
      if (p) p->failure(ErrorCode::provider_error);
  }
}

// ---- by hearsay ----

TEST(BreakersHearsay, RestsAsLongAsTheOtherDoesAndIsProbedHere) {
  World w;
  const MonoTime opened = w.clock.mono();
  w.clock.advance(500ms);
  EXPECT_TRUE(w.b.hear(opened, opened + 2s));
  EXPECT_FALSE(w.b.hear(opened, opened + 2s)) << "it rests already";
  EXPECT_EQ(w.b.view().state, BreakerState::open);
  EXPECT_EQ(w.b.view().down_since, opened);
  EXPECT_TRUE(w.breakers.list().at(0).heard);
  EXPECT_EQ(w.breakers.list().at(0).opened, 0u) << "not its own finding";
  EXPECT_FALSE(w.b.try_acquire());
  w.clock.advance(1500ms);
  auto probe = w.b.try_acquire();
  ASSERT_TRUE(probe && probe->probe());
  probe->failure(ErrorCode::provider_error);
  EXPECT_FALSE(w.breakers.list().at(0).heard) << "seen by itself now";
  EXPECT_EQ(w.b.view().retry_at, w.clock.mono() + 2s);
  EXPECT_FALSE(w.b.unhear());
  EXPECT_EQ(w.b.view().state, BreakerState::open) << "its own finding stands";
  EXPECT_EQ(w.b.hear_reset(), w.b.view().changes);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
}

TEST(BreakersHearsay, WhatItSawItselfSinceCountsForMore) {
  World w;
  const MonoTime opened = w.clock.mono();
  w.clock.advance(100ms);
  w.succeed(1);
  EXPECT_FALSE(w.b.hear(opened, opened + 2s));
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  w.clock.advance(100ms);
  EXPECT_TRUE(w.b.hear(w.clock.mono(), w.clock.mono() + 2s)) << "that is newer than the success";
  EXPECT_EQ(w.b.unhear(), w.b.view().changes);
  EXPECT_EQ(w.b.view().state, BreakerState::closed);
  EXPECT_FALSE(w.b.hear(w.clock.mono() - 5s, w.clock.mono())) << "the other may try again by now";
}

TEST(BreakersHearsay, ACallFromBeforeDoesNotCloseIt) {
  World w;
  auto before = w.b.try_acquire();
  ASSERT_TRUE(w.b.hear(w.clock.mono(), w.clock.mono() + 2s));
  before->success(1ms, std::nullopt);
  EXPECT_EQ(w.b.view().state, BreakerState::open);
}

}  // namespace
}  // namespace ballast::gateway
