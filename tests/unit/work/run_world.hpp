// A runner for tests: performs what `decide` says in simulated time, with outcomes from a script, and keeps the journal.
#pragma once
#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "flow_text.hpp"
#include "work/canonical.hpp"
#include "work/decide.hpp"

namespace ballast::work {

inline constexpr WallTime kStart{Duration(std::chrono::hours(24 * 365 * 56))};

struct StageOutcome {
  std::optional<json::value> value;           // done; none and no error: it never answers
  std::optional<Error> error;
  bool waits = false;                         // a worker or a child: started, answers later
  Money cost;
};
inline StageOutcome gives(json::value value) { return {std::move(value), {}, false, {}}; }
inline StageOutcome fails(ErrorCode code, bool retryable = false) { return {{}, Error{code, "it failed", "", retryable, {}, {}, {}, {}}, false, {}}; }
inline json::value from_text(std::string_view text) { return *parse_json(text); }

class RunWorld {
 public:
  using Script = std::function<StageOutcome(const RunStage&)>;
  RunWorld(FlowPtr flow, json::value input, Script script, std::string id = "run_1")
      : state(std::move(flow), RunStart{std::move(id), std::move(input), {}, kStart}), script_(std::move(script)) {}

  // Until nothing happens by itself. True if the run has ended.
  bool go(std::size_t most = 10'000) {
    for (std::size_t i = 0; i < most && !ended(); ++i)
      if (!step()) return false;
    return ended();
  }
  // One round of decide. False: it waits for somebody.
  bool step() {
    std::optional<WallTime> until;
    bool moved = false;
    for (Action& a : decide(state, now)) {
      if (auto* k = std::get_if<KeepRecord>(&a)) {
        if (k->record.what == StageRecord::What::started) started.insert(k->record.path);
        journal.push_back(std::move(k->record));
        moved = true;
      } else if (auto* r = std::get_if<RunStage>(&a)) {
        moved |= perform(*r);
      } else if (auto* c = std::get_if<Compensate>(&a)) {
        undone.push_back(c->path);
        contexts[c->path + "!"] = *c->context;
        record({.path = c->path, .input = c->input, .what = StageRecord::What::compensated, .error = undo_error});
        moved = true;
      } else if (auto* w = std::get_if<WaitUntil>(&a)) {
        until = w->at;
      } else if (auto* f = std::get_if<FinishRun>(&a)) {
        finished = std::move(*f);
      } else if (auto* e = std::get_if<FailRun>(&a)) {
        failed = std::move(*e);
      }
    }
    if (!moved && !ended() && until && patient) {
      now = std::max(now, *until);
      moved = true;
    }
    return moved || ended();
  }
  // What comes from outside: an approval, an event, a worker's answer.
  void answer(std::string_view path, json::value value, std::optional<double> confidence = {}) {
    const auto view = state.find(path);
    ASSERT_TRUE(view) << path;
    record({.path = std::string(path), .input = view->input, .what = StageRecord::What::done, .value = std::make_shared<const json::value>(value), .output = value_digest(value), .confidence = confidence});
  }
  void record(StageRecord r) {
    r.at = now;
    journal.push_back(r);
    static_cast<void>(state.apply(r));
  }
  bool ended() const { return finished || failed; }
  StageState at(std::string_view path) const { return state.find(path) ? state.find(path)->state : StageState::pending; }
  std::string text(std::string_view path) const {
    const auto view = state.find(path);
    return view && view->value ? canonical_json(*view->value) : "";
  }
  std::string output() const { return finished && finished->output ? canonical_json(*finished->output) : failed ? "failed " + failed->path : ""; }

  RunState state;
  WallTime now = kStart;
  std::vector<StageRecord> journal;
  std::vector<std::string> ran;               // "path" or "path#2", in order
  std::vector<std::string> undone;
  std::map<std::string, json::value> contexts;
  std::map<std::string, RunStage> runs;
  std::set<std::string> started;
  std::optional<Error> undo_error;
  std::optional<FinishRun> finished;
  std::optional<FailRun> failed;
  bool patient = true;                        // lets time pass when nothing else happens

 private:
  bool perform(const RunStage& run) {
    ran.push_back(run.attempt == 1 ? run.path : fmt::format("{}#{}", run.path, run.attempt));
    contexts[run.path] = *run.context;
    runs[run.path] = run;
    state.begin(run.path);
    const StageOutcome o = script_(run);
    StageRecord r{.path = run.path, .input = run.input, .attempt = run.attempt};
    r.cost = o.cost;
    if (o.waits) r.what = StageRecord::What::started;
    else if (o.error) {
      r.what = StageRecord::What::failed;
      r.error = o.error;
    } else if (o.value) {
      r.value = std::make_shared<const json::value>(*o.value);
      r.output = value_digest(*o.value);
      r.taint = run.gives;
      auto sure = confidence_of(*run.stage, *run.context, *o.value);
      EXPECT_TRUE(sure);
      if (sure) r.confidence = *sure;
    } else {
      return false;                           // under way for ever
    }
    record(std::move(r));
    return true;
  }
  Script script_;
};

// The same run in another process: only the journal is left.
inline RunWorld resumed(const RunWorld& world, std::vector<StageRecord> journal, RunWorld::Script script) {
  RunWorld out(world.state.flow_ptr(), world.state.start().input, std::move(script), world.state.start().id);
  out.now = world.now;
  for (const auto& r : journal) EXPECT_TRUE(out.state.apply(r));
  out.journal = std::move(journal);
  return out;
}

}  // namespace ballast::work
