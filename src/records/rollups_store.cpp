#include "records/rollups_store.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/compress.hpp"
#include "records/ledger_scan.hpp"

namespace ballast::records {

namespace {

using store::Value;

constexpr std::int64_t kRecent = 3'600;   // seconds: retention takes nothing younger, whatever clocks say

std::int64_t minute_of(Id id) { return floor_to(id.unix_ms() / 1'000, 60); }
Id first_id_of(std::int64_t second) { return {static_cast<std::uint64_t>(std::max<std::int64_t>(0, second) * 1'000) << 16, 0}; }

std::int64_t fresh_seq(const CallBlock& b) {
  return static_cast<std::int64_t>(hash_mix(hash_mix(b.last.high, b.last.low), hash_mix(b.first.high, b.first.low ^ b.calls)) >> 2);
}

// Calls of a summary into the rollups of their minutes.
Result<void> add_summary(std::string_view summary, const std::function<RollupMaker*(std::int64_t minute)>& maker) {
  SummaryReader reader(summary);
  RollupMaker* begun = nullptr;
  for (CallRow row; reader.next(row);) {
    RollupMaker* into = maker(minute_of(row.id));
    if (!into) continue;
    if (into != begun) into->begin(reader.names());
    begun = into;
    into->add(row);
  }
  if (!reader.good()) return std::unexpected(damaged_block());
  return {};
}

// The finest row that still tells of this minute.
RollupNote finest_row(const RollupState& state, std::int64_t minute) {
  if (minute >= state.minutes_from) return {Level::minute, minute, 0};
  const std::int64_t hour = floor_to(minute, 3'600);
  if (hour >= state.hours_from) return {Level::hour, hour, 0};
  return {Level::day, floor_to(minute, 86'400), 0};
}

Result<void> load_rows(store::Tx& tx, Level level, std::int64_t from, std::int64_t to, Rollup& into) {
  auto rows = tx.run("SELECT sums, cells FROM rollups WHERE level = $1 AND start_s >= $2 AND start_s < $3 ORDER BY start_s",
                     {static_cast<int>(level), from, to});
  if (!rows) return std::unexpected(rows.error());
  for (const store::Row row : *rows) {
    auto sums = unpack_column(row.bytes(0));
    if (!sums || !decode_sums(*sums, into)) return std::unexpected(damaged_rollup());
    if (row.null(1)) into.cells.reset();
    if (!into.cells) continue;
    auto cells = unpack_column(row.bytes(1));
    if (!cells || !decode_cells(*cells, *into.cells)) return std::unexpected(damaged_rollup());
    if (into.cells->size() > kMostCells) into.cells.reset();
  }
  auto users = tx.run("SELECT users FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3", {static_cast<int>(level), from, to});
  if (!users) return std::unexpected(users.error());
  for (const store::Row row : *users) {
    auto plain = unpack_column(row.bytes(0));
    if (!plain || !decode_section(*plain, into.sums[static_cast<std::size_t>(Dimension::user)])) return std::unexpected(damaged_rollup());
  }
  return {};
}

using Makers = std::map<std::int64_t, RollupMaker>;

// What blocks changed in minutes that cannot be made anew: the finest rows change by the difference, and those above them are noted.
Result<void> change_frozen(store::Tx& tx, std::span<const CallBlock> added, std::string_view removed) {
  const auto state = rollup_state(tx, Lock::change);
  if (!state) return std::unexpected(state.error());
  const auto into = [&](Makers& makers) {
    return [&](std::int64_t minute) { return state->frozen(minute) ? &makers[minute] : nullptr; };
  };
  Makers plus, minus;
  for (const CallBlock& b : added)
    if (auto done = add_summary(b.summary, into(plus)); !done) return done;
  if (!removed.empty())
    if (auto done = add_summary(removed, into(minus)); !done) return done;
  std::map<RollupNote, Rollup> changed;
  const auto row_at = [&](std::int64_t minute) -> Result<Rollup*> {
    const RollupNote at = finest_row(*state, minute);
    const auto [row, fresh] = changed.try_emplace(at);
    if (fresh)
      if (auto loaded = load_rows(tx, at.level, at.start, at.start + 1, row->second); !loaded) return std::unexpected(loaded.error());
    return &row->second;
  };
  for (Makers* makers : {&plus, &minus}) {
    for (auto& [minute, maker] : *makers) {
      const auto row = row_at(minute);
      if (!row) return std::unexpected(row.error());
      if (makers == &plus) **row += maker.take();
      else **row -= maker.take();
    }
  }
  std::vector<RollupNote> above;
  for (const auto& [at, rollup] : changed) {
    if (auto saved = save_rollup(tx, at.level, at.start, rollup); !saved) return saved;
    if (at.level == Level::day) continue;
    const auto next = static_cast<Level>(static_cast<int>(at.level) + 1);
    const std::int64_t seq = static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(tx.now().time_since_epoch().count()), rollup.calls()) >> 2);
    above.push_back({next, floor_to(at.start, seconds_of(next)), seq});
  }
  return note(tx, above);
}

}  // namespace

Error damaged_rollup() { return Error{.code = ErrorCode::internal_error, .message = "a rollup is damaged: restore the database from a backup"}; }

Result<std::string> unpack_column(std::string_view packed) {
  auto plain = ballast::unpack(packed, kMostRow);
  if (!plain) return std::unexpected(damaged_rollup());
  return std::move(*plain);
}

Result<RollupState> rollup_state(store::Tx& tx, Lock lock) {
  constexpr const char* read = "SELECT noted, calls_from, minutes_from, hours_from FROM rollup_state WHERE n = 1";
  constexpr const char* shared = "SELECT noted, calls_from, minutes_from, hours_from FROM rollup_state WHERE n = 1 FOR SHARE";
  constexpr const char* change = "SELECT noted, calls_from, minutes_from, hours_from FROM rollup_state WHERE n = 1 FOR UPDATE";
  auto rows = tx.run(lock == Lock::none ? store::Statement(read) : lock == Lock::share ? store::Statement(read, shared) : store::Statement(read, change));
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::unexpected(damaged_rollup());
  const store::Row r = (*rows)[0];
  return RollupState{r.boolean(0), r.integer(1), r.integer(2), r.integer(3)};
}

Result<void> set_rollup_state(store::Tx& tx, const RollupState& s) {
  auto done = tx.run("UPDATE rollup_state SET noted = $1, calls_from = $2, minutes_from = $3, hours_from = $4 WHERE n = 1",
                     {s.noted, s.calls_from, s.minutes_from, s.hours_from});
  return done ? Result<void>{} : std::unexpected(done.error());
}

Result<std::vector<RollupNote>> rollup_notes(store::Tx& tx, std::int64_t from, std::int64_t to, std::size_t limit) {
  std::vector<RollupNote> out;
  for (std::size_t level = 0; level < kLevelSeconds.size() && out.size() < limit; ++level) {
    auto rows = tx.run("SELECT start_s, seq FROM rollup_dirty WHERE level = $1 AND start_s > $2 AND start_s < $3 ORDER BY start_s LIMIT $4",
                       {level, from - kLevelSeconds[level], to, limit - out.size()});
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows) out.push_back({static_cast<Level>(level), r.integer(0), r.integer(1)});
  }
  return out;
}

Result<void> note(store::Tx& tx, std::span<const RollupNote> notes) {
  if (notes.empty()) return {};
  store::Batch batch(3);
  for (const RollupNote& n : notes) batch.add({static_cast<int>(n.level), n.start, n.seq});
  auto done = tx.run_many("INSERT INTO rollup_dirty (level, start_s, seq) VALUES ($1, $2, $3) "
                          "ON CONFLICT (level, start_s) DO UPDATE SET seq = rollup_dirty.seq + 1", batch);
  return done ? Result<void>{} : std::unexpected(done.error());
}

Result<bool> take_note(store::Tx& tx, const RollupNote& n) {
  auto gone = tx.run("DELETE FROM rollup_dirty WHERE level = $1 AND start_s = $2 AND seq = $3", {static_cast<int>(n.level), n.start, n.seq});
  if (!gone) return std::unexpected(gone.error());
  return gone->affected() == 1;
}

Result<void> note_blocks(store::Tx& tx, std::span<const CallBlock> added, std::string_view removed) {
  std::map<std::int64_t, std::int64_t> minutes;   // and what a note of it begins with
  for (const CallBlock& b : added)
    for (const Id id : {b.first, b.last}) minutes.emplace(minute_of(id), fresh_seq(b));
  SummaryReader reader(removed);
  if (!removed.empty())
    for (CallRow row; reader.next(row);) minutes.emplace(minute_of(row.id), static_cast<std::int64_t>(hash_mix(row.id.high, row.id.low) >> 2));
  if (minutes.empty()) return {};
  const std::int64_t now = std::chrono::floor<std::chrono::seconds>(tx.now()).time_since_epoch().count();
  const auto state = rollup_state(tx, minutes.begin()->first < now - kRecent ? Lock::share : Lock::none);
  if (!state) return std::unexpected(state.error());
  std::vector<RollupNote> notes;
  for (const auto& [minute, seq] : minutes)
    if (!state->frozen(minute)) notes.push_back({Level::minute, minute, seq});
  if (auto noted = note(tx, notes); !noted || notes.size() == minutes.size()) return noted;
  return change_frozen(tx, added, removed);
}

Result<void> note_all_blocks(store::Tx& tx) {
  auto state = rollup_state(tx, Lock::change);
  if (!state || state->noted) return state ? Result<void>{} : std::unexpected(state.error());
  constexpr std::size_t page = 100'000;
  std::string last, first;
  std::set<RollupNote> notes;
  for (;;) {
    auto rows = tx.run("SELECT last_id, first_id FROM call_blocks WHERE last_id > $1 OR (last_id = $1 AND first_id > $2) ORDER BY last_id, first_id LIMIT $3",
                       {Value::bytes(last), Value::bytes(first), page});
    if (!rows) return std::unexpected(rows.error());
    for (const store::Row r : *rows) {
      for (const std::size_t column : {0, 1}) {
        const auto id = id_from_bytes(r.bytes(column));
        if (!id) return std::unexpected(damaged_block());
        const std::int64_t minute = minute_of(*id);
        notes.insert({Level::minute, minute, minute});
      }
      last = r.string(0);
      first = r.string(1);
    }
    if (rows->size() < page) break;
  }
  const std::vector<RollupNote> all(notes.begin(), notes.end());
  if (auto noted = note(tx, all); !noted) return noted;
  state->noted = true;
  return set_rollup_state(tx, *state);
}

Result<std::vector<std::pair<std::int64_t, Rollup>>> make_minutes(store::Tx& tx, std::int64_t from, std::int64_t to) {
  Makers makers;
  for (std::int64_t minute = from; minute < to; minute += 60) makers[minute];
  BlockScan scan(BlockScan::Order::ascending, first_id_of(from), before_id(first_id_of(to)));
  for (;;) {
    auto block = scan.next(tx);
    if (!block) return std::unexpected(block.error());
    if (!*block) break;
    const auto maker = [&](std::int64_t minute) -> RollupMaker* {
      const auto at = makers.find(minute);
      return at == makers.end() ? nullptr : &at->second;
    };
    if (auto added = add_summary((*block)->summary, maker); !added) return std::unexpected(added.error());
  }
  std::vector<std::pair<std::int64_t, Rollup>> out;
  for (auto& [minute, maker] : makers) out.emplace_back(minute, maker.take());
  return out;
}

Result<Rollup> add_up_rows(store::Tx& tx, Level level, std::int64_t start) {
  Rollup out;
  const auto below = static_cast<Level>(static_cast<int>(level) - 1);
  if (auto loaded = load_rows(tx, below, start, start + seconds_of(level), out); !loaded) return std::unexpected(loaded.error());
  return out;
}

Result<void> save_rollup(store::Tx& tx, Level level, std::int64_t start, const Rollup& rollup) {
  if (auto gone = tx.run("DELETE FROM rollup_users WHERE level = $1 AND start_s = $2", {static_cast<int>(level), start}); !gone)
    return std::unexpected(gone.error());
  if (rollup.calls() == 0) {
    auto gone = tx.run("DELETE FROM rollups WHERE level = $1 AND start_s = $2", {static_cast<int>(level), start});
    return gone ? Result<void>{} : std::unexpected(gone.error());
  }
  const std::string sums = ballast::pack(encode_sums(rollup)), cells = rollup.cells ? ballast::pack(encode_cells(*rollup.cells)) : std::string();
  auto saved = tx.run("INSERT INTO rollups (level, start_s, calls, sums, cells) VALUES ($1, $2, $3, $4, $5) "
                      "ON CONFLICT (level, start_s) DO UPDATE SET calls = excluded.calls, sums = excluded.sums, cells = excluded.cells",
                      {static_cast<int>(level), start, rollup.calls(), Value::bytes(sums), rollup.cells ? Value::bytes(cells) : Value()});
  if (!saved) return std::unexpected(saved.error());
  const Section& users = rollup.sums[static_cast<std::size_t>(Dimension::user)];
  const std::size_t shards = shards_for(users.size());
  std::vector<Section> parts(shards);
  for (const auto& [user, figures] : users) parts[shard_of(user, shards)][user] = figures;
  std::vector<std::string> packed;
  packed.reserve(shards);
  store::Batch batch(5);
  for (std::size_t i = 0; i < shards; ++i) {
    if (parts[i].empty()) continue;
    packed.push_back(ballast::pack(encode_section(parts[i])));
    batch.add({static_cast<int>(level), start, i, shards, Value::bytes(packed.back())});
  }
  auto told = tx.run_many("INSERT INTO rollup_users (level, start_s, shard, shards, users) VALUES ($1, $2, $3, $4, $5)", batch);
  return told ? Result<void>{} : std::unexpected(told.error());
}

Result<void> roll_before(store::Tx& tx, std::int64_t until) {
  if (auto all = note_all_blocks(tx); !all) return all;
  const auto state = rollup_state(tx, Lock::change);
  auto notes = rollup_notes(tx, INT64_MIN / 2, until, SIZE_MAX >> 2);
  if (!notes || !state) return std::unexpected(notes ? state.error() : notes.error());
  for (const RollupNote& n : *notes) {
    if (n.level != Level::minute) break;
    auto taken = take_note(tx, n);
    if (!taken) return std::unexpected(taken.error());
    if (!*taken) return std::unexpected(store::make_error(store::Fault::unavailable, "another node changed the ledger at the same place"));
    if (state->frozen(n.start)) continue;
    auto made = make_minutes(tx, n.start, n.start + 60);
    if (!made) return std::unexpected(made.error());
    if (auto saved = save_rollup(tx, Level::minute, n.start, made->front().second); !saved) return saved;
    const RollupNote hour{Level::hour, floor_to(n.start, 3'600), static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(n.seq), 1) >> 2)};
    if (auto noted = note(tx, std::span(&hour, 1)); !noted) return noted;
  }
  return {};
}

}  // namespace ballast::records
