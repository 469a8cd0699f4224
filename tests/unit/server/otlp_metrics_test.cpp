#include "server/otlp_metrics.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "base/json.hpp"
#include "base/sim_loop.hpp"

namespace ballast::server {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kStart{1'790'000'000s};

struct House {
  explicit House(OtlpMetricsShape s = {}) : body((s.started = kStart, s)) {}
  json::value write(WallTime now = kStart + 60s) {
    const auto text = body.write(registry, &genai, {.attributes = {{"service.name", "b"}}, .version = "1"}, now);
    return text.empty() ? json::value() : *parse_json(text);
  }
  metrics::Registry registry;
  gateway::GenaiMetrics genai;
  OtlpMetricsBody body;
};

const json::value& metric(const json::value& document, std::string_view name) {
  for (const auto& m : document.at("resourceMetrics").at(0).at("scopeMetrics").at(0).at("metrics").as_array())
    if (m.at("name").as_string() == name) return m;
  throw std::runtime_error("no metric " + std::string(name));
}
std::uint64_t number(const json::value& v) { return std::stoull(std::string(v.as_string())); }

TEST(OtlpMetricsBody, CountersGaugesAndTheirUnits) {
  House h;
  auto& calls = h.registry.counters("ballast_calls_total", "Calls", {"route"});
  calls.with({"a"}).add(3);
  calls.with({"b \"quoted\""}).add(1);
  h.registry.counter("ballast_incurred_usd_total", "Money", metrics::usd_shape).add(1'250'000'000);
  h.registry.gauge("ballast_queue_bytes", "Bytes").set(2.5);
  const auto document = h.write();
  EXPECT_EQ(metric(document, "ballast_calls_total"), *parse_json(R"({"name":"ballast_calls_total","description":"Calls","unit":"1","sum":
    {"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
      {"attributes":[{"key":"route","value":{"stringValue":"a"}}],"startTimeUnixNano":"1790000000000000000","timeUnixNano":"1790000060000000000","asInt":"3"},
      {"attributes":[{"key":"route","value":{"stringValue":"b \"quoted\""}}],"startTimeUnixNano":"1790000000000000000","timeUnixNano":"1790000060000000000","asInt":"1"}]}})"));
  const auto& money = metric(document, "ballast_incurred_usd_total");
  EXPECT_EQ(money.at("unit"), json::value("{USD}"));
  EXPECT_EQ(money.at("sum").at("dataPoints").at(0).at("asDouble"), json::value(1.25));
  const auto& bytes = metric(document, "ballast_queue_bytes");
  EXPECT_EQ(bytes.at("unit"), json::value("By"));
  EXPECT_EQ(bytes.at("gauge").at("dataPoints").at(0).at("asDouble"), json::value(2.5));
}

// A value that is read back as the middle of the protocol's bucket is within the stated error.
TEST(OtlpMetricsBody, AnExponentialHistogramIsWithinTheStatedError) {
  for (std::uint64_t v = 1; v < (1ull << 43); v = v + v / 7 + 1) {
    House h;
    auto& histogram = h.registry.histogram("ballast_x_seconds", "X");
    histogram.record(v);
    histogram.record(std::uint64_t{0});
    const auto point = metric(h.write(), "ballast_x_seconds").at("exponentialHistogram").at("dataPoints").at(0);
    EXPECT_EQ(number(point.at("count")), 2u);
    EXPECT_EQ(number(point.at("zeroCount")), 1u);
    EXPECT_EQ(point.at("scale"), json::value(4));
    ASSERT_EQ(point.at("positive").at("bucketCounts").as_array().size(), 1u);
    const auto offset = static_cast<double>(point.at("positive").at("offset").as_int64());
    const double read = std::exp2((offset + 0.5) / 16), real = static_cast<double>(v) * 1e-9;
    EXPECT_NEAR(read / real, 1, 0.0541) << v;
  }
}

TEST(OtlpMetricsBody, ExplicitBoundsCountAsPrometheusDoes) {
  House h({.histograms = HistogramForm::explicit_bounds});
  auto& histogram = h.registry.histogram("ballast_n_tokens", "N", {.first_bit = 2, .last_bit = 4});
  for (const std::uint64_t v : {0u, 3u, 4u, 15u, 16u, 1000u}) histogram.record(v);
  const auto point = metric(h.write(), "ballast_n_tokens").at("histogram").at("dataPoints").at(0);
  EXPECT_EQ(point.at("explicitBounds"), *parse_json("[3,7,15]"));
  EXPECT_EQ(json::serialize(point.at("bucketCounts")), R"(["2","1","1","2"])");
  EXPECT_EQ(number(point.at("count")), 6u);
  EXPECT_EQ(point.at("sum"), json::value(1038));
}

TEST(OtlpMetricsBody, DeltaTellsWhatCameSinceTheLastThatArrived) {
  House h({.temporality = Temporality::delta});
  auto& calls = h.registry.counter("ballast_calls_total", "Calls");
  auto& seconds = h.registry.histogram("ballast_x_seconds", "X");
  calls.add(2);
  seconds.record(1s);
  const auto first = metric(h.write(), "ballast_calls_total").at("sum");
  EXPECT_EQ(first.at("aggregationTemporality"), json::value(1));
  EXPECT_EQ(number(first.at("dataPoints").at(0).at("asInt")), 2u);
  calls.add(5);                                        // the first was lost: the next tells of both
  EXPECT_EQ(number(metric(h.write(kStart + 120s), "ballast_calls_total").at("sum").at("dataPoints").at(0).at("asInt")), 7u);
  h.body.taken();
  calls.add(1);
  seconds.record(2s);
  const auto third = h.write(kStart + 180s);
  const auto point = metric(third, "ballast_calls_total").at("sum").at("dataPoints").at(0);
  EXPECT_EQ(number(point.at("asInt")), 1u);
  EXPECT_EQ(point.at("startTimeUnixNano"), json::value("1790000120000000000"));
  const auto histogram = metric(third, "ballast_x_seconds").at("exponentialHistogram").at("dataPoints").at(0);
  EXPECT_EQ(number(histogram.at("count")), 1u);
  EXPECT_EQ(histogram.at("sum"), json::value(2));
  h.body.taken();
  EXPECT_TRUE(h.write(kStart + 240s).is_null()) << "nothing came: nothing is told";
}

TEST(OtlpMetricsBody, ExamplesLeadToTheirTraces) {
  House h;
  h.registry.histogram("ballast_x_seconds", "X")
      .record(metrics::Exemplar{.value = 1'500'000'000, .trace_high = 1, .trace_low = 2, .span = 3, .at = kStart + 5s});
  EXPECT_EQ(metric(h.write(), "ballast_x_seconds").at("exponentialHistogram").at("dataPoints").at(0).at("exemplars"),
            *parse_json(R"([{"timeUnixNano":"1790000005000000000","asDouble":1.5,"spanId":"0000000000000003","traceId":"00000000000000010000000000000002"}])"));
}

std::string keys_of(const json::value& point) {
  std::string out;
  for (const auto& a : point.at("attributes").as_array()) out.append(out.empty() ? "" : " ").append(std::string_view(a.at("key").as_string()));
  return out;
}

TEST(OtlpMetricsBody, TheConventionsMetricsHaveTheirBoundsAndNames) {
  struct Row { gateway::GenaiNames names; std::string said; };
  const std::string before = "gen_ai.operation.name ", after = " gen_ai.request.model server.address server.port";
  for (const auto& [names, said] : {Row{gateway::GenaiNames::newer, "gen_ai.provider.name"}, Row{gateway::GenaiNames::older, "gen_ai.system"},
                                    Row{gateway::GenaiNames::both, "gen_ai.provider.name gen_ai.system"}}) {
    House h({.genai_names = names});
    h.genai.operation.with({"chat", "gcp.gemini", "flash", "[::1]:443", "provider_timeout"}).record(30ms);
    h.genai.tokens.with({"chat", "gcp.gemini", "flash", "host:443", "input"}).record(std::uint64_t{100});
    h.genai.server_first_token.with({"chat", "gcp.gemini", "flash", ""}).record(70ms);
    const auto document = h.write();
    const auto& duration = metric(document, "gen_ai.client.operation.duration");
    EXPECT_EQ(duration.at("unit"), json::value("s"));
    const auto& point = duration.at("histogram").at("dataPoints").at(0);
    EXPECT_EQ(keys_of(point), before + said + after + " error.type");
    EXPECT_EQ(point.at("explicitBounds").as_array().size(), 14u);
    EXPECT_EQ(point.at("bucketCounts").at(2), json::value("1")) << "between 0.02 and 0.04";
    EXPECT_EQ(point.at("attributes").as_array().at(said.find(' ') == std::string::npos ? 3 : 4).at("value").at("stringValue"), json::value("[::1]"));
    const auto& tokens = metric(document, "gen_ai.client.token.usage");
    EXPECT_EQ(tokens.at("unit"), json::value("{token}"));
    EXPECT_EQ(tokens.at("histogram").at("dataPoints").at(0).at("bucketCounts").at(4), json::value("1")) << "between 64 and 256";
    EXPECT_EQ(keys_of(metric(document, "gen_ai.server.time_to_first_token").at("histogram").at("dataPoints").at(0)), before + said + " gen_ai.request.model");
    const auto system = names == gateway::GenaiNames::newer ? json::value("gcp.gemini") : json::value("gemini");
    EXPECT_EQ(point.at("attributes").as_array().at(names == gateway::GenaiNames::both ? 2 : 1).at("value").at("stringValue"), system);
  }
}

// A collector behind a scripted transport, in simulated time.
struct Scripted final : net::Transport {
  struct Reply final : net::ClientResponse {
    net::ResponseHead h;
    const net::ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(net::Deadline) override { co_return std::string_view(); }
  };
  std::vector<int> statuses;                           // afterwards: 200
  std::vector<std::string> bodies, encodings;
  std::vector<Duration> at;
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts, CancelToken) override {
    at.push_back(loop.clock().mono().time_since_epoch());
    bodies.emplace_back(request.body[0]);
    encodings.emplace_back(request.headers.get("content-encoding"));
    auto reply = std::make_unique<Reply>();
    reply->h.status = bodies.size() <= statuses.size() ? statuses[bodies.size() - 1] : 200;
    co_return std::unique_ptr<net::ClientResponse>(std::move(reply));
  }
};

struct SimWorld {
  explicit SimWorld(OtlpMetricsOptions o = {}) : exporter(loop, transport, registry, nullptr, with_url(std::move(o))) {
    registry.counter("ballast_calls_total", "Calls").add(1);
    exporter.start();
  }
  static OtlpMetricsOptions with_url(OtlpMetricsOptions o) {
    o.sending.url = *otlp_url("http://collector:4318", "metrics");
    o.shape.started = kStart;
    return o;
  }
  ~SimWorld() { end(); }
  // As a process ends: the loop still runs.
  bool end() {
    std::atomic<bool> over{false}, sent{false};
    std::thread ending([&] {
      sent = exporter.shut_down(5s);
      over = true;
    });
    while (!over) loop.run_until_idle();
    ending.join();
    return sent;
  }
  SimClock clock;
  SimLoop loop{clock};
  Scripted transport;
  metrics::Registry registry;
  OtlpMetrics exporter;
};

TEST(OtlpMetrics, AreSentEverySoOftenAndAgainWhereTheCollectorWasAway) {
  SimWorld w({.every = 30s});
  w.loop.advance(29s);
  EXPECT_TRUE(w.transport.bodies.empty());
  w.transport.statuses = {503, 200, 400};
  w.loop.advance(5s);
  ASSERT_EQ(w.transport.bodies.size(), 2u);
  EXPECT_EQ(w.transport.bodies[0], w.transport.bodies[1]);
  w.loop.advance(31s);
  ASSERT_EQ(w.transport.bodies.size(), 3u);
  EXPECT_NE(w.registry.expose().find("ballast_metrics_exports_total{outcome=\"exported\"} 1"), std::string::npos) << w.registry.expose();
  EXPECT_NE(w.registry.expose().find("ballast_metrics_exports_total{outcome=\"failed\"} 1"), std::string::npos) << "400 is not tried again";
}

TEST(OtlpMetrics, TheLastFiguresLeaveBeforeTheShutdownReturns) {
  SimWorld w({.every = 3600s});
  w.loop.advance(1s);
  w.registry.counter("ballast_calls_total", "Calls").add(41);
  EXPECT_TRUE(w.end());
  ASSERT_EQ(w.transport.bodies.size(), 1u);
  EXPECT_EQ(number(metric(*parse_json(w.transport.bodies[0]), "ballast_calls_total").at("sum").at("dataPoints").at(0).at("asInt")), 42u);
  SimWorld away({.every = 3600s});
  away.transport.statuses = {400};
  away.loop.advance(1s);
  EXPECT_FALSE(away.end());
}

TEST(OtlpMetrics, AreCompressedIfAsked) {
  SimWorld w({.sending = {.gzip = true}, .every = 1s});
  w.loop.advance(2s);
  ASSERT_FALSE(w.transport.bodies.empty());
  EXPECT_EQ(w.transport.encodings[0], "gzip");
  EXPECT_EQ(w.transport.bodies[0].substr(0, 2), "\x1f\x8b");
}

}  // namespace
}  // namespace ballast::server
