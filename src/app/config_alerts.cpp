// The file's `alerts` section: the default rules, changed and added to, and who is told.
#include <algorithm>

#include "app/config.hpp"
#include "net/url.hpp"
#include "records/rollups.hpp"

namespace ballast::app {

namespace {

constexpr std::size_t kMostRules = 100, kMostReceivers = 20, kMostBurns = 10;
constexpr Duration kLongestBurn = std::chrono::hours(72);   // what a series knows by five minutes

void read_labels(const ConfigNode& node, watch::Rule& rule) {
  if (const auto by = node.strings("by"); !by.empty()) rule.by = by;
  for (const auto& label : rule.by)
    if (label != "all" && label != "model" && label != "provider" && label != "route" && label != "key" && label != "team" && label != "user" && label != "feature" && label != "operation")
      node.get("by").problem(fmt::format("\"{}\" is no label: all, model, provider, route, key, team, user, feature, operation", label));
  for (const auto& [name, value] : node.map("where")) rule.where[name] = value.as_string();
}

// Those of the file replace those of the default.
void read_burns(const ConfigNode& node, watch::Rule& rule) {
  const auto items = node.list("burns");
  if (items.empty()) return;
  if (rule.kind != watch::Kind::error_budget && rule.kind != watch::Kind::latency_budget) return node.get("burns").problem("belongs to the kinds error_budget and latency_budget");
  if (items.size() > kMostBurns) return node.get("burns").problem(fmt::format("must be at most {}", kMostBurns));
  rule.burns.clear();
  for (const ConfigNode& item : items) {
    const watch::Burn burn{item.require("rate").as_double(), item.require("over").as_duration(), item.require("now").as_duration()};
    item.done();
    if (burn.rate <= 0) item.get("rate").problem("must be above 0: how many times faster than the objective allows");
    else if (burn.rate * (1 - rule.objective) >= 1) item.get("rate").problem(fmt::format("is never reached: with an objective of {:g} every call would have to be bad, and more", rule.objective));
    if (burn.now < std::chrono::minutes(1) || burn.over <= burn.now || burn.over > kLongestBurn) item.problem("now must be at least 1m, over longer than now, and at most 72h");
    rule.burns.push_back(burn);
  }
}

void read_rule(const ConfigNode& node, watch::Rule& rule, bool own) {
  const std::string kind = node.string("kind");
  if (const auto known = watch::kind_from(kind)) rule.kind = *known;
  else if (!kind.empty()) node.get("kind").problem("is no kind of rule; docs/alerts.md lists them");
  else if (own) node.problem("needs a kind: it is not the name of a default rule");
  rule.off = node.boolean("off", rule.off);
  rule.severity = *watch::severity_from(node.choice("severity", {"info", "ticket", "page"}, watch::to_string(rule.severity)));
  read_labels(node, rule);
  rule.hold = node.duration("for", rule.hold);
  rule.resolve = node.duration("resolve", rule.resolve);
  rule.factor = node.number("factor", rule.factor);
  rule.floor = node.number("floor", rule.floor);
  rule.threshold = node.number("threshold", rule.threshold);
  if (rule.factor < 0 || rule.floor < 0 || rule.threshold < 0) node.problem("factor, floor and threshold must not be negative");
  rule.age = node.duration("age", rule.age);
  rule.least = static_cast<std::uint64_t>(node.integer("least", static_cast<std::int64_t>(rule.least), 0, 1'000'000'000));
  rule.objective = node.number("objective", rule.objective);
  if (node.has("objective") && (rule.objective <= 0 || rule.objective >= 1)) node.get("objective").problem("must be above 0 and below 1: the share of calls that should be good");
  rule.bound = node.duration("bound", rule.bound);
  read_burns(node, rule);
  node.done();
}

// A rule of one's own begins as the default rule of its kind.
watch::Rule begin(const std::string& name, const ConfigNode& node) {
  watch::Rule rule;
  const auto kind = watch::kind_from(node.string("kind"));
  for (const auto& r : watch::default_rules())
    if (kind == r.kind) {
      rule = r;
      break;
    }
  rule.name = name;
  return rule;
}

watch::Receiver receiver(const std::string& name, const ConfigNode& node, const WebhookConfig& webhooks) {
  watch::Receiver r{.name = name};
  if (node.choice("type", {"webhook", "slack"}, "webhook") == "slack") r.type = watch::Receiver::Type::slack;
  const ConfigNode url = node.require("url");
  r.url = url.as_string();
  if (url.exists() && (r.url.size() > work::kMaxWebhookUrl || (!r.url.starts_with("https://") && !r.url.starts_with("http://")) || !net::parse_url(r.url)))
    url.problem("must be an http:// or https:// URL");
  r.secret = node.string("secret");
  const auto knows = [&](std::string_view secret) { return std::ranges::find(webhooks.secrets, secret, &WebhookConfig::Secret::name) != webhooks.secrets.end(); };
  if (!r.secret.empty() && !knows(r.secret)) node.get("secret").problem("is not one of webhooks.secrets");
  if (r.secret.empty() && knows(work::kDefaultSecret)) r.secret = work::kDefaultSecret;
  r.least = *watch::severity_from(node.choice("severity", {"info", "ticket", "page"}, "ticket"));
  r.rules = node.strings("rules");
  r.resolved = node.boolean("resolved", true);
  node.done();
  return r;
}

}  // namespace

watch::Options parse::alerts(const ConfigNode& node, const WebhookConfig& webhooks) {
  watch::Options o;
  for (const auto& [name, rule] : node.map("rules")) {
    auto known = std::ranges::find(o.rules, name, &watch::Rule::name);
    const bool own = known == o.rules.end();
    if (own) known = o.rules.insert(known, begin(name, rule));
    read_rule(rule, *known, own);
  }
  if (o.rules.size() > kMostRules) node.get("rules").problem(fmt::format("must be at most {}", kMostRules));
  for (const auto& [name, r] : node.map("receivers")) o.receivers.push_back(receiver(name, r, webhooks));
  if (o.receivers.size() > kMostReceivers) node.get("receivers").problem(fmt::format("must be at most {}", kMostReceivers));
  for (const auto& r : o.receivers)
    for (const auto& rule : r.rules)
      if (std::ranges::find(o.rules, rule, &watch::Rule::name) == o.rules.end()) node.get("receivers").problem(fmt::format("{} names the rule \"{}\", which there is not", r.name, rule));
  o.grouping.wait = node.duration("group_wait", o.grouping.wait);
  o.grouping.interval = node.duration("group_interval", o.grouping.interval);
  o.grouping.repeat = node.duration("repeat_interval", o.grouping.repeat);
  if (o.grouping.repeat < std::chrono::minutes(1)) node.get("repeat_interval").problem("must be at least 1m");
  o.retention = node.duration("retention", o.retention);
  node.done();
  return o;
}

}  // namespace ballast::app
