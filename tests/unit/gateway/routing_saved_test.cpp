// What the dearest target would have cost, by tables of prices and of what a provider tells.
#include "gateway/routing_saved.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

using llm::ModelInfo, llm::ServiceTier, llm::Usage;

Price per_million(double dollars) { return {static_cast<std::int64_t>(dollars * 1e9)}; }
ModelInfo priced(double input, double output) { return {.price = {.input = per_million(input), .output = per_million(output)}}; }

std::optional<Dearest> among(const Usage& usage, const std::vector<ModelInfo>& models) {
  std::vector<const ModelInfo*> choice;
  for (const ModelInfo& m : models) choice.push_back(&m);
  return dearest_of(usage, choice);
}

TEST(RoutingSaved, IsHeldAgainstTheDearestForTheTokensThatWereUsed) {
  struct Case { std::string_view why; Usage usage; std::vector<ModelInfo> models; Dearest dearest; };
  ModelInfo cached = priced(1, 5), stepped = priced(1, 5), thinking = priced(1, 5), priority = priced(1, 5), asked = priced(1, 5), halved = priced(4, 4);
  cached.price.cache_read = per_million(0.1);
  cached.price.cache_write_1h = per_million(9);
  stepped.tier_above = 1000;
  stepped.tier = {.input = per_million(20), .output = per_million(20)};
  thinking.price.reasoning = per_million(50);
  priority.priority = llm::TierPrices{.price = {.input = per_million(30), .output = per_million(30)}, .above = {}};
  asked.per_request = Price{1'000'000'000};          // 1,000 nano-dollars a call
  halved.batch_percent = 50;
  const std::vector<Case> cases{
      {"three, the dearest in the middle", {.input_uncached = 100, .output = 10}, {priced(1, 5), priced(10, 30), priced(3, 15)}, {1, {100 * 10'000 + 10 * 30'000}}},
      {"which is dearest hangs on the usage: much in", {.input_uncached = 1000, .output = 1}, {priced(3, 1), priced(1, 30)}, {0, {3'001'000}}},
      {"much out", {.input_uncached = 1, .output = 1000}, {priced(3, 1), priced(1, 30)}, {1, {30'001'000}}},
      {"equal ones: the first", {.output = 7}, {priced(1, 5), priced(2, 5)}, {0, {35'000}}},
      {"a cache's tokens at each one's own price for them", {.input_uncached = 1, .cache_read = 1000}, {cached, priced(0.5, 1)}, {1, {1001 * 500}}},
      {"what is kept for an hour", {.cache_write_1h = 10}, {priced(3, 15), cached}, {1, {90'000}}},
      {"beyond a step", {.input_uncached = 1001}, {priced(10, 10), stepped}, {1, {1001 * 20'000}}},
      {"within it", {.input_uncached = 1000}, {priced(10, 10), stepped}, {0, {1000 * 10'000}}},
      {"thoughts at a price of their own", {.output = 10, .reasoning = 8}, {priced(1, 20), thinking}, {1, {2 * 5'000 + 8 * 50'000}}},
      {"the tier it was served at", {.input_uncached = 10, .tier = ServiceTier::priority}, {priced(10, 10), priority}, {1, {300'000}}},
      {"at the standard tier", {.input_uncached = 10}, {priced(10, 10), priority}, {0, {100'000}}},
      {"what each call costs", {.input_uncached = 1}, {priced(1.5, 1), asked}, {1, {2'000}}},
      {"a batch", {.output = 10, .tier = ServiceTier::batch}, {priced(3, 3), halved}, {0, {30'000}}},
      {"all for nothing", {.input_uncached = 10}, {priced(0, 0), priced(0, 0)}, {0, {0}}},
  };
  for (const Case& c : cases) {
    const auto dearest = among(c.usage, c.models);
    ASSERT_TRUE(dearest) << c.why;
    EXPECT_EQ(dearest->at, c.dearest.at) << c.why;
    EXPECT_EQ(dearest->cost.nano, c.dearest.cost.nano) << c.why;
  }
}

TEST(RoutingSaved, NothingIsSaidWithoutAChoiceOrWithoutAPrice) {
  const ModelInfo cheap = priced(1, 5), dear = priced(10, 30);
  const Usage usage{.input_uncached = 100, .output = 10};
  const auto of = [&](std::vector<const ModelInfo*> choice) { return dearest_of(usage, choice); };
  EXPECT_FALSE(of({}));
  EXPECT_FALSE(of({&dear}));
  EXPECT_FALSE(of({&cheap, &dear, nullptr})) << "the one without a price may be the dearest";
  EXPECT_FALSE(of({nullptr, &cheap}));
  EXPECT_TRUE(of({&cheap, &dear}));
}

}  // namespace
}  // namespace ballast::gateway
