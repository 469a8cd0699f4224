#include "work/off_peak.hpp"

#include <gtest/gtest.h>

#include "base/config_node.hpp"

namespace ballast::work {
namespace {

WallTime at(std::string_view text) { return *parse_time(text, "t"); }

TEST(OffPeak, IsOpenFromOneTimeOfDayUntilAnother) {
  const auto night = OffPeak::parse("22:00", "06:00", "UTC");
  ASSERT_TRUE(night);
  for (const auto& [now, opens] : {std::pair("2026-03-10T12:00:00Z", "2026-03-10T22:00:00Z"), {"2026-03-10T21:59:59Z", "2026-03-10T22:00:00Z"}, {"2026-03-10T22:00:00Z", "2026-03-10T22:00:00Z"},
                                   {"2026-03-10T23:30:00Z", "2026-03-10T23:30:00Z"}, {"2026-03-11T05:59:59Z", "2026-03-11T05:59:59Z"}, {"2026-03-11T06:00:00Z", "2026-03-11T22:00:00Z"}})
    EXPECT_EQ(night->opens(at(now)), at(opens)) << now;
  const auto noon = OffPeak::parse("12:00", "13:30", "Europe/Berlin");
  ASSERT_TRUE(noon);
  EXPECT_EQ(noon->opens(at("2026-01-10T10:00:00Z")), at("2026-01-10T11:00:00Z"));
  EXPECT_EQ(noon->opens(at("2026-07-10T10:30:00Z")), at("2026-07-10T10:30:00Z"));
}

TEST(OffPeak, SaysWhatIsWrong) {
  const auto field = [](std::string_view from, std::string_view until, std::string_view zone) {
    const auto made = OffPeak::parse(from, until, zone);
    return made ? std::string() : made.error().field;
  };
  EXPECT_EQ(field("22", "06:00", "UTC"), "from");
  EXPECT_EQ(field("22:00", "24:00", "UTC"), "until");
  EXPECT_EQ(field("22:00", "22:00", "UTC"), "until");
  EXPECT_EQ(field("22:00", "06:00", "Europe/Berln"), "timezone");
}

}  // namespace
}  // namespace ballast::work
