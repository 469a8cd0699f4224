// SimLoop: a Scheduler on simulated time, for tests and simulations. An hour of timeouts takes a millisecond, and a run is the
// same every time: ready work runs in order of arrival, timers in order of time.
//
// Single-threaded but for `post` and `resume`, which other threads may call while `run…` does not wait for them.
#pragma once
#include <atomic>
#include <cassert>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <type_traits>

#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "base/timing_wheel.hpp"

namespace ballast {

// Both clocks move together, only when told. Thread-safe to read.
class SimClock final : public Clock {
 public:
  // By default 2026-01-01T00:00:00Z.
  explicit SimClock(WallTime start = WallTime(std::chrono::seconds(1767225600))) : start_(start) {}
  MonoTime mono() const override { return MonoTime(elapsed()); }
  WallTime wall() const override { return start_ + elapsed(); }
  void advance(Duration d) { assert(d.count() >= 0); elapsed_.fetch_add(d.count(), std::memory_order_relaxed); }
  Duration elapsed() const { return Duration(elapsed_.load(std::memory_order_relaxed)); }

 private:
  WallTime start_;
  std::atomic<std::int64_t> elapsed_{1'000'000'000};  // a monotonic clock does not begin at 0
};

class SimLoop final : public Scheduler {
 public:
  // `clock` is borrowed: several loops may share one, but then only one of them moves it.
  explicit SimLoop(SimClock& clock, unsigned index = 0) : clock_(clock), wheel_(clock.mono()), index_(index) {}

  const Clock& clock() const override { return clock_; }
  void post(std::function<void()> f) override;
  void resume(std::coroutine_handle<> h) override;
  void arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) override;
  unsigned index() const override { return index_; }
  bool on_this_thread() const override { return true; }

  // Runs what is ready now, time standing still, until nothing is. Returns the number of steps.
  std::size_t run_until_idle();
  // Moves time forward by `d`, firing timers at their own times and running what they make ready.
  void advance(Duration d);
  // Runs and jumps from timer to timer until nothing is ready and no timer is armed, or `limit` of simulated time has passed.
  // True if it came to rest.
  bool run_to_rest(Duration limit = std::chrono::hours(24));
  // Runs `task` to its end, jumping through time; asserts if it never ends (a deadlock, or `limit`). Rethrows what it throws.
  template <class T>
  T run(Task<T> task, Duration limit = std::chrono::hours(24));
  std::size_t timers() const { return wheel_.armed(); }

 private:
  bool step(MonoTime limit);  // one jump to the next timer, if due by `limit`
  SimClock& clock_;
  TimingWheel wheel_;
  unsigned index_;
  std::mutex mutex_;
  std::deque<std::function<void()>> ready_;
};

namespace detail {
[[noreturn]] void sim_task_stuck();
template <class T>
Task<void> store_result(Task<T> task, std::optional<T>& out, std::exception_ptr& thrown) {
  try { out.emplace(co_await task); } catch (...) { thrown = std::current_exception(); }
}
inline Task<void> store_result(Task<void> task, std::optional<bool>& out, std::exception_ptr& thrown) {
  try { co_await task; out = true; } catch (...) { thrown = std::current_exception(); }
}
}  // namespace detail

template <class T>
T SimLoop::run(Task<T> task, Duration limit) {
  std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> out;
  std::exception_ptr thrown;
  detach(detail::store_result(std::move(task), out, thrown), [](std::exception_ptr) {});
  const MonoTime end = clock_.mono() + limit;
  for (;;) {
    run_until_idle();
    if (thrown) std::rethrow_exception(thrown);
    if (out) break;
    if (!step(end)) detail::sim_task_stuck();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*out);
}

}  // namespace ballast
