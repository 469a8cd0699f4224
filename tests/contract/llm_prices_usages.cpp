// Real usage blocks, as the three vendors returned them, priced here: equal to what an independent price book (genai-prices)
// says of them, to the nano-dollar. Out of scope, each counted: models that neither book sells under this vendor, and blocks
// where the other book is coarser than the vendor's price list (see `coarser_there`).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "../support/unzipped.hpp"
#include "base/json.hpp"
#include "llm/prices.hpp"
#include "llm/wire/usage.hpp"

namespace ballast::llm {
namespace {

struct Flavor { std::string_view provider, flavor, kind; Wire wire; const char* usage; };
constexpr Flavor kFlavors[] = {{"openai", "chat", "openai", Wire::openai_chat, "usage"},
                               {"openai", "responses", "openai", Wire::openai_responses, "usage"},
                               {"anthropic", "default", "anthropic", Wire::anthropic_messages, "usage"},
                               {"google", "default", "gemini", Wire::gemini, "usageMetadata"}};

// They price every output token of an image model as an image, we only the image's; they know cached audio, whose share of
// the cache hit our usage does not keep (we then charge the dearer, uncached audio).
bool coarser_there(const Usage& u, const json::object& theirs) {
  return u.image_out > 0 || theirs.contains("output_image_tokens") || theirs.contains("cache_audio_read_tokens");
}

std::int64_t nano(const JsonRef& at, std::string_view key) {
  const auto text = at.maybe<std::string>(key).value_or(std::nullopt);
  return text ? std::llround(std::strtod(text->c_str(), nullptr) * 1e9) : 0;
}

TEST(PricesContract, RealUsageBlocksCostWhatThePriceBookSays) {
  const std::string path = std::string(BALLAST_SHARED_DATA) + "/prices/usages.jsonl.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto book = PriceBook::shipped();
  const WallTime then(std::chrono::sys_days(std::chrono::year(2026) / 8 / 21).time_since_epoch());   // the date of the truth
  const std::string text = test::unzipped(path);
  std::map<std::string, int> matched, out_of_scope;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto document = parse_json(line);
    ASSERT_TRUE(document) << line;
    const JsonRef root(*document);
    const JsonRef body = *root.at("body");
    std::string model;
    for (const char* name : {"model", "modelVersion"})
      if (const auto m = body.maybe<std::string>(name).value_or(std::nullopt); m && model.empty()) model = *m;
    if (model.empty()) model = root.get<std::string>("model").value_or("");
    const JsonRef extracted = *root.at("extracted");
    for (std::size_t i = 0; i < extracted.size(); ++i) {
      const JsonRef entry = extracted.item(i);
      const JsonRef extractors = *entry.at("extractors");
      for (std::size_t k = 0; k < extractors.size(); ++k) {
        const JsonRef x = extractors.item(k);
        const auto* flavor = std::ranges::find_if(kFlavors, [&](const Flavor& f) {
          return x.get<std::string_view>("provider_id").value_or("") == f.provider && x.get<std::string_view>("api_flavor").value_or("") == f.flavor;
        });
        if (flavor == std::end(kFlavors) || (!x.find("input_price") && !x.find("output_price"))) continue;
        const auto usage_json = body.find(flavor->usage);
        if (!usage_json) { ++out_of_scope["no usage block of this wire"]; continue; }
        UsageCounts counts;
        count_all(counts, flavor->wire, usage_json->value());
        Usage usage = counts.usage(flavor->wire);
        usage.server_tool_calls = 0;       // searches are not in the expected price
        const auto info = book->find(flavor->kind, flavor->kind, model, then);
        if (!info) { ++out_of_scope["not sold by this vendor: " + model]; continue; }
        if (coarser_there(usage, **entry.get<const json::object*>("usage"))) { ++out_of_scope["coarser there: " + model]; continue; }
        ++matched[std::string(flavor->provider) + " " + std::string(flavor->flavor)];
        // Their two figures are exact decimals rounded here once each, ours once in all.
        EXPECT_NEAR(static_cast<double>(cost(usage, *info).nano), static_cast<double>(nano(x, "input_price") + nano(x, "output_price")), 2)
            << model << " " << to_json(usage_json->value());
      }
    }
  }
  int all = 0;
  for (const auto& [what, n] : matched) { std::printf("  %4d equal: %s\n", n, what.c_str()); all += n; }
  for (const auto& [why, n] : out_of_scope) std::printf("  %4d out of scope: %s\n", n, why.c_str());
  EXPECT_GE(all, 600);
  for (const char* each : {"openai chat", "openai responses", "anthropic default", "google default"}) EXPECT_GE(matched[each], 100) << each;
}

}  // namespace
}  // namespace ballast::llm
