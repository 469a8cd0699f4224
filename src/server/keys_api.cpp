// Keys: made, shown, changed, rotated, revoked. Admin keys only. A secret is in one answer: the one that made it.
#include "base/log.hpp"
#include "net/url.hpp"
#include "server/key_changes.hpp"
#include "server/key_rows.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

Result<KeyChange> read_change(std::string_view body) {
  const auto document = parse_json(body, {.max_bytes = 64 * 1024, .max_depth = 8});
  if (!document) return fail(document.error());
  return key_change_from(*document);
}

// Seconds; an empty body is none.
Result<Duration> read_overlap(std::string_view body) {
  if (body.empty()) return Duration::zero();
  const auto document = parse_json(body, {.max_bytes = 1024, .max_depth = 4});
  if (!document) return fail(document.error());
  const auto* members = document->if_object();
  if (!members) return fail(ErrorCode::caller_invalid_request, "the body must be a JSON object");
  for (const auto& [name, ignored] : *members)
    if (name != "overlap") return fail(ErrorCode::caller_invalid_request, "is not known; there is overlap, in seconds", std::string(name));
  auto seconds = JsonRef(*document).maybe_int("overlap", 0, std::chrono::duration_cast<std::chrono::seconds>(kLongestOverlap).count());
  if (!seconds) return fail(std::move(seconds.error()));
  return std::chrono::seconds(seconds->value_or(0));
}

json::object configured_json(const gateway::KeyRing& ring, const gateway::KeyInfo& key) {
  const auto used = ring.last_used(key.id);
  return {{"id", key.id}, {"name", key.name}, {"prefix", ""}, {"scopes", gateway::to_string(key.scopes)}, {"team", key.team}, {"user", key.user},
          {"feature", key.feature}, {"configured", true}, {"last_used", used ? json::value(to_rfc3339(*used)) : json::value(nullptr)}};
}

// The row's word on its last use is written once a minute; the ring knows better.
json::object row_json(const gateway::KeyRing& ring, records::KeyRow& row) {
  if (const auto here = ring.last_used(row.id); here && (!row.last_used || *row.last_used < *here)) row.last_used = here;
  return key_json(row);
}

// A key of the file is changed in the file.
std::optional<Error> configured_elsewhere(const Parts& parts, const std::string& id) {
  const auto key = parts.gateway.world().keys.find(id);
  if (!key || !key->configured) return std::nullopt;
  return Error{ErrorCode::caller_conflict, "this key stands in the configuration: change or remove it there", "id"};
}

KeyHand hand_of(const gateway::Principal& who, const Parts& parts) { return {.actor = "key:" + who.key_id(), .now = parts.clock.wall()}; }

Task<void> create(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  auto change = read_change(exchange.body());
  auto info = change ? new_key_from(std::move(*change)) : Result<gateway::KeyInfo>(fail(std::move(change.error())));
  if (!info) co_return co_await reply_problem(exchange, info.error());
  auto minted = gateway::mint_key(std::move(*info), parts.clock.wall());
  if (!minted) co_return co_await reply_problem(exchange, minted.error());
  const auto row = row_of(*minted);
  const KeyHand hand = hand_of(who, parts);
  const auto stored = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return add_key(tx, row, hand); });
  if (!stored) co_return co_await reply_problem(exchange, stored.error());
  if (auto ok = parts.gateway.world().keys.put(minted->stored); !ok) co_return co_await reply_problem(exchange, ok.error());
  log::info("key_created", {{"id", row.id}, {"name", row.name}, {"scopes", row.scopes}});
  json::object body = key_json(row);
  body["secret"] = minted->secret;
  co_await reply_json(exchange, 201, std::move(body));
}

Task<void> list(net::Exchange& exchange, const Parts& parts) {
  const bool all = query(exchange.request(), "revoked") == "true";
  auto rows = co_await parts.database.read(exchange.loop(), [all](store::Tx& tx) { return records::list_keys(tx, all); });
  if (!rows) co_return co_await reply_problem(exchange, rows.error());
  const auto& ring = parts.gateway.world().keys;
  json::array keys;
  for (auto& row : *rows) keys.push_back(row_json(ring, row));
  for (const auto& key : ring.list())
    if (key->configured) keys.push_back(configured_json(ring, *key));
  co_await reply_json(exchange, 200, json::object{{"keys", std::move(keys)}});
}

