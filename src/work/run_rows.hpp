// The journal of a run: one row per stage record, keyed by (stage path, question, what, attempt), its larger values once each in the run's
// blobs; and the versions of flows that runs began with. Repositories take a `Tx&` and never begin one.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "work/job.hpp"
#include "work/run_state.hpp"

namespace ballast::work {

// A record made ready for storing: on the caller's thread, before the transaction.
struct PackedRecord {
  StageRecord record;                        // without its value
  std::string inline_value;                  // JSON, when it is short
  Digest blob{};                             // SHA-256 of the value's JSON, when it is not; zero: none
  std::string packed;                        // the blob
};
// Error: caller_too_large above a blob's limit, naming the stage.
Result<PackedRecord> pack_record(const StageRecord& record);

// What is there already stays: a result is recorded once. `fence`: of the lease under which it is recorded; 0: of none.
Result<void> insert_records(store::Tx& tx, JobId run, std::span<const PackedRecord> records, Fence fence);
// Did the holder of this lease record anything but failed attempts: whoever takes the run up next does not come to where this one began.
Result<bool> progressed(store::Tx& tx, JobId run, Fence fence);
// In the order they were written.
Result<std::vector<StageRecord>> load_records(store::Tx& tx, JobId run);
// The child that a started record of a worker or flow stage names; zero: none.
JobId child_in(const StageRecord& record);
// Of all such records.
Result<std::vector<JobId>> children_of(store::Tx& tx, JobId run);
Result<void> delete_records(store::Tx& tx, std::span<const JobId> runs);

// ---- the version that a live run is bound to ----

// The fence of its last lease whose outcome is recorded: while that stays, and nobody holds the run, so does its journal.
Result<Fence> recorded_fence(store::Tx& tx, JobId run);
// caller_conflict: the run has ended, or was held since.
Result<void> put_spec(store::Tx& tx, JobId run, const JobSpec& spec, Fence recorded);

// ---- versions of flows ----

// Kept once by digest.
Result<void> put_flow(store::Tx& tx, const Flow& flow, WallTime now);
// The source of that version; nothing: unknown.
Result<std::optional<FlowSource>> find_flow(store::Tx& tx, const Digest& digest);
// Those that call themselves so: "3", or the beginning of their digest.
Result<std::vector<Digest>> flows_called(store::Tx& tx, std::string_view name, std::string_view version);

}  // namespace ballast::work
