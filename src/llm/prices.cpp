#include "llm/prices.hpp"

#include <algorithm>

namespace ballast::llm {

namespace {

Price dearest(const PriceSet& p) {
  Price top = p.input;
  for (const auto& other : {p.cache_read, p.cache_write_5m, p.cache_write_1h, p.audio_in, p.image_in})
    if (other) top = std::max(top, *other);
  return top;
}

Price dearest_output(const PriceSet& p) {
  Price top = p.output;
  for (const auto& other : {p.reasoning, p.audio_out, p.image_out})
    if (other) top = std::max(top, *other);
  return top;
}

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

Price discounted(Price p, unsigned percent) { return {static_cast<std::int64_t>((static_cast<__int128>(p.nano_per_million) * percent + 99) / 100)}; }

}  // namespace

namespace {

std::optional<Price> dearer(std::optional<Price> a, Price a_parent, std::optional<Price> b, Price b_parent) {
  if (!a && !b) return std::nullopt;
  return std::max(a.value_or(a_parent), b.value_or(b_parent));
}

// Each kind at the dearer of two lists.
PriceSet dearer(const PriceSet& a, const PriceSet& b) {
  PriceSet p{.input = std::max(a.input, b.input), .output = std::max(a.output, b.output)};
  for (const auto kind : {&PriceSet::cache_read, &PriceSet::cache_write_5m, &PriceSet::audio_in, &PriceSet::image_in})
    p.*kind = dearer(a.*kind, a.input, b.*kind, b.input);
  for (const auto kind : {&PriceSet::reasoning, &PriceSet::audio_out, &PriceSet::image_out}) p.*kind = dearer(a.*kind, a.output, b.*kind, b.output);
  p.cache_write_1h = dearer(a.cache_write_1h, a.cache_write_5m.value_or(a.input), b.cache_write_1h, b.cache_write_5m.value_or(b.input));
  return p;
}

// The list in force for a tier, below or above the model's threshold.
PriceSet prices_of(const ModelInfo& m, const std::optional<TierPrices>& tier, bool above) {
  const PriceSet& standard = above ? m.tier : m.price;
  if (!tier) return standard;
  if (!above) return tier->price;
  return tier->above ? *tier->above : dearer(tier->price, standard);
}

PriceSet prices_of(const ModelInfo& m, ServiceTier tier, bool above) {
  if (tier == ServiceTier::flex) return prices_of(m, m.flex, above);
  if (tier == ServiceTier::priority) return prices_of(m, m.priority, above);
  return above ? m.tier : m.price;
}

}  // namespace

Money cost(const Usage& u, const ModelInfo& m, bool batch) {
  batch |= u.tier == ServiceTier::batch;
  const PriceSet p = prices_of(m, u.tier, m.tier_above && u.input() > m.tier_above);
  CostSum sum;
  const auto add = [&](std::uint64_t units, Price price) { sum.add(units, batch ? discounted(price, m.batch_percent) : price); };
  const auto audio_in = std::min(u.audio_in, u.input_uncached);
  const auto image_in = std::min(u.image_in, less(u.input_uncached, audio_in));
  add(less(u.input_uncached, audio_in + image_in), p.input);
  add(audio_in, p.audio_in.value_or(p.input));
  add(image_in, p.image_in.value_or(p.input));
  add(u.cache_read, p.cache_read.value_or(p.input));
  add(u.cache_write_5m, p.cache_write_5m.value_or(p.input));
  add(u.cache_write_1h, p.cache_write_1h.value_or(p.cache_write_5m.value_or(p.input)));
  const auto reasoning = p.reasoning ? std::min(u.reasoning, u.output) : 0;
  const auto audio_out = std::min(u.audio_out, less(u.output, reasoning));
  const auto image_out = std::min(u.image_out, less(u.output, reasoning + audio_out));
  add(less(u.output, reasoning + audio_out + image_out), p.output);
  add(reasoning, p.reasoning.value_or(p.output));
  add(audio_out, p.audio_out.value_or(p.output));
  add(image_out, p.image_out.value_or(p.output));
  if (m.server_tool) sum.add(u.server_tool_calls, *m.server_tool);
  if (m.per_request) sum.add(1, *m.per_request);
  if (u.images && priced_apiece(m)) sum.add(u.images, *m.per_image);
  return sum.total();
}

Extent extent_of(const RequestFacts& f) {
  Extent e{.text_bytes = f.text_bytes, .messages = f.messages, .images = f.images, .file_bytes = f.files ? f.media_bytes : 0, .n = f.n};
  e.unbounded = f.unbounded();
  e.priority = f.priority;
  e.unbounded_field = f.unbounded_field;
  if (f.unbounded_by == &RequestFacts::remote_content) e.unbounded_remedy = "send the file's bytes in the request itself, as base64";
  else if (f.unbounded_by == &RequestFacts::stored_state) e.unbounded_remedy = "send the whole conversation in the request itself";
  else if (f.unbounded_by == &RequestFacts::hosted_tools) e.unbounded_remedy = "use function tools, which the caller runs";
  return e;
}

namespace {

// Tokens in. Files: whatever they hold, the provider refuses what does not fit the context.
std::uint64_t input_bound(const Extent& e, const ModelInfo& m) {
  const std::uint64_t seen = e.text_bytes + e.messages * kFramingTokens + kFramingBase + e.images * kMaxImageTokens;
  return e.file_bytes ? std::max(seen, m.context) : seen;
}

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

// Flex is bound too: a table may say anything. Priority only where it is asked for: half of every budget would lie idle else.
PriceSet worst(const ModelInfo& m, bool priority) {
  PriceSet p;
  const auto consider = [&](const PriceSet& set) {
    p.input = std::max(p.input, dearest(set));
    p.output = std::max(p.output, dearest_output(set));
  };
  for (const bool above : {false, true}) {
    if (above && !m.tier_above) continue;
    consider(prices_of(m, ServiceTier::standard, above));
    consider(prices_of(m, ServiceTier::flex, above));
    if (priority) consider(prices_of(m, ServiceTier::priority, above));
  }
  return p;
}

}  // namespace

bool prices_output(const ModelInfo& m) { return worst(m, true).output.nano_per_million > 0; }
bool priced_apiece(const ModelInfo& m) { return m.per_image && !prices_output(m); }

Result<Money> ceiling(const Extent& e, const ModelInfo& m, std::uint64_t max_output) {
  if (!m.priced && !(e.makes_images && m.per_image)) return fail(ErrorCode::policy_unpriced_model, "a budget applies and model " + m.name + " has no price: add one under models in the configuration", "model");
  if (e.unbounded)
    return fail(ErrorCode::policy_unbounded_cost, "a budget applies and nothing bounds what " + e.unbounded_field + " may cost: " + std::string(e.unbounded_remedy), e.unbounded_field);
  if (e.file_bytes && m.context == 0)
    return fail(ErrorCode::policy_unbounded_cost, "a budget applies, and the tokens of a file have no bound: the context of " + m.name + " is unknown", "file");
  const PriceSet p = worst(m, e.priority);
  CostSum sum;
  sum.add(times(input_bound(e, m), e.makes_images ? std::max(e.n, 1U) : 1), p.input);
  sum.add(times(max_output, e.n), p.output);
  if (m.per_image) sum.add(e.n, *m.per_image);
  if (m.per_request) sum.add(1, *m.per_request);
  return sum.total();
}

std::optional<std::uint64_t> max_output_within(Money budget, const Extent& e, const ModelInfo& m) {
  const auto least = ceiling(e, m, 1);
  if (!least || *least > budget) return std::nullopt;
  const PriceSet p = worst(m, e.priority);
  if (p.output.nano_per_million == 0) return m.max_output ? m.max_output : UINT32_MAX;
  const auto base = ceiling(e, m, 0);
  const auto left = static_cast<unsigned __int128>((budget - *base).nano) * 1'000'000;
  auto tokens = static_cast<std::uint64_t>(std::min<unsigned __int128>(left / static_cast<std::uint64_t>(p.output.nano_per_million) / e.n, UINT32_MAX));
  while (tokens > 1 && *ceiling(e, m, tokens) > budget) --tokens;   // the one rounding
  return std::max<std::uint64_t>(tokens, 1);
}

}  // namespace ballast::llm
