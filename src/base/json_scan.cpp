#include "base/json_scan.hpp"

namespace ballast {

namespace {
bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
int nibble(char c) { return digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }
}  // namespace

std::size_t JsonScan::push(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && push(text[n])) ++n;
  return n;
}

bool JsonScan::complete() const { return at_ == At::done || (open_.empty() && number_may_end()); }

bool JsonScan::push(char c) {
  switch (at_) {
    case At::string: return in_text(static_cast<unsigned char>(c));
    case At::escape:
      if (c == 'u') return at_ = At::hex, hex_ = 0, high_ = false, true;
      if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) return false;
      return at_ = At::string, true;
    case At::hex: return in_hex(c);
    case At::low_slash: return c == '\\' && (at_ = At::low_u, true);
    case At::low_u: return c == 'u' && (at_ = At::hex, hex_ = 0, low_ = true, high_ = false, true);
    case At::word:
      if (c != word_.front()) return false;
      word_.remove_prefix(1);
      if (word_.empty()) value_ended();
      return true;
    case At::value:
    case At::item: return blank(c) || begin_value(c);
    case At::value_or_end:
      if (c == ']') return open_.pop_back(), value_ended(), true;
      return blank(c) || begin_value(c);
    case At::name_or_end:
    case At::name:
      if (c == '}' && at_ == At::name_or_end) return open_.pop_back(), value_ended(), true;
      if (c == '"') return at_ = At::string, naming_ = true, true;
      return blank(c);
    case At::colon: return blank(c) || (c == ':' && (at_ = At::value, true));
    case At::done: return blank(c);
    case At::after_value: return after(c);
    default: return in_number(c);
  }
}

bool JsonScan::begin_value(char c) {
  const auto word = [&](std::string_view rest) { return at_ = At::word, word_ = rest, true; };
  switch (c) {
    case '{':
    case '[':
      if (open_.size() >= max_depth_) return false;
      open_.push_back(c);
      return at_ = c == '{' ? At::name_or_end : At::value_or_end, true;
    case '"': return at_ = At::string, naming_ = false, true;
    case 't': return word("rue");
    case 'f': return word("alse");
    case 'n': return word("ull");
    case '-': return at_ = At::minus, true;
    case '0': return at_ = At::zero, true;
    default: return digit(c) && (at_ = At::digits, true);
  }
}

// Behind a value inside a bracket.
bool JsonScan::after(char c) {
  if (blank(c)) return true;
  const bool object = open_.back() == '{';
  if (c == ',') return at_ = object ? At::name : At::item, true;
  if (c != (object ? '}' : ']')) return false;
  open_.pop_back();
  value_ended();
  return true;
}

// Table 3-7 of the Unicode standard: the second byte of a character has narrower bounds after E0, ED, F0 and F4.
bool JsonScan::in_text(unsigned char c) {
  if (more_ > 0) {
    if (c < least_ || c > most_) return false;
    --more_;
    least_ = 0x80;
    most_ = 0xBF;
    return true;
  }
  if (c == '"') return naming_ ? (at_ = At::colon, true) : (value_ended(), true);
  if (c == '\\') return at_ = At::escape, true;
  if (c < 0x80) return c >= 0x20;
  if (c < 0xC2 || c > 0xF4) return false;
  more_ = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
  if (c == 0xE0) least_ = 0xA0;
  if (c == 0xED) most_ = 0x9F;
  if (c == 0xF0) least_ = 0x90;
  if (c == 0xF4) most_ = 0x8F;
  return true;
}

// D800 to DBFF is followed by DC00 to DFFF, which stands nowhere else.
bool JsonScan::in_hex(char c) {
  const int n = nibble(c);
  if (n < 0) return false;
  if (hex_ == 0) {
    if (low_ && n != 0xD) return false;
    d_ = n == 0xD;
  } else if (hex_ == 1 && d_) {
    if (low_ ? n < 0xC : n >= 0xC) return false;
    high_ = !low_ && n >= 8;
  }
  if (++hex_ < 4) return true;
  at_ = high_ ? At::low_slash : At::string;
  low_ = false;
  return true;
}

bool JsonScan::in_number(char c) {
  const auto go = [&](At to) { return at_ = to, true; };
  switch (at_) {
    case At::minus: return c == '0' ? go(At::zero) : digit(c) && go(At::digits);
    case At::point: return digit(c) && go(At::fraction);
    case At::exponent:
      if (c == '+' || c == '-') return go(At::exponent_sign);
      return digit(c) && go(At::exponent_digits);
    case At::exponent_sign: return digit(c) && go(At::exponent_digits);
    default: break;
  }
  if (digit(c)) return at_ != At::zero;                      // stays where it is
  if (c == '.' && (at_ == At::zero || at_ == At::digits)) return go(At::point);
  if ((c == 'e' || c == 'E') && at_ != At::exponent_digits) return go(At::exponent);
  if (open_.empty()) return blank(c) && go(At::done);
  return after(c) && (blank(c) ? go(At::after_value) : true);
}

}  // namespace ballast
