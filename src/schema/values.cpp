#include "schema/values.hpp"

#include <charconv>
#include <cmath>
#include <cstring>

#include "base/hash.hpp"

namespace ballast::schema {

namespace {

using Whole = __int128;
using Wide = unsigned __int128;

Whole whole_of(const json::value& v) { return v.is_int64() ? Whole(v.get_int64()) : Whole(v.get_uint64()); }

template <class T>
int sign(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int compare(Whole a, double b) {
  if (a > -(Whole(1) << 53) && a < (Whole(1) << 53)) return sign(static_cast<double>(static_cast<std::int64_t>(a)), b);  // exact
  if (!(std::abs(b) < 0x1p100)) return b < 0 ? 1 : -1;
  const double cut = std::trunc(b);
  const int r = sign(a, static_cast<Whole>(cut));
  return r != 0 ? r : sign(cut, b);
}

// |number| = digits * 10^exponent, with no trailing zero in digits.
struct Decimal {
  std::uint64_t digits = 0;
  int exponent = 0;
};

Decimal decimal_of(const json::value& v) {
  Decimal d;
  if (v.is_double()) {
    // The shortest text that reads as this double: what was written, for up to 15 digits.
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, std::abs(v.get_double()), std::chars_format::scientific).ptr;
    const char* p = text;
    bool fraction = false;
    for (; p != end && *p != 'e'; ++p) {
      if (*p == '.') {
        fraction = true;
        continue;
      }
      d.digits = d.digits * 10 + static_cast<std::uint64_t>(*p - '0');
      d.exponent -= fraction;
    }
    int power = 0;
    if (p != end) std::from_chars(p[1] == '+' ? p + 2 : p + 1, end, power);
    d.exponent += power;
  } else if (v.is_int64()) {
    const auto i = v.get_int64();
    d.digits = i < 0 ? 0 - static_cast<std::uint64_t>(i) : static_cast<std::uint64_t>(i);
  } else {
    d.digits = v.get_uint64();
  }
  while (d.digits != 0 && d.digits % 10 == 0) {
    d.digits /= 10;
    ++d.exponent;
  }
  return d;
}

std::uint64_t power_of_ten_mod(int exponent, std::uint64_t modulus) {
  Wide result = 1 % modulus, base = 10 % modulus;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = result * base % modulus;
    base = base * base % modulus;
  }
  return static_cast<std::uint64_t>(result);
}

bool is_multiple(Decimal a, const Divisor& b) {
  if (a.digits == 0) return true;
  if (b.digits == 0) return false;
  const int shift = a.exponent - b.exponent;
  if (shift >= 0) return Wide(a.digits) % b.digits * power_of_ten_mod(shift, b.digits) % b.digits == 0;
  if (shift < -19) return false;  // the divisor is above the number
  Wide divisor = b.digits;
  for (int i = 0; i < -shift; ++i) divisor *= 10;
  return a.digits % divisor == 0;
}

}  // namespace

bool is_whole(const json::value& v) {
  if (!v.is_double()) return true;
  const double d = v.get_double();
  return std::trunc(d) == d && std::isfinite(d);
}

int compare(const json::value& a, const json::value& b) {
  if (a.is_double() && b.is_double()) return sign(a.get_double(), b.get_double());
  if (a.is_double()) return -compare(whole_of(b), a.get_double());
  if (b.is_double()) return compare(whole_of(a), b.get_double());
  return sign(whole_of(a), whole_of(b));
}

Divisor::Divisor(const json::value& number) {
  const Decimal d = decimal_of(number);
  digits = d.digits;
  exponent = d.exponent;
  scale = 0;
  if (exponent <= 0 && exponent >= -22) {  // 10^22 is the last that a double holds exactly
    scale = 1;
    for (int i = exponent; i < 0; ++i) scale *= 10;
  }
}

bool is_multiple(const json::value& number, const Divisor& divisor) {
  if (number.is_double()) {
    const double x = number.get_double();
    if (!std::isfinite(x)) return false;
    // A decimal of at most 15 digits is the only one of its length that reads as its double: where whole / scale gives x again, it is what
    // was written.
    const double whole = std::nearbyint(std::abs(x) * divisor.scale);
    if (divisor.scale != 0 && whole < 1e15 && whole / divisor.scale == std::abs(x)) return static_cast<std::uint64_t>(whole) % divisor.digits == 0;
  } else if (divisor.exponent == 0 && number.is_int64()) {
    const auto i = number.get_int64();
    return (i < 0 ? 0 - static_cast<std::uint64_t>(i) : static_cast<std::uint64_t>(i)) % divisor.digits == 0;
  }
  return is_multiple(decimal_of(number), divisor);
}

bool equal(const json::value& a, const json::value& b, bool& too_deep, int depth) {
  if (is_number(a)) return is_number(b) && compare(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case json::kind::string: return a.get_string() == b.get_string();
    case json::kind::bool_: return a.get_bool() == b.get_bool();
    case json::kind::null: return true;
    default: break;
  }
  if (depth >= kMaxCompareDepth) {
    too_deep = true;
    return false;
  }
  if (a.is_array()) {
    const auto &x = a.get_array(), &y = b.get_array();
    if (x.size() != y.size()) return false;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (!equal(x[i], y[i], too_deep, depth + 1)) return false;
    return true;
  }
  const auto &x = a.get_object(), &y = b.get_object();
  if (x.size() != y.size()) return false;
  for (const auto& member : x) {
    const auto* other = y.if_contains(member.key());
    if (!other || !equal(member.value(), *other, too_deep, depth + 1)) return false;
  }
  return true;
}

namespace {

// By value: an integer's hash is that of the double which equals it.
std::uint64_t hash_number(const json::value& v, std::uint64_t seed) {
  if (v.is_double()) {
    const double d = v.get_double();
    if (std::trunc(d) == d && d >= -0x1p63 && d < 0x1p64)
      return hash_mix(seed ^ 3, d < 0 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(d)) : static_cast<std::uint64_t>(d));
    std::uint64_t bits;
    std::memcpy(&bits, &d, sizeof bits);
    return hash_mix(seed ^ 4, bits);
  }
  return hash_mix(seed ^ 3, v.is_int64() ? static_cast<std::uint64_t>(v.get_int64()) : v.get_uint64());
}

std::uint64_t hash_text(json::string_view s, std::uint64_t seed) { return fast_hash({s.data(), s.size()}, seed ^ 5); }

}  // namespace

std::uint64_t hash(const json::value& v, std::uint64_t seed, bool& too_deep, int depth) {
  if (is_number(v)) return hash_number(v, seed);
  if (const auto* s = v.if_string()) return hash_text({s->data(), s->size()}, seed);
  if (v.is_bool()) return hash_mix(seed ^ 1, v.get_bool());
  if (v.is_null()) return hash_mix(seed ^ 2, 0);
  if (depth >= kMaxCompareDepth) {
    too_deep = true;
    return 0;
  }
  if (const auto* array = v.if_array()) {
    std::uint64_t h = hash_mix(seed ^ 6, array->size());
    for (const auto& item : *array) h = hash_mix(h, hash(item, seed, too_deep, depth + 1));
    return h;
  }
  std::uint64_t sum = 0;  // whatever the order
  for (const auto& member : v.get_object()) sum += hash_mix(hash_text(member.key(), seed), hash(member.value(), seed, too_deep, depth + 1));
  return hash_mix(seed ^ 7, sum);
}

}  // namespace ballast::schema
