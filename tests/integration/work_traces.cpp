// The spans of jobs and runs: one tree whatever happens to the process or to the run, with what the stages reach beneath them.
#include <gmock/gmock.h>

#include <map>

#include "../support/effects_house.hpp"
#include "work/job_trace.hpp"
#include "work/run_again.hpp"
#include "work/run_trace.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kCaller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::uint64_t kCallerSpan = 0x00f067aa0ba902b7;

constexpr std::string_view kFan = R"(
flow: fan
output: '.stages.each.output'
stages:
  first: {transform: '.input.list'}
  each:
    map:
      over: .stages.first.output
      max: 2000
      limit: 20
      stages: {send: {http: {url: "https://mail.example/{{ .item }}", method: POST, body: '{n: .item}', risk: write, idempotency: key}, retry: {attempts: 3, backoff: 1s}, compensate: none}}
      output: .item
)";
constexpr std::string_view kParent = R"(
flow: parent
output: '.stages.inner.output'
stages:
  rest:  {wait: {for: 10s}}
  inner: {flow: {name: child, input: '{}'}, timeout: 60s, after: [rest]}
)";
constexpr std::string_view kChild = R"(
flow: child
output: '.stages.cut.output'
stages:
  cut: {worker: {task: cut}, timeout: 60s}
)";

struct Spans final : trace::SpanSink {
  void emit(trace::SpanRecord span) override { all.push_back(std::move(span)); }
  std::vector<trace::SpanRecord> all;

  // "job > stage > attempt" by names, of each; sorted. What has a parent that was not told of begins with "?".
  std::vector<std::string> paths(std::uint64_t caller) const {
    std::map<std::uint64_t, const trace::SpanRecord*> by_id;
    for (const auto& s : all) EXPECT_TRUE(by_id.emplace(s.context.span, &s).second) << "two spans of one id: " << s.name;
    std::vector<std::string> out;
    for (const auto& s : all) {
      std::string path = s.name;
      std::uint64_t at = s.parent;
      for (; by_id.contains(at); at = by_id.at(at)->parent) path = by_id.at(at)->name + " > " + path;
      out.push_back(at == caller ? path : "? " + path);
    }
    std::ranges::sort(out);
    return out;
  }
  const trace::SpanRecord& named(std::string_view name) const {
    const auto at = std::ranges::find(all, name, &trace::SpanRecord::name);
    EXPECT_NE(at, all.end()) << name;
    return *at;
  }
};

std::string attribute(const trace::SpanRecord& span, std::string_view key) {
  for (const auto& [k, v] : span.attributes)
    if (k == key) return std::holds_alternative<std::string>(v) ? std::get<std::string>(v) : std::to_string(std::get<std::int64_t>(v));
  return {};
}

class WorkTraces : public EffectsHouse {
 protected:
  void SetUp() override {
    EffectsHouse::SetUp();
    if (!IsSkipped()) house().spans = &spans;
  }
  JobId submit(const std::string& flow, const std::string& input, std::string_view traceparent, std::string_view tracestate = {}) {
    Submission s;
    s.spec = {.kind = JobKind::flow, .name = flow};
    s.input = input;
    join_trace(s.spec, traceparent, tracestate);
    EXPECT_TRUE(bind_flow(house().book(), s, house().clock.wall()));
    return house().submit(std::move(s));
  }
  // A worker takes the one task there is, and ends it.
  void work(Commit::To to) {
    auto leases = house().loop.run(house().engine().pull({.worker = "w", .queues = {"default"}, .tasks = {}}));
    ASSERT_TRUE(leases && leases->size() == 1);
    const Lease& l = leases->front();
    Commit c{.job = l.job->id, .fence = l.fence, .to = to, .output = "1", .error = {}, .delay = {}, .also = {}, .children = {}};
    if (to == Commit::To::dead) c.error = Error{ErrorCode::internal_error, "no"};
    ASSERT_TRUE(house().loop.run(house().engine().commit(std::move(c))));
    house().pass(1s);
  }
  Spans spans;
};

