#include "gateway/routes.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace ballast::gateway {

namespace {

constexpr std::array<std::string_view, 7> kStrategies{"ordered", "weighted", "least_latency", "cheapest", "complexity", "context", "intent"};
constexpr std::array<std::string_view, 3> kComplexities{"simple", "medium", "hard"};
constexpr std::array<std::string_view, 3> kModes{"restart", "continue", "error"};
constexpr std::size_t kMaxTargets = 64;

template <class E, std::size_t N>
std::optional<E> value_of(const std::array<std::string_view, N>& names, std::string_view name) {
  const auto it = std::ranges::find(names, name);
  return it == names.end() ? std::nullopt : std::optional(static_cast<E>(it - names.begin()));
}

Target target_of(std::string_view provider, std::string_view model) {
  return {.provider = std::string(provider), .model = std::string(model), .name = fmt::format("{}/{}", provider, model)};
}

}  // namespace

std::string_view to_string(Strategy s) { return kStrategies[static_cast<std::size_t>(s)]; }
std::string_view to_string(Complexity c) { return kComplexities[static_cast<std::size_t>(c)]; }
std::string_view to_string(RescueMode m) { return kModes[static_cast<std::size_t>(m)]; }
std::optional<Strategy> strategy_from(std::string_view name) { return value_of<Strategy>(kStrategies, name); }
std::optional<Complexity> complexity_from(std::string_view name) { return value_of<Complexity>(kComplexities, name); }
std::optional<RescueMode> rescue_mode_from(std::string_view name) { return value_of<RescueMode>(kModes, name); }

Result<Target> target_from(std::string_view text, std::string_view field) {
  const auto slash = text.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == text.size())
    return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not a target: write provider/model", text), std::string(field));
  return target_of(text.substr(0, slash), text.substr(slash + 1));
}

Result<void> RouteTable::check_provider(const Target& target, const std::vector<std::string>& known, std::string field) const {
  if (providers_.contains(target.provider)) return {};
  const auto near = nearest_name(target.provider, known);
  return fail(ErrorCode::caller_invalid_request,
              fmt::format("no provider \"{}\" is configured{}", target.provider, near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)), std::move(field));
}

Result<std::shared_ptr<const RouteTable>> RouteTable::create(std::vector<Route> routes, std::map<std::string, std::string> aliases,
                                                             std::vector<ProviderModels> providers, Route direct) {
  std::shared_ptr<RouteTable> table(new RouteTable);
  table->direct_ = std::move(direct);
  table->direct_.direct = true;
  std::vector<std::string> provider_names;
  for (const auto& p : providers) {
    table->providers_[p.provider] = p.open;
    provider_names.push_back(p.provider);
    for (const auto& model : p.models) {
      auto route = table->direct_to(p.provider, model);
      if (table->known_.emplace(route->name, route).second) table->bare_[model].push_back(p.provider);
    }
  }
  for (auto& route : routes) {
    const auto field = fmt::format("routes.{}", route.name);
    if (route.name.empty()) return fail(ErrorCode::caller_invalid_request, "a route needs a name", "routes");
    if (route.targets.empty() || route.targets.size() > kMaxTargets)
      return fail(ErrorCode::caller_invalid_request, fmt::format("needs 1 to {} targets", kMaxTargets), field + ".targets");
    for (const auto& target : route.targets)
      if (auto known = table->check_provider(target, provider_names, field + ".targets"); !known) return fail(std::move(known.error()));
    if (route.ask)
      if (auto known = table->check_provider(route.ask->target, provider_names, field + ".ask.model"); !known) return fail(std::move(known.error()));
    const auto name = route.name;
    if (!table->routes_.emplace(name, std::make_shared<const Route>(std::move(route))).second)
      return fail(ErrorCode::caller_invalid_request, "two routes have this name", field);
  }
  table->aliases_.insert(aliases.begin(), aliases.end());
  for (const auto& [alias, leads_to] : table->aliases_) {
    const auto field = fmt::format("aliases.{}", alias);
    if (table->routes_.contains(alias)) return fail(ErrorCode::caller_invalid_request, "is the name of a route", field);
    if (table->aliases_.contains(leads_to)) return fail(ErrorCode::caller_invalid_request, "leads to another alias", field);
    if (auto found = table->resolve(leads_to); !found) return fail(ErrorCode::caller_invalid_request, found.error().message, field);
  }
  return table;
}

RoutePtr RouteTable::direct_to(std::string_view provider, std::string_view model) const {
  auto route = std::make_shared<Route>(direct_);
  route->targets = {target_of(provider, model)};
  route->name = route->targets.front().name;
  return route;
}

Result<RoutePtr> RouteTable::resolve(std::string_view model) const {
  if (model.empty()) return fail(ErrorCode::caller_invalid_request, "name a model", "model");
  if (model.size() > 256) return fail(ErrorCode::caller_invalid_request, "a model's name has at most 256 bytes", "model");
  if (const auto it = routes_.find(model); it != routes_.end()) return it->second;
  if (const auto it = aliases_.find(model); it != aliases_.end()) return resolve(it->second);
  if (const auto it = known_.find(model); it != known_.end()) return it->second;
  if (const auto slash = model.find('/'); slash != std::string_view::npos && slash + 1 < model.size())
    if (const auto p = providers_.find(model.substr(0, slash)); p != providers_.end() && p->second)
      return direct_to(p->first, model.substr(slash + 1));
  if (const auto it = bare_.find(model); it != bare_.end()) {
    if (it->second.size() == 1) return known_.find(fmt::format("{}/{}", it->second.front(), model))->second;
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("several providers serve \"{}\": say which, as one of {}/{}", model, fmt::join(it->second, fmt::format("/{}, ", model)), model),
                "model");
  }
  return std::unexpected(unknown(model));
}

// caller_not_found with the few nearest names; all of them if there are few.
Error RouteTable::unknown(std::string_view model) const {
  std::vector<std::string> all;
  for (const auto& n : names()) all.push_back(n.name);
  for (const auto& [bare, providers] : bare_)
    if (providers.size() == 1) all.push_back(bare);
  std::vector<std::string> near;
  std::vector<std::string> rest = all;
  while (near.size() < 3) {
    const std::string best(nearest_name(model, rest));
    if (best.empty()) break;
    near.push_back(best);
    std::erase(rest, best);
  }
  Error e{.code = ErrorCode::caller_not_found, .message = fmt::format("no model \"{}\"", model), .field = "model"};
  if (!near.empty()) e.message += fmt::format("; did you mean \"{}\"?", fmt::join(near, "\" or \""));
  else if (!all.empty() && all.size() <= 12) e.message += fmt::format("; there are {}", fmt::join(all, ", "));
  else e.message += "; GET /v1/models lists what there is";
  return e;
}

std::vector<RouteTable::Name> RouteTable::names() const {
  std::vector<Name> out;
  for (const auto& [name, route] : routes_) out.push_back({name, "route", {}});
  for (const auto& [name, leads_to] : aliases_) out.push_back({name, "alias", leads_to});
  for (const auto& [name, route] : known_)
    if (!routes_.contains(name) && !aliases_.contains(name)) out.push_back({name, "model", {}});
  return out;
}

}  // namespace ballast::gateway
