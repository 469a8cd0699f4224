// TaskGroup: the only way to start a task that nobody awaits. It counts them, reports what escapes them through the log, and
// can be joined, so that nothing outlives what it borrows.
//
// Single-threaded: one loop. Outlives its tasks: destroying a group with tasks running is a bug (asserted); join it first. There is no
// forced cancellation: give the tasks a CancelToken and cancel it before joining.
#pragma once
#include <coroutine>
#include <cstddef>
#include <exception>
#include <string>
#include <utility>

#include "base/task.hpp"

namespace ballast {

class TaskGroup {
 public:
  // `name` goes into the log when a task throws.
  explicit TaskGroup(std::string name, std::size_t limit = 1'000'000) : name_(std::move(name)), limit_(limit) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Starts `task` now, on this thread, until its first suspension. False, and the task is dropped unstarted, at the limit.
  bool spawn(Task<void> task);
  std::size_t running() const { return running_; }
  // How many ended with an exception; each was logged as `task_escaped`.
  std::size_t escaped() const { return escaped_; }

  // `co_await group.join()`: resumes when no task is running (at once if none is), inside the end of the last one. One
  // waiter at a time. Tasks may still be spawned meanwhile; they are waited for too.
  auto join() {
    struct Join {
      TaskGroup& group;
      bool await_ready() const { return group.running_ == 0; }
      void await_suspend(std::coroutine_handle<> h) const { group.wait(h); }
      void await_resume() const {}
    };
    return Join{*this};
  }

 private:
  struct Root;
  static Root run(TaskGroup& group, Task<void> task);
  void report(std::exception_ptr thrown) noexcept;
  void wait(std::coroutine_handle<> h);
  std::string name_;
  std::size_t limit_;
  std::size_t running_ = 0;
  std::size_t escaped_ = 0;
  std::coroutine_handle<> waiter_;
};

}  // namespace ballast
