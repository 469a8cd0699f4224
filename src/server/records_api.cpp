// What happened: usage, decisions, calls. Read from the ledger; admin and read keys see all, usage keys their own.
#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "net/url.hpp"
#include "records/ledger.hpp"
#include "server/await_call.hpp"
#include "server/call_filter.hpp"
#include "server/feedback_json.hpp"
#include "server/heavy.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/stat_json.hpp"
#include "server/usage_json.hpp"

namespace ballast::server {

namespace {

// A call just answered reaches the ledger within a few hundred milliseconds; whoever asks at once is made to wait.
constexpr Duration kImportPatience = std::chrono::seconds(3);

Result<records::UsageQuery> read_usage(const net::RequestHead& request, const gateway::Principal& who) {
  records::UsageQuery q;
  auto filter = usage_filter(request, who);
  if (!filter) return fail(std::move(filter.error()));
  q.filter = std::move(*filter);
  auto by = usage_groups(query(request, "by"), "by");
  if (!by) return fail(std::move(by.error()));
  q.by = std::move(*by);
  auto limit = query_count(request, "limit", kUsageRows, 1, kMostUsageRows);
  auto offset = query_count(request, "offset", 0, 0, kMostUsageOffset);
  if (!limit || !offset) return fail(limit ? std::move(offset.error()) : std::move(limit.error()));
  q.limit = *limit;
  q.offset = *offset;
  return q;
}

}  // namespace

Task<void> catch_up(net::Exchange& exchange, const Parts& parts) {
  const MonoTime give_up = parts.clock.mono() + kImportPatience;
  while (parts.gateway.world().journal.stats().behind_bytes > 0 && parts.clock.mono() < give_up)
    co_await SleepUntil(exchange.loop(), parts.clock.mono() + std::chrono::milliseconds(20));
}

namespace {

Task<void> usage(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  co_await catch_up(exchange, parts);
  const auto q = read_usage(exchange.request(), *who);
  if (!q) co_return co_await reply_problem(exchange, q.error());
  const auto rows = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::usage(tx, *q); }, kHeavy);
  if (!rows) co_return co_await reply_problem(exchange, rows.error());
  co_await reply_json(exchange, 200, usage_json(*rows, *q));
}

}  // namespace

Task<Result<records::CallRecord>> await_call(net::Exchange& exchange, const Parts& parts, Id id) {
  const MonoTime give_up = parts.clock.mono() + kImportPatience;
  for (;;) {
    auto found = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::get_call(tx, id); });
    const bool may_come = !found && found.error().code == ErrorCode::caller_not_found &&
                          unix_ms(parts.clock.wall()) - id.unix_ms() < 60'000 && parts.clock.mono() < give_up;
    if (!may_come) co_return found;
    co_await SleepUntil(exchange.loop(), parts.clock.mono() + std::chrono::milliseconds(50));
  }
}

namespace {

Task<void> decision(net::Exchange& exchange, const Parts& parts, std::string name) {
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  const auto id = parse_id(name, "call");
  if (!id) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "a call's id looks like call_01k…", "id"});
  auto record = co_await await_call(exchange, parts, *id);
  if (record && !who->key->scopes.has(gateway::Scope::read) && record->key_id != who->key_id())
    record = fail(ErrorCode::caller_not_found, "no such call");
  if (!record) co_return co_await reply_problem(exchange, record.error());
  const auto feedback = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::feedback_of(tx, to_string(*id, "call")); });
  if (!feedback) co_return co_await reply_problem(exchange, feedback.error());
  const std::string text = with_feedback(records::to_json(*record), *feedback);
  co_await reply_text(exchange, 200, "application/json", text);
}

struct Found {
  records::CallPage page;
  std::string whole;                                     // its calls as JSON, separated by commas; the page itself has then none
  std::size_t calls = 0;
};

// Made on the database's thread: a thousand records are megabytes, and the loop has calls to serve.
void make_whole(Found& found) {
  for (const auto& call : found.page.calls) found.whole.append(found.whole.empty() ? "" : ",").append(records::to_json(call));
  found.page.calls.clear();
}

