#include "app/top_figures.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "app/table.hpp"
#include "base/config_node.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostListed = 1'000;
constexpr double kMostCounted = 1e18;

const json::value* member(const json::value& document, std::string_view name) {
  const auto* o = document.if_object();
  return o ? o->if_contains(name) : nullptr;
}

std::string text(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v ? plain(*v) : std::string();
}

std::optional<double> figure_in(const json::value* v) {
  double value = 0;
  if (v && v->is_number()) return v->to_number<double>();
  if (!v || !v->is_string()) return std::nullopt;
  const auto& digits = v->get_string();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && std::isfinite(value) ? std::optional(value) : std::nullopt;
}
double figure(const json::object& o, std::string_view name) { return figure_in(o.if_contains(name)).value_or(0); }
std::uint64_t count(const json::object& o, std::string_view name) { return static_cast<std::uint64_t>(std::clamp(figure(o, name), 0.0, kMostCounted)); }

// The dollars as they are told: digits, and nothing else.
std::string dollars(const json::object& o, std::string_view name) {
  const std::string told = text(o, name);
  return figure_in(o.if_contains(name)) && told.find_first_not_of("-.0123456789") == std::string::npos ? told : "0";
}

template <class Add>
void each(const json::value* document, Add add) {
  const auto* list = document ? document->if_array() : nullptr;
  for (std::size_t i = 0; list && i < list->size() && i < kMostListed; ++i)
    if (const auto* o = (*list)[i].if_object()) add(*o);
}

std::optional<Percentiles> percentiles_in(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  const auto* p = v ? v->if_object() : nullptr;
  if (!p) return std::nullopt;
  return Percentiles{figure(*p, "p50"), figure(*p, "p95"), figure(*p, "p99")};
}

TopFigures::Sum sum_in(const json::value* document) {
  TopFigures::Sum out;
  const auto* o = document ? document->if_object() : nullptr;
  if (!o) return out;
  out.calls = count(*o, "calls");
  out.failed = count(*o, "failed");
  out.cache_hits = count(*o, "cache_hits");
  for (const auto* kind : {"input", "cached", "cache_write", "output", "reasoning"}) out.tokens += count(*o, kind);
  out.incurred = dollars(*o, "incurred_usd");
  out.saved = dollars(*o, "saved_usd");
  out.routing_saved = dollars(*o, "routing_saved_usd");
  out.latency_ms = percentiles_in(*o, "latency_ms");
  out.first_token_ms = percentiles_in(*o, "first_token_ms");
  return out;
}

Duration range_of(const json::value& overview) {
  const auto* from = member(overview, "from");
  const auto* to = member(overview, "to");
  if (!from || !to || !from->is_string() || !to->is_string()) return {};
  const auto first = parse_time(std::string_view(from->get_string()), "from"), last = parse_time(std::string_view(to->get_string()), "to");
  return first && last && *last > *first ? Duration(*last - *first) : Duration{};
}

void add_calls(const json::value& overview, TopFigures& f) {
  f.total = sum_in(member(overview, "total"));
  if (const auto* before = member(overview, "before"); before && before->is_object()) f.before = sum_in(before);
  each(member(overview, "buckets"), [&](const json::object& o) { f.chart.push_back(count(o, "calls")); });
  each(member(overview, "errors"), [&](const json::object& o) { f.errors.emplace_back(text(o, "error"), count(o, "calls")); });
  each(member(overview, "models"), [&](const json::object& o) { f.models.emplace_back(text(o, "name"), sum_in(o.if_contains("total"))); });
}

void add_state(const Reading& now, TopFigures& f) {
  if (const auto* o = now.overview.if_object()) {
    f.in_flight = count(*o, "in_flight");
    f.dead = count(*o, "dead");
    f.approvals = count(*o, "approvals");
  }
  each(member(now.overview, "budgets"), [&](const json::object& o) {
    const double limit = figure(o, "limit_usd");
    f.budgets.push_back({text(o, "budget"), text(o, "value"), dollars(o, "spent_usd"), dollars(o, "limit_usd"),
                         limit > 0 ? (figure(o, "spent_usd") + figure(o, "held_usd")) / limit : 0});
  });
  std::ranges::sort(f.budgets, [](const auto& a, const auto& b) { return std::tie(b.share, a.name, a.value) < std::tie(a.share, b.name, b.value); });
  if (const auto* states = member(now.overview, "breakers"); states && states->is_object()) {
    f.open = count(states->get_object(), "open");
    f.half_open = count(states->get_object(), "half_open");
    f.closed = count(states->get_object(), "closed");
  }
  each(member(now.breakers, "breakers"), [&](const json::object& o) {
    if (const std::string state = text(o, "state"); state != "closed")
      f.breakers.push_back({text(o, "provider") + "/" + text(o, "model"), state, text(o, "last_error"), figure(o, "retry_in_s")});
  });
  each(member(now.overview, "queues"), [&](const json::object& o) {
    const auto* paused = o.if_contains("paused");
    f.queues.push_back({text(o, "name"), count(o, "ready"), count(o, "running"), count(o, "waiting"), count(o, "delayed"), figure(o, "oldest_ready_seconds"),
                        paused && paused->is_bool() && paused->get_bool()});
  });
  each(member(now.overview, "alerts"), [&](const json::object& o) { f.alerts.push_back({text(o, "severity"), text(o, "title")}); });
}

}  // namespace

TopFigures figures_of(const Reading& reading) {
  TopFigures f;
  f.at = reading.at;
  f.range = range_of(reading.overview);
  if (const auto* o = reading.live.if_object())
    f.live = TopFigures::Live{figure(*o, "calls_per_second"), figure(*o, "failed_per_second"), figure(*o, "usd_per_minute"), figure(*o, "tokens_per_second"),
                              figure_in(o->if_contains("latency_ms_p95")), figure_in(o->if_contains("first_token_ms_p95"))};
  add_calls(reading.overview, f);
  add_state(reading, f);
  return f;
}

json::object figures_json(const Reading& reading) {
  const auto* breakers = member(reading.breakers, "breakers");
  return {{"at", to_rfc3339(reading.at)}, {"live", reading.live}, {"breakers", breakers ? *breakers : json::value(json::array{})}, {"overview", reading.overview}};
}

}  // namespace ballast::app
