#include "watch/rule.hpp"

#include <array>

namespace ballast::watch {

namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, kKinds> kKindNames = {
    "cost_spike", "token_anomaly", "traffic_rise", "silence", "error_burst", "error_budget", "latency_rise", "latency_budget",
    "cache_collapse", "budget", "budget_forecast", "dead_letters", "breaker_open", "queue_age", "price_missing", "journal", "lost_commits"};
constexpr std::array<std::string_view, kKinds> kUnits = {"usd",   "tokens", "calls",  "seconds", "share",   "share",   "share",  "share",
                                                         "share", "share",  "share",  "calls",   "seconds", "seconds", "models", "seconds", "calls"};
constexpr std::array<std::string_view, 3> kSeverities = {"info", "ticket", "page"};

template <class E, std::size_t N>
std::optional<E> find(const std::array<std::string_view, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name) return static_cast<E>(i);
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Kind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }
std::optional<Kind> kind_from(std::string_view name) { return find<Kind>(kKindNames, name); }
std::string_view to_string(Severity severity) { return kSeverities[static_cast<std::size_t>(severity)]; }
std::optional<Severity> severity_from(std::string_view name) { return find<Severity>(kSeverities, name); }
std::string_view unit_of(Kind kind) { return kUnits[static_cast<std::size_t>(kind)]; }

std::vector<Rule> default_rules() {
  const std::vector<Burn> fast = {{14.4, 1h, 5min}, {6, 6h, 30min}};
  const std::vector<Burn> slow = {{3, 24h, 2h}, {1, 72h, 6h}};
  return {
      {.name = "cost_spike", .kind = Kind::cost_spike, .severity = Severity::page, .by = {"all"}, .factor = 6, .floor = 5},
      {.name = "token_anomaly", .kind = Kind::token_anomaly, .severity = Severity::ticket, .by = {"all", "model"}, .factor = 5, .floor = 50'000, .least = 10},
      {.name = "traffic_rise", .kind = Kind::traffic_rise, .severity = Severity::ticket, .by = {"all"}, .factor = 8, .floor = 300},
      {.name = "silence", .kind = Kind::silence, .severity = Severity::ticket, .by = {"all"}, .age = 15min, .least = 60},
      {.name = "error_burst", .kind = Kind::error_burst, .severity = Severity::page, .by = {"all", "provider", "model", "route"}, .factor = 5, .threshold = 0.25, .least = 5},
      {.name = "errors_fast", .kind = Kind::error_budget, .severity = Severity::page, .by = {"all", "route"}, .least = 10, .objective = 0.99, .burns = fast},
      {.name = "errors_slow", .kind = Kind::error_budget, .severity = Severity::ticket, .by = {"all", "route"}, .least = 10, .objective = 0.99, .burns = slow},
      {.name = "latency_rise", .kind = Kind::latency_rise, .severity = Severity::ticket, .by = {"all", "provider", "model"}, .factor = 1.6, .threshold = 0.35, .least = 12},
      {.name = "latency_fast", .kind = Kind::latency_budget, .severity = Severity::page, .by = {"all", "route"}, .least = 10, .objective = 0.95, .bound = 2min, .burns = fast},
      {.name = "latency_slow", .kind = Kind::latency_budget, .severity = Severity::ticket, .by = {"all", "route"}, .least = 10, .objective = 0.95, .bound = 2min, .burns = slow},
      {.name = "cache_collapse", .kind = Kind::cache_collapse, .severity = Severity::ticket, .by = {"all"}, .factor = 0.3, .threshold = 0.1, .least = 30},
      {.name = "budget_half", .kind = Kind::budget, .severity = Severity::info, .threshold = 0.5},
      {.name = "budget_most", .kind = Kind::budget, .severity = Severity::ticket, .threshold = 0.8},
      {.name = "budget_spent", .kind = Kind::budget, .severity = Severity::page, .threshold = 1.0},
      {.name = "budget_forecast", .kind = Kind::budget_forecast, .severity = Severity::ticket, .hold = 5min, .threshold = 1.0},
      {.name = "dead_letters", .kind = Kind::dead_letters, .severity = Severity::ticket, .threshold = 10, .age = 1h},
      {.name = "breaker_open", .kind = Kind::breaker_open, .severity = Severity::ticket, .age = 30s},
      {.name = "queue_age", .kind = Kind::queue_age, .severity = Severity::ticket, .hold = 30s, .age = 10min},
      {.name = "price_missing", .kind = Kind::price_missing, .severity = Severity::ticket},
      {.name = "journal", .kind = Kind::journal, .severity = Severity::page, .age = 1min},
      {.name = "lost_commits", .kind = Kind::lost_commits, .severity = Severity::page, .age = 24h},
  };
}

}  // namespace ballast::watch
