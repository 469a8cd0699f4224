// Engine: the one place that performs what the board decides. Accepts jobs, leases them, writes what their holders say, wakes who waits.
//
// The commit cycle, one at a time: gather what was asked → the board leases what can run → one transaction → only then tell the askers and
// start the leased. So memory never runs ahead of the database, and a crash at any moment loses nothing that was acknowledged. A failed
// transaction is undone on the board; if it held several askers, each is tried alone, so that one bad ask fails alone.
//
// Concurrency: everything but `home` is called on the home loop (base/on_loop.hpp gets there). `start` blocks and is called before the loops run.
#pragma once
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/cancel.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "base/task_group.hpp"
#include "store/database.hpp"
#include "work/acknowledged.hpp"
#include "work/board.hpp"
#include "work/feed.hpp"
#include "work/giving.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {

// What somebody wants done.
struct Submission {
  JobSpec spec;
  std::string input;
  Duration delay{};                          // not before this has passed
  std::optional<WallTime> at;                // not before this moment; wins over `delay`
  std::string idempotency_key;               // the same key of the same caller (`key_id`): the same job, for the retention time
  std::string unique_key;                    // of a tenant's task in a queue: one live job, or, with `unique_for`, one in that time
  Duration unique_for{};
  JobId id;                                  // from `Engine::new_id`, where it must be known beforehand; zero: given at acceptance
};

struct Accepted {
  JobId id;
  bool existing = false;                     // a job that was there before, by its idempotency or unique key
  JobPtr ended = {};                         // it is done already (Executor::at_once)
};

// More that is written in the same transaction, or not at all: audit entries. May run again.
using Also = std::function<Result<void>(store::Tx&)>;

// A job in somebody's hands.
struct Lease {
  JobPtr job;                                // as it was accepted: spec and input
  Fence fence = 0;
  std::uint32_t attempt = 1;                 // the present one
  bool first = false;                        // nobody has had the job before: what its holders leave behind is not there
};

// What the holder of a lease says at its end (or in between, with `running`): all of it is durable, or none. Conditional on the fence.
struct Commit {
  enum class To : std::uint8_t {
    running,                                 // the lease goes on; `also` is what counts
    done,
    failed,                                  // an attempt is over: again after the backoff, or dead when there are no more
    snoozed,                                 // not now, and not the job's fault: no attempt is counted
    waiting,                                 // until `Engine::wake`, or until `delay` is over. It made progress: its attempts begin again
    dead,                                    // no attempt would help
  };
  JobId job;
  Fence fence = 0;
  To to = To::done;
  std::string output;
  std::optional<Error> error;                // failed, dead
  std::optional<Duration> delay;             // failed: instead of the backoff; snoozed: how long; waiting: at most so long
  Also also;
  std::vector<Submission> children;          // accepted in the same transaction
  bool news = false;                         // followers want to know
  std::vector<std::string> effects = {};     // stages that `also` says are about to act on the world, to be named should the database lose it
};
struct Settled {
  JobState state = JobState::queued;
  bool running = false;                      // the lease goes on
  std::vector<Accepted> children;
};

// Runs jobs of this process. Called on the home loop.
class Executor {
 public:
  virtual ~Executor() = default;
  // Does this process run such a job? Else it waits for an external worker.
  virtual bool runs(const JobSpec& spec) const = 0;
  // What becomes of a job that needs nothing but what it carries, and leaves nothing but its output and what `also` writes: worked out before
  // anything of it is durable, and written with its lease in one transaction, or not at all and asked again. So nothing may be seen of it
  // outside. Does not wait. Only `done`; nothing: it is started once its lease is durable.
  virtual std::optional<Commit> at_once(const Lease&) { return {}; }
  // The lease is durable. Whatever happens, the holder ends it with `Engine::commit`.
  virtual void start(Lease lease) = 0;
  // The lease is over (cancelled, deadline): what is under way is for nobody.
  virtual void revoke(JobId id, Fence fence) = 0;
  // The process ends: whatever still runs is given back, without counting an attempt. Resumes when all of it has been committed.
  virtual Task<void> stop() = 0;
};

