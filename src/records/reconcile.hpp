// Charges whose cost nobody has told: attempts that were cut before their provider said what they cost, and calls that a dying process
// left behind. They stay charged at their ceilings until a person who asked the provider reconciles them.
//
// The ledger is the only list: it outlives every process, and a reconciled attempt is no longer on it.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/money.hpp"
#include "base/result.hpp"
#include "records/ledger.hpp"

namespace ballast::records {

// Calls with at least one attempt of unknown cost, newest first; `before` as in `list_calls`. At most 1000.
Result<std::vector<CallRecord>> list_unreconciled(store::Tx& tx, const CallFilter& filter, std::size_t limit, std::optional<Id> before = {});

inline constexpr Money kMostReconciled{1'000'000'000'000'000};   // a million dollars, for one attempt

struct Reconciliation {
  Id call;
  std::optional<std::uint32_t> attempt;  // by its number; none: the only one of unknown cost
  Money incurred;                        // what the provider charged: 0 to kMostReconciled; may be above the ceiling
  std::string actor;                     // who says so
  WallTime at{};
};
struct Reconciled {
  AttemptRecord attempt;                 // as it is now: `ceiling_nano` is what it was charged before, `windows` where
  bool already = false;                  // it was before this, at the same sum: nothing changed
  std::vector<BudgetCharge> changes;     // what was added to each window's spent money
};
// Corrects the attempt, the call's sums, what the call is charged in each window, the window's spent money, and notes it among the call's
// decisions: all in this transaction, once. Errors: caller_not_found (no such call or attempt), caller_invalid_request (`attempt` must be
// named, `incurred` is out of range), caller_conflict (its cost is known, or it was reconciled at another sum).
Result<Reconciled> reconcile(store::Tx& tx, const Reconciliation& by);

}  // namespace ballast::records
