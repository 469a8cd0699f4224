// Config: ballast.yaml as a typed value. Every section is optional; with no file at all there is the simulator, and the
// providers whose usual environment variables are set; `serve` adds what it finds on this machine.
//
// Parsing reports every mistake of the file at once, each with line, column and, for an unknown key, the nearest right one.
// A Config is a value: pure, comparable by re-parsing, without connections or threads. `wiring.hpp` makes things of it.
// Secrets are in it in clear: never print one.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "classify/classify.hpp"
#include "gateway/breakers.hpp"
#include "gateway/budgets.hpp"
#include "gateway/credentials.hpp"
#include "gateway/genai.hpp"
#include "gateway/idempotency.hpp"
#include "gateway/limits.hpp"
#include "gateway/routes.hpp"
#include "llm/prices.hpp"
#include "llm/provider.hpp"
#include "llm/simulator/simulator.hpp"
#include "records/rollups.hpp"
#include "watch/notice.hpp"
#include "work/batches.hpp"
#include "work/off_peak.hpp"
#include "work/provider_batches.hpp"
#include "work/webhooks.hpp"

namespace ballast::app {

// "127.0.0.1:8080", "[::1]:8080", ":8080" (all interfaces).
struct ListenAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
};
Result<ListenAddress> parse_listen(std::string_view text);
std::string to_string(const ListenAddress& address);

struct LedgerConfig {
  bool strict = false;                         // the last byte waits for the disk
  Duration sync_every = std::chrono::milliseconds(50);
  std::uint64_t segment = 64u << 20;
  std::uint64_t max = 16ull << 30;             // of all journal files
  Duration retention{};                        // zero: calls stay in the ledger for ever
};

// How long things are kept; zero: for ever.
struct RetentionConfig {
  Duration messages = std::chrono::hours(24 * 7);   // of calls, where routes record them
  records::RollupRetention rollups;            // minutes, hours, days
};

struct LogConfig {
  log::Level level = log::Level::info;
  std::string file = "-";
  bool access = true;                          // one line per call
};

struct TelemetryConfig {
  std::string otlp;                            // empty: none
  std::vector<std::pair<std::string, std::string>> headers;   // of the collector; may hold secrets
  bool gzip = false;
  double sample = 1.0;
  Duration metrics_every = std::chrono::seconds(60);          // zero: none are sent
  bool delta = false;
  bool explicit_buckets = false;               // of the histograms; else exponential ones
  std::vector<std::pair<std::string, std::string>> resource;  // service.name is always there
  gateway::GenaiNames genai = gateway::GenaiNames::both;
};

struct HttpConfig {
  std::uint64_t body = 32u << 20, header = 32u << 10, reply = 64u << 20;
  Duration header_timeout = std::chrono::seconds(10), body_timeout = std::chrono::seconds(30);
  Duration idle_timeout = std::chrono::seconds(60), write_timeout = std::chrono::seconds(30);
  std::uint32_t connections = 16000;
};

struct ProviderConfig {
  std::string name, kind, base_url, api_version;
  std::vector<gateway::CredentialConfig> keys;
  std::vector<std::pair<std::string, std::string>> headers;   // beside what Ballast sends of itself
  llm::ProviderTimeouts timeouts;
  llm::Quirks quirks;
  std::vector<std::string> models;             // known to be served, for /v1/models and bare names
  llm::SimConfig sim;                          // kind simulator
  std::uint32_t price_millionths = 1'000'000;  // of the shipped prices: a regional uplift, or a discount
  std::string from_environment;                // the variable that brought it in, when no file did
  std::string found_here;                      // what answered on this machine ("Ollama"), when nobody named it; see local_servers.hpp
};

// One of the file's `classifiers`: a file that `ballast intents train` made, or examples that it is trained on when the configuration is wired.
struct ClassifierConfig {
  std::string model;                           // the file; empty: trained
  std::vector<std::string> files;              // of examples
  std::vector<classify::Example> examples;     // or those of the configuration itself
  classify::TrainOptions training;
};

struct KeyConfig {
  std::string name, value, team, user, feature;
  std::vector<std::string> scopes{"call"}, models;
  std::optional<WallTime> expires;
};

// The file's `work` section.
struct WorkConfig {
  std::uint64_t concurrency = 256;           // jobs of this process at once
  std::uint64_t max_jobs = 5'000'000;        // not ended
  Duration retention = std::chrono::hours(24 * 7);
  Duration timeout = std::chrono::minutes(10);
  friend bool operator==(const WorkConfig&, const WorkConfig&) = default;
};

