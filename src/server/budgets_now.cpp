#include "server/budgets_now.hpp"

#include "cluster/membership.hpp"
#include "gateway/shared_books.hpp"

namespace ballast::server {

Task<std::vector<gateway::BudgetStatus>> budgets_now(net::Exchange& exchange, const Parts& parts) {
  const auto setup = parts.gateway.setup();
  if (!parts.members || parts.members->alone() || setup->budgets->none()) co_return setup->budgets->status();
  const auto whole = co_await parts.database.read(
      exchange.loop(), [&](store::Tx& tx) { return gateway::whole_windows(tx, parts.members->boot(), setup->budgets->oldest_start()); }, {.limit = std::chrono::milliseconds(2'000)});
  co_return whole ? setup->budgets->status(*whole) : setup->budgets->status();
}

}  // namespace ballast::server
