// What a run does next: order, retries, fallbacks, maps, waiting, undoing; and that a journal in any order is the same run.
#include "work/decide.hpp"

#include <gmock/gmock.h>

#include "run_world.hpp"

namespace ballast::work {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const RunWorld::Script one = [](const RunStage&) { return gives(1); };
RunWorld::Script by_path(std::map<std::string, StageOutcome> outcomes) {
  return [outcomes = std::move(outcomes)](const RunStage& run) {
    const auto found = outcomes.find(run.path);
    return found == outcomes.end() ? gives(json::value(run.path)) : found->second;
  };
}
RunWorld run(std::string_view stages, RunWorld::Script script = one, json::value input = json::object{}) {
  return RunWorld(good_flow("flow: f\n" + std::string(stages)), std::move(input), std::move(script));
}
#define CALL(name) "  " name ": {worker: {task: " name "}"
#define AFTER(name, before) "  " name ": {worker: {task: " name ", input: '.stages." before ".output'}"

// ---- Order

TEST(Decide, PureStagesAreOneAnswer) {
  auto w = run("stages:\n  a: {transform: '.input.n + 1'}\n  b: {transform: '.stages.a.output * 2'}\n  c: {template: 'n is {{ .stages.b.output }}'}\n", one, {{"n", 1}});
  const auto actions = decide(w.state, w.now);
  ASSERT_EQ(actions.size(), 4u);
  EXPECT_EQ(std::get<KeepRecord>(actions[0]).record.path, "a");
  EXPECT_EQ(std::get<KeepRecord>(actions[2]).record.path, "c");
  EXPECT_EQ(*std::get<FinishRun>(actions[3]).output, json::value("n is 4"));
}

TEST(Decide, StagesThatDoNotDependOnEachOtherRunTogether) {
  auto w = run("output: '[.stages.c.output]'\nstages:\n" CALL("a") "}\n" CALL("b") "}\n  c: {transform: '[.stages.a.output, .stages.b.output]'}\n", [](const RunStage&) { return StageOutcome{}; });
  EXPECT_FALSE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("a", "b"));
  EXPECT_EQ(w.at("a"), StageState::running);
  EXPECT_TRUE(decide(w.state, w.now).empty()) << "what is under way is not asked for again";
  w.answer("b", "B");
  EXPECT_FALSE(w.go());
  EXPECT_EQ(w.at("c"), StageState::pending);
  w.answer("a", "A");
  EXPECT_TRUE(w.go());
  EXPECT_EQ(w.output(), R"([["A","B"]])");
  EXPECT_THAT(w.ran, ElementsAre("a", "b"));
}

TEST(Decide, AStageSeesWhatItReadsAndNoMore) {
  auto w = run("stages:\n" CALL("a") "}\n" CALL("b") ", after: a}\n  c: {worker: {task: c, input: '{x: .stages.a.output, y: .input.n}'}, after: b}\n",
               by_path({}), {{"n", 7}});
  ASSERT_TRUE(w.go());
  EXPECT_EQ(canonical_json(w.contexts["a"]), canonical_json(json::object{{"run", {{"id", "run_1"}, {"flow", "f"}, {"version", w.state.flow().version_name()}}}, {"stages", json::object{}}}));
  EXPECT_EQ(canonical_json(w.contexts["c"].at("stages")), R"({"a":{"confidence":null,"fallback":false,"output":"a","skipped":false}})");
  EXPECT_EQ(w.contexts["c"].at("input").at("n"), 7);
}

TEST(Decide, AChoiceTakesOneBranchAndSkipsTheOthers) {
  const std::string_view flow = "output: '.stages.end.output'\nstages:\n  pick: {choose: [{when: '.input.x > 1', then: a}, {else: b}]}\n" CALL("a") "}\n" AFTER("a2", "a") "}\n" CALL("b")
      "}\n  end: {transform: '.stages.a2.output // .stages.b.output'}\n";
  auto first = run(flow, by_path({}), {{"x", 2}});
  ASSERT_TRUE(first.go());
  EXPECT_THAT(first.ran, ElementsAre("a", "a2"));
  EXPECT_EQ(first.output(), "\"a2\"");
  EXPECT_EQ(first.at("b"), StageState::skipped);
  auto second = run(flow, by_path({}), {{"x", 0}});
  ASSERT_TRUE(second.go());
  EXPECT_THAT(second.ran, ElementsAre("b"));
  EXPECT_EQ(second.at("a2"), StageState::skipped) << "all it comes after was skipped";
}

