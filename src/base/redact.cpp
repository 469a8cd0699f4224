// log::redact: what looks like a credential, without regular expressions: one pass, no backtracking.
#include "base/redact.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"

namespace ballast::log {
namespace {

constexpr std::string_view mark = "[redacted]";

// What a character may be part of.
enum Class : std::uint8_t { alnum = 1, name = 2, token = 4, credential = 8, value = 16, quote = 32, blank = 64 };
constexpr auto classes = [] {
  std::array<std::uint8_t, 256> out{};
  const auto add = [&](std::string_view characters, int of) {
    for (const char c : characters) out[static_cast<unsigned char>(c)] |= static_cast<std::uint8_t>(of);
  };
  add("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", alnum | name | token | credential);
  add("-_", name | token | credential);
  add(".", token | credential);
  add("~+/=", credential);
  add("\"'\\", quote);
  add(" \t", blank);
  for (std::size_t c = ' ' + 1; c < out.size(); ++c)
    if (!std::string_view("\"'\\&,;}])").contains(static_cast<char>(c))) out[c] |= value;
  return out;
}();
bool is(char c, Class what) { return (classes[static_cast<unsigned char>(c)] & what) != 0; }
std::size_t run(std::string_view text, Class what) {
  std::size_t n = 0;
  while (n < text.size() && is(text[n], what)) ++n;
  return n;
}

// Keys that announce themselves, with the length from which we believe them.
struct Prefix {
  std::string_view text;
  std::size_t least;
};
constexpr std::array prefixes = {
    Prefix{"sk-", 8},   Prefix{"sk_", 8},   Prefix{"pk_", 8},   Prefix{"rk_", 8},     Prefix{"AIza", 12},       Prefix{"blst_", 8},
    Prefix{"xox", 10},  Prefix{"ghp_", 8},  Prefix{"gho_", 8},  Prefix{"ghu_", 8},    Prefix{"ghs_", 8},        Prefix{"ghr_", 8},
    Prefix{"hf_", 10},  Prefix{"gsk_", 8},  Prefix{"xai-", 8},  Prefix{"AKIA", 12},   Prefix{"ASIA", 12},       Prefix{"github_pat_", 12},
    Prefix{"r8_", 10},  Prefix{"ya29.", 8}, Prefix{"eyJ", 20},  Prefix{"whsec_", 8},  Prefix{"glpat-", 8},      Prefix{"pplx-", 8},
};

constexpr std::size_t kLeastCredential = 6;                // behind a scheme

// Names whose value is a credential. `key` alone only with "=" (a query string), or half of all prose would go.
constexpr std::array<std::string_view, 20> names = {
    "api_key",  "api-key", "apikey", "x-api-key", "x-goog-api-key", "authorization", "proxy-authorization",
    "password", "passwd",  "pwd",    "secret",    "client_secret",  "access_token",  "refresh_token",
    "id_token", "token",   "admin_key", "private_key", "secret_key", "access_key"};

// With which characters one of those may begin: most words do not.
constexpr std::uint8_t kName = 1, kPrefix = 2;
constexpr auto beginnings = [] {
  std::array<std::uint8_t, 256> out{};
  for (const auto known : names)
    for (const char c : {known[0], static_cast<char>(known[0] - 'a' + 'A')}) out[static_cast<unsigned char>(c)] |= kName;
  for (const char c : {'k', 'K'}) out[static_cast<unsigned char>(c)] |= kName;
  for (const auto& p : prefixes) out[static_cast<unsigned char>(p.text[0])] |= kPrefix;
  return out;
}();

// The length of `Bearer ` or `Basic ` at the start, or 0.
std::size_t scheme(std::string_view text) {
  if (text.empty() || (text[0] | 0x20) != 'b') return 0;
  for (const std::string_view word : {"bearer", "basic"}) {
    if (!istarts_with(text, word)) continue;
    const auto blanks = run(text.substr(word.size()), blank);
    if (blanks) return word.size() + blanks;
  }
  return 0;
}

constexpr std::size_t kLongestName = 19;                   // of `names`: a longer word is none of them, and is not read to its end again and again

// If `text` begins with a credential's name and a separator: where its value begins; else 0.
std::size_t assignment(std::string_view text) {
  const auto word = text.substr(0, run(text.substr(0, kLongestName + 1), name));
  if (word.empty() || word.size() > kLongestName) return 0;
  std::size_t at = word.size();
  at += run(text.substr(at), quote);
  at += run(text.substr(at), blank);
  if (at >= text.size() || (text[at] != '=' && text[at] != ':')) return 0;   // most words: before any name is compared
  const bool only_equals = iequals(word, "key");
  bool named = only_equals;
  for (const auto known : names) named = named || iequals(word, known);
  if (!named || (only_equals && text[at] == ':')) return 0;
  ++at;
  at += run(text.substr(at), blank);
  at += run(text.substr(at), quote);
  return at;
}

// `://user:password@`: the length up to and with the colon and that of the password, or zeros.
std::pair<std::size_t, std::size_t> user_info(std::string_view text) {
  if (!text.starts_with("://")) return {};
  const auto end = text.find_first_of("/@? \t\r\n\"'", 3);
  if (end == std::string_view::npos || text[end] != '@') return {};
  const auto colon = text.find(':', 3);
  if (colon >= end) return {};
  return {colon + 1, end - colon - 1};
}

// The length of a key that announces itself, and of what it does so by; zeros: there is none. A token is read to its end only if it begins like one.
using Announced = std::pair<std::size_t, std::size_t>;
Announced announced(std::string_view text) {
  for (const auto& p : prefixes) {
    if (text[0] != p.text[0] || !text.starts_with(p.text)) continue;
    const auto size = run(text, token);
    if (size >= p.least) return {size, p.text.size()};
  }
  return {};
}

class Pass {
 public:
  explicit Pass(std::string_view text) : text_(text) {}

