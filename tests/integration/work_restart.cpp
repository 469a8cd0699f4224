// What a process leaves behind when it ends, and what the next one makes of it.
#include <chrono>
#include <cstdio>

#include "../support/work_house.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using To = Commit::To;

class WorkRestart : public test::HouseOnBothDatabases {};

TEST_P(WorkRestart, WhatThisProcessRanRunsAgainAtOnceAndCountsACrash) {
  const JobId id = house().add("here", "input");
  const Fence before = house().hands.kept.at(0).fence;
  restart();
  ASSERT_EQ(house().hands.kept.size(), 1u);
  const Lease lease = house().hands.kept[0];
  EXPECT_EQ(lease.job->id, id);
  EXPECT_EQ(lease.job->input, "input");
  EXPECT_EQ(lease.attempt, 2u);
  EXPECT_GT(lease.fence, before);
  const auto history = house().attempts(id);
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].fence, before);
  Lease old = lease;
  old.fence = before;
  EXPECT_FALSE(house().commit(old, word(To::done))) << "the crashed attempt's word";
  EXPECT_TRUE(house().commit(lease, word(To::done, "out")));
  EXPECT_EQ(house().job(id).output, "out");
}

TEST_P(WorkRestart, APoisonousJobIsDeadAfterItsAttemptsAndHoldsUpNobody) {
  const JobId poison = house().add("poison", "x", [](Submission& s) { s.spec.max_attempts = 3; });
  const JobId other = house().add("other", "x", [](Submission& s) { s.spec.max_attempts = 100; });
  for (int crash = 1; crash <= 3; ++crash) {
    EXPECT_EQ(house().hands.kept.size(), 2u);
    restart();
  }
  EXPECT_EQ(house().job(poison).state, JobState::dead);
  EXPECT_EQ(house().job(poison).attempt, 3u);
  EXPECT_EQ(house().attempts(poison).size(), 3u);
  ASSERT_EQ(house().hands.kept.size(), 1u);
  EXPECT_TRUE(house().commit(house().hands.kept[0], word(To::done)));
  EXPECT_EQ(house().job(other).state, JobState::done);
  restart();
  EXPECT_EQ(house().attempts(poison).size(), 3u) << "dead is dead";
}

// The process may have died before it called them off.
TEST_P(WorkRestart, ChildrenOfARunThatIsOverAreCalledOff) {
  const auto child_of = [](JobId parent) { return [parent](Submission& s) { s.spec.origin = Origin::child, s.spec.parent = parent, s.spec.max_attempts = 100; }; };
  const JobId cancelled = house().add("run"), done = house().add("run"), live = house().add("run", "x", [](Submission& s) { s.spec.max_attempts = 100; });
  const JobId worn_out = house().add("run", "x", [](Submission& s) { s.spec.max_attempts = 1; });
  const std::vector leases = house().hands.kept;
  const JobId of_cancelled = house().add("here", "x", child_of(cancelled)), outside = house().add("ext", "x", child_of(cancelled));
  const JobId of_child = house().add("here", "x", child_of(of_cancelled)), of_worn_out = house().add("here", "x", child_of(worn_out));
  const JobId of_done = house().add("here", "x", child_of(done)), of_live = house().add("here", "x", child_of(live));
  ASSERT_EQ(house().pull().size(), 1u);
  ASSERT_TRUE(house().commit(leases.at(1), word(To::done)));
  ASSERT_TRUE(house().loop.run(house().engine().cancel(std::vector{cancelled}, "enough"))[0]);
  house().settle();
  restart();
  for (const JobId id : {of_cancelled, outside, of_child, of_worn_out}) EXPECT_EQ(house().job(id).state, JobState::cancelled) << to_string(id);
  EXPECT_EQ(house().job(worn_out).state, JobState::dead);
  for (const JobId id : {of_done, of_live, live}) EXPECT_FALSE(terminal(house().job(id).state)) << to_string(id);
  restart();
}

