// /api/overview: how all of it is, in one answer. /api/money: what it costs, by what, and where the budgets come to.
#include <algorithm>
#include <map>
#include <span>

#include "base/config_node.hpp"
#include "base/text.hpp"
#include "gateway/road_metrics.hpp"
#include "server/approval_json.hpp"
#include "server/budget_history.hpp"
#include "server/budget_json.hpp"
#include "server/budgets_now.hpp"
#include "server/forecast.hpp"
#include "server/heavy.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/stat_json.hpp"
#include "server/work_door.hpp"
#include "watch/rows.hpp"
#include "work/approval_rows.hpp"

namespace ballast::server {

namespace {

using records::Dimension;
using std::chrono::hours;

constexpr std::size_t kChartBuckets = 120, kModels = 5, kNamed = 50, kMostApprovals = 1'000, kMostDead = 10'000, kMostAlerts = 50;
constexpr std::size_t kForecast = 20;                    // budgets whose history is read: those nearest to their limits

struct Span {
  WallTime from{}, to{};
};
Result<Span> span_of(const net::RequestHead& request, WallTime now, Duration usual) {
  Span s{.from = {}, .to = now};
  if (auto ok = query_time(request, "to", s.to); !ok) return fail(std::move(ok.error()));
  s.from = s.to - usual;
  if (auto ok = query_time(request, "from", s.from); !ok) return fail(std::move(ok.error()));
  if (s.from >= s.to) return fail(ErrorCode::caller_invalid_request, "must be before to", "from");
  return s;
}

Result<records::Series> series_of(store::Tx& tx, Span span, WallTime now, Duration step, std::optional<Dimension> by = {}, std::size_t groups = 10,
                                  records::Rank rank = records::Rank::calls) {
  records::SeriesQuery q{.from = span.from, .to = span.to, .step = step, .by = by, .groups = groups, .rank = rank, .errors = !by};
  // As the chart of this range does, so that what stands beside it is of the same calls.
  if (chart_step(span.from, span.to, kChartBuckets) % hours(1) == Duration::zero()) widen_to_hours(q, now);
  auto told = records::range(tx, q);
  if (told || told.error().code != ErrorCode::caller_invalid_request) return told;
  if (step != Duration::zero()) q.step = std::max<Duration>(step, hours(1));       // of long ago hours are left
  widen_to_hours(q, now);
  return records::range(tx, q);
}
Span before(Span s) { return {s.from - (s.to - s.from), s.from}; }

json::array named_json(const records::Series& series) {
  json::array out;
  for (const auto& g : series.groups)
    if (!g.rest) out.push_back(named_stat_json(g.name, g.total));
  return out;
}

// ---- overview ----

struct Work {
  json::array queues;
  std::uint64_t dead = 0, approvals = 0;
};

// Of all nodes.
json::array queues_json(work::Engine& engine, const work::QueuesElsewhere& elsewhere) {
  json::array out;
  for (const auto& [name, v] : elsewhere.with(work::views_of(engine.board(), nullptr, engine.home().clock().mono()))) {
    const double age = v.oldest ? std::chrono::duration<double>(*v.oldest).count() : 0;
    out.push_back(json::object{{"name", name}, {"ready", v.ready}, {"running", v.running}, {"waiting", v.waiting}, {"delayed", v.delayed}, {"oldest_ready_seconds", age},
                               {"paused", engine.board().rules(name).paused}});
  }
  return out;
}

Task<Result<Work>> work_now(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  Work out;
  if (!parts.work) co_return out;
  const work::QueuesElsewhere elsewhere = parts.work->elsewhere();
  out.queues = co_await parts.work->ask(exchange, [&]() -> Task<json::array> { co_return queues_json(parts.work->engine(), elsewhere); });
  const auto counted = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<std::pair<std::uint64_t, std::uint64_t>> {
    const auto dead = work::count_dead(tx, kMostDead);
    if (!dead) return fail(dead.error());
    work::ApprovalFilter mine{.limit = kMostApprovals};
    if (!who.admin()) mine.seen_by = decider_of(who);
    const auto asked = work::list_approvals(tx, mine);
    if (!asked) return fail(asked.error());
    std::uint64_t n = 0;
    for (const auto& d : *dead) n += d.jobs;
    return std::pair(n, asked->approvals.size());
  });
  if (!counted) co_return fail(counted.error());
  std::tie(out.dead, out.approvals) = *counted;
  co_return out;
}

struct Seen {
  records::Series all, models;
  std::optional<records::Series> before;
  std::vector<watch::Alert> alerts;          // those that fire and are told
};

// The newest; what is silenced waits on the alerts' own page.
Result<std::vector<watch::Alert>> firing(store::Tx& tx, WallTime now) {
  auto alerts = watch::list_alerts(tx, watch::State::firing, 0, kMostAlerts);
  if (!alerts) return alerts;
  const auto silences = watch::silences(tx, now);
  if (!silences) return fail(silences.error());
  std::erase_if(*alerts, [&](const watch::Alert& a) { return std::ranges::any_of(*silences, [&](const auto& s) { return watch::matches(s, a); }); });
  return alerts;
}

json::object breakers_json(const gateway::Breakers& breakers) {
  std::uint64_t open = 0, half_open = 0, closed = 0;
  for (const auto& b : breakers.list()) {
    ++(b.view.state == gateway::BreakerState::open ? open : b.view.state == gateway::BreakerState::half_open ? half_open : closed);
  }
  return {{"open", open}, {"half_open", half_open}, {"closed", closed}};
}

json::object overview_json(const Seen& seen, const Parts& parts, Work work, const std::vector<gateway::BudgetStatus>& windows) {
  json::array buckets, budgets, alerts;
  for (const auto& a : seen.alerts) alerts.push_back(watch::alert_json(a));
  for (const auto& g : seen.all.groups)
    for (const auto& f : g.buckets) buckets.push_back(stat_json(f));
  for (const auto& b : windows) budgets.push_back(budget_json(b));
  const gateway::RoadMetrics road(parts.metrics);
  return {{"from", to_rfc3339(seen.all.from)},
          {"to", to_rfc3339(seen.all.to)},
          {"step_seconds", std::chrono::duration_cast<std::chrono::seconds>(seen.all.step).count()},
          {"starts", starts_json(seen.all)},
          {"total", stat_json(seen.all.total)},
          {"before", seen.before ? json::value(stat_json(seen.before->total)) : json::value(nullptr)},
          {"buckets", std::move(buckets)},
          {"errors", errors_json(seen.all)},
          {"models", named_json(seen.models)},
          {"in_flight", static_cast<std::int64_t>(std::max(0.0, road.in_flight.value()))},
          {"budgets", std::move(budgets)},
          {"breakers", breakers_json(parts.gateway.world().breakers)},
          {"queues", std::move(work.queues)},
          {"dead", work.dead},
          {"approvals", work.approvals},
          {"alerts", std::move(alerts)}};
}

Task<void> overview(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  const WallTime now = parts.clock.wall();
  const auto span = span_of(exchange.request(), now, hours(1));
  if (!span) co_return co_await reply_problem(exchange, span.error());
  const std::string compare = query(exchange.request(), "compare");
  if (!compare.empty() && compare != "before") co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "must be before, or absent", "compare"});
  const auto seen = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<Seen> {
    auto all = series_of(tx, *span, now, chart_step(span->from, span->to, kChartBuckets));
    if (!all) return fail(std::move(all.error()));
    auto models = series_of(tx, *span, now, {}, Dimension::model, kModels);
    if (!models) return fail(std::move(models.error()));
    Seen out{.all = std::move(*all), .models = std::move(*models), .before = {}, .alerts = {}};
    if (parts.watcher) {
      auto alerts = firing(tx, now);
      if (!alerts) return fail(std::move(alerts.error()));
      out.alerts = std::move(*alerts);
    }
    if (compare.empty()) return out;
    auto earlier = series_of(tx, before(*span), now, {});
    if (!earlier) return fail(std::move(earlier.error()));
    out.before = std::move(*earlier);
    return out;
  });
  if (!seen) co_return co_await reply_problem(exchange, seen.error());
  auto work = co_await work_now(exchange, parts, who);
  if (!work) co_return co_await reply_problem(exchange, work.error());
  const auto windows = co_await budgets_now(exchange, parts);
  co_await reply_json(exchange, 200, overview_json(*seen, parts, std::move(*work), windows));
}

