// The traces of jobs: whose trace a job belongs to, which ids its spans have, and the span that tells of a job's end.
//
//   the submitter's span → job → stage → attempt of it → call (gateway/) → request to a provider
//                                                      → child job → …
//
// `JobSpec::trace` is a traceparent: the trace, the span beneath which the job's own lies (zeros: none, the job is the root), the sampling.
// Every other id is made of it and of what the span is of, so that a run that another process goes on with goes on with the same spans: a
// crash can lose what was not exported yet, never make a second root. Nothing of what jobs carry or answer is in a span.
#pragma once
#include <string>
#include <string_view>

#include "base/random.hpp"
#include "base/trace.hpp"
#include "work/job.hpp"

namespace ballast::work {

// What a job's own span is. `span` is not valid where the job belongs to no trace.
struct JobTrace {
  trace::SpanContext span;
  std::uint64_t parent = 0;                  // 0: the root
};
JobTrace trace_of(JobId id, const JobSpec& spec);
// 32 hexadecimal digits; empty: none.
std::string trace_id_of(const JobSpec& spec);
// For work done in the job's name: its own span as a traceparent; empty: none.
std::string traceparent_of(const Job& job);
// The id of a span beneath `around`, made of what it is of: the same at every asking.
std::uint64_t span_beneath(const trace::SpanContext& around, std::string_view what);
// The job's trace is that of who submits it, and its tracestate what comes with that one; a malformed header says nothing, as the standard has it.
void join_trace(JobSpec& spec, std::string_view traceparent, std::string_view tracestate);

// Who emits the spans of jobs. On the engine's home loop.
class JobTracer {
 public:
  struct Options {
    double sample = 1;                       // of the jobs that bring no trace
    bool newer_names = true;                 // says `invoke_workflow` and what belongs to it (docs/telemetry.md)
    std::uint64_t seed = 1;
  };
  // `sink` is borrowed and outlives it.
  JobTracer(trace::SpanSink& sink, Options options) : sink_(sink), options_(options), random_(options.seed) {}
  // For a job that nobody's trace is around: a new one, of which its span will be the root.
  std::string begin();
  // Its span, where it is sampled. The job has ended, and that is durable.
  void ended(const Job& job);
  void emit(trace::SpanRecord span) { sink_.emit(std::move(span)); }

 private:
  trace::SpanSink& sink_;
  const Options options_;
  SeededRandom random_;
};

}  // namespace ballast::work
