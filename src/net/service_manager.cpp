#include "net/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/thread.hpp"

namespace ballast::net {

bool tell_service_manager(std::string_view lines) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  const std::size_t length = name ? std::strlen(name) : 0;
  if (length < 2 || length >= sizeof where.sun_path || (*name != '/' && *name != '@')) return false;
  std::memcpy(where.sun_path, name, length);
  if (*name == '@') where.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + (*name == '/' ? 1 : 0));
  const auto sent = ::sendto(fd, lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&where), size);
  ::close(fd);
  return sent == static_cast<ssize_t>(lines.size());
}

namespace {

std::uint64_t number_in(const char* variable) {
  const char* text = std::getenv(variable);
  std::uint64_t n = 0;
  if (!text) return 0;
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, n);
  return error == std::errc() && at == end ? n : 0;
}

}  // namespace

Duration watchdog_period() {
  constexpr std::uint64_t most_us = 24ULL * 3600 * 1'000'000;
  if (std::getenv("WATCHDOG_PID") && number_in("WATCHDOG_PID") != static_cast<std::uint64_t>(::getpid())) return Duration::zero();
  return std::chrono::microseconds(std::min(number_in("WATCHDOG_USEC"), most_us));
}

struct Watchdog::Beats {
  // `turned` is shared with what is posted: a loop may come to it after the watchdog has ended.
  void run(LoopGroup& loops, Duration period) {
    name_this_thread("watchdog");
    auto turned = std::make_shared<std::atomic<unsigned>>(0);
    for (unsigned asked = 0;;) {
      if (turned->load() == asked) {
        if (asked > 0) tell_service_manager("WATCHDOG=1");
        asked += loops.size();
        for (unsigned i = 0; i < loops.size(); ++i) loops.at(i).post([turned] { turned->fetch_add(1); });
      }
      std::unique_lock lock(mutex);
      // An eighth: also after a look that came too early a beat is in time.
      if (changed.wait_for(lock, period / 8, [this] { return over; })) return;
    }
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::thread thread;
};

Watchdog::Watchdog(LoopGroup& loops, Duration period) {
  if (period <= Duration::zero()) return;
  beats_ = std::make_unique<Beats>();
  beats_->thread = std::thread([beats = beats_.get(), &loops, period] { beats->run(loops, period); });
}

Watchdog::~Watchdog() {
  if (!beats_) return;
  {
    const std::lock_guard lock(beats_->mutex);
    beats_->over = true;
  }
  beats_->changed.notify_all();
  beats_->thread.join();
}

}  // namespace ballast::net
