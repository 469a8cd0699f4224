// What a run is while this process has it in hand; for the runner's own files.
#pragma once
#include <coroutine>
#include <map>
#include <set>

#include "base/task_group.hpp"
#include "work/approval.hpp"
#include "work/run_rows.hpp"
#include "work/run_trace.hpp"
#include "work/runner.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

// Where a run's own result stands in its journal: what its output derives from, for a run that it is a child of.
inline constexpr std::string_view kResult = "$";

struct Runner::Run {
  // A result that came in, and what is to be durable with its record.
  struct Came { StageRecord record; Also also; };
  using Begun = std::variant<RunStage, Compensate>;

  Run(Lease l, CancelToken c, JobTracer* tracer)
      : lease(std::move(l)), cancel(c), journal(lease.job->spec.origin == Origin::rollback ? lease.job->spec.parent : lease.job->id), trace(tracer, *lease.job) {}

  const Lease lease;
  const CancelToken cancel;
  const JobId journal;                       // whose journal it is: a rollback undoes another run
  RunTrace trace;
  FlowPtr flow;
  std::optional<RunState> state;
  std::vector<StageRecord> kept;             // in the state, not durable yet
  std::vector<Also> also;                    // to be durable with them
  std::vector<Submission> children;          // to be accepted with them
  std::vector<Begun> begun;                  // to be performed once they are
  std::vector<std::string> effects;          // of these, by path, what acts on the world
  std::vector<Came> came;                    // what performers answered, not in the state yet
  std::size_t performing = 0;
  TaskGroup tasks{"stages"};
  std::coroutine_handle<> waiter;            // for the first that ends
  Timer timer;
  std::map<std::pair<std::string, Digest>, StageRecord> asked;   // of people and events: what the run waits for, unanswered
  std::map<std::pair<std::string, std::string>, WallTime> heard; // by event and key: when the last came that the run took
  std::set<std::pair<std::string, Digest>> decided;              // approvals that have a result, whether or not it answers a present question
  bool listens = false;                      // it has begun to wait for something that may have come already
  std::map<std::string, std::optional<Error>> undone;            // by path; an error: could not be

  JobId id() const { return lease.job->id; }
  bool undoes() const { return journal != id(); }
  // Into the state, and to be made durable. A record of a stage that the flow does not have is dropped.
  void keep(StageRecord record);
  // As `keep`, of what is durable already, or in the state already.
  void note(const StageRecord& record);
  Result<Also> take_also();
  void tell_trace(const StageRecord& record);
  // What humans have approved so far, where the stage wants to know.
  std::vector<Digest> approved(const Stage& stage) const;
  // What a rollback came to.
  json::object undone_json() const;
  void wake(Scheduler& home) {
    if (const auto w = std::exchange(waiter, {})) home.resume(w);
  }
};

// Nobody has had the run before, and it takes nothing over from another: it has no journal.
bool is_new(const Lease& lease);

// What a run asks of people when this `started` record of an approve stage is kept.
ApprovalAsk ask_of(const Job& run, const Flow& flow, const ApproveStage& approval, const StageRecord& started);

// The event that it waits for when this `started` record of a wait stage is kept; without a name: none.
SignalWait wait_of(JobId job, const StageRecord& started);

Error run_refusal(ErrorCode code, std::string message, std::string field = {});
StageRecord record_of(const RunStage& action, StageRecord::What what, WallTime at);
// done, or failed where it is not what the stage promised.
StageRecord judged(const RunStage& action, std::shared_ptr<const json::value> value, Money cost, WallTime at);

}  // namespace ballast::work
