// What BudgetBook and Hold share and nobody else sees: windows in a bounded, sharded table, and the rare things beside them.
#pragma once
#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include <boost/container/small_vector.hpp>

#include "base/hash.hpp"
#include "cluster/quota.hpp"
#include "gateway/budgets.hpp"
#include "gateway/spinlock.hpp"

namespace ballast::gateway {

// The money of one budget, value and period. Charged by compare-and-swap while pinned; the rest is its shard's.
struct BudgetBook::Window {
  std::string budget, value;               // an empty value: shared by those the table has no room for
  WindowSpan span;
  std::uint64_t hash = 0;
  std::atomic<std::int64_t> charged{0};    // spent + held
  std::atomic<std::int64_t> spent{0};
  // Over several nodes. `charged` and `spent` are then this process' own, and the slice has taken what is charged.
  std::atomic<cluster::HeldQuota*> slice{nullptr};   // of `keeps`, once it is there
  std::shared_ptr<cluster::HeldQuota> keeps;
  std::atomic<std::int64_t> version{0};    // of the book whose terms the slice has
  std::atomic<std::int64_t> beside{0};     // spent by others and before, as far as known without the database
  std::uint32_t pins = 0;
  Window* newer = nullptr;
  Window* older = nullptr;

  // Adds `amount` unless that would pass `limit`; `left` is what the limit leaves.
  bool try_charge(Money amount, Money limit, Money& left) {
    std::int64_t seen = charged.load(std::memory_order_relaxed);
    do {
      left = limit - Money{seen};
      if (amount > left) return false;
    } while (!charged.compare_exchange_weak(seen, seen + amount.nano, std::memory_order_acq_rel, std::memory_order_relaxed));
    return true;
  }
  void add(Money amount) {
    charged.fetch_add(amount.nano, std::memory_order_acq_rel);
    if (auto* s = slice.load(std::memory_order_acquire); s && amount.nano < 0) s->give_back(-amount.nano);
    else if (s && amount.nano > 0) s->charge(amount.nano);
  }
  void spend(Money amount) { spent.fetch_add(amount.nano, std::memory_order_acq_rel); }
  // What `limit` leaves. Over several nodes an estimate, and at least what the slice has.
  Money left(Money limit, bool for_plan) const;
  void id(std::string& out) const;         // "budget|value|start in unix seconds", over what `out` holds
  std::string id() const { std::string text; id(text); return text; }
};

struct BudgetBook::Asking {
  bool again = false;
  Shortage lacking;
};

// A window pinned by a hold, and what the hold has charged to it.
struct BudgetBook::Piece {
  std::size_t rule = 0;
  Window* window = nullptr;
  Money amount;
  unsigned attempt = 0;                    // of a model's window
};

struct BudgetBook::Ledger {
  explicit Ledger(Options o);
  struct Key {
    std::string_view budget, value;
    WindowSpan span;
  };
  // The window, made if need be, pinned. Where there is no room, the one shared by all such values.
  Window& pin(const Key& key, WallTime now);
  void pin_again(Window& window);
  void unpin(Window& window);
  // Its figures, or zeros.
  struct Figures { Money charged, spent; };
  Figures look(const Key& key) const;
  // Pinned, or null: there is none.
  Window* find(const Key& key);
  template <class F>
  void each(F visit) const {
    for (const auto& shard : shards) {
      const std::lock_guard hold(shard.lock);
      for (const auto& [hash, window] : shard.windows) visit(*window);
    }
  }

  struct alignas(64) Shard {
    mutable SpinLock lock;
    std::unordered_multimap<std::uint64_t, std::unique_ptr<Window>> windows;
    Window* newest = nullptr;
    Window* oldest = nullptr;
    Window* find(std::uint64_t hash, const Key& key) const;
    void unlink(Window& w);
    void link_newest(Window& w);
    bool forget_one(WallTime now);
  };
  std::uint64_t hash_of(const Key& key) const;
  Window* pin_in(Shard& shard, std::uint64_t hash, const Key& key, WallTime now);
  Shard& shard_of(std::uint64_t hash) { return shards[hash >> 58]; }
  const Shard& shard_of(std::uint64_t hash) const { return shards[hash >> 58]; }

  const Options options;
  const std::uint64_t seed;
  std::mutex slicing;                      // one slice is made at a time
  std::array<Shard, 64> shards;
  std::atomic<std::uint64_t> overflowed{0};
  std::atomic<std::uint64_t> unsettled{0};

  // Rare: overspends, and outcomes that nobody knows.
  struct Distrust { unsigned factor = 1; std::uint64_t times = 0; Money over; };
  struct Unknown { UnknownOutcome outcome; std::vector<Window*> windows; };
  mutable std::mutex rare;
  std::map<std::string, Distrust, std::less<>> distrust;
  std::deque<Unknown> unknown;
  std::set<std::pair<std::string, unsigned>> followed;   // reconciled charges of earlier processes, at most `max_unknown`
  std::atomic<bool> any_distrust{false};
  std::uint64_t overspends = 0;
  Money overspent;
};

struct Hold::State {
  struct Attempt {
    enum class At : std::uint8_t { running, ended, unknown } at = At::running;
    std::string model;
    Money ceiling, incurred;
  };
  const BudgetBook* book = nullptr;
  std::string call;
  boost::container::small_vector<BudgetBook::Piece, 4> caller;   // amount: `held`, in every one
  boost::container::small_vector<BudgetBook::Piece, 2> models;
  boost::container::small_vector<Attempt, 1> attempts;
  Money held;                              // charged to each of the caller's windows
  Money committed;                         // of it: incurred, unknown, and the ceilings of running attempts
  Shortage lacking;                        // of the last `begin`
  bool settled = false;

  ~State();
};

}  // namespace ballast::gateway
