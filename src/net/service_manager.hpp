// The service manager that has started this process, told how things stand: systemd's sd_notify(3) protocol, without its library.
#pragma once
#include <memory>
#include <string_view>

#include "base/clock.hpp"
#include "net/loop.hpp"

namespace ballast::net {

// Sends lines like "READY=1" or "STATUS=serving" to the socket that NOTIFY_SOCKET names, a path or an abstract name. Never blocks. False where nobody
// asked to be told, or the manager does not take it now. Thread-safe.
bool tell_service_manager(std::string_view lines);

// How often the manager wants a sign of life of this very process (WATCHDOG_USEC, WATCHDOG_PID); zero: never.
Duration watchdog_period();

// Tells the manager that the process is well, several times in each `period`, for as long as every loop turns: a loop that is stuck ends that, and the
// manager ends the process. It knows nothing of the database, whose outages are no reason to stop serving calls.
// The loops must outlive it; they may be stopped meanwhile.
class Watchdog {
 public:
  Watchdog(LoopGroup& loops, Duration period);     // zero: does nothing
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  struct Beats;
  std::unique_ptr<Beats> beats_;
};

}  // namespace ballast::net
