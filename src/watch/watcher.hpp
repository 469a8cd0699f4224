// Watcher: runs the rules on a thread of its own. Every `every` it reads the last minutes, judges, keeps what changed and says who is owed a
// notice, all in one transaction: what was told before a crash is not told again, what was owed still is.
//
// One watcher of a cluster acts, whoever has the duty; the others look on. What is usual is read anew from the rollups by whoever begins to act.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.hpp"
#include "store/database.hpp"
#include "watch/judge.hpp"
#include "watch/notice.hpp"

namespace ballast::watch {

// Where a notice goes: it is owed from this transaction on, and is delivered at least once. Implemented above this floor.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual Result<void> owe(store::Tx& tx, const Receiver& receiver, const std::string& type, const std::string& body, WallTime now) = 0;
  virtual void poke() = 0;                             // something is owed now; any thread
};

// Buckets of `step`, oldest first, of everything together and by the labels that are wanted; of each label the largest `groups`.
using Read = std::function<Result<std::vector<Minute>>(WallTime from, WallTime to, Duration step, const Wanted& wanted, std::size_t groups)>;

class Watcher {
 public:
  struct World {
    store::Database& database;
    const Clock& clock;
    metrics::Registry& metrics;
    Outlet& outlet;
    Read minutes;                                      // source.hpp
    std::function<Gauges()> gauges;                    // both asked on the watcher's thread
    std::function<bool()> mine = {};                   // whether this process acts; empty: it does
    std::function<Result<void>(store::Tx&)> still_mine = {};   // asked in the transaction that keeps what changed; an error keeps nothing
  };
  struct Pace { Duration every = std::chrono::seconds(5); };
  Watcher(World world, Options options, Pace pace);
  Watcher(World world, Options options) : Watcher(std::move(world), std::move(options), Pace()) {}
  ~Watcher();                                          // stops
  void start();
  void stop();                                         // blocking; idempotent
  void hurry();                                        // looks at once: this process acts from now on. Any thread

  // From the next look on. Any thread. Rules that changed are judged anew, with what is usual read anew.
  void use(Options options);
  Options options() const;                             // any thread
  // Called with every alert that changed, on the watcher's thread, after it is kept. Set before `start`.
  void on_change(std::function<void(const Alert&)> tell) { tell_ = std::move(tell); }
  // A notice by way of trial, to be owed in a transaction of the caller's; `poke` then. caller_not_found: no such receiver. Any thread.
  struct Trial {
    Outlet& outlet;
    Receiver receiver;
    std::string body;
    WallTime at;
    Result<void> owe(store::Tx& tx) const { return outlet.owe(tx, receiver, "alert.test", body, at); }
  };
  Result<Trial> trial(const std::string& receiver, WallTime now) const;
  void poke() { world_.outlet.poke(); }

  // One look; for tests, and what the thread does. False: another one watches.
  Result<bool> look();

 private:
  Result<void> begin(WallTime now);                    // to act: what was, and what is usual
  Result<void> keep(WallTime now, std::vector<Change> changes);
  void tell(const std::vector<Change>& changes);
  void publish() const;
  void run();
  Result<std::vector<Minute>> read(WallTime from, WallTime to, Duration step, std::size_t groups);

  World world_;
  const Pace pace_;
  std::function<void(const Alert&)> tell_;
  mutable std::mutex mutex_;                           // options_, changed_, stopping_, hurried_
  std::condition_variable wake_;
  Options options_;
  bool changed_ = false, stopping_ = false, hurried_ = false;
  std::unique_ptr<Judge> judge_;                       // null: not acting
  Options acting_;                                     // the options in force
  std::vector<Alert> live_;                            // as stored
  std::int64_t last_id_ = 0;
  WallTime read_to_{}, swept_{};
  metrics::Family<metrics::Gauge>& alerts_;
  metrics::Family<metrics::Counter>& notices_;
  metrics::Counter& failures_;
  std::thread thread_;
};

}  // namespace ballast::watch
