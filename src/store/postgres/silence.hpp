// Ends the waiting for a server that has fallen silent: stopped, swapped out, on a machine that hangs. Its kernel keeps the connections up, so that nothing else does.
//
// A statement that takes long is none of that: only when a newcomer is not answered either are the connections shut on which a thread has waited for kSilence. Their
// threads then find them lost, as if the server had gone.
#pragma once
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "base/clock.hpp"

namespace ballast::store {

class Silence {
 public:
  static constexpr Duration kSilence = std::chrono::seconds(10);

  // `answers`: whether the server answers a newcomer; takes some seconds at most. Called on a thread of this object's own, which looks this often.
  Silence(const Clock& clock, std::function<bool()> answers, std::chrono::milliseconds every = std::chrono::seconds(1));
  ~Silence();
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

  // What the thread does each time: nothing, unless somebody has waited for too long. By one thread at a time.
  void look();

  // While a thread waits for the server on this socket, which is not closed meanwhile.
  class Waiting {
   public:
    Waiting(Silence& silence, int socket);
    ~Waiting() { end(); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    void end();

   private:
    Silence* silence_;
    std::list<std::pair<int, MonoTime>>::iterator place_;
  };

 private:
  const Clock& clock_;
  const std::function<bool()> answers_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::list<std::pair<int, MonoTime>> waiting_;        // since when
  MonoTime next_ = MonoTime::min();                      // to ask: after an answer not at once again, a long statement is no news
  std::jthread thread_;
};

}  // namespace ballast::store
