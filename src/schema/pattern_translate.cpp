// ECMA-262 expressions in PCRE2's words. The two differ in what `\s`, `.`, `\u`, `\v`, `[]`, `{`, named groups and property names
// mean, and PCRE2 knows forms (possessive quantifiers, verbs, atomic groups) that ECMA-262 does not: those are refused, not run.
#include <fmt/format.h>

#include <array>
#include <map>
#include <optional>

#include "base/text.hpp"
#include "schema/pattern.hpp"

namespace ballast::schema {

namespace {

constexpr std::string_view kBlanks = R"(\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff})";
constexpr std::string_view kNotBlanks =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff})";
constexpr std::uint32_t kMostRepeats = 65'535;      // PCRE2's own limit of one quantifier
constexpr std::uint64_t kEndless = 64u << 20;       // no document holds as many characters

// Long names of general categories; PCRE2 knows the short ones.
constexpr std::array<std::pair<std::string_view, std::string_view>, 40> kCategories{{
    {"Letter", "L"}, {"Cased_Letter", "L&"}, {"LC", "L&"}, {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"}, {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"}, {"Other_Letter", "Lo"}, {"Mark", "M"}, {"Combining_Mark", "M"}, {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"}, {"Enclosing_Mark", "Me"}, {"Number", "N"}, {"Decimal_Number", "Nd"}, {"digit", "Nd"}, {"Letter_Number", "Nl"},
    {"Other_Number", "No"}, {"Punctuation", "P"}, {"punct", "P"}, {"Connector_Punctuation", "Pc"}, {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"}, {"Close_Punctuation", "Pe"}, {"Initial_Punctuation", "Pi"}, {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"}, {"Symbol", "S"}, {"Math_Symbol", "Sm"}, {"Currency_Symbol", "Sc"}, {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"}, {"Separator", "Z"}, {"Space_Separator", "Zs"}, {"Line_Separator", "Zl"}, {"Paragraph_Separator", "Zp"},
    {"Other", "C"}, {"Control", "Cc"}, {"cntrl", "Cc"}, {"Format", "Cf"},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'f'); }
bool is_letter(char c) { return to_lower_ascii(c) >= 'a' && to_lower_ascii(c) <= 'z'; }
bool is_surrogate(std::uint32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> run() {
    survey();
    while (error_.empty() && at_ < in_.size()) step();
    if (error_.empty() && depth_ > 0) refuse("a group is not closed");
    if (!error_.empty()) return fail(ErrorCode::caller_invalid_request, fmt::format("is not a regular expression of ECMA-262: {}", error_));
    return std::move(out_);
  }

 private:
  // One member of a class, or what an escape stands for: a character, or a set in PCRE2's words.
  struct Atom {
    std::optional<std::uint32_t> character;
    std::string set;      // as it stands outside a class
    std::string members;  // as it stands inside one
  };

  void refuse(std::string why) {
    if (error_.empty()) error_ = fmt::format("{} at character {}", why, at_);
    at_ = in_.size();
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (!in_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  // Counts groups and notes their names, which references may precede.
  void survey() {
    bool in_class = false;
    for (std::size_t i = 0; i < in_.size(); ++i) {
      const char c = in_[i];
      if (c == '\\') ++i;
      else if (in_class) in_class = c != ']';
      else if (c == '[') in_class = true;
      else if (c == '(' && (i + 1 >= in_.size() || in_[i + 1] != '?')) ++groups_;
      else if (c == '(' && in_.substr(i).starts_with("(?<") && i + 3 < in_.size() && in_[i + 3] != '=' && in_[i + 3] != '!') {
        const auto end = in_.find('>', i);
        names_.emplace(in_.substr(i + 3, end == std::string_view::npos ? end : end - i - 3), ++groups_);
      }
    }
  }

  void step() {
    const char c = peek();
    switch (c) {
      case '\\': return escape();
      case '[': return bracket();
      case '(': return open();
      case ')':
        ++at_;
        if (depth_-- == 0) return refuse("a group is closed that was not opened");
        out_ += ')';
        atom_ = out_.size();
        simple_ = false;
        return;
      case '|': case '^': case '$':
        ++at_;
        out_ += c;
        atom_ = 0;
        return;
      case '.':
        ++at_;
        return put_atom(R"([^\n\r\x{2028}\x{2029}])");
      case '*': case '+': case '?': case '{': return quantifier(c);
      case '}': case ']':
        ++at_;
        return put_atom(std::string{'\\', c});
      default: return literal();
    }
  }

  void put_atom(std::string_view text) {
    atom_ = out_.size() + 1;
    simple_ = true;
    out_ += text;
  }
  void literal() { put_atom(fmt::format("\\x{{{:x}}}", character())); }

  // The code point at the cursor, which moves behind it. The expression is UTF-8.
  std::uint32_t character() {
    const auto lead = static_cast<unsigned char>(in_[at_]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (!is_utf8(in_.substr(at_, length))) {
      refuse("is not UTF-8");
      return 0;
    }
    std::uint32_t c = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) c = c << 6 | (static_cast<unsigned char>(in_[at_ + i]) & 0x3F);
    at_ += length;
    return c;
  }

  void open() {
    ++at_;
    simple_ = false;
    atom_ = 0;
    if (++depth_ > 200) return refuse("groups are nested deeper than 200");
    if (peek() != '?') {
      out_ += '(';
      return;
    }
    for (const std::string_view form : {"?:", "?=", "?!", "?<=", "?<!", "?i:", "?-i:"})
      if (take(form)) {
        out_ += '(';
        out_ += form;
        return;
      }
    if (!take("?<")) return refuse("an unknown kind of group");
    const auto end = in_.find('>', at_);
    if (end == std::string_view::npos || end == at_) return refuse("a group's name is missing");
    at_ = end + 1;
    out_ += '(';
  }

  // ---- Repetition

  struct Bounds {
    std::uint64_t low = 0;
    std::optional<std::uint64_t> high;
  };
  // "{2,3}" at the cursor, which stays; its length, or 0 where the brace is a plain character.
  std::size_t bounds_at(Bounds& bounds) const {
    std::size_t i = at_ + 1;
    const auto number = [&](std::uint64_t& n) {
      const auto from = i;
      for (n = 0; i < in_.size() && is_digit(in_[i]); ++i) n = std::min<std::uint64_t>(n * 10 + static_cast<std::uint64_t>(in_[i] - '0'), 1ull << 40);
      return i > from;
    };
    if (!number(bounds.low)) return 0;
    bounds.high = bounds.low;
    if (i < in_.size() && in_[i] == ',') {
      ++i;
      std::uint64_t high = 0;
      bounds.high = number(high) ? std::optional(high) : std::nullopt;
    }
    return i < in_.size() && in_[i] == '}' ? i + 1 - at_ : 0;
  }

  void quantifier(char c) {
    Bounds bounds;
    std::size_t length = 1;
    if (c == '{' && (length = bounds_at(bounds)) == 0) {
      ++at_;
      return put_atom("\\{");
    }
    if (atom_ == 0) return refuse("there is nothing to repeat");
    if (bounds.high && *bounds.high < bounds.low) return refuse("the numbers of {} are out of order");
    at_ += length;
    const std::string_view lazy = take("?") ? "?" : "";
    if (bounds.high && *bounds.high > kEndless) bounds.high.reset();
    if (c != '{') {
      out_ += c;
      out_ += lazy;
    } else if (std::max(bounds.low, bounds.high.value_or(0)) <= kMostRepeats) {
      out_ += bounds_text(bounds, lazy);
    } else if (!simple_) {
      refuse("a group is repeated more than 65535 times");
    } else {
      const std::string atom = out_.substr(atom_ - 1);
      out_.resize(atom_ - 1);
      out_ += split_bounds(atom, bounds, lazy);
    }
    atom_ = 0;
  }
  static std::string bounds_text(Bounds b, std::string_view lazy) {
    return b.high ? fmt::format("{{{},{}}}{}", b.low, *b.high, lazy) : fmt::format("{{{},}}{}", b.low, lazy);
  }
  // a{2,100000} is (?:a{65535}a{0,34465}|a{2,65534}): two ways to match the same text would be tried one after the other.
  std::string split_bounds(const std::string& atom, Bounds b, std::string_view lazy) const {
    std::string out;
    for (; b.low >= kMostRepeats; b.low -= kMostRepeats) {
      out += fmt::format("{}{{{}}}", atom, kMostRepeats);
      if (b.high) *b.high -= kMostRepeats;
    }
    if (!b.high || *b.high <= kMostRepeats) return out + atom + bounds_text(b, lazy);
    const std::string longer = fmt::format("{}{{{}}}{}", atom, kMostRepeats, split_bounds(atom, {0, *b.high - kMostRepeats}, lazy));
    const std::string shorter = atom + bounds_text({b.low, kMostRepeats - 1}, lazy);
    return out + (lazy.empty() ? fmt::format("(?:{}|{})", longer, shorter) : fmt::format("(?:{}|{})", shorter, longer));
  }

  // ---- Escapes

  void escape() {
    if (peek(1) == 'b' || peek(1) == 'B') {
      out_ += in_.substr(at_, 2);
      at_ += 2;
      atom_ = 0;
      return;
    }
    if (peek(1) >= '1' && peek(1) <= '9') return reference();
    if (peek(1) == 'k' && !names_.empty()) return named_reference();
    const Atom atom = escaped();
    if (!error_.empty()) return;
    if (!atom.character) return put_atom(atom.set);
    put_atom(is_surrogate(*atom.character) ? std::string("(?!)") : fmt::format("\\x{{{:x}}}", *atom.character));
  }

  void reference() {
    const auto from = ++at_;
    while (is_digit(peek())) ++at_;
    const auto number = parse_int<int>(in_.substr(from, at_ - from)).value_or(INT32_MAX);
    if (number > groups_) return refuse(fmt::format("\\{} refers to a group that is not there", in_.substr(from, at_ - from)));
    put_reference(number);
  }
  void named_reference() {
    at_ += 2;
    const auto end = in_.find('>', at_);
    const auto group = peek() == '<' && end != std::string_view::npos ? names_.find(in_.substr(at_ + 1, end - at_ - 1)) : names_.end();
    if (group == names_.end()) return refuse("\\k refers to a group that is not there");
    at_ = end + 1;
    put_reference(group->second);
  }
  void put_reference(int number) {
    put_atom(fmt::format("\\g{{{}}}", number));
    simple_ = false;
  }

  // The escape at the cursor, which moves behind it.
  Atom escaped() {
    ++at_;
    if (at_ >= in_.size()) {
      refuse("ends with a backslash");
      return {};
    }
    const char c = peek();
    const auto one = [&](std::uint32_t code) {
      ++at_;
      return Atom{code, {}, {}};
    };
    switch (c) {
      case 'd': case 'D': case 'w': case 'W': ++at_; return Atom{{}, {'\\', c}, {'\\', c}};
      case 's': ++at_; return Atom{{}, fmt::format("[{}]", kBlanks), std::string(kBlanks)};
      case 'S': ++at_; return Atom{{}, fmt::format("[{}]", kNotBlanks), std::string(kNotBlanks)};
      case 't': return one(9);
      case 'n': return one(10);
      case 'v': return one(11);
      case 'f': return one(12);
      case 'r': return one(13);
      case '0':
        if (is_digit(peek(1))) refuse("an octal escape");
        return one(0);
      case 'c':
        if (!is_letter(peek(1))) refuse("\\c without a letter");
        ++at_;
        return one(static_cast<std::uint32_t>(peek()) % 32);
      case 'p': case 'P': return property();
      case 'x': case 'u': return by_number(c);
      default: break;
    }
    if (is_letter(c) || is_digit(c)) refuse(fmt::format("\\{} has no meaning", c));
    return error_.empty() ? Atom{character(), {}, {}} : Atom{};
  }

  // \x41, \u0041, \u{1F600}, \uD83D\uDE00.
  Atom by_number(char kind) {
    ++at_;
    if (kind == 'u' && peek() == '{') {
      const auto end = in_.find('}', at_);
      std::uint32_t code = 0;
      const auto digits = end == std::string_view::npos ? std::string_view{} : in_.substr(at_ + 1, end - at_ - 1);
      for (const char c : digits) code = is_hex(c) && code <= 0x10FFFF ? code * 16 + hex(c) : 0x110000;
      if (digits.empty() || code > 0x10FFFF) refuse("\\u{} needs a code point");
      else at_ = end + 1;
      return {code, {}, {}};
    }
    auto code = units(kind == 'u' ? 4 : 2);
    if (kind == 'u' && code && *code >= 0xD800 && *code <= 0xDBFF && peek() == '\\' && peek(1) == 'u') {
      const auto back = at_;
      at_ += 2;
      const auto low = units(4);
      if (low && *low >= 0xDC00 && *low <= 0xDFFF) return {0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00), {}, {}};
      at_ = back;
    }
    if (!code) refuse(fmt::format("\\{} needs {} hexadecimal digits", kind, kind == 'u' ? 4 : 2));
    return {code, {}, {}};
  }
  static std::uint32_t hex(char c) { return static_cast<std::uint32_t>(is_digit(c) ? c - '0' : to_lower_ascii(c) - 'a' + 10); }
  std::optional<std::uint32_t> units(std::size_t digits) {
    std::uint32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (!is_hex(peek(i))) return std::nullopt;
      code = code * 16 + hex(peek(i));
    }
    at_ += digits;
    return code;
  }

  // \p{Letter}, \P{Script=Greek}.
  Atom property() {
    const char kind = in_[at_++];
    const auto end = in_.find('}', at_);
    if (peek() != '{' || end == std::string_view::npos) {
      refuse(fmt::format("\\{} needs a property in braces", kind));
      return {};
    }
    std::string_view name = in_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    std::string prefix;
    if (const auto sign = name.find('='); sign != std::string_view::npos) {
      const auto what = name.substr(0, sign);
      if (what == "Script" || what == "sc") prefix = "sc:";
      else if (what == "Script_Extensions" || what == "scx") prefix = "scx:";
      else if (what != "General_Category" && what != "gc") refuse("an unknown property");
      name.remove_prefix(sign + 1);
    }
    if (prefix.empty())
      for (const auto& [longer, shorter] : kCategories)
        if (name == longer) name = shorter;
    if (name.empty() || name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_&") != std::string_view::npos)
      refuse("an unknown property");
    const auto text = fmt::format("\\{}{{{}{}}}", kind, prefix, name);
    return {{}, text, text};
  }

  // ---- Classes

  Atom member() {
    if (peek() != '\\') return {character(), {}, {}};
    if (peek(1) == 'b') {
      at_ += 2;
      return {8, {}, {}};
    }
    return escaped();
  }

  void bracket() {
    ++at_;
    const bool negated = take("^");
    std::string members;
    while (error_.empty()) {
      if (at_ >= in_.size()) return refuse("a class is not closed");
      if (take("]")) break;
      const Atom from = member();
      if (!error_.empty()) return;
      if (from.character && peek() == '-' && at_ + 1 < in_.size() && peek(1) != ']') {
        const auto back = at_++;
        const Atom to = member();
        if (!error_.empty()) return;
        if (to.character) {
          if (*to.character < *from.character) return refuse("a range is out of order");
          add_range(members, *from.character, *to.character);
          continue;
        }
        at_ = back;  // "a-\d": the dash is itself
      }
      if (from.character) add_range(members, *from.character, *from.character);
      else members += from.members;
    }
    if (members.empty()) return put_atom(negated ? R"([\x{0}-\x{10ffff}])" : "(?!)");
    put_atom(fmt::format("[{}{}]", negated ? "^" : "", members));
  }
  // Without surrogates, which no text holds.
  static void add_range(std::string& members, std::uint32_t from, std::uint32_t to) {
    if (is_surrogate(from)) from = 0xE000;
    if (is_surrogate(to)) to = 0xD7FF;
    if (from < to) members += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", from, to);
    else if (from == to) members += fmt::format("\\x{{{:x}}}", from);
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_, error_;
  int depth_ = 0, groups_ = 0;
  std::map<std::string_view, int> names_;
  std::size_t atom_ = 0;  // one more than where the last repeatable thing begins in out_; 0 if there is none
  bool simple_ = false;   // and it may be written several times
};

}  // namespace

Result<std::string> translate_pattern(std::string_view ecma) { return Translator(ecma).run(); }

}  // namespace ballast::schema
