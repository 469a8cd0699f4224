// Live runs that are moved to another version of their flow, on both databases: all of it or nothing, over crashes, and never under the hands of whoever runs it.
#include <gmock/gmock.h>

#include "../support/effects_house.hpp"
#include "work/approval_rows.hpp"

namespace ballast::work {
namespace {
using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;

// Sends, asks, then sends what was approved.
std::string letters(int version, std::string_view more = "") {
  return fmt::format(R"(
flow: letters
version: {}
output: .stages.last.output
stages:
  draft: {{http: {{url: "https://mail.example/drafts", method: POST, body: '{{n: .input.n}}', risk: write, idempotency: key}}, compensate: none}}
  ok: {{approve: {{show: '{{id: .stages.draft.output.body.id}}', when: always, expires: 24h}}}}
  last: {{transform: '{{version: {}, id: .stages.ok.output.value.id}}'}}
{}
)", version, version, more);
}

class WorkMoves : public EffectsHouse {
 protected:
  JobId waiting() {
    begin({letters(1)});
    says({.status = 201, .body = R"({"id":7})"});
    const JobId id = run("letters");
    EXPECT_EQ(house().end(id), "waiting");
    return id;
  }
  void second(std::string_view more = "") {
    house().add(letters(2, more));
    house().reload();
  }
  std::vector<Approval> asked(JobId id, std::optional<ApprovalState> state = ApprovalState::pending) {
    auto page = database().read_now([&](store::Tx& tx) { return list_approvals(tx, {.state = state, .job = id, .assignee = {}, .seen_by = {}, .before = {}, .limit = 10}); });
    EXPECT_TRUE(page);
    return page ? page->approvals : std::vector<Approval>{};
  }
  void approve(const Approval& a) {
    auto decided = database().write_now([&](store::Tx& tx) {
      return decide_approval(tx, {.id = a.id, .choice = Decision::Choice::approve, .seen = a.digest, .value = {}, .note = {}, .by = {.key_id = "key_ann", .key_name = "ann", .user = "ann", .team = {}, .admin = true, .link = false}}, house().clock.wall());
    });
    ASSERT_TRUE(decided) << describe(decided.error());
  }
  void wake(JobId id) {
    EXPECT_TRUE(house().loop.run(house().engine().wake(id)));
    house().pass(1s);
  }
};

TEST_P(WorkMoves, ARunThatWaitsGoesOnWithTheNewVersionAndRepeatsNothing) {
  const JobId id = waiting();
  second();
  const auto plan = house().move(id);
  ASSERT_TRUE(plan) << describe(plan.error());
  EXPECT_EQ(plan->report.kept, 1u);
  EXPECT_EQ(house().job(id).spec.version, plan->to);
  house().pass(1s);
  ASSERT_EQ(asked(id).size(), 1u);
  EXPECT_EQ(to_hex(asked(id)[0].ask.definition), plan->to) << "people decide on the version it now has";
  house().crash();
  house().start();
  approve(asked(id)[0]);
  wake(id);
  EXPECT_EQ(house().end(id), "done");
  EXPECT_EQ(house().job(id).output, R"({"version":2,"id":7})");
  EXPECT_EQ(web().seen.size(), 1u);
  EXPECT_THAT(house().audit(id), Contains("run.moved " + to_string(id)).Times(1));
  EXPECT_THAT(house().audit(id), Contains("approval.withdrawn ok").Times(1));
}

TEST_P(WorkMoves, ToTheVersionItHasIsNoMove) {
  const JobId id = waiting();
  const auto plan = house().move(id);
  ASSERT_TRUE(plan) << describe(plan.error());
  EXPECT_EQ(plan->run, nullptr);
  EXPECT_EQ(asked(id, {}).size(), 1u);
}

TEST_P(WorkMoves, ThereAndBackByNumberOrDigest) {
  const JobId id = waiting();
  const std::string first = house().job(id).spec.version;
  second();
  ASSERT_TRUE(house().move(id, "2"));
  ASSERT_TRUE(house().move(id, first));
  EXPECT_EQ(house().job(id).spec.version, first);
  ASSERT_EQ(asked(id).size(), 1u) << "somebody is asked, whatever was withdrawn on the way";
  EXPECT_EQ(to_hex(asked(id)[0].ask.definition), first);
  const auto none = house().move(id, "3");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::caller_not_found);
  house().add("flow: other\nstages:\n  a: {transform: '1'}\n");
  house().reload();
  EXPECT_EQ(house().move(id, "4").error().code, ErrorCode::caller_not_found) << "of another flow";
}

TEST_P(WorkMoves, ItIsAllOrNothing) {
  const JobId id = waiting();
  const std::string first = house().job(id).spec.version;
  second();
  house().database.next = {test::ObedientDatabase::Fate::full, test::ObedientDatabase::Fate::full};
  const auto refused = house().move(id);
  ASSERT_FALSE(refused);
  house().database.next.clear();
  EXPECT_EQ(house().job(id).spec.version, first);
  EXPECT_EQ(asked(id, {}).size(), 1u);
  house().engine().board().audit(house().clock.mono());
  ASSERT_TRUE(house().move(id)) << "nothing of it was left behind";
  house().pass(1s);
  approve(asked(id)[0]);
  wake(id);
  EXPECT_EQ(house().job(id).output, R"({"version":2,"id":7})");
}

TEST_P(WorkMoves, ADecisionThatWasMadeIsNotTakenAway) {
  const JobId id = waiting();
  second();
  approve(asked(id)[0]);
  const auto refused = house().move(id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::caller_conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("has just decided"));
  wake(id);
  EXPECT_EQ(house().job(id).output, R"({"version":1,"id":7})");
  EXPECT_THAT(house().move(id).error().message, HasSubstr("the run is done"));
}

TEST_P(WorkMoves, ARunInHandIsNotMovedUnderItsHands) {
  begin({letters(1)});
  says({.status = 201, .body = R"({"id":7})", .headers = {}, .takes = 10s});
  const JobId id = run("letters", R"({"n":1})", 1s);
  ASSERT_TRUE(house().engine().running(id));
  house().add(letters(2));
  house().reload();
  const auto refused = house().move(id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::caller_conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("in hand"));
  house().pass(15s);
  EXPECT_TRUE(house().move(id)) << "now it waits";
  house().pass(1s);
  EXPECT_EQ(web().seen.size(), 1u);
}

TEST_P(WorkMoves, WhatTheRunDidMeanwhileUndoesThePlan) {
  const JobId id = waiting();
  second();
  auto& loop = house().loop;
  auto plan = house().plan(id);
  ASSERT_TRUE(plan && plan->run);
  approve(asked(id)[0]);
  wake(id);
  ASSERT_EQ(house().end(id), "done");
  const auto moved = loop.run(house().engine().replace(plan->run, plan->write));
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().code, ErrorCode::caller_not_found);
}

