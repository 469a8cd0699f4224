// /api/series: what calls add up to over time, for charts. Read from the rollups, so that months take as long as hours.
#include <algorithm>

#include "base/config_node.hpp"
#include "server/heavy.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/stat_json.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kChartBuckets = 120;

Result<records::SeriesQuery> read_series(const net::RequestHead& request, WallTime now) {
  records::SeriesQuery q{.from = {}, .to = now, .errors = true};
  if (auto ok = query_time(request, "to", q.to); !ok) return fail(std::move(ok.error()));
  q.from = q.to - std::chrono::hours(24);
  if (auto ok = query_time(request, "from", q.from); !ok) return fail(std::move(ok.error()));
  if (q.from >= q.to) return fail(ErrorCode::caller_invalid_request, "must be before to", "from");
  q.step = chart_step(q.from, q.to, kChartBuckets);
  if (const std::string step = query(request, "step"); !step.empty()) {
    const auto given = parse_duration(step);
    if (!given || *given < std::chrono::minutes(1)) return fail(ErrorCode::caller_invalid_request, "must be whole minutes, such as 5m or 1h", "step");
    q.step = *given;
  }
  for (std::size_t i = 0; i < records::kDimensions; ++i) {
    const auto d = static_cast<records::Dimension>(i);
    std::string value;
    if (net::query_value(request.query, records::to_string(d), value)) q.where.emplace_back(d, std::move(value));
  }
  if (const std::string by = query(request, "by"); !by.empty()) {
    q.by = records::dimension_from(by);
    if (!q.by)
      return fail(ErrorCode::caller_invalid_request, "must be one of key, team, user, feature, route, operation, provider, model, status, error, cache", "by");
  }
  if (const std::string errors = query(request, "errors"); !errors.empty()) {
    if (errors != "true" && errors != "false") return fail(ErrorCode::caller_invalid_request, "must be true or false", "errors");
    q.errors = errors == "true";
  }
  if (const std::string rank = query(request, "rank"); !rank.empty()) {
    if (rank != "calls" && rank != "spend") return fail(ErrorCode::caller_invalid_request, "must be calls or spend", "rank");
    q.rank = rank == "spend" ? records::Rank::spend : records::Rank::calls;
  }
  const auto groups = query_count(request, "groups", q.groups, 1, 1'000);
  if (!groups) return fail(groups.error());
  q.groups = *groups;
  widen_to_hours(q, now);
  return q;
}

// By user there are as many rows as users; where two things are asked together rows are larger, or the calls' blocks are read; and long ranges have many.
bool heavy(const records::SeriesQuery& q) {
  const bool users = q.by == records::Dimension::user || std::ranges::any_of(q.where, [](const auto& w) { return w.first == records::Dimension::user; });
  return users || q.where.size() + q.by.has_value() > 1 || q.to - q.from > std::chrono::hours(48);
}

json::object series_json(const records::Series& series, const records::SeriesQuery& q) {
  json::array groups;
  for (const records::SeriesGroup& g : series.groups) {
    json::array buckets;
    for (const records::Figures& f : g.buckets) buckets.push_back(stat_json(f));
    groups.push_back(json::object{{"name", g.name}, {"rest", g.rest}, {"total", stat_json(g.total)}, {"buckets", std::move(buckets)}});
  }
  return {{"from", to_rfc3339(series.from)},
          {"to", to_rfc3339(series.to)},
          {"step_seconds", std::chrono::duration_cast<std::chrono::seconds>(series.step).count()},
          {"by", q.by ? json::value(records::to_string(*q.by)) : json::value(nullptr)},
          {"relative_error", records::kSketchError},
          {"starts", starts_json(series)},
          {"total", stat_json(series.total)},
          {"groups", std::move(groups)},
          {"errors", errors_json(series)}};
}

}  // namespace

Task<bool> series_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.method != "GET" || request.path != "/api/series") co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  auto q = who ? read_series(request, parts.clock.wall()) : Result<records::SeriesQuery>(fail(who.error()));
  if (!q) {
    co_await reply_problem(exchange, q.error());
    co_return true;
  }
  const auto series = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<std::string> {
    const auto found = records::range(tx, *q);
    if (!found) return fail(found.error());
    return to_json(series_json(*found, *q));             // here: a hundred thousand buckets would hold up the loop's calls for a second
  }, heavy(*q) ? kHeavy : store::ReadOptions{});
  if (!series) co_await reply_problem(exchange, series.error());
  else co_await reply_text(exchange, 200, "application/json", *series);
  co_return true;
}

}  // namespace ballast::server
