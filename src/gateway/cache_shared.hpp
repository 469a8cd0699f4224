// SharedCache: answers that other nodes of the installation have made, by way of its database (a route's `cache.across_nodes`). It stands behind the cache in
// memory: asked where that has nothing, told of what that keeps, and never waited for longer than `patience`.
//
//   nothing in memory → find: a row in time → a hit
//                             else          → the call is made → offer → written behind
//
// Two threads: one reads, for all calls that wait at once in one query, over a connection of its own; one packs and writes in batches behind other writes.
// The database is left alone where nobody would have anything of it: for a route that has no rows, and, after some answers in a row came too late, for a
// while; then one call tries.
// Bounds: calls that wait, answers to be written (beyond them they are dropped), an answer's size, and the table's, by `sweep`. Every outcome is counted
// (docs/operations.md). What waits to be written when the process ends is lost: it is a cache.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/cache.hpp"
#include "records/shared_answers.hpp"
#include "store/database.hpp"

namespace ballast::gateway {

// Whether the database is asked, by how it has answered lately. Pure; not thread-safe.
class AskingPause {
 public:
  AskingPause(unsigned most_late, Duration rest) : most_late_(most_late), rest_(rest) {}
  // After a rest one at a time: each that may is to be told of by one of the three.
  bool may_ask(MonoTime now);
  void in_time();
  void late(MonoTime now);                 // too late, or not at all
  void left();                             // nobody knows: the caller has gone

 private:
  const unsigned most_late_;
  const Duration rest_;
  unsigned late_ = 0;                      // in a row
  bool trying_ = false;
  MonoTime until_{};
};

class SharedCache {
 public:
  struct Options {
    Duration patience = std::chrono::milliseconds(5);
    unsigned most_late = 5;
    Duration rest = std::chrono::seconds(1);
    Duration believed = std::chrono::seconds(1);             // that a route has rows or none
    std::size_t waiting = 1'024;                             // calls
    std::size_t queued = 4'096, queued_bytes = std::size_t{32} << 20;
    std::size_t largest = std::size_t{256} << 10;            // of an answer's body
    std::uint64_t table_bytes = std::uint64_t{1} << 30;
  };
  // All outlives it. `reads` is nobody else's: whoever waits for its connection waits longer than a call does.
  SharedCache(store::Database& database, store::Database& reads, const Clock& clock, metrics::Registry& metrics, Options options);
  ~SharedCache();                          // after every call
  SharedCache(const SharedCache&) = delete;
  SharedCache& operator=(const SharedCache&) = delete;
  // Its threads. `soon`: routes use it, so its connection is opened now and not by the first call, for which that would take too long.
  void start(bool soon);

  // What is there of this request and has not expired, whatever its age; nothing too when it does not come in time.
  Task<std::optional<CachedReply>> find(CacheKey key, std::string route, Scheduler& loop, CancelToken cancel);
  // For the other nodes, for so long since it was made. Any thread, at once.
  void offer(const CacheKey& key, std::string_view route, std::string_view user, CachedReplyPtr reply, Duration keep);

  // By the threads, or by a test without them. False: nothing waited.
  bool read_waiting();
  bool write_waiting();

  // Deletes what has expired, and the oldest where the table is larger than it may be. The table is the installation's: `mine` on one node at a time, which then
  // tells its size. Blocking.
  void sweep(bool mine);
  void resize(std::uint64_t table_bytes) { table_bytes_ = table_bytes; }
  // What waits to be written will not be.
  void forget_queued();
  // Until nothing is being written any more, or `patience` is over.
  Task<void> written(Scheduler& loop, Duration patience);

 private:
  struct Waiter;
  struct Offer {
    CacheKey key;
    std::string route, user;
    CachedReplyPtr reply;
    WallTime expires{};
    std::size_t bytes() const { return reply->body.size() + 256; }
  };
  struct Route {
    bool empty = false;
    MonoTime until{};                      // believed
  };
  struct Found {
    std::vector<records::SharedAnswerRow> rows;
    std::map<std::string, bool, std::less<>> empty;          // of the routes that were looked at
  };
  void run(const std::stop_token& stop, bool (SharedCache::*step)());
  Result<Found> read(const std::vector<Digest>& digests, const std::vector<std::string>& routes);
  bool may_ask(const std::string& route, MonoTime now);      // under mutex_
  std::vector<std::string> unknown_routes(MonoTime now) const;
  void note(const Found& found, MonoTime now);
  void write(std::vector<Offer> batch);
  std::optional<records::SharedSum> shrink();

  store::Database& database_;
  store::Database& reads_;
  const Clock& clock_;
  const Options options_;
  metrics::Counter &found_, &none_, &late_, &failed_, &skipped_;
  metrics::Counter &kept_, &dropped_, &large_, &not_kept_;
  metrics::Gauge &entries_, &bytes_;
  std::atomic<std::uint64_t> table_bytes_;
  std::mutex mutex_;                                         // what follows
  std::condition_variable_any wake_;
  AskingPause pause_;
  std::deque<Waiter*> waiting_;
  std::vector<Waiter*> reading_;
  std::map<std::string, Route, std::less<>> routes_;
  std::deque<Offer> queue_;
  std::size_t queued_bytes_ = 0;
  bool writing_ = false;
  std::jthread reader_, writer_;
};

}  // namespace ballast::gateway
