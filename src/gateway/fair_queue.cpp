#include "gateway/fair_queue.hpp"

#include <algorithm>
#include <cassert>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "gateway/parking.hpp"

namespace ballast::gateway {

// One waiting call; lives in its coroutine's frame.
struct FairQueue::Waiter {
  LimitSubject subject;
  std::uint64_t tokens = 0;
  std::string tenant;
  bool for_slice = false;
  Lane* lane = nullptr;                    // null: not waiting (granted, refused or not yet in)
  Parking* parking = nullptr;              // null: running
  MonoTime wakes{MonoTime::max()};         // when it wakes by itself
  std::optional<Admission> granted;
  Refusal refused;                         // what it will be told if nothing is granted
  bool left = false;
};

struct FairQueue::Tenant {
  std::string name;
  std::deque<Waiter*> calls;
};

struct FairQueue::Lane {
  BucketId bucket;
  std::list<Tenant> tenants;               // the front is next; none is empty
  std::size_t size = 0, for_slices = 0;    // the latter among the former
  MonoTime retry_at{MonoTime::max()};      // when the bucket has room again by time alone

  Tenant& tenant(const std::string& name) {
    const auto it = std::ranges::find(tenants, name, &Tenant::name);
    return it != tenants.end() ? *it : tenants.emplace_back(Tenant{name, {}});
  }
  template <class F>
  bool any(F holds) const {
    return std::ranges::any_of(tenants, [&](const Tenant& t) { return std::ranges::any_of(t.calls, [&](const Waiter* w) { return holds(*w); }); });
  }
  std::size_t size_of(bool for_slice) const { return for_slice ? for_slices : size - for_slices; }
  std::size_t calls_of(const std::string& name) const {
    const auto it = std::ranges::find(tenants, name, &Tenant::name);
    return it != tenants.end() ? it->calls.size() : 0;
  }
};

FairQueue::FairQueue(Limits& limits, std::size_t max_waiting) : limits_(limits), max_waiting_(max_waiting) {
  limits_.on_room([this](const BucketId& bucket) { on_room(bucket); });
}
FairQueue::~FairQueue() {
  assert(waiting() == 0);
  limits_.on_room({});
}

Task<std::expected<Admission, Refusal>> FairQueue::admit(LimitSubject subject, std::uint64_t token_estimate, std::string_view tenant,
                                                         QueueOptions options, Scheduler& loop, CancelToken cancel) {
  auto at_once = limits_.admit(subject, token_estimate, Turn::again);
  if (at_once || at_once.error().never || options.wait <= Duration::zero()) co_return at_once;
  if (options.for_slice && !at_once.error().slice) co_return at_once;

  const MonoTime deadline = loop.clock().mono() + options.wait;
  Waiter self{.subject = subject, .tokens = token_estimate, .tenant = std::string(tenant), .for_slice = options.for_slice, .refused = std::move(at_once.error())};
  {
    const std::lock_guard hold(mutex_);
    if (!enter(self, options.depth)) {
      self.refused.error.message += "; the queue is full";
      co_return std::unexpected(std::move(self.refused));
    }
  }
  waiting_.fetch_add(1, std::memory_order_relaxed);
  for (Wake wake = Wake::woken;;) {
    std::optional<Parking> parking;
    {
      const std::lock_guard hold(mutex_);
      const bool give_up = wake == Wake::cancelled || loop.clock().mono() >= deadline;
      if (!still_waiting(self, wake == Wake::timed_out, give_up)) {
        self.left = wake == Wake::cancelled;
        break;
      }
      parking.emplace(loop, alarm_for(self, deadline), cancel);
      self.parking = &*parking;
    }
    wake = co_await *parking;
    const std::lock_guard hold(mutex_);
    self.parking = nullptr;                // before `parking` dies
  }
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  if (self.granted && !self.left) co_return std::move(*self.granted);
  if (self.granted) self.granted->refund();
  if (options.for_slice && !self.left) co_return limits_.admit(subject, token_estimate, Turn::again);      // in its own words
  if (self.left) self.refused.error = {.code = ErrorCode::caller_cancelled, .message = "the caller left while it waited for a limit"};
  else self.refused.error.message += "; waited in vain";
  co_return std::unexpected(std::move(self.refused));
}

// Joins the lane of the bucket that refused, if there is a place; asks the bucket once more, so that room which came
// between the refusal and now is not missed.
bool FairQueue::enter(Waiter& waiter, std::size_t depth) {
  if (waiting_.load(std::memory_order_relaxed) >= max_waiting_) return false;
  const auto it = lanes_.find({waiter.refused.bucket.rule, waiter.refused.bucket.value});
  if (depth == 0 || (it != lanes_.end() && !make_way(*it->second, waiter, depth))) return false;
  pump(join(waiter, waiter.refused));
  return true;
}

// True if the newcomer has a place. A full lane gives one up only towards fairness: its largest tenant loses its newest
// call to a tenant that stays smaller even so.
bool FairQueue::make_way(Lane& lane, const Waiter& newcomer, std::size_t depth) {
  if (lane.size_of(newcomer.for_slice) < depth) return true;
  Tenant& largest = *std::ranges::max_element(lane.tenants, {}, [](const Tenant& t) { return t.calls.size(); });
  if (lane.calls_of(newcomer.tenant) + 2 > largest.calls.size()) return false;
  Waiter& displaced = *largest.calls.back();
  displaced.refused.error.message += "; the queue is full";
  leave(displaced);
  if (displaced.parking) displaced.parking->wake();
  return true;
}

FairQueue::Lane& FairQueue::join(Waiter& waiter, const Refusal& refusal) {
  const BucketId bucket = limits_.add_waiter(refusal.bucket);
  auto& lane = lanes_[{bucket.rule, bucket.value}];
  if (!lane) lane = std::make_unique<Lane>(Lane{.bucket = bucket});
  lane->tenant(waiter.tenant).calls.push_back(&waiter);
  ++lane->size;
  lane->for_slices += waiter.for_slice;
  lane->retry_at = std::min(lane->retry_at, refusal.retry_at);
  waiter.lane = lane.get();
  return *lane;
}

// Takes the waiter out of its lane; the lane stays, perhaps empty.
void FairQueue::leave(Waiter& waiter) {
  Lane& lane = *std::exchange(waiter.lane, nullptr);
  const auto tenant = std::ranges::find(lane.tenants, waiter.tenant, &Tenant::name);
  std::erase(tenant->calls, &waiter);
  if (tenant->calls.empty()) lane.tenants.erase(tenant);
  --lane.size;
  lane.for_slices -= waiter.for_slice;
  limits_.remove_waiter(lane.bucket);
  ensure_alarm(lane);
}

// Lets calls in, tenant by tenant, until the bucket refuses. Removes the lane when nobody is left in it.
void FairQueue::pump(Lane& lane) {
  lane.retry_at = MonoTime::max();
  while (!lane.tenants.empty()) {
    Waiter& next = *lane.tenants.front().calls.front();
    auto answer = limits_.admit(next.subject, next.tokens, Turn::waited);
    const bool told = !answer && (answer.error().never || (next.for_slice && !answer.error().slice));
    if (!answer && !answer.error().never && answer.error().bucket == lane.bucket) {
      if (!answer.error().slice) dismiss(lane);
      lane.retry_at = answer.error().retry_at;
      break;
    }
    if (lane.tenants.front().calls.size() > 1) lane.tenants.splice(lane.tenants.end(), lane.tenants, lane.tenants.begin());
    leave(next);
    if (!answer && !told) {                          // another bucket stands in its way: it waits there
      ensure_alarm(join(next, answer.error()));
      continue;
    }
    if (answer) next.granted = std::move(*answer);
    else next.refused = std::move(answer.error());
    if (next.parking) next.parking->wake();
  }
  if (lane.tenants.empty()) lanes_.erase({lane.bucket.rule, lane.bucket.value});
  else ensure_alarm(lane);
}

// There is no more to be given: who waited for that alone is let go.
void FairQueue::dismiss(Lane& lane) {
  std::vector<Waiter*> hopeless;
  if (lane.for_slices > 0)
    for (const Tenant& tenant : lane.tenants)
      for (Waiter* waiter : tenant.calls)
        if (waiter->for_slice) hopeless.push_back(waiter);
  for (Waiter* waiter : hopeless) {
    leave(*waiter);
    if (waiter->parking) waiter->parking->wake();
  }
}

bool FairQueue::still_waiting(Waiter& waiter, bool alarm, bool give_up) {
  if (waiter.lane && give_up) {
    Lane& lane = *waiter.lane;
    leave(waiter);
    if (lane.tenants.empty()) lanes_.erase({lane.bucket.rule, lane.bucket.value});
  }
  if (waiter.lane && alarm) pump(*waiter.lane);
  return waiter.lane != nullptr;
}

// One call of a lane wakes when its bucket should have room by time; the others sleep until their deadlines.
MonoTime FairQueue::alarm_for(Waiter& waiter, MonoTime deadline) {
  const Lane& lane = *waiter.lane;
  const bool set = lane.any([&](const Waiter& w) { return &w != &waiter && w.parking && w.wakes <= lane.retry_at; });
  waiter.wakes = set ? deadline : std::min(deadline, lane.retry_at);
  return waiter.wakes;
}

// A call that runs will see to the alarm itself when it parks; else one is woken to do so.
void FairQueue::ensure_alarm(Lane& lane) {
  if (lane.retry_at == MonoTime::max()) return;
  if (lane.any([&](const Waiter& w) { return !w.parking || w.wakes <= lane.retry_at; })) return;
  if (lane.tenants.empty()) return;
  Waiter& first = *lane.tenants.front().calls.front();
  first.wakes = MonoTime::min();
  first.parking->wake();
}

void FairQueue::on_room(const BucketId& bucket) {
  const std::lock_guard hold(mutex_);
  const auto it = lanes_.find({bucket.rule, bucket.value});
  if (it != lanes_.end()) pump(*it->second);
}

}  // namespace ballast::gateway