TEST_P(WorkTraces, AFanOutIsATreeUnderItsCallerAndARetryIsAnAttemptMore) {
  begin({kFan});
  web().answer = [n = 0](const Seen&) mutable { return n++ == 0 ? Says{.status = 503} : Says{.body = "{}", .takes = 20ms}; };
  const JobId id = submit("fan", R"({"list":[1,2]})", kCaller);
  house().pass(30s);
  ASSERT_EQ(house().end(id), "done");
  const std::string send = "invoke_workflow fan > stage each > stage each.send";
  EXPECT_THAT(spans.paths(kCallerSpan),
              testing::ElementsAre("invoke_workflow fan", "invoke_workflow fan > stage each", send, send, send + " > attempt each.send", send + " > attempt each.send",
                                   send + " > attempt each.send", "invoke_workflow fan > stage first"));
  const auto& job = spans.named("invoke_workflow fan");
  EXPECT_EQ(attribute(job, "ballast.job.id"), to_string(id));
  EXPECT_EQ(attribute(job, "ballast.job.state"), "done");
  EXPECT_FALSE(job.failed);
  EXPECT_EQ(trace_id_of(house().job(id).spec), "4bf92f3577b34da6a3ce929d0e0e4736");
  int failed = 0, slow = 0;
  for (const auto& s : spans.all) {
    if (s.name != "attempt each.send") continue;
    failed += s.failed && !attribute(s, "error.type").empty();
    slow += s.end - s.start >= 20ms;
  }
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(slow, 2) << "an attempt takes as long as what it asked";
  EXPECT_GE(spans.named("stage each").end - spans.named("stage each").start, 500ms) << "with the pause before the retry";
  for (const auto& s : spans.all)
    for (const auto& [key, value] : s.attributes) EXPECT_THAT(key, testing::Not(testing::HasSubstr("input"))) << "nothing of content";
}

TEST_P(WorkTraces, ARunGoesOnWithItsTraceAfterARestartAndItsChildrenAreInIt) {
  begin({kChild, kParent});
  const JobId id = submit("parent", "{}", kCaller);
  house().pass(5s);
  EXPECT_TRUE(spans.all.empty()) << "nothing has ended";
  house().stop();
  house().start();
  house().pass(20s);
  work(Commit::To::done);
  ASSERT_EQ(house().end(id), "done");
  const std::string inner = "invoke_workflow parent > stage inner", child = inner + " > attempt inner > invoke_workflow child", cut = child + " > stage cut";
  EXPECT_THAT(spans.paths(kCallerSpan), testing::ElementsAre("invoke_workflow parent", inner, inner + " > attempt inner", child, cut, cut + " > attempt cut",
                                                             cut + " > attempt cut > task cut", "invoke_workflow parent > stage rest"));
  EXPECT_GE(spans.named("stage rest").end - spans.named("stage rest").start, 10s) << "it began before the restart";
}

TEST_P(WorkTraces, WhatWaitedIsToldOfWhenARunIsCalledOff) {
  begin({kChild, kParent});
  const JobId id = submit("parent", "{}", kCaller);
  house().pass(20s);
  ASSERT_EQ(house().end(id), "waiting");
  ASSERT_TRUE(house().loop.run(house().engine().cancel({id}, "no more"))[0]);
  house().pass(1s);
  const std::string inner = "invoke_workflow parent > stage inner", child = inner + " > attempt inner > invoke_workflow child", cut = child + " > stage cut";
  EXPECT_THAT(spans.paths(kCallerSpan), testing::ElementsAre("invoke_workflow parent", inner, inner + " > attempt inner", child, cut, cut + " > attempt cut",
                                                             cut + " > attempt cut > task cut", "invoke_workflow parent > stage rest"));
  EXPECT_EQ(attribute(spans.named("stage inner"), "ballast.stage.outcome"), "cut");
  EXPECT_EQ(attribute(spans.named("invoke_workflow parent"), "error.type"), "cancelled");
}

