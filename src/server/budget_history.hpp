// What the calls that a budget counts have cost, hour by hour: what its forecast goes by (forecast.hpp).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "gateway/budgets.hpp"
#include "store/database.hpp"

namespace ballast::server {

// Of each budget, in their order: nano-dollars of the clock hours (UTC) of nine days, oldest first; the last is the hour that `now` is in, as far as
// it has gone. Empty where there is no telling whose calls a budget counts (scope request), or where that cannot be read. The budgets of one scope
// are read together, in about the time of one; those of a provider's model one by one. 1,000 of a scope at most.
std::vector<std::vector<std::int64_t>> budget_histories(store::Tx& tx, std::span<const gateway::BudgetStatus> budgets, WallTime now);
// For a budget without one: what its window has spent, evenly in the hours since the window's start, of which the last 24 are told.
std::vector<std::int64_t> even_history(const gateway::BudgetStatus& budget, WallTime now);

}  // namespace ballast::server
