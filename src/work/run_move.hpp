// A live run is moved to another version of its flow: what it has done stays done, what it has not begun is the new version's.
//
// The rule, stage by stage, for the question a stage asks now (its definition and what it read):
//   result            the new version must ask the same question in the same place: then the result counts on. What was only worked out here
//                     (transform, template, choose, what a map made of its items) may differ, and is worked out again
//   waits, child      must be the same: what a worker or a child does cannot be taken back
//   waits, people,    must be the same, and a question to people is asked again, for what they decide is bound to the version; or, where the mover says
//   event, time       `call_off`, what is not asked any more is withdrawn
//   failed attempts   may differ: its attempts begin anew
//   effect            that happened, or of which nobody knows whether it did: its stage must be the same
//   approval given    what lies between it and any effect that has not happened yet must be the same: nobody approves A that becomes B
// and a stage with a result must not come after one that the new version still has to run. A run that undoes itself is not moved.
//
// The new version is one that was in force here, proved again among the flows that are now, with this run's input, and against what the run has: what it
// would do first is worked out before anything is written.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "records/effects.hpp"
#include "work/approval.hpp"
#include "work/engine.hpp"
#include "work/flow_book.hpp"
#include "work/run_state.hpp"
#include "work/signal_rows.hpp"

namespace ballast::work {

// What a move looks at. Borrowed.
struct MoveSight {
  const Job& run;
  std::span<const StageRecord> journal;
  std::span<const records::Effect> effects;
  FlowPtr from, to;
  WallTime now;
};
struct MoveReport {
  struct Asked { std::string path; Digest input{}; };
  std::size_t kept = 0;                        // results that count on
  std::vector<std::string> again;              // paths of stages that are worked out, or tried, anew
  std::vector<Asked> asked_again;              // approvals that people are asked anew
  std::vector<Asked> called_off;
  std::vector<Asked> listens;                  // for events, as the new version has it
  std::vector<std::string> begins;             // what the run does next that reaches outside
};
// Pure. caller_conflict naming each stage that stands in the way, and why; its field is the first one.
Result<MoveReport> judge_move(const MoveSight& sight, bool call_off);

struct MovePlan {
  MoveReport report;
  std::string from, to;                        // the versions' digests in hex
  JobPtr run;                                  // as it then is; null: it is on that version already
  Also write;                                  // the move, if nothing happened to the run since; else caller_conflict
};
struct MoveWish {
  JobId run;
  std::string to;                              // a digest in hex
  bool call_off = false;
  std::string actor;                           // as in AuditEntry
};
// What moving it comes to, without moving it; `Engine::replace` performs the plan. On any loop. Errors: of judge_move; caller_not_found (no such run, or
// version); caller_conflict (the run has ended, or is a rollback; the version is of another flow, or not proved any more; its input does not fit).
Task<Result<MovePlan>> plan_move(Scheduler& loop, store::Database& database, FlowBook& book, MoveWish wish, WallTime now);

}  // namespace ballast::work
