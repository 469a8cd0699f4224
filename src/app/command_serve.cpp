#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "app/cli.hpp"
#include "app/local_servers.hpp"
#include "app/runtime.hpp"
#include "app/start_anew.hpp"
#include "base/log.hpp"
#include "net/service_manager.hpp"

namespace ballast::app {

namespace {

struct Flags {
  std::string config, listen, drain_notice;
  Duration notice{};
  bool no_probe = false, no_rejoin = false;
};

// SIGTERM, SIGINT and SIGHUP as readable events: blocked before any thread starts, so none of them is interrupted.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, s);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    fd_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
    woken_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  ~Signals() {
    for (const int fd : {fd_, woken_})
      if (fd >= 0) close(fd);
  }
  // The next signal within `milliseconds`, or 0, at once where somebody called `wake`.
  int wait(int milliseconds) const {
    pollfd p[] = {{.fd = fd_, .events = POLLIN, .revents = 0}, {.fd = woken_, .events = POLLIN, .revents = 0}};
    if (poll(p, 2, milliseconds) <= 0) return 0;
    if (eventfd_t n = 0; p[1].revents) eventfd_read(woken_, &n);
    signalfd_siginfo info{};
    return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }
  void wake() const { eventfd_write(woken_, 1); }        // any thread

 private:
  sigset_t set_{};
  int fd_ = -1, woken_ = -1;
};

// Changes when the file does, also when it is replaced within one second.
struct Stamp {
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t nanoseconds = 0;
  friend bool operator==(const Stamp&, const Stamp&) = default;
};
Stamp stamp_of(const std::string& file) {
  struct stat s{};
  if (file.empty() || stat(file.c_str(), &s) != 0) return {};
  return {s.st_ino, s.st_size, s.st_mtim.tv_sec * 1'000'000'000LL + s.st_mtim.tv_nsec};
}

Result<Config> load(const Flags& flags) {
  auto config = load_config(flags.config, system_environment());
  if (!config) return config;
  if (!flags.listen.empty()) {
    auto listen = parse_listen(flags.listen);
    if (!listen) return fail(ErrorCode::caller_invalid_request, "--listen " + listen.error().message);
    config->listen = *listen;
  }
  if (!flags.no_probe) probe_local_servers(*config);
  return config;
}

// The first route that ends at a simulator, else the simulator's own model: what a first call can name for nothing.
std::string free_model(const Config& config) {
  for (const auto& p : config.providers)
    if (p.kind == "simulator")
      for (const char* preferred : {"sim-small", ""})
        for (const auto& m : p.models)
          if (*preferred == '\0' || m == preferred) return p.name + "/" + m;
  return {};
}

void say_what_costs(std::ostream& out, const Config& config) {
  const auto spending = spending_providers(config);
  for (const auto& name : spending) {
    const auto p = std::ranges::find(config.providers, name, &ProviderConfig::name);
    out << "  spends     models called " << name << "/… are charged by their provider";
    if (!p->from_environment.empty()) out << " (" << p->from_environment << " is in the environment)";
    out << '\n';
  }
  for (const auto& route : config.routes)
    if (std::ranges::any_of(route.targets, [&](const auto& t) { return std::ranges::find(spending, t.provider) != spending.end(); }))
      out << "  spends     route " << route.name << " leads there\n";
  if (!spending.empty() && config.budgets.empty()) out << "             and no budget is configured: nothing limits what is spent\n";
}

// What was found on this machine: free to call, and how its first models are called.
void say_what_is_here(std::ostream& out, const Config& config) {
  for (const auto& p : config.providers) {
    if (p.found_here.empty()) continue;
    out << "  free       " << p.found_here << " answers at " << p.base_url << ":";
    for (std::size_t i = 0; i < std::min<std::size_t>(p.models.size(), 4); ++i) out << (i ? ", " : " ") << p.name << '/' << p.models[i];
    if (p.models.size() > 4) out << fmt::format(" and {} more", p.models.size() - 4);
    out << "; calls to it cost nothing\n";
  }
}

void welcome(std::ostream& out, const Runtime& runtime) {
  const Config& config = runtime.config();
  const auto& keys = runtime.first_keys();
  ListenAddress address{config.listen.host, runtime.port()};
  if (address.host == "0.0.0.0" || address.host == "::") address.host = "127.0.0.1";
  const std::string base = (config.tls_cert.empty() ? "http://" : "https://") + to_string(address);
  out << "\nballast " << kVersion << "\n  address    " << base << "   (OpenAI and Anthropic clients: base URL " << base << "/v1, " << base << ")\n";
  out << "  dashboard  " << base << "/   (sign in with a key of scope admin or read)\n";
  out << "  config     " << (config.file.empty() ? "none: the simulator, and providers found in the environment and on this machine" : config.file) << '\n';
  if (!keys.app.empty()) out << "  key        " << keys.app << "   (calls; shown this once)\n";
  if (!keys.admin.empty()) out << "  admin key  " << keys.admin << "   (everything; shown this once)\n";
  if (keys.app.empty() && keys.admin.empty()) out << "  keys       made before, or configured; `ballast keys create --name NAME` makes another\n";
  say_what_is_here(out, config);
  say_what_costs(out, config);
  if (const std::string model = free_model(config); !model.empty()) {
    out << "\nA first call, which costs nothing:\n\n"
        << "curl " << base << "/v1/chat/completions \\\n"
        << "  -H 'Authorization: Bearer " << (keys.app.empty() ? "YOUR_KEY" : keys.app) << "' \\\n"
        << "  -H 'Content-Type: application/json' \\\n"
        << "  -d '{\"model\": \"" << model << "\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n\n";
  }
  out.flush();
}

void reload(Runtime& runtime, const Flags& flags) {
  auto config = load(flags);
  auto done = config ? runtime.reload(std::move(*config)) : Result<void>(fail(std::move(config.error())));
  if (done) log::info("reloaded", {{"file", runtime.config().file}});
  else log::error("reload_refused", {{"why", done.error().message}, {"field", done.error().field}});
}

// /readyz says no and everybody is still served, so that a balancer turns away before the door closes. Another SIGTERM ends the wait.
void announce(Runtime& runtime, const Signals& signals, Duration notice) {
  runtime.announce_drain();
  const auto until = std::chrono::steady_clock::now() + notice;
  if (notice > Duration::zero()) log::info("drain_announced", {{"notice_ms", std::chrono::duration_cast<std::chrono::milliseconds>(notice)}});
  for (auto left = notice; left > Duration::zero(); left = until - std::chrono::steady_clock::now()) {
    const int wait = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(left, std::chrono::seconds(1))).count());
    const int signal = signals.wait(wait);
    if (signal == SIGTERM || signal == SIGINT) return;
    if (signal == 0) runtime.tick();
  }
}

