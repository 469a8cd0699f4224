#include "base/text.hpp"

#include <simdjson.h>

#include <array>
#include <cmath>

namespace ballast {

bool is_utf8(std::string_view text) {
  // Short keys and names: a call through simdjson's dispatch costs more than looking.
  if (text.size() <= 32) {
    unsigned char any = 0;
    for (const char c : text) any |= static_cast<unsigned char>(c);
    if (any < 0x80) return true;
  }
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string to_lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = to_lower_ascii(c);
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::optional<double> parse_double(std::string_view text) {
  double value = 0;
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  const auto gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > limit) return limit + 1;
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    std::size_t best = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before_last[j - 2] + 1);
      best = std::min(best, row[j]);
    }
    // A transposition reaches two rows back, so one row above the limit does not decide yet; two in a row do.
    if (best > limit + 1) return limit + 1;
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return std::min(last[b.size()], limit + 1);
}

namespace {
template <class Candidates>
std::string_view nearest(std::string_view name, const Candidates& candidates) {
  const std::size_t limit = name.size() <= 4 ? 1 : name.size() / 3;
  std::size_t best = limit + 1;
  std::string_view found;
  for (const auto& candidate : candidates) {
    const auto d = edit_distance(name, candidate, limit);
    if (d < best) {
      best = d;
      found = candidate;
    }
  }
  return found;
}
}  // namespace

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates) { return nearest(name, candidates); }
std::string_view nearest_name(std::string_view name, std::span<const std::string> candidates) { return nearest(name, candidates); }

}  // namespace ballast
