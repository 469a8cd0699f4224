// One pass over a text for what has a form of its own. Each form looks a bounded way ahead, so the pass is linear.
#include <algorithm>
#include <array>
#include <optional>

#include "gateway/redactor.hpp"

namespace ballast::gateway {

namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_alpha(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
constexpr bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }
constexpr bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

constexpr std::array<bool, 256> kMayBegin = [] {
  std::array<bool, 256> out{};
  for (int c = '0'; c <= '9'; ++c) out[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) out[static_cast<std::size_t>(c)] = true;
  for (const char c : {'+', '(', '@', ':'}) out[static_cast<std::size_t>(c)] = true;
  return out;
}();

struct Match {
  std::size_t begin, end;
  std::string_view mark;
};

class Forms {
 public:
  Forms(std::string_view in, std::uint8_t kinds) : in_(in), kinds_(kinds) {}

  std::optional<std::string> run() {
    std::string out;
    std::size_t at = 0;
    while (at < in_.size()) {
      if (!kMayBegin[static_cast<unsigned char>(in_[at])]) {
        ++at;
        continue;
      }
      if (const auto found = find(at)) {
        out.append(in_.substr(done_, found->begin - done_)).append(found->mark);
        at = done_ = found->end;
      } else if (is_digit(in_[at])) {
        at = digits_end(at);
      } else {
        ++at;
      }
    }
    if (done_ == 0) return std::nullopt;
    return std::move(out.append(in_.substr(done_)));
  }

 private:
  char get(std::size_t i) const { return i < in_.size() ? in_[i] : '\0'; }
  bool wants(Sensitive kind) const { return (kinds_ & static_cast<std::uint8_t>(kind)) != 0; }
  std::size_t digits_end(std::size_t at) const {
    while (is_digit(get(at))) ++at;
    return at;
  }
  // Not in the middle of a word, of a decimal or of a longer number.
  bool begins(std::size_t at) const {
    if (at == 0) return true;
    const char before = in_[at - 1];
    if (is_alnum(before) || before == '_') return false;
    return !(std::string_view("-./,:").contains(before) && at > 1 && is_digit(in_[at - 2]));
  }
  // A group of a number that began before ("3704 0044 0532").
  bool goes_on(std::size_t at) const { return at > 1 && in_[at - 1] == ' ' && is_digit(in_[at - 2]); }
  bool ends(std::size_t at) const { return !is_alnum(get(at)) && get(at) != '_'; }

  std::optional<Match> find(std::size_t at) const {
    const char c = in_[at];
    if (c == '@') return wants(Sensitive::email) ? email(at) : std::nullopt;
    if (c == ':') return wants(Sensitive::ip) ? ipv6(at) : std::nullopt;
    if (!begins(at)) return std::nullopt;
    if (is_upper(c)) return wants(Sensitive::iban) ? iban(at) : std::nullopt;
    if (is_digit(c) && wants(Sensitive::ip))
      if (auto found = ipv4(at)) return found;
    if (is_digit(c) && wants(Sensitive::card))
      if (auto found = card(at)) return found;
    if (is_digit(c) && wants(Sensitive::ssn))
      if (auto found = ssn(at)) return found;
    if (!wants(Sensitive::phone)) return std::nullopt;
    if (c == '+') return international(at, at + 1);
    if (c == '0' && goes_on(at)) return std::nullopt;
    if (c == '0' && get(at + 1) == '0') return international(at, at + 2);
    if (c == '0') return trunk(at);
    return american(at);
  }

  std::optional<Match> email(std::size_t at) const {
    constexpr std::string_view marks = "._%+'-";
    std::size_t begin = at;
    while (begin > done_ && at - begin < 64 && (is_alnum(in_[begin - 1]) || marks.contains(in_[begin - 1]))) --begin;
    while (begin < at && !is_alnum(in_[begin]) && in_[begin] != '_') ++begin;
    if (begin == at || in_[at - 1] == '.') return std::nullopt;
    std::size_t i = at + 1, end = 0, labels = 0;
    while (i - at <= 255) {
      const std::size_t from = i;
      while (is_alnum(get(i)) || (get(i) == '-' && i > from)) ++i;
      if (i == from) break;
      std::size_t last = i;
      while (last > from && in_[last - 1] == '-') --last;            // "ann@example.com-" is an address and a dash
      const bool letters = std::ranges::all_of(in_.substr(from, last - from), is_alpha);
      ++labels;
      if (labels > 1 && ((letters && last - from >= 2) || in_.substr(from).starts_with("xn--"))) end = last;
      if (get(i) != '.') break;
      ++i;
    }
    if (end == 0) return std::nullopt;
    return Match{begin, end, "[email]"};
  }