constexpr Duration kAskAgain = std::chrono::seconds(1);  // by who does not give up while the database is away

// What else is written when a job ends, in the same transaction: its webhook's delivery.
class EndWriter {
 public:
  virtual ~EndWriter() = default;
  virtual bool wants(const JobSpec& spec) const = 0;
  virtual Result<void> write(store::Tx& tx, const Job& ended) const = 0;
};

struct PullRequest {
  std::string worker;
  std::vector<std::string> queues, tasks;    // tasks empty: any
  std::size_t most = 1;
  Duration lease = std::chrono::seconds(30);
  Duration wait{};                           // for the first one
};

struct EngineOptions {
  unsigned node = 0;
  std::string boot;                          // of the cluster's member that this process is; empty: there is none
  bool shared = false;                       // other nodes work on this database: it takes what was this node's, and nobody else's (homes.hpp)
  std::size_t local_leases = 256;            // jobs of this process under way at once
  std::size_t max_live = 5'000'000;          // jobs not ended; above it submissions are refused
  std::size_t max_queues = 1'000;
  std::size_t max_tasks = 2'000;             // names of tasks for external workers, counted in each queue
  std::size_t max_input = 64u << 20;
  std::size_t hot_bytes = 128u << 20;        // inputs of queued jobs kept in memory; the others are read when leased
  std::size_t cycle_asks = 2'048;
  std::size_t start_page = 50'000;           // live jobs read at once at the start
  std::size_t adopt_page = 1'000;            // and between two cycles, where they come from another node
  std::size_t at_once = 4;                   // a cycle that leases more jobs than this starts them all; 0: every cycle does
  // Called at the points of a cycle, by name: staged, inserted, written (before the commit, on the store's thread), committed, told; and of what goes
  // between two cycles (adopt, give, receive): errand, errand written (as written), errand committed.
  std::function<void(std::string_view)> at;
  Duration retention = std::chrono::hours(24 * 7);
};

class JobTracer;                             // job_trace.hpp
class Meter;                                 // meter.hpp

class Engine {
 public:
  Engine(Scheduler& home, store::Database& database, EngineOptions options, std::uint64_t seed);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Takes the node over, reads the live jobs of its homes and the leases that outlived the process before; jobs that this node itself was running
  // count a crashed attempt and are queued again, or dead. Blocking; once, before anything else. `executor` outlives the engine.
  // `writer` too; it may be null.
  Result<void> start(Executor& executor, const EndWriter* writer = nullptr);
  // Begins to lease. On the home loop.
  void open();
  // Leases and accepts nothing more; gives what this process runs `patience` to end, then has it given back. Resumes when all is written, or, while the
  // database is away, some seconds later: then the next start finds it as a crash would have left it.
  Task<void> drain(Duration patience);

  // Whether it shuts down; what is not durable by then is found again by the next start.
  bool draining() const { return draining_; }
  // It has: nothing is under way, and nothing more is written. What is left may be adopted at once.
  bool drained() const { return draining_ && closed_; }
  // Whether the durable road is this process': false once another one has started on the same database. Thread-safe once started.
  Result<bool> holds_node(store::Tx& tx) const;

