// Limits that several nodes share: nodes in one process on a real server, one that is killed, a database that goes away.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include "../support/databases.hpp"
#include "base/sim_loop.hpp"
#include "cluster/members.hpp"
#include "cluster/quota.hpp"
#include "gateway/fair_queue.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;
using cluster::Quotas;

LimitRule requests(std::uint64_t amount, Duration per) { return {.scope = LimitScope::key, .requests = Rate{amount, per}}; }
LimitRule tokens(std::uint64_t amount, Duration per) { return {.scope = LimitScope::key, .tokens = Rate{amount, per}}; }
LimitRule at_once(std::uint32_t calls) { return {.scope = LimitScope::key, .concurrency = calls}; }
constexpr LimitSubject kAlice{.key = "alice"};

struct Node {
  std::unique_ptr<Quotas> quotas;          // dies last
  std::vector<std::unique_ptr<Limits>> retired;
  std::unique_ptr<Limits> limits;

  // As a reload does: the old one may still be in use.
  void reload(std::vector<LimitRule> rules, const Clock& clock) {
    auto made = Limits::create(std::move(rules), clock, {.quotas = quotas.get(), .longest_call = 1s, .newer_than = limits->version()});
    ASSERT_TRUE(made) << describe(made.error());
    retired.push_back(std::exchange(limits, std::move(*made)));
  }
};

class SharedLimits : public ::testing::Test {
 protected:
  void SetUp() override { use(ballast::test::Postgres::instance()); }
  void use(ballast::test::Postgres* server) {
    if (!server) GTEST_SKIP() << ballast::test::kNoPostgres;
    url_ = server->fresh_url();
    auto opened = store::open_database(url_, {.readers = 1});
    ASSERT_TRUE(opened);
    database_ = std::move(*opened);
    ASSERT_TRUE(database_->migrate(cluster::migrations()));
  }
  Node node(const std::string& boot, std::vector<LimitRule> rules, Duration gap = 30ms, std::size_t max_buckets = 131'072) { return node(boot, rules, clock_, gap, max_buckets); }
  Node node(const std::string& boot, std::vector<LimitRule> rules, const Clock& clock, Duration gap = 30ms, std::size_t max_buckets = 131'072) {
    Node n;
    auto quotas = Quotas::open(url_, store::Dialect::postgres, clock, {.holder = boot, .gap = gap, .look = 5ms});
    EXPECT_TRUE(quotas);
    n.quotas = std::move(*quotas);
    auto limits = Limits::create(std::move(rules), clock, {.max_buckets = max_buckets, .quotas = n.quotas.get(), .longest_call = 1s});
    EXPECT_TRUE(limits) << describe(limits.error());
    n.limits = std::move(*limits);
    return n;
  }
  // Asks until it is let in, or a while has passed.
  static std::expected<Admission, Refusal> admit(Limits& limits, std::uint64_t estimate = 0, Duration within = 20s, const LimitSubject& subject = kAlice) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (Turn turn = Turn::arrived;; turn = Turn::again) {
      auto answer = limits.admit(subject, estimate, turn);
      if (answer || std::chrono::steady_clock::now() > until) return answer;
      std::this_thread::sleep_for(2ms);
    }
  }
  template <class F>
  static bool soon(F holds) {
    for (int i = 0; i < 5'000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(4ms);
    }
    return false;
  }
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

struct Passed {                            // somewhere between the two
  double before, after;
};
// The most by which any interval has more than `amount` and what refills in it.
double excess(std::vector<Passed> calls, double amount, double a_second) {
  double worst = 0;
  std::ranges::sort(calls, {}, &Passed::before);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    std::vector<double> ends;
    for (std::size_t k = i; k < calls.size(); ++k) ends.push_back(calls[k].after);
    std::ranges::sort(ends);
    for (std::size_t k = 0; k < ends.size(); ++k)
      worst = std::max(worst, static_cast<double>(k + 1) - amount - a_second * (ends[k] - calls[i].before));
  }
  return worst;
}

