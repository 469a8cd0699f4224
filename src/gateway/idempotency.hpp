// Idempotency: a client's `Idempotency-Key` makes a call happen once. The same key with the same body gets the same
// answer; a key in flight is waited for; a key whose outcome a crash took away is told so, or dispatched again, by policy.
//
// Keys live in a key's own name space (a caller can neither see nor block another's). Durable through `IdempotencyStore`
// (records/idempotency behind it): the claim is stored before dispatch, the answer before the last byte.
//
// Concurrency: thread-safe; waiters of other loops are resumed on their own. Bounds: in memory only keys in flight, at most
// `Options::max_in_flight` (then internal_unavailable), each with at most `max_waiters` (then caller_conflict, retryable).
#pragma once
#include <cstdint>
#include <map>
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
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/parking.hpp"
#include "records/idempotency.hpp"
#include "store/database.hpp"

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

// Durable memory of keys, on the caller's loop. Rows are records::IdempotencyRow; `state` says what was found.
class IdempotencyStore {
 public:
  virtual ~IdempotencyStore() = default;
  // Inserts `row` as started and returns it as fresh; or returns the row that is there.
  virtual Task<Result<records::IdempotencyRow>> begin(Scheduler& loop, records::IdempotencyRow row, WallTime now) = 0;
  // Takes an unknown row over. True for exactly one caller.
  virtual Task<Result<bool>> retake(Scheduler& loop, std::string key_id, std::string key, Id call, std::string owner) = 0;
  virtual Task<Result<void>> finish(Scheduler& loop, std::string key_id, std::string key, Id call, records::StoredReply reply) = 0;
  // The call never reached a provider: forget the claim, so that a retry is a new call.
  virtual Task<Result<void>> forget(Scheduler& loop, std::string key_id, std::string key, Id call) = 0;
  // Writes what could not be written before. Blocking; to be called once a second, by one thread at a time.
  virtual void keep_up() {}
};

// In the database (borrowed), through records/idempotency. An end that the database does not take (it is away, or full) is kept in memory, 10,000 of them and
// 64 MiB at most, answered from there to who asks this process, and written by `keep_up`; beyond that it fails. What is not written when the process ends is unknown.
std::unique_ptr<IdempotencyStore> database_idempotency_store(store::Database& database);
// In memory, for tests. Thread-safe. `disown` does what a restart does to rows of dead processes.
class MemoryIdempotencyStore final : public IdempotencyStore {
 public:
  Task<Result<records::IdempotencyRow>> begin(Scheduler& loop, records::IdempotencyRow row, WallTime now) override;
  Task<Result<bool>> retake(Scheduler& loop, std::string key_id, std::string key, Id call, std::string owner) override;
  Task<Result<void>> finish(Scheduler& loop, std::string key_id, std::string key, Id call, records::StoredReply reply) override;
  Task<Result<void>> forget(Scheduler& loop, std::string key_id, std::string key, Id call) override;
  void disown(std::string_view alive);

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, records::IdempotencyRow> rows_;
};

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
  IdempotencyClaim(Idempotency* gate, Scheduler* loop, std::string slot, std::string scope, std::string key, Id call, std::size_t max_body)
      : gate_(gate), loop_(loop), slot_(std::move(slot)), scope_(std::move(scope)), key_(std::move(key)), call_(call), max_body_(max_body) {}
  Idempotency* gate_ = nullptr;
  Scheduler* loop_ = nullptr;
  std::string slot_, scope_, key_;
  Id call_;                                // whose row it is
  std::size_t max_body_ = 0;               // a larger answer is not remembered
};

// What `enter` found: go on with a claim, or here is the answer.
using IdempotencyEntry = std::variant<IdempotencyClaim, std::shared_ptr<const RememberedReply>>;

class Idempotency {
 public:
  // `owner` differs in every process start; at start, `records::disown_idempotent` marks the rows of dead ones as unknown.
  Idempotency(IdempotencyStore& store, std::string owner, const Clock& clock, IdempotencyOptions options);
  Idempotency(const Idempotency&) = delete;
  Idempotency& operator=(const Idempotency&) = delete;
  ~Idempotency();                          // after every claim and waiter is gone

  // Errors: caller_invalid_request (an unusable key), caller_conflict (other body; outcome unknown under `tell`; too many
  // waiting), provider_timeout (still in flight at `deadline`), caller_cancelled, or the store's own. `durable`: a key of the durable road,
  // apart from those of callers: an unknown outcome is dispatched again whatever the policy, and an answer of any size is remembered.
  Task<Result<IdempotencyEntry>> enter(std::string scope, std::string key, BodyDigest body, std::string call_id,
                                       Scheduler& loop, MonoTime deadline, CancelToken cancel, bool durable = false);
  std::size_t in_flight() const;

 private:
  friend class IdempotencyClaim;
  struct Flight;
  using FlightPtr = std::shared_ptr<Flight>;
  struct Place;                            // what a newcomer got: a flight of its own, or one to wait for
  Result<Place> take_place(const std::string& slot, const BodyDigest& body);
  Task<Result<IdempotencyEntry>> claim(std::string slot, records::IdempotencyRow row, Scheduler& loop, bool durable);
  Task<Result<bool>> settle_unknown(records::IdempotencyRow& row, const records::IdempotencyRow& mine, Scheduler& loop, UnknownPolicy policy);
  Task<Wake> wait_for(FlightPtr flight, Scheduler& loop, MonoTime deadline, CancelToken cancel);
  enum class Ending : std::uint8_t { running, replied, again, unknown };
  void end(const std::string& slot, Ending ending, std::shared_ptr<const RememberedReply> reply);

  IdempotencyStore& store_;
  const std::string owner_;
  const Clock& clock_;
  const IdempotencyOptions options_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, FlightPtr> flights_;
};

}  // namespace ballast::gateway
