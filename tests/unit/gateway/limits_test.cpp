// Limits: a story of callers who want more than they may have.
#include "gateway/limits.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Limits> make(std::vector<LimitRule> rules, const Clock& clock, std::size_t max_buckets = 131'072) {
  auto limits = Limits::create(std::move(rules), clock, {.max_buckets = max_buckets});
  EXPECT_TRUE(limits) << (limits ? "" : limits.error().message);
  return std::move(*limits);
}
LimitRule requests(LimitScope scope, std::uint64_t amount, Duration period, std::string match = {}) {
  return {.scope = scope, .match = std::move(match), .requests = Rate{amount, period}};
}

TEST(Limits, LetsThroughAPeriodsAmountThenOneForEachThatDrains) {
  SimClock clock;
  auto limits = make({requests(LimitScope::key, 7, 1s)}, clock);
  const LimitSubject alice{.key = "alice"}, bob{.key = "bob"};
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(limits->admit(alice, 0)) << i;
  auto refused = limits->admit(alice, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::policy_rate_limited);
  EXPECT_EQ(refused.error().error.retry_after, 143ms);
  EXPECT_EQ(refused.error().figures.requests->remaining, 0u);
  EXPECT_TRUE(limits->admit(bob, 0)) << "each key has its own";
  clock.advance(142ms);
  EXPECT_FALSE(limits->admit(alice, 0));
  clock.advance(1ms);
  EXPECT_TRUE(limits->admit(alice, 0));
  EXPECT_FALSE(limits->admit(alice, 0));
  clock.advance(1s);
  const auto full = limits->figures(alice);
  EXPECT_EQ(full.requests->limit, 7u);
  EXPECT_EQ(full.requests->remaining, 7u);
  EXPECT_EQ(full.requests->reset, 0ns);
}

TEST(Limits, ARefusedCallConsumesNothingOfAnyLimit) {
  SimClock clock;
  auto limits = make({requests(LimitScope::system, 100, 1min),
                      {.scope = LimitScope::team, .tokens = Rate{1000, 1min}},
                      {.scope = LimitScope::key, .concurrency = 1}},
                     clock);
  const LimitSubject s{.key = "k", .team = "t", .system = true};
  auto first = limits->admit(s, 300);
  ASSERT_TRUE(first);
  for (int i = 0; i < 50; ++i) {
    auto refused = limits->admit(s, 300);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().error.message.find("1 calls at once"), std::string::npos) << refused.error().error.message;
    EXPECT_EQ(refused.error().retry_at, MonoTime::max());
  }
  EXPECT_EQ(limits->figures(s).requests->remaining, 99u);
  EXPECT_EQ(limits->figures(s).tokens->remaining, 700u);
}

TEST(Limits, TokensAreReservedByEstimateAndChargedByCount) {
  SimClock clock;
  auto limits = make({{.scope = LimitScope::key, .tokens = Rate{1000, 1min}}}, clock);
  const LimitSubject s{.key = "k"};
  auto a = limits->admit(s, 900);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->figures().tokens->remaining, 100u);
  EXPECT_FALSE(limits->admit(s, 200));
  clock.advance(10min);
  EXPECT_FALSE(limits->admit(s, 200)) << "time does not free what a running call may still use";
  a->settle(100);
  EXPECT_EQ(limits->figures(s).tokens->remaining, 900u);
  auto b = limits->admit(s, 100);
  b->settle(1900);                                    // the estimate was far too low
  auto refused = limits->admit(s, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.retry_after, 60060ms);
  auto never = limits->admit(s, 1001);
  ASSERT_FALSE(never);
  EXPECT_TRUE(never.error().never);
  EXPECT_FALSE(never.error().error.retryable);
}

TEST(Limits, AnAdmissionReleasesItsSlotExactlyOnceHoweverItEnds) {
  SimClock clock;
  auto limits = make({{.scope = LimitScope::key, .tokens = Rate{100, 1min}, .concurrency = 2}}, clock);
  const LimitSubject s{.key = "k"};
  {
    auto dropped = limits->admit(s, 10);
    Admission moved = std::move(*dropped);
    Admission again;
    again = std::move(moved);
  }
  EXPECT_EQ(limits->figures(s).tokens->remaining, 90u) << "dropped without a count: the estimate stands";
  auto refunded = limits->admit(s, 10);
  refunded->refund();
  refunded->refund();
  refunded->settle(50);
  EXPECT_EQ(limits->figures(s).tokens->remaining, 90u);
  auto a = limits->admit(s, 1), b = limits->admit(s, 1);
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(limits->admit(s, 1));
}

