// Workshop: the durable road of this process: its engine, what runs its jobs, and the door that HTTP comes in by.
#pragma once
#include <memory>

#include "app/config.hpp"
#include "net/loop.hpp"
#include "server/work_door.hpp"
#include "work/dispatch.hpp"
#include "work/model_call.hpp"

namespace ballast::app {

class Workshop {
 public:
  // Takes the node over and reads what is live: blocking, before the loops run. Everything borrowed outlives it.
  static Result<std::unique_ptr<Workshop>> open(const WorkConfig& config, net::LoopGroup& loops, store::Database& database, gateway::Gateway& gateway);
  ~Workshop();                               // drained, or the loops have never run
  // Begins to lease. The loops run.
  void start();
  // Accepts and leases nothing more; waits until what runs has ended or was given back. From outside the loops; idempotent.
  void drain(Duration patience);
  // Keys and jobs whose time is over, a little at a time.
  void sweep(WallTime now);
  server::WorkDoor& door() { return door_; }
  work::Engine& engine() { return engine_; }

 private:
  Workshop(const WorkConfig& config, net::LoopGroup& loops, store::Database& database, gateway::Gateway& gateway);
  const WorkConfig config_;
  net::LoopGroup& loops_;
  store::Database& database_;
  work::Dispatch dispatch_;
  work::Engine engine_;
  work::Pace pace_;
  work::ModelCaller caller_;
  server::WorkDoor door_;
  work::JobId swept_to_;
  bool started_ = false;
};

}  // namespace ballast::app
