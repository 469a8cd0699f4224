#include "server/state_metrics.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace ballast::server {

namespace {

double usd(Money m) { return static_cast<double>(m.nano) * 1e-9; }
double number(std::uint64_t n) { return static_cast<double>(n); }

// `figure` of what `from` returns, under a name.
template <class From>
auto gauges_of(metrics::Registry& registry, From from) {
  return [&registry, from](std::string_view name, std::string_view help, auto figure) {
    registry.gauge_from(name, help, [from, figure] { return static_cast<double>(figure(from())); });
  };
}

void export_journal(metrics::Registry& registry, const records::CallJournal& journal) {
  const auto gauge = gauges_of(registry, [&journal] { return journal.stats(); });
  using Stats = records::CallJournal::Stats;
  gauge("ballast_journal_behind_seconds", "How long the ledger has not been level with the journal", [](const Stats& s) { return static_cast<double>(s.behind.count()) * 1e-9; });
  gauge("ballast_journal_behind_bytes", "Written, not yet in the ledger", [](const Stats& s) { return number(s.behind_bytes); });
  gauge("ballast_journal_files", "Journal files on the disk", [](const Stats& s) { return number(s.files); });
  gauge("ballast_journal_file_bytes", "Their size; at ledger.max calls are refused", [](const Stats& s) { return number(s.file_bytes); });
  gauge("ballast_journal_in_flight", "Intents whose outcome is not written yet", [](const Stats& s) { return number(s.in_flight); });
  gauge("ballast_journal_failing", "1: the disk does not take records, and calls are refused", [](const Stats& s) { return s.failing ? 1.0 : 0.0; });
  gauge("ballast_journal_kept_outcomes", "Outcomes in memory, waiting for the disk", [](const Stats& s) { return number(s.kept_outcomes); });
  gauge("ballast_journal_write_errors", "Writes that failed, since the start", [](const Stats& s) { return number(s.write_errors); });
  gauge("ballast_journal_import_errors", "Imports that failed, since the start", [](const Stats& s) { return number(s.import_errors); });
  gauge("ballast_journal_damaged_bytes", "Skipped as torn or rotten, since the start", [](const Stats& s) { return number(s.damaged_bytes); });
  gauge("ballast_journal_unknown_calls", "Calls whose outcome a crash took away, since the start", [](const Stats& s) { return number(s.unknown_calls); });
}

void export_budgets(metrics::Registry& registry, const gateway::Gateway& gateway) {
  const auto gauge = gauges_of(registry, [&gateway] { return gateway.setup()->budgets->stats(); });
  using Stats = gateway::BudgetBook::Stats;
  gauge("ballast_budget_windows", "Budget windows in memory", [](const Stats& s) { return number(s.windows); });
  gauge("ballast_budget_overflowed_holds", "Holds that shared a window because there were too many", [](const Stats& s) { return number(s.overflowed); });
  gauge("ballast_budget_overspends", "Calls that a provider charged above their proven ceiling", [](const Stats& s) { return number(s.overspends); });
  gauge("ballast_budget_overspent_usd", "By how much, in all", [](const Stats& s) { return usd(s.overspent); });
  gauge("ballast_budget_unsettled_holds", "Holds that died without being settled: a fault of Ballast's", [](const Stats& s) { return number(s.unsettled); });
  registry.gauge_from("ballast_budget_distrusted_models", "Models whose ceilings are multiplied because they overspent",
                      [&gateway] { return number(gateway.setup()->budgets->stopped().size()); });
}

void export_cache(metrics::Registry& registry, const gateway::ResponseCache& cache) {
  const auto gauge = gauges_of(registry, [&cache] { return cache.stats(); });
  using Stats = gateway::ResponseCache::Stats;
  gauge("ballast_cache_entries", "Answers in the response cache", [](const Stats& s) { return number(s.entries); });
  gauge("ballast_cache_bytes", "Their size; cache_size is the bound", [](const Stats& s) { return number(s.bytes); });
  gauge("ballast_cache_evictions", "Answers that left to make room, since the start", [](const Stats& s) { return number(s.evicted); });
}

}  // namespace

void export_state(metrics::Registry& registry, const gateway::Gateway& gateway, const store::Database& database) {
  const auto& world = gateway.world();
  export_journal(registry, world.journal);
  export_budgets(registry, gateway);
  export_cache(registry, world.cache);
  registry.gauge_from("ballast_queue_waiting", "Calls over a limit that wait for a place", [&gateway] { return number(gateway.setup()->queue->waiting()); });
  registry.gauge_from("ballast_breakers_open", "Targets that are left alone", [&breakers = world.breakers] {
    const auto list = breakers.list();
    return number(static_cast<std::uint64_t>(std::ranges::count_if(list, [](const auto& b) { return b.view.state != gateway::BreakerState::closed; })));
  });
  registry.gauge_from("ballast_database_queued", "Writes that wait for the database", [&database] { return number(database.stats().queued); });
  registry.gauge_from("ballast_log_dropped_lines", "Log lines dropped because their reader is slower than the log, since the start", [] { return number(log::dropped()); });
}

void export_quotas(metrics::Registry& registry, const cluster::Quotas* quotas) {
  using Stats = cluster::Quotas::Stats;
  const auto gauge = gauges_of(registry, [quotas] { return quotas ? quotas->stats() : Stats{}; });
  gauge("ballast_quota_active", "Quotas of several nodes that this one has a slice of, or asks for one", [](const Stats& s) { return number(s.active); });
  gauge("ballast_quota_transactions", "Transactions for slices of quotas, since the start", [](const Stats& s) { return number(s.transactions); });
  gauge("ballast_quota_asks", "Slices that they settled, since the start", [](const Stats& s) { return number(s.asks); });
  gauge("ballast_quota_failures", "Those that failed, since the start", [](const Stats& s) { return number(s.failed); });
  gauge("ballast_quota_away_seconds", "For how long all have failed", [](const Stats& s) { return static_cast<double>(s.away.count()) * 1e-9; });
}

}  // namespace ballast::server
