// Who is leased next, what holds a job back, and what a lease is worth. Every step is followed by a count of everything.
#include "work/board.hpp"

#include <gtest/gtest.h>

#include <map>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

class BoardTest : public ::testing::Test {
 protected:
  struct With {
    std::string tenant = "t", queue = "default", task;
    std::uint8_t priority = kDefaultPriority;
    std::string key;
    std::uint32_t limit = 0;
    Duration delay{};
    Duration deadline{};
    JobState state = JobState::queued;
  };
  JobId add(const With& w) {
    Job job;
    job.id = JobId{++last_};
    job.spec.queue = w.queue;
    job.spec.tenant = w.tenant;
    job.spec.priority = w.priority;
    job.spec.concurrency_key = w.key;
    job.spec.concurrency = w.limit;
    EXPECT_TRUE(board.add(job, {w.queue, w.task}, now, now + w.delay, w.deadline > 0s ? now + w.deadline : kNever, w.state));
    audit();
    return job.id;
  }
  JobId add() { return add(With{}); }
  std::vector<JobId> lease(std::size_t most = 1) {
    claim = board.lease_local(most, now);
    audit();
    return claim.jobs;
  }
  std::vector<JobId> pull(std::size_t most = 1, std::vector<std::string> queues = {"default"}, std::vector<std::string> tasks = {}, Duration lease = 30s) {
    claim = board.lease_for("worker", queues, tasks, most, now, now + lease);
    audit();
    return claim.jobs;
  }
  JobId one() {
    const auto jobs = lease(1);
    return jobs.empty() ? JobId{} : jobs.front();
  }
  void done(JobId id) { board.remove(id, now), audit(); }
  void again(JobId id, Duration delay = {}) { board.requeue(id, 1, now + delay, now), audit(); }
  void pass(Duration d) { now += d, board.tick(now), audit(); }
  void rules(QueueRules r, const std::string& queue = "default") { board.set_rules(queue, r), audit(); }
  Entry::Place place(JobId id) { return board.find(id)->place; }
  void audit() { board.audit(now); }

  MonoTime now{1h};
  Board board{3};
  Claim claim;                               // the last one

 private:
  std::int64_t last_ = 0;
};

using P = Entry::Place;

TEST_F(BoardTest, AJobIsLeasedOnceInOrderOfAge) {
  const JobId a = add(), b = add(), c = add();
  EXPECT_EQ(lease(2), (std::vector{a, b}));
  EXPECT_EQ(lease(2), (std::vector{c}));
  EXPECT_EQ(lease(2), std::vector<JobId>{});
  EXPECT_EQ(board.leased_local(), 3u);
  EXPECT_FALSE(board.add([&] { Job j; j.id = a; return j; }(), {"default", ""}, now, now, kNever)) << "known already";
  for (const JobId id : {a, b, c}) done(id);
  EXPECT_EQ(board.size(), 0u);
  EXPECT_EQ(board.leased_local(), 0u);
}

TEST_F(BoardTest, FencesStrictlyIncreaseAndBeginAboveTheEpochs) {
  Fence last = Fence{3} << 32;
  const JobId a = add();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(i % 3 == 2 ? pull() : lease(), i % 3 == 2 ? std::vector<JobId>{} : std::vector{a});
    if (claim.jobs.empty()) continue;
    EXPECT_GT(claim.fence, last);
    last = claim.fence;
    i % 2 ? board.unlease(a, now) : board.requeue(a, 0, now, now);
    audit();
  }
}

