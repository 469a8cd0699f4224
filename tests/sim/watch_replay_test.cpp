// Real traffic through the judge, in simulated time: it says nothing of what is usual, and tells what is wrong within two minutes. The short
// form; bench/watch_replay has days, many seeds, and the clients that no rule was tuned on (docs/alerts.md has its table).
#include <gtest/gtest.h>

#include "../support/watch_replay.hpp"

namespace ballast::test {
namespace {

constexpr double kKept = 0.02;                 // of the trace's 170 calls a second

class WatchReplay : public ::testing::Test {
 protected:
  void SetUp() override {
    traces = load_traces(std::string(BALLAST_SHARED_DATA) + "/traffic-traces", "m-small");
    if (traces.clients.empty() || traces.tokens.empty()) GTEST_SKIP() << "the traffic traces are absent";
  }
  ReplayOutcome run(ReplayPlan plan) {
    std::vector<const ReplayClient*> clients;
    for (const auto& c : traces.clients) clients.push_back(&c);
    std::printf("seed %llu\n", static_cast<unsigned long long>(plan.seed));
    plan.thin = kKept;
    return Replay(traces, clients, plan).run();
  }
  Traces traces;
};

TEST_F(WatchReplay, ANightAndAMorningOfRealTrafficSayAlmostNothing) {
  const auto outcome = run({.seed = 11, .from_hours = 3, .hours = 8});
  EXPECT_GT(outcome.calls, 50'000u);
  EXPECT_LE(outcome.fired.size(), 1u);
  for (const auto& a : outcome.fired) std::printf("%s: %s (%s)\n", a.rule.c_str(), a.title.c_str(), a.detail.c_str());
}

TEST_F(WatchReplay, WhatIsWrongIsToldWithinTwoMinutes) {
  for (const auto [when, from, at] : {std::tuple("at night", 1.0, 1.2), {"at the peak", 13.5, 1.2}, {"in the first hour", 9.0, 0.6}})
    for (const Fault f : {Fault::prompt_bug, Fault::slow_provider, Fault::retry_storm, Fault::error_burst, Fault::cache_collapse}) {
      const auto outcome = run({.seed = 12, .from_hours = from, .hours = at + 0.1, .fault = f, .at_hours = at});
      ASSERT_TRUE(outcome.delay_seconds) << name_of(f) << " " << when << " was not told";
      EXPECT_LE(*outcome.delay_seconds, 120) << name_of(f) << " " << when;
    }
}

}  // namespace
}  // namespace ballast::test
