#include "watch/judge.hpp"

#include <algorithm>
#include <set>

namespace ballast::watch {

namespace {

constexpr auto kOddAtMost = std::chrono::hours(6);
constexpr std::int64_t kForgotten = 3 * 24 * 60;     // minutes without a call

bool of_calls(Kind k) { return k <= Kind::cache_collapse; }
bool against_usual(Kind k) { return of_calls(k) && k != Kind::error_budget && k != Kind::latency_budget && k != Kind::silence; }
std::int64_t minute_of(WallTime t) { return std::chrono::floor<std::chrono::minutes>(t.time_since_epoch()).count(); }

}  // namespace

Judge::Judge(std::vector<Rule> rules) : rules_(std::move(rules)), slow_us_(120'000'000) {
  for (const Rule& r : rules_)
    if (r.kind == Kind::latency_budget && !r.off) slow_us_ = static_cast<std::uint64_t>(r.bound.count() / 1000);
}

Wanted Judge::wanted() const {
  std::set<std::string> labels, looked_up;
  for (const Rule& r : rules_) {
    if (r.off || !of_calls(r.kind)) continue;
    labels.insert(r.by.begin(), r.by.end());
    if (r.kind == Kind::cache_collapse) looked_up.insert(r.by.begin(), r.by.end());
  }
  labels.erase("all");
  looked_up.erase("all");
  return {.labels = {labels.begin(), labels.end()}, .looked_up = {looked_up.begin(), looked_up.end()}};
}

Judge::Followed* Judge::follow(const std::string& label, const std::string& value) {
  auto& place = series_[{label, value}];
  if (place) return place.get();
  if (series_.size() > kMostSeries) {
    const auto old = std::ranges::find_if(series_, [&](const auto& s) { return s.second && s.second->series.newest() < minute_ - kForgotten; });
    if (old == series_.end()) {
      series_.erase({label, value});
      ++dropped_;
      return nullptr;
    }
    series_.erase(old);
  }
  place = std::make_unique<Followed>(Followed{label, value, Series(slow_us_)});
  return place.get();
}

void Judge::learn_slots(WallTime start, std::span<const Sample> samples) {
  for (const Sample& s : samples)
    if (auto* f = follow(s.label, s.value)) f->series.learn_slot(minute_of(start) / Series::kSlotMinutes, s.counts);
}

void Judge::learn_hours(WallTime start, std::span<const Sample> samples) {
  for (const Sample& s : samples)
    if (auto* f = follow(s.label, s.value)) f->series.learn_hour(minute_of(start) / 60, s.counts);
}

void Judge::restore(std::span<const Alert> alerts, WallTime now) {
  for (const Alert& a : alerts) {
    const auto rule = std::ranges::find(rules_, a.rule, &Rule::name);
    if (rule == rules_.end() || a.state == State::resolved || active_.size() >= kMostActive) continue;
    active_[fingerprint(a)] = {a, now, &*rule};
  }
}

void Judge::learn_minutes(std::span<const Minute> minutes) {
  for (const Minute& m : minutes) {
    minute_ = std::max(minute_, minute_of(m.start));
    for (const Sample& s : m.samples)
      if (auto* f = follow(s.label, s.value)) f->series.put(minute_of(m.start), s.counts);
  }
}

std::vector<Change> Judge::feed(WallTime now, std::span<const Minute> minutes, const Gauges& gauges) {
  minute_ = std::max(minute_, minute_of(now));
  for (const Minute& m : minutes) {
    if (minute_of(m.start) > minute_) continue;
    for (const Sample& s : m.samples)
      if (auto* f = follow(s.label, s.value)) f->series.put(minute_of(m.start), s.counts);
  }
  for (auto& [key, f] : series_) f->series.begin(minute_);
  under_way_ = std::chrono::duration<double>(now - WallTime(std::chrono::minutes(minute_))).count() / 60;
  under_way_ = std::clamp(under_way_, 0.0, 1.0);
  behind_ = gauges.importer_behind > std::chrono::seconds(30) || gauges.journal_failing;
  Findings findings;
  for (const Rule& rule : rules_) {
    if (rule.off) continue;
    if (of_calls(rule.kind)) judge_calls(rule, findings);
    else if (rule.kind == Kind::budget || rule.kind == Kind::budget_forecast) judge_budgets(rule, now, gauges, findings);
    else judge_gauges(rule, now, gauges, findings);
  }
  leave_out_what_follows(findings);
  std::vector<Change> out;
  step(now, findings, out);
  mark_odd(now);
  return out;
}

void Judge::note(const Rule& rule, Labels labels, Finding finding, Findings& out) const {
  for (const auto& [name, value] : rule.where)
    if (std::ranges::find(labels, std::pair(name, value)) == labels.end()) return;
  Alert a{.rule = rule.name, .kind = rule.kind, .severity = rule.severity, .labels = std::move(labels)};
  auto key = fingerprint(a);
  out.insert_or_assign(std::move(key), std::pair(std::move(a), std::move(finding)));
}

void Judge::judge_calls(const Rule& rule, Findings& out) {
  if (rule.kind == Kind::silence && behind_) return;   // the calls may be there, unread
  for (const auto& [key, f] : series_) {
    const std::string& label = f->label.empty() ? std::string("all") : f->label;
    if (std::ranges::find(rule.by, label) == rule.by.end()) continue;
    auto finding = judge_series(rule, f->series, under_way_);
    if (!finding) continue;
    Labels labels;
    if (!f->label.empty()) labels.emplace_back(f->label, f->value);
    note(rule, std::move(labels), std::move(*finding), out);
  }
}

// One cause, one alarm: more calls cost more, so while dollars are spoken of, calls are no news. What was told first goes on.
void Judge::leave_out_what_follows(Findings& findings) const {
  const auto speaks_of_dollars = [&](const Labels& labels) {
    const auto same = [&](const Alert& a) { return a.kind == Kind::cost_spike && a.labels == labels; };
    return std::ranges::any_of(findings, [&](const auto& f) { return same(f.second.first); }) || std::ranges::any_of(active_, [&](const auto& a) { return same(a.second.alert); });
  };
  std::erase_if(findings, [&](const auto& f) { return f.second.first.kind == Kind::traffic_rise && !active_.contains(f.first) && speaks_of_dollars(f.second.first.labels); });
}

void Judge::step(WallTime now, Findings& findings, std::vector<Change>& out) {
  for (auto& [key, found] : findings) {
    auto [place, fresh] = active_.try_emplace(key);
    Active& a = place->second;
    if (fresh) {
      if (active_.size() > kMostActive) {
        active_.erase(place);
        ++dropped_;
        continue;
      }
      a.alert = std::move(found.first);
      a.rule = &*std::ranges::find(rules_, a.alert.rule, &Rule::name);
      a.alert.since = now;
    }
    Finding& f = found.second;
    const bool fires = a.alert.state == State::pending && now - a.alert.since >= a.rule->hold;
    const bool tell = fresh || fires || now - a.alert.updated >= std::chrono::minutes(1);
    a.last_true = now;
    if (!tell) continue;
    a.alert.value = f.value, a.alert.threshold = f.threshold;
    a.alert.title = std::move(f.title), a.alert.detail = std::move(f.detail), a.alert.evidence = std::move(f.evidence);
    a.alert.severity = a.rule->severity;
    a.alert.updated = now;
    if (fires) a.alert.state = State::firing;
    out.push_back({fires ? Change::What::fired : fresh ? Change::What::pending : Change::What::moved, a.alert});
  }
  for (auto it = active_.begin(); it != active_.end();) {
    Active& a = it->second;
    const bool pending = a.alert.state == State::pending;
    if (findings.contains(it->first) || (!pending && now - a.last_true < a.rule->resolve)) {
      ++it;
      continue;
    }
    if (!pending) {
      a.alert.state = State::resolved;
      a.alert.resolved_at = a.alert.updated = now;
    }
    out.push_back({pending ? Change::What::lapsed : Change::What::resolved, std::move(a.alert)});
    it = active_.erase(it);
  }
}

// What an alert speaks of is not what is usual; but what stays for hours becomes it.
void Judge::mark_odd(WallTime now) {
  for (const auto& [key, a] : active_) {
    if (!against_usual(a.alert.kind) || now - a.alert.since > kOddAtMost) continue;
    const auto& labels = a.alert.labels;
    const auto f = series_.find(labels.empty() ? std::pair<std::string, std::string>() : labels.front());
    if (f != series_.end()) f->second->series.mark_odd();
  }
}

std::vector<Alert> Judge::active() const {
  std::vector<Alert> out;
  for (const auto& [key, a] : active_) out.push_back(a.alert);
  return out;
}

}  // namespace ballast::watch
