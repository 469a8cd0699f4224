#include "app/top_screen.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ballast::app {

namespace {

constexpr double kTight = 0.8, kFull = 1.0;
constexpr std::string_view kRed = "31", kYellow = "33", kBold = "1", kFaint = "2";
constexpr std::size_t kLabel = 13;       // columns of what a line is about

// One line after the other, each made to fit.
class Lines {
 public:
  Lines(std::size_t columns, bool color) : columns_(columns), color_(color) {}
  // `text` may hold anything.
  void line(std::string_view text, std::string_view style = {}) {
    std::string out = fitted(one_line(text), columns_);
    if (color_ && !style.empty()) out = fmt::format("\x1b[{}m{}\x1b[0m", style, out);
    lines_.push_back(std::move(out));
  }
  void labelled(std::string_view label, std::string_view text, std::string_view style = {}) { line(padded(label, kLabel) + std::string(text), style); }
  void heading(std::string_view text) {
    if (!lines_.empty()) line("");
    line(text, kBold);
  }
  std::size_t columns() const { return columns_; }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  const std::size_t columns_;
  const bool color_;
  std::vector<std::string> lines_;
};

std::string duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.0f} h", seconds / 3600);
}
std::string milliseconds(const std::optional<double>& ms) { return ms ? duration(*ms / 1000) : std::string("-"); }

std::string range_text(Duration range) {
  const auto minutes = std::chrono::round<std::chrono::minutes>(range).count();
  if (minutes % (24 * 60) == 0) return fmt::format("last {} d", minutes / (24 * 60));
  return minutes % 60 == 0 ? fmt::format("last {} h", minutes / 60) : fmt::format("last {} min", minutes);
}