TEST_P(WorkRestart, AnExternalWorkersLeaseGoesOnUnderItsFence) {
  const JobId id = house().add("ext", "x");
  const Lease lease = house().pull(1, 30s).at(0);
  restart();
  EXPECT_TRUE(house().engine().running(id));
  EXPECT_TRUE(house().pull().empty());
  ASSERT_TRUE(house().engine().heartbeat(id, lease.fence, 60s));
  house().pass(50s);
  restart();
  ASSERT_TRUE(house().commit(lease, word(To::done, "out")));
  EXPECT_EQ(house().job(id).attempt, 0u) << "no crash of it was counted";
  house().pass(5s);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM claims"), 0);
}

TEST_P(WorkRestart, AnExternalWorkerThatIsGoneTooLosesItsLease) {
  const JobId id = house().add("ext", "x");
  const Lease lease = house().pull(1, 30s).at(0);
  restart();
  house().pass(31s);
  const Lease next = house().pull().at(0);
  EXPECT_EQ(next.job->id, id);
  EXPECT_GT(next.fence, lease.fence);
  EXPECT_EQ(house().attempts(id).at(0).holder, "w1");
}

TEST_P(WorkRestart, WhatWaitedIsRunAgainAndFindsOutItself) {
  const JobId id = house().add("ext", "x");
  house().commit(house().pull().at(0), word(To::waiting));
  restart();
  const Lease lease = house().pull().at(0);
  EXPECT_EQ(lease.job->id, id);
  EXPECT_EQ(lease.attempt, 1u);
}

TEST_P(WorkRestart, DelaysAndDeadlinesAreKept) {
  house().add("ext", "x", [](Submission& s) { s.delay = 1h; });
  const JobId late = house().add("ext", "x", [&](Submission& s) { s.delay = 2h, s.spec.deadline = house().clock.wall() + 30min; });
  house().pass(10min);
  restart();
  EXPECT_TRUE(house().pull().empty());
  house().pass(21min);
  EXPECT_EQ(house().job(late).state, JobState::dead);
  house().pass(30min);
  EXPECT_EQ(house().pull().size(), 1u);
}

