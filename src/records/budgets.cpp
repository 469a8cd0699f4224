#include "records/budgets.hpp"

#include <algorithm>
#include <map>

#include "base/money.hpp"
#include "base/text.hpp"

namespace ballast::records {

namespace {

std::int64_t start_of(std::string_view window) {
  const auto bar = window.rfind('|');
  return parse_int<std::int64_t>(bar == std::string_view::npos ? window : window.substr(bar + 1)).value_or(0);
}

// In one order everywhere: two nodes that add to the same windows do not deadlock.
std::map<std::string_view, Money> sums_of(std::span<const BudgetCharge> charges) {
  std::map<std::string_view, Money> sums;
  for (const BudgetCharge& c : charges) sums[c.window] += Money{c.nano};
  return sums;
}

std::int64_t seconds(WallTime t) { return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count(); }

}  // namespace

std::vector<BudgetCharge> sum_by_window(std::span<const BudgetCharge> charges) {
  std::vector<BudgetCharge> out;
  for (const auto& [window, sum] : sums_of(charges)) out.push_back({std::string(window), sum.nano});
  return out;
}

Result<void> add_spend(store::Tx& tx, std::span<const BudgetCharge> charges) {
  store::Batch batch(3);
  for (const auto& [window, sum] : sums_of(charges))
    if (sum.nano != 0) batch.add({window, start_of(window), sum.nano});
  if (batch.size() == 0) return {};
  // Saturates at nine billion dollars, where Money does, instead of failing for ever.
  auto added = tx.run_many(
      "INSERT INTO budget_spend (window_id, start_s, nano) VALUES ($1, $2, $3) ON CONFLICT (window_id) DO UPDATE SET nano = "
      "CASE WHEN excluded.nano > 0 AND budget_spend.nano > 9000000000000000000 - excluded.nano THEN 9000000000000000000 "
      "ELSE budget_spend.nano + excluded.nano END",
      batch);
  if (!added) return std::unexpected(added.error());
  return {};
}

Result<void> correct_spend(store::Tx& tx, std::span<const BudgetCharge> changes) {
  store::Batch batch(2);
  for (const auto& [window, sum] : sums_of(changes))
    if (sum.nano != 0) batch.add({window, sum.nano});
  if (batch.size() == 0) return {};
  auto done = tx.run_many("UPDATE budget_spend SET nano = CASE WHEN nano + $2 < 0 THEN 0 ELSE nano + $2 END WHERE window_id = $1", batch);
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::vector<BudgetCharge>> load_spend(store::Tx& tx, WallTime since, std::size_t limit) {
  std::vector<BudgetCharge> out;
  std::string after;
  while (out.size() < limit) {
    const std::size_t page = std::min<std::size_t>(limit - out.size(), 100'000);
    auto rows = tx.run("SELECT window_id, nano FROM budget_spend WHERE window_id > $1 AND start_s >= $2 ORDER BY window_id LIMIT $3",
                       {after, seconds(since), page});
    if (!rows) return std::unexpected(rows.error());
    for (store::Row r : *rows) out.push_back({r.string(0), r.integer(1)});
    if (rows->size() < page) break;
    after = out.back().window;
  }
  return out;
}

Result<std::vector<std::int64_t>> lock_spend(store::Tx& tx, std::span<const std::string_view> windows) {
  std::vector<std::int64_t> out;
  for (const std::string_view window : windows) {
    auto rows = tx.run("INSERT INTO budget_spend (window_id, start_s, nano) VALUES ($1, $2, 0) ON CONFLICT (window_id) DO UPDATE SET nano = budget_spend.nano "
                       "RETURNING nano", {window, start_of(window)});
    if (!rows) return std::unexpected(rows.error());
    out.push_back((*rows)[0].integer(0));
  }
  return out;
}

Result<std::int64_t> spend_of(store::Tx& tx, std::string_view window) {
  auto rows = tx.run("SELECT nano FROM budget_spend WHERE window_id = $1", {window});
  if (!rows) return std::unexpected(rows.error());
  return rows->empty() ? 0 : (*rows)[0].integer(0);
}

Result<std::uint64_t> delete_spend(store::Tx& tx, WallTime started_before, std::size_t limit) {
  auto rows = tx.run(
      "DELETE FROM budget_spend WHERE window_id IN (SELECT window_id FROM budget_spend WHERE start_s < $1 ORDER BY window_id LIMIT $2)",
      {seconds(started_before), limit});
  if (!rows) return std::unexpected(rows.error());
  return static_cast<std::uint64_t>(rows->affected());
}

}  // namespace ballast::records
