// The rules of calls: what each asks of a series.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/config_node.hpp"
#include "watch/judge.hpp"

namespace ballast::watch {

namespace {

constexpr double kNoise = 8;            // standard deviations of a window's sum
constexpr double kYoungFactor = 5.0 / 3;
constexpr double kAbovePeak = 2;
constexpr double kFewestSlow = 0.5;     // of a share's threshold
constexpr double kFewestYoung = 0.35;    // the same, while minutes are known that hold fewer of the slow calls than a day does
constexpr double kTimesYoung = 0.75;     // of the factor, then

std::string number(double v) { return v >= 100 ? fmt::format("{:.0f}", v) : fmt::format("{:.3g}", v); }
std::string span_of(int horizon) { return horizon == 1 ? "the last minute" : fmt::format("the last {} minutes", horizon); }

// A sum of the last minutes far above what such sums usually are.
std::optional<Finding> rise(const Rule& rule, const Series& series, Metric metric, double under_way) {
  for (std::size_t h = 0; h < kHorizons.size(); ++h) {
    const Usual& u = series.usual(h);
    if (!u.known) continue;
    const double minutes = kHorizons[h] + under_way, now = series.last(kHorizons[h]).of(metric);
    const auto m = static_cast<std::size_t>(metric);
    const double usual = u.high[m] * minutes, factor = rule.factor * (u.young ? kYoungFactor : 1);
    const double bound = std::max({factor * usual, usual + rule.floor, usual + kNoise * std::sqrt(u.noise[m] * minutes), kAbovePeak * u.peak[m]});
    if (now <= bound) continue;
    const std::string unit(unit_of(rule.kind));
    Finding f{.value = now, .threshold = bound};
    f.title = usual > 0 ? fmt::format("{} {} in {}, {:.1f} times what is usual", number(now), unit, span_of(kHorizons[h]), now / usual)
                        : fmt::format("{} {} in {}, where there are usually none", number(now), unit, span_of(kHorizons[h]));
    f.detail = fmt::format("usual at most {} {}, alarm above {}{}", number(usual), unit, number(bound), u.young ? " (less than an hour is known yet)" : "");
    f.evidence = {{"window_minutes", std::to_string(kHorizons[h])}, {"usual", number(usual)}};
    return f;
  }
  return std::nullopt;
}

std::optional<Finding> per_call(const Rule& rule, const Series& series) {
  for (std::size_t h = 0; h + 1 < kHorizons.size(); ++h) {
    const Usual& u = series.usual(h);
    const Totals now = series.last(kHorizons[h]);
    if (u.per_call <= 0 || now.calls < static_cast<float>(rule.least)) continue;
    const double mean = now.input / now.calls, bound = std::max(rule.factor * u.per_call, 2 * u.per_call_high);
    if (mean <= bound || (mean - u.per_call) * now.calls < rule.floor) continue;
    Finding f{.value = mean, .threshold = bound};
    f.title = fmt::format("{} input tokens a call in {}, {:.1f} times what is usual", number(mean), span_of(kHorizons[h]), mean / u.per_call);
    f.detail = fmt::format("usual {}, alarm above {}; {} calls", number(u.per_call), number(bound), number(now.calls));
    f.evidence = {{"window_minutes", std::to_string(kHorizons[h])}, {"calls", number(now.calls)}, {"usual", number(u.per_call)}};
    return f;
  }
  return std::nullopt;
}

std::optional<Finding> silence(const Rule& rule, const Series& series) {
  const auto quiet = static_cast<double>(series.quiet_minutes());
  const double patience = std::chrono::duration<double, std::ratio<60>>(rule.age).count();
  if (quiet < patience || series.known_for() < std::chrono::hours(24)) return std::nullopt;
  const double before = series.hours_before_quiet(), same_time = series.hour_a_day_before();
  const auto least = static_cast<double>(rule.least), bound = std::max(patience, 3 * static_cast<double>(series.longest_gap()));
  if (quiet < bound || before < least || (same_time >= 0 && same_time < least)) return std::nullopt;
  Finding f{.value = quiet * 60, .threshold = bound * 60};
  f.title = fmt::format("no call for {} minutes; at least {} an hour before", number(quiet), number(before));
  f.detail = "Is the application up, and does it reach this gateway?";
  f.evidence = {{"calls_an_hour_before", number(before)}};
  return f;
}

std::optional<Finding> error_burst(const Rule& rule, const Series& series) {
  const Totals day = series.usual_day();
  const double usual = day.calls >= 100 ? std::max<double>(day.failed / day.calls, 0.01) : 0.01;
  const double bound = std::max(rule.threshold, std::min(rule.factor * usual, (1 + usual) / 2));
  for (const int horizon : {1, 2, 5}) {
    const Totals now = series.last(horizon);
    if (now.failed < static_cast<float>(rule.least) || now.failed < bound * now.calls) continue;
    const double share = now.failed / now.calls;
    Finding f{.value = share, .threshold = bound};
    f.title = fmt::format("{:.0f} % of calls failed in {}", share * 100, span_of(horizon));
    f.detail = fmt::format("{} of {} calls; usual {:.1f} %", number(now.failed), number(now.calls), usual * 100);
    f.evidence = {{"window_minutes", std::to_string(horizon)}, {"failed", number(now.failed)}, {"calls", number(now.calls)}};
    return f;
  }
  return std::nullopt;
}

// By burn rate: bad calls over the long window and the short one. Before a long window is full, what there is of it counts, once the short one is.
std::optional<Finding> budget_of_errors(const Rule& rule, const Series& series) {
  const auto bad = [&](const Totals& t) { return rule.kind == Kind::error_budget ? t.failed : t.slow; };
  for (const Burn& burn : rule.burns) {
    const double bound = burn.rate * (1 - rule.objective);
    if (series.known_for() < burn.now) continue;
    const Totals over = series.window(burn.over), now = series.window(burn.now);
    if (bad(over) < static_cast<float>(rule.least) || bad(now) < 1 || bad(over) < bound * over.calls || bad(now) < bound * now.calls) continue;
    const double share = bad(over) / over.calls;
    const char* what = rule.kind == Kind::error_budget ? "failed" : "were slow";
    Finding f{.value = share, .threshold = bound};
    f.title = fmt::format("{:.1f} % of calls {} in {}: the error budget burns {:.1f} times too fast", share * 100, what, format_duration(burn.over), share / (1 - rule.objective));
    f.detail = fmt::format("objective {:.2f} %, alarm at {:g} times over {} and {}", rule.objective * 100, burn.rate, format_duration(burn.over), format_duration(burn.now));
    f.evidence = {{"bad", number(bad(over))}, {"calls", number(over.calls)}, {"window", format_duration(burn.over)}};
    return f;
  }
  return std::nullopt;
}

// How many times as long calls take for what they do: the least of seconds a call, an input token and an output token, so that neither longer
// answers nor longer prompts are slowness.
double times_slower(const Counts& now, const Latencies& usual, const Totals& work) {
  const double seconds = now.latency.seconds(), usually = usual.seconds();
  if (usually <= 0 || now.calls == 0 || work.calls < 1) return 0;
  double least = seconds / static_cast<double>(now.calls) * work.calls / usually;
  if (now.input > 0 && work.input > 0) least = std::min(least, seconds / static_cast<double>(now.input) * work.input / usually);
  if (now.output > 0 && work.output > 0) least = std::min(least, seconds / static_cast<double>(now.output) * work.output / usually);
  return least;
}

std::optional<Finding> latency_rise(const Rule& rule, const Series& series) {
  const Latencies& usual = series.usual_latency();
  if (usual.count() < 50) return std::nullopt;
  const std::size_t slow = usual.bucket_at(0.9), middle = usual.bucket_at(0.5);
  const bool young = series.known_for() < std::chrono::hours(1);
  for (const int horizon : {1, 2, 5}) {
    const Counts now = series.fine(horizon);
    const auto n = static_cast<double>(now.latency.count());
    if (n < static_cast<double>(rule.least)) continue;
    const double times = times_slower(now, usual, series.usual_work());
    if (times < rule.factor * (young ? kTimesYoung : 1)) continue;
    const double share = static_cast<double>(now.latency.above(slow)) / n;
    // The slower for what they do, the fewer need to be beyond what nine of ten were: there may be quick and slow models, and the slowest have not ended yet.
    const double threshold = (young ? kFewestYoung : 1) * rule.threshold * std::clamp(rule.factor / times, kFewestSlow, 1.0), bound = std::max(threshold, 0.1 + 6 * std::sqrt(0.09 / n));
    const auto median_ms = static_cast<double>(Latencies::upper_bound_of(now.latency.bucket_at(0.5))) / 1000, usual_ms = static_cast<double>(Latencies::upper_bound_of(middle)) / 1000;
    if (share <= bound || median_ms < rule.factor * usual_ms) continue;
    Finding f{.value = share, .threshold = bound};
    f.title = fmt::format("{:.0f} % of calls are slower than nine of ten usually are", share * 100);
    f.detail = fmt::format("median {} ms in {}, usual {} ms; {:.1f} times as long for what they do; {} calls", number(median_ms), span_of(horizon), number(usual_ms), times, number(n));
    f.evidence = {{"median_ms", number(median_ms)}, {"usual_median_ms", number(usual_ms)}, {"times_slower", number(times)}, {"calls", number(n)}};
    return f;
  }
  return std::nullopt;
}

std::optional<Finding> cache_collapse(const Rule& rule, const Series& series) {
  const Totals day = series.usual_day();
  const double usual = day.lookups >= 100 ? day.hits / day.lookups : 0;
  if (usual < rule.threshold) return std::nullopt;
  for (const int horizon : {1, 2, 5, 15}) {
    const Totals now = series.last(horizon);
    const double share = now.lookups > 0 ? now.hits / now.lookups : 0;
    if (now.lookups < static_cast<float>(rule.least) || share > rule.factor * usual || usual - share < 6 * std::sqrt(usual * (1 - usual) / now.lookups)) continue;
    Finding f{.value = share, .threshold = rule.factor * usual};
    f.title = fmt::format("the cache answers {:.0f} % of look-ups, usually {:.0f} %", share * 100, usual * 100);
    f.detail = fmt::format("{} hits of {} look-ups in {}", number(now.hits), number(now.lookups), span_of(horizon));
    f.evidence = {{"lookups", number(now.lookups)}, {"usual_share", number(usual)}};
    return f;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Finding> judge_series(const Rule& rule, const Series& series, double under_way) {
  switch (rule.kind) {
    case Kind::cost_spike: return rise(rule, series, Metric::usd, under_way);
    case Kind::traffic_rise: return rise(rule, series, Metric::calls, under_way);
    case Kind::token_anomaly: return per_call(rule, series);
    case Kind::silence: return silence(rule, series);
    case Kind::error_burst: return error_burst(rule, series);
    case Kind::error_budget:
    case Kind::latency_budget: return budget_of_errors(rule, series);
    case Kind::latency_rise: return latency_rise(rule, series);
    case Kind::cache_collapse: return cache_collapse(rule, series);
    default: return std::nullopt;
  }
}

}  // namespace ballast::watch
