#include "work/webhook_deliverer.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "base/log.hpp"
#include "llm/errors.hpp"
#include "net/fetch.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBatch = 256;
constexpr Duration kShortestTurn = 100ms, kLongestTurn = 5min;
constexpr std::array<Duration, 3> kSettleAgain = {100ms, 500ms, 2s};

std::string host_of(const std::string& url) {
  const auto parsed = net::parse_url(url);
  return parsed ? parsed->origin.host : std::string();
}

Delivery put_back(const OutboxRow& row, WallTime next) {
  return {.verdict = Delivery::Verdict::put_back, .attempt = row.attempt, .next = next};
}

}  // namespace

Deliverer::Deliverer(Scheduler& loop, net::Transport& transport, OutboxStore& store, WebhookSecrets secrets, Random& random, DelivererOptions options)
    : loop_(loop), transport_(transport), store_(store), secrets_(std::move(secrets)), random_(random), options_(std::move(options)) {
  assert(options_.at_once > 0 && options_.per_host > 0);
}

void Deliverer::poke() {
  if (stopping_) return;
  if (taking_) {
    again_ = true;
    return;
  }
  poll_.cancel();
  tasks_.spawn(take());
}

// As many as all busy hosts together may hold: while a slot is free there is room, however many hosts are slow.
std::size_t Deliverer::capacity() const {
  return options_.at_once + (options_.at_once / options_.per_host + 1) * options_.held_per_host;
}

std::size_t Deliverer::room() const { return std::min(kBatch, capacity() - std::min(capacity(), ours_.size())); }

Task<void> Deliverer::take() {
  taking_ = true;
  Duration rest = options_.poll;
  do {
    again_ = more_ = false;
    forget_idle_hosts();
    const std::size_t asked = room();
    if (asked == 0) {
      more_ = true;                        // asked again when there is room
      break;
    }
    auto rows = co_await store_.take_due(loop_.clock().wall(), asked);
    if (!rows) {
      log::warn("outbox_unreadable", {{"code", rows.error().code}, {"message", rows.error().message}});
      break;
    }
    more_ = rows->size() == asked;
    TaskGroup returned("webhooks_put_back");              // side by side: a store commits them together
    for (auto& row : *rows) {
      if (ours_.contains(row.id)) {                       // handed out twice: once is enough
        twice_.insert(row.id);
        continue;
      }
      if (stopping_) {
        returned.spawn(settle(row.id, put_back(row, loop_.clock().wall())));
        continue;
      }
      auto surplus = keep(std::move(row));
      start_ready();
      if (!surplus) continue;
      const WallTime turn = turn_of(hosts_[surplus->host]);
      rest = std::min(rest, turn - loop_.clock().wall());
      returned.spawn(settle(surplus->row.id, put_back(surplus->row, turn)));
    }
    co_await returned.join();
  } while ((again_ || more_) && !stopping_);
  taking_ = false;
  if (!stopping_) loop_.arm(poll_, loop_.clock().mono() + rest, [](void* self) { static_cast<Deliverer*>(self)->poke(); }, this);
}

std::optional<Deliverer::Waiting> Deliverer::keep(OutboxRow row) {
  Waiting next{std::move(row), {}};
  next.host = host_of(next.row.url);
  Host& host = hosts_[next.host];
  if (host.waiting >= options_.held_per_host) return next;
  ++host.waiting;
  ours_.insert(next.row.id);
  waiting_.push_back(std::move(next));
  return std::nullopt;
}

// Rows of a busy host come back one after the other, at the pace at which it has been taking them.
WallTime Deliverer::turn_of(Host& host) const {
  const auto now = loop_.clock().wall();
  const auto lanes = static_cast<int>(options_.per_host);
  const Duration queue = host.mean * static_cast<int>(host.waiting) / lanes;
  host.booked = std::clamp(std::max(host.booked, now + queue) + host.mean / lanes, now + kShortestTurn, now + kLongestTurn);
  return host.booked;
}

void Deliverer::start_ready() {
  if (std::exchange(starting_, true)) return;             // an attempt that ended at once: the loop below looks again
  for (auto at = waiting_.begin(); at != waiting_.end() && under_way_ < options_.at_once && !stopping_;) {
    Host& host = hosts_[at->host];
    if (host.under_way >= options_.per_host) {
      ++at;
      continue;
    }
    --host.waiting;
    ++host.under_way;
    ++under_way_;
    Waiting next = std::move(*at);
    waiting_.erase(at);
    tasks_.spawn(perform(std::move(next)));
    at = waiting_.begin();                 // it may have ended already
  }
  starting_ = false;
}

