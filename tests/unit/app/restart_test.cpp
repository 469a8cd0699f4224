// A reload says of every setting it cannot change that it cannot, and of no other.
#include "app/restart.hpp"

#include <gtest/gtest.h>

namespace ballast::app {
namespace {

Config read(std::string_view text) {
  auto config = parse_config_text(text, "ballast.yaml", fixed_environment({}));
  EXPECT_TRUE(config) << config.error().message;
  return config ? std::move(*config) : Config{};
}

struct Change { const char *text, *named; };
class Restart : public testing::TestWithParam<Change> {};

TEST_P(Restart, IsAskedForByName) {
  std::string said;
  for (const auto& name : needs_restart(read(""), read(GetParam().text))) said += (said.empty() ? "" : ",") + name;
  EXPECT_EQ(said, GetParam().named) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Settings, Restart,
    testing::Values(
        Change{"listen: 127.0.0.1:9999", "listen"}, Change{"database: 'sqlite:other.db'", "database"}, Change{"data_dir: other", "database,data_dir"},
        Change{"share_port: true", "share_port"}, Change{"threads: 3", "threads"}, Change{"cache_size: 1MB", "cache_size"}, Change{"tls: {cert: a, key: b}", "tls.cert,tls.key"},
        Change{"tls: {ca_file: a}", "tls.ca_file"}, Change{"ledger: {sync_every: 20ms, segment: 2MB, max: 1GB}", "ledger.sync_every,ledger.segment,ledger.max"},
        Change{"log: {file: stderr}", "log.file"}, Change{"telemetry: {otlp: 'http://x', sample: 0.5}", "telemetry.otlp,telemetry.sample"},
        Change{"telemetry: {headers: {x-k: v}, gzip: true, metrics_every: 5s, temporality: delta}",
               "telemetry.headers,telemetry.gzip,telemetry.metrics_every,telemetry.temporality"},
        Change{"telemetry: {histograms: explicit, service_name: x, genai: older}", "telemetry.histograms,telemetry.resource,telemetry.genai"},
        Change{"limits_http: {body: 1MB, header: 8KB, connections: 5}", "limits_http.body,limits_http.header,limits_http.connections"},
        Change{"limits_http: {header_timeout: 1s, body_timeout: 1s, idle_timeout: 1s, write_timeout: 1s}",
               "limits_http.header_timeout,limits_http.body_timeout,limits_http.idle_timeout,limits_http.write_timeout"},
        Change{"breakers: {consecutive: 3, ratio: 0.4, minimum: 9}", "breakers.consecutive,breakers.ratio,breakers.minimum"},
        Change{"breakers: {window: 1s, cool_down: 1s, max_cool_down: 1s, early_every: 5s}",
               "breakers.window,breakers.cool_down,breakers.max_cool_down,breakers.early_every"},
        Change{"idempotency: {retention: 1h, unknown: redispatch, body: 2MB}", "idempotency.retention,idempotency.unknown,idempotency.body"},
        // What a reload does change.
        Change{"ledger: {mode: strict, retention: 1d}", ""}, Change{"log: {level: debug, access: false}", ""}, Change{"limits_http: {reply: 1MB}", ""},
        Change{"require_key: false", ""}, Change{"drain: 1s", ""}, Change{"read_on_disconnect: 1s", ""}, Change{"admin_key: sk-admin-0123456789abcdef", ""},
        Change{"limits: [{scope: system, requests: 5/m}]", ""}, Change{"budgets: [{scope: system, amount: $1}]", ""}, Change{"routes: {a: {targets: [sim/sim-small]}}", ""}));

}  // namespace
}  // namespace ballast::app
