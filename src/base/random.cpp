#include "base/random.hpp"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/hash.hpp"

namespace ballast {

SeededRandom::SeededRandom(std::uint64_t seed) {
  for (auto& word : state_) {  // splitmix64: never leaves all four words zero
    seed += 0x9e3779b97f4a7c15ull;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SeededRandom::next() {
  auto& s = state_;
  const std::uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

void os_entropy(std::span<std::byte> out) {
  while (!out.empty()) {
    const auto n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::abort();  // no entropy: every key we would make is worthless
    }
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::uint64_t os_seed() {
  std::array<std::byte, 8> bytes;
  os_entropy(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

std::string secret_token(std::size_t bytes) {
  std::string raw(bytes, '\0');
  os_entropy({reinterpret_cast<std::byte*>(raw.data()), raw.size()});
  auto text = to_base64url(raw);
  explicit_bzero(raw.data(), raw.size());
  return text;
}

}  // namespace ballast
