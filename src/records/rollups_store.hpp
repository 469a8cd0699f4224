// The tables of rollups: rows, notes of what must be made anew, and how far back what is kept reaches. For the rollups' own files.
//
// A minute is made from its blocks, an hour from its minutes, a day from its hours. A note says that a row is not what is below it. What
// retention has taken from below cannot be made anew: such a row changes by the difference, in the transaction that changes the block.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "records/call_block.hpp"
#include "records/rollups_row.hpp"
#include "store/database.hpp"

namespace ballast::records {

enum class Level : std::uint8_t { minute, hour, day };
inline constexpr std::array<std::int64_t, 3> kLevelSeconds = {60, 3'600, 86'400};
inline std::int64_t seconds_of(Level level) { return kLevelSeconds[static_cast<std::size_t>(level)]; }
inline std::int64_t floor_to(std::int64_t s, std::int64_t unit) { return s - ((s % unit) + unit) % unit; }

// Unix seconds: the blocks of minutes before `calls_from` may be gone, as are minutes before `minutes_from` and hours before `hours_from`.
struct RollupState {
  bool noted = false;                      // what was in the ledger before there were rollups has been noted
  std::int64_t calls_from = 0, minutes_from = 0, hours_from = 0;
  // What a minute's blocks tell can no longer be made into its row.
  bool frozen(std::int64_t minute) const { return minute < calls_from || minute < minutes_from; }
};
enum class Lock : std::uint8_t { none, share, change };   // what others may not do until the transaction ends
Result<RollupState> rollup_state(store::Tx& tx, Lock lock = Lock::none);
Result<void> set_rollup_state(store::Tx& tx, const RollupState& state);

struct RollupNote {
  Level level = Level::minute;
  std::int64_t start = 0, seq = 0;
  friend auto operator<=>(const RollupNote&, const RollupNote&) = default;
};
// Those that touch [from, to), and of all levels; in order of level and start, `limit` at most.
Result<std::vector<RollupNote>> rollup_notes(store::Tx& tx, std::int64_t from, std::int64_t to, std::size_t limit);
// In order of level and start. `seq`: what a new note begins with; to be random enough that a note taken and made again is not taken for the first.
Result<void> note(store::Tx& tx, std::span<const RollupNote> notes);
// False: it has moved on.
Result<bool> take_note(store::Tx& tx, const RollupNote& note);

// A block was written (`added`) or taken out (`removed`, its summary) in this transaction.
Result<void> note_blocks(store::Tx& tx, std::span<const CallBlock> added, std::string_view removed = {});
// Notes what has been in the ledger since before there were rollups; once.
Result<void> note_all_blocks(store::Tx& tx);

// The calls of a stretch of the ledger, [from, to) in seconds, added up minute by minute.
Result<std::vector<std::pair<std::int64_t, Rollup>>> make_minutes(store::Tx& tx, std::int64_t from, std::int64_t to);
// A row from those below it, as they are.
Result<Rollup> add_up_rows(store::Tx& tx, Level level, std::int64_t start);
Result<void> save_rollup(store::Tx& tx, Level level, std::int64_t start, const Rollup& rollup);
Error damaged_rollup();
// A packed column; nothing where it is damaged.
Result<std::string> unpack_column(std::string_view packed);

// Makes rows of what is noted before the minute `until`, so that blocks may go; for retention, in its transaction.
Result<void> roll_before(store::Tx& tx, std::int64_t until);

}  // namespace ballast::records
