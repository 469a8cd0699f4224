// Several nodes on one database: whose board a job is on, what becomes of it when a node dies, and how it goes from one to another.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "../support/work_nodes.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using Fate = test::ObedientDatabase::Fate;
using To = Commit::To;

class WorkHomes : public test::WorkNodes {};

TEST_P(WorkHomes, AStartTakesWhatItsNodeHadAndNothingElse) {
  start(0);
  start(1);
  const JobId mine = node(0).add("here"), others = node(1).add("here"), outside = node(1).add("ext");
  const Lease lease = node(1).pull().at(0);
  stop(0);
  start(0);
  EXPECT_TRUE(node(0).engine().owns(mine));
  EXPECT_FALSE(node(0).engine().owns(others));
  EXPECT_EQ(node(0).engine().board().size(), 1u);
  EXPECT_EQ(node(0).hands.kept.at(0).attempt, 2u);
  EXPECT_TRUE(node(1).commit(node(1).hands.kept.at(0), word(To::done)));
  EXPECT_TRUE(node(1).commit(lease, word(To::done)));
  for (const JobId id : {others, outside}) EXPECT_EQ(node(0).job(id).state, JobState::done);
  const auto where = owner(mine);
  ASSERT_TRUE(where);
  EXPECT_EQ(where->node, 0u);
  EXPECT_EQ(where->boot, boot(0));
  EXPECT_EQ(where->epoch, epoch(0));
  EXPECT_FALSE(owner(others)) << "it has ended";
}

TEST_P(WorkHomes, WhatADeadNodeHadIsAdopted) {
  leases = 2;
  start(0);
  start(1);
  const JobId ran = node(0).add("here", "input"), ran_once = node(0).add("here", "x", [](Submission& s) { s.spec.max_attempts = 1; });
  const JobId outside = node(0).add("ext", "x"), queued = node(0).add("ext2", "y"), waiting = node(0).add("ext3");
  const JobId delayed = node(0).add("ext4", "x", [](Submission& s) { s.delay = 1h; });
  const auto held = node(0).pull(3);
  ASSERT_EQ(held.size(), 3u);
  const auto of = [&](JobId id) { return *std::ranges::find(held, id, [](const Lease& l) { return l.job->id; }); };
  ASSERT_TRUE(node(0).commit(of(waiting), word(To::waiting)));
  ASSERT_TRUE(node(0).commit(of(queued), word(To::snoozed)));
  const Fence before = node(0).hands.kept.at(0).fence;
  const JobId others = node(1).add("ext");
  std::vector<JobId> told;
  node(1).engine().on_ended([&](const Job& job) { told.push_back(job.id); });

  auto zombie = abandon(0);
  EXPECT_EQ(adopted(1, 0), 6);
  EXPECT_EQ(adopted(1, 0), 0) << "there is nothing left of it";

  ASSERT_EQ(node(1).hands.kept.size(), 1u);
  const Lease again = node(1).hands.kept[0];
  EXPECT_EQ(again.job->id, ran);
  EXPECT_EQ(again.job->input, "input");
  EXPECT_EQ(again.attempt, 2u);
  EXPECT_GT(again.fence, before);
  EXPECT_FALSE(again.first);
  EXPECT_EQ(node(1).job(ran_once).state, JobState::dead);
  EXPECT_EQ(told, std::vector{ran_once});
  EXPECT_TRUE(node(1).commit(of(outside), word(To::done, "out"))) << "an external worker's lease goes on at another node";
  EXPECT_EQ(owner(queued)->boot, boot(1));

  EXPECT_EQ(zombie->commit(zombie->hands.kept.at(0), word(To::done)).error().field, "node");
  EXPECT_FALSE(zombie->submit({.spec = {.name = "here"}}));
  EXPECT_EQ(zombie->count("SELECT COUNT(*) FROM jobs"), 7);

  const auto rest = node(1).pull(10);
  std::set<JobId> found;
  for (const Lease& lease : rest) found.insert(lease.job->id);
  EXPECT_EQ(found, (std::set{queued, waiting, others}));
  for (const Lease& lease : rest) EXPECT_TRUE(node(1).commit(lease, word(To::done)));
  pass(61min);
  EXPECT_EQ(node(1).pull(10).at(0).job->id, delayed);
  EXPECT_TRUE(node(1).commit(again, word(To::done)));
  pass(5s);
  EXPECT_EQ(count("SELECT COUNT(*) FROM claims"), 1);
}

