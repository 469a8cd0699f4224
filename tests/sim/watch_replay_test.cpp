// Real traffic through the judge, in simulated time: it says nothing of what is usual, and tells what is wrong within two minutes. The short
// form; bench/watch_replay has all days, many seeds and every call (docs/alerts.md has its table, tools/extended.sh runs it).
#include <gtest/gtest.h>

#include "../support/watch_replay.hpp"

namespace ballast::test {
namespace {

constexpr double kKept = 0.02;                 // of the trace's 490 calls a second

class WatchReplay : public ::testing::Test {
 protected:
  void SetUp() override {
    traces = load_traces(std::string(BALLAST_SHARED_DATA) + "/traffic-traces", "m-small");
    if (traces.clients.empty() || traces.rows.empty()) GTEST_SKIP() << "the traffic traces are absent";
  }
  ReplayOutcome run(ReplayPlan plan) {
    std::vector<const ReplayClient*> clients;
    for (const auto& c : traces.clients) clients.push_back(&c);
    std::printf("seed %llu\n", static_cast<unsigned long long>(plan.seed));
    plan.thin = kKept;
    return Replay(traces, clients, plan).run();
  }
  static void show(const ReplayOutcome& o) {
    for (const auto& a : o.fired) std::printf("%s: %s (%s)\n", a.rule.c_str(), a.title.c_str(), a.detail.c_str());
  }
  Traces traces;
};

TEST_F(WatchReplay, ADayOfRealTrafficBringsOneAlarmAtMost) {
  const auto outcome = run({.seed = 11, .hours = 24});
  EXPECT_GT(outcome.calls, 500'000u);
  EXPECT_LE(outcome.fired.size(), 1u);
  show(outcome);
}

TEST_F(WatchReplay, ArrivalsAsTheyWereSayNothing) {
  for (std::size_t i = 0; i < traces.rows.size(); ++i) {
    const auto outcome = Replay(traces.rows[i], {.seed = 13, .hours = traces.rows[i].back().at / 3600}).run();
    EXPECT_GT(outcome.calls, 1'000u);
    EXPECT_TRUE(outcome.fired.empty()) << kRowTraces[i];
    show(outcome);
  }
}

TEST_F(WatchReplay, WhatIsWrongIsToldWithinTwoMinutes) {
  for (const auto [when, from, at] : {std::tuple("at night", 1.0, 1.2), {"at the peak", 13.5, 1.2}, {"in the 36th minute", 9.0, 0.6}, {"in the 15th minute", 9.0, 0.25}})
    for (const Fault f : kFaults) {
      const auto outcome = run({.seed = 12, .from_hours = from, .hours = at + 0.1, .fault = f, .at_hours = at});
      ASSERT_TRUE(outcome.delay_seconds) << name_of(f) << " " << when << " was not told";
      EXPECT_LE(*outcome.delay_seconds, 120) << name_of(f) << " " << when;
    }
}

}  // namespace
}  // namespace ballast::test
