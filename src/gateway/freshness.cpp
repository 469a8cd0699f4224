#include "gateway/freshness.hpp"

#include <fmt/format.h>

namespace ballast::gateway {

namespace {

constexpr std::chrono::milliseconds kTryAgain{5'000};

}  // namespace

std::optional<WallTime> Freshness::stale_since() const {
  const Duration age = this->age();
  return age > stale_after_ ? std::optional(std::chrono::time_point_cast<WallTime::duration>(clock_.wall() - age)) : std::nullopt;
}

Error Freshness::refusal(std::string_view why, std::string field) const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(age()).count();
  return Error{ErrorCode::internal_unavailable,
               fmt::format("{}: this node has not heard from the others for {} s, since it cannot reach the database. Try again in a moment, or at another node", why, seconds),
               std::move(field), true, kTryAgain, {}, {}, {}};
}

}  // namespace ballast::gateway
