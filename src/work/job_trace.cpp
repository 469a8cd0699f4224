#include "work/job_trace.hpp"

#include "base/hash.hpp"
#include "base/tracestate.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kSize = 55, kParentAt = 36, kParentDigits = 16;
constexpr std::string_view kNoParent = "0000000000000000";

// "flow refund", or as the conventions want it; a job of a call is named after its operation.
std::string name_of(const JobSpec& spec, bool newer_names) {
  if (spec.kind == JobKind::flow && newer_names) return "invoke_workflow " + spec.name;
  return std::string(to_string(spec.kind)) + " " + spec.name;
}

}  // namespace

JobTrace trace_of(JobId id, const JobSpec& spec) {
  if (spec.trace.size() != kSize) return {};
  // The standard knows no span of zeros, which is what a root's parent is here.
  std::string header = spec.trace;
  const bool root = std::string_view(header).substr(kParentAt, kParentDigits) == kNoParent;
  if (root) header[kParentAt + kParentDigits - 1] = '1';
  const auto around = trace::parse_traceparent(header);
  if (!around) return {};
  JobTrace of{.span = *around, .parent = root ? 0 : around->span};
  of.span.span = span_beneath(*around, to_string(id));
  return of;
}

std::string trace_id_of(const JobSpec& spec) { return spec.trace.size() == kSize ? spec.trace.substr(3, 32) : std::string(); }

std::string traceparent_of(const Job& job) {
  const JobTrace of = trace_of(job.id, job.spec);
  return of.span.valid() ? trace::format_traceparent(of.span) : std::string();
}

std::uint64_t span_beneath(const trace::SpanContext& around, std::string_view what) {
  const Digest digest = sha256(trace::format_traceparent(around) + std::string(what));
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < sizeof id; ++i) id = id << 8 | digest[i];
  return id == 0 ? 1 : id;
}

void join_trace(JobSpec& spec, std::string_view traceparent, std::string_view tracestate) {
  const auto around = trace::parse_traceparent(traceparent);
  if (!around) return;
  spec.trace = trace::format_traceparent(*around);
  spec.tracestate = trace::read_tracestate(tracestate);
}

std::string JobTracer::begin() {
  std::string header = trace::format_traceparent(trace::new_trace(random_, options_.sample));
  return header.replace(kParentAt, kParentDigits, kNoParent);
}

void JobTracer::ended(const Job& job) {
  const JobTrace of = trace_of(job.id, job.spec);
  if (!of.span.valid() || !of.span.sampled) return;
  const JobSpec& spec = job.spec;
  trace::SpanRecord span{.context = of.span, .parent = of.parent, .name = name_of(spec, options_.newer_names), .kind = trace::Kind::internal,
                         .start = job.created, .end = job.finished, .failed = job.state != JobState::done, .error = {}, .attributes = {}, .events = {}};
  auto& a = span.attributes;
  const auto text = [&a](std::string_view key, std::string_view value) { a.emplace_back(key, std::string(value)); };
  if (spec.kind == JobKind::flow && options_.newer_names) {
    text("gen_ai.operation.name", "invoke_workflow");
    text("gen_ai.workflow.name", spec.name);
    text("gen_ai.agent.name", spec.name);
  }
  text("ballast.job.id", to_string(job.id));
  text("ballast.job.kind", to_string(spec.kind));
  text("ballast.job.name", spec.name);
  text("ballast.job.state", to_string(job.state));
  a.emplace_back("ballast.job.attempts", static_cast<std::int64_t>(job.attempt) + (job.state == JobState::done ? 1 : 0));
  text("ballast.queue", spec.queue);
  if (spec.origin != Origin::submitted) text("ballast.job.origin", to_string(spec.origin));
  if (spec.parent && spec.origin != Origin::batch) text("ballast.job.from", to_string(spec.parent));
  if (span.failed) {
    const auto error = error_json(job.error);
    const auto* code = error.if_contains("code");
    span.error = job.state == JobState::cancelled || !code || !code->is_string() ? std::string(to_string(job.state)) : std::string(code->get_string());
    text("error.type", span.error);
  }
  sink_.emit(std::move(span));
}

}  // namespace ballast::work