TEST_P(WorkRestart, AProcessWhoseNodeWasTakenOverWritesNothingMore) {
  const JobId id = house().add("here", "x");
  const Lease old = house().hands.kept.at(0);
  house().add("here2", "x", [](Submission& s) { s.delay = 1s; });
  test::WorkHouse second(database());
  ASSERT_TRUE(second.start());
  EXPECT_FALSE(house().submit({.spec = {.name = "ext"}}));
  auto refused = house().commit(old, word(To::done, "from the first"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "node");
  const std::size_t writes = house().database.writes;
  house().pass(1min);
  EXPECT_LE(house().database.writes, writes + 2) << "nor does it try again and again";
  EXPECT_EQ(house().hands.kept.size(), 1u) << "it starts nothing more";
  second.pass(1s);
  ASSERT_EQ(second.hands.kept.size(), 2u);
  EXPECT_TRUE(second.commit(second.hands.kept[0], word(To::done, "from the second")));
  EXPECT_EQ(second.job(id).output, "from the second");
  EXPECT_EQ(second.count("SELECT COUNT(*) FROM jobs"), 2);
  second.compare();
}

TEST_P(WorkRestart, AfterTheShutdownAskersAreTold) {
  const JobId id = house().add("ext", "x");
  const Lease lease = house().pull().at(0);
  house().loop.run(house().engine().drain(1s));
  EXPECT_EQ(house().submit({.spec = {.name = "ext"}}).error().code, ErrorCode::internal_unavailable);
  EXPECT_EQ(house().commit(lease, word(To::done)).error().code, ErrorCode::internal_unavailable);
  EXPECT_EQ(house().loop.run(house().engine().cancel({id}, "x")).at(0).error().code, ErrorCode::internal_unavailable);
  EXPECT_FALSE(house().loop.run(house().engine().wake(id)));
  EXPECT_TRUE(house().loop.run(house().engine().pull({.worker = "w", .queues = {"default"}, .tasks = {}, .wait = 1s}))->empty());
}

TEST_P(WorkRestart, DrainLetsWhatRunsEndAndStartsNothing) {
  house().add("here", "x");
  TaskGroup tasks("drain");
  bool drained = false;
  const auto drain = [&]() -> Task<void> {
    co_await house().engine().drain(10s);
    drained = true;
  };
  tasks.spawn(drain());
  house().settle();
  house().pass(1s);
  EXPECT_FALSE(drained);
  EXPECT_TRUE(house().commit(house().hands.kept.at(0), word(To::done)));
  house().pass(10ms);
  EXPECT_TRUE(drained);
  restart();
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM job_attempts"), 0);
}

// More pages than one, which end within a tenant and between two; runs of several tenants, with children that are to be called off.
TEST_P(WorkRestart, LiveJobsOfManyTenantsAreTakenUpPageByPage) {
  begin({.start_page = 4});
  std::map<std::string, std::vector<JobId>> mine;
  for (int i = 0; i < 21; ++i) {
    const std::string tenant = i < 8 ? "a" : i % 3 == 0 ? "" : i % 3 == 1 ? "c" : "b";
    mine[tenant].push_back(house().add("ext", "x", [&](Submission& s) { s.spec.tenant = tenant; }));
  }
  const JobId run = house().add("run", "x", [](Submission& s) { s.spec.tenant = "b", s.spec.max_attempts = 1; });
  std::vector<JobId> children;
  for (int i = 0; i < 6; ++i)
    children.push_back(house().add("ext", "x", [&](Submission& s) { s.spec.tenant = "b", s.spec.origin = Origin::child, s.spec.parent = run; }));
  const auto ended = house().pull(3);
  for (const Lease& lease : ended) ASSERT_TRUE(house().commit(lease, word(To::done)));
  for (auto& [tenant, ids] : mine) std::erase_if(ids, [&](JobId id) { return std::ranges::find(ended, id, [](const Lease& l) { return l.job->id; }) != ended.end(); });
  restart();
  EXPECT_EQ(house().job(run).state, JobState::dead) << "its one attempt crashed";
  for (const JobId id : children) EXPECT_EQ(house().job(id).state, JobState::cancelled) << to_string(id);
  EXPECT_EQ(house().engine().board().size(), 18u);
  std::map<std::string, std::vector<JobId>> leased;
  for (const Lease& lease : house().pull(30)) leased[lease.job->spec.tenant].push_back(lease.job->id);
  EXPECT_EQ(leased, mine) << "each tenant's in the order of their submission";
}

// A start takes tenants in the order of their names, and a key's limit is still that of the job that came last.
TEST_P(WorkRestart, TheLastWordAboutAConcurrencyKeyHolds) {
  const auto of = [&](const char* tenant, std::uint32_t limit) {
    house().add("ext", "x", [&](Submission& s) { s.spec.tenant = tenant, s.spec.concurrency_key = "k", s.spec.concurrency = limit; });
  };
  of("z", 1);
  of("z", 1);
  of("b", 2);
  of("a", 3);
  of("z", 2);
  restart();
  EXPECT_EQ(house().pull(5).size(), 2u);
}

TEST_P(WorkRestart, AHundredThousandLiveJobsAreTakenUpInSeconds) {
  constexpr int kBulks = 20, kBulk = 5'000;
  for (int i = 0; i < kBulks; ++i) {
    std::vector<Submission> bulk(kBulk, Submission{.spec = {.name = i % 2 ? "ext" : "here", .tenant = "t" + std::to_string(i % 7), .tags = {"a"}}, .input = "{}"});
    for (const auto& r : house().loop.run(house().engine().submit(std::move(bulk)))) ASSERT_TRUE(r);
  }
  house().settle();
  const std::size_t running = house().hands.kept.size();
  const auto begin = std::chrono::steady_clock::now();
  auto started = house().start();
  const auto took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(started);
  std::printf("%d live jobs, %zu of them leased, on the board after %lld ms (%s)\n", kBulks * kBulk, running,
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()), sqlite() ? "SQLite" : "PostgreSQL");
  EXPECT_EQ(house().engine().board().size(), static_cast<std::size_t>(kBulks * kBulk));
  EXPECT_EQ(house().hands.kept.size(), running);
  house().audit();
}

BALLAST_ON_BOTH_DATABASES(WorkRestart);

}  // namespace
}  // namespace ballast::work
