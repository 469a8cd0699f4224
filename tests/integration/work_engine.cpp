// The engine over both databases, in simulated time: what a submitter, a worker and a restart can rely on.
#include "work/engine.hpp"

#include "../support/work_house.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using To = Commit::To;

class WorkEngine : public test::HouseOnBothDatabases {
 protected:
  void everything_succeeds() {
    house().hands.say = [](const Lease& lease) { return word(To::done, "did " + lease.job->input); };
  }
};

TEST_P(WorkEngine, AJobIsSubmittedRunAndDone) {
  everything_succeeds();
  const std::size_t before = house().database.writes;
  const JobId id = house().add("sum", "1+1", [](Submission& s) {
    s.spec.tags = {"a"};
    s.spec.user = "u";
  });
  const Job job = house().job(id);
  EXPECT_EQ(job.state, JobState::done);
  EXPECT_EQ(job.input, "1+1");
  EXPECT_EQ(job.output, "did 1+1");
  EXPECT_EQ(job.attempt, 0u);
  EXPECT_EQ(job.spec.user, "u");
  EXPECT_EQ(house().engine().board().size(), 0u);
  house().pass(5s);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM claims"), 0) << "ended claims go";
  EXPECT_LE(house().database.writes - before, 3u) << "submit and lease, done, the claim's end: and nothing turns for nothing";
}

TEST_P(WorkEngine, BytesOfATaskAreKeptAsTheyAre) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  house().hands.say = [](const Lease& lease) { return word(To::done, lease.job->input); };
  const JobId id = house().add("echo", bytes);
  EXPECT_EQ(house().job(id).output, bytes);
}

TEST_P(WorkEngine, AWorkerPullsHeartbeatsAndCompletes) {
  const JobId id = house().add("ext.print", "page");
  auto leases = house().pull();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].job->id, id);
  EXPECT_EQ(leases[0].job->input, "page");
  EXPECT_EQ(leases[0].attempt, 1u);
  EXPECT_TRUE(house().engine().running(id));
  for (int i = 0; i < 10; ++i) {
    house().pass(20s);
    auto beat = house().engine().heartbeat(id, leases[0].fence, 30s);
    ASSERT_TRUE(beat) << i << ": " << describe(beat.error());
  }
  EXPECT_TRUE(house().pull().empty()) << "somebody has it";
  auto done = house().commit(leases[0], word(To::done, "printed"));
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(done->state, JobState::done);
  EXPECT_EQ(house().job(id).output, "printed");
  EXPECT_EQ(house().commit(leases[0], word(To::done, "again")).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(house().job(id).output, "printed");
}

TEST_P(WorkEngine, AStaleFenceCanDoNothing) {
  const JobId id = house().add("ext");
  const Lease old = house().pull(1, 30s).at(0);
  house().pass(31s);
  const Lease now = house().pull().at(0);
  EXPECT_EQ(now.job->id, id);
  EXPECT_GT(now.fence, old.fence);
  EXPECT_EQ(now.attempt, 2u);
  for (const To to : {To::running, To::done, To::failed, To::snoozed, To::waiting, To::dead}) {
    Commit stale = word(to, "stale");
    bool ran = false;
    stale.also = [&](store::Tx&) -> Result<void> { ran = true; return {}; };
    EXPECT_EQ(house().commit(old, std::move(stale)).error().code, ErrorCode::caller_conflict);
    EXPECT_FALSE(ran);
  }
  EXPECT_FALSE(house().engine().heartbeat(id, old.fence, 30s));
  EXPECT_TRUE(house().commit(now, word(To::done, "fresh")));
  EXPECT_EQ(house().job(id).output, "fresh");
  ASSERT_EQ(house().attempts(id).size(), 1u);
  EXPECT_EQ(house().attempts(id)[0].holder, "w1");
  EXPECT_EQ(house().attempts(id)[0].fence, old.fence);
}

TEST_P(WorkEngine, ALyingWorkerIsRefusedByName) {
  const JobId id = house().add("ext");
  const Lease lease = house().pull().at(0);
  Lease lie = lease;
  lie.fence += 1'000'000;
  EXPECT_FALSE(house().commit(lie, word(To::done)));
  lie.fence = 0;
  EXPECT_FALSE(house().commit(lie, word(To::done)));
  lie.fence = -5;
  EXPECT_FALSE(house().commit(lie, word(To::done)));
  EXPECT_FALSE(house().engine().heartbeat(JobId{12}, lease.fence, 30s));
  EXPECT_TRUE(house().commit(lease, word(To::done)));
  EXPECT_EQ(house().job(id).state, JobState::done);
  auto nameless = house().loop.run(house().engine().pull({.worker = "", .queues = {"default"}, .tasks = {}, .most = 1, .lease = 30s, .wait = {}}));
  ASSERT_FALSE(nameless);
  EXPECT_EQ(nameless.error().field, "worker");
}

