// Jq: one expression of a flow (a condition, a mapping), in the language people know, through libjq 1.6 inside a cage.
//
// What the cage holds:
// - Pure: no environment, files, clock, input stream or messages; builtins outside an allow-list are refused when compiled, by
//   name and with what to use instead. Equal input and variables give equal output, so a journal may keep it.
// - Metered (work/jq_meter.hpp): every allocation, copy and release inside libjq is counted, so CPU time, memory and depth end a
//   program wherever it is, in an endless loop, in one huge string or in a comparison that would take years. It runs on the calling
//   thread, leaves nothing behind and cannot be caught by the program's own `try`.
//
// Numbers are IEEE doubles inside jq. An integer outside ±2^53 is an error naming its place, never a silent rounding, in whatever
// the program may read (`reads`); money and ids travel as strings. A result that is integral and within ±2^53 is an integer again.
// NaN becomes null and an infinity the largest double, as jq prints them. Members keep no promised order.
#pragma once
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::work {

struct JqLimits {
  std::size_t max_outputs = 1000;
  std::size_t max_output_bytes = 16u << 20;       // of all outputs together, as compact JSON, roughly
  std::size_t max_memory = 128u << 20;            // inside libjq, for the input and everything made of it
  Duration time{std::chrono::milliseconds(200)};  // of this thread's CPU: waiting for a busy machine does not count
};

// A jq program, checked once. A value, cheap to copy. Thread-safe: each thread keeps its own compiled form (the last 128 programs,
// by text; 5 to 15 ms to compile, a few microseconds to run).
class Jq {
 public:
  static constexpr std::size_t max_program_bytes = 64u << 10;

  // caller_invalid_request with `field`: jq's own words and the place for bad syntax; the name and what to use instead for a
  // builtin outside the allow-list. caller_too_large above max_program_bytes.
  static Result<Jq> compile(std::string_view program, std::string_view field = {});

  using Limits = JqLimits;
  using Variables = std::span<const std::pair<std::string_view, const json::value*>>;   // without the "$"

  // Errors of the runs, all with the `field` of compile: caller_invalid_request for what the program itself raised, a variable that
  // is not given, or an integer it cannot hold; caller_too_large beyond a limit.

  // The output. An error if the program yields none, or more than one.
  Result<json::value> one(const json::value& input, Variables variables = {}, Limits limits = {}) const;
  Result<std::vector<json::value>> all(const json::value& input, Variables variables = {}, Limits limits = {}) const;
  // Of the first output: everything but false and null is true. An error if there is none.
  Result<bool> truth(const json::value& input, Variables variables = {}, Limits limits = {}) const;

  const std::string& text() const;

  // What the program may read: paths of the input, {"stages", "draft", "output"}, and of variables, {"$name", "output"}. A path
  // stands for everything below it. `whole`: the input itself, or something only a run could tell. Never misses; may say too much
  // (a program with a `def` always reads the whole).
  struct Reads {
    bool whole = false;
    std::vector<std::vector<std::string>> paths;
  };
  const Reads& reads() const;
  // The variables that must be given to run it, without the "$".
  const std::vector<std::string>& variables() const;

 private:
  struct State;
  explicit Jq(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace ballast::work
