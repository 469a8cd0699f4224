#include "gateway/cache_shared.hpp"

#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "gateway/parking.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kReadAtOnce = 32, kWrittenAtOnce = 64, kSweptAtOnce = 2'000, kMostRoutes = 1'024;
constexpr int kSweeps = 100;                                 // at most, in one `sweep`
constexpr store::ReadOptions kRead{.limit = std::chrono::milliseconds(250)};
constexpr store::WriteOptions kGently{.priority = store::Priority::low, .limit = std::chrono::milliseconds(5'000)};
constexpr Duration kLook = std::chrono::milliseconds(20);

Digest digest_of(const CacheKey& key) {
  Digest out;
  static_assert(sizeof out == sizeof key.hash);
  std::memcpy(out.data(), key.hash.data(), sizeof key.hash);
  return out;
}

std::optional<CachedReply> reply_of(const records::SharedAnswerRow& row) {
  auto answer = records::unpack_answer(row.packed);
  if (!answer) {
    log::warn("shared_answer_damaged", {{"why", answer.error().message}});
    return std::nullopt;
  }
  return CachedReply{.status = answer->status, .content_type = std::move(answer->content_type), .body = std::move(answer->body), .served_by = std::move(answer->served_by),
                     .call_id = std::move(answer->call_id), .input_tokens = answer->input_tokens, .output_tokens = answer->output_tokens, .cost = {answer->cost_nano},
                     .stored = row.stored};
}

std::string packed(const CachedReply& r) {
  return records::pack_answer({.status = r.status, .content_type = r.content_type, .body = r.body, .served_by = r.served_by, .call_id = r.call_id,
                               .input_tokens = r.input_tokens, .output_tokens = r.output_tokens, .cost_nano = r.cost.nano});
}

metrics::Counter& counter(metrics::Registry& registry, std::string_view name, std::string_view help, std::string_view outcome) {
  return registry.counters(name, help, {"outcome"}).with({outcome});
}
metrics::Counter& read_counter(metrics::Registry& registry, std::string_view outcome) {
  return counter(registry, "ballast_cache_shared_reads_total", "Calls without an answer in memory, by what came of looking among those of all nodes", outcome);
}
metrics::Counter& write_counter(metrics::Registry& registry, std::string_view outcome) {
  return counter(registry, "ballast_cache_shared_writes_total", "Answers to be kept for all nodes, by what became of them", outcome);
}

}  // namespace

// ---- the pause ----

bool AskingPause::may_ask(MonoTime now) {
  if (late_ < most_late_) return true;
  if (now < until_ || trying_) return false;
  return trying_ = true;
}

void AskingPause::in_time() {
  late_ = 0;
  trying_ = false;
}

void AskingPause::late(MonoTime now) {
  trying_ = false;
  late_ = std::min(late_ + 1, most_late_);
  if (late_ == most_late_) until_ = now + rest_;
}

void AskingPause::left() { trying_ = false; }

// ---- reading ----

// A call that waits; lives in its coroutine's frame.
struct SharedCache::Waiter {
  CacheKey key;
  const std::string& route;
  Parking* parking = nullptr;
  enum class State : std::uint8_t { waits, answered, failed } state = State::waits;
  std::optional<CachedReply> reply;
};

SharedCache::SharedCache(store::Database& database, store::Database& reads, const Clock& clock, metrics::Registry& metrics, Options options)
    : database_(database), reads_(reads), clock_(clock), options_(options), found_(read_counter(metrics, "found")), none_(read_counter(metrics, "none")),
      late_(read_counter(metrics, "late")), failed_(read_counter(metrics, "failed")), skipped_(read_counter(metrics, "skipped")), kept_(write_counter(metrics, "kept")),
      dropped_(write_counter(metrics, "dropped")), large_(write_counter(metrics, "large")), not_kept_(write_counter(metrics, "failed")),
      entries_(metrics.gauge("ballast_cache_shared_entries", "Answers kept for all nodes; told by the node that sweeps them")),
      bytes_(metrics.gauge("ballast_cache_shared_bytes", "Their size, compressed; cache_shared_size is the bound")), table_bytes_(options.table_bytes),
      pause_(options.most_late, options.rest) {}

SharedCache::~SharedCache() {
  for (auto* thread : {&reader_, &writer_}) thread->request_stop();
  for (auto* thread : {&reader_, &writer_})
    if (thread->joinable()) thread->join();
}

void SharedCache::start(bool soon) {
  reader_ = std::jthread([this, soon](const std::stop_token& stop) {
    name_this_thread("cache-read");
    if (soon) (void)read({Digest{}}, {});
    run(stop, &SharedCache::read_waiting);
  });
  writer_ = std::jthread([this](const std::stop_token& stop) {
    name_this_thread("cache-write");
    yield_this_thread();
    run(stop, &SharedCache::write_waiting);
  });
}

void SharedCache::run(const std::stop_token& stop, bool (SharedCache::*step)()) {
  const bool reads = step == &SharedCache::read_waiting;
  while (!stop.stop_requested()) {
    if ((this->*step)()) continue;
    std::unique_lock hold(mutex_);
    wake_.wait(hold, stop, [&] { return reads ? !waiting_.empty() : !queue_.empty(); });
  }
}

bool SharedCache::may_ask(const std::string& route, MonoTime now) {
  if (waiting_.size() >= options_.waiting) return false;
  const auto known = routes_.find(route);
  if (known != routes_.end() && known->second.empty && now < known->second.until) return false;
  return pause_.may_ask(now);
}

Task<std::optional<CachedReply>> SharedCache::find(CacheKey key, std::string route, Scheduler& loop, CancelToken cancel) {
  Waiter self{.key = key, .route = route, .reply = {}};
  Parking parking(loop, clock_.mono() + options_.patience, cancel);
  self.parking = &parking;
  {
    const std::lock_guard hold(mutex_);
    if (!may_ask(route, clock_.mono())) {
      skipped_.add();
      co_return std::nullopt;
    }
    waiting_.push_back(&self);
  }
  wake_.notify_all();
  const Wake wake = co_await parking;
  {
    const std::lock_guard hold(mutex_);
    std::erase(waiting_, &self);
    std::erase(reading_, &self);
    if (self.state == Waiter::State::answered) pause_.in_time();
    else if (self.state == Waiter::State::failed || wake == Wake::timed_out) pause_.late(clock_.mono());
    else pause_.left();
  }
  if (self.state == Waiter::State::answered) (self.reply ? found_ : none_).add();
  else if (self.state == Waiter::State::failed) failed_.add();
  else if (wake == Wake::timed_out) late_.add();
  co_return std::move(self.reply);
}

// Of those that are being read, the ones of which nobody knows lately whether they have rows.
std::vector<std::string> SharedCache::unknown_routes(MonoTime now) const {
  std::vector<std::string> out;
  for (const Waiter* w : reading_) {
    const auto known = routes_.find(w->route);
    if ((known == routes_.end() || now >= known->second.until) && std::ranges::find(out, w->route) == out.end()) out.push_back(w->route);
  }
  return out;
}

Result<SharedCache::Found> SharedCache::read(const std::vector<Digest>& digests, const std::vector<std::string>& routes) {
  const WallTime now = clock_.wall();
  return reads_.read_now(
      [&](store::Tx& tx) -> Result<Found> {
        auto rows = records::find_shared_answers(tx, digests, now);
        if (!rows) return std::unexpected(std::move(rows.error()));
        Found found{.rows = std::move(*rows), .empty = {}};
        for (const std::string& route : routes) {
          const auto any = records::has_shared_answers(tx, route, now);
          if (!any) return std::unexpected(any.error());
          found.empty[route] = !*any;
        }
        return found;
      },
      kRead);
}

void SharedCache::note(const Found& found, MonoTime now) {
  if (routes_.size() + found.empty.size() > kMostRoutes) routes_.clear();
  for (const auto& [route, empty] : found.empty) routes_[route] = {empty, now + options_.believed};
}

bool SharedCache::read_waiting() {
  std::vector<Digest> digests;
  std::vector<std::string> routes;
  {
    const std::lock_guard hold(mutex_);
    if (waiting_.empty()) return false;
    while (!waiting_.empty() && reading_.size() < kReadAtOnce) {
      reading_.push_back(waiting_.front());
      digests.push_back(digest_of(waiting_.front()->key));
      waiting_.pop_front();
    }
    routes = unknown_routes(clock_.mono());
  }
  const auto found = read(digests, routes);
  std::vector<std::pair<Digest, CachedReply>> replies;
  if (found)
    for (const auto& row : found->rows)
      if (auto reply = reply_of(row)) replies.emplace_back(row.digest, std::move(*reply));
  const std::lock_guard hold(mutex_);
  if (found) note(*found, clock_.mono());
  for (Waiter* w : reading_) {                               // who still waits
    w->state = found ? Waiter::State::answered : Waiter::State::failed;
    const auto reply = std::ranges::find(replies, digest_of(w->key), &std::pair<Digest, CachedReply>::first);
    if (reply != replies.end()) w->reply = reply->second;
    w->parking->wake();
  }
  reading_.clear();
  return true;
}

// ---- writing ----

void SharedCache::offer(const CacheKey& key, std::string_view route, std::string_view user, CachedReplyPtr reply, Duration keep) {
  if (reply->body.size() > options_.largest) return large_.add();
  Offer offer{.key = key, .route = std::string(route), .user = std::string(user), .reply = std::move(reply), .expires = {}};
  offer.expires = offer.reply->stored + keep;
  const std::size_t bytes = offer.bytes();
  {
    const std::lock_guard hold(mutex_);
    if (queue_.size() >= options_.queued || queued_bytes_ + bytes > options_.queued_bytes) return dropped_.add();
    queued_bytes_ += bytes;
    queue_.push_back(std::move(offer));
  }
  wake_.notify_all();
}

bool SharedCache::write_waiting() {
  std::vector<Offer> batch;
  {
    const std::lock_guard hold(mutex_);
    while (!queue_.empty() && batch.size() < kWrittenAtOnce) {
      queued_bytes_ -= queue_.front().bytes();
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    writing_ = !batch.empty();
  }
  if (batch.empty()) return false;
  write(std::move(batch));
  const std::lock_guard hold(mutex_);
  writing_ = false;
  return true;
}

void SharedCache::write(std::vector<Offer> batch) {
  std::vector<records::SharedAnswerRow> rows;
  rows.reserve(batch.size());
  for (const Offer& o : batch)
    rows.push_back({.digest = digest_of(o.key), .route = o.route, .user = o.user, .stored = o.reply->stored, .expires = o.expires, .packed = packed(*o.reply)});
  const auto done = database_.write_now([&](store::Tx& tx) { return records::put_shared_answers(tx, rows); }, kGently);
  (done ? kept_ : not_kept_).add(rows.size());
  if (!done) return log::warn("shared_answers_not_kept", {{"answers", rows.size()}, {"why", done.error().message}});
  const std::lock_guard hold(mutex_);
  for (const Offer& o : batch) routes_.erase(o.route);       // it has rows now
}

void SharedCache::forget_queued() {
  const std::lock_guard hold(mutex_);
  queue_.clear();
  queued_bytes_ = 0;
}

Task<void> SharedCache::written(Scheduler& loop, Duration patience) {
  const auto busy = [this] {
    const std::lock_guard hold(mutex_);
    return writing_;
  };
  for (const MonoTime end = loop.clock().mono() + patience; busy() && loop.clock().mono() < end;) co_await SleepUntil(loop, loop.clock().mono() + kLook);
}

// ---- the table ----

// In short transactions; what one sweep does not reach the next one does.
std::optional<records::SharedSum> SharedCache::shrink() {
  const auto swept = [&](const auto& some) -> std::optional<records::SharedSum> {
    const auto gone = database_.write_now(some, kGently);
    if (!gone) log::warn("shared_answers_not_swept", {{"why", gone.error().message}});
    return gone ? std::optional(*gone) : std::nullopt;
  };
  const auto expired = [&](store::Tx& tx) -> Result<records::SharedSum> {
    const auto gone = records::delete_expired_answers(tx, clock_.wall(), kSweptAtOnce);
    if (!gone) return std::unexpected(gone.error());
    return records::SharedSum{.answers = *gone};
  };
  int left = kSweeps;
  for (bool more = true; more && left > 0; --left) {
    const auto gone = swept(expired);
    if (!gone) return std::nullopt;
    more = gone->answers == kSweptAtOnce;
  }
  auto sum = database_.read_now([](store::Tx& tx) { return records::sum_shared_answers(tx); }, {.limit = std::chrono::milliseconds(30'000), .priority = store::Priority::low});
  if (!sum) return std::nullopt;
  for (; sum->bytes > table_bytes_ && left > 0; --left) {
    const std::uint64_t about = (sum->bytes - table_bytes_) / std::max<std::uint64_t>(sum->bytes / std::max<std::uint64_t>(sum->answers, 1), 1) + 1;
    const auto gone = swept([&](store::Tx& tx) { return records::delete_oldest_answers(tx, std::min<std::size_t>(about, kSweptAtOnce)); });
    if (!gone || gone->answers == 0) break;
    sum->answers -= std::min(sum->answers, gone->answers);
    sum->bytes -= std::min(sum->bytes, gone->bytes);
  }
  return *sum;
}

void SharedCache::sweep(bool mine) {
  const auto sum = mine ? shrink() : records::SharedSum{};
  if (!sum) return;                                          // told as it was
  entries_.set(static_cast<double>(sum->answers));
  bytes_.set(static_cast<double>(sum->bytes));
}

}  // namespace ballast::gateway
