// Schedules: when they are due, in whose time, and what they say of themselves.
#include "work/cron.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

namespace ballast::work {
namespace {

using testing::HasSubstr;

WallTime at(const char* text) {
  std::tm t{};
  EXPECT_NE(::strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t), nullptr) << text;
  return WallTime(std::chrono::seconds(::timegm(&t)));
}

Cron cron(std::string_view text, std::string_view zone = "UTC") {
  auto made = Cron::compile(text, zone, "schedules.x.cron");
  if (!made) ADD_FAILURE() << text << ": " << describe(made.error());
  return made ? *made : *Cron::compile("* * * * *");
}

// The next `n` due times, as written in UTC without seconds.
std::string due(std::string_view text, std::string_view zone, const char* after, int n) {
  const auto schedule = cron(text, zone);
  auto t = at(after);
  std::string out;
  for (int i = 0; i < n; ++i) {
    const auto next = schedule.next(t);
    if (!next) return out + " never";
    EXPECT_GT(*next, t);
    t = *next;
    out += (i > 0 ? " " : "") + to_rfc3339(t).substr(0, 16);
  }
  return out;
}

TEST(Cron, DueTimes) {
  struct Case {
    const char *text, *zone, *after;
    int n;
    const char* due;
  };
  const Case cases[] = {
      {"0 9 * * mon-fri", "UTC", "2026-11-20T09:00:00Z", 2, "2026-11-23T09:00 2026-11-24T09:00"},
      {"0 9 * * mon-fri", "Europe/Berlin", "2026-11-20T07:59:59Z", 2, "2026-11-20T08:00 2026-11-23T08:00"},
      {"*/15 * * * *", "UTC", "2026-11-20T09:00:01Z", 3, "2026-11-20T09:15 2026-11-20T09:30 2026-11-20T09:45"},
      {"59 23 31 12 *", "UTC", "2026-11-20T00:00:00Z", 2, "2026-12-31T23:59 2027-12-31T23:59"},
      {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2, "2028-02-29T00:00 2032-02-29T00:00"},
      {"0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1, "2104-02-29T00:00"},
      {"0 0 L * *", "UTC", "2027-12-31T00:00:00Z", 3, "2028-01-31T00:00 2028-02-29T00:00 2028-03-31T00:00"},
      {"0 0 15,L * *", "UTC", "2027-02-01T00:00:00Z", 2, "2027-02-15T00:00 2027-02-28T00:00"},
      {"0 0 13 * fri", "UTC", "2026-11-10T00:00:00Z", 3, "2026-11-13T00:00 2026-11-20T00:00 2026-11-27T00:00"},   // either day
      {"0 0 */2 * fri", "UTC", "2026-11-10T00:00:00Z", 2, "2026-11-13T00:00 2026-11-27T00:00"},                     // both
      {"0 12 * * 7", "UTC", "2026-11-20T00:00:00Z", 1, "2026-11-22T12:00"},
      {"0 12 * * SAT,sun", "UTC", "2026-11-20T00:00:00Z", 2, "2026-11-21T12:00 2026-11-22T12:00"},
      {"0 12 * * fri-sun", "UTC", "2026-11-20T00:00:00Z", 3, "2026-11-20T12:00 2026-11-21T12:00 2026-11-22T12:00"},
      {"0 0 1 jan-mar/2 *", "UTC", "2026-11-20T00:00:00Z", 2, "2027-01-01T00:00 2027-03-01T00:00"},
      {"  0   8-10/2 * * * ", "UTC", "2026-11-20T00:00:00Z", 2, "2026-11-20T08:00 2026-11-20T10:00"},
      {"@hourly", "UTC", "2026-11-20T00:59:59Z", 2, "2026-11-20T01:00 2026-11-20T02:00"},
      {"@weekly", "UTC", "2026-11-20T00:00:00Z", 1, "2026-11-22T00:00"},
      {"@yearly", "Asia/Tokyo", "2026-11-20T00:00:00Z", 1, "2026-12-31T15:00"},
      {"@Monthly", "Asia/Kolkata", "2026-11-20T00:00:00Z", 1, "2026-11-30T18:30"},
      {"every 15m", "UTC", "2026-11-20T09:00:00Z", 2, "2026-11-20T09:15 2026-11-20T09:30"},
      {"every 1d", "Europe/Berlin", "2026-11-20T09:00:00Z", 1, "2026-11-21T00:00"},
      {"every 45s", "UTC", "1969-12-31T23:58:00Z", 3, "1969-12-31T23:58 1969-12-31T23:59 1970-01-01T00:00"},
  };
  for (const auto& c : cases) EXPECT_EQ(due(c.text, c.zone, c.after, c.n), c.due) << c.text << " in " << c.zone;
}

TEST(Cron, SummerTime) {
  struct Case {
    const char *what, *text, *zone, *after;
    int n;
    const char* due;
  };
  const Case cases[] = {
      {"a time leapt over fires once, at the leap", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2, "2026-03-29T01:00 2026-03-30T00:30"},
      {"several times leapt over fire once", "0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3, "2026-03-29T01:00 2026-03-30T00:00 2026-03-30T00:30"},
      {"one at the leap's end fires with it, once", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2, "2026-03-29T01:00 2026-03-30T00:00"},
      {"a time that comes twice fires once, the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2, "2026-10-25T00:30 2026-10-26T01:30"},
      {"also when asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1, "2026-10-26T01:30"},
      {"a beat goes on over the leap", "*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3, "2026-03-29T00:30 2026-03-29T01:00 2026-03-29T01:30"},
      {"a beat goes on through the doubled hour", "30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3, "2026-10-25T00:30 2026-10-25T01:30 2026-10-25T02:30"},
      {"the south: a gap in October", "30 2 * * *", "Australia/Sydney", "2026-10-03T00:00:00Z", 2, "2026-10-03T16:00 2026-10-04T15:30"},
      {"the south: twice in April", "30 2 * * *", "Australia/Sydney", "2026-04-04T00:00:00Z", 2, "2026-04-04T15:30 2026-04-05T16:30"},
      {"half an hour on Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1, "2026-10-03T15:30"},
      {"a midnight that does not exist", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 2, "2026-09-06T04:00 2026-09-07T03:00"},
      {"a day that Samoa left out", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1, "2011-12-30T10:00"},
      {"nine o'clock stays nine o'clock", "0 9 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2, "2026-03-07T14:00 2026-03-08T13:00"},
  };
  for (const auto& c : cases) EXPECT_EQ(due(c.text, c.zone, c.after, c.n), c.due) << c.what;
}

TEST(Cron, WhatIsWrongIsSaidWithItsPart) {
  struct Case {
    const char *text, *zone, *says;
  };
  const Case cases[] = {
      {"0 0 31 2 *", "UTC", "never comes: no such day in February"},
      {"0 0 30-31 feb *", "UTC", "never comes"},
      {"0 0 31 4,6,9,11 *", "UTC", "April, June, September and November"},
      {"60 * * * *", "UTC", "minute \"60\": must be 0 to 59"},
      {"* 24 * * *", "UTC", "hour \"24\""},
      {"* * 0 * *", "UTC", "day of the month \"0\""},
      {"* * * 13 *", "UTC", "1 to 12 or jan to dec"},
      {"* * * * 8", "UTC", "0 to 7 or sun to sat"},
      {"* * * * monday", "UTC", "day of the week \"monday\""},
      {"*/0 * * * *", "UTC", "a step is 1 to 59"},
      {"*/70 * * * *", "UTC", "a step is 1 to 59"},
      {"5/15 * * * *", "UTC", "5-59/15"},
      {"22-5 * * * *", "UTC", "a range goes upwards"},
      {"0 22-5 * * *", "UTC", "22-23,0-5"},
      {"1,,2 * * * *", "UTC", "empty"},
      {"? * * * *", "UTC", "write * instead"},
      {"-1 * * * *", "UTC", "must be 0 to 59"},
      {"1-2-3 * * * *", "UTC", "must be 0 to 59"},
      {"* * * *", "UTC", "has 4 parts"},
      {"0 0 9 * * *", "UTC", "has 6 parts"},
      {"", "UTC", "has 0 parts"},
      {"@reboot", "UTC", "use @hourly"},
      {"every", "UTC", "1 parts"},
      {"every 15", "UTC", "a number and s, m, h or d"},
      {"every 0m", "UTC", "a number"},
      {"every 9999999999999999999d", "UTC", "a number"},
      {"every 400d", "UTC", "at most 366d"},
      {"* * * * *", "Europe/Berln", "did you mean Europe/Berlin?"},
      {"* * * * *", "europe/berlin", "did you mean Europe/Berlin?"},
      {"* * * * *", "Berlin", "did you mean Europe/Berlin?"},
      {"* * * * *", "", "use an IANA name"},
      {"* * * * *", "../../etc/passwd", "there is no time zone"},
  };
  for (const auto& c : cases) {
    const auto made = Cron::compile(c.text, c.zone, "schedules.x.cron");
    ASSERT_FALSE(made) << c.text << " " << c.zone;
    EXPECT_EQ(made.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(made.error().field, "schedules.x.cron");
    EXPECT_THAT(made.error().message, HasSubstr(c.says)) << c.text;
  }
}

TEST(Cron, DescribesItself) {
  struct Case {
    const char *text, *says;
  };
  const Case cases[] = {
      {"0 9 * * 1-5", "at 09:00 on weekdays, Europe/Berlin"},
      {"0 9,17 * * *", "at 09:00 and 17:00 every day, Europe/Berlin"},
      {"30 8 * * sat,sun", "at 08:30 on weekends, Europe/Berlin"},
      {"0 0 1 * *", "at 00:00 on day 1 of the month, Europe/Berlin"},
      {"0 0 L 1,7 *", "at 00:00 on the last day of the month in January and July, Europe/Berlin"},
      {"0 0 1,15 * mon", "at 00:00 on days 1 and 15 of the month or on Monday, Europe/Berlin"},
      {"*/15 * * * *", "every 15 minutes, Europe/Berlin"},
      {"* * * * *", "every minute, Europe/Berlin"},
      {"5 * * * *", "at minute 5 of every hour, Europe/Berlin"},
      {"*/10 9-17 * * 1-5", "every 10 minutes of hours 9 to 17 on weekdays, Europe/Berlin"},
      {"0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day, Europe/Berlin"},
      {"@yearly", "at 00:00 on day 1 of the month in January, Europe/Berlin"},
      {"every 90m", "every 90 minutes"},
      {"every 1h", "every hour"},
  };
  for (const auto& c : cases) EXPECT_EQ(cron(c.text, "Europe/Berlin").describe(), c.says) << c.text;
  EXPECT_EQ(cron(" 0 9 * * * ").text(), "0 9 * * *");
  EXPECT_EQ(cron("0 9 * * *", "Asia/Tokyo").zone(), "Asia/Tokyo");
}

// Against the plain reading of the rules: every minute of a leap year looked at one by one.
TEST(Cron, AgreesWithEveryMinuteLookedAt) {
  struct Case {
    const char* text;
    bool (*due)(const std::tm&);
  };
  const Case cases[] = {
      {"*/7 3-5 * * *", [](const std::tm& t) { return t.tm_min % 7 == 0 && t.tm_hour >= 3 && t.tm_hour <= 5; }},
      {"0 0 1,15 * mon", [](const std::tm& t) { return t.tm_min == 0 && t.tm_hour == 0 && (t.tm_mday == 1 || t.tm_mday == 15 || t.tm_wday == 1); }},
      {"13 */5 */3 2,10 *", [](const std::tm& t) { return t.tm_min == 13 && t.tm_hour % 5 == 0 && t.tm_mday % 3 == 1 && (t.tm_mon == 1 || t.tm_mon == 9); }},
      {"*/20 2 * 3,10 sun", [](const std::tm& t) { return t.tm_min % 20 == 0 && t.tm_hour == 2 && t.tm_wday == 0 && (t.tm_mon == 2 || t.tm_mon == 9); }},
  };
  for (const auto& c : cases) {
    const auto schedule = cron(c.text);
    auto next = schedule.next(at("2027-12-31T23:59:00Z"));
    for (auto t = at("2028-01-01T00:00:00Z"); t < at("2029-01-01T00:00:00Z"); t += std::chrono::minutes(1)) {
      const auto unix_seconds = static_cast<std::time_t>(unix_ms(t) / 1000);
      std::tm parts{};
      ::gmtime_r(&unix_seconds, &parts);
      ASSERT_TRUE(next);
      ASSERT_EQ(c.due(parts), *next == t) << c.text << " at " << to_rfc3339(t);
      if (*next == t) next = schedule.next(t);
    }
  }
}

TEST(Cron, TheEndOfTimeIsNothing) {
  EXPECT_FALSE(cron("* * * * *").next(at("2250-01-01T00:00:00Z")));
  EXPECT_TRUE(cron("0 0 29 2 mon").next(at("2096-12-01T00:00:00Z")));
}

}  // namespace
}  // namespace ballast::work
