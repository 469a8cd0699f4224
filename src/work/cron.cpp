#include "work/cron.hpp"

#include <date/date.h>
#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.hpp"
#include "work/cron_fields.hpp"

namespace ballast::work {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
constexpr int kMaxDays = 40 * 366;   // 29 February on a given weekday comes every 28 years, 40 around 2100
constexpr seconds kMaxBeat = std::chrono::hours(24 * 366);

struct Macro {
  std::string_view name, line;
};
constexpr auto kMacros = std::to_array<Macro>({{"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"},
                                               {"@weekly", "0 0 * * 0"}, {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                                               {"@annually", "0 0 1 1 *"}});

Result<seconds> read_beat(std::string_view text) {
  const auto span = trim(text);
  const auto n = span.empty() ? std::nullopt : parse_int<std::int64_t>(span.substr(0, span.size() - 1));
  constexpr std::string_view kUnits = "smhd";
  constexpr std::array<std::int64_t, 4> kSeconds{1, 60, 3600, 86400};
  const auto unit = span.empty() ? std::string_view::npos : kUnits.find(span.back());
  if (!n || unit == std::string_view::npos || *n < 1 || *n > kMaxBeat.count() / kSeconds[unit])
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("\"every {}\": write a number and s, m, h or d, at most 366d, such as every 15m", span));
  return seconds(*n * kSeconds[unit]);
}

std::string told(seconds beat) {
  const auto n = beat.count();
  const auto say = [](std::int64_t count, std::string_view unit) {
    return count == 1 ? fmt::format("every {}", unit) : fmt::format("every {} {}s", count, unit);
  };
  if (n % 86400 == 0) return say(n / 86400, "day");
  if (n % 3600 == 0) return say(n / 3600, "hour");
  return n % 60 == 0 ? say(n / 60, "minute") : say(n, "second");
}

Result<const date::time_zone*> find_zone(std::string_view name) {
  try {
    return date::locate_zone(name);
  } catch (const std::runtime_error&) {   // how the library says that there is none
  }
  std::vector<std::string_view> names;
  try {
    for (const auto& zone : date::get_tzdb().zones) {
      if (iequals(zone.name(), name)) names.assign(1, zone.name());
      else if (names.size() != 1 || !iequals(names.front(), name)) names.push_back(zone.name());
    }
  } catch (const std::runtime_error&) {
    return fail(ErrorCode::internal_unavailable, "this machine has no time zones: install tzdata");
  }
  auto near = names.size() == 1 ? names.front() : nearest_name(name, names);
  for (const auto known : names)      // "Berlin"
    if (near.empty() && !name.empty() && known.size() > name.size() && iequals(known.substr(known.size() - name.size()), name) &&
        known[known.size() - name.size() - 1] == '/')
      near = known;
  return fail(ErrorCode::caller_invalid_request,
              fmt::format("there is no time zone \"{}\"{}", name,
                          near.empty() ? ": use an IANA name such as Europe/Berlin" : fmt::format("; did you mean {}?", near)));
}

// The first matching minute at or after `from`, in local time.
std::optional<date::local_seconds> next_local(const CronFields& fields, date::local_seconds from) {
  const auto first = date::ceil<minutes>(from);
  auto day = date::floor<date::days>(first);
  auto start = static_cast<unsigned>((first - day).count());
  for (int i = 0; i < kMaxDays; ++i, ++day, start = 0) {
    const date::year_month_day ymd{day};
    if (!fields.month.has(unsigned{ymd.month()})) continue;
    const auto length = unsigned{date::year_month_day_last{ymd.year() / ymd.month() / date::last}.day()};
    if (!fields.day_matches(unsigned{ymd.day()}, length, date::weekday{day}.c_encoding())) continue;
    for (unsigned at = start; at < 24 * 60; ++at) {
      if (!fields.hour.has(at / 60)) at += 59 - at % 60;
      else if (fields.minute.has(at % 60)) return day + minutes(at);
    }
  }
  return std::nullopt;
}

// Fixed local times: a time that does not exist is the end of its gap, one that exists twice is the first.
std::optional<date::sys_seconds> next_fixed(const CronFields& fields, const date::time_zone& zone, date::sys_seconds after) {
  auto from = date::local_seconds{after.time_since_epoch() + zone.get_info(after).offset};
  while (const auto local = next_local(fields, from)) {
    const auto info = zone.get_info(*local);
    const auto at = info.result == date::local_info::nonexistent ? info.second.begin
                                                                  : date::sys_seconds{local->time_since_epoch() - info.first.offset};
    if (at > after) return at;
    from = *local + minutes(1);
  }
  return std::nullopt;
}

// A beat of real time: every instant whose local time matches, one stretch of equal offset after the other.
std::optional<date::sys_seconds> next_beat(const CronFields& fields, const date::time_zone& zone, date::sys_seconds after) {
  const auto limit = after + date::days(kMaxDays);
  for (auto from = after + seconds(1); from < limit;) {
    const auto info = zone.get_info(from);
    const auto local = next_local(fields, date::local_seconds{from.time_since_epoch() + info.offset});
    if (!local) return std::nullopt;
    const auto at = date::sys_seconds{local->time_since_epoch() - info.offset};
    if (at < info.end) return at;
    from = info.end;
  }
  return std::nullopt;
}

}  // namespace

