// The tables of rollups: rows, notes of what must be made anew, and how far back what is kept reaches. For the rollups' own files.
//
// A minute is made from its blocks, an hour from its minutes, a day from its hours. A note says that a row is not what is below it. What
// retention has taken from below cannot be made anew: such a row changes by the difference, in the transaction that changes the block.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "records/call_block.hpp"
#include "records/ledger_scan.hpp"
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

// A row as it is written: packed, so that a transaction has only to put it there. A tenth of what its Rollup takes in memory.
struct PackedRollup {
  std::uint64_t calls = 0;
  std::string sums;
  std::optional<std::string> cells;
  std::size_t shards = 1;
  std::vector<std::pair<std::size_t, std::string>> users;   // by shard; those without users are left out
  std::string user_calls;                                  // of an hour or a day; empty: not told
  std::size_t bytes() const;
};
PackedRollup pack_rollup(Rollup&& rollup, Level level);
// One part of `of` equal ones of all users, by their shards; a power of two.
struct UserShare {
  std::size_t at = 0, of = 1;
};
// These users, who are `share`, into as many shards as `into` has: `share.of` of them at least. Their calls are added to `calls`.
class UserCalls;
void pack_users(Section&& users, UserShare share, PackedRollup& into, UserCalls& calls);
// How many calls each user made, of an hour or a day; `save_rollup` does it.
std::string pack_user_calls(const UserCalls& calls);
Result<void> save_user_calls(store::Tx& tx, Level level, std::int64_t start, std::string_view packed);
Result<void> save_rollup(store::Tx& tx, Level level, std::int64_t start, const PackedRollup& rollup);

// Adds up the calls of one minute, a page of blocks (about 1 MB) at a time, so that no transaction and no memory grows with it but the sums'.
// What is read in several transactions is no single moment: who writes the row takes its note only where its seq is what it was before.
class MinuteMaker {
 public:
  explicit MinuteMaker(std::int64_t minute);
  // False: all is read.
  Result<bool> read(store::Tx& tx) { return scan_.read_page(tx); }
  // What was read last. Needs no transaction.
  Result<void> add_up();
  Rollup take() { return maker_.take(); }

 private:
  const std::int64_t minute_;
  BlockScan scan_;
  RollupMaker maker_;
};
// The rows of a level that begin in [from, to), and what they add up to, to be looked at outside of the transaction: all but users, and a share of the users.
Result<store::Rows> read_sums(store::Tx& tx, Level level, std::int64_t from, std::int64_t to);
Result<void> add_sums(const store::Rows& rows, Rollup& into);
Result<std::size_t> most_shards(store::Tx& tx, Level level, std::int64_t from, std::int64_t to);   // of a row; 1 where there is none
Result<store::Rows> read_users(store::Tx& tx, Level level, std::int64_t from, std::int64_t to, UserShare share);
Result<void> add_users(const store::Rows& rows, UserShare share, Section& into);
Error damaged_rollup();
// A packed column; nothing where it is damaged.
Result<std::string> unpack_column(std::string_view packed);

// Makes rows of what is noted before the minute `until`, so that blocks may go; for retention, in its transaction.
Result<void> roll_before(store::Tx& tx, std::int64_t until);

}  // namespace ballast::records
