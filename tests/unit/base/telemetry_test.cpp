// What the process says about itself: log lines, metrics, traces. And the queue between its threads.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/compress.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/redact.hpp"
#include "base/metrics.hpp"
#include "base/queue.hpp"
#include "base/random.hpp"
#include "base/sim_loop.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"

namespace ballast {
namespace {
using namespace std::chrono_literals;

// ---- Log

class Log : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("ballast_log_" + secret_token(6));
    std::filesystem::create_directory(dir_);
    file_ = dir_ / "log.jsonl";
  }
  void TearDown() override {
    log::stop();
    log::set_level(log::Level::info);
    std::filesystem::remove_all(dir_);
  }
  void start(log::Options options = {}) {
    options.file = file_;
    options.clock = &clock_;
    ASSERT_TRUE(log::start(options));
  }
  std::vector<std::string> lines() const {
    std::ifstream in(file_);
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  SimClock clock_{WallTime(1795233672345ms)};
  std::filesystem::path dir_, file_;
};

TEST_F(Log, WritesOneJsonObjectALine) {
  start();
  log::info("call", {{"provider", "openai"}, {"status", 503}, {"cost", 0.25}, {"ok", false}, {"tokens", std::uint64_t{7}}, {"wait", 20ms}, {"code", ErrorCode::provider_timeout},
                     {"raw", log::Value::json("[1]")}, {"text", std::string("a\"b\n")}});
  log::debug("hidden");
  log::flush();
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_EQ(lines()[0], R"({"time":"2026-11-21T04:01:13.345Z","level":"info","event":"call","provider":"openai","status":503,"cost":0.25,"ok":false,"tokens":7,"wait":20,"code":"provider_timeout","raw":[1],"text":"a\"b\n"})");
}

TEST_F(Log, ATimeForAPrebuiltLineReadsAsEveryOther) {
  for (const std::int64_t ms : {1795233672345, 1795233672346, 1795233673000, 951782399999, 0L, -1L}) {
    const WallTime at{std::chrono::milliseconds(ms)};
    std::string line = "at ";
    log::append_time(line, at);
    EXPECT_EQ("at " + to_rfc3339(at), line);
  }
}

TEST_F(Log, AnErrorIsOnDiskBeforeItsCallReturnsWithAllBeforeIt) {
  start({.flush_every = 1h});
  log::info("first");
  EXPECT_EQ(lines().size(), 0u);
  log::error("second");
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_NE(lines()[1].find("second"), std::string::npos);
}

TEST_F(Log, StopWritesWhatIsBufferedAlsoOfEndedThreads) {
  start({.flush_every = 1h});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] { for (int i = 0; i < 1000; ++i) log::info("n", {{"thread", t}, {"i", i}}); });
  for (auto& t : threads) t.join();
  log::access(R"({"call":"x"})");
  log::stop();
  const auto all = lines();
  ASSERT_EQ(all.size(), 4001u);
  std::array<std::int64_t, 4> next{};
  for (const auto& line : all) {
    const auto v = parse_json(line);
    ASSERT_TRUE(v) << line;
    if (v->as_object().contains("call")) continue;
    auto& expected = next[static_cast<std::size_t>(v->at("thread").as_int64())];
    EXPECT_EQ(v->at("i").as_int64(), expected++);  // the order of a thread is kept
  }
}

TEST_F(Log, AtItsLimitItDropsCountsAndSaysSo) {
  const auto before = log::dropped();
  start({.flush_every = 1h, .buffer_bytes = 1000});
  log::access(std::string(400, 'x'));
  log::access(std::string(2000, 'y'));  // never fits
  log::stop();
  EXPECT_EQ(log::dropped() - before, 1u);
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_NE(lines()[1].find(R"("event":"log_dropped","lines":1)"), std::string::npos) << lines()[1];
}

TEST_F(Log, ReopenFollowsARotation) {
  start();
  log::info("before");
  log::flush();
  std::filesystem::rename(file_, dir_ / "old");
  log::reopen();
  log::info("after");
  log::flush();
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_NE(lines()[0].find("after"), std::string::npos);
}