TEST(Decide, SkippingGoesOnWhereAStageIsNeeded) {
  auto w = run("output: '[.stages.c.skipped, .stages.d.output]'\nstages:\n" CALL("a") ", when: '.input.x'}\n" CALL("b") "}\n" CALL("c") ", needs: a, after: b}\n" CALL("d") ", after: [a, b]}\n", by_path({}), json::object{});
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("b", "d"));
  EXPECT_EQ(w.output(), R"([true,"d"])");
}

TEST(Decide, AnExpressionThatFailsFailsItsStageWithItsName) {
  auto w = run("stages:\n  a: {transform: '1 + \"x\"'}\n");
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.failed->path, "a");
  EXPECT_EQ(w.failed->error.code, ErrorCode::caller_invalid_request);
  auto when = run("stages:\n" CALL("a") ", when: '1 + \"x\"'}\n");
  ASSERT_TRUE(when.go());
  EXPECT_EQ(when.failed->path, "a");
  EXPECT_THAT(when.ran, IsEmpty());
}

// ---- Failing

TEST(Decide, RetriesAfterTheBackoffUntilTheAttemptsAreUsedUp) {
  auto w = run("stages:\n" CALL("a") ", retry: {attempts: 3, backoff: 10s, factor: 2}}\n", [](const RunStage&) { return fails(ErrorCode::provider_overloaded, true); });
  ASSERT_TRUE(w.step());
  w.patient = false;
  EXPECT_FALSE(w.step()) << "the backoff has not passed";
  EXPECT_EQ(w.at("a"), StageState::retrying);
  w.patient = true;
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("a", "a#2", "a#3"));
  EXPECT_GE(w.now - kStart, 15s) << "half of 10 s and of 20 s at least";
  EXPECT_LE(w.now - kStart, 30s);
  EXPECT_EQ(w.failed->error.code, ErrorCode::provider_overloaded);
}

TEST(Decide, WhatCannotBeRetriedIsNot) {
  auto w = run("stages:\n" CALL("a") ", retry: {attempts: 3}}\n", [](const RunStage&) { return fails(ErrorCode::provider_rejected); });
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("a"));
  auto on = run("stages:\n" CALL("a") ", retry: {attempts: 2, on: provider_rejected}}\n", [](const RunStage&) { return fails(ErrorCode::provider_rejected); });
  ASSERT_TRUE(on.go());
  EXPECT_THAT(on.ran, ElementsAre("a", "a#2"));
}

TEST(Decide, ARetryAfterIsObeyed) {
  auto w = run("stages:\n" CALL("a") ", retry: {attempts: 2}}\n", [](const RunStage& r) {
    auto o = fails(ErrorCode::provider_rate_limited, true);
    o.error->retry_after = 5min;
    return r.attempt == 1 ? o : gives(1);
  });
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.now - kStart, 5min);
}

TEST(Decide, AFallbackStandsIn) {
  auto value = run("stages:\n" CALL("a") ", fallback: {output: '{was: .error.code}'}}\n" AFTER("b", "a") "}\n", [](const RunStage& r) { return r.path == "a" ? fails(ErrorCode::provider_rejected) : gives(2); });
  ASSERT_TRUE(value.go());
  EXPECT_EQ(value.text("a"), R"({"was":"provider_rejected"})");
  EXPECT_TRUE(value.state.find("a")->fallback);
  EXPECT_EQ(value.output(), "2");

  const std::string_view flow = "stages:\n" CALL("a") ", fallback: {stage: spare}}\n" CALL("spare") "}\n" AFTER("b", "a") "}\n";
  auto stage = run(flow, by_path({{"a", fails(ErrorCode::provider_rejected)}}));
  ASSERT_TRUE(stage.go());
  EXPECT_THAT(stage.ran, ElementsAre("a", "spare", "b"));
  EXPECT_EQ(canonical_json(stage.contexts["b"].at("stages").at("a").at("output")), "\"spare\"");
  auto unused = run(flow, by_path({}));
  ASSERT_TRUE(unused.go());
  EXPECT_THAT(unused.ran, ElementsAre("a", "b"));
  EXPECT_EQ(unused.at("spare"), StageState::skipped);
  auto both = run(flow, by_path({{"a", fails(ErrorCode::provider_rejected)}, {"spare", fails(ErrorCode::provider_auth)}}));
  ASSERT_TRUE(both.go());
  EXPECT_EQ(both.failed->path, "a");
  EXPECT_EQ(both.failed->error.code, ErrorCode::provider_auth);
}

