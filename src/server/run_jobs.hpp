// What the routes that make runs from runs share.
#pragma once
#include <string_view>
#include <vector>

#include "net/server.hpp"
#include "server/work_door.hpp"
#include "work/run_again.hpp"

namespace ballast::server {

// The results of run `id` that a run of flow `version` (a digest) begins with; see work::results_before.
struct KeptResults {
  std::vector<work::StageRecord> records;
  bool undone = false;                         // something of that run was
};
Task<Result<KeptResults>> results_of(WorkDoor& door, net::Exchange& exchange, work::JobId id, std::string version, std::string from);
// The body's `version` and the input of a run that comes from another: "current" (the flow in force, whose deadline and input schema then hold), or a
// digest. Absent: the version it began with.
Result<void> bind_version(WorkDoor& door, const JsonRef& body, work::Submission& submission, WallTime now);
// Does its input fit the flow's schema. caller_invalid_request naming the place.
Task<Result<void>> check_input(WorkDoor& door, net::Exchange& exchange, const work::Submission& run);
// Submits jobs of which some begin with a journal (empty: none), and tells of it.
Task<std::vector<Result<work::Accepted>>> submit_seeded(WorkDoor& door, net::Exchange& exchange, std::vector<work::Submission> jobs,
                                                        std::vector<std::vector<work::StageRecord>> journals, work::Also told);

}  // namespace ballast::server