TEST_F(SharedLimits, ThreeNodesLetThroughWhatOneWouldOverAnyInterval) {
  std::vector<Node> nodes;
  for (int i = 0; i < 3; ++i) nodes.push_back(node("boot_" + std::to_string(i), {requests(200, 1s)}));
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  std::vector<std::vector<Passed>> passed(nodes.size());
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    callers.emplace_back([&, i] {
      while (!stop) {
        const double before = elapsed();
        if (nodes[i].limits->admit(kAlice, 0)) passed[i].push_back({before, elapsed()});
        else std::this_thread::sleep_for(2ms);
      }
    });
  std::this_thread::sleep_for(2500ms);
  stop = true;
  for (auto& t : callers) t.join();
  const double lasted = elapsed();
  std::vector<Passed> all;
  for (const auto& one : passed) all.insert(all.end(), one.begin(), one.end());
  EXPECT_LE(excess(all, 200, 200), 0.0);
  EXPECT_GE(static_cast<double>(all.size()), 200 * lasted * 0.9);
  for (const auto& one : passed) EXPECT_GE(one.size(), all.size() / 8) << "fair, from the first second on";
}

TEST_F(SharedLimits, OneNodeMayHaveAllOfItAndIsToldWhenThereIsMore) {
  Node a = node("a", {requests(20, 1h)}), b = node("b", {requests(20, 1h)});
  for (int i = 0; i < 20; ++i) {
    const auto let_in = admit(*a.limits);
    ASSERT_TRUE(let_in) << i;
    EXPECT_EQ(let_in->figures().requests->limit, 20u);
    EXPECT_LE(let_in->figures().requests->remaining, 19u - static_cast<unsigned>(i));
  }
  EXPECT_TRUE(soon([&] { return !a.limits->admit(kAlice, 0).error().slice; })) << "it has the whole: nobody can give it more";
  const auto refused = a.limits->admit(kAlice, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::policy_rate_limited);
  EXPECT_GT(*refused.error().error.retry_after, 150s);
  EXPECT_LE(*refused.error().error.retry_after, 180s) << "one of twenty an hour";
  const auto there = admit(*b.limits, 0, 1500ms);
  ASSERT_FALSE(there) << "nor is there anything on another node";
  EXPECT_LE(*there.error().error.retry_after, 180s) << "by the whole limit, whatever this node has of it";
}

TEST_F(SharedLimits, AnEstimateIsNobodyElsesUntilItIsSettled) {
  Node a = node("a", {tokens(1000, 1h)}), b = node("b", {tokens(1000, 1h)});
  auto first = admit(*a.limits, 900);
  ASSERT_TRUE(first);
  EXPECT_FALSE(admit(*b.limits, 200, 500ms));
  EXPECT_TRUE(b.limits->admit(kAlice, 1001).error().never);
  first->settle(100);
  auto second = admit(*b.limits, 700);
  ASSERT_TRUE(second) << "what was not used is there for the others";
  second->settle(700);
  auto third = admit(*a.limits, 190);
  ASSERT_TRUE(third);
  third->refund();
  EXPECT_TRUE(admit(*b.limits, 190)) << "as if it had never been";
  EXPECT_FALSE(admit(*a.limits, 50, 500ms));
}

TEST_F(SharedLimits, PermitsComeBackHoweverACallEnds) {
  Node a = node("a", {at_once(4)}), b = node("b", {at_once(4)});
  std::vector<Admission> running;
  for (int i = 0; i < 4; ++i) {
    auto let_in = admit(*a.limits);
    ASSERT_TRUE(let_in);
    running.push_back(std::move(*let_in));
  }
  EXPECT_FALSE(a.limits->admit(kAlice, 0));
  EXPECT_FALSE(admit(*b.limits, 0, 300ms));
  running[0].settle(0);
  auto one = admit(*b.limits);
  EXPECT_TRUE(one);
  running[1].refund();
  auto two = admit(*b.limits);
  EXPECT_TRUE(two);
  EXPECT_FALSE(admit(*b.limits, 0, 300ms)) << "four in all";
  running.clear();
  auto three = admit(*b.limits), four = admit(*b.limits);
  EXPECT_TRUE(three && four);
  EXPECT_FALSE(admit(*a.limits, 0, 300ms));
}

