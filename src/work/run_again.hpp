// Jobs that come from an ended one: a redrive does the same work again, a fork of a run asks anew from some stage on, a rollback undoes a run.
// The job they come from stays as it is.
//
// A run that is driven again or forked begins with the results of the one before, so that one failed stage is retried alone. A result is
// found again only where it still answers the same question; what was undone, and what people decided, is asked anew (a decision is used once).
// Effects of a redrive carry the idempotency keys of the first run: what may have arrived then is not done twice. Where something of that run was
// undone they do not: a side that honours keys would answer with its old answer and do nothing.
#pragma once
#include <string_view>
#include <vector>

#include "work/engine.hpp"
#include "work/run_state.hpp"

namespace ballast::work {

// Asked for twice, the first two are the same job.
Submission redrive_of(const Job& ended);
Submission rollback_of(const Job& run);
Submission fork_of(const Job& run);

// The results that such a run begins with. `from`: a stage that is asked anew with all that depends on it; empty: whatever has no result.
std::vector<StageRecord> results_before(const Flow& flow, std::vector<StageRecord> records, std::string_view from);
// Was anything of the run undone, or tried to be.
bool was_undone(const std::vector<StageRecord>& records);
// Writes them as the run's journal, if it was accepted: in the transaction of its submission. Error: as pack_record.
Result<Also> journal_seed(JobId run, const std::vector<StageRecord>& records);

}  // namespace ballast::work
