// A loop for one test thread: runs a task to its end, blocking while other threads work for it.
#pragma once
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.hpp"
#include "base/scheduler.hpp"
#include "base/sim_loop.hpp"
#include "base/task.hpp"

namespace ballast::test {

class WaitingLoop final : public Scheduler {
 public:
  WaitingLoop() = default;                                            // the system's time; without timers
  explicit WaitingLoop(SimClock& clock) : clock_(&clock), simulated_(&clock) {}        // a timer fires at once, and time with it
  const Clock& clock() const override { return *clock_; }
  void post(std::function<void()> f) override {
    const std::lock_guard lock(mutex_);
    ready_.push_back(std::move(f));
    wake_.notify_one();
  }
  void resume(std::coroutine_handle<> h) override { post([h] { h.resume(); }); }
  void arm(Timer&, MonoTime due, Timer::Callback callback, void* context) override {
    if (!simulated_) std::abort();
    if (due > simulated_->mono()) simulated_->advance(due - simulated_->mono());
    post([callback, context] { callback(context); });
  }
  unsigned index() const override { return 0; }
  bool on_this_thread() const override { return true; }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    run(keep(std::move(task), out));
    return std::move(*out);
  }
  void run(Task<void> task) {
    bool done = false;
    detach(mark(std::move(task), done), [](std::exception_ptr) { std::abort(); });
    while (!done) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return !ready_.empty(); });
        next = std::move(ready_.front());
        ready_.pop_front();
      }
      next();
    }
  }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& out) {
    T value = co_await task;
    out.emplace(std::move(value));
  }
  static Task<void> mark(Task<void> task, bool& done) {
    co_await task;
    done = true;
  }
  const SystemClock system_;
  const Clock* const clock_ = &system_;
  SimClock* const simulated_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> ready_;
};

}  // namespace ballast::test
