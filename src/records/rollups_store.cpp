#include "records/rollups_store.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <set>

#include "base/compress.hpp"
#include "records/rollups_users.hpp"

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

// The row at `start` as it is.
Result<void> load_row(store::Tx& tx, Level level, std::int64_t start, Rollup& into) {
  const auto sums = read_sums(tx, level, start, start + 1);
  if (!sums) return std::unexpected(sums.error());
  if (auto added = add_sums(*sums, into); !added) return added;
  const auto users = read_users(tx, level, start, start + 1, {});
  if (!users) return std::unexpected(users.error());
  return add_users(*users, {}, into.sums[static_cast<std::size_t>(Dimension::user)]);
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
      if (auto loaded = load_row(tx, at.level, at.start, row->second); !loaded) return std::unexpected(loaded.error());
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
  for (auto& [at, rollup] : changed) {
    const std::uint64_t calls = rollup.calls();
    if (auto saved = save_rollup(tx, at.level, at.start, pack_rollup(std::move(rollup), at.level)); !saved) return saved;
    if (at.level == Level::day) continue;
    const auto next = static_cast<Level>(static_cast<int>(at.level) + 1);
    const std::int64_t seq = static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(tx.now().time_since_epoch().count()), calls) >> 2);
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

MinuteMaker::MinuteMaker(std::int64_t minute)
    : minute_(minute), scan_(BlockScan::Order::ascending, first_id_of(minute), before_id(first_id_of(minute + 60))) {}

Result<void> MinuteMaker::add_up() {
  const auto maker = [&](std::int64_t minute) { return minute == minute_ ? &maker_ : nullptr; };
  for (;;) {
    const auto block = scan_.next_read();
    if (!block) return std::unexpected(block.error());
    if (!*block) return {};
    if (auto added = add_summary((*block)->summary, maker); !added) return added;
  }
}

Result<store::Rows> read_sums(store::Tx& tx, Level level, std::int64_t from, std::int64_t to) {
  return tx.run("SELECT sums, cells FROM rollups WHERE level = $1 AND start_s >= $2 AND start_s < $3 ORDER BY start_s", {static_cast<int>(level), from, to});
}

Result<void> add_sums(const store::Rows& rows, Rollup& into) {
  for (const store::Row row : rows) {
    auto sums = unpack_column(row.bytes(0));
    if (!sums || !decode_sums(*sums, into)) return std::unexpected(damaged_rollup());
    if (row.null(1)) into.cells.reset();
    if (!into.cells) continue;
    auto cells = unpack_column(row.bytes(1));
    if (!cells || !decode_cells(*cells, *into.cells)) return std::unexpected(damaged_rollup());
    if (into.cells->size() > kMostCells) into.cells.reset();
  }
  return {};
}

Result<std::size_t> most_shards(store::Tx& tx, Level level, std::int64_t from, std::int64_t to) {
  auto rows = tx.run("SELECT MAX(shards) FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3", {static_cast<int>(level), from, to});
  if (!rows) return std::unexpected(rows.error());
  return std::bit_ceil(static_cast<std::size_t>(std::clamp<std::int64_t>((*rows)[0].maybe_integer(0).value_or(1), 1, kMostShards)));
}

Result<store::Rows> read_users(store::Tx& tx, Level level, std::int64_t from, std::int64_t to, UserShare share) {
  return tx.run("SELECT users FROM rollup_users WHERE level = $1 AND start_s >= $2 AND start_s < $3 AND (shard & $4) = ($5 & (shards - 1))",
                {static_cast<int>(level), from, to, share.of - 1, share.at});
}

Result<void> add_users(const store::Rows& rows, UserShare share, Section& into) {
  for (const store::Row row : rows) {
    const auto plain = unpack_column(row.bytes(0));
    bool good = plain.has_value();
    const OnEntry entry = [&](std::string_view name, std::string_view figures) {
      if (shard_of(name, share.of) != share.at) return;
      auto user = into.find(name);
      if (user == into.end()) user = into.emplace(name, Figures{}).first;
      good = add_figures(user->second, figures) && good;
    };
    if (!good || !read_section(*plain, entry) || !good) return std::unexpected(damaged_rollup());
  }
  return {};
}

