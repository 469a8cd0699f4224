// Limits: how many requests, tokens and simultaneous calls each provider, model, key, user, feature, team and the whole
// system may have. A refused call consumes nothing.
//
// They hold over all nodes that share `Options::quotas`: a bucket then holds this node's slices of quotas that have a name in the database
// (cluster/quota.hpp), and a call may be refused because the slice is too small for now, though the whole is not (`Refusal::slice`).
//
// A rate is a token bucket (the virtual-time form, GCRA of ITU-T I.371) in integer nanoseconds whose capacity is one
// period's amount. Tokens are reserved by estimate at admission and charged by the actual count when the call ends: the
// settled debt plus all outstanding estimates never exceeds the capacity, so an estimate that proves too high never lets
// more through than the limit, and one that proves too low delays those who follow.
//
// Concurrency: every method is thread-safe. A bucket is changed under its shard's spinlock, held for tens of nanoseconds; slices under locks of their own.
// Bounds: at most `Options::max_buckets` buckets (one per rule and distinct value, about 200 bytes). A bucket that is idle
// and full may be forgotten, which changes nothing; when none is, new values of a rule share one overflow bucket: stricter,
// never laxer, counted in `overflowed()`.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/config_node.hpp"
#include "base/result.hpp"

namespace ballast::cluster {
class HeldQuota;
class Quotas;
}  // namespace ballast::cluster

namespace ballast::gateway {

enum class LimitScope : std::uint8_t { provider, model, key, user, feature, team, system };
std::string_view to_string(LimitScope scope);
std::optional<LimitScope> limit_scope_from(std::string_view name);

struct LimitRule {
  LimitScope scope = LimitScope::system;
  std::string match;                       // only values that match (exact, or prefix with '*'); empty: every value, each for itself
  std::optional<Rate> requests;
  std::optional<Rate> tokens;
  std::optional<std::uint32_t> concurrency;
  friend bool operator==(const LimitRule&, const LimitRule&) = default;
};

// Whom a call counts for. The road asks twice: once for the caller (key, user, feature, team, system), and once per
// attempt for the target (provider, model "provider/model"). An empty value is not limited by rules of its scope.
struct LimitSubject {
  std::string_view provider, model, key, user, feature, team;
  bool system = false;
};

// One quota as the caller sees it: the tightest of those that apply.
struct QuotaFigures {
  std::uint64_t limit = 0;
  std::uint64_t remaining = 0;             // of a shared quota: that this node could let through now
  Duration reset{};                        // until it is full again
  bool part = false;                       // of a shared quota: the node may be given more
};
struct LimitFigures {
  std::optional<QuotaFigures> requests;
  std::optional<QuotaFigures> tokens;
};
// "1s", "6m0s", "120ms": the form of x-ratelimit-reset-*.
std::string reset_text(Duration d);

// Identifies the bucket that refused, for the queue. Values equal for equal rule and scope value.
struct BucketId {
  std::uint32_t rule = 0;
  std::string value;
  friend bool operator==(const BucketId&, const BucketId&) = default;
};

struct Refusal {
  // policy_rate_limited with retry_after where time will help. internal_unavailable: a shared quota cannot be checked, since the database is away and what
  // this node had of it is over.
  Error error;
  BucketId bucket;
  MonoTime retry_at{};                     // when to ask again; MonoTime::max(): only a release can help
  bool never = false;                      // the estimate exceeds the limit's capacity: waiting is useless
  bool slice = false;                      // this node's part was too small: the database's next answer may change that (FairQueue)
  LimitFigures figures;
};

// How a call comes to the limits.
enum class Turn : std::uint8_t {
  arrived,
  again,                                   // it was refused, and is counted as wanted already
  waited,                                  // from the queue: it passes those waiting
};

class Limits;

// What an admitted call holds. Move-only. `settle(actual)` or destruction releases the concurrency slot exactly once;
// destruction without `settle` charges the estimate. `refund` undoes the admission entirely, as if it had never been.
class Admission {
 public:
  Admission() = default;                   // holds nothing
  Admission(Admission&& o) noexcept { *this = std::move(o); }
  Admission& operator=(Admission&& o) noexcept;
  ~Admission();
  bool holds_anything() const { return count_ != 0; }
  void settle(std::uint64_t actual_tokens);
  void refund();
  // After admission, of the tightest quotas: for x-ratelimit-* headers.
  const LimitFigures& figures() const { return figures_; }