TEST(Decide, ALowConfidenceIsAnswerEnoughForTheFallbackOnly) {
  const std::string_view flow = "stages:\n" CALL("a") ", confidence: {value: .output.sure, at_least: 0.85}, fallback: {stage: spare}}\n" CALL("spare") "}\n" AFTER("b", "a") "}\n";
  auto low = run(flow, by_path({{"a", gives(from_text(R"({"sure":0.5})"))}}));
  ASSERT_TRUE(low.go());
  EXPECT_THAT(low.ran, ElementsAre("a", "spare", "b"));
  auto high = run(flow, by_path({{"a", gives(from_text(R"({"sure":0.9})"))}}));
  ASSERT_TRUE(high.go());
  EXPECT_THAT(high.ran, ElementsAre("a", "b"));
}

TEST(Decide, ARunThatFailsLetsWhatIsUnderWayEnd) {
  auto w = run("output: '0'\nstages:\n" CALL("a") "}\n" CALL("b") "}\n" AFTER("c", "b") "}\n", [](const RunStage& r) { return r.path == "a" ? fails(ErrorCode::provider_rejected) : StageOutcome{}; });
  EXPECT_FALSE(w.go());
  EXPECT_FALSE(w.failed);
  w.answer("b", 1);
  EXPECT_TRUE(w.go());
  EXPECT_EQ(w.failed->path, "a");
  EXPECT_THAT(w.ran, ElementsAre("a", "b")) << "nothing more begins";
}

TEST(Decide, TheRunHasADeadlineAndAPurse) {
  auto late = run("policy: {deadline: 1m}\nstages:\n  a: {wait: {for: 1h}}\n");
  ASSERT_TRUE(late.go());
  EXPECT_EQ(late.failed->error.code, ErrorCode::caller_timeout);
  EXPECT_EQ(late.now - kStart, 1min);

  auto dear = run("policy: {max_cost: $0.01}\nstages:\n  a: {model: {route: x, prompt: y}}\n  b: {model: {route: x, prompt: '{{ .stages.a.output }}'}}\n", [](const RunStage&) {
    auto o = gives("text");
    o.cost = Money{10'000'000};
    return o;
  });
  ASSERT_TRUE(dear.go());
  EXPECT_EQ(dear.failed->path, "b");
  EXPECT_EQ(dear.failed->error.code, ErrorCode::policy_budget_exceeded);
}

// ---- Maps

constexpr std::string_view map_flow = "stages:\n  each:\n    map:\n      over: .input.list\n      limit: 2\n      stages:\n        get: {worker: {task: get, input: '.item'}, retry: {attempts: 1}}\n"
                                      "        shape: {transform: '{n: .item, got: .stages.get.output, at: .index}'}\n";

TEST(Decide, AMapRunsAFewItemsAtATimeAndKeepsTheirOrder) {
  auto w = run(map_flow, [](const RunStage&) { return StageOutcome{}; }, from_text(R"({"list":[10,20,30]})"));
  EXPECT_FALSE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("each[0].get", "each[1].get"));
  w.answer("each[1].get", "second");
  EXPECT_FALSE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("each[0].get", "each[1].get", "each[2].get"));
  w.answer("each[2].get", "third");
  w.answer("each[0].get", "first");
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.output(), R"([{"at":0,"got":"first","n":10},{"at":1,"got":"second","n":20},{"at":2,"got":"third","n":30}])");
  auto none = run(map_flow, one, from_text(R"({"list":[]})"));
  ASSERT_TRUE(none.go());
  EXPECT_EQ(none.output(), "[]");
}