  // ---- over several nodes (homes.hpp) ----
  std::uint32_t epoch() const { return epoch_; }         // of this boot: what it owns is owned by this number
  unsigned node() const { return options_.node; }
  bool owns(JobId id) const { return board_.find(id) != nullptr; }
  // What `node` had is this process', if `node` still is that boot, which is dead: its jobs come onto this board page by page, between cycles; what it ran
  // itself counts a crashed attempt. Returns how many came; 0: somebody else was first, or it had none. Once the homes are ours a failure of the database
  // only delays it. An error before (nothing was taken): to be tried again.
  Task<Result<std::size_t>> adopt(unsigned node, std::string boot);
  // Gives jobs away to the node whose boot epoch is `to`: those that are ready here, that no concurrency key counts and nobody waits for; the others stay.
  // Returns how many went. caller_conflict, field "owner": `to` is gone; nothing went.
  Task<Result<std::size_t>> give(std::vector<JobId> jobs, std::uint32_t to);
  // What this node could start at this moment if it had it: for its beats.
  Hunger hunger() const;
  // Gives to the hungry of them what this node has and cannot start (giving.hpp). To be called whenever they have been seen anew. Returns how many jobs went.
  // While it drains: all that may be given, to all of them.
  Task<std::size_t> feed_hungry(std::vector<Neighbour> neighbours);
  // Puts what others have given to this node on its board: while it is hungry, a few times a second. Returns how many jobs came.
  Task<Result<std::size_t>> receive();

  Scheduler& home() { return home_; }
  store::Database& database() { return database_; }
  const Board& board() const { return board_; }
  // Notified of every lease, every transition and every commit that says so.
  Feed& feed() { return feed_; }
  // Told of what happens from now on; outlives the engine. Null: nobody counts.
  void use(Meter* meter) { meter_ = meter; }
  Meter* meter() { return meter_; }
  // Gives jobs that bring no trace one, and is told of the end of each; outlives the engine. Before `start`. Null: nobody.
  void use(JobTracer* tracer) { tracer_ = tracer; }

  JobId new_id() { return ids_.next(home_.clock().wall()); }
  // In the order given; each is accepted or refused alone. `also` is written with those that are accepted: not when there are none.
  Task<std::vector<Result<Accepted>>> submit(std::vector<Submission> jobs, Also also = {});
  Task<std::vector<Result<Settled>>> commit(std::vector<Commit> commits);
  Task<Result<Settled>> commit(Commit one);
  // The last word of a holder in this process. What cannot be recorded (the database refuses it, or what is to be written beside it does) is a failed
  // attempt instead, said until it is heard: a job is never left leased to nobody. The error is the first word's.
  Task<Result<Settled>> conclude(Commit last);

  // Leases for an external worker; waits up to `wait` for the first. `ticket` names the wait for `stop_waiting` (0: none).
  Task<Result<std::vector<Lease>>> pull(PullRequest request, std::uint64_t ticket = 0);
  void stop_waiting(std::uint64_t ticket);
  // The lease goes on for `lease` from now. Errors as Board::held.
  Result<void> heartbeat(JobId id, Fence fence, Duration lease);

  // Ends jobs whoever holds them: exactly one of this and their completion wins. Result per job: what it was (its state now is cancelled);
  // caller_conflict when it had ended.
  Task<std::vector<Result<JobState>>> cancel(std::vector<JobId> ids, std::string reason, Also also = {});
  // What a waiting job waited for has come. False if it was not waiting.
  Task<Result<bool>> wake(JobId id, Also also = {});
  // As `wake`, of whom nobody would remind: tried again while the database is away. Fails with internal_unavailable only when this process ends.
  Task<Result<bool>> wake_surely(JobId id);
  // A job that nobody has in hand goes on as `as`: the same job, of another spec, in the same queue and for the same tenant. `also` writes it. What waited is
  // queued. caller_not_found: not live; caller_conflict: somebody has it in hand.
  Task<Result<void>> replace(JobPtr as, Also also);
  Task<Result<void>> set_queue(std::string name, QueueRules rules, Also also = {});
  // What another node has set, and the database has. Beyond the queues there may be: not taken.
  void take_rules(std::string_view name, QueueRules rules);
  // How many of this process' jobs of a model may be leased at once (Board::set_pace), where they are `paced`. Not stored.
  bool paced(const JobSpec& spec) const { return !lane_of(spec).gate.empty(); }
  void set_pace(std::string_view model, std::string_view tenant, std::uint32_t most);

