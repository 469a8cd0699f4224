// Slices: how one quota is divided among nodes. Pure: no clock, no database; time is microseconds of the database's clock.
//
// A quota is an amount; a slice is a node's part of it, and what no slice has is free. Everything is counted in nano-units (money: nano-dollars).
// - rate: an amount per period. A slice is a *share*: a bucket of that capacity, which refills by as much in a period. The free share has a bucket too,
//   its level kept in the quota. Levels are only moved between buckets, never made but by refilling. So the sum of levels never exceeds the amount and
//   the sum of refilling never the rate: over any interval the nodes together pass no more than one bucket would.
// - concurrency: a slice is a number of permits; those in use are never given up.
// - money: the amount of one window. A slice is what was granted, cumulative; what is charged is never given up.
//
// The node gives up first and tells then; it has more only once it was answered. So a message lost, late or repeated makes the slices smaller at worst:
// a stale ask changes nothing, a late answer is not taken, and what got lost on the way comes back with the next ask (a level is then burnt).
//
// Rates and permits have a lease. A node stops `kStopsAfter` from its last answered ask by its own clocks; the row takes the slice back `kLease` after it by the
// database's. The ten seconds between them are for the clocks (members.hpp refuses those off by more than five). Permits come back later still, by as
// long as what was let in may last. The row believes the database's clock: set back, the free share stands still; set ahead, it refills as if the time had passed.
// Money has no lease: it stays burnt until the node's journal tells what was spent (`close`). Where there is less than somebody waits for, and more than nobody
// has charged, who waits has it in turn, and nobody keeps what idles. A slice may be less than nothing: a correction of what others were charged.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace ballast::cluster {

using Nano = std::int64_t;
constexpr Nano kUnit = 1'000'000'000;                    // one request, token or permit
constexpr std::int64_t kLeaseUs = 60'000'000;            // from the database's clock
constexpr std::int64_t kStopsAfterNs = 50'000'000'000;   // by the node's own
constexpr std::int64_t kFreshUs = 4'000'000;             // a wish not renewed for so long waits no more
constexpr std::size_t kMaxSlices = 2'048;                // of one quota; more ask in vain

enum class QuotaKind : std::uint8_t { rate, concurrency, money };

// What is limited. Kind and period belong to what the quota is: others under its name are refused.
struct Terms {
  QuotaKind kind = QuotaKind::rate;
  Nano amount = 0;                                       // at most nine thousand million units
  std::int64_t period_us = 0;                            // rate
  std::int64_t linger_us = 0;                            // concurrency: the longest that what was let in may last
  std::int64_t ends_us = 0;                              // money: of its window; 0: never. A week later the rows may be forgotten
  std::int64_t version = 0;                              // the highest rules, so let it rise with each change; of two amounts of one version the lower
  friend bool operator==(const Terms&, const Terms&) = default;
};
// caller_invalid_request: an amount, period or linger that cannot be; permits and rates that are not whole units.
Result<void> check(const Terms& terms);

struct Slice {
  std::string holder;                                    // a boot: what another process of the same node held is not this one's
  std::uint64_t seq = 0;                                 // of the last ask that was settled
  Nano share = 0;
  Nano floor = 0;                                        // of it in use, reserved, or charged
  Nano want = 0;                                         // the share it has use for
  Nano least = 0;                                        // it waits, and less than so much more is of no use; 0: it does not
  std::int64_t asked_us = 0;
  std::int64_t served_us = 0;                            // when it was last given something
  std::int64_t expires_us = 0;                           // money: never
  Nano spent = 0;                                        // money: of it, as the ledger knows
  bool closed = false;                                   // money: its node is dead and its journal imported; share is what was spent
};

struct Quota {
  Terms terms;
  Nano level = 0;                                        // rate: of the free share. May be negative: a debt that came back
  std::int64_t at_us = 0;                                // when it was that
};
Quota new_quota(const Terms& terms, std::int64_t now_us);      // full

// What a node says each time. `share` is what it still counts on: it has given up the rest already.
struct Ask {
  std::string_view holder;
  std::uint64_t seq = 0;                                 // rises with each ask of the holder
  Nano share = 0, floor = 0, want = 0, least = 0;        // as in Slice; want in whole units but for money
  Nano level = 0;                                        // rate: that it keeps, what it has reserved among it
  Nano back = 0;                                         // rate: level that it gives back
};

struct Answer {
  std::uint64_t seq = 0;
  bool stale = false;                                    // a later ask was settled: take nothing from this
  Nano share = 0;                                        // what the holder has now
  Nano level = 0;                                        // rate: added to what it kept
  Nano target = 0;                                       // more than this should be given up with the next ask, soon
  Nano usable = 0;                                       // concurrency: as many may be in use when another begins; fewer than are: some must end first
  Nano left = 0;                                         // money: of the whole, what nobody has charged as far as was told; of who is silent, all it has counts
  unsigned nodes = 0;                                    // that have use for this quota, the asker among them
  bool full = false;                                     // it has its fair part and all others wait for theirs: there is no use in waiting for more
};

// Settles one ask. Erases slices whose lease is over; one that holds nothing stays as long, so that an ask that comes late is known for it.
// Divides max-min fairly: nobody has less than another but by its own wish, to a unit, and the odd units take turns. Where the fair part is less than
// the least of use, those who wait get that much one after another, who was served longest ago first, and give it back when it is used.
// Terms that do not fit (`fits`) must be refused before.
// What a holder has charged is a fact, whatever the row says of its share; what it was granted beyond that and the row does not know is not its own. `calm`: a standby
// took over that may have forgotten grants, and not everybody has told yet what is charged of them, so no money is granted.
Answer settle(Quota& quota, std::vector<Slice>& slices, const Terms& terms, const Ask& ask, std::int64_t now_us, bool calm = false);
bool fits(const Quota& quota, const Terms& terms);

// Money: the journal of this dead boot is imported, and says what it spent. What it did not is free again. A boot that is closed has nothing any more.
void close(std::vector<Slice>& slices, std::string_view holder, Nano spent);

}  // namespace ballast::cluster
