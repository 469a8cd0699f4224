// One attempt: one request to one provider with one credential, all it takes acquired before and released after.
#pragma once
#include "gateway/road.hpp"

namespace ballast::gateway {

struct AttemptOptions {
  bool continuing = false;               // go on after what the relay has delivered
  bool early = false;                    // nobody admits: take an early try if its breaker rests
  TriedCredentials exclude = 0;
  CancelToken cancel = nullptr;          // another attempt won, and this one was read on for long enough
  bool again = false;                    // a slice of a budget was too small for it a moment ago
  const Correction* correction = nullptr;   // its last answer was refused: ask again. Borrowed
  Admission* room = nullptr;             // in its target's limits, drawn already: taken, or left
  const bool* overtaken = nullptr;       // another attempt won: this one says what it cost, and nothing of the answer
  MonoTime due = MonoTime::max();        // the whole answer is due, whatever the target's own timers and the route's deadline say
};

// Results are written in place, here and in all that an attempt calls: a stream's frames live as long as the stream.
struct AttemptOutcome {
  Answer& answer;                        // `answer.end` says whether it is one
  TriedCredentials credential = 0;       // the one that was used
  bool dispatched = false;               // bytes went towards the provider
  std::size_t record = 0;                // its place in the trail's attempts, if dispatched
  bool for_slice = false;                // it did not begin, as this node's part of a limit of its target was too small
  Shortage lacking;                      // or of a budget
};

// Adds its AttemptRecord to the trail and its money to the hold, however it ends. A stream's last bytes stay in `out`.
Task<void> attempt_once(const Scene& scene, const Asked& asked, Planned& plan, const Candidate& candidate, AttemptOptions options,
                        StreamOut& out, Relay& relay, Trail& trail, AttemptOutcome& outcome);

}  // namespace ballast::gateway
