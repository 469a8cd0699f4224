#include "cluster/quota.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace ballast::cluster {

namespace {

using std::chrono::milliseconds;

constexpr auto kLimit = milliseconds(2'000);             // of one transaction in the queue
constexpr Duration kIdle = milliseconds(500);

}  // namespace

// ---- HeldQuota ----

// Changes the holding, and lets the thread look after it from now on.
template <class F>
auto HeldQuota::change(F f) {
  const CarefulTime now = all_.look();
  bool enlist = false, hurry = false;
  auto out = [&] {
    const std::lock_guard hold(mutex_);
    const bool was_hungry = holding_.hungry();
    auto result = f(holding_, now);
    hurry = !was_hungry && holding_.hungry();
    enlist = !std::exchange(active_, true);
    return result;
  }();
  if (enlist && !all_.enlist(*this)) {
    const std::lock_guard hold(mutex_);
    active_ = false;
  }
  if (hurry) all_.wake();
  return out;
}

bool HeldQuota::take(Nano n, bool again, Figures* then) {
  return change([&](Holding& h, const CarefulTime& now) {
    const bool took = h.take(n, now, again);
    if (then) *then = told(now);
    return took;
  });
}
bool HeldQuota::reserve(Nano n, bool again, Figures* then) {
  return change([&](Holding& h, const CarefulTime& now) {
    const bool took = h.reserve(n, now, again);
    if (then) *then = told(now);
    return took;
  });
}
void HeldQuota::settle(Nano reserved, Nano actual) {
  change([&](Holding& h, const CarefulTime& now) { return h.settle(reserved, actual, now), 0; });
}
void HeldQuota::miss(Nano n, bool again) {
  change([&](Holding& h, const CarefulTime& now) { return h.miss(n, now, again), 0; });
}
void HeldQuota::give_back(Nano n) {
  change([&](Holding& h, const CarefulTime&) { return h.give_back(n), 0; });
}
void HeldQuota::charge(Nano n) {
  change([&](Holding& h, const CarefulTime&) { return h.charge(n), 0; });
}

void HeldQuota::doubt() {
  const std::lock_guard hold(mutex_);
  holding_.doubt();
}
Duration HeldQuota::away() const { return all_.stats().away; }

HeldQuota::Figures HeldQuota::figures() const {
  const CarefulTime now = all_.look();
  const std::lock_guard hold(mutex_);
  return told(now);
}

HeldQuota::Figures HeldQuota::told(const CarefulTime& now) const {
  return {.share = holding_.share(), .used = holding_.used(), .level = holding_.level(now), .answers = answers_, .left = holding_.left(now),
          .over = holding_.over(now), .full = holding_.full(now), .other = other_};
}

// ---- Quotas ----

struct Quotas::Due {
  std::shared_ptr<HeldQuota> quota;
  Terms terms;
  Ask ask;
  std::int64_t sent = 0;                                 // by `latest`
  bool made = false, hungry = false;
};

Quotas::Quotas(const Clock& clock, QuotasOptions options) : clock_(clock), options_(std::move(options)) {}
Quotas::~Quotas() { leave(); }

Result<std::unique_ptr<Quotas>> Quotas::open(const std::string& url, store::Dialect dialect, const Clock& clock, QuotasOptions options) {
  std::unique_ptr<Quotas> self(new Quotas(clock, std::move(options)));
  if (dialect == store::Dialect::sqlite) return self;
  auto own = store::open_database(url, {.readers = 1});
  if (!own) return fail(std::move(own.error()));
  self->database_ = std::move(*own);
  self->look();
  self->thread_ = std::jthread([q = self.get()](const std::stop_token& stop) { q->run(stop); });
  return self;
}

Result<std::shared_ptr<HeldQuota>> Quotas::hold(const std::string& name, const Terms& terms, std::string_view about) {
  if (alone()) return nullptr;
  if (auto good = check(terms); !good) return std::unexpected(good.error());
  if (name.empty() || name.size() > kMostName || name.contains('\0'))
    return fail(ErrorCode::caller_invalid_request, "a quota's name has 1 to 1,024 bytes and no NUL", "name");
  const std::lock_guard hold(mutex_);
  if (by_name_.size() >= sweep_at_) {
    std::erase_if(by_name_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(1'024, by_name_.size() * 2);
  }
  auto& known = by_name_[name];
  auto quota = known.lock();
  // One that was let go may be known to the row for as long as its lease: the nanoseconds of this process are ahead of all that it has asked.
  if (!quota) known = quota = std::make_shared<HeldQuota>(*this, name, std::string(about), terms, options_.holder, static_cast<std::uint64_t>(look().latest()));
  const std::lock_guard one(quota->mutex_);
  const Terms& had = quota->holding_.terms();
  if (had.kind != terms.kind || had.period_us != terms.period_us)
    return fail(ErrorCode::caller_conflict, "this quota is of another kind or period: give the other one another name", "name");
  if (terms.version >= had.version) quota->holding_.set_terms(terms);
  return quota;
}

std::unique_ptr<Quotas::Listening> Quotas::listen(std::function<void(const HeldQuota&)> heard) {
  return std::make_unique<Listening>(*this, std::move(heard));
}

Quotas::Listening::Listening(Quotas& all, std::function<void(const HeldQuota&)> heard) : all_(all), heard_(std::move(heard)) {
  const std::lock_guard hold(all_.listeners_mutex_);
  all_.listeners_.push_back(this);
}

Quotas::Listening::~Listening() {
  const std::lock_guard hold(all_.listeners_mutex_);
  std::erase(all_.listeners_, this);
}

void Quotas::tell(const HeldQuota& quota) {
  const std::lock_guard hold(listeners_mutex_);
  for (const Listening* l : listeners_) l->heard_(quota);
}

CarefulTime Quotas::look() {
  const std::lock_guard hold(time_mutex_);
  time_.look(clock_.mono(), clock_.wall());
  return time_;
}

bool Quotas::enlist(HeldQuota& quota) {
  const std::lock_guard hold(mutex_);
  if (active_.size() >= options_.max_quotas) return false;
  const auto known = by_name_.find(quota.name_);
  if (known == by_name_.end()) return false;
  active_.push_back(known->second.lock());               // kept until it has given everything back
  return true;
}

void Quotas::remind() {
  {
    const std::lock_guard hold(mutex_);
    for (const auto& [name, known] : by_name_) {
      const auto quota = known.lock();
      if (!quota) continue;
      const std::lock_guard one(quota->mutex_);
      if (quota->holding_.used() == 0 && quota->holding_.share() == 0) continue;
      quota->forgotten_ = true;
      if (!std::exchange(quota->active_, true)) active_.push_back(quota);
    }
  }
  wake();
}

void Quotas::wake() {
  {
    const std::lock_guard hold(mutex_);
    hurry_ = true;
  }
  wake_.notify_one();
}

Quotas::Stats Quotas::stats() const {
  const std::lock_guard hold(mutex_);
  return {.transactions = transactions_, .asks = asks_, .failed = failed_, .active = active_.size(),
          .away = failing_since_ == MonoTime{} ? Duration{} : clock_.mono() - failing_since_};
}

void Quotas::run(const std::stop_token& stop) {
  name_this_thread("quotas");
  MonoTime asked{};
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, active_.empty() ? kIdle : options_.look, [&] { return hurry_; });
      hurry_ = false;
    }
    look();
    if (clock_.mono() - asked < options_.gap) continue;
    auto due = collect(false);
    if (due.empty()) continue;
    asked = clock_.mono();
    ask(due);
  }
}