TEST(Limits, MatchChoosesValues) {
  SimClock clock;
  auto limits = make({requests(LimitScope::model, 1, 1s, "sim/sim-small"), requests(LimitScope::provider, 2, 1s, "open*")}, clock);
  EXPECT_TRUE(limits->admit({.model = "sim/sim-small"}, 0));
  EXPECT_FALSE(limits->admit({.model = "sim/sim-small"}, 0));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limits->admit({.model = "sim/other"}, 0));
  EXPECT_TRUE(limits->admit({.provider = "openai"}, 0));
  EXPECT_TRUE(limits->admit({.provider = "openai"}, 0));
  EXPECT_FALSE(limits->admit({.provider = "openai"}, 0));
  EXPECT_TRUE(limits->admit({.provider = "claude"}, 0));
}

TEST(Limits, MemoryIsBoundedAndAFloodOfNamesNeverGainsRoom) {
  SimClock clock;
  auto limits = make({requests(LimitScope::user, 1, 1h)}, clock, 1024);
  int admitted = 0;
  for (int i = 0; i < 20'000; ++i) admitted += limits->admit({.user = "user" + std::to_string(i)}, 0).has_value();
  EXPECT_LE(limits->stats().buckets, 1024u);
  EXPECT_LE(admitted, 1025);
  EXPECT_GT(limits->stats().overflowed, 10'000u);
  clock.advance(1h);                                  // all are full again: forgetting them loses nothing
  EXPECT_TRUE(limits->admit({.user = "newcomer"}, 0));
  EXPECT_FALSE(limits->admit({.user = "newcomer"}, 0));
}

TEST(Limits, EightThreadsTogetherGetExactlyTheAmount) {
  SimClock clock;
  auto limits = make({requests(LimitScope::system, 1000, 1h), {.scope = LimitScope::key, .tokens = Rate{5000, 1h}, .concurrency = 3}}, clock);
  std::atomic<int> admitted{0}, together{0}, worst{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        const std::string key = t % 2 ? "odd" : "even";
        for (int i = 0; i < 5000; ++i) {
          auto a = limits->admit({.key = key, .system = true}, 10);
          if (!a) continue;
          const int now = ++together;
          for (int seen = worst; now > seen && !worst.compare_exchange_weak(seen, now);) {}
          ++admitted;
          --together;
          a->settle(5);
        }
      });
  }
  for (const std::string key : {"odd", "even"})       // a slot that was taken turned some away: it is free for others now
    while (auto more = limits->admit({.key = key, .system = true}, 10)) {
      ++admitted;
      more->settle(5);
    }
  EXPECT_EQ(admitted, 1000);
  EXPECT_LE(worst, 6);
  EXPECT_EQ(limits->figures({.system = true}).requests->remaining, 0u);
  EXPECT_EQ(limits->figures({.key = "odd"}).tokens->remaining + limits->figures({.key = "even"}).tokens->remaining, 10'000u - 5'000u);
}

TEST(Limits, ResetTimesReadAsTheyShould) {
  EXPECT_EQ(reset_text(1s), "1s");
  EXPECT_EQ(reset_text(6min), "6m0s");
  EXPECT_EQ(reset_text(120ms), "120ms");
  EXPECT_EQ(reset_text(8640ms), "8.640s");
  EXPECT_EQ(reset_text(90min), "1h30m0s");
}

TEST(Limits, ConfigurationThatLimitsNothingIsRefused) {
  SimClock clock;
  EXPECT_FALSE(Limits::create({{.scope = LimitScope::key}}, clock, {}));
  EXPECT_FALSE(Limits::create(std::vector<LimitRule>(17, requests(LimitScope::key, 1, 1s)), clock, {}));
}

}  // namespace
}  // namespace ballast::gateway
