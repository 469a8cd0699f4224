#include "gateway/credentials.hpp"

#include <set>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<CredentialPool> pool_of(std::vector<CredentialConfig> c, const Clock& clock) {
  return std::move(*CredentialPool::create("openai", std::move(c), clock, {}));
}
Error error(ErrorCode code, std::optional<std::chrono::milliseconds> after = {}) { return {.code = code, .retry_after = after}; }

TEST(Credentials, RotateAmongEquals) {
  SimClock clock;
  auto pool = pool_of({{.value = "a"}, {.value = "b"}, {.value = "c"}}, clock);
  std::string seen;
  for (int i = 0; i < 6; ++i) seen += pool->pick(0)->secret();
  EXPECT_EQ(seen, "abcabc");
}

TEST(Credentials, OneThatWasLimitedRestsAsLongAsItWasTold) {
  SimClock clock;
  auto pool = pool_of({{.value = "a"}, {.value = "b"}}, clock);
  auto lease = pool->pick(0);
  EXPECT_EQ(lease->name(), "openai#1");
  lease->failed(error(ErrorCode::provider_rate_limited, 3s));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool->pick(0)->secret(), "b");
  auto none = pool->pick(0, 0b10);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::provider_rate_limited);
  EXPECT_EQ(none.error().retry_after, 3s);
  clock.advance(3s);
  EXPECT_EQ(pool->pick(0)->secret(), "b") << "never limited goes first";
  EXPECT_EQ(pool->pick(0, 0b10)->secret(), "a");
}

TEST(Credentials, ADeadOneIsTriedAgainAfterProbationByOneCall) {
  SimClock clock;
  auto pool = pool_of({{.value = "a"}}, clock);
  pool->pick(0)->failed(error(ErrorCode::provider_quota));
  auto none = pool->pick(0);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::provider_quota);
  EXPECT_EQ(none.error().retry_after, 5s);
  EXPECT_TRUE(pool->list()[0].dead);
  clock.advance(5s);
  auto trial = pool->pick(0);
  ASSERT_TRUE(trial);
  EXPECT_FALSE(pool->pick(0)) << "one at a time";
  trial->failed(error(ErrorCode::provider_auth));
  clock.advance(9s);
  EXPECT_FALSE(pool->pick(0)) << "twice as long now";
  clock.advance(1s);
  pool->pick(0)->succeeded(0);
  EXPECT_TRUE(pool->pick(0));
  EXPECT_FALSE(pool->list()[0].dead);
  pool->pick(0)->failed(error(ErrorCode::provider_auth));
  clock.advance(5s);
  EXPECT_TRUE(pool->pick(0)) << "after a success it begins anew";
}

// What a key waits for after so many refusals in a row, alone and beside one that works.
TEST(Credentials, ProbationsGrowToTheirBoundAndTheLastKeysIsShorter) {
  for (const bool alone : {true, false}) {
    SimClock clock;
    auto pool = alone ? pool_of({{.value = "bad"}}, clock) : pool_of({{.value = "bad"}, {.value = "good"}}, clock);
    std::vector<std::chrono::seconds> waits;
    for (int i = 0; i < 9; ++i) {
      pool->pick(0, 0b10)->failed(error(ErrorCode::provider_quota));
      waits.push_back(std::chrono::duration_cast<std::chrono::seconds>(pool->list()[0].available_in));
      clock.advance(waits.back());
    }
    using Waits = std::vector<std::chrono::seconds>;
    EXPECT_EQ(waits, alone ? (Waits{5s, 10s, 20s, 30s, 30s, 30s, 30s, 30s, 30s}) : (Waits{5s, 10s, 20s, 40s, 80s, 160s, 320s, 600s, 600s}));
  }
}

TEST(Credentials, WhenTheOtherDiesTooTheFirstIsAskedSooner) {
  SimClock clock;
  auto pool = pool_of({{.value = "a"}, {.value = "b"}}, clock);
  for (int i = 0; i < 6; ++i) {
    pool->pick(0, 0b10)->failed(error(ErrorCode::provider_auth));
    clock.advance(pool->list()[0].available_in);
  }
  pool->pick(0, 0b10)->failed(error(ErrorCode::provider_auth));
  clock.advance(31s);
  EXPECT_FALSE(pool->available(0b10)) << "the other one serves meanwhile";
  pool->pick(0)->failed(error(ErrorCode::provider_auth));
  EXPECT_EQ(pool->pick(0)->secret(), "a");
}

TEST(Credentials, CallsThatFailTogetherCountOnce) {
  SimClock clock;
  auto pool = pool_of({{.value = "a"}, {.value = "b"}}, clock);
  std::vector<CredentialLease> together;
  for (int i = 0; i < 8; ++i) together.push_back(*pool->pick(0, 0b10));
  for (auto& lease : together) lease.failed(error(ErrorCode::provider_auth));
  EXPECT_EQ(pool->list()[0].available_in, 5s);
  together.clear();
  for (int i = 0; i < 8; ++i) together.push_back(*pool->pick(0, 0b01));
  for (auto& lease : together) lease.failed(error(ErrorCode::provider_rate_limited));
  EXPECT_EQ(pool->list()[1].available_in, 5s);
  EXPECT_EQ(pool->list()[1].limited, 8u);
}

TEST(Credentials, AReloadRevivesTheDeadButNotTheTired) {
  SimClock clock;
  auto old = pool_of({{.value = "dead"}, {.value = "tired"}}, clock);
  old->pick(0, 0b10)->failed(error(ErrorCode::provider_auth));
  old->pick(0, 0b01)->failed(error(ErrorCode::provider_rate_limited, 60s));
  auto fresh = pool_of({{.value = "tired"}, {.value = "dead"}}, clock);
  fresh->adopt(*old);
  EXPECT_EQ(fresh->pick(0)->secret(), "dead");
  EXPECT_FALSE(fresh->available(0b10));
}

TEST(Credentials, KeepTheirOwnLimits) {
  SimClock clock;
  auto pool = pool_of({{.value = "a", .rpm = 2}, {.value = "b", .tpm = 1000}, {.value = "c", .concurrency = 1}}, clock);
  auto held = pool->pick(600, 0b011);
  EXPECT_EQ(held->secret(), "c");
  std::multiset<std::string> got;
  for (int i = 0; i < 4; ++i)
    if (auto l = pool->pick(600)) got.emplace(l->secret());
  EXPECT_EQ(got, (std::multiset<std::string>{"a", "a", "b"}));
  clock.advance(30s);
  EXPECT_EQ(pool->pick(600, 0b110)->secret(), "a");
  EXPECT_EQ(pool->pick(600, 0b101)->secret(), "b");
  held->succeeded(10);
  EXPECT_EQ(pool->pick(600)->secret(), "c");
}

TEST(Credentials, AProviderWithoutKeysHasOneEmptyOne) {
  SimClock clock;
  auto pool = pool_of({}, clock);
  EXPECT_EQ(pool->size(), 1u);
  EXPECT_EQ(pool->pick(0)->secret(), "");
  EXPECT_FALSE(CredentialPool::create("p", std::vector<CredentialConfig>(65), clock, {}));
}

}  // namespace
}  // namespace ballast::gateway
