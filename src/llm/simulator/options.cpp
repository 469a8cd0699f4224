// The simulator's configuration.
#include "llm/simulator/simulator.hpp"

namespace ballast::llm {

namespace {
constexpr std::array<std::string_view, 26> kFaultNames{
    "http_429", "http_429_billing", "http_401", "http_500", "http_502", "http_503", "http_504", "http_529", "reset", "silence",
    "slow_first_token", "cut", "stall", "malformed_chunk", "missing_terminator", "context_length", "content_filter", "prefill_rejected",
    "over_report_usage", "error_in_stream", "wrong_content_length", "json_fenced", "json_trailing_comma", "json_truncated", "json_wrong_type",
    "json_prose"};
}

std::string_view to_string(SimFaultKind kind) { return kFaultNames[static_cast<std::size_t>(kind)]; }

std::optional<SimFaultKind> sim_fault_from(std::string_view name) {
  for (std::size_t i = 0; i < kFaultNames.size(); ++i)
    if (kFaultNames[i] == name) return static_cast<SimFaultKind>(i);
  return std::nullopt;
}

namespace {

// "20ms", {uniform: [10ms, 30ms]} or {median: 20ms, sigma: 0.5}.
SimDelay parse_delay(const ConfigNode& node, SimDelay fallback) {
  if (!node.exists()) return fallback;
  if (node.is_scalar()) return {.low = node.as_duration()};
  SimDelay d;
  if (const auto both = node.list("uniform"); both.size() == 2) {
    d = {.kind = SimDelay::Kind::uniform, .low = both[0].as_duration(), .high = both[1].as_duration()};
    if (d.high < d.low) node.problem("uniform: the second duration is less than the first");
  } else {
    d = {.kind = SimDelay::Kind::lognormal, .low = node.duration("median"), .sigma = node.number("sigma", 0.5)};
    if (!node.has("median")) node.problem("must be a duration, {uniform: [LOW, HIGH]} or {median: TIME, sigma: NUMBER}");
  }
  node.done();
  return d;
}

SimFault parse_fault(const ConfigNode& node) {
  SimFault f;
  const auto kind = sim_fault_from(node.string("kind"));
  if (!kind) {
    std::string all;
    for (const auto name : kFaultNames) all += (all.empty() ? "" : ", ") + std::string(name);
    node.get("kind").problem("unknown fault; one of " + all);
  }
  f.kind = kind.value_or(SimFaultKind::http_500);
  f.rate = node.number("rate", 1.0);
  if (f.rate < 0 || f.rate > 1) node.get("rate").problem("must be between 0 and 1");
  if (node.has("first")) f.first = static_cast<std::uint64_t>(node.integer("first", 1, 1));
  if (node.has("every")) f.every = static_cast<std::uint64_t>(node.integer("every", 1, 1));
  f.from = node.duration("from");
  if (node.has("until")) f.until = node.duration("until");
  f.period = node.duration("period");
  if (node.has("retry_after")) f.retry_after = node.duration("retry_after");
  f.after_tokens = static_cast<std::uint64_t>(node.integer("after_tokens", 8, 0));
  f.delay = node.duration("delay", std::chrono::seconds(20));
  node.done();
  return f;
}

Price as_price(Money dollars_per_million) { return {dollars_per_million.nano}; }

std::optional<PriceSet> parse_price(const ConfigNode& node) {
  if (!node.exists()) return std::nullopt;
  PriceSet p{.input = as_price(node.money("input")), .output = as_price(node.money("output"))};
  if (node.has("cache_read")) p.cache_read = as_price(node.money("cache_read"));
  node.done();
  return p;
}

}  // namespace

SimModel parse_sim_model(std::string name, const ConfigNode& node) {
  SimModel m{.name = std::move(name)};
  m.latency = parse_delay(node.get("latency"), m.latency);
  m.ttft = parse_delay(node.get("ttft"), m.ttft);
  m.tokens_per_second = node.number("tokens_per_second", m.tokens_per_second);
  if (m.tokens_per_second < 0) node.get("tokens_per_second").problem("must not be negative");
  m.output_tokens = static_cast<std::uint64_t>(node.integer("output_tokens", 60, 1, 1'000'000));
  if (node.has("answer")) m.answer = node.string("answer");
  for (const ConfigNode& a : node.list("answers")) {
    m.answers.push_back({.match = a.string("match"), .text = a.string("text"), .tool = a.string("tool"), .arguments = a.string("arguments", "{}")});
    a.done();
  }
  m.prefill = node.boolean("prefill", true);
  m.dimensions = static_cast<std::uint32_t>(node.integer("dimensions", 64, 1, 8192));
  for (const ConfigNode& f : node.list("faults")) m.faults.push_back(parse_fault(f));
  m.price = parse_price(node.get("price"));
  if (node.has("per_image")) m.per_image = Price{node.money("per_image").nano * 1'000'000};
  m.context = static_cast<std::uint64_t>(node.integer("context", 128'000, 1));
  node.done();
  return m;
}

SimConfig default_sim_config() {
  SimConfig config;
  const auto add = [&](const char* name, double input, double output, double tps) -> SimModel& {
    SimModel m{.name = name, .tokens_per_second = tps};
    m.price = PriceSet{.input = {static_cast<std::int64_t>(input * 1e9)}, .output = {static_cast<std::int64_t>(output * 1e9)}};
    return config.models[name] = std::move(m);
  };
  add("sim-small", 0.10, 0.40, 200).answer =
      "This is the simulator speaking: a model that costs nothing and knows nothing. Configure a provider to talk to a real one.";
  add("sim-large", 2.00, 8.00, 80).output_tokens = 240;
  add("sim-embed", 0.02, 0, 0);
  add("sim-image", 5.00, 40.00, 0);
  return config;
}

std::vector<ModelOverride> sim_prices(std::string_view provider, const SimConfig& config) {
  std::vector<ModelOverride> out;
  for (const auto& [name, m] : config.models) {
    ModelOverride o{.provider = std::string(provider), .model = name, .price = m.price ? m.price : PriceSet{}, .per_image = m.per_image};
    o.batch_percent = kSimBatchPercent;
    o.context = m.context;
    o.max_output = 32'768;
    o.image_tokens = kSimImageTokens;
    o.prefill = m.prefill;
    out.push_back(std::move(o));
  }
  return out;
}

}  // namespace ballast::llm
