#include "records/rollups.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "base/random.hpp"
#include "records/erase.hpp"
#include "records/ledger_import.hpp"
#include "records/migrations.hpp"
#include "records/reconcile.hpp"
#include "records/rollups_store.hpp"

namespace ballast::records {
namespace {

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

// What calls add up to by a bare loop.
Figures figures_of(const CallRecord& c) {
  Figures f{.calls = 1,
            .failed = c.status == CallStatus::failed || c.status == CallStatus::unknown,
            .cancelled = c.status == CallStatus::cancelled,
            .cache_hits = is_hit(c.cache),
            .attempts = c.attempts.size(),
            .attempts_failed = static_cast<std::uint64_t>(std::ranges::count_if(c.attempts, [](const AttemptRecord& a) { return a.outcome != "ok"; })),
            .tokens = c.usage,
            .incurred_nano = c.incurred_nano,
            .billed_nano = c.billed_nano,
            .saved_nano = c.saved_nano};
  f.latency.add(c.latency_us);
  if (c.first_token_us) f.first_token.add(c.first_token_us);
  return f;
}
std::string value_of(const CallRecord& c, Dimension d) {
  switch (d) {
    case Dimension::key: return c.key_id;
    case Dimension::team: return c.team;
    case Dimension::user: return c.user;
    case Dimension::feature: return c.feature;
    case Dimension::route: return c.route;
    case Dimension::operation: return c.operation;
    case Dimension::provider: return c.provider;
    case Dimension::model: return c.model;
    case Dimension::status: return std::string(to_string(c.status));
    case Dimension::error: return c.error;
    case Dimension::cache: return std::string(to_string(c.cache));
  }
  return "";
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
  // The series against a loop over the calls.
  void expect_exact(const SeriesQuery& q, const std::vector<CallRecord>& calls, std::string_view told) {
    const auto series = ask(q);
    ASSERT_TRUE(series) << told << ": " << describe(series.error());
    std::map<std::string, std::map<std::size_t, Figures>> groups;
    Figures total;
    for (const CallRecord& c : calls) {
      const WallTime t = WallTime(std::chrono::milliseconds(c.id.unix_ms()));
      if (t < q.from || t >= q.to || !std::ranges::all_of(q.where, [&](const auto& w) { return value_of(c, w.first) == w.second; })) continue;
      std::size_t bucket = 0;
      while (bucket + 1 < series->starts.size() && series->starts[bucket + 1] <= t) ++bucket;
      groups[q.by ? value_of(c, *q.by) : ""][bucket] += figures_of(c);
      total += figures_of(c);
    }
    EXPECT_TRUE(series->total == total) << told << ": " << series->total.calls << " calls for " << total.calls << ", " << series->total.incurred_nano << " for " << total.incurred_nano;
    Figures rest, rest_told;
    std::size_t named = 0;
    for (const SeriesGroup& g : series->groups) {
      if (g.rest) rest_told = g.total;
      else if (g.total.calls) ++named;
      for (std::size_t i = 0; !g.rest && i < g.buckets.size(); ++i)
        EXPECT_TRUE(g.buckets[i] == groups[g.name][i]) << told << " " << g.name << " " << i << ": " << g.buckets[i].calls << " for " << groups[g.name][i].calls;
      if (!g.rest) groups.erase(g.name);
    }
    for (const auto& [name, buckets] : groups)
      for (const auto& [bucket, f] : buckets) rest += f;
    EXPECT_TRUE(rest == rest_told) << told;
    EXPECT_LE(named, q.groups);
  }
};

CallRecord random_call(std::uint64_t n, SeededRandom& random, std::int64_t from_ms, std::int64_t to_ms) {
  CallRecord c = test::sample_call(n, from_ms + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(to_ms - from_ms))));
  c.key_id = fmt::format("key_{}", random.below(3));
  c.user = random.below(4) ? fmt::format("user-{}", random.below(30)) : "";
  c.feature = random.below(2) ? "search" : "chat";
  c.model = random.below(2) ? "gpt-5-mini" : "haiku";
  c.latency_us = 1'000 + random.below(5'000'000);
  c.charges.clear();
  c.status = static_cast<CallStatus>(random.below(3));
  if (c.status == CallStatus::failed) c.error = random.below(2) ? "provider_overloaded" : "provider_timeout";
  c.cache = static_cast<CacheState>(random.below(8));
  if (is_hit(c.cache)) c.saved_nano = 1'000, c.attempts.clear();
  if (!c.attempts.empty()) {
    c.attempts[0].model = c.model;
    if (random.below(3) == 0) c.attempts[0].cost = Cost::unknown;
    if (random.below(5) == 0) c.attempts.push_back(c.attempts[0]), c.attempts[0].outcome = "provider_error", c.attempts[1].n = 1;
  }
  return c;
}

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
