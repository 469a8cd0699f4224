// Erasure of a user from the durable road: his jobs, with all that came of them, whoever drove them again or forked them.
//
// Repositories take a Tx and never begin one. Each may run again: what is gone already is passed over.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "store/database.hpp"
#include "work/job.hpp"

namespace ballast::work {

struct UserJobs {
  std::vector<JobId> ended, live;
  std::unordered_set<JobId> all;
};
// Looks at `limit` rows after `after`; adds those that are the user's, and those that came of one which is among them already (children, forks and
// redrives are younger than what they come from). Returns where to go on; zero at the end.
Result<JobId> find_user_jobs(store::Tx& tx, std::string_view user, JobId after, std::size_t limit, UserJobs& found);

struct ErasedJobs {
  std::uint64_t rows = 0, keys = 0, webhooks = 0, chains = 0;
};
// Ended jobs, with their attempts, events, journals, values, effects, approvals, keys and webhooks, also those still owed. `retire_trail`: their chains of the
// audit trail too, by `actor`; a tombstone of each stays.
Result<ErasedJobs> erase_jobs(store::Tx& tx, std::span<const JobId> jobs, bool retire_trail, std::string_view actor, WallTime now);

// The keys that are a user's: those in the database (table api_keys, as it is before records::erase_from_keys) are found by his name.
struct UserKeys {
  std::string user;
  std::vector<std::string> configured;       // ids of his keys in the configuration
};
// Their files and ended batches.
struct ErasedFiles { std::uint64_t files = 0, batches = 0; };
Result<ErasedFiles> erase_files(store::Tx& tx, const UserKeys& whose);
// Their batches that are not over.
Result<std::vector<JobId>> live_batches_of(store::Tx& tx, const UserKeys& whose);

}  // namespace ballast::work
