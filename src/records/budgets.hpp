// What each budget window has spent, as stored. The importer adds to it in the transaction that adds the calls, so it is exact
// for everything imported, however often the process died; gateway::BudgetBook holds the present in memory.
//
// A window is named "budget|value|start in unix seconds". Amounts are nano-dollars.
// Repositories take a Tx and never begin one.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "records/call_record.hpp"
#include "store/database.hpp"

namespace ballast::records {

// One charge for each window, by name.
std::vector<BudgetCharge> sum_by_window(std::span<const BudgetCharge> charges);

// Adds each charge to its window (amounts may be negative: corrections). One statement per distinct window.
Result<void> add_spend(store::Tx& tx, std::span<const BudgetCharge> charges);
// As `add_spend` for windows that are there, those alone, and never below zero: what they were charged turned out to be another sum.
Result<void> correct_spend(store::Tx& tx, std::span<const BudgetCharge> changes);
// Every window that starts at or after `since`, by name. At start: since = the oldest start any rule's current window may have.
Result<std::vector<BudgetCharge>> load_spend(store::Tx& tx, WallTime since, std::size_t limit = 1'000'000);
// What each of these has spent, in order; as it stays until the transaction ends: whoever adds to one waits. In order of name, as `add_spend`.
Result<std::vector<std::int64_t>> lock_spend(store::Tx& tx, std::span<const std::string_view> windows);
Result<std::int64_t> spend_of(store::Tx& tx, std::string_view window);  // 0 if unknown
Result<std::uint64_t> delete_spend(store::Tx& tx, WallTime started_before, std::size_t limit);

}  // namespace ballast::records
