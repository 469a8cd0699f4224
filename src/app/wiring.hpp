// Wiring: from the configuration's values to the things the call road is made of. A reload builds a second set beside the
// first and hands what must not be lost from one to the other: money spent and held, limits that did not change, cool-downs.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/classifiers.hpp"
#include "app/config.hpp"
#include "cluster/quota.hpp"
#include "gateway/keys.hpp"
#include "gateway/setup.hpp"
#include "llm/embeddings.hpp"
#include "llm/simulator/simulator.hpp"
#include "net/transport.hpp"

namespace ballast::app {

// A Setup and the simulators it calls, in one lifetime.
struct Wired {
  gateway::Setup setup;
  std::vector<std::unique_ptr<llm::Simulator>> simulators;
  std::vector<std::unique_ptr<net::Transport>> transports;   // simulators, and what translates on the way
  Classifiers classifiers;
  std::vector<gateway::LimitRule> limit_rules;
  std::vector<gateway::BudgetRule> budget_rules;
};
using WiredPtr = std::shared_ptr<const Wired>;

// `network` and `clock` outlive the result. `previous`, if any, gives over its limits and budgets where their rules are the
// same, its credentials' cool-downs, and the classifiers that are made of the same. `quotas`: where limits and budgets hold over several nodes; null: this is
// the only one. Outlives the result. Errors are the configuration's.
Result<WiredPtr> wire(const Config& config, net::Transport& network, const Clock& clock, const Wired* previous, cluster::Quotas* quotas = nullptr);

inline gateway::SetupPtr setup_of(const WiredPtr& wired) { return {wired, &wired->setup}; }

// The configured keys, the admin key among them.
std::vector<gateway::StoredKey> configured_keys(const Config& config);

// Brings what `from`'s budgets have charged into `to`'s, which shares no windows with it, each window once: `carried` remembers how much already went over.
// Called before, at and after the swap, until `from` serves nobody any more.
using Carried = std::map<std::string, std::int64_t>;
void carry_budgets(const gateway::BudgetBook& from, gateway::BudgetBook& to, Carried& carried);

// The llm half of a configured provider.
Result<llm::ProviderSpec> provider_spec(const ProviderConfig& config);
// Names the providers whose calls cost money.
std::vector<std::string> spending_providers(const Config& config);

}  // namespace ballast::app
