// The rows of approvals. Repositories take a `Tx&`, never begin one. What happens to an approval is an entry of its run's audit chain, written in
// the same transaction: who, what, and the digest of exactly what was shown (or what it was edited to).
//
// The first decision wins: each is one guarded statement on a row that is pending, not expired and of a run that is live. A decision is used
// once: `take_decision` marks it in the transaction that records the stage, after looking at everything it is bound to.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/database.hpp"
#include "work/approval.hpp"

namespace ballast::work {

// Asks, in the transaction that records that the stage waits. A pending question of the same stage is withdrawn. Errors: caller_too_large
// (more to look at than kMaxShown), caller_invalid_request (an assignee that is none, an expiry that is past).
Result<ApprovalId> request_approval(store::Tx& tx, const ApprovalAsk& ask, WallTime now);

// What somebody decides. `seen`: the digest of what they looked at.
struct Decision {
  ApprovalId id;
  enum class Choice : std::uint8_t { approve, edit, reject } choice = Choice::approve;
  Digest seen{};
  std::optional<json::value> value;          // edit
  std::string note;
  Decider by;
};
// The approval as it is now decided. Errors: caller_not_found (none, or none for them), caller_forbidden (may_decide), caller_invalid_request (an edit
// that is not allowed), caller_too_large, caller_conflict (what was seen is not what is asked; decided already; expired; its run has ended).
Result<Approval> decide_approval(store::Tx& tx, const Decision& decision, WallTime now);

// ---- the run ----
// Decided or expired ones that the run has not gone on with, in the order they were asked.
Result<std::vector<Approval>> decisions_of(store::Tx& tx, JobId job);
// Uses a decision, once, in the transaction that records what the stage came to. caller_conflict: it is not decided, was withdrawn or used already, or is bound
// to something else than `now_bound`, named in the message.
Result<Approval> take_decision(store::Tx& tx, ApprovalId id, const Binding& now_bound, WallTime now);
// Nobody need answer any more: the run ends. Returns how many were pending.
Result<std::size_t> withdraw_approvals(store::Tx& tx, JobId job, std::string_view why, WallTime now);

// ---- time ----
// Pending ones whose time is over become expired, at most `limit` of them; returned without what was shown. Their runs are to be woken.
Result<std::vector<Approval>> expire_due(store::Tx& tx, WallTime now, std::size_t limit);
// Those that nobody answered in time are asked of one more. Returned as they are now, without what was shown.
Result<std::vector<Approval>> escalate_due(store::Tx& tx, WallTime now, std::size_t limit);
// Pending ones of runs that are not live are withdrawn.
Result<std::size_t> withdraw_orphans(store::Tx& tx, WallTime now, std::size_t limit);
// Live runs with a decision from before `before` that they have not gone on with: to be woken again.
Result<std::vector<JobId>> undelivered(store::Tx& tx, WallTime before, std::size_t limit);

// ---- reading ----
Result<std::optional<Approval>> get_approval(store::Tx& tx, ApprovalId id);
struct ApprovalFilter {
  std::optional<ApprovalState> state = ApprovalState::pending;
  std::optional<JobId> job;
  std::string assignee;                      // exactly so among the assignees; empty: any
  std::optional<Decider> seen_by;            // those that may look
  ApprovalId before;                         // the last of the page before; newest runs first
  std::size_t limit = 100;
};
struct ApprovalPage {
  std::vector<Approval> approvals;           // without what was shown
  ApprovalId next;                           // to go on with; zero: the end was reached
};
// Looks at 20,000 rows at most: a page may be short, or empty, and still have a `next`.
Result<ApprovalPage> list_approvals(store::Tx& tx, const ApprovalFilter& filter);

// An entry on the run's chain about this approval, by `actor`: what the other functions write, for acts that change no row (a link's making).
Result<void> tell_of_approval(store::Tx& tx, const Approval& approval, std::string_view actor, std::string_view action, json::object outcome, WallTime now);

}  // namespace ballast::work
