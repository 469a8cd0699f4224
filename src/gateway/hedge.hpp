// Hedging: when the first target is slow to answer, ask the next one too and take whoever speaks first (Dean and Barroso,
// "The Tail at Scale", 2013). Each hedge holds money for itself. A loser is read on for `read_on_disconnect`, at most until the winner's
// answer is whole: so its true cost is booked where it comes in time, and it counts against limits while it runs. One that is cut is
// booked at its ceiling, because nobody learns what it cost.
#pragma once
#include <functional>
#include <memory>

#include "gateway/attempt.hpp"

namespace ballast::gateway {

// The caller's side of one attempt at a stream. Racers have one each; the winner's becomes the call's.
struct Lane {
  Relay relay;
  StreamOut out;
};

// Starts at candidate `at` with `lane`; after the route's `hedge.after` without a first byte starts the next, up to
// `hedge.max` more. On success `lane` is the winner's and `at` its candidate; on failure `at` is the last one tried.
Task<void> attempt_hedged(const Scene& scene, const Asked& asked, Planned& plan, std::size_t& at, AttemptOptions options,
                          const LaneMaker& make_lane, std::unique_ptr<Lane>& lane, Trail& trail, AttemptOutcome& outcome);

}  // namespace ballast::gateway
