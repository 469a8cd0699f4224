#include "work/outbox_rows.hpp"

#include <algorithm>
#include <array>

namespace ballast::work {

namespace {

constexpr std::array<std::string_view, 3> kStates = {"pending", "delivered", "dead"};
constexpr int kNobody = -1;

#define BALLAST_OUTBOX_ENTRY "id, state, kind, url, secret, attempt, created_us, due_us, finished_us, status, why"

OutboxEntry entry_of(const store::Row& r) {
  OutboxEntry e;
  e.row = {.id = r.integer(0), .kind = r.string(2), .url = r.string(3), .body = {}, .secret_ref = r.string(4), .attempt = static_cast<std::uint32_t>(r.integer(5)), .created = from_unix_us(r.integer(6))};
  e.state = static_cast<OutboxState>(r.integer(1));
  if (e.state == OutboxState::pending) e.due = from_unix_us(r.integer(7));
  else e.finished = from_unix_us(r.integer(8));
  e.status = static_cast<int>(r.integer(9));
  e.why = r.string(10);
  return e;
}

Result<std::uint64_t> affected(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>(rows->affected());
}

Result<void> done(const Result<store::Rows>& rows) {
  if (!rows) return std::unexpected(rows.error());
  return {};
}

}  // namespace

std::string_view to_string(OutboxState state) { return kStates[static_cast<std::size_t>(state)]; }

std::optional<OutboxState> outbox_state_from(std::string_view name) {
  const auto at = std::ranges::find(kStates, name);
  if (at == kStates.end()) return std::nullopt;
  return static_cast<OutboxState>(at - kStates.begin());
}

Result<void> insert_outbox(store::Tx& tx, const OutboxRow& row) {
  return done(tx.run("INSERT INTO outbox (id, state, kind, url, secret, body, attempt, created_us, due_us, finished_us, holder, status, why) "
                     "VALUES ($1, 0, $2, $3, $4, $5, $6, $7, $7, 0, -1, 0, '') ON CONFLICT (id) DO NOTHING",
                     {row.id, row.kind, row.url, row.secret_ref, store::Value::bytes(row.body), row.attempt, unix_us(row.created)}));
}

Result<bool> outbox_due(store::Tx& tx, WallTime now) {
  auto rows = tx.run("SELECT 1 FROM outbox WHERE state = 0 AND due_us <= $1 LIMIT 1", {unix_us(now)});
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

Result<std::vector<OutboxRow>> take_outbox(store::Tx& tx, unsigned node, WallTime now, WallTime until, std::size_t most) {
#define BALLAST_TAKE "UPDATE outbox SET due_us = $1, holder = $2 WHERE id IN (SELECT id FROM outbox WHERE state = 0 AND due_us <= $3 ORDER BY due_us LIMIT $4"
#define BALLAST_TAKEN ") RETURNING id, kind, url, body, secret, attempt, created_us"
  static constexpr store::Statement take(BALLAST_TAKE BALLAST_TAKEN, BALLAST_TAKE " FOR UPDATE SKIP LOCKED" BALLAST_TAKEN);
  auto rows = tx.run(take, {unix_us(until), node, unix_us(now), most});
  if (!rows) return std::unexpected(rows.error());
  std::vector<OutboxRow> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows)
    out.push_back({.id = r.integer(0), .kind = r.string(1), .url = r.string(2), .body = r.string(3), .secret_ref = r.string(4),
                   .attempt = static_cast<std::uint32_t>(r.integer(5)), .created = from_unix_us(r.integer(6))});
  std::ranges::sort(out, {}, &OutboxRow::id);
  return out;
}

Result<std::uint64_t> release_outbox(store::Tx& tx, unsigned node, WallTime now) {
  return affected(tx.run("UPDATE outbox SET due_us = $1, holder = -1 WHERE state = 0 AND holder = $2", {unix_us(now), node}));
}

// `state < 1` is pending: said as the index of the pending says it, PostgreSQL would read through all of them (lives_sql.hpp).
Result<void> settle_outbox(store::Tx& tx, std::int64_t id, const Delivery& d, WallTime now) {
  using enum Delivery::Verdict;
  const bool over = d.verdict == delivered || d.verdict == dead;
  const OutboxState state = d.verdict == delivered ? OutboxState::delivered : d.verdict == dead ? OutboxState::dead : OutboxState::pending;
  if (d.verdict == put_back)
    return done(tx.run("UPDATE outbox SET due_us = $1, holder = -1 WHERE id = $2 AND state < 1", {unix_us(d.next), id}));
  return done(tx.run("UPDATE outbox SET state = $1, attempt = $2, due_us = $3, finished_us = $4, holder = $5, status = $6, why = $7 WHERE id = $8 AND state < 1",
                     {static_cast<int>(state), d.attempt, over ? 0 : unix_us(d.next), over ? unix_us(now) : 0, kNobody, d.status, d.why, id}));
}

// The dead, and those still owed, have an index of their own; of the others most are delivered.
Result<std::vector<OutboxEntry>> list_outbox(store::Tx& tx, std::optional<OutboxState> state, std::int64_t before, std::size_t limit) {
  static constexpr store::Statement any("SELECT " BALLAST_OUTBOX_ENTRY " FROM outbox WHERE id < $1 ORDER BY id DESC LIMIT $2");
  static constexpr store::Statement of_state[] = {
      store::Statement("SELECT " BALLAST_OUTBOX_ENTRY " FROM outbox WHERE state = 0 AND id < $1 ORDER BY id DESC LIMIT $2"),
      store::Statement("SELECT " BALLAST_OUTBOX_ENTRY " FROM outbox WHERE state = 1 AND id < $1 ORDER BY id DESC LIMIT $2"),
      store::Statement("SELECT " BALLAST_OUTBOX_ENTRY " FROM outbox WHERE state = 2 AND id < $1 ORDER BY id DESC LIMIT $2"),
  };
  auto rows = tx.run(state ? of_state[static_cast<std::size_t>(*state)] : any, {before ? before : INT64_MAX, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<OutboxEntry> out;
  for (const store::Row r : *rows) out.push_back(entry_of(r));
  return out;
}

Result<std::optional<OutboxEntry>> get_outbox(store::Tx& tx, std::int64_t id) {
  auto rows = tx.run("SELECT " BALLAST_OUTBOX_ENTRY ", body FROM outbox WHERE id = $1", {id});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::optional<OutboxEntry>{};
  OutboxEntry e = entry_of((*rows)[0]);
  e.row.body = (*rows)[0].string(11);
  return std::optional<OutboxEntry>(std::move(e));
}

Result<void> redrive_outbox(store::Tx& tx, std::int64_t id, WallTime now) {
  const auto changed = affected(tx.run("UPDATE outbox SET state = 0, attempt = 0, due_us = $1, finished_us = 0, holder = -1 WHERE id = $2 AND state <> 0", {unix_us(now), id}));
  if (!changed) return std::unexpected(changed.error());
  if (*changed == 1) return {};
  const auto there = get_outbox(tx, id);
  if (!there) return std::unexpected(there.error());
  if (!*there) return fail(ErrorCode::caller_not_found, "there is no such webhook, or not any more", "id");
  return fail(ErrorCode::caller_conflict, "is to be delivered already: it waits for its next attempt", "id");
}

Result<std::vector<OutboxBody>> alert_bodies(store::Tx& tx, std::int64_t after, std::size_t limit) {
  auto rows = tx.run("SELECT id, body FROM outbox WHERE id > $1 AND kind IN ('alert.firing', 'alert.resolved') ORDER BY id LIMIT $2", {after, limit});
  if (!rows) return std::unexpected(rows.error());
  std::vector<OutboxBody> out;
  out.reserve(rows->size());
  for (const store::Row r : *rows) out.push_back({r.integer(0), r.string(1)});
  return out;
}

Result<void> replace_bodies(store::Tx& tx, std::span<const OutboxBody> rows) {
  store::Batch batch(2);
  for (const OutboxBody& r : rows) batch.add({store::Value::bytes(r.body), r.id});
  auto done = tx.run_many("UPDATE outbox SET body = $1 WHERE id = $2", batch);
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<OutboxFigures> outbox_figures(store::Tx& tx) {
  auto rows = tx.run("SELECT (SELECT COUNT(*) FROM outbox WHERE state = 0), (SELECT COUNT(*) FROM outbox WHERE state = 2)");
  if (!rows) return std::unexpected(rows.error());
  return OutboxFigures{static_cast<std::uint64_t>((*rows)[0].integer(0)), static_cast<std::uint64_t>((*rows)[0].integer(1))};
}

Result<std::uint64_t> sweep_outbox(store::Tx& tx, WallTime before, std::size_t limit) {
  return affected(tx.run("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state <> 0 AND finished_us <= $1 ORDER BY finished_us LIMIT $2)", {unix_us(before), limit}));
}

}  // namespace ballast::work
