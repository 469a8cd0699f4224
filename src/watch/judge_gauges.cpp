// The rules of how things stand: budgets, breakers, queues, dead letters, prices, the journal.
#include <fmt/format.h>

#include <algorithm>

#include "base/config_node.hpp"
#include "watch/judge.hpp"

namespace ballast::watch {

namespace {

using Seconds = std::chrono::duration<double>;
constexpr auto kPaceEvery = std::chrono::minutes(15);
constexpr std::size_t kMostPaces = 96;               // a day of them

double seconds(Duration d) { return Seconds(d).count(); }
std::string about(Duration d) { return format_duration(std::chrono::duration_cast<Duration>(std::chrono::floor<std::chrono::seconds>(d))); }

}  // namespace

void Judge::judge_gauges(const Rule& rule, WallTime, const Gauges& g, Findings& out) {
  switch (rule.kind) {
    case Kind::dead_letters: {
      if (g.dead == 0 || (static_cast<double>(g.dead) < rule.threshold && g.dead_oldest < rule.age)) return;
      return note(rule, {}, {static_cast<double>(g.dead), rule.threshold, fmt::format("{} dead letters, the oldest {} old", g.dead, about(g.dead_oldest)),
                             "`ballast jobs dead` lists them; redrive or delete them", {{"oldest", about(g.dead_oldest)}}}, out);
    }
    case Kind::breaker_open:
      for (const auto& b : g.breakers)
        if (b.down >= rule.age)
          note(rule, {{"provider", b.provider}, {"model", b.model}},
               {seconds(b.down), seconds(rule.age), fmt::format("{}/{} is left alone for {}", b.provider, b.model, about(b.down)), "its last error: " + b.error, {{"last_error", b.error}}}, out);
      return;
    case Kind::queue_age:
      for (const auto& q : g.queues)
        if (!q.paused && q.ready > 0 && q.oldest >= rule.age)
          note(rule, {{"queue", q.name}}, {seconds(q.oldest), seconds(rule.age), fmt::format("a job of queue {} waits for {}", q.name, about(q.oldest)),
                                           fmt::format("{} jobs are ready", q.ready), {{"ready", std::to_string(q.ready)}}}, out);
      return;
    case Kind::price_missing:
      for (const auto& model : g.unpriced)
        note(rule, {{"model", model}}, {1, 0, fmt::format("{} has no price: what it costs is not counted", model), "give it one under models:", {}}, out);
      return;
    case Kind::journal:
      if (!g.journal_failing && g.importer_behind < rule.age) return;
      return note(rule, {}, {g.journal_failing ? 0 : seconds(g.importer_behind), seconds(rule.age),
                             g.journal_failing ? std::string("the disk does not take records: calls are refused") : fmt::format("the ledger is {} behind the journal", about(g.importer_behind)),
                             "is the disk full, or the database away?", {}}, out);
    case Kind::lost_commits:
      if (!g.lost_ago || *g.lost_ago >= rule.age) return;
      return note(rule, {}, {static_cast<double>(g.lost), 0, fmt::format("a failover of the database has lost {} acknowledged changes of jobs", g.lost),
                             "the log (lost_commits) and the audit trail (database.commits_lost) name them", {{"ago", about(*g.lost_ago)}}}, out);
    default: return;
  }
}

// A forecast goes on as the last day went (or less, where less is known, but a quarter of what is left).
void Judge::judge_budgets(const Rule& rule, WallTime now, const Gauges& g, Findings& out) {
  for (const auto& b : g.budgets) {
    if (b.limit_usd <= 0) continue;
    const double share = b.spent_usd / b.limit_usd;
    Labels labels = {{"budget", b.name}, {"scope", b.scope}, {"value", b.value}};
    Labels evidence = {{"spent_usd", fmt::format("{:.4f}", b.spent_usd)}, {"limit_usd", fmt::format("{:.4f}", b.limit_usd)}};
    const std::string detail = fmt::format("${:.4f} of ${:.4f}; the window ends {}", b.spent_usd, b.limit_usd, to_rfc3339(b.end));
    if (rule.kind == Kind::budget) {
      if (share < rule.threshold) continue;
      note(rule, std::move(labels), {share, rule.threshold, fmt::format("{:.0f} % of budget {} are spent", share * 100, b.name), detail, std::move(evidence)}, out);
      continue;
    }
    const std::string key = b.name + '\x1f' + b.value;
    if (!paces_.contains(key) && paces_.size() >= kMostBudgets) continue;
    auto& spent = paces_[key].spent;
    if (!spent.empty() && b.spent_usd < spent.back().second) spent.clear();   // a new window
    if (spent.empty() || now - spent.back().first >= kPaceEvery) spent.emplace_back(now, b.spent_usd);
    if (spent.size() > kMostPaces) spent.pop_front();
    const Duration known = now - spent.front().first, left = std::max<Duration>(b.end - now, Duration::zero());
    if (share >= 1 || known < std::min<Duration>(left / 4, std::chrono::hours(23)) || known < std::chrono::minutes(15)) continue;
    const double pace = (b.spent_usd - spent.front().second) / seconds(known), forecast = b.spent_usd + pace * seconds(left);
    if (pace <= 0 || forecast < rule.threshold * b.limit_usd) continue;
    const Duration until = std::chrono::duration_cast<Duration>(Seconds((b.limit_usd - b.spent_usd) / pace));
    evidence.emplace_back("forecast_usd", fmt::format("{:.4f}", forecast));
    note(rule, std::move(labels), {forecast / b.limit_usd, rule.threshold, fmt::format("budget {} will be spent in {}", b.name, about(until)), detail, std::move(evidence)}, out);
  }
}

}  // namespace ballast::watch
