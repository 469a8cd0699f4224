// Cron: when a schedule is due, in a time zone.
//
// The text is one of
//   minute hour day-of-month month day-of-week   names, lists, ranges and steps: "0 9 * * mon-fri", "*/15 8-18 1,L * *"
//   @hourly @daily @midnight @weekly @monthly @yearly @annually
//   every 90s | 15m | 2h | 1d                    a beat of real time, counted from 1970-01-01T00:00:00Z: the same on every node
// Sunday is 0 or 7; L is the last day of the month. As in cron(5), a day matches if either day field does, unless one of them
// begins with *, when both must.
//
// Summer time, as in cron(8): where both the minute and the hour are fixed ("30 2 * * *"), a local time that the clock leaps over
// fires once, at the leap; one that comes twice fires at its first coming. Where either begins with * ("*/15 * * * *"), the
// schedule keeps its beat: it fires at every instant whose local time matches.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace ballast::work {

// A schedule, checked once. A value, cheap to copy, immutable, thread-safe. Zones are the system's (/usr/share/zoneinfo), which tells
// changes until 2037.
class Cron {
 public:
  // caller_invalid_request with `field`: what is wrong in which part, a date that never comes ("0 0 31 2 *"), an unknown zone with
  // the nearest name. `zone` is an IANA name, "Europe/Berlin".
  static Result<Cron> compile(std::string_view text, std::string_view zone = "UTC", std::string_view field = {});

  // The first due time strictly after `after`. Nothing if none comes within 40 years.
  std::optional<WallTime> next(WallTime after) const;

  // For people: "at 09:00 on weekdays, Europe/Berlin".
  std::string describe() const;

  const std::string& text() const;
  const std::string& zone() const;

 private:
  struct State;
  explicit Cron(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace ballast::work
