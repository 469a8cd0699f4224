// A route's `record`: which of its calls have their messages kept, and what is taken out of them.
#include "app/config.hpp"
#include "gateway/recorder.hpp"

namespace ballast::app {

namespace {

std::shared_ptr<const gateway::Redactor> redactor(const ConfigNode& node) {
  std::uint8_t kinds = static_cast<std::uint8_t>(gateway::Sensitive::secrets);     // always
  bool named = false;
  std::vector<gateway::Redactor::Own> own;
  std::vector<ConfigNode> places;
  for (const ConfigNode& item : node.items()) {
    if (!item.is_scalar()) {
      own.push_back({item.require("name").as_string(), item.require("pattern").as_string()});
      places.push_back(item);
      item.done();
      continue;
    }
    named = true;
    const std::string word = item.as_string();
    if (word == "all") kinds = gateway::Redactor::kAll;
    else if (const auto kind = gateway::sensitive_from(word)) kinds = static_cast<std::uint8_t>(kinds | static_cast<std::uint8_t>(*kind));
    else if (word != "none") item.problem(fmt::format("\"{}\" is no kind: all, none, secrets, email, phone, card, iban, ip, ssn, or {{name, pattern}}", word));
  }
  if (!named) kinds = gateway::Redactor::kAll;
  auto made = gateway::Redactor::create(kinds, own);
  if (made) return std::move(*made);
  for (std::size_t i = 0; i < own.size(); ++i)
    if (own[i].name == made.error().field) return places[i].problem(made.error().message), nullptr;
  return node.problem(made.error().message), nullptr;
}

}  // namespace

std::shared_ptr<const gateway::RecordRule> parse::record(const ConfigNode& route) {
  const ConfigNode node = route.get("record");
  if (!node.exists()) return nullptr;
  gateway::RecordRule rule;
  const bool plain = node.is_scalar();
  const std::string mode = plain ? route.choice("record", {"off", "sampled", "full"}, "off") : node.choice("mode", {"off", "sampled", "full"}, "sampled");
  rule.mode = mode == "full" ? gateway::RecordMode::full : gateway::RecordMode::sampled;
  if (!plain) {
    rule.share = node.number("share", rule.share);
    if (!(rule.share >= 0 && rule.share <= 1)) node.get("share").problem("must be 0 to 1");
    rule.errors = node.boolean("errors", rule.errors);
    rule.max_bytes = node.size("max_bytes", rule.max_bytes);
    if (rule.max_bytes < 1024 || rule.max_bytes > (1u << 20)) node.get("max_bytes").problem("must be from 1KB to 1MB");
  }
  rule.redactor = redactor(plain ? ConfigNode() : node.get("redact"));
  if (!plain) node.done();
  if (mode == "off") return nullptr;
  return std::make_shared<const gateway::RecordRule>(std::move(rule));
}

}  // namespace ballast::app
