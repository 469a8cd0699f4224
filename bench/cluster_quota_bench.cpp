// What a quota over many nodes costs: settling one ask, which the quota's row is locked for, and taking from a slice, which a call waits for.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "cluster/holding.hpp"

namespace ballast::cluster {
namespace {

Terms limit() { return {.kind = QuotaKind::rate, .amount = 60'000 * kUnit, .period_us = 60'000'000}; }

// One of so many nodes that all want more than there is.
void settle_one(benchmark::State& state) {
  const auto nodes = static_cast<std::size_t>(state.range(0));
  std::int64_t now = 1'000'000'000;
  Quota quota = new_quota(limit(), now);
  std::vector<Slice> slices;
  std::vector<std::string> names;
  std::vector<Nano> shares(nodes);
  for (std::size_t i = 0; i < nodes; ++i) names.push_back("boot_01ARZ3NDEKTSV4RRFFQ69G5F" + std::to_string(i));
  std::uint64_t seq = 0;
  for (std::size_t i = 0; auto _ : state) {
    i = (i + 1) % nodes;
    now += 5'000;
    const Answer a = settle(quota, slices, limit(), {.holder = names[i], .seq = ++seq, .share = shares[i], .want = 9'000 * kUnit, .least = kUnit}, now);
    shares[i] = std::min(a.share, a.target);
    benchmark::DoNotOptimize(a);
  }
}
BENCHMARK(settle_one)->Arg(1)->Arg(3)->Arg(20)->Arg(200)->Arg(1'000);

void take_one(benchmark::State& state) {
  CarefulTime time;
  SystemClock clock;
  time.look(clock.mono(), clock.wall());
  Holding holding(limit(), "boot");
  holding.miss(60'000 * kUnit, time);
  const Ask ask = holding.ask(time);
  holding.accept({.seq = ask.seq, .share = 60'000 * kUnit, .level = 60'000 * kUnit, .target = 60'000 * kUnit, .nodes = 1}, time.latest(), time);
  for (auto _ : state) {
    time.look(clock.mono(), clock.wall());
    benchmark::DoNotOptimize(holding.take(kUnit, time));
  }
}
BENCHMARK(take_one);

}  // namespace
}  // namespace ballast::cluster
