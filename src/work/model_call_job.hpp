// Jobs of kind `call`: one model call, its answer the job's output. The text of a streamed one is told to the job's followers as it comes
// (live_text.hpp).
#pragma once
#include "work/dispatch.hpp"
#include "work/model_call.hpp"
#include "work/off_peak.hpp"
#include "work/provider_batches.hpp"

namespace ballast::work {

// What becomes of the job, by what became of its call:
//   answered                                     done. Output: the reply's body, whole, also of a streamed one
//   answered from a stale copy or a template     a failed attempt while there are more: work can wait for a real answer. At the last: done, and
//                                                the output says so in a first member "ballast": {"degraded": "stale" | "template"}
//   policy_rate_limited, provider_rate_limited,  snoozed for as long as was asked: no attempt is counted. `paced`: one that never called is put
//   internal_unavailable                         back in its place at once, for the board lets it go in its turn
//   provider_all_failed when nobody was asked    likewise: the provider rests, or its credentials do. An outage costs no attempts
//   policy_budget_exceeded                       snoozed until the budget's window ends, if that is within kBudgetPatience; else dead
//   caller_*, other policy_*, and what a         dead: no attempt would help
//   provider says of the request itself
//   other provider_*, internal_error             failed: again after the backoff, or when Retry-After says
inline constexpr Duration kBudgetPatience = std::chrono::minutes(15);
Outcome outcome_of(ModelReply reply, const Lease& lease, bool paced);

// How long a job that may wait has to, until the hours it is for begin. Nothing: not at all, also where its deadline comes first.
std::optional<Duration> off_peak_wait(const JobSpec& spec, const std::optional<OffPeak>& off_peak, WallTime now);

// The call that a job is. `patience`: for room in the limits. `on_text` and the like are the caller's to fill.
ModelRequest request_of(const Job& job, Duration patience);

// `timeout`: of an attempt whose job does not say. Borrowed: what it calls and what it asks live as long as the handler.
// `off_peak`: when jobs that may wait are done, unless their deadline comes first; nothing: at any time. `batches`: where those are gathered first; null: nowhere.
JobHandler call_handler(ModelCaller& caller, Engine& engine, Duration timeout, std::optional<OffPeak> off_peak = {}, ProviderBatches* batches = nullptr);

}  // namespace ballast::work
