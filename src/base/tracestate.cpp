#include "base/tracestate.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"

namespace ballast::trace {
namespace {

constexpr std::size_t kLongMember = 128, kMostKey = 256, kMostValue = 256, kMostTenant = 241, kMostSystem = 14;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool of_key(char c) { return lower(c) || digit(c) || c == '_' || c == '-' || c == '*' || c == '/'; }

// 3.3.1.3.1: `vendor`, or `tenant@system`.
bool is_key(std::string_view key) {
  const auto at = key.find('@');
  const std::string_view name = key.substr(0, at);
  if (name.empty() || !std::ranges::all_of(name, of_key)) return false;
  if (at == std::string_view::npos) return key.size() <= kMostKey && (lower(name.front()) || digit(name.front()));
  const std::string_view system = key.substr(at + 1);
  return name.size() <= kMostTenant && (lower(name.front()) || digit(name.front())) && !system.empty() && system.size() <= kMostSystem && lower(system.front()) &&
         std::ranges::all_of(system, of_key);
}

// 3.3.1.3.2: printable ASCII without comma and equals sign, no blank at its end.
bool is_value(std::string_view value) {
  return !value.empty() && value.size() <= kMostValue && value.back() != ' ' && std::ranges::all_of(value, [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

std::string_view without_blanks(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  return from == std::string_view::npos ? std::string_view() : text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

}  // namespace

std::string read_tracestate(std::string_view header) {
  std::vector<std::string_view> members, keys;
  for (const auto part : split(header, ',')) {
    const std::string_view member = without_blanks(part);
    if (member.empty()) continue;
    const auto equals = member.find('=');
    if (equals == std::string_view::npos || !is_key(member.substr(0, equals)) || !is_value(member.substr(equals + 1))) return {};
    if (members.size() == kMostTracestateMembers || std::ranges::find(keys, member.substr(0, equals)) != keys.end()) return {};
    keys.push_back(member.substr(0, equals));
    members.push_back(member);
  }
  std::size_t size = members.empty() ? 0 : members.size() - 1;
  for (const auto member : members) size += member.size();
  while (size > kMostTracestate) {
    auto last = std::ranges::find_if(members.rbegin(), members.rend(), [](std::string_view m) { return m.size() > kLongMember; });
    if (last == members.rend()) last = members.rbegin();
    size -= last->size() + 1;
    members.erase(std::next(last).base());
  }
  std::string out;
  for (const auto member : members) out.append(out.empty() ? "" : ",").append(member);
  return out;
}

}  // namespace ballast::trace
