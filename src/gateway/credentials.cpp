#include "gateway/credentials.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "gateway/retry.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kMaxCredentials = 64;
constexpr std::int64_t kMinute = 60'000'000'000;
constexpr std::int64_t kNever = INT64_MAX;

std::int64_t ns(MonoTime t) { return t.time_since_epoch().count(); }

// A bucket of one minute's amount that drains steadily; the debt in units.
struct Minute {
  std::uint64_t amount = 0;                // 0: no limit
  double debt = 0;
  std::int64_t last = 0;

  void drain(std::int64_t now) {
    if (now > last) debt = std::max(0.0, debt - static_cast<double>(now - last) * static_cast<double>(amount) / static_cast<double>(kMinute));
    last = std::max(last, now);
  }
  // When `units` more fit; more than a whole minute's amount fits once the bucket is empty.
  std::int64_t ready_at(std::uint64_t units, std::int64_t now) const {
    if (amount == 0) return now;
    const double since = static_cast<double>(std::max<std::int64_t>(0, now - last));
    const double cap = static_cast<double>(amount);
    const double left = std::max(0.0, debt - since * cap / static_cast<double>(kMinute));
    const double excess = left + std::min(static_cast<double>(units), cap) - cap;
    return excess <= 1e-6 ? now : now + static_cast<std::int64_t>(excess * static_cast<double>(kMinute) / cap) + 1;
  }
};

}  // namespace

struct CredentialPool::Entry {
  CredentialConfig config;
  Minute requests, tokens;
  std::uint32_t in_flight = 0;
  std::int64_t cool_until = 0;
  std::int64_t died = 0, dead_until = 0;   // a death ends in a probation
  unsigned refused_in_a_row = 0;
  bool on_probation = false;               // one call is trying a dead credential
  bool dead = false;
  unsigned limited_in_a_row = 0;
  std::int64_t last_limited = 0;           // 0: never
  std::uint64_t last_turn = 0;
  std::optional<ErrorCode> reason;
  std::uint64_t picked = 0, limited = 0;
};

namespace {

// The time, or 0 where nothing depends on it: most credentials have no rates and never rested. With the pool locked.
template <class Entries>
std::int64_t time_for(const Entries& entries, const Clock& clock) {
  const bool timed = std::ranges::any_of(entries, [](const auto& e) { return e.dead || e.cool_until != 0 || e.requests.amount != 0 || e.tokens.amount != 0; });
  return timed ? ns(clock.mono()) : 0;
}

}  // namespace

CredentialPool::CredentialPool(std::string provider, const Clock& clock, Options options)
    : provider_(std::move(provider)), clock_(clock), options_(options) {}
CredentialPool::~CredentialPool() = default;

Result<std::shared_ptr<CredentialPool>> CredentialPool::create(std::string provider, std::vector<CredentialConfig> credentials,
                                                               const Clock& clock, Options options) {
  if (credentials.size() > kMaxCredentials)
    return fail(ErrorCode::caller_invalid_request, fmt::format("at most {} keys", kMaxCredentials), fmt::format("providers.{}.keys", provider));
  if (credentials.empty()) credentials.push_back({});
  std::shared_ptr<CredentialPool> pool(new CredentialPool(std::move(provider), clock, options));
  for (auto& config : credentials) {
    if (config.name.empty()) config.name = fmt::format("{}#{}", pool->provider_, pool->entries_.size() + 1);
    Entry e{.config = std::move(config)};
    e.requests.amount = e.config.rpm.value_or(0);
    e.tokens.amount = e.config.tpm.value_or(0);
    pool->limits_tokens_ |= e.tokens.amount > 0;
    pool->entries_.push_back(std::move(e));
  }
  return pool;
}

