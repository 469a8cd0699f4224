// SpinLock: for sections of tens of nanoseconds that neither allocate nor call out. Yields when its holder was preempted.
#pragma once
#include <atomic>
#include <thread>

namespace ballast::gateway {

class SpinLock {
 public:
  void lock() noexcept {
    for (unsigned spins = 0; flag_.test_and_set(std::memory_order_acquire); ++spins) {
      while (flag_.test(std::memory_order_relaxed)) {
        if (++spins >= 64) std::this_thread::yield();
      }
    }
  }
  void unlock() noexcept { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag flag_ = ATOMIC_FLAG_INIT;
};

}  // namespace ballast::gateway
