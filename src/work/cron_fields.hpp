// The five fields of a cron line, read and told. Pure, thread-safe. For work/cron*.cpp alone.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::work {

struct CronField {
  std::uint64_t bits = 0;    // bit n: the value n
  bool star = false;         // begins with *
  int step = 0;              // of "*/step"; 0 for anything else
  bool has(unsigned value) const { return (bits >> value & 1) != 0; }
};

struct CronFields {
  CronField minute, hour, day, month, weekday;   // weekday: 0 is Sunday
  bool last_day = false;                         // L among the days

  // Whether a day may match by its number and by its weekday.
  bool day_matches(unsigned day_of_month, unsigned days_in_month, unsigned day_of_week) const {
    const bool by_day = day.has(day_of_month) || (last_day && day_of_month == days_in_month);
    const bool by_weekday = weekday.has(day_of_week);
    return day.star || weekday.star ? by_day && by_weekday : by_day || by_weekday;
  }
  bool fixed_time() const { return !minute.star && !hour.star; }
};

// Error: caller_invalid_request, naming the part.
Result<CronFields> cron_fields(std::string_view line);

// "at 09:00 on weekdays".
std::string describe(const CronFields& fields);

}  // namespace ballast::work