TEST_P(WorkHomes, OfTwoWhoAdoptOneWins) {
  for (unsigned n = 0; n < 3; ++n) start(n);
  for (int i = 0; i < 5; ++i) node(0).add("here");
  const std::string dead = boot(0);
  stop(0);
  int second = -1;
  node(1).database.during = [&] { second = adopted(2, 0); };
  EXPECT_EQ(adopted(1, 0), 0);
  EXPECT_EQ(second, 5);
  EXPECT_EQ(node(2).hands.kept.size(), 5u);
  EXPECT_EQ(node(1).engine().board().size(), 0u);
  EXPECT_EQ(count("SELECT COUNT(*) FROM job_attempts"), 5);
  start(0);
  EXPECT_EQ(node(0).engine().board().size(), 0u);
  EXPECT_EQ(*adopt(1, 0, dead), 0u) << "the node has another boot now";
  EXPECT_TRUE(node(0).submit({.spec = {.name = "here"}}));
}

// At each of its transactions: it took the homes and read nothing, one page, two. Whoever adopts him finds everything, and each crash counts once.
TEST_P(WorkHomes, WhoeverAdoptsAnAdopterThatDiedFindsEverything) {
  for (int survived = 0; survived <= 5; ++survived) {
    SCOPED_TRACE(survived);
    for (unsigned n = 0; n < 3; ++n) start(n);
    std::vector<JobId> jobs;
    for (int i = 0; i < 5; ++i) jobs.push_back(node(0).add("here"));
    const JobId outside = node(0).add("ext");
    const Lease lease = node(0).pull().at(0);
    const Fence before = node(0).hands.kept.at(4).fence;
    stop(0);
    int written = 0;
    at = [&](unsigned n, std::string_view point) {
      if (n == 1 && point == "errand" && written++ == survived) node(1).database.otherwise = Fate::away;
    };
    TaskGroup tasks("adopting");
    const auto adopting = [&]() -> Task<void> { (void)co_await node(1).engine().adopt(0, boot(0)); };
    tasks.spawn(adopting());
    node(1).settle();
    at = {};
    std::set<Fence> middle;
    for (const Lease& l : node(1).hands.kept) middle.insert(l.fence);
    stop(1);
    const int by_first = adopted(2, 0), by_second = adopted(2, 1);
    EXPECT_EQ(by_first + by_second, 6);
    EXPECT_EQ(by_first, survived == 0 ? 6 : 0);
    ASSERT_EQ(node(2).hands.kept.size(), 5u);
    for (const Lease& l : node(2).hands.kept) {
      EXPECT_GT(l.fence, middle.empty() ? before : *middle.rbegin());
      const auto attempts = node(2).attempts(l.job->id);
      std::set<Fence> fences;
      for (const AttemptRow& a : attempts) EXPECT_TRUE(fences.insert(a.fence).second) << "counted twice";
      EXPECT_EQ(attempts.size() + 1, l.attempt);
      EXPECT_TRUE(node(2).commit(l, word(To::done)));
    }
    EXPECT_TRUE(node(2).commit(lease, word(To::done)));
    EXPECT_EQ(node(2).job(outside).state, JobState::done);
    EXPECT_EQ(count("SELECT COUNT(*) FROM jobs WHERE live = 1"), 0);
    stop(2);
  }
}

