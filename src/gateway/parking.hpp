// Parking: a coroutine that waits until another thread wakes it, a deadline passes or its caller leaves.
// The one cross-loop wait of the policy rooms (fair queue, single flight, idempotency).
#pragma once
#include <atomic>
#include <coroutine>
#include <cstdint>

#include "base/cancel.hpp"
#include "base/scheduler.hpp"

namespace ballast::gateway {

enum class Wake : std::uint8_t { woken, timed_out, cancelled };

// Lives in the waiting coroutine's frame. Publish its address to others under their mutex, `co_await` it once, then take
// the address back under the same mutex before it dies. `wake` is called under that mutex, from any thread.
class Parking {
 public:
  Parking(Scheduler& home, MonoTime deadline, CancelToken cancel) : home_(home), deadline_(deadline), cancel_(cancel) {}
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;

  // True if this call decided the wait; false if it was decided before (then choose another waiter).
  bool wake() { return decide(kWoken); }
  Scheduler& home() const { return home_; }

  bool await_ready();
  bool await_suspend(std::coroutine_handle<> h);
  Wake await_resume();

 private:
  static constexpr std::uint8_t kIdle = 0, kParked = 1, kWoken = 2, kTimedOut = 3, kCancelled = 4;
  bool decide(std::uint8_t outcome);

  Scheduler& home_;
  const MonoTime deadline_;
  const CancelToken cancel_;
  std::coroutine_handle<> handle_;
  Timer timer_;
  CancelHook hook_;
  std::atomic<std::uint8_t> state_{kIdle};
};

}  // namespace ballast::gateway
