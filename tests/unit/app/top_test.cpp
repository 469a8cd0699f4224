// What `ballast top` makes of two readings of a server, and how it draws that.
#include <gtest/gtest.h>

#include "app/top_figures.hpp"
#include "app/top_screen.hpp"
#include "base/metrics.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;

Reading reading(std::string_view metrics, Duration at = {}) { return {.at = MonoTime(at), .wall = WallTime(1h), .metrics = Exposition::read(metrics), .budgets = {}, .breakers = {}, .queues = {}, .alerts = {}}; }

TEST(Exposition, SumsWhatItFindsAndSurvivesTheRest) {
  const auto e = Exposition::read("# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"}\\\"{\"} 2\na{x=\"2\"} 3 1234567890\nb 4e2\nbroken{\nc{d=\"\nnan NaN\n\n  \nd{}\nb");
  EXPECT_EQ(e.sum("a"), 5);
  EXPECT_EQ(e.sum("a", "x=\"2\""), 3);
  EXPECT_EQ(e.sum("b"), 400);
  EXPECT_EQ(e.sum("nan"), 0);
  EXPECT_EQ(e.sum("none"), 0);
}

TEST(Exposition, BucketsOfSeveralSeriesAddUp) {
  const auto e = Exposition::read("h_bucket{r=\"a\",le=\"1\"} 1\nh_bucket{r=\"a\",le=\"2\"} 3\nh_bucket{r=\"a\",le=\"+Inf\"} 3\nh_bucket{r=\"b\",le=\"2\"} 4\nh_bucket{r=\"b\",le=\"+Inf\"} 5\n");
  const auto b = e.buckets("h");
  EXPECT_EQ(b.at(1), 1) << "b has none below one";
  EXPECT_EQ(b.at(2), 7);
  EXPECT_EQ(b.rbegin()->second, 8);
}

TEST(Percentiles, AreOfWhatCameBetween) {
  const std::map<double, double> before{{1, 100}, {2, 100}, {4, 100}}, now{{1, 100}, {2, 150}, {4, 200}};
  const auto p = percentiles(before, now);
  ASSERT_TRUE(p);
  EXPECT_DOUBLE_EQ(p->p50, 2);
  EXPECT_DOUBLE_EQ(p->p95, 3.8);
  EXPECT_FALSE(percentiles(now, now)) << "nothing came";
  EXPECT_FALSE(percentiles({}, {}));
  EXPECT_DOUBLE_EQ(percentiles(now, before)->p50, 0.5) << "the server began anew";
}

TEST(TopFigures, RatesFromTheServersOwnMetrics) {
  metrics::Registry registry;
  auto& calls = registry.counters("ballast_calls_total", "Calls", {"route", "api", "outcome"});
  auto& duration = registry.histograms("ballast_call_duration_seconds", "Duration", {"route"});
  calls.with({"chat", "openai", "ok"}).add(10);
  const auto first = reading(registry.expose(metrics::Format::prometheus));
  calls.with({"chat", "openai", "ok"}).add(30);
  calls.with({"chat", "openai", "provider_error"}).add(8);
  calls.with({"chat", "openai", "cancelled"}).add(2);
  for (int i = 0; i < 100; ++i) duration.with({"chat"}).record(std::chrono::milliseconds(100));
  const auto f = figures_between(first, reading(registry.expose(metrics::Format::prometheus), 2s));
  EXPECT_DOUBLE_EQ(f.calls_per_second, 20);
  EXPECT_DOUBLE_EQ(f.failed_per_second, 4);
  ASSERT_TRUE(f.latency_s);
  EXPECT_GT(f.latency_s->p50, 0.05);
  EXPECT_LT(f.latency_s->p99, 0.2);
  EXPECT_FALSE(f.first_token_s);
  const auto again = figures_between(reading("ballast_calls_total{outcome=\"ok\"} 100\n"), reading("ballast_calls_total{outcome=\"ok\"} 5\n", 1s));
  EXPECT_DOUBLE_EQ(again.calls_per_second, 5) << "counters that went back began again";
}

