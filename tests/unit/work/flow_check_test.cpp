// The proof: what `check` says of flows that read well and mean something wrong.
#include "work/flow_check.hpp"

#include <gmock/gmock.h>

#include "flow_text.hpp"
#include "work/flow_types.hpp"

namespace ballast::work {
namespace {
using testing::HasSubstr;
using testing::IsEmpty;

std::string lines(const std::vector<ConfigMistake>& mistakes) {
  std::string out;
  for (const auto& m : mistakes) out += to_string(m) + "\n";
  return out;
}

FlowFindings check(std::initializer_list<std::string_view> texts, const FlowWorld& world = {}) {
  std::vector<FlowPtr> flows;
  for (const auto text : texts)
    if (auto flow = good_flow(text, {}, fmt::format("f{}.yaml", flows.size() + 1))) flows.push_back(std::move(flow));
  return check_flows(flows, world);
}

constexpr std::string_view head = "flow: f\noutput: '0'\nstages:\n";

TEST(FlowCheck, ASoundFlowHasNothingToSay) {
  const auto found = check({golden_flow("support.yaml")});
  EXPECT_THAT(lines(found.errors), IsEmpty());
  EXPECT_THAT(lines(found.warnings), IsEmpty());
}

TEST(FlowCheck, TheGuidesFirstFlowIsSound) {
  std::ifstream in(fmt::format("{}/docs/flows.md", BALLAST_SOURCE_DIR));
  std::stringstream page;
  page << in.rdbuf();
  const auto text = page.str();
  const auto from = text.find("```yaml\nflow:") + 8, to = text.find("```", from);
  ASSERT_LT(to, text.size());
  const auto found = check({std::string_view(text).substr(from, to - from)});
  EXPECT_THAT(lines(found.errors) + lines(found.warnings), IsEmpty());
}

struct Case {
  std::string_view stages, told;
  bool error = true;
};
class FlowProofs : public testing::TestWithParam<Case> {};

TEST_P(FlowProofs, AreTold) {
  const auto& c = GetParam();
  const auto found = check({std::string(head) + std::string(c.stages)});
  EXPECT_THAT(lines(c.error ? found.errors : found.warnings), HasSubstr(c.told));
  if (!c.error) EXPECT_THAT(lines(found.errors), IsEmpty());
}

#define GET "http: {url: 'https://a.example'}"
#define SCHEMA "schema: {type: object, properties: {name: {type: string}, n: {type: integer}, list: {type: array}}, additionalProperties: false}"
INSTANTIATE_TEST_SUITE_P(All, FlowProofs, testing::Values(
    // what can never happen
    Case{"  a: {transform: '1', when: 'false'}\n", "f1.yaml:4:6: stages.a can never run: its `when` is never true"},
    Case{"  a: {transform: '1', when: 'false'}\n  b: {transform: '1', needs: a}\n", "stages.b can never run: it needs a stage that can never run"},
    Case{"  c: {choose: [{else: a}, {when: '.input.x', then: b}]}\n  a: {transform: '1'}\n  b: {transform: '1'}\n", "stages.c.choose[1] can never be taken: a branch before it always is"},
    Case{"  c: {choose: [{when: 'true', then: a}, {else: b}]}\n  a: {transform: '1'}\n  b: {transform: '1'}\n", "stages.b can never run: no branch that names it can be taken"},
    Case{"  c: {choose: [{when: 'false', then: a}, {else: b}]}\n  a: {transform: '1'}\n  b: {transform: '1'}\n", "stages.c.choose[0] can never be taken: its condition is never true"},
    Case{"  c: {choose: [{when: '.input.x', then: a}]}\n  a: {transform: '1'}\n", "stages.c has no else", false},
    // ends
    Case{"  a: {wait: {event: paid}}\n", "may wait for the event paid for ever"},
    Case{"  a: {approve: {show: '1'}}\n", "may wait for a human for ever: say when it expires"},
    Case{"  m: {map: {over: '[1]', stages: {x: {transform: '1'}}}}\n", "has no limit of how many items run at once", false},
    // effects
    Case{"  a: {http: {url: 'https://a.example', method: POST}}\n", "stages.a is destructive and nothing undoes it"},
    Case{"  a: {http: {url: 'https://a.example', method: POST}, retry: {attempts: 2}, compensate: none}\n", "is tried again although doing it twice is not doing it once"},
    // humans
    Case{"  a: {transform: '1'}\n  b: {approve: {show: .stages.a.output, expires: 1h, when: {confidence: {below: 0.5}}}}\n", "goes by confidence, and no stage it shows has one"},
    Case{"  a: {transform: '1'}\n  b: {approve: {show: .stages.a.output, expires: 1h, when: {confidence: {below: 0.5, of: a}}}}\n", "goes by the confidence of a, which has none"},
    Case{"  b: {approve: {show: '1', expires: 1h, on_reject: skip}}\n  c: {http: {url: 'https://a.example', method: PUT}, compensate: none, after: b}\n", "stages.c would run although b was refused: add needs: b"},
    // what may be missing
    Case{"  a: {transform: '1', when: .input.x}\n  b: {transform: '2'}\n  c: {transform: '[.stages.a.output, .stages.b.output]'}\n", "stages.c reads a, which may have been skipped and is null then", false},
    Case{"  a: {" GET ", fallback: {stage: b}}\n  b: {transform: '1'}\n  c: {transform: .stages.b.output, after: a}\n", "reads b, which runs only as a fallback; .stages.a.output has it either way", false},
    Case{"  a: {" GET ", confidence: {value: '.output.status', at_least: 0.5}}\n", "fails the run when its confidence is too low", false},
    // members and types
    Case{"  a: {model: {route: x, prompt: y, " SCHEMA "}}\n  b: {transform: .stages.a.output.nmae}\n", "reads .stages.a.output.nmae: .stages.a.output has no member \"nmae\", did you mean \"name\"?"},
    Case{"  a: {model: {route: x, prompt: y, schema: {properties: {name: true}}}}\n  b: {transform: .stages.a.output.nmae}\n", "did you mean \"name\"?", false},
    Case{"  a: {model: {route: x, prompt: y}}\n  b: {transform: .stages.a.output.name}\n", "is a text, which has no member \"name\""},
    Case{"  a: {" GET "}\n  b: {transform: .stages.a.output.items}\n", "has no member \"items\"; it has status, headers, body"},
    Case{"  a: {model: {route: x, prompt: y, " SCHEMA "}}\n  b: {map: {over: .stages.a.output.name, limit: 1, stages: {x: {transform: '1'}}}}\n", "cannot be gone over: it must be a list, and is a text"},
    Case{"  a: {model: {route: x, prompt: y, " SCHEMA "}}\n  b: {worker: {task: t, input: .stages.a.output.name}, input: {type: object}}\n", "does not fit the stage's input: it must be a map, and is a text"},
    Case{"  a: {model: {route: x, prompt: y, " SCHEMA "}, confidence: .output.sure}\n", "reads .output.sure: .output has no member \"sure\""},
    Case{"  a: {" GET "}\n  b: {model: {route: x, prompt: '{{ .stages.a.output.bdoy }}'}}\n", "did you mean \"body\"?"},
    // other flows
    Case{"  a: {flow: {name: ff}, timeout: 1m}\n", "calls the flow ff, which does not exist, did you mean \"f\"?"},
    Case{"  a: {flow: {name: f}, timeout: 1m}\n", "calls itself without an end: f → f"},
    Case{"  a: {flow: {name: f, version: 9}, timeout: 1m}\n", "calls version 9 of f, of which there is"}));
#undef GET
#undef SCHEMA

TEST(FlowCheck, ChildrenAreCheckedAgainstTheirParents) {
  const auto found = check({"flow: parent\nstages:\n  ask: {model: {route: x, prompt: y}}\n  call: {flow: {name: child, input: .stages.ask.output}}\n",
                            "flow: child\ninput: {schema: {type: object, required: [name]}}\nstages:\n  a: {transform: .input.name}\n  back: {flow: {name: parent}, timeout: 1m, after: a}\n"});
  EXPECT_THAT(lines(found.errors), HasSubstr("f1.yaml:4:9: stages.call may wait for ever: give it a timeout, or child a policy.deadline"));
  EXPECT_THAT(lines(found.errors), HasSubstr("stages.call.flow.input does not fit what the flow child takes: it must be a map, and is a text"));
  EXPECT_THAT(lines(found.errors), HasSubstr("calls itself without an end: parent → child → parent"));
}

TEST(FlowCheck, TheWorldAroundTheFlowsIsAsked) {
  FlowWorld world;
  world.can_approve = [](std::string_view who, bool signature) { return who == "user:anna" ? Grant::yes : who == "group:chiefs" && !signature ? Grant::administrator : Grant::nobody; };
  world.route_exists = [](std::string_view route) { return route == "chat"; };
  const std::string flow = std::string(head) + R"(  a: {approve: {show: '1', expires: 1h}}
  b: {approve: {show: '1', expires: 1h, assignees: ["group:nobody"]}}
  c: {approve: {show: '1', expires: 1h, assignees: ["group:nobody"], escalate: {after: 1m, to: "user:anna"}}}
  d: {model: {route: chta, prompt: x}}
  e: {model: {route: chat, prompt: x}}
  f: {approve: {show: '1', expires: 1h, assignees: ["group:chiefs"]}}
  g: {approve: {show: '1', expires: 1h, assignees: ["group:chiefs"], signature: true}}
)";
  const auto found = check({flow}, world);
  EXPECT_EQ(found.errors.size(), 4u) << lines(found.errors);
  EXPECT_THAT(lines(found.errors), HasSubstr("stages.a can be granted by nobody: no key may approve; give a key the scope approve"));
  EXPECT_THAT(lines(found.errors), HasSubstr("stages.b can be granted by nobody: none of group:nobody has a key that may approve"));
  EXPECT_THAT(lines(found.errors), HasSubstr("stages.d asks for the model chta"));
  EXPECT_THAT(lines(found.errors), HasSubstr("stages.g can be granted by nobody: none of group:chiefs has a key of their own that may approve"));
  EXPECT_THAT(lines(found.warnings), HasSubstr("stages.f can be granted by an administrator alone: none of group:chiefs has a key that may approve"));
  EXPECT_TRUE(found.notes.empty());

