// Where minutes come from: the rollups, of everything together and by each label that rules judge by.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "records/rollups.hpp"
#include "watch/minute.hpp"

namespace ballast::watch {

// Buckets of `step` from `from` on, oldest first; a label's calls in a bucket, where there were any. Of each label the `groups` values with the
// most calls. A failure that the caller or a policy is the reason of (caller_*, policy_*) is none here, where the total is concerned.
// Errors: those of records::range.
Result<std::vector<Minute>> read_minutes(store::Tx& tx, WallTime from, WallTime to, Duration step, std::span<const std::string> labels, std::size_t groups);

Counts counts_of(const records::Figures& figures);

}  // namespace ballast::watch
