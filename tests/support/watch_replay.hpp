// Replay of the traffic traces through watch::Judge in simulated time. Arrivals are drawn at full resolution, call by call, from the laws that ServeGen
// fitted (each client's, by ten minutes), with token counts from the rows of Azure's and Mooncake's traces in their order; or they are those traces' own.
//
// The judge is fed as the watcher feeds it: every five seconds with the last three minutes, once a minute with the last sixteen, by what has ended. What
// is injected is injected at a moment, and how long it took to be told is measured from the first record that shows it. Three days of 500 calls a second
// take under a minute.
#pragma once
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "replay_traces.hpp"
#include "watch/judge.hpp"

namespace ballast::test {

enum class Fault { none, prompt_bug, slow_provider, retry_storm, error_burst, cache_collapse };
inline constexpr Fault kFaults[] = {Fault::prompt_bug, Fault::slow_provider, Fault::retry_storm, Fault::error_burst, Fault::cache_collapse};
inline const char* name_of(Fault f) {
  constexpr const char* names[] = {"none", "prompt x10", "provider 5x slower", "retry storm x4", "half the calls fail", "cache collapse"};
  return names[static_cast<int>(f)];
}

// Is this an alert that such a fault should bring?
inline bool fits(Fault f, watch::Kind k) {
  using watch::Kind;
  switch (f) {
    case Fault::none: return false;
    case Fault::prompt_bug: return k == Kind::token_anomaly || k == Kind::cost_spike;
    case Fault::slow_provider: return k == Kind::latency_rise || k == Kind::latency_budget;
    case Fault::retry_storm:
    case Fault::error_burst: return k == Kind::error_burst || k == Kind::error_budget;
    case Fault::cache_collapse: return k == Kind::cache_collapse;
  }
  return false;
}

// Gamma and Weibull gaps, and noise: the standard library's take their logarithms as long doubles, which was two thirds of a replay.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  double uniform() { return random_.uniform() + 0x1.0p-54; }       // above 0
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  double normal() {                                                // Marsaglia's polar method
    if (spare_) return *std::exchange(spare_, std::nullopt);
    double x, y, s;
    do {
      x = 2 * uniform() - 1, y = 2 * uniform() - 1, s = x * x + y * y;
    } while (s >= 1 || s == 0);
    const double f = std::sqrt(-2 * std::log(s) / s);
    spare_ = y * f;
    return x * f;
  }
  double gamma(double shape, double scale) {                       // Marsaglia and Tsang, 2000
    if (shape < 1) return gamma(shape + 1, scale) * std::pow(uniform(), 1 / shape);
    const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), t = 1 + c * x, v = t * t * t;
      if (v > 0 && std::log(uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return d * v * scale;
    }
  }
  double weibull(double shape, double scale) { return scale * std::pow(-std::log(uniform()), 1 / shape); }

 private:
  SeededRandom random_;
  std::optional<double> spare_;
};

struct ReplayPlan {
  std::uint64_t seed = 1;
  double from_hours = 0, hours = 72;         // of the trace
  double thin = 1;                           // share of calls that is kept
  Fault fault = Fault::none;
  double at_hours = 0, lasts_minutes = 15;   // since the replay's beginning
};

struct ReplayOutcome {
  std::vector<watch::Alert> fired;
  std::optional<double> delay_seconds;       // from the first record that shows the fault to the first alert it caused
  std::uint64_t calls = 0, faulty = 0;
};

// One gateway with all `clients`, three models of two providers (the second is the one that slows), a route for each kind of prompts.
class Replay {
 public:
  Replay(const Traces& traces, std::vector<const ReplayClient*> clients, ReplayPlan plan) : Replay(plan) {
    for (const ReplayClient* c : clients) {
      const std::size_t rows = sources_.size() % traces.rows.size();
      sources_.push_back({.client = c, .rows = &traces.rows[rows], .next = plan_.from_hours * 3600, .row = draw_.below(traces.rows[rows].size()), .series = series_of(c->id / 2 % 3, rows)});
    }
  }
  // The rows' own arrivals, again and again for `plan.hours`.
  Replay(const std::vector<ReplayRow>& rows, ReplayPlan plan) : Replay(plan) { sources_.push_back({.client = nullptr, .rows = &rows, .series = series_of(1, 0)}); }

