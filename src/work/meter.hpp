// Meter: what is counted of jobs, for /metrics and for autoscalers.
//
// The engine tells it at the end of a cycle, once what it counts is durable; what the board alone knows is put into the gauges by `publish`,
// before a scrape. Single-threaded: the engine's home loop. A scrape, on whichever thread, reads the registry's atomics and nothing of this.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/metrics.hpp"
#include "work/board.hpp"
#include "work/job.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {

// A sum over the last minutes, in slices of five seconds: five minutes are kept.
class Recent {
 public:
  explicit Recent(MonoTime began) : began_(began) {}
  void add(MonoTime now, double amount);
  double sum(MonoTime now, Duration window) const;
  // Per second. Before a whole window has passed since the beginning: of what has passed, five seconds at least.
  double rate(MonoTime now, Duration window) const;

 private:
  static constexpr Duration kSlice = std::chrono::seconds(5);
  static constexpr std::int64_t kSlices = 60;
  static std::int64_t slice_of(MonoTime t) { return t.time_since_epoch() / kSlice; }
  std::int64_t first_of(MonoTime now, Duration window) const;   // the oldest slice that counts
  MonoTime began_;
  std::int64_t newest_ = 0;
  std::array<double, kSlices> slices_{};
};

// Of one queue, per second, moving.
struct QueueRates {
  double arrivals_1m = 0, arrivals_5m = 0;   // jobs accepted
  double ends_1m = 0, ends_5m = 0;           // jobs ended, however
  std::optional<Duration> per_job;           // time in leases for each job that ended, failed attempts included; nothing: none has ended yet
};

// A queue as people and autoscalers see it: of one board, or added up over nodes (queue_views.hpp).
struct QueueView {
  std::uint64_t ready = 0, delayed = 0, blocked = 0, running = 0, waiting = 0;
  std::optional<Duration> oldest = {};       // how long the oldest ready job has been ready
  QueueRates rates = {};
  void add(const QueueView& other);
};
using QueueViews = std::map<std::string, QueueView, std::less<>>;

// Leases at once that would work off what is ready or running now, and what arrives meanwhile, within `drain`:
//
//   per_job · ((ready + running) / drain + arrivals)
//
// rounded up; at least 1 when something is ready; at most one for each such job, and the queue's `concurrency`. Before any job has ended nothing
// is known of their length: then as many as run, at least 1. A paused queue wants none beyond those that run.
std::uint64_t workers_wanted(const QueueFigures& figures, const QueueRules& rules, const QueueRates& rates, Duration drain);
inline constexpr Duration kUsualDrain = std::chrono::minutes(5);
// The same of a view that is the sum over `nodes`, each of which keeps to the queue's `concurrency` by itself.
std::uint64_t workers_wanted(const QueueView& view, QueueRules rules, Duration drain, unsigned nodes);

class Meter {
 public:
  // `registry` outlives it. Names are an interface: docs/operations.md lists them.
  explicit Meter(metrics::Registry& registry);
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  // ---- what the engine tells ----
  void accepted(const JobSpec& spec, MonoTime now);
  void leased(const JobSpec& spec, Duration ready_for, MonoTime now);
  void lease_over(const JobSpec& spec, Duration held, MonoTime now);           // whatever came of it
  void attempt_failed(const JobSpec& spec, ErrorCode code, bool lease_expired, MonoTime now);
  void ended(const Job& job, bool leased, MonoTime now);
  // `jobs`: accepted, moved or leased by it.
  void cycle(Duration took, std::size_t jobs, std::size_t claims);
  void cycle_failed() { cycles_failed_.add(); }

  // ---- what others read ----
  void publish(const Board& board, MonoTime now);
  void publish_all(const QueueViews& all, const Board& board, unsigned nodes);       // over so many nodes
  void publish_dead(std::span<const DeadLetters> dead, WallTime now);          // every queue that has some
  QueueRates rates(std::string_view queue, MonoTime now);

 private:
  struct Kind {
    metrics::Counter* accepted = nullptr;
    std::array<metrics::Counter*, 3> ended{};            // done, dead, cancelled
    metrics::Histogram* duration = nullptr;
  };
  struct Queue {
    Queue(const Meter& meter, std::string name, MonoTime now);
    std::string name;
    metrics::Counter& leases;
    metrics::Counter& expired;
    metrics::Histogram& ready_for;
    metrics::Histogram& held;
    std::array<Kind, 3> kinds;
    Recent arrivals, ends, served, busy_s;
    std::optional<Duration> per_job;
  };
  Queue& queue(std::string_view name, MonoTime now);
  Kind& kind(Queue& q, JobKind k);

  metrics::Family<metrics::Counter>&accepted_, &ended_, &failed_, &expired_, &leases_;
  metrics::Family<metrics::Histogram>&ready_for_, &held_, &duration_;
  metrics::Family<metrics::Gauge>&live_, &oldest_, &wanted_, &paused_, &dead_, &dead_oldest_;
  metrics::Family<metrics::Gauge>&all_live_, &all_oldest_, &all_wanted_;
  metrics::Histogram &cycle_seconds_, &cycle_jobs_;
  metrics::Counter &claims_, &cycles_failed_;
  std::map<std::string, std::unique_ptr<Queue>, std::less<>> queues_;
  Queue* last_ = nullptr;                    // jobs of a cycle are often of one queue
};

}  // namespace ballast::work
