// Workshop: the durable road of this process: its engine, what runs its jobs, and the door that HTTP comes in by.
#pragma once
#include <memory>
#include <optional>

#include "app/config.hpp"
#include "net/loop.hpp"
#include "server/work_door.hpp"
#include "work/approval_links.hpp"
#include "work/dispatch.hpp"

namespace ballast::app {

class Workshop {
 public:
  // Takes the node over and reads what is live: blocking, before the loops run. Everything borrowed outlives it.
  static Result<std::unique_ptr<Workshop>> open(const WorkConfig& config, const std::string& data_dir, net::LoopGroup& loops, store::Database& database);
  ~Workshop();                               // drained, or the loops have never run
  // Begins to lease. The loops run.
  void start();
  // Accepts and leases nothing more; waits until what runs has ended or was given back. From outside the loops; idempotent.
  void drain(Duration patience);
  // Keys and jobs whose time is over, a little at a time; approvals that expire or escalate, and runs that do not know of a decision yet.
  void sweep(WallTime now);
  server::WorkDoor& door() { return door_; }
  const work::ApprovalLinks& links() const { return *links_; }
  work::Engine& engine() { return engine_; }

 private:
  Workshop(const WorkConfig& config, net::LoopGroup& loops, store::Database& database);
  const WorkConfig config_;
  net::LoopGroup& loops_;
  store::Database& database_;
  work::Dispatch dispatch_;
  work::Engine engine_;
  server::WorkDoor door_;
  void sweep_approvals(WallTime now);
  void wake(work::JobId job);
  std::optional<work::ApprovalLinks> links_;
  work::JobId swept_to_;
  std::uint64_t sweeps_ = 0;
  bool started_ = false;
};

}  // namespace ballast::app
