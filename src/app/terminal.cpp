#include "app/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.hpp"

namespace ballast::app {

namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool good = true;
};

// The first character of a text that is not empty.
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (bytes == 0 || text.size() < bytes || !is_utf8(text.substr(0, bytes))) return {0xFFFD, 1, false};
  char32_t code = lead & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3F);
  return {code, bytes, true};
}

struct Range {
  char32_t first, last;
};
template <std::size_t n>
bool within(const Range (&ranges)[n], char32_t c) {
  return std::ranges::any_of(ranges, [c](const Range& r) { return c >= r.first && c <= r.last; });
}

// Unicode 15: EastAsianWidth W and F, in whole blocks; and what is drawn as an emoji by itself.
constexpr Range kWide[] = {{0x1100, 0x115F}, {0x231A, 0x231B}, {0x2329, 0x232A}, {0x23E9, 0x23EC}, {0x25FD, 0x25FE}, {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26A1, 0x26A1},
                           {0x26BD, 0x26BE}, {0x26D4, 0x26D4}, {0x2705, 0x2705}, {0x274C, 0x274C}, {0x2753, 0x2755}, {0x2757, 0x2757},   {0x2795, 0x2797},   {0x2B1B, 0x2B1C},
                           {0x2B50, 0x2B50}, {0x2E80, 0x303E}, {0x3041, 0x4DBF}, {0x4E00, 0xA4CF}, {0xA960, 0xA97F}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
                           {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x16FE0, 0x18AFF}, {0x1B000, 0x1B2FF}, {0x1F004, 0x1F004}, {0x1F18E, 0x1F19A}, {0x1F200, 0x1F265}, {0x1F300, 0x1F64F},
                           {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7EB}, {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};
// Combining marks, joiners, variation selectors.
constexpr Range kNone[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F}, {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x0900, 0x0902},
                           {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
                           {0x200B, 0x200D}, {0x2060, 0x2064}, {0x20D0, 0x20F0}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF}, {0xE0100, 0xE01EF}};
// Controls, what turns the direction of text (Unicode TR 36), line separators, tags.
constexpr Range kUnsafe[] = {{0x00, 0x1F}, {0x7F, 0x9F}, {0x061C, 0x061C}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x206F}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};

std::size_t width_of(char32_t c) {
  if (c < 0x300) return 1;
  if (within(kNone, c)) return 0;
  return within(kWide, c) ? 2 : 1;
}

std::size_t number_from(const char* variable, std::size_t otherwise) {
  const char* text = std::getenv(variable);
  const auto n = text ? parse_int<std::size_t>(text) : std::nullopt;
  return n && *n > 0 && *n < 10'000 ? *n : otherwise;
}

}  // namespace

std::optional<WindowSize> window_of(int descriptor) {
  if (!isatty(descriptor)) return std::nullopt;
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) size = {};
  const WindowSize usual;
  return WindowSize{.columns = size.ws_col ? size.ws_col : number_from("COLUMNS", usual.columns), .rows = size.ws_row ? size.ws_row : number_from("LINES", usual.rows)};
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character c = first_of(text);
    width += width_of(c.code);
    text.remove_prefix(c.bytes);
  }
  return width;
}

std::string one_line(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = first_of(text);
    if (c.code == '\n' || c.code == '\t' || c.code == '\r') out += ' ';
    else if (!c.good || within(kUnsafe, c.code)) out += '?';
    else out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string fitted(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t end = 0;
  for (std::size_t width = 0; end < text.size();) {
    const Character c = first_of(text.substr(end));
    width += width_of(c.code);
    if (width > columns - 1) break;
    end += c.bytes;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string padded(std::string_view text, std::size_t columns, bool to_the_right) {
  std::string out = fitted(text, columns);
  const std::string fill(columns - std::min(columns, display_width(out)), ' ');
  return to_the_right ? fill + out : out + fill;
}

bool may_color() {
  const char* no = std::getenv("NO_COLOR");
  return no == nullptr || *no == '\0';
}

}  // namespace ballast::app