TEST_F(SharedLimits, ARefusedCallConsumesNothingOfAnyLimit) {
  Node a = node("a", {{.scope = LimitScope::system, .requests = Rate{10, 1h}, .concurrency = 5}, tokens(1000, 1h)});
  const LimitSubject everything{.key = "alice", .system = true};
  auto first = admit(*a.limits, 900, 20s, everything);
  ASSERT_TRUE(first);
  for (int i = 0; i < 30; ++i) ASSERT_FALSE(a.limits->admit(everything, 300));
  first->settle(900);
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(admit(*a.limits, 10, 20s, everything)) << i;
  EXPECT_FALSE(admit(*a.limits, 10, 300ms, everything)) << "ten requests an hour";
}

TEST_F(SharedLimits, WhatAKilledNodeHeldComesBack) {
  const pid_t child = ::fork();
  if (child == 0) {
    Node c = node("killed", {requests(100, 1s), at_once(2)});
    std::vector<Admission> running;
    for (int i = 0; i < 2; ++i)
      if (auto let_in = admit(*c.limits)) running.push_back(std::move(*let_in));
    ::kill(::getpid(), running.size() == 2 ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  Node a = node("a", {requests(100, 1s), at_once(2)});
  EXPECT_FALSE(admit(*a.limits, 0, 500ms)) << "its calls may still be under way";
  EXPECT_EQ(number("SELECT COUNT(*) FROM slices s JOIN quotas q ON q.name = s.quota WHERE q.kind = 1 AND s.holder = 'killed' AND s.expires_us - s.asked_us = 61000000"), 1)
      << "the lease, and as long as a call may last";
  ASSERT_TRUE(database_->write_now([](store::Tx& tx) { return tx.run("UPDATE slices SET expires_us = 0 WHERE holder = 'killed'"); }));
  EXPECT_TRUE(admit(*a.limits));
}

TEST_F(SharedLimits, TheConfigurationLoadedLastHoldsEverywhere) {
  Node a = node("a", {at_once(2)}), b = node("b", {at_once(2)});
  std::vector<Admission> running;
  const auto more = [&](Node& n, Duration within) {
    auto let_in = admit(*n.limits, 0, within);
    if (let_in) running.push_back(std::move(*let_in));
    return let_in.has_value();
  };
  ASSERT_TRUE(more(a, 20s) && more(b, 20s));
  ASSERT_FALSE(more(a, 300ms));
  a.reload({at_once(4)}, clock_);
  EXPECT_TRUE(more(a, 20s));
  b.reload({at_once(4)}, clock_);
  EXPECT_TRUE(more(b, 20s));
  EXPECT_FALSE(more(b, 300ms)) << "four, those of before the reload among them";
  a.reload({at_once(1)}, clock_);
  EXPECT_FALSE(more(a, 300ms));
  running.clear();
  EXPECT_TRUE(more(a, 20s));
  EXPECT_FALSE(more(b, 500ms)) << "one, though this node was not told yet";
}

TEST_F(SharedLimits, ALowerRateHoldsAtOnce) {
  Node a = node("a", {requests(100, 1h)}), b = node("b", {requests(100, 1h)});
  ASSERT_TRUE(admit(*a.limits));
  a.reload({requests(5, 1h)}, clock_);
  int passed = 0;
  while (a.limits->admit(kAlice, 0)) ++passed;
  while (admit(*a.limits, 0, 500ms)) ++passed;
  while (admit(*b.limits, 0, 500ms)) ++passed;
  EXPECT_LE(passed, 5);
}

TEST_F(SharedLimits, RulesThatAreAlikeDoNotMeetAndNoUserIsNamed) {
  LimitRule a_minute{.scope = LimitScope::user, .requests = Rate{9, 1min}}, an_hour{.scope = LimitScope::user, .requests = Rate{6, 1h}},
      fewer{.scope = LimitScope::user, .requests = Rate{3, 1h}}, some{.scope = LimitScope::user, .match = "ann*", .requests = Rate{8, 1h}};
  Node a = node("a", {a_minute, an_hour, fewer, some});
  for (const std::string_view user : {std::string_view("ann"), std::string_view("\xff|'\"\0", 5)}) {
    const LimitSubject subject{.user = user};
    ASSERT_TRUE(admit(*a.limits, 0, 20s, subject));
    int passed = 1;
    while (admit(*a.limits, 0, 300ms, subject)) ++passed;
    EXPECT_EQ(passed, 3);
  }
  EXPECT_EQ(number("SELECT COUNT(*) FROM quotas"), 7);
  EXPECT_EQ(number("SELECT COUNT(*) FROM quotas WHERE name LIKE '%:ann'"), 0);
}

TEST_F(SharedLimits, AForgottenBucketGoesOnWhereItWas) {
  Node a = node("a", {requests(5, 1h)}, 30ms, 64);     // one bucket a shard
  std::vector<std::string> keys;
  for (int i = 0; i < 300; ++i) keys.push_back("key" + std::to_string(i));
  ASSERT_TRUE(admit(*a.limits));
  for (const auto& key : keys) (void)a.limits->admit({.key = key}, 0);
  EXPECT_LE(a.limits->stats().buckets, 64u);
  EXPECT_TRUE(soon([&] { return a.quotas->stats().active == 0; })) << "nobody uses any";
  int passed = 0;
  while (admit(*a.limits, 0, 1s)) ++passed;
  EXPECT_EQ(passed, 4);
}

TEST_F(SharedLimits, SteadyLoadCostsFewTransactions) {
  Node a = node("a", {requests(100'000, 1min), tokens(10'000'000, 1min), at_once(50)}, 200ms);
  const auto call = [&] {
    auto let_in = admit(*a.limits, 100);
    if (let_in) let_in->settle(50);
    return let_in.has_value();
  };
  ASSERT_TRUE(call());
  const auto before = a.quotas->stats();
  for (int i = 0; i < 2'000; ++i) {
    ASSERT_TRUE(call());
    std::this_thread::sleep_for(1ms);
  }
  const auto after = a.quotas->stats();
  const double each = static_cast<double>(after.transactions - before.transactions) / 2'000;
  std::printf("transactions a call: %.4f, slices settled a call: %.4f\n", each, static_cast<double>(after.asks - before.asks) / 2'000);
  EXPECT_LE(each, 0.05);
}

// A node whose calls wait in the queue, on simulated time, with the database's real one beside it.
class SlicesInTheQueue : public SharedLimits {
 protected:
  // As the road does.
  Task<void> call(Limits& limits, FairQueue& queue, std::string name, QueueOptions options) {
    auto answer = limits.admit(kAlice, 0);
    if (!answer && (answer.error().slice || !options.for_slice)) answer = co_await queue.admit(kAlice, 0, "tenant", options, loop_, nullptr);
    if (answer) running_.push_back(std::move(*answer));
    (answer ? served_ : refused_).push_back(name);
    if (!answer) errors_.push_back(answer.error());
  }
  void start(const Node& n, FairQueue& queue, const std::string& name, QueueOptions options) {
    detach(call(*n.limits, queue, name, options), [](std::exception_ptr e) { std::rethrow_exception(e); });
    loop_.run_until_idle();
  }
  template <class F>
  bool until(F holds) {
    for (int i = 0; i < 20'000; ++i) {
      if (holds()) return true;
      pass(1ms);
    }
    return false;
  }
  void pass(Duration d) {
    std::this_thread::sleep_for(1ms);
    loop_.advance(d);
  }

  static constexpr QueueOptions kForSlice{.wait = 1h, .depth = 1'000, .for_slice = true};
  SimClock clock_;
  SimLoop loop_{clock_};
  std::vector<std::string> served_, refused_;
  std::vector<Refusal> errors_;
  std::vector<Admission> running_;
};

TEST_F(SlicesInTheQueue, OnAFreshNodeEverybodyWaitsForTheFirstAnswerAndIsServedInTurn) {
  Node a = node("a", {at_once(30)}, clock_);
  FairQueue queue(*a.limits);
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) names.push_back(std::to_string(i));
  for (const auto& name : names) start(a, queue, name, kForSlice);
  EXPECT_TRUE(until([&] { return served_.size() + refused_.size() == 40; }));
  EXPECT_EQ(served_, std::vector<std::string>(names.begin(), names.begin() + 30));
  for (const Refusal& r : errors_) {
    EXPECT_EQ(r.error.code, ErrorCode::policy_rate_limited);
    EXPECT_FALSE(r.slice) << "the node has it all, and nothing is waited for any more";
  }
  EXPECT_EQ(queue.waiting(), 0u);
  running_.clear();
}

TEST_F(SlicesInTheQueue, WhoWaitsForRoomStaysWhenThereIsNoMoreToBeGiven) {
  Node a = node("a", {at_once(1)}, clock_);
  FairQueue queue(*a.limits);
  start(a, queue, "first", kForSlice);
  start(a, queue, "patient", {.wait = 1h, .depth = 1});
  start(a, queue, "one too many", {.wait = 1h, .depth = 1});
  EXPECT_EQ(refused_, std::vector<std::string>{"one too many"}) << "places of the queue are counted apart";
  start(a, queue, "second", kForSlice);
  EXPECT_TRUE(until([&] { return served_.size() + refused_.size() == 3; }));
  EXPECT_EQ(served_, std::vector<std::string>{"first"});
  EXPECT_EQ(refused_.back(), "second");
  running_.clear();                                    // its permit goes to who waits
  EXPECT_TRUE(until([&] { return served_.size() == 2; }));
  EXPECT_EQ(served_.back(), "patient");
  running_.clear();
}

TEST_F(SlicesInTheQueue, NobodyOvertakesThoseWhoWaitForAnAnswer) {
  Node a = node("a", {at_once(1)}, clock_);
  FairQueue queue(*a.limits);
  start(a, queue, "first", kForSlice);
  int hasty = 0;
  EXPECT_TRUE(until([&] {
    hasty += a.limits->admit(kAlice, 0).has_value();
    return served_.size() == 1;
  }));
  EXPECT_EQ(hasty, 0);
  running_.clear();
}

TEST_F(SlicesInTheQueue, WhenTheDatabaseIsAwayForTooLongALimitCannotBeChecked) {
  use(ballast::test::Postgres::own());
  if (IsSkipped()) return;
  Node a = node("a", {requests(1'000, 1min)}, clock_);
  FairQueue queue(*a.limits);
  start(a, queue, "before", kForSlice);
  ASSERT_TRUE(until([&] { return served_.size() == 1; }));
  ballast::test::Postgres::own()->stop(SIGQUIT);
  database_.reset();
  ASSERT_TRUE(until([&] { return a.quotas->stats().away > 2s; }));
  EXPECT_TRUE(a.limits->admit(kAlice, 0)) << "it goes on with what it has";
  clock_.advance(60s);
  const auto refused = a.limits->admit(kAlice, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::internal_unavailable);
  EXPECT_EQ(refused.error().error.retry_after, 1s);
  EXPECT_FALSE(refused.error().slice) << "nobody waits for an answer that does not come";
  const std::string& said = refused.error().error.message;
  EXPECT_TRUE(said.starts_with("the limits of key \"alice\" cannot be checked: the database has been away for 6")) << said;
  ASSERT_TRUE(ballast::test::Postgres::own()->start());
  start(a, queue, "after", {.wait = 1h});
  EXPECT_TRUE(until([&] { return served_.size() == 2; }));
  running_.clear();
}

TEST(LimitsAlone, AQuotasThatIsAloneChangesNothing) {
  SimClock clock;
  auto alone = Quotas::open("sqlite:none.db", store::Dialect::sqlite, clock, {.holder = "a"});
  ASSERT_TRUE(alone);
  auto limits = Limits::create({requests(2, 1s)}, clock, {.quotas = alone->get()});
  ASSERT_TRUE(limits);
  EXPECT_TRUE((*limits)->admit(kAlice, 0) && (*limits)->admit(kAlice, 0));
  EXPECT_EQ((*limits)->admit(kAlice, 0).error().error.retry_after, 500ms);
  EXPECT_EQ((*limits)->version(), 0);
}

}  // namespace
}  // namespace ballast::gateway