TEST_F(BoardTest, OneTenantsFloodDoesNotStarveAnother) {
  for (int i = 0; i < 1'000; ++i) add({.tenant = "flood", .priority = 0});
  const JobId quiet = add({.tenant = "quiet", .priority = 9});
  const auto jobs = lease(3);
  EXPECT_TRUE(std::ranges::find(jobs, quiet) != jobs.end()) << "second in turn, whatever the flood calls its own priority";
}

TEST_F(BoardTest, TenantsShareAQueueEvenly) {
  for (int i = 0; i < 300; ++i) add({.tenant = "a"});
  for (int i = 0; i < 30; ++i) add({.tenant = "b"}), add({.tenant = "c"});
  std::map<std::uint32_t, int> given;
  for (const JobId id : lease(90)) ++given[board.find(id)->tenant];
  ASSERT_EQ(given.size(), 3u);
  for (const auto& [tenant, n] : given) EXPECT_EQ(n, 30);
}

TEST_F(BoardTest, WithinATenantPriorityGoesBeforeAge) {
  const JobId late = add({.priority = 9}), usual = add(), first = add({.priority = 0}), usual2 = add(), beyond = add({.priority = 200});
  EXPECT_EQ(lease(10), (std::vector{first, usual, usual2, late, beyond}));
}

TEST_F(BoardTest, QueuesTakeTurns) {
  for (int i = 0; i < 100; ++i) add({.queue = "long"});
  const JobId other = add({.queue = "short"});
  const auto jobs = lease(2);
  EXPECT_TRUE(std::ranges::find(jobs, other) != jobs.end());
}

// A cycle of the engine leases for itself, then for a worker; each by one job.
TEST_F(BoardTest, QueuesTakeTurnsWhoeverElseLeasesInBetween) {
  for (int i = 0; i < 20; ++i) {
    add({.queue = "a"}), add({.queue = "b"});
    add({.queue = "a", .task = "x"}), add({.queue = "b", .task = "x"});
  }
  std::map<std::uint32_t, int> local, pulled;
  for (int i = 0; i < 10; ++i) {
    ++local[board.find(lease(1).at(0))->lane];
    ++pulled[board.find(pull(1, {"a", "b"}).at(0))->lane];
  }
  ASSERT_EQ(local.size(), 2u) << "one queue got all of it";
  ASSERT_EQ(pulled.size(), 2u) << "one queue got all of it";
}

TEST_F(BoardTest, TasksOfAQueueTakeTurnsWhoeverElseLeasesInBetween) {
  for (int i = 0; i < 20; ++i) add(), add({.task = "x"}), add({.task = "y"});
  std::map<std::uint32_t, int> pulled;
  for (int i = 0; i < 10; ++i) {
    lease(1);
    ++pulled[board.find(pull(1).at(0))->lane];
  }
  EXPECT_EQ(pulled.size(), 2u) << "one task got all of it";
}

TEST_F(BoardTest, AWorkerGetsItsTasksAndThisProcessTheOthers) {
  const JobId mine = add(), mail = add({.task = "mail"}), print = add({.task = "print"}), elsewhere = add({.queue = "other", .task = "mail"});
  EXPECT_EQ(pull(5, {"default"}, {"print"}), std::vector{print});
  EXPECT_EQ(claim.holder, "worker");
  EXPECT_EQ(pull(5, {"nowhere"}), std::vector<JobId>{});
  EXPECT_FALSE(board.has_ready_for(std::vector<std::string>{"default"}, std::vector<std::string>{"print"}));
  EXPECT_TRUE(board.has_ready_for(std::vector<std::string>{"default"}, {}));
  EXPECT_EQ(pull(5, {"default", "other"}).size(), 2u);
  EXPECT_EQ(place(mail), P::leased);
  EXPECT_EQ(place(elsewhere), P::leased);
  EXPECT_EQ(board.leased_local(), 0u);
  EXPECT_TRUE(board.has_local_ready());
  EXPECT_EQ(lease(5), std::vector{mine});
  EXPECT_FALSE(board.has_local_ready());
}

TEST_F(BoardTest, AQueuesConcurrencyBounds) {
  rules({.concurrency = 2});
  const JobId a = add(), b = add(), c = add();
  EXPECT_EQ(lease(9), (std::vector{a, b}));
  EXPECT_FALSE(board.has_local_ready());
  done(a);
  EXPECT_TRUE(board.has_local_ready());
  EXPECT_EQ(lease(9), std::vector{c});
  rules({.concurrency = 0});
  add();
  EXPECT_EQ(lease(9).size(), 1u);
}

TEST_F(BoardTest, ATenantsLimitHoldsItAloneBack) {
  rules({.per_tenant = 1});
  const JobId a = add({.tenant = "a"}), a2 = add({.tenant = "a"}), b = add({.tenant = "b"}), b2 = add({.tenant = "b"});
  EXPECT_EQ(lease(9), (std::vector{a, b}));
  EXPECT_FALSE(board.has_local_ready());
  done(b);
  EXPECT_EQ(lease(9), std::vector{b2});
  again(a, 1s);
  EXPECT_EQ(lease(9), std::vector{a2});
  rules({});
  pass(1s);
  EXPECT_EQ(lease(9), std::vector{a});
}

TEST_F(BoardTest, ATenantsLimitCountsAllTasksOfTheQueue) {
  rules({.per_tenant = 1});
  const JobId x = add({.task = "x"}), y = add({.task = "y"});
  EXPECT_EQ(pull(9).size(), 1u);
  EXPECT_EQ(pull(9).size(), 0u);
  done(place(x) == P::leased ? x : y);
  EXPECT_EQ(pull(9).size(), 1u);
}

TEST_F(BoardTest, RaisedTenantLimitsLetThemGoOnAtOnce) {
  rules({.per_tenant = 1});
  for (int i = 0; i < 4; ++i) add();
  EXPECT_EQ(lease(9).size(), 1u);
  rules({.per_tenant = 3});
  EXPECT_TRUE(board.has_local_ready());
  EXPECT_EQ(lease(9).size(), 2u);
}

TEST_F(BoardTest, APausedQueueLeasesNothingUntilItIsResumed) {
  const JobId a = add(), b = add();
  EXPECT_EQ(one(), a);
  rules({.paused = true});
  EXPECT_FALSE(board.has_local_ready());
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  done(a);
  rules({});
  EXPECT_EQ(lease(9), std::vector{b});
}

TEST_F(BoardTest, AConcurrencyKeyHoldsBackItsOwnJobsOnly) {
  const JobId a = add({.key = "k", .limit = 1}), b = add({.key = "k", .limit = 1}), c = add({.key = "k", .limit = 1}), free = add(), other = add({.key = "l", .limit = 1});
  EXPECT_EQ(lease(9), (std::vector{a, free, other}));
  EXPECT_EQ(place(b), P::blocked);
  EXPECT_EQ(board.figures("default").blocked, 2u);
  EXPECT_FALSE(board.has_local_ready());
  done(a);
  EXPECT_EQ(place(b), P::ready);
  EXPECT_EQ(place(c), P::blocked);
  EXPECT_EQ(lease(9), std::vector{b});
  again(b, 1s);
  EXPECT_EQ(lease(9), std::vector{c}) << "while the other waits for its retry";
  pass(1s);
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  done(c);
  EXPECT_EQ(lease(9), std::vector{b});
}

TEST_F(BoardTest, AKeysNewLimitHoldsAndLetsTheOldestGoFirst) {
  std::vector<JobId> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(add({.key = "k", .limit = 1}));
  EXPECT_EQ(lease(9).size(), 1u);
  jobs.push_back(add({.key = "k", .limit = 4}));
  EXPECT_EQ(lease(9), (std::vector{jobs[1], jobs[2], jobs[3]}));
}

TEST_F(BoardTest, ABlockedOrReadyJobThatIsCancelledLetsTheNextGoOn) {
  const JobId a = add({.key = "k", .limit = 1}), b = add({.key = "k", .limit = 1}), c = add({.key = "k", .limit = 1});
  EXPECT_EQ(lease(9), std::vector{a});
  done(b);
  done(a);
  EXPECT_EQ(place(c), P::ready);
  const JobId d = add({.key = "k", .limit = 1});
  EXPECT_EQ(lease(9), std::vector{c});
  board.park(c, 0, kNever, now), audit();
  EXPECT_EQ(lease(9), std::vector{d}) << "what waits holds nothing";
}

TEST_F(BoardTest, KeysAndTenantsAreForgottenWithTheirLastJob) {
  for (int i = 0; i < 2'000; ++i) {
    const std::string name = std::to_string(i);
    const JobId id = add({.tenant = name, .key = name, .limit = 1});
    EXPECT_EQ(one(), id);
    done(id);
  }
  EXPECT_LE(board.find(add({.tenant = "last"}))->tenant, 2u) << "numbers are given again";
}

TEST_F(BoardTest, DelayedJobsComeWhenTheyAreDue) {
  const JobId later = add({.delay = 10s}), sooner = add({.delay = 5s});
  EXPECT_EQ(place(later), P::delayed);
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  EXPECT_EQ(board.next_event(), now + 5s);
  pass(5s);
  EXPECT_EQ(lease(9), std::vector{sooner});
  pass(4s);
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  pass(1s);
  EXPECT_EQ(lease(9), std::vector{later});
  again(later, 3s), again(sooner, 2s);
  pass(3s);
  EXPECT_EQ(lease(9), (std::vector{sooner, later}));
}

TEST_F(BoardTest, ALeaseIsItsHoldersAloneAndOnlyOnce) {
  const JobId a = add({.task = "x"});
  EXPECT_EQ(board.held(JobId{77}, 1).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(board.held(a, 1).error().code, ErrorCode::caller_conflict) << "nobody's yet";
  pull();
  const Fence first = claim.fence;
  EXPECT_TRUE(board.held(a, first));
  EXPECT_FALSE(board.held(a, first + 1));
  EXPECT_FALSE(board.held(a, first - 1));
  again(a);
  EXPECT_FALSE(board.held(a, first)) << "it failed: over";
  pull();
  EXPECT_FALSE(board.held(a, first));
  EXPECT_FALSE(board.extend(a, first, now + 1h));
  EXPECT_TRUE(board.held(a, claim.fence));
  ASSERT_TRUE(board.hold(a));
  EXPECT_FALSE(board.held(a, claim.fence)) << "its outcome is being written";
  board.let_go(a), audit();
  EXPECT_TRUE(board.held(a, claim.fence));
}

TEST_F(BoardTest, LeasesExpireUnlessTheyAreExtended) {
  const JobId a = add({.task = "x"}), b = add({.task = "x"});
  ASSERT_EQ(pull(2).size(), 2u);
  pass(20s);
  ASSERT_TRUE(board.extend(a, claim.fence, now + 30s));
  ASSERT_TRUE(board.extend(a, claim.fence, now + 5s)) << "a shorter one does not take back what was given";
  EXPECT_EQ(board.expired_leases(now, 9), std::vector<JobId>{});
  pass(10s);
  EXPECT_EQ(board.expired_leases(now, 9), std::vector{b});
  EXPECT_EQ(board.expired_leases(now, 9), std::vector<JobId>{}) << "told once";
  pass(1s);
  EXPECT_EQ(board.expired_leases(now, 9), std::vector{b}) << "and again while nobody deals with it";
  ASSERT_TRUE(board.extend(b, claim.fence, now + 30s)) << "alive after all";
  pass(19s);
  EXPECT_EQ(board.expired_leases(now, 9), std::vector{a});
  ASSERT_TRUE(board.hold(a));
  again(a);
  pass(11s);
  EXPECT_EQ(board.expired_leases(now, 9), std::vector{b});
}

TEST_F(BoardTest, AnExpiredLeaseIsToldOnceHoweverOftenTheJobWasLeased) {
  const JobId a = add({.task = "x"});
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(pull().size(), 1u);
    again(a);
    pass(1ms);
  }
  ASSERT_EQ(pull().size(), 1u);
  pass(31s);
  EXPECT_EQ(board.expired_leases(now, 99), std::vector{a});
}

TEST_F(BoardTest, LocalLeasesDoNotExpire) {
  add();
  lease();
  pass(24h);
  EXPECT_EQ(board.expired_leases(now, 9), std::vector<JobId>{});
  EXPECT_EQ(board.next_event(), kNever);
}

TEST_F(BoardTest, DeadlinesAreToldAtEveryPlace) {
  const JobId ready = add({.deadline = 10s}), delayed = add({.delay = 1h, .deadline = 10s}), waiting = add({.deadline = 10s, .state = JobState::waiting});
  const JobId leased = add({.task = "x", .deadline = 10s}), ended = add({.deadline = 10s});
  pull();
  done(ended);
  EXPECT_EQ(board.past_deadline(now, 9), std::vector<JobId>{});
  pass(10s);
  const auto told = board.past_deadline(now, 9);
  EXPECT_EQ(told, (std::vector{ready, delayed, waiting, leased}));
  for (const JobId id : told) done(id);
  EXPECT_EQ(board.size(), 0u);
}

TEST_F(BoardTest, HeldJobsAreNotLeasedAndComeBackInFront) {
  const JobId a = add(), b = add(), c = add();
  ASSERT_TRUE(board.hold(a));
  EXPECT_EQ(board.hold(a).error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(board.hold(JobId{99}).error().code, ErrorCode::caller_not_found);
  audit();
  EXPECT_EQ(lease(1), std::vector{b});
  board.let_go(a), audit();
  EXPECT_EQ(lease(2), (std::vector{a, c}));
}

TEST_F(BoardTest, OnlyHeldJobsReadyIsNobodysTurn) {
  const JobId a = add();
  ASSERT_TRUE(board.hold(a));
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  EXPECT_FALSE(board.has_local_ready()) << "else the engine turns for nothing";
  board.let_go(a), audit();
  EXPECT_TRUE(board.has_local_ready());
  EXPECT_EQ(lease(9), std::vector{a});
}

TEST_F(BoardTest, HoldingAndLettingGoAllDayCostsNothing) {
  std::vector<JobId> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(add());
  for (int round = 0; round < 2'000; ++round)
    for (const JobId id : jobs) {
      ASSERT_TRUE(board.hold(id));
      board.let_go(id);
    }
  audit();
  EXPECT_EQ(lease(200), jobs) << "and in the order of their age";
}

TEST_F(BoardTest, AHeldJobBlockedByItsKeyIsNotLost) {
  const JobId a = add({.key = "k", .limit = 1}), b = add({.key = "k", .limit = 1});
  EXPECT_EQ(lease(9), std::vector{a});
  ASSERT_TRUE(board.hold(b));
  done(a);
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  board.let_go(b), audit();
  EXPECT_EQ(lease(9), std::vector{b});
}

TEST_F(BoardTest, AFailedTransactionPutsTheLeasedBackInTheirOrder) {
  std::vector<JobId> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(add({.key = i % 2 ? "k" : "", .limit = 2}));
  const auto first = lease(4);
  const Fence fence = claim.fence;
  for (std::size_t i = first.size(); i-- > 0;) board.unlease(first[i], now), audit();
  EXPECT_EQ(board.leased_local(), 0u);
  EXPECT_EQ(lease(4), first);
  EXPECT_GT(claim.fence, fence) << "a fence is never given twice";
}

TEST_F(BoardTest, WhatCameBeforeTheWaitIsNotMissed) {
  const JobId a = add();
  lease();
  EXPECT_FALSE(board.wake(a)) << "it does not wait yet";
  board.park(a, 0, kNever, now), audit();
  EXPECT_EQ(place(a), P::ready);
  lease();
  board.park(a, 0, kNever, now), audit();
  EXPECT_EQ(place(a), P::waiting) << "once is once";
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  EXPECT_TRUE(board.wake(a));
  again(a);
  EXPECT_EQ(lease(9), std::vector{a});
  EXPECT_FALSE(board.wake(JobId{99}));
}

TEST_F(BoardTest, WhoWaitsWithATimeIsReadyThenOrWhenItIsWoken) {
  const JobId a = add(), b = add();
  lease(2);
  board.park(a, 0, now + 10s, now), board.park(b, 0, now + 10s, now), audit();
  EXPECT_EQ(board.next_event(), now + 10s);
  EXPECT_TRUE(board.wake(b));
  again(b);
  EXPECT_EQ(lease(9), std::vector{b});
  pass(9s);
  EXPECT_EQ(lease(9), std::vector<JobId>{});
  pass(1s);
  EXPECT_EQ(lease(9), std::vector{a});
}

TEST_F(BoardTest, ATimeThatComesWhileSomebodyDecidesIsNotForgotten) {
  const JobId a = add();
  lease();
  board.park(a, 0, now + 10s, now);
  ASSERT_TRUE(board.hold(a));
  pass(11s);
  EXPECT_EQ(lease(9), std::vector<JobId>{}) << "somebody decides about it";
  board.let_go(a);
  EXPECT_EQ(lease(9), std::vector{a});
}

TEST_F(BoardTest, LeasesOfTheProcessBeforeGoOnUnderTheirFence) {
  const Fence old = (Fence{2} << 32) + 17;
  const JobId a = add({.task = "x", .key = "k", .limit = 1}), b = add({.task = "x", .key = "k", .limit = 1}), c = add({.task = "x", .delay = 1h});
  board.restore_lease(a, old, "w", now + 30s), audit();
  board.restore_lease(c, old, "w", now + 30s), audit();
  board.restore_lease(a, old, "w", now + 30s), audit();
  board.restore_lease(JobId{99}, old, "w", now + 30s), audit();
  EXPECT_TRUE(board.held(a, old));
  EXPECT_EQ(pull(9), std::vector<JobId>{}) << "the key is taken";
  pass(31s);
  EXPECT_EQ(board.expired_leases(now, 9), (std::vector{a, c}));
  again(a), done(c);
  EXPECT_EQ(board.take_ended_claims(), std::vector{old});
  EXPECT_EQ(pull(9).size(), 1u);
  EXPECT_GT(claim.fence, old);
  done(a), done(b);
}

TEST_F(BoardTest, AClaimEndsWithItsLastLease) {
  const JobId a = add(), b = add(), c = add();
  lease(3);
  done(a), again(b);
  EXPECT_EQ(board.take_ended_claims(), std::vector<Fence>{});
  board.park(c, 0, kNever, now), audit();
  EXPECT_EQ(board.take_ended_claims(), std::vector{claim.fence});
  EXPECT_EQ(board.take_ended_claims(), std::vector<Fence>{});
}

TEST_F(BoardTest, FiguresAreThoseOfTheQueue) {
  add({.queue = "a"}), add({.queue = "a"}), add({.queue = "a", .delay = 1s}), add({.queue = "a", .state = JobState::waiting}), add({.queue = "b"});
  const MonoTime since = now;
  pass(500ms);
  lease(1);
  const QueueFigures a = board.figures("a"), b = board.figures("b");
  EXPECT_EQ(a.ready + a.leased, 2u);
  EXPECT_EQ(a.delayed, 1u);
  EXPECT_EQ(a.waiting, 1u);
  EXPECT_EQ(b.ready + b.leased, 1u);
  EXPECT_EQ(a.oldest_ready, since);
  EXPECT_EQ(board.figures("c").ready, 0u);
  EXPECT_EQ(board.figures("c").oldest_ready, kNever);
  EXPECT_EQ(board.queues(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(BoardTest, FencesRiseToAnEpochAndNeverFall) {
  add(), add(), add();
  lease(1);
  const Fence first = claim.fence;
  board.raise(9), audit();
  lease(1);
  EXPECT_EQ(claim.fence >> 32, 9);
  board.raise(4), audit();
  const Fence second = claim.fence;
  lease(1);
  EXPECT_GT(claim.fence, second);
  EXPECT_GT(second, first);
}

TEST_F(BoardTest, WhatOthersHadIsNotLeasedForTheFirstTime) {
  const JobId ours = add(), theirs = add();
  board.had_before(theirs), board.had_before(JobId{99}), audit();
  lease(2);
  EXPECT_FALSE(board.find(ours)->leased_before);
  EXPECT_TRUE(board.find(theirs)->leased_before);
}

TEST_F(BoardTest, AKeyIsKnownWhileAJobOfItIsHere) {
  const JobId id = add({.key = "k", .limit = 1});
  EXPECT_TRUE(board.knows_key("default", "k"));
  EXPECT_FALSE(board.knows_key("default", "l"));
  EXPECT_FALSE(board.knows_key("other", "k"));
  done(id);
  EXPECT_FALSE(board.knows_key("default", "k"));
}

TEST_F(BoardTest, SpareIsWhatOnlyAFreeHandIsMissingFor) {
  const JobId a = add({.tenant = "a"}), b = add({.tenant = "b"}), more = add({.tenant = "a"}), urgent = add({.tenant = "b", .priority = 0});
  add({.key = "k", .limit = 1}), add({.delay = 1s}), add({.state = JobState::waiting}), add({.queue = "limited"});
  rules({.concurrency = 5}, "limited");
  const JobId held = add();
  ASSERT_TRUE(board.hold(held));
  auto spare = board.spare(100);
  ASSERT_EQ(spare.size(), 1u);
  EXPECT_EQ(spare[0].jobs, (std::vector{a, more, urgent, b}));
  spare = board.spare(2);
  ASSERT_EQ(spare.size(), 1u);
  EXPECT_EQ(spare[0].jobs, (std::vector{a, urgent})) << "tenants take turns";
  board.let_go(held);
  lease(9);
  EXPECT_TRUE(board.spare(9).empty() || board.spare(9)[0].lane.queue != "default");
}

}  // namespace
}  // namespace ballast::work
