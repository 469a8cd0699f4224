// What a start finds: the jobs that are live, the leases that outlived the process before, and those that ended with it.
#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "work/engine_cycle.hpp"
#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

constexpr Duration kGrace = std::chrono::seconds(30);    // for a worker to send its next heartbeat

const Error kCrashed{ErrorCode::internal_unavailable, "the process that ran this attempt ended before it was done", {}, true, {}, {}, {}, {}};
const Error kCalledOff{ErrorCode::caller_cancelled, "the run that waited for it is over", {}, false, {}, {}, {}, {}};

// A child whose run has ended, and not by coming to its end: whoever would have called it off may have died first. Runs come before their children here, who are of the same tenant, so one
// that lives is on the board, and one that this very start ends is not.
Result<bool> to_be_called_off(store::Tx& tx, const Board& board, const JobSpec& spec) {
  if (spec.origin != Origin::child || !spec.parent || board.find(spec.parent)) return false;
  const auto run = get_job(tx, spec.parent);
  if (!run) return std::unexpected(run.error());
  return *run && (*run)->state != JobState::done;
}

}  // namespace

Result<void> Engine::start(Executor& executor, const EndWriter* writer) {
  executor_ = &executor;
  end_writer_ = writer;
  return database_.write_now([this](store::Tx& tx) { return recover(tx); }, {.priority = store::Priority::normal, .limit = std::chrono::minutes(10)});
}

// A job that this process itself ran: one attempt more, and again at once; or dead. Of a run that had come further than where it was taken up, it is the first
// attempt: who crashes at one place again and again dies of it, and no other.
Result<Transition> Engine::crashed(store::Tx& tx, const Job& job, Fence fence, std::vector<AttemptRow>& attempts) const {
  const WallTime now = home_.clock().wall();
  const std::string packed = pack_error(kCrashed);
  auto further = job.spec.kind == JobKind::flow ? progressed(tx, job.spec.origin == Origin::rollback ? job.spec.parent : job.id, fence) : Result<bool>(false);
  if (!further) return fail(std::move(further.error()));
  const std::uint32_t attempt = *further ? 1 : job.attempt + 1;
  const bool dead = attempt >= job.spec.max_attempts;
  attempts.push_back({job.id, attempt, fence, {}, now, packed});
  return Transition{.id = job.id, .fence = fence, .state = dead ? JobState::dead : JobState::queued, .attempt = attempt, .due = {},
                    .finished = dead ? now : WallTime{}, .output = {}, .error = packed};
}

// Every live job onto the board. Returns the claims that still hold one. What waits is queued: it finds out itself whether what it waits for has come.
Result<std::unordered_set<Fence>> Engine::recover_live(store::Tx& tx, const std::unordered_map<JobId, OldLease>& leases) {
  std::unordered_set<Fence> outlived;
  const MonoTime now = home_.clock().mono();
  for (LivePlace after;;) {
    auto rows = load_live(tx, after, options_.start_page);
    if (!rows) return std::unexpected(std::move(rows.error()));
    std::vector<Transition> moves;
    std::vector<AttemptRow> attempts;
    std::vector<JobId> ended;
    for (LiveRow& row : *rows) {
      const auto lease = leases.find(row.job.id);
      const bool leased = lease != leases.end() && lease->second.fence > row.fence;
      const auto off = to_be_called_off(tx, board_, row.job.spec);
      if (!off) return std::unexpected(off.error());
      if (*off) {
        moves.push_back({.id = row.job.id, .fence = leased ? lease->second.fence : row.fence, .state = JobState::cancelled, .attempt = row.job.attempt, .due = {},
                         .finished = home_.clock().wall(), .output = {}, .error = pack_error(kCalledOff)});
        ended.push_back(row.job.id);
        continue;
      }
      if (leased && lease->second.holder.empty()) {
        auto move = crashed(tx, row.job, lease->second.fence, attempts);
        if (!move) return fail(std::move(move.error()));
        moves.push_back(std::move(*move));
        row.job.attempt = moves.back().attempt;
        row.job.due = {};
        if (moves.back().state == JobState::dead) ended.push_back(row.job.id);
        if (moves.back().state == JobState::dead) continue;
      }
      if (row.job.state == JobState::waiting) row.job.due = {};
      put_on_board(row.job, JobState::queued, now);
      if (!leased || lease->second.holder.empty()) continue;
      auto whole = get_job(tx, row.job.id);
      if (!whole) return std::unexpected(std::move(whole.error()));
      held_[row.job.id] = std::make_shared<const Job>(std::move(**whole));
      board_.restore_lease(row.job.id, lease->second.fence, lease->second.holder, now + kGrace);
      pull_names_.emplace(lease->second.fence, lease->second.holder);
      outlived.insert(lease->second.fence);
    }
    if (auto moved = apply_transitions(tx, moves); !moved) return std::unexpected(std::move(moved.error()));
    if (auto kept = insert_attempts(tx, attempts); !kept) return std::unexpected(std::move(kept.error()));
    if (auto told = tell_dead(tx, ended); !told) return std::unexpected(std::move(told.error()));
    if (rows->size() < options_.start_page) return outlived;
    after = {rows->back().job.spec.tenant, rows->back().job.id};
  }
}

Result<void> Engine::tell_dead(store::Tx& tx, std::span<const JobId> dead) const {
  if (!end_writer_) return {};
  auto jobs = load_jobs(tx, dead);
  if (!jobs) return std::unexpected(std::move(jobs.error()));
  for (const Job& job : *jobs) {
    if (!end_writer_->wants(job.spec)) continue;
    if (auto written = end_writer_->write(tx, job); !written) return written;
  }
  return {};
}

// May run again: begins from nothing each time.
Result<void> Engine::recover(store::Tx& tx) {
  auto epoch = begin_epoch(tx, options_.node);
  if (!epoch) return std::unexpected(std::move(epoch.error()));
  epoch_ = *epoch;
  board_ = Board(epoch_);
  held_.clear();
  pull_names_.clear();
  auto last = last_job_id(tx);
  if (!last) return std::unexpected(std::move(last.error()));
  ids_ = JobIds(options_.node, *last);
  inherited_ = *last;
  auto queues = load_queues(tx);
  if (!queues) return std::unexpected(std::move(queues.error()));
  for (const QueueRow& q : *queues) board_.set_rules(q.name, q.rules);
  auto claims = load_claims(tx);
  if (!claims) return std::unexpected(std::move(claims.error()));
  std::unordered_map<JobId, OldLease> leases;
  for (const ClaimRow& c : *claims)
    for (const JobId id : c.jobs) leases[id] = {c.fence, c.holder};      // by fence: the newest claim of a job is its lease
  auto outlived = recover_live(tx, leases);
  if (!outlived) return std::unexpected(std::move(outlived.error()));
  std::vector<Fence> ended;
  for (const ClaimRow& c : *claims)
    if (!outlived->contains(c.fence)) ended.push_back(c.fence);
  log::info("work_recovered", {{"jobs", board_.size()}, {"claims", claims->size()}, {"epoch", epoch_}});
  return delete_claims(tx, ended);
}

}  // namespace ballast::work
