// What a call costs the journal, and its importer.
//   bench_records_import [sqlite|postgres]         the price of each step, in CPU
//   bench_records_import [sqlite|postgres] load    30 s beside a loop that never rests, all on one core: how far does the importer fall
//                                                  behind, and what does it take from the loop?
#include <sched.h>
#include <time.h>

#include <cstdio>
#include <deque>
#include <tuple>
#include <vector>

#include "../tests/support/records_samples.hpp"
#include "records/journal.hpp"
#include "records_house.hpp"

namespace {

using namespace ballast;
using namespace ballast::records;
using bench::must;

double cpu_us(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

std::vector<CallRecord> thousand_calls(std::uint64_t users) {
  std::vector<CallRecord> out;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    out.push_back(test::sample_call(i));
    out.back().user = "user-" + std::to_string(i % users);
  }
  return out;
}

constexpr std::uint64_t kCalls = 200'000;

void price_codec(const std::vector<CallRecord>& records) {
  std::string bytes;
  double begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    bytes.clear();
    encode(bytes, records[i % 1000]);
  }
  std::printf("encode: %.3f us, %zu bytes\n", (cpu_us(CLOCK_THREAD_CPUTIME_ID) - begin) / kCalls, bytes.size());
  begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
  for (std::uint64_t i = 0; i < kCalls; ++i) (void)must(decode_call(bytes));
  std::printf("decode: %.3f us\n", (cpu_us(CLOCK_THREAD_CPUTIME_ID) - begin) / kCalls);
}

void price(bench::House& house) {
  std::vector<CallRecord> records = thousand_calls(5'000);
  price_codec(records);
  const auto journal = must(CallJournal::open({.directory = house.folder / "journal", .segment_bytes = 64 << 20}));
  CallIntent intent = test::sample_intent(0);
  double intents = 0, outcomes = 0;
  for (std::uint64_t first = 0; first < kCalls; first += 100) {  // a hundred calls in flight
    double begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t i = first; i < first + 100; ++i) {
      intent.id = test::call_id(i, static_cast<std::int64_t>(i / 50));
      must(journal->intent(0, intent));
    }
    const double between = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (std::uint64_t i = first; i < first + 100; ++i) {
      CallRecord& r = records[i % 1000];
      r.id = test::call_id(i, static_cast<std::int64_t>(i / 50));
      must(journal->outcome(0, r));
    }
    intents += between - begin;
    outcomes += cpu_us(CLOCK_THREAD_CPUTIME_ID) - between;
  }
  std::printf("intent: %.3f us\noutcome: %.3f us\n", intents / kCalls, outcomes / kCalls);

  const double begin = cpu_us(CLOCK_PROCESS_CPUTIME_ID), own = cpu_us(CLOCK_THREAD_CPUTIME_ID), wall = cpu_us(CLOCK_MONOTONIC);
  if (must(journal->import_all(*house.database)) != kCalls) bench::stop("calls are missing from the ledger");
  std::printf("import: %.3f us of CPU a call, %.3f of them on the importer's thread; %.3f us of wall time\n",
              (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - begin) / kCalls, (cpu_us(CLOCK_THREAD_CPUTIME_ID) - own) / kCalls, (cpu_us(CLOCK_MONOTONIC) - wall) / kCalls);
}

// The loop: a call every 25 µs of its CPU, 64 in flight; a line of figures a second.
void load(bench::House& house) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  if (::sched_setaffinity(0, sizeof one, &one) != 0) bench::stop("cannot stay on one core");
  house.reopen();  // its threads, and all that follow, on the one core
  const auto journal = must(CallJournal::open({.directory = house.folder / "journal"}));
  journal->start_importer(*house.database);
  std::vector<CallRecord> records = thousand_calls(1'000);
  CallIntent intent = test::sample_intent(0);
  std::uint64_t calls = 0, calls_before = 0, imported_before = 0;
  double longest_gap = 0, behind = 0, last = cpu_us(CLOCK_MONOTONIC);
  const double begun = last;
  double second = last, own_before = cpu_us(CLOCK_THREAD_CPUTIME_ID), all_before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  for (std::deque<std::uint64_t> in_flight; last - begun < 30e6; ++calls) {
    const auto id = [&](std::uint64_t n) { return Id{(static_cast<std::uint64_t>(test::kNoonMs) + n / 40) << 16 | (n % 40), n * 0x9e3779b97f4a7c15ull}; };
    const double started = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    intent.id = id(calls);
    must(journal->intent(0, intent));
    in_flight.push_back(calls);
    if (in_flight.size() > 64) {
      CallRecord& r = records[in_flight.front() % 1000];
      r.id = id(in_flight.front());
      in_flight.pop_front();
      must(journal->outcome(0, r));
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
}

}  // namespace

int main(int argc, char** argv) {
  bench::House house(argc > 1 ? argv[1] : "sqlite");
  if (argc > 2 && std::string_view(argv[2]) != "load") bench::stop("bench_records_import [sqlite|postgres] [load]");
  argc > 2 ? load(house) : price(house);
}
