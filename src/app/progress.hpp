// Progress: how far a command is, on standard error, for people who wait.
//
// Nothing is shown in the first second, nor where standard error is no terminal, nor with --json: then it costs nothing. Otherwise a thread draws
// a line ten times a second, with a bar, the rate and the time left where the whole is known, else with what was done or how long it takes.
// The line is gone when the Progress is.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.hpp"

namespace ballast::app {

enum class Unit : std::uint8_t { bytes, things };

struct ProgressState {
  std::string what;
  Unit unit = Unit::things;
  std::uint64_t done = 0, all = 0;       // all 0, or below done: the whole is not known
  Duration elapsed{};                    // of `what`
};
// At most `columns` wide. Pure.
std::string progress_line(const ProgressState& state, std::size_t columns);

// How many bytes a command may read from there until it is through; 0: that cannot be known (a pipe, a terminal).
std::uint64_t bytes_behind(int descriptor);
// Answers that are written while it goes on would run into the line: where they go to a terminal, nothing is shown.
bool answers_on_terminal();

class Progress {
 public:
  // `quiet`: never shown (--json).
  explicit Progress(std::string_view what, bool quiet, Unit unit = Unit::things);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  bool shown() const { return drawer_.joinable(); }
  // Thread-safe. Another `what` begins its own rate.
  void operator()(std::string_view what, std::uint64_t done, std::uint64_t all);

 private:
  void draw_until_ended();

  const SystemClock clock_;
  const MonoTime began_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  MonoTime since_;                       // `what` began
  ProgressState state_;
  std::thread drawer_;                   // none where nothing is shown
};

}  // namespace ballast::app
