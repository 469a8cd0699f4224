#include "base/task_group.hpp"

#include <cassert>

#include "base/log.hpp"

namespace ballast {

// The frame that owns a spawned task. Its end frees the frame first and then resumes the joiner, who may destroy the group.
struct TaskGroup::Root {
  struct promise_type {
    TaskGroup& group;
    promise_type(TaskGroup& g, Task<void>&) : group(g) {}
    static void* operator new(std::size_t n) { return detail::frame_allocate(n); }
    static void operator delete(void* p, std::size_t n) noexcept { detail::frame_release(p, n); }
    Root get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        TaskGroup& g = h.promise().group;
        h.destroy();
        if (--g.running_ == 0 && g.waiter_) return std::exchange(g.waiter_, {});
        return std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { group.report(std::current_exception()); }
  };
};

TaskGroup::Root TaskGroup::run(TaskGroup&, Task<void> task) { co_await task; }

TaskGroup::~TaskGroup() { assert(running_ == 0 && "join a TaskGroup before it dies"); }

bool TaskGroup::spawn(Task<void> task) {
  if (running_ >= limit_) return false;
  ++running_;
  run(*this, std::move(task));
  return true;
}

void TaskGroup::wait(std::coroutine_handle<> h) {
  assert(!waiter_ && "one joiner at a time");
  waiter_ = h;
}

void TaskGroup::report(std::exception_ptr thrown) noexcept {
  ++escaped_;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    log::error("task_escaped", {{"group", name_}, {"what", e.what()}});
  } catch (...) {
    log::error("task_escaped", {{"group", name_}, {"what", "not a std::exception"}});
  }
}

}  // namespace ballast
