#include "app/wiring.hpp"

namespace ballast::app {

namespace {

bool same(const gateway::LimitRule& a, const gateway::LimitRule& b) {
  return a.scope == b.scope && a.match == b.match && a.requests == b.requests && a.tokens == b.tokens && a.concurrency == b.concurrency;
}
bool same(const gateway::BudgetRule& a, const gateway::BudgetRule& b) {
  return a.name == b.name && a.scope == b.scope && a.match == b.match && a.amount == b.amount && a.period == b.period && a.from == b.from && a.to == b.to;
}
template <class Rule>
bool same_rules(const std::vector<Rule>& a, const std::vector<Rule>& b) {
  return std::ranges::equal(a, b, [](const Rule& x, const Rule& y) { return same(x, y); });
}

// The longest that a call may be under way: its first byte is due by the route's deadline, its last by the target's own time, and an abandoned one is read on.
Duration longest_call(const Config& config) {
  Duration to_begin = config.direct.retries.deadline, to_end{};
  for (const auto& route : config.routes) to_begin = std::max(to_begin, route.retries.deadline);
  for (const auto& p : config.providers) to_end = std::max<Duration>(to_end, p.timeouts.total);
  return to_begin + to_end + config.read_on_disconnect;
}

Result<void> wire_limits(const Config& config, const Clock& clock, const Wired* previous, cluster::Quotas* quotas, Wired& made) {
  made.limit_rules = config.limits;
  if (previous && same_rules(previous->limit_rules, config.limits)) {
    made.setup.limits = previous->setup.limits;
    made.setup.queue = previous->setup.queue;
    return {};
  }
  gateway::Limits::Options options{.quotas = quotas};
  if (quotas) options.longest_call = longest_call(config);
  if (previous) options.newer_than = previous->setup.limits->version();
  auto limits = gateway::Limits::create(config.limits, clock, options);
  if (!limits) return fail(std::move(limits.error()));
  made.setup.limits = std::move(*limits);
  made.setup.queue = std::make_shared<gateway::FairQueue>(*made.setup.limits);
  return {};
}

Result<void> wire_budgets(const Config& config, const Clock& clock, const Wired* previous, cluster::Quotas* quotas, Wired& made) {
  made.budget_rules = config.budgets;
  if (previous && same_rules(previous->budget_rules, config.budgets)) {
    made.setup.budgets = previous->setup.budgets;
    return {};
  }
  // Over several nodes the windows go on, with their slices; else what they have charged is carried over.
  const gateway::BudgetBook* before = quotas && previous ? previous->setup.budgets.get() : nullptr;
  auto budgets = gateway::BudgetBook::create(config.budgets, clock, {.quotas = quotas}, before);
  if (!budgets) return fail(std::move(budgets.error()));
  made.setup.budgets = std::move(*budgets);
  return {};
}

Result<void> wire_provider(const ProviderConfig& config, net::Transport& network, const Clock& clock, const Wired* previous, Wired& made) {
  auto spec = provider_spec(config);
  if (!spec) return fail(std::move(spec.error()));
  auto pool = gateway::CredentialPool::create(config.name, config.keys, clock, {});
  if (!pool) return fail(std::move(pool.error()));
  if (previous)
    if (const auto old = previous->setup.providers.find(config.name); old != previous->setup.providers.end())
      (*pool)->adopt(*old->second.credentials);
  net::Transport* transport = &network;
  if (config.kind == "simulator") {
    made.simulators.push_back(std::make_unique<llm::Simulator>(config.sim, clock));
    made.transports.push_back(std::make_unique<llm::SimTransport>(*made.simulators.back()));
    transport = made.transports.back().get();
  } else if (config.kind == "gemini") {
    made.transports.push_back(std::make_unique<llm::GeminiTransport>(network));
    transport = made.transports.back().get();
  }
  made.setup.providers.emplace(config.name, gateway::ProviderAccess{std::move(*spec), std::move(*pool), transport});
  return {};
}

std::shared_ptr<const llm::PriceBook> wire_prices(const Config& config) {
  std::vector<llm::ModelOverride> overrides;
  for (const auto& p : config.providers)
    if (p.kind == "simulator")
      for (auto& o : llm::sim_prices(p.name, p.sim)) overrides.push_back(std::move(o));
  // What the file says of a model wins over what the simulator says of itself.
  for (const auto& m : config.models) {
    std::erase_if(overrides, [&](const llm::ModelOverride& o) { return o.provider == m.provider && o.model == m.model; });
    overrides.push_back(m);
  }
  std::vector<llm::Uplift> uplifts;
  for (const auto& p : config.providers)
    if (p.price_millionths != 1'000'000) uplifts.push_back({p.name, p.price_millionths});
  return llm::PriceBook::shipped()->with(overrides, uplifts);
}

Result<void> wire_routes(const Config& config, const llm::PriceBook& prices, Wired& made) {
  std::vector<gateway::ProviderModels> providers;
  for (const auto& p : config.providers) {
    gateway::ProviderModels models{.provider = p.name, .models = p.models, .open = p.kind != "simulator"};
    const auto add = [&](const std::string& name) {
      if (std::ranges::find(models.models, name) == models.models.end()) models.models.push_back(name);
    };
    for (const auto& m : config.models)
      if (m.provider == p.name) add(m.model);
    // The shipped table says what the vendors serve; a compatible server elsewhere is not the vendor.
    const auto& spec = made.setup.providers.at(p.name).spec;
    const bool vendor = p.base_url.empty() || net::to_string(spec.base) == llm::default_base_url(spec.kind);
    if (vendor && p.kind != "simulator" && p.kind != "azure")
      for (const auto& m : prices.models(p.kind)) add(m);
    providers.push_back(std::move(models));
  }
  made.setup.records_messages = config.direct.record || std::ranges::any_of(config.routes, [](const gateway::Route& r) { return r.record != nullptr; });
  auto routes = config.routes;
  if (auto ok = give_classifiers(made.classifiers, routes); !ok) return ok;
  auto table = gateway::RouteTable::create(std::move(routes), config.aliases, std::move(providers), config.direct);
  if (!table) return fail(std::move(table.error()));
  made.setup.routes = std::move(*table);
  return {};
}

}  // namespace

Result<llm::ProviderSpec> provider_spec(const ProviderConfig& config) {
  const auto kind = llm::provider_kind_from(config.kind);
  if (!kind) return fail(ErrorCode::caller_invalid_request, fmt::format("unknown kind \"{}\"", config.kind), "providers." + config.name);
  llm::ProviderSpec spec{.name = config.name, .kind = *kind};
  std::string base(config.base_url.empty() ? std::string(llm::default_base_url(*kind)) : config.base_url);
  while (base.ends_with('/')) base.pop_back();
  if (base.empty() && *kind == llm::ProviderKind::simulator) base = "http://simulator.invalid/v1";
  auto url = net::parse_url(base, "providers." + config.name + ".base_url");
  if (!url) return fail(std::move(url.error()));
  spec.base = std::move(*url);
  while (spec.base.target.ends_with('/')) spec.base.target.pop_back();
  llm::complete_base(spec);
  spec.api_version = config.api_version;
  spec.headers = config.headers;
  spec.quirks = config.quirks;
  spec.timeouts = config.timeouts;
  spec.models = config.models;
  return spec;
}

Result<WiredPtr> wire(const Config& config, net::Transport& network, const Clock& clock, const Wired* previous, cluster::Quotas* quotas) {
  auto made = std::make_shared<Wired>();
  for (const auto& provider : config.providers)
    if (auto ok = wire_provider(provider, network, clock, previous, *made); !ok) return fail(std::move(ok.error()));
  made->setup.prices = wire_prices(config);
  auto classifiers = make_classifiers(config, previous ? &previous->classifiers : nullptr);
  if (!classifiers) return fail(std::move(classifiers.error()));
  made->classifiers = std::move(*classifiers);
  for (const auto& [name, made_here] : made->classifiers) made->setup.classifiers.emplace(name, made_here.model);
  if (auto ok = wire_routes(config, *made->setup.prices, *made); !ok) return fail(std::move(ok.error()));
  if (auto ok = wire_limits(config, clock, previous, quotas, *made); !ok) return fail(std::move(ok.error()));
  if (auto ok = wire_budgets(config, clock, previous, quotas, *made); !ok) return fail(std::move(ok.error()));
  made->setup.ledger = config.ledger.strict ? gateway::LedgerMode::strict : gateway::LedgerMode::background;
  made->setup.require_key = config.require_key;
  made->setup.drain_on_disconnect = config.read_on_disconnect;
  made->setup.max_reply_bytes = config.http.reply;
  made->setup.access_log = config.log.access;
  return made;
}

std::vector<gateway::StoredKey> configured_keys(const Config& config) {
  std::vector<gateway::StoredKey> keys;
  if (!config.admin_key.empty()) keys.push_back(gateway::admin_key(config.admin_key));
  for (const auto& k : config.keys) {
    gateway::KeyInfo info{.name = k.name, .team = k.team, .user = k.user, .feature = k.feature};
    info.scopes.bits = 0;
    for (const auto& scope : k.scopes)
      if (const auto known = gateway::scope_from(scope)) info.scopes.add(*known);
    info.models = k.models;
    info.expires = k.expires;
    keys.push_back(gateway::configured_key(k.value, std::move(info)));
  }
  return keys;
}

void carry_budgets(const gateway::BudgetBook& from, gateway::BudgetBook& to, Carried& carried) {
  for (const auto& window : from.status()) {
    const std::int64_t charged = (window.spent + window.held).nano;
    std::int64_t& done = carried[window.window];
    if (charged <= done) continue;
    to.restore(window.window, Money{charged - done});
    done = charged;
  }
}

std::vector<std::string> spending_providers(const Config& config) {
  std::vector<std::string> names;
  for (const auto& p : config.providers)
    if (p.kind != "simulator" && !p.keys.empty()) names.push_back(p.name);
  return names;
}

}  // namespace ballast::app
