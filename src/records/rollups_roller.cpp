// The Roller: what is noted becomes rows. It reads in one transaction and writes in another, which only succeeds where the note has not moved.
#include <algorithm>

#include "records/rollups_store.hpp"

namespace ballast::records {

namespace {

constexpr std::size_t kTogether = 16;         // minutes read in one transaction and written in another
constexpr std::size_t kRowsAtOnce = 2'000;    // deleted in one transaction

std::int64_t seconds(WallTime t) { return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count(); }
RollupNote above(const RollupNote& n) {
  const auto level = static_cast<Level>(static_cast<int>(n.level) + 1);
  return {level, floor_to(n.start, seconds_of(level)), static_cast<std::int64_t>(hash_mix(static_cast<std::uint64_t>(n.seq), static_cast<std::uint64_t>(n.start)) >> 2)};
}

struct Made {
  RollupNote note;
  std::optional<Rollup> rollup;   // nothing: retention was there first; the row stays as it is
};

// The oldest minutes noted, made.
Result<std::vector<Made>> make_noted_minutes(store::Tx& tx, std::int64_t now, std::size_t most) {
  const auto state = rollup_state(tx);
  if (!state) return std::unexpected(state.error());
  const auto notes = rollup_notes(tx, INT64_MIN / 2, now - 59, most);   // that ended before now
  if (!notes) return std::unexpected(notes.error());
  std::vector<Made> out;
  for (auto n = notes->begin(); n != notes->end() && n->level == Level::minute;) {
    if (state->frozen(n->start)) {
      out.push_back({*n++, {}});
      continue;
    }
    auto end = n + 1;   // neighbours share the blocks that lie across them
    while (end != notes->end() && end->level == Level::minute && end->start == (end - 1)->start + 60) ++end;
    auto made = make_minutes(tx, n->start, (end - 1)->start + 60);
    if (!made) return std::unexpected(made.error());
    for (auto& [minute, rollup] : *made) out.push_back({*n++, std::move(rollup)});
  }
  return out;
}

// One hour or day that ended before `now` and below which nothing is noted.
Result<std::optional<Made>> make_noted_row(store::Tx& tx, Level level, std::int64_t after, std::int64_t now) {
  const auto state = rollup_state(tx);
  if (!state) return std::unexpected(state.error());
  const std::int64_t length = seconds_of(level), kept_from = level == Level::hour ? state->minutes_from : state->hours_from;
  auto rows = tx.run("SELECT start_s, seq FROM rollup_dirty AS d WHERE level = $1 AND start_s > $2 AND start_s <= $3 AND NOT EXISTS "
                     "(SELECT 1 FROM rollup_dirty AS b WHERE b.level < d.level AND b.start_s >= d.start_s AND b.start_s < d.start_s + $4) ORDER BY start_s LIMIT 1",
                     {static_cast<int>(level), after, now - length, length});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::nullopt;
  Made made{{level, (*rows)[0].integer(0), (*rows)[0].integer(1)}, {}};
  if (made.note.start < kept_from) return made;
  auto sum = add_up_rows(tx, level, made.note.start);
  if (!sum) return std::unexpected(sum.error());
  made.rollup = std::move(*sum);
  return made;
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

constexpr store::WriteOptions kLow{.priority = store::Priority::low};

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
  for (const char* sql : {"DELETE FROM rollups WHERE level = $1 AND start_s <= $2", "DELETE FROM rollup_users WHERE level = $1 AND start_s <= $2"})
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

}  // namespace

Result<std::size_t> Roller::roll(WallTime now_time, std::size_t most) {
  const std::int64_t now = seconds(now_time);
  const auto state = database_.read_now([](store::Tx& tx) { return rollup_state(tx); });
  if (!state) return std::unexpected(state.error());
  const auto note_all = [](store::Tx& tx) -> Result<bool> {
    if (auto all = note_all_blocks(tx); !all) return std::unexpected(all.error());
    return true;
  };
  if (!state->noted)
    if (auto all = database_.write_now(note_all, kLow); !all) return std::unexpected(all.error());
  std::size_t minutes = 0;
  for (std::size_t moved = 0; minutes < most && moved < most;) {
    const auto made = database_.read_now([&](store::Tx& tx) { return make_noted_minutes(tx, now, std::min(kTogether, most - minutes)); });
    if (!made) return std::unexpected(made.error());
    if (made->empty()) break;
    const auto written = database_.write_now([&](store::Tx& tx) { return write_made(tx, *made); }, kLow);
    if (!written) return std::unexpected(written.error());
    minutes += *written;
    moved += made->size() - *written;   // noted again meanwhile: not for ever
    if (*written == 0 && moved > kTogether) break;
  }
  for (const Level level : {Level::hour, Level::day}) {
    for (std::int64_t after = INT64_MIN / 2;;) {
      const auto made = database_.read_now([&](store::Tx& tx) { return make_noted_row(tx, level, after, now); });
      if (!made) return std::unexpected(made.error());
      if (!*made) break;
      after = (*made)->note.start;
      if (auto written = database_.write_now([&](store::Tx& tx) { return write_made(tx, std::span(&**made, 1)); }, kLow); !written)
        return std::unexpected(written.error());
    }
  }
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
