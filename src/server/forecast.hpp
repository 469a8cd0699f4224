// Where a budget comes to by its window's end, if things go on as they did: what is spent, and for each hour to come what that hour has cost before.
//
// With eight days of history an hour to come costs what the same hour of last week did, times how much dearer the last day was than that day a week
// before; with two days, the mean of the same hour of the days there are; with less, the mean of all there is. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.hpp"
#include "base/money.hpp"

namespace ballast::server {

struct Forecast {
  Money at_end;
  std::optional<WallTime> at_limit;      // when the limit is reached; `now` where it is already; nothing: not before the end
};

// `hours`: nano-dollars of each clock hour (UTC), oldest first; the last is the hour that `now` is in, as far as it has gone.
Forecast forecast(Money spent, Money limit, WallTime now, WallTime end, std::span<const std::int64_t> hours);

}  // namespace ballast::server
