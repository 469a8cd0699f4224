#include "records/rollups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "../../support/rollup_oracle.hpp"
#include "base/random.hpp"
#include "records/erase.hpp"
#include "records/ledger_import.hpp"
#include "records/migrations.hpp"
#include "records/reconcile.hpp"
#include "records/rollups_store.hpp"
#include "records/rollups_thread.hpp"
#include "records/rollups_users.hpp"

namespace ballast::records {
namespace {

using test::random_call;

constexpr std::int64_t kMinute = 60'000, kHour = 3'600'000, kDay = 86'400'000;
WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(test::kNoonMs + ms)); }

TEST(Sketch, QuantilesAreNearAndTheCountsExact) {
  SeededRandom random(5);
  std::vector<std::uint64_t> values;
  Sketch all, half, other;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t v = std::uint64_t{1} << random.below(40);
    values.push_back(v + random.below(v));
    all.add(values.back());
    (i % 2 ? half : other).add(values.back());
  }
  std::ranges::sort(values);
  half.add(other);
  EXPECT_EQ(half, all);
  for (const double q : {0.01, 0.5, 0.95, 0.99, 1.0}) {
    const auto exact = static_cast<double>(values[static_cast<std::size_t>(std::ceil(q * 20'000)) - 1]);
    EXPECT_LE(std::abs(static_cast<double>(all.quantile(q)) - exact), exact * kSketchError) << q;
  }
  for (const std::uint64_t limit : {0ul, 31ul, 1'000ul, 1'000'000'000ul}) {
    const auto exact = static_cast<std::uint64_t>(std::ranges::upper_bound(values, limit) - values.begin());
    EXPECT_LE(all.at_most(limit), exact);
    EXPECT_GE(all.at_most(limit + limit / 16), exact);   // the bucket that holds it
  }
  all.subtract(other);
  for (const auto& [bucket, n] : all.buckets()) EXPECT_GT(n, 0u) << bucket;
  EXPECT_EQ(all.count(), 10'000u);
  EXPECT_EQ(Sketch().quantile(0.5), 0u);
}

class RollupsTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  void add(const std::vector<CallRecord>& calls) {
    const auto added = database().write_now([&](store::Tx& tx) { return add_calls(tx, calls); });
    ASSERT_TRUE(added) << describe(added.error());
  }
  std::size_t roll(WallTime now) {
    const auto rolled = Roller(database()).roll(now);
    EXPECT_TRUE(rolled) << describe(rolled.error());
    return rolled.value_or(0);
  }
  Result<Series> ask(const SeriesQuery& q) { return database().read_now([&](store::Tx& tx) { return range(tx, q); }); }
  std::int64_t rows(const std::string& where) {
    const std::string sql = "SELECT COUNT(*) FROM " + where;
    return (*database().read_now([&](store::Tx& tx) { return tx.run(store::Statement(std::string_view(sql))); }))[0].integer(0);
  }
  void expect_exact(const SeriesQuery& q, const std::vector<CallRecord>& calls, std::string_view told) { test::expect_exact(ask(q), q, calls, told); }
};

TEST_P(RollupsTest, MinutesHoursAndDaysAreMadeAndRead) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 200; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 20 * kMinute - 2 * kDay));
  add(calls);
  EXPECT_EQ(rows("rollups"), 0);
  expect_exact({.from = at(-2 * kDay), .to = at(2 * kDay), .step = std::chrono::hours(1)}, calls, "noted");
  EXPECT_EQ(roll(at(2 * kDay)), 200u);
  EXPECT_EQ(rows("rollup_dirty WHERE level < 2"), 0);
  EXPECT_EQ(rows("rollups WHERE level = 0"), 200);
  EXPECT_EQ(rows("rollups WHERE level = 1"), 67);
  EXPECT_EQ(rows("rollups WHERE level = 2"), 4);
  expect_exact({.from = at(-2 * kDay), .to = at(2 * kDay), .step = std::chrono::hours(24)}, calls, "by day");
  expect_exact({.from = at(-2 * kDay - 1234), .to = at(kDay + 1), .step = std::chrono::hours(6), .by = Dimension::model}, calls, "edges within a minute");
  EXPECT_EQ(roll(at(3 * kDay)), 0u);
  const auto series = ask({.from = at(-kHour), .to = at(kHour), .step = std::chrono::minutes(30), .errors = true});
  ASSERT_TRUE(series);
  EXPECT_EQ(series->starts.size(), 4u);
  EXPECT_EQ(series->groups.at(0).buckets.at(1).latency.count(), series->groups[0].buckets[1].calls);
  EXPECT_EQ(series->errors.size(), 0u);
}

