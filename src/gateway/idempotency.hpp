// Idempotency: a client's `Idempotency-Key` makes a call happen once. The same key with the same body gets the same
// answer; a key in flight is waited for; a key whose outcome a crash took away is told so, or dispatched again, by policy.
//
// Keys live in a key's own name space (a caller can neither see nor block another's). Durable through `IdempotencyStore`
// (records/idempotency behind it): the claim is stored before dispatch, the answer before the last byte.
//
// Concurrency: thread-safe; waiters of other loops are resumed on their own. Bounds: in memory only keys in flight, at most
// `Options::max_in_flight` (then internal_unavailable), each with at most `max_waiters` (then caller_conflict, retryable).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"

namespace ballast::gateway {

using BodyDigest = Digest;

// What is remembered of a finished call, enough to answer again in either form.
struct RememberedReply {
  int status = 200;
  std::string content_type;
  std::string body;                        // the whole reply in the caller's wire; a stream is written again from it
  std::string call_id;
  std::string served_by;
};

enum class UnknownPolicy : std::uint8_t { tell, redispatch };
std::optional<UnknownPolicy> unknown_policy_from(std::string_view name);

struct IdempotencyOptions {
  Duration retention = std::chrono::hours(24);
  UnknownPolicy unknown = UnknownPolicy::tell;
  std::size_t max_key_bytes = 255;
  std::size_t max_body_bytes = 1u << 20;   // a larger answer is not remembered; its retry is told so (unknown policy)
  std::size_t max_in_flight = 100'000;
  std::size_t max_waiters = 64;
};

// A row as the store keeps it.
struct IdempotencyRow {
  enum class State : std::uint8_t { in_flight, finished } state = State::in_flight;
  BodyDigest body{};
  std::string owner;                       // the process (boot) that claimed it
  std::string call_id;
  std::optional<RememberedReply> reply;    // finished; absent if it was too large
  WallTime created{};
};

// Durable memory of keys. `scope` is the key id, `key` the client's. Called on the caller's loop.
class IdempotencyStore {
 public:
  virtual ~IdempotencyStore() = default;
  // Inserts an in-flight row unless one younger than `retention` exists; returns the existing one if so.
  virtual Task<Result<std::optional<IdempotencyRow>>> claim(std::string_view scope, std::string_view key, IdempotencyRow row,
                                                            WallTime now, Duration retention) = 0;
  // Takes an in-flight row of another owner over. False: it is no longer as `expected_owner` left it.
  virtual Task<Result<bool>> take_over(std::string_view scope, std::string_view key, std::string_view expected_owner,
                                       IdempotencyRow row) = 0;
  virtual Task<Result<void>> finish(std::string_view scope, std::string_view key, std::string_view owner,
                                    std::optional<RememberedReply> reply) = 0;
  // The call never reached a provider: forget the claim, so that a retry is a new call.
  virtual Task<Result<void>> release(std::string_view scope, std::string_view key, std::string_view owner) = 0;
};

// A store in memory: tests, and `database: memory`. Thread-safe, bounded by `max_rows` (oldest leave first).
std::unique_ptr<IdempotencyStore> memory_idempotency_store(std::size_t max_rows);

class Idempotency;

// The claim of one call on its key. Move-only. End it with exactly one of `finish` and `release`; if it dies otherwise the
// row stays in flight in the store, its outcome unknown, and waiters are told so.
class IdempotencyClaim {
 public:
  IdempotencyClaim() = default;
  IdempotencyClaim(IdempotencyClaim&& o) noexcept;
  IdempotencyClaim& operator=(IdempotencyClaim&& o) noexcept;
  ~IdempotencyClaim();
  bool held() const { return gate_ != nullptr; }
  // Stores the answer, then gives it to those who wait. Await it before the last byte goes out. A store that fails is
  // reported, and those in memory are answered all the same.
  Task<Result<void>> finish(RememberedReply reply);
  // Nothing was dispatched (refused by a limit, a budget, a bad request): the key is free again.
  Task<Result<void>> release();

 private:
  friend class Idempotency;
  IdempotencyClaim(Idempotency* gate, std::string slot, std::string scope, std::string key)
      : gate_(gate), slot_(std::move(slot)), scope_(std::move(scope)), key_(std::move(key)) {}
  Idempotency* gate_ = nullptr;
  std::string slot_, scope_, key_;
};

// What `enter` found: go on with a claim, or here is the answer.
using IdempotencyEntry = std::variant<IdempotencyClaim, std::shared_ptr<const RememberedReply>>;

class Idempotency {
 public:
  // `owner` differs in every process start, so that rows of a crashed one are recognised.
  Idempotency(IdempotencyStore& store, std::string owner, const Clock& clock, IdempotencyOptions options);
  Idempotency(const Idempotency&) = delete;
  Idempotency& operator=(const Idempotency&) = delete;
  ~Idempotency();                          // after every claim and waiter is gone

  // Errors: caller_invalid_request (an unusable key), caller_conflict (other body; outcome unknown under `tell`; too many
  // waiting), provider_timeout (still in flight at `deadline`), caller_cancelled, or the store's own.
  Task<Result<IdempotencyEntry>> enter(std::string scope, std::string key, BodyDigest body, std::string call_id,
                                       Scheduler& loop, MonoTime deadline, CancelToken cancel);
  std::size_t in_flight() const;

 private:
  friend class IdempotencyClaim;
  struct Flight;
  struct Waiter;
  Task<Result<IdempotencyEntry>> claim_in_store(std::string slot, std::string scope, std::string key, BodyDigest body,
                                                std::string call_id);
  Task<Result<IdempotencyEntry>> join(std::string slot, Scheduler& loop, MonoTime deadline, CancelToken cancel);
  Result<void> found_other_body(const BodyDigest& a, const BodyDigest& b) const;
  void end(const std::string& slot, std::shared_ptr<const RememberedReply> reply, bool unknown);

  IdempotencyStore& store_;
  const std::string owner_;
  const Clock& clock_;
  const IdempotencyOptions options_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace ballast::gateway
