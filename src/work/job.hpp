// Job: the unit that is queued, leased and counted. What a submitter says (`JobSpec`), where it stands (`JobState`), its name (`JobId`).
// Values, without behaviour; the rules are the board's (board.hpp).
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

namespace ballast::work {

// A job's id is its row: 41 bits of milliseconds since 2026, 10 bits of node, 12 bits of sequence. Ids of a node strictly increase.
// Printed as `job_` and 13 characters of Crockford's base32, whose order is the id's. A name, not a secret. Zero: none.
struct JobId {
  std::int64_t value = 0;
  friend auto operator<=>(const JobId&, const JobId&) = default;
  explicit operator bool() const { return value != 0; }
  std::int64_t unix_ms() const;
};
inline constexpr unsigned kMaxNode = 1023;
std::string to_string(JobId id);
std::optional<JobId> parse_job_id(std::string_view text);
// The smallest id that a job of this moment may have: the bound of a search by time.
JobId first_job_id(WallTime at);

// Hands out a node's ids. Not thread-safe. When a millisecond's 4,096 are used up, or the clock steps back, it runs ahead of the clock.
class JobIds {
 public:
  // `last`: the highest id that any node ever gave out, as the database knows it.
  explicit JobIds(unsigned node, JobId last = {});
  JobId next(WallTime now);

 private:
  std::int64_t node_, last_;                 // last_: time and sequence, without the node
};

// What a lease's holder proves itself with. Handed out by the board, strictly monotonic: (boot epoch << 32) + counter.
using Fence = std::int64_t;

enum class JobKind : std::uint8_t {
  task,   // pulled by an external worker, or run by a handler of this process
  call,   // one model call
  flow,   // a run of a flow
};
// As stored. A job that somebody holds a lease of is `queued` here and shown as "running".
enum class JobState : std::uint8_t { queued = 0, waiting = 1, done = 2, dead = 3, cancelled = 4 };
inline bool terminal(JobState s) { return s >= JobState::done; }
std::string_view to_string(JobKind kind);
std::string_view to_string(JobState state);
std::optional<JobKind> job_kind_from(std::string_view name);
std::optional<JobState> job_state_from(std::string_view name);

// Why a job exists that somebody did not simply submit.
enum class Origin : std::uint8_t { submitted = 0, redrive, fork, child, schedule, rollback, batch };
std::string_view to_string(Origin origin);

// How long to wait after the n-th failure: first · factor^(n-1), at most `max`, with full jitter on its upper half.
struct Backoff {
  Duration first = std::chrono::seconds(1);
  double factor = 2;
  Duration max = std::chrono::minutes(5);
  friend bool operator==(const Backoff&, const Backoff&) = default;
};
// `chance` uniform in [0, 1).
Duration backoff_delay(const Backoff& backoff, std::uint32_t failures, double chance);

inline constexpr std::uint32_t kDefaultAttempts = 4;     // the first and three retries
inline constexpr std::uint8_t kDefaultPriority = 5;      // 0 first, 9 last
inline constexpr std::size_t kMaxName = 128;             // of queues, tasks, tenants, keys and tags, in bytes
inline constexpr std::string_view kBatchQueue = "batch"; // of jobs that may wait
inline constexpr std::uint8_t kBatchPriority = 9;
inline constexpr std::size_t kMaxTags = 16;

// What the submitter said; nothing changes it. Members that are not defaults are stored as JSON.
struct JobSpec {
  JobKind kind = JobKind::task;
  std::string name;                          // the task, or the flow; of a call its operation
  std::string model;                         // of a call: that it names
  std::string queue = "default";
  std::string tenant;                        // whose share of the queue it takes: the API key's id unless said otherwise
  std::uint8_t priority = kDefaultPriority;
  std::uint32_t max_attempts = kDefaultAttempts;
  Backoff backoff;
  std::optional<WallTime> deadline;          // not done by then: dead
  Duration timeout{};                        // of one attempt by a handler of this process; 0: the queue's
  std::string concurrency_key;               // at most `concurrency` of this key run at once
  std::uint32_t concurrency = 0;
  std::string key_id, user, feature;         // who asked, and what the costs are attributed to
  std::vector<std::string> tags;
  std::string webhook;                       // URL told of the end
  std::string webhook_secret;                // name of the secret that signs it; empty: the default one
  std::string version;                       // of the flow: the digest it began with
  Duration retention{};                      // kept after its end; 0: the configured time
  Origin origin = Origin::submitted;
  bool may_wait = false;                     // urgency "batch": when there is room, off-peak where the configuration says so
  JobId parent;                              // of a redrive or fork: the one it comes from; of a child: its run; of a batch's line: the batch
  std::string parent_stage;                  // of a child: the stage that waits for it
  std::string lineage;                       // of a redriven run: the first run, of whose id its effects' idempotency keys are made; empty: its own
  std::uint32_t generation = 1;
  std::string trace;                         // whose trace it belongs to (job_trace.hpp); empty: none
  std::string tracestate;                    // what came with it, for whom the job calls (base/tracestate.hpp)
  friend bool operator==(const JobSpec&, const JobSpec&) = default;
};
// The members that have no column of their own; empty when all are defaults. `spec_from` restores them over `spec`.
std::string pack_spec(const JobSpec& spec);
Result<void> unpack_spec(std::string_view packed, JobSpec& spec);

// A job as it is stored.
struct Job {
  JobId id;
  JobSpec spec;
  JobState state = JobState::queued;
  std::uint32_t attempt = 0;                 // attempts that ended without success; the present one is attempt + 1
  WallTime created{}, due{}, finished{};     // due: not leased before
  std::string input, output;                 // JSON, or any bytes of a task
  std::string error;                         // of the last failure: {"code","message",…}
};
using JobPtr = std::shared_ptr<const Job>;

// What went wrong with an attempt, as it is stored and shown.
std::string pack_error(const Error& error);
json::object error_json(std::string_view packed);

}  // namespace ballast::work

template <>
struct std::hash<ballast::work::JobId> {
  std::size_t operator()(const ballast::work::JobId& id) const noexcept {
    return static_cast<std::size_t>(static_cast<std::uint64_t>(id.value) * 0x9e3779b97f4a7c15ull);
  }
};
