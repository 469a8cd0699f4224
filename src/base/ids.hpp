// Id: 128 bits that sort by time of creation and need no coordination. Printed as `call_01k…`: a prefix, an underscore and 26
// characters of Crockford's base32 in lower case (https://www.crockford.com/base32.html), whose text order is the id's order.
//
// Layout: 48 bits of unix milliseconds, 16 bits counter, 64 random bits. One generator's ids strictly increase, also when
// the clock steps back; ids of different generators (threads, nodes) collide with probability 2^-64 in the same millisecond.
// An id is a name, not a secret.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace ballast {

struct Id {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const Id&, const Id&) = default;
  explicit operator bool() const { return (high | low) != 0; }  // the zero id means "none"
  std::int64_t unix_ms() const { return static_cast<std::int64_t>(high >> 16); }
};

// "call_01jd…": `prefix` without the underscore; an empty prefix prints the 26 characters alone.
std::string to_string(Id id, std::string_view prefix);
void append_id(std::string& out, Id id);                                    // the 26 characters
// Refuses another prefix, another length, a character outside the alphabet and an overflow; either case, and i l o as 1 1 0.
std::optional<Id> parse_id(std::string_view text, std::string_view prefix);
// 16 bytes, big-endian: the stored form; its byte order is the id's order.
std::string to_bytes(Id id);
std::optional<Id> id_from_bytes(std::string_view bytes);

// Not thread-safe; one per loop. `seed` 0 takes entropy from the kernel.
class IdGenerator {
 public:
  explicit IdGenerator(std::uint64_t seed = 0);
  Id next(WallTime now);

 private:
  SeededRandom random_;
  std::uint64_t last_high_ = 0;
};

// From the calling thread's own generator: no locks. Thread-safe.
Id new_id(WallTime now);

}  // namespace ballast

template <>
struct std::hash<ballast::Id> {
  std::size_t operator()(const ballast::Id& id) const noexcept { return id.low ^ (id.high * 0x9e3779b97f4a7c15ull); }
};