TEST_P(WorkEngine, APullWaitsForTheFirstJobOrItsTime) {
  auto& engine = house().engine();
  std::optional<Result<std::vector<Lease>>> got, none;
  TaskGroup tasks("pulls");
  const auto wait = [&](std::optional<Result<std::vector<Lease>>>& into, std::string queue, std::uint64_t ticket) -> Task<void> {
    auto r = co_await engine.pull({.worker = "w", .queues = {queue}, .tasks = {}, .most = 2, .lease = 30s, .wait = 10s}, ticket);
    into = std::move(r);
  };
  tasks.spawn(wait(got, "default", 1));
  tasks.spawn(wait(none, "empty", 2));
  house().settle();
  EXPECT_FALSE(got || none);
  house().pass(3s);
  const JobId id = house().add("ext");
  house().settle();
  ASSERT_TRUE(got && *got);
  ASSERT_EQ((*got)->size(), 1u);
  EXPECT_EQ((**got)[0].job->id, id);
  EXPECT_FALSE(none);
  house().pass(10s);
  ASSERT_TRUE(none && *none);
  EXPECT_TRUE((*none)->empty());
  none.reset();
  tasks.spawn(wait(none, "empty", 3));
  house().settle();
  engine.stop_waiting(3);
  house().settle();
  EXPECT_TRUE(none && *none && (*none)->empty()) << "its client went away";
  EXPECT_EQ(tasks.running(), 0u);
}

// ---- keys ----

TEST_P(WorkEngine, OneIdempotencyKeyIsOneJobHoweverItRaces) {
  Submission s{.spec = {.name = "ext"}, .input = "x", .idempotency_key = "k"};
  auto together = house().submit(std::vector{s, s, s});
  for (const auto& r : together) {
    ASSERT_TRUE(r);
    EXPECT_EQ(r->id, together[0]->id);
  }
  EXPECT_FALSE(together[0]->existing);
  EXPECT_TRUE(together[1]->existing);
  auto later = house().submit(s);
  EXPECT_TRUE(later && later->id == together[0]->id && later->existing);
  ASSERT_TRUE(house().start()) << "after a restart too";
  EXPECT_EQ(house().submit(s)->id, together[0]->id);
  house().commit(house().pull().at(0), word(To::done));
  EXPECT_EQ(house().submit(s)->id, together[0]->id) << "and when it has ended";
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 1);
  Submission other = s;
  other.input = "y";
  auto conflict = house().submit(other);
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(conflict.error().field, "idempotency-key");
  other.spec.key_id = "another caller";
  EXPECT_TRUE(house().submit(other)) << "keys are their callers' own";
  house().pass(std::chrono::hours(24 * 7) + 1min);
  EXPECT_NE(house().submit(s)->id, together[0]->id) << "the key's time is over";
  house().compare();
}

TEST_P(WorkEngine, TwoTenantsUniqueKeysAreNotOne) {
  Submission a{.spec = {.name = "ext", .tenant = "a"}, .input = "x", .unique_key = "nightly"};
  Submission b = a;
  b.spec.tenant = "b";
  EXPECT_NE(house().submit(a)->id, house().submit(b)->id) << "else one could keep the other's job from running";
}

TEST_P(WorkEngine, AUniqueJobIsAloneWhileItLives) {
  Submission s{.spec = {.name = "ext"}, .input = "1", .unique_key = "u"};
  const JobId first = house().submit(s)->id;
  s.input = "2";
  auto second = house().submit(s);
  ASSERT_TRUE(second) << "another input is no conflict";
  EXPECT_TRUE(second->existing);
  EXPECT_EQ(second->id, first);
  house().pass(std::chrono::hours(24 * 60));
  auto swept = house().database.write_now([&](store::Tx& tx) { return sweep_keys(tx, house().clock.wall(), 100); });
  ASSERT_TRUE(swept);
  EXPECT_EQ(house().submit(s)->id, first) << "for as long as it lives";
  const Lease lease = house().pull().at(0);
  house().commit(lease, word(To::done));
  auto third = house().submit(s);
  EXPECT_FALSE(third->existing);
  EXPECT_NE(third->id, first);
  house().commit(house().pull().at(0), word(To::done));
  house().pass(std::chrono::hours(24 * 60));
  swept = house().database.write_now([&](store::Tx& tx) { return sweep_keys(tx, house().clock.wall(), 100); });
  EXPECT_EQ(*swept, 1u) << "the key of a job that ended is not kept";
}

