#include "work/engine.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "work/engine_cycle.hpp"
#include "work/engine_errand.hpp"
#include "work/homes.hpp"
#include "work/job_trace.hpp"
#include "work/meter.hpp"

namespace ballast::work {

namespace {

constexpr Duration kTryAgain = std::chrono::milliseconds(200);   // after the database failed
constexpr Duration kLastWords = std::chrono::seconds(5);         // beyond the patience of a drain, to write what it has cut

constexpr std::int64_t kOrdinary = 1'000;                        // cycles after one that could not write what it did at once

bool is_away(store::Fault fault) { return fault == store::Fault::unavailable || fault == store::Fault::timeout; }

}  // namespace

Engine::Engine(Scheduler& home, store::Database& database, EngineOptions options, std::uint64_t seed)
    : home_(home), database_(database), options_(options), random_(seed), ids_(options.node), board_(0), feed_(home) {}

Engine::~Engine() { timer_.cancel(); }

void Engine::open() {
  open_ = true;
  if (!running_) {
    running_ = true;
    begin_errands();
    tasks_.spawn(run());
  }
  nudge();
}

Task<void> Engine::drain(Duration patience) {
  draining_ = true;
  while (!pulls_.empty() && !pulls_.front()->in_cycle) end_wait(*pulls_.front());
  for (PullAsk* p : pulls_) p->over = true;
  feed_.close();
  while (!waiters_.empty()) end_wait(*waiters_.begin()->second);
  const MonoTime until = home_.clock().mono() + patience;
  last_words_ = until + kLastWords;
  while (board_.leased_local() > 0 && home_.clock().mono() < until) co_await SleepUntil(home_, std::min(until, home_.clock().mono() + std::chrono::milliseconds(5)));
  if (board_.leased_local() > 0) co_await executor_->stop();
  stopping_ = true;
  nudge();
  co_await tasks_.join();
}

bool Engine::has_work() const {
  if (!asks_.empty()) return true;
  const MonoTime now = home_.clock().mono();
  if (now < quiet_until_ || lost_) return false;
  if (board_.next_event() <= now || (!ended_claims_.empty() && flush_due_ <= now)) return true;
  if (!open_ || draining_) return false;
  if (board_.leased_local() < options_.local_leases && board_.has_local_ready()) return true;
  return std::ranges::any_of(pulls_, [&](const PullAsk* p) { return !p->over && board_.has_ready_for(p->request.queues, p->request.tasks); });
}

Task<void> Engine::run() {
  struct Idle {
    Engine& engine;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const {
      engine.idle_ = h;
      engine.arm_timer();
    }
    void await_resume() const noexcept {}
  };
  while (!stopping_ || !asks_.empty()) {
    const bool errand = has_errand();
    if (errand) co_await go_on_errand();
    if (has_work()) co_await perform(gather());
    else if (!errand) co_await Idle{*this};
  }
  closed_ = true;
  for (Errand* e : std::exchange(errands_, {})) e->end({ErrorCode::internal_unavailable, "this node has shut down", {}, true, std::chrono::seconds(2), {}, {}, {}});
}

void Engine::nudge() {
  if (const auto idle = std::exchange(idle_, {})) home_.resume(idle);
}

void Engine::arm_timer() {
  MonoTime next = board_.next_event();
  if (!ended_claims_.empty()) next = std::min(next, flush_due_);
  if (home_.clock().mono() < quiet_until_) next = quiet_until_;    // there may be something to lease then
  for (const Errand* e : errands_) next = std::min(next, e->not_before);
  timer_.cancel();
  if (next != kNever && !lost_) home_.arm(timer_, next, [](void* self) { static_cast<Engine*>(self)->nudge(); }, this);
}

std::vector<Engine::Ask*> Engine::gather() {
  const std::size_t n = std::min(asks_.size(), options_.cycle_asks);
  std::vector<Ask*> asks(asks_.begin(), asks_.begin() + static_cast<std::ptrdiff_t>(n));
  asks_.erase(asks_.begin(), asks_.begin() + static_cast<std::ptrdiff_t>(n));
  return asks;
}

// One transaction for all of it. If it fails for a reason that may lie with one of them (or with what time and the board wanted), each
// is tried alone.
Task<void> Engine::perform(std::vector<Ask*> asks) {
  left_.clear();
  auto done = co_await attempt(asks, true);
  if (done) co_return;
  std::erase_if(asks, [](const Ask* ask) { return ask->left.has_value(); });
  const store::Fault fault = store::fault_of(done.error());
  const bool alone_may_do = !is_away(fault) && fault != store::Fault::commit_unknown && !lost_;
  if (!alone_may_do || asks.empty()) {
    log::warn("work_not_written", {{"why", done.error().message}});
    quiet_until_ = home_.clock().mono() + kTryAgain;
  }
  for (Ask* ask : asks) {
    Result<void> alone = std::unexpected(done.error());
    if (alone_may_do) alone = co_await attempt({ask}, false);
    if (alone || ask->left) continue;
    const store::Fault why = store::fault_of(alone.error());
    if (ask->insists() && !stopping_ && home_.clock().mono() < last_words_ && (is_away(why) || why == store::Fault::full)) {
      later_.push_back(ask);
    } else {
      ask->failed(alone.error());
      ask->waiter.resume();
    }
  }
  if (!later_.empty()) {
    quiet_until_ = home_.clock().mono() + kTryAgain;
    co_await SleepUntil(home_, quiet_until_);
    asks_.insert(asks_.begin(), later_.begin(), later_.end());
    later_.clear();
  }
}

Task<Result<void>> Engine::attempt(std::vector<Ask*> asks, bool lease) {
  Cycle cycle;
  cycle.number = ++cycles_;
  cycle.now = home_.clock().mono();
  cycle.wall = home_.clock().wall();
  cycle.ended_claims = std::exchange(ended_claims_, {});
  board_.tick(cycle.now);
  for (Ask* ask : asks) ask->stage(*this, cycle);
  if (lease) {
    stage_time(cycle);
    stage_leases(cycle);
    stage_at_once(cycle);
  }
  at("staged");
  Result<void> written;
  const bool writes = !cycle.empty();
  if (writes) written = co_await write_for_sure(cycle.number, cycle.now, asks, [&](store::Tx& tx) { return write(tx, cycle); });
  if (!written) {
    if (is_taken_over(written.error())) lose(written.error());
    if (meter_) meter_->cycle_failed();
    if (!cycle.at_once.empty()) at_once_from_ = cycles_ + kOrdinary;
    undo(cycle);
    co_return std::unexpected(std::move(written.error()));
  }
  at("committed");
  if (meter_) count(cycle);
  if (writes) remember(cycle, asks);
  apply(cycle);
  for (Ask* ask : asks) ask->settled(*this, cycle);
  hand_out(cycle);
  if (meter_ && writes) meter_->cycle(home_.clock().mono() - cycle.now, cycle.insertions.size() + cycle.moves.size() + cycle.leased, cycle.claims.size());
  for (Ask* ask : asks) {
    if (ask->left) continue;
    if (ask->replies()) home_.resume(ask->waiter);
    else ask->waiter.resume();
  }
  at("told");
  co_return Result<void>{};
}

// Nothing more can be written here: another process has taken the node over, or the database has lost what it acknowledged. Which of the two is asked for.
void Engine::lose(const Error& why) {
  if (std::exchange(lost_, true)) return;
  log::error("work_node_lost", {{"node", options_.node}, {"why", why.message}});
  if (database_.dialect() == store::Dialect::postgres) tasks_.spawn(find_out());
}

Task<void> Engine::find_out() {
  for (;;) {
    auto newest = co_await database_.write(home_, [&](store::Tx& tx) { return newest_cycle(tx, options_.node, epoch_); });
    if (newest) {
      if (!*newest || **newest >= kept_ || !went_back_) co_return;
      LostCommits lost = acknowledged_.since(**newest);
      lost.last = kept_;
      went_back_(std::move(lost));
      co_return;
    }
    if (stopping_) co_return;
    co_await SleepUntil(home_, home_.clock().mono() + kAskAgain);
  }
}

// ---- waiting for leases and for ends ----

Task<Result<std::vector<Lease>>> Engine::pull(PullRequest request, std::uint64_t ticket) {
  if (auto fine = check_pull(request); !fine) co_return std::unexpected(std::move(fine.error()));
  PullAsk ask{.engine = this, .request = request, .ticket = ticket, .waiter = {}, .timer = {}, .over = false, .in_cycle = false, .leases = {}, .error = {}};
  struct Wait {
    Engine& engine;
    PullAsk& ask;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const {
      ask.waiter = h;
      engine.pulls_.push_back(&ask);
      engine.home_.arm(ask.timer, engine.home_.clock().mono() + ask.request.wait, [](void* self) {
        auto* p = static_cast<PullAsk*>(self);
        p->engine->end_wait(*p);
      }, &ask);
      engine.nudge();
    }
    void await_resume() const noexcept {}
  };
  const bool now = board_.has_ready_for(request.queues, request.tasks) && open_ && !draining_;
  if (request.wait <= Duration::zero() && !now) co_return std::vector<Lease>{};
  if (request.wait <= Duration::zero()) request.wait = std::chrono::seconds(1);     // one is there; a limit may still hold it back
  co_await Wait{*this, ask};
  if (ask.error) co_return std::unexpected(std::move(*ask.error));
  co_return std::move(ask.leases);
}

// Answers at once, or, when the cycle under way may bring something, after it.
void Engine::end_wait(PullAsk& ask) {
  ask.over = true;
  if (ask.in_cycle) return;
  std::erase(pulls_, &ask);
  ask.timer.cancel();
  home_.resume(ask.waiter);
}

void Engine::stop_waiting(std::uint64_t ticket) {
  for (PullAsk* p : pulls_)
    if (p->ticket == ticket && !p->over) return end_wait(*p);
  for (auto& [id, w] : waiters_)
    if (w->ticket == ticket) return end_wait(*w);
}

void Engine::end_wait(Waiter& w) {
  std::erase_if(waiters_, [&](const auto& item) { return item.second == &w; });
  w.timer.cancel();
  home_.resume(w.waiter);
}

Task<Result<std::optional<Job>>> Engine::wait_for(JobId id, MonoTime deadline, std::uint64_t ticket) {
  if (board_.find(id) && home_.clock().mono() < deadline) {
    Waiter w{.engine = this, .waiter = {}, .ticket = ticket, .timer = {}, .ended = {}};
    struct Wait {
      Waiter& w;
      JobId id;
      MonoTime deadline;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> h) const {
        w.waiter = h;
        w.engine->waiters_.emplace(id, &w);
        w.engine->home_.arm(w.timer, deadline, [](void* self) {
          auto* waiter = static_cast<Waiter*>(self);
          waiter->engine->end_wait(*waiter);
        }, &w);
      }
      void await_resume() const noexcept {}
    };
    co_await Wait{w, id, deadline};
    if (w.ended) co_return std::optional<Job>(*w.ended);
  }
  auto job = co_await get(id);
  co_return job;
}