// A process that is stopped in the middle of a transaction holds its node's row, for as long as nobody ends its session.
TEST_P(WorkHomes, ATransactionThatADeadNodeLeftOpenDoesNotKeepItsJobs) {
  if (sqlite()) return;
  start(0);
  start(1);
  node(0).add("here");
  auto zombie = abandon(0);
  auto held = store::open_database(url());
  ASSERT_TRUE(held);
  std::atomic<bool> holds = false, over = false;
  std::thread stopped([&] {
    (void)(*held)->write_now([&](store::Tx& tx) -> Result<void> {
      if (over) return {};
      if (auto locked = tx.run("UPDATE nodes SET cycle = cycle WHERE node = 0"); !locked) return std::unexpected(locked.error());
      holds = true;
      while (!over) std::this_thread::sleep_for(10ms);
      return {};
    });
  });
  while (!holds) std::this_thread::sleep_for(1ms);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(adopted(1, 0), -1) << "it may still go on";
  int came = -1;
  while (came < 0 && std::chrono::steady_clock::now() - begun < 20s) came = adopted(1, 0);
  EXPECT_EQ(came, 1);
  EXPECT_TRUE(node(1).submit({.spec = {.name = "here"}})) << "and meanwhile it works";
  over = true;
  stopped.join();
}

// A commit whose fate is unknown: neither is it taken twice, nor forgotten.
TEST_P(WorkHomes, AnAdoptionThatIsCutGoesOn) {
  for (const Fate fate : {Fate::away, Fate::lost_after, Fate::unknown_written, Fate::unknown_lost}) {
    if (sqlite() && (fate == Fate::unknown_written || fate == Fate::unknown_lost)) continue;
    for (std::size_t cut = 0; cut < 3; ++cut) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(fate) << " at " << cut);
      start(0);
      start(1);
      for (int i = 0; i < 3; ++i) node(0).add("here");
      stop(0);
      node(1).database.next.resize(cut * 2, Fate::fine);           // a cycle comes after each of its transactions
      node(1).database.next.push_back(fate);
      if (adopted(1, 0) < 0) EXPECT_EQ(adopted(1, 0), 3) << "nothing was taken before";
      pass(2s);
      node(1).audit();
      ASSERT_EQ(node(1).hands.kept.size(), 3u);
      for (const Lease& l : node(1).hands.kept) EXPECT_EQ(l.attempt, 2u);
      for (const Lease& l : std::vector(node(1).hands.kept)) EXPECT_TRUE(node(1).commit(l, word(To::done)));
      EXPECT_EQ(count("SELECT COUNT(*) FROM jobs WHERE live = 1"), 0);
      stop(1);
    }
  }
}

TEST_P(WorkHomes, WorkGoesOnWhileANodeIsAdopted) {
  start(0);
  start(1);
  for (int i = 0; i < 9; ++i) node(0).add("ext");
  stop(0);
  TaskGroup tasks("between");
  int between = 0;
  std::vector<JobId> accepted;
  const auto submit = [&]() -> Task<void> {
    std::vector<Submission> one;
    one.push_back({.spec = {.name = "here"}});
    auto r = co_await node(1).engine().submit(std::move(one));
    if (r.at(0)) accepted.push_back(r[0]->id), between += node(1).engine().board().size() < 9;
  };
  at = [&](unsigned n, std::string_view point) {
    if (n == 1 && point == "errand") tasks.spawn(submit());
  };
  EXPECT_EQ(adopted(1, 0), 9);
  at = {};
  node(1).settle();
  EXPECT_EQ(accepted.size(), 6u);
  EXPECT_GE(between, 3) << "they were accepted before it was over";
  EXPECT_EQ(node(1).hands.kept.size(), 6u);
}

TEST_P(WorkHomes, ChildrenOfARunThatIsOverAreCalledOffByWhoeverAdoptsThem) {
  start(0);
  start(1);
  const auto child_of = [](JobId parent) { return [parent](Submission& s) { s.spec.origin = Origin::child, s.spec.parent = parent, s.spec.max_attempts = 100; }; };
  const JobId elsewhere = node(1).add("run"), over = node(1).add("run"), dies = node(0).add("run", "x", [](Submission& s) { s.spec.max_attempts = 1; });
  const JobId of_elsewhere = node(0).add("ext", "x", child_of(elsewhere)), of_over = node(0).add("ext", "x", child_of(over)), of_dying = node(0).add("ext", "x", child_of(dies));
  ASSERT_TRUE(node(1).loop.run(node(1).engine().cancel(std::vector{over}, "enough"))[0]);
  stop(0);
  EXPECT_EQ(adopted(1, 0), 4);
  EXPECT_FALSE(terminal(node(1).job(of_elsewhere).state));
  EXPECT_EQ(node(1).job(dies).state, JobState::dead);
  for (const JobId id : {of_over, of_dying}) EXPECT_EQ(node(1).job(id).state, JobState::cancelled) << to_string(id);
}

