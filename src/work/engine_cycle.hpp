// The parts of one commit cycle. For the engine's own files.
#pragma once
#include <algorithm>

#include "work/engine.hpp"

namespace ballast::work {

// Something asked of the engine, waiting for a transaction to carry it.
struct Engine::Ask {
  virtual ~Ask() = default;
  // Says on the cycle what it wants written. Once per try.
  virtual void stage(Engine& engine, Cycle& cycle) = 0;
  // It is durable.
  virtual void settled(Engine& engine, Cycle& cycle) = 0;
  // Nothing of it was written.
  virtual void failed(const Error& error) = 0;
  // Its asker answers somebody outside, and has time until the next cycle is under way.
  virtual bool replies() const { return false; }
  // Stages of runs that it says are about to act on the world.
  virtual void name_effects(Acknowledged&) const {}
  // Is tried again when the database is back, instead of failing.
  virtual bool insists() const { return false; }
  // Holds it, and all that it writes, for when its asker may go before anybody knows what became of it. Null: its asker must wait.
  virtual std::shared_ptr<Ask> hold() { return {}; }
  std::coroutine_handle<> waiter;            // none: it has left
  std::optional<Error> left;                 // and has been told this

  // `co_await Queued{engine, ask}`.
  struct Queued {
    Engine& engine;
    Ask& ask;
    bool await_ready() {                     // nobody is there to carry it
      if (engine.closed_) ask.failed({ErrorCode::internal_unavailable, "this node has shut down", {}, true, std::chrono::seconds(2), {}, {}, {}});
      return engine.closed_;
    }
    void await_suspend(std::coroutine_handle<> h) {
      ask.waiter = h;
      engine.asks_.push_back(&ask);
      engine.nudge();
    }
    void await_resume() const noexcept {}
  };
};

// Where a job goes once the transaction is durable.
struct Engine::Move {
  Transition row;
  MonoTime due{};                            // queued: on this process' clock
};

struct Engine::Cycle {
  std::int64_t number = 0;
  MonoTime now{};
  WallTime wall{};
  std::deque<NewJob> jobs;
  std::vector<Move> moves;
  std::vector<JobId> held;                   // nobody may decide about them until it is durable; they stay where they are
  std::vector<std::size_t> keyed;            // jobs with a concurrency key that another node may decide about; held
  std::int64_t handover = 0;                 // the number of theirs
  std::vector<AttemptRow> attempts;
  struct Failure { JobPtr job; ErrorCode code; bool lease_expired; };
  std::vector<Failure> failures;             // attempts that are over, to be counted
  std::vector<const Also*> also;
  std::vector<Claim> claims;
  std::size_t leased = 0;                    // jobs of them
  std::deque<Commit> at_once;                // of some of those: what they came to
  std::vector<PullAsk*> claimed_by;          // of each claim; null: this process
  std::vector<Fence> ended_claims;
  std::vector<JobId> cold;                   // leased or ending, and not in memory
  std::unordered_set<JobId> by_holder;       // moves that their holder asked for
  std::vector<std::size_t> told;             // moves whose end writes more
  std::unordered_map<JobId, JobPtr> known;   // jobs of leases and moves that are in memory

  bool is_at_once(JobId id) const { return std::ranges::find(at_once, id, &Commit::job) != at_once.end(); }
  JobPtr ended_at_once(JobId id) const {
    const auto at = ended.find(id);
    return at == ended.end() ? nullptr : at->second;
  }
  bool empty() const { return jobs.empty() && moves.empty() && also.empty() && claims.empty() && ended_claims.empty(); }

  std::unordered_map<JobId, JobPtr> ended;   // of those at once, when it is durable

  // What the transaction found. Reset when its body runs again.
  mutable std::vector<Insertion> insertions;
  mutable std::unordered_set<JobId> lost;    // their key was another's: they were never accepted
  mutable std::unordered_set<JobId> abroad;  // their key is another node's: they were given to it
  mutable std::vector<Fence> unwritten;      // claims of which nothing is left to write
  mutable std::vector<Job> loaded;
};

// A wait for leases. Lives in the frame of `pull`.
struct Engine::PullAsk {
  Engine* engine = nullptr;
  const PullRequest& request;
  std::uint64_t ticket = 0;
  std::coroutine_handle<> waiter;
  Timer timer;
  bool over = false;                         // no longer waits: answers with what the cycle under way brings
  bool in_cycle = false;
  std::vector<Lease> leases;
  std::optional<Error> error;
};

struct Engine::Waiter {
  Engine* engine = nullptr;
  std::coroutine_handle<> waiter;
  std::uint64_t ticket = 0;
  Timer timer;
  JobPtr ended;
};

}  // namespace ballast::work
