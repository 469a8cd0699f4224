// Who is told what and when: together, not too often, not what is silenced, and the end of what was told.
#include "watch/notice.hpp"

#include <gtest/gtest.h>

namespace ballast::watch {
namespace {

using namespace std::chrono_literals;

class NoticeTest : public ::testing::Test {
 protected:
  Alert& add(const std::string& rule, const std::string& model, Severity severity = Severity::page) {
    alerts.push_back({.id = static_cast<std::int64_t>(alerts.size() + 1), .rule = rule, .severity = severity, .state = State::firing, .labels = {{"model", model}}, .title = "t <!channel> & more",
                      .since = now, .updated = now});
    return alerts.back();
  }
  std::vector<Notice> after(Duration d) {
    now += d;
    return plan(alerts, now, grouping);
  }
  WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 2)};
  Grouping grouping;
  std::vector<Alert> alerts;
};

TEST_F(NoticeTest, AlertsOfOneRuleAreToldTogetherAfterAShortWait) {
  add("errors", "a");
  add("errors", "b");
  add("tokens", "a");
  EXPECT_TRUE(after(5s).empty());
  const auto told = after(5s);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].firing.size(), 2u);
  EXPECT_TRUE(after(1min).empty()) << "told twice";
}

TEST_F(NoticeTest, WhatComesLaterWaitsForTheInterval) {
  add("errors", "a");
  ASSERT_EQ(after(10s).size(), 1u);
  add("errors", "b");
  EXPECT_TRUE(after(1min).empty());
  ASSERT_EQ(after(5min).size(), 1u);
}

TEST_F(NoticeTest, WhatGoesOnFiringIsToldAgainAfterHours) {
  add("errors", "a");
  ASSERT_EQ(after(10s).size(), 1u);
  EXPECT_TRUE(after(3h).empty());
  EXPECT_EQ(after(1h + 1s).size(), 1u);
}

TEST_F(NoticeTest, TheEndIsToldOfWhatWasTold) {
  add("errors", "a");
  add("tokens", "a").state = State::resolved;    // nobody heard of it
  ASSERT_EQ(after(10s).size(), 1u);
  alerts[0].state = State::resolved;
  const auto told = after(5min);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].resolved.size(), 1u);
  EXPECT_EQ(type_of(told[0]), "alert.resolved");
  EXPECT_FALSE(owed(alerts[0]));
}

TEST_F(NoticeTest, NobodyIsToldOfWhatIsSilenced) {
  add("errors", "a").silenced = true;
  EXPECT_TRUE(after(1h).empty());
  alerts[0].silenced = false;
  EXPECT_EQ(after(1s).size(), 1u);
  alerts[0].silenced = true;
  alerts[0].state = State::resolved;
  EXPECT_TRUE(after(1h).empty());
  EXPECT_FALSE(owed(alerts[0])) << "its end would be owed for ever";
}

TEST_F(NoticeTest, SilencesMatchRulesLabelsAndPrefixes) {
  const Alert a{.rule = "errors", .labels = {{"model", "gpt-5"}, {"provider", "p"}}};
  EXPECT_TRUE(matches({.rule = "", .labels = {}}, a));
  EXPECT_TRUE(matches({.rule = "errors", .labels = {{"model", "gpt*"}}}, a));
  EXPECT_FALSE(matches({.rule = "tokens", .labels = {}}, a));
  EXPECT_FALSE(matches({.rule = "errors", .labels = {{"model", "gpt"}}}, a));
  EXPECT_FALSE(matches({.rule = "errors", .labels = {{"key", "*"}}}, a));
}

TEST_F(NoticeTest, ReceiversGetWhatTheyAskedFor) {
  Notice n{.rule = "errors", .firing = {add("errors", "a", Severity::page), add("errors", "b", Severity::info)}, .resolved = {}};
  EXPECT_EQ(for_receiver(n, {.least = Severity::ticket}).firing.size(), 1u);
  EXPECT_EQ(for_receiver(n, {.least = Severity::info}).firing.size(), 2u);
  EXPECT_TRUE(for_receiver(n, {.rules = {"tokens"}}).firing.empty());
}

TEST_F(NoticeTest, SlackSeesTextAndNeverAMention) {
  const Notice n{.rule = "errors", .firing = {add("errors", "<@U123>")}, .resolved = {}};
  const std::string body = slack_body(n);
  EXPECT_EQ(body.find("<!channel>"), std::string::npos);
  EXPECT_EQ(body.find("<@U123>"), std::string::npos);
  EXPECT_NE(body.find("&lt;!channel&gt;"), std::string::npos);
  EXPECT_TRUE(parse_json(body));
  EXPECT_TRUE(parse_json(webhook_body(n, now)));
}

}  // namespace
}  // namespace ballast::watch
