// log::redact: what looks like a credential, without regular expressions: one pass, no backtracking.
#include <array>

#include "base/log.hpp"
#include "base/text.hpp"

namespace ballast::log {
namespace {

constexpr std::string_view mark = "[redacted]";

constexpr bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_token(char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; }
constexpr bool is_credential(char c) { return is_token(c) || c == '~' || c == '+' || c == '/' || c == '='; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool is_quote(char c) { return c == '"' || c == '\'' || c == '\\'; }

std::size_t run(std::string_view text, bool (*accept)(char)) {
  std::size_t n = 0;
  while (n < text.size() && accept(text[n])) ++n;
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

constexpr std::size_t least_token = 8;                     // of all of them

// Names whose value is a credential. `key` alone only with "=" (a query string), or half of all prose would go.
constexpr std::array<std::string_view, 20> names = {
    "api_key",  "api-key", "apikey", "x-api-key", "x-goog-api-key", "authorization", "proxy-authorization",
    "password", "passwd",  "pwd",    "secret",    "client_secret",  "access_token",  "refresh_token",
    "id_token", "token",   "admin_key", "private_key", "secret_key", "access_key"};

// The length of `Bearer ` or `Basic ` at the start, or 0.
std::size_t scheme(std::string_view text) {
  for (const std::string_view word : {"bearer", "basic"}) {
    if (!istarts_with(text, word)) continue;
    const auto blanks = run(text.substr(word.size()), is_blank);
    if (blanks) return word.size() + blanks;
  }
  return 0;
}

// If `text` begins with a credential's name and a separator: where its value begins; else 0.
std::size_t assignment(std::string_view text) {
  const auto word = text.substr(0, run(text, [](char c) { return is_alnum(c) || c == '_' || c == '-'; }));
  if (word.empty()) return 0;
  std::size_t at = word.size();
  at += run(text.substr(at), is_quote);
  at += run(text.substr(at), is_blank);
  if (at >= text.size() || (text[at] != '=' && text[at] != ':')) return 0;   // most words: before any name is compared
  const bool only_equals = iequals(word, "key");
  bool named = only_equals;
  for (const auto name : names) named = named || iequals(word, name);
  if (!named || (only_equals && text[at] == ':')) return 0;
  ++at;
  at += run(text.substr(at), is_blank);
  at += run(text.substr(at), is_quote);
  return at;
}

// The end of an assigned value.
constexpr bool is_value(char c) {
  return !(static_cast<unsigned char>(c) <= ' ' || is_quote(c) || c == '&' || c == ',' || c == ';' || c == '}' || c == ']' || c == ')');
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

}  // namespace

std::string redact(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  char before = ' ';
  const auto copy = [&](std::size_t n) {
    out.append(text.substr(0, n));
    if (n) before = text[n - 1];
    text.remove_prefix(n);
  };
  const auto hide = [&](std::size_t n) {
    out += mark;
    before = ']';
    text.remove_prefix(n);
  };
  while (!text.empty()) {
    if (text.starts_with("-----BEGIN") && text.substr(0, 64).find("PRIVATE KEY") != std::string_view::npos) {
      const auto end = text.find("-----END");
      hide(end == std::string_view::npos ? text.size() : end);
      continue;
    }
    if (const auto [keep, secret] = user_info(text); secret) {
      copy(keep);
      hide(secret);
      continue;
    }
    if (!is_alnum(text[0]) || is_alnum(before) || before == '_') {  // not the beginning of a word
      copy(1);
      continue;
    }
    if (const auto at = assignment(text)) {
      copy(at);
      copy(scheme(text));
      if (const auto n = run(text, is_value)) hide(n);
      continue;
    }
    if (const auto n = scheme(text)) {
      const auto secret = run(text.substr(n), is_credential);
      copy(n);
      if (secret >= 6) hide(secret);
      continue;
    }
    const auto token = run(text, is_token);
    bool hidden = false;
    for (const auto& p : prefixes) {
      if (token < least_token) break;
      if (token < p.least || !text.starts_with(p.text)) continue;
      copy(p.text.size());
      hide(token - p.text.size());
      hidden = true;
      break;
    }
    if (!hidden) copy(run(text, is_alnum));
  }
  return out;
}

}  // namespace ballast::log
