// Rolling up beside everything else. A minute of 300,000 calls is some tenths of a second of adding up, an hour of a hundred thousand users seconds: neither a
// loop nor the housekeeping, which answers signals too, waits for that. So it has a thread of its own, which gives way to the loops.
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.hpp"
#include "records/rollups.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct RollupPace {
  std::chrono::milliseconds every{1'000}, retire_every{600'000};
  Duration grace = std::chrono::seconds(2);   // what a minute is given after its end for its last calls to be imported
};

// Failures are logged (`calls_not_rolled_up`, `rollups_not_deleted`) and tried again with the next turn. Thread-safe.
class RollupThread {
 public:
  // All outlives it.
  RollupThread(store::Database& database, const Clock& clock, RollupRetention keep, RollupPace pace = {});
  ~RollupThread() { stop(); }
  RollupThread(const RollupThread&) = delete;
  RollupThread& operator=(const RollupThread&) = delete;

  // `mine`: asked before each turn, whether this process is the one that rolls up; empty: it is.
  void start(std::function<bool()> mine = {});
  // Ends it when the row under way is made. What is not rolled up is noted, and made after the next start.
  void stop();
  void keep(RollupRetention keep);            // from the next retiring on

 private:
  void run(const std::stop_token& ended);
  void roll(const std::stop_token& ended);
  void retire();

  const Clock& clock_;
  const RollupPace pace_;
  Roller roller_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  RollupRetention keep_;                      // under mutex_
  std::function<bool()> mine_;
  std::jthread thread_;
};

}  // namespace ballast::records
