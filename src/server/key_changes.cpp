#include "server/key_changes.hpp"

#include <span>

#include <fmt/ranges.h>

#include "base/config_node.hpp"
#include "base/text.hpp"
#include "cluster/topics.hpp"
#include "records/audit.hpp"
#include "server/key_rows.hpp"

namespace ballast::server {

namespace {

// A list of strings, or one string with commas. Nothing if it is not there.
Result<std::optional<std::vector<std::string>>> strings(const JsonRef& root, std::string_view key) {
  const auto at = root.find(key);
  if (!at) return std::optional<std::vector<std::string>>();
  std::vector<std::string> out;
  if (at->is_string()) {
    for (const auto part : split(*at->as<std::string_view>(), ','))
      if (const auto text = trim(part); !text.empty()) out.emplace_back(text);
    return std::optional(std::move(out));
  }
  if (!at->is_array()) return fail(at->error("must be a list of strings").error());
  for (std::size_t i = 0; i < at->size(); ++i) {
    auto s = at->item(i).as<std::string>();
    if (!s) return fail(std::move(s.error()));
    out.push_back(std::move(*s));
  }
  return std::optional(std::move(out));
}

Result<void> only_known(const json::value& document) {
  constexpr std::string_view known[] = {"name", "scopes", "models", "team", "user", "feature", "expires"};
  const auto* members = document.if_object();
  if (!members) return fail(ErrorCode::caller_invalid_request, "the body must be a JSON object");
  for (const auto& [name, ignored] : *members)
    if (std::ranges::find(known, std::string_view(name)) == std::end(known))
      return fail(ErrorCode::caller_invalid_request, fmt::format("is not known; there are {}", fmt::join(known, ", ")), std::string(name));
  return {};
}

Result<void> read_texts(const JsonRef& root, KeyChange& change) {
  for (const auto& [key, into] : {std::pair("name", &change.name), {"team", &change.team}, {"user", &change.user}, {"feature", &change.feature}}) {
    auto text = root.maybe<std::string>(key);
    if (!text) return fail(std::move(text.error()));
    if (*text && (*text)->size() > gateway::kMaxAttribution)
      return fail(ErrorCode::caller_invalid_request, fmt::format("is longer than {} bytes", gateway::kMaxAttribution), key);
    if (*text && (*text)->contains('\0')) return fail(ErrorCode::caller_invalid_request, "has a zero byte", key);
    *into = std::move(*text);
  }
  if (change.name && change.name->empty()) return fail(ErrorCode::caller_invalid_request, "must have 1 to 128 bytes", "name");
  return {};
}

Result<void> read_rights(const JsonRef& root, KeyChange& change) {
  auto scopes = strings(root, "scopes");
  if (!scopes) return fail(std::move(scopes.error()));
  if (*scopes && !(*scopes)->empty()) {
    auto parsed = gateway::scopes_from(fmt::format("{}", fmt::join(**scopes, ",")), "scopes");
    if (!parsed) return fail(std::move(parsed.error()));
    change.scopes = *parsed;
  }
  auto models = strings(root, "models");
  if (!models) return fail(std::move(models.error()));
  if (*models && (*models)->size() > 256) return fail(ErrorCode::caller_invalid_request, "more than 256 models", "models");
  change.models = std::move(*models);
  return {};
}

}  // namespace

Result<KeyChange> key_change_from(const json::value& document) {
  if (auto ok = only_known(document); !ok) return fail(std::move(ok.error()));
  const JsonRef root(document);
  KeyChange change;
  if (auto ok = read_texts(root, change); !ok) return fail(std::move(ok.error()));
  if (auto ok = read_rights(root, change); !ok) return fail(std::move(ok.error()));
  if (const auto* expires = document.as_object().if_contains("expires"); expires && expires->is_null()) {
    change.expires.emplace();
  } else if (expires) {
    auto text = root.get<std::string_view>("expires");
    if (!text) return fail(std::move(text.error()));
    auto at = parse_time(*text, "expires");
    if (!at) return fail(std::move(at.error()));
    change.expires.emplace(*at);
  }
  return change;
}

Result<gateway::KeyInfo> new_key_from(KeyChange change) {
  if (!change.name) return fail(ErrorCode::caller_invalid_request, "is required", "name");
  gateway::KeyInfo info{.name = std::move(*change.name), .team = std::move(change.team).value_or(""), .user = std::move(change.user).value_or(""),
                        .feature = std::move(change.feature).value_or("")};
  if (change.scopes) info.scopes = *change.scopes;
  info.models = std::move(change.models).value_or(std::vector<std::string>());
  info.expires = change.expires.value_or(std::nullopt);
  return info;
}

namespace {

// What the key is now, but for its secret.
Result<void> tell(store::Tx& tx, std::string_view action, const records::KeyRow& row, const KeyHand& hand) {
  const json::object now{{"name", row.name}, {"scopes", row.scopes}, {"models", json::value_from(row.models)}, {"team", row.team}, {"user", row.user},
                         {"feature", row.feature}, {"expires", row.expires ? json::value(to_rfc3339(*row.expires)) : json::value(nullptr)}};
  const records::AuditEntry entry{.actor = hand.actor, .action = std::string(action), .subject = row.id, .arguments = sha256(to_json(now)),
                                  .outcome = to_json(json::object{{"name", row.name}, {"scopes", row.scopes}}), .at = hand.now};
  auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), hand.now);
  if (!head) return std::unexpected(std::move(head.error()));
  return cluster::touch(tx, cluster::Topic::keys);
}

