#include "records/ledger.hpp"

#include <fmt/format.h>

#include <map>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "base/random.hpp"
#include "records/budgets.hpp"
#include "records/ledger_import.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;

class LedgerTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  std::uint64_t add(std::vector<CallRecord> calls) {
    auto n = database().write_now([&](store::Tx& tx) { return add_calls(tx, calls); });
    EXPECT_TRUE(n) << describe(n.error());
    return n.value_or(0);
  }
  std::vector<UsageRow> ask(UsageQuery q) {
    auto rows = database().read_now([&](store::Tx& tx) { return usage(tx, q); });
    EXPECT_TRUE(rows) << describe(rows.error());
    return rows.value_or(std::vector<UsageRow>{});
  }
  std::int64_t spent(std::string window) { return *database().read_now([&](store::Tx& tx) { return spend_of(tx, window); }); }
};

TEST_P(LedgerTest, ACallIsThereOnceWithItsAttemptsAndItsMoney) {
  CallRecord call = test::sample_call(1);
  const std::string window = call.charges[0].window;
  EXPECT_EQ(add({call}), 1u);
  EXPECT_EQ(add({call, call}), 0u);  // imported again after a crash
  EXPECT_EQ(spent(window), 125'000);
  auto found = database().read_now([&](store::Tx& tx) { return get_call(tx, call.id); });
  ASSERT_TRUE(found) << describe(found.error());
  EXPECT_EQ(*found, call);
  auto gone = database().read_now([&](store::Tx& tx) { return get_call(tx, test::call_id(2)); });
  EXPECT_EQ(gone.error().code, ErrorCode::caller_not_found);
}

TEST_P(LedgerTest, AnOutcomeThatComesLateReplacesTheUnknownAndItsCharge) {
  const CallIntent intent = test::sample_intent(1);
  const CallRecord call = test::sample_call(1);
  EXPECT_EQ(add({unknown_outcome(intent)}), 1u);
  EXPECT_EQ(spent(call.charges[0].window), 300'000);
  EXPECT_EQ(add({call}), 1u);
  EXPECT_EQ(spent(call.charges[0].window), 125'000);
  EXPECT_EQ(add({unknown_outcome(intent)}), 0u);  // never the other way round
  EXPECT_EQ(database().read_now([&](store::Tx& tx) { return get_call(tx, call.id); })->status, CallStatus::ok);
  EXPECT_EQ(spent(call.charges[0].window), 125'000);
}

TEST_P(LedgerTest, UsageGroupsByWhoWhatAndWhen) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 10; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i % 2) * kHourMs));
    calls.back().user = i < 4 ? "alice" : "bob";
    if (i == 0) calls.back().status = CallStatus::failed;
    if (i == 1) calls.back().cache = CacheState::hit;
  }
  EXPECT_EQ(add(calls), 10u);
  const auto total = ask({});
  ASSERT_EQ(total.size(), 1u);
  EXPECT_EQ(total[0].calls, 10u);
  EXPECT_EQ(total[0].failed, 1u);
  EXPECT_EQ(total[0].cache_hits, 1u);
  EXPECT_EQ(to_string(total[0].incurred_nano), "1250000");
  EXPECT_EQ(to_string(total[0].cached), "200");

  const auto by_user = ask({.by = {GroupBy::user, GroupBy::hour}});
  ASSERT_EQ(by_user.size(), 4u);
  EXPECT_EQ(by_user[0].group, (std::vector<std::string>{"alice", "2026-11-21T12:00:00.000Z"}));
  EXPECT_EQ(by_user[3].group, (std::vector<std::string>{"bob", "2026-11-21T13:00:00.000Z"}));
  EXPECT_EQ(by_user[3].calls, 3u);

  const WallTime one = WallTime(std::chrono::milliseconds(test::kNoonMs + kHourMs));
  EXPECT_EQ(ask({.filter = {.from = one}})[0].calls, 5u);
  EXPECT_EQ(ask({.filter = {.to = one}})[0].calls, 5u);
  EXPECT_EQ(ask({.filter = {.from = one, .to = one}})[0].calls, 0u);
  EXPECT_EQ(ask({.filter = {.user = "bob"}})[0].calls, 6u);
  EXPECT_EQ(ask({.filter = {.status = CallStatus::failed}})[0].calls, 1u);
  EXPECT_EQ(ask({.filter = {.team = "web", .route = "chat", .operation = "chat"}, .by = {GroupBy::status, GroupBy::team}}).size(), 2u);
  const auto page = ask({.by = {GroupBy::user, GroupBy::hour}, .limit = 2, .offset = 1});
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].group, by_user[1].group);
}