void CredentialPool::adopt(const CredentialPool& previous) {
  if (&previous == this) return;
  const std::scoped_lock hold(mutex_, previous.mutex_);
  for (Entry& mine : entries_)
    for (const Entry& old : previous.entries_) {
      if (old.config.value != mine.config.value) continue;
      mine.cool_until = old.cool_until;
      mine.last_limited = old.last_limited;
      mine.limited_in_a_row = old.limited_in_a_row;
      mine.requests.debt = old.requests.debt, mine.requests.last = old.requests.last;
      mine.tokens.debt = old.tokens.debt, mine.tokens.last = old.tokens.last;
      mine.picked = old.picked;
      mine.limited = old.limited;
      if (!old.dead) mine.reason = old.reason;
      break;
    }
}

// When this credential may be used next; kNever if only a release can tell.
std::int64_t CredentialPool::ready_at(const Entry& e, std::uint64_t tokens, std::int64_t now) const {
  if (e.dead) {
    if (e.on_probation) return kNever;
    return std::max(now, all_dead() ? std::min(e.dead_until, e.died + options_.lone_rest.count()) : e.dead_until);
  }
  if (e.config.concurrency && e.in_flight >= *e.config.concurrency) return kNever;
  return std::max({now, e.cool_until, e.requests.ready_at(1, now), e.tokens.ready_at(tokens, now)});
}

bool CredentialPool::all_dead() const {
  return std::ranges::all_of(entries_, [](const Entry& e) { return e.dead; });
}

Result<CredentialLease> CredentialPool::pick(std::uint64_t token_estimate, TriedCredentials exclude) {
  const std::lock_guard hold(mutex_);
  const std::int64_t now = time_for(entries_, clock_);
  Entry* best = nullptr;
  std::int64_t earliest = kNever;
  const bool none_alive = all_dead();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& e = entries_[i];
    if ((exclude >> i) & 1) continue;
    const auto ready = ready_at(e, token_estimate, now);
    if (ready > now) {
      if (!e.dead || none_alive) earliest = std::min(earliest, ready);
      continue;
    }
    const auto rank = [](const Entry& x) { return std::tuple(x.dead, x.last_limited, x.last_turn); };
    if (!best || rank(e) < rank(*best)) best = &e;
  }
  if (!best) {
    Error e{.code = ErrorCode::provider_rate_limited, .message = fmt::format("{}: every credential is at its limit or cooling down", provider_), .retryable = true};
    if (none_alive) {
      e.code = entries_.front().reason.value_or(ErrorCode::provider_auth);
      e.message = fmt::format("{}: every credential was refused by the provider", provider_);
    }
    e.retry_after = std::chrono::ceil<std::chrono::milliseconds>(earliest == kNever ? Duration(std::chrono::seconds(1)) : Duration(earliest - now));
    return fail(std::move(e));
  }
  best->on_probation = best->dead;
  ++best->in_flight;
  ++best->picked;
  best->last_turn = ++turn_;
  best->requests.drain(now);
  best->tokens.drain(now);
  if (best->requests.amount) best->requests.debt += 1;
  if (best->tokens.amount) best->tokens.debt += static_cast<double>(token_estimate);
  return CredentialLease(shared_from_this(), static_cast<unsigned>(best - entries_.data()), token_estimate);
}

bool CredentialPool::hangs_on_tokens(std::uint64_t low, std::uint64_t high) const {
  if (!limits_tokens_) return false;
  const std::lock_guard hold(mutex_);
  const std::int64_t now = ns(clock_.mono());
  return std::ranges::any_of(entries_, [&](const Entry& e) { return ready_at(e, low, now) <= now && ready_at(e, high, now) > now; });
}

bool CredentialPool::available(TriedCredentials exclude) const {
  const std::lock_guard hold(mutex_);
  const std::int64_t now = time_for(entries_, clock_);
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (((exclude >> i) & 1) == 0 && ready_at(entries_[i], 0, now) <= now) return true;
  return false;
}

std::size_t CredentialPool::size() const { return entries_.size(); }

