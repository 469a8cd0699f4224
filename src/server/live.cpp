#include "server/live.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "net/sse.hpp"
#include "server/stat_json.hpp"
#include "server/work_door.hpp"
#include "work/approval_rows.hpp"

namespace ballast::server {

namespace {

constexpr std::size_t kShort = 10, kLong = 60;           // samples: percentiles and rates of money look back so far
constexpr std::size_t kMostDead = 10'000, kApprovalsSeen = 100;

std::string frame(std::string_view event, const json::value& data) {
  std::string out;
  net::sse_write(out, event, to_json(data));
  return out;
}

template <class Bucketed>
void add_buckets(Bucketed& into, const metrics::Histogram& h) {
  const auto s = h.snapshot();
  for (std::size_t i = 0; i < into.size(); ++i) into[i] += s.buckets[i];
}

// Milliseconds; null: there were none.
template <class Bucketed>
json::value p95(const Bucketed& now, const Bucketed& before) {
  metrics::Histogram::Snapshot s;
  for (std::size_t i = 0; i < now.size(); ++i) {
    s.buckets[i] = now[i] - before[i];
    s.count += s.buckets[i];
  }
  if (s.count == 0) return nullptr;
  return static_cast<double>(s.quantile(0.95)) * 1e-6;
}

}  // namespace

// ---- a follower ----

bool LiveFollower::ended() const {
  const std::lock_guard hold(mutex_);
  return ended_;
}

void LiveFollower::push(Kind kind, const std::string& bytes) {
  {
    const std::lock_guard hold(mutex_);
    if (ended_) return;
    if (bytes_ + bytes.size() > most_bytes_) {
      if (kind == Kind::call) ++skipped_;
      if (kind == Kind::news) ended_ = true;
      if (kind != Kind::news) return;
    } else {
      if (kind == Kind::figures) std::erase_if(frames_, [&](const Frame& f) { return f.kind == Kind::figures && (bytes_ -= f.bytes.size(), true); });
      frames_.push_back({kind, bytes});
      bytes_ += bytes.size();
    }
    if (std::exchange(posted_, true)) return;
  }
  loop_.post([self = shared_from_this()] { self->wake(); });
}

void LiveFollower::end() {
  {
    const std::lock_guard hold(mutex_);
    ended_ = true;
    if (std::exchange(posted_, true)) return;
  }
  loop_.post([self = shared_from_this()] { self->wake(); });
}

void LiveFollower::wake() {
  {
    const std::lock_guard hold(mutex_);
    posted_ = false;
  }
  timer_.cancel();
  if (const auto waiter = std::exchange(waiter_, {})) waiter.resume();
}

bool LiveFollower::waits(std::coroutine_handle<> h, MonoTime deadline) {
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || !frames_.empty()) return false;
    waiter_ = h;
  }
  loop_.arm(timer_, deadline, [](void* self) { static_cast<LiveFollower*>(self)->wake(); }, this);
  return true;
}

Task<std::string> LiveFollower::take(MonoTime deadline) {
  struct Wait {
    LiveFollower& self;
    MonoTime deadline;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> h) { return self.waits(h, deadline); }
    void await_resume() const {}
  };
  co_await Wait{*this, deadline};
  std::string out;
  const std::lock_guard hold(mutex_);
  for (const Frame& f : frames_) out += f.bytes;
  frames_.clear();
  bytes_ = 0;
  if (const auto skipped = std::exchange(skipped_, 0)) out += frame("skipped", json::object{{"calls", skipped}});
  co_return out;
}

// ---- the hub ----

Live::Live(const gateway::Gateway& gateway, store::Database& database, WorkDoor* door, const Clock& clock, Options options)
    : gateway_(gateway), database_(database), door_(door), clock_(clock), options_(options), road_(gateway.world().metrics) {}

Live::~Live() { stop(); }

void Live::start() {
  thread_ = std::thread([this] {
    name_this_thread("live");
    run();
  });
}

void Live::stop() {
  std::vector<std::shared_ptr<LiveFollower>> all;
  {
    const std::lock_guard hold(mutex_);
    stopping_ = true;
    all.swap(all_);
    count_.store(0);
  }
  wake_.notify_all();
  for (const auto& f : all) f->end();
  if (thread_.joinable()) thread_.join();
}

void Live::run() {
  std::unique_lock hold(mutex_);
  for (;;) {
    wake_.wait(hold, [&] { return stopping_ || !all_.empty(); });
    if (stopping_) return;
    hold.unlock();
    samples_.assign(1, sample());
    look_at_state();
    hold.lock();
    auto next = std::chrono::steady_clock::now();
    while (!all_.empty() && !stopping_) {
      next = std::max(next + std::chrono::seconds(1), std::chrono::steady_clock::now());
      if (wake_.wait_until(hold, next, [&] { return stopping_; })) return;
      hold.unlock();
      second();
      hold.lock();
    }
    calls_.clear();
    calls_skipped_ = 0;
  }
}

std::shared_ptr<LiveFollower> Live::join(Scheduler& loop) {
  auto made = std::make_shared<LiveFollower>(loop, options_.bytes);
  {
    const std::lock_guard hold(mutex_);
    if (stopping_ || all_.size() >= options_.followers) return nullptr;
    all_.push_back(made);
    count_.store(all_.size());
  }
  wake_.notify_all();
  return made;
}

void Live::leave(const std::shared_ptr<LiveFollower>& follower) {
  const std::lock_guard hold(mutex_);
  std::erase(all_, follower);
  count_.store(all_.size());
}

