// Tokens where a decision depends on them: windows, limits and budgets by count, where bytes leave it open; and nothing is counted where they do not.
#include <gmock/gmock.h>

#include "road_house.hpp"
#include "tokens/tokens.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const tokens::Encoding& o200k() { return tokens::Encoding::o200k_base(); }

// English: 5 bytes and 1 token a word. Letters and digits at random: about two bytes a token.
std::string english(std::size_t words) {
  std::string out;
  for (std::size_t i = 0; i < words; ++i) out += " word";
  return out;
}
std::string dense(std::size_t bytes) {
  std::string out;
  SeededRandom random(7);
  while (out.size() < bytes) out += "qxzjvkwQXZJVKW0123456789+/"[random.next() % 26];
  return out;
}

llm::ModelOverride model(std::string provider, std::uint64_t context, const tokens::Encoding* encoding = &o200k()) {
  return {.provider = std::move(provider), .model = "m", .price = llm::PriceSet{.input = {1'000'000'000}, .output = {2'000'000'000}},
          .context = context, .max_output = 1000, .encoding = encoding};
}

struct Desk : House {
  explicit Desk(Options o) : House(std::move(o)) {}
  records::CallRecord ask(std::string_view text, std::string_view more = R"(,"max_tokens":100)") {
    auto& body = bodies.emplace_back(R"({"model":"chat","messages":[{"role":"user","content":)" + to_json(json::value(text)) + "}]" + std::string(more) + "}");
    last = &serve({.body = body, .content_type = "application/json"});
    return record();
  }
  std::deque<std::string> bodies;
  const Caller* last = nullptr;
};

json::array counts(const records::CallRecord& r, std::string_view why) {
  json::array found;
  const auto parsed = parse_json(r.decision);
  for (const auto& step : parsed->as_array())
    if (step.as_object().contains("by") && step.at("for").as_string() == why) found.push_back(step);
  return found;
}

// ---- Windows ----

