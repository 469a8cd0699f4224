// flows/NAME.yaml as an author writes it: what is read, what comes after what, and what every slip is told.
#include "work/flow.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flow_text.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Flow, ReadsWhatAnAuthorWrote) {
  const auto flow = good_flow(golden_flow("support.yaml"));
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->name(), "support-answer");
  EXPECT_EQ(flow->version_name(), "3");
  EXPECT_FALSE(flow->input_trusted());
  EXPECT_EQ(flow->policy().max_cost->nano, 500'000'000);
  EXPECT_EQ(flow->policy().deadline, Duration(10min));
  EXPECT_TRUE(flow->policy().compensate_on_failure);
  EXPECT_THAT(flow->output_reads(), ElementsAre("letter", "route", "triage"));

  const auto& triage = *flow->find("triage");
  const auto& model = *triage.as<ModelStage>();
  EXPECT_EQ(model.route, "chat");
  EXPECT_EQ(model.max_tokens, 400u);
  EXPECT_EQ(model.temperature, 0.0);
  EXPECT_TRUE(model.system);
  EXPECT_TRUE(model.prompt);
  EXPECT_EQ(triage.retry.attempts, 3u);
  EXPECT_EQ(triage.retry.backoff, (Backoff{1s, 2, 1min}));
  EXPECT_EQ(triage.at_least, 0.85);
  EXPECT_EQ(triage.timeout, Duration(30s));
  EXPECT_EQ(triage.fallback.stage, "template_answer");
  EXPECT_TRUE(flow->find("template_answer")->only_fallback);
  EXPECT_EQ(output_schema(triage), &model.schema.text);

  const auto& ok = *flow->find("ok")->as<ApproveStage>();
  EXPECT_EQ(ok.when.rule, ApproveWhen::Rule::risk);
  EXPECT_EQ(ok.expires, Duration(24h));
  EXPECT_EQ(ok.escalate->to, "group:editors");
  EXPECT_THAT(ok.edit_paths, ElementsAre("category"));

  const auto& refund = *flow->find("refund");
  EXPECT_EQ(risk_of(refund), Risk::destructive);
  EXPECT_TRUE(is_effect(refund));
  EXPECT_EQ(idempotency_of(refund), Idempotency::key);
  ASSERT_TRUE(refund.compensate);
  EXPECT_EQ(refund.compensate->method, "DELETE");
  EXPECT_EQ(risk_of(*flow->find("lookup")), Risk::read);
}

TEST(Flow, OrderComesFromWhatIsReadAndFromWhatIsSaid) {
  const auto flow = good_flow(golden_flow("support.yaml"));
  ASSERT_TRUE(flow);
  const auto after = [&](std::string_view name) { return flow->find(name)->waits_for; };
  EXPECT_THAT(after("triage"), IsEmpty());
  EXPECT_THAT(after("route"), ElementsAre("triage"));
  EXPECT_THAT(after("lookup"), ElementsAre("route"));
  EXPECT_THAT(after("each"), ElementsAre("lookup", "triage"));          // an inner stage reads triage
  EXPECT_THAT(after("shape"), ElementsAre("triage"));
  EXPECT_THAT(after("close"), ElementsAre("route"));
  EXPECT_THAT(after("ok"), ElementsAre("each", "triage"));
  EXPECT_THAT(after("refund"), ElementsAre("ok"));
  EXPECT_THAT(after("letter"), ElementsAre("refund", "shape"));
  EXPECT_THAT(flow->find("close")->chosen_by, ElementsAre("route"));

  const Stage* note = flow->at_path("each[12].note");
  ASSERT_TRUE(note);
  EXPECT_THAT(note->waits_for, ElementsAre("fetch"));
  EXPECT_THAT(note->outer, ElementsAre("triage"));
  EXPECT_EQ(flow->at_path("each")->name, "each");
  EXPECT_EQ(last_stage(flow->find("each")->as<MapStage>()->stages), note);
  for (const auto path : {"", "nobody", "each.note", "each[1].nobody", "triage.note", "each[1].note.x"}) EXPECT_EQ(flow->at_path(path), nullptr) << path;
}

