// Charges whose cost nobody told: listed from the ledger, and put right by whoever asked the provider.
#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/shared_books.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/unknown_json.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostCalls = 1000;

struct Page {
  records::CallFilter filter;
  std::size_t limit = 100;
  std::optional<Id> before;
};

Result<Page> read_page(const net::RequestHead& request) {
  Page page;
  auto& f = page.filter;
  for (const auto& [name, into] : {std::pair("key", &f.key_id), {"user", &f.user}, {"team", &f.team}, {"provider", &f.provider}, {"model", &f.model}})
    *into = query(request, name);
  if (auto ok = query_time(request, "from", f.from); !ok) return fail(std::move(ok.error()));
  if (auto ok = query_time(request, "to", f.to); !ok) return fail(std::move(ok.error()));
  auto limit = query_count(request, "limit", page.limit, 1, kMostCalls);
  if (!limit) return fail(std::move(limit.error()));
  page.limit = *limit;
  if (const std::string cursor = query(request, "before"); !cursor.empty()) {
    page.before = parse_id(cursor, "call");
    if (!page.before) return fail(ErrorCode::caller_invalid_request, "not a call's id", "before");
  }
  return page;
}

Result<records::Reconciliation> read_reconciliation(std::string_view body) {
  const auto document = parse_json(body, {.max_bytes = 16 * 1024, .max_depth = 4});
  if (!document) return fail(document.error());
  const JsonRef root(*document);
  const auto name = root.get<std::string>("call");
  if (!name) return fail(name.error());
  const auto call = parse_id(*name, "call");
  if (!call) return fail(ErrorCode::caller_invalid_request, "a call's id looks like call_01k…", "call");
  const auto attempt = root.maybe_int("attempt", 0, 1000);
  if (!attempt) return fail(attempt.error());
  const auto text = root.get<std::string>("incurred");
  if (!text) return fail(text.error());
  const auto incurred = money_from_usd(*text, "incurred");
  if (!incurred) return fail(incurred.error());
  for (const auto& [member, ignored] : document->get_object())
    if (member != "call" && member != "attempt" && member != "incurred")
      return fail(ErrorCode::caller_invalid_request, "is not known; there are call, attempt, incurred", std::string(member));
  records::Reconciliation r{.call = *call, .incurred = *incurred};
  if (*attempt) r.attempt = static_cast<std::uint32_t>(**attempt);
  return r;
}

Task<void> unknown(net::Exchange& exchange, const Parts& parts) {
  const auto page = read_page(exchange.request());
  if (!page) co_return co_await reply_problem(exchange, page.error());
  co_await catch_up(exchange, parts);
  const auto calls = co_await parts.database.read(
      exchange.loop(), [&](store::Tx& tx) { return records::list_unreconciled(tx, page->filter, page->limit, page->before); });
  if (!calls) co_return co_await reply_problem(exchange, calls.error());
  co_await reply_json(exchange, 200, unknown_json(*calls, page->limit));
}

// What the database has committed, the budgets in memory follow.
void follow(const Parts& parts, const records::Reconciliation& by, const records::Reconciled& done) {
  const auto& a = done.attempt;
  const std::string call = to_string(by.call, "call"), model = a.provider + "/" + a.model;
  const WallTime began(std::chrono::milliseconds(by.call.unix_ms()));
  const gateway::BudgetBook::Reconciled now{.call = call, .model = model, .attempt = a.n, .charged = {a.ceiling_nano}, .incurred = {a.incurred_nano},
                                            .windows = a.windows, .began = began, .at = a.reconciled_at};
  const bool changed = parts.gateway.setup()->budgets->reconcile(now);
  if (done.already) return;
  const bool above = a.incurred_nano > a.ceiling_nano;
  const auto tell = above ? &log::warn : &log::info;
  tell(above ? "reconciled_above_the_ceiling" : "reconciled",
       {{"call", call}, {"attempt", a.n}, {"model", model}, {"was_usd", to_usd({a.ceiling_nano})}, {"incurred_usd", to_usd({a.incurred_nano})},
        {"by", a.reconciled_by}, {"in_memory", changed}});
}

Task<void> reconcile(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  auto by = read_reconciliation(exchange.body());
  if (!by) co_return co_await reply_problem(exchange, by.error());
  by->actor = who.key_name().empty() ? who.key_id() : fmt::format("{} ({})", who.key_name(), who.key_id());
  by->at = parts.clock.wall();
  co_await catch_up(exchange, parts);
  const auto done = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return gateway::reconcile_charge(tx, *by); });
  if (!done) co_return co_await reply_problem(exchange, done.error());
  follow(parts, *by, *done);
  co_await reply_json(exchange, 200, reconciled_json(by->call, *done));
}

}  // namespace

Task<bool> budgets_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool listing = request.method == "GET" && request.path == "/api/budgets/unknown";
  if (!listing && !(request.method == "POST" && request.path == "/api/budgets/reconcile")) co_return false;
  const auto who = require_scope(exchange, parts, listing ? gateway::Scope::read : gateway::Scope::admin);
  if (!who) co_await reply_problem(exchange, who.error());
  else if (listing) co_await unknown(exchange, parts);
  else co_await reconcile(exchange, parts, *who);
  co_return true;
}

}  // namespace ballast::server
