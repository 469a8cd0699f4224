// Limits that several nodes share: a bucket's quotas are slices (cluster/quota.hpp). They are taken, given back and charged outside the spinlocks, while the
// bucket is pinned; what a later one refuses is given back to the ones before.
#include <algorithm>

#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "gateway/limits_buckets.hpp"

namespace ballast::gateway {

namespace {

using cluster::HeldQuota;
using cluster::kUnit;
using cluster::Nano;
using Figures = HeldQuota::Figures;
using Wide = __int128;
constexpr Duration kAnswer = std::chrono::milliseconds(250);   // an answer is due within it, while the database is there
constexpr Duration kAway = std::chrono::seconds(1);
constexpr std::size_t kPlainName = 256;

Nano units(std::uint64_t n) { return static_cast<Nano>(std::min(n, kMostShared)) * kUnit; }
Nano amount_of(const std::optional<Rate>& rate) { return rate ? units(rate->count) : 0; }

// A name within a quota's, which is not longer than it may be and shows nobody's user.
std::string named(std::string_view text, bool personal) {
  if (!personal && text.size() <= kPlainName && is_utf8(text) && !text.contains('\0')) return fmt::format("{}:{}", text.size(), text);
  const Digest d = sha256(text);
  return "#" + to_hex({reinterpret_cast<const char*>(d.data()), d.size()});
}

QuotaFigures figures_of(const Rate& rate, const Figures& f) {
  const Nano amount = units(rate.count), left = std::clamp<Nano>(f.level, 0, amount);
  return {.limit = rate.count,
          .remaining = static_cast<std::uint64_t>(left / kUnit),
          .reset = Duration(static_cast<std::int64_t>(static_cast<Wide>(amount - left) * rate.per.count() / amount)),
          .part = !f.full};
}

}  // namespace

void Limits::Parts::give_back(std::uint64_t estimate) const {
  if (tokens) tokens->settle(units(estimate), 0);
  if (requests) requests->give_back(kUnit);
  if (permits) permits->give_back(kUnit);
}

void Limits::Parts::finish(std::uint64_t estimate, std::uint64_t actual) const {
  if (tokens) tokens->settle(units(estimate), units(actual));
  if (permits) permits->give_back(kUnit);
}

bool Limits::Shared::away() const { return quotas.stats().away > kAway; }

Limits::Denial Limits::Denial::of(By by, Nano n, Nano amount, Duration per, const Figures& f, bool away) {
  if (f.over || f.other) return {.by = By::unchecked, .ask_ns = kAnswer.count(), .never = f.other, .slice = !away && !f.other, .other = f.other};
  Denial d{.by = by, .ask_ns = kAnswer.count(), .slice = !away && !f.full};
  if (per == Duration::zero() || n > amount - f.used) return d;        // only a release can help
  const auto refilled_by = [&](Nano rate) {
    const Wide ns = (static_cast<Wide>(n - f.level) * per.count() + rate - 1) / rate;
    return static_cast<std::int64_t>(std::min<Wide>(ns, INT64_MAX / 2));
  };
  const bool in_share = n <= f.share - f.used;
  if (in_share) d.ask_ns = std::min(d.ask_ns, refilled_by(f.share));
  if (!away) d.wait_ns = refilled_by(amount);                            // any node may have it by then
  else if (in_share) d.wait_ns = refilled_by(f.share);
  return d;
}

// Names every quota alike on all nodes and after a restart: by scope, match, what is limited, and which one it is of those that are alike in all that.
void Limits::share() {
  const std::int64_t now = std::max(unix_us(clock_.wall()), options_.newer_than + 1);
  shared_ = std::make_unique<Shared>(*options_.quotas, now, options_.longest_call);
  std::unordered_map<std::string, unsigned> seen;
  for (const Rule& rule : rules_) {
    const auto name = [&](std::string_view what, std::int64_t period_us) {
      const std::string like = fmt::format("limit|{}|{}|{}|{}|", to_string(rule.scope), named(rule.match, false), what, period_us);
      return fmt::format("{}{}|", like, seen[like]++);
    };
    const auto us = [](const Rate& rate) { return rate.per.count() / 1'000; };
    Shared::Names& names = shared_->names.emplace_back();
    if (rule.requests) names.requests = name("requests", us(*rule.requests));
    if (rule.tokens) names.tokens = name("tokens", us(*rule.tokens));
    if (rule.concurrency) names.permits = name("concurrency", 0);
  }
  shared_->listening = shared_->quotas.listen([this](const HeldQuota& quota) { heard(quota); });
}

std::int64_t Limits::version() const { return shared_ ? shared_->version : 0; }

Limits::Bucket& Limits::pin(const Rule& rule, std::string_view value, bool& others_wait) {
  const auto hash = hash_of(rule.index, value);
  Shard& shard = shard_of(hash);
  {
    const std::lock_guard hold(shard.lock);
    Bucket& b = bucket_in(shard, hash, rule, value);
    if (!b.value.empty()) {
      ++b.pins;
      others_wait = b.waiters > 0;
      return b;
    }
  }
  overflowed_.fetch_add(1, std::memory_order_relaxed);
  Bucket& rest = *overflow_[rule.index];
  const std::lock_guard hold(rest.shard->lock);
  ++rest.pins;
  others_wait = rest.waiters > 0;
  return rest;
}

// Of a pinned bucket; made when it is first asked.
const Limits::Parts& Limits::parts_of(Bucket& b) {
  {
    const std::lock_guard hold(b.shard->lock);
    if (b.parts) return *b.parts;
  }
  const Rule& rule = rules_[b.rule];
  const Shared::Names& names = shared_->names[b.rule];
  auto made = std::make_unique<Parts>();
  const auto hold_one = [&](const std::string& name, cluster::Terms terms) -> std::shared_ptr<HeldQuota> {
    if (name.empty()) return nullptr;
    terms.version = shared_->version;
    auto held = shared_->quotas.hold(name + named(b.value, rule.scope == LimitScope::user), terms);
    if (held) return std::move(*held);
    log::error("limit_not_shared", {{"quota", name}, {"why", held.error().message}});
    made->broken = true;
    return nullptr;
  };
  const auto rate = [](const std::optional<Rate>& r) {
    return cluster::Terms{.kind = cluster::QuotaKind::rate, .amount = amount_of(r), .period_us = r ? r->per.count() / 1'000 : 0};
  };
  const std::int64_t linger_us = shared_->linger.count() / 1'000;
  made->requests = hold_one(names.requests, rate(rule.requests));
  made->tokens = hold_one(names.tokens, rate(rule.tokens));
  made->permits = hold_one(names.permits, {.kind = cluster::QuotaKind::concurrency, .amount = units(rule.concurrency.value_or(0)), .linger_us = linger_us});
  const std::lock_guard hold(b.shard->lock);
  if (!b.parts) b.parts = std::move(made);
  return *b.parts;
}

// What a call takes of a bucket, in this order.
struct Limits::Wish {
  HeldQuota* quota;                        // null: nothing
  Denial::By by;
  Nano n, amount;
  Duration per;

  // It is wanted, and cannot be had: the next ask says so.
  Figures miss(bool again) const {
    Figures f = quota->figures();
    if (f.level < n) quota->miss(n, again);
    return f;
  }
};

std::array<Limits::Wish, 3> Limits::wishes(const Rule& rule, const Parts& p, std::uint64_t tokens) {
  using By = Denial::By;
  return {{{p.permits.get(), By::concurrency, kUnit, units(rule.concurrency.value_or(0)), {}},
           {p.requests.get(), By::requests, kUnit, amount_of(rule.requests), rule.requests ? rule.requests->per : Duration{}},
           {p.tokens.get(), By::tokens, units(tokens), amount_of(rule.tokens), rule.tokens ? rule.tokens->per : Duration{}}}};
}

bool Limits::take_shared(const Rule& rule, std::string_view value, std::uint64_t tokens, Turn turn, Bucket*& taken, LimitFigures& figures, Denial& denial) {
  bool others_wait = false;
  Bucket& b = pin(rule, value, others_wait);
  const Parts& parts = parts_of(b);
  const bool again = turn != Turn::arrived;
  bool took = false;
  if (parts.broken) denial = {.by = Denial::By::unchecked, .never = true, .other = true};
  else if (rule.tokens && tokens > rule.tokens->count) denial = {.by = Denial::By::tokens, .never = true};
  else if (others_wait && turn != Turn::waited) denial = behind_others(wishes(rule, parts, tokens), again);
  else took = take_parts(rule, wishes(rule, parts, tokens), again, figures, denial);
  denial.shared = b.value.empty();
  taken = &b;
  if (took) return true;
  unpin(b);
  return false;
}

// All or none. What comes after one that refused is asked for along with it, so that one answer may do.
bool Limits::take_parts(const Rule& rule, const std::array<Wish, 3>& wishes, bool again, LimitFigures& figures, Denial& denial) const {
  std::array<Figures, 3> after;
  for (std::size_t i = 0; i < wishes.size(); ++i) {
    const Wish& w = wishes[i];
    if (!w.quota) continue;
    if (w.by == Denial::By::tokens ? w.quota->reserve(w.n, again, &after[i]) : w.quota->take(w.n, again, &after[i])) continue;
    denial = Denial::of(w.by, w.n, w.amount, w.per, after[i], shared_->away());
    for (std::size_t k = 0; k < wishes.size(); ++k) {
      if (wishes[k].quota && k < i) wishes[k].quota->give_back(wishes[k].n);
      else if (wishes[k].quota && k > i) wishes[k].miss(again);
    }
    return false;
  }
  if (rule.tokens) keep_tighter(figures.tokens, figures_of(*rule.tokens, after[2]));
  if (rule.requests) keep_tighter(figures.requests, figures_of(*rule.requests, after[1]));
  return true;
}

// Others wait: nothing is tried, and all is wanted.
Limits::Denial Limits::behind_others(const std::array<Wish, 3>& wishes, bool again) const {
  Denial d{.by = Denial::By::queue, .ask_ns = kAnswer.count()};
  const bool away = shared_->away();
  for (const Wish& w : wishes) {
    if (!w.quota) continue;
    const Figures f = w.miss(again);
    if (f.over && away) d.by = Denial::By::unchecked;
    d.slice = d.slice || (!away && !f.full);
  }
  return d;
}

void Limits::want(const Rule& rule, std::string_view value, std::uint64_t tokens, bool again) {
  bool others_wait = false;
  Bucket& b = pin(rule, value, others_wait);
  for (const Wish& w : wishes(rule, parts_of(b), tokens))
    if (w.quota && w.n <= w.amount) w.miss(again);
  unpin(b);
}

void Limits::unpin(Bucket& b) const {
  const std::lock_guard hold(b.shard->lock);
  --b.pins;
}

void Limits::add_figures(const Rule& rule, std::string_view value, LimitFigures& out) const {
  const auto hash = hash_of(rule.index, value);
  const Shard& shard = shard_of(hash);
  Parts parts;
  {
    const std::lock_guard hold(shard.lock);
    const Bucket* b = shard.find(hash, rule.index, value);
    if (!b || !b->parts) return;
    parts = *b->parts;
  }
  if (parts.requests) keep_tighter(out.requests, figures_of(*rule.requests, parts.requests->figures()));
  if (parts.tokens) keep_tighter(out.tokens, figures_of(*rule.tokens, parts.tokens->figures()));
}

// The bucket has a waiter, which pins it.
void Limits::await_answers(Bucket& b, const BucketId& id) {
  const Parts& p = parts_of(b);
  const std::lock_guard hold(shared_->waiting_mutex);
  for (const auto* quota : {&p.requests, &p.tokens, &p.permits})
    if (*quota) shared_->waiting.insert_or_assign(quota->get(), id);
}

// A waiter of the bucket has left; its pin is let go of.
void Limits::await_no_more(Bucket& b) {
  const Parts& p = parts_of(b);
  const auto waits = [&] {
    const std::lock_guard hold(b.shard->lock);
    return b.waiters > 0;
  };
  if (!waits()) {
    const std::lock_guard hold(shared_->waiting_mutex);
    for (const auto* quota : {&p.requests, &p.tokens, &p.permits})
      if (*quota) shared_->waiting.erase(quota->get());
  }
  unpin(b);
}

// On the thread of answers.
void Limits::heard(const HeldQuota& quota) {
  const std::lock_guard telling(shared_->telling);
  BucketId bucket;
  {
    const std::lock_guard hold(shared_->waiting_mutex);
    const auto at = shared_->waiting.find(&quota);
    if (at == shared_->waiting.end()) return;
    bucket = at->second;
  }
  if (on_room_) on_room_(bucket);
}

Error Limits::unchecked(std::string_view who, bool other) const {
  Error e{.code = ErrorCode::internal_unavailable, .message = {}, .retryable = !other};
  const Duration away = shared_->quotas.stats().away;
  if (other)
    e.message = fmt::format("the limits of {} cannot be checked: another node has a limit of another kind under the same name; load one configuration on all nodes", who);
  else if (away > Duration::zero())
    e.message = fmt::format("the limits of {} cannot be checked: the database has been away for {} s, and what this node held of them is over; it is asked again every second",
                            who, std::chrono::ceil<std::chrono::seconds>(away).count());
  else
    e.message = fmt::format("the limits of {} cannot be checked yet: the database has not answered", who);
  return e;
}

}  // namespace ballast::gateway
