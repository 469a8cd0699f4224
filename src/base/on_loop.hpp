// on_loop: makes and runs a task on another loop, and resumes the asker on its own with what came of it.
//
//   auto accepted = co_await on_loop(engine.home(), exchange.loop(), [&] { return engine.submit(std::move(job)); });
//
// What `make` borrows outlives the wait: the asker's frame does. The asker must not be destroyed meanwhile. On one's own loop it is a plain await.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/scheduler.hpp"
#include "base/task.hpp"

namespace ballast {

namespace detail {

template <class T, class Make>
struct Errand {
  Scheduler& there;
  Scheduler& here;
  Make& make;
  std::optional<T> value;
  std::exception_ptr thrown;

  static Task<void> run(Errand& self, std::coroutine_handle<> asker) {
    try {
      self.value.emplace(co_await self.make());
    } catch (...) {
      self.thrown = std::current_exception();
    }
    self.here.resume(asker);             // `self` may be gone from here on
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    there.post([this, h] { detach(run(*this, h), [](std::exception_ptr) { std::terminate(); }); });
  }
  T await_resume() {
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
  }
};

template <class T>
struct TaskValue;
template <class T>
struct TaskValue<Task<T>> {
  using type = T;
};

}  // namespace detail

template <class Make>
auto on_loop(Scheduler& there, Scheduler& here, Make make) -> std::invoke_result_t<Make&> {
  using T = typename detail::TaskValue<std::invoke_result_t<Make&>>::type;
  if (&there == &here) {
    T value = co_await make();
    co_return value;
  }
  detail::Errand<T, Make> errand{there, here, make, {}, {}};
  T value = co_await errand;
  co_return value;
}

}  // namespace ballast
