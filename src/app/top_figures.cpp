#include "app/top_figures.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>

#include "app/table.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostSamples = 200'000, kMostListed = 1'000;

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

// The end of `{…}`, past what is quoted.
std::size_t labels_end(std::string_view line, std::size_t open) {
  bool quoted = false;
  for (std::size_t i = open; i < line.size(); ++i) {
    if (line[i] == '\\' && quoted) ++i;
    else if (line[i] == '"') quoted = !quoted;
    else if (line[i] == '}' && !quoted) return i;
  }
  return std::string_view::npos;
}

// {labels without le, le}
std::pair<std::string, std::optional<double>> without_bound(const std::string& labels) {
  const auto at = labels.find("le=\"");
  if (at == std::string::npos) return {labels, std::nullopt};
  const auto end = labels.find('"', at + 4);
  if (end == std::string::npos) return {labels, std::nullopt};
  const std::string bound = labels.substr(at + 4, end - at - 4);
  return {labels.substr(0, at) + labels.substr(end + 1), bound == "+Inf" ? std::optional(std::numeric_limits<double>::infinity()) : number(bound)};
}

const json::array* list_in(const json::value& document, std::string_view name) {
  const auto* o = document.if_object();
  const auto* list = o ? o->if_contains(name) : nullptr;
  return list ? list->if_array() : nullptr;
}

std::string text(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  return v ? plain(*v) : std::string();
}
double figure(const json::object& o, std::string_view name) {
  const auto* v = o.if_contains(name);
  if (v && v->is_number()) return v->to_number<double>();
  return v && v->is_string() ? number(std::string_view(v->get_string())).value_or(0) : 0;
}
std::uint64_t count(const json::object& o, std::string_view name) { return static_cast<std::uint64_t>(std::max(0.0, figure(o, name))); }

template <class Add>
void each(const json::value& document, std::string_view name, Add add) {
  const auto* list = list_in(document, name);
  if (!list) return;
  for (std::size_t i = 0; i < list->size() && i < kMostListed; ++i)
    if (const auto* o = (*list)[i].if_object()) add(*o);
}

void add_state(const Reading& now, TopFigures& f) {
  each(now.budgets, "budgets", [&](const json::object& o) {
    const double limit = figure(o, "limit_usd");
    f.budgets.push_back({text(o, "budget"), text(o, "value"), text(o, "spent_usd"), text(o, "limit_usd"), limit > 0 ? (figure(o, "spent_usd") + figure(o, "held_usd")) / limit : 0});
  });
  std::ranges::sort(f.budgets, [](const auto& a, const auto& b) { return std::tie(b.share, a.name, a.value) < std::tie(a.share, b.name, b.value); });
  each(now.breakers, "breakers", [&](const json::object& o) {
    const std::string state = text(o, "state");
    if (state == "closed") ++f.breakers_closed;
    else f.breakers.push_back({text(o, "provider") + "/" + text(o, "model"), state, text(o, "last_error"), figure(o, "retry_in_s")});
  });
  each(now.queues, "queues", [&](const json::object& o) {
    const auto* paused = o.if_contains("paused");
    f.queues.push_back({text(o, "queue"), count(o, "ready"), count(o, "running"), count(o, "waiting"), count(o, "delayed"), figure(o, "oldest_ready_s"),
                        paused && paused->is_bool() && paused->get_bool()});
  });
  each(now.alerts, "alerts", [&](const json::object& o) {
    if (text(o, "state") == "firing") f.alerts.push_back({text(o, "severity"), text(o, "title")});
  });
}

json::value milliseconds(const std::optional<Percentiles>& p) {
  if (!p) return nullptr;
  return json::object{{"p50", p->p50 * 1000}, {"p95", p->p95 * 1000}, {"p99", p->p99 * 1000}};
}

}  // namespace

