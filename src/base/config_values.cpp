// The forms of configuration values: durations, sizes, money, rates, times.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/config_node.hpp"
#include "base/text.hpp"

namespace ballast {
namespace {

std::unexpected<Error> refuse(std::string_view text, std::string_view shape, std::string_view field) {
  return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" is not {}", utf8_prefix(text, 64), shape), std::string(field));
}

// Cuts a decimal number ("12", "1.5") off the front of `rest`.
std::optional<double> take_number(std::string_view& rest) {
  const auto end = rest.find_first_not_of("0123456789.");
  const auto digits = rest.substr(0, end);
  if (digits.empty() || digits.front() == '.' || digits.back() == '.') return std::nullopt;
  const auto value = parse_double(digits);
  if (value) rest.remove_prefix(digits.size());
  return value;
}

struct Unit {
  std::string_view name;
  std::int64_t factor;
};
constexpr std::array time_units = {
    Unit{"ns", 1},          Unit{"us", 1'000},        Unit{"ms", 1'000'000},           Unit{"s", 1'000'000'000},
    Unit{"m", 60'000'000'000}, Unit{"h", 3'600'000'000'000}, Unit{"d", 86'400'000'000'000}, Unit{"w", 604'800'000'000'000}};
constexpr std::array size_units = {
    Unit{"", 1},          Unit{"B", 1},          Unit{"KB", 1 << 10},  Unit{"KiB", 1 << 10}, Unit{"K", 1 << 10},   Unit{"MB", 1 << 20},
    Unit{"MiB", 1 << 20}, Unit{"M", 1 << 20},    Unit{"GB", 1 << 30},  Unit{"GiB", 1 << 30}, Unit{"G", 1 << 30},   Unit{"TB", 1ll << 40},
    Unit{"TiB", 1ll << 40}};

template <class Units>
const Unit* find_unit(const Units& units, std::string_view name, bool exact) {
  for (const auto& u : units)
    if (exact ? u.name == name : iequals(u.name, name)) return &u;
  return nullptr;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text, std::string_view field) {
  constexpr std::string_view shape = "a duration such as 250ms, 10s, 1h30m or 7d";
  if (text == "0") return Duration{};
  std::string_view rest = text;
  double total = 0;
  if (rest.empty()) return refuse(text, shape, field);
  while (!rest.empty()) {
    const auto value = take_number(rest);
    const auto unit_name = rest.substr(0, rest.find_first_of("0123456789"));
    const auto* unit = find_unit(time_units, unit_name, true);
    if (!value || !unit) return refuse(text, shape, field);
    rest.remove_prefix(unit_name.size());
    total += *value * static_cast<double>(unit->factor);
  }
  if (total > 0x1p62) return refuse(text, "a duration below 146 years", field);
  return Duration(std::llround(total));
}

Result<std::uint64_t> parse_size(std::string_view text, std::string_view field) {
  constexpr std::string_view shape = "a size such as 512, 32KB, 10MB or 1GB";
  std::string_view rest = text;
  const auto value = take_number(rest);
  const auto* unit = find_unit(size_units, trim(rest), false);
  if (!value || !unit) return refuse(text, shape, field);
  const double bytes = *value * static_cast<double>(unit->factor);
  if (bytes > 0x1p53) return refuse(text, "a size below 8 PB", field);
  if (std::trunc(bytes) != bytes) return refuse(text, "a whole number of bytes", field);
  return static_cast<std::uint64_t>(bytes);
}

Result<Money> parse_money(std::string_view text, std::string_view field) {
  std::string_view rest = trim(text);
  if (rest.starts_with('$')) rest.remove_prefix(1);
  auto money = money_from_usd(rest, field);
  if (!money) return money;
  if (money->nano < 0 || rest.starts_with('-')) return refuse(text, "an amount of zero or more", field);
  return money;
}

Result<Rate> parse_rate(std::string_view text, std::string_view field) {
  constexpr std::string_view shape = "a rate such as 10/s, 600/m, 5000/h or 100/d";
  std::string_view rest = text;
  const auto count = parse_int<std::uint64_t>(trim(take_until(rest, '/')));
  const auto unit_name = trim(rest);
  const auto* unit = find_unit(time_units, unit_name, true);
  if (!count || *count == 0 || *count > 1'000'000'000'000 || !unit || unit->factor < 1'000'000'000 || unit->factor > 86'400'000'000'000)
    return refuse(text, shape, field);
  return Rate{*count, Duration(unit->factor)};
}

Result<WallTime> parse_time(std::string_view text, std::string_view field) {
  constexpr std::string_view shape = "a time like 2026-11-21 or 2026-11-21T04:00:00Z";
  int y = 0, consumed = 0;
  unsigned mo = 0, d = 0, h = 0, mi = 0, s = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%4d-%2u-%2u%n", &y, &mo, &d, &consumed) != 3 || consumed != 10) return refuse(text, shape, field);
  std::int64_t ns = 0;
  if (text.size() > 10) {
    if (std::sscanf(copy.c_str() + 10, "T%2u:%2u:%2u%n", &h, &mi, &s, &consumed) != 3 || consumed != 9 || text.back() != 'Z') return refuse(text, shape, field);
    std::string_view fraction = text.substr(19, text.size() - 20);         // ".123", as we write it ourselves, and as JavaScript does
    if (!fraction.empty() && (fraction.front() != '.' || fraction.size() < 2 || fraction.size() > 10)) return refuse(text, shape, field);
    std::int64_t worth = 100'000'000;
    for (const char c : fraction.substr(std::min<std::size_t>(1, fraction.size()))) {
      if (c < '0' || c > '9') return refuse(text, shape, field);
      ns += worth * (c - '0');
      worth /= 10;
    }
  }
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(mo), std::chrono::day(d)};
  if (!date.ok() || h > 23 || mi > 59 || s > 60) return refuse(text, shape, field);
  // A time is 64 bits of nanoseconds: what others add to one must fit too.
  if (y < 1970 || y > 2199) return refuse(text, "a time from 1970 to 2199", field);
  return WallTime(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(h) + std::chrono::minutes(mi) + std::chrono::seconds(s) + std::chrono::nanoseconds(ns);
}

std::string format_duration(Duration d) {
  const std::int64_t ns = d.count();
  if (ns == 0) return "0s";
  for (auto u = time_units.rbegin(); u != time_units.rend(); ++u) {
    if (u->name == "w") continue;
    if (ns % u->factor == 0) return fmt::format("{}{}", ns / u->factor, u->name);
  }
  return fmt::format("{}ns", ns);
}

namespace {

// A secret's file: whole, without the line's end that editors leave. Nothing where it cannot be read, or is no secret by its length.
std::optional<std::string> secret_in(const std::string& file) {
  constexpr std::size_t most = 64u << 10;
  std::ifstream in(file, std::ios::binary);
  std::string text(most + 1, '\0');
  if (!in || (!in.read(text.data(), static_cast<std::streamsize>(text.size())) && !in.eof()) || in.gcount() > static_cast<std::streamsize>(most)) return std::nullopt;
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace

EnvLookup system_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const std::string variable(name);
    if (const char* v = std::getenv(variable.c_str())) return std::string(v);
    if (const char* file = std::getenv((variable + "_FILE").c_str())) return secret_in(file);
    const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
    if (!folder || variable.find('/') != std::string::npos) return std::nullopt;
    if (auto own = secret_in(fmt::format("{}/{}", folder, variable))) return own;
    return secret_in(fmt::format("{}/ballast_{}", folder, variable));     // as LoadCredential=ballast:FOLDER names what is in the folder
  };
}

EnvLookup fixed_environment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    const auto at = values.find(std::string(name));
    return at == values.end() ? std::nullopt : std::optional<std::string>(at->second);
  };
}

}  // namespace ballast
