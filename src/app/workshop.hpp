// Workshop: the durable road of this process: its engine, what runs its jobs, and the door that HTTP comes in by.
#pragma once
#include <memory>

#include "app/config.hpp"
#include "net/client.hpp"
#include "net/loop.hpp"
#include "server/work_door.hpp"
#include "work/dispatch.hpp"
#include "work/webhooks.hpp"

namespace ballast::app {

class Workshop {
 public:
  // Takes the node over and reads what is live: blocking, before the loops run. Everything borrowed outlives it.
  static Result<std::unique_ptr<Workshop>> open(const Config& config, net::LoopGroup& loops, store::Database& database);
  ~Workshop();                               // drained, or the loops have never run
  // Begins to lease. The loops run.
  void start();
  // Accepts and leases nothing more; waits until what runs has ended or was given back. From outside the loops; idempotent.
  void drain(Duration patience);
  // What of it may change while it runs: the webhooks' secrets. Any thread.
  void reload(const Config& config);
  // Keys, jobs and webhooks whose time is over, a little at a time.
  void sweep(WallTime now);
  server::WorkDoor& door() { return door_; }
  work::Engine& engine() { return engine_; }
  // For every URL that a user or a flow names: it reaches the public internet, and what webhooks.allow says.
  net::Client& guarded() { return guarded_; }

 private:
  Workshop(const Config& config, net::LoopGroup& loops, store::Database& database);
  const WorkConfig config_;
  net::LoopGroup& loops_;
  store::Database& database_;
  const std::shared_ptr<const net::EgressPolicy> policy_;
  net::Client guarded_;
  work::Webhooks webhooks_;
  work::Dispatch dispatch_;
  work::Engine engine_;
  server::WorkDoor door_;
  work::JobId swept_to_;
  bool started_ = false;
};

}  // namespace ballast::app
