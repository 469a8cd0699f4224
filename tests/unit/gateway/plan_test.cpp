// Plans, by tables: what a route, the needs of a request and the state of the world make of each other.
#include "gateway/plan.hpp"

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;
const WallTime kNow = SimClock().wall();
const MonoTime kMono = SimClock().mono();

Route route_of(Strategy strategy, std::size_t targets) {
  Route r{.name = "chat", .strategy = strategy};
  for (std::size_t i = 0; i < targets; ++i) r.targets.push_back(*target_from("p/m" + std::to_string(i), "t"));
  return r;
}
Price per_million(double dollars) { return {static_cast<std::int64_t>(dollars * 1e9)}; }
BreakerView open_until(Duration d) { return {.state = BreakerState::open, .admits = false, .retry_at = kMono + d}; }
using Order = std::vector<std::uint32_t>;

TEST(Plan, OrderedKeepsTheOrderAndSkipsWhatCannotServe) {
  struct Case { std::string_view why; Needs needs; TargetView view; std::optional<SkipReason> skip; };
  const std::vector<Case> cases{
      {"nothing needed", {}, {.tools = false, .images = false, .json = false, .prefill = false}, std::nullopt},
      {"tools", {.tools = true}, {.tools = false}, SkipReason::no_tools},
      {"images", {.images = true}, {.images = false}, SkipReason::no_images},
      {"json", {.json = true}, {.json = false}, SkipReason::no_json},
      {"prefill", {.prefill = true}, {.prefill = false}, SkipReason::no_prefill},
      {"fits exactly", {.context_tokens = 8192}, {.context = 8192}, std::nullopt},
      {"too long", {.context_tokens = 8193}, {.context = 8192}, SkipReason::context_too_small},
      {"too long by bytes, fits as counted", {.context_tokens = 8193}, {.context = 8192, .fits = true}, std::nullopt},
      {"fits by bytes, too long as counted", {.context_tokens = 100}, {.context = 8192, .fits = false}, SkipReason::context_too_small},
      {"unknown window", {.context_tokens = 1'000'000}, {}, std::nullopt},
      {"open", {}, {.breaker = open_until(1s)}, SkipReason::breaker_open},
      {"half-open without a probe out", {}, {.breaker = {.state = BreakerState::half_open}}, std::nullopt},
      {"no key", {}, {.credential = false}, SkipReason::no_credential},
      {"budget", {}, {.affordable = false}, SkipReason::over_budget},
      {"no price", {}, {.priced_enough = false}, SkipReason::unpriced},
  };
  const auto route = route_of(Strategy::ordered, 3);
  for (const auto& c : cases) {
    const std::vector<TargetView> views{{}, c.view, {}};
    const auto plan = make_plan(route, c.needs, views, kNow, {});
    if (!c.skip) {
      EXPECT_EQ(plan.order, (Order{0, 1, 2})) << c.why;
      continue;
    }
    EXPECT_EQ(plan.order, (Order{0, 2})) << c.why;
    ASSERT_EQ(plan.skipped.size(), 1u) << c.why;
    EXPECT_EQ(plan.skipped[0].target, 1u);
    EXPECT_EQ(plan.skipped[0].reason, *c.skip) << c.why;
  }
}

TEST(Plan, WhatRestsIsKeptInReserveInTheStrategysOrder) {
  std::vector<TargetView> views(4);
  views[0] = {.input = per_million(3), .output = per_million(3), .breaker = open_until(9s)};
  views[1] = {.credential = false};
  views[2] = {.input = per_million(1), .output = per_million(1), .breaker = open_until(5s)};
  auto plan = make_plan(route_of(Strategy::cheapest, 4), {.context_tokens = 1000}, views, kNow, {});
  EXPECT_EQ(plan.order, (Order{3}));
  EXPECT_EQ(plan.resting, (Order{2, 0}));
  EXPECT_FALSE(plan.retry_at);
  views[3].breaker = {.state = BreakerState::half_open, .admits = false};
  plan = make_plan(route_of(Strategy::ordered, 4), {}, views, kNow, {});
  EXPECT_TRUE(plan.order.empty());
  EXPECT_EQ(plan.resting, (Order{0, 2, 3}));
}