TEST_P(WorkHomes, AProcessThatIsAloneTakesAllAndTheOthersWriteNothingMore) {
  start(0);
  start(1);
  const JobId here = node(0).add("here"), there = node(1).add("here");
  auto zombie = abandon(1);
  stop(0);
  start(2, false);
  EXPECT_EQ(node(2).engine().board().size(), 2u);
  EXPECT_EQ(node(2).hands.kept.size(), 2u);
  EXPECT_EQ(zombie->commit(zombie->hands.kept.at(0), word(To::done)).error().field, "node");
  for (const Lease& l : std::vector(node(2).hands.kept)) EXPECT_TRUE(node(2).commit(l, word(To::done)));
  for (const JobId id : {here, there}) EXPECT_EQ(node(2).job(id).state, JobState::done);
  pass(5s);
  stop(2);
  start(2, false);
  EXPECT_EQ(count("SELECT COUNT(*) FROM homes"), 1) << "homes of which nothing is left are forgotten";
}

// What a version before homes left behind.
TEST_P(WorkHomes, WhoeverStartsFirstTakesTheJobsThatNobodyOwns) {
  start(0, false);
  const JobId ran = node(0).add("here"), outside = node(0).add("ext"), queued = node(0).add("ext2");
  const Lease lease = node(0).pull(1).at(0);
  stop(0);
  sql("UPDATE jobs SET home = 0");
  sql("DELETE FROM homes");
  sql("INSERT INTO homes (home, owner, taken) SELECT fence / 4294967296, 0, 0 FROM claims UNION SELECT epoch, 0, 0 FROM nodes UNION SELECT 0, 0, 0");
  EXPECT_EQ(owner(ran)->epoch, 0u);
  start(1);
  start(2);
  for (const JobId id : {ran, outside, queued}) EXPECT_TRUE(node(1).engine().owns(id)) << to_string(id);
  EXPECT_EQ(node(2).engine().board().size(), 0u);
  EXPECT_TRUE(node(1).commit(lease, word(To::done)));
  EXPECT_EQ(node(1).hands.kept.at(0).attempt, 2u);
}

// ---- giving ----

TEST_P(WorkHomes, JobsThatAreGivenRunWhereTheyWereGiven) {
  leases = 1;
  start(0);
  start(1);
  const JobId held = node(0).add("here"), ready = node(0).add("here", "mine"), outside = node(0).add("ext"), tried = node(0).add("ext2");
  const JobId later = node(0).add("ext", "x", [](Submission& s) { s.delay = 1h; });
  const JobId keyed = node(0).add("ext", "x", [](Submission& s) { s.spec.concurrency_key = "k", s.spec.concurrency = 1; });
  const Lease first = node(0).loop.run(node(0).engine().pull({.worker = "w", .queues = {"default"}, .tasks = {"ext2"}})) ->at(0);
  ASSERT_TRUE(node(0).commit(first, word(To::snoozed)));
  const auto given = give(0, {held, ready, outside, tried, tried, later, JobId{77}}, epoch(1));
  ASSERT_TRUE(given) << describe(given.error());
  EXPECT_EQ(*given, 3u);
  EXPECT_EQ(*give(0, {keyed, later, held}, epoch(1)), 0u) << "who has a time, a key or a holder stays";
  for (const JobId id : {ready, outside, tried}) {
    EXPECT_FALSE(node(0).engine().owns(id));
    EXPECT_EQ(owner(id)->epoch, epoch(1)) << "it is asked there already";
  }
  EXPECT_EQ(received(1), 3);
  EXPECT_EQ(received(1), 0);
  ASSERT_EQ(node(1).hands.kept.size(), 1u);
  EXPECT_EQ(node(1).hands.kept[0].job->input, "mine");
  EXPECT_FALSE(node(1).hands.kept[0].first);
  const auto pulled = node(1).pull(5);
  ASSERT_EQ(pulled.size(), 2u);
  for (const Lease& l : pulled)
    if (l.job->id == tried) EXPECT_GT(l.fence, first.fence);
  EXPECT_EQ(node(0).pull(5).size(), 1u) << "the keyed one";
  EXPECT_EQ(count("SELECT COUNT(*) FROM handovers"), 0);
}

