#include "gateway/cache_control.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace ballast::gateway {

namespace {

constexpr std::int64_t kAges = 100LL * 366 * 86'400;   // seconds; above it every age is young enough

Duration age_from(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  const bool digits = !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return Duration::zero();
  return std::chrono::seconds(std::min(parse_int<std::int64_t>(text).value_or(kAges), kAges));
}

}  // namespace

CacheControl cache_control_from(std::string_view value) {
  CacheControl c;
  if (value.empty()) return c;
  for (const auto part : split(value, ',')) {
    std::string_view rest = trim(part);
    const auto name = trim(take_until(rest, '='));
    if (iequals(name, "no-cache")) c.no_cache = true;
    else if (iequals(name, "no-store")) c.no_store = true;
    else if (iequals(name, "only-if-cached")) c.only_if_cached = true;
    else if (iequals(name, "max-age")) c.max_age = std::min(age_from(trim(rest)), c.oldest());
  }
  return c;
}

}  // namespace ballast::gateway
