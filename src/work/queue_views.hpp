// Queues over all nodes: each node says in its beats what its largest queues have; who is asked adds what it has heard to what its own board has. So the
// part of this node is exact and that of the others a beat old, a second at most, and nobody counts rows. Pure.
#pragma once
#include <cstddef>

#include "base/json.hpp"
#include "work/board.hpp"
#include "work/meter.hpp"

namespace ballast::work {

// Of every queue that the board knows. `meter` may be null: then without rates.
QueueViews views_of(const Board& board, Meter* meter, MonoTime now);

inline constexpr std::size_t kMostQueuesSaid = 64;
// What a node says to the others: the queues that have anything, those with the most jobs first and no more than `kMostQueuesSaid`, and how many are left out.
json::object queues_json(const QueueViews& views);

// What the others have said.
struct QueuesElsewhere {
  unsigned nodes = 0;
  QueueViews views;
  std::size_t left_out = 0;                  // queues of theirs that were too many to be said
  // Of one more node, said `age` ago. What cannot be read, of a node of another version, is not heard.
  void hear(const json::value& said, Duration age);
  // Together with what is here.
  QueueViews with(QueueViews here) const;
};

}  // namespace ballast::work