 private:
  friend class Limits;
  friend class FairQueue;
  void undo(bool tell_waiters);
  static constexpr std::size_t kMax = 16;  // rules that may apply to one subject; configuration refuses more
  Limits* limits_ = nullptr;
  std::array<void*, kMax> buckets_{};
  std::uint8_t count_ = 0;
  std::uint64_t estimate_ = 0;
  LimitFigures figures_;
};

class Limits {
 public:
  struct Options {
    std::size_t max_buckets = 131'072;     // shared: 32,768 at most
    cluster::Quotas* quotas = nullptr;     // of all nodes; null, or alone: this is the only one. Outlives the Limits
    Duration longest_call{};               // shared: for how long an admission may be held. A dead node's permits come back so much later
    std::int64_t newer_than = 0;           // shared: `version` of the Limits before
  };
  // A new Limits begins with full buckets: on a reload keep the old one where the rules are the same. Shared, it goes on with what the nodes hold; of different
  // amounts for the same rule and period the one loaded last holds everywhere.
  // Refuses (caller_invalid_request) rules that limit nothing, have a zero amount, or could apply more than 16 at once; shared, amounts above 9,000,000,000.
  static Result<std::unique_ptr<Limits>> create(std::vector<LimitRule> rules, const Clock& clock, Options options);
  Limits(const Limits&) = delete;
  Limits& operator=(const Limits&) = delete;
  ~Limits();                               // after every Admission is gone

  // Takes from all limits that apply, or from none.
  std::expected<Admission, Refusal> admit(const LimitSubject& subject, std::uint64_t token_estimate, Turn turn = Turn::arrived);
  // What `admit` would report, taking nothing. Of shared quotas those that this node has a slice of.
  LimitFigures figures(const LimitSubject& subject) const;
  bool any() const { return !rules_.empty(); }
  std::int64_t version() const;            // shared: rises from Limits to Limits; else 0

  // For the queue: while a bucket has waiters, others are refused, so nobody overtakes. `on_room` is called, outside any
  // lock of the buckets and on any thread, when such a bucket regains room, or an answer of the database may have given it some. `add_waiter` returns the
  // bucket to name from then on. The queue calls both one at a time.
  BucketId add_waiter(BucketId bucket);
  void remove_waiter(const BucketId& bucket);
  void on_room(std::function<void(const BucketId&)> callback);      // before the first admit

  struct Stats {
    std::size_t buckets = 0;
    std::uint64_t overflowed = 0;          // admissions that fell on an overflow bucket
  };
  Stats stats() const;

 private:
  friend class Admission;
  struct Bucket;
  struct Shard;
  struct Rule;
  struct Denial;
  struct Parts;
  struct Shared;
  struct Wish;
  Limits(std::vector<LimitRule> rules, const Clock& clock, Options options);
  Shard& shard_of(std::uint64_t hash) const;
  std::uint64_t hash_of(std::uint32_t rule, std::string_view value) const;
  Bucket& bucket_in(Shard& shard, std::uint64_t hash, const Rule& rule, std::string_view value);
  bool take(const Rule& rule, std::string_view value, std::uint64_t tokens, bool waited, std::int64_t now, Bucket*& taken,
            LimitFigures& figures, Denial& denial);
  void share();
  bool take_shared(const Rule& rule, std::string_view value, std::uint64_t tokens, Turn turn, Bucket*& taken, LimitFigures& figures, Denial& denial);
  static std::array<Wish, 3> wishes(const Rule& rule, const Parts& parts, std::uint64_t tokens);
  bool take_parts(const Rule& rule, const std::array<Wish, 3>& wishes, bool again, LimitFigures& figures, Denial& denial) const;
  Denial behind_others(const std::array<Wish, 3>& wishes, bool again) const;
  void want(const Rule& rule, std::string_view value, std::uint64_t tokens, bool again);
  void want_rest(const Rule& refused, const LimitSubject& subject, std::uint64_t tokens, bool again);
  Bucket& pin(const Rule& rule, std::string_view value, bool& others_wait);
  void unpin(Bucket& bucket) const;
  const Parts& parts_of(Bucket& bucket);
  void add_figures(const Rule& rule, std::string_view value, LimitFigures& out) const;
  void await_answers(Bucket& bucket, const BucketId& id);
  void await_no_more(Bucket& bucket);
  void heard(const cluster::HeldQuota& quota);
  Error unchecked(std::string_view who, bool other) const;
  void give_back(Bucket& bucket, std::uint64_t tokens, bool tell_waiters);
  void finish(Bucket& bucket, std::uint64_t estimate, std::uint64_t actual);
  template <class F>
  void release(Bucket& bucket, bool tell_waiters, F under_lock);
  Refusal refusal(const Rule& rule, std::string_view value, std::uint64_t tokens, const Denial& denial, std::int64_t now) const;

  const Clock& clock_;
  const Options options_;
  std::vector<Rule> rules_;
  std::unique_ptr<Shard[]> shards_;
  std::vector<std::unique_ptr<Bucket>> overflow_;                   // one per rule
  std::function<void(const BucketId&)> on_room_;
  std::atomic<std::uint64_t> overflowed_{0};
  std::uint64_t seed_;
  std::unique_ptr<Shared> shared_;                                  // null: this is the only node
};

}  // namespace ballast::gateway
