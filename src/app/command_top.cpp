#include <CLI/CLI.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/top_feed.hpp"
#include "app/top_screen.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  double interval = 1;
  std::string range = "1h";
  bool once = false;
};

// Signals as something to poll for: no handler, nothing global. Made before any thread, so that no other takes them.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP}) sigaddset(&set_, s);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
    descriptor_ = signalfd(-1, &set_, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  ~Signals() {
    if (descriptor_ >= 0) close(descriptor_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int descriptor() const { return descriptor_; }
  // True: one of them says to end. The window's size is asked for at every drawing; a suspended full screen would be left behind, so ^Z does nothing.
  bool says_end() const {
    bool end = false;
    for (signalfd_siginfo info{}; read(descriptor_, &info, sizeof info) == sizeof info;) end = end || (info.ssi_signo != SIGWINCH && info.ssi_signo != SIGTSTP);
    return end;
  }

 private:
  sigset_t set_{}, before_{};
  int descriptor_ = -1;
};

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n <= 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// The terminal's other screen, without cursor, line wrap and echo; as it was, when this is gone.
class FullScreen {
 public:
  FullScreen() {
    keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write_all("\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J");
  }
  ~FullScreen() {
    write_all("\x1b[?7h\x1b[?25h\x1b[?1049l");
    if (keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;
  bool has_keys() const { return keys_; }
  void draw(const std::vector<std::string>& lines) {
    std::string out = "\x1b[H";
    for (std::size_t i = 0; i < lines.size(); ++i) out += (i ? "\r\n" : "") + lines[i] + "\x1b[K";
    write_all(out + "\x1b[J");
  }

 private:
  termios before_{};
  bool keys_ = false;
};

constexpr auto kPatience = std::chrono::seconds(5);     // for each answer: keys are not heard meanwhile
constexpr auto kLiveComes = std::chrono::seconds(5);    // for the first figures of the last second, where there is one look only

// One of the ranges that the arrows go through; --range may be another.
constexpr Duration kRanges[] = {std::chrono::minutes(15), std::chrono::hours(1), std::chrono::hours(6), std::chrono::hours(24), std::chrono::hours(24 * 7), std::chrono::hours(24 * 30)};

Duration longer_than(Duration range) {
  const auto next = std::ranges::find_if(kRanges, [&](Duration r) { return r > range; });
  return next == std::end(kRanges) ? range : *next;
}
Duration shorter_than(Duration range) {
  Duration out = range;
  for (const Duration r : kRanges)
    if (r < range) out = r;
  return out;
}

// Says which key is wanted, where it is for want of one.
Result<json::value> answer_to(Access& access, const std::string& target) {
  const auto answer = access.send("GET", target, {}, kPatience);
  if (!answer) return fail(answer.error());
  const auto& [status, text] = *answer;
  auto document = parse_json(text, {.max_bytes = 64u << 20});
  if (status == 200) return document;
  const std::string path = target.substr(0, target.find('?'));
  if (status == 401 || status == 403)
    return fail(ErrorCode::caller_forbidden, fmt::format("GET {} answered {}: it wants a key of scope read; give one by --key or BALLAST_ADMIN_KEY", path, status));
  return fail(ErrorCode::internal_unavailable, fmt::format("GET {} answered {}", path, status));
}

Result<Reading> read_server(Access& access, const Clock& clock, Duration range) {
  const WallTime now = clock.wall();
  auto overview = answer_to(access, fmt::format("/api/overview?compare=before&from={}&to={}", to_rfc3339(now - range), to_rfc3339(now)));
  if (!overview) return fail(std::move(overview.error()));
  auto breakers = answer_to(access, "/api/breakers");
  if (!breakers) return fail(std::move(breakers.error()));
  return Reading{.at = now, .overview = std::move(*overview), .breakers = std::move(*breakers), .live = nullptr};
}

// What came while it was waited for.
enum class Came : std::uint8_t { nothing, input, end };

// Until then, or something came; what was typed is appended to `typed`.
Came wait_for(Duration patience, const Signals& signals, bool& keys, const Clock& clock, std::vector<TopKey>& typed) {
  const MonoTime until = clock.mono() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.mono()).count();
    if (left <= 0) return Came::nothing;
    pollfd polled[] = {{signals.descriptor(), POLLIN, 0}, {keys ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(polled, 2, static_cast<int>(std::min<long>(left, 60'000))) < 0 && errno != EINTR) return Came::end;
    if (polled[0].revents) return signals.says_end() ? Came::end : Came::input;
    if (!polled[1].revents) continue;
    char bytes[64];
    const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n <= 0) keys = false;              // nobody types any more
    typed = keys_in({bytes, n > 0 ? static_cast<std::size_t>(n) : 0});
    if (std::ranges::find(typed, TopKey::quit) != typed.end()) return Came::end;
    if (!typed.empty()) return Came::input;
  }
}

class Top {
 public:
  Top(Access& access, const Flags& flags, Duration range, const Signals& signals)
      : access_(access), flags_(flags), signals_(signals), every_(std::chrono::milliseconds(static_cast<std::int64_t>(flags.interval * 1000))), range_(range), feed_(access) {}

  int run() {
    look();
    if (!notes_.trouble.empty()) {
      complain(refused_);
      return kFailed;
    }
    const bool live = !flags_.once && !flags_.access.json && isatty(STDOUT_FILENO);
    return live ? on_screen() : in_lines();
  }

 private:
  // The newest figures; where the server does not answer, those before, and why.
  void look() {
    auto now = read_server(access_, clock_, range_);
    notes_.trouble = now ? std::string() : "no newer figures: " + now.error().message;
    if (!now) {
      refused_ = std::move(now.error());
      return;
    }
    feed_.look();
    reading_ = std::move(*now);
    reading_.live = feed_.newest();
    notes_.no_live = feed_.trouble();
    figures_ = figures_of(reading_);
  }

  TopScreen screen(WindowSize window, bool color) {
    notes_.server = access_.server();
    notes_.color = color;
    return top_screen(figures_, notes_, window);
  }

  // True: another range is wanted.
  bool obey(TopKey key, std::size_t page) {
    const Duration before = range_;
    switch (key) {
      case TopKey::quit: break;
      case TopKey::pause: notes_.paused = !notes_.paused; break;
      case TopKey::help: notes_.help = !notes_.help; break;
      case TopKey::up: notes_.scroll -= std::min<std::size_t>(notes_.scroll, 1); break;
      case TopKey::down: ++notes_.scroll; break;
      case TopKey::page_up: notes_.scroll -= std::min(notes_.scroll, page); break;
      case TopKey::page_down: notes_.scroll += page; break;
      case TopKey::longer: range_ = longer_than(range_); break;
      case TopKey::shorter: range_ = shorter_than(range_); break;
    }
    return range_ != before;
  }

  int on_screen() {
    FullScreen full;
    bool keys = full.has_keys();
    for (MonoTime due = clock_.mono() + every_;;) {
      const auto window = window_of(STDOUT_FILENO).value_or(WindowSize{});
      auto drawn = screen(window, may_color());
      notes_.scroll = drawn.scroll;
      full.draw(drawn.lines);
      std::vector<TopKey> typed;
      const Came came = wait_for(due - clock_.mono(), signals_, keys, clock_, typed);
      if (came == Came::end) return kOk;
      bool wanted = came == Came::nothing && !notes_.paused;
      for (const TopKey key : typed) wanted = obey(key, window.rows / 2) || wanted;
      if (wanted) look();
      if (wanted || came == Came::nothing) due = clock_.mono() + every_;
    }
  }

  // One look is worth little before the first figures of the last second are there.
  bool wait_for_live(bool& keys, std::vector<TopKey>& typed) {
    const MonoTime until = clock_.mono() + kLiveComes;
    while (feed_.newest() == nullptr && feed_.trouble().empty() && clock_.mono() < until) {
      if (wait_for(std::chrono::milliseconds(100), signals_, keys, clock_, typed) == Came::end) return false;
      feed_.look();
    }
    return true;
  }

  int in_lines() {
    bool keys = false;
    std::vector<TopKey> typed;
    if (!wait_for_live(keys, typed)) return kOk;
    for (;;) {
      look();
      if (!notes_.trouble.empty()) {
        complain(notes_.trouble);
        return kFailed;
      }
      if (flags_.access.json) std::cout << to_json(figures_json(reading_)) << std::endl;
      else
        for (const auto& line : screen({.columns = window_of(STDOUT_FILENO).value_or(WindowSize{.columns = 200}).columns, .rows = 0}, false).lines) std::cout << line << '\n';
      if (flags_.once || !flags_.access.json || !std::cout) return std::cout.flush() ? kOk : kFailed;
      if (wait_for(every_, signals_, keys, clock_, typed) == Came::end) return kOk;
    }
  }

  Access& access_;
  const Flags& flags_;
  const Signals& signals_;
  const Duration every_;
  Duration range_;
  const SystemClock clock_;
  TopFeed feed_;
  Reading reading_;
  TopFigures figures_;
  TopNotes notes_;
  Error refused_{ErrorCode::internal_error, {}};   // why the newest look failed, while notes_.trouble is not empty
};

int top(const Flags& flags) {
  const auto range = parse_duration(flags.range, "--range");
  if (!range || *range < std::chrono::minutes(1) || *range > std::chrono::hours(24 * 366)) {
    complain(range ? Error{ErrorCode::caller_invalid_request, "must be one minute to 366 days", "--range"} : range.error());
    return kUsage;
  }
  const Signals signals;
  int code = kFailed;
  const auto access = Access::open(flags.access, code, Access::Without::nothing);
  if (!access) {
    complain(access.error());
    return code;
  }
  return Top(**access, flags, *range, signals).run();
}

}  // namespace

void add_top(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("top", "A running server at a glance, live: calls, latency, spend, budgets, breakers, queues, alerts. q quits, ? tells the keys. Wants a key of scope read. Where the output is no terminal: once.");
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_option("--interval", flags->interval, "Seconds between two looks.")->check(CLI::Range(0.1, 3600.0))->capture_default_str();
  command->add_option("--range", flags->range, "How far back totals go, such as 15m, 24h or 7d.")->capture_default_str();
  command->add_flag("--once", flags->once, "One look. With --json alone: a line every interval.");
  command->callback([&run, flags] { run = [flags] { return top(*flags); }; });
}

}  // namespace ballast::app
