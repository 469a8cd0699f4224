// Door: a job of the installation, whichever node's board it is on. What is on this node's board goes straight to the engine; what lives elsewhere is asked of
// its owner by a row (ask_rows.hpp) and performed there, with its answer, in one transaction. So a request may reach any node.
//
// Waits are bounded: who gets no answer in `patience` withdraws what was asked and is refused (internal_unavailable, retryable, with a time to try again): then
// nothing of it was done, and nothing will be. Asking again is safe. A job that is given away or adopted between the look and the doing is found again by its row.
//
// The truth is the rows, looked at each `look` while this node asks or others are there, each `alone` otherwise; a word of the notifier makes it sooner. All that
// is followed here and lives elsewhere is looked at in one read, `followed` jobs at a time: a follower hears of a change after `look`, times the pages there are.
// The rules of queues that another node has set hold here a second later.
// With one node that is alone for good (SQLite) there is no row, no timer and no read: every call is the engine's.
//
// Single-threaded: the engine's home loop. Errors are the engine's, as if the job were here, and the one above.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/task_group.hpp"
#include "store/notifier.hpp"
#include "work/ask_words.hpp"
#include "work/engine.hpp"
#include "work/flow_book.hpp"

namespace ballast::work {

struct DoorOptions {
  bool shared = false;                       // other nodes may have jobs of this database
  std::function<bool()> company = {};        // whether others are there at this moment; empty: they may be
  store::Notifier* notifier = nullptr;       // may be null; outlives the door
  FlowBook* flows = nullptr;                 // for moves; outlives the door
  Duration look = std::chrono::milliseconds(250), alone = std::chrono::seconds(5);
  Duration gather = std::chrono::milliseconds(100);      // heartbeats for other nodes go together
  Duration patience = std::chrono::seconds(5);
  std::size_t followed = 5'000;
};

class Door {
 public:
  explicit Door(Engine& engine, DoorOptions options = {});
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  // Begins to look. Once the engine is open.
  void open();
  // Looks no more; who waits is refused. After the engine has drained, for until then it does what others ask.
  Task<void> stop();

  Engine& engine() { return engine_; }
  bool shared() const { return options_.shared; }

  // As Engine::cancel. `actor`: told on each job's audit chain, in the transaction that cancels it; empty: nobody.
  Task<std::vector<Result<void>>> cancel(std::vector<JobId> ids, std::string reason, std::string actor = {});
  // What a waiting job waited for has come, and is durable. True: it was waiting, or lives elsewhere and will be told.
  Task<Result<bool>> wake(JobId id);
  // Of jobs of whom nobody would remind: tried again while the database is away. Error: only when this process ends.
  Task<Result<void>> wake_surely(std::vector<JobId> ids);
  // A child has ended here (FamilyWriter has written what others must know): its run is told, or its owner reminded to look.
  Task<Result<void>> child_ended(JobId run);
  // What external workers say of their leases.
  Task<std::vector<Result<Settled>>> commit(std::vector<WorkerWord> words);
  // As Engine::heartbeat. For a lease elsewhere the answer says whether it is held as this is asked; that it goes on is told its owner within `gather` and a look.
  Task<std::vector<Result<void>>> heartbeat(std::vector<Beat> beats);
  // Plans and performs the move of a run to another version. `run` of the plan is null when there was nothing to do. Errors: of plan_move, Engine::replace.
  Task<Result<MovePlan>> move(MoveWish wish, WallTime now);

  // As Engine::wait_for; `stop_waiting` ends it, and what waits in the engine under that ticket.
  Task<Result<std::optional<Job>>> wait_for(JobId id, MonoTime deadline, std::uint64_t ticket = 0);
  void stop_waiting(std::uint64_t ticket);
  // Whether somebody holds each of them now. Not known (the database is away): not.
  Task<std::vector<bool>> running(std::vector<JobId> ids);

  // Something has changed: look soon. Any thread.
  void remind();
  struct Stats {
    std::uint64_t looks = 0, asked = 0, refused = 0, performed = 0;
  };
  const Stats& stats() const { return stats_; }

 private:
  struct Asking;
  struct Beats;
  struct Look;
  struct Wait {
    JobId job;
    std::uint64_t ticket = 0;                // the caller's
    bool stopped = false;
    bool at_engine = false;                  // the job was on this board when it began
  };
  bool here(JobId id) const { return engine_.board().find(id) != nullptr; }
  MonoTime mono() const { return engine_.home().clock().mono(); }
  // door_asks.cpp
  Task<std::vector<Result<std::string>>> ask(std::vector<AskRow> asks);
  Task<void> give_up(Asking& mine);
  Task<Result<std::size_t>> send_wakes(std::span<const JobId> ids);
  Task<void> send_beats(std::shared_ptr<Beats> beats);
  void hint(std::optional<unsigned> node);
  void settle(JobId seq, Result<std::string> answer);
  // door_look.cpp
  Task<void> run();
  Task<void> look();
  void poke();
  Look what_to_look_at();
  void tell_followers(const std::vector<Sight>& seen);
  void leave_moved();
  Task<void> perform(AskRow ask);
  Task<std::optional<Error>> do_cancel(const AskRow& ask);
  Task<std::optional<Error>> do_wake(const AskRow& ask);
  Task<std::optional<Error>> do_commit(const AskRow& ask);
  Task<std::optional<Error>> do_move(const AskRow& ask);
  Task<std::optional<Error>> do_signal(const AskRow& ask);
  Task<void> take_beats(std::vector<AskRow> asks, WallTime now);

  Engine& engine_;
  const DoorOptions options_;
  Stats stats_;
  bool closing_ = false, poked_ = false;
  bool blind_ = false;                       // the last look failed
  MonoTime looked_{}, rules_read_{};
  std::coroutine_handle<> nap_;
  Timer timer_;
  std::shared_ptr<bool> lives_ = std::make_shared<bool>(true);
  std::uint64_t hearing_ = 0;
  std::unordered_map<JobId, Asking*> asking_;            // by the ask's number
  std::unordered_set<JobId> performing_;
  std::unordered_set<JobId> reminded_;                   // whose owners are to be given a word
  std::shared_ptr<Beats> gathering_;
  std::unordered_map<std::uint64_t, Wait> waits_;        // by our own ticket
  std::uint64_t tickets_ = 0;
  std::unordered_map<JobId, Sight> followed_;            // as they were last seen
  std::size_t page_ = 0;
  TaskGroup tasks_{"door"};
};

}  // namespace ballast::work