std::vector<CredentialPool::Listing> CredentialPool::list() const {
  const std::int64_t now = ns(clock_.mono());
  const std::lock_guard hold(mutex_);
  std::vector<Listing> out;
  for (const Entry& e : entries_) {
    const auto ready = ready_at(e, 0, now);
    Listing l{.name = e.config.name, .dead = e.dead, .available_in = Duration(ready == kNever ? 0 : ready - now),
              .in_flight = e.in_flight, .picked = e.picked, .limited = e.limited};
    if (e.reason && (e.dead || e.cool_until > now)) l.reason = ballast::to_string(*e.reason);
    out.push_back(std::move(l));
  }
  return out;
}

// The attempt is over. A credential on probation that was neither confirmed nor refused stays dead, free to be tried again.
void CredentialPool::release(unsigned index, std::uint64_t estimate, std::uint64_t actual, bool succeeded) {
  const std::lock_guard hold(mutex_);
  const std::int64_t now = time_for(entries_, clock_);
  Entry& e = entries_[index];
  --e.in_flight;
  e.tokens.drain(now);
  if (e.tokens.amount) e.tokens.debt = std::max(0.0, e.tokens.debt + static_cast<double>(actual) - static_cast<double>(estimate));
  e.on_probation = false;
  if (!succeeded) return;
  e.dead = false;
  e.limited_in_a_row = 0;
  e.refused_in_a_row = 0;
  if (e.cool_until <= now) e.reason.reset();
}

void CredentialPool::fail_credential(unsigned index, const Error& error) {
  const auto kind = classify_failure(error.code);
  if (kind.blame != Blame::credential) return;
  const std::int64_t now = ns(clock_.mono());
  const std::lock_guard hold(mutex_);
  Entry& e = entries_[index];
  e.reason = error.code;
  // Calls that were under way together and fail together count once.
  if (kind.credential_dead) {
    if (e.dead && !e.on_probation) return;
    const Duration grown = options_.probation * (1LL << std::min(e.refused_in_a_row++, 10U));
    e.dead = true;
    e.died = now;
    e.dead_until = now + std::min(grown, options_.max_probation).count();
    return;
  }
  ++e.limited;
  if (e.cool_until > now && !error.retry_after) return;
  const Duration grown = options_.cool_down * (1LL << std::min(e.limited_in_a_row, 10U));
  const Duration most = entries_.size() == 1 ? std::min(options_.lone_rest, options_.max_cool_down) : options_.max_cool_down;
  const Duration wait = error.retry_after ? Duration(*error.retry_after) : std::min(grown, most);
  e.cool_until = std::max(e.cool_until, now + wait.count());
  e.last_limited = now;
  ++e.limited_in_a_row;
}

CredentialLease::CredentialLease(CredentialLease&& o) noexcept
    : pool_(std::move(o.pool_)), index_(o.index_), estimate_(o.estimate_), reported_(std::exchange(o.reported_, true)) {}
CredentialLease& CredentialLease::operator=(CredentialLease&& o) noexcept {
  if (this != &o) {
    close(estimate_, false);
    pool_ = std::move(o.pool_);
    index_ = o.index_;
    estimate_ = o.estimate_;
    reported_ = std::exchange(o.reported_, true);
  }
  return *this;
}
CredentialLease::~CredentialLease() { close(estimate_, false); }

// Configuration never changes, so these need no lock.
std::string_view CredentialLease::secret() const { return pool_->entries_[index_].config.value; }
std::string_view CredentialLease::name() const { return pool_->entries_[index_].config.name; }

void CredentialLease::close(std::uint64_t actual_tokens, bool succeeded) {
  if (pool_ && !std::exchange(reported_, true)) pool_->release(index_, estimate_, actual_tokens, succeeded);
}
void CredentialLease::succeeded(std::uint64_t actual_tokens) { close(actual_tokens, true); }
void CredentialLease::failed(const Error& error) {
  if (pool_ && !reported_) pool_->fail_credential(index_, error);
  close(0, false);
}

}  // namespace ballast::gateway