std::string amount(std::uint64_t n) {
  const auto x = static_cast<double>(n);
  if (n < 100'000) return fmt::format("{}", n);
  return x < 1e7 ? fmt::format("{:.0f} k", x / 1e3) : x < 1e10 ? fmt::format("{:.1f} M", x / 1e6) : fmt::format("{:.1f} G", x / 1e9);
}

double share(std::uint64_t part, std::uint64_t all) { return all ? static_cast<double>(part) / static_cast<double>(all) : 0; }

std::string spread(const std::optional<Percentiles>& p) {
  return p ? fmt::format("p50 {:>8}  p95 {:>8}  p99 {:>8}", duration(p->p50 / 1000), duration(p->p95 / 1000), duration(p->p99 / 1000)) : std::string("-");
}

std::string bar(double part, std::size_t width) {
  const auto full = static_cast<std::size_t>(std::clamp(part, 0.0, 1.0) * static_cast<double>(width));
  return std::string(full, '#') + std::string(width - full, '.');
}

// The newest steps, as high as they are beside the highest.
std::string chart(const std::vector<std::uint64_t>& steps, std::size_t columns) {
  constexpr std::string_view marks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t from = steps.size() > columns ? steps.size() - columns : 0;
  std::uint64_t most = 1;
  for (std::size_t i = from; i < steps.size(); ++i) most = std::max(most, steps[i]);
  std::string out;
  for (std::size_t i = from; i < steps.size(); ++i) out += steps[i] ? marks[std::min<std::size_t>(7, static_cast<std::size_t>(share(steps[i], most) * 8))] : std::string_view(" ");
  return out;
}

// Two decimals of a sum that is exact to nine.
std::string dollars(const std::string& exact) {
  const auto point = exact.find('.');
  return "$" + (point == std::string::npos ? exact : exact.substr(0, point + 3));
}

std::string beside(const TopFigures& f) {
  if (!f.before || f.before->calls == 0) return {};
  return fmt::format(" ({:+.0f} % on before)", (share(f.total.calls, f.before->calls) - 1) * 100);
}

void put_calls(Lines& out, const TopFigures& f, const TopNotes& notes) {
  const auto& t = f.total;
  if (f.live)
    out.labelled("now", fmt::format("{:.1f} calls/s  {:.1f} failed/s  {} in flight  {:.0f} tokens/s  ${:.4f}/min", f.live->calls_per_second, f.live->failed_per_second, f.in_flight,
                                    f.live->tokens_per_second, f.live->usd_per_minute), f.live->failed_per_second > 0 ? kYellow : "");
  else
    out.labelled("now", fmt::format("{} in flight{}", f.in_flight, notes.no_live.empty() ? "" : "; no figures of the last second: " + notes.no_live), notes.no_live.empty() ? "" : kYellow);
  if (f.live) out.labelled("", fmt::format("p95: latency {}  first token {}", milliseconds(f.live->latency_ms_p95), milliseconds(f.live->first_token_ms_p95)));
  out.labelled(range_text(f.range), fmt::format("{} calls{}  {} failed ({:.1f} %)  {:.0f} % from cache", amount(t.calls), beside(f), amount(t.failed),
                                                share(t.failed, t.calls) * 100, share(t.cache_hits, t.calls) * 100), t.failed > 0 ? kYellow : "");
  if (out.columns() > kLabel + 10 && !f.chart.empty()) out.labelled("", chart(f.chart, out.columns() - kLabel));
  out.labelled("latency", spread(t.latency_ms));
  out.labelled("first token", spread(t.first_token_ms));
  out.labelled("spend", fmt::format("{}; saved {} by the cache, {} by routing; {} tokens", dollars(t.incurred), dollars(t.saved), dollars(t.routing_saved), amount(t.tokens)));
  std::string errors;
  for (const auto& [name, calls] : f.errors) errors += fmt::format("{}{} {}", errors.empty() ? "" : ", ", name, amount(calls));
  if (!errors.empty()) out.labelled("errors", errors, kYellow);
  std::uint64_t ready = 0;
  double oldest = 0;
  for (const auto& q : f.queues) {
    ready += q.ready;
    oldest = std::max(oldest, q.oldest_s);
  }
  out.labelled("state", fmt::format("{} breaker{} open, {} ready{}, {} dead, {} to approve", f.open + f.half_open, f.open + f.half_open == 1 ? "" : "s", amount(ready),
                                    ready ? ", oldest " + duration(oldest) : "", f.dead, f.approvals), f.dead || f.open || f.half_open ? kYellow : "");
}

void put_lists(Lines& out, const TopFigures& f) {
  const std::size_t wide = std::clamp<std::size_t>(out.columns() / 5, 5, 50), name = std::clamp<std::size_t>(out.columns() / 3, 10, 60);
  if (!f.budgets.empty()) out.heading("budgets");
  for (const auto& b : f.budgets)
    out.line(fmt::format("  {} {:>4.0f} %  {} of {}  {}{}", bar(b.share, wide), b.share * 100, dollars(b.spent), dollars(b.limit), b.name, b.value.empty() || b.value == "*" ? "" : " " + b.value),
             b.share >= kFull ? kRed : b.share >= kTight ? kYellow : "");
  out.heading(fmt::format("breakers   {} closed, {} open, {} half open", f.closed, f.open, f.half_open));
  for (const auto& b : f.breakers)
    out.line(fmt::format("  {}  {}{}{}", b.state, b.target, b.retry_in_s > 0 ? ", again in " + duration(b.retry_in_s) : "", b.last_error.empty() ? "" : ": " + b.last_error), kYellow);
  if (!f.queues.empty()) out.heading(fmt::format("{} {:>7} {:>7} {:>7} {:>7} {:>8}", padded("queues", name), "ready", "running", "waiting", "delayed", "oldest"));
  for (const auto& q : f.queues)
    out.line(fmt::format("  {} {:>7} {:>7} {:>7} {:>7} {:>8}{}", padded(one_line(q.name), name - 2), amount(q.ready), amount(q.running), amount(q.waiting), amount(q.delayed),
                         q.ready ? duration(q.oldest_s) : "-", q.paused ? "  paused" : ""), q.paused ? kYellow : "");
  if (!f.models.empty()) out.heading(fmt::format("{} {:>7} {:>7} {:>9} {:>8} {:>8}", padded("models", name), "calls", "failed", "spend", "p95", "first"));
  for (const auto& [model, t] : f.models)
    out.line(fmt::format("  {} {:>7} {:>7} {:>9} {:>8} {:>8}", padded(one_line(model), name - 2), amount(t.calls), amount(t.failed), dollars(t.incurred),
                         t.latency_ms ? duration(t.latency_ms->p95 / 1000) : "-", t.first_token_ms ? duration(t.first_token_ms->p95 / 1000) : "-"));
}

constexpr std::string_view kHelp[] = {"q          quit (Ctrl-C too)", "p, space   pause: the figures stay as they are",
                                      "left right a shorter or a longer range: 15 min, 1 h, 6 h, 24 h, 7 d, 30 d", "up down    what does not fit (j k; page up and down)",
                                      "?          this, and back", "",
                                      "now is the last second, spend the last minute; all else is of the range. Budgets count what",
                                      "is held. Percentiles are within 1/32 of their value."};

}  // namespace

