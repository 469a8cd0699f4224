#include "app/top_screen.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ballast::app {

namespace {

constexpr std::size_t kBar = 20;
constexpr double kTight = 0.8, kFull = 1.0;
constexpr std::string_view kRed = "31", kYellow = "33", kBold = "1", kFaint = "2";

// One line after the other, each made to fit.
class Screen {
 public:
  Screen(WindowSize window, bool color) : window_(window), color_(color) {}
  // `text` may hold anything.
  void line(std::string_view text, std::string_view style = {}) {
    if (window_.rows > 0 && lines_.size() >= window_.rows) return;
    std::string out = fitted(one_line(text), window_.columns);
    if (color_ && !style.empty()) out = fmt::format("\x1b[{}m{}\x1b[0m", style, out);
    lines_.push_back(std::move(out));
  }
  void heading(std::string_view text) {
    line("");
    line(text, kBold);
  }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  const WindowSize window_;
  const bool color_;
  std::vector<std::string> lines_;
};

std::string duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.0f} h", seconds / 3600);
}

std::string spread(const std::optional<Percentiles>& p) {
  return p ? fmt::format("p50 {:>8}  p95 {:>8}  p99 {:>8}", duration(p->p50), duration(p->p95), duration(p->p99)) : std::string("-");
}

std::string bar(double share) {
  const auto full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * kBar);
  return std::string(full, '#') + std::string(kBar - full, '.');
}

// Two decimals of a sum that is exact to nine.
std::string dollars(const std::string& exact) {
  const auto point = exact.find('.');
  return "$" + (point == std::string::npos ? exact : exact.substr(0, point + 3));
}

void put_state(Screen& screen, const TopFigures& f) {
  if (!f.budgets.empty()) screen.heading("budgets");
  for (const auto& b : f.budgets)
    screen.line(fmt::format("  {} {:>4.0f} %  {} of {}  {}{}", bar(b.share), b.share * 100, dollars(b.spent), dollars(b.limit), b.name, b.value.empty() || b.value == "*" ? "" : " " + b.value),
                b.share >= kFull ? kRed : b.share >= kTight ? kYellow : "");
  screen.heading(fmt::format("breakers   {} closed, {} not", f.breakers_closed, f.breakers.size()));
  for (const auto& b : f.breakers)
    screen.line(fmt::format("  {}  {}{}{}", b.state, b.target, b.last_error.empty() ? "" : ": " + b.last_error, b.retry_in_s > 0 ? ", again in " + duration(b.retry_in_s) : ""), kYellow);
  if (!f.queues.empty()) screen.heading(fmt::format("{} {:>8} {:>8} {:>8} {:>8} {:>9}", padded("queues", 24), "ready", "running", "waiting", "delayed", "oldest"));
  for (const auto& q : f.queues)
    screen.line(fmt::format("  {} {:>8} {:>8} {:>8} {:>8} {:>9}{}", padded(one_line(q.name), 22), q.ready, q.running, q.waiting, q.delayed, q.ready ? duration(q.oldest_s) : "-", q.paused ? "  paused" : ""),
                q.paused ? kYellow : "");
}

}  // namespace

std::vector<std::string> top_lines(const TopFigures& f, const TopNotes& notes, WindowSize window) {
  Screen screen(window, notes.color);
  screen.line(fmt::format("ballast top  {}  {}  q quits", notes.server, to_rfc3339(f.at).substr(11, 8)), kFaint);
  if (!notes.trouble.empty()) screen.line(notes.trouble, kRed);
  for (const auto& a : f.alerts) screen.line(fmt::format("ALERT {}  {}", a.severity, a.title), kRed);
  screen.line(fmt::format("calls        {:.1f}/s   failed {:.1f}/s   in flight {:.0f}", f.calls_per_second, f.failed_per_second, f.in_flight), f.failed_per_second > 0 ? kYellow : "");
  screen.line("latency      " + spread(f.latency_s));
  screen.line("first token  " + spread(f.first_token_s));
  screen.line(fmt::format("spend        ${:.4f}/min   tokens {:.0f}/s   from the cache {}", f.usd_per_minute, f.tokens_per_second, f.cache_share ? fmt::format("{:.0f} %", *f.cache_share * 100) : "-"));
  if (f.dead > 0) screen.line(fmt::format("dead letters {:.0f}", f.dead), kYellow);
  else screen.line("dead letters 0");
  put_state(screen, f);
  return screen.take();
}

}  // namespace ballast::app
