// Board: the live jobs of a node as they stand in memory, and the rules of who is leased next. Pure: no I/O, no clock, no
// chance; the same calls give the same answers. The engine (engine.hpp) calls it around its transactions.
//
// A job is at one place at a time:
//
//   add → delayed → ready ⇄ blocked → leased → (settling) → gone | ready | delayed | waiting → ready …
//
// Order: queues take turns; within a queue its lanes (who can run it) take turns, then tenants (one tenant's flood does not
// starve another), then priority (0 first), then age. A queue's `concurrency`, its limit per tenant and a job's concurrency key each
// hold jobs back without holding back what stands behind them; so does what a gate, or a tenant at a gate, may have leased. A concurrency key counts within its queue and task.
//
// Single-threaded. Invariants, asserted by `audit`: a job is leased at most once; every count is the number of its jobs; fences
// strictly increase; a paused queue leases nothing; no limit is exceeded; a ready job that no limit holds back is never passed over.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "work/job.hpp"

namespace ballast::work {

inline constexpr MonoTime kNever = MonoTime::max();
inline constexpr std::uint32_t kUnpaced = std::numeric_limits<std::uint32_t>::max();

// How a queue may be drained.
struct QueueRules {
  std::uint32_t concurrency = 0;             // leased at once, by whomever; 0: no limit
  std::uint32_t per_tenant = 0;
  bool paused = false;
  friend bool operator==(const QueueRules&, const QueueRules&) = default;
};

// Who can run a job: a handler of this process, or an external worker that asks for the task by name.
struct Lane {
  std::string queue;
  std::string task;                          // empty: this process
  std::string gate = {};                     // what its jobs wait for with others, across queues (a model); empty: nothing
  friend auto operator<=>(const Lane&, const Lane&) = default;
};

// What the board keeps of a job.
struct Entry {
  enum class Place : std::uint8_t { delayed, ready, blocked, leased, waiting };
  JobId id;
  std::uint32_t lane = 0, tenant = 0, group = 0;   // numbers of names; group 0: no concurrency key
  std::uint32_t attempt = 0, max_attempts = 1;
  std::uint8_t priority = kDefaultPriority;
  Place place = Place::ready;
  bool settling = false;                     // what becomes of it is being written: nobody else may decide
  bool woken = false;                        // what it is about to wait for has come already
  bool leased_before = false;                // the present lease, if any, is not the first on this board
  bool in_line = false;                      // ready, and its tenant's line mentions it
  Fence fence = 0;                           // of the present lease
  MonoTime since{};                          // at this place
  MonoTime ready_since{};                    // leased: when it had become ready
  MonoTime due{}, deadline = kNever;
  MonoTime expires = kNever;                 // of the lease
};

// Leases given together, under one fence.
struct Claim {
  Fence fence = 0;
  std::string holder;                        // an external worker; empty: this process
  std::vector<JobId> jobs;
};

struct QueueFigures {
  std::uint64_t ready = 0, delayed = 0, blocked = 0, leased = 0, waiting = 0;
  MonoTime oldest_ready = kNever;            // when the job that has been ready longest became so
};

class Board {
 public:
  // `epoch`: of this process' start; fences begin above (epoch << 32).
  explicit Board(std::uint32_t epoch) : next_fence_((static_cast<Fence>(epoch) << 32) + 1) {}

  // ---- what enters and leaves ----
  // False if the job is known already. `due` in the past: ready at once.
  bool add(const Job& job, const Lane& lane, MonoTime now, MonoTime due, MonoTime deadline, JobState state = JobState::queued);
  // Gone: it ended, or was never accepted. Frees what it held. Unknown ids are ignored.
  void remove(JobId id, MonoTime now);
  // Others have had the job before, elsewhere: its next lease is not its first.
  void had_before(JobId id);
  const Entry* find(JobId id) const;
  std::size_t size() const { return entries_.size(); }

