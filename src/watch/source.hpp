// Where minutes come from: the rollups, of everything together and by each label that rules judge by.
#pragma once
#include <string>
#include <vector>

#include "records/rollups.hpp"
#include "watch/minute.hpp"

namespace ballast::watch {

// Buckets of `step` from `from` on, oldest first; a label's calls in a bucket, where there were any. Of each label the `groups` values with the
// most calls. Of the total alone: a failure that the caller or a policy is the reason of (caller_*, policy_*) is none, and look-ups of the cache are the calls that
// asked it (exact, by meaning, or joined to one that did). Of a label the same where it is wanted, which reads larger rows, three times; else, and of
// users always, all of its calls.
// Errors: those of records::range.
Result<std::vector<Minute>> read_minutes(store::Tx& tx, WallTime from, WallTime to, Duration step, const Wanted& wanted, std::size_t groups);

Counts counts_of(const records::Figures& figures);

}  // namespace ballast::watch
