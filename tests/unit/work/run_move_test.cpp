// Which moves of a live run to another version of its flow are safe, stage by stage.
#include "work/run_move.hpp"

#include <gmock/gmock.h>

#include "run_world.hpp"

namespace ballast::work {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

#define CALL(name) "  " name ": {worker: {task: " name "}"
#define AFTER(name, before) "  " name ": {worker: {task: " name ", input: '.stages." before ".output'}"

// A run of one version, as far as its workers let it come; then judged for another.
struct Moving {
  explicit Moving(std::string_view stages, RunWorld::Script script = [](const RunStage& r) { return gives(json::value(r.path)); }, json::value input = json::object{{"n", 1}})
      : from(good_flow("flow: f\noutput: '0'\n" + std::string(stages))), world(from, input, std::move(script)) {
    world.patient = false;
    world.go();
    run.id = JobId{77};
    run.spec.lineage = "run_1";
    run.spec.name = "f";
    run.input = to_json(input);
    run.created = kStart;
  }
  Result<MoveReport> to(std::string_view stages, bool call_off = false) {
    const FlowPtr next = good_flow("flow: f\nversion: 2\noutput: '0'\n" + std::string(stages));
    return judge_move({.run = run, .journal = world.journal, .effects = effects, .from = from, .to = next, .now = world.now}, call_off);
  }
  std::string why(std::string_view stages, bool call_off = false) {
    const auto report = to(stages, call_off);
    if (report) return "moved";
    EXPECT_EQ(report.error().code, ErrorCode::caller_conflict);
    return report.error().field + ": " + report.error().message;
  }
  void happened(std::string path, records::EffectState state) {
    records::Effect e;
    e.intent.id = {.path = path, .input = world.state.find(path)->input};
    e.intent.target = "POST https://pay.example/";
    e.state = state;
    effects.push_back(e);
  }
  FlowPtr from;
  RunWorld world;
  Job run;
  std::vector<records::Effect> effects;
};
std::vector<std::string> paths(const std::vector<MoveReport::Asked>& asked) {
  std::vector<std::string> out;
  for (const auto& a : asked) out.push_back(a.path);
  return out;
}
// Performed here, but for those named, whose worker has the task.
RunWorld::Script but(std::string waiting) {
  return [waiting](const RunStage& r) {
    StageOutcome o = gives(json::value(r.path));
    o.waits = r.path == waiting;
    return o;
  };
}

// ---- what may differ

TEST(RunMove, WhatHasNotBegunIsTheNewVersions) {
  Moving m("stages:\n" CALL("a") "}\n  ask: {approve: {show: .stages.a.output, expires: 1h}}\n" AFTER("b", "ask") "}\n");
  const auto report = m.to("stages:\n" CALL("a") "}\n  ask: {approve: {show: .stages.a.output, expires: 1h}}\n" AFTER("c", "ask") ", timeout: 5m}\n" CALL("d") "}\n");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept, 1u);
  EXPECT_THAT(paths(report->asked_again), ElementsAre("ask")) << "a decision is bound to the version it was made for";
  EXPECT_THAT(report->begins, ElementsAre("d"));
  EXPECT_THAT(report->again, IsEmpty());
}

TEST(RunMove, WhatWasOnlyWorkedOutIsWorkedOutAgain) {
  Moving m("stages:\n" CALL("a") "}\n  t: {transform: '{x: .stages.a.output}'}\n  ask: {wait: {event: go}, timeout: 1h, after: t}\n" AFTER("b", "t") ", after: ask}\n");
  const auto report = m.to("stages:\n" CALL("a") "}\n  t: {transform: '{y: .stages.a.output}'}\n  ask: {wait: {event: go}, timeout: 1h, after: t}\n" AFTER("b", "t") ", after: ask}\n");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->again, ElementsAre("t"));
  EXPECT_EQ(report->kept, 1u);
}

TEST(RunMove, AFailedStageIsTriedAnewAsTheNewVersionHasIt) {
  Moving m("stages:\n" CALL("a") "}\n" AFTER("b", "a") ", retry: {attempts: 3, backoff: 1h}}\n", [](const RunStage& r) { return r.path == "b" ? fails(ErrorCode::provider_overloaded, true) : gives(1); });
  const auto report = m.to("stages:\n" CALL("a") "}\n  b: {worker: {task: mended, input: .stages.a.output}}\n");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->again, ElementsAre("b"));
  EXPECT_THAT(report->begins, ElementsAre("b")) << "its backoff was of the version before";
}