TEST(Flow, DefaultsAreWhatACautiousReaderExpects) {
  const auto flow = good_flow(R"(
flow: f
output: '0'
stages:
  get: {http: {url: "https://a.example"}}
  post: {http: {url: "https://a.example", body: '.input'}}
  put: {http: {method: PUT, url: "https://a.example"}}
  job: {worker: {task: resize}}
  ask: {model: {route: chat, prompt: hello}}
  pay: {settle: {values: '{}', effect: {http: {method: POST, url: "https://bank.example"}}}}
)");
  ASSERT_TRUE(flow);
  const auto stage = [&](std::string_view name) -> const Stage& { return *flow->find(name); };
  EXPECT_EQ(risk_of(stage("get")), Risk::read);
  EXPECT_EQ(risk_of(stage("post")), Risk::destructive);
  EXPECT_EQ(risk_of(stage("job")), Risk::write);
  EXPECT_EQ(risk_of(stage("pay")), Risk::destructive);
  EXPECT_EQ(stage("post").as<HttpStage>()->call.method, "POST");
  EXPECT_EQ(idempotency_of(stage("post")), Idempotency::none);
  EXPECT_EQ(idempotency_of(stage("put")), Idempotency::natural);
  EXPECT_EQ(stage("get").retry.attempts, 3u);
  EXPECT_EQ(stage("post").retry.attempts, 1u) << "what cannot be repeated is not retried";
  EXPECT_EQ(stage("pay").retry.attempts, 1u);
  EXPECT_EQ(stage("ask").timeout, Duration(5min));
  EXPECT_EQ(stage("get").timeout, Duration(30s));
  EXPECT_FALSE(stage("get").as<HttpStage>()->call.trusted);
  EXPECT_TRUE(stage("job").as<WorkerStage>()->trusted);
}

TEST(Flow, RetriesByCode) {
  const auto retries = [](std::vector<std::string> on, ErrorCode code, bool retryable) {
    Retry r;
    r.on = std::move(on);
    return r.retries(Error{code, "", "", retryable, {}, {}, {}, {}});
  };
  EXPECT_TRUE(retries({}, ErrorCode::provider_timeout, true));
  EXPECT_FALSE(retries({}, ErrorCode::provider_timeout, false));
  EXPECT_TRUE(retries({"provider_*"}, ErrorCode::provider_rejected, false));
  EXPECT_FALSE(retries({"provider_*"}, ErrorCode::policy_rate_limited, true));
  EXPECT_TRUE(retries({"provider_*", "policy_rate_limited"}, ErrorCode::policy_rate_limited, false));
}

// ---- The digest names the definition

TEST(Flow, TheDigestIsOfTheDefinitionAndNotOfItsLayout) {
  const auto digest = [](std::string_view text, std::map<std::string, std::string> env = {}) { return good_flow(text, std::move(env))->digest(); };
  const auto base = digest("flow: f\nstages:\n  a: {transform: '1'}\n  b: {transform: .stages.a.output}\n");
  EXPECT_EQ(base, digest("# a remark\nstages:\n  b:\n    transform: '.stages.a.output'\n  a:\n    transform: '1'\nflow: f\n"));
  EXPECT_NE(base, digest("flow: f\nstages:\n  a: {transform: '2'}\n  b: {transform: .stages.a.output}\n"));

  const std::string_view secret = "flow: f\nstages:\n  a: {http: {url: 'https://a.example', headers: {authorization: '${TOKEN}'}}}\n";
  EXPECT_EQ(digest(secret, {{"TOKEN", "one"}}), digest(secret, {{"TOKEN", "two"}})) << "a secret is not part of the definition";
  EXPECT_NE(digest("flow: f\nstages: {a: {template: '${X:-1}'}}", {}), digest("flow: f\nstages: {a: {template: '${X:-2}'}}", {}));
}

TEST(Flow, AFileThatAStageNamesIsPartOfItsDefinition) {
  const std::string_view text = "flow: f\nstages:\n  a: {template: {file: a.md}}\n  b: {template: hello}\noutput: '0'\n";
  const auto with = [&](std::string content) {
    return *read_flow(text, "f.yaml", fixed_environment({}), [&](std::string_view) -> Result<std::string> { return content; });
  };
  const auto one = with("one"), two = with("two");
  EXPECT_NE(one->digest(), two->digest());
  EXPECT_NE(one->find("a")->digest, two->find("a")->digest);
  EXPECT_EQ(one->find("b")->digest, two->find("b")->digest);
}

