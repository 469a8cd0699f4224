#include "base/secrets.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hpp"

namespace ballast {
namespace {

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// How many bytes of `text` write the letter `c`: itself, %41, \" or, for a blank, "+". 0: none do.
std::size_t writes(std::string_view text, char c) {
  if (text.empty()) return 0;
  if (text[0] == '%' && text.size() >= 3) {
    const auto high = hex_digit(text[1]), low = hex_digit(text[2]);
    if (high && low && static_cast<char>(*high * 16 + *low) == c) return 3;
  }
  if (text[0] == '\\' && text.size() >= 2 && text[1] == c && (c == '"' || c == '\\' || c == '/')) return 2;
  return text[0] == c || (c == ' ' && text[0] == '+') ? 1 : 0;
}

// How many bytes at the beginning of `text` are the value, in one of its forms. 0: it does not begin with it.
std::size_t begins_with(std::string_view text, std::string_view value) {
  if (text.starts_with(value)) return value.size();
  std::size_t at = 0;
  for (const char c : value) {
    const auto n = writes(text.substr(at), c);
    if (n == 0) return 0;
    at += n;
  }
  return at;
}

}  // namespace

bool SecretValues::is_secret_name(std::string_view name) {
  constexpr std::array<std::string_view, 9> endings = {"key", "token", "secret", "password", "passwd", "passphrase", "pwd", "hook", "cookie"};
  constexpr std::array<std::string_view, 6> words = {"keys", "tokens", "secrets", "pass", "auth", "bearer"};
  const std::string lower = to_lower_ascii(name);
  return std::ranges::any_of(split(lower, '_'), [&](std::string_view word) {
    return std::ranges::any_of(endings, [&](auto e) { return word.ends_with(e); }) || std::ranges::any_of(words, [&](auto w) { return word == w; }) || word.starts_with("cred");
  });
}

void SecretValues::add(std::string_view name, std::string_view value) {
  const auto scheme = value.find("://");
  if (scheme == std::string_view::npos) return add_part(name, value);
  auto rest = value.substr(scheme + 3);
  const auto end = std::min(rest.find_first_of("/?#"), rest.size());
  const auto authority = rest.substr(0, end);
  if (const auto user = authority.rfind('@'); user != std::string_view::npos) add_part(name, authority.substr(0, user));
  rest.remove_prefix(end);
  for (const char separator : {'?', '#'}) {
    auto part = take_until(rest, separator);
    while (part.starts_with('/')) part.remove_prefix(1);
    while (part.ends_with('/')) part.remove_suffix(1);
    add_part(name, part);
  }
  add_part(name, rest);
}

void SecretValues::add_part(std::string_view name, std::string_view value) {
  if (value.size() < kLeast) return;
  const bool named = is_secret_name(name);
  if (const auto same = std::ranges::find(known_, value, &Known::value); same != known_.end()) {
    if (named && !same->named) *same = {std::string(name), std::string(value), true};
    return;
  }
  const auto at = std::ranges::find_if(known_, [&](const Known& k) { return k.value.size() < value.size(); });
  known_.insert(at, {std::string(name), std::string(value), named});
}

std::string SecretValues::hidden(std::string_view text, bool only_named) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t taken = 0;
    for (const Known& k : known_) {
      const bool may = text[0] == k.value[0] || text[0] == '%' || text[0] == '\\' || text[0] == '+';
      if (!may || (only_named && !k.named)) continue;
      taken = begins_with(text, k.value);
      if (taken == 0) continue;
      out += "[redacted:" + k.name + "]";
      break;
    }
    if (taken == 0) out += text[0];
    text.remove_prefix(std::max<std::size_t>(taken, 1));
  }
  return out;
}

std::string SecretValues::hide(std::string_view text) const { return hidden(text, false); }

void SecretValues::hide_named(json::value& value) const {
  if (std::ranges::none_of(known_, &Known::named)) return;
  if (auto* text = value.if_string()) {
    if (std::string shown = hidden(*text, true); shown != std::string_view(*text)) *text = shown;
  } else if (auto* list = value.if_array()) {
    for (auto& item : *list) hide_named(item);
  } else if (auto* object = value.if_object()) {
    for (auto& member : *object) hide_named(member.value());
  }
}

}  // namespace ballast
