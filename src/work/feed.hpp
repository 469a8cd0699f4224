// Feed: tells who follows a job that something about it is new. It carries nothing: followers read the job and its events from the database, so
// that a follower that was away misses nothing and any node can serve it.
//
// Single-threaded: the engine's home loop.
#pragma once
#include <coroutine>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "work/job.hpp"

namespace ballast::work {

class Feed {
 public:
  explicit Feed(Scheduler& home) : home_(home) {}
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Follow first, read after, wait then: nothing falls in between. The ticket is the caller's, unique; `leave` ends it.
  void follow(std::uint64_t ticket, JobId job);
  void leave(std::uint64_t ticket);
  // True when something is new since the last wait (or since `follow`), false at the deadline, or once the feed is closed.
  Task<bool> wait(std::uint64_t ticket, MonoTime deadline);
  void notify(JobId job);
  // Ends every wait, now and later: the process goes away.
  void close();
  bool closed() const { return closed_; }
  std::size_t followers() const { return followers_.size(); }
  std::vector<JobId> followed() const;       // each once

 private:
  struct Follower {
    Feed* feed = nullptr;
    JobId job;
    bool fresh = false;
    std::coroutine_handle<> waiter;
    Timer timer;
  };
  void wake(Follower& f);

  Scheduler& home_;
  bool closed_ = false;
  std::unordered_map<std::uint64_t, Follower> followers_;
  std::unordered_multimap<JobId, std::uint64_t> by_job_;
};

}  // namespace ballast::work
