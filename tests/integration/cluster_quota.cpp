// Quotas on a real server: several nodes in one process, one that is killed, a database that goes away.
#include <gmock/gmock.h>

#include <csignal>

#include <atomic>
#include <numeric>
#include <thread>

#include "../support/databases.hpp"
#include "cluster/members.hpp"
#include "cluster/quota.hpp"

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Terms a_second(Nano units) { return {.kind = QuotaKind::rate, .amount = units * kUnit, .period_us = 1'000'000}; }
Terms dollars(Nano nano) { return {.kind = QuotaKind::money, .amount = nano}; }
Terms permits(Nano n) { return {.kind = QuotaKind::concurrency, .amount = n * kUnit, .linger_us = 1'000'000}; }

class QuotaTest : public ::testing::Test {
 protected:
  void SetUp() override { use(test::Postgres::instance()); }
  void use(test::Postgres* server) {
    if (!server) GTEST_SKIP() << test::kNoPostgres;
    url_ = server->fresh_url();
    auto opened = store::open_database(url_, {.readers = 1});
    ASSERT_TRUE(opened);
    database_ = std::move(*opened);
    ASSERT_TRUE(database_->migrate(migrations()));
  }
  std::unique_ptr<Quotas> node(const std::string& boot) {
    auto made = Quotas::open(url_, store::Dialect::postgres, clock_, {.holder = boot, .gap = milliseconds(30), .look = milliseconds(5)});
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  static std::shared_ptr<HeldQuota> hold(Quotas& q, const std::string& name, const Terms& terms) {
    auto held = q.hold(name, terms);
    EXPECT_TRUE(held) << describe(held.error());
    return *held;
  }
  // Takes until it is let, or a while has passed.
  static bool takes(HeldQuota& q, Nano n, Duration within = seconds(20)) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (bool again = false; std::chrono::steady_clock::now() < until; again = true) {
      if (q.take(n, again)) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return false;
  }
  template <class F>
  static bool soon(F holds) {
    for (int i = 0; i < 5'000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(milliseconds(4));
    }
    return false;
  }
  template <class F>
  auto write(F body) { return database_->write_now(std::move(body)); }
  std::int64_t number(const char* sql) {
    return *database_->read_now([&](store::Tx& tx) -> Result<std::int64_t> {
      auto rows = tx.run(sql);
      if (!rows) return std::unexpected(rows.error());
      return (*rows)[0].integer(0);
    });
  }

  SystemClock clock_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

TEST_F(QuotaTest, ThreeNodesTogetherPassWhatOneWouldAndNearlyAllOfIt) {
  std::vector<std::unique_ptr<Quotas>> nodes;
  std::vector<std::thread> callers;
  std::vector<std::uint64_t> passed(3);
  std::atomic<bool> stop{false};
  const auto began = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < 3; ++i) {
    nodes.push_back(node("boot_" + std::to_string(i)));
    callers.emplace_back([&, i, q = hold(*nodes[i], "limit", a_second(500))] {
      while (!stop) {
        if (q->take(kUnit)) ++passed[i];
        else std::this_thread::sleep_for(milliseconds(2));
      }
    });
  }
  std::this_thread::sleep_for(seconds(3));
  stop = true;
  for (auto& t : callers) t.join();
  const double lasted = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto sum = static_cast<double>(std::accumulate(passed.begin(), passed.end(), std::uint64_t{0}));
  EXPECT_LE(sum, 500 + 500 * lasted);
  EXPECT_GE(sum, 500 * lasted * 0.9);
  for (const auto p : passed) EXPECT_GE(static_cast<double>(p), sum / 5) << "fair";
  EXPECT_EQ(nodes[0]->stats().failed, 0u);
  EXPECT_LE(static_cast<double>(nodes[0]->stats().transactions), lasted / 0.03 + 2) << "no more often than it may";
  std::printf("passed %.0f of %.0f in %.1f s; transactions %llu\n", sum, 500 * lasted, lasted, static_cast<unsigned long long>(nodes[0]->stats().transactions));
}

TEST_F(QuotaTest, WhatIsIdleOrLeftIsThereForTheOthersAtOnce) {
  auto a = node("a"), b = node("b");
  const auto qa = hold(*a, "permits", permits(4)), qb = hold(*b, "permits", permits(4));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(takes(*qa, kUnit));
  EXPECT_FALSE(takes(*qb, kUnit, milliseconds(300)));
  qa->give_back(kUnit);
  EXPECT_TRUE(takes(*qb, kUnit));
  for (int i = 0; i < 3; ++i) qa->give_back(kUnit);
  a->leave();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(takes(*qb, kUnit));
  EXPECT_FALSE(takes(*qb, kUnit, milliseconds(200)));
}

TEST_F(QuotaTest, AfterAFailoverNoMoneyIsGrantedBeforeAllHaveSaidWhatTheyCharged) {
  auto a = node("a"), b = node("b");
  const auto qa = hold(*a, "budget", dollars(1'000)), qb = hold(*b, "budget", dollars(1'000));
  ASSERT_TRUE(takes(*qa, 100));
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE slices SET share = 0, floor = 0, seq = 0"); })) << "forgotten";
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE quota_calm SET timeline = timeline + 1"); }));
  EXPECT_FALSE(takes(*qb, 950, milliseconds(500)));
  a->remind();
  EXPECT_TRUE(soon([&] { return number("SELECT floor FROM slices WHERE holder = 'a'") == 100; }));
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE quota_calm SET until_us = 0"); }));
  EXPECT_FALSE(takes(*qb, 950, milliseconds(500)));
  EXPECT_TRUE(takes(*qb, 900));
}

TEST_F(QuotaTest, WhoHasNoCallsAsksNothing) {
  auto a = node("a");
  const auto q = hold(*a, "limit", a_second(500));
  ASSERT_TRUE(takes(*q, kUnit));
  EXPECT_TRUE(soon([&] { return a->stats().active == 0; }));
  const auto asked = a->stats().transactions;
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(a->stats().transactions, asked);
  EXPECT_EQ(number("SELECT CAST(SUM(share) AS BIGINT) FROM slices"), 0);
}

TEST_F(QuotaTest, AKilledNodesShareComesBackAtItsExpiryAndItsMoneyWhenItsJournalIsKnown) {
  const pid_t child = ::fork();
  if (child == 0) {                                      // takes what there is, and is killed
    auto c = node("killed");
    const auto rate = hold(*c, "limit", a_second(100)), money = hold(*c, "budget", dollars(1'000));
    for (int i = 0; i < 100; ++i) takes(*rate, kUnit);
    const bool paid = takes(*money, 700);
    ::kill(::getpid(), paid ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  ASSERT_GE(number("SELECT share FROM slices WHERE holder = 'killed' AND quota = 'budget'"), 700) << "written before it was used";
  auto a = node("a");
  const auto rate = hold(*a, "limit", a_second(100)), money = hold(*a, "budget", dollars(1'000));
  EXPECT_FALSE(takes(*money, 400, milliseconds(300)));
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE slices SET expires_us = 0 WHERE holder = 'killed' AND quota = 'limit'"); }));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(takes(*rate, kUnit));
  EXPECT_FALSE(takes(*money, 400, milliseconds(300))) << "burnt, until it is known";
  for (const Spent& more : {Spent{"budget", 100}, Spent{"budget", 23}}) ASSERT_TRUE(write([&](store::Tx& tx) { return note_spent(tx, "killed", {&more, 1}); }));
  EXPECT_EQ(*write([](store::Tx& tx) { return close_holder(tx, "killed"); }), 1);
  EXPECT_TRUE(takes(*money, 877)) << "all but what was spent";
  EXPECT_FALSE(takes(*money, 1, milliseconds(300))) << "not a nano-dollar more";
}

// Σ of what the slices have spent is what the ledger says; here the ledger is a number.
TEST_F(QuotaTest, WhatWasSpentBeforeAndByNobodyLivingCountsToo) {
  const auto total = [&] { return number("SELECT CAST(SUM(spent) AS BIGINT) FROM slices WHERE quota = 'budget'"); };
  const auto note = [&](const char* holder, Nano more) {
    const Spent spent[] = {{"budget", more}, {"none", 5}};
    return write([&](store::Tx& tx) { return note_spent(tx, holder, spent); });
  };
  ASSERT_TRUE(note("gone", 40)) << "there is no such quota yet";
  EXPECT_EQ(number("SELECT COUNT(*) FROM slices"), 0);
  std::atomic<int> made{0};
  const auto opened = [&](const char* boot) {
    auto q = Quotas::open(url_, store::Dialect::postgres, clock_, {.holder = boot, .gap = milliseconds(30), .look = milliseconds(5),
        .spent_before = [&](store::Tx&, std::span<const std::string_view> names) -> Result<std::vector<Nano>> {
          ++made;
          return std::vector<Nano>(names.size(), 40);
        }});
    EXPECT_TRUE(q);
    return std::move(*q);
  };
  auto a = opened("a"), b = opened("b");
  const auto qa = hold(*a, "budget", dollars(1'000)), qb = hold(*b, "budget", dollars(1'000));
  ASSERT_TRUE(takes(*qa, 500));
  ASSERT_TRUE(takes(*qb, 400));
  EXPECT_GE(made, 1);
  EXPECT_FALSE(takes(*qb, 61, milliseconds(300)));
  EXPECT_EQ(total(), 40);
  ASSERT_TRUE(note("a", 300));
  ASSERT_TRUE(note("gone", 10)) << "a boot without a slice";
  ASSERT_TRUE(note("ledger", -20)) << "a correction";
  EXPECT_EQ(total(), 330);
  EXPECT_TRUE(takes(*qb, 70));
  EXPECT_FALSE(takes(*qb, 1, milliseconds(300)));
  const auto beside = write([](store::Tx& tx) { return charged_beside(tx, "b", 10); });
  ASSERT_TRUE(beside && beside->size() == 1);
  EXPECT_EQ(beside->front().charged, 530);
  EXPECT_EQ(beside->front().spent, 330);
}

TEST_F(QuotaTest, ABootThatIsClosedLeavesNothingButWhatItSpent) {
  for (const char* boot : {"one", "two", "mine"}) ASSERT_TRUE(write([&](store::Tx& tx) { return add_holder(tx, boot, "journal"); }));
  ASSERT_TRUE(write([&](store::Tx& tx) { return add_holder(tx, "stranger", "another"); }));
  const auto earlier = [&] { return *write([](store::Tx& tx) { return holders_of(tx, "journal", "mine"); }); };
  EXPECT_THAT(earlier(), ::testing::ElementsAre("one", "two"));
  for (const char* boot : {"one", "two"}) {
    auto q = node(boot);
    ASSERT_TRUE(takes(*hold(*q, "budget", dollars(1'000)), 300));
  }
  for (const char* boot : {"one", "two"}) {
    const Spent spent{"budget", 100};
    ASSERT_TRUE(write([&](store::Tx& tx) { return note_spent(tx, boot, {&spent, 1}); }));
    EXPECT_EQ(*write([&](store::Tx& tx) { return close_holder(tx, boot); }), 1);
  }
  EXPECT_TRUE(earlier().empty());
  EXPECT_EQ(number("SELECT COUNT(*) FROM slices"), 1) << "however many processes there were";
  EXPECT_EQ(number("SELECT share FROM slices"), 200);
  EXPECT_EQ(*write([](store::Tx& tx) { return close_holder(tx, "one"); }), 0) << "once";
  auto c = node("c");
  const auto q = hold(*c, "budget", dollars(1'000));
  EXPECT_TRUE(takes(*q, 800));
  EXPECT_FALSE(takes(*q, 1, milliseconds(300)));
}

TEST_F(QuotaTest, AQuotaOfAnotherKindUnderTheSameNameLetsNothingThrough) {
  auto a = node("a"), b = node("b");
  const auto qa = hold(*a, "limit", a_second(5)), qb = hold(*b, "limit", permits(5));
  ASSERT_TRUE(takes(*qa, kUnit));
  EXPECT_FALSE(takes(*qb, kUnit, milliseconds(300)));
  EXPECT_TRUE(qb->figures().other);
  const auto here = a->hold("limit", permits(5));
  ASSERT_FALSE(here);
  EXPECT_EQ(here.error().code, ErrorCode::caller_conflict);
  EXPECT_FALSE(a->hold("", a_second(5)));
  EXPECT_FALSE(a->hold("zero", a_second(0)));
}

TEST_F(QuotaTest, ManyQuotasInAnyOrderNeverWaitInARing) {
  std::vector<std::unique_ptr<Quotas>> nodes;
  std::vector<std::thread> callers;
  for (unsigned i = 0; i < 3; ++i) {
    nodes.push_back(node("boot_" + std::to_string(i)));
    callers.emplace_back([i, &mine = *nodes.back()] {
      std::vector<std::shared_ptr<HeldQuota>> held;
      for (unsigned k = 0; k < 60; ++k) held.push_back(hold(mine, "q" + std::to_string(i % 2 ? 59 - k : k) + "\"|é", a_second(50)));
      for (int round = 0; round < 300; ++round) {
        for (const auto& q : held) (void)q->take(kUnit);
        std::this_thread::sleep_for(milliseconds(4));
      }
    });
  }
  for (auto& t : callers) t.join();
  for (const auto& n : nodes) EXPECT_EQ(n->stats().failed, 0u);
  EXPECT_EQ(number("SELECT COUNT(*) FROM quotas"), 60);
}

TEST_F(QuotaTest, WhatNobodyCanMissIsSweptAway) {
  auto a = node("a"), b = node("b");
  const auto rate = hold(*a, "limit", a_second(5)), money = hold(*b, "budget", {.kind = QuotaKind::money, .amount = 50, .ends_us = 1'000});
  ASSERT_TRUE(takes(*rate, kUnit) && takes(*money, 20));
  b->leave();
  EXPECT_EQ(number("SELECT share FROM slices WHERE holder = 'b' AND quota = 'budget'"), 20) << "what is charged stays";
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_quotas(tx); }), 1) << "the window that ended long ago";
  EXPECT_TRUE(soon([&] { return rate->figures().share == 0; }));
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_quotas(tx); }), 0);
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE slices SET expires_us = 0"); }));
  ASSERT_TRUE(write([](store::Tx& tx) { return tx.run("UPDATE quotas SET at_us = 0"); }));
  EXPECT_EQ(*write([](store::Tx& tx) { return sweep_quotas(tx); }), 1);
  EXPECT_EQ(number("SELECT COUNT(*) FROM slices"), 0);
  EXPECT_TRUE(takes(*rate, kUnit)) << "made anew";
}

TEST_F(QuotaTest, WithoutTheDatabaseItGoesOnWithWhatItHolds) {
  use(test::Postgres::own());
  if (IsSkipped()) return;
  auto a = node("a");
  const auto q = hold(*a, "limit", a_second(200));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> passed{0};
  std::thread caller([&] {
    while (!stop) {
      if (q->take(kUnit)) ++passed;
      else std::this_thread::sleep_for(milliseconds(2));
    }
  });
  EXPECT_TRUE(soon([&] { return q->figures().share == 200 * kUnit; }));
  test::Postgres::own()->stop(SIGQUIT);
  EXPECT_TRUE(soon([&] { return a->stats().away > seconds(1); }));
  const std::uint64_t before = passed;
  EXPECT_TRUE(soon([&] { return passed > before + 200; }));
  EXPECT_EQ(q->figures().share, 200 * kUnit);
  ASSERT_TRUE(test::Postgres::own()->start());
  const auto answers = q->figures().answers;
  EXPECT_TRUE(soon([&] { return q->figures().answers > answers && a->stats().away == Duration{}; }));
  stop = true;
  caller.join();
}

TEST(QuotaAlone, OneFileHasOneNodeAndItsQuotasAreWhole) {
  SystemClock clock;
  auto alone = Quotas::open("sqlite:none.db", store::Dialect::sqlite, clock, {.holder = "a"});
  ASSERT_TRUE(alone);
  EXPECT_TRUE((*alone)->alone());
  EXPECT_EQ(*(*alone)->hold("limit", a_second(5)), nullptr);
  (*alone)->leave();
}

}  // namespace
}  // namespace ballast::cluster