// A restart lets what waits find out itself; the row still says that it waits.
TEST_P(WorkHomes, WhatIsReadyToFindOutWhetherItsWaitIsOverIsReadyWhereItGoes) {
  start(0);
  start(1);
  const JobId id = node(0).add("ext");
  ASSERT_TRUE(node(0).commit(node(0).pull().at(0), word(To::waiting)));
  stop(0);
  start(0);
  ASSERT_EQ(*give(0, {id}, epoch(1)), 1u);
  ASSERT_EQ(received(1), 1);
  EXPECT_EQ(node(1).pull().size(), 1u);
}

// To and fro: its fences rise, whichever of the two nodes began first.
TEST_P(WorkHomes, FencesOfAJobRiseWhereverItGoes) {
  start(0);
  start(1);
  const JobId id = node(0).add("ext");
  Fence last = 0;
  for (int i = 0; i < 6; ++i) {
    const unsigned here = i % 2, there = 1 - here;
    const Lease lease = node(here).pull().at(0);
    EXPECT_GT(lease.fence, last);
    last = lease.fence;
    ASSERT_TRUE(node(here).commit(lease, word(To::snoozed)));
    ASSERT_EQ(*give(here, {id}, epoch(there)), 1u);
    ASSERT_EQ(received(there), 1);
  }
}

TEST_P(WorkHomes, WhoHasMoreThanItCanStartFeedsTheHungry) {
  leases = 2;
  for (unsigned n = 0; n < 3; ++n) start(n);
  for (int i = 0; i < 6; ++i) node(0).add("here");
  for (int i = 0; i < 3; ++i) node(0).add("ext");
  EXPECT_EQ(node(0).engine().hunger(), Hunger{});
  EXPECT_EQ(node(1).engine().hunger().local, 2u);
  TaskGroup tasks("pulling");
  std::size_t pulled = 0;
  const auto pull = [&]() -> Task<void> {
    auto leased = co_await node(2).engine().pull({.worker = "w", .queues = {"default"}, .tasks = {"ext"}, .most = 2, .wait = 1min});
    if (leased) pulled = leased->size();
  };
  tasks.spawn(pull());
  node(2).settle();
  ASSERT_EQ(node(2).engine().hunger().pulls.size(), 1u);
  std::vector<Neighbour> seen;
  for (unsigned n = 1; n < 3; ++n) seen.push_back({.epoch = epoch(n), .beat = 1, .hunger = node(n).engine().hunger()});
  EXPECT_EQ(node(0).loop.run(node(0).engine().feed_hungry(seen)), 6u) << "two for each of the nodes' own hands, two for the worker";
  EXPECT_EQ(node(0).loop.run(node(0).engine().feed_hungry(seen)), 0u) << "they have not said anything since";
  EXPECT_EQ(received(1), 2);
  EXPECT_EQ(received(2), 4);
  EXPECT_EQ(pulled, 2u);
  EXPECT_EQ(node(1).hands.kept.size() + node(2).hands.kept.size(), 4u);
  EXPECT_EQ(node(1).engine().hunger(), Hunger{});
  EXPECT_EQ(node(0).engine().board().size(), 3u);
}