TEST(Decide, AMapFailsWithItsItemOrCollects) {
  const auto script = by_path({{"each[1].get", fails(ErrorCode::provider_rejected)}});
  auto w = run(map_flow, script, from_text(R"({"list":[1,2,3,4]})"));
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.failed->path, "each");
  EXPECT_THAT(w.failed->error.message, HasSubstr("get: it failed"));
  EXPECT_THAT(w.ran, testing::Not(testing::Contains("each[3].get")));
  auto collects = run(std::string(map_flow) + "      on_error: collect\n", script, from_text(R"({"list":[1,2,3]})"));
  ASSERT_TRUE(collects.go());
  EXPECT_EQ(collects.output(), R"([{"at":0,"got":"each[0].get","n":1},{"error":{"code":"provider_rejected","message":"it failed","stage":"get"}},{"at":2,"got":"each[2].get","n":3}])");
}

TEST(Decide, AMapRefusesWhatIsNoListOrTooLong) {
  auto no = run(map_flow, one, from_text(R"({"list":3})"));
  ASSERT_TRUE(no.go());
  EXPECT_THAT(no.failed->error.message, HasSubstr("over must give a list"));
  auto full = run("stages:\n  each: {map: {over: .input, max: 2, limit: 1, stages: {x: {transform: .item}}}}\n", one, from_text("[1,2,3]"));
  ASSERT_TRUE(full.go());
  EXPECT_EQ(full.failed->error.code, ErrorCode::caller_too_large);
}

TEST(Decide, MapsNest) {
  auto w = run("stages:\n  rows: {map: {over: .input, as: row, limit: 3, stages: {cells: {map: {over: .row, as: cell, limit: 3, stages: {x: {transform: '{c: .cell, r: (.row | length), i: .index}'}}}}}}}\n", one, from_text("[[1],[2,3]]"));
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.output(), R"([[{"c":1,"i":0,"r":1}],[{"c":2,"i":0,"r":2},{"c":3,"i":1,"r":2}]])");
}

// ---- Waiting

TEST(Decide, TimeIsWaitedForOnceAcrossARestart) {
  auto w = run("stages:\n  a: {wait: {for: 10m}}\n  b: {wait: {until: '\"2026-01-01T00:00:00Z\"'}, after: a}\n");
  w.patient = false;
  ASSERT_TRUE(w.step());
  EXPECT_FALSE(w.step());
  auto again = resumed(w, w.journal, one);
  again.now += 3min;
  ASSERT_TRUE(again.go());
  EXPECT_EQ(again.now, std::max(kStart + 10min, *parse_time("2026-01-01T00:00:00Z"))) << "from its beginning, not from the restart";
}

TEST(Decide, AnEventComesOrDoesNot) {
  const std::string_view flow = "stages:\n  paid: {wait: {event: paid, key: .input.order, timeout: 1h}}\n";
  auto w = run(flow, one, {{"order", 7}});
  w.patient = false;
  EXPECT_FALSE(w.go());
  ASSERT_EQ(w.journal.size(), 1u);
  EXPECT_EQ(canonical_json(*w.journal[0].value), R"({"event":"paid","key":7})");
  w.answer("paid", {{"amount", "10.00"}});
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.output(), R"({"amount":"10.00"})");
  auto late = run(flow, one, {{"order", 7}});
  ASSERT_TRUE(late.go());
  EXPECT_EQ(late.failed->error.code, ErrorCode::caller_timeout);
  EXPECT_EQ(late.now - kStart, 1h);
}

