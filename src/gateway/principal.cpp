#include "gateway/principal.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/text.hpp"

namespace ballast::gateway {

namespace {

constexpr std::array<std::pair<Scope, std::string_view>, 6> kScopes{{
    {Scope::call, "call"}, {Scope::usage, "usage"}, {Scope::read, "read"}, {Scope::admin, "admin"}, {Scope::work, "work"}, {Scope::approve, "approve"}}};

std::string condensed(std::string_view text) {
  const bool clean = std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (clean && text.size() <= kMaxAttribution && is_utf8(text)) return std::string(text);
  std::string out;
  for (const char c : text) {
    if (out.size() >= kMaxAttribution - 24) break;
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f) out.push_back(c);
  }
  // 64 bits of SHA-256: distinct names stay distinct, also when someone tries to make them meet.
  return out + "~" + to_hex(sha256(text)).substr(0, 16);
}

std::string_view first_stated(std::initializer_list<std::string_view> said) {
  for (const auto s : said)
    if (const auto t = trim(s); !t.empty()) return t;
  return {};
}

}  // namespace

std::string_view to_string(Scope scope) {
  for (const auto& [s, name] : kScopes)
    if (s == scope) return name;
  return "unknown";
}

std::optional<Scope> scope_from(std::string_view name) {
  for (const auto& [s, n] : kScopes)
    if (n == name) return s;
  return std::nullopt;
}

std::string to_string(Scopes scopes) {
  std::string out;
  for (const auto& [s, name] : kScopes) {
    if ((scopes.bits & static_cast<std::uint8_t>(s)) == 0) continue;
    if (!out.empty()) out += ',';
    out += name;
  }
  return out;
}

Result<Scopes> scopes_from(std::string_view comma_separated, std::string_view field) {
  Scopes scopes{0};
  for (const auto piece : split(comma_separated, ',')) {
    const auto name = trim(piece);
    const auto scope = scope_from(name);
    if (!scope)
      return fail(ErrorCode::caller_invalid_request,
                  fmt::format("unknown scope \"{}\"; there are call, usage, read, work, approve and admin", name), std::string(field));
    scopes.add(*scope);
  }
  return scopes;
}

void attribute(Principal& principal, const Attribution& said) {
  const KeyInfo& key = *principal.key;
  principal.user = !key.user.empty() ? key.user : condensed(first_stated({said.header_user, said.body_user, said.metadata_user}));
  principal.feature = !key.feature.empty() ? key.feature : condensed(first_stated({said.header_feature, said.metadata_feature}));
}

Result<void> require(const Principal& principal, Scope scope) {
  if (principal.key->scopes.has(scope)) return {};
  return fail(ErrorCode::caller_forbidden,
              fmt::format("key \"{}\" has no scope \"{}\"", principal.key_name(), to_string(scope)), "authorization");
}

Result<void> require_model(const Principal& principal, std::string_view requested, std::string_view route) {
  const auto& allowed = principal.models();
  if (allowed.empty()) return {};
  for (const auto& pattern : allowed)
    if (name_matches(pattern, requested) || name_matches(pattern, route)) return {};
  return fail(ErrorCode::caller_forbidden,
              fmt::format("key \"{}\" may not use model \"{}\"; it may use {}", principal.key_name(), requested.substr(0, 200),
                          fmt::join(allowed, ", ")),
              "model");
}

bool name_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.empty() && pattern.back() == '*') return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == name;
}

}  // namespace ballast::gateway
