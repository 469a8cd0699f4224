// Metrics: counters, gauges and histograms for Prometheus and OpenMetrics.
//
// Register once at start-up, keep the reference, update on the hot path: an update is one relaxed add on a cache line that the
// calling thread does not share (16 shards; a thread takes the next one at its first update). A Registry owns its metrics
// and outlives their users; references stay valid for its life. Everything is thread-safe. A read sums the shards: it may miss
// updates that are under way, and never sees a counter go back.
//
// Names follow Prometheus: `ballast_calls_total` for a counter (the suffix is required), base units (seconds, bytes, usd).
// Registering a name again with the same kind returns the same metric; with another kind or other labels it asserts (a bug).
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"

namespace ballast::metrics {

inline constexpr unsigned shard_count = 16;
namespace detail {
inline constinit thread_local unsigned this_shard = shard_count;
unsigned assign_shard();
inline unsigned shard() { return this_shard < shard_count ? this_shard : assign_shard(); }
}  // namespace detail

class Counter {
 public:
  void add(std::uint64_t n = 1) { cells_[detail::shard()].value.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const;

 private:
  struct alignas(64) Cell { std::atomic<std::uint64_t> value{0}; };
  std::array<Cell, shard_count> cells_;
};

// Goes up and down. One atomic: set from one place, or add from several.
class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  void add(double v) { value_.fetch_add(v, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<double> value_{0};
};

// One thing that was measured, by which a reader comes from a figure to its trace.
struct Exemplar {
  std::uint64_t value = 0;                             // as it was recorded
  std::uint64_t trace_high = 0, trace_low = 0, span = 0;
  WallTime at{};
};

// A log-linear histogram of non-negative integers (nanoseconds, bytes, tokens): 16 buckets per power of two. A quantile is off by
// at most 1/32 of its value (3.2 %), and exact below 32. Values above 2^44 - 1 (4.9 h in ns) count in the last bucket; their sum is exact.
// 5 KB for every thread that records, allocated at its first record.
class Histogram {
 public:
  static constexpr unsigned sub_bits = 4;
  static constexpr unsigned max_bits = 44;
  static constexpr std::size_t bucket_count = ((max_bits - sub_bits) + 1u) << sub_bits;
  static constexpr std::size_t bucket_of(std::uint64_t v) {
    if (v < (1u << sub_bits)) return v;
    const unsigned width = static_cast<unsigned>(std::bit_width(v));
    if (width > max_bits) return bucket_count - 1;
    const unsigned shift = width - 1 - sub_bits;
    return (static_cast<std::size_t>(shift + 1) << sub_bits) + static_cast<std::size_t>((v >> shift) - (1u << sub_bits));
  }
  static constexpr std::uint64_t lower_bound_of(std::size_t bucket) {
    if (bucket < (1u << sub_bits)) return bucket;
    const unsigned shift = static_cast<unsigned>(bucket >> sub_bits) - 1;
    return ((bucket & ((1u << sub_bits) - 1)) + (1u << sub_bits)) << shift;
  }

  Histogram() = default;
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;
  ~Histogram();

  void record(std::uint64_t v) {
    Shard* s = shards_[detail::shard()].load(std::memory_order_acquire);
    if (!s) [[unlikely]] s = add_shard();
    s->buckets[bucket_of(v)].fetch_add(1, std::memory_order_relaxed);
    s->sum.fetch_add(v, std::memory_order_relaxed);
  }
  void record(Duration d) { record(d.count() > 0 ? static_cast<std::uint64_t>(d.count()) : 0); }

  // Records `e.value` and keeps `e` as the example of its power of two, where the one kept is `exemplar_age` older. No lock is taken and
  // nothing waits: of two threads that would keep one at once, one does. 3 KB once the first is kept.
  void record(const Exemplar& e) {
    record(e.value);
    const Examples* kept = examples_.load(std::memory_order_acquire);
    if (!kept || e.at.time_since_epoch().count() >= (*kept)[example_of(e.value)].due.load(std::memory_order_relaxed)) remember(e);
  }
  static constexpr Duration exemplar_age = std::chrono::seconds(1);
  // Those kept, of the smaller values first.
  std::vector<Exemplar> exemplars() const;

  struct Snapshot {
    std::array<std::uint64_t, bucket_count> buckets{};
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
    std::uint64_t quantile(double q) const;  // the middle of the bucket that holds rank ⌈q·count⌉; 0 when empty
  };
  Snapshot snapshot() const;