Task<void> show(net::Exchange& exchange, const Parts& parts, std::string id) {
  const auto& ring = parts.gateway.world().keys;
  if (const auto key = ring.find(id); key && key->configured) co_return co_await reply_json(exchange, 200, configured_json(ring, *key));
  auto row = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) { return records::get_key(tx, id); });
  if (!row) co_return co_await reply_problem(exchange, row.error());
  co_await reply_json(exchange, 200, row_json(ring, *row));
}

// In effect on every loop from its next call on. A key revoked meanwhile stays revoked.
void follow(const Parts& parts, const records::KeyRow& row) {
  auto key = stored_of(row);
  const auto done = key ? parts.gateway.world().keys.update(std::move(*key)) : Result<void>(fail(std::move(key.error())));
  if (!done) log::warn("key_not_followed", {{"id", row.id}, {"why", done.error().message}});
}

Task<void> change(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string id) {
  if (const auto no = configured_elsewhere(parts, id)) co_return co_await reply_problem(exchange, *no);
  const auto wanted = read_change(exchange.body());
  if (!wanted) co_return co_await reply_problem(exchange, wanted.error());
  const KeyHand hand = hand_of(who, parts);
  auto row = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return change_key(tx, id, *wanted, hand); });
  if (!row) co_return co_await reply_problem(exchange, row.error());
  follow(parts, *row);
  log::info("key_changed", {{"id", id}, {"name", row->name}, {"scopes", row->scopes}});
  co_await reply_json(exchange, 200, row_json(parts.gateway.world().keys, *row));
}

Task<void> rotate(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string id) {
  if (const auto no = configured_elsewhere(parts, id)) co_return co_await reply_problem(exchange, *no);
  const auto overlap = read_overlap(exchange.body());
  if (!overlap) co_return co_await reply_problem(exchange, overlap.error());
  const KeyHand hand = hand_of(who, parts);
  auto rotated = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return rotate_key(tx, id, *overlap, hand); });
  if (!rotated) co_return co_await reply_problem(exchange, rotated.error());
  follow(parts, rotated->row);
  log::info("key_rotated", {{"id", id}, {"overlap_s", std::chrono::duration_cast<std::chrono::seconds>(*overlap).count()}});
  json::object body = row_json(parts.gateway.world().keys, rotated->row);
  body["secret"] = rotated->secret;
  co_await reply_json(exchange, 200, std::move(body));
}

Task<void> revoke(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, std::string id) {
  const KeyHand hand = hand_of(who, parts);
  if (const auto no = configured_elsewhere(parts, id)) co_return co_await reply_problem(exchange, *no);
  const auto done = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return revoke_key(tx, id, hand); });
  if (!done) co_return co_await reply_problem(exchange, done.error());
  const auto gone = parts.gateway.world().keys.revoke(id);
  log::info("key_revoked", {{"id", id}, {"was_active", gone.has_value()}});
  co_await reply_json(exchange, 200, json::object{{"id", id}, {"revoked", true}});
}

}  // namespace

Task<bool> keys_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/keys/", turn = "/rotate";
  const bool all = request.path == "/api/keys";
  if (!all && !request.path.starts_with(one)) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::admin);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  std::string_view named = all ? std::string_view() : request.path.substr(one.size());
  const bool rotates = named.ends_with(turn);
  if (rotates) named.remove_suffix(turn.size());
  const std::string id = net::percent_decode(named, false);
  const std::string_view method = request.method;
  if (all && method == "GET") co_await list(exchange, parts);
  else if (all && method == "POST") co_await create(exchange, parts, *who);
  else if (all) co_return false;
  else if (rotates && method == "POST") co_await rotate(exchange, parts, *who, id);
  else if (rotates) co_return false;
  else if (method == "GET") co_await show(exchange, parts, id);
  else if (method == "PATCH") co_await change(exchange, parts, *who, id);
  else if (method == "DELETE") co_await revoke(exchange, parts, *who, id);
  else co_return false;
  co_return true;
}

}  // namespace ballast::server