  // ---- leases ----
  // Fences are above (epoch << 32) from now on. Never lowers them.
  void raise(std::uint32_t epoch) { next_fence_ = std::max(next_fence_, (static_cast<Fence>(epoch) << 32) + 1); }
  // Up to `most` jobs of this process' lanes.
  Claim lease_local(std::size_t most, MonoTime now);
  // Up to `most` jobs of the queues' lanes for an external worker; `tasks` empty: any.
  Claim lease_for(std::string_view holder, std::span<const std::string> queues, std::span<const std::string> tasks, std::size_t most,
                  MonoTime now, MonoTime expires);
  // The transaction that was to record the lease failed: back to the front (the last leased first, to keep their order).
  void unlease(JobId id, MonoTime now);
  // A lease that outlived the process before, or another's.
  void restore_lease(JobId id, Fence fence, std::string_view holder, MonoTime expires);
  // Is `fence` this job's present lease? caller_not_found: the job is not live; caller_conflict: it is not (or no longer) yours.
  Result<void> held(JobId id, Fence fence);
  Result<void> extend(JobId id, Fence fence, MonoTime expires);
  // Nobody else decides about the job, and nobody leases it, until it has moved or `let_go`. caller_not_found: not live; caller_conflict:
  // somebody decides already.
  Result<const Entry*> hold(JobId id);
  void let_go(JobId id);

  // ---- what a lease ends with, once it is durable ----
  void requeue(JobId id, std::uint32_t attempt, MonoTime due, MonoTime now);   // from a lease, or from waiting
  // It waits until it is woken, or until `due`, and holds nothing. Woken already: ready again.
  void park(JobId id, std::uint32_t attempt, MonoTime due, MonoTime now);
  // Has it begun to wait? If not, it will not.
  bool wake(JobId id);
  // Claims of which no lease is left since the last call: their rows can go.
  std::vector<Fence> take_ended_claims() { return std::exchange(ended_claims_, {}); }

  // ---- time ----
  void tick(MonoTime now);                                       // what is due becomes ready
  std::vector<JobId> expired_leases(MonoTime now, std::size_t most);   // each until it is settled or extended
  std::vector<JobId> past_deadline(MonoTime now, std::size_t most);
  MonoTime next_event() const;                                   // the earliest of the three; may be early, never late

  // ---- queues ----
  void set_rules(std::string_view queue, QueueRules rules);
  QueueRules rules(std::string_view queue) const;
  QueueFigures figures(std::string_view queue) const;
  // At most `most` jobs of a gate leased at once, or of one of its tenants (empty: of all together); kUnpaced: any number, and forgotten.
  void set_pace(std::string_view gate, std::string_view tenant, std::uint32_t most);
  std::vector<std::string> queues() const;
  std::size_t lane_count() const { return lanes_.size(); }        // ever seen: a lane stays
  bool knows_lane(const Lane& lane) const { return lane_numbers_.contains(lane); }
  bool knows_key(std::string_view queue, std::string_view concurrency_key) const;   // a job of the key is here
  bool knows_queue(std::string_view queue) const { return queue_numbers_.contains(queue); }
  std::size_t queue_count() const { return queues_.size(); }
  bool has_local_ready() const;
  bool has_ready_for(std::span<const std::string> queues, std::span<const std::string> tasks) const;
  std::uint64_t leased_local() const { return leased_local_; }
  // Ready jobs that nothing but a free hand holds back, up to `most` of each lane: its tenants in turn, and first those that would be leased first. Without
  // jobs of a concurrency key, and of queues that have limits. `leaving`: also what this process' pace of a model holds back.
  struct Spare { Lane lane; std::vector<JobId> jobs; };
  std::vector<Spare> spare(std::size_t most, bool leaving = false) const;

  // Every invariant above, by counting; aborts with a message. For tests and simulations: O(jobs).
  void audit(MonoTime now) const;

