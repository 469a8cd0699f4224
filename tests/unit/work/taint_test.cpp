// AI off the critical path: what a settle stage refuses, the way it is told by, and what lets it through.
#include "work/taint.hpp"

#include <gmock/gmock.h>

#include "flow_text.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string lines(const std::vector<ConfigMistake>& mistakes) {
  std::string out;
  for (const auto& m : mistakes) out += to_string(m) + "\n";
  return out;
}
TaintFindings check(std::initializer_list<std::string_view> texts) {
  std::vector<FlowPtr> flows;
  for (const auto text : texts)
    if (auto flow = good_flow(text)) flows.push_back(std::move(flow));
  return flows.empty() ? TaintFindings() : check_taint(*flows.front(), flows);
}

#define EFFECT "effect: {http: {method: POST, url: 'https://bank.example'}}"
#define ASK "  ask: {model: {route: x, prompt: y}}\n"
constexpr std::string_view head = "flow: f\ninput: {trusted: true}\noutput: '0'\nstages:\n";

TEST(Taint, TheErrorNamesTheWayItCame) {
  const auto found = check({"flow: f\ninput: {trusted: true}\noutput: '0'\nstages:\n"
                            "  triage: {model: {route: x, prompt: y}}\n"
                            "  shape: {transform: '{amount: .stages.triage.output}'}\n"
                            "  pay: {settle: {values: '.stages.shape.output', " EFFECT "}}\n"});
  EXPECT_THAT(lines(found.errors), HasSubstr("f.yaml:7:26: stages.pay.settle.values is tainted: pay.values ← shape.output ← triage.output (model)"));
  EXPECT_THAT(lines(found.errors), HasSubstr("let an approve stage show exactly these values"));
}

