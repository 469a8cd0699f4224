// A standby takes over that had not heard of the last moments: what was acknowledged and is gone is named, nothing more is written upon it, and no fence comes twice.
#include <chrono>

#include "../support/past.hpp"
#include "../support/work_nodes.hpp"
#include "records/audit.hpp"
#include "records/migrations.hpp"
#include "work/lost_commits.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using Fate = test::ObedientDatabase::Fate;
using To = Commit::To;

class WorkWentBack : public test::WorkNodes {
 protected:
  void SetUp() override {
    if (sqlite()) GTEST_SKIP() << "one file has no standby";
    WorkNodes::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
  }
  void begin(unsigned n) {
    start(n);
    node(n).engine().on_went_back([this](LostCommits l) { lost.push_back(std::move(l)); });
  }
  Result<Accepted> try_to_submit(unsigned n) {
    Submission s;
    s.spec.name = "ext";
    return node(n).submit(std::move(s));
  }
  LostBy by(unsigned n) { return {.node = n, .epoch = epoch(n), .leasing = node(n).engine().leasing(), .name = "node"}; }
  Result<void> note(unsigned n) {
    return database().write_now([&](store::Tx& tx) { return note_lost(tx, by(n), lost.at(0), node(n).clock.wall()); });
  }
  std::vector<LostCommits> lost;
};

TEST_P(WorkWentBack, WhatWasAcknowledgedAndIsGoneIsNamedAndNothingIsWrittenUponIt) {
  begin(0);
  const JobId a = node(0).add("ext", "input");
  const Lease lease = node(0).pull().at(0);
  test::Past past(database());
  const JobId b = node(0).add("ext2"), c = node(0).add("ext3");
  ASSERT_TRUE(node(0).commit(lease, word(To::done, "out")));
  const auto later = node(0).pull(2, 30s, "w2");
  ASSERT_EQ(later.size(), 2u);
  ASSERT_TRUE(node(0).commit(later[0], word(To::snoozed)));
  past.come_back();

  const auto refused = try_to_submit(0);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(is_taken_over(refused.error()));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].submitted.named, (std::vector{b, c}));
  EXPECT_EQ(lost[0].ended.named, std::vector{a});
  EXPECT_EQ(lost[0].went_on.named, std::vector{later[0].job->id});
  EXPECT_TRUE(lost[0].all_known);
  EXPECT_FALSE(is_harmless(lost[0]));
  EXPECT_FALSE(try_to_submit(0));
  node(0).pass(10s);
  EXPECT_EQ(lost.size(), 1u) << "told once";
  EXPECT_EQ(count("SELECT COUNT(*) FROM jobs"), 1) << "nothing was written upon the past";

  ASSERT_TRUE(note(0));
  ASSERT_TRUE(note(0));
  EXPECT_EQ(count("SELECT COUNT(*) FROM lost_commits WHERE submitted = 2 AND ended = 1 AND went_on = 1"), 1);
  const auto trail = database().read_now([](store::Tx& tx) { return records::list_audit(tx, records::admin_chain("0"), 0, 10); });
  ASSERT_TRUE(trail && trail->size() == 1);
  EXPECT_EQ((*trail)[0].entry.action, records::audit::commits_lost);
  EXPECT_NE((*trail)[0].entry.outcome.find(to_string(b)), std::string::npos);
  const auto figures = database().read_now([&](store::Tx& tx) { return lost_since(tx, node(0).clock.wall() - 1h); });
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->boots, 1u);
  EXPECT_EQ(figures->acknowledged, 4u);

  const Fence highest = later[1].fence;
  stop(0);
  begin(0);
  EXPECT_TRUE(node(0).engine().running(a)) << "its worker still has it";
  EXPECT_TRUE(node(0).commit(lease, word(To::done, "again")));
  node(0).add("ext2");
  EXPECT_GT(node(0).pull().at(0).fence, highest);
  node(0).compare();
}