  std::optional<Match> ipv4(std::size_t at) const {
    std::size_t i = at;
    for (int octet = 0; octet < 4; ++octet) {
      if (octet > 0 && get(i++) != '.') return std::nullopt;
      const std::size_t end = digits_end(i), size = end - i;
      if (size == 0 || size > 3 || (size > 1 && in_[i] == '0')) return std::nullopt;
      int value = 0;
      for (; i < end; ++i) value = value * 10 + (in_[i] - '0');
      if (value > 255) return std::nullopt;
    }
    if (!ends(i) || (get(i) == '.' && is_digit(get(i + 1)))) return std::nullopt;
    return Match{at, i, "[ip]"};
  }

  // From its first colon. What has neither a digit nor eight groups ("std::begin") is none.
  std::optional<Match> ipv6(std::size_t at) const {
    std::size_t begin = at;
    while (begin > done_ && at - begin < 5 && is_hex(in_[begin - 1])) --begin;
    if (at - begin > 4 || (begin > 0 && (is_alnum(in_[begin - 1]) || in_[begin - 1] == ':' || in_[begin - 1] == '_'))) return std::nullopt;
    std::size_t i = begin, groups = 0, gaps = 0;
    bool digit = false;
    while (i - begin < 40) {
      if (in_.substr(std::min(i, in_.size())).starts_with("::") && gaps == 0) {
        ++gaps;
        i += 2;
        if (!is_hex(get(i))) break;
      } else if (i > begin && get(i) == ':' && is_hex(get(i + 1)) && in_[i - 1] != ':') {
        ++i;
      } else if (i > begin && !is_hex(get(i))) {
        break;
      }
      std::size_t size = 0;
      for (; is_hex(get(i)); ++i, ++size) digit = digit || is_digit(in_[i]);
      if (size == 0 || size > 4) return std::nullopt;
      ++groups;
    }
    const bool whole = gaps == 0 ? groups == 8 : groups <= 7 && groups > 0 && digit;
    if (!whole || !ends(i) || get(i) == ':') return std::nullopt;
    return Match{begin, i, "[ip]"};
  }

  struct Digits {
    std::array<char, 20> value{};
    std::size_t count = 0;
    int prefix(std::size_t n) const {
      int out = 0;
      for (std::size_t i = 0; i < n && i < count; ++i) out = out * 10 + (value[i] - '0');
      return out;
    }
  };

  static bool issued(const Digits& d, std::size_t n) {
    const int two = d.prefix(2), three = d.prefix(3), four = d.prefix(4);
    if (two == 34 || two == 37) return n == 15;
    if (d.value[0] == '4') return n == 13 || n == 16 || n == 19;
    if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return n == 16;
    if ((three >= 300 && three <= 305) || two == 36 || two == 38 || two == 39) return n >= 14;
    return (two == 35 || two == 50 || (two >= 56 && two <= 69)) && n >= 16;          // JCB, Maestro, Discover, UnionPay
  }
  static bool luhn(const Digits& d, std::size_t n) {
    int sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      int v = d.value[n - 1 - i] - '0';
      if (i % 2 == 1) v = v > 4 ? 2 * v - 9 : 2 * v;
      sum += v;
    }
    return sum % 10 == 0;
  }
  // Whole, or in groups with one kind of separator. More digits may follow in a group of their own: the longest that is one counts.
  std::optional<Match> card(std::size_t at) const {
    Digits d;
    std::size_t i = at, best = 0;
    char separator = '\0';
    for (;;) {
      while (is_digit(get(i)) && d.count < d.value.size()) d.value[d.count++] = in_[i++];
      if (is_digit(get(i))) break;
      if (d.count >= 13 && d.count <= 19 && ends(i) && issued(d, d.count) && luhn(d, d.count)) best = i;
      const char c = get(i);
      if ((c != ' ' && c != '-') || (separator && c != separator) || !is_digit(get(i + 1))) break;
      separator = c;
      ++i;
    }
    if (best == 0) return std::nullopt;
    return Match{at, best, "[card]"};
  }

  std::optional<Match> ssn(std::size_t at) const {
    const char s = get(at + 3);
    if ((s != '-' && s != ' ') || digits_end(at) != at + 3 || digits_end(at + 4) != at + 6 || get(at + 6) != s || digits_end(at + 7) != at + 11) return std::nullopt;
    const auto area = in_.substr(at, 3), group = in_.substr(at + 4, 2), serial = in_.substr(at + 7, 4);
    if (area == "000" || area == "666" || area[0] == '9' || group == "00" || serial == "0000") return std::nullopt;
    if (!ends(at + 11) || (get(at + 11) == '-' && is_digit(get(at + 12)))) return std::nullopt;
    return Match{at, at + 11, "[ssn]"};
  }

  // Digits with separators between them, from `from`; how many digits, groups, and where the last of them ends.
  struct Row {
    std::size_t digits = 0, groups = 0, end = 0, first = 0;     // first: digits of the first group
  };
  Row row(std::size_t from, std::string_view separators, std::size_t most) const {
    Row r;
    std::size_t i = from;
    while (r.digits <= most) {
      const std::size_t end = digits_end(i);
      if (end == i || r.digits + (end - i) > most) break;
      r.digits += end - i;
      if (r.groups++ == 0) r.first = end - i;
      i = r.end = end;
      std::size_t skipped = 0;
      while (skipped < 2 && separators.contains(get(i)) && get(i) != '\0') ++i, ++skipped;
      if (skipped == 0) break;
    }
    return r;
  }

