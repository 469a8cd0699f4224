// Live: what happens now, for the pages that are open. One thread makes the news of each second once, whoever reads it: the road's figures, calls as they
// enter the ledger, and that something has changed. Without followers the thread sleeps, and a call costs one look at a counter.
//
// A follower has a bounded queue. One that reads too slowly loses calls and figures, and is told how many calls; one that would lose anything else is cut
// off, and begins anew. Whoever comes back begins anew too: there is no replay, the pages read the present from the API.
//
// `call` and `tell` are for any thread; a Follower's `take` is for the loop it joined on.
#pragma once
#include <array>
#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/gateway.hpp"
#include "gateway/road_metrics.hpp"
#include "store/database.hpp"

namespace ballast::server {

class WorkDoor;

class LiveFollower : public std::enable_shared_from_this<LiveFollower> {
 public:
  LiveFollower(Scheduler& loop, std::size_t most_bytes) : loop_(loop), most_bytes_(most_bytes) {}
  // What has come since, as event-stream bytes: at once if there is anything, else when it comes; empty at the deadline, and when there is an end.
  Task<std::string> take(MonoTime deadline);
  bool ended() const;
  void end();                                // any thread
  // Event-stream bytes that must not be lost: where there is no room for them it is cut off. Any thread.
  void tell(const std::string& bytes) { push(Kind::news, bytes); }

 private:
  friend class Live;
  enum class Kind : unsigned char { news, call, figures };
  struct Frame {
    Kind kind;
    std::string bytes;
  };
  void push(Kind kind, const std::string& bytes);
  void wake();
  bool waits(std::coroutine_handle<> h, MonoTime deadline);

  Scheduler& loop_;
  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  std::deque<Frame> frames_;                 // guarded by mutex_, as the next four
  std::size_t bytes_ = 0;
  std::uint64_t skipped_ = 0;                // calls, since it was told last
  bool ended_ = false, posted_ = false;
  std::coroutine_handle<> waiter_;           // of the loop alone, as the timer
  Timer timer_;
};

class Live {
 public:
  struct Options {
    std::size_t followers = 64;
    std::size_t bytes = 256u << 10;          // that wait for one of them
    std::size_t calls = 20;                  // told a second
  };
  // Borrowed; all of it outlives `stop`. `door` may be null.
  Live(const gateway::Gateway& gateway, store::Database& database, WorkDoor* door, const Clock& clock, Options options);
  ~Live();
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  void start();                              // the thread
  void stop();                               // ends it and every follower; idempotent
  // Null: there are as many as may be.
  std::shared_ptr<LiveFollower> join(Scheduler& loop);
  void leave(const std::shared_ptr<LiveFollower>& follower);
  std::size_t followers() const { return count_.load(std::memory_order_relaxed); }

  // A call has entered the ledger, as encoded: decoded only if somebody follows and this second still has room for it.
  void call(std::string_view encoded);
  // Anything else that pages want to know at once: an event of this name.
  void tell(std::string_view event, const json::value& data);
  // A second has passed: what the thread does.
  void second();

 private:
  struct Sums {                              // of the road's counters
    std::uint64_t calls = 0, failed = 0, nano_usd = 0, tokens = 0;
  };
  using Buckets = std::array<std::uint64_t, metrics::Histogram::bucket_count>;
  struct Sample {
    MonoTime at{};
    Sums sums;
    Buckets latency{}, first_token{};
  };
  void run();
  void send(LiveFollower::Kind kind, std::string_view event, const json::value& data);
  void send_calls();
  Sample sample() const;
  json::object figures();
  void look_at_state();
  void look_at_queues();
  void changed(std::string_view what, std::string now, std::string& before);

  const gateway::Gateway& gateway_;
  store::Database& database_;
  WorkDoor* const door_;
  const Clock& clock_;
  const Options options_;
  gateway::RoadMetrics road_;                // the road's own, found by name

  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;                 // guards what follows up to the thread
  std::condition_variable wake_;
  std::vector<std::shared_ptr<LiveFollower>> all_;
  std::vector<std::string> calls_;           // of this second
  std::uint64_t calls_skipped_ = 0;
  bool stopping_ = false;
  std::string queues_seen_;                  // by the engine's loop, last
  std::thread thread_;

  // Of the thread alone.
  std::deque<Sample> samples_;               // a second apart, the last minute's
  std::string breakers_, queues_, approvals_, dead_;
};

}  // namespace ballast::server
