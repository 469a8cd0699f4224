// The two books of budgets over several nodes: the ledger's sums (records/budgets) and the quotas' slices (cluster/quota_rows). Neither room knows the
// other; here is what keeps them together. All of it is nothing where one file has one node.
//
// Σ of what a quota's slices have spent is what the ledger says of its window, at every commit.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "gateway/budgets.hpp"
#include "records/reconcile.hpp"
#include "store/database.hpp"

namespace ballast::gateway {

// A window's quota: the budget's name in clear and the window's as a digest, so that nobody's name stands in the quotas.
std::string money_quota(std::string_view window);

// By what name a process holds slices whose journal has this epoch: its boot (cluster/membership.hpp).
std::string holder_of(Id epoch);

// For the journal (JournalOptions::charged): in the transaction that adds an epoch's calls.
Result<void> note_charges(store::Tx& tx, Id epoch, std::span<const records::BudgetCharge> charges);
// Of charges that no slice has: calls that were set aside, and whoever made them.
Result<void> note_nobodys(store::Tx& tx, std::span<const records::BudgetCharge> charges);
// As records::reconcile. No living node's slice has the difference.
Result<records::Reconciled> reconcile_charge(store::Tx& tx, const records::Reconciliation& by);
// For the quotas (QuotasOptions::spent_before), which are about windows: what the ledger has of these.
Result<std::vector<std::int64_t>> spent_before(store::Tx& tx, std::span<const std::string_view> windows);

// For BudgetBook::status: the windows that have not ended, of which 100,000 at most, and of which the ledger has heard; `since`: none began before
// (BudgetBook::oldest_start). `holder`: this process.
Result<BudgetBook::WholeWindows> whole_windows(store::Tx& tx, std::string_view holder, WallTime since);

}  // namespace ballast::gateway
