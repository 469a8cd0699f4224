#include "records/keys.hpp"

#include "base/json.hpp"

namespace ballast::records {

namespace {

constexpr std::string_view kColumns =
    "id, name, digest, prefix, scopes, models, team, user_id, feature, created_us, expires_us, revoked_us, used_us, old_digest, old_until_us";

std::optional<std::int64_t> maybe_us(const std::optional<WallTime>& t) { return t ? std::optional(unix_us(*t)) : std::nullopt; }
WallTime from_us(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }
std::optional<WallTime> maybe_from_us(std::optional<std::int64_t> us) { return us ? std::optional(from_us(*us)) : std::nullopt; }
std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

std::string models_json(const std::vector<std::string>& models) {
  json::array list;
  for (const std::string& m : models) list.emplace_back(m);
  return to_json(list);
}

Digest digest_of(std::string_view bytes) {
  Digest d{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), d.size()), d.begin());
  return d;
}

KeyRow key_of(store::Row r) {
  KeyRow k;
  k.id = r.string(0);
  k.name = r.string(1);
  k.digest = digest_of(r.bytes(2));
  k.prefix = r.string(3);
  k.scopes = r.string(4);
  if (auto models = parse_json(r.text(5)); models && models->is_array())
    for (const auto& m : models->get_array())
      if (m.is_string()) k.models.emplace_back(m.get_string());
  k.team = r.string(6);
  k.user = r.string(7);
  k.feature = r.string(8);
  k.created = from_us(r.integer(9));
  k.expires = maybe_from_us(r.maybe_integer(10));
  k.revoked = maybe_from_us(r.maybe_integer(11));
  k.last_used = maybe_from_us(r.maybe_integer(12));
  k.old_until = maybe_from_us(r.maybe_integer(14));
  if (k.old_until) k.old_digest = digest_of(r.bytes(13));
  return k;
}

Result<std::vector<KeyRow>> select(store::Tx& tx, std::string_view rest, store::Args args) {
  const std::string sql = "SELECT " + std::string(kColumns) + " FROM api_keys " + std::string(rest);
  auto rows = tx.run(store::Statement(std::string_view(sql)), args);
  if (!rows) return std::unexpected(rows.error());
  std::vector<KeyRow> out;
  out.reserve(rows->size());
  for (store::Row r : *rows) out.push_back(key_of(r));
  return out;
}

Result<void> none(std::string_view what, std::string_view id) {
  return fail(ErrorCode::caller_not_found, "there is no " + std::string(what) + " " + std::string(id));
}

}  // namespace

Result<void> insert_key(store::Tx& tx, const KeyRow& k) {
  const std::string models = models_json(k.models);
  auto done = tx.run(
      "INSERT INTO api_keys (id, name, digest, prefix, scopes, models, team, user_id, feature, created_us, expires_us, revoked_us, used_us) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
      {k.id, k.name, store::Value::bytes(view(k.digest)), k.prefix, k.scopes, models, k.team, k.user, k.feature, unix_us(k.created),
       maybe_us(k.expires), maybe_us(k.revoked), maybe_us(k.last_used)});
  if (!done) return std::unexpected(done.error());
  if (done->affected() == 0) return fail(ErrorCode::caller_conflict, "a key with this id or this secret exists");
  return {};
}

