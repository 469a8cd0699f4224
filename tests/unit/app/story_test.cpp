#include "app/story.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/table.hpp"
#include "gateway/decision.hpp"

namespace ballast::app {
namespace {

TEST(Story, TellsACallThatFailedOver) {
  const auto record = parse_json(R"({"id":"call_1","arrived":"2026-11-21T04:00:00.000Z","status":"ok","error":"","http_status":200,
    "key_id":"key_1","key_name":"app","team":"web","user":"ann","feature":"","requested_model":"chat","operation":"chat","api":"openai_chat",
    "served_by":"b/beta","tokens":{"input":7,"output":9},"incurred_usd":"0.000000025","billed_usd":"0.000000025","routing_saved_usd":"0.000000005","latency_us":12345,
    "first_token_us":900,"attempts":[{"provider":"a","model":"alpha","outcome":"provider_overloaded","http_status":503,"latency_us":800,
    "incurred_usd":"0.000000000"},{"provider":"b","model":"beta","outcome":"ok","http_status":200,"latency_us":9000,"incurred_usd":"0.000000025"}],
    "charges":{"daily|*|1":"0.000000025"},"decision":[{"at_us":5,"step":"route","model":"chat","route":"chat","key":"app","stream":true},
    {"at_us":900,"step":"fail_over","from":"a/alpha","to":"b/beta","why":"provider_overloaded"},{"at_us":901,"step":"brand_new","x":1}]})");
  ASSERT_TRUE(record) << record.error().message;
  const std::string told = tell(*record);
  for (const char* part : {"call_1", "key app, user ann, team web", "served by  b/beta", "$0.000000025 incurred, $0.000000025 billed, $0.000000005 saved by routing\n", "12.3 ms, first token after 900 µs",
                           "a/alpha  provider_overloaded (HTTP 503)", "asked for \"chat\", which is route \"chat\"; key \"app\"; a stream",
                           "a/alpha failed (provider_overloaded); went on to b/beta", "brand_new: x 1", "daily|*|1  $0.000000025"})
    EXPECT_NE(told.find(part), std::string::npos) << part << "\n" << told;
}

std::string told_step(const std::string& step) {
  const auto record = parse_json(R"({"decision":[)" + step + "]}");
  const std::string told = tell(*record);
  return told.substr(told.rfind("  ", told.size() - 2) + 2);
}

TEST(Story, HasWordsForEveryStepThatARecordMayHave) {
  for (const std::string_view step : gateway::kDecisionSteps) {
    const std::string told = told_step(fmt::format(R"({{"at_us":1,"step":"{}","a_fact_of_no_phrase":"left"}})", step));
    EXPECT_EQ(told.find("left"), std::string::npos) << step << " is told by its facts: " << told;
  }
  EXPECT_NE(told_step(R"({"at_us":1,"step":"brand_new","a_fact_of_no_phrase":"left"})").find("left"), std::string::npos);
}

TEST(Story, TellsFactsInTheirUnits) {
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"waited","us":1200000,"admitted":true})"), "a limit made it wait 1.20 s\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"held","ceiling_nano":1500000000})"), "held up to $1.500000000 against its budgets\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"routing_saved","saved_nano":500,"than":"a/b","would_cost_nano":700})"), "at a/b it would have cost $0.000000700: $0.000000500 saved\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"budget_refused","ceiling_nano":7,"why":"w"})"), "a budget has no room for up to $0.000000007: w\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"budget_refused","target":"a/b","why":"w"})"), "left a/b out: w\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"route","model":"a/b","route":"","key":"k","stream":false})"), "asked for \"a/b\" by name; key \"k\"\n");
  EXPECT_EQ(told_step(R"({"at_us":1,"step":"new","x_us":5,"\u001b[2J":"\u001b]0;t\u0007"})"), "new: x_us 5 µs, ?[2J ?]0;t?\n");
}

TEST(Story, NeverFails) {
  for (const char* text : {"null", "[]", "{}", R"({"attempts":3,"decision":"x","charges":[]})", R"({"attempts":[1],"decision":[null]})"})
    EXPECT_FALSE(tell(*parse_json(text)).empty()) << text;
}

TEST(Story, NothingInItSteersTheTerminal) {
  const std::string attack = R"(\u001b[2J\u009b31m\u202e\n)";
  const auto record = parse_json(fmt::format(R"({{"id":"{0}","user":"{0}","tokens":{{"{0}":"{0}"}},"attempts":[{{"provider":"{0}","outcome":"{0}"}}],"charges":{{"{0}":"{0}"}},
      "decision":[{{"at_us":1,"step":"warning","text":"{0}"}},{{"at_us":1,"step":"{0}","{0}":"{0}"}}],"feedback":[{{"verdict":"{0}","comment":"{0}"}}]}})", attack));
  ASSERT_TRUE(record) << record.error().message;
  const auto run = parse_json(fmt::format(R"({{"id":"{0}","flow":"{0}","records":[{{"stage":"{0}","what":"done","at":"{0}","error":{{"message":"{0}"}},
      "output":{{"intent":"{0}","sql":"{0}","question":"{0}"}}}}]}})", attack));
  ASSERT_TRUE(run) << run.error().message;
  for (const std::string& told : {tell(*record), tell_run(*run)}) {
    EXPECT_NE(told.find("?[2J?31m?"), std::string::npos) << told;
    for (const char* part : {"\x1b", "\xc2\x9b", "\xe2\x80\xae"}) EXPECT_EQ(told.find(part), std::string::npos) << told;
  }
}

TEST(Table, AlignsAndLeavesEmptyColumnsOut) {
  const auto rows = parse_json(R"([{"key":"app","calls":1200,"team":""},{"key":"é","calls":7,"team":""}])");
  EXPECT_EQ(table(rows->as_array()), "key  calls\napp   1200\né        7\n");
}

}  // namespace
}  // namespace ballast::app