  ReplayOutcome run() {
    const auto ticks = static_cast<std::int64_t>(plan_.hours * 3600 / kTick);
    for (tick_ = 1; tick_ <= ticks; ++tick_) {
      const double until = static_cast<double>(tick_) * kTick;
      for (Source& s : sources_) s.client ? arrive(s, plan_.from_hours * 3600 + until) : own(s, until);
      feed(until);
    }
    return std::move(out_);
  }

 private:
  static constexpr double kTick = 5, kDays = 20'000.0 * 86'400;   // simulated time begins at a midnight
  static constexpr std::int64_t kLate = 16, kLittle = 3;          // minutes that the watcher reads anew, once a minute and always
  static constexpr std::int64_t kKept = 20, kRing = (kLate + 1) * 60 / static_cast<std::int64_t>(kTick);
  static constexpr std::size_t kNames = 10;

  struct Source {
    const ReplayClient* client;
    const std::vector<ReplayRow>* rows;
    double next = 0;
    std::size_t row = 0;
    std::array<std::uint8_t, 4> series{};
    double round = 0;                        // of its own arrivals: when this one began
  };
  struct Ended { const Source* source; std::int64_t minute; std::uint32_t input, output; float seconds; bool failed, hit; };
  struct Kept { std::int64_t minute = -1; bool changed = false; std::array<watch::Counts, kNames> counts; };

  explicit Replay(ReplayPlan plan) : plan_(plan), draw_(plan.seed), judge_(watch::default_rules()) {}

  static std::array<std::uint8_t, 4> series_of(int model, std::size_t route) {
    return {0, static_cast<std::uint8_t>(1 + model), static_cast<std::uint8_t>(model == 0 ? 4 : 5), static_cast<std::uint8_t>(6 + route)};
  }
  static const std::pair<const char*, const char*>& name_of_series(std::size_t i) {
    static constexpr std::pair<const char*, const char*> names[kNames] = {{"", ""},           {"model", "m0"},    {"model", "m1"},   {"model", "m2"},   {"provider", "p0"},
                                                                          {"provider", "p1"}, {"route", "chat"}, {"route", "code"}, {"route", "long"}, {"route", "mixed"}};
    return names[i];
  }

  const ReplayWindow* window(const ReplayClient& c, double at) const {
    const auto i = static_cast<std::size_t>(at / kWindowSeconds);
    return i < c.windows.size() && c.windows[i].rate > 0 ? &c.windows[i] : nullptr;
  }
  double gap(const ReplayWindow& w) { return w.weibull ? draw_.weibull(w.shape, w.scale) : draw_.gamma(w.shape, w.scale); }

  void arrive(Source& s, double until) {
    while (s.next < until) {
      const ReplayWindow* w = window(*s.client, s.next);
      const double border = (std::floor(s.next / kWindowSeconds) + 1) * kWindowSeconds, at = s.next;
      if (!w) {
        s.next = border;
        continue;
      }
      // A gap that leads beyond the window is drawn anew there, with that window's law.
      s.next = at + std::max(gap(*w), 1e-4);
      if (s.next > border) {
        const ReplayWindow* then = window(*s.client, border);
        s.next = border + (then ? gap(*then) * draw_.uniform() : 0);
      }
      if (plan_.thin < 1 && draw_.uniform() >= plan_.thin) continue;
      s.row = s.row + 1 == s.rows->size() ? 0 : s.row + 1;
      call(s, at - plan_.from_hours * 3600);
    }
  }

  void own(Source& s, double until) {
    for (;;) {
      const double at = s.round + (*s.rows)[s.row].at;
      if (at >= until) return;
      call(s, at);
      if (++s.row < s.rows->size()) continue;
      s.row = 0;
      s.round = at + 1;
    }
  }

  bool faulty(double t) const { return plan_.fault != Fault::none && t >= plan_.at_hours * 3600 && t < plan_.at_hours * 3600 + plan_.lasts_minutes * 60; }