Result<std::vector<KeyRow>> list_keys(store::Tx& tx, bool with_revoked, std::size_t limit) {
  std::vector<KeyRow> out;
  std::int64_t after_us = INT64_MIN;
  std::string after_id;
  while (out.size() < limit) {
    const std::size_t page = std::min<std::size_t>(limit - out.size(), 10'000);
    auto keys = select(tx, with_revoked ? "WHERE (created_us, id) > ($1, $2) ORDER BY created_us, id LIMIT $3"
                                        : "WHERE revoked_us IS NULL AND (created_us, id) > ($1, $2) ORDER BY created_us, id LIMIT $3",
                       {after_us, after_id, page});
    if (!keys) return keys;
    const bool last = keys->size() < page;
    std::move(keys->begin(), keys->end(), std::back_inserter(out));
    if (last) break;
    after_us = unix_us(out.back().created);
    after_id = out.back().id;
  }
  return out;
}

Result<KeyRow> get_key(store::Tx& tx, std::string_view id) {
  auto keys = select(tx, "WHERE id = $1", {id});
  if (!keys) return std::unexpected(keys.error());
  if (keys->empty()) return std::unexpected(none("key", id).error());
  return std::move(keys->front());
}

Result<std::optional<KeyRow>> find_key(store::Tx& tx, const Digest& digest) {
  auto keys = select(tx, "WHERE digest = $1", {store::Value::bytes(view(digest))});
  if (!keys) return std::unexpected(keys.error());
  if (keys->empty()) return std::optional<KeyRow>();
  return std::optional(std::move(keys->front()));
}

Result<void> revoke_key(store::Tx& tx, std::string_view id, WallTime at) {
  auto done = tx.run("UPDATE api_keys SET revoked_us = coalesce(revoked_us, $2) WHERE id = $1", {id, unix_us(at)});
  if (!done) return std::unexpected(done.error());
  return done->affected() == 0 ? none("key", id) : Result<void>();
}

Result<void> update_key(store::Tx& tx, const KeyRow& k) {
  const std::string models = models_json(k.models);
  auto done = tx.run(
      "UPDATE api_keys SET name = $2, scopes = $3, models = $4, team = $5, user_id = $6, feature = $7, expires_us = $8 "
      "WHERE id = $1 AND revoked_us IS NULL",
      {k.id, k.name, k.scopes, models, k.team, k.user, k.feature, maybe_us(k.expires)});
  if (!done) return std::unexpected(done.error());
  return done->affected() == 0 ? none("key", k.id) : Result<void>();
}

Result<void> rotate_key(store::Tx& tx, std::string_view id, const Digest& digest, std::string_view prefix, std::optional<WallTime> old_until) {
  auto done = tx.run(
      "UPDATE api_keys SET old_digest = digest, digest = $2, prefix = $3, old_until_us = $4 WHERE id = $1 AND revoked_us IS NULL",
      {id, store::Value::bytes(view(digest)), prefix, maybe_us(old_until)});
  if (!done) return std::unexpected(done.error());
  return done->affected() == 0 ? none("key", id) : Result<void>();
}

Result<void> touch_keys(store::Tx& tx, std::span<const KeyUse> uses) {
  std::vector<const KeyUse*> ordered;  // one order on every node: no deadlocks
  for (const KeyUse& u : uses) ordered.push_back(&u);
  std::sort(ordered.begin(), ordered.end(), [](auto* a, auto* b) { return a->id < b->id; });
  store::Batch batch(2);
  for (const KeyUse* u : ordered) batch.add({u->id, unix_us(u->at)});
  auto done = tx.run_many("UPDATE api_keys SET used_us = $2 WHERE id = $1 AND coalesce(used_us, 0) < $2", batch);
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<void> insert_team(store::Tx& tx, const TeamRow& t) {
  auto done = tx.run("INSERT INTO teams (id, name, created_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", {t.id, t.name, unix_us(t.created)});
  if (!done) return std::unexpected(done.error());
  if (done->affected() == 0) return fail(ErrorCode::caller_conflict, "the team " + t.id + " exists");
  return {};
}

Result<std::vector<TeamRow>> list_teams(store::Tx& tx, std::size_t limit) {
  auto rows = tx.run("SELECT id, name, created_us FROM teams ORDER BY id LIMIT $1", {limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<TeamRow> out;
  for (store::Row r : *rows) out.push_back({r.string(0), r.string(1), from_us(r.integer(2))});
  return out;
}

Result<void> delete_team(store::Tx& tx, std::string_view id) {
  auto done = tx.run("DELETE FROM teams WHERE id = $1", {id});
  if (!done) return std::unexpected(done.error());
  return done->affected() == 0 ? none("team", id) : Result<void>();
}

}  // namespace ballast::records
