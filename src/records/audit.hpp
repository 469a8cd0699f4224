// The audit trail: every effect, approval, edit, redrive and administrative act is an entry of a hash chain. One chain per run (its name is
// the job's id, "job_…") and one of administrative acts per node (`admin_chain`): a single chain would make all nodes wait for each other.
//
// An entry's hash is SHA-256 over the hash before it, its chain, its place and all of its fields; the newest hash of a chain is its head
// (table audit_heads), so appending reads no entries. Who changes, removes, exchanges or adds entries breaks the chain, or has to write
// all that follows and the head anew, which the anchors outside the database tell (records/audit_anchors). `verify_audit` looks.
//
// Append in the transaction of what the entries tell: both are there, or neither. Concurrency: any number of writers; those of one
// chain wait for each other (PostgreSQL: the head's row is locked until the end of the transaction), so a chain never forks.
// Never put a secret, a prompt or an answer into an entry: arguments go in as their hash.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

// What may be told of: a closed vocabulary, which people search by.
namespace audit {
inline constexpr std::string_view effect_dispatched = "effect.dispatched", effect_confirmed = "effect.confirmed", effect_failed = "effect.failed",
                                  effect_unknown = "effect.unknown", effect_resolved = "effect.resolved";
inline constexpr std::string_view approval_requested = "approval.requested", approval_granted = "approval.granted", approval_edited = "approval.edited",
                                  approval_rejected = "approval.rejected", approval_expired = "approval.expired",
                                  approval_escalated = "approval.escalated", approval_withdrawn = "approval.withdrawn",
                                  approval_linked = "approval.linked";
inline constexpr std::string_view job_submitted = "job.submitted", job_cancelled = "job.cancelled", job_redriven = "job.redriven",
                                  job_edited = "job.edited", job_erased = "job.erased", stage_retried = "stage.retried", run_forked = "run.forked",
                                  run_moved = "run.moved", run_rolled_back = "run.rolled_back", settled = "settle.done", settle_refused = "settle.refused";
inline constexpr std::string_view compensation_done = "compensation.done", compensation_failed = "compensation.failed";
inline constexpr std::string_view queue_paused = "queue.paused", queue_resumed = "queue.resumed", schedule_changed = "schedule.changed",
                                  schedule_deleted = "schedule.deleted", schedule_run = "schedule.run",
                                  flow_loaded = "flow.loaded";
inline constexpr std::string_view key_created = "key.created", key_updated = "key.updated", key_rotated = "key.rotated", key_revoked = "key.revoked", keys_refused = "keys.refused",
                                  charge_reconciled = "charge.reconciled", session_opened = "session.opened", session_closed = "session.closed",
                                  backup_made = "backup.made", backup_restored = "backup.restored", store_moved = "store.moved", user_erased = "user.erased",
                                  messages_read = "messages.read", calls_exported = "calls.exported", user_exported = "user.exported";
inline constexpr std::string_view alerts_silenced = "alerts.silenced", silence_ended = "alerts.silence_ended", breaker_reset = "breaker.reset", model_trusted = "budget.model_trusted",
                                  webhook_redriven = "webhook.redriven", commits_lost = "database.commits_lost";
inline constexpr std::string_view chain_erased = "audit.erased";      // written by retire_chains alone
}  // namespace audit

// Texts are stored as valid UTF-8 without NUL (what is not becomes "?") and cut at kMaxAuditText bytes, outcome at kMaxAuditOutcome.
struct AuditEntry {
  std::string actor;       // "key:key_01…", "approver:ann", "system", "worker:w1"
  std::string action;      // of namespace audit
  std::string subject;     // what it was done to: a stage's path, a queue's name, a key's id
  Digest arguments{};      // SHA-256 of the exact arguments, as the caller made them bytes; zero: none
  std::string outcome;     // short text or JSON
  WallTime at{};           // to the microsecond; zero: the append's `now`
  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};
inline constexpr std::size_t kMaxAuditText = 512, kMaxAuditOutcome = 4096, kMaxChainName = 200;

struct ChainHead {
  std::int64_t length = 0;
  Digest hash{};           // of the newest entry; zeros of an empty chain
  friend bool operator==(const ChainHead&, const ChainHead&) = default;
};

// "admin:NODE".
std::string admin_chain(std::string_view node);

// Appends and returns the chain's new head. Errors: caller_invalid_request (a chain without a name, or with one that is too long);
// Fault::conflict where others changed the chain three times in between: run the body again.
Result<ChainHead> append_audit(store::Tx& tx, std::string_view chain, std::span<const AuditEntry> entries, WallTime now);

// The same for many chains at once, in a handful of statements: what a commit of many runs uses. A chain may come more than once; its
// entries follow each other in the order given. Everything is borrowed until the call returns.
struct AuditAppend {
  std::string_view chain;
  std::span<const AuditEntry> entries;
};
Result<void> append_audits(store::Tx& tx, std::span<const AuditAppend> appends, WallTime now);

struct AuditRow {
  std::int64_t seq = 0;    // from 1, without gaps
  AuditEntry entry;
  Digest previous{}, hash{};
};
// At most `limit` entries (and never more than 10,000), in order, behind `after_seq`.
Result<std::vector<AuditRow>> list_audit(store::Tx& tx, std::string_view chain, std::int64_t after_seq, std::size_t limit);
// Length zero: there is no such chain.
Result<ChainHead> audit_head(store::Tx& tx, std::string_view chain);
// The hash that an entry with these stored fields must have there.
Digest audit_hash(std::string_view chain, std::int64_t seq, const Digest& previous, const AuditEntry& entry);

// Retention: deletes the chains' entries and leaves a tombstone for each (its length, its head's hash, when, by whom and why) in the node's
// chain of administrative acts. Chains that do not exist are passed over; returns how many were retired. A name must not be used
// again afterwards. caller_invalid_request: a chain of administrative acts, which stays.
Result<std::size_t> retire_chains(store::Tx& tx, std::span<const std::string> chains, std::string_view node, std::string_view actor,
                                  std::string_view why, WallTime now);

}  // namespace ballast::records