TEST(Decide, AnApprovalIsAskedForWhenItsRuleSaysSo) {
  struct Rule { std::string_view when; bool asks; };
  for (const auto& [when, asks] : std::initializer_list<Rule>{{"always", true}, {"never", false}, {"by-risk", true}, {"{risk: destructive}", true}, {"{sample: 0}", false}, {"{sample: 1}", true}, {"{confidence: {below: 0.5, of: a}}", false}, {"{confidence: {below: 0.9, of: a}}", true}}) {
    auto w = run(fmt::format("stages:\n  a: {{worker: {{task: a}}, confidence: .output}}\n  ok: {{approve: {{show: .stages.a.output, expires: 1h, when: {}}}}}\n  act: {{http: {{method: POST, url: 'https://a.example', body: .stages.ok.output.value}}}}\n", when),
                 [](const RunStage& r) { return r.path == "a" ? gives(0.7) : gives(1); });
    w.patient = false;
    EXPECT_EQ(w.go(), !asks) << when;
    EXPECT_EQ(w.started.contains("ok"), asks) << when;
    if (!asks) EXPECT_EQ(w.contexts["act"].at("stages").at("ok").at("output").at("decision"), "passed");
  }
  auto harmless = run("stages:\n  ok: {approve: {show: '1', expires: 1h, when: by-risk}}\n  act: {http: {url: 'https://a.example'}, after: ok}\n");
  EXPECT_TRUE(harmless.go()) << "nothing destructive comes after it";
}

TEST(Decide, AnApprovalExpires) {
  const auto flow = [](std::string_view more) { return fmt::format("stages:\n  ok: {{approve: {{show: '1', expires: 1h{}}}}}\n  act: {{worker: {{task: t}}, needs: ok}}\n", more); };
  auto fail = run(flow(""));
  ASSERT_TRUE(fail.go());
  EXPECT_EQ(fail.failed->path, "ok");
  EXPECT_THAT(fail.failed->error.message, HasSubstr("nobody decided within 1h"));
  auto skip = run(flow(", on_expire: skip"));
  ASSERT_TRUE(skip.go());
  EXPECT_EQ(skip.at("act"), StageState::skipped);
  EXPECT_THAT(skip.ran, IsEmpty());
}

TEST(Decide, AWorkerThatHangsIsTriedAgain) {
  auto w = run("stages:\n" CALL("a") ", timeout: 1m, retry: {attempts: 2}}\n", [](const RunStage&) { return StageOutcome{{}, {}, true, {}}; });
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.ran, ElementsAre("a", "a#2"));
  EXPECT_EQ(w.failed->error.code, ErrorCode::provider_timeout);
}

// ---- Undoing

#define EFFECT(name, more) "  " name ": {http: {method: POST, url: 'https://a.example'}, compensate: {http: {method: DELETE, url: 'https://a.example/{{ .output }}'}}" more "}\n"
constexpr std::string_view undo_flow = "policy: {on_failure: compensate}\noutput: '0'\nstages:\n" EFFECT("a", "") EFFECT("b", ", after: a") CALL("c") ", after: b}\n" EFFECT("d", ", after: c");

TEST(Decide, WhatWasDoneIsUndoneInReverse) {
  auto w = run(undo_flow, by_path({{"c", fails(ErrorCode::provider_rejected)}}));
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.undone, ElementsAre("b", "a"));
  EXPECT_EQ(w.contexts["b!"].at("output"), "b");
  EXPECT_EQ(w.failed->path, "c");
  EXPECT_TRUE(w.state.find("a")->compensated);
}

TEST(Decide, AnUndoingThatFailsIsSeenAndDoesNotStopTheOthers) {
  auto w = run(undo_flow, by_path({{"c", fails(ErrorCode::provider_rejected)}}));
  w.undo_error = Error{ErrorCode::provider_error, "no", "", false, {}, {}, {}, {}};
  ASSERT_TRUE(w.go());
  EXPECT_THAT(w.undone, ElementsAre("b", "a"));
  EXPECT_FALSE(w.state.find("a")->compensated);
  EXPECT_EQ(w.failed->path, "c");
}

TEST(Decide, UndoingGoesOnAfterACrash) {
  auto w = run(undo_flow, by_path({{"c", fails(ErrorCode::provider_rejected)}}));
  while (w.undone.empty()) ASSERT_TRUE(w.step());
  auto again = resumed(w, w.journal, one);
  ASSERT_TRUE(again.go());
  EXPECT_THAT(again.undone, ElementsAre("a"));
  EXPECT_THAT(again.ran, IsEmpty());
}