// Other nodes go on with what this one had, or the database is one of a moment ago: it takes nothing new, ends what it streams, and comes back as a new one.
int leave_for_dead(Runtime& runtime, const Signals& signals) {
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(runtime.config().drain);
  if (runtime.went_back()) {
    net::tell_service_manager("STATUS=the database has lost what it acknowledged: ends what is under way, then starts anew");
    log::error("starts_from_what_is_there", {{"patience_ms", patience}, {"what", "the database has lost what it acknowledged; this node ends what is under way and starts anew"}});
  } else {
    net::tell_service_manager("STATUS=taken for dead by other nodes: ends what is under way, then starts anew");
    log::error("taken_for_dead", {{"patience_ms", patience}, {"what", "other nodes have this one's jobs and duties; it ends what is under way and starts anew"}});
  }
  runtime.drain(runtime.config().drain);
  const int signal = signals.wait(0);
  return signal == SIGTERM || signal == SIGINT ? kOk : kTakenForDead;
}

int run_until_told(Runtime& runtime, const Signals& signals, const Flags& flags) {
  Stamp seen = stamp_of(runtime.config().file);
  runtime.on_lost([&signals] { signals.wake(); });
  for (;;) {
    const int signal = signals.wait(1000);
    if (signal == SIGTERM || signal == SIGINT) break;
    if (runtime.lost()) return leave_for_dead(runtime, signals);
    const Stamp now = stamp_of(config_file(flags.config));
    if (signal == SIGHUP) log::reopen();
    if (signal == SIGHUP || (now != seen && now != Stamp{})) reload(runtime, flags);
    if (now != Stamp{}) seen = now;
    if (signal == 0) runtime.tick();
  }
  net::tell_service_manager("STOPPING=1\nSTATUS=draining");
  announce(runtime, signals, flags.notice);
  log::info("draining", {{"patience_ms", std::chrono::duration_cast<std::chrono::milliseconds>(runtime.config().drain)}});
  const bool clean = runtime.drain(runtime.config().drain);
  log::info("stopped", {{"clean", clean}});
  return kOk;
}

