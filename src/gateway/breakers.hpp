// Breakers: one per provider × model. Stops calling a target that keeps failing, and lets exactly one call at a time find
// out whether it is well again.
//
//   closed ──(N consecutive failures, or a failure ratio over the sliding window)──► open
//   open ──(cool-down over)──► half-open: one probe ──success──► closed, ──failure──► open, cool-down × growth
//
// Panic: a call none of whose targets admits may still make an *early try* at a resting one: at most one per
// `BreakerOptions::early_every` and breaker, whatever the number of callers. Its success closes the breaker as a probe's does, its
// failure changes nothing: a dying provider sees a trickle, a recovered one is found within seconds (after Envoy's panic threshold).
//
// Only failures that speak of the target's health count (`classify_failure(code).blame == target`); anything else, and a
// cancelled call, is neutral. Each breaker also keeps moving averages of latency and of time to first token.
//
// Hearsay: with several nodes, one that another node has opened rests here too, until that node's time is over, unless this node has had a success since
// (`hear`). It is probed here as if it were this node's own, and closes when the other says so (`unhear`).
//
// Concurrency: thread-safe; a spinlock per breaker held for tens of nanoseconds. Breakers live as long as the set.
// Bounds: `Options::max_targets`; further targets of a provider share that provider's overflow breaker.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "gateway/spinlock.hpp"

namespace ballast::gateway {

enum class BreakerState : std::uint8_t { closed, open, half_open };
std::string_view to_string(BreakerState state);

struct BreakerOptions {
  unsigned consecutive = 5;                            // failures in a row that open it
  double ratio = 0.5;                                  // or this share of failures …
  unsigned minimum = 20;                               // … among at least this many calls …
  Duration window = std::chrono::seconds(30);          // … of the last while
  Duration cool_down = std::chrono::seconds(2);        // first; grows with each failed probe
  double growth = 2.0;
  Duration max_cool_down = std::chrono::seconds(30);
  double jitter = 0.2;                                 // ± share of the cool-down
  Duration early_every = std::chrono::seconds(1);      // one early try per this long; zero: none
};

// What planning needs to know of one target, at one moment.
struct BreakerView {
  BreakerState state = BreakerState::closed;
  bool admits = true;                                  // a permit would be given now
  MonoTime retry_at{};                                 // when open: the end of the cool-down
  bool early = false;                                  // it rests, and an early try would be given now
  MonoTime early_at = MonoTime::max();                 // when it rests: the next early try
  MonoTime down_since{};                               // not closed: when it opened, the failed probes since not counted
  std::uint64_t changes = 0;                           // openings and closings so far
  std::optional<Duration> latency;                     // averages; nullopt before the first success
  std::optional<Duration> first_token;
};

class Breaker;

// Leave to make one attempt. Move-only; report at most once. Dying unreported is neutral and returns the probe.
class Permit {
 public:
  Permit(Permit&& o) noexcept;
  Permit& operator=(Permit&& o) noexcept;
  ~Permit();
  bool probe() const { return kind_ == Kind::probe; }
  bool early() const { return kind_ == Kind::early; }
  void success(Duration latency, std::optional<Duration> first_token);
  void failure(ErrorCode code);                        // counts, or is neutral, by its class
  void neutral();

 private:
  friend class Breaker;
  enum class Kind : std::uint8_t { ordinary, probe, early };
  Permit(Breaker* breaker, Kind kind, std::uint64_t epoch) : breaker_(breaker), epoch_(epoch), kind_(kind) {}
  Breaker* breaker_;
  std::uint64_t epoch_;                                // reports from before a state change do not move the new state
  Kind kind_;
};

class Breaker {
 public:
  // `jitter` yields numbers in [0, 1); called under the lock, rarely.
  Breaker(std::string provider, std::string model, const Clock& clock, const BreakerOptions& options,
          std::function<double()> jitter);
  const std::string& provider() const { return provider_; }
  const std::string& model() const { return model_; }