// The file's `cluster` section: several nodes on one PostgreSQL.
struct ClusterConfig {
  Duration stale_after = std::chrono::seconds(60);   // since this node last heard what the others changed
};

// The file's `batches` section.
struct BatchConfig {
  work::BatchOptions options;
  std::uint64_t file_bytes = 100u << 20;     // of an uploaded file
  work::ProviderBatchOptions provider;
  std::optional<work::OffPeak> off_peak;     // when calls that may wait are made; nothing: at any time
};

// The file's `webhooks` section.
struct WebhookConfig {
  std::vector<std::string> allow;            // beyond the public internet; see net/egress.hpp
  struct Secret {
    std::string name, value, previous;       // previous: signs beside it while receivers change over
  };
  std::vector<Secret> secrets;
};
work::WebhookSecretBook secret_book(const WebhookConfig& config);

struct Config {
  std::string file;                            // empty: none was read
  ListenAddress listen;
  bool share_port = false;
  std::string database = "sqlite:.ballast/ballast.db";
  std::string data_dir = ".ballast";
  unsigned threads = 0;                        // 0: one per core
  std::string admin_key;                       // empty: the one made at the first start
  bool require_key = true;
  Duration drain = std::chrono::seconds(30);
  Duration read_on_disconnect = std::chrono::seconds(10);
  std::uint64_t cache_bytes = 256u << 20;
  std::uint64_t cache_shared_bytes = std::uint64_t{1} << 30;
  std::string tls_cert, tls_key, ca_file;
  LedgerConfig ledger;
  RetentionConfig retention;
  LogConfig log;
  TelemetryConfig telemetry;
  HttpConfig http;
  gateway::BreakerOptions breakers;
  gateway::IdempotencyOptions idempotency;
  WorkConfig work;
  ClusterConfig cluster;
  std::string flows = "flows";                 // the folder of flows
  std::string datasets = "datasets";           // the folder of datasets
  std::map<std::string, std::string> pages;    // folders of static files, by the name that stands in /pages/NAME/
  WebhookConfig webhooks;
  watch::Options alerts;
  BatchConfig batches;
  bool auto_providers = false;                 // no file names any: those of the environment, and of this machine
  bool probe_local = true;                     // then look for model servers on this machine
  std::vector<ProviderConfig> providers;
  std::vector<llm::ModelOverride> models;      // of the shipped price table
  std::vector<gateway::Route> routes;
  gateway::Route direct;                       // options of calls that name a model, not a route
  std::map<std::string, std::string> aliases;
  std::map<std::string, ClassifierConfig> classifiers;
  std::vector<gateway::LimitRule> limits;
  std::vector<gateway::BudgetRule> budgets;
  std::vector<KeyConfig> keys;
};

// caller_invalid_request: one line per mistake. `file` is for the messages. `mistakes` (may be null) receives them as values.
using Mistakes = std::vector<ConfigMistake>;
Result<Config> parse_config_text(std::string_view text, std::string file, const EnvLookup& environment, Mistakes* mistakes = nullptr);
// Reads `path`. Empty: ./ballast.yaml if it is there, else no file.
Result<Config> load_config(const std::string& path, const EnvLookup& environment, Mistakes* mistakes = nullptr);
// The file that `load_config(path)` would read; empty if none.
std::string config_file(const std::string& path);

// What `serve` has when no file names providers: the simulator and what the environment holds keys for.
std::vector<ProviderConfig> providers_from_environment(const EnvLookup& environment);
ProviderConfig default_simulator();

// Parts of the parser, one per file; each records its mistakes in the node's document.
namespace parse {
ProviderConfig provider(const std::string& name, const ConfigNode& node);
llm::ModelOverride model(const std::string& name, const ConfigNode& node);
gateway::Route route(const std::string& name, const ConfigNode& node, const std::filesystem::path& folder);   // of the file
std::shared_ptr<const gateway::RecordRule> record(const ConfigNode& route);   // its `record`; null: nothing is kept
ClassifierConfig classifier(const ConfigNode& node, const std::filesystem::path& folder);
gateway::LimitRule limit(const ConfigNode& node);
WebhookConfig webhooks(const ConfigNode& node);
watch::Options alerts(const ConfigNode& node, const WebhookConfig& webhooks);
BatchConfig batches(const ConfigNode& node);
TelemetryConfig telemetry(const ConfigNode& node, const EnvLookup& environment);
gateway::BudgetRule budget(const ConfigNode& node);
KeyConfig key(const ConfigNode& node);
// Names that lead nowhere: targets of unknown providers, aliases of unknown routes, keys of unknown routes.
void check_names(const Config& config, const ConfigNode& root);
}  // namespace parse

}  // namespace ballast::app