TEST_P(WorkTraces, ARedriveIsBeneathTheRunItComesFrom) {
  begin({kChild});
  const JobId id = submit("child", "{}", {});
  work(Commit::To::dead);
  ASSERT_THAT(house().end(id), testing::HasSubstr("dead"));
  const JobId again = house().submit(redrive_of(house().job(id)));
  house().pass(1s);
  work(Commit::To::done);
  ASSERT_EQ(house().end(again), "done");
  const std::string run = "invoke_workflow child", redriven = run + " > " + run;
  EXPECT_THAT(spans.paths(0), testing::ElementsAre(run, redriven, redriven + " > stage cut", redriven + " > stage cut > attempt cut", redriven + " > stage cut > attempt cut > task cut",
                                                   run + " > stage cut", run + " > stage cut > attempt cut", run + " > stage cut > attempt cut > task cut"))
      << "one root";
  EXPECT_EQ(attribute(spans.all.back(), "ballast.job.from"), to_string(id));
}

TEST_P(WorkTraces, WhatIsNotSampledIsNotToldOfAndSaysSoToWhatItCalls) {
  begin({kChild});
  const JobId id = submit("child", "{}", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  auto leases = house().loop.run(house().engine().pull({.worker = "w", .queues = {"default"}, .tasks = {}}));
  ASSERT_TRUE(leases && leases->size() == 1);
  const auto told = trace::parse_traceparent(traceparent_of(*leases->front().job));
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->sampled);
  EXPECT_EQ(trace::trace_id_hex(*told), "4bf92f3577b34da6a3ce929d0e0e4736");
  ASSERT_TRUE(house().loop.run(house().engine().cancel({id}, "no more"))[0]);
  house().pass(1s);
  EXPECT_TRUE(spans.all.empty());
}

TEST_P(WorkTraces, AVeryLargeRunIsToldOfInPart) {
  begin({kFan});
  std::string list = "0";
  for (int i = 1; i < 1'100; ++i) list += fmt::format(",{}", i);
  const JobId id = submit("fan", fmt::format("{{\"list\":[{}]}}", list), kCaller);
  house().pass(60s);
  ASSERT_EQ(house().end(id), "done");
  const auto stages = std::ranges::count_if(spans.all, [](const auto& s) { return s.name.starts_with("stage "); });
  EXPECT_EQ(static_cast<std::size_t>(stages), RunTrace::kMostStages);
}

// Whoever is asked is told of the trace where the flow says so, and nobody else.
constexpr std::string_view kTold = R"(
flow: told
output: '.stages.ours.output.status'
stages:
  ours:   {http: {url: "https://ours.example/a", trace: true}}
  theirs: {http: {url: "https://theirs.example/b"}}
  own:    {http: {url: "https://own.example/c", trace: true, headers: {TraceParent: "of its own"}}}
)";

