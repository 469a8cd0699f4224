// Random: chance as an argument, so that a simulation with the same seed takes the same path.
// A generator is not thread-safe: one per loop. Never use it for secrets; those come from `os_entropy`.
#pragma once
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ballast {

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;                    // 64 uniform bits

  // Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, bound); bound > 0. Lemire's multiplication; the bias is below bound / 2^64.
  std::uint64_t below(std::uint64_t bound) {
    assert(bound > 0);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  bool chance(double probability) { return uniform() < probability; }
};

// xoshiro256++ 1.0 (Blackman and Vigna), seeded through splitmix64: below 1 ns a number, period 2^256 - 1.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 4> state_;
};

// Bytes from the kernel's generator, fit for keys. Thread-safe; never fails short (it aborts where getrandom(2) is missing).
void os_entropy(std::span<std::byte> out);
std::uint64_t os_seed();
// `bytes` of entropy as base64url: the secret part of an API key.
std::string secret_token(std::size_t bytes = 32);

}  // namespace ballast
