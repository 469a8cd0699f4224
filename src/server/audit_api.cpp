// The audit trail, a chain at a time, newest first; and the configuration in force.
#include "records/audit.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/shown_config.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostListed = 1000;

json::object entry_json(const std::string& chain, const records::AuditRow& row) {
  const auto& e = row.entry;
  json::object o{{"chain", chain}, {"seq", row.seq}, {"at", to_rfc3339(e.at)}, {"actor", e.actor}, {"action", e.action}, {"subject", e.subject}};
  o["arguments"] = e.arguments == Digest{} ? json::value(nullptr) : json::value(to_hex({reinterpret_cast<const char*>(e.arguments.data()), e.arguments.size()}));
  auto outcome = parse_json(e.outcome, {.max_bytes = records::kMaxAuditOutcome + 1, .max_depth = 32});
  o["outcome"] = outcome ? std::move(*outcome) : json::value(e.outcome);
  return o;
}

struct Page {
  std::string chain;
  std::size_t limit = 100;
  std::int64_t before = 0;               // zero: from the newest on
};

Result<Page> page_from(const net::RequestHead& request) {
  Page page{.chain = query(request, "chain")};
  if (page.chain.empty()) page.chain = records::admin_chain("0");
  auto limit = query_count(request, "limit", page.limit, 1, kMostListed);
  if (!limit) return fail(std::move(limit.error()));
  page.limit = *limit;
  if (const std::string before = query(request, "before"); !before.empty()) {
    const auto seq = parse_int<std::int64_t>(before);
    if (!seq || *seq < 1) return fail(ErrorCode::caller_invalid_request, "must be the `next` of the page before", "before");
    page.before = *seq;
  }
  return page;
}

Task<void> audit(net::Exchange& exchange, const Parts& parts) {
  const auto page = page_from(exchange.request());
  if (!page) co_return co_await reply_problem(exchange, page.error());
  const auto rows = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<std::vector<records::AuditRow>> {
    const auto head = records::audit_head(tx, page->chain);
    if (!head) return fail(head.error());
    const std::int64_t last = page->before ? std::min(page->before - 1, head->length) : head->length;
    const std::int64_t first = std::max<std::int64_t>(0, last - static_cast<std::int64_t>(page->limit));
    return records::list_audit(tx, page->chain, first, static_cast<std::size_t>(last - first));
  });
  if (!rows) co_return co_await reply_problem(exchange, rows.error());
  json::array entries;
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) entries.push_back(entry_json(page->chain, *row));
  json::object body{{"chains", json::array{json::value(records::admin_chain("0"))}}, {"entries", std::move(entries)}};
  if (!rows->empty() && rows->front().seq > 1) body["next"] = std::to_string(rows->front().seq);
  co_await reply_json(exchange, 200, std::move(body));
}

}  // namespace

Task<bool> audit_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const bool trail = request.path == "/api/audit", config = request.path == "/api/config" && parts.config;
  if (request.method != "GET" || (!trail && !config)) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who) {
    co_await reply_problem(exchange, who.error());
  } else if (trail) {
    co_await audit(exchange, parts);
  } else {
    const auto text = parts.config->text();
    co_await reply_text(exchange, 200, "application/json", *text);
  }
  co_return true;
}

}  // namespace ballast::server