  std::optional<std::string> make() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool inside = at_ > done_ && (is(text_[at_ - 1], alnum) || text_[at_ - 1] == '_');
      if (is(c, alnum) && !inside) word();
      else if (c == ':') address();
      else if (c == '-') lines();
      else ++at_;
    }
    if (done_ == 0) return std::nullopt;
    return std::move(out_.append(text_.substr(done_)));
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }
  void hide(std::size_t n) {
    out_.append(text_.substr(done_, at_ - done_)).append(mark);
    at_ = done_ = at_ + n;
  }
  void lines() {
    const auto text = rest();
    if (!text.starts_with("-----BEGIN") || text.substr(0, 64).find("PRIVATE KEY") == std::string_view::npos) {
      ++at_;
      return;
    }
    hide(std::min(text.find("-----END"), text.size()));
  }
  void address() {
    const auto [keep, secret] = user_info(rest());
    if (secret == 0) {
      ++at_;
      return;
    }
    at_ += keep;
    hide(secret);
  }
  void word() {
    const std::uint8_t may = beginnings[static_cast<unsigned char>(text_[at_])];
    if (const auto keep = (may & kName) != 0 ? assignment(rest()) : 0) {
      at_ += keep;
      at_ += scheme(rest());
      if (const auto n = run(rest(), value)) hide(n);
    } else if (const auto blanks = scheme(rest())) {
      at_ += blanks;
      if (const auto n = run(rest(), credential); n >= kLeastCredential) hide(n);
    } else if (const auto [size, prefix] = (may & kPrefix) != 0 ? announced(rest()) : Announced{}; size) {
      at_ += prefix;
      hide(size - prefix);
    } else {
      at_ += run(rest(), alnum);
    }
  }

  std::string_view text_;
  std::string out_;
  std::size_t at_ = 0, done_ = 0;            // what is before `done_` is in `out_`
};

}  // namespace

std::optional<std::string> redacted(std::string_view text) { return Pass(text).make(); }

std::string redact(std::string_view text) {
  auto out = redacted(text);
  return out ? std::move(*out) : std::string(text);
}

}  // namespace ballast::log
