// How soon alerts come and how often they lie: the traffic traces replayed through watch::Judge (tests/support/watch_replay.hpp).
//
//   watch_replay TRACES MODE [first=SEED] [seeds=N] [thin=SHARE] [half=0|1] [trace=m-small|deepseek-r1]
//                [moment=NAME] [fault=NAME]
//
//   together   untouched, all clients one gateway: false alarms a day
//   alone      untouched, each client a gateway of its own
//   own        untouched, the arrivals of Azure's and Mooncake's traces themselves: once, and again and again for a day
//   faults     each fault at night, at the peak, in the 36th and the 15th minute, and on the third day: seconds until it is told
//
// `moment` and `fault` leave the others out, by how their names begin. `thin` keeps that share of the calls, `half` the clients whose id divides by four
// (0) or not (1). Every alarm is printed. Exits with 1 where there was more than one alarm a day in the mean, or a fault was told after more than 120 s.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "../tests/support/watch_replay.hpp"

namespace {

using namespace ballast;
using namespace ballast::test;

struct Asked {
  std::string folder, mode, trace, moment, fault;
  std::uint64_t first = 1;
  int seeds = 1, half = -1;
  double thin = 1;
};

void show(const std::string& run, const ReplayOutcome& o) {
  for (const auto& a : o.fired) fmt::print("    {}: {} {} {}: {} ({})\n", run, to_rfc3339(a.since), a.rule, a.labels.empty() ? "all" : a.labels[0].second, a.title, a.detail);
}

struct Lies {
  double days = 0;
  std::map<std::string, int> by_rule;
  std::vector<double> each;                  // a day, of each run
  std::vector<int> by_day;                   // of the trace
  void add(const ReplayOutcome& o, double hours) {
    days += hours / 24;
    by_day.resize(std::max(by_day.size(), static_cast<std::size_t>(std::ceil(hours / 24))));
    for (const auto& a : o.fired) {
      ++by_rule[a.rule];
      ++by_day[std::min<std::size_t>(static_cast<std::size_t>(unix_us(a.since) / 86'400'000'000 - 20'000), by_day.size() - 1)];
    }
    each.push_back(static_cast<double>(o.fired.size()) / hours * 24);
  }
  bool print(const std::string& what) {      // false: more than one a day
    int all = 0;
    std::string rules, days_of;
    for (const auto& [rule, n] : by_rule) all += n, rules += fmt::format(" {} {}", rule, n);
    for (const int n : by_day) days_of += fmt::format(" {}", n);
    std::ranges::sort(each);
    fmt::print("{}: {:.1f} days, {} alarms, {:.3f} a day (median run {:.2f}, worst {:.2f}); by day of the trace{};{}\n", what, days, all, all / days, each[each.size() / 2], each.back(), days_of,
               rules);
    std::fflush(stdout);
    return all <= days;
  }
};

std::vector<const ReplayClient*> some_of(const Traces& t, int half) {
  std::vector<const ReplayClient*> out;
  for (const auto& c : t.clients)
    if (half < 0 || (c.id / 2) % 2 == half) out.push_back(&c);
  return out;
}

bool together(const Traces& t, const Asked& asked) {
  Lies lies;
  for (int s = 0; s < asked.seeds; ++s) {
    const auto o = Replay(t, some_of(t, asked.half), {.seed = asked.first + static_cast<std::uint64_t>(s), .hours = t.hours(), .thin = asked.thin}).run();
    fmt::print("  {} seed {}: {} calls\n", asked.trace, asked.first + s, o.calls);
    show("", o);
    lies.add(o, t.hours());
  }
  return lies.print(fmt::format("{} together, 1 in {:.0f}", asked.trace, 1 / asked.thin));
}

bool alone(const Traces& t, const Asked& asked) {
  Lies lies;
  for (const auto* c : some_of(t, asked.half)) {
    Lies own;
    double rate = 0;
    for (const auto& w : c->windows) rate += w.rate;
    rate /= static_cast<double>(t.windows);
    for (int s = 0; s < asked.seeds; ++s) {
      const auto o = Replay(t, {c}, {.seed = asked.first + static_cast<std::uint64_t>(s), .hours = t.hours(), .thin = rate > 5 ? 5 / rate : 1}).run();
      own.add(o, t.hours());
      lies.add(o, t.hours());
      show(fmt::format("client {} seed {}", c->id, asked.first + s), o);
    }
    own.print(fmt::format("  {} client {} ({:.2f} calls/s)", asked.trace, c->id, rate));
  }
  return lies.print(asked.trace + " clients alone");
}

bool own(const Traces& t, const Asked& asked) {
  bool good = true;
  for (std::size_t i = 0; i < t.rows.size(); ++i)
    for (const double hours : {t.rows[i].back().at / 3600, 24.0}) {
      Lies lies;
      for (int s = 0; s < asked.seeds; ++s) {
        const auto o = Replay(t.rows[i], {.seed = asked.first + static_cast<std::uint64_t>(s), .hours = hours}).run();
        lies.add(o, hours);
        show(fmt::format("seed {}", asked.first + s), o);
      }
      good &= lies.print(fmt::format("{}, {:.1f} hours each", kRowTraces[i], hours));
    }
  return good;
}

struct Moment { const char* name; double from, at; };
constexpr Moment kMoments[] = {{"night", 1, 2}, {"peak", 12.5, 2}, {"36th minute", 9, 0.6}, {"15th minute", 9, 0.25}, {"third day", 0, 51.4}};

bool faults(const Traces& t, const Asked& asked) {
  bool good = true;
  for (const Moment& m : kMoments)
    for (const Fault f : kFaults) {
      if (m.from + m.at > t.hours() || !std::string_view(m.name).starts_with(asked.moment) || !std::string_view(name_of(f)).starts_with(asked.fault)) continue;
      std::vector<double> delays;
      int missed = 0, late = 0;
      std::uint64_t faulty = 0;
      std::set<std::string> rules;
      for (int s = 0; s < asked.seeds; ++s) {
        const auto o = Replay(t, some_of(t, asked.half),
                              {.seed = asked.first + static_cast<std::uint64_t>(s), .from_hours = m.from, .hours = m.at + 0.25, .thin = asked.thin, .fault = f, .at_hours = m.at}).run();
        faulty += o.faulty;
        if (o.delay_seconds) delays.push_back(*o.delay_seconds);
        else ++missed;
        late += o.delay_seconds.value_or(999) > 120;
        for (const auto& a : o.fired) rules.insert(a.rule);
      }
      std::ranges::sort(delays);
      std::string told;
      for (const auto& r : rules) told += " " + r;
      if (delays.empty()) delays.push_back(-1);
      good &= late == 0;
      fmt::print("{} {:<11} {:<20} n {} delay s: median {:.0f}, worst {:.0f}; over 120 s: {}, missed {}; {:.1f} faulty calls a minute;{}\n", asked.trace, m.name, name_of(f), asked.seeds,
                 delays[delays.size() / 2], delays.back(), late, missed, static_cast<double>(faulty) / asked.seeds / 15, told);
      std::fflush(stdout);
    }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return fmt::print(stderr, "watch_replay TRACES together|alone|own|faults [first=SEED] [seeds=N] [thin=SHARE] [half=0|1] [trace=NAME] [moment=NAME] [fault=NAME]\n"), 2;
  Asked asked{.folder = argv[1], .mode = argv[2], .trace = {}, .moment = {}, .fault = {}};
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i], name = word.substr(0, word.find('=')), value = word.find('=') == std::string::npos ? "" : word.substr(name.size() + 1);
    if (name == "first") asked.first = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "seeds") asked.seeds = std::atoi(value.c_str());
    else if (name == "thin") asked.thin = std::atof(value.c_str());
    else if (name == "half") asked.half = std::atoi(value.c_str());
    else if (name == "trace") asked.trace = value;
    else if (name == "moment") asked.moment = value;
    else if (name == "fault") asked.fault = value;
    else return fmt::print(stderr, "{}: first, seeds, thin, half, trace, moment or fault\n", word), 2;
  }
  const std::string only = asked.trace;
  bool good = true;
  for (const char* name : {"m-small", "deepseek-r1"}) {
    if (!only.empty() && only != name) continue;
    asked.trace = name;
    const Traces t = load_traces(asked.folder, name);
    if (t.clients.empty() || t.rows.empty()) return fmt::print(stderr, "no traces in {}\n", asked.folder), 2;
    if (asked.mode == "together") good &= together(t, asked);
    else if (asked.mode == "alone") good &= alone(t, asked);
    else if (asked.mode == "faults") good &= faults(t, asked);
    else if (asked.mode == "own") return own(t, asked) ? 0 : 1;
    else return fmt::print(stderr, "{}: together, alone, own or faults\n", asked.mode), 2;
  }
  return good ? 0 : 1;
}
