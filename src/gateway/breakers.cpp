#include "gateway/breakers.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <tuple>

#include <fmt/format.h>

#include "base/random.hpp"
#include "gateway/retry.hpp"

namespace ballast::gateway {

namespace {

std::int64_t ns(MonoTime t) { return t.time_since_epoch().count(); }

// An exponentially weighted mean over about the last ten values.
void average(std::int64_t& mean, Duration value) { mean = mean < 0 ? value.count() : mean + (value.count() - mean) / 5; }

std::optional<Duration> known(std::int64_t mean) { return mean < 0 ? std::nullopt : std::optional(Duration(mean)); }

}  // namespace

std::string_view to_string(BreakerState state) {
  switch (state) {
    case BreakerState::closed: return "closed";
    case BreakerState::open: return "open";
    case BreakerState::half_open: return "half_open";
  }
  return "unknown";
}

Permit::Permit(Permit&& o) noexcept : breaker_(std::exchange(o.breaker_, nullptr)), epoch_(o.epoch_), kind_(o.kind_) {}
Permit& Permit::operator=(Permit&& o) noexcept {
  if (this != &o) {
    neutral();
    breaker_ = std::exchange(o.breaker_, nullptr);
    epoch_ = o.epoch_;
    kind_ = o.kind_;
  }
  return *this;
}
Permit::~Permit() { neutral(); }

void Permit::success(Duration latency, std::optional<Duration> first_token) {
  if (auto* b = std::exchange(breaker_, nullptr)) b->report(kind_, epoch_, std::nullopt, latency, first_token);
}
void Permit::failure(ErrorCode code) {
  if (classify_failure(code).blame != Blame::target) return neutral();
  if (auto* b = std::exchange(breaker_, nullptr)) b->report(kind_, epoch_, code, std::nullopt, std::nullopt);
}
void Permit::neutral() {
  if (auto* b = std::exchange(breaker_, nullptr); b && probe()) b->release_probe(epoch_);
}

Breaker::Breaker(std::string provider, std::string model, const Clock& clock, const BreakerOptions& options, std::function<double()> jitter)
    : provider_(std::move(provider)), model_(std::move(model)), clock_(clock), options_(options), jitter_(std::move(jitter)) {}

std::optional<Permit> Breaker::try_acquire() {
  const std::lock_guard hold(lock_);
  if (state_ == BreakerState::closed) return Permit(this, Permit::Kind::ordinary, epoch_);
  const std::int64_t now = ns(clock_.mono());
  if (state_ == BreakerState::open && now >= retry_at_) state_ = BreakerState::half_open;
  if (state_ == BreakerState::open || probe_out_) return std::nullopt;
  probe_out_ = true;
  return Permit(this, Permit::Kind::probe, epoch_);
}

// Open, or half-open with its probe out: there is nothing to do but wait.
bool Breaker::rests(std::int64_t now) const {
  if (state_ == BreakerState::open) return now < retry_at_;
  return state_ == BreakerState::half_open && probe_out_;
}

std::optional<Permit> Breaker::try_early() {
  if (options_.early_every <= Duration::zero()) return std::nullopt;
  const std::int64_t now = ns(clock_.mono());
  const std::lock_guard hold(lock_);
  if (!rests(now) || now < early_at_) return std::nullopt;
  early_at_ = now + options_.early_every.count();
  ++early_tries_;
  return Permit(this, Permit::Kind::early, epoch_);
}

BreakerView Breaker::view() const {
  const std::lock_guard hold(lock_);
  BreakerView v{.state = state_, .latency = known(latency_ns_), .first_token = known(first_token_ns_)};
  v.changes = epoch_;
  if (state_ == BreakerState::closed) {              // nothing of it depends on the time
    v.admits = true;
    return v;
  }
  const std::int64_t now = ns(clock_.mono());
  if (state_ == BreakerState::open && now >= retry_at_) v.state = BreakerState::half_open;
  v.admits = v.state == BreakerState::half_open && !probe_out_;
  if (v.state == BreakerState::open) v.retry_at = MonoTime(Duration(retry_at_));
  v.down_since = MonoTime(Duration(down_since_));
  if (options_.early_every > Duration::zero() && rests(now)) {
    v.early_at = MonoTime(Duration(early_at_));
    v.early = now >= early_at_;
  }
  return v;
}

void Breaker::reset() {
  const std::lock_guard hold(lock_);
  ++resets_;
  close();
}

std::optional<std::uint64_t> Breaker::hear(MonoTime opened, MonoTime retry_at) {
  const std::int64_t now = ns(clock_.mono());
  const std::lock_guard hold(lock_);
  if (state_ != BreakerState::closed || well_at_ >= ns(opened) || now >= ns(retry_at)) return std::nullopt;
  // Nodes that heard the same do not all try at once.
  retry_at_ = ns(retry_at) + static_cast<std::int64_t>(options_.jitter * jitter_() * static_cast<double>(ns(retry_at) - now));
  down_since_ = opened_at_ = ns(opened);
  early_at_ = now + options_.early_every.count();
  state_ = BreakerState::open;
  heard_ = true;
  return ++epoch_;
}

std::optional<std::uint64_t> Breaker::unhear() {
  const std::lock_guard hold(lock_);
  if (!heard_) return std::nullopt;
  close();
  return epoch_;
}

std::optional<std::uint64_t> Breaker::hear_reset() {
  const std::lock_guard hold(lock_);
  if (state_ == BreakerState::closed) return std::nullopt;
  close();
  return epoch_;
}

Breaker::Listing Breaker::listing() const {
  Listing l{.provider = provider_, .model = model_, .view = view()};
  const std::lock_guard hold(lock_);
  l.consecutive_failures = consecutive_;
  l.successes = successes_;
  l.failures = failures_;
  l.opened = opened_;
  l.early_tries = early_tries_;
  l.resets = resets_;
  l.opened_at = MonoTime(Duration(opened_at_));
  l.heard = heard_;
  if (last_error_) l.last_error = ballast::to_string(*last_error_);
  return l;
}

// A report from before the last change of state says nothing about the present one: it only feeds the averages and totals.
void Breaker::report(Permit::Kind kind, std::uint64_t epoch, std::optional<ErrorCode> failure, std::optional<Duration> latency,
                     std::optional<Duration> first_token) {
  const std::int64_t now = ns(clock_.mono());
  const std::lock_guard hold(lock_);
  ++(failure ? failures_ : successes_);
  if (failure) last_error_ = failure;
  else well_at_ = now;
  if (latency) average(latency_ns_, *latency);
  if (first_token) average(first_token_ns_, *first_token);
  if (epoch != epoch_) return;
  if (kind == Permit::Kind::early) {
    if (!failure) close();
    return;
  }
  if (kind == Permit::Kind::probe) {
    probe_out_ = false;
    failure ? open(now) : close();
    return;
  }
  count(now, failure.has_value());
  if (!failure) {
    consecutive_ = 0;
    reopened_ = 0;
    return;
  }
  if (++consecutive_ >= options_.consecutive || ratio_exceeded(now)) open(now);
}

void Breaker::release_probe(std::uint64_t epoch) {
  const std::lock_guard hold(lock_);
  if (epoch == epoch_) probe_out_ = false;
}

void Breaker::count(std::int64_t now, bool failed) {
  const std::int64_t tick = now / std::max<std::int64_t>(1, options_.window.count() / kSlots);
  Slot& slot = slots_[static_cast<std::size_t>(tick) % kSlots];
  if (slot.tick != tick) slot = {.tick = tick};
  ++(failed ? slot.failed : slot.ok);
}

bool Breaker::ratio_exceeded(std::int64_t now) const {
  const std::int64_t tick = now / std::max<std::int64_t>(1, options_.window.count() / kSlots);
  std::uint64_t ok = 0, failed = 0;
  for (const Slot& slot : slots_) {
    if (slot.tick <= tick - static_cast<std::int64_t>(kSlots)) continue;
    ok += slot.ok;
    failed += slot.failed;
  }
  return ok + failed >= options_.minimum && static_cast<double>(failed) >= options_.ratio * static_cast<double>(ok + failed);
}

void Breaker::open(std::int64_t now) {
  if (state_ == BreakerState::closed) down_since_ = now;
  opened_at_ = now;
  double wait = static_cast<double>(options_.cool_down.count());
  for (unsigned i = 0; i < reopened_ && wait < static_cast<double>(options_.max_cool_down.count()); ++i) wait *= options_.growth;
  wait = std::min(wait, static_cast<double>(options_.max_cool_down.count()));
  wait *= 1.0 + options_.jitter * (2.0 * jitter_() - 1.0);
  retry_at_ = now + static_cast<std::int64_t>(wait);
  early_at_ = now + options_.early_every.count();
  state_ = BreakerState::open;
  probe_out_ = heard_ = false;
  consecutive_ = 0;
  ++reopened_;
  ++opened_;
  ++epoch_;
  std::ranges::fill(slots_, Slot{});
}

void Breaker::close() {
  state_ = BreakerState::closed;
  probe_out_ = heard_ = false;
  consecutive_ = 0;
  reopened_ = 0;
  ++epoch_;
  std::ranges::fill(slots_, Slot{});
}

// Entries are never removed, so references stay valid and readers share the lock.
struct Breakers::Table {
  explicit Table(std::uint64_t seed) : random(seed) {}
  mutable std::shared_mutex mutex;
  std::map<std::string, std::unique_ptr<Breaker>, std::less<>> by_name;      // "provider/model"
  std::mutex random_mutex;
  SeededRandom random;
  double draw() {
    const std::lock_guard hold(random_mutex);
    return random.uniform();
  }
};

Breakers::Breakers(const Clock& clock, Options options)
    : clock_(clock), options_(options), table_(std::make_unique<Table>(options.seed)) {}
Breakers::~Breakers() = default;

Breaker& Breakers::of(std::string_view provider, std::string_view model) {
  fmt::basic_memory_buffer<char, 128> key;
  key.append(provider);
  key.push_back('/');
  key.append(model);
  {
    const std::shared_lock hold(table_->mutex);
    if (const auto it = table_->by_name.find(std::string_view(key.data(), key.size())); it != table_->by_name.end()) return *it->second;
  }
  std::string name(key.data(), key.size());
  const std::unique_lock hold(table_->mutex);
  if (table_->by_name.size() >= options_.max_targets && !table_->by_name.contains(name)) {
    name = std::string(provider) + "/*";
    model = "*";
  }
  auto& slot = table_->by_name[name];
  if (!slot) slot = std::make_unique<Breaker>(std::string(provider), std::string(model), clock_, options_.breaker, [t = table_.get()] { return t->draw(); });
  return *slot;
}

std::vector<Breaker::Listing> Breakers::list() const {
  const std::shared_lock hold(table_->mutex);
  std::vector<Breaker::Listing> out;
  for (const auto& [name, breaker] : table_->by_name) out.push_back(breaker->listing());
  std::ranges::sort(out, {}, [](const Breaker::Listing& l) { return std::tie(l.provider, l.model); });
  return out;
}

WaitingPlace Breakers::take_place() {
  if (waiting_.fetch_add(1, std::memory_order_relaxed) < options_.max_waiting) return WaitingPlace(&waiting_);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return WaitingPlace(nullptr);
}

bool Breakers::reset(std::string_view provider, std::string_view model) {
  const std::shared_lock hold(table_->mutex);
  bool found = false;
  for (const auto& [name, breaker] : table_->by_name) {
    if (breaker->provider() != provider || (!model.empty() && breaker->model() != model)) continue;
    breaker->reset();
    found = true;
  }
  return found;
}

}  // namespace ballast::gateway