struct Case {
  std::string_view stages, way;               // way empty: it may settle
};
class Ways : public testing::TestWithParam<Case> {};
TEST_P(Ways, OfTaint) {
  const auto& c = GetParam();
  const auto found = check({std::string(head) + std::string(c.stages)});
  if (c.way.empty()) EXPECT_THAT(lines(found.errors), IsEmpty());
  else EXPECT_THAT(lines(found.errors), HasSubstr(c.way));
}
#define PAY(values) "  pay: {settle: {values: '" values "', " EFFECT "}}\n"
#define PAY_NEEDS(values) "  pay: {settle: {values: '" values "', " EFFECT "}, needs: ok}\n"
INSTANTIATE_TEST_SUITE_P(All, Ways, testing::Values(
    // sources
    Case{PAY(".input.amount"), ""},
    Case{ASK PAY(".stages.ask.output"), "pay.values ← ask.output (model)"},
    Case{"  get: {http: {url: 'https://a.example'}}\n" PAY(".stages.get.output.body"), "pay.values ← get.output (web)"},
    Case{"  get: {http: {url: 'https://a.example', trusted: true}}\n" PAY(".stages.get.output.body"), ""},
    Case{ASK "  get: {http: {url: 'https://a.example/{{ .stages.ask.output }}', trusted: true}}\n" PAY(".stages.get.output.body"), "pay.values ← get.output ← ask.output (model)"},
    Case{"  job: {worker: {task: t}}\n" PAY(".stages.job.output"), ""},
    Case{"  job: {worker: {task: t, trusted: false}}\n" PAY(".stages.job.output"), "pay.values ← job.output (worker)"},
    Case{"  ev: {wait: {event: e, timeout: 1h}}\n" PAY(".stages.ev.output.amount"), "pay.values ← ev.output (event)"},
    // ways
    Case{ASK "  t: {template: 'x {{ .stages.ask.output }}'}\n" PAY(".stages.t.output"), "pay.values ← t.output ← ask.output (model)"},
    Case{ASK "  a: {transform: '1', fallback: {stage: b}}\n  b: {transform: .stages.ask.output}\n" PAY(".stages.a.output"), "pay.values ← a.output ← b.output ← ask.output (model)"},
    Case{ASK "  m: {map: {over: .stages.ask.output, stages: {x: {transform: '.item.n'}}}}\n" PAY(".stages.m.output"), "pay.values ← m.output ← ask.output (model)"},
    Case{ASK "  m: {map: {over: '[1]', stages: {x: {transform: '.stages.ask.output'}}}}\n" PAY(".stages.m.output"), "pay.values ← m.output ← x.output ← ask.output (model)"},
    Case{ASK "  m: {map: {over: .stages.ask.output, stages: {x: {settle: {values: .item, " EFFECT "}}}}}\n", "x.values ← item ← ask.output (model)"},
    Case{ASK "  a: {transform: 'if .stages.ask.output then 1 else 2 end'}\n" PAY(".stages.a.output"), "pay.values ← a.output ← ask.output (model)"},
    Case{"  one: {settle: {values: '1', " EFFECT "}}\n" PAY(".stages.one.output.body"), "pay.values ← one.output (web)"},
    // what stands between
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h}}\n" PAY_NEEDS(".stages.ok.output.value"), ""},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h}}\n" PAY_NEEDS(".stages.ask.output"), ""},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h, when: by-risk}}\n" PAY_NEEDS(" .stages.ok.output.value "), ""},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h, edit: true}}\n" PAY_NEEDS(".stages.ok.output.value"), ""},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h, signature: true, assignees: 'user:anna'}}\n" PAY_NEEDS(".stages.ok.output.value"), ""},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h, edit: true}}\n" PAY_NEEDS(".stages.ask.output"), "the approval ok stands between, but what it shows may be edited; settle .stages.ok.output.value"},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h}}\n" PAY_NEEDS("{n: .stages.ok.output.value}"), "the approval ok stands between, but shows something else"},
    Case{ASK "  ok: {approve: {show: .stages.ask.output.x, expires: 1h}}\n" PAY_NEEDS(".stages.ask.output"), "shows something else; settle exactly .stages.ok.output.value"},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h}}\n" PAY(".stages.ok.output.value"), "pay would run without it; add needs: ok"},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h, when: {sample: 0.5}}}\n" PAY_NEEDS(".stages.ok.output.value"), "it does not always take place; give it when: always"},
    Case{ASK "  ok: {approve: {show: .stages.ask.output, expires: 1h}, fallback: {output: '1'}}\n" PAY_NEEDS(".stages.ok.output.value"), "its fallback would stand in for a human"}));

TEST(Taint, AUsersInputIsTaintedUnlessTheFlowTrustsIt) {
  const auto found = check({"flow: f\noutput: '0'\nstages:\n" PAY(".input.amount")});
  EXPECT_THAT(lines(found.errors), HasSubstr("pay.values ← input (the user's)"));
}

TEST(Taint, ItCrossesFlows) {
  const std::string_view child = "flow: child\nstages:\n  reply: {model: {route: x, prompt: y}}\n";
  const std::string_view echo = "flow: echo\nstages:\n  a: {transform: .input}\n";
  const std::string_view sink = "flow: sink\ninput: {trusted: true}\noutput: '0'\nstages:\n" PAY(".input");
  EXPECT_THAT(lines(check({std::string(head) + "  call: {flow: child}\n" PAY(".stages.call.output"), child}).errors),
              HasSubstr("pay.values ← call.output ← child/reply.output (model)"));
  EXPECT_THAT(lines(check({std::string(head) + ASK "  call: {flow: {name: echo, input: .stages.ask.output}}\n" PAY(".stages.call.output"), echo}).errors),
              HasSubstr("pay.values ← call.output ← ask.output (model)"));
  EXPECT_THAT(lines(check({std::string(head) + "  call: {flow: {name: echo, input: .input}}\n" PAY(".stages.call.output"), echo}).errors), IsEmpty());
  EXPECT_THAT(lines(check({std::string(head) + ASK "  call: {flow: {name: sink, input: .stages.ask.output}}\n", sink}).errors),
              HasSubstr("stages.call.flow.input is tainted: call.input ← ask.output (model); the flow sink trusts its input"));
}

