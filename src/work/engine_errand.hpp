// What the engine does between two cycles, in transactions of its own. For the engine's own files.
#pragma once
#include "work/engine.hpp"
#include "work/homes.hpp"

namespace ballast::work {

// While one of its transactions is under way no cycle is: nothing else moves on the board, which only takes heartbeats. The engine's `run` goes on each
// errand in turn, a transaction and then a cycle.
struct Engine::Errand {
  virtual ~Errand() = default;
  // One transaction, whose number `check_epoch` has been told already. May run again; on the store's thread, and so not on the board.
  virtual Result<void> write(Engine& engine, store::Tx& tx) = 0;
  // It is durable. False: the errand is over.
  virtual bool written(Engine& engine) = 0;
  // What it wants written is worked out on the board. False: there is nothing to write, and it is over.
  virtual bool stage(Engine&) { return true; }
  // What it has begun must be brought to its end: a failure only delays it.
  virtual bool insists() const { return false; }
  virtual void failed(const Error& error) = 0;
  // Over; its asker goes on.
  void end(const Error& error) {
    failed(error);
    if (waiter) waiter.resume();
  }

  MonoTime not_before = MonoTime::min();
  std::coroutine_handle<> waiter;

  // `co_await Sent{engine, errand}`.
  struct Sent {
    Engine& engine;
    Errand& errand;
    bool await_ready() {
      if (engine.closed_ || engine.stopping_) errand.failed({ErrorCode::internal_unavailable, "this node has shut down", {}, true, std::chrono::seconds(2), {}, {}, {}});
      return engine.closed_ || engine.stopping_;
    }
    void await_suspend(std::coroutine_handle<> h) {
      errand.waiter = h;
      engine.errands_.push_back(&errand);
      engine.nudge();
    }
    void await_resume() const noexcept {}
  };
};

// The taking of homes from a process that is no more, page by page.
struct Engine::Taking {
  std::uint32_t number = 0;                  // homes.taken
  bool all = false;                          // every home there is: their number need not be asked for
  const Board* board = nullptr;              // where the jobs of earlier pages are, if it may be read; else the database tells
  LivePlace after;
  std::unordered_map<JobId, OldLease> leases;
  std::vector<Fence> claims;
  std::unordered_set<Fence> outlived;        // claims that still hold a job
  std::unordered_set<std::uint32_t> kept;    // homes that still have a live job
  std::size_t jobs = 0;

  std::uint32_t which() const { return all ? 0 : number; }
};

// What a transaction found of it: to be put on the board when it is durable.
struct Engine::Page {
  struct Found {
    LiveRow row;
    OldLease lease;                          // that goes on; fence 0: none
    JobPtr whole;                            // of such a job
  };
  std::vector<Found> found;                  // a tenant's together, by id
  std::size_t of_tenant = 0;                 // where the last one's begin
  std::unordered_set<JobId> over;            // that ended in it
  std::vector<Job> ended;                    // as they are now
  LivePlace next;
  bool last = false;
};

}  // namespace ballast::work
