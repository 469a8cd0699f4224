// Routes, limits, budgets and keys; and the check that every name in the file leads somewhere.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "app/config.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "gateway/principal.hpp"
#include "gateway/structured.hpp"

namespace ballast::app {

namespace {

gateway::Target target(const ConfigNode& node) {
  const bool plain = node.is_scalar();
  const ConfigNode named = plain ? node : node.require("model");
  gateway::Target t;
  if (auto made = gateway::target_from(named.as_string(), named.path())) t = std::move(*made);
  else named.problem(made.error().message);
  if (plain) return t;
  t.weight = static_cast<std::uint32_t>(node.integer("weight", 1, 0, 1'000'000));
  if (node.has("complexity")) t.complexity = gateway::complexity_from(node.choice("complexity", {"simple", "medium", "hard"}, "medium"));
  if (node.has("intents")) t.intents = node.strings("intents");
  node.done();
  return t;
}

gateway::AskOptions ask(const ConfigNode& node) {
  gateway::AskOptions a;
  const ConfigNode model = node.require("model");
  if (auto made = gateway::target_from(model.as_string(), model.path())) a.target = std::move(*made);
  else model.problem(made.error().message);
  a.timeout = node.duration("timeout", a.timeout);
  if (a.timeout <= Duration::zero() || a.timeout > std::chrono::minutes(1)) node.get("timeout").problem("must be above zero and at most 1m");
  a.out_of_scope = node.boolean("out_of_scope", a.out_of_scope);
  a.max_tokens = node.integer("max_tokens", a.max_tokens, 16, 100'000);
  if (node.has("effort")) a.effort = node.choice("effort", {"none", "minimal", "low", "medium", "high"}, "low");
  for (const auto& [label, about] : node.map("labels")) a.labels[label] = about.as_string();
  node.done();
  return a;
}

gateway::RetryOptions retries(const ConfigNode& node) {
  gateway::RetryOptions r;
  r.attempts = static_cast<unsigned>(node.integer("attempts", r.attempts, 1, 64));
  r.deadline = node.duration("deadline", r.deadline);
  r.backoff = node.duration("backoff", r.backoff);
  r.max_backoff = node.duration("max_backoff", r.max_backoff);
  r.patience = node.duration("patience", r.patience);
  if (r.deadline <= Duration::zero()) node.get("deadline").problem("must be above zero");
  node.done();
  return r;
}

gateway::HedgeOptions hedge(const ConfigNode& node) {
  gateway::HedgeOptions h;
  if (node.has("after")) h.after = node.duration("after");
  h.max = static_cast<unsigned>(node.integer("max", h.max, 1, 8));
  node.done();
  return h;
}

gateway::RescueOptions rescue(const ConfigNode& node) {
  gateway::RescueOptions r;
  r.mode = gateway::rescue_mode_from(node.choice("rescue", {"restart", "continue", "error"}, "error")).value_or(r.mode);
  r.hold_back = static_cast<unsigned>(node.integer("hold_back", r.mode == gateway::RescueMode::restart ? 64 : 0, 0, 100'000));
  node.done();
  return r;
}

gateway::CacheOptions cache(const ConfigNode& node) {
  gateway::CacheOptions c;
  c.ttl = node.duration("ttl");
  if (node.choice("scope", {"key", "shared"}, "key") == "shared") c.scope = gateway::CacheScope::shared;
  c.across_nodes = node.boolean("across_nodes", c.across_nodes);
  node.done();
  return c;
}

gateway::QueueOptions queue(const ConfigNode& node) {
  gateway::QueueOptions q;
  q.wait = node.duration("wait");
  q.depth = static_cast<std::size_t>(node.integer("depth", static_cast<std::int64_t>(q.depth), 0, 1'000'000));
  node.done();
  return q;
}

gateway::DegradeOptions degrade(const ConfigNode& node) {
  gateway::DegradeOptions d;
  d.stale = node.duration("stale");
  if (node.has("template")) d.answer = node.string("template");
  node.done();
  return d;
}

// Read once: a reload reads it again.
std::shared_ptr<const gateway::Demand> demand(const ConfigNode& node, const std::filesystem::path& folder, const std::string& route) {
  const std::filesystem::path path = folder / node.as_string();
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file && text.empty()) return node.problem("cannot be read: " + path.string()), nullptr;
  auto document = parse_json(text);
  if (!document) return node.problem(path.string() + " is not JSON: " + document.error().message), nullptr;
  std::string name;                        // providers take letters, digits, - and _
  for (const char c : route.substr(0, 64)) name += std::isalnum(static_cast<unsigned char>(c)) || c == '-' ? c : '_';
  auto made = gateway::compile_demand({.kind = llm::ResponseFormat::Kind::schema, .name = std::move(name), .schema = std::move(*document)}, node.path());
  if (!made) return node.problem(path.string() + ": " + made.error().message), nullptr;
  return *made;
}

gateway::StructuredOptions structured(const ConfigNode& node, const std::filesystem::path& folder, const std::string& route) {
  gateway::StructuredOptions s;
  const std::string enforce = node.choice("enforce", {"schema", "json", "none"}, "schema");
  s.enforce = enforce == "none" ? gateway::Enforce::none : enforce == "json" ? gateway::Enforce::json : gateway::Enforce::schema;
  s.reask = static_cast<unsigned>(node.integer("reask", s.reask, 0, 8));
  s.pass = node.choice("on_failure", {"error", "pass"}, "error") == "pass";
  s.hold = node.choice("stream", {"watch", "hold"}, "watch") == "hold";
  if (node.has("schema")) s.demand = demand(node.get("schema"), folder, route);
  if (s.demand && s.enforce == gateway::Enforce::none) node.get("schema").problem("is of no use with enforce: none");
  node.done();
  return s;
}

std::optional<Rate> rate(const ConfigNode& node, std::string_view key) {
  return node.has(key) ? std::optional(node.rate(key)) : std::nullopt;
}

}  // namespace

gateway::Route parse::route(const std::string& name, const ConfigNode& node, const std::filesystem::path& folder) {
  gateway::Route r{.name = name};
  const bool direct = name == "direct" && node.path() == "direct";
  if (!direct) {
    for (const ConfigNode& item : node.list("targets")) r.targets.push_back(target(item));
    if (r.targets.empty()) node.problem("needs targets, for example targets: [openai/gpt-5-mini]");
    if (r.targets.size() > 64) node.get("targets").problem("has more than 64 targets");
    r.strategy = gateway::strategy_from(node.choice("strategy", {"ordered", "weighted", "least_latency", "cheapest", "complexity", "context", "intent"},
                                                    "ordered")).value_or(r.strategy);
    r.classifier = node.string("classifier");
    r.unsure_below = node.number("unsure_below", r.unsure_below);
    if (!(r.unsure_below >= 0 && r.unsure_below <= 1)) node.get("unsure_below").problem("must be 0 to 1");
    if (node.has("ask")) r.ask = ask(node.get("ask"));
    if (r.ask && r.classifier.empty()) node.get("ask").problem("needs a classifier: the model is asked where that is unsure");
    if (r.strategy == gateway::Strategy::intent && r.classifier.empty()) node.problem("strategy intent needs a classifier");
    if (!r.classifier.empty() && r.strategy != gateway::Strategy::intent && r.strategy != gateway::Strategy::complexity)
      node.get("classifier").problem("is for strategies intent and complexity");
  }
  r.retries = retries(node.get("retries"));
  r.hedge = hedge(node.get("hedge"));
  r.rescue = rescue(node.get("stream"));
  r.cache = cache(node.get("cache"));
  r.queue = queue(node.get("queue"));
  r.degrade = degrade(node.get("degrade"));
  r.structured = structured(node.get("structured"), folder, name);
  r.record = record(node);
  if (node.choice("on_content_filter", {"fail", "next"}, "fail") == "next") r.on_content_filter = gateway::OnContentFilter::next;
  node.done();
  return r;
}

ClassifierConfig parse::classifier(const ConfigNode& node, const std::filesystem::path& folder) {
  ClassifierConfig c;
  if (node.is_scalar()) {
    c.model = (folder / node.as_string()).string();
    return c;
  }
  const ConfigNode examples = node.require("examples");
  if (examples.is_map()) {
    for (const auto& [label, texts] : examples.members())
      for (const std::string& text : examples.strings(label)) c.examples.push_back({text, label});
  } else {
    for (const std::string& file : node.strings("examples")) c.files.push_back((folder / file).string());
    if (c.files.empty()) examples.problem("needs a file, a list of files, or texts by their label");
  }
  c.training.out_of_scope_label = node.string("out_of_scope_label", c.training.out_of_scope_label);
  c.training.false_refusals = node.number("false_refusals", c.training.false_refusals);
  if (!(c.training.false_refusals >= 0.001 && c.training.false_refusals <= 0.5)) node.get("false_refusals").problem("must be from 0.001 to 0.5");
  c.training.seed = static_cast<std::uint64_t>(node.integer("seed", static_cast<std::int64_t>(c.training.seed), 0));
  node.done();
  return c;
}

gateway::LimitRule parse::limit(const ConfigNode& node) {
  gateway::LimitRule rule;
  rule.scope = gateway::limit_scope_from(node.choice("scope", {"provider", "model", "key", "user", "feature", "team", "system"}, "system")).value_or(rule.scope);
  rule.match = node.string("match");
  rule.requests = rate(node, "requests");
  rule.tokens = rate(node, "tokens");
  if (node.has("concurrency")) rule.concurrency = static_cast<std::uint32_t>(node.integer("concurrency", 1, 1, UINT32_MAX));
  if (!rule.requests && !rule.tokens && !rule.concurrency) node.problem("limits nothing: give requests, tokens or concurrency");
  node.done();
  return rule;
}

gateway::BudgetRule parse::budget(const ConfigNode& node) {
  gateway::BudgetRule rule;
  rule.name = node.string("name");
  rule.scope = gateway::budget_scope_from(node.choice("scope", {"request", "key", "user", "feature", "team", "model", "system"}, "system")).value_or(rule.scope);
  rule.match = node.string("match");
  const ConfigNode amount = node.require("amount");
  rule.amount = amount.as_money();
  if (rule.amount.nano < 0) amount.problem("must not be negative");
  rule.period = gateway::budget_period_from(node.choice("per", {"hour", "day", "month", "fixed"}, "day")).value_or(rule.period);
  const auto time = [&](std::string_view key, WallTime& into) {
    if (!node.has(key)) return;
    if (auto at = parse_time(node.string(key), key)) into = *at;
    else node.get(key).problem(at.error().message);
    rule.period = gateway::BudgetPeriod::fixed;
  };
  time("from", rule.from);
  time("to", rule.to);
  if (rule.period == gateway::BudgetPeriod::fixed && rule.to <= rule.from) node.problem("a fixed budget needs from and to, from before to");
  node.done();
  return rule;
}

KeyConfig parse::key(const ConfigNode& node) {
  KeyConfig k;
  k.name = node.require("name").as_string();
  const ConfigNode value = node.require("value");
  k.value = value.as_string();
  if (value.exists() && k.value.size() < 16) value.problem("must have at least 16 characters");
  if (node.has("scopes")) k.scopes = node.strings("scopes");
  for (const std::string& scope : k.scopes)
    if (!gateway::scope_from(scope)) node.get("scopes").problem(fmt::format("unknown scope \"{}\": call, usage, read, work, approve or admin", scope));
  k.models = node.strings("models");
  k.team = node.string("team");
  k.user = node.string("user");
  k.feature = node.string("feature");
  if (node.has("expires")) {
    if (auto at = parse_time(node.string("expires"), "expires")) k.expires = *at;
    else node.get("expires").problem(at.error().message);
  }
  node.done();
  return k;
}

namespace {

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const auto near = nearest_name(name, std::span<const std::string>(known));
  return near.empty() ? std::string() : fmt::format(", did you mean \"{}\"?", near);
}

void check_targets(const Config& config, const ConfigNode& root, const std::vector<std::string>& providers) {
  for (const auto& route : config.routes) {
    const auto nodes = root.get("routes").get(route.name).list("targets");
    const auto check = [&](const gateway::Target& t, const ConfigNode& node) {
      if (t.provider.empty()) return;
      const auto found = std::ranges::find(config.providers, t.provider, &ProviderConfig::name);
      if (found == config.providers.end())
        node.problem(fmt::format("there is no provider \"{}\"{}", t.provider, suggestion(t.provider, providers)));
      else if (found->kind == "simulator" && std::ranges::find(found->models, t.model) == found->models.end())
        node.problem(fmt::format("the simulator \"{}\" has no model \"{}\"{}", t.provider, t.model, suggestion(t.model, found->models)));
    };
    for (std::size_t i = 0; i < route.targets.size(); ++i) check(route.targets[i], nodes[i]);
    if (route.ask) check(route.ask->target, root.get("routes").get(route.name).get("ask").get("model"));
  }
}

}  // namespace

void parse::check_names(const Config& config, const ConfigNode& root) {
  std::vector<std::string> providers, routes;
  for (const auto& p : config.providers) providers.push_back(p.name);
  for (const auto& r : config.routes) routes.push_back(r.name);
  check_targets(config, root, providers);
  for (const auto& [alias, to] : config.aliases) {
    const auto slash = to.find('/');
    const bool model = slash != std::string::npos && std::ranges::find(providers, to.substr(0, slash)) != providers.end();
    if (!model && std::ranges::find(routes, to) == routes.end())
      root.get("aliases").get(alias).problem(fmt::format("leads to \"{}\", which is neither a route nor PROVIDER/MODEL{}", to, suggestion(to, routes)));
  }
  std::vector<std::string> classifiers;
  for (const auto& [name, what] : config.classifiers) classifiers.push_back(name);
  for (const auto& r : config.routes)
    if (!r.classifier.empty() && !config.classifiers.contains(r.classifier))
      root.get("routes").get(r.name).get("classifier").problem(
          fmt::format("there is no classifier \"{}\"{}", r.classifier, suggestion(r.classifier, classifiers)));
  for (const auto& m : config.models) {
    if (std::ranges::find(providers, m.provider) == providers.end())
      root.get("models").get(m.provider + "/" + m.model).problem(fmt::format("there is no provider \"{}\"{}", m.provider, suggestion(m.provider, providers)));
  }
  std::set<std::string> names;
  const auto keys = root.list("keys");
  for (std::size_t i = 0; i < config.keys.size() && i < keys.size(); ++i)
    if (!names.insert(config.keys[i].name).second) keys[i].problem(fmt::format("a second key is called \"{}\"", config.keys[i].name));
}

}  // namespace ballast::app