// The one that was lost: its number is forgotten too.
TEST_P(WorkWentBack, AFenceOfANumberThatTheDatabaseHasForgottenNeverComesAgain) {
  begin(0);
  test::Past past(database());
  begin(1);
  node(1).add("ext");
  const Fence given = node(1).pull().at(0).fence;
  past.come_back();
  EXPECT_FALSE(try_to_submit(1));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].kept, 0) << "the database has never heard of this boot";
  EXPECT_TRUE(try_to_submit(0)) << "who has lost nothing goes on";
  ASSERT_TRUE(note(1));
  stop(1);
  begin(1);
  node(1).add("ext");
  EXPECT_GT(node(1).pull(2).at(0).fence, given);
}

// Whoever died with the primary tells nobody what it was given.
TEST_P(WorkWentBack, AnotherTimelineLeavesOutNumbersThatNobodyKnowsOf) {
  begin(0);
  test::Past past(database());
  begin(1);
  const std::uint32_t forgotten = epoch(1);
  stop(1);
  past.come_back();
  sql("UPDATE epochs SET timeline = timeline + 1");      // as if it had been another's
  begin(2);
  EXPECT_GE(epoch(2), forgotten + kEpochsSkipped - 1);
  begin(1);
  EXPECT_EQ(epoch(1), epoch(2) + 1) << "once";
}

TEST_P(WorkWentBack, ACommitOfUnknownFateOnAStandbyThatKnowsLessIsFoundOut) {
  begin(0);
  node(0).add("ext");
  test::Past past(database());
  const JobId gone = node(0).add("ext");
  past.come_back();
  node(0).database.next = {Fate::unknown_lost};
  EXPECT_FALSE(try_to_submit(0));
  node(0).pass(5s);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].submitted.named, std::vector{gone}) << "what was never acknowledged is not lost";
}

TEST_P(WorkWentBack, ANodeThatWasAdoptedMeanwhileStillTellsWhatIsGone) {
  begin(0);
  begin(1);
  const JobId kept = node(0).add("ext");
  test::Past past(database());
  const JobId gone = node(0).add("ext");
  past.come_back();
  EXPECT_EQ(adopted(1, 0), 1);
  EXPECT_TRUE(node(1).engine().owns(kept));
  EXPECT_FALSE(try_to_submit(0));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].submitted.named, std::vector{gone});
}

TEST_P(WorkWentBack, WhoWasAdoptedAndLostNothingIsOnlyTakenOver) {
  begin(0);
  begin(1);
  node(0).add("ext");
  EXPECT_EQ(adopted(1, 0), 1);
  EXPECT_FALSE(try_to_submit(0));
  node(0).pass(5s);
  EXPECT_TRUE(lost.empty());
}

// Its journal of effects does not know of it: it would be made again.
TEST_P(WorkWentBack, AnEffectThatHadBegunIsNamed) {
  begin(0);
  const JobId id = node(0).add("ext");
  const Lease lease = node(0).pull().at(0);
  test::Past past(database());
  Commit step = word(To::running);
  step.also = [](store::Tx&) { return Result<void>{}; };
  step.effects = {"charge"};
  ASSERT_TRUE(node(0).commit(lease, std::move(step)));
  past.come_back();
  EXPECT_FALSE(try_to_submit(0));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].named_effects, (std::vector<std::pair<JobId, std::string>>{{id, "charge"}}));
  EXPECT_EQ(lost[0].went_on.count, 1u);
}

// A look of its own is found out as well, and harms nobody.
TEST_P(WorkWentBack, WhatNobodyWasToldOfIsNoLoss) {
  begin(0);
  node(0).add("ext");
  test::Past past(database());
  EXPECT_EQ(received(0), 0);
  past.come_back();
  EXPECT_EQ(received(0), -1);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_TRUE(is_harmless(lost[0]));
}

BALLAST_ON_BOTH_DATABASES(WorkWentBack);

}  // namespace
}  // namespace ballast::work
