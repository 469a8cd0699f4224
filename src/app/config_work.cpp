// The parts of the file that the durable road reads beside `work`.
#include "app/config.hpp"

namespace ballast::app {

namespace {

// A malformed secret is told by its place, never by its text.
void check_secret(const ConfigNode& node, const std::string& value) {
  if (const auto parsed = work::WebhookSecret::parse(value); !parsed) node.problem(parsed.error().message);
}

}  // namespace

WebhookConfig parse::webhooks(const ConfigNode& node) {
  WebhookConfig w;
  w.allow = node.strings("allow");
  if (const auto policy = net::EgressPolicy::parse(w.allow, "webhooks.allow"); !policy) node.get("allow").problem(policy.error().message);
  for (const auto& [name, secret] : node.map("secrets")) {
    WebhookConfig::Secret s{.name = name, .value = {}, .previous = secret.string("previous")};
    if (name.empty() || name.size() > work::kMaxName) secret.problem(fmt::format("must have a name of 1 to {} bytes", work::kMaxName));
    const ConfigNode value = secret.require("value");
    s.value = value.as_string();
    if (value.exists()) check_secret(value, s.value);
    if (!s.previous.empty()) check_secret(secret.get("previous"), s.previous);
    secret.done();
    w.secrets.push_back(std::move(s));
  }
  node.done();
  return w;
}

BatchConfig parse::batches(const ConfigNode& node) {
  BatchConfig b;
  b.file_bytes = node.size("file", b.file_bytes);
  if (b.file_bytes == 0 || b.file_bytes > (512u << 20)) node.get("file").problem("must be from 1 byte to 512MB");
  b.options.max_lines = static_cast<std::uint64_t>(node.integer("requests", static_cast<std::int64_t>(b.options.max_lines), 1, 1'000'000));
  b.options.concurrency = static_cast<std::uint32_t>(node.integer("concurrency", b.options.concurrency, 1, 1'000'000));
  b.options.retention = node.duration("retention", b.options.retention);
  b.provider.gather = node.duration("gather", b.provider.gather);
  if (b.provider.gather <= Duration::zero()) node.get("gather").problem("must be above zero");
  if (const ConfigNode hours = node.get("off_peak"); hours.exists()) {
    const std::string from = hours.string("from"), until = hours.string("until");
    auto off_peak = work::OffPeak::parse(from, until, hours.string("timezone", "UTC"));
    if (off_peak) b.off_peak = std::move(*off_peak);
    else hours.get(off_peak.error().field).problem(off_peak.error().message);
    hours.done();
  }
  node.done();
  return b;
}

work::WebhookSecretBook secret_book(const WebhookConfig& config) {
  work::WebhookSecretBook book;
  for (const auto& s : config.secrets) {
    auto& secrets = book[s.name];
    for (const auto& text : {s.value, s.previous})
      if (auto secret = work::WebhookSecret::parse(text)) secrets.push_back(std::move(*secret));
  }
  return book;
}

}  // namespace ballast::app
