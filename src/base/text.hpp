// Text: small, strict, allocation-free where the result allows. Everything here is pure and thread-safe.
// ASCII means ASCII: `iequals` and friends do not fold other letters, because HTTP names and our keys have none.
#pragma once
#include <charconv>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ballast {

// True if `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). SIMD.
bool is_utf8(std::string_view text);
// The longest prefix of at most `max_bytes` that does not cut a character in two. `text` is UTF-8.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes);

constexpr char to_lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string to_lower_ascii(std::string_view text);
constexpr bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (to_lower_ascii(a[i]) != to_lower_ascii(b[i])) return false;
  return true;
}
constexpr bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

// Without spaces, tabs, CR and LF at both ends. The view points into `text`.
constexpr std::string_view trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

// The pieces between separators, empty ones included: "a,,b" → "a", "", "b"; "" → "". Views into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);
// Cuts `rest` at the first `separator`: returns what is before it and leaves what is after it. Without one, takes all.
constexpr std::string_view take_until(std::string_view& rest, char separator) {
  const auto at = rest.find(separator);
  const auto head = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
  return head;
}

// The whole of `text` as a decimal integer, or nothing: no blanks, no "+", no leading "0x", no overflow.
template <std::integral T>
std::optional<T> parse_int(std::string_view text) {
  T value{};
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, 10);
  if (error != std::errc{} || at != end) return std::nullopt;
  return value;
}
// The whole of `text` as a finite decimal number ("1", "1.5", "1e3"), or nothing.
std::optional<double> parse_double(std::string_view text);

// Damerau-Levenshtein distance (optimal string alignment) over bytes, at most `limit + 1`.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);
// The candidate nearest to `name`, if near enough to be a typing slip (distance ≤ 1 up to 4 letters, else ≤ a third of the
// length); empty otherwise. The first wins a tie.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);
std::string_view nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace ballast