  // The job once it has ended, or as it is at `deadline`; `gone` ends the wait early. Nothing: unknown.
  Task<Result<std::optional<Job>>> wait_for(JobId id, MonoTime deadline, std::uint64_t ticket = 0);
  // As the database has it; `running` tells whether somebody holds it now.
  Task<Result<std::optional<Job>>> get(JobId id);
  bool running(JobId id) const;

  // Called once, on the home loop, when the database turns out to have lost what it had acknowledged to this process (PostgreSQL: a standby took over that had not
  // heard of it). As with a node that was taken over, nothing more can be written here: the process has to start anew. On the home loop, or before it runs.
  using WentBack = std::function<void(LostCommits)>;
  void on_went_back(WentBack listener) { went_back_ = std::move(listener); }
  // The highest number that fences were given out under.
  std::uint32_t leasing() const { return leasing_; }

  // Called on the home loop with every job that ended, after it is durable.
  using Ended = std::function<void(const Job&)>;
  void on_ended(Ended listener) { ended_.push_back(std::move(listener)); }

 private:
  struct Ask;
  struct SubmitAsk;
  struct CommitAsk;
  struct CancelAsk;
  struct WakeAsk;
  struct ReplaceAsk;
  struct PullAsk;
  struct Waiter;
  struct Cycle;
  struct Move;
  struct Errand;
  struct AdoptErrand;
  struct GiveErrand;
  struct ReceiveErrand;
  struct KeyErrand;
  struct Taking;
  struct Page;

  // engine.cpp
  Task<void> run();
  bool has_work() const;
  void nudge();
  void arm_timer();
  std::vector<Ask*> gather();
  Task<void> perform(std::vector<Ask*> asks);
  Task<Result<void>> attempt(std::vector<Ask*> asks, bool lease);
  void at(std::string_view point) const {
    if (options_.at) options_.at(point);
  }
  void end_wait(PullAsk& ask);
  void end_wait(Waiter& waiter);
  void lose(const Error& why);
  Task<void> find_out();
  void tell_ended(const JobPtr& job);
  void keep_hot(JobPtr job);
  JobPtr take_hot(JobId id);
  // engine_cycle.cpp
  void stage_time(Cycle& cycle);
  void stage_leases(Cycle& cycle);
  void stage_at_once(Cycle& cycle);
  void stage_failure(Cycle& cycle, const Entry& e, const Error& error, std::optional<Duration> delay);
  void stage_end(Cycle& cycle, const Entry& e, JobState state, std::optional<std::string> output, std::optional<std::string> error);
  Result<void> write(store::Tx& tx, const Cycle& cycle) const;
  Result<void> place_keyed(store::Tx& tx, const Cycle& cycle) const;
  Result<void> write_moves(store::Tx& tx, const Cycle& cycle) const;
  Result<void> write_claims(store::Tx& tx, const Cycle& cycle) const;
  Result<void> write_ends(store::Tx& tx, const Cycle& cycle) const;
  static void end_job(Job& job, const Transition& row);
  Task<Result<void>> write_for_sure(std::int64_t& number, MonoTime begun, std::span<Ask* const> asks, std::function<Result<void>(store::Tx&)> body);
  Task<Result<bool>> learn_fate(std::int64_t number, MonoTime begun, std::span<Ask* const> asks, Error error);
  void let_go(std::span<Ask* const> carried, const Error& away);
  void undo(Cycle& cycle);
  void apply(Cycle& cycle);
  void apply_move(Cycle& cycle, const Move& move);
  void count(const Cycle& cycle);
  void remember(const Cycle& cycle, const std::vector<Ask*>& asks);
  void hand_out(Cycle& cycle);
  void sweep_pulls();
  // engine_asks.cpp
  Result<NewJob> accept(const Submission& submission, WallTime now);
  Result<void> has_room(std::string_view queue) const;
  static Result<void> check_pull(const PullRequest& request);
  Lane lane_of(const JobSpec& spec) const;
  MonoTime mono_of(WallTime at) const;
  bool put_on_board(const Job& job, JobState state, MonoTime now);
  // engine_recover.cpp
  struct OldLease { Fence fence = 0; std::string holder; };
  Result<void> recover(store::Tx& tx);
  Result<void> load_leases(store::Tx& tx, Taking& taking) const;
  static Result<bool> to_be_called_off(store::Tx& tx, const Taking& taking, const Page& page, const JobSpec& spec);
  Result<Page> take_page(store::Tx& tx, const Taking& taking, std::size_t limit) const;
  Result<void> forget_taken(store::Tx& tx, const Taking& taking, const Page& last) const;
  void put_page(Page& page, Taking& taking);
  Result<Transition> crashed(store::Tx& tx, const Job& job, Fence fence, std::vector<AttemptRow>& attempts) const;
  Result<std::vector<Job>> tell_dead(store::Tx& tx, std::span<const JobId> dead) const;
  // engine_homes.cpp
  void begin_errands();
  Task<void> go_on_errand();
  bool has_errand() const;
  void lease_under(std::uint32_t home);
  bool may_give(JobId id) const;
  bool is_wanted_here(const Lane& lane) const;
  std::int64_t next_handover();