TEST_P(RollupsTest, AMinuteIsNotMadeBeforeItEnds) {
  add({test::sample_call(1, 0)});
  EXPECT_EQ(roll(at(kMinute - 1)), 0u);
  EXPECT_EQ(roll(at(kMinute)), 1u);
}

TEST_P(RollupsTest, LargestGroupsAreNamedTheOthersAddedUp) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 60; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 1'000));
    calls.back().user = fmt::format("user-{}", i % 10 < 5 ? 0 : i % 10);
    calls.back().status = i % 3 ? CallStatus::ok : CallStatus::failed;
    calls.back().error = i % 3 ? "" : i % 2 ? "provider_error" : "provider_timeout";
  }
  calls.back().error = "";
  calls.back().status = CallStatus::ok;
  add(calls);
  for (const bool rolled : {false, true}) {
    if (rolled) roll(at(kDay * 2));
    SeriesQuery q{.from = at(0), .to = at(kDay), .by = Dimension::user, .groups = 2, .errors = true};
    expect_exact(q, calls, "users");
    const auto series = ask(q);
    ASSERT_TRUE(series);
    ASSERT_EQ(series->groups.size(), 3u);
    EXPECT_EQ(series->groups[0].name, "user-0");
    EXPECT_EQ(series->groups[1].name, "user-5");   // as large as others: the first by name
    EXPECT_TRUE(series->groups[2].rest);
    EXPECT_EQ(series->errors, (std::vector<std::pair<std::string, std::uint64_t>>{{"provider_error", 10}, {"provider_timeout", 10}}));
  }
}

TEST_P(RollupsTest, WhatCannotBeAskedIsSaid) {
  const auto field = [&](const SeriesQuery& q) {
    const auto series = ask(q);
    return series ? std::string("none") : series.error().field;
  };
  EXPECT_EQ(field({.from = at(0), .to = at(kDay), .step = std::chrono::seconds(90)}), "step");
  EXPECT_EQ(field({.from = at(0), .to = at(365 * kDay), .step = std::chrono::minutes(1)}), "step");
  EXPECT_EQ(field({.from = at(0), .to = at(0)}), "from");
  EXPECT_EQ(field({.from = at(0), .to = at(kDay), .groups = 1'001}), "groups");
  EXPECT_EQ(field({.from = at(0), .to = at(kDay), .step = std::chrono::minutes(1), .by = Dimension::user, .groups = 1'000}), "groups");
  EXPECT_EQ(field({.from = WallTime{}, .to = WallTime::max(), .by = Dimension::error}), "none");
}

// Calls from before there were rollups: nothing notes them but the first roll.
TEST_P(RollupsTest, WhatTheLedgerHadBeforeIsMadeToo) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 50; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 7 * kMinute));
  add(calls);
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("DELETE FROM rollup_dirty"); }));
  const SeriesQuery q{.from = at(-kDay), .to = at(kDay), .step = std::chrono::hours(1), .by = Dimension::status};
  expect_exact(q, calls, "before");
  EXPECT_EQ(roll(at(kDay)), 50u);
  expect_exact(q, calls, "after");
}

TEST_P(RollupsTest, ManyUsersAreKeptInShards) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i)));
    calls.back().user = fmt::format("u{}", i % 1'500);
  }
  add(calls);
  roll(at(2 * kDay));
  EXPECT_EQ(rows("rollup_users WHERE level = 1"), 2);
  expect_exact({.from = at(0), .to = at(kDay), .where = {{Dimension::user, "u77"}}}, calls, "one");
  expect_exact({.from = at(0), .to = at(kDay), .by = Dimension::user}, calls, "all");
  expect_exact({.from = at(0), .to = at(kDay), .where = {{Dimension::user, "u77"}}, .by = Dimension::model}, calls, "with another");
}

