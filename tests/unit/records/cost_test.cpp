// What a call costs here. Not a test of correctness and not run by default:
//   test_records --gtest_also_run_disabled_tests --gtest_filter='*Cost*'      (release build)
#include <time.h>

#include <cstdio>

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

BALLAST_ON_BOTH_DATABASES(CostTest);

}  // namespace
}  // namespace ballast::records
