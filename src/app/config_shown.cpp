#include "app/config_shown.hpp"

#include "base/text.hpp"
#include "gateway/recorder.hpp"

namespace ballast::app {

namespace {

// Without a name and password before its host, and without what comes behind its path.
std::string plain_url(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const auto slashes = url.find("//");
  if (slashes == std::string_view::npos) return std::string(url);
  const auto host = slashes + 2, path = std::min(url.find('/', host), url.size());
  const auto at = url.substr(host, path - host).rfind('@');
  return std::string(url.substr(0, host)) + std::string(url.substr(at == std::string_view::npos ? host : host + at + 1));
}

json::value span_or_null(Duration d) { return d > Duration::zero() ? json::value(format_duration(d)) : json::value(nullptr); }
json::value rate_or_null(const std::optional<Rate>& r) {
  if (!r) return nullptr;
  return json::value(fmt::format("{} per {}", r->count, format_duration(r->per)));
}

json::array providers(const Config& config) {
  json::array out;
  for (const auto& p : config.providers) {
    json::object o{{"name", p.name}, {"kind", p.kind}, {"base_url", plain_url(p.base_url)}, {"keys", p.keys.size()}, {"models", json::value_from(p.models)}};
    if (!p.from_environment.empty()) o["from_environment"] = p.from_environment;
    if (!p.found_here.empty()) o["found_here"] = p.found_here;
    out.push_back(std::move(o));
  }
  return out;
}

json::array routes(const Config& config) {
  json::array out;
  for (const auto& r : config.routes) {
    json::array targets;
    for (const auto& t : r.targets) targets.push_back(json::object{{"target", t.name}, {"weight", t.weight}});
    json::object o{{"name", r.name}, {"targets", std::move(targets)}, {"strategy", gateway::to_string(r.strategy)}};
    if (!r.classifier.empty()) o["classifier"] = r.classifier;
    out.push_back(std::move(o));
  }
  return out;
}

json::array limits(const Config& config) {
  json::array out;
  for (const auto& l : config.limits) {
    const std::string_view scope = gateway::to_string(l.scope);
    out.push_back(json::object{{"name", l.match.empty() ? std::string(scope) : fmt::format("{}:{}", scope, l.match)}, {"scope", scope}, {"match", l.match},
                               {"requests", rate_or_null(l.requests)}, {"tokens", rate_or_null(l.tokens)},
                               {"concurrency", l.concurrency ? json::value(*l.concurrency) : json::value(nullptr)}});
  }
  return out;
}

json::array budgets(const Config& config) {
  json::array out;
  for (const auto& b : config.budgets)
    out.push_back(json::object{{"name", b.name.empty() ? gateway::default_budget_name(b) : b.name}, {"scope", gateway::to_string(b.scope)}, {"match", b.match},
                               {"limit_usd", to_usd(b.amount)}, {"period", gateway::to_string(b.period)}});
  return out;
}

// Where notices go, without what their URLs carry: a path of such a hook is a secret.
json::object alerts(const Config& config) {
  json::array rules, receivers;
  for (const auto& r : config.alerts.rules) rules.push_back(json::value(r.name));
  for (const auto& r : config.alerts.receivers)
    receivers.push_back(json::object{{"name", r.name}, {"type", r.type == watch::Receiver::Type::slack ? "slack" : "webhook"}, {"least", watch::to_string(r.least)}});
  return {{"rules", std::move(rules)}, {"receivers", std::move(receivers)}};
}

// Of the routes that keep messages, how.
json::object recording(const Config& config) {
  json::object out;
  const auto note = [&](std::string_view name, const gateway::Route& route) {
    if (!route.record) return;
    const bool full = route.record->mode == gateway::RecordMode::full;
    out[name] = full ? json::object{{"mode", "full"}} : json::object{{"mode", "sampled"}, {"share", route.record->share}, {"errors", route.record->errors}};
  };
  for (const auto& r : config.routes) note(r.name, r);
  note("direct", config.direct);
  return out;
}

}  // namespace

json::object shown_config(const Config& config) {
  json::object aliases;
  for (const auto& [name, route] : config.aliases) aliases[name] = route;
  json::array classifiers;
  for (const auto& [name, ignored] : config.classifiers) classifiers.push_back(json::value(name));
  return {{"file", config.file.empty() ? json::value(nullptr) : json::value(config.file)},
          {"listen", to_string(config.listen)},
          {"database", config.database.starts_with("sqlite:") ? "sqlite" : "postgres"},
          {"tls", !config.tls_cert.empty()},
          {"require_key", config.require_key},
          {"providers", providers(config)},
          {"routes", routes(config)},
          {"aliases", std::move(aliases)},
          {"limits", limits(config)},
          {"budgets", budgets(config)},
          {"keys", config.keys.size()},
          {"classifiers", std::move(classifiers)},
          {"alerts", alerts(config)},
          {"telemetry", {{"otlp", config.telemetry.otlp.empty() ? json::value(nullptr) : json::value(plain_url(config.telemetry.otlp))}, {"sample", config.telemetry.sample}}},
          {"retention", {{"calls", span_or_null(config.ledger.retention)},
                         {"minutes", span_or_null(config.retention.rollups.minutes)},
                         {"hours", span_or_null(config.retention.rollups.hours)},
                         {"days", span_or_null(config.retention.rollups.days)},
                         {"messages", span_or_null(config.retention.messages)},
                         {"alerts", span_or_null(config.alerts.retention)},
                         {"jobs", span_or_null(config.work.retention)}}},
          {"recording", recording(config)}};
}

}  // namespace ballast::app