void Live::call(std::string_view encoded) {
  if (count_.load(std::memory_order_relaxed) == 0) return;
  {
    const std::lock_guard hold(mutex_);
    if (calls_.size() >= options_.calls) {
      ++calls_skipped_;
      return;
    }
  }
  const auto record = records::decode_call(encoded);
  if (!record) return;
  std::string made = frame("call", call_row_json(*record));
  const std::lock_guard hold(mutex_);
  calls_.push_back(std::move(made));
}

void Live::tell(std::string_view event, const json::value& data) {
  if (count_.load(std::memory_order_relaxed) > 0) send(LiveFollower::Kind::news, event, data);
}

void Live::send(LiveFollower::Kind kind, std::string_view event, const json::value& data) {
  const std::string bytes = frame(event, data);
  const std::lock_guard hold(mutex_);
  for (const auto& f : all_) f->push(kind, bytes);
}

void Live::send_calls() {
  const std::lock_guard hold(mutex_);
  for (const auto& bytes : std::exchange(calls_, {}))
    for (const auto& f : all_) f->push(LiveFollower::Kind::call, bytes);
  const auto skipped = std::exchange(calls_skipped_, 0);
  if (skipped == 0) return;
  const std::string bytes = frame("skipped", json::object{{"calls", skipped}});
  for (const auto& f : all_) f->push(LiveFollower::Kind::news, bytes);
}

void Live::second() {
  send_calls();
  send(LiveFollower::Kind::figures, "figures", figures());
  look_at_state();
}

Live::Sample Live::sample() const {
  Sample s{.at = clock_.mono(), .sums = {}};
  road_.calls.each([&](metrics::LabelValues labels, const metrics::Counter& c) {
    s.sums.calls += c.value();
    if (labels[2] != "ok" && labels[2] != "caller_cancelled") s.sums.failed += c.value();
  });
  road_.incurred.each([&](metrics::LabelValues, const metrics::Counter& c) { s.sums.nano_usd += c.value(); });
  road_.tokens.each([&](metrics::LabelValues, const metrics::Counter& c) { s.sums.tokens += c.value(); });
  road_.duration.each([&](metrics::LabelValues, const metrics::Histogram& h) { add_buckets(s.latency, h); });
  road_.first_token.each([&](metrics::LabelValues, const metrics::Histogram& h) { add_buckets(s.first_token, h); });
  return s;
}

json::object Live::figures() {
  samples_.push_back(sample());
  if (samples_.size() > kLong + 1) samples_.pop_front();
  const Sample& now = samples_.back();
  const Sample& last = samples_.size() > 1 ? samples_[samples_.size() - 2] : now;
  const Sample& recent = samples_.size() > kShort ? samples_[samples_.size() - 1 - kShort] : samples_.front();
  const Sample& oldest = samples_.front();
  const auto rate = [&](const Sample& from, std::uint64_t Sums::*what, double scale = 1) {
    const double seconds = std::chrono::duration<double>(now.at - from.at).count();
    return seconds > 0 ? static_cast<double>(now.sums.*what - from.sums.*what) * scale / seconds : 0.0;
  };
  return {{"at", to_rfc3339(clock_.wall())},
          {"in_flight", static_cast<std::int64_t>(std::max(0.0, road_.in_flight.value()))},
          {"calls_per_second", rate(last, &Sums::calls)},
          {"failed_per_second", rate(last, &Sums::failed)},
          {"usd_per_minute", rate(oldest, &Sums::nano_usd, 60e-9)},
          {"tokens_per_second", rate(last, &Sums::tokens)},
          {"first_token_ms_p95", p95(now.first_token, recent.first_token)},
          {"latency_ms_p95", p95(now.latency, recent.latency)}};
}

// Told once it differs from what was seen before; the first sight is none.
void Live::changed(std::string_view what, std::string now, std::string& before) {
  if (now == before) return;
  const bool first = before.empty();
  before = std::move(now);
  if (!first) send(LiveFollower::Kind::news, "state", json::object{{"what", what}});
}

void Live::look_at_state() {
  std::string seen = "-";
  for (const auto& b : gateway_.world().breakers.list()) seen += fmt::format("{}/{} {}\n", b.provider, b.model, gateway::to_string(b.view.state));
  changed("breakers", std::move(seen), breakers_);
  if (!door_) return;
  look_at_queues();
  const auto rows = database_.read_now(
      [](store::Tx& tx) -> Result<std::pair<std::string, std::string>> {
        std::pair<std::string, std::string> out{"-", "-"};
        const auto dead = work::count_dead(tx, kMostDead);
        if (!dead) return fail(dead.error());
        for (const auto& d : *dead) out.first += fmt::format("{} {}\n", d.queue, d.jobs);
        const auto asked = work::list_approvals(tx, {.limit = kApprovalsSeen});
        if (!asked) return fail(asked.error());
        for (const auto& a : asked->approvals) out.second += to_string(a.id) + "\n";
        return out;
      },
      {.limit = std::chrono::milliseconds(500)});
  if (!rows) return;                         // the database is away or busy: another second
  changed("dead", rows->first, dead_);
  changed("approvals", rows->second, approvals_);
}

// What the engine's loop saw when it was asked a second ago; asks it again.
void Live::look_at_queues() {
  std::string seen;
  {
    const std::lock_guard hold(mutex_);
    seen = queues_seen_;
  }
  if (!seen.empty()) changed("queues", std::move(seen), queues_);
  door_->engine().home().post([this, elsewhere = door_->elsewhere()] {
    std::string now = "-";
    const auto& board = door_->engine().board();
    for (const auto& [name, v] : elsewhere.with(work::views_of(board, nullptr, door_->engine().home().clock().mono())))
      now += fmt::format("{} {} {} {} {} {} {}\n", name, board.rules(name).paused, v.ready, v.delayed, v.blocked, v.running, v.waiting);
    const std::lock_guard hold(mutex_);
    queues_seen_ = std::move(now);
  });
}

}  // namespace ballast::server
