#include "work/run_again.hpp"

#include <algorithm>
#include <set>

#include "work/job_trace.hpp"
#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

constexpr Duration kOnce = std::chrono::hours(24 * 365);

Submission from(const Job& job, Origin origin) {
  Submission s{.spec = job.spec, .input = job.input};
  s.spec.origin = origin;
  s.spec.parent = job.id;
  s.spec.parent_stage.clear();
  s.spec.deadline.reset();
  s.spec.trace.clear();
  s.spec.tracestate.clear();
  join_trace(s.spec, traceparent_of(job), job.spec.tracestate);
  return s;
}

// What people decided; what passed by itself is worked out again to the same.
bool decided_by_people(const Flow& flow, const StageRecord& r) {
  const Stage* stage = flow.at_path(r.path);
  return stage && stage->kind() == StageKind::approve;
}

}  // namespace

Submission redrive_of(const Job& ended) {
  Submission s = from(ended, Origin::redrive);
  s.spec.generation = ended.spec.generation + 1;
  if (ended.spec.kind == JobKind::flow && s.spec.lineage.empty()) s.spec.lineage = to_string(ended.id);
  s.unique_key = "redrive of " + to_string(ended.id);
  s.unique_for = kOnce;
  return s;
}

Submission rollback_of(const Job& run) {
  Submission s = from(run, Origin::rollback);
  s.input = "{}";
  s.spec.webhook.clear();
  s.unique_key = "rollback of " + to_string(run.id);
  s.unique_for = kOnce;
  return s;
}

Submission fork_of(const Job& run) {
  Submission s = from(run, Origin::fork);
  s.spec.lineage.clear();
  s.spec.generation = 1;
  return s;
}

std::vector<StageRecord> results_before(const Flow& flow, std::vector<StageRecord> records, std::string_view from) {
  std::set<std::pair<std::string, Digest>> undone;
  for (const StageRecord& r : records)
    if (r.what == StageRecord::What::compensated) undone.insert({r.path, r.input});
  std::erase_if(records, [&](const StageRecord& r) {
    const bool result = r.what == StageRecord::What::done || r.what == StageRecord::What::skipped;
    const Stage* stage = flow.at_path(r.path);
    const bool items = r.what == StageRecord::What::started && stage && stage->kind() == StageKind::map;
    return !(result || items) || r.path.starts_with('$') || undone.contains({r.path, r.input}) || decided_by_people(flow, r);
  });
  return from.empty() ? records : keep_before(flow, std::move(records), from);
}

bool was_undone(const std::vector<StageRecord>& records) {
  return std::ranges::any_of(records, [](const StageRecord& r) { return r.what == StageRecord::What::compensated; });
}

Result<Also> journal_seed(JobId run, const std::vector<StageRecord>& records) {
  std::vector<PackedRecord> packed;
  for (const StageRecord& r : records) {
    auto one = pack_record(r);
    if (!one) return fail(std::move(one.error()));
    packed.push_back(std::move(*one));
  }
  return Also([run, packed = std::move(packed)](store::Tx& tx) -> Result<void> {
    auto accepted = tx.run("SELECT 1 FROM jobs WHERE id = $1", {run.value});
    if (!accepted) return std::unexpected(accepted.error());
    return accepted->size() == 0 ? Result<void>{} : insert_records(tx, run, packed, 0);
  });
}

}  // namespace ballast::work
