#include "work/off_peak.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace ballast::work {

namespace {

Result<Cron> daily(std::string_view at, std::string_view zone, std::string_view field) {
  const auto colon = at.find(':');
  const auto hour = parse_int<unsigned>(at.substr(0, colon)), minute = colon == 2 && at.size() == 5 ? parse_int<unsigned>(at.substr(3)) : std::nullopt;
  if (!hour || !minute || *hour > 23 || *minute > 59) return fail(ErrorCode::caller_invalid_request, "must be a time of day: 22:00", std::string(field));
  return Cron::compile(fmt::format("{} {} * * *", *minute, *hour), zone, "timezone");
}

}  // namespace

Result<OffPeak> OffPeak::parse(std::string_view from, std::string_view until, std::string_view zone) {
  if (from == until) return fail(ErrorCode::caller_invalid_request, "must not be the same as from", "until");
  auto opens = daily(from, zone, "from");
  if (!opens) return fail(std::move(opens.error()));
  auto closes = daily(until, zone, "until");
  if (!closes) return fail(std::move(closes.error()));
  return OffPeak(std::move(*opens), std::move(*closes));
}

// It is open when it closes before it opens again.
WallTime OffPeak::opens(WallTime now) const {
  const auto opens = from_.next(now), closes = until_.next(now);
  return !opens || !closes || *closes < *opens ? now : *opens;
}

}  // namespace ballast::work
