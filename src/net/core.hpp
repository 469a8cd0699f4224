// Private to net/: what stands behind Loop, and the one-shot Gate on which a coroutine waits for something other than a socket.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "base/timing_wheel.hpp"
#include "net/loop.hpp"
#include "net/transport.hpp"

namespace ballast::net {

class Channel;

// How a wait ended.
enum class Wake : unsigned char { ready, timeout, cancelled };

// One whole message that waits for the loop's turn to end. Lives in the frame of the coroutine that sends it.
struct QueuedSend {
  void (*send)(QueuedSend& self) = nullptr;
  std::coroutine_handle<> waiter;
  QueuedSend* next = nullptr;
};

// Messages of one turn of the loop, sent back to back at its end: the first wakes whoever receives them, the others find it
// awake. At 64 busy connections that saves a fifth of the time of a call; alone, a message does not wait at all.
class Outbox {
 public:
  void add(QueuedSend& message);
  bool empty() const { return !first_ && !sent_; }
  // Sends everything, then lets the senders go on; what they add is for the next turn.
  void flush();

 private:
  static constexpr unsigned kMost = 64;  // sent at the latest when so many wait
  void send_all();
  QueuedSend* first_ = nullptr;
  QueuedSend* last_ = nullptr;
  QueuedSend* unsent_ = nullptr;          // from here on in the list
  QueuedSend* sent_ = nullptr;            // whose senders have not gone on yet
  unsigned count_ = 0;
};

// Answers that are likely to come within microseconds. While one is awaited, and not for longer than that, the loop looks for events again
// instead of going to sleep: a core that sleeps starts late, by 25 to 40 microseconds on a virtual machine, which is what such an answer takes.
class Vigil {
 public:
  static constexpr Duration kLongest = std::chrono::microseconds(150);
  bool lasts(const Clock& clock) const { return awaited_ != 0 && clock.mono() < until_; }

 private:
  friend class SoonAnswer;
  unsigned awaited_ = 0;
  MonoTime until_{};
};

// How long answers of one origin take, as the last few tell. What is slow counts as a millisecond, so that one stall is soon forgotten.
class AnswerTime {
 public:
  bool soon() const { return typical_ <= Vigil::kLongest; }
  void learn(Duration took) { typical_ += (std::min<Duration>(took, kSlow) - typical_) / 8; }

 private:
  static constexpr Duration kSlow = std::chrono::milliseconds(1);
  Duration typical_ = kSlow;
};

// A turn of the loop: what the sockets have to say, timers, what was posted, then what there is to send.
//
// Every socket is registered once, edge-triggered in both directions (epoll(7)); a channel remembers what it was told, so that no
// system call comes with a wait.
struct Loop::Core {
  explicit Core(const Clock& clock);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Until `stop`. What a handler throws comes out of here; called again, it goes on where it was.
  void run();
  void stop();
  void post(std::coroutine_handle<> h, std::function<void()> f);
  void arm(Timer& timer, MonoTime due, Timer::Callback callback, void* context);
  // False: errno says why.
  bool add(int fd, Channel& channel);
  // The channel dies: what this turn still had to tell it is dropped.
  void forget(const Channel& channel);
  // Tells the channel in the next turn that it is readable, as epoll would. On the loop's thread, once a turn.
  void tell_again(Channel& channel);
  // "Sun, 06 Nov 1994 08:49:37 GMT", renewed once a second.
  std::string_view http_date();

  Outbox outbox;
  Vigil vigil;

 private:
  struct Posted {
    std::coroutine_handle<> handle;
    std::function<void()> function;
  };
  void turn();
  int patience() const;                   // milliseconds that the loop may sleep
  void tell_channels();
  void run_posted();

  const Clock& clock_;
  TimingWheel wheel_;
  MonoTime wake_at_ = MonoTime::max();    // no timer is due before
  int epoll_ = -1, wake_ = -1;
  std::atomic<bool> stopping_{false};
  std::array<epoll_event, 256> events_;
  std::size_t event_ = 0, events_end_ = 0;
  std::vector<Channel*> again_, telling_;
  std::size_t telling_at_ = 0;
  std::vector<Posted> posted_here_, running_;
  std::size_t running_at_ = 0;
  std::mutex mutex_;                      // guards `posted_elsewhere_`
  std::vector<Posted> posted_elsewhere_;
  std::atomic<bool> posted_{false};       // something is in it
  MonoTime date_until_{};
  char date_[32] = {};
};

// From the sending of a request to the first of its answer.
class SoonAnswer {
 public:
  SoonAnswer(Loop& loop, AnswerTime& time) : loop_(loop), time_(time), began_(loop.now()), soon_(time.soon()) {
    if (!soon_) return;
    Vigil& vigil = loop_.core().vigil;
    ++vigil.awaited_;
    vigil.until_ = began_ + Vigil::kLongest;
  }
  ~SoonAnswer() {
    time_.learn(loop_.now() - began_);
    if (soon_) --loop_.core().vigil.awaited_;
  }
  SoonAnswer(const SoonAnswer&) = delete;
  SoonAnswer& operator=(const SoonAnswer&) = delete;

 private:
  Loop& loop_;
  AnswerTime& time_;
  MonoTime began_;
  bool soon_;
};

// One coroutine waits for one event; the event may come first. The waiter is resumed from the loop, never inside `open`.
class Gate {
 public:
  explicit Gate(Loop& loop) : loop_(loop) {}
  // False: it was open already, and `how` is not heard.
  bool open(Wake how = Wake::ready) {
    if (opened_) return false;
    opened_ = true;
    how_ = how;
    timer_.cancel();
    if (waiter_) loop_.resume(std::exchange(waiter_, {}));
    return true;
  }
  void open_on(CancelToken cancel) {
    hook_.attach(cancel, [](void* self) { static_cast<Gate*>(self)->open(Wake::cancelled); }, this);
  }
  auto wait(Deadline deadline) {
    struct Awaiter {
      Gate& gate;
      Deadline deadline;
      bool await_ready() const { return gate.opened_; }
      void await_suspend(std::coroutine_handle<> h) {
        gate.waiter_ = h;
        if (deadline != no_deadline)
          gate.loop_.arm(gate.timer_, deadline, [](void* g) { static_cast<Gate*>(g)->open(Wake::timeout); }, &gate);
      }
      Wake await_resume() const { return gate.how_; }
    };
    return Awaiter{*this, deadline};
  }

 private:
  Loop& loop_;
  std::coroutine_handle<> waiter_;
  Timer timer_;
  CancelHook hook_;
  bool opened_ = false;
  Wake how_ = Wake::ready;
};

// `co_await next_turn(loop)`: goes to the back of the loop's queue, off the stack of whoever resumed us.
inline auto next_turn(Loop& loop) {
  struct Awaiter {
    Loop& loop;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) { loop.resume(h); }
    void await_resume() const {}
  };
  return Awaiter{loop};
}

}  // namespace ballast::net
