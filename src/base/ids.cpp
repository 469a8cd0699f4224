#include "base/ids.hpp"

#include <array>

namespace ballast {
namespace {
constexpr std::string_view alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t digits = 26;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> v{};
  v.fill(0xFF);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    const char c = alphabet[i];
    v[static_cast<unsigned char>(c)] = static_cast<std::uint8_t>(i);
    if (c >= 'a') v[static_cast<unsigned char>(c - 32)] = static_cast<std::uint8_t>(i);
  }
  for (const char c : {'i', 'I', 'l', 'L'}) v[static_cast<unsigned char>(c)] = 1;
  for (const char c : {'o', 'O'}) v[static_cast<unsigned char>(c)] = 0;
  return v;
}
constexpr auto values = make_values();
}  // namespace

void append_id(std::string& out, Id id) {
  // 130 bits: the first character holds the top 3, so it is at most 7.
  std::array<char, digits> text;
  auto n = (static_cast<unsigned __int128>(id.high) << 64) | id.low;
  for (std::size_t i = digits; i-- > 0; n >>= 5) text[i] = alphabet[static_cast<std::size_t>(n & 31)];
  out.append(text.data(), text.size());
}

std::string to_string(Id id, std::string_view prefix) {
  std::string out;
  out.reserve(prefix.size() + 1 + digits);
  if (!prefix.empty()) {
    out += prefix;
    out += '_';
  }
  append_id(out, id);
  return out;
}

std::optional<Id> parse_id(std::string_view text, std::string_view prefix) {
  if (!prefix.empty()) {
    if (!text.starts_with(prefix) || text.size() <= prefix.size() || text[prefix.size()] != '_') return std::nullopt;
    text.remove_prefix(prefix.size() + 1);
  }
  if (text.size() != digits) return std::nullopt;
  unsigned __int128 n = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const auto v = values[static_cast<unsigned char>(text[i])];
    if (v == 0xFF || (i == 0 && v > 7)) return std::nullopt;
    n = (n << 5) | v;
  }
  return Id{static_cast<std::uint64_t>(n >> 64), static_cast<std::uint64_t>(n)};
}

std::string to_bytes(Id id) {
  std::string out(16, '\0');
  for (unsigned i = 0; i < 8; ++i) {
    out[i] = static_cast<char>(id.high >> (56 - 8 * i));
    out[8 + i] = static_cast<char>(id.low >> (56 - 8 * i));
  }
  return out;
}

std::optional<Id> id_from_bytes(std::string_view bytes) {
  if (bytes.size() != 16) return std::nullopt;
  Id id;
  for (unsigned i = 0; i < 8; ++i) {
    id.high = (id.high << 8) | static_cast<unsigned char>(bytes[i]);
    id.low = (id.low << 8) | static_cast<unsigned char>(bytes[8 + i]);
  }
  return id;
}

IdGenerator::IdGenerator(std::uint64_t seed) : random_(seed ? seed : os_seed()) {}

Id IdGenerator::next(WallTime now) {
  const auto ms = unix_ms(now);
  const auto fresh = ms > 0 ? static_cast<std::uint64_t>(ms) << 16 : 0;
  // The counter lives in the low 16 bits; running over borrows the next millisecond, so order holds in any case.
  last_high_ = fresh > last_high_ ? fresh : last_high_ + 1;
  return Id{last_high_, random_.next()};
}

Id new_id(WallTime now) {
  thread_local IdGenerator generator;
  return generator.next(now);
}

}  // namespace ballast
