// Task<T>: a lazily started coroutine with one awaiter, resumed by symmetric transfer on the loop it runs on.
//
// Ownership: the Task object owns the frame until awaited or detached by `TaskGroup`. A task is not thread-safe;
// it is created, awaited and destroyed on one event loop. An exception that leaves the body is rethrown to the awaiter.
// Frames come from a per-thread free list: a call on the hot path does not reach malloc.
// House rules: await into a name, then branch on it; parameters by value, or references that the caller outlives.
#pragma once
#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <utility>

namespace ballast {

namespace detail {
void* frame_allocate(std::size_t bytes);
void frame_release(void* frame, std::size_t bytes) noexcept;
// Of the frames that live on this thread: what its coroutines hold while they wait.
std::size_t frame_bytes_in_use() noexcept;

struct TaskPromiseBase {
  std::coroutine_handle<> awaiter = std::noop_coroutine();
  std::exception_ptr thrown;

  static void* operator new(std::size_t n) { return frame_allocate(n); }
  static void operator delete(void* p, std::size_t n) noexcept { frame_release(p, n); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept { return h.promise().awaiter; }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { thrown = std::current_exception(); }
};
}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::TaskPromiseBase {
    std::optional<T> value;
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    template <class U>
    void return_value(U&& v) { value.emplace(std::forward<U>(v)); }
  };

  Task(Task&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Task& operator=(Task&& o) noexcept {
    if (this != &o) { if (handle_) handle_.destroy(); handle_ = std::exchange(o.handle_, {}); }
    return *this;
  }
  ~Task() { if (handle_) handle_.destroy(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().awaiter = awaiter;
    return handle_;
  }
  T await_resume() {
    auto& p = handle_.promise();
    if (p.thrown) std::rethrow_exception(p.thrown);
    return std::move(*p.value);
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> h) : handle_(h) {}
  std::coroutine_handle<promise_type> handle_;
};

template <>
class [[nodiscard]] Task<void> {
 public:
  struct promise_type : detail::TaskPromiseBase {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    void return_void() noexcept {}
  };

  Task(Task&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Task& operator=(Task&& o) noexcept {
    if (this != &o) { if (handle_) handle_.destroy(); handle_ = std::exchange(o.handle_, {}); }
    return *this;
  }
  ~Task() { if (handle_) handle_.destroy(); }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().awaiter = awaiter;
    return handle_;
  }
  void await_resume() {
    if (handle_.promise().thrown) std::rethrow_exception(handle_.promise().thrown);
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> h) : handle_(h) {}
  std::coroutine_handle<promise_type> handle_;
};

// Starts `task` now, on this thread, without an awaiter; its frame frees itself. `on_exception` is called with
// what escaped. Only TaskGroup and tests use it.
void detach(Task<void> task, void (*on_exception)(std::exception_ptr));

}  // namespace ballast
