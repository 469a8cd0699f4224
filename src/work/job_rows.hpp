// The rows of jobs: what the engine's transaction writes, and what it reads at start. Repositories take a `Tx&`, never begin one,
// and take spans: a cycle of a thousand jobs is a handful of statements.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "store/database.hpp"
#include "work/board.hpp"
#include "work/job.hpp"

namespace ballast::work {

std::span<const store::Migration> migrations();

// ---- the node (it begins in homes.hpp) ----
// The transaction fails, at the latest with its commit, when another process has taken the node over: `is_taken_over`. `cycle` names the transaction, above all
// before it: `settle_cycle` tells whether it came to be, after a commit whose fate is unknown (which only PostgreSQL has; there it is a row's update, elsewhere a look).
// `kept`: the newest cycle that is known to be there. Where the row has an older one the database has lost what it acknowledged (a standby took over that had not
// heard of it), and the transaction fails in the same way: `newest_cycle` (homes.hpp) tells which of the two it is.
Result<void> check_epoch(store::Tx& tx, unsigned node, std::uint32_t epoch, std::int64_t cycle, std::int64_t kept = 0);
bool is_taken_over(const Error& error);      // internal_unavailable, not retryable
// Whether this cycle, the newest, was committed; waits for it if it is being committed at this moment. If not, it never will be. As check_epoch.
Result<bool> settle_cycle(store::Tx& tx, unsigned node, std::uint32_t epoch, std::int64_t cycle, std::int64_t kept = 0);

// ---- submission ----
struct NewJob {
  JobPtr job;                                // shared with what keeps it in memory
  Digest key{};                              // of the idempotency key, scope included; all zero: none
  Digest body{};                             // what was asked with it
  WallTime key_until{};                      // it counts until then
  Digest unique{};                           // of the unique key
  WallTime unique_until{};
  bool while_live = false;                   // the unique key counts until its job ends, instead
  std::uint32_t home = 0;                    // homes.hpp
};
// What became of one: inserted, or `existing` is the job that has its key already.
struct Insertion {
  JobId existing;
  bool other_body = false;                   // the key was used for something else
};
// In the order given. Race-free: one submission per key is inserted. Who loses by its unique key keeps its idempotency key, for the winner.
Result<std::vector<Insertion>> insert_jobs(store::Tx& tx, std::span<const NewJob* const> jobs, WallTime now);
Result<std::uint64_t> sweep_keys(store::Tx& tx, WallTime now, std::size_t limit);

// ---- leases ----
struct ClaimRow {
  Fence fence = 0;
  std::string holder;
  std::vector<JobId> jobs;
};
Result<void> insert_claims(store::Tx& tx, std::span<const Claim* const> claims, WallTime now);
Result<void> delete_claims(store::Tx& tx, std::span<const Fence> fences);
// By fence. Of the homes taken with this number (homes.hpp); 0: of all.
Result<std::vector<ClaimRow>> load_claims(store::Tx& tx, std::uint32_t taken = 0);

// ---- what a job comes to ----
struct Transition {
  JobId id;
  Fence fence = 0;                           // of the lease that ends with it; 0: none was held
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;
  WallTime due{}, finished{};
  std::optional<std::string> output, error;
};
// Conditional on the row: live, and its fence not above this one. If any row is not as memory has it, the transaction fails with caller_conflict, at
// the latest with its commit.
Result<void> apply_transitions(store::Tx& tx, std::span<const Transition> transitions);

// A failed attempt, for the history of a job.
struct AttemptRow {
  JobId job;
  std::uint32_t n = 0;                       // from 1
  Fence fence = 0;
  std::string holder;
  WallTime at{};
  std::string error;                         // packed
};
Result<void> insert_attempts(store::Tx& tx, std::span<const AttemptRow> attempts);
Result<std::vector<AttemptRow>> list_attempts(store::Tx& tx, JobId job);

// ---- reading ----
struct LiveRow {
  Job job;                                   // without input and output
  Fence fence = 0;
  std::uint32_t home = 0;
};
struct LivePlace { std::string tenant; JobId id; };
// In order of (tenant, id), from behind `after`: a tenant's jobs are in the order of their ids. `taken` as load_claims.
Result<std::vector<LiveRow>> load_live(store::Tx& tx, const LivePlace& after, std::size_t limit, std::uint32_t taken = 0);
// Those of `ids` that are live and of a home of this owner.
Result<std::vector<LiveRow>> load_live_of(store::Tx& tx, std::span<const JobId> ids, std::uint32_t owner);
Result<std::optional<JobState>> state_of(store::Tx& tx, JobId id);
// Whole rows in the order of `ids`; unknown ones are left out.
Result<std::vector<Job>> load_jobs(store::Tx& tx, std::span<const JobId> ids);
Result<std::optional<Job>> get_job(store::Tx& tx, JobId id);
Result<JobId> last_job_id(store::Tx& tx);   // the highest there is, of whichever node: ids given out after it are new

struct JobFilter {
  std::string name, tenant, queue, tag;      // empty: any
  std::optional<JobKind> kind;
  std::optional<JobState> state;
  std::optional<WallTime> since, until;      // of submission
  std::string text;                          // in input, output or error
  JobId before;                              // the last id of the page before; newest first
  std::size_t limit = 100;
};
struct JobPage {
  std::vector<Job> jobs;
  JobId next;                                // to go on with; zero: the end was reached
};
// Looks at 20,000 rows at most: a page may be short, or empty, and still have a `next`.
Result<JobPage> list_jobs(store::Tx& tx, const JobFilter& filter);

// Dead jobs by queue, of the `limit` oldest.
struct DeadLetters { std::string queue; std::uint64_t jobs = 0; WallTime oldest{}; };    // oldest: when it died
Result<std::vector<DeadLetters>> count_dead(store::Tx& tx, std::size_t limit);

// ---- retention ----
// Ended jobs in id order from `after`: those whose time is over are deleted with all that belongs to them. Looks at `limit` rows; returns where
// to go on, zero at the end.
struct Swept { JobId next; std::uint64_t deleted = 0; };
Result<Swept> sweep_jobs(store::Tx& tx, JobId after, WallTime now, Duration retention, std::size_t limit);

// Jobs by their ids (batches of one value), with all that belongs to them but their keys and webhooks. Returns how many rows there were in all.
Result<std::uint64_t> delete_jobs(store::Tx& tx, const store::Batch& ids);

// ---- queues ----
struct QueueRow { std::string name; QueueRules rules; };
Result<void> put_queue(store::Tx& tx, const QueueRow& row);
Result<std::vector<QueueRow>> load_queues(store::Tx& tx);

}  // namespace ballast::work
