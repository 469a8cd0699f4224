// What `ballast top` shows: one look at a server, as its API answered. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"

namespace ballast::app {

// One look.
struct Reading {
  WallTime at{};
  json::value overview;                  // GET /api/overview?compare=before
  json::value breakers;                  // GET /api/breakers; null where it was not asked
  json::value live;                      // the newest `figures` of GET /api/live; null: none came yet
};

struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0;      // milliseconds
};

struct TopFigures {
  WallTime at{};
  Duration range{};                      // that `total` is of
  struct Live { double calls_per_second = 0, failed_per_second = 0, usd_per_minute = 0, tokens_per_second = 0; std::optional<double> latency_ms_p95, first_token_ms_p95; };
  std::optional<Live> live;              // of the last second; spend of the last minute
  struct Sum {
    std::uint64_t calls = 0, failed = 0, cache_hits = 0, tokens = 0;
    std::string incurred = "0", saved = "0", routing_saved = "0";   // dollars
    std::optional<Percentiles> latency_ms, first_token_ms;
  };
  Sum total;
  std::optional<Sum> before;             // of as long a time before
  std::vector<std::uint64_t> chart;      // calls, step by step
  std::vector<std::pair<std::string, std::uint64_t>> errors;   // calls that ended in each
  std::vector<std::pair<std::string, Sum>> models;
  std::uint64_t in_flight = 0, dead = 0, approvals = 0;
  struct Budget { std::string name, value, spent, limit; double share = 0; };
  std::vector<Budget> budgets;           // fullest first; what is held counts
  std::uint64_t open = 0, half_open = 0, closed = 0;           // breakers
  struct Breaker { std::string target, state, last_error; double retry_in_s = 0; };
  std::vector<Breaker> breakers;         // that are not closed
  struct Queue { std::string name; std::uint64_t ready = 0, running = 0, waiting = 0, delayed = 0; double oldest_s = 0; bool paused = false; };
  std::vector<Queue> queues;
  struct Alert { std::string severity, title; };
  std::vector<Alert> alerts;             // that fire
};
// Whatever the answers hold: what is missing, or of another type, is nothing. At most 1,000 of each list.
TopFigures figures_of(const Reading& reading);
// For machines: the answers themselves, {"at", "live": {…} or null, "breakers": […], "overview": {…}}.
json::object figures_json(const Reading& reading);

}  // namespace ballast::app
