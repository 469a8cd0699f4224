// Budgets over several nodes: a window's money is what its slice of the quota holds.
#include <algorithm>

#include <fmt/format.h>

#include "base/log.hpp"
#include "gateway/budgets_ledger.hpp"
#include "gateway/shared_books.hpp"

namespace ballast::gateway {

namespace {

// What the database said so long ago of the whole is taken for true where a call is planned, or refused.
constexpr Duration kBelieved = std::chrono::seconds(1);
constexpr Money kMost{9'000'000'000'000'000'000};        // that a quota can have

bool believed(const cluster::HeldQuota::Figures& f) { return f.left && f.left->age <= kBelieved; }

}  // namespace

Result<void> BudgetBook::give_slice(Window& window, const BudgetRule& rule) const {
  if (window.version.load(std::memory_order_acquire) >= version_ || rule.amount <= Money{}) return {};
  if (window.value.empty())
    return fail(ErrorCode::policy_budget_exceeded, fmt::format("budget \"{}\": this node counts no more than {} windows at once", rule.name, ledger_->options.max_windows));
  const std::lock_guard lock(ledger_->slicing);
  if (window.version.load(std::memory_order_relaxed) >= version_) return {};
  const std::string name = window.id();
  auto slice = ledger_->options.quotas->hold(
      money_quota(name), {.kind = cluster::QuotaKind::money, .amount = std::min(rule.amount, kMost).nano, .ends_us = unix_us(window.span.end), .version = version_}, name);
  if (!slice) return fail(std::move(slice.error()));
  if (!window.keeps) {
    window.keeps = std::move(*slice);
    window.slice.store(window.keeps.get(), std::memory_order_release);
  }
  window.version.store(version_, std::memory_order_release);
  return {};
}

void BudgetBook::take_effect() const {
  if (!ledger_->options.quotas) return;
  const WallTime now = clock_.wall();
  std::vector<std::string> windows;                      // a lock of theirs is held while they are visited
  ledger_->each([&](const Window& w) {
    if (w.slice.load(std::memory_order_acquire)) windows.push_back(w.id());
  });
  for (const auto& window : windows) {
    const Named named = find_window(window, now);
    Window* w = named.rule ? ledger_->find({named.rule->name, named.value, named.span}) : nullptr;
    if (!w) continue;
    if (auto given = give_slice(*w, *named.rule); !given) log::warn("budget_not_changed", {{"budget", named.rule->name}, {"why", given.error().message}});
    ledger_->unpin(*w);
  }
}

bool BudgetBook::try_charge(Window& window, Money amount, Money limit, Money& left, Asking& asking) const {
  cluster::HeldQuota* slice = window.slice.load(std::memory_order_acquire);
  if (!slice) return window.try_charge(amount, limit, left);
  std::uint64_t seen = 0;
  bool taken = amount == Money{} || (amount <= limit && slice->take(amount.nano, asking.again));
  if (!taken && amount <= limit) {                            // an answer may have come meanwhile, and no other may follow it
    seen = slice->figures().answers;
    taken = slice->take(amount.nano, true);
  }
  if (taken) {
    window.charged.fetch_add(amount.nano, std::memory_order_acq_rel);
    return true;
  }
  left = window.left(limit, false);
  if (amount <= limit) asking.lacking = {.slice = window.keeps, .seen = seen, .wanted = amount};
  return false;
}

Money BudgetBook::Window::left(Money limit, bool for_plan) const {
  const Money mine{charged.load(std::memory_order_acquire)};
  const cluster::HeldQuota* s = slice.load(std::memory_order_acquire);
  const Money unasked = limit - mine - (for_plan ? Money{} : Money{beside.load(std::memory_order_acquire)});
  if (!s) return unasked;
  const auto f = s->figures();
  const bool told = for_plan ? believed(f) : f.left.has_value();
  return std::max(Money{f.share - f.used}, told ? Money{f.left->nano} : unasked);
}

// Something outside of this process' slice changed by `change`; of what the slice has, `spent` is not held any more.
void BudgetBook::follow_shared(Window& window, Money spent, Money change) {
  window.spend(spent);
  window.beside.fetch_add(change.nano, std::memory_order_acq_rel);
  if (auto* s = window.slice.load(std::memory_order_acquire)) s->doubt();
}

bool is_final(const Shortage& lacking) {
  const auto f = lacking.slice->figures();
  return believed(f) && Money{f.left->nano} < lacking.wanted;
}

void tell_why(const Shortage& lacking, Error& refusal) {
  const bool away = lacking.slice->away() > Duration{};
  refusal.message += away ? "; the database is away, and what this node may spend of it until it is back is used up"
                          : "; what is left is with other nodes at the moment";
  refusal.retry_after = std::chrono::seconds(1);
}

}  // namespace ballast::gateway
