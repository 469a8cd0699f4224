// Forecasts of budgets: by the week, by the day, by what little there is.
#include "server/forecast.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ballast::server {
namespace {

using namespace std::chrono_literals;
constexpr std::int64_t kDollar = 1'000'000'000;
const WallTime kNoon = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 20).time_since_epoch()) + 12h;

double usd(Money m) { return static_cast<double>(m.nano) / kDollar; }

TEST(Forecast, OfNothingIsWhatIsSpent) {
  const auto f = forecast({5 * kDollar}, {10 * kDollar}, kNoon, kNoon + 10h, {});
  EXPECT_EQ(f.at_end.nano, 5 * kDollar);
  EXPECT_FALSE(f.at_limit);
}

TEST(Forecast, OfLittleGoesOnAtItsMean) {
  // Two dollars an hour for three hours and a half; what was before the first cost is no history.
  std::vector<std::int64_t> hours(100, 0);
  hours.insert(hours.end(), {2 * kDollar, 2 * kDollar, 2 * kDollar, kDollar});
  const auto f = forecast({7 * kDollar}, {15 * kDollar}, kNoon + 30min, kNoon + 10h + 30min, hours);
  EXPECT_NEAR(usd(f.at_end), 27, 1e-6);
  ASSERT_TRUE(f.at_limit);
  EXPECT_NEAR(std::chrono::duration<double>(*f.at_limit - (kNoon + 30min)).count(), 4 * 3600, 1);
}

TEST(Forecast, KnowsTheHoursOfADay) {
  // A dollar in each hour from 8 to 18, nothing at night; three days of it.
  std::vector<std::int64_t> hours;
  for (int h = -72; h < 0; ++h) hours.push_back((h + 72 + 12) % 24 >= 8 && (h + 72 + 12) % 24 < 18 ? kDollar : 0);
  hours.push_back(0);
  const auto f = forecast({4 * kDollar}, {100 * kDollar}, kNoon, kNoon + 12h, hours);
  EXPECT_NEAR(usd(f.at_end), 10, 1e-6) << "six hours of work are left of the day";
  EXPECT_FALSE(f.at_limit);
}

TEST(Forecast, KnowsTheWeekAndThatThingsGrow) {
  // A dollar an hour on five days of seven; the last day cost twice that day a week before.
  std::vector<std::int64_t> hours;
  for (int h = 0; h < 24 * 9; ++h) hours.push_back((h / 24) % 7 < 5 ? kDollar : 0);
  for (int h = 24 * 8; h < 24 * 9; ++h) hours[static_cast<std::size_t>(h)] = 2 * kDollar;
  hours.push_back(0);
  const auto f = forecast({0}, {1000 * kDollar}, kNoon, kNoon + 24h * 7, hours);
  EXPECT_NEAR(usd(f.at_end), 2 * (4 * 24 + 2 * 24), 1e-6) << "the days of last week from the same one on, of which the last was dearer itself, times two";
}

TEST(Forecast, AtTheLimitIsNow) {
  const auto f = forecast({kDollar}, {kDollar}, kNoon, kNoon + 1h, std::vector<std::int64_t>{0});
  ASSERT_TRUE(f.at_limit);
  EXPECT_EQ(*f.at_limit, kNoon);
}

}  // namespace
}  // namespace ballast::server
