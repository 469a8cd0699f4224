// Heirs: asks, for every boot that is gone, that what it left be taken over, until somebody has.
//
// Every node asks: whoever said of it that it is gone asks at once, the others a little later and not together, so that one that dies as an heir leaves no
// hole. Taking over happens once, whoever asks; who comes late finds nothing left.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "cluster/membership.hpp"

namespace ballast::cluster {

class Heirs {
 public:
  // Begins it, and does not wait: `told` is called once, on any thread, with whether it is known to be taken over, by whomever. Else it is asked again.
  using Told = std::function<void(bool)>;
  using Adopt = std::function<void(const Member& gone, Told told)>;
  struct Pace {
    Duration first = std::chrono::milliseconds(500);     // after it was first seen gone; to twice that, by chance
    Duration again = std::chrono::seconds(2);            // after one that failed; the same way
  };
  // A `told` that comes after its end says nothing to anybody.
  Heirs(Adopt adopt, std::uint64_t seed, Pace pace);
  Heirs(Adopt adopt, std::uint64_t seed) : Heirs(std::move(adopt), seed, Pace()) {}

  // On the membership's thread.
  void died(const Member& gone, MonoTime now);           // by this node's word: asked at once
  void look(const Picture& picture, std::string_view boot, MonoTime now);

 private:
  struct Estate {
    MonoTime due{};
    bool asked = false, settled = false;
  };
  using Book = std::map<std::pair<unsigned, std::string>, Estate>;   // by slot and boot
  struct Shared {
    std::mutex mutex;
    Book book;
  };
  void ask(const Member& gone);
  Duration spread(Duration d);

  const Adopt adopt_;
  const Pace pace_;
  SeededRandom random_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace ballast::cluster
