// Prices: what models cost, what they can do, and what a call can cost at most. Data with dates (data/prices.json, embedded
// at build), overridable in the configuration. Immutable and pure: any thread.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/money.hpp"
#include "base/result.hpp"
#include "llm/facts.hpp"
#include "llm/types.hpp"

namespace ballast::tokens {
class Encoding;
}

namespace ballast::llm {

// Nano-dollars per million units. Absent kinds cost what their parent costs: cached and written input as input, audio and
// image tokens as text, reasoning as output.
struct PriceSet {
  Price input, output;
  std::optional<Price> cache_read, cache_write_5m, cache_write_1h, reasoning, audio_in, audio_out, image_in, image_out;
  friend bool operator==(const PriceSet&, const PriceSet&) = default;
};

// The prices of a service tier. Absent kinds follow `PriceSet`'s rule, not the standard tier's price.
struct TierPrices {
  PriceSet price;
  std::optional<PriceSet> above;         // beyond `tier_above`; absent: each kind at the dearer of `price` and the standard tier's
  friend bool operator==(const TierPrices&, const TierPrices&) = default;
};

// Vendors' tables of the tokens of one image, by size and quality (`images.cpp`).
enum class ImageTable : std::uint8_t { none, gpt_image_1, gpt_image_1_mini, gpt_image_2 };

struct ModelInfo {
  std::string name;                      // as priced
  PriceSet price;
  std::uint64_t tier_above = 0;          // input tokens above which `tier` applies to the whole call; 0: no tier
  PriceSet tier;
  std::optional<TierPrices> flex, priority;   // absent: that service tier is charged as the standard one
  std::optional<Price> per_image;        // per million images made; charged where tokens out have no price
  ImageTable image_table = ImageTable::none;
  std::uint64_t image_tokens = 0;        // out at most for one image of any size; 0: as the table says
  std::optional<Price> server_tool;      // per million searches and the like
  std::optional<Price> per_request;      // per million calls answered, on top of their tokens
  unsigned batch_percent = 100;          // of the price, through the batch API
  std::uint64_t context = 0;             // tokens in; 0: unknown
  std::uint64_t max_output = 0;          // tokens; 0: unknown
  bool tools = true, images = true, json = true, prefill = false, reasoning = false;
  std::string mode = "chat";             // chat, embedding, image_generation, …
  const tokens::Encoding* encoding = nullptr;   // its tokenizer, as the configuration says; null: as its name does
  std::optional<WallTime> retires;       // the provider's announced date
  bool priced = true;                    // false: known, but not what it costs
  std::string disputed;                  // not empty: price books disagree, and this is what the other says; ours is the dearer
};

// What the provider charges for a call with that usage, at the service tier it was served at: exact, rounded up once. `batch`: at
// the batch price, whatever the usage says.
Money cost(const Usage& usage, const ModelInfo& model, bool batch = false);
// Do tokens out cost anything, at any tier?
bool prices_output(const ModelInfo& model);
// Are images charged apiece? Not where tokens out have a price: `per_image` is then a vendor's example of what they add up to.
bool priced_apiece(const ModelInfo& model);

// The parts of a request that bound its cost.
struct Extent {
  std::uint64_t text_bytes = 0;          // a token is at least one byte of UTF-8, so bytes bound tokens
  std::uint64_t messages = 0;            // each adds framing tokens
  std::uint64_t images = 0;              // inline; each at most kMaxImageTokens
  std::uint64_t file_bytes = 0;          // inline documents and audio, base64; a compressed page hides any number of tokens: the
                                         // model's context is their bound
  std::uint32_t n = 1;
  bool unbounded = false;                // remote files, stored responses, hosted tools
  std::string unbounded_field;           // which, as the caller wrote it
  std::string_view unbounded_remedy = "send what it holds in the request itself";   // what to do instead; static
  bool priority = false;                 // asks for the priority tier; another tier than asked for is never the dearer one
  bool makes_images = false;             // n images: some vendors charge the prompt for each; a price per image is price enough
};
Extent extent_of(const RequestFacts& facts);
inline constexpr std::uint64_t kFramingTokens = 16;      // per message, generously: role, separators, tool framing
inline constexpr std::uint64_t kFramingBase = 1024;      // once: hidden preambles, tool-use system prompts
inline constexpr std::uint64_t kMaxImageTokens = 50'000; // above every vendor's stated maximum for one image

// A proven upper bound of what one attempt costs with at most `max_output` tokens out per choice. At the dearest tier and
// cache price. policy_unbounded_cost (field named) where there is none (files, where the context is unknown, too); policy_unpriced_model for an unpriced model.
Result<Money> ceiling(const Extent& extent, const ModelInfo& model, std::uint64_t max_output);
// The largest max_output whose ceiling is within `budget`; nullopt: not even one token is.
std::optional<std::uint64_t> max_output_within(Money budget, const Extent& extent, const ModelInfo& model);

// What the configuration says of a model; unset fields keep the table's.
struct ModelOverride {
  std::string provider, model;
  std::optional<PriceSet> price;
  std::optional<TierPrices> flex, priority;    // with `price`
  std::optional<Price> per_image, per_request;
  std::optional<unsigned> batch_percent;
  std::optional<std::uint64_t> context, max_output, image_tokens;
  std::optional<bool> tools, images, json, prefill;
  const tokens::Encoding* encoding = nullptr;
};

// What a provider charges where its model is the table's: a regional uplift, or a discount. In millionths of the table's price.
struct Uplift {
  std::string provider;
  std::uint32_t millionths = 1'000'000;
};

class PriceBook {
 public:
  // The shipped table. Throws std::runtime_error if the embedded data is damaged (a broken build).
  static std::shared_ptr<const PriceBook> shipped();
  // The same in the format of data/prices.json.
  static Result<std::shared_ptr<const PriceBook>> parse(std::string_view json_text);
  // Overrides are prices as they are; uplifts multiply the table's token and image prices, rounded up.
  std::shared_ptr<const PriceBook> with(const std::vector<ModelOverride>& overrides, const std::vector<Uplift>& uplifts = {}) const;

