// The shipped price table against an independent book (genai-prices): equal wherever both know a model, but for the listed
// differences, each with its reason. A new difference is a change of price to look at; a listed one that is gone is to be unlisted.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "../support/unzipped.hpp"
#include "base/json.hpp"
#include "llm/prices.hpp"

namespace ballast::llm {
namespace {

struct Accepted { std::string_view model, why; };
constexpr Accepted kAccepted[] = {
    {"openai/gpt-4o-2024-05-13", "the first gpt-4o kept its own, higher price; their rule takes it for its successor"},
    {"gemini/gemini-2.0-flash-exp-image-generation", "an experiment that was free; their rule takes it for gemini-2.0-flash"},
    {"gemini/gemini-2.5-flash-image", "they price all output as images; ours prices text as text and image tokens apart"},
    {"gemini/gemini-3-pro-image-preview", "likewise"},
    {"gemini/gemini-3.1-flash-image-preview", "likewise"},
    {"gemini/gemini-2.5-flash-lite-preview-06-17", "a preview with its own cache price; their rule takes it for the release"},
    {"gemini/gemini-2.5-flash-preview-09-2025", "likewise"},
    {"gemini/gemini-2.5-flash-native-audio-preview-09-2025", "their rule takes it for gemini-live-2.5-flash"},
    {"gemini/gemini-2.5-flash-native-audio-preview-12-2025", "likewise"},
};

bool matches(const json::object& rule, const std::string& name) {
  const auto& [key, value] = *rule.begin();
  if (key == "or" || key == "and") {
    const auto one = [&](const json::value& inner) { return matches(inner.as_object(), name); };
    const auto& rules = value.as_array();
    return key == "or" ? std::ranges::any_of(rules, one) : std::ranges::all_of(rules, one);
  }
  const std::string text(value.as_string());
  if (key == "equals") return name == text;
  if (key == "starts_with") return name.starts_with(text);
  if (key == "ends_with") return name.ends_with(text);
  if (key == "contains") return name.find(text) != std::string::npos;
  if (key == "regex") return std::regex_search(name, std::regex(text));
  ADD_FAILURE() << "an unknown rule: " << key;
  return false;
}

const json::object* model_of(const json::array& book, std::string_view provider, const std::string& name) {
  for (const auto& p : book) {
    if (p.at("id").as_string() != provider) continue;
    for (const auto& m : p.at("models").as_array())
      if (matches(m.at("match").as_object(), name)) return &m.as_object();
  }
  return nullptr;
}

// The block of prices in force on a day; conditions other than a start date (an hour of the day) do not apply.
const json::object& prices_at(const json::object& model, std::string_view date) {
  const auto& prices = model.at("prices");
  if (prices.is_object()) return prices.get_object();
  const json::object* found = nullptr;
  for (const auto& block : prices.as_array()) {
    const auto* constraint = block.get_object().if_contains("constraint");
    const auto* start = constraint && constraint->is_object() ? constraint->get_object().if_contains("start_date") : nullptr;
    if (!found || (start && std::string_view(start->as_string()) <= date)) found = &block.at("prices").as_object();
  }
  return *found;
}

std::optional<Price> price_of(const json::object& prices, std::string_view key) {
  const auto* at = prices.if_contains(key);
  if (!at || at->is_null()) return std::nullopt;
  const auto& number = at->is_object() ? at->at("base") : *at;
  return Price{std::llround(number.to_number<double>() * 1e9)};
}

TEST(PricesContract, TheShippedTableAgreesWithAnIndependentBook) {
  const std::string path = std::string(BALLAST_SHARED_DATA) + "/prices/genai_prices.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const auto theirs = parse_json(text.view());
  ASSERT_TRUE(theirs);
  const auto ours = PriceBook::shipped();
  const WallTime then(std::chrono::sys_days(std::chrono::year(2026) / 8 / 21).time_since_epoch());   // the date of their book

  std::set<std::string> differing;
  int models = 0, equal = 0;
  for (const auto& [kind, provider] : {std::pair("openai", "openai"), {"anthropic", "anthropic"}, {"gemini", "google"}}) {
    for (const auto& name : ours->models(kind)) {
      const auto* model = model_of(theirs->as_array(), provider, name);
      if (!model) continue;
      ++models;
      const std::string full = std::string(kind) + "/" + name;
      const auto& prices = prices_at(*model, "2026-08-21");
      const auto info = ours->find(kind, kind, name, then);
      const PriceSet& p = info->price;
      const auto compare = [&](const char* key, Price our) {
        const auto their = price_of(prices, key);
        if (!their) return;
        if (*their == our) ++equal;
        else if (differing.insert(full); std::ranges::none_of(kAccepted, [&](const Accepted& a) { return a.model == full; }))
          ADD_FAILURE() << full << " " << key << ": ours " << to_usd({our.nano_per_million}) << ", theirs " << to_usd({their->nano_per_million});
      };
      compare("input_mtok", p.input);
      compare("output_mtok", p.output);
      compare("cache_read_mtok", p.cache_read.value_or(p.input));
      compare("cache_write_mtok", p.cache_write_5m.value_or(p.input));
    }
  }
  std::printf("  %d prices of %d models equal, %zu models differ for known reasons\n", equal, models, differing.size());
  EXPECT_GE(equal, 700);
  for (const auto& a : kAccepted) EXPECT_TRUE(differing.contains(std::string(a.model))) << a.model << " agrees now: unlist it";
}

// Where the two books disagree about one name and nobody knows better, a budget must not be overshot: ours is the dearer of
// both in every kind, and the table tells the other figure.
TEST(PricesContract, ADisputedPriceIsTheDearerOne) {
  const std::string folder = std::string(BALLAST_SHARED_DATA) + "/prices/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  std::stringstream text;
  text << std::ifstream(folder + "genai_prices.json").rdbuf();
  const auto genai = parse_json(text.view());
  const auto litellm = parse_json(test::unzipped(folder + "litellm_2026-08-06.json.gz"));
  ASSERT_TRUE(genai && litellm);
  std::set<std::string> disputed;
  const auto book = PriceBook::shipped();
  for (const auto& name : book->models("openai")) {
    const auto info = book->find("openai", "openai", name);
    if (info->disputed.empty()) continue;
    disputed.insert(name);
    const auto* one = litellm->as_object().if_contains(name);
    const auto* other = model_of(genai->as_array(), "openai", name);
    ASSERT_TRUE(one && other) << name;
    const auto& theirs = prices_at(*other, "2026-08-21");
    const auto check = [&](const char* first, const char* second, Price ours) {
      const Price a{std::llround(one->at(first).to_number<double>() * 1e15)}, b = price_of(theirs, second).value_or(Price{});
      EXPECT_EQ(ours, std::max(a, b)) << name << " " << first;
      EXPECT_NE(a, b) << name << " " << first << ": nothing is disputed";
    };
    check("input_cost_per_token", "input_mtok", info->price.input);
    check("output_cost_per_token", "output_mtok", info->price.output);
    check("cache_read_input_token_cost", "cache_read_mtok", info->price.cache_read.value_or(Price{}));
    EXPECT_NE(info->disputed.find("input "), std::string::npos) << info->disputed;
  }
  EXPECT_EQ(disputed, (std::set<std::string>{"gpt-5.6-luna", "gpt-5.6-terra"}));
}

// Every tier that LiteLLM's book prices is in ours, to the nano-dollar, but for what is disputed.
TEST(PricesContract, ServiceTiersAreWhatTheBookSays) {
  const std::string path = std::string(BALLAST_SHARED_DATA) + "/prices/litellm_2026-08-06.json.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto theirs = parse_json(test::unzipped(path));
  ASSERT_TRUE(theirs);
  const auto book = PriceBook::shipped();
  int equal = 0;
  for (const char* kind : {"openai", "gemini", "azure"}) {
    for (const auto& name : book->models(kind)) {
      const auto info = book->find(kind, kind, name);
      const auto* entry = theirs->as_object().if_contains(std::string_view(kind) == "openai" ? name : std::string(kind) + "/" + name);
      if (!entry || !info->disputed.empty()) continue;
      const auto compare = [&](const char* suffix, const std::optional<TierPrices>& tier) {
        const auto* in = entry->as_object().if_contains(std::string("input_cost_per_token_") + suffix);
        const auto* out = entry->as_object().if_contains(std::string("output_cost_per_token_") + suffix);
        if (!in || !out || in->is_null() || out->is_null()) return;
        ASSERT_TRUE(tier) << kind << "/" << name << " " << suffix;
        EXPECT_EQ(tier->price.input, Price{std::llround(in->to_number<double>() * 1e15)}) << name;
        EXPECT_EQ(tier->price.output, Price{std::llround(out->to_number<double>() * 1e15)}) << name;
        ++equal;
      };
      compare("flex", info->flex);
      compare("priority", info->priority);
    }
  }
  EXPECT_GE(equal, 60);
}

}  // namespace
}  // namespace ballast::llm
