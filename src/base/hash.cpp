// The low-level SHA-256 calls are deprecated in favour of EVP, which fetches an implementation and allocates for every hash.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.hpp"

#include <openssl/sha.h>

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ballast {
namespace {

static_assert(sizeof(SHA256_CTX) == 112 && alignof(SHA256_CTX) <= 8);
// The state is a SHA256_CTX kept as bytes; copying it in and out keeps the header free of OpenSSL and the aliasing legal.
SHA256_CTX load_state(const std::array<std::byte, 112>& bytes) {
  SHA256_CTX c;
  std::memcpy(&c, bytes.data(), sizeof c);
  return c;
}
void save_state(std::array<std::byte, 112>& bytes, const SHA256_CTX& c) { std::memcpy(bytes.data(), &c, sizeof c); }

}  // namespace

Sha256::Sha256() {
  SHA256_CTX c;
  SHA256_Init(&c);
  save_state(state_, c);
}

void Sha256::update(std::string_view bytes) {
  auto c = load_state(state_);
  SHA256_Update(&c, bytes.data(), bytes.size());
  save_state(state_, c);
}

Digest Sha256::finish() {
  auto c = load_state(state_);
  Digest d;
  SHA256_Final(d.data(), &c);
  return d;
}

Digest sha256(std::string_view bytes) {
  SHA256_CTX c;
  SHA256_Init(&c);
  SHA256_Update(&c, bytes.data(), bytes.size());
  Digest d;
  SHA256_Final(d.data(), &c);
  return d;
}

namespace {
std::string_view view(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }
}  // namespace

HmacKey::HmacKey(std::string_view key) {
  std::array<char, 64> block{};
  if (key.size() > block.size()) {
    const auto d = sha256(key);
    std::memcpy(block.data(), d.data(), d.size());
  } else {
    std::memcpy(block.data(), key.data(), key.size());
  }
  for (char& c : block) c = static_cast<char>(c ^ 0x36);
  inner_.update({block.data(), block.size()});
  for (char& c : block) c = static_cast<char>(c ^ 0x36 ^ 0x5c);
  outer_.update({block.data(), block.size()});
}

Digest HmacKey::sign(std::string_view bytes) const {
  Sha256 inner = inner_;
  inner.update(bytes);
  const auto d = inner.finish();
  Sha256 outer = outer_;
  outer.update(view(d));
  return outer.finish();
}

Digest hmac_sha256(std::string_view key, std::string_view bytes) { return HmacKey(key).sign(bytes); }

// ---- wyhash

namespace {
constexpr std::array<std::uint64_t, 4> secret = {0x2d358dccaa6c78a5ull, 0x8bb84b93962eacc9ull, 0x4b33a62ed433d4a3ull,
                                                 0x4d5a2da51de1aa47ull};
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto r = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(r) ^ static_cast<std::uint64_t>(r >> 64);
}
std::uint64_t read8(const unsigned char* p) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}
std::uint64_t read4(const unsigned char* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
}  // namespace

std::uint64_t fast_hash(std::string_view bytes, std::uint64_t seed) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const std::size_t n = bytes.size();
  seed ^= mix(seed ^ secret[0], secret[1]);
  std::uint64_t a = 0, b = 0;
  if (n <= 16) [[likely]] {
    if (n >= 4) {
      const std::size_t mid = (n >> 3) << 2;
      a = (read4(p) << 32) | read4(p + mid);
      b = (read4(p + n - 4) << 32) | read4(p + n - 4 - mid);
    } else if (n > 0) {
      a = (std::uint64_t{p[0]} << 16) | (std::uint64_t{p[n >> 1]} << 8) | p[n - 1];
    }
  } else {
    std::size_t left = n;
    if (left >= 48) {
      std::uint64_t one = seed, two = seed;
      do {
        seed = mix(read8(p) ^ secret[1], read8(p + 8) ^ seed);
        one = mix(read8(p + 16) ^ secret[2], read8(p + 24) ^ one);
        two = mix(read8(p + 32) ^ secret[3], read8(p + 40) ^ two);
        p += 48;
        left -= 48;
      } while (left >= 48);
      seed ^= one ^ two;
    }
    while (left > 16) {
      seed = mix(read8(p) ^ secret[1], read8(p + 8) ^ seed);
      p += 16;
      left -= 16;
    }
    a = read8(p + left - 16);
    b = read8(p + left - 8);
  }
  const auto r = static_cast<unsigned __int128>(a ^ secret[1]) * (b ^ seed);
  return mix(static_cast<std::uint64_t>(r) ^ secret[0] ^ n, static_cast<std::uint64_t>(r >> 64) ^ secret[1]);
}