// A minute with many users and one with few: the hour's are added up a share at a time.
TEST_P(RollupsTest, AnHoursUsersAreAddedUpByShares) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 9'700; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i < 9'000 ? i : 600'000 + i)));
    calls.back().user = i % 100 == 7 ? "" : fmt::format("u{}", i < 9'000 ? i : i % 600);
    calls.back().charges.clear();
  }
  add(calls);
  roll(at(2 * kDay));
  EXPECT_EQ(rows("rollup_users WHERE level = 0 AND start_s % 3600 = 0"), 32);
  EXPECT_EQ(rows("rollup_users WHERE level = 0"), 33);
  EXPECT_EQ(rows("rollup_users WHERE level = 1"), 32);
  EXPECT_EQ(rows("rollup_users WHERE level = 2"), 32);
  expect_exact({.from = at(0), .to = at(kHour), .by = Dimension::user, .groups = 1'000}, calls, "hour");
  expect_exact({.from = at(-kDay / 2), .to = at(kDay / 2), .step = std::chrono::hours(24), .by = Dimension::user, .groups = 20}, calls, "day");
  for (const char* user : {"", "u5", "u8999"}) expect_exact({.from = at(0), .to = at(kHour), .where = {{Dimension::user, user}}}, calls, user);
}

// The largest of many users over days, hours, minutes and edges within them: only theirs is read, the others are what is left.
TEST_P(RollupsTest, TheLargestUsersAreFoundWithoutReadingAll) {
  SeededRandom random(41);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 9'000; ++i) {
    calls.push_back(random_call(i, random, -3 * kDay, -2 * kDay + 6 * kHour));
    calls.back().user = fmt::format("u{}", random.below(1 + random.below(3'000)));
  }
  std::ranges::sort(calls, {}, &CallRecord::id);
  add(calls);
  const std::vector<SeriesQuery> questions = {
      {.from = at(-4 * kDay), .to = at(0), .step = std::chrono::hours(24), .by = Dimension::user, .groups = 7},
      {.from = at(-3 * kDay + 90'500), .to = at(-2 * kDay + 7 * kMinute + 1), .step = std::chrono::hours(6), .by = Dimension::user, .groups = 3},
      {.from = at(-3 * kDay + kMinute), .to = at(-2 * kDay), .by = Dimension::user, .groups = 50},
      {.from = at(-3 * kDay), .to = at(-3 * kDay + 3 * kHour), .step = std::chrono::minutes(5), .by = Dimension::user, .groups = 20},
  };
  const auto expect_all = [&](std::string_view told) {
    for (std::size_t i = 0; i < questions.size(); ++i) expect_exact(questions[i], calls, fmt::format("{}, question {}", told, i));
  };
  roll(at(-2 * kDay + 12 * kHour));   // hours, and the first day
  ASSERT_GT(rows("rollup_users WHERE shards > 1"), 0);
  EXPECT_EQ(rows("rollup_user_calls"), rows("rollups WHERE level > 0"));
  expect_all("hours");
  roll(at(0));
  expect_all("days");
  // A row from before there were counts is read by its shards.
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("DELETE FROM rollup_user_calls WHERE level = 2 OR start_s / 3600 % 2 = 0"); }));
  expect_all("without counts");
  calls.push_back(random_call(9'001, random, -3 * kDay + kHour, -3 * kDay + 2 * kHour));
  calls.back().user = "u1";
  add({calls.back()});
  expect_all("noted");
  // Nothing else tells of the calls of an hour but the counts.
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("UPDATE rollup_user_calls SET calls = $1", {store::Value::bytes("nothing")}); }));
  EXPECT_FALSE(ask(questions[0]));
}

TEST_P(RollupsTest, NamedGroupsAreWhatEachIsAlone) {
  SeededRandom random(77);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 3'000; ++i) calls.push_back(random_call(i, random, -kDay, kHour)), calls.back().user = fmt::format("u{}", random.below(700));
  std::ranges::sort(calls, {}, &CallRecord::id);
  add(calls);
  for (const bool rolled : {false, true}) {
    if (rolled) roll(at(0));
    for (const auto& [d, names] : {std::pair(Dimension::user, std::vector<std::string>{"u9", "nobody", "u1"}), std::pair(Dimension::key, std::vector<std::string>{"key_2", "key_0"}),
                                   std::pair(Dimension::model, std::vector<std::string>{"haiku"})}) {
      SeriesQuery q{.from = at(-kDay + 90'500), .to = at(kHour), .step = std::chrono::hours(1), .by = d, .names = names};
      const auto together = ask(q);
      ASSERT_TRUE(together) << describe(together.error());
      ASSERT_EQ(together->groups.size(), names.size());
      Figures total;
      for (std::size_t i = 0; i < names.size(); ++i) {
        const auto alone = ask({.from = q.from, .to = q.to, .step = q.step, .where = {{d, names[i]}}});
        ASSERT_TRUE(alone);
        EXPECT_EQ(together->groups[i].name, names[i]);
        EXPECT_FALSE(together->groups[i].rest);
        EXPECT_TRUE(together->groups[i].buckets == alone->groups.at(0).buckets) << names[i];
        total += alone->total;
      }
      EXPECT_TRUE(together->total == total);
    }
  }
  EXPECT_EQ(ask({.from = at(0), .to = at(kHour), .by = Dimension::user, .names = std::vector<std::string>(1'001, "u")}).error().field, "groups");
}

// More combinations than a row keeps: the minute's own sums stay, two dimensions are read from the blocks.
TEST_P(RollupsTest, ARowWithTooManyCellsIsReadFromBelow) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < kMostCells + 100; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i % 50'000)));
    calls.back().id.low = i;
    calls.back().key_id = fmt::format("key_{}", i % 250);
    calls.back().feature = fmt::format("f{}", i / 250);
    calls.back().charges.clear();
  }
  std::ranges::sort(calls, {}, &CallRecord::id);
  add(calls);
  roll(at(2 * kDay));
  EXPECT_EQ(rows("rollups WHERE cells IS NULL"), 3);
  expect_exact({.from = at(0), .to = at(kDay), .where = {{Dimension::key, "key_7"}}, .by = Dimension::feature}, calls, "wide");
  expect_exact({.from = at(0), .to = at(kDay), .where = {{Dimension::key, "key_7"}}}, calls, "one");
}

TEST_P(RollupsTest, TheyOutliveTheCallsAndChangeWithWhatIsLeft) {
  SeededRandom random(17);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 900; ++i) calls.push_back(random_call(i, random, 0, 3 * kMinute));
  std::ranges::sort(calls, {}, &CallRecord::id);
  add(calls);
  // Nothing was rolled: deleting makes the minutes first.
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return delete_calls(tx, at(2 * kMinute), 300); }));
  const auto left = database().read_now([](store::Tx& tx) { return list_calls(tx, {}, 1'000); });
  ASSERT_LT(left->size(), 900u);
  const SeriesQuery hours{.from = at(0), .to = at(kHour), .by = Dimension::user, .groups = 50};
  expect_exact(hours, calls, "deleted");
  roll(at(2 * kDay));
  expect_exact(hours, calls, "rolled");
  // An old call in a minute whose other calls are gone: reconciled, erased, and another that comes late.
  const auto open = std::ranges::find_if(*left, [](const CallRecord& c) { return c.attempts.size() == 1 && c.attempts[0].cost == Cost::unknown && !c.user.empty(); });
  ASSERT_NE(open, left->end());
  const std::string user = open->user;
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return reconcile(tx, {.call = open->id, .attempt = {}, .incurred = Money{777}, .actor = "me", .at = at(kHour)}); }));
  const auto same = std::ranges::find(calls, open->id, &CallRecord::id);
  same->incurred_nano = 777;
  if (same->attempts[0].outcome == "ok") same->billed_nano = 777;
  expect_exact(hours, calls, "reconciled");
  for (BlockKey after;;) {
    const auto found = database().read_now([&](store::Tx& tx) { return blocks_of_user(tx, user, after, 64); });
    ASSERT_TRUE(found);
    for (const BlockKey& key : found->blocks) ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return erase_from_block(tx, key, user, "gone-1"); }));
    if (found->next.last.empty()) break;
    after = found->next;
  }
  for (CallRecord& c : calls)
    if (c.user == user && std::ranges::find(*left, c.id, &CallRecord::id) != left->end()) c.user = "gone-1";
  expect_exact(hours, calls, "erased");
  calls.push_back(random_call(950, random, 0, kMinute));
  add({calls.back()});
  expect_exact(hours, calls, "late");
  roll(at(2 * kDay));
  expect_exact(hours, calls, "rolled again");
  expect_exact({.from = at(0), .to = at(3 * kMinute), .step = std::chrono::minutes(1), .where = {{Dimension::model, "haiku"}}, .by = Dimension::status}, calls, "minutes");
}

