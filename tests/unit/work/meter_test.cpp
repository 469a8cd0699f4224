// What is counted of jobs, and how many workers an autoscaler is told to start.
#include "work/meter.hpp"

#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

constexpr MonoTime kBegan{100h};

TEST(Recent, ForgetsWhatIsOlderThanItsWindow) {
  Recent r(kBegan);
  r.add(kBegan, 10);
  EXPECT_DOUBLE_EQ(r.sum(kBegan + 50s, 1min), 10);
  EXPECT_DOUBLE_EQ(r.sum(kBegan + 60s, 1min), 0);
  EXPECT_DOUBLE_EQ(r.sum(kBegan + 295s, 5min), 10);
  EXPECT_DOUBLE_EQ(r.sum(kBegan + 300s, 5min), 0);
  r.add(kBegan + 10h, 3);
  EXPECT_DOUBLE_EQ(r.sum(kBegan + 10h, 5min), 3);
}

TEST(Recent, ASteadyStreamIsItsRateFromTheFirstMinuteOn) {
  Recent r(kBegan);
  for (int s = 0; s < 600; ++s) {
    r.add(kBegan + 1s * s, 4);
    if (s < 10) continue;
    EXPECT_NEAR(r.rate(kBegan + 1s * (s + 1), 1min), 4, 0.5) << s;
    EXPECT_NEAR(r.rate(kBegan + 1s * (s + 1), 5min), 4, 0.5) << s;
  }
}

TEST(Recent, ItsFirstMomentIsNotAnInfiniteRate) {
  Recent r(kBegan);
  r.add(kBegan, 10);
  EXPECT_DOUBLE_EQ(r.rate(kBegan, 1min), 2);
}

struct WantedCase {
  const char* what;
  QueueFigures figures;
  QueueRules rules;
  QueueRates rates;
  Duration drain;
  std::uint64_t wanted;
};

TEST(WorkersWanted, AsTheFormulaSays) {
  const auto rates = [](double arrivals, std::optional<Duration> per_job) { return QueueRates{.arrivals_1m = arrivals, .per_job = per_job}; };
  const WantedCase cases[] = {
      {"nothing", {}, {}, rates(0, {}), 5min, 0},
      {"nothing known, some ready", {.ready = 50}, {}, rates(0, {}), 5min, 1},
      {"nothing known, some run", {.ready = 50, .leased = 7}, {}, rates(0, {}), 5min, 7},
      {"600 jobs of 2 s in 5 minutes", {.ready = 600}, {}, rates(0, 2s), 5min, 4},
      {"and one a second arrives", {.ready = 600}, {}, rates(1, 2s), 5min, 6},
      {"in one minute", {.ready = 600}, {}, rates(0, 2s), 1min, 20},
      {"one quick job", {.ready = 1}, {}, rates(0, 1ms), 5min, 1},
      {"never more than jobs", {.ready = 2}, {}, rates(0, 1h), 1min, 2},
      {"the queue's limit", {.ready = 600}, {.concurrency = 3}, rates(0, 2s), 1min, 3},
      {"paused", {.ready = 600, .leased = 2}, {.paused = true}, rates(9, 2s), 1min, 2},
      {"idle, arrivals alone", {}, {}, rates(10, 2s), 5min, 20},
      {"delayed and waiting jobs want nobody", {.delayed = 100, .blocked = 5, .waiting = 100}, {}, rates(0, 2s), 5min, 0},
  };
  for (const auto& c : cases) EXPECT_EQ(workers_wanted(c.figures, c.rules, c.rates, c.drain), c.wanted) << c.what;
}

TEST(Meter, TheMeanTimeOfAJobIncludesItsFailedAttemptsAndOutlivesTheWindow) {
  metrics::Registry registry;
  Meter meter(registry);
  const JobSpec spec{.name = "t", .queue = "q"};
  Job job{.id = JobId{1}, .spec = spec, .state = JobState::done};
  EXPECT_FALSE(meter.rates("q", kBegan).per_job);
  meter.lease_over(spec, 3s, kBegan);
  EXPECT_FALSE(meter.rates("q", kBegan).per_job);
  meter.lease_over(spec, 1s, kBegan + 5s);
  meter.ended(job, true, kBegan + 5s);
  meter.ended(job, false, kBegan + 5s);      // cancelled while it was ready: it took nobody's time
  EXPECT_EQ(meter.rates("q", kBegan + 5s).per_job, Duration(4s));
  EXPECT_EQ(meter.rates("q", kBegan + 10h).per_job, Duration(4s));
  EXPECT_DOUBLE_EQ(meter.rates("q", kBegan + 10h).ends_5m, 0);
}

TEST(Meter, SeriesOfAQueueBeginAtZeroAndDeadLettersGoBackToIt) {
  metrics::Registry registry;
  Meter meter(registry);
  meter.accepted({.name = "t", .queue = "q"}, kBegan);
  EXPECT_NE(registry.expose().find("ballast_jobs_ended_total{queue=\"q\",kind=\"task\",state=\"dead\"} 0\n"), std::string::npos);
  const WallTime now{1'000'000s};
  meter.publish_dead(std::vector<DeadLetters>{{"q", 3, now - 60s}}, now);
  EXPECT_NE(registry.expose().find("ballast_jobs_dead_letters_oldest_seconds{queue=\"q\"} 60\n"), std::string::npos);
  meter.publish_dead({}, now);
  EXPECT_NE(registry.expose().find("ballast_jobs_dead_letters{queue=\"q\"} 0\n"), std::string::npos);
}

TEST(Meter, GaugesSayWhatTheBoardSays) {
  metrics::Registry registry;
  Meter meter(registry);
  Board board(1);
  Job job{.id = JobId{1}, .spec = {.name = "t", .queue = "q"}};
  board.add(job, {"q", "t"}, kBegan, kBegan, kNever);
  job.id = JobId{2};
  board.add(job, {"q", "t"}, kBegan, kBegan + 1h, kNever);
  meter.publish(board, kBegan + 30s);
  const std::string text = registry.expose();
  for (const char* line : {"ballast_jobs_live{queue=\"q\",place=\"ready\"} 1\n", "ballast_jobs_live{queue=\"q\",place=\"delayed\"} 1\n",
                           "ballast_jobs_oldest_ready_seconds{queue=\"q\"} 30\n", "ballast_queue_workers_wanted{queue=\"q\"} 1\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

}  // namespace
}  // namespace ballast::work
