#include <algorithm>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "base/text_writer.hpp"
#include "gateway/limits_buckets.hpp"
#include "gateway/principal.hpp"

namespace ballast::gateway {

namespace {

using Wide = unsigned __int128;
constexpr std::array<std::string_view, 7> kScopeNames{"provider", "model", "key", "user", "feature", "team", "system"};
constexpr std::size_t kShards = 64;
constexpr std::size_t kSharedBuckets = 32'768;                 // of three quotas each: fewer than a node may hold (cluster::QuotasOptions)
constexpr Duration kReleaseHint = std::chrono::seconds(1);     // Retry-After where only a release can help

std::uint64_t narrow(Wide w) { return w > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(w); }

Wide weight(const Rate& rate, std::uint64_t units) { return static_cast<Wide>(units) * static_cast<std::uint64_t>(rate.per.count()); }
Wide capacity(const Rate& rate) { return weight(rate, rate.count); }
std::int64_t time_to_drain(const Rate& rate, Wide debt) {
  const Wide ns = (debt + rate.count - 1) / rate.count;
  return ns > INT64_MAX / 2 ? INT64_MAX / 2 : static_cast<std::int64_t>(ns);
}

QuotaFigures figures_of(const Rate& rate, Wide debt) {
  const Wide left = capacity(rate) > debt ? capacity(rate) - debt : 0;
  return {.limit = rate.count,
          .remaining = narrow(left / static_cast<std::uint64_t>(rate.per.count())),
          .reset = Duration(time_to_drain(rate, debt))};
}

std::string_view value_for(LimitScope scope, const LimitSubject& s) {
  switch (scope) {
    case LimitScope::provider: return s.provider;
    case LimitScope::model: return s.model;
    case LimitScope::key: return s.key;
    case LimitScope::user: return s.user;
    case LimitScope::feature: return s.feature;
    case LimitScope::team: return s.team;
    case LimitScope::system: return s.system ? "*" : "";
  }
  return {};
}

// Whom the rule counts; empty: it does not apply.
std::string_view value_under(const LimitRule& rule, const LimitSubject& s) {
  const auto value = value_for(rule.scope, s);
  return rule.match.empty() || name_matches(rule.match, value) ? value : std::string_view();
}

bool of_target(LimitScope scope) { return scope == LimitScope::provider || scope == LimitScope::model; }

Limits::Options bounded(Limits::Options options) {
  if (options.quotas && options.quotas->alone()) options.quotas = nullptr;
  if (options.quotas) options.max_buckets = std::min(options.max_buckets, kSharedBuckets);
  return options;
}

}  // namespace

std::string_view to_string(LimitScope scope) { return kScopeNames[static_cast<std::size_t>(scope)]; }

std::optional<LimitScope> limit_scope_from(std::string_view name) {
  const auto it = std::ranges::find(kScopeNames, name);
  if (it == kScopeNames.end()) return std::nullopt;
  return static_cast<LimitScope>(it - kScopeNames.begin());
}

std::string reset_text(Duration d) {
  const auto ms = (std::max<std::int64_t>(0, d.count()) + 999'999) / 1'000'000;
  const auto seconds = ms / 1000;
  char text[2 * kNumberRoom];
  TextWriter w(text, sizeof text);
  if (ms < 1000) {
    w.number(ms).put('m');
  } else {
    if (seconds >= 3600) w.number(seconds / 3600).put('h');
    if (seconds >= 60) w.number(seconds / 60 % 60).put('m');
    w.number(seconds % 60);
    if (seconds < 60 && ms % 1000 != 0) w.put('.').padded(static_cast<std::uint64_t>(ms % 1000), 3);
  }
  return std::string(w.put('s').written());
}

Result<std::unique_ptr<Limits>> Limits::create(std::vector<LimitRule> rules, const Clock& clock, Options options) {
  std::size_t of_caller = 0, of_targets = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto field = fmt::format("limits[{}]", i);
    const auto& rule = rules[i];
    if (!rule.requests && !rule.tokens && !rule.concurrency)
      return fail(ErrorCode::caller_invalid_request, "limits nothing: give requests, tokens or concurrency", field);
    for (const auto& rate : {rule.requests, rule.tokens}) {
      if (rate && (rate->count == 0 || rate->per <= Duration::zero()))
        return fail(ErrorCode::caller_invalid_request, "an amount and a period above zero are needed", field);
      if (rate && bounded(options).quotas && rate->count > kMostShared)
        return fail(ErrorCode::caller_invalid_request, "at most 9,000,000,000 in a period, where several nodes share it: take a shorter period", field);
    }
    if (rule.concurrency && *rule.concurrency == 0)
      return fail(ErrorCode::caller_invalid_request, "concurrency must be above zero", field + ".concurrency");
    ++(of_target(rule.scope) ? of_targets : of_caller);
  }
  if (std::max(of_caller, of_targets) > Admission::kMax)
    return fail(ErrorCode::caller_invalid_request, fmt::format("at most {} limits for callers and as many for targets", Admission::kMax),
                "limits");
  std::unique_ptr<Limits> made(new Limits(std::move(rules), clock, bounded(options)));
  if (made->options_.quotas) made->share();
  return made;
}

Limits::Limits(std::vector<LimitRule> rules, const Clock& clock, Options options)
    : clock_(clock), options_(options), shards_(std::make_unique<Shard[]>(kShards)), seed_(os_seed()) {
  for (auto& rule : rules) {
    const auto index = static_cast<std::uint32_t>(rules_.size());
    rules_.push_back(Rule{{std::move(rule)}, index});
    auto shared = std::make_unique<Bucket>();
    shared->rule = index;
    shared->shard = &shards_[0];
    overflow_.push_back(std::move(shared));
  }
}
Limits::~Limits() = default;

Limits::Shard& Limits::shard_of(std::uint64_t hash) const { return shards_[hash >> 58]; }
static_assert(kShards == 1U << (64 - 58));

std::uint64_t Limits::hash_of(std::uint32_t rule, std::string_view value) const { return fast_hash(value, seed_ + rule); }

// With the shard locked: the bucket, made if there is room, else the rule's shared one (which lives in shard 0, so the
// caller must relock; it sees that by `Bucket::shard`).
Limits::Bucket& Limits::bucket_in(Shard& shard, std::uint64_t hash, const Rule& rule, std::string_view value) {
  if (Bucket* b = shard.find(hash, rule.index, value)) {
    shard.touch(*b);
    return *b;
  }
  const std::int64_t now = clock_.mono().time_since_epoch().count();
  const std::size_t room = std::max<std::size_t>(1, options_.max_buckets / kShards);
  const bool forgot = shard.buckets.size() >= std::min<std::size_t>(room, 64) && shard.forget_one(rules_, now);
  if (shard.buckets.size() >= room && !forgot) return *overflow_[rule.index];
  auto made = std::make_unique<Bucket>();
  made->rule = rule.index;
  made->value = value;
  made->hash = hash;
  made->shard = &shard;
  Bucket& b = *made;
  shard.buckets.emplace(hash, std::move(made));
  shard.link_newest(b);
  return b;
}

namespace {

// The checks of one bucket, and the taking; under its lock. False and `by`, `wait_ns`, `never` on refusal.
template <class Bucket, class Denial>
bool take_from(Bucket& b, const LimitRule& rule, std::uint64_t tokens, bool waited, std::int64_t now, LimitFigures& figures, Denial& denial) {
  using By = typename Denial::By;
  if (rule.requests) b.requests.drain(*rule.requests, now);
  if (rule.tokens) b.tokens.drain(*rule.tokens, now);
  if (b.waiters > 0 && !waited) {
    denial = {.by = By::queue};
    return false;
  }
  if (rule.concurrency && b.in_flight >= *rule.concurrency) {
    denial = {.by = By::concurrency};
    return false;
  }
  if (rule.requests) {
    const Wide wanted = b.requests.debt + weight(*rule.requests, 1);
    if (wanted > capacity(*rule.requests)) {
      denial = {.by = By::requests, .wait_ns = time_to_drain(*rule.requests, wanted - capacity(*rule.requests))};
      return false;
    }
  }
  if (rule.tokens) {
    const Wide wanted = b.tokens.debt + weight(*rule.tokens, b.outstanding) + weight(*rule.tokens, tokens);
    if (wanted > capacity(*rule.tokens)) {
      const Wide excess = wanted - capacity(*rule.tokens);
      denial = {.by = By::tokens,
                .wait_ns = excess <= b.tokens.debt ? time_to_drain(*rule.tokens, excess) : -1,
                .never = tokens > rule.tokens->count};
      return false;
    }
    b.outstanding += tokens;
    keep_tighter(figures.tokens, figures_of(*rule.tokens, wanted));
  }
  if (rule.requests) {
    b.requests.debt += weight(*rule.requests, 1);
    keep_tighter(figures.requests, figures_of(*rule.requests, b.requests.debt));
  }
  ++b.in_flight;
  ++b.pins;
  return true;
}

}  // namespace

bool Limits::take(const Rule& rule, std::string_view value, std::uint64_t tokens, bool waited, std::int64_t now, Bucket*& taken,
                  LimitFigures& figures, Denial& denial) {
  const auto hash = hash_of(rule.index, value);
  Shard& shard = shard_of(hash);
  {
    const std::lock_guard hold(shard.lock);
    taken = &bucket_in(shard, hash, rule, value);
    if (!taken->value.empty()) return take_from(*taken, rule, tokens, waited, now, figures, denial);
  }
  overflowed_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard hold(taken->shard->lock);
  const bool took = take_from(*taken, rule, tokens, waited, now, figures, denial);
  denial.shared = true;
  return took;
}

std::expected<Admission, Refusal> Limits::admit(const LimitSubject& subject, std::uint64_t token_estimate, Turn turn) {
  Admission admission;
  const bool waited = turn == Turn::waited;
  std::int64_t now = 0;                    // read for the first rule that applies
  admission.limits_ = this;
  admission.estimate_ = token_estimate;
  for (const Rule& rule : rules_) {
    const auto value = value_under(rule, subject);
    if (value.empty()) continue;
    if (now == 0) now = clock_.mono().time_since_epoch().count();
    Bucket* taken = nullptr;
    Denial denial;
    const bool took = shared_ ? take_shared(rule, value, token_estimate, turn, taken, admission.figures_, denial)
                              : take(rule, value, token_estimate, waited, now, taken, admission.figures_, denial);
    if (!took) {
      // What the queue takes and gives back is seen by nobody: it pumps one lane at a time. Others may have been refused.
      admission.undo(/*tell_waiters=*/!waited);
      if (denial.slice) want_rest(rule, subject, token_estimate, turn != Turn::arrived);
      auto refused = refusal(rule, value, token_estimate, denial, now);
      if (!denial.shared) refused.bucket.value = value;
      refused.figures = figures(subject);
      return std::unexpected(std::move(refused));
    }
    admission.buckets_[admission.count_++] = taken;
  }
  return admission;
}

// A call that one rule's slice refused wants those of the rules after it as well: one answer may then do for all.
void Limits::want_rest(const Rule& refused, const LimitSubject& subject, std::uint64_t tokens, bool again) {
  for (std::size_t i = refused.index + 1; i < rules_.size(); ++i)
    if (const auto value = value_under(rules_[i], subject); !value.empty()) want(rules_[i], value, tokens, again);
}

Refusal Limits::refusal(const Rule& rule, std::string_view value, std::uint64_t tokens, const Denial& denial, std::int64_t now) const {
  const auto per = [](const Rate& r) {
    return r.per == std::chrono::seconds(1)   ? "second"
           : r.per == std::chrono::minutes(1) ? "minute"
           : r.per == std::chrono::hours(1)   ? "hour"
                                                 : "day";
  };
  Refusal r{.error = {.code = ErrorCode::policy_rate_limited, .retryable = !denial.never}, .bucket = {rule.index, {}}};
  const std::string who = rule.scope == LimitScope::system ? "the system" : fmt::format("{} \"{}\"", to_string(rule.scope), value);
  switch (denial.by) {
    case Denial::By::requests:
      r.error.message = fmt::format("{} has reached its limit of {} requests per {}", who, rule.requests->count, per(*rule.requests));
      break;
    case Denial::By::tokens:
      r.error.message = denial.never
          ? fmt::format("the call may take {} tokens, more than {} may have per {} ({})", tokens, who, per(*rule.tokens), rule.tokens->count)
          : fmt::format("{} has reached its limit of {} tokens per {}", who, rule.tokens->count, per(*rule.tokens));
      break;
    case Denial::By::concurrency:
      r.error.message = fmt::format("{} has reached its limit of {} calls at once", who, *rule.concurrency);
      break;
    case Denial::By::queue:
      r.error.message = fmt::format("{} is at its limit and others are waiting", who);
      break;
    case Denial::By::unchecked:
      r.error = unchecked(who, denial.other);
      break;
  }
  r.never = denial.never;
  r.slice = denial.slice;
  const std::int64_t pause = denial.ask_ns < 0 ? denial.wait_ns : denial.ask_ns;
  r.retry_at = pause < 0 ? MonoTime::max() : MonoTime(Duration(now + pause));
  if (!denial.never) {
    const Duration wait = denial.wait_ns < 0 ? kReleaseHint : Duration(denial.wait_ns);
    r.error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(wait);
  }
  return r;
}

LimitFigures Limits::figures(const LimitSubject& subject) const {
  LimitFigures out;
  const std::int64_t now = clock_.mono().time_since_epoch().count();
  for (const Rule& rule : rules_) {
    const auto value = value_under(rule, subject);
    if (value.empty()) continue;
    if (shared_) {
      add_figures(rule, value, out);
      continue;
    }
    const auto hash = hash_of(rule.index, value);
    const Shard& shard = shard_of(hash);
    Leak requests, tokens;
    std::uint64_t outstanding = 0;
    {
      const std::lock_guard hold(shard.lock);
      if (const Bucket* b = shard.find(hash, rule.index, value)) {
        requests = b->requests;
        tokens = b->tokens;
        outstanding = b->outstanding;
      }
    }
    if (rule.requests) {
      requests.drain(*rule.requests, now);
      keep_tighter(out.requests, figures_of(*rule.requests, requests.debt));
    }
    if (rule.tokens) {
      tokens.drain(*rule.tokens, now);
      keep_tighter(out.tokens, figures_of(*rule.tokens, tokens.debt + weight(*rule.tokens, outstanding)));
    }
  }
  return out;
}

// Changes the bucket under its lock, lets go of one pin, and tells the queue if somebody waits for this bucket.
template <class F>
void Limits::release(Bucket& b, bool tell_waiters, F under_lock) {
  {
    const std::lock_guard hold(b.shard->lock);
    under_lock();
    if (b.waiters == 0 || !tell_waiters || !on_room_) {
      --b.pins;
      return;
    }
  }
  on_room_(BucketId{b.rule, b.value});     // still pinned
  const std::lock_guard hold(b.shard->lock);
  --b.pins;
}

void Limits::give_back(Bucket& b, std::uint64_t tokens, bool tell_waiters) {
  if (b.parts) {
    b.parts->give_back(tokens);
    return release(b, tell_waiters, [] {});
  }
  const Rule& rule = rules_[b.rule];
  release(b, tell_waiters, [&] {
    if (rule.requests) {
      const Wide one = weight(*rule.requests, 1);
      b.requests.debt = b.requests.debt > one ? b.requests.debt - one : 0;
    }
    if (rule.tokens) b.outstanding -= tokens;
    --b.in_flight;
  });
}

void Limits::finish(Bucket& b, std::uint64_t estimate, std::uint64_t actual) {
  if (b.parts) {
    b.parts->finish(estimate, actual);
    return release(b, true, [] {});
  }
  const Rule& rule = rules_[b.rule];
  const std::int64_t now = rule.tokens ? clock_.mono().time_since_epoch().count() : 0;
  release(b, true, [&] {
    if (rule.tokens) {
      b.tokens.drain(*rule.tokens, now);
      b.tokens.debt += weight(*rule.tokens, actual);
      b.outstanding -= estimate;
    }
    --b.in_flight;
  });
}

BucketId Limits::add_waiter(BucketId id) {
  const Rule& rule = rules_[id.rule];
  const auto hash = hash_of(id.rule, id.value);
  Bucket* found = nullptr;
  if (!id.value.empty()) {
    Shard& shard = shard_of(hash);
    const std::lock_guard hold(shard.lock);
    Bucket& b = bucket_in(shard, hash, rule, id.value);
    if (!b.value.empty()) {
      ++b.waiters;
      ++b.pins;
      found = &b;
    } else {
      id.value.clear();
    }
  }
  if (!found) {
    found = overflow_[id.rule].get();
    const std::lock_guard hold(found->shard->lock);
    ++found->waiters;
    ++found->pins;
  }
  if (shared_) await_answers(*found, id);
  return id;
}

void Limits::remove_waiter(const BucketId& id) {
  Bucket* found = nullptr;
  // Under its lock. Of a shared limit it stays pinned until it is not looked for any more.
  const auto leave = [&](Bucket& b) {
    if (b.waiters == 0) return;
    --b.waiters;
    if (!shared_) --b.pins;
    found = &b;
  };
  if (!id.value.empty()) {
    const auto hash = hash_of(id.rule, id.value);
    Shard& shard = shard_of(hash);
    const std::lock_guard hold(shard.lock);
    if (Bucket* b = shard.find(hash, id.rule, id.value)) leave(*b);
  }
  if (!found) {
    Bucket& rest = *overflow_[id.rule];
    const std::lock_guard hold(rest.shard->lock);
    leave(rest);
  }
  if (shared_ && found) await_no_more(*found);
}

void Limits::on_room(std::function<void(const BucketId&)> callback) {
  const auto hold = shared_ ? std::unique_lock(shared_->telling) : std::unique_lock<std::mutex>();
  on_room_ = std::move(callback);
}

Limits::Stats Limits::stats() const {
  Stats s{.overflowed = overflowed_.load(std::memory_order_relaxed)};
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard hold(shards_[i].lock);
    s.buckets += shards_[i].buckets.size();
  }
  return s;
}

Admission& Admission::operator=(Admission&& o) noexcept {
  if (this == &o) return *this;
  settle(estimate_);
  limits_ = o.limits_;
  buckets_ = o.buckets_;
  count_ = std::exchange(o.count_, std::uint8_t{0});
  estimate_ = o.estimate_;
  figures_ = o.figures_;
  return *this;
}

Admission::~Admission() { settle(estimate_); }

void Admission::settle(std::uint64_t actual_tokens) {
  const auto count = std::exchange(count_, std::uint8_t{0});
  for (std::uint8_t i = 0; i < count; ++i) limits_->finish(*static_cast<Limits::Bucket*>(buckets_[i]), estimate_, actual_tokens);
}

void Admission::refund() { undo(true); }

void Admission::undo(bool tell_waiters) {
  for (auto count = std::exchange(count_, std::uint8_t{0}); count > 0; --count)
    limits_->give_back(*static_cast<Limits::Bucket*>(buckets_[count - 1]), estimate_, tell_waiters);
}

}  // namespace ballast::gateway
