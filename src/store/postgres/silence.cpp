#include "store/postgres/silence.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace ballast::store {

Silence::Silence(const Clock& clock, std::function<bool()> answers, std::chrono::milliseconds every)
    : clock_(clock), answers_(std::move(answers)), thread_([this, every](const std::stop_token& stop) {
        name_this_thread("db-silence");
        std::unique_lock hold(mutex_);
        while (!wake_.wait_for(hold, stop, every, [&] { return stop.stop_requested(); })) {
          hold.unlock();
          look();
          hold.lock();
        }
      }) {}

Silence::~Silence() = default;

Silence::Waiting::Waiting(Silence& silence, int socket) : silence_(&silence) {
  const MonoTime now = silence.clock_.mono();
  const std::lock_guard hold(silence.mutex_);
  place_ = silence.waiting_.emplace(silence.waiting_.end(), socket, now);
}

void Silence::Waiting::end() {
  Silence* silence = std::exchange(silence_, nullptr);
  if (!silence) return;
  const std::lock_guard hold(silence->mutex_);
  silence->waiting_.erase(place_);
}

void Silence::look() {
  const MonoTime now = clock_.mono();
  const auto too_long = [&](const auto& w) { return now - w.second >= kSilence; };
  {
    const std::lock_guard hold(mutex_);
    if (now < next_ || std::ranges::none_of(waiting_, too_long)) return;
  }
  if (answers_()) {
    next_ = clock_.mono() + kSilence;
    return;
  }
  std::int64_t shut = 0;
  {
    const std::lock_guard hold(mutex_);
    for (const auto& w : waiting_)
      if (too_long(w)) shut += ::shutdown(w.first, SHUT_RDWR) == 0;
  }
  if (shut > 0) log::warn("database_silent", {{"connections_shut", shut}, {"advice", "PostgreSQL answers nobody: see whether its machine, or its disk, hangs"}});
}

}  // namespace ballast::store
