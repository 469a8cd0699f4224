#include "llm/prices.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/random.hpp"
#include "llm/wire.hpp"

namespace ballast::llm {
namespace {

using namespace std::chrono;
WallTime day(int y, unsigned m, unsigned d) { return WallTime(sys_days(year(y) / month(m) / std::chrono::day(d)).time_since_epoch()); }
ModelInfo known(std::string_view kind, std::string_view model, WallTime at = WallTime::max()) {
  auto info = PriceBook::shipped()->find(kind, kind, model, at);
  if (!info) ADD_FAILURE() << model << " is not priced";
  return info.value_or(ModelInfo{.priced = false});
}

TEST(Prices, ADatedNameIsTheModelItself) {
  const auto book = PriceBook::shipped();
  EXPECT_EQ(known("openai", "gpt-5-mini-2025-08-07").price, known("openai", "gpt-5-mini").price);
  EXPECT_EQ(known("openai", "gpt-5-mini").price.input, Price{250'000'000});
  EXPECT_EQ(known("anthropic", "claude-haiku-4-5-20990101").price.output, Price{5'000'000'000});
  EXPECT_FALSE(book->find("openai", "openai", "gpt-5-minimal"));
  EXPECT_FALSE(book->find("local", "openai", "gemma3"));
}

TEST(Prices, AnAnnouncedChangeTakesEffectOnItsDay) {
  EXPECT_EQ(known("anthropic", "claude-sonnet-5", day(2026, 8, 31)).price.input, Price{2'000'000'000});
  EXPECT_EQ(known("anthropic", "claude-sonnet-5", day(2026, 9, 1)).price.input, Price{3'000'000'000});
  EXPECT_EQ(known("anthropic", "claude-sonnet-5").price.cache_write_1h, Price{6'000'000'000});
}

TEST(Prices, CachedAndWrittenInputCostTheirOwnPriceAndTheSumRoundsUpOnce) {
  const ModelInfo m = known("anthropic", "claude-haiku-4-5");   // 1, 5, read 0.1, written 1.25 and 2 dollars a million
  const Usage u{.input_uncached = 3, .cache_read = 7, .cache_write_5m = 11, .cache_write_1h = 13, .output = 17, .reasoning = 5};
  EXPECT_EQ(cost(u, m).nano, 3 * 1000 + 7 * 100 + 11 * 1250 + 13 * 2000 + 17 * 5000);
  EXPECT_EQ(cost({.cache_read = 1}, {.price = {.cache_read = Price{1}}}).nano, 1);
  EXPECT_EQ(cost({.input_uncached = 1000, .output = 1000}, m, true).nano, (1'000'000 + 5'000'000) / 2);
}

TEST(Prices, AboveTheThresholdTheWholeCallCostsMore) {
  const ModelInfo m = known("gemini", "gemini-2.5-pro");
  EXPECT_EQ(cost({.input_uncached = 200'000, .output = 10}, m).nano, 200'000 * 1250 + 10 * 10'000);
  EXPECT_EQ(cost({.input_uncached = 200'001, .output = 10}, m).nano, 200'001ll * 2500 + 10 * 15'000);
}

// A usage that the request's bytes allow never costs more than the ceiling, for every shipped model.
TEST(Prices, TheCeilingHoldsForEveryModelAndEverySplitOfTheTokens) {
  const auto book = PriceBook::shipped();
  SeededRandom random(42);
  for (const char* kind : {"openai", "anthropic", "gemini", "azure"}) {
    for (const auto& name : book->models(kind)) {
      const auto info = book->find(kind, kind, name);
      if (!info->priced) continue;
      const Extent e{.text_bytes = random.below(2'000'000), .messages = 1 + random.below(20), .images = random.below(3), .n = 1};
      const std::uint64_t most = 1 + random.below(100'000);
      const auto top = ceiling(e, *info, most);
      ASSERT_TRUE(top) << name;
      Usage u{.input_uncached = e.text_bytes, .output = most};
      u.cache_read = random.below(u.input_uncached + 1), u.input_uncached -= u.cache_read;
      u.cache_write_1h = random.below(u.input_uncached + 1), u.input_uncached -= u.cache_write_1h;
      u.cache_write_5m = random.below(u.input_uncached + 1), u.input_uncached -= u.cache_write_5m;
      u.audio_in = random.below(u.input_uncached + 1);
      u.reasoning = random.below(most + 1);
      u.image_out = random.below(most - u.reasoning + 1);
      ASSERT_LE(cost(u, *info), *top) << kind << "/" << name;
    }
  }
}

TEST(Prices, WhatHasNoCeilingIsRefusedByName) {
  const ModelInfo m = known("openai", "gpt-5-mini");
  const auto remote = ceiling({.unbounded = true, .unbounded_field = "messages[0].image_url"}, m, 10);
  ASSERT_FALSE(remote);
  EXPECT_EQ(remote.error().code, ErrorCode::policy_unbounded_cost);
  EXPECT_EQ(remote.error().field, "messages[0].image_url");
  EXPECT_EQ(remote.error().message, "a budget applies and nothing bounds what messages[0].image_url may cost: send what it holds in the request itself");
  RequestFacts stored;
  stored.stored_state = true;
  stored.unbounded_by = &RequestFacts::stored_state;
  stored.unbounded_field = "previous_response_id";
  EXPECT_EQ(ceiling(extent_of(stored), m, 10).error().message,
            "a budget applies and nothing bounds what previous_response_id may cost: send the whole conversation in the request itself");
  ModelInfo unpriced = m;
  unpriced.priced = false;
  EXPECT_EQ(ceiling({}, unpriced, 10).error().code, ErrorCode::policy_unpriced_model);
}

TEST(Prices, ACompressedFileIsBoundedByTheContextAndRefusedWhereThatIsUnknown) {
  ModelInfo m = known("anthropic", "claude-haiku-4-5");
  EXPECT_GE(ceiling({.file_bytes = 100}, m, 1)->nano, static_cast<std::int64_t>(m.context) * 1000);
  m.context = 0;
  EXPECT_EQ(ceiling({.file_bytes = 100}, m, 1).error().field, "file");
}

TEST(Prices, AnAbsurdMaxTokensSaturatesInsteadOfWrapping) {
  const ModelInfo m = known("openai", "gpt-5-mini");
  EXPECT_EQ(ceiling({.n = 128}, m, INT64_MAX)->nano, INT64_MAX);
}

TEST(Prices, TheClampIsTheLargestThatTheBudgetAllows) {
  const ModelInfo m = known("openai", "gpt-5-mini");
  const Extent e{.text_bytes = 4000, .messages = 2, .n = 2};
  for (const std::int64_t nano : {2'000'000ll, 10'000'000ll, 777'777'777ll, 5'000'000'000ll}) {
    const auto tokens = max_output_within({nano}, e, m);
    ASSERT_TRUE(tokens) << nano;
    EXPECT_LE(ceiling(e, m, *tokens)->nano, nano);
    EXPECT_GT(ceiling(e, m, *tokens + 1)->nano, nano);
  }
  EXPECT_FALSE(max_output_within({1000}, e, m));
}

TEST(Prices, TheConfigurationOverridesTheTableAndPricesTheUnknown) {
  const auto book = PriceBook::shipped()->with({
      {.provider = "local", .model = "gemma3", .price = PriceSet{}, .context = 32768},
      {.provider = "openai", .model = "gpt-5-mini", .price = PriceSet{.input = {1}, .output = {2}}}});
  const auto local = book->find("local", "openai", "gemma3");
  ASSERT_TRUE(local && local->priced);
  EXPECT_EQ(ceiling({.text_bytes = 1000}, *local, 1000)->nano, 0);
  EXPECT_EQ(local->context, 32768u);
  EXPECT_EQ(book->find("openai", "openai", "gpt-5-mini-2025-08-07")->price.output, Price{2});
  EXPECT_NE(book->find("other", "openai", "gpt-5-mini")->price.output, Price{2});
}

// 1 dollar in, 2 out; flex half of it, priority double; prompts above 100 tokens twice as dear, but for priority nothing is said.
ModelInfo tiered() {
  return {.name = "m", .price = {.input = {1'000'000'000}, .output = {2'000'000'000}, .cache_read = Price{100'000'000}}, .tier_above = 100,
          .tier = {.input = {2'000'000'000}, .output = {4'000'000'000}},
          .flex = TierPrices{.price = {.input = {500'000'000}, .output = {1'000'000'000}}, .above = PriceSet{.input = {900'000'000}, .output = {1'100'000'000}}},
          .priority = TierPrices{.price = {.input = {3'000'000'000}, .output = {3'000'000'000}, .cache_read = Price{200'000'000}}, .above = {}},
          .batch_percent = 50};
}

TEST(Prices, ACallCostsWhatTheTierCostsThatItWasServedAt) {
  const ModelInfo m = tiered();
  const auto cost_at = [&](ServiceTier tier, std::uint64_t in) {
    return cost({.input_uncached = in, .cache_read = 10, .output = 10, .tier = tier}, m).nano;
  };
  EXPECT_EQ(cost_at(ServiceTier::standard, 50), 50 * 1000 + 10 * 100 + 10 * 2000);
  EXPECT_EQ(cost_at(ServiceTier::flex, 50), 50 * 500 + 10 * 500 + 10 * 1000);
  EXPECT_EQ(cost_at(ServiceTier::priority, 50), 50 * 3000 + 10 * 200 + 10 * 3000);
  EXPECT_EQ(cost_at(ServiceTier::batch, 50), (50 * 1000 + 10 * 100 + 10 * 2000) / 2);
  EXPECT_EQ(cost_at(ServiceTier::flex, 100), 110 * 900 + 10 * 1100);
  EXPECT_EQ(cost_at(ServiceTier::priority, 100), 100 * 3000 + 10 * 2000 + 10 * 4000) << "each kind at the dearer of both lists";
  EXPECT_EQ(cost({.output = 10, .tier = ServiceTier::priority}, {.price = {.output = {1'000'000'000}}}).nano, 10 * 1000) << "no price of its own";
}

TEST(Prices, TheCeilingIsOfTheTierThatWasAskedFor) {
  const ModelInfo m = tiered();
  const Extent standard{.text_bytes = 1000}, priority{.text_bytes = 1000, .priority = true};
  EXPECT_EQ(ceiling(standard, m, 100)->nano, (1000 + 1024) * 2000 + 100 * 4000);
  EXPECT_EQ(ceiling(priority, m, 100)->nano, (1000 + 1024) * 3000 + 100 * 4000);
}

TEST(Prices, AFeeForACallIsOnTopOfItsTokensAndWithinTheCeiling) {
  const ModelInfo m{.name = "m", .price = {.input = {1'000'000'000}}, .per_request = Price{5'000'000 * 1'000'000ll}};
  EXPECT_EQ(cost({.input_uncached = 7}, m).nano, 5'000'000 + 7 * 1000);
  EXPECT_EQ(ceiling({.text_bytes = 7}, m, 1)->nano, 5'000'000 + (7 + 1024) * 1000);
  EXPECT_FALSE(max_output_within({4'999'999}, {}, m));
}

TEST(Prices, AnUpliftMultipliesTheTableAndLeavesTheConfigurationsPrices) {
  const auto book = PriceBook::shipped()->with({{.provider = "eu", .model = "gpt-5", .price = PriceSet{.input = {7}, .output = {7}}}}, {{"eu", 1'100'000}});
  const auto plain = *book->find("openai", "openai", "gpt-5-mini"), eu = *book->find("eu", "openai", "gpt-5-mini");
  EXPECT_EQ(plain.price.input, Price{250'000'000});
  EXPECT_EQ(eu.price.input, Price{275'000'000});
  EXPECT_EQ(eu.price.cache_read, Price{27'500'000});
  ASSERT_TRUE(eu.flex && eu.priority);
  EXPECT_EQ(eu.flex->price.output, Price{1'100'000'000});
  EXPECT_EQ(book->find("eu", "openai", "gpt-5")->price.input, Price{7});
  EXPECT_EQ(PriceBook::shipped()->with({}, {{"p", 1'000'001}})->find("p", "openai", "gpt-5-mini")->price.input, Price{250'000'250}) << "rounded up";
}

TEST(Prices, AnOverriddenPriceIsAllThereIsAndNotDisputed) {
  EXPECT_FALSE(known("openai", "gpt-5.6-luna").disputed.empty());
  EXPECT_EQ(known("openai", "gpt-5.6-luna").price.input, Price{1'000'000'000}) << "the dearer of two books";
  const auto own = PriceBook::shipped()->with({{.provider = "openai", .model = "gpt-5.6-luna", .price = PriceSet{.input = {200'000'000}, .output = {1'200'000'000}}}});
  const auto info = *own->find("openai", "openai", "gpt-5.6-luna");
  EXPECT_TRUE(info.disputed.empty());
  EXPECT_FALSE(info.flex || info.priority);
  EXPECT_EQ(cost({.input_uncached = 10, .tier = ServiceTier::priority}, info).nano, 2000);
}

// Every wire's reply, whole and streamed, names its tier; both readers hear it.
TEST(Prices, TheTierIsReadFromEveryWire) {
  struct Row { Wire wire; const char *event, *body; ServiceTier tier; };
  const Row rows[] = {
      {Wire::openai_chat, "", R"({"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2},"service_tier":"priority"})", ServiceTier::priority},
      {Wire::openai_chat, "", R"({"service_tier":"default","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})", ServiceTier::standard},
      {Wire::openai_chat, "", R"({"service_tier":null,"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}})", ServiceTier::standard},
      {Wire::openai_responses, "", R"({"id":"r","status":"completed","output":[],"service_tier":"flex","usage":{"input_tokens":1,"output_tokens":2}})", ServiceTier::flex},
      {Wire::anthropic_messages, "", R"({"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"service_tier":"batch"}})", ServiceTier::batch},
      {Wire::gemini, "", R"({"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"trafficType":"ON_DEMAND_PRIORITY"}})", ServiceTier::priority}};
  for (const auto& [wire, event, body, tier] : rows) {
    FactsReader facts;
    const auto fast = facts.reply(wire, body);
    ASSERT_TRUE(fast && fast->usage) << body;
    EXPECT_EQ(fast->usage->tier, tier) << body;
    const auto slow = parse_reply(wire, *parse_json(body));
    ASSERT_TRUE(slow && slow->usage) << body;
    EXPECT_EQ(slow->usage->tier, tier) << body;
  }
  const Row events[] = {
      {Wire::openai_chat, "", R"({"id":"1","choices":[],"service_tier":"flex","usage":{"prompt_tokens":1,"completion_tokens":2}})", ServiceTier::flex},
      {Wire::openai_responses, "response.completed", R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[],"service_tier":"priority","usage":{"input_tokens":1,"output_tokens":2}}})", ServiceTier::priority},
      {Wire::anthropic_messages, "message_start", R"({"type":"message_start","message":{"id":"m","usage":{"input_tokens":1,"output_tokens":2,"service_tier":"priority"}}})", ServiceTier::priority}};
  for (const auto& [wire, event, body, tier] : events) {
    FactsReader facts;
    const auto fast = facts.chunk(wire, event, body);
    ASSERT_TRUE(fast && fast->usage) << body;
    EXPECT_EQ(fast->usage->tier, tier) << body;
    StreamDecoder decoder(wire);
    std::optional<ServiceTier> told;
    std::vector<StreamEvent> decoded;
    ASSERT_TRUE(decoder.push(event, body, decoded)) << body;
    for (const auto& e : decoded)
      if (const auto* u = std::get_if<UsageUpdate>(&e)) told = u->usage.tier;
    EXPECT_EQ(told, tier) << body;
  }
  Usage total{.input_uncached = 5, .tier = ServiceTier::priority};
  merge_usage(Wire::anthropic_messages, total, {.output = 9});
  EXPECT_EQ(total.tier, ServiceTier::priority) << "the closing count does not say it again";
  FactsReader facts;
  const auto asks = [&](const char* tier) {
    return facts.request(Wire::openai_chat, std::string(R"({"model":"m","messages":[{"role":"user","content":"x"}],"service_tier":)") + tier + "}")->priority;
  };
  EXPECT_TRUE(asks(R"("priority")") && asks(R"("flex","service_tier":"priority","service_tier":"flex")"));
  EXPECT_FALSE(asks(R"("flex")") || asks(R"("auto")") || asks("null"));
}

TEST(Prices, AChangedTableSaysWhatChanged) {
  const auto table = [](const char* models) { return *PriceBook::parse(std::string(R"({"as_of":"2026-01-01","models":{)") + models + "}}"); };
  const auto before = table(R"("openai/a":{"input":"2","output":"8"},"openai/b":{"input":"1"})");
  const auto after = table(R"("openai/a":{"input":"2.5","output":"8","priority":{"input":"5","output":"8"},"per_request":"5000","disputed":"input 2"},"openai/c":{"input":"1"})");
  const auto changes = PriceBook::changes(*before, *after);
  const auto has = [&](std::string_view model, std::string_view what) {
    return std::ranges::any_of(changes, [&](const auto& c) { return c.model == model && c.what == what; });
  };
  EXPECT_TRUE(has("a", "input 2.000000000 → 2.500000000"));
  EXPECT_TRUE(has("a", "priority input 2.000000000 → 5.000000000"));
  EXPECT_TRUE(has("a", "per_request 0.000000000 → 5000.000000000"));
  EXPECT_TRUE(has("a", "disputed: input 2"));
  EXPECT_FALSE(has("a", "priority output 8.000000000 → 8.000000000"));
  EXPECT_TRUE(has("b", "gone"));
  EXPECT_TRUE(has("c", "new"));
  EXPECT_FALSE(std::ranges::any_of(changes, [](const auto& c) { return c.what.starts_with("output"); }));
}

TEST(Prices, RetiringModelsAreKnownBeforehand) {
  const auto soon = PriceBook::shipped()->retiring(day(2026, 9, 1), hours(24 * 30));
  EXPECT_TRUE(std::ranges::any_of(soon, [](const auto& m) { return m.first == "openai/gpt-3.5-turbo-1106"; }));
  EXPECT_FALSE(std::ranges::any_of(soon, [](const auto& m) { return m.first == "openai/gpt-5-mini"; }));
}

TEST(Prices, ADamagedTableIsRefusedWithItsPlace) {
  const auto bad = PriceBook::parse(R"({"as_of":"2026-01-01","models":{"openai/a":{"input":"2","later":[{"from":"soon","input":"3"}]}}})");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().field.find("from"), std::string::npos);
}

}  // namespace
}  // namespace ballast::llm