  Scheduler& home_;
  store::Database& database_;
  const EngineOptions options_;
  SeededRandom random_;
  Executor* executor_ = nullptr;
  std::uint32_t epoch_ = 0;
  JobIds ids_;
  JobId inherited_;                          // the last job of the process before
  Board board_;
  Feed feed_;
  Meter* meter_ = nullptr;
  const EndWriter* end_writer_ = nullptr;
  bool open_ = false, draining_ = false, stopping_ = false, running_ = false;
  bool lost_ = false;                        // another process has the node: nothing more is leased or can be written
  bool closed_ = false;                      // the cycle has ended
  MonoTime last_words_ = kNever;             // of a drain: what could not be written by then is left to the next start
  std::deque<Ask*> asks_;
  std::vector<Ask*> later_;                  // insist, and wait for the database
  std::vector<std::shared_ptr<Ask>> left_;   // of the cycle under way: whose askers did not wait for its fate
  std::deque<Errand*> errands_;
  Giving giving_;
  std::unique_ptr<Errand> keys_;             // the one that has no end: it forgets concurrency keys
  std::vector<PullAsk*> pulls_;
  std::unordered_map<Fence, std::string> pull_names_;   // the external worker of each of its claims
  std::vector<Fence> ended_claims_;          // their rows are to go
  std::int64_t cycles_ = 0;
  std::int64_t kept_ = 0;                    // the newest that is known to be in the database, or that it never will be
  Acknowledged acknowledged_;                // of PostgreSQL alone
  WentBack went_back_;
  std::int64_t at_once_from_ = 0;            // the cycle: after one that failed, the next ones start what they lease
  MonoTime flush_due_ = kNever, quiet_until_{};
  std::coroutine_handle<> idle_;             // the cycle, waiting for something to do
  Timer timer_;
  TaskGroup tasks_{"work"};
  std::unordered_map<JobId, JobPtr> hot_;
  std::deque<JobId> hot_order_;
  std::size_t hot_bytes_ = 0;
  std::unordered_map<JobId, JobPtr> held_;   // leased jobs
  std::unordered_multimap<JobId, Waiter*> waiters_;
  std::vector<Ended> ended_;
  JobTracer* tracer_ = nullptr;
  std::vector<Job> found_dead_;              // by the start, for the tracer
  std::uint32_t leasing_ = 0;                // the home above all others of this process: fences are of it
  std::uint32_t given_ = 0;                  // handovers, counted under that home
};

}  // namespace ballast::work