 private:
  // Small numbers for names, given back when nobody uses the name any more. 0 is nobody's.
  struct Names {
    std::uint32_t take(std::string_view name);
    void give_back(std::uint32_t number);
    std::uint32_t known(std::string_view name) const;        // 0: not
    struct Use { std::string_view name; std::uint64_t users = 0; };
    std::unordered_map<std::string, std::uint32_t, StringHash, std::equal_to<>> numbers;
    std::vector<Use> uses{1};
    std::vector<std::uint32_t> free;
  };
  struct Waiting {                            // of one tenant in one lane
    std::array<std::deque<JobId>, 10> by_priority;   // may hold ids that left meanwhile
    std::uint64_t count = 0;                  // ready jobs
    bool in_ring = false;
  };
  struct GateState {
    std::uint32_t leased = 0, most = kUnpaced;
    std::vector<std::uint32_t> lanes;
    std::unordered_map<std::uint32_t, std::uint32_t> leased_by_tenant;
    std::map<std::string, std::uint32_t, std::less<>> most_of_tenant;
    bool full() const { return leased >= most; }
  };
  struct LaneState {
    Lane lane;
    std::uint32_t queue = 0;
    GateState* gate = nullptr;                // lives as long as the board
    std::unordered_map<std::uint32_t, Waiting> tenants;
    std::deque<std::uint32_t> ring;           // tenants with something ready and below their limit
    std::uint64_t ready = 0;
    std::uint64_t served = 0;                 // when it last had its turn
  };
  struct QueueState {
    QueueRules rules;
    QueueFigures figures;
    std::vector<std::uint32_t> lanes;
    std::unordered_map<std::uint32_t, std::uint32_t> leased_by_tenant;
  };
  struct Group {                              // a concurrency key, within its lane
    std::uint32_t limit = 0, leased = 0, ready = 0;
    std::deque<JobId> blocked;
    JobId newest;                             // whose word the limit is: a start adds jobs in another order
  };
  struct ClaimState {
    std::string holder;
    std::uint32_t left = 0;
  };
  struct Timed {
    MonoTime at;
    JobId id;
    Fence fence = 0;                          // of the lease it is about
    bool operator>(const Timed& o) const { return std::tie(at, id) > std::tie(o.at, o.id); }
  };
  using Timers = std::priority_queue<Timed, std::vector<Timed>, std::greater<>>;

  static std::string group_name(std::uint32_t lane, std::string_view concurrency_key);
  GateState* gate_of(std::string_view name);
  std::uint32_t lane_number(const Lane& lane);
  std::uint32_t queue_number(std::string_view queue);
  QueueState& queue_of(const Entry& e) { return queues_[lanes_[e.lane].queue]; }
  std::uint64_t& figure(const Entry& e, QueueState& queue);
  void enter(Entry& e, Entry::Place place, MonoTime now);      // counts it where it now is
  void leave(Entry& e);                                         // and no more where it was
  void make_ready(Entry& e, MonoTime now, bool front = false);
  void place_by_due(Entry& e, MonoTime now);
  void release(Entry& e, MonoTime now);                         // gives back what a lease holds
  void unblock(Group& g, MonoTime now);                         // whom its key lets go on
  void line_up(Waiting& w, Entry& e, bool front);
  void into_ring(LaneState& lane, std::uint32_t tenant);
  bool tenant_full(const LaneState& lane, std::uint32_t tenant) const;
  bool queue_full(const QueueState& queue) const { return queue.rules.paused || (queue.rules.concurrency && queue.figures.leased >= queue.rules.concurrency); }
  Entry* next_of(LaneState& lane, MonoTime now);                // the next job of a lane that nothing holds back
  Entry* pop_front(Waiting& w);
  Group* group_of(const Entry& e) { return e.group ? &groups_[e.group] : nullptr; }
  void grant(Entry& e, Fence fence, MonoTime expires, MonoTime now);
  using Wanted = std::function<bool(const Lane&)>;
  Entry* next_of_lanes(std::span<LaneState* const> lanes, MonoTime now);
  void lease_from(std::span<const std::uint32_t> queues, const Wanted& wanted, std::size_t most, MonoTime expires, MonoTime now, Claim& claim);
  void drop_claim_share(Fence fence);

  std::unordered_map<JobId, Entry> entries_;
  Names tenant_names_, group_names_;
  std::map<Lane, std::uint32_t> lane_numbers_;
  std::map<std::string, std::uint32_t, std::less<>> queue_numbers_;
  std::map<std::string, std::unique_ptr<GateState>, std::less<>> gates_;
  std::deque<LaneState> lanes_;
  std::deque<QueueState> queues_;
  std::unordered_map<std::uint32_t, Group> groups_;
  std::unordered_map<Fence, ClaimState> claims_;
  std::vector<Fence> ended_claims_;
  Timers due_, deadlines_, leases_;
  Fence next_fence_;
  std::uint64_t leased_local_ = 0;
  std::uint64_t turns_ = 0;                   // given to lanes: the one that waited longest is next
};

}  // namespace ballast::work
