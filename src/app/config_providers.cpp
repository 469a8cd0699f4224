// Providers, their keys and timers, the simulator's models, and price overrides.
#include "app/config.hpp"
#include "base/text.hpp"

namespace ballast::app {

namespace {

std::optional<Duration> maybe_duration(const ConfigNode& node, std::string_view key) {
  return node.has(key) ? std::optional(node.duration(key)) : std::nullopt;
}
std::optional<Money> maybe_money(const ConfigNode& node, std::string_view key) {
  if (!node.has(key)) return std::nullopt;
  const Money money = node.money(key);
  if (money.nano < 0) node.get(key).problem("must not be negative");
  return money;
}
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

llm::Quirks quirks(const ConfigNode& node) {
  llm::Quirks q;
  q.include_usage = node.boolean("include_usage", q.include_usage);
  q.responses = node.boolean("responses", q.responses);
  q.max_tokens_field = node.string("max_tokens_field");
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

FaultConfig fault(const ConfigNode& node) {
  FaultConfig f;
  f.kind = node.require("kind").as_string();
  f.rate = node.number("rate", 1.0);
  if (f.rate < 0 || f.rate > 1) node.get("rate").problem("must be between 0 and 1");
  f.retry_after = maybe_duration(node, "retry_after");
  f.from = maybe_duration(node, "from");
  f.until = maybe_duration(node, "until");
  f.wait = maybe_duration(node, "wait");
  f.period = maybe_duration(node, "period");
  f.after_tokens = maybe_small(node, "after_tokens");
  f.times = maybe_small(node, "times");
  node.done();
  return f;
}

SimModelConfig sim_model(const std::string& name, const ConfigNode& node) {
  SimModelConfig m{.name = name};
  m.ttft = maybe_duration(node, "ttft");
  m.jitter = maybe_duration(node, "jitter");
  if (node.has("tokens_per_second")) m.tokens_per_second = node.number("tokens_per_second");
  if (m.tokens_per_second && *m.tokens_per_second <= 0) node.get("tokens_per_second").problem("must be above zero");
  m.output_tokens = maybe_small(node, "output_tokens");
  m.context = maybe_count(node, "context");
  m.price = parse::price(node.get("price"));
  if (node.has("answer")) m.answer = node.string("answer");
  for (const ConfigNode& item : node.list("faults")) m.faults.push_back(fault(item));
  node.done();
  return m;
}

}  // namespace

PriceConfig parse::price(const ConfigNode& node) {
  PriceConfig p;
  p.input = maybe_money(node, "input");
  p.output = maybe_money(node, "output");
  p.cached = maybe_money(node, "cached");
  p.cache_write = maybe_money(node, "cache_write");
  p.reasoning = maybe_money(node, "reasoning");
  p.batch_input = maybe_money(node, "batch_input");
  p.batch_output = maybe_money(node, "batch_output");
  p.image_input = maybe_money(node, "image_input");
  p.image_output = maybe_money(node, "image_output");
  node.done();
  return p;
}

ProviderConfig parse::provider(const std::string& name, const ConfigNode& node) {
  ProviderConfig p{.name = name};
  if (name.contains('/') || name.contains(' ')) node.problem("a provider's name has no '/' and no space: models are called PROVIDER/MODEL");
  p.kind = node.choice("kind", {"openai", "anthropic", "gemini", "azure", "simulator"}, "openai");
  p.base_url = node.string("base_url");
  p.api_version = node.string("api_version");
  p.keys = credentials(name, node);
  p.timeouts = timeouts(node.get("timeouts"));
  p.quirks = quirks(node.get("quirks"));
  if (p.kind == "simulator") {
    for (const auto& [model, inner] : node.map("models")) p.sim_models.push_back(sim_model(model, inner));
    if (p.sim_models.empty()) p.sim_models = default_simulator().sim_models;
    for (const auto& m : p.sim_models) p.models.push_back(m.name);
  } else {
    p.models = node.strings("models");
  }
  if (p.kind == "azure" && p.base_url.empty()) node.problem("an azure provider needs base_url, for example https://NAME.openai.azure.com");
  if (!p.base_url.empty() && !p.base_url.starts_with("http://") && !p.base_url.starts_with("https://"))
    node.get("base_url").problem("must start with http:// or https://");
  node.done();
  return p;
}

ModelConfig parse::model(const std::string& name, const ConfigNode& node) {
  ModelConfig m{.name = name};
  if (!name.contains('/')) node.problem("must be called PROVIDER/MODEL");
  m.price = price(node.get("price"));
  m.context = maybe_count(node, "context");
  m.max_output = maybe_count(node, "max_output");
  m.tools = maybe_bool(node, "tools");
  m.images = maybe_bool(node, "images");
  m.json = maybe_bool(node, "json");
  m.prefill = maybe_bool(node, "prefill");
  node.done();
  return m;
}

ProviderConfig default_simulator() {
  ProviderConfig p{.name = "sim", .kind = "simulator"};
  p.sim_models.push_back({.name = "sim-small", .ttft = std::chrono::milliseconds(20), .tokens_per_second = 100.0, .output_tokens = 60U});
  p.models = {"sim-small"};
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
  return providers;
}

}  // namespace ballast::app