  // nullopt: open, or half-open with a probe out.
  std::optional<Permit> try_acquire();
  // For a call that has nobody else to ask. nullopt: it does not rest (`try_acquire` then), or it is not time yet.
  std::optional<Permit> try_early();
  BreakerView view() const;
  void reset();                                        // an operator's decision: closed, counts cleared
  // By hearsay. Each returns `BreakerView::changes` as it made it; nothing: it changed nothing.
  // Another node opened its own at `opened` and tries it again at `retry_at`.
  std::optional<std::uint64_t> hear(MonoTime opened, MonoTime retry_at);
  std::optional<std::uint64_t> unhear();               // the other node calls it again: closed, if it rests by hearsay
  std::optional<std::uint64_t> hear_reset();           // an operator closed the other's

  struct Listing {
    std::string provider, model;
    BreakerView view;
    unsigned consecutive_failures = 0;
    std::uint64_t successes = 0, failures = 0, opened = 0, early_tries = 0;   // since start
    std::uint64_t resets = 0;
    MonoTime opened_at{};                              // when it is not closed: its last opening, here or elsewhere
    bool heard = false;                                // it rests by hearsay
    std::string last_error;                            // the last counted failure's code, or empty
  };
  Listing listing() const;

 private:
  friend class Permit;
  void report(Permit::Kind kind, std::uint64_t epoch, std::optional<ErrorCode> failure, std::optional<Duration> latency,
              std::optional<Duration> first_token);
  void release_probe(std::uint64_t epoch);
  void count(std::int64_t now, bool failed);
  bool ratio_exceeded(std::int64_t now) const;
  void open(std::int64_t now);
  void close();
  bool rests(std::int64_t now) const;

  static constexpr unsigned kSlots = 10;
  struct Slot { std::int64_t tick = -1; std::uint32_t ok = 0, failed = 0; };

  const std::string provider_, model_;
  const Clock& clock_;
  const BreakerOptions options_;
  const std::function<double()> jitter_;
  mutable SpinLock lock_;                              // guards the rest
  BreakerState state_ = BreakerState::closed;
  bool probe_out_ = false;
  std::uint64_t epoch_ = 0;
  bool heard_ = false;                                 // it rests since another node said so
  unsigned consecutive_ = 0;
  unsigned reopened_ = 0;                              // openings without a success in between
  std::int64_t retry_at_ = 0, early_at_ = 0, down_since_ = 0, opened_at_ = 0, well_at_ = std::numeric_limits<std::int64_t>::min();   // well: the last success
  Slot slots_[kSlots];
  std::int64_t latency_ns_ = -1, first_token_ns_ = -1;
  std::uint64_t successes_ = 0, failures_ = 0, opened_ = 0, early_tries_ = 0, resets_ = 0;
  std::optional<ErrorCode> last_error_;
};

// A place among the calls that wait for a resting target. Move-only; empty when there is none left.
class WaitingPlace {
 public:
  explicit WaitingPlace(std::atomic<std::size_t>* taken) : taken_(taken) {}
  WaitingPlace(WaitingPlace&& o) noexcept : taken_(std::exchange(o.taken_, nullptr)) {}
  WaitingPlace& operator=(WaitingPlace&&) = delete;
  ~WaitingPlace() { if (taken_) taken_->fetch_sub(1, std::memory_order_relaxed); }
  explicit operator bool() const { return taken_ != nullptr; }

 private:
  std::atomic<std::size_t>* taken_;
};

class Breakers {
 public:
  struct Options {
    BreakerOptions breaker;
    std::size_t max_targets = 4096;
    std::size_t max_waiting = 2048;                    // calls that wait for resting targets; more are refused at once
    std::uint64_t seed = 1;
  };
  Breakers(const Clock& clock, Options options);
  Breakers(const Breakers&) = delete;
  Breakers& operator=(const Breakers&) = delete;
  ~Breakers();

  // Made on first use. The reference stays valid as long as the set: a target may keep it.
  Breaker& of(std::string_view provider, std::string_view model);
  std::vector<Breaker::Listing> list() const;          // sorted by provider, model
  // False: no such breaker. An empty model resets all of a provider's.
  bool reset(std::string_view provider, std::string_view model);
  // For as long as a call waits.
  WaitingPlace take_place();
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  struct Table;
  const Clock& clock_;
  const Options options_;
  std::atomic<std::size_t> waiting_{0};
  std::unique_ptr<Table> table_;
};

}  // namespace ballast::gateway
