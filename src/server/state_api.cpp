// How things stand: health, metrics, breakers, budgets, providers; and the description of the API itself.
#include "base/log.hpp"
#include "cluster/membership.hpp"
#include "net/url.hpp"
#include "server/budget_json.hpp"
#include "server/budgets_now.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_metrics.hpp"

namespace ballast::server {

namespace {

double seconds(Duration d) { return static_cast<double>(d.count()) * 1e-9; }

json::value seconds(const std::optional<Duration>& d) { return d ? json::value(seconds(*d)) : json::value(nullptr); }

constexpr Duration kUnanswered = std::chrono::seconds(5);   // so long without a look that was answered: nobody need wait for another

// Whether this process' jobs are its own.
Result<bool> works(store::Tx& tx, const Parts& parts) {
  if (parts.work) return parts.work->engine().holds_node(tx);
  auto rows = tx.run("SELECT 1");
  if (!rows) return fail(rows.error());
  return false;
}

// What it knows from the other nodes: told, and no reason to send it nothing, for what is known stays in force.
void tell_freshness(const gateway::Freshness& freshness, json::object& body) {
  const auto since = freshness.stale_since();
  body["checks"].as_object()["knowledge"] = !since;
  if (since) body["stale_since"] = to_rfc3339(*since);
}

Task<void> ready(net::Exchange& exchange, const Parts& parts, bool draining) {
  json::object checks;
  bool good = !draining;
  checks["accepting"] = !draining;
  const auto* freshness = parts.gateway.world().freshness;
  Result<bool> works_here = fail(ErrorCode::internal_unavailable, "it does not answer this node's looks, twice a second");
  if (!freshness || freshness->age() < kUnanswered) {
    auto asked = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return works(tx, parts); }, {.limit = std::chrono::milliseconds(2000)});
    works_here = std::move(asked);
  }
  checks["database"] = works_here.has_value();
  const auto journal = parts.gateway.world().journal.stats();
  checks["journal"] = !journal.failing;
  // Whether its jobs are its own, not those of a node that another has taken over. Unknown for as long as nobody can be asked.
  if (parts.members) {
    checks["member"] = !parts.members->lost();
    good = good && !parts.members->lost();
  }
  if (parts.work) checks["work"] = works_here.value_or(true);
  // The call road does not need the database: an outage of it is told, and does not take the node out.
  good = good && !journal.failing;
  json::object body{{"ready", good}, {"checks", std::move(checks)}};
  if (freshness) tell_freshness(*freshness, body);
  co_await reply_json(exchange, good ? 200 : 503, std::move(body));
}

Task<void> metrics(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  const bool local = exchange.peer().starts_with("127.") || exchange.peer().starts_with("[::1]");
  if (!who && !local) co_return co_await reply_problem(exchange, who.error());
  if (parts.work) co_await refresh_work_metrics(exchange.loop(), *parts.work);
  const auto format = metrics::format_for(exchange.request().headers.get("accept"));
  co_await reply_text(exchange, 200, metrics::content_type(format), parts.metrics.expose(format));
}

Task<void> breakers(net::Exchange& exchange, const Parts& parts, const gateway::Principal&) {
  json::array list;
  const MonoTime now = parts.clock.mono();
  for (const auto& b : parts.gateway.world().breakers.list()) {
    json::object o{{"provider", b.provider}, {"model", b.model}, {"state", gateway::to_string(b.view.state)},
                   {"consecutive_failures", b.consecutive_failures}, {"successes", b.successes}, {"failures", b.failures},
                   {"opened", b.opened}, {"early_tries", b.early_tries}, {"last_error", b.last_error}};
    o["retry_in_s"] = b.view.state == gateway::BreakerState::open ? json::value(std::max(0.0, seconds(b.view.retry_at - now))) : json::value(nullptr);
    o["latency_s"] = seconds(b.view.latency);
    o["first_token_s"] = seconds(b.view.first_token);
    list.push_back(std::move(o));
  }
  co_await reply_json(exchange, 200, json::object{{"breakers", std::move(list)}});
}

// What is done in memory is told behind it: an incident does not wait for a database that is away.
Task<void> tell(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string_view action, std::string subject) {
  const auto entry = tell_of_act(who, action, std::move(subject), parts.clock.wall());
  const auto told = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return entry(tx); });
  if (!told) log::error("act_not_told", {{"action", action}, {"by", who.key_id()}, {"why", told.error().message}});
}

