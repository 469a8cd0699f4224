// Sight: who among the members still lives, as one node sees it. Pure.
//
// A node is silent while its count of beats does not change, measured on this process' monotonic clock between looks that succeeded: so neither a clock that
// jumps, here, there or at the database, nor a promoted replica, nor a database that was away makes anybody dead. Time in which this node could not look does
// not count against others, for they could not beat either.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "cluster/members.hpp"

namespace ballast::cluster {

class Sight {
 public:
  // `patience`: silent for so long is dead. `gap`: looks further apart than this do not count the time between them.
  Sight(Duration patience, Duration gap) : patience_(patience), gap_(gap) {}

  void look(std::span<const Member> members, MonoTime now);

  // How long the member of this slot has been silent at the last look; nothing: never seen.
  std::optional<Duration> silent(unsigned slot) const;
  // Those not gone that have been silent for `patience`, as they were last seen, by slot.
  std::vector<Member> dead() const;
  bool lives(const Member& m) const;                     // not gone, not dead
  // When the next of them would be dead, if nobody counts on; nothing: all that are not gone are dead, or there is nobody.
  std::optional<MonoTime> next_death() const;

 private:
  struct Seen {
    Member member;
    Duration silent{};
  };
  const Duration patience_, gap_;
  std::optional<MonoTime> looked_;
  std::map<unsigned, Seen> seen_;
};

}  // namespace ballast::cluster
