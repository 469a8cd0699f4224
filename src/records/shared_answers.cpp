#include "records/shared_answers.hpp"

#include "base/compress.hpp"
#include "records/codec.hpp"
#include "records/sql_values.hpp"

namespace ballast::records {

namespace {

using store::Value;

constexpr std::size_t kMostPlain = std::size_t{64} << 20;
constexpr std::size_t kMostName = 512;

Result<std::uint64_t> affected(Result<store::Rows> done) {
  if (!done) return std::unexpected(std::move(done.error()));
  return static_cast<std::uint64_t>(done->affected());
}

}  // namespace

std::string pack_answer(const SharedAnswer& a) {
  std::string plain(a.content_type.size() + a.body.size() + a.served_by.size() + a.call_id.size() + 96, '\0');
  ByteWriter w(plain.data());
  w.varint(static_cast<std::uint64_t>(a.status));
  w.varint(a.input_tokens);
  w.varint(a.output_tokens);
  w.zigzag(a.cost_nano);
  w.text(a.content_type);
  w.text(a.served_by);
  w.text(a.call_id);
  w.text(a.body);
  plain.resize(static_cast<std::size_t>(w.at() - plain.data()));
  return pack(plain);
}

Result<SharedAnswer> unpack_answer(std::string_view packed) {
  const auto bad = [] { return fail(ErrorCode::internal_error, "a shared answer is damaged"); };
  const auto plain = unpack(packed, kMostPlain);
  if (!plain) return bad();
  ByteReader r(*plain);
  SharedAnswer out;
  out.status = static_cast<int>(r.varint());
  out.input_tokens = r.varint();
  out.output_tokens = r.varint();
  out.cost_nano = r.zigzag();
  out.content_type = r.text();
  out.served_by = r.text();
  out.call_id = r.text();
  out.body = r.text();
  if (!r.good()) return bad();
  return out;
}

Result<void> put_shared_answers(store::Tx& tx, std::span<const SharedAnswerRow> rows) {
  if (rows.empty()) return {};
  std::vector<const SharedAnswerRow*> ordered;             // one order on every node: no deadlocks
  for (const SharedAnswerRow& row : rows) ordered.push_back(&row);
  std::ranges::sort(ordered, {}, [](const SharedAnswerRow* row) { return row->digest; });
  std::vector<std::string> routes;
  routes.reserve(rows.size());
  store::Batch batch(7);
  batch.reserve(rows.size());
  for (const SharedAnswerRow* row : ordered) {
    routes.push_back(stored_text(row->route, kMostName));  // one that is no route's is whatever a caller named
    batch.add({bytes_of(row->digest), routes.back(), row->user, unix_us(row->stored), unix_us(row->expires), static_cast<std::int64_t>(row->packed.size()), Value::bytes(row->packed)});
  }
  auto done = tx.run_many("INSERT INTO shared_answers (digest, route, user_id, stored_us, expires_us, bytes, packed) VALUES ($1, $2, $3, $4, $5, $6, $7) "
                          "ON CONFLICT (digest) DO UPDATE SET route = excluded.route, user_id = excluded.user_id, stored_us = excluded.stored_us, "
                          "expires_us = excluded.expires_us, bytes = excluded.bytes, packed = excluded.packed WHERE shared_answers.stored_us <= excluded.stored_us", batch);
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<std::vector<SharedAnswerRow>> find_shared_answers(store::Tx& tx, std::span<const Digest> digests, WallTime now) {
  static const ListStatement statement("SELECT digest, stored_us, expires_us, packed FROM shared_answers WHERE expires_us > $1 AND digest IN", 2);
  std::vector<SharedAnswerRow> out;
  for (auto left = digests; !left.empty();) {
    std::vector<Value> args{unix_us(now)};
    const auto sql = statement.take(left, args, [](const Digest& d) { return bytes_of(d); });
    auto rows = tx.run(sql, args);
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (const store::Row r : *rows)
      out.push_back({.digest = digest_from(r.bytes(0)), .route = {}, .user = {}, .stored = wall_from_us(r.integer(1)), .expires = wall_from_us(r.integer(2)), .packed = std::string(r.bytes(3))});
  }
  return out;
}

Result<bool> has_shared_answers(store::Tx& tx, std::string_view route, WallTime now) {
  auto rows = tx.run("SELECT 1 FROM shared_answers WHERE route = $1 AND expires_us > $2 LIMIT 1", {stored_text(route, kMostName), unix_us(now)});
  if (!rows) return std::unexpected(std::move(rows.error()));
  return !rows->empty();
}

Result<SharedSum> sum_shared_answers(store::Tx& tx) {
  auto rows = tx.run("SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM shared_answers");
  if (!rows) return std::unexpected(std::move(rows.error()));
  return SharedSum{static_cast<std::uint64_t>((*rows)[0].integer(0)), static_cast<std::uint64_t>((*rows)[0].integer(1))};
}

Result<std::uint64_t> delete_expired_answers(store::Tx& tx, WallTime now, std::size_t limit) {
  return affected(tx.run("DELETE FROM shared_answers WHERE digest IN (SELECT digest FROM shared_answers WHERE expires_us <= $1 ORDER BY expires_us LIMIT $2)", {unix_us(now), limit}));
}

Result<SharedSum> delete_oldest_answers(store::Tx& tx, std::size_t limit) {
  auto rows = tx.run("DELETE FROM shared_answers WHERE digest IN (SELECT digest FROM shared_answers ORDER BY stored_us LIMIT $1) RETURNING bytes", {limit});
  if (!rows) return std::unexpected(std::move(rows.error()));
  SharedSum gone;
  for (const store::Row r : *rows) {
    ++gone.answers;
    gone.bytes += static_cast<std::uint64_t>(r.integer(0));
  }
  return gone;
}

Result<std::uint64_t> delete_shared_answers_of(store::Tx& tx, std::string_view user, std::size_t limit) {
  return affected(tx.run("DELETE FROM shared_answers WHERE digest IN (SELECT digest FROM shared_answers WHERE user_id = $1 AND user_id <> '' LIMIT $2)", {user, limit}));
}

}  // namespace ballast::records
