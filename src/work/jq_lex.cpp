#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "work/jq_syntax.hpp"

namespace ballast::work {
namespace {

constexpr std::size_t kMaxNested = 100;   // strings in strings

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  // Tokens to the end, or to the ")" that closes an insertion of a string.
  Result<std::vector<JqToken>> read(std::size_t nested) {
    if (nested > kMaxNested) return wrong("strings are nested too deeply", at_);
    std::vector<JqToken> tokens;
    for (std::size_t open = 0;;) {
      skip_blanks();
      if (at_ == text_.size()) {
        if (nested > 0) return wrong("\\( is not closed", at_);
        break;
      }
      const char c = text_[at_];
      if (c == ')' && open == 0 && nested > 0) break;
      if (c == '(') ++open;
      if (c == ')' && open > 0) --open;
      auto token = next(nested);
      if (!token) return fail(token.error());
      tokens.push_back(std::move(*token));
    }
    tokens.push_back({JqTokenKind::end, "the end", at_, {}});
    return tokens;
  }

 private:
  std::unexpected<Error> wrong(std::string what, std::size_t at) const {
    return fail(ErrorCode::caller_invalid_request, std::move(what) + " (" + jq_place(text_, at) + ")");
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void skip_blanks() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '#')
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      if (at_ == text_.size() || std::string_view(" \t\r\n").find(text_[at_]) == std::string_view::npos) return;
    }
  }

  std::string word(bool modules) {
    const auto start = at_;
    while (letter(peek()) || digit(peek()) || (modules && peek() == ':' && peek(1) == ':' && letter(peek(2)) && ++at_)) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  Result<JqToken> next(std::size_t nested) {
    const auto start = at_;
    const char c = peek();
    if (c == '"') return string(nested);
    if (letter(c)) return JqToken{JqTokenKind::name, word(true), start, {}};
    if (c == '.' && letter(peek(1))) return ++at_, JqToken{JqTokenKind::field, word(false), start, {}};
    if (c == '$') return variable();
    if (c == '@' && (letter(peek(1)) || digit(peek(1)))) return ++at_, JqToken{JqTokenKind::format, word(false), start, {}};
    if (digit(c) || (c == '.' && digit(peek(1)))) return number();
    constexpr auto kOps = std::to_array<std::string_view>({"?//", "//=", "!=", "==", "//", "|=", "+=", "-=", "*=", "/=", "%=", "<=",
                                                            ">=", "..", ".", "?", "=", ";", ",", ":", "|", "+", "-", "*", "/", "%",
                                                            "<", ">", "(", ")", "[", "]", "{", "}"});
    for (const auto op : kOps)
      if (text_.substr(at_).starts_with(op)) return at_ += op.size(), JqToken{JqTokenKind::op, std::string(op), start, {}};
    return wrong("unexpected character", at_);
  }

  Result<JqToken> variable() {
    const auto start = at_++;
    skip_blanks();
    if (!letter(peek())) return wrong("a name must follow $", start);
    return JqToken{JqTokenKind::variable, word(true), start, {}};
  }

  JqToken number() {
    const auto start = at_;
    while (digit(peek())) ++at_;
    if (peek() == '.') ++at_;
    while (digit(peek())) ++at_;
    const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
    if ((peek() == 'e' || peek() == 'E') && digit(peek(sign)))
      for (at_ += sign; digit(peek());) ++at_;
    return {JqTokenKind::number, std::string(text_.substr(start, at_ - start)), start, {}};
  }

  Result<JqToken> string(std::size_t nested) {
    JqToken token{JqTokenKind::string, {}, at_++, {}};
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return token;
      if (c != '\\') {
        token.text += c;
        continue;
      }
      const char escape = peek();
      ++at_;
      if (escape == '(') {
        auto inner = read(nested + 1);
        if (!inner) return fail(inner.error());
        ++at_;   // its ")"
        token.inserted.push_back(std::move(*inner));
      } else if (escape == 'u') {
        if (!unicode(token.text)) return wrong("\\u needs four hexadecimal digits", at_ - 2);
      } else {
        constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
        const auto known = escape == '\0' ? std::string_view::npos : kFrom.find(escape);
        if (known == std::string_view::npos) return wrong("unknown escape in a string", at_ - 2);
        token.text += kTo[known];
      }
    }
    return wrong("a string is not closed", token.at);
  }

  bool four_digits(unsigned& code) {
    const auto four = text_.substr(std::min(at_, text_.size()), 4);
    const auto [end, error] = std::from_chars(four.data(), four.data() + four.size(), code, 16);
    if (error != std::errc{} || end != four.data() + 4) return false;
    at_ += 4;
    return true;
  }

  // As jq reads it: a pair is one character, a lone surrogate is U+FFFD.
  bool unicode(std::string& out) {
    unsigned code = 0, low = 0;
    if (!four_digits(code)) return false;
    if (code >= 0xd800 && code < 0xdc00 && peek() == '\\' && peek(1) == 'u') {
      at_ += 2;
      if (!four_digits(low)) return false;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      } else {
        at_ -= 6;
      }
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80 | (code >> shift & 63)); };
    if (code < 0x80) return out += static_cast<char>(code), true;
    if (code < 0x800) return out += static_cast<char>(0xc0 | code >> 6), tail(0), true;
    if (code < 0x10000) return out += static_cast<char>(0xe0 | code >> 12), tail(6), tail(0), true;
    return out += static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0), true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string jq_place(std::string_view program, std::size_t at) {
  const auto before = program.substr(0, at);
  const auto line = std::ranges::count(before, '\n') + 1;
  const auto column = at - (before.rfind('\n') + 1) + 1;   // npos + 1 is 0
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Result<std::vector<JqToken>> jq_tokens(std::string_view program) { return Lexer(program).read(0); }

}  // namespace ballast::work
