// Event loops: one per core, each with its own thread; a connection and its coroutines stay on one loop for life.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/scheduler.hpp"

namespace ballast::net {

class LoopGroup;

// One event loop. `post` and `resume` are thread-safe; everything else belongs to the loop's thread.
class Loop final : public Scheduler {
 public:
  Loop(LoopGroup& group, unsigned index, const Clock& clock);
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  const Clock& clock() const override { return clock_; }
  void post(std::function<void()> f) override;
  void resume(std::coroutine_handle<> h) override;
  void arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context) override;
  unsigned index() const override { return index_; }
  bool on_this_thread() const override;
  MonoTime now() const { return clock_.mono(); }

  struct Core;                        // sockets, timers and buffers; known inside net/ only
  Core& core() { return *core_; }

 private:
  friend class LoopGroup;
  const Clock& clock_;
  unsigned index_;
  std::unique_ptr<Core> core_;
};

// The loops of a process. Construct, `start`, … `stop`: stop returns when every thread has ended. Everything that lives
// on a loop (servers, clients, tasks) is to be drained before; what still waits then is never resumed.
// The clock must outlive the group. SIGPIPE is never raised by net/ (MSG_NOSIGNAL).
class LoopGroup {
 public:
  explicit LoopGroup(unsigned loops, const Clock& clock);
  ~LoopGroup();                       // stops
  LoopGroup(const LoopGroup&) = delete;
  LoopGroup& operator=(const LoopGroup&) = delete;

  void start();
  void stop();
  bool running() const;
  unsigned size() const { return static_cast<unsigned>(loops_.size()); }
  Loop& at(unsigned index) { return *loops_[index]; }
  // The loop that runs the calling thread, or null.
  static Loop* current();

 private:
  struct Threads;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Threads> threads_;
};

}  // namespace ballast::net
