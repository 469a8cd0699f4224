#include "gateway/budgets_ledger.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "base/random.hpp"
#include "base/text_writer.hpp"

namespace ballast::gateway {

void BudgetBook::Window::id(std::string& out) const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(span.start).time_since_epoch().count();
  out.clear();
  append_text(out, budget.size() + value.size() + kNumberRoom + 2, [&](TextWriter& w) { w.put(budget).put('|').put(value).put('|').number(seconds); });
}

BudgetBook::Ledger::Ledger(Options o) : options(o), seed(os_seed()) {}

std::uint64_t BudgetBook::Ledger::hash_of(const Key& key) const {
  return fast_hash(key.value, hash_mix(fast_hash(key.budget, seed), static_cast<std::uint64_t>(key.span.start.time_since_epoch().count())));
}

BudgetBook::Window* BudgetBook::Ledger::Shard::find(std::uint64_t hash, const Key& key) const {
  const auto [begin, end] = windows.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    Window& w = *it->second;
    if (w.value == key.value && w.span == key.span && w.budget == key.budget) return &w;
  }
  return nullptr;
}

void BudgetBook::Ledger::Shard::unlink(Window& w) {
  (w.newer ? w.newer->older : newest) = w.older;
  (w.older ? w.older->newer : oldest) = w.newer;
  w.newer = w.older = nullptr;
}

void BudgetBook::Ledger::Shard::link_newest(Window& w) {
  w.older = newest;
  (newest ? newest->newer : oldest) = &w;
  newest = &w;
}

// Forgets a window whose money no longer matters, looking at a few of the least recently used.
bool BudgetBook::Ledger::Shard::forget_one(WallTime now) {
  for (int looked = 0; looked < 16 && oldest; ++looked) {
    Window& w = *oldest;
    unlink(w);
    if (w.pins == 0 && (w.span.end <= now || w.charged.load(std::memory_order_relaxed) == 0)) {
      const auto [begin, end] = windows.equal_range(w.hash);
      const auto it = std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == &w; });
      assert(it != end);
      windows.erase(it);
      return true;
    }
    link_newest(w);
  }
  return false;
}

BudgetBook::Window* BudgetBook::Ledger::pin_in(Shard& shard, std::uint64_t hash, const Key& key, WallTime now) {
  const std::lock_guard hold(shard.lock);
  if (Window* w = shard.find(hash, key)) {
    if (shard.newest != w) {
      shard.unlink(*w);
      shard.link_newest(*w);
    }
    ++w->pins;
    return w;
  }
  const std::size_t room = std::max<std::size_t>(1, options.max_windows / shards.size());
  const bool forgot = shard.windows.size() >= std::min<std::size_t>(room, 64) && shard.forget_one(now);
  // The shared window of a budget always has a place: there are few.
  if (shard.windows.size() >= room && !forgot && !key.value.empty()) return nullptr;
  auto made = std::make_unique<Window>();
  made->budget = key.budget;
  made->value = key.value;
  made->span = key.span;
  made->hash = hash;
  made->pins = 1;
  Window* w = made.get();
  shard.windows.emplace(hash, std::move(made));
  shard.link_newest(*w);
  return w;
}

BudgetBook::Window& BudgetBook::Ledger::pin(const Key& key, WallTime now) {
  const auto hash = hash_of(key);
  if (Window* w = pin_in(shard_of(hash), hash, key, now)) return *w;
  overflowed.fetch_add(1, std::memory_order_relaxed);
  const Key shared{key.budget, {}, key.span};
  const auto shared_hash = hash_of(shared);
  return *pin_in(shard_of(shared_hash), shared_hash, shared, now);
}

void BudgetBook::Ledger::pin_again(Window& w) {
  const std::lock_guard hold(shard_of(w.hash).lock);
  ++w.pins;
}

void BudgetBook::Ledger::unpin(Window& w) {
  const std::lock_guard hold(shard_of(w.hash).lock);
  --w.pins;
}

BudgetBook::Ledger::Figures BudgetBook::Ledger::look(const Key& key) const {
  const auto hash = hash_of(key);
  const Shard& shard = shard_of(hash);
  const std::lock_guard hold(shard.lock);
  const Window* w = shard.find(hash, key);
  if (!w) return {};
  return {{w->charged.load(std::memory_order_acquire)}, {w->spent.load(std::memory_order_acquire)}};
}

BudgetBook::Window* BudgetBook::Ledger::find(const Key& key) {
  const auto hash = hash_of(key);
  Shard& shard = shard_of(hash);
  const std::lock_guard hold(shard.lock);
  Window* w = shard.find(hash, key);
  if (w) ++w->pins;
  return w;
}

}  // namespace ballast::gateway
