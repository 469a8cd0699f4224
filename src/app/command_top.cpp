#include <CLI/CLI.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/top_screen.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  double interval = 1;
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

constexpr auto kPatience = std::chrono::seconds(2);     // for each answer: keys are not heard meanwhile

// Null where this server has none, or not for this key.
json::value optional_answer(Access& access, const std::string& target) {
  const auto answer = access.send("GET", target, {}, kPatience);
  if (!answer || answer->first != 200) return nullptr;
  auto document = parse_json(answer->second);
  return document ? std::move(*document) : json::value(nullptr);
}

Result<Reading> read_server(Access& access, const Clock& clock) {
  auto metrics = access.send("GET", "/metrics", {}, kPatience);
  if (!metrics) return fail(std::move(metrics.error()));
  if (metrics->first != 200) return fail(ErrorCode::caller_forbidden, fmt::format("/metrics answered {}: from elsewhere it wants a key of scope read (--key)", metrics->first));
  Reading reading{.at = clock.mono(), .wall = clock.wall(), .metrics = Exposition::read(metrics->second), .budgets = {}, .breakers = {}, .queues = {}, .alerts = {}};
  reading.budgets = optional_answer(access, "/api/budgets");
  reading.breakers = optional_answer(access, "/api/breakers");
  reading.queues = optional_answer(access, "/api/queues");
  reading.alerts = optional_answer(access, "/api/alerts?state=firing");
  return reading;
}

// What came while it was waited for.
enum class Came : std::uint8_t { nothing, resize, end };

Came wait_for(Duration patience, const Signals& signals, bool& keys, const Clock& clock) {
  const MonoTime until = clock.mono() + patience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.mono()).count();
    if (left <= 0) return Came::nothing;
    pollfd polled[] = {{signals.descriptor(), POLLIN, 0}, {keys ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(polled, 2, static_cast<int>(std::min<long>(left, 60'000))) < 0 && errno != EINTR) return Came::end;
    if (polled[0].revents) return signals.says_end() ? Came::end : Came::resize;
    if (!polled[1].revents) continue;
    char typed[64];
    const ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
    if (n <= 0) keys = false;              // nobody types any more
    const std::string_view text(typed, n > 0 ? static_cast<std::size_t>(n) : 0);
    if (text.find_first_of("qQ\x03\x04") != std::string_view::npos) return Came::end;
  }
}

class Top {
 public:
  Top(Access& access, const Flags& flags, const Signals& signals) : access_(access), flags_(flags), signals_(signals), every_(std::chrono::milliseconds(static_cast<std::int64_t>(flags.interval * 1000))) {}

  int run() {
    auto first = read_server(access_, clock_);
    if (!first) {
      complain(first.error());
      return kFailed;
    }
    before_ = std::move(*first);
    const bool live = !flags_.once && !flags_.access.json && isatty(STDOUT_FILENO);
    return live ? on_screen() : in_lines();
  }

 private:
  // The newest figures; where the server does not answer, those before, and why.
  void look() {
    auto now = read_server(access_, clock_);
    trouble_ = now ? std::string() : "no newer figures: " + now.error().message;
    if (!now) return;
    figures_ = figures_between(before_, *now);
    before_ = std::move(*now);
  }

  TopNotes notes(bool color) const { return {.server = access_.server(), .trouble = trouble_, .color = color}; }

  int on_screen() {
    FullScreen screen;
    bool keys = screen.has_keys();
    figures_ = figures_between(before_, before_);
    for (MonoTime due = clock_.mono() + every_;;) {
      screen.draw(top_lines(figures_, notes(may_color()), window_of(STDOUT_FILENO).value_or(WindowSize{})));
      const Came came = wait_for(due - clock_.mono(), signals_, keys, clock_);
      if (came == Came::end) return kOk;
      if (came == Came::resize) continue;
      look();
      due = clock_.mono() + every_;
    }
  }

  int in_lines() {
    for (bool keys = false;;) {
      if (wait_for(every_, signals_, keys, clock_) == Came::end) return kOk;
      look();
      if (!trouble_.empty()) {
        complain(trouble_);
        return kFailed;
      }
      if (flags_.access.json) std::cout << to_json(figures_json(figures_)) << std::endl;
      else
        for (const auto& line : top_lines(figures_, notes(false), {.columns = window_of(STDOUT_FILENO).value_or(WindowSize{.columns = 200}).columns, .rows = 0})) std::cout << line << '\n';
      if (flags_.once || !flags_.access.json || !std::cout) return std::cout.flush() ? kOk : kFailed;
    }
  }

  Access& access_;
  const Flags& flags_;
  const Signals& signals_;
  const Duration every_;
  const SystemClock clock_;
  Reading before_;
  TopFigures figures_;
  std::string trouble_;
};

int top(const Flags& flags) {
  const Signals signals;
  int code = kFailed;
  const auto access = Access::open(flags.access, code, Access::Without::nothing);
  if (!access) {
    complain(access.error());
    return code;
  }
  return Top(**access, flags, signals).run();
}

}  // namespace

void add_top(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("top", "A running server at a glance, live: calls, latency, spend, budgets, breakers, queues, alerts. q quits. Where the output is no terminal: once.");
  auto flags = std::make_shared<Flags>();
  add_access_flags(*command, flags->access);
  command->add_option("--interval", flags->interval, "Seconds between two looks.")->check(CLI::Range(0.1, 3600.0))->capture_default_str();
  command->add_flag("--once", flags->once, "One look, after one interval. With --json alone: a line every interval.");
  command->callback([&run, flags] { run = [flags] { return top(*flags); }; });
}

}  // namespace ballast::app
