#include "server/usage_json.hpp"

#include <cstdio>

namespace ballast::server {

namespace {

// A number while JSON readers keep it exact, else its digits.
json::value exact(records::Int128 n) {
  if (n >= INT64_MIN && n <= INT64_MAX) return static_cast<std::int64_t>(n);
  return json::value(records::to_string(n));
}

}  // namespace

json::object usage_row_json(const records::UsageRow& row, const std::vector<records::GroupBy>& by) {
  json::object o;
  for (std::size_t i = 0; i < by.size() && i < row.group.size(); ++i) o[records::to_string(by[i])] = row.group[i];
  o["calls"] = row.calls;
  o["failed"] = row.failed;
  o["cache_hits"] = row.cache_hits;
  o["input_tokens"] = exact(row.input);
  o["cached_tokens"] = exact(row.cached);
  o["cache_write_tokens"] = exact(row.cache_write);
  o["output_tokens"] = exact(row.output);
  o["reasoning_tokens"] = exact(row.reasoning);
  o["images"] = exact(row.images);
  o["incurred_usd"] = records::nano_to_usd(row.incurred_nano);
  o["billed_usd"] = records::nano_to_usd(row.billed_nano);
  o["latency_us"] = exact(row.latency_us);
  return o;
}

Result<WallTime> parse_rfc3339(std::string_view text, std::string_view field) {
  int y = 0, consumed = 0;
  unsigned mo = 0, d = 0, h = 0, mi = 0, s = 0;
  const std::string copy(text);
  const int day = std::sscanf(copy.c_str(), "%4d-%2u-%2u%n", &y, &mo, &d, &consumed);
  const auto refuse = [&] { return fail(ErrorCode::caller_invalid_request, "must be a time like 2026-11-21 or 2026-11-21T04:00:00Z", std::string(field)); };
  if (day != 3 || consumed != 10) return refuse();
  if (text.size() > 10) {
    char zone = 0;
    if (std::sscanf(copy.c_str() + 10, "T%2u:%2u:%2u%c", &h, &mi, &s, &zone) != 4 || zone != 'Z' || text.size() != 20) return refuse();
  }
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(mo), std::chrono::day(d)};
  if (!date.ok() || h > 23 || mi > 59 || s > 60) return refuse();
  return WallTime(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(h) + std::chrono::minutes(mi) + std::chrono::seconds(s);
}

}  // namespace ballast::server
