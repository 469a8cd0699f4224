// Workshop: the durable road of this process: its engine, what runs its jobs, and the door that HTTP comes in by.
#pragma once
#include <memory>

#include "app/config.hpp"
#include "net/loop.hpp"
#include "server/work_door.hpp"
#include "work/dispatch.hpp"
#include "work/flow_book.hpp"
#include "work/meter.hpp"
#include "work/runner.hpp"

namespace ballast::app {

class Workshop {
 public:
  // Takes the node over and reads what is live: blocking, before the loops run. Everything borrowed outlives it.
  static Result<std::unique_ptr<Workshop>> open(const Config& config, net::LoopGroup& loops, store::Database& database, metrics::Registry& registry);
  ~Workshop();                               // drained, or the loops have never run
  // The flows of the folder as it is now come into force; on an error those before stay. Blocking.
  Result<void> load_flows(const std::string& folder, WallTime now);
  // Begins to lease. The loops run.
  void start();
  // Accepts and leases nothing more; waits until what runs has ended or was given back. From outside the loops; idempotent.
  void drain(Duration patience);
  // Keys and jobs whose time is over, a little at a time.
  void sweep(WallTime now);
  server::WorkDoor& door() { return door_; }
  work::Engine& engine() { return engine_; }

 private:
  Workshop(const Config& config, net::LoopGroup& loops, store::Database& database, metrics::Registry& registry);
  Task<void> wake(work::JobId parent);
  const WorkConfig config_;
  net::LoopGroup& loops_;
  store::Database& database_;
  work::Meter meter_;
  work::Dispatch dispatch_;
  work::Engine engine_;
  work::FlowBook flows_;
  work::Runner runner_;
  server::WorkDoor door_;
  TaskGroup wakes_{"wakes"};
  work::JobId swept_to_;
  bool started_ = false;
};

}  // namespace ballast::app
