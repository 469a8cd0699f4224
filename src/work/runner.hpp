// Runner: performs a run of a flow. `decide` says what comes next; this makes it durable, does it, and tells what came of it.
//
//   read the journal → state → [ decide → keep its records → begin what is to be performed → wait for the first that ends ]* → done | dead |
//   waiting (for a child, a time, a person), holding nothing
//
// Whatever is decided is durable before it is acted upon, in one transaction conditional on the lease's fence: the results that came in,
// what follows from them, and the children they start. A run that is leased again, by whomever, goes on from its journal and
// performs nothing twice that has a recorded result.
//
// Single-threaded: the engine's home loop. Borrows what it is given; outlives its runs.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "work/decide.hpp"
#include "work/dispatch.hpp"
#include "work/door.hpp"
#include "work/flow_book.hpp"
#include "work/job_trace.hpp"

namespace ballast::work {

// What came of performing a stage's outside part, or of undoing it.
struct Performed {
  std::shared_ptr<const json::value> value;  // its output; null with `error`, and of an undoing
  std::optional<Error> error;
  Money cost = {};
  Also also = {};                            // durable in one transaction with the record of this
};
// All borrowed until the task ends.
struct StageCall {
  const RunStage& stage;
  const Job& run;                            // as leased
  Fence fence = 0;
  std::span<const Digest> approved;          // what humans have approved in this run so far, as value_digest
  CancelToken cancel = nullptr;              // null in `prepare`
  std::string traceparent = {};              // of this attempt, for what it starts; empty: there is no trace
};
struct UndoCall {
  const Compensate& undo;
  const Job& run;                            // whose lease this is: the run itself, or the job that rolls it back
  JobId of;                                  // the run whose stage is undone
  Fence fence = 0;
  CancelToken cancel = nullptr;
  std::string traceparent = {};              // of the undoing; empty: there is no trace
};
// Performs stages of one kind. `prepare`, without waiting, says what must be durable before anything leaves; on its error nothing does, and
// the stage has failed. `perform` then never throws for a reason outside, and ends soon after `cancel`. Its context and stage are those of `prepare`.
struct Performer {
  std::function<Result<Also>(const StageCall& call)> prepare;    // may be empty
  std::function<Task<Performed>(StageCall call)> perform;
};
struct Undoer {
  std::function<Result<Also>(const UndoCall& call)> prepare;
  std::function<Task<Performed>(UndoCall call)> perform;
};
// What holders before have left in the air: asked once when a run is opened, within a transaction. The records say what became of stages that cannot
// simply be performed again.
struct Opening {
  const Job& run;
  Fence fence = 0;
  const Flow& flow;
  std::span<const StageRecord> journal;
  WallTime now;
};
using Recovery = std::function<Result<std::vector<StageRecord>>(store::Tx& tx, const Opening& opening)>;

struct RunnerOptions {
  // Called at the points of a run, by name: opened, recovered (what was left in the air is settled), child_heard, decision_heard, event_heard (in hand, not
  // recorded), child_made, asked, listening (decided, not durable), decided (a round of deciding is over), kept (durable, nothing begun yet).
  std::function<void(std::string_view)> at;
};

class Runner {
 public:
  Runner(Door& door, FlowBook& book, RunnerOptions options = {}) : door_(door), engine_(door.engine()), book_(book), options_(std::move(options)) {}
  // Before the first run.
  void set_performer(StageKind kind, Performer performer) { performers_[static_cast<std::size_t>(kind)] = std::move(performer); }
  void set_undoer(Undoer undoer) { undoer_ = std::move(undoer); }
  void set_recovery(Recovery recovery) { recovery_ = std::move(recovery); }
  // Told of the stages of runs that are traced; borrowed, outlives it. Null: nobody is.
  void use(JobTracer* tracer) { tracer_ = tracer; }
  // The handler of jobs of kind flow.
  Task<Outcome> run(Lease lease, CancelToken cancel);
  // What a run comes to that begins now and needs nobody but itself, where its flow is in memory (InstantHandler).
  std::optional<Outcome> at_once(const Lease& lease);
  // A run has ended that did not come to its own end (cancelled, dead): its children are cancelled, nobody need decide for it any more.
  // Tried again while the database is away.
  Task<void> called_off(JobId run, std::string why);

 private:
  struct Run;
  struct Next;
  void at(std::string_view point) const {
    if (options_.at) options_.at(point);
  }
  Task<Result<void>> open(Run& run);
  static Result<void> begin_with(Run& run, FlowPtr flow, const Job& job);
  Task<Result<JobPtr>> run_job(const Run& run);
  Task<Result<void>> hear(Run& run);
  Task<Result<void>> call_off(JobId run, const std::string& why);
  Result<void> ask_outside(Run& run, const StageRecord& started);
  void take_in(Run& run);
  Next advance(Run& run);
  bool begin(Run& run, RunStage action);
  bool begin_undo(Run& run, Compensate undo);
  Result<Submission> child_of(const Run& run, const RunStage& action);
  Task<Result<void>> children_ended(Run& run, const std::vector<StageRecord>& journal);
  Task<Performed> perform_stage(Run& run, const RunStage& action);
  Task<void> perform(Run& run, std::variant<RunStage, Compensate> begun);
  Task<Result<void>> keep(Run& run);
  Task<void> wait(Run& run, std::optional<WallTime> until);
  Outcome ended(Run& run, Commit::To to);
  Outcome finished(Run& run, Next next);
  void let_go(Run& run);
  Task<void> close_trace(JobId run);

  Door& door_;                               // to its children, wherever they are
  Engine& engine_;
  FlowBook& book_;
  const RunnerOptions options_;
  Performer performers_[kStageKinds];
  Undoer undoer_;
  Recovery recovery_;
  JobTracer* tracer_ = nullptr;
  std::set<JobId> traced_;                   // runs in hand whose stages are told of by who has them in hand
};

// What a submission of a flow becomes: its version, its limits, its input judged. caller_not_found: no flow of this name; caller_invalid_request
// naming the place in the input.
Result<void> check_flow_input(const Flow& flow, std::string_view input);
Result<void> bind_flow(const FlowBook& book, Submission& submission, WallTime now);

}  // namespace ballast::work
