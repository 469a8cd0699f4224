// A charge that nobody could settle: found in the ledger after any restart, and put right once.
#include "records/reconcile.hpp"

#include <atomic>
#include <thread>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "base/json.hpp"
#include "records/budgets.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

constexpr const char* kAll = "all|*|1795219200";
constexpr const char* kFirstModel = "models|a/m|1795219200";
constexpr const char* kSecondModel = "models|b/m|1795219200";

// Hedged: the first was cut at its ceiling of 900, the second answered for 100.
CallRecord hedged(std::uint64_t n, std::int64_t at_ms = 0) {
  CallRecord c = test::sample_call(n, at_ms);
  c.provider = "b";
  c.model = "m";
  AttemptRecord cut = c.attempts[0], won = c.attempts[0];
  cut.provider = "a";
  won.provider = "b";
  cut.model = won.model = "m";
  won.n = 1;
  won.hedged = true;
  won.incurred_nano = 100;
  cut.outcome = "caller_cancelled";
  cut.cut = true;
  cut.usage = {};
  cut.incurred_nano = 900;
  cut.cost = Cost::unknown;
  cut.windows = {kAll, kFirstModel};
  c.attempts = {cut, won};
  c.incurred_nano = 1000;
  c.billed_nano = 100;
  c.charges = {{kAll, 1000}, {kFirstModel, 900}, {kSecondModel, 100}};
  return c;
}

class ReconcileTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  std::uint64_t add(const std::vector<CallRecord>& calls) {
    return *database().write_now([&](store::Tx& tx) { return add_calls(tx, calls); });
  }
  std::vector<CallRecord> open(std::size_t limit = 100, std::optional<Id> before = {}, CallFilter filter = {}) {
    auto found = database().read_now([&](store::Tx& tx) { return list_unreconciled(tx, filter, limit, before); });
    EXPECT_TRUE(found) << describe(found.error());
    return found.value_or(std::vector<CallRecord>{});
  }
  Result<Reconciled> say(Id call, std::int64_t nano, std::optional<std::uint32_t> attempt = {}) {
    const Reconciliation by{.call = call, .attempt = attempt, .incurred = {nano}, .actor = "key ops", .at = WallTime(std::chrono::milliseconds(test::kNoonMs + 7'000))};
    return database().write_now([&](store::Tx& tx) { return reconcile(tx, by); });
  }
  CallRecord call(Id id) { return *database().read_now([&](store::Tx& tx) { return get_call(tx, id); }); }
  std::int64_t spent(std::string window) { return *database().read_now([&](store::Tx& tx) { return spend_of(tx, window); }); }
  std::string incurred() { return to_string(database().read_now([&](store::Tx& tx) { return usage(tx, {}); })->at(0).incurred_nano); }
};

TEST_P(ReconcileTest, WhatNobodyToldIsListedAfterARestartAndPutRightOnce) {
  add({hedged(1), test::sample_call(2)});
  reopen();
  ASSERT_EQ(open().size(), 1u);
  EXPECT_EQ(open()[0], hedged(1));

  const auto done = say(test::call_id(1), 250);
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_FALSE(done->already);
  EXPECT_EQ(done->attempt.ceiling_nano, 900);
  EXPECT_TRUE(open().empty());
  const CallRecord now = call(test::call_id(1));
  EXPECT_EQ(now.incurred_nano, 350);
  EXPECT_EQ(now.billed_nano, 100) << "the answer's";
  EXPECT_EQ(now.attempts[0].incurred_nano, 250);
  EXPECT_EQ(now.attempts[0].cost, Cost::reconciled);
  EXPECT_EQ(now.attempts[0].reconciled_by, "key ops");
  EXPECT_EQ(now.attempts[1], hedged(1).attempts[1]);
  EXPECT_EQ(now.charges, (std::vector<BudgetCharge>{{kAll, 350}, {kFirstModel, 250}, {kSecondModel, 100}}));
  EXPECT_TRUE(parse_json(now.decision)) << now.decision;
  EXPECT_NE(now.decision.find(R"("step":"reconciled","attempt":0,"by":"key ops","at":"2026-11-21T12:00:07.000Z","was_usd":"0.000000900","incurred_usd":"0.000000250"})"), std::string::npos) << now.decision;
  EXPECT_EQ(spent(kAll), 350);
  EXPECT_EQ(spent(kFirstModel), 250);
  EXPECT_EQ(spent(kSecondModel), 100);
  EXPECT_EQ(incurred(), std::to_string(350 + 125'000));

  const auto again = say(test::call_id(1), 250, 0);
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_TRUE(again->already);
  const auto other = say(test::call_id(1), 251);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(other.error().field, "incurred");
  EXPECT_NE(other.error().message.find("$0.000000250"), std::string::npos) << other.error().message;
  EXPECT_EQ(call(test::call_id(1)), now);
  EXPECT_EQ(spent(kAll), 350);
}

TEST_P(ReconcileTest, ACallThatDiedWithItsProcessCostsWhatAPersonSays) {
  const CallIntent intent = test::sample_intent(1);
  add({unknown_outcome(intent)});
  ASSERT_EQ(open().size(), 1u);
  EXPECT_EQ(open()[0].attempts[0].windows, std::vector<std::string>{intent.charges[0].window});
  ASSERT_TRUE(say(intent.id, 0)) << "nothing arrived there";
  const CallRecord now = call(intent.id);
  EXPECT_EQ(now.status, CallStatus::unknown);
  EXPECT_EQ(now.incurred_nano, 0);
  EXPECT_EQ(now.billed_nano, 0);
  EXPECT_EQ(spent(intent.charges[0].window), 0);
  EXPECT_TRUE(open().empty());
  EXPECT_EQ(add({unknown_outcome(intent)}), 0u) << "read again by the importer";
  EXPECT_TRUE(open().empty());

  EXPECT_EQ(add({test::sample_call(1)}), 1u) << "the outcome came after all: it knows more than anybody";
  EXPECT_EQ(spent(intent.charges[0].window), 125'000);
}

TEST_P(ReconcileTest, ARecordOfAnEarlierVersionHasNoAttemptAndIsListedAllTheSame) {
  CallRecord old = unknown_outcome(test::sample_intent(1));
  old.attempts.clear();
  add({old});
  ASSERT_EQ(open().size(), 1u);
  EXPECT_EQ(open()[0].attempts.size(), 1u);
  ASSERT_TRUE(say(old.id, 77, 0));
  EXPECT_TRUE(open().empty());
  EXPECT_EQ(call(old.id).incurred_nano, 77);
}

TEST_P(ReconcileTest, WhatTheProviderToldLaterReplacesTheCeiling) {
  CallRecord learnt = hedged(1);
  learnt.attempts[0].cost = Cost::known;
  learnt.attempts[0].windows.clear();
  learnt.attempts[0].incurred_nano = 30;
  learnt.incurred_nano = 130;
  learnt.charges = {{kAll, 130}, {kFirstModel, 30}, {kSecondModel, 100}};
  add({hedged(1)});
  EXPECT_EQ(add({hedged(1)}), 0u);
  EXPECT_EQ(add({learnt}), 1u);
  EXPECT_EQ(spent(kAll), 130);
  EXPECT_EQ(add({hedged(1)}), 0u) << "never the other way round";
  EXPECT_EQ(call(learnt.id), learnt);
  EXPECT_EQ(add({hedged(2), hedged(2)}), 1u) << "both in one batch";
  CallRecord second = learnt;
  second.id = test::call_id(3);
  CallRecord at_ceiling = hedged(3);
  EXPECT_EQ(add({at_ceiling, second}), 1u);
  EXPECT_EQ(call(second.id).incurred_nano, 130);
}

TEST_P(ReconcileTest, AboveTheCeilingItIsBookedAndNeverBelowZero) {
  add({hedged(1), hedged(2)});
  ASSERT_TRUE(say(test::call_id(1), 5'000));
  EXPECT_EQ(spent(kAll), 1000 + 5'100);
  const std::vector<BudgetCharge> gone = {{kFirstModel, -5'800}};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto ok = add_spend(tx, gone); !ok) return std::unexpected(ok.error());
    return true;
  }));
  ASSERT_TRUE(say(test::call_id(2), 0));
  EXPECT_EQ(spent(kFirstModel), 0) << "somebody had taken it already";
  EXPECT_EQ(spent(kAll), 5'100 + 100);
}

TEST_P(ReconcileTest, AWindowThatIsGoneIsNotMadeAnew) {
  add({hedged(1)});
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return delete_spend(tx, WallTime::max(), 100); }));
  ASSERT_TRUE(say(test::call_id(1), 40));
  EXPECT_EQ(database().read_now([&](store::Tx& tx) { return load_spend(tx, WallTime{}); })->size(), 0u);
}

TEST_P(ReconcileTest, MistakesAreNamed) {
  CallRecord two = hedged(1);
  two.attempts[1].cost = Cost::unknown;
  add({two, test::sample_call(2)});
  const auto refused = [&](Id id, std::int64_t nano, std::optional<std::uint32_t> attempt, ErrorCode code, std::string_view field) {
    const auto done = say(id, nano, attempt);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code) << done.error().message;
    EXPECT_EQ(done.error().field, field) << done.error().message;
  };
  refused(test::call_id(9), 1, {}, ErrorCode::caller_not_found, "call");
  refused(two.id, 1, 7, ErrorCode::caller_not_found, "attempt");
  refused(two.id, 1, {}, ErrorCode::caller_invalid_request, "attempt");
  refused(two.id, -1, 0, ErrorCode::caller_invalid_request, "incurred");
  refused(two.id, kMostReconciled.nano + 1, 0, ErrorCode::caller_invalid_request, "incurred");
  refused(test::call_id(2), 1, 0, ErrorCode::caller_conflict, "attempt");
  refused(test::call_id(2), 1, {}, ErrorCode::caller_conflict, "call");
  EXPECT_EQ(open().size(), 1u);
}

// Several say something of calls of one block at once, of each call different sums.
TEST_P(ReconcileTest, ManyAtOnceCountOnceEach) {
  constexpr std::uint64_t kCalls = 6;
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < kCalls; ++i) calls.push_back(hedged(i));
  add(calls);
  std::atomic<int> won{0}, refused{0};
  std::atomic<std::int64_t> sum{0};
  {
    std::vector<std::jthread> people;
    for (int person = 0; person < 4; ++person)
      people.emplace_back([&, person] {
        for (std::uint64_t i = 0; i < kCalls; ++i) {
          auto done = say(test::call_id(i), 10 + person);
          while (!done && store::fault_of(done.error()) != store::Fault::none) done = say(test::call_id(i), 10 + person);
          if (done && !done->already) {
            ++won;
            sum += 10 + person;
          } else {
            ++refused;
          }
        }
      });
  }
  EXPECT_EQ(won, static_cast<int>(kCalls));
  EXPECT_EQ(refused, 3 * static_cast<int>(kCalls));
  EXPECT_EQ(spent(kAll), static_cast<std::int64_t>(kCalls) * 100 + sum);
  EXPECT_EQ(spent(kFirstModel), sum);
  EXPECT_EQ(incurred(), std::to_string(static_cast<std::int64_t>(kCalls) * 100 + sum));
  EXPECT_TRUE(open().empty());
}

TEST_P(ReconcileTest, TheListHasPagesAndFilters) {
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 1000; ++i) calls.push_back(i % 100 == 7 ? hedged(i, static_cast<std::int64_t>(i) * 1000) : test::sample_call(i, static_cast<std::int64_t>(i) * 1000));
  calls[207].user = "bob";
  add(calls);
  ASSERT_EQ(open().size(), 10u);
  std::vector<CallRecord> pages;
  for (std::optional<Id> before;;) {
    const auto page = open(3, before);
    pages.insert(pages.end(), page.begin(), page.end());
    if (page.size() < 3) break;
    before = page.back().id;
  }
  EXPECT_EQ(pages, open());
  EXPECT_EQ(pages.front(), calls[907]);
  EXPECT_EQ(pages.back(), calls[7]);
  ASSERT_EQ(open(100, {}, {.user = "bob"}).size(), 1u);
  EXPECT_EQ(open(100, {}, {.from = WallTime(std::chrono::milliseconds(test::kNoonMs + 500'000))}).size(), 5u);
  EXPECT_TRUE(open(0).empty());
}

BALLAST_ON_BOTH_DATABASES(ReconcileTest);

}  // namespace
}  // namespace ballast::records
