#include "work/schedules.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "work/runner.hpp"

namespace ballast::work {

namespace {

// Wall time may jump while the loop sleeps on monotonic time: it is looked at this often.
constexpr Duration kLook = std::chrono::seconds(5);
constexpr Duration kTryAgain = std::chrono::seconds(1);
constexpr Duration kLookShared = std::chrono::seconds(1);  // where other nodes change schedules, and may hand this one the duty
constexpr std::string_view kStillLives = "skipped: the job of an earlier slot was not over";

}  // namespace

Result<void> Schedules::start() {
  auto stored = engine_.database().read_now([](store::Tx& tx) { return load_schedules(tx); });
  if (!stored) return std::unexpected(std::move(stored.error()));
  for (Schedule& s : *stored) all_.insert_or_assign(s.name, s);
  return {};
}

void Schedules::open() {
  open_ = true;
  wake();
}

Task<void> Schedules::drain() {
  open_ = false;
  timer_.cancel();
  co_await tasks_.join();
}

void Schedules::wake() {
  if (!open_ || firing_) return;
  firing_ = true;
  tasks_.spawn(fire_due());
}

void Schedules::arm() {
  if (!open_ || firing_) return;
  const auto& clock = engine_.home().clock();
  Duration rest = duty_.shared() ? kLookShared : kLook;
  const bool mine = duty_.mine();
  for (const auto& [name, s] : all_)
    if (mine && s.enabled && s.next) rest = std::min(rest, std::max(*s.next - clock.wall(), Duration::zero()));
  engine_.home().arm(timer_, std::max(clock.mono() + rest, again_), [](void* self) { static_cast<Schedules*>(self)->wake(); }, this);
}

// All that is due at once: their transactions share the engine's cycles.
Task<void> Schedules::fire_due() {
  if (duty_.mine()) co_await look();
  if (!duty_.mine()) {
    firing_ = false;
    co_return arm();
  }
  const WallTime now = engine_.home().clock().wall();
  std::vector<std::string> due;
  for (const auto& [name, s] : all_)
    if (s.enabled && s.next && *s.next <= now) due.push_back(name);
  TaskGroup firing("firing");
  for (std::string& name : due) firing.spawn(fire(std::move(name)));
  co_await firing.join();
  firing_ = false;
  arm();
}

// Told once, however long it lasts.
void Schedules::wait(std::string_view name, const Error& why) {
  again_ = engine_.home().clock().mono() + kTryAgain;
  if (!std::exchange(waiting_, true)) log::warn("schedules_wait", {{"schedule", name}, {"why", describe(why)}});
}

Result<Submission> Schedules::job_of(const Schedule& schedule, WallTime slot) const {
  Submission job = submission_of(schedule, slot);
  if (job.spec.kind == JobKind::flow)
    if (auto bound = bind_flow(flows_, job, engine_.home().clock().wall()); !bound) return fail(std::move(bound.error()));
  return job;
}

Task<void> Schedules::fire(std::string name) {
  const auto found = all_.find(name);
  if (found == all_.end() || !found->second.next) co_return;
  const WallTime from = *found->second.next;
  const Firing firing = decide_firing(found->second.cron, from, engine_.home().clock().wall(), found->second.catch_up);
  if (!firing.slot) co_return co_await skip(std::move(name), from, firing, Error{});
  auto job = job_of(found->second, *firing.slot);
  if (!job) co_return co_await skip(std::move(name), from, firing, std::move(job.error()));
  const JobId id = job->id = engine_.new_id();
  std::vector<Submission> jobs;
  jobs.push_back(std::move(*job));
  auto results = co_await engine_.submit(std::move(jobs), [this, name, from, firing, id](store::Tx& tx) -> Result<void> {
    if (auto mine = duty_.still_mine(tx); !mine) return mine;
    return move_schedule(tx, name, from, firing, id, kStillLives);
  });
  const Result<Accepted>& made = results.front();
  if (!made && made.error().code == ErrorCode::internal_unavailable) {
    wait(name, made.error());
    co_return;
  }
  waiting_ = false;
  if (!made) co_return co_await skip(std::move(name), from, firing, made.error());
  log::debug("schedule_fired", {{"schedule", name}, {"slot", to_rfc3339(*firing.slot)}, {"job", to_string(made->id)}, {"existing", made->existing}});
  const auto at = all_.find(name);
  if (at == all_.end()) co_return;
  ++changes_;
  if (at->second.next == from) at->second.next = firing.next;
  at->second.last = firing.slot;
  if (!made->existing) at->second.last_job = made->id;
  at->second.why = made->existing ? std::string(kStillLives) : std::string();
}

// To the next slot, without a job. Of field "schedule": another has moved it already, so what is stored counts.
Task<void> Schedules::skip(std::string name, WallTime from, Firing firing, Error why) {
  const bool refused = firing.slot.has_value();
  if (refused) log::warn("schedule_not_fired", {{"schedule", name}, {"slot", to_rfc3339(*firing.slot)}, {"why", describe(why)}});
  else log::info("schedule_missed", {{"schedule", name}, {"slot", to_rfc3339(from)}});
  if (!(refused && why.field == "schedule")) {
    const auto moved = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
      if (auto mine = duty_.still_mine(tx); !mine) return mine;
      return move_schedule(tx, name, from, firing, {}, why.message);
    });
    if (!moved && moved.error().field != "schedule") {
      wait(name, moved.error());
      co_return;
    }
  }
  co_await reload();
}

