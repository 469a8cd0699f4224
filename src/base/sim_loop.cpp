#include "base/sim_loop.hpp"

#include <cstdio>
#include <cstdlib>

namespace ballast {

void SimLoop::post(std::function<void()> f) {
  std::lock_guard lock(mutex_);
  ready_.push_back(std::move(f));
}

void SimLoop::resume(std::coroutine_handle<> h) {
  post([h] { h.resume(); });
}

void SimLoop::arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) {
  wheel_.arm(timer, due, callback, context);
}

std::size_t SimLoop::run_until_idle() {
  for (std::size_t steps = 0;; ++steps) {
    std::function<void()> f;
    {
      std::lock_guard lock(mutex_);
      if (ready_.empty()) return steps;
      f = std::move(ready_.front());
      ready_.pop_front();
    }
    f();
  }
}

bool SimLoop::step(MonoTime limit) {
  const auto due = wheel_.next_due();
  if (!due || *due > limit) return false;
  if (*due > clock_.mono()) clock_.advance(*due - clock_.mono());
  wheel_.advance(clock_.mono());
  return true;
}

void SimLoop::advance(Duration d) {
  const MonoTime end = clock_.mono() + d;
  run_until_idle();
  while (step(end)) run_until_idle();
  if (clock_.mono() < end) clock_.advance(end - clock_.mono());
  wheel_.advance(clock_.mono());
  run_until_idle();
}

bool SimLoop::run_to_rest(Duration limit) {
  const MonoTime end = clock_.mono() + limit;
  run_until_idle();
  while (step(end)) run_until_idle();
  return wheel_.armed() == 0;
}

void detail::sim_task_stuck() {
  std::fputs("SimLoop::run: the task waits for something that never happens in simulated time\n", stderr);
  std::abort();
}

}  // namespace ballast
