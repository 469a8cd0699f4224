#include "records/idempotency.hpp"

#include "base/compress.hpp"
#include "records/codec.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kMaxReply = std::size_t{256} << 20;

std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
WallTime from_us(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }

constexpr const char* kSelect =
    "SELECT body_hash, call_id, owner, state, created_us, expires_us, reply FROM idempotency WHERE key_id = $1 AND idem_key = $2";

Result<bool> changed(Result<store::Rows> rows) {
  if (!rows) return std::unexpected(rows.error());
  return rows->affected() > 0;
}

}  // namespace

// Packed (base/compress): status, stream flag, headers, body.
std::string pack_reply(const StoredReply& reply) {
  std::string plain(reply.headers.size() + reply.body.size() + 48, '\0');
  ByteWriter w(plain.data());
  w.varint(static_cast<std::uint64_t>(reply.status));
  w.byte(reply.stream ? 1 : 0);
  w.text(reply.headers);
  w.text(reply.body);
  plain.resize(static_cast<std::size_t>(w.at() - plain.data()));

  return pack(plain);
}

Result<StoredReply> unpack_reply(std::string_view packed) {
  const auto bad = [] { return fail(ErrorCode::internal_error, "a stored reply is damaged"); };
  const auto plain = unpack(packed, kMaxReply);
  if (!plain) return bad();
  ByteReader r(*plain);
  StoredReply out;
  out.status = static_cast<int>(r.varint());
  out.stream = r.byte() != 0;
  out.headers = r.text();
  out.body = r.text();
  if (!r.good()) return bad();
  return out;
}

Result<std::optional<IdempotencyRow>> find_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key) {
  auto rows = tx.run(kSelect, {key_id, store::Value::bytes(key)});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<IdempotencyRow>();
  const store::Row r = (*rows)[0];
  IdempotencyRow out;
  out.key_id = key_id;
  out.key = key;
  const auto hash = r.bytes(0);
  std::copy_n(hash.begin(), std::min(hash.size(), out.body_hash.size()), out.body_hash.begin());
  out.call = id_from_bytes(r.bytes(1)).value_or(Id{});
  out.owner = r.string(2);
  out.state = static_cast<IdempotencyState>(r.integer(3));
  out.created = from_us(r.integer(4));
  out.expires = from_us(r.integer(5));
  out.reply = r.string(6);
  return std::optional(std::move(out));
}

Result<IdempotencyRow> begin_idempotent(store::Tx& tx, const IdempotencyRow& row, WallTime now) {
  const std::string call = to_bytes(row.call);
  for (int round = 0; round < 3; ++round) {
    auto taken = changed(tx.run(
        "INSERT INTO idempotency (key_id, idem_key, body_hash, call_id, owner, state, created_us, expires_us) VALUES ($1, $2, $3, $4, $5, 1, $6, $7) "
        "ON CONFLICT (key_id, idem_key) DO UPDATE SET body_hash = excluded.body_hash, call_id = excluded.call_id, owner = excluded.owner, state = 1, "
        "created_us = excluded.created_us, expires_us = excluded.expires_us, reply = NULL WHERE idempotency.expires_us <= $8",
        {row.key_id, store::Value::bytes(row.key), store::Value::bytes(view(row.body_hash)), store::Value::bytes(call), row.owner, unix_us(row.created),
         unix_us(row.expires), unix_us(now)}));
    if (!taken) return std::unexpected(taken.error());
    if (*taken) {
      IdempotencyRow fresh = row;
      fresh.state = IdempotencyState::fresh;
      return fresh;
    }
    auto found = find_idempotent(tx, row.key_id, row.key);
    if (!found) return std::unexpected(found.error());
    if (*found) return std::move(**found);
    // Deleted between the two statements (PostgreSQL shows each statement the present): once more.
  }
  return fail(ErrorCode::internal_unavailable, "the idempotency key is being changed by others", "Idempotency-Key");
}

Result<void> finish_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call, std::string_view packed_reply) {
  const std::string id = to_bytes(call);
  auto done = changed(tx.run("UPDATE idempotency SET state = 2, reply = $4 WHERE key_id = $1 AND idem_key = $2 AND call_id = $3",
                             {key_id, store::Value::bytes(key), store::Value::bytes(id), store::Value::bytes(packed_reply)}));
  if (!done) return std::unexpected(done.error());
  if (!*done) return fail(ErrorCode::caller_conflict, "the idempotency key belongs to another call by now", "Idempotency-Key");
  return {};
}

Result<void> forget_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call) {
  const std::string id = to_bytes(call);
  auto done = changed(tx.run("DELETE FROM idempotency WHERE key_id = $1 AND idem_key = $2 AND call_id = $3 AND state = 1",
                             {key_id, store::Value::bytes(key), store::Value::bytes(id)}));
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<bool> retake_idempotent(store::Tx& tx, std::string_view key_id, std::string_view key, Id call, std::string_view owner) {
  const std::string id = to_bytes(call);
  return changed(tx.run("UPDATE idempotency SET state = 1, call_id = $3, owner = $4 WHERE key_id = $1 AND idem_key = $2 AND state = 3",
                        {key_id, store::Value::bytes(key), store::Value::bytes(id), owner}));
}

Result<std::uint64_t> disown_idempotent(store::Tx& tx, std::string_view owner_prefix, std::string_view alive) {
  auto done = tx.run("UPDATE idempotency SET state = 3 WHERE state = 1 AND owner <> $2 AND substr(owner, 1, length($1)) = $1", {owner_prefix, alive});
  if (!done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(done->affected());
}

Result<std::uint64_t> disown_idempotent_of(store::Tx& tx, std::string_view boot) {
  const std::string end = ":" + std::string(boot);
  auto done = tx.run("UPDATE idempotency SET state = 3 WHERE state = 1 AND substr(owner, length(owner) - length($1) + 1) = $1", {end});
  if (!done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(done->affected());
}

Result<std::uint64_t> sweep_idempotent(store::Tx& tx, WallTime now, std::size_t limit) {
  // Not a started row: its call may still run; it goes when it has ended, or with its process.
  auto done = tx.run(
      "DELETE FROM idempotency WHERE (key_id, idem_key) IN (SELECT key_id, idem_key FROM idempotency WHERE expires_us <= $1 AND state <> 1 "
      "ORDER BY expires_us LIMIT $2)",
      {unix_us(now), limit});
  if (!done) return std::unexpected(done.error());
  return static_cast<std::uint64_t>(done->affected());
}

}  // namespace ballast::records
