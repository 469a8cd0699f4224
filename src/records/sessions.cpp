#include "records/sessions.hpp"

#include "records/sql_values.hpp"

namespace ballast::records {

namespace {

SessionRow session_of(store::Row r) {
  return {.digest = digest_from(r.bytes(0)), .key_id = r.string(1), .proof = digest_from(r.bytes(2)), .created = wall_from_us(r.integer(3)),
          .expires = wall_from_us(r.integer(4)), .seen = wall_from_us(r.integer(5))};
}

}  // namespace

Result<void> insert_session(store::Tx& tx, const SessionRow& s) {
  auto done = tx.run("INSERT INTO sessions (digest, key_id, proof, created_us, expires_us, seen_us) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                     {bytes_of(s.digest), s.key_id, bytes_of(s.proof), unix_us(s.created), unix_us(s.expires), unix_us(s.seen)});
  if (!done) return std::unexpected(done.error());
  if (done->affected() == 0) return fail(ErrorCode::caller_conflict, "a session with this token exists");
  return {};
}

Result<std::optional<SessionRow>> find_session(store::Tx& tx, const Digest& digest) {
  auto rows = tx.run("SELECT digest, key_id, proof, created_us, expires_us, seen_us FROM sessions WHERE digest = $1", {bytes_of(digest)});
  if (!rows) return std::unexpected(rows.error());
  for (store::Row r : *rows) return session_of(r);
  return std::nullopt;
}

Result<void> bound_sessions(store::Tx& tx, std::string_view key_id, std::size_t most) {
  auto done = tx.run("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE key_id = $1 ORDER BY seen_us DESC, digest LIMIT 1000 OFFSET $2)", {key_id, most});
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::vector<SessionRow>> list_sessions(store::Tx& tx, WallTime now, std::size_t limit) {
  auto rows = tx.run("SELECT digest, key_id, proof, created_us, expires_us, seen_us FROM sessions WHERE expires_us > $1 ORDER BY created_us DESC LIMIT $2", {unix_us(now), limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<SessionRow> out;
  out.reserve(rows->size());
  for (store::Row r : *rows) out.push_back(session_of(r));
  return out;
}

Result<void> touch_sessions(store::Tx& tx, std::span<const SessionUse> uses) {
  std::vector<const SessionUse*> ordered;  // one order on every node: no deadlocks
  for (const SessionUse& u : uses) ordered.push_back(&u);
  std::ranges::sort(ordered, {}, [](const SessionUse* u) { return u->digest; });
  store::Batch batch(2);
  for (const SessionUse* u : ordered) batch.add({bytes_of(u->digest), unix_us(u->at)});
  auto done = tx.run_many("UPDATE sessions SET seen_us = $2 WHERE digest = $1 AND seen_us < $2", batch);
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<void> delete_session(store::Tx& tx, const Digest& digest) {
  auto done = tx.run("DELETE FROM sessions WHERE digest = $1", {bytes_of(digest)});
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::uint64_t> sweep_sessions(store::Tx& tx, WallTime now, WallTime idle_since) {
  auto done = tx.run("DELETE FROM sessions WHERE expires_us <= $1 OR seen_us < $2", {unix_us(now), unix_us(idle_since)});
  if (!done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(done->affected());
}

}  // namespace ballast::records