Reading hostile() {
  Reading r = reading("ballast_calls_total{outcome=\"ok\"} 1\nballast_jobs_dead_letters 3\n", 1s);
  r.budgets = *parse_json(R"({"budgets":[{"budget":"a\u001b[31m","value":"漢字\n漢字","spent_usd":"0.900000000","held_usd":"0.100000000","limit_usd":"1.000000000"},
                                          {"budget":"b","value":"*","spent_usd":"9","held_usd":"0","limit_usd":"0"},7]})");
  r.breakers = *parse_json(R"({"breakers":[{"provider":"p\u001b]0;x\u0007","model":"m","state":"open","last_error":"\u202eboom","retry_in_s":2.5},{"provider":"q","model":"m","state":"closed"}]})");
  r.queues = *parse_json(R"({"queues":[{"queue":"q\u0000\u009b","paused":true,"ready":3,"running":1,"waiting":0,"delayed":2,"oldest_ready_s":65}]})");
  r.alerts = *parse_json(R"({"alerts":[{"state":"firing","severity":"page","title":"cost\u001b[2J"},{"state":"resolved","severity":"page","title":"old"}]})");
  return r;
}

TEST(TopFigures, StatesAreReadWhateverTheyHold) {
  const auto f = figures_between(reading(""), hostile());
  ASSERT_EQ(f.budgets.size(), 2u);
  EXPECT_DOUBLE_EQ(f.budgets[0].share, 1) << "what is held counts; the fullest is first";
  EXPECT_EQ(f.breakers_closed, 1u);
  ASSERT_EQ(f.breakers.size(), 1u);
  EXPECT_EQ(f.breakers[0].retry_in_s, 2.5);
  ASSERT_EQ(f.queues.size(), 1u);
  EXPECT_TRUE(f.queues[0].paused);
  ASSERT_EQ(f.alerts.size(), 1u) << "only what fires";
  EXPECT_EQ(f.dead, 3);
  EXPECT_EQ(figures_json(f).at("budgets").as_array().size(), 2u);
  Reading odd = reading("", 1s);
  odd.budgets = json::array{1};
  odd.queues = json::object{{"queues", "none"}};
  EXPECT_TRUE(figures_between(reading(""), odd).budgets.empty());
}

TEST(TopScreen, FitsAnyWindowAndSendsNoControls) {
  const auto f = figures_between(reading(""), hostile());
  const TopNotes notes{.server = "http://127.0.0.1:8080\x1b[1m", .trouble = "gone\n\x1b[2J", .color = false};
  for (const std::size_t columns : {1u, 2u, 20u, 80u, 200u})
    for (const std::size_t rows : {1u, 5u, 24u, 0u}) {
      const auto lines = top_lines(f, notes, {.columns = columns, .rows = rows});
      if (rows) EXPECT_LE(lines.size(), rows);
      for (const auto& line : lines) {
        EXPECT_LE(display_width(line), columns);
        for (const char c : line) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << line;
      }
    }
  std::string all;
  for (const auto& line : top_lines(f, notes, {.columns = 200, .rows = 0})) all += line + "\n";
  for (const char* part : {"ALERT page  cost?[2J", "dead letters 3", "100 %", "1 closed, 1 not", "?boom", "65.0 s  paused", "gone ?[2J"}) EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
}

TEST(TopScreen, ColoursAreTheOnlySequences) {
  const auto f = figures_between(reading(""), hostile());
  bool any = false;
  for (const auto& line : top_lines(f, {.server = "s", .trouble = {}, .color = true}, {.columns = 80, .rows = 0})) {
    const auto at = line.find('\x1b');
    if (at == std::string::npos) continue;
    any = true;
    EXPECT_EQ(at, 0u);
    EXPECT_TRUE(line.ends_with("\x1b[0m")) << line;
    EXPECT_EQ(std::ranges::count(line, '\x1b'), 2);
  }
  EXPECT_TRUE(any);
}

}  // namespace
}  // namespace ballast::app
