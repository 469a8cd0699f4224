// FairQueue: calls that a limit refused and that may wait a while instead of getting a 429.
//
// One lane per refusing bucket; in a lane, tenants (keys) take turns, each tenant's calls in order of arrival. So a flood
// of one tenant delays that tenant, not the others. When a lane is full, a newcomer of a smaller tenant displaces the
// newest call of the largest; otherwise the newcomer is refused.
//
// Concurrency: thread-safe; waiters of different loops share a lane and are resumed on their own loop. One mutex, taken
// only by calls that wait. Bounds: `QueueOptions::depth` per lane, `max_waiting` in all.
#pragma once
#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/limits.hpp"

namespace ballast::gateway {

// The queue section of a route. A zero `wait` refuses at once.
struct QueueOptions {
  Duration wait{};
  std::size_t depth = 100;
  bool for_slice = false;                  // for what this node may still be given of a shared limit (Refusal::slice), and no longer than that can be hoped for
};

class FairQueue {
 public:
  explicit FairQueue(Limits& limits, std::size_t max_waiting = 10'000);
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;
  ~FairQueue();

  // For a call that the limits have just refused: admits now, or waits up to `options.wait` for room. The error is the refusal's, or
  // caller_cancelled. `subject`'s views, `loop` and `cancel` must outlive the task.
  Task<std::expected<Admission, Refusal>> admit(LimitSubject subject, std::uint64_t token_estimate, std::string_view tenant,
                                                QueueOptions options, Scheduler& loop, CancelToken cancel);
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  struct Waiter;
  struct Lane;
  struct Tenant;
  using LaneKey = std::pair<std::uint32_t, std::string>;
  bool enter(Waiter& waiter, std::size_t depth);
  bool make_way(Lane& lane, const Waiter& newcomer, std::size_t depth);
  void dismiss(Lane& lane);
  Lane& join(Waiter& waiter, const Refusal& refusal);
  void leave(Waiter& waiter);
  void pump(Lane& lane);
  bool still_waiting(Waiter& waiter, bool alarm, bool give_up);
  MonoTime alarm_for(Waiter& waiter, MonoTime deadline);
  void ensure_alarm(Lane& lane);
  void on_room(const BucketId& bucket);

  Limits& limits_;
  const std::size_t max_waiting_;
  std::mutex mutex_;                       // guards lanes and every Waiter's fields; never held across an await
  std::map<LaneKey, std::unique_ptr<Lane>> lanes_;
  std::atomic<std::size_t> waiting_{0};
};

}  // namespace ballast::gateway
