// Rules, one by one, on minutes made by hand: when they speak, when they are still, and what their alerts go through.
#include "watch/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ballast::watch {
namespace {

using namespace std::chrono_literals;

// A gateway with the same calls every minute, until a test says otherwise.
class JudgeTest : public ::testing::Test {
 protected:
  static Counts usual() {
    Counts c{.calls = 60, .failed = 0, .cancelled = 0, .lookups = 60, .hits = 18, .input = 60'000, .output = 12'000, .incurred_nano = 270'000'000, .latency = {}, .first_token = {}};
    c.latency.add(1'500'000, 54);
    c.latency.add(3'000'000, 6);
    return c;
  }
  // One minute with these calls; what changed in it.
  std::vector<Change> minute(const Counts& c, const Gauges& g = {}) {
    const Minute m{now, {{"", "", c}, {"model", "m", c}, {"provider", "p", c}}};
    std::vector<Change> out;
    for (const auto part : {10s, 30s, 59s})
      for (auto& change : judge.feed(now + part, std::span(&m, c.calls ? 1 : 0), g)) out.push_back(std::move(change));
    now += 1min;
    return out;
  }
  void quiet(int minutes, const Counts& c = usual()) {
    for (int i = 0; i < minutes; ++i)
      for (const auto& change : minute(c)) ADD_FAILURE() << "minute " << i << ": " << change.alert.rule << ": " << change.alert.title << " (" << change.alert.detail << ")";
  }
  // The first alert of the rule that fires within so many minutes like this, or nothing.
  std::optional<Alert> fires(const std::string& rule, int minutes, const Counts& c, const Gauges& g = {}) {
    for (int i = 0; i < minutes; ++i)
      for (const auto& change : minute(c, g))
        if (change.what == Change::What::fired && change.alert.rule == rule) return change.alert;
    return std::nullopt;
  }
  bool firing(const std::string& rule) const {
    return std::ranges::any_of(judge.active(), [&](const Alert& a) { return a.rule == rule && a.state == State::firing; });
  }

  WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 2)};
  Judge judge{default_rules()};
};

TEST_F(JudgeTest, ADayLikeAnyOtherSaysNothing) { quiet(26 * 60); }

TEST_F(JudgeTest, APromptTenTimesAsLongIsToldWithinTwoMinutes) {
  for (const int before : {30, 300}) {
    judge = Judge(default_rules());
    quiet(before);
    Counts c = usual();
    c.input *= 10;
    const auto alert = fires("token_anomaly", 2, c);
    ASSERT_TRUE(alert) << before;
    EXPECT_GT(alert->value, alert->threshold);
    EXPECT_EQ(alert->severity, Severity::ticket);
  }
}

TEST_F(JudgeTest, AnAlertEndsWhenItsCauseIsGoneForAWhile) {
  quiet(120);
  Counts bad = usual();
  bad.failed = 40;
  ASSERT_TRUE(fires("error_burst", 1, bad));
  minute(usual());
  EXPECT_TRUE(firing("error_burst")) << "it ended at once";
  for (int i = 0; i < 15; ++i) minute(usual());
  EXPECT_FALSE(firing("error_burst"));
}

TEST_F(JudgeTest, FewFailuresAreNoBurst) {
  quiet(120);
  Counts some = usual();
  some.failed = 4;
  EXPECT_FALSE(fires("error_burst", 1, some));
}

TEST_F(JudgeTest, ErrorsThatBurnTheBudgetSlowlyAreToldLater) {
  quiet(8 * 60);
  Counts c = usual();
  c.failed = 3;                       // five in a hundred: no burst, but five times the budget
  EXPECT_FALSE(fires("errors_fast", 60, c)) << "5 times is below 14.4 and 6";
  EXPECT_TRUE(fires("errors_slow", 8 * 60, c));
}

TEST_F(JudgeTest, ASlowProviderIsTold) {
  quiet(120);
  Counts slow = usual();
  slow.latency = {};
  slow.latency.add(7'500'000, 60);
  EXPECT_TRUE(fires("latency_rise", 2, slow));
}

TEST_F(JudgeTest, LongerAnswersAreNoSlowness) {
  quiet(120);
  Counts longer = usual();
  longer.latency = {};
  longer.latency.add(7'500'000, 60);
  longer.output *= 5;
  EXPECT_FALSE(fires("latency_rise", 10, longer));
}

TEST_F(JudgeTest, LongerPromptsAreNoSlowness) {
  quiet(120);
  Counts longer = usual();
  longer.latency = {};
  longer.latency.add(5'000'000, 60);
  longer.input *= 4;                  // no ten times: that would be told as such
  EXPECT_FALSE(fires("latency_rise", 10, longer));
}

