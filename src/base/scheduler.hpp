// Scheduler: one event loop as the rest of the house sees it; time, wake-ups and posting from other threads.
// Implemented by net::Loop (epoll) and by sim::Loop (simulated time, tests).
//
// Everything but `post` is called on the loop's own thread.
#pragma once
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>

#include "base/clock.hpp"
#include "base/task.hpp"

namespace ballast {

// An intrusive one-shot timer. Owned by whoever waits; must be cancelled (or have fired) before it dies, which its
// destructor does. Resolution is one tick of the loop's timing wheel (1 ms); it never fires early.
class Timer {
 public:
  using Callback = void (*)(void* context);
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }
  bool armed() const { return wheel_ != nullptr; }
  void cancel();

 private:
  friend class TimingWheel;
  Timer* next_ = nullptr;
  Timer* prev_ = nullptr;
  class TimingWheel* wheel_ = nullptr;
  std::uint64_t due_tick_ = 0;
  Callback callback_ = nullptr;
  void* context_ = nullptr;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  virtual const Clock& clock() const = 0;
  // Runs `f` soon on the loop. Thread-safe.
  virtual void post(std::function<void()> f) = 0;
  // Resumes `h` soon on the loop. Thread-safe, allocates at most a queue node.
  virtual void resume(std::coroutine_handle<> h) = 0;
  // Arms `timer` to call `callback(context)` on the loop at `due`.
  virtual void arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) = 0;
  // The loop's index in its group, from 0: the shard of per-loop state.
  virtual unsigned index() const = 0;
  virtual bool on_this_thread() const = 0;
};

// `co_await sleep_until(loop, t)`: resumes on the loop, not before `t`.
class SleepUntil {
 public:
  SleepUntil(Scheduler& loop, MonoTime due) : loop_(loop), due_(due) {}
  bool await_ready() const { return loop_.clock().mono() >= due_; }
  void await_suspend(std::coroutine_handle<> h) {
    handle_ = h;
    loop_.arm(timer_, due_, [](void* self) { static_cast<SleepUntil*>(self)->handle_.resume(); }, this);
  }
  void await_resume() const {}

 private:
  Scheduler& loop_;
  MonoTime due_;
  Timer timer_;
  std::coroutine_handle<> handle_;
};

}  // namespace ballast
