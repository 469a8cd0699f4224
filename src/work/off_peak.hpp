// OffPeak: the hours in which work that may wait is done: from one time of day until another, in a time zone. Over midnight where `until` is
// before `from`. Immutable, thread-safe.
#pragma once
#include "work/cron.hpp"

namespace ballast::work {

class OffPeak {
 public:
  // Times as "22:00". caller_invalid_request with the member's name.
  static Result<OffPeak> parse(std::string_view from, std::string_view until, std::string_view zone);
  // When it is next open: `now` itself if it is.
  WallTime opens(WallTime now) const;

 private:
  OffPeak(Cron from, Cron until) : from_(std::move(from)), until_(std::move(until)) {}
  Cron from_, until_;
};

}  // namespace ballast::work
