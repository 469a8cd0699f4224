#include "gateway/parking.hpp"

namespace ballast::gateway {

// Whoever moves the state out of {idle, parked} decides the wait; only the decider of a parked one resumes it.
bool Parking::decide(std::uint8_t outcome) {
  std::uint8_t seen = state_.load(std::memory_order_acquire);
  for (;;) {
    if (seen != kIdle && seen != kParked) return false;
    if (state_.compare_exchange_weak(seen, outcome, std::memory_order_acq_rel, std::memory_order_acquire)) break;
  }
  // Copied before the owner can run: after `resume` this object may be gone at once.
  if (seen == kParked) home_.resume(handle_);
  return true;
}

bool Parking::await_ready() {
  if (cancel_ && cancel_->cancelled()) decide(kCancelled);
  else if (home_.clock().mono() >= deadline_) decide(kTimedOut);
  return state_.load(std::memory_order_acquire) != kIdle;
}

bool Parking::await_suspend(std::coroutine_handle<> h) {
  handle_ = h;
  // Armed while still idle: on this loop neither can fire before this function returns.
  if (deadline_ != MonoTime::max())
    home_.arm(timer_, deadline_, [](void* self) { static_cast<Parking*>(self)->decide(kTimedOut); }, this);
  hook_.attach(cancel_, [](void* self) { static_cast<Parking*>(self)->decide(kCancelled); }, this);
  std::uint8_t idle = kIdle;
  return state_.compare_exchange_strong(idle, kParked, std::memory_order_acq_rel, std::memory_order_acquire);
}

Wake Parking::await_resume() {
  timer_.cancel();
  hook_.detach();
  switch (state_.load(std::memory_order_acquire)) {
    case kTimedOut: return Wake::timed_out;
    case kCancelled: return Wake::cancelled;
    default: return Wake::woken;
  }
}

}  // namespace ballast::gateway
