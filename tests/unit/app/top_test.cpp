// What `ballast top` makes of a server's answers, how it draws that, and which keys it hears.
#include <gtest/gtest.h>

#include "app/top_feed.hpp"
#include "app/top_figures.hpp"
#include "app/top_screen.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;

Reading reading(const std::string& overview, const std::string& breakers = "null", const std::string& live = "null") {
  return {.at = WallTime(1h), .overview = parse_json(overview).value(), .breakers = parse_json(breakers).value(), .live = parse_json(live).value()};
}

// Every text is an attack, every number somewhere of another type.
Reading hostile() {
  return reading(R"({"from":"2026-11-22T11:00:00Z","to":"2026-11-22T12:00:00Z","step_seconds":60,
      "total":{"calls":200,"failed":10,"cache_hits":50,"input":1000,"cached":5,"cache_write":5,"output":90,"reasoning":100,"incurred_usd":"1.239999999","saved_usd":"0.100000000","routing_saved_usd":"0.020000000",
               "latency_ms":{"p50":12,"p95":340,"p99":1500},"first_token_ms":null},
      "before":{"calls":100},"buckets":[{"calls":0},{"calls":8},7,{"calls":16}],"errors":[{"error":"provider_timeout\u001b[5m","calls":7},{"error":"x","calls":1e300}],
      "models":[{"name":"m\u001b]0;owned\u0007","total":{"calls":3,"incurred_usd":"0.5","latency_ms":{"p95":2500}}},{"name":"n"}],
      "in_flight":4,"dead":3,"approvals":2,
      "budgets":[{"budget":"a\u001b[31m","value":"漢字\n漢字","spent_usd":"0.900000000","held_usd":"0.100000000","limit_usd":"1.000000000"},
                 {"budget":"b","value":"*","spent_usd":"9\u001b[2J","held_usd":"0","limit_usd":"0"},7],
      "breakers":{"open":1,"half_open":0,"closed":2},
      "queues":[{"name":"q\u0000\u009b","paused":true,"ready":3,"running":1,"waiting":0,"delayed":2,"oldest_ready_seconds":65}],
      "alerts":[{"state":"firing","severity":"page","title":"cost\u001b[2J"}]})",
                 R"({"breakers":[{"provider":"p\u001b]0;x\u0007","model":"m","state":"open","last_error":"\u202eboom","retry_in_s":2.5},{"provider":"q","model":"m","state":"closed"}]})",
                 R"({"calls_per_second":12.5,"failed_per_second":1,"usd_per_minute":0.25,"tokens_per_second":1000,"latency_ms_p95":120,"first_token_ms_p95":null})");
}

std::string whole(const TopScreen& screen) {
  std::string out;
  for (const auto& line : screen.lines) out += line + "\n";
  return out;
}
constexpr WindowSize kLarge{.columns = 200, .rows = 0};

TEST(TopFigures, AreReadWhateverTheAnswersHold) {
  const auto f = figures_of(hostile());
  EXPECT_EQ(f.range, 1h);
  EXPECT_EQ(f.total.calls, 200u);
  EXPECT_EQ(f.total.tokens, 1200u);
  ASSERT_TRUE(f.total.latency_ms);
  EXPECT_EQ(f.total.latency_ms->p99, 1500);
  EXPECT_FALSE(f.total.first_token_ms);
  EXPECT_EQ(f.before->calls, 100u);
  EXPECT_EQ(f.chart, (std::vector<std::uint64_t>{0, 8, 16}));
  EXPECT_EQ(f.errors[1].second, 1'000'000'000'000'000'000u) << "no figure is larger than can be told";
  ASSERT_EQ(f.budgets.size(), 2u);
  EXPECT_DOUBLE_EQ(f.budgets[0].share, 1) << "what is held counts; the fullest is first";
  EXPECT_EQ(f.budgets[1].spent, "0") << "no figure";
  EXPECT_EQ(f.open + f.closed, 3u);
  ASSERT_EQ(f.breakers.size(), 1u);
  EXPECT_EQ(f.breakers[0].retry_in_s, 2.5);
  ASSERT_EQ(f.queues.size(), 1u);
  EXPECT_TRUE(f.queues[0].paused);
  EXPECT_EQ(f.dead, 3u);
  EXPECT_EQ(f.approvals, 2u);
  EXPECT_DOUBLE_EQ(f.live->calls_per_second, 12.5);
  EXPECT_FALSE(f.live->first_token_ms_p95);
  EXPECT_EQ(figures_json(hostile()).at("overview"), hostile().overview);
}

TEST(TopFigures, AreNothingOfNothing) {
  for (const char* odd : {"null", "[]", "7", "{}", R"({"total":[],"before":1,"buckets":{},"errors":"x","models":[1],"budgets":{"a":1},"breakers":[],"queues":"none","alerts":null,"from":1,"to":"x"})"}) {
    const auto f = figures_of(reading(odd, odd, odd));
    EXPECT_EQ(f.total.calls + f.dead + f.models.size() + f.budgets.size() + f.closed, 0u) << odd;
    EXPECT_FALSE(whole(top_screen(f, {}, kLarge)).empty());
    EXPECT_TRUE(figures_json(reading(odd, odd, odd)).contains("live"));
  }
}

