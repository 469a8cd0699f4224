#include "store/moves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "store/transfer_side.hpp"

namespace ballast::store {

namespace {

constexpr std::array<std::string_view, 6> kStates = {"open", "left", "filling", "whole", "done", "used"};

// store_move_ranges: what a target was given, by the last key of each range of a table.
constexpr std::string_view kTables[] = {
    "CREATE TABLE IF NOT EXISTS store_moves (role {text} NOT NULL PRIMARY KEY, id {text} NOT NULL, state {text} NOT NULL, other {text} NOT NULL, at_us {int} NOT NULL) {table}",
    "CREATE TABLE IF NOT EXISTS store_move_ranges (table_name {text} NOT NULL, upper {blob} NOT NULL, n {int} NOT NULL, bytes {int} NOT NULL, high {int} NOT NULL, "
    "low {int} NOT NULL, checked {int} NOT NULL, PRIMARY KEY (table_name, upper)) {table}",
};
constexpr std::string_view kNotes = "CREATE TABLE IF NOT EXISTS store_move_notes (role {text} NOT NULL PRIMARY KEY, note {text} NOT NULL) {table}";
constexpr Statement kIsThere = {"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"};
constexpr const char* kRead = "SELECT id, state, other, at_us FROM store_moves WHERE role = $1";

std::string_view name_of(MoveEnd end) { return end == MoveEnd::from ? "from" : "to"; }

std::optional<Move> move_of(const Rows& rows) {
  if (rows.empty()) return std::nullopt;
  const Row r = rows[0];
  const auto state = std::ranges::find(kStates, r.text(1));
  return Move{.id = r.string(0), .state = state == kStates.end() ? MoveState::filling : static_cast<MoveState>(state - kStates.begin()), .other = r.string(2),
              .at = from_unix_us(r.integer(3))};
}

Result<std::optional<Move>> read_with(const auto& run, Dialect dialect, MoveEnd end) {
  auto there = run(kIsThere.text(dialect), Args{"store_moves"});
  if (!there) return std::unexpected(there.error());
  if (there->empty()) return std::optional<Move>();
  auto rows = run(kRead, Args{name_of(end)});
  if (!rows) return std::unexpected(rows.error());
  return move_of(*rows);
}

}  // namespace

Result<void> write_note(TransferSide& side, std::string_view note) {
  if (auto made = side.run(expand_sql(side.dialect(), kNotes)); !made) return std::unexpected(made.error());
  auto done = side.run("INSERT INTO store_move_notes (role, note) VALUES ('to', $1) ON CONFLICT (role) DO UPDATE SET note = excluded.note", {note});
  return done ? Result<void>{} : std::unexpected(done.error());
}

Result<std::optional<std::string>> take_note(Tx& tx) {
  auto there = tx.run(kIsThere, {"store_move_notes"});
  if (!there) return std::unexpected(there.error());
  if (there->empty()) return std::optional<std::string>();
  auto rows = tx.run("DELETE FROM store_move_notes RETURNING note");
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? std::optional<std::string>() : std::optional((*rows)[0].string(0));
}

std::string_view to_string(MoveState state) { return kStates[static_cast<std::size_t>(state)]; }

std::string shown_url(std::string_view url) {
  if (url.starts_with("sqlite:")) return std::string(url);
  std::string_view rest = url.substr(std::min(url.size(), url.find("://") + 3));
  rest = rest.substr(0, rest.find('?'));
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  return fmt::format("postgres://{}", rest);
}

Result<void> refuse_moved(Tx& tx) {
  const auto run = [&](std::string_view sql, Args args) { return tx.run(Statement(sql), args); };
  auto from = read_with(run, tx.dialect(), MoveEnd::from);
  if (!from) return std::unexpected(from.error());
  if (*from && (**from).state == MoveState::left)
    return fail(ErrorCode::caller_conflict, fmt::format("this database was moved to {} at {} and is the installation no more: configure that one; as long as nothing has used it, "
                                                        "`ballast migrate-store --take-back` makes this one count again", (**from).other, to_rfc3339((**from).at)), "database");
  auto to = read_with(run, tx.dialect(), MoveEnd::to);
  if (!to) return std::unexpected(to.error());
  if (!*to || (**to).state == MoveState::used) return {};
  if ((**to).state != MoveState::done)
    return fail(ErrorCode::caller_conflict, fmt::format("`ballast migrate-store` has begun to fill this database from {} and has not finished: run it again, until it says that all is moved", (**to).other),
                "database");
  for (const char* sql : {"UPDATE store_moves SET state = 'used' WHERE role = 'to'", "DELETE FROM store_move_ranges"})
    if (auto used = tx.run(sql); !used) return std::unexpected(used.error());
  return {};
}

Result<std::optional<Move>> read_move(TransferSide& side, MoveEnd end) {
  return read_with([&](std::string_view sql, Args args) { return side.run(sql, args); }, side.dialect(), end);
}

Result<void> write_move(TransferSide& side, MoveEnd end, const Move& move) {
  for (const std::string_view sql : kTables)
    if (auto made = side.run(expand_sql(side.dialect(), sql)); !made) return std::unexpected(made.error());
  auto done = side.run("INSERT INTO store_moves (role, id, state, other, at_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (role) DO UPDATE SET id = excluded.id, "
                       "state = excluded.state, other = excluded.other, at_us = excluded.at_us", {name_of(end), move.id, to_string(move.state), move.other, unix_us(move.at)});
  return done ? Result<void>{} : std::unexpected(done.error());
}

}  // namespace ballast::store
