// Laws of cost and ceiling, by chance over made-up price lists: what no table of examples would think of.
#include <gtest/gtest.h>

#include "base/random.hpp"
#include "llm/prices.hpp"

namespace ballast::llm {
namespace {

std::optional<Price> maybe_price(Random& random) {
  return random.chance(0.5) ? std::optional(Price{static_cast<std::int64_t>(random.below(100'000'000'000))}) : std::nullopt;
}

PriceSet any_prices(Random& random) {
  return {.input = maybe_price(random).value_or(Price{}), .output = maybe_price(random).value_or(Price{}),
          .cache_read = maybe_price(random), .cache_write_5m = maybe_price(random), .cache_write_1h = maybe_price(random),
          .reasoning = maybe_price(random), .audio_in = maybe_price(random), .audio_out = maybe_price(random),
          .image_in = maybe_price(random), .image_out = maybe_price(random)};
}

ModelInfo any_model(Random& random) {
  ModelInfo m{.name = "m", .price = any_prices(random), .context = 1'000'000, .max_output = 64'000};
  if (random.chance(0.5)) {
    m.tier_above = 1 + random.below(100'000);
    m.tier = any_prices(random);
  }
  for (auto* tier : {&m.flex, &m.priority})
    if (random.chance(0.5)) *tier = TierPrices{.price = any_prices(random), .above = random.chance(0.5) ? std::optional(any_prices(random)) : std::nullopt};
  if (random.chance(0.3)) m.per_request = Price{static_cast<std::int64_t>(random.below(10'000'000'000'000))};
  m.batch_percent = static_cast<unsigned>(random.below(101));
  return m;
}

Extent any_extent(Random& random) {
  return {.text_bytes = random.below(200'000), .messages = random.below(50), .images = random.below(4),
          .file_bytes = random.chance(0.2) ? 1 + random.below(100'000) : 0, .n = static_cast<std::uint32_t>(1 + random.below(5))};
}

// What a provider may report of a request of that extent: any split of at most so many tokens in, and of n answers.
Usage any_usage(Random& random, const Extent& e, const ModelInfo& m, std::uint64_t max_output) {
  const auto most_in = e.file_bytes ? m.context : e.text_bytes + e.messages * kFramingTokens + kFramingBase + e.images * kMaxImageTokens;
  Usage u{.input_uncached = random.below(most_in + 1), .output = random.below(max_output * e.n + 1)};
  for (auto* part : {&u.cache_read, &u.cache_write_5m, &u.cache_write_1h})
    if (random.chance(0.5)) {
      *part = random.below(u.input_uncached + 1);
      u.input_uncached -= *part;
    }
  u.audio_in = random.below(u.input_uncached + 1);
  u.image_in = random.below(u.input_uncached - u.audio_in + 1);
  u.reasoning = random.below(u.output + 1);
  u.audio_out = random.below(u.output - u.reasoning + 1);
  u.image_out = random.below(u.output - u.reasoning - u.audio_out + 1);
  return u;
}

TEST(PriceLaws, NoUsageWithinTheExtentCostsMoreThanTheCeiling) {
  SeededRandom random(1);
  for (int i = 0; i < 20'000; ++i) {
    const ModelInfo m = any_model(random);
    Extent e = any_extent(random);
    e.priority = random.chance(0.5);
    const std::uint64_t most = 1 + random.below(20'000);
    const auto top = ceiling(e, m, most);
    ASSERT_TRUE(top);
    Usage u = any_usage(random, e, m, most);
    constexpr ServiceTier tiers[] = {ServiceTier::standard, ServiceTier::flex, ServiceTier::batch, ServiceTier::priority};
    u.tier = tiers[random.below(e.priority ? 4 : 3)];
    ASSERT_LE(cost(u, m), *top) << "round " << i;
    u.tier = ServiceTier::standard;
    ASSERT_LE(cost(u, m, true), cost(u, m) + Money{1}) << "round " << i << ": a batch is never dearer";
  }
}

TEST(PriceLaws, TheClampIsWithinTheBudgetAndOneTokenMoreIsNot) {
  SeededRandom random(2);
  int clamped = 0;
  for (int i = 0; i < 20'000; ++i) {
    const ModelInfo m = any_model(random);
    const Extent e = any_extent(random);
    const Money budget{static_cast<std::int64_t>(random.below(100'000'000'000))};
    const auto tokens = max_output_within(budget, e, m);
    if (!tokens) {
      ASSERT_GT(*ceiling(e, m, 1), budget) << "round " << i;
      continue;
    }
    ASSERT_LE(*ceiling(e, m, *tokens), budget) << "round " << i;
    if (*ceiling(e, m, 2) == *ceiling(e, m, 1) || *tokens >= UINT32_MAX) continue;   // output costs nothing, or next to it
    ASSERT_GT(*ceiling(e, m, *tokens + 1), budget) << "round " << i;
    ++clamped;
  }
  EXPECT_GT(clamped, 5000);
}

TEST(PriceLaws, ASumRoundsUpOnceSoThatPartsNeverCostLessThanTheWhole) {
  SeededRandom random(3);
  for (int i = 0; i < 20'000; ++i) {
    ModelInfo m = any_model(random);
    m.tier_above = 0;
    m.per_request.reset();             // two calls are charged for twice
    const Usage a = any_usage(random, {.text_bytes = 10'000}, m, 1000), b = any_usage(random, {.text_bytes = 10'000}, m, 1000);
    const Usage both{.input_uncached = a.input_uncached + b.input_uncached, .cache_read = a.cache_read + b.cache_read,
                     .cache_write_5m = a.cache_write_5m + b.cache_write_5m, .cache_write_1h = a.cache_write_1h + b.cache_write_1h,
                     .output = a.output + b.output, .reasoning = a.reasoning + b.reasoning, .audio_in = a.audio_in + b.audio_in,
                     .audio_out = a.audio_out + b.audio_out, .image_in = a.image_in + b.image_in, .image_out = a.image_out + b.image_out};
    const Money parts = cost(a, m) + cost(b, m);
    ASSERT_LE(cost(both, m), parts);
    ASSERT_GE(cost(both, m) + Money{1}, parts);
  }
}

TEST(PriceLaws, ReasoningHasItsOwnPriceOnlyWhereTheListSaysSo) {
  ModelInfo m{.price = {.input = {1'000'000'000}, .output = {2'000'000'000}}};
  const Usage u{.input_uncached = 10, .output = 100, .reasoning = 40};
  EXPECT_EQ(cost(u, m).nano, 10 * 1000 + 100 * 2000);
  m.price.reasoning = Price{3'000'000'000};
  EXPECT_EQ(cost(u, m).nano, 10 * 1000 + 60 * 2000 + 40 * 3000);
  EXPECT_EQ(cost({.output = 10, .reasoning = 20}, m).nano, 10 * 3000) << "more thoughts than output are output";
}

TEST(PriceLaws, AHalfNanoIsAWholeOneAndNothingIsNothing) {
  const ModelInfo m{.price = {.input = {500'000}}};
  EXPECT_EQ(cost({.input_uncached = 1}, m).nano, 1);
  EXPECT_EQ(cost({.input_uncached = 2}, m).nano, 1);
  EXPECT_EQ(cost({.input_uncached = 3}, m).nano, 2);
  EXPECT_EQ(cost({}, m).nano, 0);
}

TEST(PriceLaws, ImagesAndSearchesArePricedApiece) {
  const ModelInfo m{.per_image = Price{40'000'000'000'000}, .server_tool = Price{10'000'000'000'000}};
  EXPECT_EQ(cost({.images = 3}, m).nano, 3 * 40'000'000);
  EXPECT_EQ(cost({.server_tool_calls = 2}, m).nano, 2 * 10'000'000);
  EXPECT_EQ(ceiling({.n = 2}, m, 0)->nano, 2 * 40'000'000);
}

}  // namespace
}  // namespace ballast::llm