// Those whose time to ask has come, longest overdue first, as many as one transaction takes. Who has no need to ask any more is let go.
std::vector<std::shared_ptr<HeldQuota>> Quotas::overdue(bool leaving) {
  std::vector<std::shared_ptr<HeldQuota>> active, idle, out;
  {
    const std::lock_guard hold(mutex_);
    active = active_;
  }
  const CarefulTime now = look();
  const MonoTime mono = clock_.mono();
  std::vector<std::pair<Duration, std::size_t>> late;
  for (std::size_t i = 0; i < active.size(); ++i) {
    HeldQuota& q = *active[i];
    const std::lock_guard hold(q.mutex_);
    const auto patience = q.holding_.patience(now);
    const bool due = leaving || q.forgotten_;
    if (!patience && !due) idle.push_back(active[i]);
    else if (!q.other_ && (due || mono - q.asked_ >= *patience)) late.emplace_back(q.asked_ + patience.value_or(Duration{}) - mono, i);
  }
  const auto end = late.begin() + static_cast<std::ptrdiff_t>(std::min(late.size(), kMostAsks));
  std::ranges::partial_sort(late, end);
  for (auto it = late.begin(); it != end; ++it) out.push_back(active[it->second]);
  rest(std::move(idle));
  return out;
}

void Quotas::rest(std::vector<std::shared_ptr<HeldQuota>> idle) {
  if (idle.empty()) return;
  std::ranges::sort(idle);
  const CarefulTime now = look();
  const std::lock_guard hold(mutex_);
  std::erase_if(active_, [&](const std::shared_ptr<HeldQuota>& q) {
    if (!std::ranges::binary_search(idle, q)) return false;
    const std::lock_guard one(q->mutex_);
    if (q->holding_.patience(now)) return false;         // it was used meanwhile
    q->active_ = false;
    return true;
  });
}