  // `from`: behind "+" or "00".
  std::optional<Match> international(std::size_t at, std::size_t from) const {
    if (get(from) == ' ') ++from;
    if (!is_digit(get(from)) || get(from) == '0') return std::nullopt;
    const Row r = row(from, " -./()", 15);
    const bool written_out = in_[at] == '+' || r.groups > 1 || (from == at + 2 && r.digits >= 10);
    if (r.digits < 8 || !written_out || !ends(r.end)) return std::nullopt;
    return Match{at, r.end, "[phone]"};
  }

  // 030 1234567, 0171/1234567, 06 12 34 56 78. A decimal, a date and a bare number are none.
  std::optional<Match> trunk(std::size_t at) const {
    const Row r = row(at, " -/.", 13);
    if (r.digits < 9 || r.groups < 2 || r.first < 2 || r.first > 6 || !ends(r.end) || date(at)) return std::nullopt;
    return Match{at, r.end, "[phone]"};
  }
  // 09.11.2026, 09/11/26.
  bool date(std::size_t at) const {
    const char s = get(at + 2);
    return digits_end(at) == at + 2 && (s == '.' || s == '/' || s == '-') && digits_end(at + 3) == at + 5 && get(at + 5) == s && in_.substr(at, 2) <= "31" &&
           in_.substr(at + 3, 2) <= "31" && (digits_end(at + 6) == at + 10 || digits_end(at + 6) == at + 8) && !is_phone_part(at + 8, s);
  }
  // "06.12.34.56.78" goes on with the same separator, as no date does.
  bool is_phone_part(std::size_t at, char separator) const { return get(at) == separator && is_digit(get(at + 1)); }

  // (212) 555-0123, 212-555-0123, 1.212.555.0123: area and exchange begin with 2 to 9, and something is between them.
  std::optional<Match> american(std::size_t at) const {
    std::size_t i = at;
    if (get(i) == '1' && std::string_view(" -.").contains(get(i + 1)) && get(i + 1) != '\0') i += 2;
    const bool parenthesis = get(i) == '(';
    if (parenthesis) ++i;
    if (get(i) < '2' || get(i) > '9' || digits_end(i) != i + 3) return std::nullopt;
    i += 3;
    if (parenthesis && get(i++) != ')') return std::nullopt;
    const char s = get(i);
    if (s == '-' || s == '.' || s == ' ') ++i;
    else if (!parenthesis) return std::nullopt;
    if (get(i) < '2' || get(i) > '9' || digits_end(i) != i + 3) return std::nullopt;
    i += 3;
    const char t = get(i);
    if ((t != '-' && t != '.' && t != ' ') || (!parenthesis && t != s) || digits_end(i + 1) != i + 5 || !ends(i + 5)) return std::nullopt;
    return Match{at, i + 5, "[phone]"};
  }

  std::optional<Match> iban(std::size_t at) const;

  std::string_view in_;
  std::uint8_t kinds_;
  std::size_t done_ = 0;                     // what is before is written out already
};

// The SWIFT registry's lengths, by country.
struct Country {
  std::string_view code;
  std::size_t length;
};
constexpr Country kCountries[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21},
    {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FK", 18}, {"FO", 18},
    {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26},
    {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24},
    {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28}, {"PS", 29},
    {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24}, {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23},
    {"ST", 25}, {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}};

std::optional<Match> Forms::iban(std::size_t at) const {
  if (!is_upper(get(at + 1)) || !is_digit(get(at + 2)) || !is_digit(get(at + 3))) return std::nullopt;
  const auto country = std::ranges::find(kCountries, in_.substr(at, 2), &Country::code);
  if (country == std::end(kCountries)) return std::nullopt;
  std::array<char, 40> text{};
  std::size_t count = 0, i = at;
  while (count < country->length) {
    const char c = get(i);
    if (is_upper(c) || is_digit(c)) text[count++] = c;
    else if (c != ' ' || count < 4 || !is_alnum(get(i + 1))) return std::nullopt;
    ++i;
  }
  if (!ends(i)) return std::nullopt;
  unsigned rest = 0;
  for (std::size_t n = 0; n < count; ++n) {
    const char c = text[(n + 4) % count];
    rest = (is_digit(c) ? rest * 10 + static_cast<unsigned>(c - '0') : rest * 100 + static_cast<unsigned>(c - 'A' + 10)) % 97;
  }
  if (rest != 1) return std::nullopt;
  return Match{at, i, "[iban]"};
}

}  // namespace

std::optional<std::string> hide_forms(std::string_view in, std::uint8_t kinds) { return Forms(in, kinds).run(); }

}  // namespace ballast::gateway