TEST_P(WorkTraces, AnHttpStageTellsTheTraceWhereTheFlowSaysSo) {
  begin({kTold});
  const JobId id = submit("told", "{}", kCaller, "rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE");
  house().pass(5s);
  ASSERT_EQ(house().end(id), "done");
  std::map<std::string, Seen> seen;
  for (const Seen& s : web().seen) seen[s.url] = s;
  ASSERT_EQ(seen.size(), 3u);
  const Seen& ours = seen.at("https://ours.example/a");
  const auto told = trace::parse_traceparent(ours.header("traceparent"));
  ASSERT_TRUE(told) << ours.header("traceparent");
  EXPECT_TRUE(told->sampled);
  EXPECT_EQ(trace::trace_id_hex(*told), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(told->span, spans.named("attempt ours").context.span) << "beneath the attempt";
  EXPECT_EQ(ours.header("tracestate"), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  const Seen& theirs = seen.at("https://theirs.example/b");
  EXPECT_EQ(theirs.header("traceparent") + theirs.header("tracestate"), "") << "a stranger learns nothing";
  EXPECT_EQ(seen.at("https://own.example/c").header("traceparent"), "of its own");
  EXPECT_EQ(seen.at("https://own.example/c").header("tracestate"), "");
}

TEST_P(WorkTraces, AChildAndARedriveHaveTheTracestateOfTheirRun) {
  begin({kChild, kParent});
  submit("parent", "{}", kCaller, "rojo=1");
  house().pass(20s);
  const auto leases = house().loop.run(house().engine().pull({.worker = "w", .queues = {"default"}, .tasks = {}}));
  ASSERT_TRUE(leases && leases->size() == 1);
  EXPECT_EQ(leases->front().job->spec.tracestate, "rojo=1");
  EXPECT_EQ(redrive_of(*leases->front().job).spec.tracestate, "rojo=1");
}

// Somebody whose process dies at one place again and again: the run is found dead by the last start, and whatever of it was under way is told of.
TEST_P(WorkTraces, WhatACrashCutIsToldOfByTheStartThatFindsTheRunDead) {
  constexpr std::string_view flow = R"(
flow: fatal
output: '.stages.send.output'
stages:
  cut:  {worker: {task: cut}, timeout: 300s}
  send: {http: {url: "https://mail.example/x"}, timeout: 300s}
)";
  begin({flow});
  web().answer = [](const Seen&) { return Says{.silent = true}; };
  const JobId id = submit("fatal", "{}", kCaller);
  for (int crash = 0; crash < 20 && !terminal(house().job(id).state); ++crash) {
    house().pass(1s);
    house().crash();
    house().start();
  }
  ASSERT_EQ(house().job(id).state, JobState::dead) << house().end(id);
  const auto paths = spans.paths(kCallerSpan);
  const std::string run = "invoke_workflow fatal";
  EXPECT_EQ(std::ranges::count(paths, run), 1);
  EXPECT_THAT(paths, testing::IsSupersetOf({run, run + " > stage cut", run + " > stage cut > attempt cut"}));
  EXPECT_EQ(attribute(spans.named("stage cut"), "ballast.stage.outcome"), "cut");
  EXPECT_EQ(spans.named("stage cut").error, "caller_cancelled");
}

BALLAST_ON_BOTH_DATABASES(WorkTraces);

TEST(JobTrace, IdsFollowFromWhatIsStoredAndABadHeaderSaysNothing) {
  JobSpec spec;
  join_trace(spec, "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "rojo=1");
  EXPECT_EQ(spec.trace, "");
  EXPECT_EQ(spec.tracestate, "") << "it belongs to a trace";
  EXPECT_FALSE(trace_of(JobId{7}, spec).span.valid());
  EXPECT_EQ(trace_id_of(spec), "");
  spec.trace = "damaged";
  EXPECT_FALSE(trace_of(JobId{7}, spec).span.valid());
  join_trace(spec, kCaller, "rojo=1, congo=2");
  EXPECT_EQ(spec.tracestate, "rojo=1,congo=2");
  JobSpec stored;
  ASSERT_TRUE(unpack_spec(pack_spec(spec), stored));
  EXPECT_EQ(stored.tracestate, spec.tracestate);
  const JobTrace a = trace_of(JobId{7}, spec);
  EXPECT_EQ(a.parent, kCallerSpan);
  EXPECT_EQ(a.span, trace_of(JobId{7}, spec).span);
  EXPECT_NE(a.span.span, trace_of(JobId{8}, spec).span.span);
  Spans spans;
  JobTracer tracer(spans, {.sample = 0.5, .newer_names = false, .seed = 3});
  int sampled = 0;
  for (int i = 0; i < 1'000; ++i) {
    spec.trace = tracer.begin();
    const JobTrace root = trace_of(JobId{7}, spec);
    ASSERT_TRUE(root.span.valid());
    ASSERT_EQ(root.parent, 0u);
    sampled += root.span.sampled;
  }
  EXPECT_NEAR(sampled, 500, 60);
}

TEST(JobTrace, WithoutTheNewerNamesAFlowIsCalledAFlow) {
  Spans spans;
  JobTracer tracer(spans, {.sample = 1, .newer_names = false, .seed = 3});
  Job job{.id = JobId{7}, .spec = {.kind = JobKind::flow, .name = "refund"}, .state = JobState::dead};
  job.spec.trace = tracer.begin();
  job.error = R"({"code":"provider_timeout","message":"a secret"})";
  tracer.ended(job);
  ASSERT_EQ(spans.all.size(), 1u);
  EXPECT_EQ(spans.all[0].name, "flow refund");
  EXPECT_EQ(attribute(spans.all[0], "gen_ai.operation.name"), "");
  EXPECT_EQ(spans.all[0].error, "provider_timeout");
}

}  // namespace
}  // namespace ballast::work