TEST(TopScreen, FitsAnyWindowAndSendsNoControls) {
  const auto f = figures_of(hostile());
  for (const bool help : {false, true})
    for (const std::size_t columns : {1u, 2u, 20u, 40u, 80u, 200u})
      for (const std::size_t rows : {1u, 2u, 5u, 11u, 24u, 0u}) {
        const TopNotes notes{.server = "http://127.0.0.1:8080\x1b[1m", .trouble = "gone\n\x1b[2J", .no_live = "\x1b[2J", .color = false, .paused = true, .help = help, .scroll = 3};
        const auto lines = top_screen(f, notes, {.columns = columns, .rows = rows}).lines;
        if (rows) EXPECT_LE(lines.size(), rows);
        for (const auto& line : lines) {
          EXPECT_LE(display_width(line), columns);
          for (const char c : line) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << line;
        }
      }
}

TEST(TopScreen, SaysAllThatASmallTerminalHasRoomFor) {
  const auto f = figures_of(hostile());
  const std::string shown = whole(top_screen(f, {.server = "http://127.0.0.1:8080"}, {.columns = 80, .rows = 24}));
  for (const char* part : {"ALERT page  cost?[2J", "12.5 calls/s  1.0 failed/s  4 in flight  1000 tokens/s  $0.2500/min", "p95: latency 120 ms  first token -",
                           "last 1 h     200 calls (+100 % on before)  10 failed (5.0 %)  25 % from cache", "latency      p50    12 ms  p95   340 ms  p99    1.5 s", "first token  -",
                           "$1.23; saved $0.10 by the cache, $0.02 by routing; 1200 tokens", "errors       provider_timeout?[5m 7", "1 breaker open, 3 ready, oldest 65.0 s, 3 dead, 2 to approve\n",
                           "100 %  $0.90 of $1.00  a?[31m", "2 closed, 1 open", "open  p?]0;x?/m, again in 2.5 s: ?boom", "more lines above"})
    EXPECT_NE(shown.find(part), std::string::npos) << part << "\n" << shown;
  const std::string all = whole(top_screen(f, {}, kLarge));
  for (const char* part : {"65.0 s  paused", "m?]0;owned?", "  2.5 s", " ▅█\n"}) EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
}

TEST(TopScreen, TheLowerPartScrollsNoFurtherThanItsEnd) {
  const auto f = figures_of(hostile());
  const WindowSize window{.columns = 80, .rows = 18};
  const auto top = top_screen(f, {}, window), bottom = top_screen(f, {.scroll = 1000}, window);
  EXPECT_EQ(top.scroll, 0u);
  EXPECT_GT(bottom.scroll, 0u);
  EXPECT_LT(bottom.scroll, 30u);
  EXPECT_EQ(whole(top).find("  n  "), std::string::npos);
  EXPECT_NE(whole(bottom).find("  n  "), std::string::npos) << "the last model:\n" << whole(bottom);
  EXPECT_NE(whole(bottom).find(", 0 below"), std::string::npos);
  EXPECT_EQ(bottom.lines[1], top.lines[1]) << "what matters most stays";
  EXPECT_EQ(top_screen(f, {.scroll = 5}, kLarge).scroll, 0u) << "all of it is there";
}

TEST(TopScreen, SaysWhyThereAreNoFigures) {
  auto none = hostile();
  none.live = nullptr;
  EXPECT_NE(whole(top_screen(figures_of(none), {.no_live = "as many follow as may"}, kLarge)).find("4 in flight; no figures of the last second: as many follow as may"), std::string::npos);
  EXPECT_NE(whole(top_screen({}, {.trouble = "no newer figures: refused"}, kLarge)).find("no newer figures: refused"), std::string::npos);
  EXPECT_NE(whole(top_screen({}, {.paused = true}, kLarge)).find("PAUSED  q quits  p goes on"), std::string::npos);
}

TEST(TopScreen, ColoursAreTheOnlySequences) {
  bool any = false;
  for (const auto& line : top_screen(figures_of(hostile()), {.server = "s", .color = true}, {.columns = 80, .rows = 0}).lines) {
    const auto at = line.find('\x1b');
    if (at == std::string::npos) continue;
    any = true;
    EXPECT_EQ(at, 0u);
    EXPECT_TRUE(line.ends_with("\x1b[0m")) << line;
    EXPECT_EQ(std::ranges::count(line, '\x1b'), 2);
  }
  EXPECT_TRUE(any);
}

TEST(TopKeys, AreHeardAndOthersPassedOver) {
  using enum TopKey;
  EXPECT_EQ(keys_in("q"), std::vector{quit});
  EXPECT_EQ(keys_in("\x1b[A\x1bOBp?"), (std::vector{up, down, pause, help}));
  EXPECT_EQ(keys_in("\x1b[C\x1b[D\x1b[5~\x1b[6~ "), (std::vector{longer, shorter, page_up, page_down, pause}));
  EXPECT_EQ(keys_in("xyz\x1b\x01é"), std::vector<TopKey>{});
  EXPECT_EQ(keys_in("\x1b[15~\x1b[1;5Hq"), std::vector{quit}) << "other keys' sequences hold none of ours";
  EXPECT_EQ(keys_in("\x1b[1;5"), std::vector<TopKey>{});
}

TEST(LiveFigures, TakesTheNewestThatAreOfASecond) {
  LiveFigures live;
  live.take("retry: 2000\n\nevent: hello\ndata: {}\n\nevent: figures\ndata: {\"n\":1}\n\n");
  EXPECT_EQ(live.newest(), json::value(nullptr)) << "the first are of no time";
  live.take(": keep\n\nevent: fig");
  live.take("ures\ndata: {\"n\":2}\n\nevent: call\ndata: {\"n\":9}\n\n");
  EXPECT_EQ(live.newest(), (json::value{{"n", 2}}));
  live.take("event: figures\ndata: [broken\n\nevent: figures\ndata: 7\n\n");
  EXPECT_EQ(live.newest(), (json::value{{"n", 2}}));
}

}  // namespace
}  // namespace ballast::app