Task<void> reset_breaker(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  const std::string provider = query(exchange.request(), "provider");
  const std::string model = query(exchange.request(), "model");
  if (provider.empty()) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "name the provider", "provider"});
  if (!parts.gateway.world().breakers.reset(provider, model))
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "no such breaker", "provider"});
  co_await tell(exchange, parts, who, records::audit::breaker_reset, model.empty() ? provider : fmt::format("{}/{}", provider, model));
  co_await reply_json(exchange, 200, json::object{{"reset", true}});
}

Task<void> budgets(net::Exchange& exchange, const Parts& parts, const gateway::Principal&) {
  const auto all = co_await budgets_now(exchange, parts);
  const auto setup = parts.gateway.setup();
  json::array list;
  for (const auto& b : all) list.push_back(budget_json(b));
  json::array stopped;
  for (const auto& s : setup->budgets->stopped())
    stopped.push_back(json::object{{"model", s.model}, {"factor", s.factor}, {"times", s.times}, {"over_usd", to_usd(s.over)}});
  co_await reply_json(exchange, 200, json::object{{"budgets", std::move(list)}, {"distrusted_models", std::move(stopped)}});
}

Task<void> trust(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  const std::string model = query(exchange.request(), "model");
  if (model.empty()) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "name the model as provider/model", "model"});
  if (!parts.gateway.setup()->budgets->trust(model))
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "the ceilings of \"" + model + "\" are trusted; distrusted_models of GET /api/budgets lists those that are not", "model"});
  co_await tell(exchange, parts, who, records::audit::model_trusted, model);
  co_await reply_json(exchange, 200, json::object{{"trusted", model}});
}

Task<void> providers(net::Exchange& exchange, const Parts& parts, const gateway::Principal&) {
  json::array list;
  for (const auto& [name, p] : parts.gateway.setup()->providers) {
    json::array credentials;
    for (const auto& c : p.credentials->list())
      credentials.push_back(json::object{{"name", c.name}, {"dead", c.dead}, {"reason", c.reason}, {"available_in_s", seconds(c.available_in)},
                                         {"in_flight", c.in_flight}, {"picked", c.picked}, {"limited", c.limited}});
    list.push_back(json::object{{"name", name}, {"kind", llm::to_string(p.spec.kind)}, {"base_url", net::to_string(p.spec.base)},
                                {"credentials", std::move(credentials)}});
  }
  co_await reply_json(exchange, 200, json::object{{"providers", std::move(list)}});
}

using Action = Task<void> (*)(net::Exchange&, const Parts&, const gateway::Principal&);
struct Native {
  std::string_view method, path;
  gateway::Scope scope;
  Action act;
};
constexpr Native kNative[] = {
    {"GET", "/api/breakers", gateway::Scope::read, breakers},
    {"POST", "/api/breakers/reset", gateway::Scope::admin, reset_breaker},
    {"GET", "/api/budgets", gateway::Scope::read, budgets},
    {"POST", "/api/budgets/trust", gateway::Scope::admin, trust},
    {"GET", "/api/providers", gateway::Scope::read, providers},
};

}  // namespace

Task<bool> state_api(net::Exchange& exchange, const Parts& parts, bool draining) {
  const auto& request = exchange.request();
  for (const Native& n : kNative) {
    if (request.method != n.method || request.path != n.path) continue;
    const auto who = require_scope(exchange, parts, n.scope);
    if (!who)
      co_await reply_problem(exchange, who.error());
    else
      co_await n.act(exchange, parts, *who);
    co_return true;
  }
  if (request.method != "GET" && request.method != "HEAD") co_return false;
  if (request.path == "/healthz") {
    co_await reply_text(exchange, 200, "text/plain; charset=utf-8", "ok\n");
  } else if (request.path == "/readyz") {
    co_await ready(exchange, parts, draining);
  } else if (request.path == "/metrics") {
    co_await metrics(exchange, parts);
  } else if (request.path == "/openapi.json") {
    co_await reply_text(exchange, 200, "application/json", openapi_document(parts.version));
  } else {
    co_return false;
  }
  co_return true;
}

}  // namespace ballast::server