TEST_P(WorkEngine, UniqueForATime) {
  Submission s{.spec = {.name = "ext"}, .input = "1", .unique_key = "u", .unique_for = 1h};
  const JobId first = house().submit(s)->id;
  house().commit(house().pull().at(0), word(To::done));
  EXPECT_EQ(house().submit(s)->id, first) << "also when it has ended";
  house().pass(61min);
  EXPECT_NE(house().submit(s)->id, first);
}

TEST_P(WorkEngine, AnIdempotencyKeyAndAUniqueKeyTogether) {
  Submission s{.spec = {.name = "ext"}, .input = "1", .idempotency_key = "a", .unique_key = "u"};
  const JobId first = house().submit(s)->id;
  EXPECT_EQ(house().submit(s)->id, first);
  s.idempotency_key = "b";
  EXPECT_EQ(house().submit(s)->id, first) << "another request for the same unique work";
  house().commit(house().pull().at(0), word(To::done));
  EXPECT_EQ(house().submit(s)->id, first) << "a repeated request, whatever became of the work";
  s.idempotency_key = "c";
  EXPECT_NE(house().submit(s)->id, first);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 2);
  house().compare();
}

TEST_P(WorkEngine, ADuplicateThatWasLeasedInItsOwnCycleIsNobodys) {
  everything_succeeds();
  Submission s{.spec = {.name = "sum"}, .input = "x", .idempotency_key = "k"};
  auto r = house().submit(std::vector{s, s, s, s});
  EXPECT_EQ(house().hands.started, std::vector{r[0]->id});
  EXPECT_EQ(house().engine().board().leased_local(), 0u);
}

// ---- refusals ----

TEST_P(WorkEngine, InABulkTheBadOneIsRefusedAlone) {
  std::vector<Submission> bulk(6, Submission{.spec = {.name = "ext"}, .input = "x"});
  bulk[1].spec.name = "";
  bulk[2].spec.queue = std::string(200, 'q');
  bulk[3].spec.tenant = std::string("a\0b", 3);
  bulk[4].spec.deadline = house().clock.wall() - 1s;
  auto r = house().submit(std::move(bulk));
  EXPECT_TRUE(r[0] && r[5]);
  const char* fields[] = {"", "name", "queue", "tenant", "deadline"};
  for (int i = 1; i < 5; ++i) {
    ASSERT_FALSE(r[static_cast<std::size_t>(i)]);
    EXPECT_EQ(r[static_cast<std::size_t>(i)].error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(r[static_cast<std::size_t>(i)].error().field, fields[i]);
  }
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 2);
}

