// How soon alerts come and how often they lie: the traffic traces replayed through watch::Judge (tests/support/watch_replay.hpp).
//
//   watch_replay TRACES alone FIRST SEEDS [HALF]     untouched, each client a gateway of its own: false alarms a day; HALF 0 or 1: those clients
//   watch_replay TRACES together FIRST SEEDS THIN    untouched, all clients one gateway, of whose calls THIN are kept
//   watch_replay TRACES faults FIRST SEEDS HALF THIN each fault at night, at the peak and in the first hour: delays and what was missed
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "../tests/support/watch_replay.hpp"

namespace {

using namespace ballast;
using namespace ballast::test;

struct Lies {
  double days = 0;
  std::map<std::string, int> by_rule;
  std::vector<double> each;                  // a day, of each run
  void add(const ReplayOutcome& o, double hours) {
    days += hours / 24;
    for (const auto& a : o.fired) ++by_rule[a.rule];
    each.push_back(static_cast<double>(o.fired.size()) / hours * 24);
  }
  void print(const std::string& what) {
    int all = 0;
    std::string rules;
    for (const auto& [rule, n] : by_rule) all += n, rules += fmt::format(" {} {}", rule, n);
    std::ranges::sort(each);
    fmt::print("{}: {:.1f} days, {} alarms, {:.3f} a day (median run {:.2f}, worst {:.2f});{}\n", what, days, all, all / days, each[each.size() / 2], each.back(), rules);
    std::fflush(stdout);
  }
};

std::vector<const ReplayClient*> all_of(const Traces& t, int half = -1) {
  std::vector<const ReplayClient*> out;
  for (const auto& c : t.clients)
    if (half < 0 || (c.id / 2) % 2 == half) out.push_back(&c);
  return out;
}

void alone(const Traces& t, std::uint64_t first, int seeds, int half, const std::string& name) {
  Lies lies;
  const double hours = t.windows / 6.0;
  for (const auto* c : all_of(t, half)) {
    Lies own;
    double rate = 0;
    for (const auto& [at, w] : c->windows) rate += w.rate;
    rate /= t.windows;
    for (int s = 0; s < seeds; ++s) {
      const auto o = Replay(t, {c}, {.seed = first + static_cast<std::uint64_t>(s), .hours = hours, .thin = rate > 5 ? 5 / rate : 1}).run();
      own.add(o, hours);
      lies.add(o, hours);
      if (std::getenv("SHOW"))
        for (const auto& a : o.fired)
          fmt::print("  client {} seed {} {} {} {}: {} ({})\n", c->id, first + s, to_rfc3339(a.since), a.rule, a.labels.empty() ? "" : a.labels[0].second, a.title, a.detail);
    }
    own.print(fmt::format("  {} client {} ({:.2f} calls/s)", name, c->id, rate));
  }
  lies.print(name + " clients alone");
}

void together(const Traces& t, std::uint64_t first, int seeds, double thin, const std::string& name) {
  Lies lies;
  const double hours = t.windows / 6.0;
  for (int s = 0; s < seeds; ++s) {
    const auto o = Replay(t, all_of(t), {.seed = first + static_cast<std::uint64_t>(s), .hours = hours, .thin = thin}).run();
    for (const auto& a : o.fired) fmt::print("  seed {} {} {} {}: {} ({})\n", first + s, to_rfc3339(a.since), a.rule, a.labels.empty() ? "" : a.labels[0].second, a.title, a.detail);
    lies.add(o, hours);
    fmt::print("  {} seed {}: {} calls\n", name, first + s, o.calls);
  }
  lies.print(fmt::format("{} together, 1 in {:.0f}", name, 1 / thin));
}

void faults(const Traces& t, std::uint64_t first, int seeds, int half, double thin) {
  for (const auto [when, from, at] : {std::tuple("night", 1.0, 2.0), {"peak", 12.5, 2.0}, {"first hour", 9.0, 0.6}})
    for (const Fault f : {Fault::prompt_bug, Fault::slow_provider, Fault::retry_storm, Fault::error_burst, Fault::cache_collapse}) {
      std::vector<double> delays;
      int missed = 0;
      std::uint64_t faulty = 0;
      std::set<std::string> rules;
      for (int s = 0; s < seeds; ++s) {
        const auto o = Replay(t, all_of(t, half), {.seed = first + static_cast<std::uint64_t>(s), .from_hours = from, .hours = at + 0.25, .thin = thin, .fault = f, .at_hours = at}).run();
        faulty += o.faulty;
        if (o.delay_seconds) delays.push_back(*o.delay_seconds);
        else ++missed;
        for (const auto& a : o.fired) rules.insert(a.rule);
      }
      std::ranges::sort(delays);
      std::string told;
      for (const auto& r : rules) told += " " + r;
      if (delays.empty()) delays.push_back(-1);
      fmt::print("{:<11} {:<20} n {} delay s: median {:.0f}, 90 % {:.0f}, worst {:.0f}; missed {}; {:.1f} faulty calls a minute;{}\n", when, name_of(f), seeds,
                 delays[delays.size() / 2], delays[delays.size() * 9 / 10], delays.back(), missed, static_cast<double>(faulty) / seeds / 15, told);
      std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const std::string folder = argv[1], mode = argv[2];
  const auto first = std::strtoull(argv[3], nullptr, 10);
  const int seeds = std::atoi(argv[4]);
  const auto number = [&](int i, double fallback) { return argc > i ? std::atof(argv[i]) : fallback; };
  for (const char* name : {"m-small", "deepseek-r1"}) {
    const Traces t = load_traces(folder, name);
    if (t.clients.empty() || t.tokens.empty()) return fmt::print("no traces in {}\n", folder), 1;
    if (mode == "alone") alone(t, first, seeds, static_cast<int>(number(5, -1)), name);
    if (mode == "together") together(t, first, seeds, std::string(name) == "m-small" ? number(5, 0.02) : 1, name);
    if (mode == "faults" && std::string(name) == "m-small") faults(t, first, seeds, static_cast<int>(number(5, -1)), number(6, 0.02));
  }
}
