#include "base/timing_wheel.hpp"

#include <bit>
#include <cassert>

namespace ballast {

// Invariant between calls: a timer due at tick d, with the wheel at tick t < d, sits on the level of the highest 6-bit digit in
// which d and t differ, in the slot of d's digit there. So every occupied slot lies ahead, all of a lower level come before any
// of a higher level, and jumping over empty ticks needs no work.

void Timer::cancel() {
  if (wheel_) wheel_->unlink(*this);
}

TimingWheel::TimingWheel(MonoTime origin) : origin_(origin) {
  for (Timer& s : slots_) s.next_ = s.prev_ = &s;
}

TimingWheel::~TimingWheel() {
  for (Timer& s : slots_)
    while (s.next_ != &s) unlink(*s.next_);
}

void TimingWheel::arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) {
  assert(!timer.wheel_ || timer.wheel_ == this);
  timer.cancel();
  timer.callback_ = callback;
  timer.context_ = context;
  std::uint64_t due_tick = 0;
  if (due > origin_) {
    const auto ns = static_cast<std::uint64_t>(due.time_since_epoch().count()) - static_cast<std::uint64_t>(origin_.time_since_epoch().count());
    const auto per_tick = static_cast<std::uint64_t>(tick.count());
    due_tick = ns / per_tick + (ns % per_tick != 0);  // rounded up: never early
  }
  timer.due_tick_ = due_tick > now_tick_ ? due_tick : now_tick_ + 1;
  timer.wheel_ = this;
  ++armed_;
  place(timer);
}

void TimingWheel::place(Timer& timer) {
  const std::uint64_t differ = timer.due_tick_ ^ now_tick_;
  if (differ == 0) return link(timer, slot_count);
  const unsigned level = (static_cast<unsigned>(std::bit_width(differ)) - 1) / level_bits;
  const auto digit = static_cast<unsigned>(timer.due_tick_ >> (level * level_bits)) & (slots_per_level - 1);
  occupied_[level] |= std::uint64_t{1} << digit;
  link(timer, level * slots_per_level + digit);
}

void TimingWheel::link(Timer& timer, unsigned slot) {
  Timer& head = slots_[slot];
  timer.prev_ = head.prev_;
  timer.next_ = &head;
  head.prev_->next_ = &timer;
  head.prev_ = &timer;
}

void TimingWheel::unlink(Timer& timer) {
  Timer* next = timer.next_;
  Timer* prev = timer.prev_;
  prev->next_ = next;
  next->prev_ = prev;
  timer.next_ = timer.prev_ = nullptr;
  timer.wheel_ = nullptr;
  --armed_;
  if (next == prev) {  // both are the sentinel: the slot is empty now
    const auto slot = static_cast<std::size_t>(next - slots_.data());
    if (slot < slot_count) occupied_[slot / slots_per_level] &= ~(std::uint64_t{1} << (slot % slots_per_level));
  }
}

std::optional<std::uint64_t> TimingWheel::next_tick(unsigned& slot) const {
  for (unsigned level = 0; level < levels; ++level) {
    if (!occupied_[level]) continue;
    const auto digit = static_cast<unsigned>(std::countr_zero(occupied_[level]));
    const unsigned shift = level * level_bits;
    slot = level * slots_per_level + digit;
    return ((now_tick_ >> shift >> level_bits) << level_bits << shift) | (std::uint64_t{digit} << shift);
  }
  return std::nullopt;
}

std::size_t TimingWheel::fire_due() {
  std::size_t fired = 0;
  Timer& head = slots_[slot_count];
  while (head.next_ != &head) {
    Timer& timer = *head.next_;
    const auto callback = timer.callback_;
    const auto context = timer.context_;
    unlink(timer);
    callback(context);
    ++fired;
  }
  return fired;
}

std::size_t TimingWheel::advance(MonoTime now) {
  assert(!advancing_);
  if (now <= origin_) return 0;
  const auto target = static_cast<std::uint64_t>((now - origin_) / tick);
  if (target <= now_tick_) return 0;
  advancing_ = true;
  std::size_t fired = 0;
  unsigned slot = 0;
  for (auto at = next_tick(slot); at && *at <= target; at = next_tick(slot)) {
    now_tick_ = *at;
    occupied_[slot / slots_per_level] &= ~(std::uint64_t{1} << (slot % slots_per_level));
    Timer& head = slots_[slot];
    while (head.next_ != &head) {  // down a level, or, where due, to the last list
      Timer& timer = *head.next_;
      head.next_ = timer.next_;
      timer.next_->prev_ = &head;
      place(timer);
    }
    fired += fire_due();
  }
  now_tick_ = target;
  advancing_ = false;
  return fired;
}

std::optional<MonoTime> TimingWheel::next_due() const {
  unsigned slot = 0;
  const auto at = next_tick(slot);
  if (!at) return std::nullopt;
  constexpr auto last = static_cast<std::uint64_t>(Duration::max() / tick);
  if (*at >= last) return MonoTime::max();
  const auto offset = Duration(static_cast<std::int64_t>(*at * static_cast<std::uint64_t>(tick.count())));
  return offset > MonoTime::max() - origin_ ? MonoTime::max() : origin_ + offset;
}

}  // namespace ballast
