// /api/feedback: who may judge what, what a verdict replaces, and mistakes by name.
#include "api_house.hpp"
#include "shapes.hpp"

namespace ballast::server::test {
namespace {

using ballast::test::call_id;

std::string verdict(std::uint64_t n, std::string_view rest = R"("verdict":"good")") { return fmt::format(R"({{"call":"{}",{}}})", to_string(call_id(n), "call"), rest); }

TEST(FeedbackApi, AKeyJudgesItsOwnCallsAndAnAdminAll) {
  House house;
  house.calls("config:caller", 1, 2);
  house.calls("key_of_another", 10, 1);
  EXPECT_EQ(house.ask("POST", "/api/feedback", {}, verdict(1)).status, 401);
  EXPECT_EQ(house.ask("POST", "/api/feedback", kReader, verdict(1)).status, 403) << "who only reads changes nothing";
  const auto mine = house.ask("POST", "/api/feedback", kCaller, verdict(1));
  EXPECT_EQ(mine.status, 201) << mine.text;
  EXPECT_TRUE(mine.at("id").starts_with("fb_"));
  expect_problem(house.ask("POST", "/api/feedback", kCaller, verdict(10)), 404, "call", "another's call is not found, not forbidden");
  EXPECT_EQ(house.ask("POST", "/api/feedback", kAdmin, verdict(10)).status, 201);
  EXPECT_EQ(house.ask("GET", "/api/feedback", kCaller).status, 403);
  const auto report = house.ask("GET", "/api/feedback?by=key", kReader);
  EXPECT_EQ(report.status, 200) << report.text;
  EXPECT_EQ(report.count("rows"), 2u);
  EXPECT_EQ(report.count("recent"), 2u);
}

TEST(FeedbackApi, AVerdictIsReplacedAndTheDecisionTellsIt) {
  House house;
  house.calls("config:caller", 1, 1);
  const auto first = house.ask("POST", "/api/feedback", kCaller, verdict(1, R"("verdict":"bad","comment":"no \u001b[31m")"));
  EXPECT_EQ(first.at("replaced"), "false") << first.text;
  const auto second = house.ask("POST", "/api/feedback", kCaller, verdict(1, R"("verdict":"good","score":0.5)"));
  EXPECT_EQ(second.at("id"), first.at("id"));
  EXPECT_EQ(second.at("replaced"), "true");
  const auto third = house.ask("POST", "/api/feedback", kCaller, verdict(1, R"("verdict":"bad","user":"someone else")"));
  EXPECT_EQ(third.at("replaced"), "false");
  const json::value report = house.ask("GET", "/api/feedback", kAdmin).body();
  const json::object row = report.as_object().at("rows").as_array().at(0).as_object();
  EXPECT_EQ(row.at("good").to_number<int>(), 1);
  EXPECT_EQ(row.at("bad").to_number<int>(), 1);
  EXPECT_EQ(row.at("incurred_usd").as_string(), "0.000125000");
  EXPECT_TRUE(row.at("usd_per_good").is_null()) << "nothing was a success";
  const json::value decision = house.ask("GET", "/api/decisions/" + to_string(call_id(1), "call"), kAdmin).body();
  ASSERT_EQ(decision.as_object().at("feedback").as_array().size(), 2u);
  const Shapes shapes(house.ask("GET", "/openapi.json").body());
  EXPECT_EQ(shapes.fault("get", "/api/feedback", report), "");
  EXPECT_EQ(shapes.fault("get", "/api/decisions/{id}", decision), "");
}

TEST(FeedbackApi, MistakesAreNamed) {
  House house;
  house.calls("config:caller", 1, 1);
  const std::string call = to_string(call_id(1), "call");
  struct Bad {
    std::string body, field;
  };
  for (const Bad& b : {Bad{R"({"verdict":"good"})", "call"}, {fmt::format(R"({{"call":"{}","job":"job_0000000000001","verdict":"good"}})", call), "call"},
                       {R"({"call":"job_1","verdict":"good"})", "call"}, {R"({"job":"call_1","verdict":"good"})", "job"}, {R"({"call":7,"verdict":"good"})", "call"},
                       {verdict(1, R"("verdict":"fine")"), "verdict"}, {verdict(1, R"("comment":"x")"), "verdict"}, {verdict(1, R"("verdict":"good","score":1.5)"), "score"},
                       {verdict(1, R"("verdict":"good","score":"1")"), "score"}, {verdict(1, R"("verdict":"good","stars":5)"), "stars"},
                       {verdict(1, fmt::format(R"("verdict":"good","comment":"{}")", std::string(5000, 'x'))), "comment"},
                       {verdict(1, fmt::format(R"("verdict":"good","user":"{}")", std::string(200, 'x'))), "user"}})
    expect_problem(house.ask("POST", "/api/feedback", kCaller, b.body), 400, b.field, b.body);
  EXPECT_EQ(house.ask("POST", "/api/feedback", kCaller, "{").status, 400);
  EXPECT_EQ(house.ask("POST", "/api/feedback", kCaller, verdict(99)).status, 404);
  expect_problem(house.ask("GET", "/api/feedback?by=mood", kReader), 400, "by");
  expect_problem(house.ask("GET", "/api/feedback?from=soon", kReader), 400, "from");
  EXPECT_EQ(house.ask("DELETE", "/api/feedback", kAdmin).status, 405);
}

}  // namespace
}  // namespace ballast::server::test