TEST(TokenWindows, EnglishThatIsLongInBytesGoesWhereItFits) {
  Desk desk({.prices = {model("a", 4096), model("b", 100'000)}});
  const auto r = desk.ask(english(4000));            // 20,000 bytes, 5,000 by a quarter of them
  EXPECT_EQ(r.served_by, "a/m") << r.decision;
  const auto told = counts(r, "context");
  ASSERT_EQ(told.size(), 1u) << "the wider window holds all the bytes";
  EXPECT_EQ(told[0].at("of"), "a/m");
  EXPECT_EQ(told[0].at("tokens"), 4000 + 6);
  EXPECT_EQ(told[0].at("by"), "o200k_base");
}

TEST(TokenWindows, DenseTextThatIsShortInBytesGoesToTheWiderOne) {
  Desk desk({.prices = {model("a", 4096), model("b", 100'000)}});
  const auto text = dense(12'000);
  ASSERT_GT(o200k().count(text), 5000u) << "a quarter of the bytes would be 3,000";
  const auto r = desk.ask(text);
  EXPECT_EQ(r.served_by, "b/m") << r.decision;
  EXPECT_EQ(counts(r, "context").at(0).at("step"), "counted_beyond") << "stopped at the window";
  EXPECT_THAT(r.decision, HasSubstr("context_too_small"));
}

TEST(TokenWindows, NothingIsCountedWhereBytesTell) {
  Desk desk({.prices = {model("a", 4096), model("b", 100'000)}});
  EXPECT_THAT(steps(desk.ask(english(800))), Not(Contains("counted"))) << "4,000 bytes fit any way";
  const auto hopeless = desk.ask(english(26'300));   // more than 32 bytes for each token there is room for
  EXPECT_EQ(hopeless.served_by, "b/m");
  ASSERT_EQ(counts(hopeless, "context").size(), 1u);
  EXPECT_EQ(counts(hopeless, "context")[0].at("of"), "b/m");
}

TEST(TokenWindows, WhereNoEncodingIsKnownAQuarterOfTheBytesDecides) {
  Desk desk({.prices = {model("a", 4096, nullptr), model("b", 100'000, nullptr)}});
  const auto r = desk.ask(english(4000));
  EXPECT_EQ(r.served_by, "b/m");
  EXPECT_THAT(steps(r), Not(Contains("counted")));
}

TEST(TokenWindows, OneCountServesAllTargetsOfAnEncoding) {
  Route route{.targets = {*target_from("a/m", "t"), *target_from("b/m", "t")}, .strategy = Strategy::context};
  Desk desk({.route = route, .prices = {model("a", 3000), model("b", 4096)}});
  const auto r = desk.ask(english(3500));
  EXPECT_EQ(r.served_by, "b/m");
  ASSERT_EQ(counts(r, "context").size(), 2u) << r.decision;
  EXPECT_EQ(counts(r, "context")[0].at("of"), "b/m") << "the widest first";
  EXPECT_EQ(counts(r, "context")[1].at("tokens"), 3506) << "known from there";
}

TEST(TokenWindows, APromptThatFitsNowhereIsRefused) {
  Desk desk({.prices = {model("a", 2000), model("b", 3000)}});
  const auto r = desk.ask(dense(9000));
  EXPECT_EQ(r.error, "provider_context_length") << r.decision;
  EXPECT_TRUE(r.attempts.empty());
}

// ---- Limits ----

std::vector<LimitRule> tokens_a_minute(LimitScope scope, std::uint64_t n) { return {{.scope = scope, .tokens = Rate{n, 1min}}}; }

TEST(TokenLimits, ACallIsLetInByItsTokensWhereItsBytesWouldNotDo) {
  Desk desk({.prices = {model("a", 0)}, .limits = tokens_a_minute(LimitScope::key, 4500)});
  const auto r = desk.ask(english(4000));            // 5,000 by a quarter of the bytes
  EXPECT_EQ(r.served_by, "a/m") << r.decision;
  ASSERT_EQ(counts(r, "limits").size(), 1u);
  EXPECT_EQ(counts(r, "limits")[0].at("tokens"), 4006);
  EXPECT_THAT(r.decision, HasSubstr(R"("tokens_estimated":4106)"));
}

TEST(TokenLimits, ACallIsRefusedByItsTokensWhereItsBytesWouldPass) {
  Desk desk({.prices = {model("a", 0)}, .limits = tokens_a_minute(LimitScope::key, 4500)});
  const auto r = desk.ask(dense(12'000));            // 3,000 by a quarter of the bytes
  EXPECT_EQ(r.error, "policy_rate_limited") << r.decision;
  EXPECT_TRUE(r.attempts.empty());
  const auto next = desk.ask("hi");
  EXPECT_EQ(next.served_by, "a/m");
  EXPECT_EQ(desk.last->header("x-ratelimit-remaining-tokens"), "4400") << "the refused call left its room to others";
}

TEST(TokenLimits, NothingIsCountedFarFromALimitOrBeyondIt) {
  Desk desk({.prices = {model("a", 0)}, .limits = tokens_a_minute(LimitScope::key, 30'000)});
  EXPECT_THAT(steps(desk.ask(english(4000))), Not(Contains("counted"))) << "20,000 bytes fit any way";
  EXPECT_THAT(steps(desk.ask(english(250'000))), AllOf(Not(Contains("counted")), Contains("limit_refused"))) << "1.2 MB do not, whatever they are";
}

TEST(TokenLimits, AModelsLimitCountsByItsOwnEncoding) {
  Desk desk({.prices = {model("a", 0), model("b", 0)}, .limits = {{.scope = LimitScope::model, .match = "a/m", .tokens = Rate{4500, 1min}}}});
  const auto r = desk.ask(dense(12'000));
  EXPECT_EQ(r.served_by, "b/m") << r.decision;
  EXPECT_THAT(steps(r), Contains("target_limited"));
  EXPECT_EQ(desk.ask(english(4000)).served_by, "a/m");
}

TEST(TokenLimits, AKeyOfTheProviderIsReservedWhatWasCounted) {
  Desk desk({.prices = {model("a", 0)}, .first_keys = {{.name = "small", .value = "s", .tpm = 6000}, {.name = "wide", .value = "w"}}});
  EXPECT_EQ(desk.ask(english(800)).attempts.at(0).credential, "small");
  EXPECT_EQ(desk.ask("hi").attempts.at(0).credential, "wide");
  const auto r = desk.ask(dense(12'000));            // small's turn, and 3,000 by a quarter of the bytes
  EXPECT_EQ(r.attempts.at(0).credential, "wide") << r.decision;
  EXPECT_EQ(counts(r, "limits").size(), 1u);
}

// ---- Budgets ----

// A millionth of a dollar a token in: 20,000 bytes may cost 20 times what 4,000 tokens with all that stands around them do.
std::vector<BudgetRule> dollars(double n) { return {{.name = "all", .scope = BudgetScope::system, .amount = {static_cast<std::int64_t>(n * 1e9)}}}; }

TEST(TokenBudgets, APromptThatFitsByItsTokensIsServedWhole) {
  Desk desk({.budgets = dollars(0.006), .prices = {model("a", 0)}});
  const auto r = desk.ask(english(4000));            // at most 21,040 + 2 * 100 millionths by bytes, 5,040 + 200 by count
  EXPECT_EQ(r.served_by, "a/m") << r.decision;
  ASSERT_EQ(counts(r, "budget").size(), 1u);
  EXPECT_THAT(r.decision, HasSubstr(R"("ceiling_nano":5240000)"));
}

TEST(TokenBudgets, AnswersAreClampedByWhatTheTokensLeave) {
  Desk desk({.budgets = dollars(0.00508), .prices = {model("a", 0)}});
  const auto r = desk.ask(english(4000));
  EXPECT_EQ(r.served_by, "a/m") << r.decision;
  EXPECT_EQ(r.usage.output, 20u) << "as many as there was money for";
}

TEST(TokenBudgets, AskingAgainHoldsTheWordsBesideTheCount) {
  Options o{.first = {{.kind = SimFaultKind::json_wrong_type, .first = 1}}, .budgets = dollars(0.015), .prices = {model("a", 0)}};
  o.route.targets = {*target_from("a/m", "t")};
  Desk desk(std::move(o));
  const auto r = desk.ask(english(4000), R"(,"max_tokens":100,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":)"
                                         R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}})");
  EXPECT_THAT(outcomes(r), testing::ElementsAre("a:provider_invalid_output", "a:ok")) << r.decision;
  EXPECT_THAT(steps(r), AllOf(Contains("counted"), Contains("asked_again"))) << "by bytes the second time would not fit";
}

TEST(TokenBudgets, WhatIsTooDearByItsTokensIsRefused) {
  Desk desk({.budgets = dollars(0.006), .prices = {model("a", 0), model("b", 0)}});
  const auto r = desk.ask(dense(12'000));
  EXPECT_EQ(r.error, "policy_budget_exceeded") << r.decision;
  EXPECT_TRUE(r.attempts.empty());
}

TEST(TokenBudgets, NothingIsCountedWhereBytesFitOrNothingCould) {
  Desk rich({.budgets = dollars(1), .prices = {model("a", 0)}});
  EXPECT_THAT(steps(rich.ask(english(4000))), Not(Contains("counted")));
  Desk poor({.budgets = dollars(0.001), .prices = {model("a", 0), model("b", 0)}});
  EXPECT_THAT(steps(poor.ask(english(4000))), Not(Contains("counted")));
}

TEST(TokenBudgets, AnEstimateProvesNothing) {
  Desk desk({.budgets = dollars(0.006), .prices = {model("a", 0, nullptr), model("b", 0, nullptr)}});
  EXPECT_EQ(desk.ask(english(4000)).error, "policy_budget_exceeded");
}

TEST(TokenBudgets, ANameProvesNothingAtTheServersOfOthers) {
  auto named = model("a", 0, nullptr);
  named.model = "gpt-4o";
  Options o{.budgets = dollars(0.006), .prices = {named}};
  o.route.targets = {*target_from("a/gpt-4o", "t")};
  Desk desk(std::move(o));
  const auto r = desk.ask(english(4000));
  EXPECT_EQ(r.error, "policy_budget_exceeded") << r.decision;
  EXPECT_THAT(steps(r), Not(Contains("counted")));
}

}  // namespace
}  // namespace ballast::gateway
