// A budget's window as the API tells it.
#pragma once
#include "base/json.hpp"
#include "gateway/budgets.hpp"

namespace ballast::server {

inline json::object budget_json(const gateway::BudgetStatus& b) {
  return {{"window", b.window}, {"budget", b.budget}, {"scope", gateway::to_string(b.scope)}, {"value", b.value}, {"limit_usd", to_usd(b.limit)}, {"spent_usd", to_usd(b.spent)},
          {"held_usd", to_usd(b.held)}, {"remaining_usd", to_usd(b.remaining)}, {"window_end", to_rfc3339(b.window_end)}};
}

}  // namespace ballast::server