// A failed attempt that cost money counts for the model it was sent to; the answer is billed once.
TEST_P(LedgerTest, MoneyByModelIsByAttempt) {
  CallRecord rescued = test::sample_call(1);
  rescued.attempts.insert(rescued.attempts.begin(), rescued.attempts[0]);
  AttemptRecord& cut = rescued.attempts[0];
  cut.provider = "claude";
  cut.model = "haiku";
  cut.outcome = "provider_error";
  cut.cut = true;
  cut.incurred_nano = 40'000;
  cut.usage = {.input = 100, .output = 10};
  rescued.incurred_nano = 165'000;
  CallRecord hit = test::sample_call(3);
  hit.attempts.clear();
  hit.provider = hit.model = "";
  hit.incurred_nano = hit.billed_nano = 0;
  add({rescued, test::sample_call(2), hit});

  const auto rows = ask({.by = {GroupBy::provider, GroupBy::model}});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].group[0], "");
  EXPECT_EQ(rows[1].group, (std::vector<std::string>{"claude", "haiku"}));
  EXPECT_EQ(rows[1].failed, 1u);
  EXPECT_EQ(to_string(rows[1].incurred_nano), "40000");
  EXPECT_EQ(to_string(rows[1].billed_nano), "0");
  EXPECT_EQ(rows[2].calls, 2u);
  EXPECT_EQ(to_string(rows[2].incurred_nano), "250000");
  EXPECT_EQ(to_string(rows[2].billed_nano), "250000");
  EXPECT_EQ(to_string(ask({.filter = {.provider = "claude"}})[0].incurred_nano), "40000");
  EXPECT_EQ(to_string(ask({})[0].incurred_nano), "290000");
}

TEST_P(LedgerTest, SumsBeyond64BitsAreExact) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 4; ++i) {
    calls.push_back(test::sample_call(i));
    calls.back().billed_nano = INT64_MAX;
    calls.back().charges.clear();
  }
  add(calls);
  EXPECT_EQ(to_string(ask({})[0].billed_nano), "36893488147419103228");
  EXPECT_EQ(nano_to_usd(ask({})[0].billed_nano), "36893488147.419103228");
  EXPECT_EQ(nano_to_usd(-5), "-0.000000005");
}

TEST_P(LedgerTest, CallsAreListedNewestFirstPageByPage) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 7; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i)));
  calls[3].key_id = "key_other";
  add(calls);
  std::vector<Id> seen;
  std::optional<Id> cursor;
  for (;;) {
    auto page = database().read_now([&](store::Tx& tx) { return list_calls(tx, {.key_id = calls[0].key_id}, 4, cursor); });
    ASSERT_TRUE(page) << describe(page.error());
    if (page->empty()) break;
    for (const auto& c : *page) seen.push_back(c.id);
    cursor = seen.back();
  }
  EXPECT_EQ(seen, (std::vector<Id>{calls[6].id, calls[5].id, calls[4].id, calls[2].id, calls[1].id, calls[0].id}));
}