TEST(Flow, CanBeReadAgainFromWhatWasStored) {
  const auto flow = good_flow(golden_flow("support.yaml"));
  const auto stored = unpack_source(pack_source(flow->source()));
  ASSERT_TRUE(stored);
  EXPECT_THAT(stored->files, testing::SizeIs(2));
  const auto again = read_flow(*stored, fixed_environment({}));
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->digest(), flow->digest());
  EXPECT_FALSE(unpack_source("{}"));
  EXPECT_FALSE(unpack_source("no"));
}

TEST(Flow, EqualValuesHaveOneText) {
  const auto text = [](std::string_view json) { return canonical_json(*parse_json(json)); };
  EXPECT_EQ(text(R"({"b":1.0,"a":[true,null,"x"],"c":-0.0})"), R"({"a":[true,null,"x"],"b":1,"c":0})");
  EXPECT_EQ(text("1.5"), to_json(json::value(1.5)));
  EXPECT_EQ(value_digest(*parse_json(R"({"a":1,"b":2})")), value_digest(*parse_json(R"({"b":2.0,"a":1})")));
  EXPECT_NE(value_digest(*parse_json("9007199254740993")), value_digest(*parse_json("9007199254740992")));
}

// ---- What every slip is told

struct Slip {
  std::string_view text, told;               // the message has `told`, in the line of the slip
};
class FlowSlips : public testing::TestWithParam<Slip> {};

TEST_P(FlowSlips, IsToldWithItsPlace) {
  std::vector<ConfigMistake> mistakes;
  const auto flow = read_flow(GetParam().text, "f.yaml", fixed_environment({}), flow_file, &mistakes);
  ASSERT_FALSE(flow) << GetParam().told;
  EXPECT_THAT(flow.error().message, HasSubstr(GetParam().told));
  ASSERT_FALSE(mistakes.empty());
  EXPECT_GT(mistakes.front().line, 0);
}

