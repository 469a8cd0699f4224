#include "work/dispatch.hpp"

#include <cassert>

#include "base/config_node.hpp"
#include "base/log.hpp"

namespace ballast::work {

Dispatch::~Dispatch() { assert(running_.empty()); }

const Dispatch::Handlers* Dispatch::find(const JobSpec& spec) const {
  if (const auto& kind = kinds_[static_cast<std::size_t>(spec.kind)]; kind.run) return &kind;
  if (spec.kind != JobKind::task) return nullptr;
  const auto at = tasks_by_name_.find(spec.name);
  return at == tasks_by_name_.end() ? nullptr : &at->second;
}

// What the last word of a holder is made of.
static Commit commit_of(JobId job, Fence fence, Outcome outcome) {
  return {.job = job, .fence = fence, .to = outcome.to, .output = std::move(outcome.output), .error = std::move(outcome.error), .delay = outcome.delay,
          .also = std::move(outcome.also), .children = std::move(outcome.children)};
}

std::optional<Commit> Dispatch::at_once(const Lease& lease) {
  const Handlers* handlers = find(lease.job->spec);
  if (stopping_ || !handlers || !handlers->instant) return {};
  try {
    auto outcome = handlers->instant(lease);
    if (outcome && outcome->to == Commit::To::done) return commit_of(lease.job->id, lease.fence, std::move(*outcome));
  } catch (const std::exception& e) {
    log::error("job_threw", {{"job", to_string(lease.job->id)}, {"name", lease.job->spec.name}, {"why", e.what()}});
  }
  return {};
}

void Dispatch::start(Lease lease) {
  auto state = std::make_shared<Running>();
  state->fence = lease.fence;
  running_[lease.job->id] = state;
  tasks_.spawn(run(std::move(lease), std::move(state)));
}

void Dispatch::revoke(JobId id, Fence fence) {
  const auto at = running_.find(id);
  if (at == running_.end() || at->second->fence != fence) return;
  const auto state = at->second;             // the handler may end inside `cancel`
  state->cancel.cancel();
}

Task<void> Dispatch::run(Lease lease, std::shared_ptr<Running> state) {
  const JobPtr job = lease.job;
  const Fence fence = lease.fence;
  const Duration limit = job->spec.timeout > Duration::zero() ? job->spec.timeout : job->spec.kind == JobKind::flow ? Duration{} : options_.timeout;
  Timer timer;
  if (limit > Duration::zero())
    home_.arm(timer, home_.clock().mono() + limit, [](void* self) {
      auto* running = static_cast<Running*>(self);
      running->timed_out = true;
      running->cancel.cancel();
    }, state.get());
  Outcome outcome;
  try {
    Outcome made = co_await find(job->spec)->run(std::move(lease), CancelToken(&state->cancel));
    outcome = std::move(made);
  } catch (const std::exception& e) {
    log::error("job_threw", {{"job", to_string(job->id)}, {"name", job->spec.name}, {"why", e.what()}});
    outcome = {.to = Commit::To::failed, .output = {}, .error = Error{ErrorCode::internal_error, "the handler failed unexpectedly"}, .delay = {}, .also = {}, .children = {}};
  }
  timer.cancel();
  if (state->timed_out && outcome.to != Commit::To::done)
    outcome.error = Error{ErrorCode::provider_timeout, fmt::format("the attempt was not done within its {}", format_duration(limit)), "timeout", true};
  if (stopping_ && outcome.to == Commit::To::failed) {
    outcome.to = Commit::To::snoozed;        // given back, with what it had come to
    outcome.delay.reset();
  }
  (void)co_await engine_->conclude(commit_of(job->id, fence, std::move(outcome)));
  const auto at = running_.find(job->id);
  if (at != running_.end() && at->second == state) running_.erase(at);
}

Task<void> Dispatch::stop() {
  stopping_ = true;
  std::vector<std::shared_ptr<Running>> all;
  for (const auto& [id, state] : running_) all.push_back(state);
  for (const auto& state : all) state->cancel.cancel();
  co_await tasks_.join();
}

void add_builtin_tasks(Dispatch& dispatch) {
  const auto noop = [](const Lease& lease) { return Outcome{.to = Commit::To::done, .output = lease.job->input, .error = {}, .delay = {}, .also = {}, .children = {}}; };
  dispatch.add_task(std::string(kNoop), [noop](Lease lease, CancelToken) -> Task<Outcome> { co_return noop(lease); }, noop);
}

}  // namespace ballast::work