TEST_P(RollupsTest, AThreadRollsUpAndRetiresBesideEverythingElse) {
  struct Then final : Clock {   // the last call's minute ended two seconds ago
    MonoTime mono() const override { return SystemClock().mono(); }
    WallTime wall() const override { return at(10 * kMinute + 2'000); }
  } clock;
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 11; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * kMinute - (i == 0 ? 2 * kDay : 0)));
  add(calls);
  const auto within = [&](const std::string& where, std::int64_t wanted) {
    for (int i = 0; i < 500 && rows(where) != wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return rows(where);
  };
  RollupThread thread(database(), clock, {.minutes = {}, .hours = {}}, {.every = std::chrono::milliseconds(5), .retire_every = std::chrono::milliseconds(5)});
  thread.start();
  EXPECT_EQ(within("rollup_dirty WHERE level = 0", 1), 1) << "all but the minute that has not ended";
  EXPECT_EQ(rows("rollups WHERE level = 0"), 10);
  thread.keep({.minutes = std::chrono::hours(24), .hours = {}});
  EXPECT_EQ(within("rollups WHERE level = 0", 9), 9) << "the minute of two days ago";
  thread.stop();
  add({test::sample_call(99, 0)});
  EXPECT_EQ(rows("rollup_dirty WHERE level = 0"), 2) << "nobody makes it any more";
}

TEST_P(RollupsTest, RetentionTakesMinutesAndHoursButNotWhatTheyAddUpTo) {
  SeededRandom random(3);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 600; ++i) calls.push_back(random_call(i, random, -4 * kDay, -12 * kHour));
  add(calls);
  Roller roller(database());
  const RollupRetention keep{.minutes = std::chrono::hours(24), .hours = std::chrono::hours(72)};
  ASSERT_TRUE(roller.retire(keep, at(0)));
  expect_exact({.from = at(-4 * kDay), .to = at(0), .by = Dimension::key}, calls, "nothing made yet");
  roll(at(0));
  ASSERT_TRUE(roller.retire(keep, at(0)));
  EXPECT_EQ(rows(fmt::format("rollups WHERE level = 0 AND start_s < {}", (test::kNoonMs - kDay) / 1000)), 0);
  EXPECT_EQ(rows(fmt::format("rollups WHERE level = 1 AND start_s < {}", (test::kNoonMs - 3 * kDay - kDay / 2) / 1000)), 0);
  expect_exact({.from = at(-4 * kDay + kDay / 2), .to = at(0), .step = std::chrono::hours(24), .by = Dimension::key}, calls, "days");
  expect_exact({.from = at(-4 * kDay + 90'500), .to = at(0), .step = std::chrono::minutes(10), .by = Dimension::key}, calls, "from the blocks");
  // A change below what is gone.
  calls.push_back(random_call(1'000, random, -4 * kDay + kDay / 2, -4 * kDay + kDay / 2 + kHour));
  calls.push_back(random_call(1'001, random, -2 * kDay, -2 * kDay + kHour));
  add({calls[600], calls[601]});
  const SeriesQuery by_day{.from = at(-4 * kDay + kDay / 2), .to = at(0), .step = std::chrono::hours(24), .by = Dimension::user, .groups = 100};
  expect_exact(by_day, calls, "changed");
  roll(at(0));
  expect_exact(by_day, calls, "changed and rolled");
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return delete_calls(tx, at(0), 1'000'000); }));
  expect_exact(by_day, calls, "calls gone");
  const auto gone = ask({.from = at(-4 * kDay + 90'500), .to = at(0), .step = std::chrono::minutes(10)});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().field, "step");
}

// Import, reconcile, erase, retention, rolls that stop half-way: whatever happened, a range is what the calls add up to.
TEST_P(RollupsTest, ARangeIsExactAtAnyMoment) {
  SeededRandom random(2026);
  std::vector<CallRecord> calls;
  std::uint64_t n = 0;
  const auto left = [&] { return *database().read_now([](store::Tx& tx) { return list_calls(tx, {}, 1'000); }); };
  for (int round = 0; round < 60; ++round) {
    switch (random.below(6)) {
      case 0:
      case 1: {
        std::vector<CallRecord> some;
        for (std::uint64_t i = 0, many = 1 + random.below(25); i < many; ++i) some.push_back(random_call(n++, random, -30 * kHour, 0));
        add(some);
        calls.insert(calls.end(), some.begin(), some.end());
        break;
      }
      case 2: {
        const auto here = left();
        const auto open = std::ranges::find_if(here, [](const CallRecord& c) { return c.attempts.size() == 1 && c.attempts[0].cost == Cost::unknown; });
        if (open == here.end()) break;
        const auto done = database().write_now([&](store::Tx& tx) { return reconcile(tx, {.call = open->id, .attempt = {}, .incurred = Money{5}, .actor = "me", .at = at(0)}); });
        ASSERT_TRUE(done) << describe(done.error());
        *std::ranges::find(calls, open->id, &CallRecord::id) = *database().read_now([&](store::Tx& tx) { return get_call(tx, open->id); });
        break;
      }
      case 3: {
        const std::string user = fmt::format("user-{}", random.below(30)), pseudonym = fmt::format("gone-{}", round);
        const auto found = database().read_now([&](store::Tx& tx) { return blocks_of_user(tx, user, {}, 10'000); });
        const auto here = left();
        for (const BlockKey& key : found->blocks) ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return erase_from_block(tx, key, user, pseudonym); }));
        for (CallRecord& c : calls)
          if (c.user == user && std::ranges::find(here, c.id, &CallRecord::id) != here.end()) c.user = pseudonym;
        break;
      }
      case 4:
        ASSERT_TRUE(Roller(database()).roll(at(-static_cast<std::int64_t>(random.below(30 * kHour))), 1 + random.below(40)));
        break;
      case 5:
        if (round > 20) ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return delete_calls(tx, at(-static_cast<std::int64_t>(10 + random.below(20)) * kHour), 20); }));
        break;
    }
    SeriesQuery q{.from = at(-30 * kHour), .to = at(0), .step = std::chrono::hours(random.below(3) * 3), .groups = 1 + random.below(40)};
    if (random.below(3)) q.by = static_cast<Dimension>(random.below(kDimensions));
    if (random.below(2)) q.rank = Rank::spend;
    if (q.by != Dimension::user && random.below(2)) q.where = {{Dimension::model, "haiku"}};
    expect_exact(q, calls, fmt::format("round {}", round));
    if (HasFailure()) return;
  }
  // And as the ledger itself adds up what it still has.
  const auto total = database().read_now([](store::Tx& tx) { return usage(tx, {.filter = {.from = at(-6 * kHour), .to = at(0)}}); });
  const auto series = ask({.from = at(-6 * kHour), .to = at(0)});
  ASSERT_TRUE(total && series);
  EXPECT_EQ(total->at(0).calls, series->total.calls);
  EXPECT_EQ(static_cast<std::int64_t>(total->at(0).incurred_nano), series->total.incurred_nano);
  EXPECT_EQ(static_cast<std::uint64_t>(total->at(0).output), series->total.tokens.output);
}

// Also where his calls are gone: what is left of them is not left under his name.
TEST_P(RollupsTest, AnErasedUsersNameIsInNoRow) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 1'400; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 500));
    calls.back().user = i % 3 == 0 ? "alice" : fmt::format("u{}", i);
  }
  add(calls);
  roll(at(2 * kDay));
  ASSERT_TRUE(database().write_now([](store::Tx& tx) { return delete_calls(tx, at(kDay), 1'000'000); }));
  std::uint64_t rows = 0;
  for (std::pair<int, std::int64_t> after{0, INT64_MIN};;) {
    const auto erased = database().write_now([&](store::Tx& tx) { return erase_from_rollups(tx, "alice", "gone-1", after, 3); });
    ASSERT_TRUE(erased) << describe(erased.error());
    rows += erased->rows;
    if (!erased->next) break;
    after = *erased->next;
  }
  EXPECT_EQ(rows, 12u + 1 + 1) << "minutes, the hour, the day";
  for (CallRecord& c : calls)
    if (c.user == "alice") c.user = "gone-1";
  for (const Duration step : {Duration(std::chrono::minutes(1)), Duration(std::chrono::hours(24))})
    expect_exact({.from = at(0), .to = at(kDay / 2), .step = step, .by = Dimension::user, .groups = 5}, calls, "renamed");
  expect_exact({.from = at(0), .to = at(kDay / 2), .where = {{Dimension::user, "alice"}}}, calls, "none");
  const auto counts = database().read_now([](store::Tx& tx) { return tx.run("SELECT calls FROM rollup_user_calls"); });
  EXPECT_EQ(counts->size(), 2u);
  for (const store::Row r : *counts) EXPECT_EQ(unpack_column(r.bytes(0))->find("alice"), std::string::npos);
}

// Who keeps hours longer than days has no days to count by.
TEST_P(RollupsTest, TheLargestUsersAreFoundWhereOnlyHoursAreLeft) {
  SeededRandom random(8);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 300; ++i) {
    calls.push_back(random_call(i, random, -4 * kDay, -kDay));
    calls.back().user = calls.back().id.unix_ms() < test::kNoonMs - 3 * kDay ? "early" : fmt::format("u{}", random.below(9));
  }
  add(calls);
  roll(at(kDay));
  ASSERT_TRUE(Roller(database()).retire({.minutes = std::chrono::hours(24), .hours = {}, .days = std::chrono::hours(60)}, at(0)));
  ASSERT_LT(rows("rollups WHERE level = 2"), 4);
  expect_exact({.from = at(-5 * kDay), .to = at(0), .step = std::chrono::hours(6), .by = Dimension::user, .groups = 1}, calls, "hours");
  const auto series = ask({.from = at(-5 * kDay), .to = at(0), .step = std::chrono::hours(6), .by = Dimension::user, .groups = 1});
  ASSERT_TRUE(series);
  EXPECT_EQ(series->groups[0].name, "early");
}

// A database of the release before: rows without counts are noted where they can be made anew.
TEST_P(RollupsTest, RowsFromBeforeThereWereCountsAreMadeAnew) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 100; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * kHour - 4 * kDay));
    calls.back().user = fmt::format("u{}", i % 40);
  }
  add(calls);
  roll(at(kDay));
  Roller roller(database());
  ASSERT_TRUE(roller.retire({.minutes = std::chrono::hours(48), .hours = std::chrono::hours(72)}, at(0)));
  const auto counts_from = migrations().begin() + 12;
  ASSERT_EQ(counts_from->version, 13);
  const std::string sql = store::expand_sql(database().dialect(), counts_from->sql);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    if (auto gone = tx.run("DROP TABLE rollup_user_calls"); !gone) return std::unexpected(gone.error());
    const std::size_t insert = sql.find("INSERT INTO");
    for (const std::string& statement : {sql.substr(0, insert), sql.substr(insert)})
      if (auto done = tx.run(store::Statement(std::string_view(statement))); !done) return std::unexpected(done.error());
    return {};
  }));
  EXPECT_EQ(rows("rollup_dirty WHERE level = 0"), 0);
  const SeriesQuery by_day{.from = at(-5 * kDay - kDay / 2), .to = at(kDay / 2), .step = std::chrono::hours(24), .by = Dimension::user, .groups = 4};
  expect_exact(by_day, calls, "noted");
  roll(at(kDay));
  EXPECT_EQ(rows("rollup_dirty"), 0);
  EXPECT_GT(rows("rollup_user_calls WHERE level = 1"), 0);
  EXPECT_GT(rows("rollup_user_calls WHERE level = 2"), 0);
  EXPECT_LT(rows("rollup_user_calls WHERE level = 2"), rows("rollups WHERE level = 2"));
  expect_exact(by_day, calls, "made");
}

