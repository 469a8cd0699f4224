#include "app/progress.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/terminal.hpp"

namespace ballast::app {

namespace {

constexpr Duration kPatience = std::chrono::seconds(1), kEvery = std::chrono::milliseconds(100);
constexpr std::size_t kBar = 24;

std::string amount(double n, Unit unit) {
  if (unit == Unit::things) return n >= 10'000'000 ? fmt::format("{:.1f} M", n / 1e6) : fmt::format("{:.0f}", n);
  if (n >= 1e9) return fmt::format("{:.1f} GB", n / 1e9);
  return n >= 1e6 ? fmt::format("{:.1f} MB", n / 1e6) : fmt::format("{:.0f} kB", n / 1e3);
}

std::string minutes(double seconds) {
  const auto s = static_cast<std::uint64_t>(std::min(seconds, 359'999.0));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60) : fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

std::string progress_line(const ProgressState& s, std::size_t columns) {
  const double seconds = std::chrono::duration<double>(s.elapsed).count();
  const double rate = seconds > 0 ? static_cast<double>(s.done) / seconds : 0;
  std::string out = one_line(s.what);
  if (s.all > 0 && s.done <= s.all) {
    const double share = static_cast<double>(s.done) / static_cast<double>(s.all);
    const auto full = static_cast<std::size_t>(share * kBar);
    out += fmt::format("  [{}{}] {:3.0f} %", std::string(full, '#'), std::string(kBar - full, '.'), share * 100);
    if (rate > 0) out += fmt::format("  {}/s  {} left", amount(rate, s.unit), minutes(static_cast<double>(s.all - s.done) / rate));
  } else if (s.done > 0) {
    out += fmt::format("  {}  {}/s  {}", amount(static_cast<double>(s.done), s.unit), amount(rate, s.unit), minutes(seconds));
  } else {
    out += fmt::format("  {}", minutes(seconds));
  }
  return fitted(out, columns);
}

std::uint64_t bytes_behind(int descriptor) {
  struct stat info{};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const off_t at = std::max<off_t>(0, lseek(descriptor, 0, SEEK_CUR));
  return info.st_size > at ? static_cast<std::uint64_t>(info.st_size - at) : 0;
}

bool answers_on_terminal() { return isatty(STDOUT_FILENO) == 1; }

Progress::Progress(std::string_view what, bool quiet, Unit unit) : began_(clock_.mono()), since_(began_), state_{.what = std::string(what), .unit = unit} {
  if (!quiet && isatty(STDERR_FILENO)) drawer_ = std::thread([this] { draw_until_ended(); });
}

Progress::~Progress() {
  if (!drawer_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    over_ = true;
  }
  ended_.notify_all();
  drawer_.join();
}

void Progress::operator()(std::string_view what, std::uint64_t done, std::uint64_t all) {
  const std::scoped_lock lock(mutex_);
  if (what != state_.what) {
    state_.what = what;
    since_ = clock_.mono();
  }
  state_.done = done;
  state_.all = all;
}

void Progress::draw_until_ended() {
  std::unique_lock lock(mutex_);
  if (ended_.wait_for(lock, kPatience, [this] { return over_; })) return;
  do {
    state_.elapsed = clock_.mono() - since_;
    const auto window = window_of(STDERR_FILENO).value_or(WindowSize{});
    std::fprintf(stderr, "\r\x1b[K%s", progress_line(state_, window.columns > 1 ? window.columns - 1 : 1).c_str());
    std::fflush(stderr);
  } while (!ended_.wait_for(lock, kEvery, [this] { return over_; }));
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace ballast::app