  // `provider` is the configured provider's name (for overrides), `kind` its vendor: "openai", "anthropic", "gemini", "azure".
  // Tries the name itself, then without a date ("gpt-5-mini-2025-08-07", "claude-haiku-4-5-20251001") or "-latest".
  // The price in force at `at`: the table knows changes announced for later dates. By default after all of them.
  std::optional<ModelInfo> find(std::string_view provider, std::string_view kind, std::string_view model, WallTime at = WallTime::max()) const;
  // From `from` on and before `until`, find() gives the same for any time.
  struct Span { WallTime from = WallTime::min(), until = WallTime::max(); };
  Span unchanged_around(WallTime when) const;
  // Models that their provider retires before `at` + `within`, as "kind/model", those already gone included.
  std::vector<std::pair<std::string, WallTime>> retiring(WallTime at, Duration within) const;
  std::vector<std::string> models(std::string_view kind) const;
  std::string_view as_of() const { return as_of_; }        // the date of the table

  struct Change {
    std::string kind, model, what;       // "input 2.00 → 2.50", "gone", "new"
  };
  static std::vector<Change> changes(const PriceBook& before, const PriceBook& after);

 private:
  struct Dated { WallTime from; PriceSet price; };
  std::map<std::string, ModelInfo, std::less<>> models_;   // "kind/model"
  std::map<std::string, std::vector<Dated>, std::less<>> later_;   // "kind/model": announced changes, by date
  std::map<std::string, ModelOverride, std::less<>> overrides_;   // "provider/model"
  std::map<std::string, std::uint32_t, std::less<>> uplifts_;     // provider → millionths
  std::string as_of_;
};

}  // namespace ballast::llm
