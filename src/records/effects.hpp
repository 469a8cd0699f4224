// Effects: what a run does to the world outside (an HTTP call, a settlement, a worker's task), each a small state machine that is
// journaled around the call:
//
//   intended ──▶ dispatched ──▶ confirmed ──▶ compensated
//      │             ├────────▶ failed           ▲  │
//      └─▶ failed    └────────▶ unknown          │  ▼
//                                  │          compensation_failed
//                                  └─ a person says ─▶ confirmed | failed
//
// `intend` and `dispatch` are durable before the first byte leaves, `settle` after the answer. So after a crash: intended means that nothing
// was sent; dispatched means that it may have arrived, and `mark_unknown` says so unless the same effect may be made twice.
//
// A try has one row: (job, stage path, input hash, attempt, kind); another try is another attempt (`next_attempt`). Undoing is an effect itself,
// of kind `compensation`, beside the one it undoes; `undone` then moves that one.
//
// Every move but `intend` is an entry of the run's audit chain in the same transaction. Every move is one guarded statement, on both
// databases: from the states above alone, and under the fence of the row or a higher one, which the row then keeps; so whoever lost the
// lease moves nothing. The same move by the same hand at the same moment again (a body that runs twice) is no move and no error.
// Errors: caller_conflict, field "fence" (a later holder has the row) or "effect" (its state does not allow it, and which it is);
// caller_not_found: no such effect.
// Never give it a secret: the target has no query and no header, the arguments are a hash.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "store/database.hpp"

namespace ballast::records {

// As stored.
enum class EffectKind : std::uint8_t { http = 0, settle = 1, worker = 2, compensation = 3 };
enum class EffectState : std::uint8_t { intended = 0, dispatched = 1, confirmed = 2, failed = 3, unknown = 4, compensated = 5, compensation_failed = 6 };
std::string_view to_string(EffectKind kind);
std::string_view to_string(EffectState state);

inline constexpr std::size_t kMaxEffectTarget = 2048, kMaxEffectKey = 255, kMaxEffectOutcome = 4096;   // bytes

// Who moves a run's effects, and when. Borrowed.
struct EffectHand {
  std::int64_t job = 0;
  std::string_view chain;        // the run's audit chain: the job's id as text
  std::int64_t fence = 0;        // of the lease; of the run's next lease where there is none
  std::string_view actor;        // as in AuditEntry
  WallTime now{};
};

// One try, within its job.
struct EffectId {
  std::string path;              // of the stage: "charge", "each[3].send"
  Digest input{};                // the stage's input hash
  std::uint32_t attempt = 1;
  EffectKind kind = EffectKind::http;
  friend bool operator==(const EffectId&, const EffectId&) = default;
};

struct EffectIntent {
  EffectId id;
  std::string target;            // "POST https://api.example/charges", or a worker's task; cut at kMaxEffectTarget
  Digest arguments{};            // of what exactly will be sent
  std::string idempotency_key;   // empty: none; at most kMaxEffectKey
};

// How a try ended. `outcome`: short text or JSON (`{"status":201,"digest":"…"}`), cut at kMaxEffectOutcome.
struct EffectEnd {
  EffectId id;
  EffectState state = EffectState::confirmed;
  std::string outcome;
};

struct Effect {
  EffectIntent intent;
  EffectState state = EffectState::intended;
  std::int64_t fence = 0;        // of the hand that moved it last
  std::string outcome;
  WallTime intended{}, dispatched{}, settled{}, undone{};   // zero: not yet
};

// What is going to be done. A row that is still `intended` is taken over as it is now meant.
// caller_invalid_request, field "idempotency_key": too long, or not text.
Result<void> intend(store::Tx& tx, const EffectHand& hand, std::span<const EffectIntent> intents);
// From here on it may have happened. From `intended` alone.
Result<void> dispatch(store::Tx& tx, const EffectHand& hand, std::span<const EffectId> effects);
// To confirmed, failed or unknown, from `dispatched`; to failed also from `intended`: it was not sent, and will not be.
Result<void> settle(store::Tx& tx, const EffectHand& hand, std::span<const EffectEnd> ends);
// All of the run's that are `dispatched`: their holder has died, or was told to stop. Returns how many there were.
Result<std::size_t> mark_unknown(store::Tx& tx, const EffectHand& hand, std::string_view why);
// A person has found out what became of one that is `unknown`: confirmed or failed. The first one counts; the fence does not.
Result<void> resolve(store::Tx& tx, const EffectHand& hand, const EffectEnd& end);
// One that was confirmed has been undone (`end.state` compensated), or could not be (compensation_failed, which may be tried again).
Result<void> undone(store::Tx& tx, const EffectHand& hand, const EffectEnd& end);

// In the order in which they were intended. At most 70,000, here and below: what one query may give.
Result<std::vector<Effect>> list_effects(store::Tx& tx, std::int64_t job);
// Those that are intended or dispatched: what a new holder has to make up its mind about.
Result<std::vector<Effect>> unsettled(store::Tx& tx, std::int64_t job);
// For a rollback: those that were confirmed and not undone since, the last settled first; `compensation_failed` ones among them, without
// compensations themselves.
Result<std::vector<Effect>> confirmed_in_reverse(store::Tx& tx, std::int64_t job);
// The newest try of this path, input and kind, whatever attempt `id` has; nothing: there was none.
Result<std::optional<Effect>> last_effect(store::Tx& tx, std::int64_t job, const EffectId& id);
// Returns how many there were.
Result<std::uint64_t> delete_effects(store::Tx& tx, std::int64_t job);

// The attempt of another try: one more than the highest of this path, input and kind, whatever `id` has. Pure.
std::uint32_t next_attempt(std::span<const Effect> effects, const EffectId& id);

}  // namespace ballast::records
