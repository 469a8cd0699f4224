#include "server/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ballast::server {

namespace {

using std::chrono::hours;

constexpr std::size_t kDay = 24, kWeek = 7 * kDay;
constexpr std::size_t kFarthest = 400 * kDay;            // hours that are looked ahead
constexpr double kMostTrend = 4;

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
double sum(std::span<const std::int64_t> of) { return std::accumulate(of.begin(), of.end(), 0.0); }

// What the hours to come cost, each by what there is.
class Rates {
 public:
  Rates(std::span<const std::int64_t> all, WallTime now) {
    const auto first = std::ranges::find_if(all, [](std::int64_t n) { return n != 0; });
    const auto known = all.subspan(static_cast<std::size_t>(first - all.begin()));
    if (known.empty()) return;
    past_ = known.first(known.size() - 1);
    const double gone = std::max(seconds(now - std::chrono::floor<hours>(now)) / 3600, 1e-3);
    mean_ = sum(known) / (static_cast<double>(past_.size()) + gone);
    if (past_.size() < kWeek + kDay) return;
    const double before = sum(past_.subspan(past_.size() - kWeek - kDay, kDay)), lately = sum(past_.last(kDay));
    trend_ = before > 0 ? std::clamp(lately / before, 1 / kMostTrend, kMostTrend) : 1;
  }
  // Of the hour that is `ahead` of the present one (0: that one).
  double of(std::size_t ahead) const {
    if (past_.size() >= kWeek + kDay) return trend_ * static_cast<double>(past_[past_.size() - kWeek + ahead % kWeek]);
    if (past_.size() < 2 * kDay) return mean_;
    double all = 0, days = 0;
    for (std::size_t back = kDay - ahead % kDay; back <= past_.size(); back += kDay, ++days) all += static_cast<double>(past_[past_.size() - back]);
    return all / days;
  }

 private:
  std::span<const std::int64_t> past_;                   // whole hours, from the first that cost anything on
  double mean_ = 0, trend_ = 1;
};

}  // namespace

Forecast forecast(Money spent, Money limit, WallTime now, WallTime end, std::span<const std::int64_t> all) {
  Forecast out{.at_end = spent, .at_limit = {}};
  if (spent >= limit) out.at_limit = now;
  const Rates rates(all, now);
  double total = static_cast<double>(spent.nano);
  const auto most = static_cast<double>(limit.nano);
  WallTime from = now;
  for (std::size_t ahead = 0; from < end && ahead < kFarthest; ++ahead) {
    const WallTime to = std::min<WallTime>(std::chrono::floor<hours>(from) + hours(1), end);
    const double cost = rates.of(ahead) * seconds(to - from) / 3600;
    if (!out.at_limit && cost > 0 && total + cost >= most) out.at_limit = from + std::chrono::duration_cast<Duration>((to - from) * ((most - total) / cost));
    total += cost;
    from = to;
  }
  out.at_end = Money{static_cast<std::int64_t>(std::min(std::round(total), 9e18))};
  return out;
}

}  // namespace ballast::server