TEST_P(WorkEngine, NamesOfTasksAreNotWithoutEnd) {
  begin({.max_tasks = 2});
  EXPECT_TRUE(house().submit({.spec = {.name = "ext.a"}}));
  EXPECT_TRUE(house().submit({.spec = {.name = "ext.b"}}));
  auto refused = house().submit({.spec = {.name = "ext.c"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "name");
  EXPECT_TRUE(house().submit({.spec = {.name = "ext.a"}}));
  EXPECT_TRUE(house().submit({.spec = {.name = "here.c"}})) << "this process looks for nothing by name";
}

TEST_P(WorkEngine, LimitsRefuseEarlyAndSaySo) {
  begin({.max_live = 3, .max_queues = 2, .max_input = 10});
  EXPECT_EQ(house().submit({.spec = {.name = "ext"}, .input = "12345678901"}).error().code, ErrorCode::caller_too_large);
  EXPECT_TRUE(house().submit({.spec = {.name = "ext", .queue = "a"}}));
  EXPECT_TRUE(house().submit({.spec = {.name = "ext", .queue = "b"}}));
  EXPECT_EQ(house().submit({.spec = {.name = "ext", .queue = "c"}}).error().field, "queue");
  EXPECT_FALSE(house().loop.run(house().engine().set_queue("d", {.paused = true})));
  auto r = house().submit(std::vector(3, Submission{.spec = {.name = "ext", .queue = "a"}}));
  EXPECT_TRUE(r[0]);
  ASSERT_FALSE(r[1]);
  EXPECT_TRUE(r[1].error().retryable && r[1].error().retry_after);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 3);
}

// ---- ends ----

TEST_P(WorkEngine, ItFailsUntilItIsDeadAndTheHistoryTells) {
  const JobId id = house().add("ext", "x", [](Submission& s) { s.spec.max_attempts = 3; });
  for (std::uint32_t n = 1; n <= 3; ++n) {
    auto lease = house().pull();
    ASSERT_EQ(lease.size(), 1u) << n;
    EXPECT_EQ(lease[0].attempt, n);
    auto r = house().commit(lease[0], word(To::failed));
    ASSERT_TRUE(r);
    EXPECT_EQ(r->state, n < 3 ? JobState::queued : JobState::dead);
    EXPECT_TRUE(house().pull().empty()) << "it waits for its retry";
    house().pass(5min);
  }
  const Job job = house().job(id);
  EXPECT_EQ(job.state, JobState::dead);
  EXPECT_EQ(job.attempt, 3u);
  EXPECT_EQ(error_json(job.error).at("message"), "it did not work");
  const auto history = house().attempts(id);
  ASSERT_EQ(history.size(), 3u);
  for (std::uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(history[n - 1].n, n);
  EXPECT_LT(history[0].fence, history[1].fence);
  house().pass(1h);
  EXPECT_TRUE(house().pull().empty());
  house().compare();
}

TEST_P(WorkEngine, SnoozesCountNoAttempt) {
  const JobId id = house().add("ext", "x", [](Submission& s) { s.spec.max_attempts = 1; });
  for (int i = 0; i < 5; ++i) {
    Commit later = word(To::snoozed);
    later.delay = 10s;
    ASSERT_TRUE(house().commit(house().pull().at(0), std::move(later)));
    EXPECT_TRUE(house().pull().empty());
    house().pass(10s);
  }
  ASSERT_TRUE(house().start());
  house().commit(house().pull().at(0), word(To::done));
  EXPECT_EQ(house().job(id).state, JobState::done);
}

TEST_P(WorkEngine, AnExpiredLeaseIsAnAttemptAndAtTheEndDeath) {
  const JobId id = house().add("ext", "x", [](Submission& s) { s.spec.max_attempts = 2; });
  ASSERT_EQ(house().pull(1, 10s).size(), 1u);
  house().pass(9s);
  EXPECT_TRUE(house().pull().empty());
  house().pass(2s);
  ASSERT_EQ(house().pull(1, 10s).size(), 1u);
  house().pass(11s);
  EXPECT_EQ(house().job(id).state, JobState::dead);
  EXPECT_EQ(house().attempts(id).size(), 2u);
  house().compare();
}

TEST_P(WorkEngine, WhatIsNotDoneByItsDeadlineIsDead) {
  const auto deadline = [&](Submission& s) { s.spec.deadline = house().clock.wall() + 10s; };
  const JobId queued = house().add("ext", "x", deadline), running = house().add("here", "x", deadline);
  const JobId late = house().add("ext.later", "x", [&](Submission& s) { deadline(s), s.delay = 1h; });
  ASSERT_EQ(house().hands.kept.size(), 1u);
  house().pass(11s);
  for (const JobId id : {queued, running, late}) {
    EXPECT_EQ(house().job(id).state, JobState::dead);
    EXPECT_EQ(error_json(house().job(id).error).at("field"), "deadline");
  }
  EXPECT_EQ(house().hands.revoked, std::vector{running});
  house().compare();
}

TEST_P(WorkEngine, OfCancelAndCompleteExactlyOneWins) {
  for (const bool cancel_first : {true, false}) {
    const JobId id = house().add("ext");
    const Lease lease = house().pull().at(0);
    std::optional<Result<JobState>> cancelled;
    std::optional<Result<Settled>> done;
    TaskGroup tasks("race");
    const auto cancel = [&]() -> Task<void> {
      std::vector<JobId> ids;
      ids.push_back(id);
      auto r = co_await house().engine().cancel(std::move(ids), "no longer wanted");
      cancelled = r.at(0);
    };
    const auto complete = [&]() -> Task<void> {
      Commit c = word(To::done, "out");
      c.job = lease.job->id;
      c.fence = lease.fence;
      auto r = co_await house().engine().commit(std::move(c));
      done = std::move(r);
    };
    tasks.spawn(cancel_first ? cancel() : complete());
    tasks.spawn(cancel_first ? complete() : cancel());
    house().settle();
    ASSERT_TRUE(cancelled && done);
    EXPECT_NE(cancelled->has_value(), done->has_value());
    EXPECT_EQ(cancelled->has_value(), cancel_first) << "who asked first";
    EXPECT_EQ(house().job(id).state, cancel_first ? JobState::cancelled : JobState::done);
    EXPECT_EQ(house().loop.run(house().engine().cancel({id}, "again")).at(0).error().code, ErrorCode::caller_conflict) << "it ended already";
    EXPECT_EQ(house().job(id).state, cancel_first ? JobState::cancelled : JobState::done) << "the end is the end";
  }
  EXPECT_EQ(house().loop.run(house().engine().cancel({JobId{7}}, "?")).at(0).error().code, ErrorCode::caller_not_found);
  house().compare();
}

TEST_P(WorkEngine, WhoCancelledNothingIsNotOnRecord) {
  const JobId id = house().add("ext");
  int written = 0;
  const auto also = [&](store::Tx&) -> Result<void> { ++written; return {}; };
  EXPECT_TRUE(house().loop.run(house().engine().cancel({id}, "x", also)).at(0));
  EXPECT_EQ(written, 1);
  EXPECT_FALSE(house().loop.run(house().engine().cancel({id}, "x", also)).at(0));
  EXPECT_EQ(written, 1);
}

TEST_P(WorkEngine, ACancelledJobOfThisProcessIsTakenFromItsHolder) {
  const JobId id = house().add("long");
  const Lease lease = house().hands.kept.at(0);
  ASSERT_TRUE(house().loop.run(house().engine().cancel({id}, "stop")).at(0));
  EXPECT_EQ(house().hands.revoked, std::vector{id});
  EXPECT_FALSE(house().commit(lease, word(To::done)));
}

TEST_P(WorkEngine, WaitForAnswersWithTheEndOrAtItsTime) {
  const JobId id = house().add("ext");
  auto at_its_time = house().loop.run(house().engine().wait_for(id, house().clock.mono() + 5s));
  ASSERT_TRUE(at_its_time && *at_its_time);
  EXPECT_EQ((*at_its_time)->state, JobState::queued);
  std::optional<Job> seen;
  TaskGroup tasks("waiter");
  const auto wait = [&]() -> Task<void> {
    auto r = co_await house().engine().wait_for(id, house().clock.mono() + 1h);
    seen = r.value();
  };
  tasks.spawn(wait());
  house().commit(house().pull().at(0), word(To::done, "out"));
  house().settle();
  ASSERT_TRUE(seen);
  const Job stored = house().job(id);
  EXPECT_EQ(seen->state, stored.state);
  EXPECT_EQ(seen->output, stored.output);
  EXPECT_EQ(unix_us(seen->finished), unix_us(stored.finished));
  EXPECT_FALSE(*house().loop.run(house().engine().wait_for(JobId{9}, house().clock.mono() + 1h))) << "unknown: at once";
}

TEST_P(WorkEngine, ItWaitsUntilItIsWokenAndMissesNothing) {
  const JobId id = house().add("ext");
  const Lease lease = house().pull().at(0);
  ASSERT_TRUE(house().commit(lease, word(To::waiting)));
  EXPECT_EQ(house().job(id).state, JobState::waiting);
  house().pass(1h);
  EXPECT_TRUE(house().pull().empty());
  EXPECT_TRUE(*house().loop.run(house().engine().wake(id)));
  const Lease second = house().pull().at(0);
  EXPECT_EQ(second.attempt, 1u) << "to wait is no failure";
  EXPECT_FALSE(*house().loop.run(house().engine().wake(id))) << "before it waits";
  ASSERT_TRUE(house().commit(second, word(To::waiting)));
  ASSERT_EQ(house().pull().size(), 1u) << "and yet it is not missed";
  EXPECT_FALSE(*house().loop.run(house().engine().wake(JobId{3})));
}

TEST_P(WorkEngine, ItWaitsForATimeAtMostAndIsWokenBefore) {
  const JobId id = house().add("ext");
  Commit until = word(To::waiting);
  until.delay = 1h;
  ASSERT_TRUE(house().commit(house().pull().at(0), until));
  EXPECT_EQ(house().job(id).state, JobState::waiting);
  house().pass(59min);
  EXPECT_TRUE(house().pull().empty());
  house().pass(2min);
  const Lease second = house().pull().at(0);
  ASSERT_TRUE(house().commit(second, until));
  EXPECT_TRUE(*house().loop.run(house().engine().wake(id)));
  ASSERT_TRUE(house().commit(house().pull().at(0), until));
  ASSERT_TRUE(house().start());
  EXPECT_EQ(house().pull().size(), 1u) << "a new process finds out itself what it waits for";
}

TEST_P(WorkEngine, ACommitIsAllOrNothing) {
  const JobId id = house().add("ext");
  const Lease lease = house().pull().at(0);
  Commit bad = word(To::done, "out");
  bad.children = {Submission{.spec = {.name = "ext.child"}}};
  bad.also = [](store::Tx&) -> Result<void> { return fail(ErrorCode::caller_conflict, "the step was recorded already", "step"); };
  auto refused = house().commit(lease, bad);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "step");
  EXPECT_EQ(house().job(id).state, JobState::queued);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 1);
  Commit good = word(To::done, "out");
  good.children = {Submission{.spec = {.name = "ext.child"}}, Submission{.spec = {.name = "ext.child"}}};
  auto settled = house().commit(lease, good);
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->children.size(), 2u);
  EXPECT_EQ(house().pull(9).size(), 2u);
  house().compare();
}

