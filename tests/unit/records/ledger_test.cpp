#include "records/ledger.hpp"

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "records/budgets.hpp"
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

TEST_P(LedgerTest, OldCallsGoInPieces) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 6; ++i) calls.push_back(test::sample_call(i, static_cast<std::int64_t>(i)));
  add(calls);
  const WallTime before = WallTime(std::chrono::milliseconds(test::kNoonMs + 4));
  auto remove = [&] { return *database().write_now([&](store::Tx& tx) { return delete_calls(tx, before, 3); }); };
  EXPECT_EQ(remove(), 3u);
  EXPECT_EQ(remove(), 1u);
  EXPECT_EQ(remove(), 0u);
  EXPECT_EQ(ask({})[0].calls, 2u);
}

TEST_P(LedgerTest, TextNoDatabaseWouldTakeDoesNotStopTheImport) {
  CallRecord odd = test::sample_call(1);
  odd.user = std::string("a\0b\xff", 4);
  EXPECT_EQ(add({odd, test::sample_call(2)}), 2u);
  EXPECT_EQ(database().read_now([&](store::Tx& tx) { return get_call(tx, odd.id); })->user, odd.user);
}

BALLAST_ON_BOTH_DATABASES(LedgerTest);

}  // namespace
}  // namespace ballast::records