std::uint64_t hash_mix(std::uint64_t a, std::uint64_t b) { return mix(a ^ secret[0], b ^ secret[1]); }

// ---- CRC-32C

namespace {
constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c >> 1) ^ ((c & 1) ? 0x82F63B78u : 0u);
    t[i] = c;
  }
  return t;
}
constexpr auto crc_table = make_crc_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::string_view bytes, std::uint32_t crc) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t n = bytes.size();
  std::uint64_t c = ~crc;
  for (; n >= 8; p += 8, n -= 8) c = _mm_crc32_u64(c, read8(p));
  auto c32 = static_cast<std::uint32_t>(c);
  for (; n > 0; ++p, --n) c32 = _mm_crc32_u8(c32, *p);
  return ~c32;
}
#endif
}  // namespace

std::uint32_t detail::crc32c_portable(std::string_view bytes, std::uint32_t crc) {
  crc = ~crc;
  for (const char b : bytes) crc = crc_table[(crc ^ static_cast<unsigned char>(b)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) [[likely]] return crc32c_sse42(bytes, crc);
#endif
  return detail::crc32c_portable(bytes, crc);
}

// ---- Encodings

std::string to_hex(std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out(bytes.size() * 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto b = static_cast<unsigned char>(bytes[i]);
    out[2 * i] = digits[b >> 4];
    out[2 * i + 1] = digits[b & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  const auto value = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  if (text.size() % 2) return std::nullopt;
  std::string out(text.size() / 2, '\0');
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = value(text[2 * i]), low = value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out[i] = static_cast<char>(high << 4 | low);
  }
  return out;
}

namespace {
constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::uint8_t, 256> make_base64_values(std::string_view alphabet) {
  std::array<std::uint8_t, 256> v{};
  v.fill(0xFF);
  for (std::size_t i = 0; i < alphabet.size(); ++i) v[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return v;
}
constexpr auto base64_values = make_base64_values(base64_alphabet);
constexpr auto base64url_values = make_base64_values(base64url_alphabet);

std::string encode64(std::string_view bytes, std::string_view alphabet, bool pad) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  const auto at = [&](std::size_t i) { return i < bytes.size() ? std::uint32_t{static_cast<unsigned char>(bytes[i])} : 0u; };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 4; ++k) {
      if (k <= have) out += alphabet[(group >> (18 - 6 * k)) & 63];
      else if (pad) out += '=';
    }
  }
  return out;
}

enum class Padding { required, optional };
std::optional<std::string> decode64(std::string_view text, const std::array<std::uint8_t, 256>& values, Padding padding) {
  const bool padded = text.ends_with('=');
  if ((padding == Padding::required || padded) && text.size() % 4 != 0) return std::nullopt;
  if (text.ends_with("==")) text.remove_suffix(2);
  else if (padded) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const auto v = values[static_cast<unsigned char>(c)];
    if (v == 0xFF) return std::nullopt;
    bits = bits << 6 | v;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  if (bits & ((1u << count) - 1)) return std::nullopt;  // stray bits: two texts for one value
  return out;
}
}  // namespace

std::string to_base64(std::string_view bytes) { return encode64(bytes, base64_alphabet, true); }
std::string to_base64url(std::string_view bytes) { return encode64(bytes, base64url_alphabet, false); }
std::optional<std::string> from_base64(std::string_view text) { return decode64(text, base64_values, Padding::required); }
std::optional<std::string> from_base64url(std::string_view text) { return decode64(text, base64url_values, Padding::optional); }

bool ct_equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char differ = 0;
  for (std::size_t i = 0; i < a.size(); ++i) differ = static_cast<unsigned char>(differ | (a[i] ^ b[i]));
  // Keeps the compiler from leaving the loop at the first difference.
  asm volatile("" : "+r"(differ));
  return differ == 0;
}

}  // namespace ballast
