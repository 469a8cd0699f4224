// How things stand: health, metrics, breakers, budgets, providers.
#include "api_house.hpp"
#include "records/audit.hpp"

namespace ballast::server::test {
namespace {

TEST(StateApi, HealthAsksNoKeyAndReadinessTellsWhy) {
  House house;
  EXPECT_EQ(house.ask("GET", "/healthz").text, "ok\n");
  const auto ready = house.ask("GET", "/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(ready.at("checks"), R"({"accepting":true,"database":true,"journal":true})");
  house.api->draining(true);
  const auto draining = house.ask("GET", "/readyz");
  EXPECT_EQ(draining.status, 503);
  EXPECT_NE(draining.at("checks").find(R"("accepting":false)"), std::string::npos);
  EXPECT_EQ(house.ask("GET", "/healthz").status, 200) << "alive all the same";
}

TEST(StateApi, MetricsAskAKeyOfACallerElsewhere) {
  House house;
  expect_problem(house.ask("GET", "/metrics"), 401, "authorization");
  EXPECT_EQ(house.ask("GET", "/metrics", kCaller).status, 403);
  const auto text = house.ask("GET", "/metrics", kReader);
  EXPECT_EQ(text.status, 200);
  EXPECT_NE(text.text.find("ballast_journal_failing 0"), std::string::npos);
  EXPECT_NE(text.text.find("ballast_budget_overspends 0"), std::string::npos);
  for (const char* peer : {"127.0.0.1:9", "[::1]:9"}) EXPECT_EQ(house.ask("GET", "/metrics", {}, {}, peer).status, 200) << peer;
}

// What the trail tells of administrators.
std::vector<std::string> acts(House& house) {
  std::vector<std::string> out;
  const auto told = house.database->read_now([](store::Tx& tx) { return records::list_audit(tx, records::admin_chain("0"), 0, 10); });
  for (const auto& row : told.value_or(std::vector<records::AuditRow>{})) out.push_back(fmt::format("{} {} by {}", row.entry.action, row.entry.subject, row.entry.actor));
  return out;
}

TEST(StateApi, StateNeedsReadAndChangesNeedAdmin) {
  House house;
  for (const char* path : {"/api/breakers", "/api/budgets", "/api/providers"}) {
    EXPECT_EQ(house.ask("GET", path).status, 401) << path;
    EXPECT_EQ(house.ask("GET", path, kCaller).status, 403) << path;
    EXPECT_EQ(house.ask("GET", path, kReader).status, 200) << path;
    EXPECT_EQ(house.ask("GET", path, kAdmin).status, 200) << path;
  }
  for (const char* path : {"/api/breakers/reset?provider=p&model=m", "/api/budgets/trust?model=p/m"}) EXPECT_EQ(house.ask("POST", path, kReader).status, 403) << path;
}

TEST(StateApi, ABreakerIsShownAndReset) {
  House house;
  for (int i = 0; i < 5; ++i) {
    auto permit = house.breakers.of("p", "m").try_acquire();
    ASSERT_TRUE(permit) << i;
    permit->failure(ErrorCode::provider_overloaded);
  }
  EXPECT_NE(house.ask("GET", "/api/breakers", kReader).text.find(R"("state":"open")"), std::string::npos);
  EXPECT_NE(house.ask("GET", "/metrics", kReader).text.find("ballast_breakers_open 1"), std::string::npos);
  expect_problem(house.ask("POST", "/api/breakers/reset", kAdmin), 400, "provider");
  expect_problem(house.ask("POST", "/api/breakers/reset?provider=p&model=other", kAdmin), 404, "provider");
  EXPECT_EQ(house.ask("POST", "/api/breakers/reset?provider=p&model=m", kAdmin).status, 200);
  EXPECT_NE(house.ask("GET", "/api/breakers", kReader).text.find(R"("state":"closed")"), std::string::npos);
  EXPECT_EQ(acts(house), (std::vector<std::string>{"breaker.reset p/m by key:admin"}));
}

TEST(StateApi, BudgetsShowWhatIsSpentAndLeft) {
  House house({{.name = "all", .scope = gateway::BudgetScope::system, .amount = Money{5'000'000'000}, .period = gateway::BudgetPeriod::day}});
  house.gateway->setup()->budgets->restore(
      [&] {
        auto hold = house.gateway->setup()->budgets->status(gateway::BudgetSubject{});
        return hold.empty() ? std::string() : hold[0].window;
      }(),
      Money{1'500'000'000});
  const auto answer = house.ask("GET", "/api/budgets", kReader);
  EXPECT_EQ(answer.count("budgets"), 1u) << answer.text;
  EXPECT_NE(answer.text.find(R"("spent_usd":"1.500000000")"), std::string::npos) << answer.text;
  EXPECT_NE(answer.text.find(R"("remaining_usd":"3.500000000")"), std::string::npos);
  expect_problem(house.ask("POST", "/api/budgets/trust", kAdmin), 400, "model");
  expect_problem(house.ask("POST", "/api/budgets/trust?model=nope", kAdmin), 404, "model");
  house.gateway->setup()->budgets->book_over("p/m", {1}, {2});
  EXPECT_EQ(house.ask("GET", "/api/budgets", kAdmin).count("distrusted_models"), 1u);
  EXPECT_EQ(house.ask("POST", "/api/budgets/trust?model=p/m", kAdmin).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/budgets", kAdmin).count("distrusted_models"), 0u);
  EXPECT_EQ(house.ask("POST", "/api/budgets/trust?model=p/m", kAdmin).status, 404) << "trusted already";
  EXPECT_EQ(acts(house), (std::vector<std::string>{"budget.model_trusted p/m by key:admin"}));
}

TEST(StateApi, APathThatNobodyOwnsSaysWhereToLook) {
  House house;
  const auto lost = house.ask("GET", "/api/nonsense", kAdmin);
  expect_problem(lost, 404, "");
  EXPECT_NE(lost.text.find("/openapi.json"), std::string::npos);
  const auto document = house.ask("GET", "/openapi.json");
  EXPECT_EQ(document.status, 200);
  for (const char* path : {"/api/keys", "/api/usage", "/api/calls", "/api/breakers", "/api/budgets", "/api/providers"})
    EXPECT_TRUE(document.body().as_object().at("paths").as_object().contains(path)) << path;
}

TEST(Routes, WhatIsNotThereIsToldInTheWordsOfItsApi) {
  House house;
  struct Row { const char *method, *target; int status; const char* holds; };
  for (const auto& [method, target, status, holds] :
       {Row{"POST", "/v1/completions", 404, R"({"error":{"message":)"}, {"GET", "/v1/chat/completions", 405, R"("type":"invalid_request_error")"},
        {"POST", "/v1/messages/batches", 404, R"({"type":"error","error":{"type":"not_found_error")"}, {"GET", "/v1/messages", 405, R"({"type":"error")"},
        {"GET", "/v1beta/models", 404, R"("status":"NOT_FOUND")"}, {"GET", "/v1beta/models/a/b:generateContent", 405, R"("error":{"code":)"},
        {"POST", "/v1/models", 405, R"({"error":)"}, {"POST", "/api/usage", 405, R"("status":405)"}, {"POST", "/api/breakers", 405, "takes GET"},
        {"GET", "/api/nothing", 404, R"("status":404)"}, {"PUT", "/metrics", 405, "takes GET"}, {"GET", "/", 404, "/openapi.json"}}) {
    const auto answer = house.ask(method, target, kAdmin);
    EXPECT_EQ(answer.status, status) << method << " " << target;
    EXPECT_NE(answer.text.find(holds), std::string::npos) << method << " " << target << " " << answer.text;
  }
  EXPECT_EQ(house.ask("PUT", "/api/keys", kAdmin).allow, "GET, POST");
  EXPECT_EQ(house.ask("PUT", "/api/keys/key_1", kAdmin).allow, "GET, PATCH, DELETE");
}

}  // namespace
}  // namespace ballast::server::test
