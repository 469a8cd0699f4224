// Replay of the traffic traces through watch::Judge in simulated time: arrivals drawn at full resolution from the rates that ServeGen measured
// (each client's ten-minute rate, with its arrival process), token counts from the rows of Azure's and Mooncake's traces in their order.
// Six ticks a minute; calls are told when they end. What is injected is injected at a moment, and how long it took to be told is measured.
#pragma once
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "unzipped.hpp"
#include "watch/judge.hpp"

namespace ballast::test {

struct ReplayWindow { double rate = 0, shape = 1, scale = 1; bool weibull = false; };
struct ReplayClient { int id = 0; std::map<int, ReplayWindow> windows; };   // by start in seconds / 600
using Tokens = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

struct Traces {
  std::vector<ReplayClient> clients;
  std::vector<Tokens> tokens;
  int windows = 0;
};

// `which`: "m-small" or "deepseek-r1". Nothing where the files are absent.
inline Traces load_traces(const std::string& folder, const std::string& which) {
  Traces t;
  std::map<int, ReplayClient> clients;
  std::istringstream rates(unzipped(folder + "/servegen_" + which + "_clients.csv.gz"));
  std::string line;
  for (std::getline(rates, line); std::getline(rates, line);) {
    double at = 0, rate = 0, cv = 0, p1 = 1, p2 = 1;
    int client = 0;
    char law[16] = {};
    if (std::sscanf(line.c_str(), "%lf,%d,%lf,%lf,%15[^,],%lf,%lf", &at, &client, &rate, &cv, law, &p1, &p2) != 7) continue;
    const int window = static_cast<int>(at) / 600;
    if (window >= 3 * 144 + 1) continue;
    clients[client].id = client;
    clients[client].windows[window] = {rate, p1, p2, std::string(law) == "Weibull"};
    t.windows = std::max(t.windows, window + 1);
  }
  for (auto& [id, c] : clients) t.clients.push_back(std::move(c));
  for (const char* name : {"azure2023_conv", "azure2023_code", "mooncake_conversation", "mooncake_synthetic"}) {
    std::ifstream in(folder + "/" + name + ".csv");
    Tokens rows;
    for (std::getline(in, line); std::getline(in, line);) {
      double at = 0;
      unsigned input = 0, output = 0;
      if (std::sscanf(line.c_str(), "%lf,%u,%u", &at, &input, &output) == 3) rows.emplace_back(input, output);
    }
    if (!rows.empty()) t.tokens.push_back(std::move(rows));
  }
  return t;
}

enum class Fault { none, prompt_bug, slow_provider, retry_storm, error_burst, cache_collapse };
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

struct ReplayPlan {
  std::uint64_t seed = 1;
  double from_hours = 0, hours = 72;         // of the trace
  double thin = 1;                           // share of calls that is kept
  Fault fault = Fault::none;
  double at_hours = 0, lasts_minutes = 15;   // since the replay's beginning
};

struct ReplayOutcome {
  std::vector<watch::Alert> fired;
  std::optional<double> delay_seconds;       // from the first faulty call's record on, to the first alert it caused
  std::uint64_t calls = 0, faulty = 0;
};

// One gateway with all `clients`: each a key; three models of two providers.
class Replay {
 public:
  Replay(const Traces& traces, std::vector<const ReplayClient*> clients, ReplayPlan plan)
      : traces_(traces), clients_(std::move(clients)), plan_(plan), random_(plan.seed), judge_(watch::default_rules()) {
    for (std::size_t i = 0; i < clients_.size(); ++i)
      states_.push_back({plan_.from_hours * 3600, i % traces_.tokens.size(), random_() % traces_.tokens[i % traces_.tokens.size()].size()});
  }

  ReplayOutcome run() {
    constexpr double kTick = 10;
    const double end = plan_.hours * 3600;
    for (double t = kTick; t <= end; t += kTick) {
      for (std::size_t i = 0; i < clients_.size(); ++i) arrive(i, plan_.from_hours * 3600 + t);
      feed(t);
    }
    return std::move(out_);
  }

 private:
  struct State { double next; std::size_t rows, row; };
  struct Ended { std::int64_t minute; int client; std::uint32_t input, output; double seconds; bool failed, hit; };
  static constexpr double kDays = 20'000.0 * 86'400;   // simulated time begins at a midnight

  double uniform() { return std::uniform_real_distribution<>(1e-12, 1)(random_); }
  // One value of the window's law; a gap of a law without arrivals ends with the window.
  double gap(const ReplayWindow& w) {
    if (w.weibull) return w.scale * std::pow(-std::log(uniform()), 1 / w.shape);
    return std::gamma_distribution<>(w.shape, w.scale)(random_);
  }
  const ReplayWindow* window(const ReplayClient& c, double at) const {
    const auto w = c.windows.find(static_cast<int>(at / 600));
    return w == c.windows.end() || w->second.rate <= 0 ? nullptr : &w->second;
  }

