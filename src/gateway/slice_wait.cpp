#include "gateway/slice_wait.hpp"

#include <algorithm>

namespace ballast::gateway {

namespace {

constexpr Duration kFirstLook = std::chrono::milliseconds(2), kLastLook = std::chrono::milliseconds(25);

}  // namespace

Task<bool> answered(const cluster::HeldQuota& quota, std::uint64_t seen, Scheduler& here, MonoTime until, CancelToken gone) {
  for (Duration pause = kFirstLook;; pause = std::min(pause * 2, kLastLook)) {
    if (quota.figures().answers > seen) co_return true;
    const MonoTime now = here.clock().mono();
    if (now >= until || (gone && gone->cancelled())) co_return false;
    co_await SleepUntil(here, std::min(now + pause, until));
  }
}

}  // namespace ballast::gateway
