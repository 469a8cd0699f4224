// Limits from inside, for its own files: the table of buckets, and what a bucket of a limit that several nodes share holds.
#pragma once
#include <cassert>
#include <mutex>
#include <unordered_map>

#include "cluster/quota.hpp"
#include "gateway/limits.hpp"
#include "gateway/spinlock.hpp"

namespace ballast::gateway {

inline constexpr std::uint64_t kMostShared = 9'000'000'000;    // units of a quota of several nodes

// A leaking bucket, exactly: debt is counted in unit·ns, so that a unit weighs `per` and a nanosecond drains `count`.
struct Leak {
  unsigned __int128 debt = 0;
  std::int64_t last = 0;

  void drain(const Rate& rate, std::int64_t now) {
    if (now <= last) return;
    const auto gone = static_cast<unsigned __int128>(now - last) * rate.count;
    debt = debt > gone ? debt - gone : 0;
    last = now;
  }
};

inline void keep_tighter(std::optional<QuotaFigures>& kept, const QuotaFigures& other) {
  if (!kept || other.remaining < kept->remaining) kept = other;
}

struct Limits::Rule : LimitRule {
  std::uint32_t index = 0;
};

// Of a limit that several nodes share: this node's slices of its quotas, which are changed outside the shard's lock, while the bucket is pinned.
struct Limits::Parts {
  std::shared_ptr<cluster::HeldQuota> requests, tokens, permits;      // null: not limited
  bool broken = false;                     // they could not be named: nothing is let through

  void give_back(std::uint64_t estimate) const;
  void finish(std::uint64_t estimate, std::uint64_t actual) const;
};

// Everything but `rule`, `value`, `hash` and `shard` is guarded by the shard's lock. `parts` is set once.
struct Limits::Bucket {
  std::uint32_t rule = 0;
  std::string value;
  std::uint64_t hash = 0;
  Shard* shard = nullptr;
  Leak requests;
  Leak tokens;
  std::uint64_t outstanding = 0;           // estimates of admitted calls that have not settled
  std::uint32_t in_flight = 0;
  std::uint32_t waiters = 0;
  std::uint32_t pins = 0;                  // admissions, waiters and notices that hold its address
  Bucket* newer = nullptr;                 // by last use
  Bucket* older = nullptr;
  std::unique_ptr<Parts> parts;            // of a limit that several nodes share: then nothing is counted here
};

struct alignas(64) Limits::Shard {
  mutable SpinLock lock;
  std::unordered_multimap<std::uint64_t, std::unique_ptr<Bucket>> buckets;   // by hash, compared by rule and value
  Bucket* newest = nullptr;
  Bucket* oldest = nullptr;

  Bucket* find(std::uint64_t hash, std::uint32_t rule, std::string_view value) const {
    const auto [begin, end] = buckets.equal_range(hash);
    for (auto it = begin; it != end; ++it)
      if (it->second->rule == rule && it->second->value == value) return it->second.get();
    return nullptr;
  }
  void unlink(Bucket& b) {
    (b.newer ? b.newer->older : newest) = b.older;
    (b.older ? b.older->newer : oldest) = b.newer;
    b.newer = b.older = nullptr;
  }
  void link_newest(Bucket& b) {
    b.older = newest;
    (newest ? newest->newer : oldest) = &b;
    newest = &b;
  }
  void touch(Bucket& b) {
    if (newest == &b) return;
    unlink(b);
    link_newest(b);
  }
  // Forgets the least recently used bucket that is idle and full, looking at a few. Those that are not move on.
  bool forget_one(const std::vector<Rule>& rules, std::int64_t now) {
    for (int looked = 0; looked < 16 && oldest; ++looked) {
      Bucket& b = *oldest;
      const Rule& rule = rules[b.rule];
      if (b.pins == 0) {
        if (rule.requests) b.requests.drain(*rule.requests, now);
        if (rule.tokens) b.tokens.drain(*rule.tokens, now);
        if (b.requests.debt == 0 && b.tokens.debt == 0) {
          unlink(b);
          const auto [begin, end] = buckets.equal_range(b.hash);
          for (auto it = begin; it != end; ++it)
            if (it->second.get() == &b) { buckets.erase(it); return true; }
          assert(false && "a linked bucket is in the table");
        }
      }
      touch(b);
    }
    return false;
  }
};

// Why a bucket refused, without strings: it is filled in under the lock.
struct Limits::Denial {
  enum class By : std::uint8_t { queue, requests, tokens, concurrency, unchecked } by = By::queue;
  std::int64_t wait_ns = -1;               // -1: only a release can help
  std::int64_t ask_ns = -1;                // when to ask again, where that is sooner
  bool never = false;
  bool shared = false;                     // the rule's overflow bucket
  bool slice = false;
  bool other = false;                      // unchecked: for ever, as the quota is of another kind

  // What a slice says that was like `f` when it refused `n` of `amount`. `per` zero: permits.
  static Denial of(By by, cluster::Nano n, cluster::Nano amount, Duration per, const cluster::HeldQuota::Figures& f, bool away);
};

// What Limits have beside the table where several nodes share them.
struct Limits::Shared {
  struct Names {                           // of a rule's quotas, without the value
    std::string requests, tokens, permits;
  };
  Shared(cluster::Quotas& all, std::int64_t made, Duration longest_call) : quotas(all), version(made), linger(longest_call) {}
  // The database has not answered for so long that nobody should wait for it.
  bool away() const;

  cluster::Quotas& quotas;
  const std::int64_t version;              // microseconds of wall time: of two configurations the later one rules
  const Duration linger;
  std::vector<Names> names;
  std::mutex waiting_mutex;                // guards `waiting`: for what an answer may make room
  std::unordered_map<const cluster::HeldQuota*, BucketId> waiting;
  std::mutex telling;                      // held while an answer is passed on, and where `on_room_` is set
  std::unique_ptr<cluster::Quotas::Listening> listening;
};

}  // namespace ballast::gateway