TEST_P(RollupsTest, ANoteThatMovedIsNotTaken) {
  add({test::sample_call(1, 0)});
  const auto notes = database().read_now([](store::Tx& tx) { return rollup_notes(tx, 0, INT64_MAX, 10); });
  ASSERT_EQ(notes->size(), 1u);
  add({test::sample_call(2, 1)});
  EXPECT_FALSE(*database().write_now([&](store::Tx& tx) { return take_note(tx, notes->front()); }));
  EXPECT_EQ(roll(at(kDay)), 1u);
  expect_exact({.from = at(0), .to = at(kDay)}, {test::sample_call(1, 0), test::sample_call(2, 1)}, "both");
}

BALLAST_ON_BOTH_DATABASES(RollupsTest);

TEST(UserCalls, AddsUpAndTellsTheLargest) {
  UserCalls all;
  for (const auto& [user, calls] : {std::pair("b", 5ul), std::pair("a", 5ul), std::pair("", 7ul), std::pair("c", 1ul)}) all.add(user, calls);
  UserCalls twice;
  const std::string plain = all.encode();
  EXPECT_TRUE(twice.add(plain));
  EXPECT_TRUE(twice.add(plain));
  twice.add("c", 9);
  EXPECT_EQ(twice.size(), 4u);
  EXPECT_EQ(twice.largest(3), (std::vector<std::string>{"", "c", "a"}));
  EXPECT_EQ(twice.largest(9), (std::vector<std::string>{"", "c", "a", "b"}));
  EXPECT_TRUE(twice.rename("b", "a"));
  EXPECT_FALSE(twice.rename("b", "a"));
  EXPECT_EQ(twice.largest(1), (std::vector<std::string>{"a"}));
  SeededRandom random(4);
  for (std::size_t n = 0; n < plain.size(); ++n) {
    UserCalls into;
    EXPECT_FALSE(into.add(std::string_view(plain).substr(0, n))) << n;
    std::string damaged = plain;
    damaged[n] = static_cast<char>(random.below(256));
    (void)into.add(damaged);
  }
}

