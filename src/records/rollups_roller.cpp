// The Roller: what is noted becomes rows. Blocks and rows are read page by page, added up and packed outside of any transaction, and written in a
// short one, which only succeeds where the note is as it was before the first page: whoever changes anything a row is made of moves its note.
#include <algorithm>

#include "records/rollups_store.hpp"
#include "records/rollups_users.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kTogether = 16;         // minutes written in one transaction,
constexpr std::size_t kBytesTogether = std::size_t{2} << 20;   // fewer where they are large
constexpr std::int64_t kBelowAtOnce = 6;      // rows read in one transaction
constexpr std::size_t kUserShares = 16;       // an hour's or a day's users are added up a sixteenth at a time, where they are many
constexpr std::size_t kRowsAtOnce = 2'000;    // deleted in one transaction

constexpr store::WriteOptions kLow{.priority = store::Priority::low};

std::int64_t seconds(WallTime t) { return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count(); }
RollupNote above(const RollupNote& n) {
  const auto level = static_cast<Level>(static_cast<int>(n.level) + 1);
  return {level, floor_to(n.start, seconds_of(level)), static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(n.seq), static_cast<std::uint64_t>(n.start)) >> 2)};
}

struct Made {
  RollupNote note;
  std::optional<PackedRollup> rollup;   // nothing: retention was there first; the row stays as it is
};

struct Noted {
  RollupNote note;
  bool frozen = false;
};

// The oldest minutes noted that ended before `now`.
Result<std::vector<Noted>> noted_minutes(store::Tx& tx, std::int64_t now, std::size_t most) {
  const auto state = rollup_state(tx);
  if (!state) return std::unexpected(state.error());
  const auto notes = rollup_notes(tx, INT64_MIN / 2, now - 59, most);
  if (!notes) return std::unexpected(notes.error());
  std::vector<Noted> out;
  for (const RollupNote& n : *notes)
    if (n.level == Level::minute) out.push_back({n, state->frozen(n.start)});
  return out;
}

// The first hour or day after `after` that ended before `now` and below which nothing is noted.
Result<std::optional<Noted>> noted_row(store::Tx& tx, Level level, std::int64_t after, std::int64_t now) {
  const auto state = rollup_state(tx);
  if (!state) return std::unexpected(state.error());
  const std::int64_t length = seconds_of(level), kept_from = level == Level::hour ? state->minutes_from : state->hours_from;
  auto rows = tx.run("SELECT start_s, seq FROM rollup_dirty AS d WHERE level = $1 AND start_s > $2 AND start_s <= $3 AND NOT EXISTS "
                     "(SELECT 1 FROM rollup_dirty AS b WHERE b.level < d.level AND b.start_s >= d.start_s AND b.start_s < d.start_s + $4) ORDER BY start_s LIMIT 1",
                     {static_cast<int>(level), after, now - length, length});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::nullopt;
  const std::int64_t start = (*rows)[0].integer(0);
  return Noted{{level, start, (*rows)[0].integer(1)}, start < kept_from};
}

Result<PackedRollup> make_minute(store::Database& database, std::int64_t start) {
  MinuteMaker maker(start);
  for (;;) {
    const auto more = database.read_now([&](store::Tx& tx) { return maker.read(tx); });
    if (!more) return std::unexpected(more.error());
    if (!*more) return pack_rollup(maker.take(), Level::minute);
    if (auto added = maker.add_up(); !added) return std::unexpected(added.error());
  }
}

// The users of [from, to) under a row whose other sums are made.
Result<void> make_users(store::Database& database, Level below, std::int64_t from, std::int64_t to, PackedRollup& into) {
  const auto shards = database.read_now([&](store::Tx& tx) { return most_shards(tx, below, from, to); });
  if (!shards) return std::unexpected(shards.error());
  const std::size_t shares = std::min(*shards, kUserShares);
  UserCalls calls;
  for (UserShare share{0, shares}; share.at < shares; ++share.at) {
    Section users;
    for (std::int64_t at = from; at < to; at += kBelowAtOnce * seconds_of(below)) {
      const std::int64_t end = std::min(to, at + kBelowAtOnce * seconds_of(below));
      const auto rows = database.read_now([&](store::Tx& tx) { return read_users(tx, below, at, end, share); });
      if (!rows) return std::unexpected(rows.error());
      if (auto added = add_users(*rows, share, users); !added) return added;
    }
    if (share.at == 0) into.shards = std::max(shares, shards_for(users.size() * shares));   // the others are about as many
    pack_users(std::move(users), share, into, calls);
  }
  into.user_calls = pack_user_calls(calls);
  return {};
}

