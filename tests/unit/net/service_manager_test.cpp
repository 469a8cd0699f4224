// What the service manager is told, by a socket of the test's own in its place.
#include "net/service_manager.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <semaphore>
#include <string>

#include "../../support/temp_dir.hpp"

namespace ballast::net::test {
namespace {
using ballast::test::TempDir;
using namespace std::chrono_literals;

class ServiceManager : public ::testing::Test {
 protected:
  // `name` begins with '/' or, an abstract one, with '@'.
  void listen(const std::string& name) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path, name.data(), name.size());
    if (name[0] == '@') where.sun_path[0] = '\0';
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&where), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  // The next message, or nothing within `patience`.
  std::string next(std::chrono::milliseconds patience) const {
    pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&p, 1, static_cast<int>(patience.count())) <= 0) return {};
    char text[256];
    const auto n = ::recv(fd_, text, sizeof text, 0);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
    if (fd_ >= 0) ::close(fd_);
  }

  TempDir folder_;
  int fd_ = -1;
};

TEST_F(ServiceManager, IsToldAtItsPathOrItsAbstractName) {
  EXPECT_FALSE(tell_service_manager("READY=1")) << "nobody asked";
  for (const std::string& name : {folder_.path() + "/notify", "@ballast-test-" + std::to_string(::getpid())}) {
    listen(name);
    EXPECT_TRUE(tell_service_manager("READY=1\nSTATUS=serving"));
    EXPECT_EQ(next(5s), "READY=1\nSTATUS=serving");
    ::close(std::exchange(fd_, -1));
    EXPECT_FALSE(tell_service_manager("READY=1")) << "who does not listen is not waited for";
  }
  for (const std::string& bad : {std::string(), std::string("relative"), std::string("/"), "/" + std::string(200, 'a')}) {
    ::setenv("NOTIFY_SOCKET", bad.c_str(), 1);
    EXPECT_FALSE(tell_service_manager("READY=1")) << bad;
  }
}

TEST_F(ServiceManager, SaysHowOftenItWantsASign) {
  EXPECT_EQ(watchdog_period(), Duration::zero());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_period(), 30s);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(watchdog_period(), 30s);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(watchdog_period(), Duration::zero()) << "another process is asked";
  ::unsetenv("WATCHDOG_PID");
  for (const char* bad : {"", "soon", "-1", "99999999999999999999999"}) {
    ::setenv("WATCHDOG_USEC", bad, 1);
    EXPECT_EQ(watchdog_period(), Duration::zero()) << bad;
  }
}

TEST_F(ServiceManager, HearsThatAllIsWellUntilALoopIsStuck) {
  listen(folder_.path() + "/notify");
  const SystemClock clock;
  LoopGroup loops(2, clock);
  loops.start();
  std::binary_semaphore stuck(0), let_go(0);
  {
    const Watchdog watchdog(loops, 200ms);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(next(10s), "WATCHDOG=1");
    loops.at(1).post([&] {
      stuck.release();
      let_go.acquire();
    });
    stuck.acquire();
    while (!next(0ms).empty()) {}
    (void)next(100ms);                        // one that was on its way: asked before the loop stopped
    EXPECT_EQ(next(400ms), "") << "twice the period, and no sign";
    let_go.release();
    EXPECT_EQ(next(10s), "WATCHDOG=1") << "it turns again";
  }
  while (!next(0ms).empty()) {}
  EXPECT_EQ(next(400ms), "") << "ended";
}

}  // namespace
}  // namespace ballast::net::test