 private:
  struct Shard {
    std::array<std::atomic<std::uint64_t>, bucket_count> buckets{};
    std::atomic<std::uint64_t> sum{0};
  };
  // A sequence lock: odd while it is written. A reader that met a writer reads again.
  struct alignas(64) Example {
    std::atomic<std::uint64_t> sequence{0};
    std::atomic<std::int64_t> due{0};                  // when another may take the place, in ns; 0: empty
    std::atomic<std::uint64_t> value{0}, trace_high{0}, trace_low{0}, span{0};
  };
  using Examples = std::array<Example, max_bits + 2>;  // by the width of the value; the last one for all beyond
  static constexpr std::size_t example_of(std::uint64_t v) {
    const auto width = static_cast<std::size_t>(std::bit_width(v));
    return width <= max_bits ? width : max_bits + 1;
  }
  Shard* add_shard();
  void remember(const Exemplar& e);
  std::array<std::atomic<Shard*>, shard_count> shards_{};
  std::atomic<Examples*> examples_{nullptr};
};

using LabelValues = std::span<const std::string_view>;

// Metrics of one name that differ by label values. `with` finds or creates a series: a hash and a lock-free probe, so it may be
// used on the hot path; keeping the reference is still cheaper. At most `max_series` exist; from then on every new
// combination shares the one whose labels are all "other". Label values are cut at 128 bytes.
template <class M>
class Family {
 public:
  Family(std::size_t label_count, std::size_t max_series);
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family();
  M& with(LabelValues values);
  M& with(std::initializer_list<std::string_view> values) { return with(LabelValues(values.begin(), values.size())); }
  std::size_t series() const;
  // Every series in order of creation.
  void each(const std::function<void(LabelValues, const M&)>& f) const;

 private:
  struct Series;
  Series* insert(std::uint64_t hash, LabelValues values);
  Series* find(std::uint64_t hash, LabelValues values, std::size_t& at) const;
  std::size_t label_count_, max_series_, mask_;
  std::unique_ptr<std::atomic<Series*>[]> table_;
  mutable std::mutex growing_;
  std::vector<std::unique_ptr<Series>> owned_;  // under growing_
  std::atomic<Series*> other_{nullptr};          // set once the family is full: nothing is inserted after it
};
extern template class Family<Counter>;
extern template class Family<Gauge>;
extern template class Family<Histogram>;

// How a metric is printed. `scale` turns the stored integer into the unit of the name: 1e-9 for nanoseconds → seconds and for
// nano-dollars → usd. Histograms print cumulative buckets for the values up to 2^k - 1, first_bit ≤ k ≤ last_bit; these counts are exact.
struct Shape {
  double scale = 1;
  unsigned first_bit = 17;  // 131 µs in ns
  unsigned last_bit = 40;   // 18 min in ns
  std::size_t max_series = 1000;
};
inline constexpr Shape seconds_shape{.scale = 1e-9};
inline constexpr Shape usd_shape{.scale = 1e-9};
inline constexpr Shape bytes_shape{.scale = 1, .first_bit = 6, .last_bit = 26};
inline constexpr Shape tokens_shape{.scale = 1, .first_bit = 2, .last_bit = 21};

// One series as an exporter sees it. Borrowed: all of it ends with the visit.
struct Series {
  std::string_view name, help;
  std::span<const std::string> labels;
  LabelValues values;
  Shape shape;
  std::variant<std::uint64_t, double, const Histogram*> value;   // a counter in the shape's small unit, a gauge, a histogram
};
// `v` in the unit of the metric's name.
double scaled(std::uint64_t v, double scale);

enum class Format : unsigned char { prometheus, openmetrics };
std::string_view content_type(Format format);
// What an Accept header asks for.
Format format_for(std::string_view accept);

class Registry {
 public:
  Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  Counter& counter(std::string_view name, std::string_view help, Shape shape = {});
  Gauge& gauge(std::string_view name, std::string_view help);
  Histogram& histogram(std::string_view name, std::string_view help, Shape shape = seconds_shape);
  Family<Counter>& counters(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape = {});
  Family<Gauge>& gauges(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape = {});
  Family<Histogram>& histograms(std::string_view name, std::string_view help, std::initializer_list<std::string_view> labels, Shape shape = seconds_shape);
  // Read when scraped, on the scraping thread; `read` is thread-safe and outlives the registry's last `expose`.
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> read);

  // Every series, sorted by the metric's name.
  void each(const std::function<void(const Series&)>& visit) const;

  // Every metric, sorted by name. Prometheus text 0.0.4, or OpenMetrics 1.0 with its exemplars and `# EOF`.
  std::string expose(Format format = Format::prometheus) const;

 private:
  struct Entry;
  Entry& entry(std::string_view name, std::string_view help, int kind, std::span<const std::string_view> labels, Shape shape);
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_;  // sorted by name
};

}  // namespace ballast::metrics