Task<void> Deliverer::perform(Waiting next) {
  const MonoTime began = loop_.clock().mono();
  const Attempted attempted = co_await attempt(next.row);
  const auto now = loop_.clock().wall();
  const bool cut = attempted.error && attempted.error->code == ErrorCode::caller_cancelled;
  Delivery outcome = cut ? put_back(next.row, now) : decide_delivery(next.row, attempted, now, options_.rules, random_);
  if (outcome.verdict == Delivery::Verdict::dead)
    log::warn("webhook_dead", {{"id", webhook_id(next.row)}, {"kind", next.row.kind}, {"host", next.host}, {"attempts", outcome.attempt}, {"why", outcome.why}});
  const bool owed = outcome.verdict == Delivery::Verdict::retry || outcome.verdict == Delivery::Verdict::put_back;
  const Delivery again{.verdict = Delivery::Verdict::put_back, .attempt = outcome.attempt, .next = outcome.next};
  co_await settle(next.row.id, std::move(outcome));
  // Written, it was due and taken once more before we heard of it: nobody else would give it back for as long as a row may be held.
  while (twice_.erase(next.row.id) > 0)
    if (owed) co_await settle(next.row.id, again);
  Host& host = hosts_[next.host];
  host.mean = (host.mean * 7 + (loop_.clock().mono() - began)) / 8;
  --host.under_way;
  --under_way_;
  ours_.erase(next.row.id);
  start_ready();
  if (more_ && !taking_ && room() >= std::min(kBatch, capacity()) / 2) poke();
}

Task<Attempted> Deliverer::attempt(const OutboxRow& row) {
  const auto now = loop_.clock().wall();
  const std::string id = webhook_id(row);
  net::FetchRequest request{.method = "POST", .url = row.url,
                            .headers = {{"content-type", "application/json"}, {"user-agent", "ballast"}, {"webhook-id", id}, {"webhook-timestamp", webhook_timestamp(now)}},
                            .body = row.body, .replay_safe = true};
  if (!row.secret_ref.empty()) {
    const auto secrets = secrets_(row.secret_ref);
    // Whatever is wrong with them is the operator's to mend, so the delivery is tried again.
    if (!secrets) co_return Attempted{.error = Error{.code = ErrorCode::internal_unavailable, .message = "its secret cannot be had: " + secrets.error().message, .field = secrets.error().field}};
    const auto signature = sign_webhook(*secrets, id, now, row.body);
    if (!signature) co_return Attempted{.error = signature.error()};
    request.headers.put("webhook-signature", *signature);
  }
  const net::FetchLimits limits{.connect = options_.connect, .total = options_.total, .body_bytes = 0};
  auto answer = co_await net::fetch(transport_, loop_, std::move(request), limits, &cut_);
  if (!answer) co_return Attempted{.error = std::move(answer.error())};
  const auto wait = llm::retry_wait({.retry_after = answer->headers.get("retry-after"), .now = std::chrono::time_point_cast<std::chrono::system_clock::duration>(loop_.clock().wall())});
  co_return Attempted{.status = answer->status, .retry_after = wait};
}

Task<void> Deliverer::settle(std::int64_t id, Delivery outcome) {
  for (std::size_t tries = 0;; ++tries) {
    const auto done = co_await store_.settle(id, outcome);
    if (done) break;
    const bool away = done.error().code == ErrorCode::internal_unavailable;
    if ((tries >= kSettleAgain.size() && (!away || stopping_)) || cut_.cancelled()) {
      ++stats_.unsettled;
      log::error("webhook_unsettled", {{"id", id}, {"code", done.error().code}, {"message", done.error().message}});
      co_return;
    }
    co_await SleepUntil(loop_, loop_.clock().mono() + kSettleAgain[std::min(tries, kSettleAgain.size() - 1)]);
  }
  switch (outcome.verdict) {
    case Delivery::Verdict::delivered: ++stats_.delivered; break;
    case Delivery::Verdict::retry: ++stats_.retried; break;
    case Delivery::Verdict::dead: ++stats_.dead; break;
    case Delivery::Verdict::put_back: ++stats_.put_back; break;
  }
}

void Deliverer::forget_idle_hosts() {
  const auto now = loop_.clock().wall();
  std::erase_if(hosts_, [now](const auto& entry) {
    const Host& host = entry.second;
    return host.under_way == 0 && host.waiting == 0 && host.booked < now;
  });
}

Task<void> Deliverer::drain(Duration patience) {
  stopping_ = true;
  poll_.cancel();
  Timer end;
  loop_.arm(end, loop_.clock().mono() + patience, [](void* self) { static_cast<Deliverer*>(self)->cut_.cancel(); }, this);
  for (const auto& next : std::exchange(waiting_, {})) {
    --hosts_[next.host].waiting;
    tasks_.spawn(settle(next.row.id, put_back(next.row, loop_.clock().wall())));
  }
  co_await tasks_.join();
}

Deliverer::Stats Deliverer::stats() const {
  Stats s = stats_;
  s.under_way = under_way_;
  s.waiting = waiting_.size();
  return s;
}

}  // namespace ballast::work
