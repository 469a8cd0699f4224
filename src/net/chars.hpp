// Private to net/: the character classes of RFC 9110 as one table.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ballast::net {

inline constexpr std::uint8_t token_char = 1, value_char = 2, target_char = 4, host_char = 8;

inline constexpr auto char_classes = [] {
  std::array<std::uint8_t, 256> t{};
  for (unsigned c = 0; c < 256; ++c) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    auto in = [c](std::string_view set) { return c < 128 && set.find(static_cast<char>(c)) != set.npos; };
    if (alnum || (c && in("!#$%&'*+-.^_`|~"))) t[c] |= token_char;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) t[c] |= value_char;
    if (c > 0x20 && c < 0x7f && c != '#') t[c] |= target_char;
    if (alnum || (c && in("-._~:[]%!$&'()*+,;="))) t[c] |= host_char;
  }
  return t;
}();

inline bool all(std::string_view text, std::uint8_t char_class) {
  std::uint8_t bits = char_class;
  for (const char c : text) bits &= char_classes[static_cast<unsigned char>(c)];
  return bits != 0;
}

// all(text, value_char), eight bytes at a time: field values are long and hardly ever hold a tab or a control.
inline bool all_value(std::string_view text) {
  constexpr std::uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
  const auto fine = [&](const char* eight) {
    std::uint64_t w;
    std::memcpy(&w, eight, 8);
    const std::uint64_t deleted = w ^ (ones * 0x7f);
    // Below 0x20, or 0x7f; a borrow may accuse a neighbour, which the table then acquits.
    return ((((w - ones * 0x20) & ~w) | ((deleted - ones) & ~deleted)) & highs) == 0 || all({eight, 8}, value_char);
  };
  if (text.size() < 8) return all(text, value_char);
  for (std::size_t i = 0; i + 8 < text.size(); i += 8)
    if (!fine(text.data() + i)) return false;
  return fine(text.data() + text.size() - 8);
}

inline std::string_view trim_blanks(std::string_view v) {
  while (!v.empty() && (v.front() == ' ' || v.front() == '\t')) v.remove_prefix(1);
  while (!v.empty() && (v.back() == ' ' || v.back() == '\t')) v.remove_suffix(1);
  return v;
}

}  // namespace ballast::net
