// What a figure costs the road: Histogram::record, plain and with an example; by one thread and by two that meet in one histogram.
#include <benchmark/benchmark.h>

#include "base/metrics.hpp"

namespace {

using namespace ballast;

metrics::Histogram& shared() {
  static metrics::Histogram h;
  return h;
}

// Spread over some powers of two, as latencies are.
std::uint64_t next(std::uint64_t& x) {
  x = x * 6364136223846793005u + 1442695040888963407u;
  return (x >> 33) % 2'000'000'000;
}

void record(benchmark::State& state) {
  std::uint64_t x = static_cast<std::uint64_t>(state.thread_index()) + 1;
  for (auto _ : state) shared().record(next(x));
}
BENCHMARK(record)->Threads(1)->Threads(2);

// The time stands still for 1,000 calls at a time and then goes on by 10 ms: 100,000 sampled calls a second.
void record_with_example(benchmark::State& state) {
  std::uint64_t x = static_cast<std::uint64_t>(state.thread_index()) + 1, n = 0;
  for (auto _ : state) {
    const auto now = WallTime(std::chrono::milliseconds(1'790'000'000'000 + 10 * static_cast<std::int64_t>(n++ / 1000)));
    shared().record(metrics::Exemplar{.value = next(x), .trace_high = x, .trace_low = n, .span = n, .at = now});
  }
}
BENCHMARK(record_with_example)->Threads(1)->Threads(2);

// Each call is due to be kept: the worst there is.
void record_and_keep(benchmark::State& state) {
  std::uint64_t x = 1, n = 0;
  for (auto _ : state)
    shared().record(metrics::Exemplar{.value = next(x), .trace_high = x, .trace_low = n, .span = n, .at = WallTime(std::chrono::hours(500'000) + std::chrono::seconds(n++))});
}
BENCHMARK(record_and_keep)->Threads(1)->Threads(2);

void expose(benchmark::State& state) {
  metrics::Registry registry;
  std::uint64_t x = 1;
  auto& family = registry.histograms("ballast_x_seconds", "X", {"route"});
  for (const char* route : {"a", "b", "c", "d", "e", "f", "g", "h"})
    for (int i = 0; i < 10'000; ++i) family.with({route}).record(metrics::Exemplar{.value = next(x), .trace_low = 1, .span = 1, .at = WallTime(std::chrono::seconds(i))});
  for (auto _ : state) benchmark::DoNotOptimize(registry.expose(metrics::Format::openmetrics));
}
BENCHMARK(expose);

}  // namespace