Exposition Exposition::read(std::string_view all) {
  Exposition out;
  for (std::size_t kept = 0; !all.empty() && kept < kMostSamples;) {
    const auto end = all.find('\n');
    const std::string_view line = all.substr(0, end);
    all.remove_prefix(end == std::string_view::npos ? all.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const auto name_end = line.find_first_of("{ ");
    if (name_end == std::string_view::npos) continue;
    std::string_view labels, rest = line.substr(name_end);
    if (line[name_end] == '{') {
      const auto close = labels_end(line, name_end);
      if (close == std::string_view::npos) continue;
      labels = line.substr(name_end + 1, close - name_end - 1);
      rest = line.substr(close + 1);
    }
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const auto value = number(rest);
    if (!value || !std::isfinite(*value)) continue;
    out.samples_[std::string(line.substr(0, name_end))].push_back({std::string(labels), *value});
    ++kept;
  }
  return out;
}

double Exposition::sum(std::string_view name, std::string_view having) const {
  const auto at = samples_.find(name);
  if (at == samples_.end()) return 0;
  double sum = 0;
  for (const auto& s : at->second)
    if (having.empty() || s.labels.find(having) != std::string::npos) sum += s.value;
  return sum;
}

std::map<double, double> Exposition::buckets(std::string_view histogram) const {
  const auto at = samples_.find(std::string(histogram) + "_bucket");
  std::map<double, double> out;
  if (at == samples_.end()) return out;
  std::map<std::string, std::map<double, double>> series;
  std::set<double> bounds;
  for (const auto& s : at->second) {
    const auto [labels, bound] = without_bound(s.labels);
    if (!bound) continue;
    series[labels][*bound] = s.value;
    bounds.insert(*bound);
  }
  for (const auto& [labels, counts] : series) {
    double below = 0;
    for (const double bound : bounds) {
      if (const auto own = counts.find(bound); own != counts.end()) below = own->second;
      out[bound] += below;
    }
  }
  return out;
}

std::optional<Percentiles> percentiles(const std::map<double, double>& before, const std::map<double, double>& now) {
  if (now.empty()) return std::nullopt;
  const bool again = !before.empty() && before.rbegin()->second > now.rbegin()->second;
  const auto at_most = [&](double bound) {
    if (again) return 0.0;
    const auto at = before.upper_bound(bound);
    return at == before.begin() ? 0.0 : std::prev(at)->second;
  };
  const double all = now.rbegin()->second - at_most(now.rbegin()->first);
  if (all <= 0) return std::nullopt;
  const auto value = [&](double q) {
    double low = 0, below = 0;
    for (const auto& [bound, count] : now) {
      const double within = count - at_most(bound);
      if (within >= q * all) return std::isfinite(bound) && within > below ? low + (bound - low) * (q * all - below) / (within - below) : low;
      low = std::isfinite(bound) ? bound : low;
      below = within;
    }
    return low;
  };
  return Percentiles{value(0.5), value(0.95), value(0.99)};
}

TopFigures figures_between(const Reading& before, const Reading& now) {
  TopFigures f;
  f.at = now.wall;
  f.seconds = std::max(1e-3, std::chrono::duration<double>(now.at - before.at).count());
  const auto grown = [&](std::string_view name, std::string_view having = {}) {
    const double a = before.metrics.sum(name, having), b = now.metrics.sum(name, having);
    return b < a ? b : b - a;
  };
  const double calls = grown("ballast_calls_total");
  f.calls_per_second = calls / f.seconds;
  f.failed_per_second = std::max(0.0, calls - grown("ballast_calls_total", "outcome=\"ok\"") - grown("ballast_calls_total", "outcome=\"cancelled\"")) / f.seconds;
  f.usd_per_minute = grown("ballast_incurred_usd_total") / f.seconds * 60;
  f.tokens_per_second = grown("ballast_tokens_total") / f.seconds;
  f.in_flight = now.metrics.sum("ballast_calls_in_flight");
  f.dead = now.metrics.sum("ballast_jobs_dead_letters");
  if (calls > 0) f.cache_share = std::min(1.0, grown("ballast_cache_total", "state=\"hit\"") / calls);
  f.latency_s = percentiles(before.metrics.buckets("ballast_call_duration_seconds"), now.metrics.buckets("ballast_call_duration_seconds"));
  f.first_token_s = percentiles(before.metrics.buckets("ballast_first_token_seconds"), now.metrics.buckets("ballast_first_token_seconds"));
  add_state(now, f);
  return f;
}

json::object figures_json(const TopFigures& f) {
  json::array budgets, breakers, queues, alerts;
  for (const auto& b : f.budgets) budgets.push_back(json::object{{"budget", b.name}, {"value", b.value}, {"spent_usd", b.spent}, {"limit_usd", b.limit}, {"share", b.share}});
  for (const auto& b : f.breakers) breakers.push_back(json::object{{"target", b.target}, {"state", b.state}, {"last_error", b.last_error}, {"retry_in_s", b.retry_in_s}});
  for (const auto& q : f.queues)
    queues.push_back(json::object{{"queue", q.name}, {"ready", q.ready}, {"running", q.running}, {"waiting", q.waiting}, {"delayed", q.delayed}, {"oldest_ready_s", q.oldest_s}, {"paused", q.paused}});
  for (const auto& a : f.alerts) alerts.push_back(json::object{{"severity", a.severity}, {"title", a.title}});
  return {{"at", to_rfc3339(f.at)}, {"seconds", f.seconds}, {"calls_per_second", f.calls_per_second}, {"failed_per_second", f.failed_per_second}, {"in_flight", f.in_flight},
          {"latency_ms", milliseconds(f.latency_s)}, {"first_token_ms", milliseconds(f.first_token_s)}, {"usd_per_minute", f.usd_per_minute},
          {"tokens_per_second", f.tokens_per_second}, {"cache_share", f.cache_share ? json::value(*f.cache_share) : json::value(nullptr)}, {"budgets", std::move(budgets)},
          {"breakers_closed", f.breakers_closed}, {"breakers", std::move(breakers)}, {"queues", std::move(queues)}, {"dead", f.dead}, {"alerts", std::move(alerts)}};
}

}  // namespace ballast::app
