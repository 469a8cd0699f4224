#include <algorithm>
#include <stdexcept>

#include "base/json.hpp"
#include "llm/prices.hpp"
#include "llm/table_key.hpp"

namespace ballast::llm {

extern const std::string_view kShippedPrices;   // generated at build from data/prices.json

namespace {

// Decimal dollars per million units → Price.
Result<std::optional<Price>> price_at(const JsonRef& at, std::string_view key) {
  auto text = at.maybe<std::string_view>(key);
  if (!text) return fail(std::move(text.error()));
  if (!*text) return std::optional<Price>{};
  auto money = money_from_usd(**text, at.path() + "." + std::string(key));
  if (!money) return fail(std::move(money.error()));
  return std::optional<Price>(Price{money->nano});
}

Result<PriceSet> price_set(const JsonRef& at) {
  PriceSet p;
  std::optional<Price> input, output;
  const std::pair<std::string_view, std::optional<Price>*> fields[] = {
      {"input", &input}, {"output", &output}, {"cache_read", &p.cache_read}, {"cache_write_5m", &p.cache_write_5m},
      {"cache_write_1h", &p.cache_write_1h}, {"reasoning", &p.reasoning}, {"audio_in", &p.audio_in}, {"audio_out", &p.audio_out},
      {"image_in", &p.image_in}, {"image_out", &p.image_out}};
  for (const auto& [name, where] : fields) {
    auto price = price_at(at, name);
    if (!price) return fail(std::move(price.error()));
    *where = *price;
  }
  p.input = input.value_or(Price{});
  p.output = output.value_or(Price{});
  return p;
}

// {"input": …, "above": {"input": …}}; absent where the table says nothing.
Result<std::optional<TierPrices>> tier_prices(const JsonRef& at, std::string_view key) {
  const auto tier = at.find(key);
  if (!tier) return std::optional<TierPrices>{};
  auto price = price_set(*tier);
  if (!price) return fail(std::move(price.error()));
  TierPrices out{.price = *price, .above = {}};
  if (const auto above = tier->find("above")) {
    auto set = price_set(*above);
    if (!set) return fail(std::move(set.error()));
    out.above = *set;
  }
  return std::optional(out);
}

// "2026-10-16" at midnight UTC.
std::optional<WallTime> day(std::string_view text) {
  int y = 0;
  unsigned m = 0, d = 0;
  if (text.size() != 10 || std::sscanf(std::string(text).c_str(), "%4d-%2u-%2u", &y, &m, &d) != 3) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(m), std::chrono::day(d)};
  if (!date.ok()) return std::nullopt;
  return WallTime(std::chrono::sys_days(date).time_since_epoch());
}

std::optional<ImageTable> image_table(std::string_view name) {
  if (name == "gpt-image-1") return ImageTable::gpt_image_1;
  if (name == "gpt-image-1-mini") return ImageTable::gpt_image_1_mini;
  if (name == "gpt-image-2") return ImageTable::gpt_image_2;
  return std::nullopt;
}

Result<ModelInfo> model_info(std::string name, const JsonRef& at) {
  ModelInfo m{.name = std::move(name)};
  auto prices = price_set(at);
  if (!prices) return fail(std::move(prices.error()));
  m.price = *prices;
  if (const auto tier = at.find("tier")) {
    auto above = tier->get<std::uint64_t>("above");
    auto set = price_set(*tier);
    if (!above || !set) return fail(above ? std::move(set.error()) : std::move(above.error()));
    m.tier_above = *above;
    m.tier = *set;
  }
  const auto flag = [&](std::string_view key) { return at.maybe<bool>(key).value_or(std::nullopt).value_or(false); };
  const auto count = [&](std::string_view key) { return at.maybe<std::uint64_t>(key).value_or(std::nullopt).value_or(0); };
  m.tools = flag("tools");
  m.images = flag("images");
  m.json = flag("json");
  m.prefill = flag("prefill");
  m.reasoning = flag("reasons");
  m.context = count("context");
  m.max_output = count("max_output");
  for (const auto& [key, where] : {std::pair("per_image", &m.per_image), {"per_request", &m.per_request}, {"server_tool", &m.server_tool}}) {
    auto price = price_at(at, key);
    if (!price) return fail(std::move(price.error()));
    *where = *price;
  }
  for (const auto& [key, where] : {std::pair("flex", &m.flex), {"priority", &m.priority}}) {
    auto tier = tier_prices(at, key);
    if (!tier) return fail(std::move(tier.error()));
    *where = *tier;
  }
  if (const auto table = at.find("image_tokens")) {
    const auto known = image_table(table->as<std::string_view>().value_or(""));
    if (!known) return table->error("names no table of image tokens that is known");
    m.image_table = *known;
  }
  auto percent = at.maybe_int("batch_percent", 0, 100);
  if (!percent) return fail(std::move(percent.error()));
  m.batch_percent = static_cast<unsigned>(percent->value_or(100));
  m.disputed = at.maybe<std::string>("disputed").value_or(std::nullopt).value_or("");
  m.mode = at.maybe<std::string>("mode").value_or(std::nullopt).value_or("chat");
  if (auto retires = at.maybe<std::string_view>("retires"); retires && *retires) m.retires = day(**retires);
  m.priced = at.find("input").has_value() || m.per_image.has_value();
  return m;
}

// "gpt-5-mini-2025-08-07" → "gpt-5-mini"; "claude-haiku-4-5-20251001" → "claude-haiku-4-5"; "x-latest" → "x".
std::string_view undated(std::string_view model) {
  const auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string_view::npos; };
  if (model.size() > 11 && model[model.size() - 11] == '-' && model[model.size() - 6] == '-' && model[model.size() - 3] == '-' &&
      digits(model.substr(model.size() - 10, 4)) && digits(model.substr(model.size() - 2)))
    return model.substr(0, model.size() - 11);
  if (model.size() > 9 && model[model.size() - 9] == '-' && digits(model.substr(model.size() - 8))) return model.substr(0, model.size() - 9);
  constexpr std::string_view latest = "-latest";
  if (model.ends_with(latest)) return model.substr(0, model.size() - latest.size());
  return model;
}

