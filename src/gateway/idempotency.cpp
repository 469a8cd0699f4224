#include "gateway/idempotency.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/log.hpp"

namespace ballast::gateway {

namespace {

constexpr std::string_view kDurableSpace = "jobs\n";   // before the scope of a durable call: no key id begins so
constexpr int kNotKept = 0;                // the status of an answer that was too large to remember

records::StoredReply to_stored(const RememberedReply& reply, std::size_t max_body) {
  json::object headers{{"content_type", reply.content_type}, {"call_id", reply.call_id}, {"served_by", reply.served_by}};
  const bool kept = reply.body.size() <= max_body;
  return {.status = kept ? reply.status : kNotKept, .headers = to_json(headers), .body = kept ? reply.body : std::string()};
}

Result<std::shared_ptr<const RememberedReply>> from_stored(std::string_view packed) {
  auto stored = records::unpack_reply(packed);
  if (!stored) return fail(std::move(stored.error()));
  if (stored->status == kNotKept)
    return fail(ErrorCode::caller_conflict, "this Idempotency-Key was used, and its answer was too large to be kept", "idempotency-key");
  RememberedReply reply{.status = stored->status, .body = std::move(stored->body)};
  if (const auto headers = parse_json(stored->headers)) {
    const JsonRef ref(*headers);
    const auto text = [&](std::string_view key) { return ref.get<std::string>(key).value_or(std::string()); };
    reply.content_type = text("content_type");
    reply.call_id = text("call_id");
    reply.served_by = text("served_by");
  }
  return std::make_shared<const RememberedReply>(std::move(reply));
}

Error other_body() {
  return {.code = ErrorCode::caller_conflict, .message = "this Idempotency-Key was used with another request", .field = "idempotency-key"};
}
Error outcome_unknown() {
  return {.code = ErrorCode::caller_conflict,
          .message = "a call with this Idempotency-Key was dispatched and its outcome is unknown: it may have been answered and charged; use a new key to ask again",
          .field = "idempotency-key"};
}
Error busy(std::string message) {
  return {.code = ErrorCode::caller_conflict, .message = std::move(message), .field = "idempotency-key", .retryable = true,
          .retry_after = std::chrono::seconds(1)};
}

bool usable(std::string_view key, std::size_t max) {
  return !key.empty() && key.size() <= max && std::ranges::all_of(key, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

std::optional<UnknownPolicy> unknown_policy_from(std::string_view name) {
  if (name == "tell") return UnknownPolicy::tell;
  if (name == "redispatch") return UnknownPolicy::redispatch;
  return std::nullopt;
}

// A key whose call is under way in this process. Guarded by the gate's mutex.
struct Idempotency::Flight {
  BodyDigest body{};
  std::vector<Parking*> waiting;
  Ending ending = Ending::running;
  std::shared_ptr<const RememberedReply> reply;
};

struct Idempotency::Place {
  FlightPtr flight;
  bool own = false;
};

Idempotency::Idempotency(IdempotencyStore& store, std::string owner, const Clock& clock, IdempotencyOptions options)
    : store_(store), owner_(std::move(owner)), clock_(clock), options_(options) {}
Idempotency::~Idempotency() = default;

std::size_t Idempotency::in_flight() const {
  const std::lock_guard hold(mutex_);
  return flights_.size();
}

Task<Result<IdempotencyEntry>> Idempotency::enter(std::string scope, std::string key, BodyDigest body, std::string call_id,
                                                  Scheduler& loop, MonoTime deadline, CancelToken cancel, bool durable) {
  if (!usable(key, options_.max_key_bytes))
    co_return fail(ErrorCode::caller_invalid_request, fmt::format("must be 1 to {} printable ASCII characters", options_.max_key_bytes),
                   "idempotency-key");
  if (durable) scope.insert(0, kDurableSpace);
  const UnknownPolicy policy = durable ? UnknownPolicy::redispatch : options_.unknown;
  const std::string slot = scope + '\n' + key;
  const WallTime now = clock_.wall();
  const records::IdempotencyRow row{.key_id = std::move(scope), .key = std::move(key), .body_hash = body,
                                    .call = parse_id(call_id, "call").value_or(new_id(now)), .owner = owner_,
                                    .state = records::IdempotencyState::started, .created = now, .expires = now + options_.retention};
  for (;;) {
    auto place = take_place(slot, body);
    if (!place) co_return fail(std::move(place.error()));
    if (place->own) {
      auto claimed = co_await claim(slot, row, loop, durable);
      co_return claimed;
    }
    const FlightPtr flight = place->flight;
    const Wake wake = co_await wait_for(flight, loop, deadline, cancel);
    Ending ending;
    {
      const std::lock_guard hold(mutex_);
      ending = flight->ending;
    }
    if (ending == Ending::replied) co_return IdempotencyEntry(flight->reply);
    if (wake == Wake::cancelled) co_return fail(ErrorCode::caller_cancelled, "the caller left while its Idempotency-Key was in use");
    if (wake == Wake::timed_out) {
      Error late = busy("the call with this Idempotency-Key is still under way");
      late.code = ErrorCode::provider_timeout;
      co_return fail(std::move(late));
    }
    if (ending == Ending::unknown && policy == UnknownPolicy::tell) co_return fail(outcome_unknown());
  }                                        // released, or unknown and to be dispatched again: the first one back claims it
}

Result<Idempotency::Place> Idempotency::take_place(const std::string& slot, const BodyDigest& body) {
  const std::lock_guard hold(mutex_);
  if (const auto it = flights_.find(slot); it != flights_.end()) {
    if (it->second->body != body) return fail(other_body());
    if (it->second->waiting.size() >= options_.max_waiters) return fail(busy("too many requests wait for this Idempotency-Key"));
    return Place{it->second, false};
  }
  if (flights_.size() >= options_.max_in_flight)
    return fail(ErrorCode::internal_unavailable, "too many calls with an Idempotency-Key are under way");
  auto flight = std::make_shared<Flight>();
  flight->body = body;
  flights_.emplace(slot, flight);
  return Place{std::move(flight), true};
}

Task<Wake> Idempotency::wait_for(FlightPtr flight, Scheduler& loop, MonoTime deadline, CancelToken cancel) {
  Parking parking(loop, deadline, cancel);
  {
    const std::lock_guard hold(mutex_);
    if (flight->ending != Ending::running) co_return Wake::woken;
    flight->waiting.push_back(&parking);
  }
  const Wake wake = co_await parking;
  const std::lock_guard hold(mutex_);
  std::erase(flight->waiting, &parking);
  co_return wake;
}

// With the slot in memory ours: what does the durable memory say?
Task<Result<IdempotencyEntry>> Idempotency::claim(std::string slot, records::IdempotencyRow mine, Scheduler& loop, bool durable) {
  auto found = co_await store_.begin(loop, mine, clock_.wall());
  if (!found) {
    end(slot, Ending::again, nullptr);
    log::warn("idempotency_not_recorded", {{"why", found.error().message}});  // it may name hosts and files: not for callers
    co_return fail(ErrorCode::internal_unavailable, "the database cannot be reached, and a call with an Idempotency-Key is not sent before "
                                                    "the key is recorded: send it again later");
  }
  using State = records::IdempotencyState;
  if (found->state != State::fresh && found->body_hash != mine.body_hash) {
    end(slot, Ending::again, nullptr);
    co_return fail(other_body());
  }
  if (found->state == State::finished) {
    auto reply = from_stored(found->reply);
    end(slot, reply ? Ending::replied : Ending::again, reply ? *reply : nullptr);
    if (!reply) co_return fail(std::move(reply.error()));
    co_return IdempotencyEntry(std::move(*reply));
  }
  if (found->state != State::fresh) {
    auto ours = co_await settle_unknown(*found, mine, loop, durable ? UnknownPolicy::redispatch : options_.unknown);
    if (!ours) {
      end(slot, Ending::again, nullptr);
      co_return fail(std::move(ours.error()));
    }
  }
  co_return IdempotencyEntry(IdempotencyClaim(this, &loop, std::move(slot), mine.key_id, mine.key, found->call,
                                              durable ? std::numeric_limits<std::size_t>::max() : options_.max_body_bytes));
}

// Somebody began and did not finish. True: dispatch again, as `row.call`.
Task<Result<bool>> Idempotency::settle_unknown(records::IdempotencyRow& row, const records::IdempotencyRow& mine, Scheduler& loop, UnknownPolicy policy) {
  const bool of_this_process = row.owner == owner_;        // its claim died here, or it would be in flight
  if (row.state == records::IdempotencyState::started && !of_this_process)
    co_return fail(busy("a call with this Idempotency-Key is under way on another node"));
  if (policy == UnknownPolicy::tell) co_return fail(outcome_unknown());
  if (row.state == records::IdempotencyState::started) co_return true;
  auto taken = co_await store_.retake(loop, mine.key_id, mine.key, mine.call, owner_);
  if (!taken) co_return fail(std::move(taken.error()));
  if (!*taken) co_return fail(busy("a call with this Idempotency-Key is under way on another node"));
  row.call = mine.call;
  co_return true;
}

void Idempotency::end(const std::string& slot, Ending ending, std::shared_ptr<const RememberedReply> reply) {
  const std::lock_guard hold(mutex_);
  const auto it = flights_.find(slot);
  const FlightPtr flight = std::move(it->second);
  flights_.erase(it);
  flight->ending = ending;
  flight->reply = std::move(reply);
  for (Parking* p : flight->waiting) p->wake();
}

IdempotencyClaim::IdempotencyClaim(IdempotencyClaim&& o) noexcept
    : gate_(std::exchange(o.gate_, nullptr)), loop_(o.loop_), slot_(std::move(o.slot_)), scope_(std::move(o.scope_)), key_(std::move(o.key_)), call_(o.call_), max_body_(o.max_body_) {}
IdempotencyClaim& IdempotencyClaim::operator=(IdempotencyClaim&& o) noexcept {
  if (this != &o) {
    if (gate_) gate_->end(slot_, Idempotency::Ending::unknown, nullptr);
    gate_ = std::exchange(o.gate_, nullptr);
    loop_ = o.loop_;
    slot_ = std::move(o.slot_);
    scope_ = std::move(o.scope_);
    key_ = std::move(o.key_);
    call_ = o.call_;
    max_body_ = o.max_body_;
  }
  return *this;
}
IdempotencyClaim::~IdempotencyClaim() {
  if (gate_) gate_->end(slot_, Idempotency::Ending::unknown, nullptr);
}

Task<Result<void>> IdempotencyClaim::finish(RememberedReply reply) {
  if (!gate_) co_return Result<void>{};
  auto stored = to_stored(reply, max_body_);
  auto kept = co_await gate_->store_.finish(*loop_, scope_, key_, call_, std::move(stored));
  std::exchange(gate_, nullptr)->end(slot_, Idempotency::Ending::replied, std::make_shared<const RememberedReply>(std::move(reply)));
  co_return kept;
}

Task<Result<void>> IdempotencyClaim::release() {
  if (!gate_) co_return Result<void>{};
  auto forgotten = co_await gate_->store_.forget(*loop_, scope_, key_, call_);
  std::exchange(gate_, nullptr)->end(slot_, Idempotency::Ending::again, nullptr);
  co_return forgotten;
}

}  // namespace ballast::gateway
