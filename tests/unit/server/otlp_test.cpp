#include "server/otlp.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/json.hpp"
#include "base/sim_loop.hpp"
#include "net/client.hpp"
#include "net/server.hpp"

namespace ballast::server {
namespace {

using namespace std::chrono_literals;

trace::SpanRecord attempt_span(std::uint64_t id = 0x00f067aa0ba902b7) {
  return {.context = {.trace_high = 0x4bf92f3577b34da6, .trace_low = 0xa3ce929d0e0e4736, .span = id, .sampled = true},
          .parent = 0xabc,
          .name = "chat gpt-5-mini",
          .kind = trace::Kind::client,
          .start = WallTime(1'767'225'600'000'000'001ns),
          .end = WallTime(1'767'225'600'250'000'000ns),
          .failed = true,
          .error = "provider_overloaded",
          .attributes = {{"gen_ai.provider.name", std::string("openai \"eu\"")}, {"gen_ai.usage.input_tokens", std::int64_t{9'007'199'254'740'993}},
                         {"ballast.ratio", 0.5}, {"ballast.cached", true}, {"gen_ai.response.finish_reasons", std::vector<std::string>{"stop"}}},
          .events = {{.at = WallTime(1'767'225'600'100'000'000ns), .name = "first_token"}}};
}

const json::object& only_span(const json::value& document) {
  return document.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0).as_object();
}

std::size_t spans_in(const std::string& body) {
  return parse_json(body)->at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array().size();
}

TEST(OtlpJson, IsTheProtocolsJsonEncoding) {
  const trace::SpanRecord spans[] = {attempt_span()};
  const auto document = parse_json(otlp_json(spans, {.attributes = {{"service.name", "ballast"}, {"service.version", "1.0"}}, .version = "1.0"}));
  ASSERT_TRUE(document);
  const auto& resource = document->at("resourceSpans").at(0).at("resource").at("attributes");
  EXPECT_EQ(resource, *parse_json(R"([{"key":"service.name","value":{"stringValue":"ballast"}},{"key":"service.version","value":{"stringValue":"1.0"}}])"));
  EXPECT_EQ(json::value(only_span(*document)), *parse_json(R"({
    "traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","parentSpanId":"0000000000000abc","flags":1,
    "name":"chat gpt-5-mini","kind":3,"startTimeUnixNano":"1767225600000000001","endTimeUnixNano":"1767225600250000000",
    "attributes":[{"key":"gen_ai.provider.name","value":{"stringValue":"openai \"eu\""}},
                  {"key":"gen_ai.usage.input_tokens","value":{"intValue":"9007199254740993"}},
                  {"key":"ballast.ratio","value":{"doubleValue":0.5}},{"key":"ballast.cached","value":{"boolValue":true}},
                  {"key":"gen_ai.response.finish_reasons","value":{"arrayValue":{"values":[{"stringValue":"stop"}]}}}],
    "events":[{"timeUnixNano":"1767225600100000000","name":"first_token"}],
    "status":{"code":2,"message":"provider_overloaded"}})"));
}

TEST(OtlpJson, ARootHasNoParentAndASuccessNoStatus) {
  trace::SpanRecord span{.context = {.trace_low = 1, .span = 2, .sampled = true}, .name = "chat", .kind = trace::Kind::server};
  span.attributes.emplace_back("x", std::numeric_limits<double>::infinity());
  span.attributes.emplace_back("y", std::string("\xff"));
  const auto document = parse_json(otlp_json({&span, 1}, {}));
  ASSERT_TRUE(document);
  const auto& at = only_span(*document);
  EXPECT_FALSE(at.contains("parentSpanId"));
  EXPECT_EQ(at.at("kind"), json::value(2));
  EXPECT_TRUE(at.at("status").as_object().empty());
  EXPECT_EQ(at.at("attributes").at(0).at("value").at("doubleValue"), json::value("Infinity"));
  EXPECT_EQ(at.at("attributes").at(1).at("value").at("stringValue"), json::value("\xef\xbf\xbd"));
}

TEST(OtlpUrl, IsTheEndpointsSignal) {
  for (const char* endpoint : {"http://127.0.0.1:4318", "http://127.0.0.1:4318/"}) EXPECT_EQ(to_string(*otlp_url(endpoint, "traces")), "http://127.0.0.1:4318/v1/traces");
  EXPECT_EQ(to_string(*otlp_url("https://collector.example/otlp", "metrics")), "https://collector.example/otlp/v1/metrics");
  EXPECT_EQ(otlp_url("collector:4318", "traces").error().field, "telemetry.otlp");
}

// A collector behind a scripted transport, in simulated time.
struct Scripted final : net::Transport {
  struct Reply final : net::ClientResponse {
    net::ResponseHead h;
    std::string body;
    const net::ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(net::Deadline) override {
      sent.swap(body);
      body.clear();
      co_return std::string_view(sent);
    }
    std::string sent;
  };
  struct Script { int status = 200; std::string retry_after, body = "{}"; };   // status 0: unreachable
  std::vector<Script> scripts;                                                // afterwards: 200
  std::vector<std::string> bodies;
  std::vector<Duration> at;
  Task<Result<std::unique_ptr<net::ClientResponse>>> send(Scheduler& loop, const net::ClientRequest& request, net::Timeouts, CancelToken) override {
    at.push_back(loop.clock().mono().time_since_epoch());
    bodies.emplace_back(request.body[0]);
    const Script script = bodies.size() <= scripts.size() ? scripts[bodies.size() - 1] : Script{};
    if (script.status == 0) co_return fail(ErrorCode::provider_unreachable, "refused");
    auto reply = std::make_unique<Reply>();
    reply->h.status = script.status;
    if (!script.retry_after.empty()) reply->h.headers.add("retry-after", script.retry_after);
    reply->body = script.body;
    co_return std::unique_ptr<net::ClientResponse>(std::move(reply));
  }
};

struct SimWorld {
  explicit SimWorld(OtlpOptions options = {}) : exporter(loop, transport, metrics, with_url(std::move(options))) {}
  static OtlpOptions with_url(OtlpOptions o) {
    o.sending.url = *otlp_url("http://collector:4318", "traces");
    return o;
  }
  Duration since(std::size_t i) const { return transport.at[i] - transport.at[i - 1]; }
  SimClock clock;
  SimLoop loop{clock};
  Scripted transport;
  metrics::Registry metrics;
  OtlpExporter exporter;
};

TEST(OtlpExporter, WaitsASecondForCompanyButNotWithAFullBatch) {
  SimWorld w({.batch = 4});
  for (int i = 0; i < 3; ++i) w.exporter.emit(attempt_span());
  w.loop.advance(999ms);
  EXPECT_TRUE(w.transport.bodies.empty());
  w.loop.advance(2ms);
  ASSERT_EQ(w.transport.bodies.size(), 1u);
  EXPECT_EQ(spans_in(w.transport.bodies[0]), 3u);
  for (int i = 0; i < 5; ++i) w.exporter.emit(attempt_span());
  w.loop.run_until_idle();
  ASSERT_EQ(w.transport.bodies.size(), 2u);
  EXPECT_EQ(spans_in(w.transport.bodies[1]), 4u);
  EXPECT_TRUE(w.loop.run_to_rest());                   // nothing ticks where nothing waits
  EXPECT_EQ(w.transport.bodies.size(), 3u);
  EXPECT_EQ(w.exporter.stats().exported, 8u);
}

TEST(OtlpExporter, DropsAndCountsWhatDoesNotFit) {
  SimWorld w({.queue = 8, .batch = 100});
  for (int i = 0; i < 20; ++i) w.exporter.emit(attempt_span());
  EXPECT_EQ(w.exporter.stats().dropped, 12u);
  w.loop.run_to_rest();
  EXPECT_EQ(w.exporter.stats().exported, 8u);
  EXPECT_NE(w.metrics.expose().find("ballast_spans_total{outcome=\"dropped\"} 12"), std::string::npos) << w.metrics.expose();
}

TEST(OtlpExporter, TriesAgainAsTheProtocolAsks) {
  SimWorld w;
  w.transport.scripts = {{503}, {429, "7"}, {0}, {504}};
  w.exporter.emit(attempt_span());
  w.loop.run_to_rest();
  ASSERT_EQ(w.transport.bodies.size(), 5u);
  for (const auto& body : w.transport.bodies) EXPECT_EQ(body, w.transport.bodies[0]);
  EXPECT_GE(w.since(1), 500ms);
  EXPECT_LE(w.since(1), 1001ms);
  EXPECT_GE(w.since(2), 7s);
  EXPECT_LE(w.since(2), 7001ms);
  EXPECT_GE(w.since(4), 4s);                           // half of the fourth backoff, 8 s
  EXPECT_LE(w.since(4), 8001ms);
  EXPECT_EQ(w.exporter.stats().exported, 1u);
}

TEST(OtlpExporter, GivesUpOnARefusalAtOnceAndOnTroubleAfterItsAttempts) {
  SimWorld refused;
  refused.transport.scripts = {{400}};
  refused.exporter.emit(attempt_span());
  refused.loop.run_to_rest();
  EXPECT_EQ(refused.transport.bodies.size(), 1u);
  EXPECT_EQ(refused.exporter.stats().failed, 1u);

  SimWorld down({.sending = {.attempts = 3}});
  down.transport.scripts = {{0}, {502}, {503}, {200, "", R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}})"}};
  down.exporter.emit(attempt_span());
  down.loop.run_to_rest();
  EXPECT_EQ(down.transport.bodies.size(), 3u);
  for (int i = 0; i < 3; ++i) down.exporter.emit(attempt_span());
  down.loop.run_to_rest();
  EXPECT_EQ(down.exporter.stats().failed, 2u);         // the first, and the one the collector threw away
  EXPECT_EQ(down.exporter.stats().exported, 2u);
}

// A collector on a socket.
struct Collector final : net::Handler {
  struct Got { std::string method, path, type, key, body; };
  Task<void> handle(net::Exchange& ex) override {
    {
      const std::lock_guard lock(mutex);
      const auto& r = ex.request();
      got.push_back({std::string(r.method), std::string(r.path), std::string(r.headers.get("content-type")), std::string(r.headers.get("x-key")),
                     std::string(ex.body())});
    }
    const auto sent = co_await ex.respond(status.load(), net::Headers{{"content-type", "application/json"}}, "{}");
    (void)sent;
  }
  std::atomic<int> status{200};
  std::mutex mutex;
  std::vector<Got> got;
};

struct RealWorld {
  explicit RealWorld(OtlpOptions options = {}) : loops(2, clock), client(loops, {}), server(loops, {}, collector) {
    loops.start();
    options.sending.url = *otlp_url("http://127.0.0.1:" + std::to_string(server.port()), "traces");
    exporter = std::make_unique<OtlpExporter>(loops.at(1), client, metrics, std::move(options));
  }
  ~RealWorld() { exporter.reset(); }
  SystemClock clock;
  net::LoopGroup loops;
  net::Client client;
  Collector collector;
  net::Server server;
  metrics::Registry metrics;
  std::unique_ptr<OtlpExporter> exporter;
};

TEST(OtlpExporter, SpansOfEveryThreadReachACollectorBeforeTheShutdownReturns) {
  RealWorld w({.sending = {.headers = {{"x-key", "secret"}}}});
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 4; ++t)
    threads.emplace_back([&w, t] {
      for (std::uint64_t i = 0; i < 500; ++i) w.exporter->emit(attempt_span(t * 1000 + i));
    });
  for (auto& t : threads) t.join();
  EXPECT_TRUE(w.exporter->shut_down(60s));
  std::set<std::string> ids;
  for (const auto& got : w.collector.got) {
    EXPECT_EQ(got.method, "POST");
    EXPECT_EQ(got.path, "/v1/traces");
    EXPECT_EQ(got.type, "application/json");
    EXPECT_EQ(got.key, "secret");
    const auto document = parse_json(got.body);
    ASSERT_TRUE(document);
    for (const auto& span : document->at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array()) {
      ids.emplace(span.at("spanId").as_string());
      EXPECT_EQ(span.at("traceId"), json::value("4bf92f3577b34da6a3ce929d0e0e4736"));
      EXPECT_EQ(span.at("parentSpanId"), json::value("0000000000000abc"));
    }
  }
  EXPECT_EQ(ids.size(), 2000u);
  EXPECT_EQ(w.exporter->stats().exported, 2000u);
  w.exporter->emit(attempt_span());                    // too late
  EXPECT_EQ(w.exporter->stats().dropped, 1u);
  EXPECT_TRUE(w.exporter->shut_down(1s));
}

TEST(OtlpExporter, AShutdownDoesNotWaitForACollectorThatIsDown) {
  RealWorld w({.sending = {.backoff = 60s, .max_backoff = 60s}});
  w.collector.status = 503;
  w.exporter->emit(attempt_span());
  const auto before = w.clock.mono();
  EXPECT_FALSE(w.exporter->shut_down(2s));
  EXPECT_LT(w.clock.mono() - before, 30s);
  EXPECT_EQ(w.exporter->stats().failed, 1u);
}

TEST(OtlpExporter, UnusedItNeedsNoLoop) {
  SystemClock clock;
  net::LoopGroup loops(1, clock);
  net::Client client(loops, {});
  metrics::Registry metrics;
  OtlpExporter exporter(loops.at(0), client, metrics, {.sending = {.url = *otlp_url("http://127.0.0.1:4318", "traces")}});
  EXPECT_TRUE(exporter.shut_down(1s));
}

}  // namespace
}  // namespace ballast::server