void apply(ModelInfo& m, const ModelOverride& o) {
  if (o.price) {
    m.price = *o.price;
    m.tier_above = 0;
    m.flex = o.flex;
    m.priority = o.priority;
    m.disputed.clear();
    m.priced = true;
  }
  if (o.per_image) m.per_image = o.per_image;
  if (o.per_request) {
    m.per_request = o.per_request;
    m.priced = true;
  }
  if (o.batch_percent) m.batch_percent = *o.batch_percent;
  if (o.context) m.context = *o.context;
  if (o.max_output) m.max_output = *o.max_output;
  if (o.image_tokens) m.image_tokens = *o.image_tokens;
  if (o.tools) m.tools = *o.tools;
  if (o.images) m.images = *o.images;
  if (o.json) m.json = *o.json;
  if (o.prefill) m.prefill = *o.prefill;
  if (o.encoding) m.encoding = o.encoding;
}

void lift(Price& p, std::uint32_t millionths) {
  p.nano_per_million = static_cast<std::int64_t>((static_cast<__int128>(p.nano_per_million) * millionths + 999'999) / 1'000'000);
}

void lift(PriceSet& p, std::uint32_t millionths) {
  lift(p.input, millionths);
  lift(p.output, millionths);
  for (auto* kind : {&p.cache_read, &p.cache_write_5m, &p.cache_write_1h, &p.reasoning, &p.audio_in, &p.audio_out, &p.image_in, &p.image_out})
    if (*kind) lift(**kind, millionths);
}

// Everything of tokens and images; searches and fees for a call are the same everywhere.
void lift(ModelInfo& m, std::uint32_t millionths) {
  lift(m.price, millionths);
  lift(m.tier, millionths);
  for (auto* tier : {&m.flex, &m.priority}) {
    if (!*tier) continue;
    lift((*tier)->price, millionths);
    if ((*tier)->above) lift(*(*tier)->above, millionths);
  }
  if (m.per_image) lift(*m.per_image, millionths);
}

}  // namespace

Result<std::shared_ptr<const PriceBook>> PriceBook::parse(std::string_view text) {
  auto document = parse_json(text);
  if (!document) return fail(std::move(document.error()));
  const JsonRef root(*document);
  auto book = std::make_shared<PriceBook>();
  auto as_of = root.get<std::string>("as_of");
  auto models = root.get<const json::object*>("models");
  if (!as_of || !models) return fail(as_of ? std::move(models.error()) : std::move(as_of.error()));
  book->as_of_ = std::move(*as_of);
  const JsonRef at = *root.at("models");
  for (const auto& [name, value] : **models) {
    auto info = model_info(std::string(name), at.child(name, value));
    if (!info) return fail(std::move(info.error()));
    book->models_.emplace(std::string(name), std::move(*info));
    const auto changes = at.child(name, value).find("later");
    for (std::size_t i = 0; changes && i < changes->size(); ++i) {
      const JsonRef change = changes->item(i);
      auto from = change.get<std::string_view>("from");
      auto price = price_set(change);
      if (!from || !price) return fail(from ? std::move(price.error()) : std::move(from.error()));
      const auto date = day(*from);
      if (!date) return fail(ErrorCode::caller_invalid_request, "must be a date, YYYY-MM-DD", change.path() + ".from");
      book->later_[std::string(name)].push_back({*date, *price});
    }
  }
  return std::shared_ptr<const PriceBook>(std::move(book));
}

std::shared_ptr<const PriceBook> PriceBook::shipped() {
  static const auto book = parse(kShippedPrices);
  if (!book) throw std::runtime_error("the embedded price table is damaged: " + describe(book.error()));
  return *book;
}

std::shared_ptr<const PriceBook> PriceBook::with(const std::vector<ModelOverride>& overrides, const std::vector<Uplift>& uplifts) const {
  auto book = std::make_shared<PriceBook>(*this);
  for (const auto& u : uplifts) book->uplifts_[u.provider] = u.millionths;
  for (const auto& o : overrides) book->overrides_[o.provider + "/" + o.model] = o;
  return book;
}

std::optional<ModelInfo> PriceBook::find(std::string_view provider, std::string_view kind, std::string_view model, WallTime when) const {
  std::optional<ModelInfo> found;
  const std::string_view shorter = undated(model);
  for (const std::string_view name : {model, shorter}) {
    const auto at = models_.find(std::string_view(TableKey(kind, name)));
    if (at == models_.end()) continue;
    found = at->second;
    if (const auto later = later_.find(at->first); later != later_.end())
      for (const auto& change : later->second)
        if (change.from <= when) found->price = change.price;
    if (const auto uplift = uplifts_.find(provider); uplift != uplifts_.end()) lift(*found, uplift->second);
    break;
  }
  for (const std::string_view name : {model, shorter}) {
    const auto at = overrides_.find(std::string_view(TableKey(provider, name)));
    if (at == overrides_.end()) continue;
    if (!found) found = ModelInfo{.name = std::string(provider) + "/" + std::string(model), .prefill = true, .priced = false};
    apply(*found, at->second);
    break;
  }
  return found;
}

PriceBook::Span PriceBook::unchanged_around(WallTime when) const {
  Span span;
  for (const auto& [name, changes] : later_)
    for (const auto& change : changes) {
      if (change.from <= when) span.from = std::max(span.from, change.from);
      else span.until = std::min(span.until, change.from);
    }
  return span;
}

std::vector<std::pair<std::string, WallTime>> PriceBook::retiring(WallTime at, Duration within) const {
  std::vector<std::pair<std::string, WallTime>> out;
  for (const auto& [name, info] : models_)
    if (info.retires && *info.retires < at + within) out.emplace_back(name, *info.retires);
  return out;
}

std::vector<std::string> PriceBook::models(std::string_view kind) const {
  std::vector<std::string> out;
  const std::string prefix = std::string(kind) + "/";
  for (auto at = models_.lower_bound(prefix); at != models_.end() && at->first.starts_with(prefix); ++at)
    out.push_back(at->first.substr(prefix.size()));
  return out;
}

std::vector<PriceBook::Change> PriceBook::changes(const PriceBook& before, const PriceBook& after) {
  std::vector<Change> out;
  const auto split = [](const std::string& key) { return std::pair(key.substr(0, key.find('/')), key.substr(key.find('/') + 1)); };
  for (const auto& [key, was] : before.models_) {
    const auto [kind, model] = split(key);
    const auto now = after.models_.find(key);
    if (now == after.models_.end()) {
      out.push_back({kind, model, "gone"});
      continue;
    }
    const auto compare = [&](const char* what, Price a, Price b) {
      if (a != b) out.push_back({kind, model, std::string(what) + " " + to_usd({a.nano_per_million}) + " → " + to_usd({b.nano_per_million})});
    };
    const PriceSet &p = was.price, &q = now->second.price;
    compare("input", p.input, q.input);
    compare("output", p.output, q.output);
    compare("cache_read", p.cache_read.value_or(p.input), q.cache_read.value_or(q.input));
    compare("cache_write_5m", p.cache_write_5m.value_or(p.input), q.cache_write_5m.value_or(q.input));
    compare("cache_write_1h", p.cache_write_1h.value_or(p.input), q.cache_write_1h.value_or(q.input));
    compare("reasoning", p.reasoning.value_or(p.output), q.reasoning.value_or(q.output));
    compare("audio_in", p.audio_in.value_or(p.input), q.audio_in.value_or(q.input));
    compare("audio_out", p.audio_out.value_or(p.output), q.audio_out.value_or(q.output));
    compare("image_out", p.image_out.value_or(p.output), q.image_out.value_or(q.output));
    compare("tier input", was.tier.input, now->second.tier.input);
    compare("tier output", was.tier.output, now->second.tier.output);
    compare("per_request", was.per_request.value_or(Price{}), now->second.per_request.value_or(Price{}));
    for (const auto& [name, tier] : {std::pair("flex", &ModelInfo::flex), {"priority", &ModelInfo::priority}}) {
      const auto &a = was.*tier, &b = now->second.*tier;
      if (!a && !b) continue;
      compare((std::string(name) + " input").c_str(), a ? a->price.input : p.input, b ? b->price.input : q.input);
      compare((std::string(name) + " output").c_str(), a ? a->price.output : p.output, b ? b->price.output : q.output);
    }
    if (was.disputed != now->second.disputed) out.push_back({kind, model, now->second.disputed.empty() ? "no longer disputed" : "disputed: " + now->second.disputed});
  }
  for (const auto& [key, is] : after.models_)
    if (!before.models_.contains(key)) out.push_back({split(key).first, split(key).second, "new"});
  return out;
}

}  // namespace ballast::llm
