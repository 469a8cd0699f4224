#include "server/key_rows.hpp"

#include "base/clock.hpp"

namespace ballast::server {

records::KeyRow row_of(const gateway::MintedKey& key) {
  const auto& info = key.stored.info;
  records::KeyRow row{.id = info.id, .name = info.name};
  std::memcpy(row.digest.data(), key.stored.digest.data(), row.digest.size());
  row.prefix = key.secret.substr(0, 12);
  row.scopes = gateway::to_string(info.scopes);
  row.models = info.models;
  row.team = info.team;
  row.user = info.user;
  row.feature = info.feature;
  row.created = info.created;
  row.expires = info.expires;
  return row;
}

Result<gateway::StoredKey> stored_of(const records::KeyRow& row) {
  auto scopes = gateway::scopes_from(row.scopes, "scopes");
  if (!scopes) return fail(std::move(scopes.error()));
  gateway::StoredKey key;
  std::memcpy(key.digest.data(), row.digest.data(), key.digest.size());
  key.info = {.id = row.id, .name = row.name, .team = row.team, .user = row.user, .feature = row.feature, .scopes = *scopes,
              .models = row.models, .created = row.created, .expires = row.expires};
  key.old_digest = row.old_digest;
  key.old_until = row.old_until;
  return key;
}

json::object key_json(const records::KeyRow& row) {
  json::object o{{"id", row.id}, {"name", row.name}, {"prefix", row.prefix + "…"}, {"scopes", row.scopes}};
  json::array models;
  for (const auto& m : row.models) models.push_back(json::value(m));
  o["models"] = std::move(models);
  o["team"] = row.team;
  o["user"] = row.user;
  o["feature"] = row.feature;
  o["created"] = to_rfc3339(row.created);
  const auto when = [](const std::optional<WallTime>& t) { return t ? json::value(to_rfc3339(*t)) : json::value(nullptr); };
  o["expires"] = when(row.expires);
  o["revoked"] = when(row.revoked);
  o["old_secret_until"] = when(row.old_until);
  o["last_used"] = when(row.last_used);
  return o;
}

Result<std::vector<gateway::StoredKey>> load_keys(store::Database& db) {
  auto rows = db.read_now([](store::Tx& tx) { return records::list_keys(tx); });
  if (!rows) return fail(std::move(rows.error()));
  std::vector<gateway::StoredKey> keys;
  keys.reserve(rows->size());
  for (const auto& row : *rows) {
    auto key = stored_of(row);
    if (!key) return fail(std::move(key.error()));
    keys.push_back(std::move(*key));
  }
  return keys;
}

}  // namespace ballast::server
