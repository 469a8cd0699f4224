// The section `telemetry`, and the environment that OpenTelemetry's own tools go by: what the file says wins over it
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
#include <algorithm>

#include <fmt/format.h>

#include "app/config.hpp"
#include "net/http.hpp"
#include "net/url.hpp"

namespace ballast::app::parse {

namespace {

constexpr std::size_t kMostPairs = 64, kLongestValue = 4096;
using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "name=value,name=value", the values percent-encoded. What is no pair is left out, as the specification has it of headers.
Pairs pairs_of(std::string_view text) {
  Pairs out;
  while (!text.empty() && out.size() < kMostPairs) {
    const auto comma = text.find(',');
    const auto item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const auto equals = item.find('=');
    if (equals == std::string_view::npos || trimmed(item.substr(0, equals)).empty()) continue;
    out.emplace_back(trimmed(item.substr(0, equals)), net::percent_decode(trimmed(item.substr(equals + 1)), false));
  }
  return out;
}

void set(Pairs& pairs, std::string_view name, std::string value) {
  const auto at = std::ranges::find(pairs, name, &Pairs::value_type::first);
  if (at != pairs.end()) at->second = std::move(value);
  else pairs.emplace_back(name, std::move(value));
}

bool is_url(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

// Of a collector: a value may be a secret, so a complaint never shows it.
Pairs headers(const ConfigNode& node) {
  Pairs out;
  net::Headers seen;
  for (const auto& [name, item] : node.members()) {
    std::string value = item.as_string();
    if (value.size() > kLongestValue) item.problem(fmt::format("has more than {} characters", kLongestValue));
    else if (seen.has(name)) item.problem("stands twice: names of headers do not differ by case");
    else if (!seen.add(name, value)) item.problem("is no header: a name without blanks, a value without a line's end");
    else out.emplace_back(name, std::move(value));
  }
  if (out.size() > kMostPairs) node.problem(fmt::format("has more than {} entries", kMostPairs));
  return out;
}

Pairs resource(const ConfigNode& node, const EnvLookup& environment) {
  Pairs out = pairs_of(environment("OTEL_RESOURCE_ATTRIBUTES").value_or(""));
  for (const auto& [name, item] : node.map("resource")) set(out, name, item.as_string());
  if (auto name = environment("OTEL_SERVICE_NAME"); name && !name->empty()) set(out, "service.name", std::move(*name));
  if (auto name = node.string("service_name"); !name.empty()) set(out, "service.name", std::move(name));
  if (std::ranges::find(out, "service.name", &Pairs::value_type::first) == out.end()) out.emplace(out.begin(), "service.name", "ballast");
  if (out.size() > kMostPairs) node.get("resource").problem(fmt::format("has more than {} entries", kMostPairs));
  return out;
}

gateway::GenaiNames names(const ConfigNode& node, const EnvLookup& environment) {
  const auto said = node.choice("genai", {"newer", "older", "both"}, "");
  if (const auto known = gateway::genai_names_from(said)) return *known;
  std::string opted = environment("OTEL_SEMCONV_STABILITY_OPT_IN").value_or("");
  std::ranges::replace(opted, ' ', ',');
  return ("," + opted + ",").find(",gen_ai_latest_experimental,") != std::string::npos ? gateway::GenaiNames::newer : gateway::GenaiNames::both;
}

}  // namespace

TelemetryConfig telemetry(const ConfigNode& node, const EnvLookup& environment) {
  TelemetryConfig t;
  t.otlp = node.string("otlp");
  if (!t.otlp.empty() && !is_url(t.otlp)) node.get("otlp").problem("must be an http:// or https:// URL, for example http://127.0.0.1:4318");
  if (!node.has("otlp")) {
    t.otlp = environment("OTEL_EXPORTER_OTLP_ENDPOINT").value_or("");
    if (!t.otlp.empty() && !is_url(t.otlp)) node.problem("OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// URL, for example http://127.0.0.1:4318");
  }
  t.headers = node.has("headers") ? headers(node.get("headers")) : pairs_of(environment("OTEL_EXPORTER_OTLP_HEADERS").value_or(""));
  t.gzip = node.boolean("gzip", environment("OTEL_EXPORTER_OTLP_COMPRESSION").value_or("") == "gzip");
  t.sample = node.number("sample", t.sample);
  if (t.sample < 0 || t.sample > 1) node.get("sample").problem("must be between 0 and 1");
  t.metrics_every = node.duration("metrics_every", t.metrics_every);
  if (t.metrics_every != Duration::zero() && t.metrics_every < std::chrono::seconds(1)) node.get("metrics_every").problem("must be at least 1s, or 0: none are sent");
  t.delta = node.choice("temporality", {"cumulative", "delta"}, "cumulative") == "delta";
  t.explicit_buckets = node.choice("histograms", {"exponential", "explicit"}, "exponential") == "explicit";
  t.resource = resource(node, environment);
  t.genai = names(node, environment);
  node.done();
  return t;
}

}  // namespace ballast::app::parse
