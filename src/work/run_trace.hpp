// The spans of a run's stages, and of each attempt of those that reach outside: emitted when they end, from what the journal says and what this
// process saw. How ids are made, and what may be lost, is in job_trace.hpp.
//
// A stage begins with the first that is known of it: its first attempt here, or its oldest record. What is only worked out begins and ends in
// one moment. Stages of a map's items lie beneath the map's. The first `kMostStages` of a run are told of; what a later one calls is not sampled.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/job_trace.hpp"
#include "work/run_state.hpp"

namespace ballast::work {

class RunTrace {
 public:
  static constexpr std::size_t kMostStages = 1'000;

  // Null, or a run that is not sampled: it tells of nothing, and costs nothing. `tracer` is borrowed and outlives it.
  RunTrace(JobTracer* tracer, const Job& run);
  bool on() const { return tracer_ != nullptr; }

  // An attempt begins here.
  void begun(const Stage& stage, std::string_view path, std::uint32_t attempt, WallTime at);
  // Of the run's journal: it was told of by who had the run then.
  void seen(const StageRecord& record);
  // A new record. `view`: where its stage stands now, after all that follows from it was decided; null where that is not known.
  void told(const StageRecord& record, const Stage& stage, const RunState::View* view);
  // The run is over, and with it whatever of it is under way. `state` may be null.
  void close(const RunState* state, WallTime at);
  // For what an attempt starts, as a traceparent; empty: there is no trace.
  std::string around(std::string_view path, std::uint32_t attempt) const;
  std::string around_undo(std::string_view path) const;
  // Emits what there is to tell. What it tells of is durable, or the run's last word about to be.
  void flush();
  // What there is to tell did not come to be.
  void drop() { made_.clear(); }

 private:
  struct Told {
    WallTime first{};
    std::map<std::uint32_t, WallTime> open;  // attempts under way, by number
    std::uint32_t attempts = 0;
    std::string_view kind;                   // empty: not known
    bool closed = false;
    bool here = false;                       // something of it happened while this process had the run
  };
  Told* find(std::string_view path, WallTime at);
  trace::SpanRecord made(std::string_view what, std::string_view path, WallTime from, WallTime to) const;
  void end_attempt(std::string_view path, std::uint32_t attempt, WallTime from, WallTime to, std::string_view error);
  void end_stage(std::string_view path, Told& stage, std::string_view outcome, WallTime to, std::string_view error);
  std::uint64_t id_of(std::string_view what, std::string_view path, std::uint32_t attempt = 0) const;
  std::string around(std::string_view what, std::string_view path, std::uint32_t attempt) const;

  JobTracer* tracer_;
  JobTrace of_;
  std::map<std::string, Told, std::less<>> stages_;
  std::vector<trace::SpanRecord> made_;
};

// The stages of a run that ended while nobody had it in hand: what its journal knows to have been under way was cut.
void tell_cut(JobTracer& tracer, const Job& run, std::span<const StageRecord> journal);

// Does it do something outside, in attempts that may take long.
bool in_attempts(StageKind kind);

}  // namespace ballast::work
