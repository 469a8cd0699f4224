// A flow's `http` and `settle` stages and its compensations, through the journal of effects (records/effects.hpp):
//
//   begin of the stage: intended and dispatched, one transaction → the call (http_call.hpp) → its end and the stage's record, one transaction
//
// Calls that only read leave no effect. A settlement's values are looked at before anything leaves: clean, or approved exactly (taint.hpp).
// One that may have arrived and must not be made twice ends as `unknown`, and its stage in an error that no retry mends: a person
// finds out and says so (records::resolve). One that may be made again is, under the same key, by the stage's `retry`.
//
// What must never happen: a call whose effect is not durable; a call made twice that must not be; a tainted value that leaves.
#pragma once
#include "net/transport.hpp"
#include "work/runner.hpp"

namespace ballast::work {

inline constexpr std::size_t kMaxHttpAnswer = 8u << 20;             // bytes of a body
inline constexpr std::uint32_t kUndoTries = 4;                      // sends of one compensation
inline constexpr Duration kUndoPause = std::chrono::seconds(1);     // before the second; then twice as long each

// `guarded` refuses what a flow must not reach; it and `home` outlive the performers.
Performer http_performer(Scheduler& home, net::Transport& guarded);
Performer settle_performer(Scheduler& home, net::Transport& guarded);
Undoer http_undoer(Scheduler& home, net::Transport& guarded);

}  // namespace ballast::work
