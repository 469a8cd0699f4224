// What `ballast top` shows: figures between two readings of a server's metrics. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"

namespace ballast::app {

// The samples of a Prometheus text that have this name, added up over the labels that do not matter.
class Exposition {
 public:
  // Lines that are no samples are passed over. At most 200,000 samples are kept.
  static Exposition read(std::string_view text);
  // Of all series of this name whose labels contain `having`, such as `outcome="ok"`; zero if there is none.
  double sum(std::string_view name, std::string_view having = {}) const;
  // Observations of a histogram by upper bound, over all its series. A bound that a series leaves out has what the bound below it has.
  std::map<double, double> buckets(std::string_view histogram) const;

 private:
  struct Sample {
    std::string labels;
    double value = 0;
  };
  std::map<std::string, std::vector<Sample>, std::less<>> samples_;
};

struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0;      // in the unit of the bounds: taken as spread evenly within the bucket that they fall into
};
// Of what was observed between the two; nothing where nothing was.
std::optional<Percentiles> percentiles(const std::map<double, double>& before, const std::map<double, double>& now);

// One reading of the server.
struct Reading {
  MonoTime at{};
  WallTime wall{};
  Exposition metrics;
  json::value budgets, breakers, queues, alerts;   // the API's answers; null where there is none
};

struct TopFigures {
  WallTime at{};
  double seconds = 0;                    // between the readings
  double calls_per_second = 0, failed_per_second = 0, usd_per_minute = 0, tokens_per_second = 0;
  double in_flight = 0, dead = 0;
  std::optional<double> cache_share;     // of the calls between the readings
  std::optional<Percentiles> latency_s, first_token_s;
  struct Budget { std::string name, value, spent, limit; double share = 0; };
  std::vector<Budget> budgets;           // fullest first
  struct Breaker { std::string target, state, last_error; double retry_in_s = 0; };
  std::size_t breakers_closed = 0;
  std::vector<Breaker> breakers;         // that are not closed
  struct Queue { std::string name; std::uint64_t ready = 0, running = 0, waiting = 0, delayed = 0; double oldest_s = 0; bool paused = false; };
  std::vector<Queue> queues;
  struct Alert { std::string severity, title; };
  std::vector<Alert> alerts;             // that fire
};
// A counter that went back (the server was started again) counts from zero.
TopFigures figures_between(const Reading& before, const Reading& now);
json::object figures_json(const TopFigures& figures);

}  // namespace ballast::app
