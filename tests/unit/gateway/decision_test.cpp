// The decision log is read by people and machines: always JSON, never large, whatever callers name their models.
#include "gateway/decision.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

const MonoTime start{1s};

TEST(Decision, StepsAreToldInOrderWithTheirFigures) {
  DecisionLog log(start);
  log.step(start, "plan", {{"order", "a/b c/d"}, {"targets", 2}, {"hedged", false}});
  log.step(start + 1500us, "attempt", {{"incurred_nano", -7LL}, {"first", true}});
  EXPECT_EQ(log.take(), R"([{"at_us":0,"step":"plan","order":"a/b c/d","targets":2,"hedged":false},)"
                        R"({"at_us":1500,"step":"attempt","incurred_nano":-7,"first":true}])");
}

TEST(Decision, NothingDecidedIsAnEmptyArray) { EXPECT_EQ(DecisionLog(start).take(), "[]"); }

TEST(Decision, HostileNamesStayInsideTheirQuotes) {
  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls += c;
  for (const std::string& name : std::vector<std::string>{"\"},{\"step\":\"forged\"", "\\", "\\\"", "back\\slash\\", controls, "line\nbreak\r\t",
                                                          "\x7f", "größer 日本 🚢", "</script>", std::string("nul\0inside", 10), ""}) {
    DecisionLog log(start);
    log.step(start, "route", {{"model", name}, {"after", 1}});
    const auto text = log.take();
    const auto parsed = parse_json(text);
    ASSERT_TRUE(parsed) << parsed.error().message << "\n" << text;
    ASSERT_EQ(parsed->as_array().size(), 1u);
    EXPECT_EQ(std::string(parsed->as_array()[0].at("model").as_string().c_str(), parsed->as_array()[0].at("model").as_string().size()), name);
    EXPECT_EQ(parsed->as_array()[0].at("after").to_number<int>(), 1);
  }
}

TEST(Decision, BytesThatAreNotUtf8DoNotSpoilTheLog) {
  for (const std::string& name : std::vector<std::string>{"\xff", "half \xc3", "\x80 first", "surrogate \xed\xa0\x80", "overlong \xc0\xaf", "\xf0\x9f\x9a"}) {
    DecisionLog log(start);
    log.step(start, "route", {{"model", name}});
    const auto text = log.take();
    const auto parsed = parse_json(text);
    EXPECT_TRUE(parsed) << text;
  }
}

TEST(Decision, ManyStepsAreCountedNotKept) {
  DecisionLog log(start);
  for (int i = 0; i < 10'000; ++i) log.step(start, "retry", {{"target", "sim/sim-small"}, {"n", i}});
  const auto text = log.take();
  EXPECT_LT(text.size(), 10u * 1024);
  const auto parsed = parse_json(text);
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& steps = parsed->as_array();
  const auto& last = steps[steps.size() - 1];
  EXPECT_EQ(last.at("step").as_string(), "truncated");
  EXPECT_EQ(last.at("steps").to_number<std::size_t>() + steps.size() - 1, 10'000u) << "none is lost uncounted";
}

TEST(Decision, OneLongFigureDoesNotBreakTheBound) {
  DecisionLog log(start);
  for (int i = 0; i < 3; ++i) log.step(start, "limit_refused", {{"why", std::string(1 << 20, '"')}, {"also", std::string(70'000, '\x01')}});
  const auto text = log.take();
  EXPECT_LT(text.size(), 16u * 1024);
  EXPECT_TRUE(parse_json(text));
}

struct Heard : StepListener {
  std::vector<std::string> steps;
  bool begins(std::string_view, std::string_view) override { return true; }
  void heard(std::string_view step) override { steps.emplace_back(step); }
};

TEST(Decision, WhoListensHearsWhatIsKeptAndTheMomentsBetween) {
  Heard heard;
  DecisionLog log(start);
  log.step(start, "route", {{"model", "before"}});
  log.moment(start, "asking", {{"target", "nobody hears"}});
  log.tell_to(&heard);
  log.step(start + 1us, "plan", {{"order", "a/\"b"}});
  log.moment(start + 2us, "asking", {{"target", "a/\"b"}});
  log.step(start + 3us, "attempt", {{"outcome", "ok"}});
  EXPECT_EQ(heard.steps, (std::vector<std::string>{R"({"at_us":1,"step":"plan","order":"a/\"b"})", R"({"at_us":2,"step":"asking","target":"a/\"b"})",
                                                   R"({"at_us":3,"step":"attempt","outcome":"ok"})"}));
  log.tell_to(nullptr);
  log.step(start + 4us, "settled", {});
  EXPECT_EQ(heard.steps.size(), 3u);
  EXPECT_EQ(log.take(), R"([{"at_us":0,"step":"route","model":"before"},{"at_us":1,"step":"plan","order":"a/\"b"},)"
                        R"({"at_us":3,"step":"attempt","outcome":"ok"},{"at_us":4,"step":"settled"}])") << "moments are kept nowhere";
}

TEST(Decision, WhatIsNotKeptIsNotToldEither) {
  Heard heard;
  DecisionLog log(start);
  log.tell_to(&heard);
  for (int i = 0; i < 10'000; ++i) log.step(start, "retry", {{"target", "sim/sim-small"}, {"n", i}});
  const auto parsed = parse_json(log.take());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(heard.steps.size(), parsed->as_array().size() - 1) << "all but the one that counts the others";
}

}  // namespace
}  // namespace ballast::gateway