// An hour or a day from what is below it.
Result<PackedRollup> make_row(store::Database& database, Level level, std::int64_t start) {
  const auto below = static_cast<Level>(static_cast<int>(level) - 1);
  const std::int64_t end = start + seconds_of(level), page = kBelowAtOnce * seconds_of(below);
  Rollup sums;
  for (std::int64_t at = start; at < end; at += page) {
    const auto rows = database.read_now([&](store::Tx& tx) { return read_sums(tx, below, at, std::min(end, at + page)); });
    if (!rows) return std::unexpected(rows.error());
    if (auto added = add_sums(*rows, sums); !added) return std::unexpected(added.error());
  }
  PackedRollup out = pack_rollup(std::move(sums), level);
  if (auto users = make_users(database, below, start, end, out); !users) return std::unexpected(users.error());
  return out;
}

Result<std::size_t> write_made(store::Tx& tx, std::span<const Made> all) {
  std::size_t written = 0;
  for (const Made& m : all) {
    const auto taken = take_note(tx, m.note);
    if (!taken) return std::unexpected(taken.error());
    if (!*taken || !m.rollup) continue;
    if (auto saved = save_rollup(tx, m.note.level, m.note.start, *m.rollup); !saved) return std::unexpected(saved.error());
    ++written;
    if (m.note.level == Level::day) continue;
    const RollupNote next = above(m.note);
    if (auto noted = note(tx, std::span(&next, 1)); !noted) return std::unexpected(noted.error());
  }
  return written;
}

// The oldest second that is noted at one of these levels; INT64_MAX: none.
Result<std::int64_t> oldest_note(store::Tx& tx, Level up_to) {
  auto rows = tx.run("SELECT MIN(start_s) FROM rollup_dirty WHERE level <= $1", {static_cast<int>(up_to)});
  if (!rows) return std::unexpected(rows.error());
  return (*rows)[0].maybe_integer(0).value_or(INT64_MAX);
}

Result<bool> delete_rows(store::Tx& tx, Level level, std::int64_t before) {
  auto last = tx.run("SELECT MAX(start_s), COUNT(*) FROM (SELECT start_s FROM rollups WHERE level = $1 AND start_s < $2 ORDER BY start_s LIMIT $3) AS oldest",
                     {static_cast<int>(level), before, kRowsAtOnce});
  if (!last) return std::unexpected(last.error());
  const std::int64_t rows = (*last)[0].integer(1);
  if (rows == 0) return false;
  for (const char* sql : {"DELETE FROM rollups WHERE level = $1 AND start_s <= $2", "DELETE FROM rollup_users WHERE level = $1 AND start_s <= $2",
                          "DELETE FROM rollup_user_calls WHERE level = $1 AND start_s <= $2"})
    if (auto gone = tx.run(sql, {static_cast<int>(level), (*last)[0].integer(0)}); !gone) return std::unexpected(gone.error());
  return rows == static_cast<std::int64_t>(kRowsAtOnce);
}

// From then on nothing is made of the rows before `wanted`: what is above them is made already.
Result<std::int64_t> move_horizon(store::Tx& tx, Level level, std::int64_t wanted) {
  auto state = rollup_state(tx, Lock::change);
  if (!state) return std::unexpected(state.error());
  std::int64_t& from = level == Level::minute ? state->minutes_from : state->hours_from;
  const auto upper = static_cast<Level>(static_cast<int>(level) + 1);
  const auto oldest = oldest_note(tx, upper);
  if (!oldest) return std::unexpected(oldest.error());
  wanted = floor_to(std::min(wanted, *oldest), seconds_of(upper));
  if (!state->noted || wanted <= from) return from;
  from = wanted;
  if (auto set = set_rollup_state(tx, *state); !set) return std::unexpected(set.error());
  return wanted;
}