// ---- money ----

// What it is told by. A flow is no dimension: the calls of its stages have its name for a feature, unless its job was given another.
struct By {
  std::string_view name;
  Dimension dimension;
  bool flows = false;
};
constexpr By kBy[] = {{"model", Dimension::model}, {"key", Dimension::key}, {"user", Dimension::user}, {"feature", Dimension::feature},
                      {"team", Dimension::team}, {"route", Dimension::route}, {.name = "flow", .dimension = Dimension::feature, .flows = true}};

struct Bill {
  records::Series days, before;
  std::map<Dimension, records::Series> by;
  std::vector<std::vector<std::int64_t>> history;        // of the budgets that are forecast, by hour
};

json::array forecasts_json(const std::vector<gateway::BudgetStatus>& budgets, const Bill& bill, WallTime now) {
  json::array out;
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    const auto& b = budgets[i];
    const auto history = i < bill.history.size() && !bill.history[i].empty() ? bill.history[i] : even_history(b, now);
    const Forecast f = forecast(b.spent, b.limit, now, b.window_end, history);
    json::object o = budget_json(b);
    o["forecast_usd"] = to_usd(f.at_end);
    o["forecast_at_limit"] = f.at_limit ? json::value(to_rfc3339(*f.at_limit)) : json::value(nullptr);
    out.push_back(std::move(o));
  }
  return out;
}

