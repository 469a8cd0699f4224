// Who is told what and when: together, not too often, not what is silenced, and the end of what was told.
#include "watch/notice.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"

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

// Slack refuses what is no UTF-8, and the notice would never arrive.
TEST_F(NoticeTest, ALongTextIsCutBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 40; ++i) name += "\u6a21";
  for (std::size_t shift = 0; shift < 150; ++shift) {
    Notice n{.rule = "errors", .firing = {add("errors", std::string(shift, 'x'))}, .resolved = {}};
    for (int i = 0; i < 19; ++i) n.firing.push_back(add("errors", name));
    EXPECT_TRUE(is_utf8(slack_body(n))) << shift;
  }
}

// ---- erasing

Notice of_users(std::initializer_list<const char*> users) {
  Notice n{.rule = "cost_spike", .firing = {}, .resolved = {}};
  for (const char* user : users)
    n.firing.push_back({.id = 1, .rule = "cost_spike", .severity = Severity::page, .state = State::firing, .labels = {{"user", user}, {"model", "m"}}, .title = "12 dollars", .detail = "user ann asks"});
  return n;
}

TEST(WithoutUser, AWebhookKeepsItsAlertsUnderThePseudonym) {
  const WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 2)};
  const std::string body = webhook_body(of_users({"ann", "bob", "ann lee"}), now);
  const auto without = without_user(body, "ann", "erased-1");
  ASSERT_TRUE(without);
  EXPECT_EQ(*without, webhook_body(of_users({"erased-1", "bob", "ann lee"}), now));
  EXPECT_FALSE(without_user(*without, "ann", "erased-1")) << "none is left";
  Notice resolved;
  resolved.resolved = of_users({"ann"}).firing;
  const auto ended = without_user(webhook_body(resolved, now), "ann", "erased-1");
  ASSERT_TRUE(ended);
  EXPECT_NE(ended->find("erased-1"), std::string::npos);
}

TEST(WithoutUser, ATextForSlackToo) {
  const auto without = without_user(slack_body(of_users({"ann", "bob", "anna", "a&b"})), "ann", "erased-1");
  ASSERT_TRUE(without);
  EXPECT_EQ(*without, slack_body(of_users({"erased-1", "bob", "anna", "a&b"})));
  const auto odd = without_user(slack_body(of_users({"ann", "a&b"})), "a&b", "erased-2");
  ASSERT_TRUE(odd);
  EXPECT_EQ(*odd, slack_body(of_users({"ann", "erased-2"})));
}

TEST(WithoutUser, NoPieceOfALongNameIsLeftWhereATextWasCut) {
  const std::string name(300, 'x');
  Notice many;
  for (int i = 0; i < 20; ++i) many.firing.push_back(of_users({name.c_str()}).firing[0]);
  const auto without = without_user(slack_body(many), name, "erased-1");
  ASSERT_TRUE(without);
  EXPECT_EQ(without->find("xx"), std::string::npos) << *without;
}

TEST(WithoutUser, WhatDoesNotNameHimStaysAsItIs) {
  const WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 2)};
  for (const char* user : {"bo", "m", "cost_spike", "", "12 dollars"}) {
    EXPECT_FALSE(without_user(webhook_body(of_users({"ann", "bob"}), now), user, "erased-1")) << user;
    EXPECT_FALSE(without_user(slack_body(of_users({"ann", "bob"})), user, "erased-1")) << user;
  }
  for (const char* damaged : {"", "{", "[]", R"({"data":1})", R"({"data":{"firing":{}},"text":1,"blocks":{}})"}) EXPECT_FALSE(without_user(damaged, "ann", "erased-1")) << damaged;
}

}  // namespace
}  // namespace ballast::watch
