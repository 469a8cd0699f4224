// What a call costs here. Not a test of correctness and not run by default:
//   test_records --gtest_also_run_disabled_tests --gtest_filter='*Cost*'      (release build)
#include <sched.h>
#include <time.h>

#include <cstdio>
#include <deque>
#include <tuple>

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "records/journal.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

double cpu_us(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

class CostTest : public test::OnBothDatabases {};

TEST_P(CostTest, DISABLED_JournalAndImport) {
  ASSERT_TRUE(database().migrate(migrations()));
  constexpr std::uint64_t kCalls = 200'000;
  auto journal = CallJournal::open({.directory = directory() / "journal", .segment_bytes = 64 << 20});
  ASSERT_TRUE(journal);
  std::vector<CallRecord> records;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    records.push_back(test::sample_call(i));
    records.back().user = "user-" + std::to_string(i % 5000);
  }
  std::string bytes;
  double begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    bytes.clear();
    encode(bytes, records[i % 1000]);
  }
  std::printf("encode: %.3f us, %zu bytes\n", (cpu_us(CLOCK_THREAD_CPUTIME_ID) - begin) / kCalls, bytes.size());
  begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (std::uint64_t i = 0; i < kCalls; ++i) (void)decode_call(bytes);
  std::printf("decode: %.3f us\n", (cpu_us(CLOCK_THREAD_CPUTIME_ID) - begin) / kCalls);

  CallIntent intent = test::sample_intent(0);
  double intents = 0, outcomes = 0;
  for (std::uint64_t first = 0; first < kCalls; first += 100) {  // a hundred calls in flight
    begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t i = first; i < first + 100; ++i) {
      intent.id = test::call_id(i, static_cast<std::int64_t>(i / 50));
      ASSERT_TRUE((*journal)->intent(0, intent));
    }
    const double between = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t i = first; i < first + 100; ++i) {
      CallRecord& r = records[i % 1000];
      r.id = test::call_id(i, static_cast<std::int64_t>(i / 50));
      ASSERT_TRUE((*journal)->outcome(0, r));
    }
    intents += between - begin;
    outcomes += cpu_us(CLOCK_THREAD_CPUTIME_ID) - between;
  }
  std::printf("intent: %.3f us\noutcome: %.3f us\n", intents / kCalls, outcomes / kCalls);

  begin = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  const double own = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  const double wall = cpu_us(CLOCK_MONOTONIC);
  auto imported = (*journal)->import_all(database());
  ASSERT_TRUE(imported) << describe(imported.error());
  EXPECT_EQ(*imported, kCalls);
  std::printf("import: %.3f us of CPU a call, %.3f of them on the importer's thread; %.3f us of wall time\n",
              (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - begin) / kCalls, (cpu_us(CLOCK_THREAD_CPUTIME_ID) - own) / kCalls, (cpu_us(CLOCK_MONOTONIC) - wall) / kCalls);
}

// A loop that never rests, on the core that the importer and the database's writer must share with it: every 25 µs a call. How far does
// the importer fall behind, and what does it take from the loop?
TEST_P(CostTest, DISABLED_ImportUnderFullLoad) {
  ASSERT_TRUE(database().migrate(migrations()));
  cpu_set_t all, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  reopen();  // its threads, and all that follow, on the one core
  const auto journal = std::move(*CallJournal::open({.directory = directory() / "journal"}));
  journal->start_importer(database());
  std::vector<CallRecord> records;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    records.push_back(test::sample_call(i));
    records.back().user = "user-" + std::to_string(i);
  }
  CallIntent intent = test::sample_intent(0);
  std::uint64_t calls = 0, calls_before = 0, imported_before = 0;
  double longest_gap = 0, behind = 0, last = cpu_us(CLOCK_MONOTONIC);
  const double begun = last;
  double second = last, own_before = cpu_us(CLOCK_THREAD_CPUTIME_ID), all_before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  for (std::deque<std::uint64_t> in_flight; last - begun < 30e6; ++calls) {
    const auto id = [&](std::uint64_t n) { return Id{(static_cast<std::uint64_t>(test::kNoonMs) + n / 40) << 16 | (n % 40), n * 0x9e3779b97f4a7c15ull}; };
    const double started = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    intent.id = id(calls);
    ASSERT_TRUE(journal->intent(0, intent));
    in_flight.push_back(calls);
    if (in_flight.size() > 64) {
      CallRecord& r = records[in_flight.front() % 1000];
      r.id = id(in_flight.front());
      in_flight.pop_front();
      ASSERT_TRUE(journal->outcome(0, r));
    }
    while (cpu_us(CLOCK_THREAD_CPUTIME_ID) - started < 25) {}
    const double now = cpu_us(CLOCK_MONOTONIC);
    longest_gap = std::max(longest_gap, now - last);
    last = now;
    if (now - second < 1e6) continue;
    const auto stats = journal->stats();
    const double own = cpu_us(CLOCK_THREAD_CPUTIME_ID), all_now = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
    const std::uint64_t done = stats.imported_calls - imported_before;
    behind = std::max(behind, static_cast<double>(stats.behind.count()) / 1e6);
    std::printf("%2.0f s: %6.0f calls/s, behind %5.0f ms, %8llu KB; imported %6llu, %.2f us of CPU each; longest gap of the loop %.1f ms\n", (now - begun) / 1e6,
                static_cast<double>(calls - calls_before) / (now - second) * 1e6, static_cast<double>(stats.behind.count()) / 1e6,
                static_cast<unsigned long long>(stats.behind_bytes / 1024), static_cast<unsigned long long>(done),
                ((all_now - all_before) - (own - own_before)) / static_cast<double>(std::max<std::uint64_t>(1, done)), longest_gap / 1e3);
    std::tie(second, calls_before, imported_before, own_before, all_before, longest_gap) = std::tuple(now, calls, stats.imported_calls, own, all_now, 0.0);
  }
  std::printf("%llu calls, %.0f a second; behind by %.0f ms at most\n", static_cast<unsigned long long>(calls), static_cast<double>(calls) / 30, behind);
  journal->stop_importer();
  ::sched_setaffinity(0, sizeof all, &all);
}

BALLAST_ON_BOTH_DATABASES(CostTest);

}  // namespace
}  // namespace ballast::records
