#include "base/clock.hpp"

#include <time.h>

namespace ballast {
namespace {
Duration read_clock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return Duration(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec);
}
void put_digits(char* out, unsigned width, unsigned value) {
  for (unsigned i = width; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
}
}  // namespace

MonoTime SystemClock::mono() const { return MonoTime(read_clock(CLOCK_MONOTONIC)); }
WallTime SystemClock::wall() const { return WallTime(read_clock(CLOCK_REALTIME)); }

std::string to_rfc3339(WallTime t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const auto ms = static_cast<unsigned>(std::chrono::floor<std::chrono::milliseconds>(t - day).count());
  std::string out = "0000-00-00T00:00:00.000Z";
  put_digits(&out[0], 4, static_cast<unsigned>(static_cast<int>(date.year())));
  put_digits(&out[5], 2, static_cast<unsigned>(date.month()));
  put_digits(&out[8], 2, static_cast<unsigned>(date.day()));
  put_digits(&out[11], 2, ms / 3'600'000);
  put_digits(&out[14], 2, ms / 60'000 % 60);
  put_digits(&out[17], 2, ms / 1000 % 60);
  put_digits(&out[20], 3, ms % 1000);
  return out;
}

std::int64_t unix_ms(WallTime t) { return std::chrono::floor<std::chrono::milliseconds>(t.time_since_epoch()).count(); }
std::int64_t unix_us(WallTime t) { return std::chrono::floor<std::chrono::microseconds>(t.time_since_epoch()).count(); }

}  // namespace ballast
