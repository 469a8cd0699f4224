#include "work/cron_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "base/text.hpp"

namespace ballast::work {
namespace {

constexpr auto kMonths = std::to_array<std::string_view>({"January", "February", "March", "April", "May", "June", "July", "August",
                                                          "September", "October", "November", "December"});
constexpr auto kDays = std::to_array<std::string_view>({"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"});

struct Range {
  std::string_view what;
  unsigned low, high;
  std::span<const std::string_view> names;   // of which the first three letters count; the first has the value `low`
};
constexpr std::array<Range, 5> kRanges{{{"minute", 0, 59, {}}, {"hour", 0, 23, {}}, {"day of the month", 1, 31, {}},
                                        {"month", 1, 12, kMonths}, {"day of the week", 0, 7, kDays}}};

std::unexpected<Error> wrong(const Range& range, std::string_view part, std::string_view what) {
  return fail(ErrorCode::caller_invalid_request, fmt::format("{} \"{}\": {}", range.what, part, what));
}

Result<unsigned> value(const Range& range, std::string_view text) {
  for (unsigned i = 0; i < range.names.size(); ++i)
    if (iequals(text, range.names[i].substr(0, 3))) return range.low + i;
  const auto number = parse_int<unsigned>(text);
  if (number && *number >= range.low && *number <= range.high) return *number;
  const auto names = range.names.empty() ? std::string() : fmt::format(" or {} to {}", to_lower_ascii(range.names.front().substr(0, 3)),
                                                                       to_lower_ascii(range.names.back().substr(0, 3)));
  return wrong(range, text, fmt::format("must be {} to {}{}", range.low, range.high, names));
}

// One entry of a list: *, N, N-M, each but N with /STEP.
Result<void> add(CronField& field, const Range& range, std::string_view part) {
  auto rest = part;
  const auto span = take_until(rest, '/');
  unsigned step = 1;
  const bool stepped = span.size() < part.size();
  if (stepped) {
    const auto given = parse_int<unsigned>(rest);
    if (!given || *given == 0 || *given > range.high) return wrong(range, part, fmt::format("a step is 1 to {}", range.high));
    step = *given;
  }
  unsigned low = range.low, high = range.names.size() == 7 ? 6 : range.high;
  if (span != "*") {
    auto end = span;
    auto first = value(range, take_until(end, '-'));
    if (!first) return fail(first.error());
    low = high = *first;
    if (span.find('-') != std::string_view::npos) {
      auto last = value(range, end);
      if (!last) return fail(last.error());
      high = *last;
      if (range.names.size() == 7 && high == 0 && low > 0) high = 7;
      if (high < low) return wrong(range, part, "a range goes upwards; write two, for example 22-23,0-5");
    } else if (stepped) {
      return wrong(range, part, fmt::format("a step needs a range: {}-{}/{}", span, range.high, step));
    }
  }
  for (unsigned v = low; v <= high; v += step) field.bits |= std::uint64_t{1} << (range.names.size() == 7 && v == 7 ? 0 : v);
  return {};
}

Result<CronField> read(const Range& range, std::string_view text, bool* last) {
  CronField field;
  field.star = text.starts_with('*');
  if (text == "?") return wrong(range, text, "write * instead");
  for (const auto part : split(text, ',')) {
    if (part.empty()) return wrong(range, text, "an entry of the list is empty");
    if (last && (part == "L" || part == "l")) {
      *last = true;
      continue;
    }
    if (auto added = add(field, range, part); !added) return fail(added.error());
  }
  if (field.star && text.starts_with("*/") && text.find(',') == std::string_view::npos) field.step = *parse_int<int>(text.substr(2));
  return field;
}

std::vector<unsigned> values(const CronField& field) {
  std::vector<unsigned> out;
  for (auto bits = field.bits; bits != 0; bits &= bits - 1) out.push_back(static_cast<unsigned>(std::countr_zero(bits)));
  return out;
}

// "1, 2 and 5", or "1 to 5" where three or more follow each other.
template <class Name>
std::string listed(const std::vector<unsigned>& all, Name name) {
  const bool run = all.size() > 2 && all.back() - all.front() + 1 == all.size();
  if (run) return fmt::format("{} to {}", name(all.front()), name(all.back()));
  std::string out;
  for (std::size_t i = 0; i < all.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : i + 1 == all.size() ? " and " : ", ", name(all[i]));
  return out;
}

std::string number(unsigned n) { return std::to_string(n); }

std::string told_time(const CronFields& f) {
  const auto minutes = values(f.minute), hours = values(f.hour);
  const bool every_hour = hours.size() == 24, every_minute = minutes.size() == 60;
  if (minutes.size() == 1 && hours.size() <= 4)
    return "at " + listed(hours, [&](unsigned h) { return fmt::format("{:02}:{:02}", h, minutes[0]); });
  std::string out;
  if (every_minute) out = "every minute";
  else if (f.minute.step > 0 && 60 % f.minute.step == 0) out = fmt::format("every {} minutes", f.minute.step);
  else out = fmt::format("at minute{} {}", minutes.size() == 1 ? "" : "s", listed(minutes, number));
  if (f.hour.step > 1 && 24 % f.hour.step == 0) return out + fmt::format(" of every {} hours", f.hour.step);
  if (every_hour) return out.starts_with("every") ? out : out + " of every hour";
  return out + " of hour" + (hours.size() == 1 ? " " : "s ") + listed(hours, number);
}

std::string told_days(const CronFields& f) {
  const auto days = values(f.day), weekdays = values(f.weekday);
  std::string numbers, names;
  if (days.size() < 31 && !days.empty()) numbers = fmt::format("on day{} {}", days.size() == 1 ? "" : "s", listed(days, number));
  if (f.last_day && days.size() < 31) numbers += numbers.empty() ? "on the last day" : " and the last";
  if (!numbers.empty()) numbers += " of the month";
  if (weekdays == std::vector<unsigned>{1, 2, 3, 4, 5}) names = "on weekdays";
  else if (weekdays == std::vector<unsigned>{0, 6}) names = "on weekends";
  else if (weekdays.size() < 7) names = "on " + listed(weekdays, [](unsigned d) { return kDays[d]; });
  if (numbers.empty() || names.empty()) return numbers + names;
  return numbers + (f.day.star || f.weekday.star ? " that is also " : " or ") + names;
}

}  // namespace

Result<CronFields> cron_fields(std::string_view line) {
  std::vector<std::string_view> parts;
  for (auto part : split(line, ' '))
    if (part = trim(part); !part.empty()) parts.push_back(part);
  if (parts.size() != 5)
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("\"{}\" has {} parts: write minute, hour, day of the month, month and day of the week, such as "
                            "\"0 9 * * mon-fri\", or @daily, or every 15m", line, parts.size()));
  CronFields fields;
  CronField* const targets[] = {&fields.minute, &fields.hour, &fields.day, &fields.month, &fields.weekday};
  for (std::size_t i = 0; i < 5; ++i) {
    auto field = read(kRanges[i], parts[i], i == 2 ? &fields.last_day : nullptr);
    if (!field) return fail(field.error());
    *targets[i] = *field;
  }
  constexpr std::array<unsigned, 13> kLongest{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool either = !fields.day.star && !fields.weekday.star;
  const auto months = values(fields.month);
  const bool comes = either || fields.last_day || std::ranges::any_of(months, [&](unsigned m) {
    return (fields.day.bits & ((std::uint64_t{2} << kLongest[m]) - 1)) != 0;
  });
  if (comes) return fields;
  return fail(ErrorCode::caller_invalid_request,
              fmt::format("\"{}\" never comes: no such day in {}", line, listed(months, [](unsigned m) { return kMonths[m - 1]; })));
}

std::string describe(const CronFields& fields) {
  auto out = told_time(fields);
  const auto days = told_days(fields);
  const auto months = values(fields.month);
  if (!days.empty()) out += " " + days;
  if (months.size() < 12) out += " in " + listed(months, [](unsigned m) { return kMonths[m - 1]; });
  else if (days.empty() && out.starts_with("at ") && !out.ends_with("hour")) out += " every day";
  return out;
}

}  // namespace ballast::work
