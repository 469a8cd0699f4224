// Giving: which jobs a node gives to which others, and when. Pure. Each node says what it could start at this moment if it only had it (`Hunger`, in its beats);
// who has more than it can start gives of what stands first in its lines (Engine::give).
//
// A beat is old when it is read, and several read it. So a hunger is fed once by each giver (its `beat` tells it apart from the one before), and by each with its
// part alone: what all give together is about what was wanted. What comes too much waits there as it would have waited here, and may be given on.
//
// A node that ends starts nothing more: it gives all that is ready, hungry or not, and says that it has left when nothing is under way there any more. Then whoever
// sees it first adopts what could not be given (jobs of concurrency keys, of queues with limits, those that wait).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "work/board.hpp"

namespace ballast::work {

inline constexpr std::size_t kMostPulls = 64;            // said in one hunger

struct Hunger {
  std::uint32_t local = 0;                               // jobs that run in the process itself, of any queue
  struct Pull {                                          // an external worker that waits
    std::string queue, task;                             // task empty: any
    std::uint32_t most = 0;
    friend bool operator==(const Pull&, const Pull&) = default;
  };
  std::vector<Pull> pulls;
  friend bool operator==(const Hunger&, const Hunger&) = default;
};
struct Neighbour {                                       // a living node that takes work, and is not this one
  std::uint32_t epoch = 0;                               // Engine::epoch there
  std::uint64_t beat = 0;
  Hunger hunger;
};
// What a node says of itself to those who would give to it. Of the pulls what is more than `kMostPulls` is not said.
json::object neighbour_json(std::uint32_t epoch, const Hunger& hunger);
// The last word of a node that has drained.
json::object left_json(std::uint32_t epoch);
bool has_left(const json::value& said);
// As another node said it, perhaps of another version, in its beat of that number: without an epoch it is none, and what cannot be read of its hunger is no hunger.
std::optional<Neighbour> neighbour_from(const json::value& said, std::uint64_t beat);

struct Gift {
  std::uint32_t to = 0;
  std::vector<JobId> jobs;
};

class Giving {
 public:
  // At most one gift for each neighbour. Remembers whom it has fed. `spare`: what this node has and cannot start.
  std::vector<Gift> decide(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours);
  // The same of a node that ends: what nobody is hungry for goes to all of them in turn.
  std::vector<Gift> leave(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours);

 private:
  std::vector<Gift> feed(std::span<const Board::Spare> spare, std::span<const Neighbour> neighbours, std::vector<std::size_t>& next);

  std::map<std::uint32_t, std::uint64_t> fed_;           // beats, by epoch
};

}  // namespace ballast::work
