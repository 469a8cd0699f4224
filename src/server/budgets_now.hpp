// Budgets as they stand over all nodes.
#pragma once
#include <vector>

#include "gateway/budgets.hpp"
#include "server/reply.hpp"

namespace ballast::server {

// Every current window: what all nodes have spent and hold, by one read of the database. As this node knows it, where it is the only one or the
// database cannot say.
Task<std::vector<gateway::BudgetStatus>> budgets_now(net::Exchange& exchange, const Parts& parts);

}  // namespace ballast::server