TEST(Taint, WhatItMerelyDecidesIsAWarning) {
  const auto found = check({std::string(head) + ASK "  pay: {settle: {values: .input.amount, " EFFECT "}, when: .stages.ask.output}\n"});
  EXPECT_THAT(lines(found.errors), IsEmpty());
  EXPECT_THAT(lines(found.warnings), HasSubstr("stages.pay.when decides whether pay settles, and is tainted: pay ← ask.output (model)"));
  const auto chosen = check({std::string(head) + ASK "  c: {choose: [{when: .stages.ask.output, then: pay}, {else: no}]}\n" PAY(".input.amount") "  no: {transform: '1'}\n"});
  EXPECT_THAT(lines(chosen.warnings), HasSubstr("stages.c.choose[0].when decides whether pay settles"));
}

// ---- While it runs

TEST(Taint, IsASetThatJoins) {
  Taint a(TaintOrigin{"ask", TaintKind::model}), b(TaintOrigin{"", TaintKind::input}), both = a;
  EXPECT_FALSE(a.clean());
  both.join(b);
  both.join(a);
  EXPECT_EQ(both.origins().size(), 2u);
  Taint other = b;
  other.join(a);
  EXPECT_EQ(both, other) << "the order of joining does not matter";
  EXPECT_EQ(*Taint::from_json(both.to_json()), both);
  EXPECT_FALSE(Taint::from_json(*parse_json(R"([{"stage":"a","kind":"moon"}])")));
  EXPECT_FALSE(Taint::from_json(*parse_json("{}")));
}

TEST(Taint, FollowsWhatIsRead) {
  const auto flow = good_flow(std::string(head) + ASK "  a: {transform: .stages.ask.output}\n  b: {transform: '1', after: ask}\n"
                              "  m: {map: {over: .input, stages: {x: {http: {url: 'https://a.example/{{ .item }}'}}}}}\n" PAY(".stages.a.output"));
  const Taint model(TaintOrigin{"ask", TaintKind::model}), item(TaintOrigin{"", TaintKind::input});
  const TaintsAround around{[&](std::string_view name) { return name == "ask" || name == "a" ? model : Taint(); }, [&](std::string_view) { return item; }, {}};
  EXPECT_EQ(taint_given(*flow->find("ask"), "ask", around), model);
  EXPECT_EQ(taint_given(*flow->find("a"), "a", around), model);
  EXPECT_TRUE(taint_given(*flow->find("b"), "b", around).clean()) << "coming after is not reading";
  EXPECT_EQ(taint_read(*flow->find("pay"), around), model);
  const auto fetched = taint_given(*flow->at_path("m[7].x"), origin_path("m[7].x"), around);
  EXPECT_THAT(fetched.origins(), ElementsAre(TaintOrigin{"", TaintKind::input}, TaintOrigin{"m.x", TaintKind::web}));
}

TEST(Taint, OnlyExactlyTheApprovedValuesSettle) {
  const auto digest = [](std::string_view text) { return value_digest(*parse_json(text)); };
  const Taint model(TaintOrigin{"triage", TaintKind::model});
  const std::vector<Digest> approved = {digest(R"({"to":"anna","amount":"10.00"})")};
  EXPECT_TRUE(may_settle("pay", {}, digest("1"), {}));
  EXPECT_TRUE(may_settle("pay", model, digest(R"({"amount":"10.00","to":"anna"})"), approved));
  const auto refused = may_settle("pay", model, digest(R"({"amount":"1000.00","to":"anna"})"), approved);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::caller_forbidden);
  EXPECT_EQ(refused.error().field, "pay.values");
  EXPECT_THAT(refused.error().message, HasSubstr("triage (model)"));
}

}  // namespace
}  // namespace ballast::work