  world.knows_all_keys = false;
  const auto guessed = check({flow}, world);
  EXPECT_EQ(guessed.errors.size(), 1u) << lines(guessed.errors);
  EXPECT_EQ(guessed.notes.size(), 4u) << lines(guessed.notes);
  EXPECT_THAT(lines(guessed.notes), HasSubstr("stages.b may be granted by nobody: none of group:nobody has a key that may approve as far as the configuration says; keys in the database are not known here"));
  EXPECT_THAT(lines(guessed.notes), HasSubstr("stages.f may be granted by nobody but an administrator"));
}

TEST(FlowCheck, WhoNeedsAStageOrAsksWhetherItWasSkippedProvidesForIt) {
  const auto found = check({std::string(head) + R"(  a: {transform: '1', when: .input.x}
  b: {transform: .stages.a.output, needs: a}
  c: {transform: '[.stages.a.output, .stages.b.output]', needs: b}
  d: {transform: 'if .stages.a.skipped then .stages.e.output else .stages.a.output end'}
  e: {transform: '2'}
)"});
  EXPECT_THAT(lines(found.errors) + lines(found.warnings), IsEmpty());
}

TEST(FlowCheck, RetriesThatOutlastTheRunAreAWarning) {
  const auto found = check({"flow: f\npolicy: {deadline: 1m}\nstages:\n  a: {model: {route: x, prompt: y}, retry: {attempts: 5}, timeout: 30s}\n"});
  EXPECT_THAT(lines(found.warnings), HasSubstr("may try for "));
  EXPECT_THAT(lines(found.warnings), HasSubstr("longer than the run's deadline of 1m"));
}

// ---- What schemas say of each other

struct Pair {
  std::string_view from, to, why;             // why empty: nothing is clear
};
class Mismatches : public testing::TestWithParam<Pair> {};
TEST_P(Mismatches, AreClearOrNotTold) {
  const auto& p = GetParam();
  EXPECT_EQ(mismatch(*parse_json(p.from), *parse_json(p.to)).value_or(""), p.why);
}
INSTANTIATE_TEST_SUITE_P(All, Mismatches, testing::Values(
    Pair{R"({"type":"string"})", R"({"type":"number"})", "it must be a number, and is a text"},
    Pair{R"({"type":"integer"})", R"({"type":"number"})", ""},
    Pair{R"({"type":"number"})", R"({"type":"integer"})", ""},
    Pair{R"({"type":["string","null"]})", R"({"type":"string"})", ""},
    Pair{R"({})", R"({"type":"string"})", ""},
    Pair{R"(true)", R"({"type":"string"})", ""},
    Pair{R"({"anyOf":[{"type":"string"}]})", R"({"type":"number"})", ""},
    Pair{R"({"type":"object","properties":{"a":{"type":"string"}}})", R"({"properties":{"a":{"type":"integer"}}})", "a must be an integer, and is a text"},
    Pair{R"({"type":"array","items":{"type":"string"}})", R"({"items":{"type":"boolean"}})", "[] must be true or false, and is a text"},
    Pair{R"({"type":"object","properties":{},"additionalProperties":false})", R"({"required":["a"]})", "it must have a, which is never there"},
    Pair{R"({"type":"object","properties":{}})", R"({"required":["a"]})", ""},
    Pair{R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"string"}}})", R"({"type":"null"})", "it must be null, and is a text"},
    Pair{R"({"$ref":"#"})", R"({"type":"null"})", ""},
    Pair{R"({"type":"object","properties":{"a":{"$ref":"#"}}})", R"({"type":"object","properties":{"a":{"$ref":"#"}}})", ""}));

}  // namespace
}  // namespace ballast::work
