// Time as an argument: monotonic time for durations and deadlines, wall time for records. Never read a global clock.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace ballast {

using Duration = std::chrono::nanoseconds;
// Nanoseconds since an arbitrary point of this process; never goes back.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Nanoseconds since 1970-01-01T00:00:00Z.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime mono() const = 0;  // thread-safe
  virtual WallTime wall() const = 0;  // thread-safe
};

// The machine's clocks (CLOCK_MONOTONIC, CLOCK_REALTIME).
class SystemClock final : public Clock {
 public:
  MonoTime mono() const override;
  WallTime wall() const override;
};

// RFC 3339 in UTC with milliseconds, for example 2026-11-21T04:01:12.345Z.
std::string to_rfc3339(WallTime t);
// Wall time as integer milliseconds or microseconds since the epoch: how it is stored.
std::int64_t unix_ms(WallTime t);
std::int64_t unix_us(WallTime t);
inline WallTime from_unix_us(std::int64_t us) { return WallTime(std::chrono::microseconds(us)); }

}  // namespace ballast