TopScreen top_screen(const TopFigures& f, const TopNotes& notes, WindowSize window) {
  Lines head(window.columns, notes.color), rest(window.columns, notes.color);
  head.line(fmt::format("ballast top  {}  {}{}  q quits  p {}  ? help", to_rfc3339(f.at).substr(11, 8), notes.server, notes.paused ? "  PAUSED" : "", notes.paused ? "goes on" : "pauses"),
            notes.paused ? kYellow : kFaint);
  if (!notes.trouble.empty()) head.line(notes.trouble, kRed);
  for (const auto& a : f.alerts) head.line(fmt::format("ALERT {}  {}", a.severity, a.title), kRed);
  if (notes.help) {
    for (const auto line : kHelp) rest.line(line);
  } else {
    put_calls(head, f, notes);
    head.line("");
    put_lists(rest, f);
  }
  TopScreen out{.lines = head.take(), .scroll = 0};
  auto below = rest.take();
  if (window.rows == 0 || out.lines.size() + below.size() <= window.rows) {
    out.lines.insert(out.lines.end(), std::make_move_iterator(below.begin()), std::make_move_iterator(below.end()));
    return out;
  }
  if (out.lines.size() + 2 > window.rows) {          // no room for a lower part
    out.lines.resize(std::min(out.lines.size(), window.rows));
    return out;
  }
  const std::size_t room = window.rows - out.lines.size() - 1;
  out.scroll = std::min(notes.scroll, below.size() - room);
  for (std::size_t i = out.scroll; i < out.scroll + room; ++i) out.lines.push_back(std::move(below[i]));
  Lines foot(window.columns, notes.color);
  foot.line(fmt::format("  {} more lines above, {} below (up, down)", out.scroll, below.size() - room - out.scroll), kFaint);
  out.lines.push_back(std::move(foot.take().front()));
  return out;
}

std::vector<TopKey> keys_in(std::string_view typed) {
  struct Named {
    std::string_view sent;
    TopKey key;
  };
  using enum TopKey;
  static constexpr Named keys[] = {{"\x1b[5~", page_up}, {"\x1b[6~", page_down}, {"\x1b[A", up}, {"\x1bOA", up}, {"\x1b[B", down}, {"\x1bOB", down}, {"\x1b[C", longer}, {"\x1bOC", longer},
                                   {"\x1b[D", shorter}, {"\x1bOD", shorter}, {"q", quit}, {"Q", quit}, {"\x03", quit}, {"\x04", quit}, {"p", pause}, {"P", pause}, {" ", pause},
                                   {"?", help}, {"h", help}, {"k", up}, {"j", down}};
  std::vector<TopKey> out;
  while (!typed.empty()) {
    const auto known = std::ranges::find_if(keys, [&](const Named& k) { return typed.starts_with(k.sent); });
    if (known != std::end(keys)) {
      out.push_back(known->key);
      typed.remove_prefix(known->sent.size());
    } else if (typed.starts_with("\x1b[") || typed.starts_with("\x1bO")) {         // a sequence of another key: to its last byte
      const auto end = std::ranges::find_if(typed.substr(2), [](char c) { return c >= '@' && c <= '~'; }) - typed.begin();
      typed.remove_prefix(std::min<std::size_t>(static_cast<std::size_t>(end) + 1, typed.size()));
    } else {
      typed.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace ballast::app