  void call(const Source& s, double t) {
    auto [when, input, output] = (*s.rows)[s.row];
    const bool bad = faulty(t), slow = bad && plan_.fault == Fault::slow_provider && s.series[2] == 5;
    int copies = 1;
    double p_fail = 0.004, p_hit = 0.2;
    if (bad) {
      ++out_.faulty;
      if (plan_.fault == Fault::prompt_bug) input *= 10;
      if (plan_.fault == Fault::retry_storm) copies = 4, p_fail = 0.75;
      if (plan_.fault == Fault::error_burst) p_fail = 0.5;
      if (plan_.fault == Fault::cache_collapse) p_hit = 0;
    }
    for (int n = 0; n < copies; ++n) {
      ++out_.calls;
      const bool failed = draw_.uniform() < p_fail, hit = !failed && draw_.uniform() < p_hit;
      const double usual = failed ? 0.3 : 0.3 + input / 10'000.0 + output * 0.02;
      const double seconds = hit ? 0.003 : usual * (slow ? 5 : 1) * std::exp(0.5 * draw_.normal());
      // The first record that shows the fault: an answer of the cache is not slow.
      if (bad && (plan_.fault != Fault::slow_provider || (slow && !hit && !failed))) first_ = std::min(first_.value_or(t + seconds), t + seconds);
      const auto ends = static_cast<std::int64_t>((t + seconds) / kTick) + 1;
      if (ends - tick_ >= kRing) continue;     // later than anybody looks
      ended_[static_cast<std::size_t>(std::max(ends, tick_) % kRing)].push_back({&s, static_cast<std::int64_t>((kDays + t) / 60), input, output, static_cast<float>(seconds), failed, hit});
    }
  }

  static void count(watch::Counts& c, const Ended& e) {
    ++c.calls;
    c.failed += e.failed;
    ++c.lookups;
    c.hits += e.hit;
    if (!e.failed && !e.hit) {
      c.input += e.input, c.output += e.output;
      c.incurred_nano += static_cast<std::int64_t>(e.input) * 2'500 + static_cast<std::int64_t>(e.output) * 10'000;
    }
    c.latency.add(static_cast<std::uint64_t>(static_cast<double>(e.seconds) * 1e6));
  }

  void feed(double now) {
    auto& ended = ended_[static_cast<std::size_t>(tick_ % kRing)];
    for (const Ended& e : ended) {
      Kept& kept = minutes_[static_cast<std::size_t>(e.minute % kKept)];
      if (kept.minute != e.minute) kept = {.minute = e.minute, .changed = false, .counts = {}};
      kept.changed = true;
      for (const std::uint8_t i : e.source->series) count(kept.counts[i], e);
    }
    ended.clear();
    const auto minute = static_cast<std::int64_t>((kDays + now) / 60);
    const std::int64_t oldest = minute - (std::exchange(read_to_, minute) < minute ? kLate : kLittle);
    std::vector<watch::Minute> told;
    for (std::int64_t m = oldest; m <= minute; ++m) {
      Kept& kept = minutes_[static_cast<std::size_t>(m % kKept)];
      if (kept.minute != m || !std::exchange(kept.changed, false)) continue;
      watch::Minute one{.start = WallTime(std::chrono::minutes(m)), .samples = {}};
      for (std::size_t i = 0; i < kNames; ++i)
        if (kept.counts[i].calls > 0) one.samples.push_back({name_of_series(i).first, name_of_series(i).second, kept.counts[i]});
      told.push_back(std::move(one));
    }
    const WallTime at{std::chrono::duration_cast<Duration>(std::chrono::duration<double>(kDays + now))};
    for (const auto& change : judge_.feed(at, told, {})) {
      if (change.what != watch::Change::What::fired) continue;
      out_.fired.push_back(change.alert);
      if (first_ && now >= *first_ && !out_.delay_seconds && fits(plan_.fault, change.alert.kind)) out_.delay_seconds = now - *first_;
    }
  }

  const ReplayPlan plan_;
  Draw draw_;
  watch::Judge judge_;
  std::vector<Source> sources_;
  std::vector<std::vector<Ended>> ended_ = std::vector<std::vector<Ended>>(kRing);   // by the tick that tells them
  std::array<Kept, kKept> minutes_;
  std::int64_t tick_ = 0, read_to_ = 0;
  std::optional<double> first_;
  ReplayOutcome out_;
};

}  // namespace ballast::test
