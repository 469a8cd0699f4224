// One commit cycle: what time and the board want, the transaction, and what follows from it.
#include "work/engine_cycle.hpp"

#include <algorithm>
#include <cassert>
#include <map>
#include <ranges>

#include "base/log.hpp"
#include "work/homes.hpp"
#include "work/meter.hpp"

namespace ballast::work {

namespace {

constexpr std::size_t kTimeBatch = 1'000;
constexpr Duration kFlushEvery = std::chrono::seconds(1);
constexpr Duration kWriteAgain = std::chrono::seconds(5);     // since the cycle began: its leases run meanwhile

const Error kLeaseLost{ErrorCode::internal_unavailable, "the worker's lease expired: it sent no heartbeat in time", {}, true, {}, {}, {}, {}};
const Error kFateUnknown{ErrorCode::internal_unavailable,
                         "the database went away while this was being written, and whether it was is known only when it is back: ask again then, with the same Idempotency-Key if it had one",
                         {}, true, {}, {}, {}, {}};
const Error kTooLate{ErrorCode::caller_timeout, "the job's deadline passed before it was done", "deadline", false, {}, {}, {}, {}};

// Of this lease; 0 when nobody holds the job.
Fence fence_of(const Entry& e) { return e.place == Entry::Place::leased ? e.fence : 0; }

}  // namespace

// ---- what becomes of a job ----

void Engine::stage_end(Cycle& cycle, const Entry& e, JobState state, std::optional<std::string> output, std::optional<std::string> error) {
  Move move{.row = {.id = e.id, .fence = fence_of(e), .state = state, .attempt = e.attempt, .due = {}, .finished = cycle.wall,
                    .output = std::move(output), .error = std::move(error)}};
  JobPtr job;
  if (const auto held = held_.find(e.id); held != held_.end()) job = held->second;
  else if (const auto hot = hot_.find(e.id); hot != hot_.end()) job = hot->second;
  if (!job) cycle.cold.push_back(e.id);
  else cycle.known.emplace(e.id, job);
  if (end_writer_ && (!job || end_writer_->wants(job->spec))) cycle.told.push_back(cycle.moves.size());
  cycle.moves.push_back(std::move(move));
}

void Engine::stage_failure(Cycle& cycle, const Entry& e, const Error& error, std::optional<Duration> delay) {
  const auto held = held_.find(e.id);
  assert(held != held_.end());
  const JobSpec& spec = held->second->spec;
  const std::uint32_t attempt = e.attempt + 1;
  const std::string packed = pack_error(error);
  const auto holder = pull_names_.find(e.fence);
  cycle.failures.push_back({held->second, error.code, &error == &kLeaseLost});
  cycle.attempts.push_back({e.id, attempt, e.fence, holder == pull_names_.end() ? std::string() : holder->second, cycle.wall, packed});
  if (attempt >= spec.max_attempts) {
    stage_end(cycle, e, JobState::dead, std::nullopt, packed);
    cycle.moves.back().row.attempt = attempt;
    return;
  }
  const Duration wait = delay ? *delay : backoff_delay(spec.backoff, attempt, random_.uniform());
  cycle.moves.push_back({.row = {.id = e.id, .fence = e.fence, .state = JobState::queued, .attempt = attempt, .due = cycle.wall + wait, .finished = {},
                                 .output = {}, .error = packed},
                         .due = cycle.now + wait});
}

void Engine::stage_time(Cycle& cycle) {
  for (const JobId id : board_.past_deadline(cycle.now, kTimeBatch))
    if (const auto e = board_.hold(id)) stage_end(cycle, **e, JobState::dead, std::nullopt, pack_error(kTooLate));
  for (const JobId id : board_.expired_leases(cycle.now, kTimeBatch))
    if (const auto e = board_.hold(id)) stage_failure(cycle, **e, kLeaseLost, Duration::zero());
}

void Engine::stage_leases(Cycle& cycle) {
  if (!open_ || draining_ || lost_) return;
  const auto keep = [&](Claim claim, PullAsk* by) {
    if (claim.jobs.empty()) return;
    cycle.leased += claim.jobs.size();
    for (const JobId id : claim.jobs) {
      if (const auto hot = hot_.find(id); hot != hot_.end()) cycle.known.emplace(id, hot->second);
      else if (!cycle.known.contains(id)) cycle.cold.push_back(id);
    }
    cycle.claims.push_back(std::move(claim));
    cycle.claimed_by.push_back(by);
  };
  if (board_.leased_local() < options_.local_leases) keep(board_.lease_local(options_.local_leases - board_.leased_local(), cycle.now), nullptr);
  for (PullAsk* p : pulls_) {
    if (p->over || !board_.has_ready_for(p->request.queues, p->request.tasks)) continue;
    p->in_cycle = true;
    keep(board_.lease_for(p->request.worker, p->request.queues, p->request.tasks, p->request.most, cycle.now, cycle.now + p->request.lease), p);
  }
}

// While little is under way: under load it is better that the database's thread writes one cycle while this one works on the next.
void Engine::stage_at_once(Cycle& cycle) {
  if (cycle.leased == 0 || cycle.leased > options_.at_once || cycle.number < at_once_from_) return;
  for (std::size_t i = 0; i < cycle.claims.size(); ++i) {
    if (cycle.claimed_by[i]) continue;
    for (const JobId id : cycle.claims[i].jobs) {
      const auto known = cycle.known.find(id);
      if (known == cycle.known.end()) continue;
      const Entry& e = *board_.find(id);
      auto said = executor_->at_once({.job = known->second, .fence = e.fence, .attempt = e.attempt + 1, .first = !e.leased_before && id > inherited_});
      if (!said) continue;
      assert(said->to == Commit::To::done && said->children.empty());
      cycle.by_holder.insert(id);
      stage_end(cycle, **board_.hold(id), JobState::done, std::move(said->output), std::nullopt);
      cycle.at_once.push_back(std::move(*said));
    }
  }
}

// ---- the transaction ----

// The body: no effect outside `tx` but what the cycle keeps of its findings.
Result<void> Engine::write(store::Tx& tx, const Cycle& cycle) const {
  cycle.insertions.clear();
  cycle.loaded.clear();
  if (auto mine = check_epoch(tx, options_.node, epoch_, cycle.number, kept_); !mine) return mine;
  std::vector<const NewJob*> jobs;
  for (const NewJob& j : cycle.jobs) jobs.push_back(&j);
  auto inserted = insert_jobs(tx, jobs, cycle.wall);
  if (!inserted) return std::unexpected(std::move(inserted.error()));
  cycle.insertions = std::move(*inserted);
  cycle.lost.clear();
  for (std::size_t i = 0; i < cycle.insertions.size(); ++i)
    if (cycle.insertions[i].existing) cycle.lost.insert(cycle.jobs[i].job->id);
  at("inserted");
  if (auto placed = place_keyed(tx, cycle); !placed) return placed;
  if (auto moved = write_moves(tx, cycle); !moved) return moved;
  if (auto kept = insert_attempts(tx, cycle.attempts); !kept) return kept;
  for (const auto* also : cycle.also)
    if (auto done = (*also)(tx); !done) return done;
  if (auto claimed = write_claims(tx, cycle); !claimed) return claimed;
  auto loaded = load_jobs(tx, cycle.cold);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  cycle.loaded = std::move(*loaded);
  auto ends = write_ends(tx, cycle);
  at("written");
  return ends;
}

// Jobs of one concurrency key are on one board, of whichever nodes accept them.
Result<void> Engine::place_keyed(store::Tx& tx, const Cycle& cycle) const {
  cycle.abroad.clear();
  std::map<std::pair<std::string_view, std::string_view>, std::vector<JobId>> keys;      // in their order: two nodes do not wait for each other
  for (const std::size_t i : cycle.keyed) {
    const Job& job = *cycle.jobs[i].job;
    if (!cycle.lost.contains(job.id)) keys[{job.spec.queue, job.spec.concurrency_key}].push_back(job.id);
  }
  std::map<std::uint32_t, std::vector<JobId>> given;
  for (const auto& [key, ids] : keys) {
    const auto owner = key_owner(tx, key.first, key.second, epoch_);
    if (!owner) return std::unexpected(owner.error());
    if (*owner == epoch_) continue;
    given[*owner].insert(given[*owner].end(), ids.begin(), ids.end());
    cycle.abroad.insert(ids.begin(), ids.end());
  }
  for (const auto& [owner, ids] : given) {
    auto handed = hand_over(tx, owner, cycle.handover, ids);
    if (handed) continue;
    if (handed.error().field != "owner") return handed;
    return std::unexpected(store::make_error(store::Fault::unavailable, "the node that decides about this concurrency key has just gone; try again"));
  }
  return {};
}

Result<void> Engine::write_moves(store::Tx& tx, const Cycle& cycle) const {
  std::vector<Transition> rows;
  rows.reserve(cycle.moves.size());
  for (const Move& m : cycle.moves)
    if (!cycle.lost.contains(m.row.id)) rows.push_back(m.row);
  if (auto moved = apply_transitions(tx, rows); !moved) return moved;
  for (const Commit& c : cycle.at_once)
    if (c.also && !cycle.lost.contains(c.job))
      if (auto done = c.also(tx); !done) return done;
  return {};
}

// Without those whose key turned out to be another's, and those that have ended already.
Result<void> Engine::write_claims(store::Tx& tx, const Cycle& cycle) const {
  std::vector<Claim> claims;
  std::vector<const Claim*> rows;
  cycle.unwritten.clear();
  if (cycle.lost.empty() && cycle.at_once.empty()) {
    for (const Claim& c : cycle.claims) rows.push_back(&c);
  } else {
    for (const Claim& c : cycle.claims) {
      claims.push_back(c);
      std::erase_if(claims.back().jobs, [&](JobId id) { return cycle.lost.contains(id) || cycle.is_at_once(id); });
    }
    for (const Claim& c : claims) {
      if (c.jobs.empty()) cycle.unwritten.push_back(c.fence);
      else rows.push_back(&c);
    }
  }
  if (auto claimed = insert_claims(tx, rows, cycle.wall); !claimed) return claimed;
  return delete_claims(tx, cycle.ended_claims);
}

Result<void> Engine::write_ends(store::Tx& tx, const Cycle& cycle) const {
  for (const std::size_t i : cycle.told) {
    const Transition& row = cycle.moves[i].row;
    if (cycle.lost.contains(row.id)) continue;
    const auto known = cycle.known.find(row.id);
    const auto loaded = std::ranges::find_if(cycle.loaded, [&](const Job& j) { return j.id == row.id; });
    if (known == cycle.known.end() && loaded == cycle.loaded.end()) continue;
    Job job = known != cycle.known.end() ? *known->second : *loaded;
    if (!end_writer_->wants(job.spec)) continue;
    end_job(job, row);
    if (auto written = end_writer_->write(tx, job); !written) return written;
  }
  return {};
}

void Engine::end_job(Job& job, const Transition& row) {
  job.state = row.state;
  job.attempt = row.attempt;
  job.finished = row.finished;
  if (row.output) job.output = *row.output;
  if (row.error) job.error = *row.error;
}

// Memory goes on only when it is known what the database holds: to guess would lose or repeat. What was lost with its connection is written again.
// `number` is that of the body's `check_epoch`; `asks` are what it carries.
Task<Result<void>> Engine::write_for_sure(std::int64_t& number, MonoTime begun, std::span<Ask* const> asks, std::function<Result<void>(store::Tx&)> body) {
  for (;;) {
    auto written = co_await database_.write(home_, [&](store::Tx& tx) { return body(tx); }, {.fate_in_rows = true});
    if (written) kept_ = number;
    if (written || store::fault_of(written.error()) != store::Fault::commit_unknown) co_return written;
    auto there = co_await learn_fate(number, begun, asks, std::move(written.error()));
    if (!there) co_return std::unexpected(std::move(there.error()));
    kept_ = number;
    if (*there) co_return Result<void>{};
    if (home_.clock().mono() - begun > kWriteAgain) co_return std::unexpected(store::make_error(store::Fault::unavailable, "the transaction was lost with its connection"));
    number = ++cycles_;
  }
}

// COMMIT was sent and no answer came: whether it happened. If not, it never will. Nobody outside waits for that longer than it might be written again.
Task<Result<bool>> Engine::learn_fate(std::int64_t number, MonoTime begun, std::span<Ask* const> asks, Error error) {
  log::warn("work_commit_unknown", {{"why", error.message}});
  while (!stopping_ && home_.clock().mono() < last_words_) {
    auto there = co_await database_.write(home_, [&](store::Tx& tx) { return settle_cycle(tx, options_.node, epoch_, number, kept_); });
    if (there) co_return there;
    if (store::fault_of(there.error()) == store::Fault::none) {
      lose(there.error());
      break;
    }
    if (home_.clock().mono() - begun > kWriteAgain) let_go(asks, there.error());
    co_await SleepUntil(home_, home_.clock().mono() + std::chrono::milliseconds(200));
  }
  co_return std::unexpected(std::move(error));
}

// Tells those that can be told: of what is carried, that nobody knows what became of it; what has not been begun with, that it is not.
void Engine::let_go(std::span<Ask* const> carried, const Error& away) {
  for (Ask* ask : carried) {
    auto held = ask->waiter ? ask->hold() : nullptr;
    if (!held) continue;
    ask->left = kFateUnknown;
    left_.push_back(std::move(held));
    home_.resume(std::exchange(ask->waiter, {}));
  }
  for (Ask* ask : std::exchange(asks_, {})) {
    if (ask->insists()) {
      asks_.push_back(ask);
    } else {
      ask->failed(away);
      home_.resume(ask->waiter);
    }
  }
}

// ---- what follows ----

void Engine::undo(Cycle& cycle) {
  for (const Claim& c : cycle.claims | std::views::reverse)
    for (const JobId id : c.jobs | std::views::reverse) board_.unlease(id, cycle.now);
  for (const NewJob& j : cycle.jobs) {
    board_.remove(j.job->id, cycle.now);
    take_hot(j.job->id);
  }
  for (const Move& m : cycle.moves | std::views::reverse) board_.let_go(m.row.id);
  for (const JobId id : cycle.held) board_.let_go(id);
  ended_claims_.insert(ended_claims_.end(), cycle.ended_claims.begin(), cycle.ended_claims.end());
  (void)board_.take_ended_claims();          // of leases that were never written
  for (PullAsk* p : pulls_) p->in_cycle = false;
  sweep_pulls();
}

void Engine::apply_move(Cycle& cycle, const Move& m) {
  const Entry* e = board_.find(m.row.id);
  if (!e) return;
  const bool leased = e->place == Entry::Place::leased;
  const bool local = leased && !pull_names_.contains(e->fence);
  const Fence fence = e->fence;
  const bool at_once = cycle.is_at_once(m.row.id);
  if (meter_ && at_once) {
    meter_->leased(cycle.known.at(m.row.id)->spec, cycle.now - e->ready_since, cycle.now);
    meter_->lease_over(cycle.known.at(m.row.id)->spec, home_.clock().mono() - cycle.now, cycle.now);
  }
  if (const auto held = held_.find(m.row.id); meter_ && leased && held != held_.end()) meter_->lease_over(held->second->spec, cycle.now - e->since, cycle.now);
  if (m.row.state == JobState::queued) {
    board_.requeue(m.row.id, m.row.attempt, m.due, cycle.now);
  } else if (m.row.state == JobState::waiting) {
    board_.park(m.row.id, m.row.attempt, m.due, cycle.now);
  } else {
    board_.remove(m.row.id, cycle.now);
    JobPtr job;
    if (const auto known = cycle.known.find(m.row.id); known != cycle.known.end()) job = known->second;
    else if (const auto at = std::ranges::find_if(cycle.loaded, [&](const Job& j) { return j.id == m.row.id; }); at != cycle.loaded.end()) job = std::make_shared<const Job>(*at);
    take_hot(m.row.id);
    if (job) {
      auto ended = std::make_shared<Job>(*job);
      end_job(*ended, m.row);
      if (meter_) meter_->ended(*ended, leased, cycle.now);
      if (at_once) cycle.ended.emplace(ended->id, ended);
      tell_ended(ended);
    }
  }
  if (!leased) return;
  held_.erase(m.row.id);
  if (local && !cycle.by_holder.contains(m.row.id)) executor_->revoke(m.row.id, fence);
}

void Engine::apply(Cycle& cycle) {
  for (std::size_t i = 0; i < cycle.insertions.size(); ++i) {
    if (!cycle.insertions[i].existing) continue;
    board_.remove(cycle.jobs[i].job->id, cycle.now);
    take_hot(cycle.jobs[i].job->id);
  }
  for (const Move& m : cycle.moves) {
    apply_move(cycle, m);
    feed_.notify(m.row.id);
  }
  for (const JobId id : cycle.abroad) {
    board_.remove(id, cycle.now);
    take_hot(id);
  }
  for (const JobId id : cycle.held) board_.let_go(id);
  auto ended = board_.take_ended_claims();
  for (const Fence f : ended) pull_names_.erase(f);
  std::erase_if(ended, [&](Fence f) { return std::ranges::find(cycle.unwritten, f) != cycle.unwritten.end(); });
  if (ended_claims_.empty() && !ended.empty()) flush_due_ = cycle.now + kFlushEvery;
  ended_claims_.insert(ended_claims_.end(), ended.begin(), ended.end());
}

// Before its leases are handed out: `cycle` still has everything.
void Engine::count(const Cycle& cycle) {
  for (std::size_t i = 0; i < cycle.jobs.size(); ++i)
    if (!cycle.insertions[i].existing) meter_->accepted(cycle.jobs[i].job->spec, cycle.now);
  for (const auto& f : cycle.failures) meter_->attempt_failed(f.job->spec, f.code, f.lease_expired, cycle.now);
}

// For as long as a standby may not have heard of it.
void Engine::remember(const Cycle& cycle, const std::vector<Ask*>& asks) {
  if (database_.dialect() == store::Dialect::sqlite) return;
  acknowledged_.begin(cycle.number, cycle.wall, cycle.now);
  for (std::size_t i = 0; i < cycle.jobs.size(); ++i)
    if (!cycle.insertions[i].existing) acknowledged_.note(Acknowledged::What::submitted, cycle.jobs[i].job->id);
  for (const Move& m : cycle.moves)
    if (!cycle.lost.contains(m.row.id)) acknowledged_.note(terminal(m.row.state) ? Acknowledged::What::ended : Acknowledged::What::went_on, m.row.id);
  for (const Ask* ask : asks) ask->name_effects(acknowledged_);
}

void Engine::hand_out(Cycle& cycle) {
  for (std::size_t i = 0; i < cycle.claims.size(); ++i) {
    const Claim& c = cycle.claims[i];
    for (const JobId id : c.jobs) {
      const Entry* e = board_.find(id);
      if (!e) continue;                      // its key was another's, or it has ended
      if (!c.holder.empty()) pull_names_.emplace(c.fence, c.holder);
      JobPtr job = take_hot(id);
      if (!job)
        if (const auto at = std::ranges::find_if(cycle.loaded, [&](const Job& j) { return j.id == id; }); at != cycle.loaded.end()) job = std::make_shared<const Job>(std::move(*at));
      assert(job);
      if (meter_) meter_->leased(job->spec, home_.clock().mono() - e->ready_since, cycle.now);
      held_[id] = job;
      feed_.notify(id);
      Lease lease{.job = std::move(job), .fence = c.fence, .attempt = e->attempt + 1, .first = !e->leased_before && id > inherited_};
      if (cycle.claimed_by[i]) cycle.claimed_by[i]->leases.push_back(std::move(lease));
      else executor_->start(std::move(lease));
    }
  }
  for (PullAsk* p : pulls_) {
    p->in_cycle = false;
    p->over = p->over || !p->leases.empty();
  }
  sweep_pulls();
}

void Engine::sweep_pulls() {
  std::vector<PullAsk*> over;
  std::erase_if(pulls_, [&](PullAsk* p) {
    if (p->over) over.push_back(p);
    return p->over;
  });
  for (PullAsk* p : over) {
    p->timer.cancel();
    home_.resume(p->waiter);
  }
}

}  // namespace ballast::work
