// The way from an HTTP exchange, on any loop, to the engine on its own.
#pragma once
#include <atomic>
#include <functional>
#include <utility>

#include "base/cancel.hpp"
#include "base/on_loop.hpp"
#include "net/server.hpp"
#include "work/batches.hpp"
#include "work/door.hpp"
#include "work/engine.hpp"
#include "work/flow_book.hpp"
#include "work/queue_views.hpp"
#include "work/schedules.hpp"
#include "work/webhooks.hpp"

namespace ballast::server {

inline constexpr std::string_view kFilesPath = "/v1/files";

// Thread-safe. Outlives every exchange.
class WorkDoor {
 public:
  WorkDoor(work::Door& jobs, work::FlowBook& flows, work::Webhooks& webhooks, work::Schedules& schedules, work::Batches& batches,
           std::uint64_t most_file_bytes)
      : jobs_(jobs), engine_(jobs.engine()), flows_(flows), webhooks_(webhooks), schedules_(schedules), batches_(batches), most_file_bytes_(most_file_bytes) {}
  // What is done about a job, wherever in the installation it is. Only inside what `ask` runs.
  work::Door& jobs() { return jobs_; }
  // Of this process alone. Only inside what `ask` runs; but for `home` and `database`.
  work::Engine& engine() { return engine_; }
  // `co_await door.ask(exchange, [&]() -> Task<T> {…})`: the task runs on the engine's loop.
  template <class Make>
  auto ask(net::Exchange& exchange, Make make) { return on_loop(engine_.home(), exchange.loop(), std::move(make)); }
  work::FlowBook& flows() { return flows_; }
  // Only inside what `ask` runs.
  work::Schedules& schedules() { return schedules_; }
  // Only inside what `ask` runs.
  work::Batches& batches() { return batches_; }
  std::uint64_t most_file_bytes() const { return most_file_bytes_; }
  // Thread-safe: asked on any loop.
  work::Webhooks& webhooks() { return webhooks_; }
  // What the other nodes say of their queues; thread-safe. By `hear`, which is called before anybody asks; nothing where there is one node.
  work::QueuesElsewhere elsewhere() const { return elsewhere_ ? elsewhere_() : work::QueuesElsewhere{}; }
  void hear(std::function<work::QueuesElsewhere()> elsewhere) { elsewhere_ = std::move(elsewhere); }
  std::uint64_t new_ticket() { return tickets_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  work::Door& jobs_;
  work::Engine& engine_;
  work::FlowBook& flows_;
  work::Webhooks& webhooks_;
  work::Schedules& schedules_;
  work::Batches& batches_;
  const std::uint64_t most_file_bytes_;      // of an uploaded file
  std::function<work::QueuesElsewhere()> elsewhere_;
  std::atomic<std::uint64_t> tickets_{0};
};

// While it lives: a client that leaves ends what waits for it in the engine.
class Departure {
 public:
  Departure(WorkDoor& door, net::Exchange& exchange) : door_(door), ticket_(door.new_ticket()) {
    hook_.attach(exchange.gone(), [](void* self) { static_cast<Departure*>(self)->tell(); }, this);
  }
  std::uint64_t ticket() const { return ticket_; }

 private:
  void tell() {
    work::Door& jobs = door_.jobs();
    jobs.engine().home().post([&jobs, ticket = ticket_] { jobs.stop_waiting(ticket); });
  }
  WorkDoor& door_;
  const std::uint64_t ticket_;
  CancelHook hook_;
};

}  // namespace ballast::server