TEST(Decide, ARunThatIsDoneCanBeRolledBackAlsoInsideMaps) {
  auto w = run("output: '0'\nstages:\n  each: {map: {over: '[1,2]', limit: 1, stages: {x: {http: {method: POST, url: 'https://a.example'}, compensate: {http: {url: 'https://a.example'}}}}}}\n" EFFECT("last", ", after: each"));
  ASSERT_TRUE(w.go());
  auto again = resumed(w, w.journal, one);
  std::vector<std::string> undone;
  for (auto actions = roll_back(again.state); !actions.empty(); actions = roll_back(again.state)) {
    ASSERT_EQ(actions.size(), 1u);
    const auto& c = std::get<Compensate>(actions[0]);
    undone.push_back(c.path);
    again.record({.path = c.path, .input = c.input, .what = StageRecord::What::compensated});
  }
  EXPECT_THAT(undone, ElementsAre("last", "each[1].x", "each[0].x"));
}

// ---- The journal is by name and question, never by position

TEST(Decide, RecordsAreFoundAgainInAReorderedFile) {
  const auto one_way = good_flow("flow: f\nstages:\n  a: {worker: {task: a}}\n  b: {worker: {task: b, input: .stages.a.output}}\n  c: {worker: {task: c, input: .stages.b.output}}\n");
  const auto other_way = good_flow("flow: f\nstages:\n  new: {transform: '1'}\n  c: {worker: {task: c, input: .stages.b.output}, after: new}\n  b: {worker: {task: b, input: .stages.a.output}}\n  a: {worker: {task: a}}\n");
  RunWorld first(one_way, json::object{}, by_path({}));
  ASSERT_TRUE(first.go());
  RunWorld second(other_way, json::object{}, by_path({}));
  for (const auto& r : first.journal) EXPECT_TRUE(second.state.apply(r));
  ASSERT_TRUE(second.go());
  EXPECT_THAT(second.ran, ElementsAre("c")) << "its own definition has changed; a and b are what they were";
}

TEST(Decide, AnEditedInputRunsAgainWhatReadsIt) {
  const auto flow = good_flow("flow: f\noutput: '0'\nstages:\n  name: {worker: {task: t, input: .input.name}}\n  mail: {worker: {task: t, input: .input.mail}}\n  card: {worker: {task: t, input: .stages.name.output}}\n");
  RunWorld first(flow, json::object{{"name", "A"}, {"mail", "x"}}, by_path({}));
  ASSERT_TRUE(first.go());
  RunWorld second(flow, json::object{{"mail", "y"}, {"name", "A"}}, by_path({}), "run_2");
  for (const auto& r : first.journal) EXPECT_TRUE(second.state.apply(r));
  ASSERT_TRUE(second.go());
  EXPECT_THAT(second.ran, ElementsAre("mail"));
}

TEST(Decide, ARetryOfOneStageKeepsWhatDoesNotDependOnIt) {
  auto w = run("output: '0'\nstages:\n" CALL("a") "}\n" AFTER("b", "a") "}\n" AFTER("c", "b") "}\n" CALL("d") "}\n", by_path({}));
  ASSERT_TRUE(w.go());
  auto again = resumed(w, keep_before(w.state.flow(), w.journal, "b"), by_path({}));
  ASSERT_TRUE(again.go());
  EXPECT_THAT(again.ran, ElementsAre("b", "c"));

  auto m = run(std::string(map_flow) + AFTER("end", "each") "}\n", by_path({}), from_text(R"({"list":[1,2,3]})"));
  ASSERT_TRUE(m.go());
  auto item = resumed(m, keep_before(m.state.flow(), m.journal, "each[1].get"), [](const RunStage&) { return gives("again"); });
  ASSERT_TRUE(item.go());
  EXPECT_THAT(item.ran, ElementsAre("each[1].get", "end"));
  EXPECT_EQ(item.text("each"), R"([{"at":0,"got":"each[0].get","n":1},{"at":1,"got":"again","n":2},{"at":2,"got":"each[2].get","n":3}])");
}