std::size_t PackedRollup::bytes() const {
  std::size_t n = sums.size() + (cells ? cells->size() : 0) + user_calls.size();
  for (const auto& [shard, packed] : users) n += packed.size();
  return n;
}

PackedRollup pack_rollup(Rollup&& rollup, Level level) {
  PackedRollup out{.calls = rollup.calls(), .sums = ballast::pack(encode_sums(rollup)), .cells = {}, .users = {}};
  if (rollup.cells) out.cells = ballast::pack(encode_cells(*rollup.cells));
  rollup.cells.reset();
  Section& users = rollup.sums[static_cast<std::size_t>(Dimension::user)];
  out.shards = shards_for(users.size());
  UserCalls calls;
  pack_users(std::move(users), {}, out, calls);
  if (level != Level::minute) out.user_calls = pack_user_calls(calls);   // a minute has few
  return out;
}

void pack_users(Section&& users, UserShare share, PackedRollup& into, UserCalls& calls) {
  std::vector<Section> parts(into.shards / share.of);
  while (!users.empty()) {
    auto user = users.extract(users.begin());
    calls.add(user.key(), user.mapped().calls);
    parts[shard_of(user.key(), into.shards) / share.of].insert(std::move(user));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].empty()) into.users.emplace_back(i * share.of + share.at, ballast::pack(encode_section(parts[i])));
    parts[i] = {};
  }
}

std::string pack_user_calls(const UserCalls& calls) { return ballast::pack(calls.encode()); }

Result<void> save_user_calls(store::Tx& tx, Level level, std::int64_t start, std::string_view packed) {
  auto saved = tx.run("INSERT INTO rollup_user_calls (level, start_s, calls) VALUES ($1, $2, $3) ON CONFLICT (level, start_s) DO UPDATE SET calls = excluded.calls",
                      {static_cast<int>(level), start, Value::bytes(packed)});
  return saved ? Result<void>{} : std::unexpected(saved.error());
}

Result<void> save_rollup(store::Tx& tx, Level level, std::int64_t start, const PackedRollup& rollup) {
  const int n = static_cast<int>(level);
  if (auto gone = tx.run("DELETE FROM rollup_users WHERE level = $1 AND start_s = $2", {n, start}); !gone) return std::unexpected(gone.error());
  if (rollup.calls == 0) {
    for (const char* sql : {"DELETE FROM rollups WHERE level = $1 AND start_s = $2", "DELETE FROM rollup_user_calls WHERE level = $1 AND start_s = $2"})
      if (auto gone = tx.run(sql, {n, start}); !gone) return std::unexpected(gone.error());
    return {};
  }
  auto saved = tx.run("INSERT INTO rollups (level, start_s, calls, sums, cells) VALUES ($1, $2, $3, $4, $5) "
                      "ON CONFLICT (level, start_s) DO UPDATE SET calls = excluded.calls, sums = excluded.sums, cells = excluded.cells",
                      {n, start, rollup.calls, Value::bytes(rollup.sums), rollup.cells ? Value::bytes(*rollup.cells) : Value()});
  if (!saved) return std::unexpected(saved.error());
  store::Batch batch(5);
  for (const auto& [shard, packed] : rollup.users) batch.add({n, start, shard, rollup.shards, Value::bytes(packed)});
  auto told = tx.run_many("INSERT INTO rollup_users (level, start_s, shard, shards, users) VALUES ($1, $2, $3, $4, $5)", batch);
  if (!told) return std::unexpected(told.error());
  return rollup.user_calls.empty() ? Result<void>{} : save_user_calls(tx, level, start, rollup.user_calls);
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
    MinuteMaker maker(n.start);
    for (;;) {
      const auto more = maker.read(tx);
      if (!more) return std::unexpected(more.error());
      if (!*more) break;
      if (auto added = maker.add_up(); !added) return added;
    }
    if (auto saved = save_rollup(tx, Level::minute, n.start, pack_rollup(maker.take(), Level::minute)); !saved) return saved;
    const RollupNote hour{Level::hour, floor_to(n.start, 3'600), static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(n.seq), 1) >> 2)};
    if (auto noted = note(tx, std::span(&hour, 1)); !noted) return noted;
  }
  return {};
}

}  // namespace ballast::records
