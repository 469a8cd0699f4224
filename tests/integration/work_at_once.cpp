// Jobs that need nobody: accepted, leased and done in one transaction, seen only once it is durable, and started like any other where that cannot be.
#include "../support/work_house.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using Fate = test::ObedientDatabase::Fate;
using To = Commit::To;

class WorkAtOnce : public test::HouseOnBothDatabases {};

TEST_P(WorkAtOnce, WhatNeedsNobodyIsDoneInTheTransactionThatAcceptsIt) {
  house().hands.at_once_say = [](const Lease& lease) { return word(To::done, "did " + lease.job->input); };
  const std::size_t before = house().database.writes;
  const auto accepted = house().submit({.spec = {.name = "sum"}, .input = "1+1"});
  ASSERT_TRUE(accepted && accepted->ended);
  EXPECT_EQ(accepted->ended->output, "did 1+1");
  house().pass(5s);
  EXPECT_EQ(house().database.writes - before, 1u) << "and there is no claim to be swept";
  const Job job = house().job(accepted->id);
  EXPECT_EQ(job.state, JobState::done);
  EXPECT_EQ(job.output, "did 1+1");
  EXPECT_EQ(job.finished, accepted->ended->finished);
  EXPECT_TRUE(house().hands.started.empty() && house().hands.revoked.empty());
  EXPECT_EQ(house().engine().board().size(), 0u);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM claims"), 0);
  house().compare();
}

TEST_P(WorkAtOnce, ADuplicateThatEndedAtOnceInItsOwnCycleNeverWas) {
  std::size_t written = 0;
  house().hands.at_once_say = [&](const Lease&) {
    Commit c = word(To::done, "out");
    c.also = [&](store::Tx&) -> Result<void> { return ++written, Result<void>{}; };
    return c;
  };
  Submission s{.spec = {.name = "sum"}, .input = "x", .idempotency_key = "k"};
  const auto together = house().submit(std::vector{s, s, s});
  EXPECT_TRUE(together[0]->ended && !together[0]->existing);
  for (const auto& r : {together[1], together[2], house().submit(s)}) {
    EXPECT_EQ(r->id, together[0]->id);
    EXPECT_TRUE(r->existing && !r->ended);
  }
  EXPECT_EQ(written, 1u);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 1);
  EXPECT_EQ(house().engine().board().size(), 0u);
  house().compare();
}

TEST_P(WorkAtOnce, WhatIsDoneAtOnceStaysWithinItsLimits) {
  std::size_t asked = 0;
  house().hands.at_once_say = [&](const Lease&) { return ++asked, word(To::done); };
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {.paused = true})));
  const JobId held = house().add("sum");
  EXPECT_EQ(asked, 0u) << "a paused queue leases nothing";
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {})));
  house().settle();
  EXPECT_EQ(house().job(held).state, JobState::done);
  EXPECT_EQ(asked, 1u);
  house().hands.say = [](const Lease&) { return word(To::done); };
  house().submit(std::vector<Submission>(5, Submission{.spec = {.name = "sum"}, .input = "x"}));
  EXPECT_EQ(asked, 1u) << "many at once are started instead";
  EXPECT_EQ(house().hands.started.size(), 5u);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs WHERE state = 2"), 6);
  house().compare();
}

TEST_P(WorkAtOnce, WhatCannotBeWrittenAtOnceIsStarted) {
  house().hands.at_once_say = [](const Lease&) {
    Commit c = word(To::done);
    c.also = [](store::Tx&) -> Result<void> { return fail(ErrorCode::caller_conflict, "not like this", "step"); };
    return c;
  };
  const auto accepted = house().submit({.spec = {.name = "sum"}, .input = "x"});
  ASSERT_TRUE(accepted);
  EXPECT_FALSE(accepted->ended);
  house().pass(1s);
  ASSERT_EQ(house().hands.kept.size(), 1u);
  EXPECT_EQ(house().hands.kept[0].attempt, 1u);
  house().compare();
  house().commit(house().hands.kept[0], word(To::done, "out"));
  EXPECT_EQ(house().job(accepted->id).output, "out");
}

TEST_P(WorkAtOnce, WhatWasDoneAtOnceIsSeenOnlyOnceItIsDurable) {
  std::size_t ends = 0;
  house().engine().on_ended([&](const Job&) { ++ends; });
  house().hands.at_once_say = [](const Lease&) { return word(To::done, "out"); };
  for (const Fate fate : {Fate::away, Fate::full, Fate::broken, Fate::lost_after, Fate::unknown_lost}) {
    house().database.next = {fate, Fate::fine, Fate::away};      // unknown: what became of it is asked next
    if (fate != Fate::unknown_lost) house().database.next = {fate, fate};
    auto r = house().submit({.spec = {.name = "here"}, .input = "x"});
    EXPECT_FALSE(r);
    EXPECT_EQ(ends, 0u);
    EXPECT_EQ(house().engine().board().size(), 0u);
    house().database.next.clear();
    house().pass(1s);
    house().compare();
  }
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 0);
  EXPECT_TRUE(house().hands.started.empty());
}

BALLAST_ON_BOTH_DATABASES(WorkAtOnce);

}  // namespace
}  // namespace ballast::work