Result<records::KeyRow> living(store::Tx& tx, std::string_view id) {
  auto row = records::get_key(tx, id);
  if (row && row->revoked) return fail(ErrorCode::caller_conflict, "the key is revoked: make another", "id");
  return row;
}

}  // namespace

Result<void> add_key(store::Tx& tx, const records::KeyRow& row, const KeyHand& hand) {
  if (auto added = records::insert_key(tx, row); !added) return added;
  return tell(tx, records::audit::key_created, row, hand);
}

Result<gateway::MintedKey> create_key(store::Database& db, gateway::KeyInfo info, const KeyHand& hand) {
  auto minted = gateway::mint_key(std::move(info), hand.now);
  if (!minted) return minted;
  const auto row = row_of(*minted);
  const auto stored = db.write_now([&](store::Tx& tx) { return add_key(tx, row, hand); });
  if (!stored) return fail(stored.error());
  return minted;
}

Result<void> revoke_key(store::Tx& tx, std::string_view id, const KeyHand& hand) {
  if (auto revoked = records::revoke_key(tx, id, hand.now); !revoked) return revoked;
  const auto row = records::get_key(tx, id);
  if (!row) return fail(row.error());
  return tell(tx, records::audit::key_revoked, *row, hand);
}

Result<records::KeyRow> change_key(store::Tx& tx, std::string_view id, const KeyChange& change, const KeyHand& hand) {
  if (change.expires && *change.expires && **change.expires <= hand.now)
    return fail(ErrorCode::caller_invalid_request, "is in the past; to end the key now, revoke it", "expires");
  auto row = living(tx, id);
  if (!row) return row;
  const auto take = [](const auto& from, auto& into) {
    if (from) into = *from;
  };
  take(change.name, row->name);
  take(change.team, row->team);
  take(change.user, row->user);
  take(change.feature, row->feature);
  take(change.models, row->models);
  take(change.expires, row->expires);
  if (change.scopes) row->scopes = gateway::to_string(*change.scopes);
  if (auto done = records::update_key(tx, *row); !done) return fail(std::move(done.error()));
  if (auto told = tell(tx, records::audit::key_updated, *row, hand); !told) return fail(std::move(told.error()));
  return row;
}

Result<RotatedKey> rotate_key(store::Tx& tx, std::string_view id, Duration overlap, const KeyHand& hand) {
  const WallTime now = hand.now;
  auto row = living(tx, id);
  if (!row) return fail(std::move(row.error()));
  const auto minted = gateway::mint_key({.id = row->id, .name = row->name}, now);
  if (!minted) return fail(minted.error());
  RotatedKey rotated{minted->secret, std::move(*row)};
  auto& r = rotated.row;
  r.old_until = overlap > Duration::zero() ? std::optional(now + overlap) : std::nullopt;
  r.old_digest = r.digest;
  const auto fresh = row_of(*minted);
  r.digest = fresh.digest;
  r.prefix = fresh.prefix;
  if (auto done = records::rotate_key(tx, id, r.digest, r.prefix, r.old_until); !done) return fail(std::move(done.error()));
  if (auto told = tell(tx, records::audit::key_rotated, r, hand); !told) return fail(std::move(told.error()));
  return rotated;
}

}  // namespace ballast::server