TEST_P(WorkEngine, OneBadAskFailsAlone) {
  const JobId a = house().add("ext"), b = house().add("ext"), late = house().add("ext", "x", [&](Submission& s) {
    s.spec.queue = "other";
    s.spec.deadline = house().clock.wall() + 10s;
  });
  auto leases = house().pull(2);
  ASSERT_EQ(leases.size(), 2u);
  std::vector<Result<Settled>> results(2);
  TaskGroup tasks("two");
  const auto say = [&](std::size_t i) -> Task<void> {
    Commit c = word(To::done);
    c.job = leases[i].job->id;
    c.fence = leases[i].fence;
    if (i == 0) c.also = [](store::Tx& tx) -> Result<void> {
      auto r = tx.run("SELECT nothing FROM nowhere");
      if (!r) return std::unexpected(r.error());
      return {};
    };
    auto r = co_await house().engine().commit(std::move(c));
    results[i] = std::move(r);
  };
  house().clock.advance(10s);                // the deadline is dealt with in the same cycle
  tasks.spawn(say(0)), tasks.spawn(say(1));
  house().settle();
  EXPECT_FALSE(results[0]);
  EXPECT_TRUE(results[1]);
  house().pass(2s);
  EXPECT_EQ(house().job(a).state, JobState::queued);
  EXPECT_EQ(house().job(b).state, JobState::done);
  EXPECT_EQ(house().job(late).state, JobState::dead);
  house().compare();
}

