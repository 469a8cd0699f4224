#include "app/readiness_facts.hpp"

#include <algorithm>
#include <set>

namespace ballast::app {

namespace {

bool in_a_temporary_place(std::string_view path) {
  constexpr std::string_view places[] = {"/tmp/", "/var/tmp/", "/dev/shm/", "/run/"};
  return path.find(":memory:") != std::string_view::npos || std::ranges::any_of(places, [&](std::string_view place) { return path.starts_with(place); });
}

bool is_loopback(std::string_view host) { return host.starts_with("127.") || host == "::1" || host == "localhost"; }

void count_stages(const work::Stages& stages, server::ConfiguredFacts& out) {
  for (const auto& stage : stages) {
    out.approvals += stage.kind() == work::StageKind::approve;
    out.settles += stage.kind() == work::StageKind::settle;
    if (const auto* map = stage.as<work::MapStage>()) count_stages(map->stages, out);
  }
}

void look_at_routes(const Config& config, const Wired& wired, server::ConfiguredFacts& out) {
  const auto spending = spending_providers(config);
  std::set<std::string> unpriced;
  for (const auto& route : config.routes) {
    std::set<std::string_view> providers;
    for (const auto& t : route.targets) {
      providers.insert(t.provider);
      if (std::ranges::find(spending, t.provider) == spending.end()) continue;
      const auto p = std::ranges::find(config.providers, t.provider, &ProviderConfig::name);
      const auto info = wired.setup.prices->find(t.provider, p == config.providers.end() ? "" : p->kind, t.model);
      if (!info || !info->priced) unpriced.insert(t.name);
    }
    const bool degrades = route.degrade.stale > Duration::zero() || route.degrade.answer.has_value();
    out.degrading += degrades;
    out.structured += route.structured.demand != nullptr;
    if (providers.size() < 2 && !degrades) out.alone.push_back(route.name);
    if (route.retries.attempts < 2) out.untried.push_back(route.name);
  }
  out.routes = config.routes.size();
  out.unpriced.assign(unpriced.begin(), unpriced.end());
}

}  // namespace

server::ConfiguredFacts configured_facts(const Config& config, const Wired& wired, std::span<const work::FlowPtr> flows) {
  server::ConfiguredFacts out;
  look_at_routes(config, wired, out);
  std::set<std::string_view> wires;
  for (const auto& p : config.providers) {
    if (p.kind != "simulator") out.real.push_back(p.name);
    wires.insert(p.kind);
  }
  out.providers = config.providers.size();
  out.wires = wires.size();
  out.limits = config.limits.size();
  out.budgets = config.budgets.size();
  out.receivers = config.alerts.receivers.size();
  out.classifiers = config.classifiers.size();
  out.flows = flows.size();
  for (const auto& flow : flows) count_stages(flow->stages(), out);
  out.telemetry = !config.telemetry.otlp.empty();
  out.require_key = config.require_key;
  out.tls = !config.tls_cert.empty();
  out.loopback = is_loopback(config.listen.host);
  out.sqlite = config.database.starts_with("sqlite:");
  out.temporary = in_a_temporary_place(config.data_dir) || (out.sqlite && in_a_temporary_place(std::string_view(config.database).substr(7)));
  out.retention = config.ledger.retention;
  for (const auto& k : config.keys)
    if (!k.expires && std::ranges::find(k.scopes, "call") != k.scopes.end()) out.keys_without_end.push_back(k.name);
  return out;
}

}  // namespace ballast::app
