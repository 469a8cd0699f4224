#include "tokens/lossy.hpp"

namespace ballast::tokens {

namespace {

// What may follow a leading byte (the Unicode Standard, table 3-7): how many bytes, and the range of the first of them.
struct Sequence {
  int more;  // -1: no leading byte
  unsigned char low, high;
};

Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {0, 0, 0};
  if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
  if (lead >= 0xE0 && lead <= 0xEF) return {2, static_cast<unsigned char>(lead == 0xE0 ? 0xA0 : 0x80), static_cast<unsigned char>(lead == 0xED ? 0x9F : 0xBF)};
  if (lead >= 0xF0 && lead <= 0xF4) return {3, static_cast<unsigned char>(lead == 0xF0 ? 0x90 : 0x80), static_cast<unsigned char>(lead == 0xF4 ? 0x8F : 0xBF)};
  return {-1, 0, 0};
}

// What text begins with: a character, or a part that is none.
struct Part {
  std::size_t bytes;
  bool whole;
  bool cut;  // not whole only because the text ends
};

Part part_of(std::string_view text) {
  auto [more, low, high] = sequence_of(static_cast<unsigned char>(text[0]));
  std::size_t n = 1;
  for (; more > 0 && n < text.size(); --more, ++n) {
    const auto next = static_cast<unsigned char>(text[n]);
    if (next < low || next > high) return {n, false, false};
    low = 0x80, high = 0xBF;
  }
  return {n, more == 0, more > 0};
}

}  // namespace

std::string lossy_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const auto part = part_of(text);
    if (part.whole) out += text.substr(0, part.bytes);
    else out += "\xEF\xBF\xBD";
    text.remove_prefix(part.bytes);
  }
  return out;
}

std::size_t cut_character(std::string_view text) {
  for (std::size_t n = 1; n <= 3 && n <= text.size(); ++n)
    if (const auto part = part_of(text.substr(text.size() - n)); part.cut && part.bytes == n) return n;
  return 0;
}

}  // namespace ballast::tokens