Task<Result<std::optional<Job>>> Engine::get(JobId id) {
  auto job = co_await database_.read(home_, [id](store::Tx& tx) { return get_job(tx, id); });
  co_return job;
}

bool Engine::running(JobId id) const {
  const Entry* e = board_.find(id);
  return e && e->place == Entry::Place::leased;
}

Result<void> Engine::heartbeat(JobId id, Fence fence, Duration lease) { return board_.extend(id, fence, home_.clock().mono() + lease); }

void Engine::tell_ended(const JobPtr& job) {
  std::vector<Waiter*> waiting;
  const auto [first, last] = waiters_.equal_range(job->id);
  for (auto at = first; at != last; ++at) waiting.push_back(at->second);
  waiters_.erase(first, last);
  for (Waiter* w : waiting) {
    w->ended = job;
    w->timer.cancel();
    home_.resume(w->waiter);
  }
  if (tracer_) tracer_->ended(*job);
  for (const auto& listener : ended_) listener(*job);
}

// ---- inputs in memory ----

void Engine::keep_hot(JobPtr job) {
  const std::size_t bytes = job->input.size() + sizeof(Job);
  while (hot_bytes_ + bytes > options_.hot_bytes && !hot_order_.empty()) {
    take_hot(hot_order_.front());
    hot_order_.pop_front();
  }
  if (bytes > options_.hot_bytes) return;
  if (hot_order_.size() > 2 * hot_.size() + 1'000) std::erase_if(hot_order_, [&](JobId id) { return !hot_.contains(id); });
  hot_bytes_ += bytes;
  hot_order_.push_back(job->id);
  hot_.emplace(job->id, std::move(job));
}

JobPtr Engine::take_hot(JobId id) {
  const auto at = hot_.find(id);
  if (at == hot_.end()) return nullptr;
  JobPtr job = std::move(at->second);
  hot_.erase(at);
  hot_bytes_ -= job->input.size() + sizeof(Job);
  return job;
}

}  // namespace ballast::work
