#include "gateway/shared_books.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "cluster/quota_rows.hpp"
#include "records/budgets.hpp"

namespace ballast::gateway {

namespace {

constexpr std::string_view kMoney = "money|";
constexpr std::size_t kMostWindows = 100'000;

Result<void> note(store::Tx& tx, std::string_view holder, std::span<const records::BudgetCharge> charges) {
  if (tx.dialect() == store::Dialect::sqlite) return {};
  std::vector<cluster::Spent> spent;
  for (const auto& c : charges)
    if (c.nano != 0) spent.push_back({money_quota(c.window), c.nano});
  return cluster::note_spent(tx, holder, spent);
}

}  // namespace

std::string money_quota(std::string_view window) {
  const Digest d = sha256(window);
  return fmt::format("{}{}|{}", kMoney, window.substr(0, window.find('|')), to_hex({reinterpret_cast<const char*>(d.data()), d.size()}));
}

std::string holder_of(Id epoch) { return to_string(epoch, "boot"); }

Result<void> note_charges(store::Tx& tx, Id epoch, std::span<const records::BudgetCharge> charges) { return note(tx, holder_of(epoch), charges); }

Result<void> note_nobodys(store::Tx& tx, std::span<const records::BudgetCharge> charges) { return note(tx, cluster::kLedger, charges); }

Result<records::Reconciled> reconcile_charge(store::Tx& tx, const records::Reconciliation& by) {
  auto done = records::reconcile(tx, by);
  if (!done) return done;
  if (auto noted = note_nobodys(tx, records::sum_by_window(done->changes)); !noted) return fail(noted.error());
  return done;
}

Result<std::vector<std::int64_t>> spent_before(store::Tx& tx, std::span<const std::string_view> windows) { return records::lock_spend(tx, windows); }

Result<BudgetBook::WholeWindows> whole_windows(store::Tx& tx, std::string_view holder, WallTime since) {
  BudgetBook::WholeWindows out;
  if (tx.dialect() == store::Dialect::sqlite) return out;
  const auto charged = cluster::charged_beside(tx, holder, kMostWindows);
  if (!charged) return fail(charged.error());
  if (charged->empty()) return out;
  const auto known = records::load_spend(tx, since, kMostWindows);
  if (!known) return fail(known.error());
  std::unordered_map<std::string, std::string_view> windows;
  for (const auto& k : *known) windows.emplace(money_quota(k.window), k.window);
  for (const auto& c : *charged)
    if (const auto at = windows.find(c.quota); at != windows.end()) out.emplace(at->second, BudgetBook::Whole{.charged = {c.charged}, .spent = {c.spent}});
  return out;
}

}  // namespace ballast::gateway
