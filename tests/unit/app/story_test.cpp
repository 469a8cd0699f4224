#include "app/story.hpp"

#include <gtest/gtest.h>

#include "app/table.hpp"

namespace ballast::app {
namespace {

TEST(Story, TellsACallThatFailedOver) {
  const auto record = parse_json(R"({"id":"call_1","arrived":"2026-11-21T04:00:00.000Z","status":"ok","error":"","http_status":200,
    "key_id":"key_1","key_name":"app","team":"web","user":"ann","feature":"","requested_model":"chat","operation":"chat","api":"openai_chat",
    "served_by":"b/beta","tokens":{"input":7,"output":9},"incurred_usd":"0.000000025","billed_usd":"0.000000025","latency_us":12345,
    "first_token_us":900,"attempts":[{"provider":"a","model":"alpha","outcome":"provider_overloaded","http_status":503,"latency_us":800,
    "incurred_usd":"0.000000000"},{"provider":"b","model":"beta","outcome":"ok","http_status":200,"latency_us":9000,"incurred_usd":"0.000000025"}],
    "charges":{"daily|*|1":"0.000000025"},"decision":[{"at_us":5,"step":"route","model":"chat","route":"chat","key":"app","stream":true},
    {"at_us":900,"step":"fail_over","from":"a/alpha","to":"b/beta","why":"provider_overloaded"},{"at_us":901,"step":"brand_new","x":1}]})");
  ASSERT_TRUE(record) << record.error().message;
  const std::string told = tell(*record);
  for (const char* part : {"call_1", "key app, user ann, team web", "served by  b/beta", "$0.000000025 incurred", "12.3 ms, first token after 900 µs",
                           "a/alpha  provider_overloaded (HTTP 503)", "asked for \"chat\", which is route \"chat\"; key \"app\"; a stream",
                           "a/alpha failed (provider_overloaded); went on to b/beta", "brand_new: x 1", "daily|*|1  $0.000000025"})
    EXPECT_NE(told.find(part), std::string::npos) << part << "\n" << told;
}

TEST(Story, NeverFails) {
  for (const char* text : {"null", "[]", "{}", R"({"attempts":3,"decision":"x","charges":[]})", R"({"attempts":[1],"decision":[null]})"})
    EXPECT_FALSE(tell(*parse_json(text)).empty()) << text;
}

TEST(Table, AlignsAndLeavesEmptyColumnsOut) {
  const auto rows = parse_json(R"([{"key":"app","calls":1200,"team":""},{"key":"é","calls":7,"team":""}])");
  EXPECT_EQ(table(rows->as_array()), "key  calls\napp   1200\né        7\n");
}

}  // namespace
}  // namespace ballast::app