TEST_P(WorkMoves, AChangedEffectStandsInTheWay) {
  const JobId id = waiting();
  house().add(R"(
flow: letters
version: 2
stages:
  draft: {http: {url: "https://other.example/drafts", method: POST, body: '{n: .input.n}', risk: write, idempotency: key}, compensate: none}
  ok: {approve: {show: '{id: .stages.draft.output.body.id}', when: always, expires: 24h}}
)");
  house().reload();
  const auto refused = house().move(id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "stages.draft");
  EXPECT_EQ(house().job(id).spec.version, house().plan(id, house().job(id).spec.version)->to);
}

TEST_P(WorkMoves, ARunThatHasNotBegunBeginsWithTheNewVersion) {
  begin({letters(1)});
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {.concurrency = 0, .per_tenant = 0, .paused = true})));
  says({.status = 201, .body = R"({"id":7})"});
  const JobId id = house().submit("letters", R"({"n":1})");
  second("  more: {http: {url: 'https://mail.example/more', method: POST, body: '{n: 2}', risk: write, idempotency: key}, compensate: none}\n");
  ASSERT_TRUE(house().move(id));
  house().engine().board().audit(house().clock.mono());
  ASSERT_TRUE(house().loop.run(house().engine().set_queue("default", {})));
  house().pass(1s);
  EXPECT_EQ(web().seen.size(), 2u);
  approve(asked(id)[0]);
  wake(id);
  EXPECT_THAT(house().end(id), HasSubstr("done"));
}

BALLAST_ON_BOTH_DATABASES(WorkMoves);

}  // namespace
}  // namespace ballast::work
