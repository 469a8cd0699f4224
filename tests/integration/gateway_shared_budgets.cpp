// Budgets over several nodes: books of several processes on one database, some of them killed.
#include <gtest/gtest.h>

#include <csignal>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "../support/databases.hpp"
#include "cluster/members.hpp"
#include "cluster/quota.hpp"
#include "gateway/shared_books.hpp"
#include "records/budgets.hpp"
#include "records/journal.hpp"
#include "records/migrations.hpp"

namespace ballast::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Money usd(double dollars) { return {static_cast<std::int64_t>(dollars * 1e9)}; }
// What a node has heard of the whole is older than it believes by then.
constexpr auto kHeard = milliseconds(1'100);
// Of all time: no test sees its window end.
BudgetRule ever(Money amount) {
  return {.name = "all", .amount = amount, .period = BudgetPeriod::fixed, .from = from_unix_us(1'000'000), .to = from_unix_us(4'000'000'000'000'000)};
}
const std::string kWindow = "all|*|1";

// A process: its slices, its book, and its journal where it has one.
struct Process {
  Process(const std::string& url, BudgetRule rule, std::string folder = {}) : boot(ids.next(clock.wall())), rules{std::move(rule)} {
    quotas = std::move(*cluster::Quotas::open(url, store::Dialect::postgres, clock, {.holder = holder_of(boot), .gap = milliseconds(30),
        .look = milliseconds(5), .spent_before = spent_before}));
    book = std::move(*BudgetBook::create(rules, clock, {.quotas = quotas.get()}));
    if (folder.empty()) return;
    database = std::move(*store::open_database(url, {.readers = 1}));
    journal = std::move(*records::CallJournal::open({.directory = std::move(folder), .sync_every = milliseconds(0), .segment_bytes = 1 << 20,
                                                     .import_every = milliseconds(10), .epoch = boot, .charged = note_charges}));
  }
  // As a start does.
  bool settle_earlier() {
    return database->write_now([&](store::Tx& tx) { return cluster::add_holder(tx, holder_of(boot), journal->id()); }).has_value() && journal->import_all(*database).has_value() &&
           database->write_now([&](store::Tx& tx) -> Result<void> {
             const auto earlier = cluster::holders_of(tx, journal->id(), holder_of(boot));
             if (!earlier) return fail(earlier.error());
             for (const auto& holder : *earlier)
               if (auto closed = cluster::close_holder(tx, holder); !closed) return fail(closed.error());
             return {};
           }).has_value();
  }
  // As the road: waits for the database's word, and no longer than it must.
  Result<Hold> hold(Money ceiling, Duration within = seconds(3)) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (bool again = false;; again = true) {
      Shortage lacking;
      auto held = book->hold({}, "call", ceiling, &lacking, again);
      if (held || !lacking.slice || is_final(lacking) || std::chrono::steady_clock::now() > until) return held;
      std::this_thread::sleep_for(milliseconds(2));
    }
  }
  bool spends(Money amount) {
    auto held = hold(amount);
    if (!held) return false;
    held->end(*held->begin("sim/m", amount), amount);
    held->settle();
    return true;
  }

  SystemClock clock;
  IdGenerator ids;                         // its own: a forked process has its parent's otherwise
  const Id boot;
  const std::vector<BudgetRule> rules;
  std::unique_ptr<cluster::Quotas> quotas;
  std::unique_ptr<BudgetBook> book;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<records::CallJournal> journal;
};

class SharedBudgets : public ::testing::Test {
 protected:
  void SetUp() override {
    ballast::test::Postgres* server = ballast::test::Postgres::instance();
    if (!server) GTEST_SKIP() << ballast::test::kNoPostgres;
    url_ = server->fresh_url();
    database_ = std::move(*store::open_database(url_, {.readers = 1}));
    ASSERT_TRUE(database_->migrate(records::migrations()));
    ASSERT_TRUE(database_->migrate(cluster::migrations()));
  }
  std::int64_t ledger() {
    return *database_->read_now([&](store::Tx& tx) { return records::spend_of(tx, kWindow); });
  }
  std::int64_t noted() {
    return *database_->read_now([&](store::Tx& tx) -> Result<std::int64_t> {
      auto rows = tx.run("SELECT CAST(COALESCE(SUM(spent), 0) AS BIGINT) FROM slices WHERE quota = $1", {money_quota(kWindow)});
      if (!rows) return fail(rows.error());
      return (*rows)[0].integer(0);
    });
  }
  template <class F>
  auto write(F body) { return database_->write_now(std::move(body)); }
  ballast::test::TempDir folder_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

TEST_F(SharedBudgets, TwoNodesTogetherSpendTheAmountAndNotANanoDollarMore) {
  Process a(url_, ever(usd(1))), b(url_, ever(usd(1)));
  std::atomic<int> spent{0};
  const auto spender = [&](Process& p) { return [&] { while (p.spends(usd(0.01))) ++spent; }; };
  std::thread one(spender(a)), other(spender(a)), third(spender(b));
  one.join();
  other.join();
  third.join();
  EXPECT_EQ(spent, 100);
  EXPECT_FALSE(a.spends({1}));
  EXPECT_FALSE(b.spends({1}));
  EXPECT_EQ(b.book->remaining({}, "m"), Money{});
}

TEST_F(SharedBudgets, AFreshNodeSeesItsEmptySliceForNoShortage) {
  Process a(url_, ever(usd(1)));
  EXPECT_EQ(a.book->remaining({}, "m"), usd(1));
  ASSERT_TRUE(a.spends(usd(0.7)));
  Process b(url_, ever(usd(1)));
  EXPECT_EQ(b.book->remaining({}, "m"), usd(1)) << "nobody has said anything: the hold finds out";
  auto held = b.hold(usd(0.5));
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, ErrorCode::policy_budget_exceeded);
  EXPECT_NE(held.error().message.find("leaves $0.3 of $1"), std::string::npos) << held.error().message;
  EXPECT_EQ(b.book->remaining({}, "m"), usd(0.3)) << "now it is known";
  EXPECT_TRUE(b.hold(usd(0.3)));
}

TEST_F(SharedBudgets, AHoldThatNeedsWhatIdlesElsewhereGetsIt) {
  Process a(url_, ever(usd(1))), b(url_, ever(usd(1)));
  for (Process* p : {&a, &b}) {
    auto held = p->hold(usd(0.45));
    ASSERT_TRUE(held);
    held->settle();                        // unused: it idles in the slice
  }
  EXPECT_TRUE(a.hold(usd(1), milliseconds(1'500)));
}

TEST_F(SharedBudgets, WhatWasSpentBeforeThereWereSlicesCounts) {
  const records::BudgetCharge before[] = {{kWindow, usd(0.6).nano}};
  ASSERT_TRUE(write([&](store::Tx& tx) { return records::add_spend(tx, before); }));
  Process a(url_, ever(usd(1))), b(url_, ever(usd(1)));
  std::thread first([&] { EXPECT_TRUE(a.spends(usd(0.2))); });
  EXPECT_TRUE(b.spends(usd(0.2)));
  first.join();
  EXPECT_FALSE(a.spends({1}));
  EXPECT_FALSE(b.spends({1}));
  EXPECT_EQ(noted(), usd(0.6).nano);
}

TEST_F(SharedBudgets, AReloadRaisesAndLowersForEverybody) {
  Process a(url_, ever(usd(1))), b(url_, ever(usd(1)));
  ASSERT_TRUE(a.spends(usd(0.5)) && b.spends(usd(0.4)));
  Money mine = usd(0.5);
  const auto reload = [&](double amount) {
    auto book = BudgetBook::create({ever(usd(amount))}, a.clock, {.quotas = a.quotas.get()}, a.book.get());
    ASSERT_TRUE(book);
    a.book = std::move(*book);
    a.book->take_effect();
    EXPECT_EQ(a.book->remaining({}, "m"), std::max(Money{}, usd(amount) - mine)) << "what was told by the old terms is not believed";
  };
  EXPECT_FALSE(a.spends(usd(0.2)));
  reload(2);
  EXPECT_TRUE(a.spends(usd(0.6)));
  mine = usd(1.1);
  std::this_thread::sleep_for(kHeard);
  EXPECT_TRUE(b.hold(usd(0.2))) << "the configuration loaded last rules";
  reload(1.6);
  EXPECT_FALSE(a.spends(usd(0.11)));
  EXPECT_TRUE(a.spends(usd(0.1)));
  mine = usd(1.2);
  reload(0);
  EXPECT_FALSE(a.spends({1}));
}

TEST_F(SharedBudgets, AnUnknownOutcomeIsReconciledWhoeverMadeIt) {
  Process a(url_, ever(usd(1)), folder_ / "a"), b(url_, ever(usd(1)));
  ASSERT_TRUE(a.settle_earlier());
  records::CallRecord call{.id = a.ids.next(a.clock.wall()), .arrived = a.clock.wall(), .provider = "sim", .model = "m"};
  {
    auto held = a.hold(usd(0.9));
    ASSERT_TRUE(held);
    ASSERT_TRUE(held->begin("sim/m", usd(0.9)));
    held->charges(call.charges);
    ASSERT_TRUE(a.journal->intent(0, {call, "sim", "m", usd(0.9).nano}));
    auto left = held->end_unknown(0);
    held->settle();
    call.incurred_nano = left.charged.nano;
    call.attempts = {{.id = a.ids.next(a.clock.wall()), .provider = "sim", .model = "m", .incurred_nano = left.charged.nano, .cost = records::Cost::unknown, .windows = left.windows}};
    held->charges(call.charges);
    ASSERT_TRUE(a.journal->outcome(0, call));
  }
  ASSERT_TRUE(a.journal->import_all(*a.database));
  EXPECT_FALSE(b.spends(usd(0.2)));
  const records::Reconciliation by{.call = call.id, .attempt = 0, .incurred = usd(0.1), .actor = "test", .at = a.clock.wall()};
  ASSERT_TRUE(write([&](store::Tx& tx) { return reconcile_charge(tx, by); }));
  EXPECT_EQ(ledger(), usd(0.1).nano);
  EXPECT_EQ(noted(), ledger());
  const BudgetBook::Reconciled followed{.call = "call", .model = "sim/m", .attempt = 0, .charged = usd(0.9), .incurred = usd(0.1), .windows = call.attempts[0].windows};
  EXPECT_TRUE(a.book->reconcile(followed));
  EXPECT_TRUE(a.spends(usd(0.5))) << "its own slice stands at what was charged, above the amount in all";
  std::this_thread::sleep_for(kHeard);
  EXPECT_TRUE(b.spends(usd(0.4)));
  EXPECT_FALSE(a.spends({1}));
  const auto whole = *database_->read_now([&](store::Tx& tx) { return whole_windows(tx, holder_of(a.boot), a.book->oldest_start()); });
  const auto status = a.book->status(whole);
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ(status[0].spent + status[0].held, usd(1));
  EXPECT_EQ(status[0].remaining, Money{});
}

// Three processes with journals call at random, and are killed again and again. `dispatched` is what providers may have charged: it never passes the amount.
struct Truth {
  std::atomic<std::int64_t> dispatched{0}, calls{0}, over{0};
};
constexpr Money kAmount{1'000'000};

[[noreturn]] void live(const std::string& url, const std::string& folder, unsigned seed, Truth& truth) {
  Process p(url, ever(kAmount), folder);
  if (!p.settle_earlier()) std::_Exit(1);
  p.journal->start_importer(*p.database);
  std::mt19937 random(seed);
  for (;;) {
    const Money ceiling{static_cast<std::int64_t>(1 + random() % 20'000)};
    auto held = p.hold(ceiling, milliseconds(300));
    if (!held) {
      std::this_thread::sleep_for(milliseconds(5));
      continue;
    }
    const auto attempt = held->begin("sim/m", ceiling);
    if (!attempt) std::_Exit(2);
    records::CallRecord call{.id = p.ids.next(p.clock.wall()), .arrived = p.clock.wall(), .provider = "sim", .model = "m"};
    held->charges(call.charges);
    if (!p.journal->intent(0, {call, "sim", "m", ceiling.nano})) std::_Exit(3);
    if ((truth.dispatched += ceiling.nano) > kAmount.nano) ++truth.over;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 4'000));
    const Money cost{static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(ceiling.nano / 8 + 1))};
    truth.dispatched -= (ceiling - cost).nano;             // before others may have it
    held->end(*attempt, cost);
    held->settle();
    held->charges(call.charges);
    if (!p.journal->outcome(0, call)) std::_Exit(4);
    ++truth.calls;
  }
}

TEST_F(SharedBudgets, NothingIsOvershotWhoeverIsKilledAndWhatTheDeadDidNotSpendComesBack) {
  auto* truth = new (::mmap(nullptr, sizeof(Truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Truth;
  std::array<pid_t, 3> processes{};
  unsigned seed = 1;
  const auto begin = [&](unsigned n) {
    ++seed;
    if ((processes[n] = ::fork()) == 0) live(url_, folder_ / std::to_string(n), seed, *truth);
  };
  for (unsigned n = 0; n < 3; ++n) ASSERT_TRUE(records::CallJournal::open({.directory = folder_ / std::to_string(n)}));     // its id is this process'
  for (unsigned n = 0; n < 3; ++n) begin(n);
  std::mt19937 random(7);
  const auto kill = [&](unsigned n) {
    int status = 0;
    ::kill(processes[n], SIGKILL);
    ::waitpid(processes[n], &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with " << WEXITSTATUS(status);
  };
  for (int round = 0; round < 12; ++round) {
    std::this_thread::sleep_for(milliseconds(100 + random() % 400));
    const unsigned n = random() % 3;
    kill(n);
    if (round % 4 == 1) {                  // again before it has begun
      begin(n);
      std::this_thread::sleep_for(milliseconds(random() % 30));
      kill(n);
    }
    begin(n);
  }
  for (unsigned n = 0; n < 3; ++n) kill(n);
  EXPECT_EQ(truth->over, 0);
  EXPECT_GT(truth->calls, 100);
  for (unsigned n = 0; n < 3; ++n) {
    Process p(url_, ever(kAmount), folder_ / std::to_string(n));
    ASSERT_TRUE(p.settle_earlier());
  }
  const Money spent{ledger()};
  EXPECT_LE(truth->dispatched, spent.nano) << "no call that was sent is missing";
  EXPECT_LE(spent, kAmount);
  EXPECT_EQ(noted(), spent.nano);
  Process last(url_, ever(kAmount));
  EXPECT_FALSE(last.spends(kAmount - spent + Money{1}));
  if (spent < kAmount) EXPECT_TRUE(last.spends(kAmount - spent)) << "all of it, to the nano-dollar";
  std::printf("%lld calls, %.1f %% spent\n", static_cast<long long>(truth->calls.load()), 100.0 * static_cast<double>(spent.nano) / static_cast<double>(kAmount.nano));
  ::munmap(truth, sizeof(Truth));
}

}  // namespace
}  // namespace ballast::gateway