TEST(RunMove, OfAMapItemsThatAreDoneStayAndTheOthersAreTheNewVersions) {
  const std::string_view one = "stages:\n  each: {map: {over: .input.list, limit: 2, stages: {a: {worker: {task: a, input: .item}}, b: {worker: {task: b, input: .stages.a.output}}}}}\n";
  Moving m(one, [](const RunStage& r) { return r.path == "each[1].b" ? fails(ErrorCode::provider_overloaded, true) : gives(json::value(r.path)); }, {{"list", {1, 2, 3}}});
  const auto same = m.to("stages:\n  each: {map: {over: .input.list, limit: 1, stages: {a: {worker: {task: a, input: .item}}, b: {worker: {task: b, input: .stages.a.output}}, c: {worker: {task: c, input: .stages.b.output}}}}}\n");
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ(same->kept, 5u);
  EXPECT_THAT(same->begins, ElementsAre("each[0].c"));
  EXPECT_THAT(m.why("stages:\n  each: {map: {over: .input.list, limit: 2, stages: {a: {worker: {task: other, input: .item}}, b: {worker: {task: b, input: .stages.a.output}}}}}\n"),
              HasSubstr("stages.each[0].a: each[0].a has a result, and version 2 asks it something else"));
}

// ---- what may not

TEST(RunMove, AResultMustAnswerTheSameQuestionInTheSamePlace) {
  Moving m("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n  ask: {wait: {event: go}, timeout: 1h, after: b}\n");
  const std::string ask = "  ask: {wait: {event: go}, timeout: 1h, after: b}\n";
  EXPECT_THAT(m.why("stages:\n" CALL("a") ", timeout: 5m}\n" AFTER("b", "a") "}\n" + ask), HasSubstr("stages.a: a has a result, and version 2 asks it something else"));
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n  ask: {wait: {event: go}, timeout: 1h, after: a}\n"), HasSubstr("stages.b: b has a result, and version 2 has no such stage"));
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n" CALL("first") "}\n" AFTER("b", "a") ", after: first}\n" + ask), HasSubstr("b has a result, and in version 2 it comes after first, which is not done"));
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n  pick: {choose: [{when: '.stages.late.output', then: b}, {else: b}]}\n" CALL("late") "}\n" AFTER("b", "a") "}\n" + ask),
              HasSubstr("b has a result, and in version 2 it comes after pick, which is not done"));
  EXPECT_EQ(m.why("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n" + ask + CALL("more") "}\n"), "moved");
}

TEST(RunMove, AChildMustBeTheSame) {
  Moving m("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n", but("b"));
  m.world.journal.back().value = std::make_shared<const json::value>(json::object{{"child", to_string(JobId{99})}});
  EXPECT_EQ(m.why("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n" AFTER("c", "b") "}\n"), "moved");
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n" AFTER("b", "a") ", timeout: 5m}\n", true), HasSubstr("stages.b: b waits for " + to_string(JobId{99}) + ", and version 2 asks it something else"));
}

TEST(RunMove, WhatWaitsMustBeTheSameOrIsCalledOffOnDemand) {
  Moving m("stages:\n  ask: {approve: {show: .input.n, expires: 1h, assignees: ['user:ann']}}\n  go: {wait: {event: go}, timeout: 1h}\n");
  const std::string_view next = "stages:\n  ask: {approve: {show: .input.n, expires: 1h, assignees: ['user:bob']}}\n  go: {wait: {event: gone}, timeout: 1h}\n";
  EXPECT_THAT(m.why(next), HasSubstr("stages.ask: ask waits for an approval, and version 2 asks it something else"));
  EXPECT_THAT(m.why(next), HasSubstr("go waits for an event"));
  const auto report = m.to(next, true);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(paths(report->called_off), ElementsAre("ask", "go"));
}

TEST(RunMove, WhatWasCalledOffOnceIsAskedAgainWhereTheRunComesBackToIt) {
  const std::string_view ann = "stages:\n  ask: {approve: {show: .input.n, expires: 1h, assignees: ['user:ann']}}\n  go: {wait: {event: go}, timeout: 1h}\n";
  const std::string_view bob = "stages:\n  ask: {approve: {show: .input.n, expires: 1h, assignees: ['user:bob']}}\n  go: {wait: {event: gone}, timeout: 1h}\n";
  Moving m(ann);
  ASSERT_TRUE(m.to(bob, true));
  Moving there(bob);
  for (const StageRecord& r : m.world.journal) there.world.record(r);
  const auto back = there.to(ann, true);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_THAT(paths(back->asked_again), ElementsAre("ask"));
  EXPECT_THAT(paths(back->listens), ElementsAre("go"));
}