// What has no time and no key goes while the last job here still runs; then the rest is adopted, though the process lives.
TEST_P(WorkHomes, WhoDrainsGivesWhatIsReadyAndLeavesTheRest) {
  leases = 1;
  for (unsigned n = 0; n < 3; ++n) start(n);
  const auto keyed = [](Submission& s) { s.spec.concurrency_key = "k", s.spec.concurrency = 1; };
  for (int i = 0; i < 4; ++i) node(0).add("here");
  for (int i = 0; i < 2; ++i) node(0).add("ext");
  const JobId kept = node(0).add("ext", "k", keyed), delayed = node(0).add("ext", "d", [](Submission& s) { s.delay = 1h; });
  ASSERT_EQ(node(0).hands.kept.size(), 1u);
  TaskGroup tasks("draining");
  const auto drain = [&]() -> Task<void> { co_await node(0).engine().drain(1min); };
  tasks.spawn(drain());
  pass(10ms);
  EXPECT_TRUE(node(0).engine().draining() && !node(0).engine().drained());
  const std::vector<Neighbour> busy{{.epoch = epoch(1), .beat = 1, .hunger = {}}, {.epoch = epoch(2), .beat = 1, .hunger = {}}};
  EXPECT_EQ(node(0).loop.run(node(0).engine().feed_hungry(busy)), 5u) << "though nobody is hungry";
  EXPECT_GE(received(1), 2);
  EXPECT_GE(received(2), 2);
  EXPECT_EQ(node(0).engine().board().size(), 3u);
  EXPECT_TRUE(node(0).commit(node(0).hands.kept.at(0), word(To::done)));
  pass(10ms);
  ASSERT_TRUE(node(0).engine().drained());
  EXPECT_EQ(adopted(1, 0), 2);
  EXPECT_TRUE(node(1).engine().owns(kept) && node(1).engine().owns(delayed));
  EXPECT_EQ(adopted(2, 0), 0) << "somebody was first";
}

TEST_P(WorkHomes, WhatWasGivenToOneThatDiedIsItsAdopters) {
  for (unsigned n = 0; n < 3; ++n) start(n);
  const JobId a = node(0).add("ext"), b = node(0).add("ext"), c = node(0).add("ext");
  ASSERT_EQ(*give(0, {a}, epoch(1)), 1u);
  const std::uint32_t gone = epoch(1);
  stop(1);
  ASSERT_EQ(*give(0, {b}, gone), 1u) << "nobody knows yet";
  EXPECT_EQ(adopted(2, 1), 2);
  EXPECT_EQ(count("SELECT COUNT(*) FROM handovers"), 0);
  const auto refused = give(0, {c}, gone);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "owner");
  EXPECT_TRUE(node(0).engine().owns(c)) << "what could not be given stays";
  EXPECT_EQ(node(0).pull(5).size(), 1u);
  EXPECT_EQ(node(2).pull(5).size(), 2u);
  ASSERT_EQ(*give(0, {c}, epoch(2)), 0u) << "somebody has it now";
}

TEST_P(WorkHomes, AGiverThatDiesHasGivenOrKept) {
  for (const Fate fate : {Fate::away, Fate::lost_after}) {
    for (unsigned n = 0; n < 3; ++n) start(n);
    const JobId id = node(0).add("ext");
    node(0).database.next = {fate};
    EXPECT_FALSE(give(0, {id}, epoch(1)));
    EXPECT_EQ(received(1), 0);
    stop(0);
    EXPECT_EQ(adopted(2, 0), 1);
    ASSERT_TRUE(node(2).commit(node(2).pull().at(0), word(To::done)));
    for (unsigned n = 1; n < 3; ++n) stop(n);
  }
}

TEST_P(WorkHomes, WhoWaitsForAJobKeepsItHere) {
  start(0);
  start(1);
  const JobId id = node(0).add("ext");
  TaskGroup tasks("waiting");
  const auto wait = [&]() -> Task<void> { (void)co_await node(0).engine().wait_for(id, node(0).clock.mono() + 1min); };
  tasks.spawn(wait());
  node(0).settle();
  EXPECT_EQ(*give(0, {id}, epoch(1)), 0u);
  pass(2min);
  EXPECT_EQ(*give(0, {id}, epoch(1)), 1u);
}

// ---- keys ----

