// GET /api/calls/{id}/messages: what a caller sent and what he was answered, where the call's route keeps it. Who may see the call may see its
// messages; who looked is told in the trail, before anything is shown.
#include "gateway/recorder.hpp"
#include "net/url.hpp"
#include "records/ledger.hpp"
#include "records/messages.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

constexpr Duration kPatience = std::chrono::seconds(3);

// Why nothing is kept of a call that the ledger has.
std::string why_not(const records::CallRecord& call, const gateway::Setup& setup) {
  const auto& routes = setup.routes->routes();
  const auto route = routes.find(call.route);
  if (route != routes.end() && !route->second->record) return fmt::format("no messages of this call are kept: its route \"{}\" records none (routes.{}.record)", call.route, call.route);
  return "no messages of this call are kept: it was not among those sampled, its caller asked for that (x-ballast-record), its route recorded none, there was no room, "
         "or they are older than retention.messages, or erased";
}

json::value document_of(std::string_view text) {
  auto document = parse_json(text, {.max_bytes = 2 * records::kMaxRecordedSide});
  return document ? std::move(*document) : json::value(nullptr);
}

json::object messages_json(const records::RecordedCall& call) {
  return {{"recorded", call.full ? "full" : "sampled"}, {"at", to_rfc3339(call.at)}, {"redacted", call.redacted}, {"truncated", call.truncated},
          {"whole", call.whole}, {"request", document_of(call.request)}, {"reply", document_of(call.reply)}};
}

Task<Result<records::RecordedCall>> find(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, Id id) {
  if (auto* recorder = parts.gateway.world().recorder) co_await recorder->settled(exchange.loop(), kPatience);
  auto found = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::get_messages(tx, id); });
  const bool all = who.key->scopes.has(gateway::Scope::read);
  if (found && !all && found->key_id != who.key_id()) co_return fail(ErrorCode::caller_not_found, "no such call");
  if (found || found.error().code != ErrorCode::caller_not_found) co_return found;
  co_await catch_up(exchange, parts);
  const auto call = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::get_call(tx, id); });
  if (!call) co_return fail(call.error());
  if (!all && call->key_id != who.key_id()) co_return fail(ErrorCode::caller_not_found, "no such call");
  co_return fail(ErrorCode::caller_not_found, why_not(*call, *parts.gateway.setup()));
}

Task<void> messages(net::Exchange& exchange, const Parts& parts, std::string name) {
  const auto who = require_scope(exchange, parts, gateway::Scope::usage);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  const auto id = parse_id(name, "call");
  if (!id) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, "a call's id looks like call_01k…", "id"});
  const auto found = co_await find(exchange, parts, *who, *id);
  if (!found) co_return co_await reply_problem(exchange, found.error());
  const auto tell = tell_of_act(*who, records::audit::messages_read, name, parts.clock.wall());
  const auto told = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return tell(tx); });
  if (!told) co_return co_await reply_problem(exchange, told.error());
  co_await reply_json(exchange, 200, messages_json(*found));
}

}  // namespace

Task<bool> messages_api(net::Exchange& exchange, const Parts& parts) {
  constexpr std::string_view before = "/api/calls/", behind = "/messages";
  const std::string_view path = exchange.request().path;
  if (exchange.request().method != "GET" || !path.starts_with(before) || !path.ends_with(behind) || path.size() <= before.size() + behind.size()) co_return false;
  co_await messages(exchange, parts, net::percent_decode(path.substr(before.size(), path.size() - before.size() - behind.size()), false));
  co_return true;
}

}  // namespace ballast::server
