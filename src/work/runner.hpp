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
#include <string>

#include "work/decide.hpp"
#include "work/dispatch.hpp"
#include "work/flow_book.hpp"

namespace ballast::work {

// What came of performing a stage's outside part.
struct Performed {
  std::shared_ptr<const json::value> value;  // its output; null with `error`
  std::optional<Error> error;
  Money cost;
};
// Performs stages of one kind. Never throws for a reason outside; ends soon after `cancel`.
struct StageCall {
  const RunStage& stage;                     // borrowed until the task ends
  const Job& run;
  Fence fence = 0;
  CancelToken cancel = nullptr;
};
using Performer = std::function<Task<Performed>(StageCall call)>;

class Runner {
 public:
  Runner(Engine& engine, FlowBook& book) : engine_(engine), book_(book) {}
  void set_performer(StageKind kind, Performer performer) { performers_[static_cast<std::size_t>(kind)] = std::move(performer); }
  // The handler of jobs of kind flow.
  Task<Outcome> run(Lease lease, CancelToken cancel);

 private:
  struct Run;
  struct Next;
  Task<Result<void>> open(Run& run);
  Next advance(Run& run);
  Result<void> begin(Run& run, const RunStage& action);
  Result<Submission> child_of(const Run& run, const RunStage& action);
  Task<Result<void>> children_ended(Run& run, const std::vector<StageRecord>& journal);
  Task<void> perform(Run& run, RunStage action);
  Task<Result<void>> keep(Run& run);
  Task<void> wait(Run& run, std::optional<WallTime> until);
  Outcome ended(Run& run, Commit::To to);

  Engine& engine_;
  FlowBook& book_;
  Performer performers_[11];
};

// What a submission of a flow becomes: its version, its limits, its input judged. caller_not_found: no flow of this name; caller_invalid_request
// naming the place in the input.
Result<void> bind_flow(const FlowBook& book, Submission& submission, WallTime now);

}  // namespace ballast::work
