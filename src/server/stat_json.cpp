#include "server/stat_json.hpp"

#include <algorithm>
#include <array>

#include "base/money.hpp"

namespace ballast::server {

namespace {

double ms(std::uint64_t us) { return static_cast<double>(us) / 1'000.0; }

json::value percentiles(const records::Sketch& sketch) {
  if (sketch.count() == 0) return nullptr;
  return json::object{{"p50", ms(sketch.quantile(0.5))}, {"p95", ms(sketch.quantile(0.95))}, {"p99", ms(sketch.quantile(0.99))}};
}

json::object tokens_json(const records::TokenCounts& t) {
  return {{"input", t.input}, {"cached", t.cached}, {"cache_write", t.cache_write}, {"output", t.output}, {"reasoning", t.reasoning}, {"images", t.images}};
}

}  // namespace

json::object stat_json(const records::Figures& f) {
  json::object o{{"calls", f.calls}, {"failed", f.failed}, {"cancelled", f.cancelled}, {"cache_hits", f.cache_hits}, {"attempts", f.attempts},
                 {"attempts_failed", f.attempts_failed}};
  for (const auto& member : tokens_json(f.tokens)) o[member.key()] = member.value();
  o["incurred_usd"] = to_usd({f.incurred_nano});
  o["billed_usd"] = to_usd({f.billed_nano});
  o["saved_usd"] = to_usd({f.saved_nano});
  o["routing_saved_usd"] = to_usd({f.routing_saved_nano});
  o["latency_ms"] = percentiles(f.latency);
  o["first_token_ms"] = percentiles(f.first_token);
  return o;
}

json::object named_stat_json(std::string_view name, const records::Figures& figures) { return {{"name", name}, {"total", stat_json(figures)}}; }

json::array errors_json(const records::Series& series) {
  json::array out;
  for (const auto& [error, calls] : series.errors) out.push_back(json::object{{"error", error}, {"calls", calls}});
  return out;
}

json::array starts_json(const records::Series& series) {
  json::array out;
  for (const WallTime t : series.starts) out.push_back(json::value(to_rfc3339(t)));
  return out;
}

json::object call_row_json(const records::CallRecord& c) {
  return {{"id", to_string(c.id, "call")},
          {"arrived", to_rfc3339(c.arrived)},
          {"key", {{"id", c.key_id}, {"name", c.key_name}}},
          {"team", c.team},
          {"user", c.user},
          {"feature", c.feature},
          {"route", c.route},
          {"requested_model", c.requested_model},
          {"operation", c.operation},
          {"api", c.api},
          {"provider", c.provider},
          {"model", c.model},
          {"served_by", c.served_by},
          {"status", records::to_string(c.status)},
          {"error", c.error},
          {"http_status", c.http_status},
          {"cache", records::to_string(c.cache)},
          {"tokens", tokens_json(c.usage)},
          {"incurred_usd", to_usd({c.incurred_nano})},
          {"billed_usd", to_usd({c.billed_nano})},
          {"latency_ms", ms(c.latency_us)},
          {"first_token_ms", c.first_token_us ? json::value(ms(c.first_token_us)) : json::value(nullptr)},
          {"attempts", c.attempts.size()}};
}

Duration chart_step(WallTime from, WallTime to, std::size_t buckets) {
  using std::chrono::minutes;
  constexpr std::array<int, 13> steps = {1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1'440, 10'080};
  const Duration span = to - from;
  // One more bucket where from is within one.
  for (const int step : steps)
    if (span / minutes(step) + 2 <= static_cast<std::int64_t>(buckets)) return minutes(step);
  constexpr Duration day = minutes(1'440);
  return day * (span / day / static_cast<std::int64_t>(std::max<std::size_t>(buckets, 3) - 2) + 1);
}

void widen_to_hours(records::SeriesQuery& q, WallTime now) {
  using std::chrono::hours;
  if (q.step % hours(1) != Duration::zero()) return;
  q.from = std::chrono::floor<hours>(q.from);
  if (q.to <= now - hours(1)) q.to = std::chrono::ceil<hours>(q.to);
}

}  // namespace ballast::server
