// Judge: from minutes and gauges to alerts. Pure: no clock, no I/O; the same feeds give the same alerts. Not thread-safe.
//
//   judge.feed(now, minutes, gauges)  →  what changed: pending, firing, resolved
//
// How it judges is told in docs/alerts.md, rule by rule, with the rate of false alarms and how it was measured.
// Memory is bounded: kMostSeries label values are followed (those first seen; one without calls for three days makes room), each about
// 120 KB; kMostActive alerts live at a time. What did not fit is counted in `dropped`.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "watch/alert.hpp"
#include "watch/minute.hpp"
#include "watch/rule.hpp"
#include "watch/series.hpp"

namespace ballast::watch {

inline constexpr std::size_t kMostSeries = 200, kMostActive = 1'000, kMostBudgets = 1'000;

struct Change {
  enum class What : std::uint8_t {
    pending, fired, resolved,
    moved,                                 // fires as before; its figures are new (told once a minute at most)
    lapsed,                                // was pending, and its condition went before it fired
  };
  What what = What::pending;
  Alert alert;
};

// Why a rule speaks: the figure and the bound it is above (or below).
struct Finding {
  double value = 0, threshold = 0;
  std::string title, detail;
  Labels evidence;
};

class Judge {
 public:
  explicit Judge(std::vector<Rule> rules);

  // What was before: five minutes, and hours, each in order of time. Before the first feed.
  void learn_slots(WallTime start, std::span<const Sample> samples);
  void learn_hours(WallTime start, std::span<const Sample> samples);
  void learn_minutes(std::span<const Minute> minutes);   // after them; no rule speaks
  // Alerts that fired or were pending when an earlier process ended: they go on, and are not new.
  void restore(std::span<const Alert> alerts, WallTime now);

  // `minutes`: what is known by now of the last ones, the one under way with them; a minute may be told again as its calls end. `now` never
  // goes back. Labels with no calls in a minute need no sample.
  std::vector<Change> feed(WallTime now, std::span<const Minute> minutes, const Gauges& gauges);

  std::vector<Alert> active() const;
  const std::vector<Rule>& rules() const { return rules_; }
  std::uint64_t dropped() const { return dropped_; }
  // The labels that some rule judges by, but for "all": what a watcher has to ask for. Look-ups are told apart for the rules of the cache.
  Wanted wanted() const;

 private:
  struct Followed { std::string label, value; Series series; };
  struct Active { Alert alert; WallTime last_true{}; const Rule* rule = nullptr; };
  struct BudgetPace { std::deque<std::pair<WallTime, double>> spent; };
  using Findings = std::map<std::string, std::pair<Alert, Finding>>;   // by fingerprint

  Followed* follow(const std::string& label, const std::string& value);
  void judge_calls(const Rule& rule, Findings& out);
  void judge_gauges(const Rule& rule, WallTime now, const Gauges& gauges, Findings& out);
  void judge_budgets(const Rule& rule, WallTime now, const Gauges& gauges, Findings& out);
  void note(const Rule& rule, Labels labels, Finding finding, Findings& out) const;
  void leave_out_what_follows(Findings& findings) const;
  void step(WallTime now, Findings& findings, std::vector<Change>& out);
  void mark_odd(WallTime now);

  std::vector<Rule> rules_;                // never changed: what is active points into it
  std::uint64_t slow_us_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Followed>> series_;
  std::map<std::string, Active> active_;
  std::map<std::string, BudgetPace> paces_;
  std::int64_t minute_ = -1;
  double under_way_ = 0;                   // of the minute, as a share
  bool behind_ = false;
  std::uint64_t dropped_ = 0;
};

// Private to this room: does the rule speak of this series? `under_way` is the share of the minute under way that has passed.
std::optional<Finding> judge_series(const Rule& rule, const Series& series, double under_way);

}  // namespace ballast::watch