  void arrive(std::size_t i, double until) {
    State& s = states_[i];
    while (s.next < until) {
      const ReplayWindow* w = window(*clients_[i], s.next);
      const double border = (std::floor(s.next / 600) + 1) * 600;
      if (!w) {
        s.next = border;
        continue;
      }
      const double at = s.next;
      // A gap that leads beyond the window is drawn anew there, with that window's law.
      const double next = at + std::max(gap(*w), 1e-4);
      s.next = next > border ? border + (window(*clients_[i], border) ? gap(*window(*clients_[i], border)) * uniform() : 0) : next;
      if (plan_.thin >= 1 || uniform() < plan_.thin) call(i, at - plan_.from_hours * 3600);
    }
  }

  bool faulty(double t) const { return plan_.fault != Fault::none && t >= plan_.at_hours * 3600 && t < plan_.at_hours * 3600 + plan_.lasts_minutes * 60; }

  void call(std::size_t i, double t) {
    State& s = states_[i];
    const auto& rows = traces_.tokens[s.rows];
    auto [input, output] = rows[s.row = (s.row + 1) % rows.size()];
    const bool bad = faulty(t);
    int copies = 1;
    double p_fail = 0.004, p_hit = 0.2, slower = 1;
    if (bad) {
      ++out_.faulty;
      if (plan_.fault == Fault::prompt_bug) input *= 10;
      if (plan_.fault == Fault::slow_provider) slower = 5;
      if (plan_.fault == Fault::retry_storm) copies = 4, p_fail = 0.75;
      if (plan_.fault == Fault::error_burst) p_fail = 0.5;
      if (plan_.fault == Fault::cache_collapse) p_hit = 0;
    }
    for (int n = 0; n < copies; ++n) {
      ++out_.calls;
      const bool failed = uniform() < p_fail, hit = !failed && uniform() < p_hit;
      const double noise = std::exp(0.5 * std::normal_distribution<>()(random_));
      const double seconds = hit ? 0.003 : failed ? 0.3 * noise * slower : (0.3 + input / 10'000.0 + output * 0.02) * noise * slower;
      ended_.emplace(t + seconds, Ended{static_cast<std::int64_t>((kDays + t) / 60), static_cast<int>(i), input, output, seconds, failed, hit});
      // The first record that shows the fault: an answer of the cache is not slow.
      const bool shows = bad && !(plan_.fault == Fault::slow_provider && (hit || failed));
      if (shows) first_ = std::min(first_.value_or(t + seconds), t + seconds);
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
    c.latency.add(static_cast<std::uint64_t>(e.seconds * 1e6));
  }

  void feed(double now) {
    while (!ended_.empty() && ended_.begin()->first <= now) {
      const Ended& e = ended_.begin()->second;
      auto& minute = minutes_[e.minute];
      const int model = clients_[static_cast<std::size_t>(e.client)]->id / 2 % 3;
      count(minute[{"", ""}], e);
      count(minute[{"key", "k" + std::to_string(clients_[static_cast<std::size_t>(e.client)]->id)}], e);
      count(minute[{"model", "m" + std::to_string(model)}], e);
      count(minute[{"provider", model == 0 ? "p0" : "p1"}], e);
      changed_.insert(e.minute);
      ended_.erase(ended_.begin());
    }
    std::vector<watch::Minute> told;
    for (const auto m : changed_) {
      watch::Minute minute{.start = WallTime(std::chrono::minutes(m)), .samples = {}};
      for (const auto& [key, counts] : minutes_[m]) minute.samples.push_back({key.first, key.second, counts});
      told.push_back(std::move(minute));
    }
    changed_.clear();
    while (minutes_.size() > 30) minutes_.erase(minutes_.begin());
    const WallTime at{std::chrono::duration_cast<Duration>(std::chrono::duration<double>(kDays + now))};
    for (const auto& change : judge_.feed(at, told, {})) {
      if (change.what != watch::Change::What::fired) continue;
      out_.fired.push_back(change.alert);
      if (first_ && now >= *first_ && !out_.delay_seconds && fits(plan_.fault, change.alert.kind)) out_.delay_seconds = now - *first_;
    }
  }

  const Traces& traces_;
  const std::vector<const ReplayClient*> clients_;
  const ReplayPlan plan_;
  std::mt19937_64 random_;
  watch::Judge judge_;
  std::vector<State> states_;
  std::multimap<double, Ended> ended_;
  std::map<std::int64_t, std::map<std::pair<std::string, std::string>, watch::Counts>> minutes_;
  std::set<std::int64_t> changed_;
  std::optional<double> first_;
  ReplayOutcome out_;
};

}  // namespace ballast::test
