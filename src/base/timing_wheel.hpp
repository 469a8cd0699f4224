// TimingWheel: every timer of one loop. A hierarchical wheel (Varghese and Lauck, 1987): 8 levels of 64 slots, 1 ms ticks, so
// that any MonoTime fits. Arming and cancelling are O(1) and never allocate; a timer is moved at most 7 times before it fires.
//
// A timer fires never early and at most one tick late, plus however late `advance` is called. Timers of one tick fire in
// any order. Single-threaded: the loop's thread. The wheel outlives its timers, or finds them unarmed.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"
#include "base/scheduler.hpp"

namespace ballast {

class TimingWheel {
 public:
  static constexpr Duration tick = std::chrono::milliseconds(1);

  explicit TimingWheel(MonoTime origin);
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;
  ~TimingWheel();  // disarms what is left without calling it

  // (Re)arms `timer`. A time in the past fires at the next tick, inside an `advance`, never inside `arm`.
  void arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context);
  // Fires everything that is due at `now`. A callback may arm, cancel and destroy any timer, its own included; it
  // may not call `advance`. Returns the number fired.
  std::size_t advance(MonoTime now);
  // When to call `advance` next: no timer is due before it (it may be early: a cascade). Nothing when no timer is armed.
  std::optional<MonoTime> next_due() const;
  std::size_t armed() const { return armed_; }

 private:
  friend class Timer;
  static constexpr unsigned level_bits = 6;
  static constexpr unsigned levels = 8;
  static constexpr unsigned slots_per_level = 1u << level_bits;
  static constexpr unsigned slot_count = levels * slots_per_level;

  void place(Timer& timer);
  void link(Timer& timer, unsigned slot);
  void unlink(Timer& timer);
  std::size_t fire_due();
  std::optional<std::uint64_t> next_tick(unsigned& slot) const;

  MonoTime origin_;
  std::uint64_t now_tick_ = 0;
  std::size_t armed_ = 0;
  bool advancing_ = false;
  std::array<std::uint64_t, levels> occupied_{};   // bit: the slot's list is not empty
  std::array<Timer, slot_count + 1> slots_;        // sentinels of circular lists; the last one: due now
};

}  // namespace ballast