// Half of the calls are of a quick model, so that nine of ten usually take less than five times the median.
TEST_F(JudgeTest, ASlowProviderIsToldInTheFirstQuarterOfAnHourWhateverItsModels) {
  const auto mixed = [](std::uint32_t times) {
    Counts c = usual();
    c.latency = {};
    c.latency.add(std::uint64_t{500'000} * times, 33);
    c.latency.add(std::uint64_t{12'000'000} * times, 27);
    return c;
  };
  quiet(14, mixed(1));
  EXPECT_FALSE(fires("latency_rise", 1, mixed(1)));
  EXPECT_TRUE(fires("latency_rise", 2, mixed(5)));
}

TEST_F(JudgeTest, MoreCallsThatCostMoreAreOneAlarm) {
  quiet(120);
  Counts many = usual();
  many.calls *= 60, many.lookups *= 60, many.hits *= 60, many.input *= 60, many.output *= 60, many.incurred_nano *= 60;
  std::map<std::string, int> fired;
  for (int i = 0; i < 10; ++i)
    for (const auto& c : minute(many))
      if (c.what == Change::What::fired) ++fired[c.alert.rule];
  const std::map<std::string, int> want = {{"cost_spike", 1}};
  EXPECT_EQ(fired, want);
  Counts cheap = many;
  cheap.incurred_nano = usual().incurred_nano;
  judge = Judge(default_rules());
  quiet(120);
  EXPECT_TRUE(fires("traffic_rise", 2, cheap)) << "calls that cost nothing more are told as calls";
}

TEST_F(JudgeTest, ACacheThatNoLongerAnswersIsTold) {
  quiet(180);
  Counts c = usual();
  c.hits = 0;
  EXPECT_TRUE(fires("cache_collapse", 2, c));
}

TEST_F(JudgeTest, SilenceIsToldOnceItIsLongerThanAnyBefore) {
  quiet(25 * 60);
  EXPECT_FALSE(fires("silence", 14, {}));
  EXPECT_TRUE(fires("silence", 10, {}));
}

TEST_F(JudgeTest, NoSilenceWhileTheLedgerIsBehind) {
  quiet(25 * 60);
  Gauges behind;
  behind.importer_behind = 45s;
  EXPECT_FALSE(fires("silence", 60, {}, behind));
}

TEST_F(JudgeTest, AMorningThatComesEveryDayIsNoRise) {
  Judge sees(default_rules());
  const auto day = [&](int hour) { return hour >= 9 && hour < 18 ? 2'000 : 60; };
  int alarms_first = 0, alarms_later = 0;
  for (int h = 0; h < 72; ++h)
    for (int m = 0; m < 60; ++m) {
      Counts c = usual();
      c.calls = static_cast<std::uint64_t>(day(h % 24));
      c.input = c.calls * 1'000;
      c.incurred_nano = static_cast<std::int64_t>(c.calls) * 4'500'000;
      const Minute minute{now, {{"", "", c}}};
      for (const auto& change : sees.feed(now + 59s, std::span(&minute, 1), {}))
        if (change.what == Change::What::fired && (change.alert.rule == "traffic_rise" || change.alert.rule == "cost_spike")) ++(h < 24 ? alarms_first : alarms_later);
      now += 1min;
    }
  EXPECT_GT(alarms_first, 0) << "nobody could know the first morning";
  EXPECT_EQ(alarms_later, 0);
}

TEST_F(JudgeTest, HowThingsStandIsToldByItself) {
  Gauges g;
  g.breakers = {{"p", "m", 45s, "provider_timeout"}, {"p", "other", 1s, ""}};
  g.queues = {{"default", 3, 20min, false}, {"paused", 3, 20min, true}};
  g.budgets = {{"daily", "system", "*", 85, 100, now + 1h}};
  g.dead = 12;
  g.unpriced = {"new-model"};
  g.journal_failing = true;
  g.lost = 3, g.lost_ago = 2h;
  std::map<std::string, int> fired;
  for (int i = 0; i < 3; ++i)
    for (const auto& c : minute(usual(), g))
      if (c.what == Change::What::fired) ++fired[c.alert.rule];
  const std::map<std::string, int> want = {{"breaker_open", 1}, {"queue_age", 1}, {"budget_half", 1}, {"budget_most", 1}, {"dead_letters", 1}, {"price_missing", 1}, {"journal", 1}, {"lost_commits", 1}};
  EXPECT_EQ(fired, want);
}

TEST_F(JudgeTest, ABudgetThatWillNotLastIsForecast) {
  Gauges g;
  const WallTime end = now + 24h;
  std::optional<Alert> told;
  for (int i = 0; i < 12 * 60 && !told; ++i) {
    g.budgets = {{"daily", "system", "*", i * 0.1, 100, end}};     // 144 dollars a day
    for (const auto& c : minute(usual(), g))
      if (c.what == Change::What::fired && c.alert.rule == "budget_forecast") told = c.alert;
  }
  ASSERT_TRUE(told);
  EXPECT_LT(g.budgets[0].spent_usd, 60) << "told well before it is spent";
  EXPECT_NEAR(told->value, 1.44, 0.05);
}

TEST_F(JudgeTest, WhatFiredBeforeARestartIsNotNew) {
  quiet(60);
  Counts bad = usual();
  bad.failed = 40;
  ASSERT_TRUE(fires("error_burst", 1, bad));
  const auto before = judge.active();
  Judge again(default_rules());
  again.restore(before, now);
  const Minute m{now, {{"", "", bad}}};
  for (const auto& c : again.feed(now + 30s, std::span(&m, 1), {})) EXPECT_FALSE(c.what == Change::What::fired && c.alert.labels.empty() && c.alert.rule == "error_burst");
  EXPECT_GE(again.active().size(), before.size());
}

TEST_F(JudgeTest, RulesCanBeTurnedOffAndNarrowed) {
  auto rules = default_rules();
  for (Rule& r : rules) {
    if (r.name == "dead_letters") r.off = true;
    if (r.name == "breaker_open") r.where = {{"provider", "mine"}};
  }
  judge = Judge(rules);
  Gauges g;
  g.dead = 100;
  g.breakers = {{"p", "m", 60s, ""}, {"mine", "m", 60s, ""}};
  minute(usual(), g);
  ASSERT_EQ(judge.active().size(), 1u);
  EXPECT_EQ(judge.active()[0].labels[0].second, "mine");
}

TEST_F(JudgeTest, LabelsAreBounded) {
  Minute m{now, {}};
  for (std::size_t i = 0; i < kMostSeries + 50; ++i) m.samples.push_back({"model", "m" + std::to_string(i), usual()});
  judge.feed(now + 1s, std::span(&m, 1), {});
  EXPECT_GT(judge.dropped(), 0u);
}

}  // namespace
}  // namespace ballast::watch
