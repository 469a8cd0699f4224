// What the door's own files share.
#pragma once
#include <fmt/format.h>

#include <utility>

#include "work/door.hpp"

namespace ballast::work {

// Said by the notifier: the node of this number has something to look at.
inline std::string ask_word(unsigned node) { return fmt::format("asks:{}", node); }

// Some asks of one asker. Lives in the frame that waits.
struct Door::Asking {
  struct Open { std::size_t index = 0; JobId job; };
  Scheduler& home;
  std::unordered_map<JobId, Open> open;      // by the ask's number
  std::vector<Result<std::string>> out;
  std::coroutine_handle<> waiter;
  Timer timer;

  // Until the last of them is settled, or the time is up.
  struct Until {
    Asking& mine;
    MonoTime deadline;
    bool await_ready() const { return mine.open.empty(); }
    void await_suspend(std::coroutine_handle<> h) const {
      mine.waiter = h;
      mine.home.arm(mine.timer, deadline, [](void* self) {
        auto* asking = static_cast<Asking*>(self);
        if (const auto waiter = std::exchange(asking->waiter, {})) asking->home.resume(waiter);
      }, &mine);
    }
    void await_resume() const { mine.timer.cancel(); }
  };
};

// Heartbeats that are sent together.
struct Door::Beats {
  std::vector<Beat> beats;
  std::vector<Result<void>> results;
  std::vector<std::coroutine_handle<>> waiters;
};

}  // namespace ballast::work