// A block goes when the youngest of its calls is old enough, so a call may stay a minute longer than it must.
TEST_P(LedgerTest, OldCallsGoInPieces) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 6; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 100'000));
  calls.push_back(test::sample_call(6, 399'990));  // in a block with one that is too young
  calls.push_back(test::sample_call(7, 400'010));
  add(calls);
  const WallTime before = WallTime(std::chrono::milliseconds(test::kNoonMs + 400'005));
  auto remove = [&] { return *database().write_now([&](store::Tx& tx) { return delete_calls(tx, before, 3); }); };
  EXPECT_EQ(remove(), 3u);
  EXPECT_EQ(remove(), 1u);
  EXPECT_EQ(remove(), 0u);
  EXPECT_EQ(ask({})[0].calls, 4u);
}

TEST_P(LedgerTest, TextNoDatabaseWouldTakeDoesNotStopTheImport) {
  CallRecord odd = test::sample_call(1);
  odd.user = std::string("a\0b\xff", 4);
  EXPECT_EQ(add({odd, test::sample_call(2)}), 2u);
  EXPECT_EQ(database().read_now([&](store::Tx& tx) { return get_call(tx, odd.id); })->user, odd.user);
}

TEST_P(LedgerTest, ALateOutcomeLeavesTheOthersOfItsBlockAlone) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 5; ++i) calls.push_back(i == 2 ? unknown_outcome(test::sample_intent(i)) : test::sample_call(i));
  EXPECT_EQ(add(calls), 5u);
  calls[2] = test::sample_call(2);
  EXPECT_EQ(add(calls), 1u);
  EXPECT_EQ(add(calls), 0u);
  EXPECT_EQ(spent(calls[0].charges[0].window), 5 * 125'000);
  auto all = database().read_now([&](store::Tx& tx) { return list_calls(tx, {}, 10); });
  ASSERT_TRUE(all);
  std::reverse(all->begin(), all->end());
  EXPECT_EQ(*all, calls);
}

// Long calls end, and so are stored, after short ones that began later: blocks overlap in time.
TEST_P(LedgerTest, CallsStoredOutOfOrderAreFoundListedAndCountedOnce) {
  constexpr std::uint64_t kCalls = 1200;
  const auto at = [](std::uint64_t n) { return static_cast<std::int64_t>(n * 50); };  // a minute of them
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < kCalls; ++i) calls.push_back(test::sample_call(i, at(i)));
  for (std::uint64_t part = 0; part < 7; ++part) {
    std::vector<CallRecord> some;
    for (std::uint64_t i = part; i < kCalls; i += 7) some.push_back(calls[i]);
    EXPECT_EQ(add(some), some.size());
    EXPECT_EQ(add(some), 0u);
  }
  EXPECT_EQ(ask({})[0].calls, kCalls);
  EXPECT_EQ(ask({.filter = {.from = WallTime(std::chrono::milliseconds(test::kNoonMs + at(100))), .to = WallTime(std::chrono::milliseconds(test::kNoonMs + at(350)))}})[0].calls, 250u);
  std::uint64_t next = kCalls;
  std::optional<Id> cursor;
  for (;;) {
    auto page = database().read_now([&](store::Tx& tx) { return list_calls(tx, {}, 77, cursor); });
    ASSERT_TRUE(page) << describe(page.error());
    if (page->empty()) break;
    for (const CallRecord& c : *page) ASSERT_EQ(c.id, calls[--next].id);
    cursor = page->back().id;
  }
  EXPECT_EQ(next, 0u);
  for (std::uint64_t i = 0; i < kCalls; i += 97) {
    auto found = database().read_now([&](store::Tx& tx) { return get_call(tx, calls[i].id); });
    ASSERT_TRUE(found) << describe(found.error());
    EXPECT_EQ(*found, calls[i]);
  }
}

TEST_P(LedgerTest, UsageOfEveryGroupingIsTheSumOfTheCallsListed) {
  SeededRandom random(7);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 700; ++i) {
    CallRecord& c = calls.emplace_back(test::sample_call(i, static_cast<std::int64_t>(i) * 9'000));
    c.user = "user-" + std::to_string(random.below(9));
    c.feature = random.below(2) ? "search" : "";
    c.status = static_cast<CallStatus>(random.below(4));
    c.cache = static_cast<CacheState>(random.below(8));
    c.incurred_nano = static_cast<std::int64_t>(random.below(1'000'000'000'000));
    c.billed_nano = random.below(3) ? c.incurred_nano : 0;
    c.attempts[0].incurred_nano = c.incurred_nano;
    c.usage = {.input = random.below(9000), .cached = random.below(2) * 77, .cache_write = random.below(2), .output = random.below(500), .reasoning = 3, .images = 1};
  }
  add(calls);
  const auto text_of = [](const CallRecord& c, GroupBy by) -> std::string {
    switch (by) {
      case GroupBy::key: return c.key_id;
      case GroupBy::user: return c.user;
      case GroupBy::feature: return c.feature;
      case GroupBy::team: return c.team;
      case GroupBy::model: return c.model;
      case GroupBy::provider: return c.provider;
      case GroupBy::route: return c.route;
      case GroupBy::operation: return c.operation;
      case GroupBy::status: return std::string(to_string(c.status));
      case GroupBy::hour: return to_rfc3339(WallTime(std::chrono::hours(c.id.unix_ms() / kHourMs)));
      case GroupBy::day: return to_rfc3339(WallTime(std::chrono::hours(c.id.unix_ms() / kHourMs / 24 * 24)));
    }
    return {};
  };
  for (int g = 0; g <= static_cast<int>(GroupBy::status); ++g) {
    const auto by = static_cast<GroupBy>(g);
    for (const std::string user : {"", "user-3"}) {
      std::map<std::vector<std::string>, std::pair<std::uint64_t, Int128>> expected;
      for (const CallRecord& c : calls) {
        if (!user.empty() && c.user != user) continue;
        auto& [n, money] = expected[{text_of(c, by), c.user}];
        ++n;
        money += c.incurred_nano;
      }
      const auto rows = ask({.filter = {.user = user}, .by = {by, GroupBy::user}});
      ASSERT_EQ(rows.size(), expected.size()) << to_string(by);
      for (const UsageRow& r : rows) {
        EXPECT_EQ(r.calls, expected[r.group].first) << to_string(by);
        EXPECT_EQ(to_string(r.incurred_nano), to_string(expected[r.group].second)) << to_string(by);
      }
    }
  }
}

// More groups than are kept: those that no page asked for may be forgotten on the way, those shown are whole.
TEST_P(LedgerTest, APageOfManyGroupsIsExact) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 24'000; ++i) {
    calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i / 100)));
    calls.back().user = fmt::format("user-{:05}", (i * 7919) % 12'000);
    calls.back().charges.clear();
  }
  add(std::move(calls));
  const auto rows = ask({.by = {GroupBy::user}, .limit = 5, .offset = 10});
  ASSERT_EQ(rows.size(), 5u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].group[0], fmt::format("user-{:05}", i + 10));
    EXPECT_EQ(rows[i].calls, 2u);
    EXPECT_EQ(to_string(rows[i].incurred_nano), "250000");
  }
}

