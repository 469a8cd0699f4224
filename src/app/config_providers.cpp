// Providers, their keys and timers, the simulator's models, and price overrides.
#include <cmath>

#include "app/config.hpp"
#include "app/local_servers.hpp"
#include "base/text.hpp"
#include "tokens/tokens.hpp"

namespace ballast::app {

namespace {

std::optional<std::uint64_t> maybe_count(const ConfigNode& node, std::string_view key, std::int64_t high = INT64_MAX) {
  if (!node.has(key)) return std::nullopt;
  return static_cast<std::uint64_t>(node.integer(key, 0, 0, high));
}
std::optional<std::uint32_t> maybe_small(const ConfigNode& node, std::string_view key) {
  const auto n = maybe_count(node, key, UINT32_MAX);
  return n ? std::optional(static_cast<std::uint32_t>(*n)) : std::nullopt;
}
std::optional<bool> maybe_bool(const ConfigNode& node, std::string_view key) {
  return node.has(key) ? std::optional(node.boolean(key)) : std::nullopt;
}

llm::ProviderTimeouts timeouts(const ConfigNode& node) {
  llm::ProviderTimeouts t;
  t.connect = node.duration("connect", t.connect);
  t.headers = node.duration("headers", t.headers);
  t.first_token = node.duration("first_token", t.first_token);
  t.idle = node.duration("idle", t.idle);
  t.total = node.duration("total", t.total);
  node.done();
  return t;
}

llm::Quirks quirks(const ConfigNode& node, bool vendor, bool batch) {
  llm::Quirks q{.responses = vendor, .batch = batch, .max_tokens_field = {}, .structured = {}};
  q.include_usage = node.boolean("include_usage", q.include_usage);
  q.responses = node.boolean("responses", q.responses);
  q.batch = node.boolean("batch", q.batch);
  q.max_tokens_field = node.string("max_tokens_field");
  if (node.has("structured")) q.structured = llm::asking_from(node.choice("structured", {"native", "json", "tool", "prompt"}, "native"));
  node.done();
  return q;
}

std::vector<gateway::CredentialConfig> credentials(const std::string& provider, const ConfigNode& node) {
  std::vector<gateway::CredentialConfig> keys;
  const std::string single = node.string("key");
  if (!single.empty()) keys.push_back({.name = provider + "#1", .value = single});
  for (const ConfigNode& item : node.list("keys")) {
    gateway::CredentialConfig key{.name = fmt::format("{}#{}", provider, keys.size() + 1)};
    if (item.is_scalar()) {
      key.value = item.as_string();
    } else {
      key.name = item.string("name", key.name);
      key.value = item.require("value").as_string();
      key.rpm = maybe_count(item, "rpm");
      key.tpm = maybe_count(item, "tpm");
      key.concurrency = maybe_small(item, "concurrency");
      item.done();
    }
    keys.push_back(std::move(key));
  }
  if (keys.size() > 64) node.get("keys").problem("has more than 64 keys");
  return keys;
}

// Fixed request headers. A value may be a secret: a complaint never shows it.
std::vector<std::pair<std::string, std::string>> extra_headers(const ConfigNode& node) {
  constexpr std::size_t most = 32, longest = 4096;
  std::vector<std::pair<std::string, std::string>> out;
  net::Headers seen;
  for (const auto& [name, item] : node.members()) {
    std::string value = item.as_string();
    if (const auto why = llm::why_not_extra(name); !why.empty()) item.problem(why);
    else if (seen.has(name)) item.problem("stands twice: names of headers do not differ by case");
    else if (item.exists() && (value.empty() || value.size() > longest)) item.problem(fmt::format("must have 1 to {} characters", longest));
    else if (!seen.add(name, value)) item.problem("has a character that no header may have, such as a line's end");
    else out.emplace_back(name, std::move(value));
  }
  if (out.size() > most) node.problem(fmt::format("has more than {} headers", most));
  return out;
}

std::optional<Price> maybe_price(const ConfigNode& node, std::string_view key) {
  if (!node.has(key)) return std::nullopt;
  const Money money = node.money(key);
  if (money.nano < 0) node.get(key).problem("must not be negative");
  return Price{money.nano};
}

llm::PriceSet price_set(const ConfigNode& node) {
  llm::PriceSet p;
  if (!node.has("input")) node.require("input");
  p.input = maybe_price(node, "input").value_or(Price{});
  p.output = maybe_price(node, "output").value_or(Price{});
  p.cache_read = maybe_price(node, "cache_read");
  p.cache_write_5m = maybe_price(node, "cache_write");
  p.cache_write_1h = maybe_price(node, "cache_write_1h");
  p.reasoning = maybe_price(node, "reasoning");
  p.audio_in = maybe_price(node, "audio_input");
  p.audio_out = maybe_price(node, "audio_output");
  p.image_in = maybe_price(node, "image_input");
  p.image_out = maybe_price(node, "image_output");
  return p;
}

std::optional<llm::TierPrices> service_tier(const ConfigNode& node) {
  if (!node.exists()) return std::nullopt;
  const llm::TierPrices tier{.price = price_set(node), .above = {}};
  node.done();
  return tier;
}

void price(const ConfigNode& node, llm::ModelOverride& m) {
  if (!node.exists()) return;
  m.price = price_set(node);
  m.flex = service_tier(node.get("flex"));
  m.priority = service_tier(node.get("priority"));
  node.done();
}

// What is priced apiece, for a million of them.
std::optional<Price> apiece(const ConfigNode& node, std::string_view key) {
  const auto one = maybe_price(node, key);
  if (!one) return std::nullopt;
  if (one->nano_per_million <= INT64_MAX / 1'000'000) return Price{one->nano_per_million * 1'000'000};
  node.get(key).problem("is more than one can cost");
  return std::nullopt;
}

}  // namespace

ProviderConfig parse::provider(const std::string& name, const ConfigNode& node) {
  ProviderConfig p{.name = name};
  if (name.contains('/') || name.contains(' ')) node.problem("a provider's name has no '/' and no space: models are called PROVIDER/MODEL");
  p.kind = node.choice("kind", {"openai", "anthropic", "gemini", "azure", "simulator"}, "openai");
  p.base_url = node.string("base_url");
  p.api_version = node.string("api_version");
  p.keys = credentials(name, node);
  p.headers = extra_headers(node.get("headers"));
  p.timeouts = timeouts(node.get("timeouts"));
  const bool openai = p.kind == "openai" && (p.base_url.empty() || p.base_url.starts_with("https://api.openai.com/"));
  const bool anthropic = p.kind == "anthropic" && (p.base_url.empty() || p.base_url.starts_with("https://api.anthropic.com"));
  p.quirks = quirks(node.get("quirks"), openai, openai || anthropic);
  const double multiplier = node.number("price_multiplier", 1.0);
  if (!(multiplier >= 0 && multiplier <= 1000)) node.get("price_multiplier").problem("must be between 0 and 1000, for example 1.1");
  else p.price_millionths = static_cast<std::uint32_t>(std::ceil(multiplier * 1e6 - 1e-6));
  const auto seed = static_cast<std::uint64_t>(node.integer("seed", 1, 0));
  if (p.kind != "simulator" && node.has("seed")) node.get("seed").problem("belongs to a simulator");
  if (p.kind == "simulator") {
    for (const auto& [model, inner] : node.map("models")) p.sim.models[model] = llm::parse_sim_model(model, inner);
    if (p.sim.models.empty()) p.sim = llm::default_sim_config();
    p.sim.seed = seed;
    for (const auto& [model, ignored] : p.sim.models) p.models.push_back(model);
  } else {
    p.models = node.strings("models");
  }
  if (p.kind == "azure" && p.base_url.empty()) node.problem("an azure provider needs base_url, for example https://NAME.openai.azure.com");
  if (!p.base_url.empty() && !p.base_url.starts_with("http://") && !p.base_url.starts_with("https://"))
    node.get("base_url").problem("must start with http:// or https://");
  node.done();
  return p;
}

llm::ModelOverride parse::model(const std::string& name, const ConfigNode& node) {
  llm::ModelOverride m;
  const auto slash = name.find('/');
  if (slash == std::string::npos) node.problem("must be called PROVIDER/MODEL");
  m.provider = name.substr(0, slash);
  m.model = slash == std::string::npos ? std::string() : name.substr(slash + 1);
  price(node.get("price"), m);
  m.per_image = apiece(node, "per_image");
  m.per_request = apiece(node, "per_request");
  if (const auto percent = maybe_count(node, "batch_percent", 100)) m.batch_percent = static_cast<unsigned>(*percent);
  m.context = maybe_count(node, "context");
  m.max_output = maybe_count(node, "max_output");
  m.image_tokens = maybe_count(node, "image_tokens");
  m.tools = maybe_bool(node, "tools");
  m.images = maybe_bool(node, "images");
  m.json = maybe_bool(node, "json");
  m.prefill = maybe_bool(node, "prefill");
  m.encoding = tokens::Encoding::from_name(node.choice("encoding", {"o200k_base", "cl100k_base"}, ""));
  node.done();
  return m;
}

ProviderConfig default_simulator() {
  ProviderConfig p{.name = "sim", .kind = "simulator"};
  p.sim = llm::default_sim_config();
  for (const auto& [model, ignored] : p.sim.models) p.models.push_back(model);
  return p;
}

std::vector<ProviderConfig> providers_from_environment(const EnvLookup& environment) {
  std::vector<ProviderConfig> providers{default_simulator()};
  for (auto& found : llm::providers_from_environment(environment)) {
    ProviderConfig p{.name = found.spec.name, .kind = std::string(llm::to_string(found.spec.kind)), .from_environment = found.variable};
    p.base_url = net::to_string(found.spec.base);
    p.api_version = found.spec.api_version;
    p.timeouts = found.spec.timeouts;
    p.quirks = found.spec.quirks;
    p.models = found.spec.models;
    if (!found.secret.empty()) p.keys.push_back({.name = p.name + "#1", .value = found.secret});
    providers.push_back(std::move(p));
  }
  if (const auto host = environment("OLLAMA_HOST"))
    if (std::string base = ollama_base_url(*host); !base.empty())
      providers.push_back({.name = "ollama", .kind = "openai", .base_url = std::move(base), .from_environment = "OLLAMA_HOST"});
  return providers;
}

}  // namespace ballast::app