TEST_F(Log, EmergencyFlushWritesWithoutTheFlusher) {
  start({.flush_every = 1h});
  log::info("last words");
  log::emergency_flush();
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(Log, AFileThatCannotBeOpenedIsAnError) {
  const auto r = log::start({.file = "/nonexistent/dir/log"});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, ErrorCode::internal_unavailable);
}

TEST(LogLevel, NamesReadBack) {
  EXPECT_EQ(log::level_from("warn"), log::Level::warn);
  EXPECT_FALSE(log::level_from("verbose"));
}

TEST(Redact, HidesCredentialsAndLeavesProse) {
  const struct { std::string_view in, out; } table[] = {
      {"Incorrect API key provided: sk-proj-abcdEFGH1234.", "Incorrect API key provided: sk-[redacted]"},
      {"Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"},
      {"authorization: Basic dXNlcjpwYXNz==", "authorization: Basic [redacted]"},
      {"sent \"Bearer eyJhbGciOi\" to it", "sent \"Bearer [redacted]\" to it"},
      {"GET /v1beta/models?key=AIzaSyA1234567890&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse"},
      {"key AIzaSyA1234567890abc is dead", "key AIza[redacted] is dead"},
      {"blst_live_0123456789abcdef", "blst_[redacted]"},
      {R"({"api_key": "whatever it is", "n": 1})", R"({"api_key": "[redacted] it is", "n": 1})"},
      {R"({"x-api-key":"abc"})", R"({"x-api-key":"[redacted]"})"},
      {"password=hunter2; next", "password=[redacted]; next"},
      {"postgres://app:s3cret@db:5432/ballast", "postgres://app:[redacted]@db:5432/ballast"},
      {"http://db:5432/x?a=b@c", "http://db:5432/x?a=b@c"},
      {"ghp_abcdefghijklmnop and AKIAIOSFODNN7EXAMPLE", "ghp_[redacted] and AKIA[redacted]"},
      {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "eyJ[redacted]"},
      {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[redacted]-----END RSA PRIVATE KEY-----"},
      // not credentials
      {"max_tokens: 4096 must be at most 2048", "max_tokens: 4096 must be at most 2048"},
      {"unknown key: timeout", "unknown key: timeout"},
      {"the risk-averse task-based desk-bound bearer of news", "the risk-averse task-based desk-bound bearer of news"},
      {"sk-1", "sk-1"},
      {"model gpt-5-mini, request req_0123456789", "model gpt-5-mini, request req_0123456789"},
      {"日本語 😀", "日本語 😀"},
      {"", ""},
  };
  for (const auto& row : table) {
    EXPECT_EQ(log::redact(row.in), row.out);
    EXPECT_EQ(log::redacted(row.in), row.in == row.out ? std::nullopt : std::optional<std::string>(row.out)) << row.in;
  }
}

// A pass that looked ahead from each of these again would take days.
TEST(Redact, WhatLooksLikeABeginningIsNotReadAgainAndAgain) {
  constexpr std::size_t kBytes = 8u << 20;
  for (const std::string_view piece : {"a.", "a-", "a_b-", "s-", "key-", "bear ", "basic  ", "://", "://a ", "-----BEGIN ", "key \"", "sk-a ", "eyJ.a b", "token"}) {
    std::string text;
    while (text.size() < kBytes) text += piece;
    EXPECT_TRUE(log::redact(text) == text) << piece;
  }
}

// ---- Metrics

TEST(Histogram, BucketsTileTheNumbersWithinTheStatedError) {
  using metrics::Histogram;
  EXPECT_EQ(Histogram::bucket_of(0), 0u);
  for (std::size_t b = 0; b + 1 < Histogram::bucket_count; ++b) {
    const auto low = Histogram::lower_bound_of(b), next = Histogram::lower_bound_of(b + 1);
    ASSERT_LT(low, next);
    ASSERT_EQ(Histogram::bucket_of(low), b);
    ASSERT_EQ(Histogram::bucket_of(next - 1), b);
    const double middle = static_cast<double>(low + (next - low) / 2);
    ASSERT_LE(std::max(middle - static_cast<double>(low), static_cast<double>(next - 1) - middle), static_cast<double>(low) / 32 + 1e-9) << b;
  }
  EXPECT_EQ(Histogram::bucket_of(UINT64_MAX), Histogram::bucket_count - 1);
  EXPECT_EQ(Histogram::bucket_of((std::uint64_t{1} << 44) - 1), Histogram::bucket_count - 1);
  EXPECT_EQ(Histogram::bucket_of(std::uint64_t{1} << 44), Histogram::bucket_count - 1);
}

TEST(Histogram, QuantilesAreWithinTheStatedError) {
  metrics::Histogram h;
  EXPECT_EQ(h.snapshot().quantile(0.5), 0u);
  for (std::uint64_t v = 1; v <= 100'000; ++v) h.record(v);
  const auto s = h.snapshot();
  EXPECT_EQ(s.count, 100'000u);
  EXPECT_EQ(s.sum, 5'000'050'000u);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 1.0}) EXPECT_NEAR(static_cast<double>(s.quantile(q)), q * 100'000, q * 100'000 / 32);
  metrics::Histogram negative;
  negative.record(Duration(-5));
  EXPECT_EQ(negative.snapshot().buckets[0], 1u);
}

TEST(Metrics, AddUpOverThreads) {
  metrics::Registry registry;
  auto& calls = registry.counter("calls_total", "Calls");
  auto& sizes = registry.histogram("size_bytes", "Sizes", metrics::bytes_shape);
  auto& active = registry.gauge("active", "Now");
  auto& by_model = registry.counters("by_model_total", "Calls by model", {"model"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) {
        calls.add();
        sizes.record(std::uint64_t(100));
        active.add(1);
        by_model.with({t % 2 ? "a" : "b"}).add(2);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(calls.value(), 20'000u);
  EXPECT_EQ(sizes.snapshot().count, 20'000u);
  EXPECT_EQ(active.value(), 20'000);
  EXPECT_EQ(by_model.with({"a"}).value(), 20'000u);
  EXPECT_EQ(by_model.series(), 2u);
  EXPECT_EQ(&registry.counter("calls_total", "Calls"), &calls);
}

TEST(Metrics, AFamilyIsBoundedAndTheRestIsOther) {
  metrics::Registry registry;
  auto& family = registry.counters("calls_total", "Calls", {"model", "user"}, {.max_series = 3});
  for (int i = 0; i < 1000; ++i) family.with({"m", std::to_string(i)}).add();
  EXPECT_EQ(family.series(), 4u);
  EXPECT_EQ(family.with({"m", "0"}).value(), 1u);
  EXPECT_EQ(family.with({"other", "other"}).value(), 997u);
  EXPECT_EQ(&family.with({"m", "999"}), &family.with({"other", "other"}));
  // A caller who really says "other" shares that series instead of printing it twice.
  metrics::Family<metrics::Counter> sly(1, 2);
  auto& said = sly.with({"other"});
  sly.with({"a"});
  EXPECT_EQ(&sly.with({"b"}), &said);
  EXPECT_EQ(sly.series(), 2u);
  const std::string long_label(1000, 'x');
  metrics::Family<metrics::Counter> one(1, 10);
  EXPECT_EQ(&one.with({long_label}), &one.with({long_label.substr(0, 128)}));
}

TEST(Metrics, ExposeAsPrometheusText) {
  metrics::Registry registry;
  registry.counters("ballast_calls_total", "Calls, by \"model\"\nand status", {"model", "status"}).with({"a\"b\\c\n", "200"}).add(3);
  registry.gauge("ballast_active", "Now").set(2.5);
  registry.gauge_from("ballast_up", "Seconds", [] { return 7.0; });
  registry.counter("ballast_cost_usd_total", "Cost", metrics::usd_shape).add(1'500'000'000);
  auto& h = registry.histogram("ballast_wait_seconds", "Wait", {.scale = 1e-9, .first_bit = 10, .last_bit = 12});
  h.record(1023ns);
  h.record(1024ns);
  h.record(1h);
  EXPECT_EQ(registry.expose(),
R"(# HELP ballast_active Now
# TYPE ballast_active gauge
ballast_active 2.5
# HELP ballast_calls_total Calls, by "model"\nand status
# TYPE ballast_calls_total counter
ballast_calls_total{model="a\"b\\c\n",status="200"} 3
# HELP ballast_cost_usd_total Cost
# TYPE ballast_cost_usd_total counter
ballast_cost_usd_total 1.5
# HELP ballast_up Seconds
# TYPE ballast_up gauge
ballast_up 7
# HELP ballast_wait_seconds Wait
# TYPE ballast_wait_seconds histogram
ballast_wait_seconds_bucket{le="1.023e-06"} 1
ballast_wait_seconds_bucket{le="2.047e-06"} 2
ballast_wait_seconds_bucket{le="4.095e-06"} 2
ballast_wait_seconds_bucket{le="+Inf"} 3
ballast_wait_seconds_sum 3600.000002047
ballast_wait_seconds_count 3
)");
}

TEST(Metrics, ExposeAsOpenMetrics) {
  metrics::Registry registry;
  registry.counter("calls_total", "Calls").add();
  registry.histogram("n_tokens", "Tokens", {.first_bit = 2, .last_bit = 2}).record(std::uint64_t{4});
  EXPECT_EQ(registry.expose(metrics::Format::openmetrics),
R"(# HELP calls Calls
# TYPE calls counter
calls_total 1
# HELP n_tokens Tokens
# TYPE n_tokens histogram
n_tokens_bucket{le="3.0"} 0
n_tokens_bucket{le="+Inf"} 1
n_tokens_sum 4
n_tokens_count 1
# EOF
)");
  EXPECT_EQ(metrics::format_for("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"), metrics::Format::openmetrics);
  EXPECT_EQ(metrics::format_for("*/*"), metrics::Format::prometheus);
}

TEST(Metrics, OpenMetricsShowsAnExampleOfEachBucketAndPrometheusTextNone) {
  metrics::Registry registry;
  auto& h = registry.histogram("n_tokens", "Tokens", {.first_bit = 2, .last_bit = 3});
  const auto at = WallTime(1795233672345ms);
  h.record(metrics::Exemplar{.value = 1, .trace_low = 1, .span = 1, .at = at});
  h.record(metrics::Exemplar{.value = 5, .trace_high = 0xab, .trace_low = 2, .span = 2, .at = at});
  h.record(metrics::Exemplar{.value = 6, .trace_low = 3, .span = 3, .at = at + 999ms});   // too soon after the other
  h.record(metrics::Exemplar{.value = 900, .trace_low = 4, .span = 4, .at = at});
  h.record(std::uint64_t{900});
  EXPECT_EQ(registry.expose(metrics::Format::openmetrics),
R"(# HELP n_tokens Tokens
# TYPE n_tokens histogram
n_tokens_bucket{le="3.0"} 1 # {trace_id="00000000000000000000000000000001",span_id="0000000000000001"} 1 1795233672.345
n_tokens_bucket{le="7.0"} 3 # {trace_id="00000000000000ab0000000000000002",span_id="0000000000000002"} 5 1795233672.345
n_tokens_bucket{le="+Inf"} 5 # {trace_id="00000000000000000000000000000004",span_id="0000000000000004"} 900 1795233672.345
n_tokens_sum 1812
n_tokens_count 5
# EOF
)");
  EXPECT_EQ(registry.expose().find("trace_id"), std::string::npos);
  h.record(metrics::Exemplar{.value = 7, .trace_low = 5, .span = 5, .at = at + 1s});
  EXPECT_NE(registry.expose(metrics::Format::openmetrics).find("\"} 7 1795233673.345"), std::string::npos);
}

// What is read was written together: the ids and the time all say the value.
TEST(Histogram, AnExampleIsNeverTorn) {
  metrics::Histogram h;
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (std::uint64_t t = 0; t < 3; ++t)
    writers.emplace_back([&, t] {
      for (std::uint64_t i = 1; !stop; ++i) {
        const std::uint64_t v = 1'000'000 + (i * 3 + t) % 40'000;
        h.record(metrics::Exemplar{.value = v, .trace_high = v + 1, .trace_low = v + 2, .span = v + 3, .at = WallTime(std::chrono::seconds(i))});
      }
    });
  std::size_t seen = 0;
  for (const auto end = std::chrono::steady_clock::now() + 20s; seen < 20'000 && std::chrono::steady_clock::now() < end;)
    for (const auto& e : h.exemplars()) {
      ++seen;
      ASSERT_EQ(e.trace_high, e.value + 1);
      ASSERT_EQ(e.trace_low, e.value + 2);
      ASSERT_EQ(e.span, e.value + 3);
    }
  stop = true;
  for (auto& w : writers) w.join();
  EXPECT_GE(seen, 20'000u);
}

TEST(Gzip, IsReadBackByAnyone) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += std::to_string(i) + ",";
  const auto packed = gzip(text);
  EXPECT_LT(packed.size(), text.size() / 2);
  std::string plain(text.size(), '\0');
  z_stream z{};
  ASSERT_EQ(::inflateInit2(&z, 15 + 16), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  z.next_out = reinterpret_cast<Bytef*>(plain.data());
  z.avail_out = static_cast<uInt>(plain.size());
  EXPECT_EQ(::inflate(&z, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(z.total_out, text.size());
  ::inflateEnd(&z);
  EXPECT_EQ(plain, text);
  EXPECT_FALSE(gzip("").empty());
}

// ---- Traces

TEST(Traceparent, ReadsAndWritesTheStandardsExample) {
  const auto c = trace::parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  ASSERT_TRUE(c);
  EXPECT_TRUE(c->sampled);
  EXPECT_EQ(trace::trace_id_hex(*c), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace::span_id_hex(c->span), "00f067aa0ba902b7");
  EXPECT_EQ(trace::format_traceparent(*c), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_TRUE(trace::parse_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings"));
  SeededRandom random(1);
  const auto child = trace::child_of(*c, random);
  EXPECT_EQ(child.trace_low, c->trace_low);
  EXPECT_NE(child.span, c->span);
  EXPECT_TRUE(trace::new_trace(random, 1).sampled);
  EXPECT_FALSE(trace::new_trace(random, 0).sampled);
}

TEST(Traceparent, RefusesMalformedHeaders) {
  for (const auto bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                         "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                         "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                         "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    EXPECT_FALSE(trace::parse_traceparent(bad)) << bad;
}

// ---- Queue

TEST(MpscQueue, IsBoundedAndKeepsOrder) {
  MpscQueue<std::unique_ptr<int>> q(3);  // rounded up to 4
  EXPECT_EQ(q.capacity(), 4u);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(q.try_push(std::make_unique<int>(i)));
    auto extra = std::make_unique<int>(9);
    EXPECT_FALSE(q.try_push(std::move(extra)));
    EXPECT_TRUE(extra) << "a refused item stays with its owner";
    for (int i = 0; i < 4; ++i) EXPECT_EQ(**q.try_pop(), i);
    EXPECT_FALSE(q.try_pop());
    EXPECT_TRUE(q.empty());
  }
  q.try_push(std::make_unique<int>(1));  // destroyed with the queue
}

TEST(MpscQueue, LosesNothingBetweenThreads) {
  MpscQueue<std::pair<int, int>> q(64);
  constexpr int producers = 4, each = 20'000;
  std::vector<std::thread> threads;
  for (int p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      for (int i = 0; i < each; ++i)
        while (!q.try_push({p, i})) std::this_thread::yield();
    });
  std::array<int, producers> next{};
  for (int left = producers * each; left > 0;) {
    const auto item = q.try_pop();
    if (!item) { std::this_thread::yield(); continue; }
    ASSERT_EQ(item->second, next[static_cast<std::size_t>(item->first)]++);
    --left;
  }
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace ballast