// A database of the first schema, where every call was a row.
TEST_P(LedgerTest, CallsOfAnOlderSchemaMoveIntoBlocks) {
  const auto migrated = store::open_database(sqlite() ? "sqlite:" + (directory() / "old.db") : test::Postgres::instance()->fresh_url());
  ASSERT_TRUE(migrated);
  store::Database& old = **migrated;
  ASSERT_TRUE(old.migrate(migrations().first(1)));
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 5'000; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i) * 1'000));
  calls[7].attempts.push_back(calls[7].attempts[0]);
  calls[8] = unknown_outcome(test::sample_intent(8, 8'000));
  const std::string window = calls[0].charges[0].window;
  ASSERT_TRUE(old.write_now([&](store::Tx& tx) -> Result<bool> {
    store::Batch batch(2);
    std::vector<std::string> kept;
    kept.reserve(2 * calls.size());
    for (const CallRecord& c : calls) {
      std::string& id = kept.emplace_back(to_bytes(c.id));
      encode(kept.emplace_back(), c);
      batch.add({store::Value::bytes(id), store::Value::bytes(kept.back())});
    }
    auto added = tx.run_many(
        "INSERT INTO calls (id, at_ms, key_id, user_id, feature, team, route, operation, provider, model, status, cache, split, incurred, billed, input, "
        "cached, cache_write, output, reasoning, images, latency_us, detail) VALUES ($1, 0, '', '', '', '', '', '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, $2)",
        batch);
    if (!added) return std::unexpected(added.error());
    if (auto spent = add_spend(tx, std::vector<BudgetCharge>{{window, 77}}); !spent) return std::unexpected(spent.error());
    return true;
  }));
  ASSERT_TRUE(old.migrate(migrations().first(2)));
  ASSERT_TRUE(old.write_now(move_rows_to_blocks));  // as far as a process came that was killed on the way
  ASSERT_TRUE(old.migrate(migrations()));
  ASSERT_TRUE(old.migrate(migrations()));
  const auto rows = old.read_now([](store::Tx& tx) { return usage(tx, {.by = {GroupBy::status}}); });
  ASSERT_TRUE(rows) << describe(rows.error());
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].calls, 4'999u);
  EXPECT_EQ(to_string((*rows)[0].incurred_nano), std::to_string(4'999ull * 125'000));
  EXPECT_EQ((*rows)[1].group[0], "unknown");
  for (const std::size_t i : {0u, 7u, 8u, 2'048u, 4'999u}) EXPECT_EQ(*old.read_now([&](store::Tx& tx) { return get_call(tx, calls[i].id); }), calls[i]);
  EXPECT_EQ(*old.read_now([&](store::Tx& tx) { return spend_of(tx, window); }), 77);
}

BALLAST_ON_BOTH_DATABASES(LedgerTest);

}  // namespace
}  // namespace ballast::records
