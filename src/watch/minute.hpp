// What rules are judged on: what the calls of a minute added up to, and how things stand now. Values; made by the watcher or by a test.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace ballast::watch {

// Counts of microseconds in quarter octaves from 1 ms to about 70 min: coarse on purpose, for shares and medians within a fifth of their value.
class Latencies {
 public:
  static constexpr std::size_t kBuckets = 88;
  static std::size_t bucket_of(std::uint64_t us) {
    const std::uint64_t v = us >> 8;                      // quarters of a ms or so
    if (v < 4) return 0;
    const unsigned octave = static_cast<unsigned>(std::bit_width(v)) - 3;
    return std::min<std::size_t>(octave * 4 + ((v >> octave) & 3), kBuckets - 1);
  }
  static std::uint64_t upper_bound_of(std::size_t bucket) { return ((4 + (bucket & 3) + 1) << (bucket / 4)) << 8; }
  void add(std::uint64_t us, std::uint32_t times = 1) { counts_[bucket_of(us)] += times; }
  Latencies& operator+=(const Latencies& o) {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += o.counts_[i];
    return *this;
  }
  std::uint64_t count() const;
  std::size_t bucket_at(double q) const;                  // that holds the quantile; 0 when empty
  std::uint64_t above(std::size_t bucket) const;          // how many lie in higher buckets
  double seconds() const;                                 // all together, as far as buckets tell

 private:
  std::array<std::uint32_t, kBuckets> counts_{};
};

struct Counts {
  std::uint64_t calls = 0, failed = 0, cancelled = 0;
  std::uint64_t lookups = 0, hits = 0;                    // of the cache; a call that did not look counts in neither
  std::uint64_t input = 0, output = 0;                    // tokens
  std::int64_t incurred_nano = 0;
  Latencies latency, first_token;
  Counts& operator+=(const Counts& o);
};

// Of all calls together ("" and ""), or of those with a label: ("model", "gpt-5").
struct Sample {
  std::string label, value;
  Counts counts;
};
struct Minute {
  WallTime start{};                                       // a whole minute
  std::vector<Sample> samples;
};

// What a judge wants to know minutes by.
struct Wanted {
  std::vector<std::string> labels;
  std::vector<std::string> looked_up;                     // those of them whose look-ups of the cache are to be told apart from their calls
};

// How things stand at this moment; what a judge cannot know from calls.
struct Gauges {
  struct Breaker { std::string provider, model; Duration down{}; std::string error; };       // not closed, for so long
  struct Queue { std::string name; std::uint64_t ready = 0; Duration oldest{}; bool paused = false; };
  struct Budget { std::string name, scope, value; double spent_usd = 0, limit_usd = 0; WallTime end{}; };
  std::vector<Breaker> breakers;
  std::vector<Queue> queues;
  std::vector<Budget> budgets;
  std::uint64_t dead = 0;
  Duration dead_oldest{};
  std::vector<std::string> unpriced;                      // models seen that have no price
  bool journal_failing = false;
  Duration importer_behind{};
  std::uint64_t lost = 0;                                 // acknowledged, and gone with a failover of the last days
  std::optional<Duration> lost_ago;                       // since the last of them
};

}  // namespace ballast::watch