json::array flows_json(const records::Series& features, const Parts& parts) {
  json::array out;
  for (const auto& g : features.groups)
    if (parts.work && !g.rest && parts.work->flows().current(g.name)) out.push_back(named_stat_json(g.name, g.total));
  return out;
}

json::object money_json(const Bill& bill, const std::vector<By>& asked, const Parts& parts, const std::vector<gateway::BudgetStatus>& budgets, WallTime now) {
  json::array days;
  for (const auto& g : bill.days.groups)
    for (std::size_t i = 0; i < g.buckets.size(); ++i) days.push_back(json::object{{"day", to_rfc3339(bill.days.starts[i]).substr(0, 10)}, {"total", stat_json(g.buckets[i])}});
  json::object by;
  for (const By& each : asked) {
    const records::Series& series = bill.by.at(each.dimension);
    by[each.name] = each.flows ? flows_json(series, parts) : named_json(series);
  }
  return {{"from", to_rfc3339(bill.days.from)},
          {"to", to_rfc3339(bill.days.to)},
          {"total", stat_json(bill.days.total)},
          {"before", stat_json(bill.before.total)},
          {"days", std::move(days)},
          {"by", std::move(by)},
          {"saved", {{"cache_usd", to_usd({bill.days.total.saved_nano})}, {"routing_usd", to_usd({bill.days.total.routing_saved_nano})}}},
          {"budgets", forecasts_json(budgets, bill, now)}};
}

double share_of(const gateway::BudgetStatus& b) { return b.limit.nano > 0 ? static_cast<double>(b.spent.nano) / static_cast<double>(b.limit.nano) : 0; }

// Nothing: by all there is. Of a hundred thousand users the sums take longer than all else together.
Result<std::vector<By>> asked_by(const net::RequestHead& request) {
  const std::string asked = query(request, "by");
  if (asked.empty()) return std::vector<By>(std::begin(kBy), std::end(kBy));
  std::vector<By> out;
  for (const auto name : split(asked, ',')) {
    const auto* found = std::ranges::find(kBy, trim(name), &By::name);
    if (found == std::end(kBy)) return fail(ErrorCode::caller_invalid_request, "must be some of model, key, user, feature, team, route and flow, or absent", "by");
    out.push_back(*found);
  }
  return out;
}

Task<void> money(net::Exchange& exchange, const Parts& parts) {
  const WallTime now = parts.clock.wall();
  const auto asked = asked_by(exchange.request());
  if (!asked) co_return co_await reply_problem(exchange, asked.error());
  const auto span = span_of(exchange.request(), now, hours(24 * 30));
  if (!span) co_return co_await reply_problem(exchange, span.error());
  auto budgets = co_await budgets_now(exchange, parts);
  std::ranges::sort(budgets, std::greater{}, share_of);
  const auto bill = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<Bill> {
    auto days = series_of(tx, *span, now, hours(24));
    if (!days) return fail(std::move(days.error()));
    auto earlier = series_of(tx, before(*span), now, {});
    if (!earlier) return fail(std::move(earlier.error()));
    Bill out{.days = std::move(*days), .before = std::move(*earlier), .by = {}, .history = {}};
    for (const By& each : *asked) {
      if (out.by.contains(each.dimension)) continue;
      auto by = series_of(tx, *span, now, {}, each.dimension, kNamed, records::Rank::spend);
      if (!by) return fail(std::move(by.error()));
      out.by.emplace(each.dimension, std::move(*by));
    }
    out.history = budget_histories(tx, std::span(budgets).first(std::min(kForecast, budgets.size())), now);
    return out;
  }, kHeavy);
  if (!bill) co_return co_await reply_problem(exchange, bill.error());
  co_await reply_json(exchange, 200, money_json(*bill, *asked, parts, budgets, now));
}

}  // namespace

Task<bool> overview_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool all = request.path == "/api/overview";
  if (request.method != "GET" || (!all && request.path != "/api/money")) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who) co_await reply_problem(exchange, who.error());
  else if (all) co_await overview(exchange, parts, *who);
  else co_await money(exchange, parts);
  co_return true;
}

}  // namespace ballast::server