TEST(RunMove, AnEffectThatHappenedOrMayHaveMustBeTheSame) {
  const auto charge = [](std::string_view path) { return fmt::format("stages:\n  charge: {{http: {{url: 'https://pay.example/{}', method: POST}}, compensate: none, retry: {{attempts: 3, backoff: 1h, on: ['provider_*']}}}}\n", path); };
  const auto failing = [](const RunStage&) { return fails(ErrorCode::provider_overloaded, true); };
  for (const auto [state, why] : {std::pair(records::EffectState::unknown, "may have happened, nobody knows"), {records::EffectState::dispatched, "may have happened, nobody knows"},
                                  {records::EffectState::confirmed, "has happened"}}) {
    Moving m(charge("a"), failing);
    m.happened("charge", state);
    EXPECT_THAT(m.why(charge("b")), HasSubstr(fmt::format("stages.charge: charge POST https://pay.example/ {}, and version 2 asks it something else", why)));
  }
  Moving m(charge("a"), failing);
  m.happened("charge", records::EffectState::failed);
  EXPECT_EQ(m.why(charge("b")), "moved");
}

TEST(RunMove, WhatWasApprovedMustBeWhatHappens) {
  const std::string head = "stages:\n  ok: {approve: {show: .input.n, expires: 1h}}\n", go = "  go: {wait: {event: go}, timeout: 1h, after: ok}\n";
  const auto pay = [](std::string_view where) { return fmt::format("  shape: {{transform: '{{n: .stages.ok.output.value}}'}}\n  pay: {{http: {{url: 'https://{}.example/', method: POST, body: .stages.shape.output}}, after: go, compensate: none}}\n", where); };
  Moving m(head + go + pay("one"));
  m.world.answer("ok", json::object{{"decision", "approved"}, {"value", 1}, {"by", "user:ann"}});
  m.world.go();
  EXPECT_EQ(m.why(head + go + pay("one") + "  log: {transform: .stages.ok.output}\n"), "moved") << "what reaches nobody may come of it";
  EXPECT_THAT(m.why(head + go + pay("two")), HasSubstr("stages.pay: pay is another in version 2, and comes after the approval ok, which was given for what it was"));
  EXPECT_THAT(m.why(head + go + pay("one") + "  more: {http: {url: 'https://x.example/', method: POST, body: .stages.ok.output}, compensate: none}\n"), HasSubstr("more is new in version 2"));
  EXPECT_THAT(m.why(head + go + "  shape: {transform: '{n: 1000, was: .stages.ok.output.value}'}\n  pay: {http: {url: 'https://one.example/', method: POST, body: .stages.shape.output}, after: go, compensate: none}\n"),
              HasSubstr("stages.shape: shape is another"));
}

TEST(RunMove, WhatPassedWithoutAHumanMustPassAgain) {
  const std::string go = "  go: {wait: {event: go}, timeout: 1h, after: ok}\n";
  Moving m("policy: {approve: never}\nstages:\n  ok: {approve: {show: .input.n, expires: 1h}}\n" + go);
  EXPECT_THAT(m.why("policy: {approve: always}\nstages:\n  ok: {approve: {show: .input.n, expires: 1h}}\n" + go), HasSubstr("stages.ok: ok was passed without a human"));
}

TEST(RunMove, ARunThatWouldFailAtOnceIsNotMoved) {
  Moving m("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n", but("b"));
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n  t: {transform: '.stages.a.output + 1'}\n"), HasSubstr("stages.t: with version 2 the run would fail at once: "));
}

TEST(RunMove, ARunThatUndoesItselfEndsAsItBegan) {
  Moving m("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n", but("b"));
  m.world.record({.path = "a", .input = m.world.state.find("a")->input, .what = StageRecord::What::compensated});
  EXPECT_THAT(m.why("stages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n" CALL("c") "}\n"), HasSubstr("stages.a: the run is undoing what it did"));
}

TEST(RunMove, ResultsMadeOfATrustedInputDoNotComeIntoAVersionThatDoesNotTrustIt) {
  Moving m("input: {schema: {type: object}, trusted: true}\nstages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n", but("b"));
  EXPECT_THAT(m.why("input: {schema: {type: object}}\nstages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n"), HasSubstr("version: results were made while the run's input was trusted"));
}

}  // namespace
}  // namespace ballast::work
