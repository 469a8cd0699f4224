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
  EXPECT_TRUE(pool->list()[0].dead);
  clock.advance(10min);
  auto trial = pool->pick(0);
  ASSERT_TRUE(trial);
  EXPECT_FALSE(pool->pick(0)) << "one at a time";
  trial->failed(error(ErrorCode::provider_auth));
  EXPECT_FALSE(pool->pick(0));
  clock.advance(10min);
  pool->pick(0)->succeeded(0);
  EXPECT_TRUE(pool->pick(0));
  EXPECT_FALSE(pool->list()[0].dead);
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