TEST(Plan, StrategiesOrderByWhatTheyAreNamedFor) {
  std::vector<TargetView> views(3);
  views[0] = {.context = 200'000, .input = per_million(3), .output = per_million(15), .breaker = {.latency = 3s, .first_token = 100ms}};
  views[1] = {.context = 8'192, .input = per_million(0.1), .output = per_million(0.4), .breaker = {.latency = 1s, .first_token = 300ms}};
  views[2] = {.context = 128'000, .input = per_million(0.5), .output = per_million(0.1), .breaker = {.latency = 2s, .first_token = 200ms}};
  const auto order = [&](Strategy s, Needs needs) { return make_plan(route_of(s, 3), needs, views, kNow, {}).order; };
  EXPECT_EQ(order(Strategy::least_latency, {}), (Order{1, 2, 0}));
  EXPECT_EQ(order(Strategy::least_latency, {.stream = true}), (Order{0, 2, 1}));
  EXPECT_EQ(order(Strategy::cheapest, {.context_tokens = 1000, .output_tokens = 1000}), (Order{1, 2, 0}));
  EXPECT_EQ(order(Strategy::cheapest, {.context_tokens = 10, .output_tokens = 10'000}), (Order{2, 1, 0}));
  EXPECT_EQ(order(Strategy::context, {.context_tokens = 500}), (Order{1, 2, 0}));
  EXPECT_EQ(order(Strategy::context, {.context_tokens = 9'000}), (Order{2, 0}));
  views[1].input.reset();
  views[2].breaker = {};
  EXPECT_EQ(order(Strategy::cheapest, {.context_tokens = 1000, .output_tokens = 1000}), (Order{2, 0, 1})) << "unpriced last";
  EXPECT_EQ(order(Strategy::least_latency, {})[0], 2u) << "the untried is tried";
}

TEST(Plan, ComplexityPrefersTheClassThenTheHarder) {
  auto route = route_of(Strategy::complexity, 4);
  route.targets[0].complexity = Complexity::simple;
  route.targets[1].complexity = Complexity::hard;
  route.targets[2].complexity = Complexity::medium;
  const std::vector<TargetView> views(4);
  const auto order = [&](std::optional<Complexity> c) { return make_plan(route, {.complexity = c}, views, kNow, {}).order; };
  EXPECT_EQ(order(Complexity::simple), (Order{0, 3, 2, 1}));
  EXPECT_EQ(order(Complexity::medium), (Order{2, 3, 1, 0}));
  EXPECT_EQ(order(Complexity::hard), (Order{1, 3, 2, 0}));
  EXPECT_EQ(order(std::nullopt), (Order{0, 1, 2, 3}));
}

TEST(Plan, IntentPrefersTheTargetsOfTheLabelThenThoseForAnything) {
  auto route = route_of(Strategy::intent, 4);
  route.targets[0].intents = {"refund", "delivery"};
  route.targets[1].intents = {"account"};
  route.targets[3].intents = {"refund"};
  std::vector<TargetView> views(4);
  const auto order = [&](std::string_view intent) { return make_plan(route, {.intent = intent}, views, kNow, {}).order; };
  EXPECT_EQ(order("refund"), (Order{0, 3, 2, 1}));
  EXPECT_EQ(order("account"), (Order{1, 2, 0, 3}));
  EXPECT_EQ(order("chitchat"), (Order{2, 0, 1, 3})) << "a label that no target is meant for";
  EXPECT_EQ(order(""), (Order{2, 0, 1, 3})) << "unclear";
  views[0].breaker = open_until(1s);
  EXPECT_EQ(order("refund"), (Order{3, 2, 1}));
}

TEST(Plan, WeightsDecideHowOftenATargetIsFirst) {
  auto route = route_of(Strategy::weighted, 3);
  route.targets[0].weight = 3;
  route.targets[2].weight = 0;
  const std::vector<TargetView> views(3);
  SeededRandom random(7);
  int first = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::vector<double> draws{random.uniform(), random.uniform(), random.uniform()};
    const auto order = make_plan(route, {}, views, kNow, draws).order;
    first += order[0] == 0;
    ASSERT_EQ(order[2], 2u) << "weight 0 comes last";
  }
  EXPECT_NEAR(first, 3000, 120);
}

TEST(Plan, NothingToTrySaysWhy) {
  struct Case { Needs needs; std::vector<TargetView> views; ErrorCode code; };
  const std::vector<Case> cases{
      {{}, {{.breaker = open_until(3s)}, {.breaker = open_until(2s)}}, ErrorCode::provider_all_failed},
      {{}, {{.affordable = false}, {.breaker = open_until(2s)}}, ErrorCode::provider_all_failed},
      {{}, {{.affordable = false}, {.priced_enough = false}}, ErrorCode::policy_budget_exceeded},
      {{}, {{.priced_enough = false}, {.priced_enough = false}}, ErrorCode::policy_unpriced_model},
      {{.context_tokens = 10}, {{.context = 5}, {.context = 6}}, ErrorCode::provider_context_length},
      {{.tools = true}, {{.tools = false}, {.tools = false}}, ErrorCode::caller_invalid_request},
  };
  for (const auto& c : cases) {
    const auto route = route_of(Strategy::ordered, c.views.size());
    const auto plan = make_plan(route, c.needs, c.views, kNow, {});
    EXPECT_TRUE(plan.order.empty());
    const auto error = nothing_to_try(route, plan, kMono);
    EXPECT_EQ(error.code, c.code) << error.message;
    if (c.code == ErrorCode::provider_all_failed) EXPECT_EQ(error.retry_after, 2s);
  }
}

TEST(Plan, WarnsBeforeAModelRetires) {
  const auto warnings = [&](Duration in) {
    const std::vector<TargetView> views{{.retires = kNow + in}};
    return make_plan(route_of(Strategy::ordered, 1), {}, views, kNow, {}).warnings;
  };
  EXPECT_TRUE(warnings(24h * 91).empty());
  EXPECT_EQ(warnings(24h * 30), std::vector<std::string>{"p/m0 will be retired on 2026-01-31"});
  EXPECT_EQ(warnings(-24h), std::vector<std::string>{"p/m0 was retired on 2025-12-31"});
}

TEST(Plan, AContextErrorLeadsToALargerModelOnly) {
  EXPECT_TRUE(larger_context({.context = 8}, {.context = 9}));
  EXPECT_FALSE(larger_context({.context = 8}, {.context = 8}));
  EXPECT_FALSE(larger_context({.context = 8}, {}));
  EXPECT_TRUE(larger_context({}, {.context = 9}));
  EXPECT_TRUE(larger_context({}, {})) << "nothing is known: the provider is the judge";
}

}  // namespace
}  // namespace ballast::gateway
