// Alarms: the watcher of this process, what it is told of how things stand, and the way of its notices into the outbox of webhooks.
#pragma once
#include <mutex>

#include "app/config.hpp"
#include "app/node.hpp"
#include "app/workshop.hpp"
#include "gateway/gateway.hpp"
#include "net/loop.hpp"
#include "store/database.hpp"
#include "watch/watcher.hpp"

namespace ballast::app {

class Alarms final : private watch::Outlet {
 public:
  // What it stands on; all outlives it, and the loop runs while it watches.
  struct Ground {
    store::Database& database;
    metrics::Registry& metrics;
    gateway::Gateway& gateway;
    Workshop& shop;
    net::Loop& work_loop;                  // the engine's
    const Clock& clock;
    const Node& node;
  };
  Alarms(const Config& config, Ground ground);
  void start() { watcher_.start(); }
  void stop() { watcher_.stop(); }         // before the loops stop
  void hurry() { watcher_.hurry(); }       // this node watches from now on; any thread
  void reload(const Config& config) { watcher_.use(config.alerts); }
  watch::Watcher& watcher() { return watcher_; }

 private:
  Result<void> owe(store::Tx& tx, const watch::Receiver& receiver, const std::string& type, const std::string& body, WallTime now) override;
  void poke() override;
  watch::Gauges gauges();
  void queues(watch::Gauges& g);
  void providers(watch::Gauges& g) const;

  const Ground ground_;
  std::mutex mutex_;                       // ids_
  work::JobIds ids_;
  watch::Watcher watcher_;
};

}  // namespace ballast::app