// At most so many steps, each a read of its own: the first comes as soon as any, and who has to go on lets others look before him.
Task<Result<Found>> search(net::Exchange& exchange, const Parts& parts, const records::CallFilter& filter, std::size_t limit, std::optional<Id> before, std::size_t steps, bool whole) {
  Found out;
  const MonoTime due = parts.clock.mono() + store::ReadOptions{}.limit;
  for (std::size_t n = 0; n < steps; ++n) {
    if (const auto* gone = exchange.gone(); n > 0 && gone && gone->cancelled()) co_return fail(ErrorCode::caller_cancelled, "the caller has left");
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(Duration{}, due - parts.clock.mono()));
    auto step = co_await parts.database.read(
        exchange.loop(),
        [&](store::Tx& tx) -> Result<Found> {
          auto page = records::search_calls(tx, filter, limit - out.calls, before, kSearchStep);
          if (!page) return fail(std::move(page.error()));
          Found found{.page = std::move(*page), .whole = {}, .calls = 0};
          found.calls = found.page.calls.size();
          if (whole) make_whole(found);
          return found;
        },
        {.limit = left, .priority = n == 0 ? store::Priority::normal : store::Priority::low});
    if (!step) co_return fail(std::move(step.error()));
    out.calls += step->calls;
    if (!step->whole.empty()) out.whole.append(out.whole.empty() ? "" : ",").append(step->whole);
    std::ranges::move(step->page.calls, std::back_inserter(out.page.calls));
    before = out.page.next = step->page.next;
    out.page.searched_to = step->page.searched_to;
    if (!before || out.calls >= limit) break;
  }
  co_return out;
}

// A page's list: short rows, at once, and no more searching than one waits for.
Task<void> call_rows(net::Exchange& exchange, const Parts& parts, const records::CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  const auto found = co_await search(exchange, parts, filter, limit, before, kSearchSteps, false);
  if (!found) co_return co_await reply_problem(exchange, found.error());
  json::array rows;
  for (const records::CallRecord& call : found->page.calls) rows.push_back(call_row_json(call));
  json::object body{{"calls", std::move(rows)}};
  if (found->page.next) body["next"] = to_string(*found->page.next, "call");
  body["searched_to"] = to_rfc3339(found->page.searched_to);
  co_await reply_json(exchange, 200, std::move(body));
}

// Whole records, as many as were asked for, however far back they are.
Task<void> whole_calls(net::Exchange& exchange, const Parts& parts, const records::CallFilter& filter, std::size_t limit, std::optional<Id> before) {
  const auto found = co_await search(exchange, parts, filter, limit, before, SIZE_MAX, true);
  if (!found) co_return co_await reply_problem(exchange, found.error());
  std::string body = "{\"calls\":[" + found->whole + ']';
  if (found->page.next) body += ",\"next\":\"" + to_string(*found->page.next, "call") + "\"";
  body += '}';
  co_await reply_text(exchange, 200, "application/json", body);
}

Task<void> calls(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  const std::string view = query(request, "view");
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  if (!view.empty() && view != "row") co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "row, or nothing", "view"});
  if (view.empty()) co_await catch_up(exchange, parts);
  const auto filter = search_filter(request, *who);
  const auto limit = query_count(request, "limit", 100, 1, 1000);
  if (!filter || !limit) co_return co_await reply_problem(exchange, filter ? limit.error() : filter.error());
  std::optional<Id> before;
  if (const std::string cursor = query(request, "before"); !cursor.empty()) {
    before = parse_id(cursor, "call");
    if (!before) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "not a call's id", "before"});
  }
  if (!view.empty()) co_return co_await call_rows(exchange, parts, *filter, *limit, before);
  co_await whole_calls(exchange, parts, *filter, *limit, before);
}

}  // namespace

Task<bool> records_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.method != "GET") co_return false;
  constexpr std::string_view decisions = "/api/decisions/";
  if (request.path == "/api/usage") {
    co_await usage(exchange, parts);
  } else if (request.path == "/api/calls") {
    co_await calls(exchange, parts);
  } else if (request.path.starts_with(decisions)) {
    co_await decision(exchange, parts, net::percent_decode(request.path.substr(decisions.size()), false));
  } else {
    co_return false;
  }
  co_return true;
}

}  // namespace ballast::server