Result<std::size_t> roll_minutes(store::Database& database, std::int64_t now, std::size_t most, const std::stop_token& ended) {
  std::size_t minutes = 0;
  for (std::size_t moved = 0; minutes < most && moved < most && !ended.stop_requested();) {
    const auto noted = database.read_now([&](store::Tx& tx) { return noted_minutes(tx, now, std::min(kTogether, most - minutes)); });
    if (!noted) return std::unexpected(noted.error());
    if (noted->empty()) break;
    std::vector<Made> made;
    std::size_t bytes = 0;
    for (const Noted& n : *noted) {
      made.push_back({n.note, {}});
      if (n.frozen) continue;
      auto rollup = make_minute(database, n.note.start);
      if (!rollup) return std::unexpected(rollup.error());
      bytes += rollup->bytes();
      made.back().rollup = std::move(*rollup);
      if (bytes > kBytesTogether || ended.stop_requested()) break;
    }
    const auto written = database.write_now([&](store::Tx& tx) { return write_made(tx, made); }, kLow);
    if (!written) return written;
    minutes += *written;
    moved += made.size() - *written;   // noted again meanwhile: not for ever
    if (*written == 0 && moved > kTogether) break;
  }
  return minutes;
}

Result<void> roll_rows(store::Database& database, Level level, std::int64_t now, const std::stop_token& ended) {
  for (std::int64_t after = INT64_MIN / 2; !ended.stop_requested();) {
    const auto noted = database.read_now([&](store::Tx& tx) { return noted_row(tx, level, after, now); });
    if (!noted) return std::unexpected(noted.error());
    if (!*noted) return {};
    after = (*noted)->note.start;
    Made made{(*noted)->note, {}};
    if (!(*noted)->frozen) {
      auto rollup = make_row(database, level, after);
      if (!rollup) return std::unexpected(rollup.error());
      made.rollup = std::move(*rollup);
    }
    const auto written = database.write_now([&](store::Tx& tx) { return write_made(tx, std::span(&made, 1)); }, kLow);
    if (!written) return std::unexpected(written.error());
  }
  return {};
}

}  // namespace

Result<std::size_t> Roller::roll(WallTime now_time, std::size_t most, const std::stop_token& ended) {
  const std::int64_t now = seconds(now_time);
  const auto state = database_.read_now([](store::Tx& tx) { return rollup_state(tx); });
  if (!state) return std::unexpected(state.error());
  const auto note_all = [](store::Tx& tx) -> Result<bool> {
    if (auto all = note_all_blocks(tx); !all) return std::unexpected(all.error());
    return true;
  };
  if (!state->noted)
    if (auto all = database_.write_now(note_all, kLow); !all) return std::unexpected(all.error());
  const auto minutes = roll_minutes(database_, now, most, ended);
  if (!minutes) return minutes;
  for (const Level level : {Level::hour, Level::day})
    if (auto rolled = roll_rows(database_, level, now, ended); !rolled) return std::unexpected(rolled.error());
  return minutes;
}

Result<void> Roller::retire(const RollupRetention& keep, WallTime now) {
  const std::pair<Level, Duration> kinds[] = {{Level::minute, keep.minutes}, {Level::hour, keep.hours}, {Level::day, keep.days}};
  for (const auto& [level, age] : kinds) {
    if (age <= Duration::zero()) continue;
    std::int64_t before = floor_to(seconds(now - age), 86'400);
    if (level != Level::day) {
      const auto moved = database_.write_now([&](store::Tx& tx) { return move_horizon(tx, level, seconds(now - age)); }, kLow);
      if (!moved) return std::unexpected(moved.error());
      before = *moved;
    }
    for (bool more = true; more;) {
      const auto deleted = database_.write_now([&](store::Tx& tx) { return delete_rows(tx, level, before); }, kLow);
      if (!deleted) return std::unexpected(deleted.error());
      more = *deleted;
    }
  }
  return {};
}

}  // namespace ballast::records