TEST(Decide, ARecordOfAnotherVersionsStageIsTold) {
  auto w = run("stages:\n  a: {transform: '1'}\n");
  for (const auto path : {"nobody", "a[0].x", "", "a.b", "a[", "a[x].b", "a[0]"}) EXPECT_FALSE(w.state.apply({.path = path})) << path;
}

// ---- Taint while it runs

TEST(Decide, TaintGoesWithTheValues) {
  auto w = RunWorld(good_flow("flow: f\ninput: {trusted: true}\nstages:\n  ask: {model: {route: x, prompt: y}}\n  a: {transform: .stages.ask.output}\n"
                              "  ok: {approve: {show: .stages.a.output, expires: 1h}}\n"
                              "  pay: {settle: {values: .stages.ok.output.value, effect: {http: {method: POST, url: 'https://bank.example'}}}, needs: ok}\n"), json::object{}, by_path({}));
  w.patient = false;
  EXPECT_FALSE(w.go());
  const Taint model(TaintOrigin{"ask", TaintKind::model});
  EXPECT_EQ(w.state.find("a")->taint, model);
  const auto ok = w.state.find("ok");
  json::value output = {{"decision", "approved"}, {"value", "ask"}};
  w.record({.path = "ok", .input = ok->input, .value = std::make_shared<const json::value>(output), .output = value_digest(output), .taint = model});
  ASSERT_TRUE(w.go());
  EXPECT_EQ(w.runs.at("pay").reads, model) << "an approval does not wash: what counts is its digest";
  const std::vector<Digest> approved = {value_digest("ask")};
  EXPECT_TRUE(may_settle("pay", w.runs.at("pay").reads, value_digest("ask"), approved));
  EXPECT_FALSE(may_settle("pay", w.runs.at("pay").reads, value_digest("other"), approved));
}

TEST(Decide, ASettleStageKnowsTheWayEachTaintTook) {
  const std::string head = "flow: f\noutput: '0'\nstages:\n", pay = "effect: {http: {method: POST, url: 'https://bank.example'}}}}\n";
  const auto ways = [&](const std::string& stages, RunWorld::Script script, json::value input = json::object{{"n", 1}}, std::string_view path = "pay") {
    auto w = RunWorld(good_flow(head + stages), std::move(input), std::move(script));
    w.go();
    return w.runs[std::string(path)].ways;
  };
  EXPECT_THAT(ways("  ask: {model: {route: x, prompt: y}}\n  a: {transform: .stages.ask.output}\n  b: {template: '{{ .stages.a.output }} of {{ .input.n }}'}\n  pay: {settle: {values: .stages.b.output, " + pay, by_path({})),
              UnorderedElementsAre("b.output ← a.output ← ask.output (model)", "b.output ← input (the user's)"));
  EXPECT_THAT(ways("  ask: {http: {url: 'https://a.example'}, fallback: {stage: spare}}\n  spare: {model: {route: x, prompt: y}}\n  pay: {settle: {values: .stages.ask.output, " + pay,
                   by_path({{"ask", fails(ErrorCode::provider_rejected)}})),
              ElementsAre("ask.output ← spare.output (model)"));
  EXPECT_THAT(ways("  ask: {model: {route: x, prompt: y}}\n  each: {map: {over: .stages.ask.output, as: line, limit: 2, stages: {shape: {transform: .line}}}}\n  pay: {settle: {values: .stages.each.output, " + pay,
                   by_path({{"ask", gives({1, 2})}})),
              ElementsAre("each.output ← ask.output (model)"));
  EXPECT_THAT(ways("  ask: {model: {route: x, prompt: y}}\n  each: {map: {over: .stages.ask.output, as: line, limit: 2, stages: {shape: {transform: .line}, pay: {settle: {values: .stages.shape.output, effect: {http: {method: POST, url: 'https://bank.example'}}}}}}}\n",
                   by_path({{"ask", gives({1, 2})}}), json::object{}, "each[1].pay"),
              ElementsAre("shape.output ← line ← ask.output (model)"));
}

}  // namespace
}  // namespace ballast::work
