// Rollups: what the calls of a minute, an hour and a day add up to, kept for the charts, the alerts and the bill long after the calls are gone.
//
// Derived, never counted beside the ledger: whoever changes a block notes its minutes in `rollup_dirty` in the same transaction, and the
// Roller makes those minutes anew from their blocks (hours from minutes, days from hours). So a rollup cannot differ from the ledger but by
// what is still noted, and that is read from the blocks when somebody asks: `range` is exact at any moment. A day is a UTC day.
//
// Latencies are kept as counts in log-linear buckets, as metrics::Histogram has them: a percentile is off by at most kSketchError of its value.
// Repositories take a Tx and never begin one.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "records/call_record.hpp"
#include "records/ledger.hpp"
#include "store/database.hpp"

namespace ballast::records {

inline constexpr double kSketchError = 1.0 / 32;

// How many values fell into each bucket of metrics::Histogram; microseconds. Sparse, sorted by bucket, mergeable.
class Sketch {
 public:
  void add(std::uint64_t value, std::uint64_t times = 1);
  void add(const Sketch& other);
  void subtract(const Sketch& other);          // what was added before
  void reserve(std::size_t buckets);
  // Behind the last one; false: it is not, or there is no such bucket.
  bool add_bucket(std::uint64_t bucket, std::uint64_t times);
  std::uint64_t count() const { return count_; }
  std::uint64_t quantile(double q) const;      // the middle of its bucket; 0 when empty
  std::uint64_t at_most(std::uint64_t value) const;   // how many are surely not above it: whole buckets
  const std::vector<std::pair<std::uint16_t, std::uint64_t>>& buckets() const { return buckets_; }
  friend bool operator==(const Sketch&, const Sketch&) = default;

 private:
  std::vector<std::pair<std::uint16_t, std::uint64_t>> buckets_;
  std::uint64_t count_ = 0;
};

// What a rollup can be asked by. Provider and model are those of the attempt that answered (as the call's row has them).
enum class Dimension : std::uint8_t { key, team, user, feature, route, operation, provider, model, status, error, cache };
inline constexpr std::size_t kDimensions = 11;
std::string_view to_string(Dimension d);
std::optional<Dimension> dimension_from(std::string_view name);

struct Figures {
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;                    // status failed or unknown
  std::uint64_t cancelled = 0;
  std::uint64_t cache_hits = 0;                // answered without a provider: hit, semantic hit, stale, joined, replay
  std::uint64_t attempts = 0, attempts_failed = 0;
  TokenCounts tokens;
  std::int64_t incurred_nano = 0, billed_nano = 0;   // saturating at 2^63-1
  std::int64_t saved_nano = 0;                 // what cache hits would have cost, where the record tells
  std::int64_t routing_saved_nano = 0;         // what the others would have cost more at the dearest of their targets, where the record tells
  Sketch latency;                              // of all calls, µs
  Sketch first_token;                          // of those that had one
  Figures& operator+=(const Figures& o);
  Figures& operator-=(const Figures& o);       // of what was added before
  friend bool operator==(const Figures&, const Figures&) = default;
};

enum class Rank : std::uint8_t { calls, spend };         // spend: what was incurred; users are ranked by their calls all the same

struct SeriesQuery {
  WallTime from{}, to{};                       // [from, to)
  Duration step{};                             // a whole number of minutes; zero: one bucket
  std::vector<std::pair<Dimension, std::string>> where;   // all must hold
  std::optional<Dimension> by;                 // nothing: one group named ""
  std::size_t groups = 10;                     // the largest over the range, equal ones by name; the others are added up as "other"; at most 1,000
  Rank rank = Rank::calls;                     // by which they are the largest
  // With `by`: these groups, each once and in this order, and no others; not added up either. Read together for little more than one. At most 1,000.
  std::vector<std::string> names;
  bool errors = false;                         // fill Series::errors too
};
struct SeriesGroup {
  std::string name;
  bool rest = false;                           // all groups beyond the limit, together
  Figures total;
  std::vector<Figures> buckets;                // one per step, oldest first
};
struct Series {
  WallTime from{}, to{};                       // as asked; buckets begin at multiples of step since 1970, the first may be partial
  Duration step{};
  std::vector<WallTime> starts;
  Figures total;
  std::vector<SeriesGroup> groups;             // largest first
  std::vector<std::pair<std::string, std::uint64_t>> errors;   // by name, most frequent first
};
inline constexpr std::size_t kMostBuckets = 2000;
inline constexpr std::size_t kMostCharted = 100'000;   // groups times buckets
// Exact at this moment but for calls still in the journal. Two things of `where` and `by` together read larger rows than one does; the user
// with anything beside it, and times within a minute, read the calls' blocks.
// caller_invalid_request names step, from, groups or where: also where minutes are asked of a time of which only hours are left.
// caller_too_large: it would read too much, narrow it.
Result<Series> range(store::Tx& tx, const SeriesQuery& query);

// How long each kind is kept; zero: for ever.
struct RollupRetention {
  Duration minutes = std::chrono::hours(24 * 14), hours = std::chrono::hours(24 * 180), days{};
};

// Makes what is noted into rollups. One at a time is enough; several, on several nodes too, do no harm.
class Roller {
 public:
  explicit Roller(store::Database& database) : database_(database) {}
  // The minutes noted that ended before `now`, oldest first, and the hours and days above them; returns how many minutes were made, `most` of
  // them at most. Blocking: not for a loop. Whatever a minute holds, reading transactions are of about 1 MB, what is written (low priority) is
  // packed before its transaction begins, and memory is bounded by one row's sums: about 400 bytes a user of the minute (of an hour or a day a sixteenth of them),
  // 700 for each of the 20,000 combinations at most. `ended` is looked at between rows.
  Result<std::size_t> roll(WallTime now, std::size_t most = SIZE_MAX, const std::stop_token& ended = {});
  // Deletes what is older, in whole hours and days, and never before the level above it is made.
  Result<void> retire(const RollupRetention& keep, WallTime now);

 private:
  store::Database& database_;
};

}  // namespace ballast::records