// ---- queues ----

TEST_P(WorkEngine, QueuesArePausedAndResumedAndRememberIt) {
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {.paused = true})));
  const JobId id = house().add("ext");
  EXPECT_TRUE(house().pull().empty());
  ASSERT_TRUE(house().start());
  EXPECT_TRUE(house().pull().empty()) << "after a restart too";
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {.concurrency = 1})));
  house().add("ext");
  auto leases = house().pull(9);
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].job->id, id);
}

TEST_P(WorkEngine, NoMoreThanTheLocalLeasesRunAtOnce) {
  begin({.local_leases = 3});
  for (int i = 0; i < 10; ++i) house().add("here");
  EXPECT_EQ(house().hands.kept.size(), 3u);
  ASSERT_TRUE(house().commit(house().hands.kept.at(0), word(To::done)));
  EXPECT_EQ(house().hands.kept.size(), 4u);
}

TEST_P(WorkEngine, InputsThatDoNotFitInMemoryAreReadWhenTheyAreLeased) {
  begin({.local_leases = 0, .hot_bytes = 4'000});
  std::map<JobId, std::string> inputs;
  for (int i = 0; i < 20; ++i) {
    const std::string input(static_cast<std::size_t>(1 + i * 300), static_cast<char>('a' + i));
    inputs[house().add("ext", input)] = input;
  }
  for (const Lease& lease : house().pull(99)) EXPECT_EQ(lease.job->input, inputs.at(lease.job->id));
}

BALLAST_ON_BOTH_DATABASES(WorkEngine);

}  // namespace
}  // namespace ballast::work
