// Money: integer nano-dollars (1e-9 USD). Prices are nano-dollars per million tokens, so a product needs 128 bits.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast {

// An amount in nano-dollars. Holds up to 9.2 billion dollars; arithmetic saturates, never wraps.
struct Money {
  std::int64_t nano = 0;
  friend auto operator<=>(Money, Money) = default;
  friend Money operator+(Money a, Money b) {
    std::int64_t r;
    if (__builtin_add_overflow(a.nano, b.nano, &r)) r = a.nano > 0 ? INT64_MAX : INT64_MIN;
    return {r};
  }
  friend Money operator-(Money a, Money b) {
    std::int64_t r;
    if (__builtin_sub_overflow(a.nano, b.nano, &r)) r = a.nano > 0 ? INT64_MAX : INT64_MIN;
    return {r};
  }
  Money& operator+=(Money o) { return *this = *this + o; }
  Money& operator-=(Money o) { return *this = *this - o; }
};

// "0.001234500": dollars with nine decimals, exact.
std::string to_usd(Money m);
// Exact decimal dollars, at most nine decimals: "30", "0.25", "-1.5". Refuses anything else, naming `field`.
Result<Money> money_from_usd(std::string_view text, std::string_view field);

// A price: nano-dollars per million units (tokens, images, …). 1 USD per million tokens = 1'000'000'000.
struct Price {
  std::int64_t nano_per_million = 0;
  friend auto operator<=>(Price, Price) = default;
};

// Sums unit × price exactly and rounds up once, when `total()` is taken: one CostSum per attempt.
class CostSum {
 public:
  void add(std::uint64_t units, Price price) {
    scaled_ += static_cast<unsigned __int128>(units) * static_cast<std::uint64_t>(price.nano_per_million);
  }
  Money total() const {
    const auto up = (scaled_ + 999'999) / 1'000'000;
    return {up > static_cast<unsigned __int128>(INT64_MAX) ? INT64_MAX : static_cast<std::int64_t>(up)};
  }

 private:
  unsigned __int128 scaled_ = 0;
};

}  // namespace ballast