int code_of(const Error& error) {
  if (error.code == ErrorCode::caller_invalid_request) return kBadConfig;
  const bool refused = error.code == ErrorCode::caller_conflict || error.code == ErrorCode::caller_too_large || store::fault_of(error) == store::Fault::schema;
  return refused ? kRefused : kFailed;
}

int serve(Flags flags) {
  auto config = load(flags);
  if (!config) {
    complain(config.error());
    return kBadConfig;
  }
  if (!flags.drain_notice.empty()) {
    const auto notice = parse_duration(flags.drain_notice, "--drain-notice");
    if (!notice || *notice > std::chrono::minutes(10)) {
      complain(notice ? Error{ErrorCode::caller_invalid_request, "is at most 10m", "--drain-notice"} : notice.error());
      return kUsage;
    }
    flags.notice = *notice;
  }
  const Signals signals;
  if (auto started = log::start({.level = config->log.level, .file = config->log.file}); !started) {
    complain(started.error());
    return kFailed;
  }
  const std::uint64_t descriptors = raise_descriptor_limit();
  int code = kFailed;
  {
    auto runtime = Runtime::start(std::move(*config));
    if (runtime) {
      log::info("started", {{"version", kVersion}, {"port", (*runtime)->port()}, {"descriptors", descriptors}});
      log::flush();
      welcome(std::cout, **runtime);
      const net::Watchdog watchdog((*runtime)->loops(), net::watchdog_period());
      net::tell_service_manager(fmt::format("READY=1\nSTATUS=serving on port {}", (*runtime)->port()));
      code = run_until_told(**runtime, signals, flags);
    } else {
      complain(runtime.error());
      code = code_of(runtime.error());
    }
  }
  log::stop();
  if (code == kTakenForDead && !flags.no_rejoin) complain("cannot start anew: " + start_anew());
  return code;
}

}  // namespace

void add_serve(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("serve", "Run the gateway until SIGTERM. SIGHUP, or a changed file, reloads the configuration.");
  auto flags = std::make_shared<Flags>();
  command->add_option("-c,--config", flags->config, "Configuration file (default: ./ballast.yaml if there, else none).")->envname("BALLAST_CONFIG");
  command->add_option("-l,--listen", flags->listen, "ADDRESS:PORT, instead of the configuration's.");
  command->add_option("--drain-notice", flags->drain_notice, "At SIGTERM: for so long /readyz says no and calls are still accepted, so that balancers turn away first (10m at most).")
      ->envname("BALLAST_DRAIN_NOTICE")->default_str("0");
  command->add_flag("--no-rejoin", flags->no_rejoin, "Taken for dead by other nodes: exit with 75 instead of starting anew in place.")->envname("BALLAST_NO_REJOIN");
  command->add_flag("--no-probe", flags->no_probe, "Do not look for model servers on this machine (as probe_local: false).");
  command->callback([&run, flags] { run = [flags] { return serve(*flags); }; });
}

}  // namespace ballast::app
