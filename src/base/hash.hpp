// Hashes and encodings. Pure and thread-safe.
//
// sha256 / hmac_sha256: security (keys at rest, signatures). libcrypto's low-level entry points, because the EVP front
// costs more than hashing a short key does (a fetch and an allocation per call).
// fast_hash: tables, caches, sharding. Not stable across releases, not against an adversary unless seeded at random.
// crc32c: torn and rotten bytes in our files (RFC 3720 polynomial; SSE 4.2 where the CPU has it, chosen once at run time).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ballast {

using Digest = std::array<std::uint8_t, 32>;

Digest sha256(std::string_view bytes);

// SHA-256 in pieces. A value: copy it to fork a common prefix. After `finish` it is spent.
class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  Digest finish();

 private:
  alignas(8) std::array<std::byte, 112> state_;
};

// HMAC-SHA-256 (RFC 2104). HmacKey keeps the two keyed states, which halves the cost of signing short texts.
Digest hmac_sha256(std::string_view key, std::string_view bytes);
class HmacKey {
 public:
  explicit HmacKey(std::string_view key);
  Digest sign(std::string_view bytes) const;

 private:
  Sha256 inner_, outer_;
};

// 64 bits; about 1 ns for short keys. wyhash, final version 4 (Wang Yi, public domain).
std::uint64_t fast_hash(std::string_view bytes, std::uint64_t seed = 0);
// Mixes two hashes or a hash and an integer.
std::uint64_t hash_mix(std::uint64_t a, std::uint64_t b);
// For unordered_map<std::string, V, StringHash, std::equal_to<>>: look up by view without building a string.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const { return fast_hash(s); }
};

// CRC-32C of `bytes`, continuing from `crc` (0 to begin): crc32c(b, crc32c(a)) == crc32c(ab).
std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0);
namespace detail {
std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t crc);  // the reference the fast one is tested against
}

// Lower-case. Decoding accepts both cases and refuses everything else.
std::string to_hex(std::string_view bytes);
inline std::string to_hex(const Digest& d) { return to_hex({reinterpret_cast<const char*>(d.data()), d.size()}); }
std::optional<std::string> from_hex(std::string_view text);

// RFC 4648. `base64` pads, `base64url` does not. Decoding is strict: no blanks, no stray bits, the right alphabet;
// `from_base64` wants padding, `from_base64url` accepts it or not.
std::string to_base64(std::string_view bytes);
std::string to_base64url(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);
std::optional<std::string> from_base64url(std::string_view text);

// Compares secrets in time that depends on the lengths only.
bool ct_equal(std::string_view a, std::string_view b);

}  // namespace ballast
