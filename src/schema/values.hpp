// Comparing JSON values as the drafts do: numbers by their mathematical value, objects whatever the order of their members.
// Pure and thread-safe. Private to schema/.
#pragma once
#include <cstdint>

#include "base/json.hpp"

namespace ballast::schema {

// Values nested deeper than this are not compared with each other: `too_deep` is set and the answer means nothing.
inline constexpr int kMaxCompareDepth = 1'000;

// ---- Numbers: int64, uint64 or double
inline bool is_number(const json::value& v) { return v.is_int64() || v.is_double() || v.is_uint64(); }
// Without a fractional part: 3, 3.0 and 1e300.
bool is_whole(const json::value& number);
// Exact for every pair of kinds: negative, zero or positive like memcmp. Both are finite, as JSON has it.
int compare(const json::value& a, const json::value& b);
// A number above zero, to divide by: |number| = digits * 10^exponent, with no trailing zero in digits.
struct Divisor {
  explicit Divisor(const json::value& number);
  std::uint64_t digits;
  int exponent;
  double scale;  // 10^-exponent where that is exact, else 0
};
// Whether `number` is a multiple. Exact in the decimal numbers that were written: 0.0075 is a multiple of 0.0001.
bool is_multiple(const json::value& number, const Divisor& divisor);

// ---- Values
bool equal(const json::value& a, const json::value& b, bool& too_deep, int depth = 0);
// Equal values have equal hashes.
std::uint64_t hash(const json::value& value, std::uint64_t seed, bool& too_deep, int depth = 0);

}  // namespace ballast::schema
