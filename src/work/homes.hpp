// Homes: on whose board a live job is, where several nodes share one database. Repositories take a Tx and never begin one.
//
// An *epoch* is a number that is unique in the installation and rises. Each start of a node takes one: its boot epoch, under which all it ever writes is
// conditional (`check_epoch`). Each epoch is a *home*: a job's row names the home that accepted it or was given it, and a home's row names its owner, the boot
// epoch of the process on whose board the home's jobs are. Homes change hands all at once, from one owner to another: at a start, or when a dead node is adopted.
//
// Fences are (epoch << 32) + counter. Whoever takes jobs that others have leased before takes a home above all others first, and leases under it from then on:
// so the fences of one job rise wherever it goes, and the claims of a process are those under the homes it owned.
//
// A *handover* tells an owner that it was given jobs: their rows name its home already. Nobody takes from a board behind its back.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.hpp"
#include "work/board.hpp"
#include "work/job.hpp"

namespace ballast::work {

// ---- boots ----
// The node is this process' from here on: whoever had it can write no more. Returns its boot epoch, above all numbers that were ever given out. `shared`: it
// takes the homes of the node's last boot, and those that nobody ever owned (of versions before); else all there are, and no other node can write any more.
// What it takes has `taken` = its epoch. A short transaction: others wait for its number.
Result<std::uint32_t> begin_epoch(store::Tx& tx, unsigned node, std::string_view boot, bool shared);

// Nodes that began and that nobody has adopted since. One whose boot is no living member's is to be adopted, under that boot's name.
struct NodeBoot {
  unsigned node = 0;
  std::uint32_t epoch = 0;
  std::string boot;                          // of the cluster's member (cluster/members.hpp)
};
Result<std::vector<NodeBoot>> load_boots(store::Tx& tx);
// What `node` owned is `owner`'s, if `node` still is that boot, which then can write no more. Returns the home that `owner` leases under from now on, or nothing:
// somebody else was first. The homes have `taken` = the returned one. Waits half a second at most for a transaction of the other; then it fails, to be tried again (retryable). A transaction
// that the other has left open for a second is ended.
Result<std::optional<std::uint32_t>> adopt_homes(store::Tx& tx, unsigned node, std::string_view boot, std::uint32_t owner);
// How many numbers may have been given out that a copy of the database, or a standby that takes over, has not heard of. Where PostgreSQL's timeline is another one
// than when a number was last given out, a standby has taken over, and so many are left out.
inline constexpr std::uint32_t kEpochsSkipped = 100'000;
// Of a database that was restored: whoever wrote to it can write no more, every home is nobody's until a process starts, and `skipped` numbers, which may have been
// given out since it was copied, are never given out again.
Result<void> disown_homes(store::Tx& tx, std::uint32_t skipped);
// Of one that has lost what it acknowledged: no number up to `known`, and none of the `skipped` after it, is given out again.
Result<void> skip_epochs(store::Tx& tx, std::uint32_t known, std::uint32_t skipped);
// The newest cycle of this boot that the database has heard of, 0 where it has never heard of the boot. Nothing: another process has begun on the node since, and
// nobody can tell.
Result<std::optional<std::int64_t>> newest_cycle(store::Tx& tx, unsigned node, std::uint32_t epoch);
// A new home of `owner`, above all others.
Result<std::uint32_t> raise_home(store::Tx& tx, std::uint32_t owner);
// Of the homes taken with the number `taken` all are forgotten but those that a live job, a claim (`kept`, ascending) or a concurrency key is of.
Result<void> forget_homes(store::Tx& tx, std::uint32_t taken, std::span<const std::uint32_t> kept);

// ---- where a job is ----
struct Owner {
  std::uint32_t epoch = 0;                   // its boot epoch (Engine::epoch); 0: nobody's yet
  unsigned node = 0;                         // its slot
  std::string boot;                          // empty: nobody's, or of a process without a cluster
};
// Whose board has the job, or is about to have it (given, or adopted, and not put on the board yet). Nothing: it is not live.
Result<std::optional<Owner>> owner_of(store::Tx& tx, JobId job);

// ---- handovers ----
struct Handover {
  std::int64_t seq = 0;
  std::vector<JobId> jobs;
};
// Live jobs, of one home of the giver each, are `to`'s: a boot epoch that owns itself. `seq` is unique. caller_conflict, field "owner": `to` owns nothing (any
// more); nothing was written.
Result<void> hand_over(store::Tx& tx, std::uint32_t to, std::int64_t seq, std::span<const JobId> jobs);
Result<std::vector<Handover>> load_handovers(store::Tx& tx, std::uint32_t to, std::size_t limit);
Result<void> delete_handovers(store::Tx& tx, std::uint32_t to, std::span<const Handover> received);


// ---- concurrency keys ----
// Which owner decides about a key of a queue: all live jobs of it are that one's. `me`, a boot epoch, if nobody does yet. The row stays as it is until the
// transaction ends.
Result<std::uint32_t> key_owner(store::Tx& tx, std::string_view queue, std::string_view key, std::uint32_t me);
Result<void> keep_key(store::Tx& tx, std::string_view queue, std::string_view key, std::uint32_t home);   // unless it has one
struct KeyPlace { std::string queue, key; };
// Those that `owner` decides about, in their order behind `after`.
Result<std::vector<KeyPlace>> load_keys(store::Tx& tx, std::uint32_t owner, const KeyPlace& after, std::size_t limit);
// Forgets keys of which `owner` has no job on its board: unless it was just given one that is not there yet.
Result<void> forget_keys(store::Tx& tx, std::uint32_t owner, std::span<const KeyPlace> keys);

}  // namespace ballast::work
