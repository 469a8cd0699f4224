// Keys: made, listed, revoked. Admin keys only. A secret is in one answer: the one that made it.
#include <fmt/ranges.h>

#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "net/url.hpp"
#include "server/key_rows.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

// A list of strings, or one string with commas.
Result<std::vector<std::string>> strings(const JsonRef& root, std::string_view key) {
  std::vector<std::string> out;
  const auto at = root.find(key);
  if (!at) return out;
  if (at->is_string()) {
    for (const auto part : split(*at->as<std::string_view>(), ','))
      if (const auto text = trim(part); !text.empty()) out.emplace_back(text);
    return out;
  }
  if (!at->is_array()) return fail(at->error("must be a list of strings").error());
  for (std::size_t i = 0; i < at->size(); ++i) {
    auto s = at->item(i).as<std::string>();
    if (!s) return fail(std::move(s.error()));
    out.push_back(std::move(*s));
  }
  return out;
}

// A misspelt name would make a key of more rights than was meant.
Result<void> only_known(const json::value& document) {
  constexpr std::string_view known[] = {"name", "scopes", "models", "team", "user", "feature", "expires"};
  const auto* members = document.if_object();
  if (!members) return fail(ErrorCode::caller_invalid_request, "the body must be a JSON object");
  for (const auto& [name, ignored] : *members)
    if (std::ranges::find(known, std::string_view(name)) == std::end(known))
      return fail(ErrorCode::caller_invalid_request, fmt::format("is not known; there are {}", fmt::join(known, ", ")), std::string(name));
  return {};
}

Result<gateway::KeyInfo> read_key(std::string_view body) {
  const auto document = parse_json(body, {.max_bytes = 64 * 1024, .max_depth = 8});
  if (!document) return fail(document.error());
  if (auto ok = only_known(*document); !ok) return fail(std::move(ok.error()));
  const JsonRef root(*document);
  gateway::KeyInfo info;
  auto name = root.get<std::string>("name");
  if (!name) return fail(std::move(name.error()));
  if (name->empty() || name->size() > gateway::kMaxAttribution)
    return fail(ErrorCode::caller_invalid_request, "must have 1 to 128 bytes", "name");
  info.name = std::move(*name);
  for (const auto& [key, into] : {std::pair("team", &info.team), {"user", &info.user}, {"feature", &info.feature}}) {
    auto text = root.maybe<std::string>(key);
    if (!text) return fail(std::move(text.error()));
    if (*text) *into = std::move(**text);
  }
  auto scopes = strings(root, "scopes");
  if (!scopes) return fail(std::move(scopes.error()));
  if (!scopes->empty()) {
    std::string joined;
    for (const auto& s : *scopes) joined += (joined.empty() ? "" : ",") + s;
    auto parsed = gateway::scopes_from(joined, "scopes");
    if (!parsed) return fail(std::move(parsed.error()));
    info.scopes = *parsed;
  }
  auto models = strings(root, "models");
  if (!models) return fail(std::move(models.error()));
  info.models = std::move(*models);
  auto expires = root.maybe<std::string_view>("expires");
  if (!expires) return fail(std::move(expires.error()));
  if (*expires) {
    auto at = parse_time(**expires, "expires");
    if (!at) return fail(std::move(at.error()));
    info.expires = *at;
  }
  return info;
}

Task<void> create(net::Exchange& exchange, const Parts& parts) {
  auto info = read_key(exchange.body());
  if (!info) co_return co_await reply_problem(exchange, info.error());
  auto minted = gateway::mint_key(std::move(*info), parts.clock.wall());
  if (!minted) co_return co_await reply_problem(exchange, minted.error());
  const auto row = row_of(*minted);
  const auto stored = co_await parts.database.write(exchange.loop(), [&row](store::Tx& tx) -> Result<bool> {
    if (auto ok = records::insert_key(tx, row); !ok) return fail(ok.error());
    return true;
  });
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
  for (auto& row : *rows) {
    if (const auto here = ring.last_used(row.id); here && (!row.last_used || *row.last_used < *here)) row.last_used = here;   // written once a minute
    keys.push_back(key_json(row));
  }
  for (const auto& key : ring.list()) {
    if (!key->configured) continue;
    const auto used = ring.last_used(key->id);
    keys.push_back(json::object{{"id", key->id}, {"name", key->name}, {"prefix", ""}, {"scopes", gateway::to_string(key->scopes)},
                                {"team", key->team}, {"user", key->user}, {"feature", key->feature}, {"configured", true},
                                {"last_used", used ? json::value(to_rfc3339(*used)) : json::value(nullptr)}});
  }
  co_await reply_json(exchange, 200, json::object{{"keys", std::move(keys)}});
}

Task<void> revoke(net::Exchange& exchange, const Parts& parts, std::string id) {
  const WallTime now = parts.clock.wall();
  if (const auto key = parts.gateway.world().keys.find(id); key && key->configured)
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_conflict, "this key stands in the configuration: remove it there", "id"});
  const auto done = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) -> Result<bool> {
    if (auto ok = records::revoke_key(tx, id, now); !ok) return fail(ok.error());
    return true;
  });
  if (!done) co_return co_await reply_problem(exchange, done.error());
  const auto gone = parts.gateway.world().keys.revoke(id);
  log::info("key_revoked", {{"id", id}, {"was_active", gone.has_value()}});
  co_await reply_json(exchange, 200, json::object{{"id", id}, {"revoked", true}});
}

}  // namespace

Task<bool> keys_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/keys/";
  const bool all = request.path == "/api/keys";
  if (!all && !request.path.starts_with(one)) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::admin);
  if (!who) {
    co_await reply_problem(exchange, who.error());
  } else if (all && request.method == "GET") {
    co_await list(exchange, parts);
  } else if (all && request.method == "POST") {
    co_await create(exchange, parts);
  } else if (!all && request.method == "DELETE") {
    co_await revoke(exchange, parts, net::percent_decode(request.path.substr(one.size()), false));
  } else {
    co_return false;
  }
  co_return true;
}

}  // namespace ballast::server
