// FlowBook: the flows of this node. The ones in force come from `flows/*.yaml`; a run finishes with the version it began with, which is in the
// database by its digest, whatever has become of the file.
//
// Thread-safe. Read flows are immutable and shared.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "store/database.hpp"
#include "work/flow_check.hpp"

namespace ballast::work {

using FlowSet = std::map<std::string, FlowPtr, std::less<>>;

// Reads and proves `folder`/*.yaml. No folder: no flows. Error: every mistake, one per line; `found` gets all that there is to say.
Result<FlowSet> load_flows(const std::string& folder, const EnvLookup& environment, FlowFindings& found, const FlowWorld& world = {});

class FlowBook {
 public:
  explicit FlowBook(EnvLookup environment) : environment_(std::move(environment)) {}
  // Makes these the ones in force; what they are is made durable first. Blocking: at start and at a reload.
  Result<void> put(store::Database& database, FlowSet flows, WallTime now);
  // The one in force; null: none of this name.
  FlowPtr current(std::string_view name) const;
  std::vector<FlowPtr> all() const;
  // As `version`, where it is in memory; else null.
  FlowPtr known(std::string_view digest) const;
  // A version by its digest in hex. caller_not_found: no such version was ever in force here.
  Task<Result<FlowPtr>> version(Scheduler& loop, store::Database& database, std::string digest);

 private:
  const EnvLookup environment_;
  mutable std::mutex mutex_;
  FlowSet current_;
  std::map<std::string, FlowPtr, std::less<>> versions_;   // by digest in hex
};

}  // namespace ballast::work
