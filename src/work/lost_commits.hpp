// What a failover has lost (acknowledged.hpp), told where people look: the log, a row, the audit trail; the alert and the metric are made of the rows.
#pragma once
#include <cstdint>
#include <string>

#include "base/json.hpp"
#include "base/result.hpp"
#include "store/database.hpp"
#include "work/acknowledged.hpp"

namespace ballast::work {

// Whose commits they were.
struct LostBy {
  unsigned node = 0;                         // its slot
  std::uint32_t epoch = 0;                   // of its boot
  std::uint32_t leasing = 0;                 // the highest number that it gave out fences under
  std::string name;                          // the node's own
};

// Nobody was told of anything that is gone: only what the node wrote for itself.
bool is_harmless(const LostCommits& lost);
// Counts, and the ids of at most `most` of each kind.
json::object lost_json(const LostCommits& lost, std::size_t most);

// In the database that has lost it: a row for the boot, an entry in the audit trail, and fences above all that were ever given out. Once for each boot, however often
// it is called.
Result<void> note_lost(store::Tx& tx, const LostBy& by, const LostCommits& lost, WallTime now);

// What was lost since then, by all nodes.
struct LostFigures {
  std::uint64_t boots = 0;                   // processes that lost something
  std::uint64_t acknowledged = 0;            // jobs accepted, ended or taken further, and effects begun
  WallTime newest{};
};
Result<LostFigures> lost_since(store::Tx& tx, WallTime since);

}  // namespace ballast::work
