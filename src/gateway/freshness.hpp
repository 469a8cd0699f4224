// Freshness: how old what this process knows from the other nodes of its installation is (keys, sessions, queue rules, resting targets), and whether that is too old
// for what must not be stale. What is known stays in force; what only the others can know is refused, with a word to try again.
// Thread-safe; any thread.
#pragma once
#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace ballast::gateway {

class Freshness {
 public:
  // `clock` outlives it. Fresh from here on.
  Freshness(const Clock& clock, Duration stale_after) : clock_(clock), stale_after_(stale_after) { heard(); }
  Freshness(const Freshness&) = delete;
  Freshness& operator=(const Freshness&) = delete;

  void heard() { heard_ns_.store(clock_.mono().time_since_epoch().count(), std::memory_order_relaxed); }     // it has looked, and knows all there was
  Duration age(MonoTime now) const { return now - MonoTime(Duration(heard_ns_.load(std::memory_order_relaxed))); }
  Duration age() const { return age(clock_.mono()); }
  bool stale(MonoTime now) const { return age(now) > stale_after_; }
  bool stale() const { return stale(clock_.mono()); }
  // What it knows is of this moment, if that is too long ago.
  std::optional<WallTime> stale_since() const;
  // What is refused meanwhile, in words: internal_unavailable, retryable, with a time to try again.
  Error refusal(std::string_view why, std::string field) const;

 private:
  const Clock& clock_;
  const Duration stale_after_;
  std::atomic<std::int64_t> heard_ns_{0};
};

}  // namespace ballast::gateway