#define HEAD "flow: f\noutput: '0'\nstages:\n"
INSTANTIATE_TEST_SUITE_P(All, FlowSlips, testing::Values(
    Slip{"", "f.yaml:1:1: flow is required"},
    Slip{"- a\n", "f.yaml:1:1: must be a map"},
    Slip{"flow: f\nstages: {}\n", "stages has no stages"},
    Slip{"flow: a b\nstages: {a: {transform: '1'}}\n", "f.yaml:1:7: flow must be a name"},
    Slip{"flow: f\nstage: {}\nstages: {a: {transform: '1'}}\n", "f.yaml:2:1: stage is an unknown key, did you mean \"stages\"?"},
    Slip{HEAD "  a: {modle: {route: x, prompt: y}}\n", "f.yaml:4:7: stages.a.modle is an unknown key, did you mean \"model\"?"},
    Slip{HEAD "  a: {after: []}\n", "stages.a does nothing; give it one of model, http"},
    Slip{HEAD "  a: {transform: '1', template: x}\n", "stages.a.template makes a second kind of this stage, which is transform already"},
    Slip{HEAD "  a: {transform: '1', retry: {attempts: 3}}\n", "stages.a.retry does not go with a transform stage"},
    Slip{HEAD "  a: {transform: '1 +'}\n", "stages.a.transform "},
    Slip{HEAD "  a: {transform: .stages.b.output}\n", "stages.a.transform names the stage b, which does not exist"},
    Slip{HEAD "  draft: {transform: '1'}\n  a: {transform: .stages.darft.output}\n", "which does not exist, did you mean \"draft\"?"},
    Slip{HEAD "  b: {transform: '1'}\n  a: {transform: .stages.b.result}\n", "reads .stages.b.result, which there is not: it has .output, .confidence, .skipped, .fallback"},
    Slip{HEAD "  a: {transform: .inptu.x}\n", "reads .inptu, which there is not, did you mean \"input\"?"},
    Slip{HEAD "  a: {transform: .item}\n", "reads .item, which there is not"},
    Slip{HEAD "  a: {transform: .error}\n", "reads .error, which there is not"},
    Slip{HEAD "  a: {transform: .stages.a.output}\n", "reads its own stage a"},
    Slip{HEAD "  a: {transform: .}\n", "stages.a.transform may read every stage"},
    Slip{HEAD "  a: {transform: '1', after: [b]}\n", "stages.a names the stage b, which does not exist"},
    Slip{HEAD "  a: {transform: .stages.b.output}\n  b: {transform: '1', after: c}\n  c: {transform: '1', needs: a}\n", "stages.a waits for itself: a → b → c → a"},
    Slip{HEAD "  m: {map: {over: '[1]', stages: {x: {transform: '1'}}}}\n  b: {transform: .stages.x.output}\n", "which is inside the map m; .stages.m.output has what the map gives back"},
    Slip{HEAD "  m: {map: {over: '[1]', stages: {x: {transform: .stages.m.output}}}}\n", "reads the map m that it is part of"},
    Slip{HEAD "  m: {map: {over: '[1]', stages: {x: {transform: '1'}, y: {transform: '1'}}}}\n", "needs an output: several stages of the map come last"},
    Slip{HEAD "  m: {map: {over: '[1]', stages: {m: {transform: '1'}}}}\n", "has the name of another stage"},
    Slip{HEAD "  m: {map: {over: '[1]', as: input, stages: {x: {transform: '1'}}}}\n", "cannot be \"input\""},
    Slip{"flow: f\nstages: {a: {transform: '1'}, b: {transform: '1'}}\n", "output is required: several stages come last"},
    Slip{HEAD "  a: {model: {route: x}}\n", "needs a prompt, or messages"},
    Slip{HEAD "  a: {model: {prompt: x}}\n", "stages.a.model.route is required"},
    Slip{HEAD "  a: {model: {route: x, prompt: y, schema: missing.json}}\n", "names the file missing.json: there is no such file"},
    Slip{HEAD "  a: {model: {route: x, prompt: y}, retry: {on: provider_eror}}\n", "is no error code, did you mean \"provider_error\"?"},
    Slip{HEAD "  a: {http: {url: 'https://a.example', expect: [20]}}\n", "must be a status such as 200"},
    Slip{HEAD "  a: {http: {url: 'https://a.example', risk: reed}}\n", "is \"reed\", did you mean \"read\"?"},
    Slip{HEAD "  a: {wait: {}}\n", "needs one of for, until and event"},
    Slip{HEAD "  a: {wait: {for: 1s, timeout: 3s}}\n", "goes with event"},
    Slip{HEAD "  a: {approve: {show: '1', when: sometimes}}\n", "must be always, never, by-risk"},
    Slip{HEAD "  a: {approve: {show: '1', when: {confidence: {below: 2}}}}\n", "must be from 0 to 1"},
    Slip{HEAD "  a: {approve: {show: '1', assignees: [anna]}}\n", "must be user:NAME, group:NAME or key:NAME"},
    Slip{HEAD "  a: {approve: {show: '1', signature: true}}\n", "needs assignees"},
    Slip{HEAD "  a: {choose: []}\n", "needs branches"},
    Slip{HEAD "  a: {choose: [{when: 'true', then: b}]}\n", "names the stage b, which does not exist"},
    Slip{HEAD "  a: {settle: {values: .input, effect: {http: {url: 'https://a.example/{{ .input.x }}'}}}}\n", "reads .input; a settle stage's effect sees .values and .run alone"},
    Slip{HEAD "  a: {transform: '1', fallback: {stage: b}}\n", "names the stage b, which does not exist"},
    Slip{HEAD "  a: {transform: '1', fallback: {}}\n", "needs stage or output"}));
#undef HEAD

TEST(Flow, EveryMistakeOfAFileIsToldAtOnce) {
  const auto flow = read_flow("flow: f\nversion: x\nstages:\n  a: {modle: 1}\n  b: {http: {}}\n", "f.yaml", fixed_environment({}), flow_file);
  ASSERT_FALSE(flow);
  EXPECT_THAT(flow.error().message, HasSubstr("f.yaml:2:10: version must be an integer"));
  EXPECT_THAT(flow.error().message, HasSubstr("stages.a.modle is an unknown key"));
  EXPECT_THAT(flow.error().message, HasSubstr("stages.b.http.url is required"));
}

}  // namespace
}  // namespace ballast::work
