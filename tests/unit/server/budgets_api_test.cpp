// Charges whose cost nobody told, over the API: who may, what is said, and that the budgets in memory follow the ledger once.
#include "api_house.hpp"

namespace ballast::server::test {
namespace {

// Noon plus two hours is the house's now; the call is of noon, so of an earlier process.
records::CallRecord left_behind(const std::string& window) {
  auto intent = ballast::test::sample_intent(1);
  intent.charges = {{window, 300'000}};
  return records::unknown_outcome(intent);
}

struct BudgetHouse : House {
  BudgetHouse() : House({{.name = "all", .scope = gateway::BudgetScope::system, .amount = {1'000'000'000}, .period = gateway::BudgetPeriod::day}}) {
    const auto call = left_behind(window());
    EXPECT_TRUE(database->write_now([&](store::Tx& tx) { return records::add_calls(tx, {&call, 1}); }));
    EXPECT_TRUE(book().restore(window(), {300'000}));
  }
  gateway::BudgetBook& book() { return *gateway->setup()->budgets; }
  std::string window() { return book().status().at(0).window; }
  Answer say(std::string incurred, std::string_view secret = kAdmin) {
    return ask("POST", "/api/budgets/reconcile", secret, R"({"call":")" + id + R"(","incurred":")" + incurred + "\"}");
  }
  const std::string id = to_string(ballast::test::call_id(1), "call");
};

TEST(BudgetsApi, WhatNobodyToldIsListedAndPutRightOnceForAdmins) {
  BudgetHouse house;
  EXPECT_EQ(house.ask("GET", "/api/budgets/unknown", kCaller).status, 403);
  const auto listed = house.ask("GET", "/api/budgets/unknown", kReader);
  ASSERT_EQ(listed.count("unknown"), 1u) << listed.text;
  EXPECT_NE(listed.text.find(R"("charged_usd":"0.000300000")"), std::string::npos) << listed.text;
  EXPECT_NE(listed.text.find(house.window()), std::string::npos) << listed.text;

  EXPECT_EQ(house.say("0.0001", kReader).status, 403);
  const auto done = house.say("0.0001");
  EXPECT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(done.at("was_usd"), "0.000300000");
  EXPECT_EQ(done.at("already"), "false");
  EXPECT_EQ(house.book().status()[0].spent, Money{100'000});
  EXPECT_EQ(house.say("0.0001").at("already"), "true");
  EXPECT_EQ(house.book().status()[0].spent, Money{100'000}) << "once";
  expect_problem(house.say("0.0002"), 409, "incurred");
  EXPECT_EQ(house.ask("GET", "/api/budgets/unknown", kReader).count("unknown"), 0u);
}

TEST(BudgetsApi, PagesAreBoundedAndMistakesNamed) {
  BudgetHouse house;
  EXPECT_EQ(house.ask("GET", "/api/budgets/unknown?limit=1", kReader).at("next"), house.id);
  EXPECT_EQ(house.ask("GET", "/api/budgets/unknown?before=" + house.id, kReader).count("unknown"), 0u);
  for (const char* query : {"limit=0", "limit=x", "before=x", "from=x", "to=x"})
    expect_problem(house.ask("GET", std::string("/api/budgets/unknown?") + query, kReader), 400, std::string_view(query).substr(0, std::string_view(query).find('=')));
  for (const auto& [body, field] : {std::pair(R"([])", ""), std::pair(R"({})", "call"), std::pair(R"({"call":"call_1","incurred":"1"})", "call")})
    EXPECT_EQ(house.ask("POST", "/api/budgets/reconcile", kAdmin, body).status, 400) << body << field;
  expect_problem(house.say("-1"), 400, "incurred");
  expect_problem(house.say("1e-3"), 400, "incurred");
  expect_problem(house.say("1000001"), 400, "incurred");
  EXPECT_EQ(house.book().status()[0].spent, Money{300'000});
}

}  // namespace
}  // namespace ballast::server::test
