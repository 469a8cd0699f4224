// What rules are judged on, read from the ledger's rollups.
#include "watch/source.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "records/ledger_import.hpp"
#include "records/migrations.hpp"

namespace ballast::watch {
namespace {

using records::CacheState;

class SourceTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
  }
  Counts of(const std::vector<records::CallRecord>& calls, std::string_view label, std::vector<std::string> looked_up = {}) {
    const auto added = database().write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); });
    EXPECT_TRUE(added);
    const WallTime from{std::chrono::milliseconds(test::kNoonMs)};
    const Wanted labels{.labels = {"route"}, .looked_up = std::move(looked_up)};
    const auto minutes = database().read_now([&](store::Tx& tx) { return read_minutes(tx, from, from + std::chrono::minutes(1), std::chrono::minutes(1), labels, 10); });
    EXPECT_TRUE(minutes && minutes->size() == 1);
    const auto& samples = minutes.value().front().samples;
    const auto sample = std::ranges::find(samples, label, &Sample::label);
    return sample == samples.end() ? Counts{} : sample->counts;
  }
};

TEST_P(SourceTest, OnlyWhoAskedTheCacheLookedUp) {
  std::vector<records::CallRecord> calls;
  for (const CacheState cache : {CacheState::none, CacheState::bypass, CacheState::replay, CacheState::miss, CacheState::miss, CacheState::hit, CacheState::semantic_hit, CacheState::joined}) {
    calls.push_back(test::sample_call(calls.size(), static_cast<std::int64_t>(calls.size())));
    calls.back().cache = cache;
  }
  const Counts all = of(calls, "");
  EXPECT_EQ(all.calls, 8u);
  EXPECT_EQ(all.lookups, 5u);
  EXPECT_EQ(all.hits, 3u);
}

TEST_P(SourceTest, OfARouteTooWhereARuleJudgesByIt) {
  std::vector<records::CallRecord> calls;
  for (const CacheState cache : {CacheState::none, CacheState::bypass, CacheState::replay, CacheState::miss, CacheState::miss, CacheState::hit}) {
    calls.push_back(test::sample_call(calls.size(), static_cast<std::int64_t>(calls.size())));
    calls.back().cache = cache;
  }
  const Counts route = of(calls, "route", {"route"});
  EXPECT_EQ(route.calls, 6u);
  EXPECT_EQ(route.lookups, 3u);
  EXPECT_EQ(route.hits, 1u);
  const Counts plain = of(calls, "route");
  EXPECT_EQ(plain.lookups, 6u) << "nobody asked";
}

TEST_P(SourceTest, AFailureOfTheCallersIsNoneInTheTotal) {
  std::vector<records::CallRecord> calls;
  for (const char* error : {"", "provider_timeout", "caller_invalid_request", "policy_budget"}) {
    calls.push_back(test::sample_call(calls.size(), static_cast<std::int64_t>(calls.size())));
    calls.back().error = error;
    if (*error) calls.back().status = records::CallStatus::failed;
  }
  EXPECT_EQ(of(calls, "").failed, 1u);
}

BALLAST_ON_BOTH_DATABASES(SourceTest);

}  // namespace
}  // namespace ballast::watch
