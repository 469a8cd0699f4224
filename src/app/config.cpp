#include "app/config.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.hpp"

namespace ballast::app {

Result<ListenAddress> parse_listen(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return fail(ErrorCode::caller_invalid_request, "must be ADDRESS:PORT, for example 127.0.0.1:8080", "listen");
  const auto port = parse_int<std::uint16_t>(text.substr(colon + 1));
  if (!port) return fail(ErrorCode::caller_invalid_request, "has no port between 0 and 65535", "listen");
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (host == "localhost") host = "127.0.0.1";
  return ListenAddress{std::string(host), *port};
}

std::string to_string(const ListenAddress& a) {
  return a.host.contains(':') ? fmt::format("[{}]:{}", a.host, a.port) : fmt::format("{}:{}", a.host, a.port);
}

namespace {

using namespace std::chrono;

void read_ledger(const ConfigNode& node, LedgerConfig& ledger) {
  ledger.strict = node.choice("mode", {"background", "strict"}, "background") == "strict";
  ledger.sync_every = node.duration("sync_every", ledger.sync_every);
  if (ledger.sync_every > milliseconds(1000)) node.get("sync_every").problem("must be at most 1s: it is what a power loss may take");
  ledger.segment = node.size("segment", ledger.segment);
  if (ledger.segment < (1u << 20)) node.get("segment").problem("must be at least 1MB");
  ledger.max = node.size("max", ledger.max);
  ledger.retention = node.duration("retention", ledger.retention);
  node.done();
}

void read_retention(const ConfigNode& node, RetentionConfig& retention) {
  retention.rollups.minutes = node.duration("minutes", retention.rollups.minutes);
  retention.rollups.hours = node.duration("hours", retention.rollups.hours);
  retention.rollups.days = node.duration("days", retention.rollups.days);
  retention.messages = node.duration("messages", retention.messages);
  node.done();
}

void read_log(const ConfigNode& node, LogConfig& log) {
  log.level = *log::level_from(node.choice("level", {"debug", "info", "warn", "error", "off"}, "info"));
  log.file = node.string("file", log.file);
  log.access = node.boolean("access", log.access);
  if (node.boolean("prompts", false)) node.get("prompts").problem("prompts and answers are never logged; leave it false");
  node.done();
}

void read_http(const ConfigNode& node, HttpConfig& http) {
  http.body = node.size("body", http.body);
  http.header = node.size("header", http.header);
  http.reply = node.size("reply", http.reply);
  http.header_timeout = node.duration("header_timeout", http.header_timeout);
  http.body_timeout = node.duration("body_timeout", http.body_timeout);
  http.idle_timeout = node.duration("idle_timeout", http.idle_timeout);
  http.write_timeout = node.duration("write_timeout", http.write_timeout);
  http.connections = static_cast<std::uint32_t>(node.integer("connections", http.connections, 1, 1'000'000));
  node.done();
}

void read_breakers(const ConfigNode& node, gateway::BreakerOptions& breakers) {
  breakers.consecutive = static_cast<unsigned>(node.integer("consecutive", breakers.consecutive, 1, 1'000'000));
  breakers.ratio = node.number("ratio", breakers.ratio);
  if (breakers.ratio <= 0 || breakers.ratio > 1) node.get("ratio").problem("must be above 0 and at most 1");
  breakers.minimum = static_cast<unsigned>(node.integer("minimum", breakers.minimum, 1, 1'000'000));
  breakers.window = node.duration("window", breakers.window);
  breakers.cool_down = node.duration("cool_down", breakers.cool_down);
  breakers.max_cool_down = node.duration("max_cool_down", breakers.max_cool_down);
  breakers.early_every = node.duration("early_every", breakers.early_every);
  node.done();
}

void read_work(const ConfigNode& node, WorkConfig& work) {
  work.concurrency = static_cast<std::uint64_t>(node.integer("concurrency", static_cast<std::int64_t>(work.concurrency), 1, 1'000'000));
  work.max_jobs = static_cast<std::uint64_t>(node.integer("max_jobs", static_cast<std::int64_t>(work.max_jobs), 1, 100'000'000));
  work.retention = node.duration("retention", work.retention);
  if (work.retention <= Duration::zero()) node.get("retention").problem("must be above zero");
  work.timeout = node.duration("timeout", work.timeout);
  node.done();
}

void read_cluster(const ConfigNode& node, ClusterConfig& cluster) {
  cluster.stale_after = node.duration("stale_after", cluster.stale_after);
  if (cluster.stale_after < std::chrono::seconds(1)) node.get("stale_after").problem("must be at least 1s: a node looks twice a second");
  node.done();
}

void read_idempotency(const ConfigNode& node, gateway::IdempotencyOptions& idempotency) {
  idempotency.retention = node.duration("retention", idempotency.retention);
  if (idempotency.retention <= Duration::zero()) node.get("retention").problem("must be above zero");
  if (node.choice("unknown", {"tell", "redispatch"}, "tell") == "redispatch") idempotency.unknown = gateway::UnknownPolicy::redispatch;
  idempotency.max_body_bytes = node.size("body", idempotency.max_body_bytes);
  node.done();
}

void read_top(const ConfigNode& root, Config& config) {
  if (const auto listen = root.string("listen"); !listen.empty()) {
    if (auto address = parse_listen(listen)) config.listen = *address;
    else root.get("listen").problem(address.error().message);
  }
  config.share_port = root.boolean("share_port", false);
  config.data_dir = root.string("data_dir", config.data_dir);
  config.database = root.string("database", "sqlite:" + config.data_dir + "/ballast.db");
  if (!config.database.starts_with("sqlite:") && !config.database.starts_with("postgres://") && !config.database.starts_with("postgresql://"))
    root.get("database").problem("must be sqlite:PATH or postgres://…");
  config.threads = static_cast<unsigned>(root.integer("threads", 0, 0, 64));
  config.admin_key = root.string("admin_key");
  if (!config.admin_key.empty() && config.admin_key.size() < 16) root.get("admin_key").problem("must have at least 16 characters");
  config.require_key = root.boolean("require_key", true);
  config.drain = root.duration("drain", config.drain);
  config.read_on_disconnect = root.duration("read_on_disconnect", config.read_on_disconnect);
  config.cache_bytes = root.size("cache_size", config.cache_bytes);
  config.cache_shared_bytes = root.size("cache_shared_size", config.cache_shared_bytes);
  const ConfigNode tls = root.get("tls");
  config.tls_cert = tls.string("cert");
  config.tls_key = tls.string("key");
  config.ca_file = tls.string("ca_file");
  tls.done();
  if (config.tls_cert.empty() != config.tls_key.empty()) tls.problem("needs both cert and key");
}

bool is_page_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

void read_sections(const ConfigNode& root, const EnvLookup& environment, Config& config) {
  read_ledger(root.get("ledger"), config.ledger);
  read_retention(root.get("retention"), config.retention);
  read_log(root.get("log"), config.log);
  config.telemetry = parse::telemetry(root.get("telemetry"), environment);
  read_http(root.get("limits_http"), config.http);
  read_breakers(root.get("breakers"), config.breakers);
  read_idempotency(root.get("idempotency"), config.idempotency);
  read_work(root.get("work"), config.work);
  read_cluster(root.get("cluster"), config.cluster);
  const std::filesystem::path beside = std::filesystem::path(config.file).parent_path();
  config.flows = (beside / root.string("flows", "flows")).string();
  config.datasets = (beside / root.string("datasets", "datasets")).string();
  for (const auto& [name, node] : root.map("pages")) {
    if (!is_page_name(name)) node.problem("is no name for a page: letters, digits, - and _ alone");
    config.pages[name] = (beside / node.as_string()).string();
  }
  config.webhooks = parse::webhooks(root.get("webhooks"));
  config.alerts = parse::alerts(root.get("alerts"), config.webhooks);
  config.batches = parse::batches(root.get("batches"));
  config.probe_local = root.boolean("probe_local", true);
  for (const auto& [name, node] : root.map("providers")) config.providers.push_back(parse::provider(name, node));
  for (const auto& [name, node] : root.map("models")) config.models.push_back(parse::model(name, node));
  for (const auto& [name, node] : root.map("routes")) config.routes.push_back(parse::route(name, node, beside));
  if (root.has("direct")) config.direct = parse::route("direct", root.get("direct"), beside);
  for (const auto& [name, node] : root.map("classifiers")) config.classifiers[name] = parse::classifier(node, beside);
  for (const auto& [name, node] : root.map("aliases")) config.aliases[name] = node.as_string();
  for (const ConfigNode& node : root.list("limits")) config.limits.push_back(parse::limit(node));
  for (const ConfigNode& node : root.list("budgets")) config.budgets.push_back(parse::budget(node));
  for (const ConfigNode& node : root.list("keys")) config.keys.push_back(parse::key(node));
}

}  // namespace

namespace {

// A rule of scope key names a configured key as the file does; the road knows it by its id.
template <class Rules, class Scope>
void name_keys(Rules& rules, Scope key, const std::vector<KeyConfig>& keys) {
  for (auto& rule : rules) {
    if (rule.scope != key) continue;
    for (const auto& k : keys)
      if (rule.match == k.name) rule.match = "config:" + k.name;
  }
}

void name_keys(Config& config) {
  name_keys(config.limits, gateway::LimitScope::key, config.keys);
  name_keys(config.budgets, gateway::BudgetScope::key, config.keys);
}

}  // namespace

Result<Config> parse_config_text(std::string_view text, std::string file, const EnvLookup& environment, Mistakes* mistakes) {
  ConfigMistake unreadable;
  auto root = parse_config(text, file, environment, &unreadable);
  if (!root) {
    if (mistakes) mistakes->push_back(std::move(unreadable));
    return fail(std::move(root.error()));
  }
  Config config;
  config.file = std::move(file);
  config.direct.name = "direct";
  read_top(*root, config);
  read_sections(*root, environment, config);
  root->done();
  config.auto_providers = !root->has("providers");
  if (config.auto_providers) config.providers = providers_from_environment(environment);
  parse::check_names(config, *root);
  name_keys(config);
  if (auto checked = root->check(); !checked) {
    if (mistakes) *mistakes = root->mistakes();
    return fail(std::move(checked.error()));
  }
  return config;
}

std::string config_file(const std::string& path) {
  if (!path.empty()) return path;
  std::error_code ignored;
  return std::filesystem::exists("ballast.yaml", ignored) ? "ballast.yaml" : "";
}

Result<Config> load_config(const std::string& path, const EnvLookup& environment, Mistakes* mistakes) {
  const std::string file = config_file(path);
  if (file.empty()) {
    auto config = parse_config_text("", "(no file)", environment, mistakes);
    if (config) config->file.clear();
    return config;
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    ConfigMistake unreadable{.file = file, .message = "cannot be read"};
    auto said = to_string(unreadable);
    if (mistakes) mistakes->push_back(std::move(unreadable));
    return fail(ErrorCode::caller_invalid_request, std::move(said));
  }
  std::ostringstream text;
  text << in.rdbuf();
  return parse_config_text(text.str(), file, environment, mistakes);
}

}  // namespace ballast::app
