// Who may decide approvals, by their keys: those of the configuration and, where it was read, of the database.
#pragma once
#include <string>
#include <vector>

#include "app/config.hpp"
#include "work/approval.hpp"
#include "work/flow_check.hpp"

namespace ballast::app {

struct Approvers {
  std::vector<work::Decider> all;
  bool complete = false;                     // the database's are among them
};
Approvers configured_approvers(const Config& config, WallTime now);
// Those that the database at `url` has, which is only read: it is not made, migrated or changed. Errors: it is not there, cannot be read, or is no
// database of Ballast's.
Result<void> add_stored_approvers(Approvers& approvers, const std::string& url, WallTime now);
// For the proof of flows.
work::FlowWorld world_of(Approvers approvers);

}  // namespace ballast::app
