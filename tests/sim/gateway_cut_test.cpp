// What is charged for a stream that ends without a word of what it cost: never less than the provider's own books say, and no
// more than can be proven.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::ElementsAre;

constexpr std::int64_t kOutputNano = 2000;                   // a token out, at the providers' price
constexpr int kMost = 4000;                                  // what the call may put out
constexpr std::int64_t kCeiling = kMost * kOutputNano;       // of the output alone

Options with(std::vector<SimFault> faults, RescueOptions rescue = {.mode = RescueMode::error}) {
  return {.first = std::move(faults),
          .route = {.targets = {*target_from("a/m", "t")}, .retries = {.attempts = 1}, .rescue = rescue},
          .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {100'000'000'000}, .period = BudgetPeriod::month}}};
}
BudgetStatus budget(const House& house) { return house.gateway->setup()->budgets->status().at(0); }

class CutInEveryWire : public testing::TestWithParam<Wire> {};
INSTANTIATE_TEST_SUITE_P(Wires, CutInEveryWire, testing::ValuesIn(kAll), [](const auto& info) { return std::string(to_string(info.param)); });

TEST_P(CutInEveryWire, WhatTheProviderCutCostsWhatWasSeenAtMost) {
  for (const auto kind : {SimFaultKind::cut, SimFaultKind::error_in_stream}) {
    House house(with({{.kind = kind, .after_tokens = 12}}));
    Asked asked{.wire = GetParam(), .stream = true, .max_tokens = kMost};
    house.serve(asked.call());
    const auto r = house.record();
    EXPECT_GE(r.incurred_nano, cost_of(house.first.simulator)) << to_string(kind);
    EXPECT_GE(r.incurred_nano, 12 * kOutputNano) << "twelve tokens were seen";
    EXPECT_LT(r.incurred_nano, kCeiling / 4) << "but nothing like " << kMost;
    EXPECT_EQ(budget(house).spent.nano, r.incurred_nano);
    EXPECT_EQ(budget(house).held, Money{}) << "nothing is left to reconcile";
    EXPECT_TRUE(house.gateway->setup()->budgets->unknown().empty());
  }
}

TEST_P(CutInEveryWire, WhatWeCutOurselvesCostsItsCeilingUntilReconciled) {
  House house(with({{.kind = SimFaultKind::stall, .after_tokens = 12}}));
  Asked asked{.wire = GetParam(), .stream = true, .max_tokens = kMost};
  house.serve(asked.call());
  const auto r = house.record();
  EXPECT_GE(r.incurred_nano, kCeiling) << "it may go on making tokens that nobody sees";
  EXPECT_EQ(budget(house).held.nano, r.incurred_nano);
  EXPECT_EQ(house.gateway->setup()->budgets->unknown().size(), 1u);
}

TEST_P(CutInEveryWire, ACutBehindTheHoldBackIsChargedForWhatWasSeenEachTime) {
  auto options = with({{.kind = SimFaultKind::cut, .first = 2, .after_tokens = 12}}, {.mode = RescueMode::restart, .hold_back = 64});
  options.route.retries.attempts = 4;
  House house(std::move(options));
  Asked asked{.wire = GetParam(), .stream = true, .max_tokens = kMost};
  const Caller& caller = house.serve(asked.call());
  EXPECT_EQ(hear(asked.wire, caller).text, kFirstSays);
  const auto r = house.record();
  EXPECT_THAT(outcomes(r), ElementsAre("a:provider_bad_response", "a:provider_bad_response", "a:ok"));
  EXPECT_GE(r.incurred_nano, cost_of(house.first.simulator));
  EXPECT_LT(r.incurred_nano, kCeiling / 2);
  EXPECT_EQ(budget(house).spent.nano, r.incurred_nano);
}

// The same wire passes bytes, another is decoded, and `continue` writes all anew: the bound holds on each road.
TEST_P(CutInEveryWire, TheBoundHoldsOnEveryRoad) {
  for (const auto mode : {RescueMode::error, RescueMode::restart, RescueMode::proceed})
    for (const auto kind : {llm::ProviderKind::simulator, llm::ProviderKind::anthropic}) {
      Options options = with({}, {.mode = mode, .hold_back = 2});
      options.second = {{.kind = SimFaultKind::cut, .after_tokens = 15}};
      options.route.targets = {*target_from("b/m", "t")};
      options.second_kind = kind;
      House house(std::move(options));
      Asked asked{.wire = GetParam(), .stream = true, .max_tokens = kMost};
      house.serve(asked.call());
      const auto r = house.record();
      EXPECT_GE(r.incurred_nano, cost_of(house.second.simulator)) << to_string(mode);
      EXPECT_LT(r.incurred_nano, kCeiling / 4) << to_string(mode);
    }
}

}  // namespace
}  // namespace ballast::gateway