// Who asks now, by name: what they give up is given up from here on.
std::vector<Quotas::Due> Quotas::collect(bool leaving) {
  auto mood = leaving ? Holding::Mood::leaving : Holding::Mood::usual;
  if (!leaving && stats().away > Duration{}) mood = Holding::Mood::keeping;
  std::vector<Due> due;
  for (auto& q : overdue(leaving)) {
    const CarefulTime now = look();
    const std::lock_guard hold(q->mutex_);
    q->asked_ = clock_.mono();
    const bool hungry = q->holding_.hungry();
    due.push_back({.quota = q, .terms = q->holding_.terms(), .ask = q->holding_.ask(now, mood), .sent = now.latest(), .made = q->made_, .hungry = hungry});
  }
  std::ranges::sort(due, {}, [](const Due& d) -> const std::string& { return d.quota->name_; });
  return due;
}

Result<void> Quotas::count_spent(store::Tx& tx, std::vector<QuotaAsk>& fresh) const {
  std::vector<std::string_view> names;
  for (const QuotaAsk& a : fresh)
    if (a.terms.kind == QuotaKind::money) names.push_back(a.about);
  if (names.empty() || !options_.spent_before) return {};
  const auto spent = options_.spent_before(tx, names);
  if (!spent) return std::unexpected(spent.error());
  auto next = spent->begin();
  for (QuotaAsk& a : fresh)
    if (a.terms.kind == QuotaKind::money) a.spent_before = *next++;
  return {};
}

Result<void> Quotas::make(const std::vector<Due>& due) {
  std::vector<QuotaAsk> fresh;
  for (const Due& d : due)
    if (!d.made) fresh.push_back({.name = d.quota->name_, .terms = d.terms, .ask = d.ask, .about = d.quota->about_});
  if (fresh.empty()) return {};
  ++transactions_;
  return database_->write_now([&](store::Tx& tx) -> Result<void> {
    if (auto counted = count_spent(tx, fresh); !counted) return counted;
    return make_quotas(tx, fresh);
  }, {.limit = kLimit});
}

void Quotas::ask(std::vector<Due>& due) {
  if (auto made = make(due); !made) return failed(made.error());
  std::vector<QuotaAsk> asks;
  for (const Due& d : due) asks.push_back({.name = d.quota->name_, .terms = d.terms, .ask = d.ask});
  auto answers = database_->write_now([&](store::Tx& tx) { return settle_quotas(tx, asks); }, {.limit = kLimit});
  ++transactions_;
  asks_ += asks.size();
  if (!answers) return failed(answers.error());
  {
    const std::lock_guard hold(mutex_);
    failing_since_ = {};
  }
  for (std::size_t i = 0; i < due.size(); ++i) hear(due[i], (*answers)[i]);
}

void Quotas::hear(Due& due, const QuotaAnswer& answer) {
  HeldQuota& q = *due.quota;
  const CarefulTime now = look();
  {
    const std::lock_guard hold(q.mutex_);
    q.made_ = answer.kind == QuotaAnswer::Kind::settled;
    q.other_ = answer.kind == QuotaAnswer::Kind::other;
    if (q.made_ && q.holding_.accept(answer.answer, due.sent, now)) ++q.answers_;
    q.forgotten_ = q.forgotten_ && !q.made_ && !q.other_;
  }
  if (answer.kind == QuotaAnswer::Kind::other)
    log::error("quota_of_another_kind", {{"quota", q.name_}, {"advice", "two configurations give one name to limits of different kinds or periods"}});
  if (due.hungry) tell(q);
}

// Said once for as long as it lasts.
void Quotas::failed(const Error& why) {
  ++failed_;
  {
    const std::lock_guard hold(mutex_);
    if (failing_since_ != MonoTime{}) return;
    failing_since_ = clock_.mono();
  }
  log::warn("quotas_unsettled", {{"why", why.message}, {"advice", "this node goes on with what it holds until the leases end"}});
}

void Quotas::leave() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  const MonoTime until = clock_.mono() + kLimit;
  for (std::size_t left = (stats().active + kMostAsks - 1) / kMostAsks; left > 0 && clock_.mono() < until; --left) {
    auto due = collect(true);
    if (due.empty()) return;
    ask(due);
    const std::lock_guard hold(mutex_);
    std::erase_if(active_, [&](const auto& q) { return std::ranges::find(due, q, &Due::quota) != due.end(); });
  }
}

}  // namespace ballast::cluster