struct Cron::State {
  std::string text, zone_name;
  const date::time_zone* zone = nullptr;   // lives as long as the process
  seconds beat{0};                         // of "every"; else zero
  CronFields fields;
};

Result<Cron> Cron::compile(std::string_view text, std::string_view zone, std::string_view field) {
  const auto placed = [&](Error error) {
    error.field = field;
    return fail(std::move(error));
  };
  auto state = std::make_shared<State>();
  state->text = trim(text);
  state->zone_name = zone;
  auto found = find_zone(zone);
  if (!found) return placed(std::move(found.error()));
  state->zone = *found;
  std::string_view line = state->text;
  if (line.starts_with("every ")) {
    auto beat = read_beat(line.substr(6));
    if (!beat) return placed(std::move(beat.error()));
    state->beat = *beat;
    return Cron(std::move(state));
  }
  if (line.starts_with('@')) {
    const auto macro = std::ranges::find(kMacros, to_lower_ascii(line), &Macro::name);
    if (macro == kMacros.end())
      return placed({ErrorCode::caller_invalid_request,
                     fmt::format("there is no \"{}\": use @hourly, @daily, @weekly, @monthly or @yearly", line), {}, false, {}, {}, {}, {}});
    line = macro->line;
  }
  auto fields = cron_fields(line);
  if (!fields) return placed(std::move(fields.error()));
  state->fields = *fields;
  return Cron(std::move(state));
}

std::optional<WallTime> Cron::next(WallTime after) const {
  const auto from = date::floor<seconds>(after);
  if (state_->beat.count() > 0) {
    const auto n = date::floor<seconds>(from.time_since_epoch()).count();
    const auto beat = state_->beat.count();
    const auto beats = n >= 0 ? n / beat : -((-n + beat - 1) / beat);
    return WallTime(seconds((beats + 1) * beat));
  }
  constexpr auto kLast = date::sys_days{date::year{2200} / 1 / 1};   // nanoseconds end in 2262
  if (from >= kLast) return std::nullopt;
  const auto at = state_->fields.fixed_time() ? next_fixed(state_->fields, *state_->zone, from) : next_beat(state_->fields, *state_->zone, from);
  if (!at) return std::nullopt;
  return WallTime(at->time_since_epoch());
}

std::string Cron::describe() const {
  if (state_->beat.count() > 0) return told(state_->beat);
  return work::describe(state_->fields) + ", " + state_->zone_name;
}

const std::string& Cron::text() const { return state_->text; }
const std::string& Cron::zone() const { return state_->zone_name; }

}  // namespace ballast::work
