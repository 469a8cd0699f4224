// When every target rests: an early try where a breaker gives one, and the wait for it. A call has until its route's retry
// deadline to begin an answer; until then it waits for a target that comes back rather than fail at once, while the outage is
// younger than that deadline: an older one will probably last (what lasted, lasts), and its calls are told so at once. What is asked
// of a dying provider meanwhile is the breakers' trickle, whatever the number of waiting calls.
#include <algorithm>
#include <tuple>

#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// Waiting calls look again this often at most and at least: a breaker closed by another call's success wakes nobody, and those
// who wait should not all come at once.
constexpr Duration kShortest = std::chrono::milliseconds(20);
constexpr Duration kLongest = std::chrono::milliseconds(250);

struct Rest {
  MonoTime retry_at = MonoTime::max();     // the first end of a cool-down; a probe that is out may end at any moment
  MonoTime next = MonoTime::max();         // that, or an early try before it
  MonoTime since{};                        // the youngest outage
};

Rest rest_of(const Scene& scene, const Planned& plan) {
  Rest rest;
  for (const auto& c : plan.candidates) {
    const BreakerView v = c.breaker->view();
    rest.retry_at = std::min(rest.retry_at, v.state == BreakerState::open ? v.retry_at : scene.now());
    rest.next = std::min({rest.next, rest.retry_at, v.early_at});
    rest.since = std::max(rest.since, v.state == BreakerState::closed ? scene.now() : v.down_since);
  }
  return rest;
}

bool caller_left(const Scene& scene) {
  const auto gone = scene.sink.gone();
  return gone && gone->cancelled();
}

Error all_rest(const Scene& scene, const Asked& asked, const Planned& plan) {
  Error e{.code = ErrorCode::provider_all_failed, .message = "no target of \"" + asked.route->name + "\" is available now", .retryable = true};
  const Duration wait = rest_of(scene, plan).retry_at - scene.now();
  e.retry_after = std::chrono::ceil<std::chrono::milliseconds>(wait > Duration::zero() ? wait : Duration(std::chrono::seconds(1)));
  return e;
}

}  // namespace

std::optional<Opening> first_opening(const Planned& plan) {
  std::optional<Opening> best;
  const auto rank = [&](const Opening& o) { return std::tuple(plan.candidates[o.candidate].tries, o.early, o.candidate); };
  for (std::size_t i = 0; i < plan.candidates.size(); ++i) {
    const BreakerView v = plan.candidates[i].breaker->view();
    if (!v.admits && !v.early) continue;
    const Opening opening{i, !v.admits};
    if (!best || rank(opening) < rank(*best)) best = opening;
  }
  return best;
}

Task<std::optional<Opening>> wait_for_opening(const Scene& scene, const Asked& asked, const Planned& plan, Duration pause, Trail& trail) {
  const MonoTime since = scene.now(), deadline = trail.started + asked.route->retries.deadline;
  const Rest rest = rest_of(scene, plan);
  if (since - rest.since > asked.route->retries.deadline || rest.next >= deadline) co_return std::nullopt;
  std::optional<Opening> found;
  const WaitingPlace place = scene.world.breakers.take_place();
  MonoTime next = std::max(since + std::max(pause, kShortest), std::min(rest.next, since + kLongest));
  while (place && !found && next < deadline && !caller_left(scene)) {
    co_await SleepUntil(scene.sink.loop(), next);
    found = first_opening(plan);
    next = scene.now() + kShortest + Duration(static_cast<std::int64_t>(scene.here.random.uniform() * static_cast<double>((kLongest - kShortest).count())));
  }
  trail.decision.step(scene.now(), "rested", {{"us", (scene.now() - since).count() / 1000}, {"found", found.has_value()}});
  co_return found;
}

Task<Result<void>> wait_for_any(const Scene& scene, const Asked& asked, const Memory& memory, const Planned& plan, Trail& trail) {
  if (first_opening(plan)) co_return Result<void>{};
  const auto& degrade = asked.route->degrade;
  const bool stale = degrade.stale > Duration::zero() && memory.key && scene.world.cache.find_stale(*memory.key, degrade.stale);
  if (degrade.answer || stale) co_return fail(all_rest(scene, asked, plan));
  const auto found = co_await wait_for_opening(scene, asked, plan, Duration::zero(), trail);
  if (found) co_return Result<void>{};
  if (caller_left(scene)) co_return fail(ErrorCode::caller_cancelled, "the caller left before a target could be asked");
  co_return fail(all_rest(scene, asked, plan));
}

}  // namespace ballast::gateway
