#include "store/postgres/silence.hpp"

#include <sys/socket.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace ballast::store {

namespace {

constexpr auto kLook = std::chrono::seconds(1);

}  // namespace

Silence::Silence(const Clock& clock, std::function<bool()> answers)
    : clock_(clock), answers_(std::move(answers)), thread_([this](const std::stop_token& stop) { watch(stop); }) {}

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

bool Silence::any_too_long(MonoTime now) const {
  return std::ranges::any_of(waiting_, [&](const auto& w) { return now - w.second >= kSilence; });
}

void Silence::watch(const std::stop_token& stop) {
  name_this_thread("db-silence");
  MonoTime next = MonoTime::min();             // after an answer nobody is asked again at once: a long statement is no news
  std::unique_lock hold(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(hold, stop, kLook, [] { return false; });
    if (stop.stop_requested() || clock_.mono() < next || !any_too_long(clock_.mono())) continue;
    hold.unlock();
    const bool answered = answers_();
    hold.lock();
    const MonoTime now = clock_.mono();
    next = now + (answered ? kSilence : Duration::zero());
    if (answered) continue;
    std::int64_t shut = 0;
    for (const auto& [socket, since] : waiting_)
      if (now - since >= kSilence) shut += ::shutdown(socket, SHUT_RDWR) == 0;
    if (shut > 0) log::warn("database_silent", {{"connections_shut", shut}, {"advice", "PostgreSQL answers nobody: see whether its machine, or its disk, hangs"}});
  }
}

}  // namespace ballast::store
