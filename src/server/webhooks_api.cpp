// Webhooks: what is owed, was delivered, or is dead; delivered again when somebody says so.
#include "base/log.hpp"
#include "base/text.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kMostListed = 1'000;
constexpr std::string_view kPrefix = "msg_";

std::optional<std::int64_t> id_from(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  const auto id = parse_int<std::int64_t>(text.substr(kPrefix.size()));
  if (!id || *id <= 0) return std::nullopt;
  return *id;
}

// The path of an alert's receiver may be all that keeps others out, as with Slack's hooks: whoever reads is told its host.
std::string shown_url(const work::OutboxRow& row) {
  if (!row.kind.starts_with("alert.")) return row.url;
  const auto path = row.url.find('/', row.url.find("//") + 2);
  return path == std::string::npos ? row.url : row.url.substr(0, path) + "/…";
}

json::object webhook_json(const work::OutboxEntry& e) {
  json::object o{{"id", work::webhook_id(e.row)}, {"type", e.row.kind}, {"state", to_string(e.state)}, {"url", shown_url(e.row)}, {"attempts", e.row.attempt}, {"created", to_rfc3339(e.row.created)}};
  if (const work::JobId job{e.row.id}; e.row.kind.starts_with("job.")) o["job"] = to_string(job);
  if (!e.row.secret_ref.empty()) o["secret"] = e.row.secret_ref;             // its name
  if (e.state == work::OutboxState::pending) o["due"] = to_rfc3339(e.due);
  else o["finished"] = to_rfc3339(e.finished);
  if (e.status) o["status"] = e.status;
  if (!e.why.empty()) o["why"] = e.why;
  if (!e.row.body.empty()) o["payload"] = parse_json(e.row.body, {.max_bytes = e.row.body.size() + 1, .max_depth = 512}).value_or(json::value(e.row.body));
  return o;
}

struct Page {
  std::optional<work::OutboxState> state;
  std::int64_t before = 0;
  std::size_t limit = 100;
};

Result<Page> page_from(const net::RequestHead& request) {
  Page page;
  if (const std::string state = query(request, "state"); !state.empty()) {
    page.state = work::outbox_state_from(state);
    if (!page.state) return fail(ErrorCode::caller_invalid_request, "must be pending, delivered or dead", "state");
  }
  auto limit = query_count(request, "limit", page.limit, 1, kMostListed);
  if (!limit) return fail(std::move(limit.error()));
  page.limit = *limit;
  if (const std::string before = query(request, "before"); !before.empty()) {
    const auto id = id_from(before);
    if (!id) return fail(ErrorCode::caller_invalid_request, "must be a webhook's id: the `next` of the page before", "before");
    page.before = *id;
  }
  return page;
}

Task<void> list(WorkDoor& door, net::Exchange& exchange) {
  const auto page = page_from(exchange.request());
  if (!page) co_return co_await reply_problem(exchange, page.error());
  const auto rows = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_outbox(tx, page->state, page->before, page->limit); });
  if (!rows) co_return co_await reply_problem(exchange, rows.error());
  json::array webhooks;
  for (const auto& e : *rows) webhooks.push_back(webhook_json(e));
  json::object body{{"webhooks", std::move(webhooks)}};
  if (rows->size() == page->limit) body["next"] = work::webhook_id(rows->back().row);
  co_await reply_json(exchange, 200, std::move(body));
}

Task<void> show(WorkDoor& door, net::Exchange& exchange, std::int64_t id, int status) {
  const auto row = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::get_outbox(tx, id); });
  if (!row) co_return co_await reply_problem(exchange, row.error());
  if (!*row) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such webhook, or not any more", "id"});
  co_await reply_json(exchange, status, webhook_json(**row));
}

Task<void> redrive(WorkDoor& door, net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::int64_t id) {
  const auto tell = tell_of_act(who, records::audit::webhook_redriven, fmt::format("{}{}", kPrefix, id), parts.clock.wall());
  const auto done = co_await door.engine().database().write(exchange.loop(), [&](store::Tx& tx) {
    auto again = work::redrive_outbox(tx, id, parts.clock.wall());
    if (again)
      if (auto told = tell(tx); !told) again = std::unexpected(std::move(told.error()));
    return again;
  });
  if (!done) co_return co_await reply_problem(exchange, done.error());
  door.webhooks().poke();
  log::info("webhook_redriven", {{"id", id}, {"by", who.key_id()}});
  co_await show(door, exchange, id, 202);
}

}  // namespace

Task<bool> webhooks_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view all = "/api/webhooks", one = "/api/webhooks/", again = "/redrive";
  if (request.path != all && !request.path.starts_with(one)) co_return false;
  std::string_view rest = request.path.substr(std::min(request.path.size(), one.size()));
  const bool redriving = request.method == "POST" && rest.ends_with(again);
  if (!redriving && request.method != "GET") co_return false;
  if (redriving) rest.remove_suffix(again.size());
  const auto who = require_scope(exchange, parts, redriving ? gateway::Scope::admin : gateway::Scope::read);
  const auto id = id_from(rest);
  if (!who) co_await reply_problem(exchange, who.error());
  else if (request.path == all) co_await list(*parts.work, exchange);
  else if (!id) co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "a webhook's id looks like msg_1234567890: its header webhook-id", "id"});
  else if (redriving) co_await redrive(*parts.work, exchange, parts, *who, *id);
  else co_await show(*parts.work, exchange, *id, 200);
  co_return true;
}

}  // namespace ballast::server
