// The durable road's gauges, made fresh before /metrics is answered.
#pragma once
#include "net/server.hpp"
#include "server/work_door.hpp"

namespace ballast::server {

// What the board knows, from the engine's own loop, with what other nodes say of theirs, and the dead letters, from the database; where that does not answer they
// stay as they were.
Task<void> refresh_work_metrics(Scheduler& here, WorkDoor& door);

}  // namespace ballast::server
