// What runs write into the journal of effects (records/effects.hpp), and what they read out of it when they are taken up again.
//
// A try's number is found within its transaction, so whoever performs keeps nothing in mind between begin and end.
// What must never happen: an effect in doubt that is sent again; one whose doubt nobody is told of.
#pragma once
#include <string>
#include <string_view>

#include "records/effects.hpp"
#include "work/runner.hpp"

namespace ballast::work {

// Whose it is, and when; of `id` the attempt is not looked at.
struct EffectTry {
  JobId run;
  Fence fence = 0;
  records::EffectId id;
  WallTime at{};
};

// Intended and dispatched, as one more try.
Also begin_effect(EffectTry t, std::string target, Digest arguments, std::string idempotency_key);
// How the newest try ended: confirmed, failed or unknown.
Also end_effect(EffectTry t, records::EffectState state, std::string outcome);
// The same of a compensation; what the stage itself had done, if that left an effect, is then compensated, or could not be.
Also end_undoing(EffectTry t, records::EffectState state, std::string outcome);

// The error of an effect that is unknown: not retryable, it must not be sent again before somebody has looked. Says how to resolve it.
Error in_doubt(JobId run, std::string_view path, std::string_view target, Error why);

// What a holder before left in the air. What may be made twice is settled as superseded, and its stage simply runs again; the rest is unknown,
// and its stage has failed. A try that is unknown and has no record in the journal is told again; and so is what a run that this one repeats left in doubt,
// or did without a result, where doing it here would be doing it twice.
Recovery effects_recovery();

// When a run has ended and nobody will come back to it (cancelled, dead): what is still dispatched is unknown, what is intended was not sent.
Result<void> close_effects(store::Tx& tx, JobId run, std::string_view why, WallTime now);

// Does so in the transaction that ends the run, or the rollback of one. `next` (may be null) is written after it.
class EffectCloser final : public EndWriter {
 public:
  explicit EffectCloser(const EndWriter* next) : next_(next) {}
  bool wants(const JobSpec& spec) const override { return spec.kind == JobKind::flow || (next_ && next_->wants(spec)); }
  Result<void> write(store::Tx& tx, const Job& ended) const override;

 private:
  const EndWriter* const next_;
};

// A person has found out what became of an effect that is unknown. Zero and empty members of `which` are not asked for.
struct EffectChoice {
  std::string path;
  std::uint32_t attempt = 0;
  std::optional<records::EffectKind> kind;
  std::optional<Digest> input;
};
// `state`: confirmed or failed. A compensation that was confirmed has compensated its stage. Returns the effect as it is now. Errors: caller_not_found (no
// such effect); caller_conflict (none of them is unknown; or several are, and the message says how to tell them apart).
Result<records::Effect> resolve_effect(store::Tx& tx, JobId run, const EffectChoice& which, records::EffectState state, std::string_view note, std::string_view actor,
                                       WallTime now);

}  // namespace ballast::work