Task<void> Schedules::look() {
  if (duty_.shared()) co_await reload();
}

// What others write meanwhile through this object must not be overwritten by what was read before.
Task<void> Schedules::reload() {
  for (;;) {
    const std::uint64_t before = changes_;
    auto stored = co_await engine_.database().read(engine_.home(), [](store::Tx& tx) { return load_schedules(tx); });
    if (!stored) co_return wait("", stored.error());
    if (before != changes_) continue;
    all_.clear();
    for (Schedule& s : *stored) all_.insert_or_assign(s.name, s);
    co_return;
  }
}

Task<Result<void>> Schedules::put(Schedule schedule, Also also) {
  if (!all_.contains(schedule.name) && all_.size() >= kMaxSchedules)
    co_return fail(ErrorCode::caller_invalid_request, fmt::format("would be schedule number {}; there may be {}", all_.size() + 1, kMaxSchedules), "name");
  schedule.next = schedule.cron.next(engine_.home().clock().wall());
  auto put = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<void> {
    if (auto done = put_schedule(tx, schedule); !done) return done;
    return also ? also(tx) : Result<void>{};
  });
  if (!put) {                                // perhaps it was written all the same
    co_await reload();
    co_return put;
  }
  if (const auto before = all_.find(schedule.name); before != all_.end()) {
    schedule.last = before->second.last;
    schedule.last_job = before->second.last_job;
    schedule.why = before->second.why;
  }
  ++changes_;
  all_.insert_or_assign(schedule.name, std::move(schedule));
  arm();
  co_return put;
}

Task<Result<bool>> Schedules::remove(std::string name, Also also) {
  auto gone = co_await engine_.database().write(engine_.home(), [&](store::Tx& tx) -> Result<bool> {
    auto deleted = delete_schedule(tx, name);
    if (!deleted || !*deleted || !also) return deleted;
    if (auto done = also(tx); !done) return std::unexpected(std::move(done.error()));
    return true;
  });
  if (!gone) {
    co_await reload();
    co_return gone;
  }
  ++changes_;
  all_.erase(name);
  co_return gone;
}

Task<Result<Accepted>> Schedules::run_now(std::string name, Also also) {
  const auto found = all_.find(name);
  if (found == all_.end()) co_return fail(ErrorCode::caller_not_found, "there is no such schedule", "name");
  auto job = job_of(found->second, engine_.home().clock().wall());
  if (!job) co_return std::unexpected(std::move(job.error()));
  job->idempotency_key.clear();
  job->unique_key.clear();
  std::vector<Submission> jobs;
  jobs.push_back(std::move(*job));
  auto results = co_await engine_.submit(std::move(jobs), std::move(also));
  co_return std::move(results.front());
}

}  // namespace ballast::work