TEST(UserCalls, AMaskFindsTheirShardsInAnyNumberOfThem) {
  const std::vector<std::string> users = {"anna", "ben", ""};
  const std::string mask = shard_mask(users);
  for (std::size_t shards = 1; shards <= kMostShards; shards *= 2)
    for (std::size_t shard = 0; shard < shards; ++shard)
      EXPECT_EQ(mask[shards + shard - 1] == '1', std::ranges::any_of(users, [&](const std::string& u) { return shard_of(u, shards) == shard; })) << shard << " of " << shards;
}

TEST(RollupRow, DamageIsNoticedOrHarmless) {
  RollupMaker maker;
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 40; ++i) calls.push_back(test::sample_call(i));
  std::vector<std::string> bytes(calls.size());
  std::vector<EncodedCall> encoded;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    calls[i].user = fmt::format("u{}", i % 7);
    encode(bytes[i], calls[i]);
    encoded.push_back({calls[i].id, bytes[i]});
  }
  const auto blocks = pack(encoded);
  SummaryReader reader(blocks.at(0).summary);
  maker.begin(reader.names());
  for (CallRow row; reader.next(row);) maker.add(row);
  const Rollup rollup = maker.take();
  EXPECT_EQ(rollup.calls(), 40u);
  SeededRandom random(9);
  for (const std::string& whole : {encode_sums(rollup), encode_cells(*rollup.cells), encode_section(rollup.sums[2])}) {
    for (int i = 0; i < 3'000; ++i) {
      std::string plain = whole;
      plain[random.below(plain.size())] = static_cast<char>(random.below(256));
      if (i % 2) plain.resize(random.below(plain.size()));
      Rollup into;
      Section section;
      (void)decode_sums(plain, into);
      (void)decode_cells(plain, *into.cells);
      (void)decode_section(plain, section);
    }
  }
}

}  // namespace
}  // namespace ballast::records