TEST_P(WorkHomes, AConcurrencyKeyIsCountedOverAllNodes) {
  for (unsigned n = 0; n < 3; ++n) start(n);
  const auto keyed = [](Submission& s) { s.spec.concurrency_key = "k", s.spec.concurrency = 1; };
  const JobId first = node(0).add("ext", "a", keyed), second = node(1).add("ext", "b", keyed), third = node(1).add("ext", "c", [&](Submission& s) { keyed(s), s.delay = 10s; });
  const JobId other = node(1).add("ext", "d", [](Submission& s) { s.spec.concurrency_key = "other", s.spec.concurrency = 1; });
  EXPECT_TRUE(node(1).engine().owns(other));
  for (const JobId id : {second, third}) {
    EXPECT_FALSE(node(1).engine().owns(id));
    EXPECT_EQ(owner(id)->epoch, epoch(0));
  }
  EXPECT_EQ(received(0), 2);
  const auto held = node(0).pull(5);
  ASSERT_EQ(held.size(), 1u);
  EXPECT_EQ(held[0].job->id, first);
  EXPECT_EQ(node(1).pull(5).size(), 1u);
  ASSERT_TRUE(node(0).commit(held[0], word(To::done)));
  stop(0);
  const JobId fourth = node(1).add("ext", "e", keyed);
  EXPECT_FALSE(node(1).engine().owns(fourth)) << "nobody has taken the dead one's place yet";
  EXPECT_EQ(adopted(2, 0), 3);
  const JobId fifth = node(1).add("ext", "f", keyed);
  EXPECT_EQ(owner(fifth)->epoch, epoch(2));
  EXPECT_EQ(received(2), 1);
  pass(11s);
  for (int i = 0; i < 4; ++i) {
    const auto one = node(2).pull(5);
    ASSERT_EQ(one.size(), 1u);
    ASSERT_TRUE(node(2).commit(one[0], word(To::done)));
  }
  for (const JobId id : {second, third, fourth, fifth}) EXPECT_EQ(node(2).job(id).state, JobState::done);
}

TEST_P(WorkHomes, AKeyThatNobodyUsesAnyMoreIsAnybodys) {
  start(0);
  start(1);
  const auto keyed = [](const char* key) { return [key](Submission& s) { s.spec.concurrency_key = key, s.spec.concurrency = 1; }; };
  node(0).add("ext", "a", keyed("used"));
  ASSERT_TRUE(node(0).commit(node(0).pull().at(0), word(To::done)));
  node(0).add("ext", "a", keyed("kept"));
  node(0).add("ext", "a", keyed("given"));
  ASSERT_TRUE(node(0).commit(node(0).pull(1).at(0), word(To::done)));
  ASSERT_TRUE(node(0).commit(node(0).pull(1).at(0), word(To::done)));
  node(0).add("ext", "a", keyed("kept"));
  const JobId given = node(1).add("ext", "a", keyed("given"));
  EXPECT_EQ(owner(given)->epoch, epoch(0));
  pass(61s);
  EXPECT_EQ(count("SELECT COUNT(*) FROM key_homes"), 3) << "one was given, and is not there yet";
  EXPECT_EQ(received(0), 1);
  pass(61s);
  EXPECT_EQ(count("SELECT COUNT(*) FROM key_homes"), 2);
  const JobId anew = node(1).add("ext", "a", keyed("used"));
  EXPECT_TRUE(node(1).engine().owns(anew));
  stop(0);
  start(0);
  EXPECT_FALSE(node(1).engine().owns(node(1).add("ext", "a", keyed("kept")))) << "the key is still its home's";
}

// Whose transaction comes second finds the first's job, though it began before it was there to be seen.
TEST_P(WorkHomes, OneLiveJobOfAUniqueKeyOverAllNodes) {
  if (sqlite()) return;
  start(0);
  start(1);
  for (int round = 0; round < 20; ++round) {
    const Submission unique{.spec = {.name = "ext"}, .input = "x", .unique_key = "u" + std::to_string(round)};
    std::optional<Result<Accepted>> first;
    std::thread other;
    std::atomic<bool> begun = false;
    at = [&](unsigned n, std::string_view point) {
      if (n != 0 || point != "written" || begun.exchange(true)) return;
      other = std::thread([&] { first.emplace(node(1).submit(unique)); });
      std::this_thread::sleep_for(30ms);                 // it waits for this transaction, at its key
    };
    const auto mine = node(0).submit(unique);
    other.join();
    at = {};
    ASSERT_TRUE(mine && *first) << describe(mine ? first->error() : mine.error());
    EXPECT_EQ((*first)->id, mine->id);
    EXPECT_TRUE((*first)->existing);
  }
  EXPECT_EQ(count("SELECT COUNT(*) FROM jobs"), 20);
}

BALLAST_ON_BOTH_DATABASES(WorkHomes);

}  // namespace
}  // namespace ballast::work
