// What the tests of net/ share: loops with a server around a lambda, a raw client socket, a scripted raw upstream.
#pragma once
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "net/client.hpp"
#include "net/server.hpp"

namespace ballast::net::test {

using namespace std::chrono_literals;

struct FnHandler final : Handler {
  std::function<Task<void>(Exchange&)> f;
  Task<void> handle(Exchange& ex) override { return f(ex); }
  RefusalBody refused(int, std::string_view reason, std::string_view path) override { return {"text/plain", fmt::format("{} at [{}]", reason, path)}; }
};

// A blocking socket with a 5 s limit on every read.
class Raw {
 public:
  explicit Raw(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(0, ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to));
  }
  struct Adopt { int fd; };
  explicit Raw(Adopt a) : fd_(a.fd) {}
  Raw(Raw&& o) noexcept : fd_(std::exchange(o.fd_, -1)), got_(std::move(o.got_)) {}
  ~Raw() { close(); }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  // Reads more; false at the end, a reset, or after a minute.
  bool more() {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, 60'000) <= 0) return timed_out_ = true, false;
    char buffer[65536];
    const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) { reset_ = n < 0; return false; }
    got_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  // Everything up to and including `mark`, removed from what is buffered.
  std::string until(std::string_view mark) {
    std::size_t at;
    while ((at = got_.find(mark)) == std::string::npos)
      if (!more()) return std::exchange(got_, {});
    std::string out = got_.substr(0, at + mark.size());
    got_.erase(0, out.size());
    return out;
  }
  std::string exactly(std::size_t n) {
    while (got_.size() < n && more()) {}
    std::string out = got_.substr(0, n);
    got_.erase(0, out.size());
    return out;
  }
  std::string rest() {
    while (more()) {}
    return std::exchange(got_, {});
  }
  // One response with a Content-Length: head + body.
  std::string response() {
    std::string head = until("\r\n\r\n");
    const auto at = head.find("content-length: ");
    if (at == std::string::npos) return head;
    return head + exactly(std::stoul(head.substr(at + 16)));
  }
  bool reset() const { return reset_; }
  bool timed_out() const { return timed_out_; }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void close(bool rst = false) {
    if (fd_ < 0) return;
    const linger now{1, 0};
    if (rst) ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(std::exchange(fd_, -1));
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  std::string got_;
  bool reset_ = false, timed_out_ = false;
};

// A server on a real loop. `serve` sets what it does.
struct World {
  explicit World(std::function<Task<void>(Exchange&)> f, ServerOptions options = {}, unsigned n = 1) : loops(n, clock) {
    handler.f = std::move(f);
    server = std::make_unique<Server>(loops, options, handler);
    loops.start();
  }
  ~World() { server.reset(); }
  std::uint16_t port() const { return server->port(); }
  SystemClock clock;
  LoopGroup loops;
  FnHandler handler;
  std::unique_ptr<Server> server;
};

// An upstream in a thread: accepts connections one after the other and runs the next script on each.
class Upstream {
 public:
  explicit Upstream(std::vector<std::function<void(Raw&)>> scripts) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(0, ::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at));
    EXPECT_EQ(0, ::listen(listener_, 64));
    socklen_t size = sizeof at;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const auto& script : scripts) {
        const int fd = ::accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        ++accepted;
        Raw raw(Raw::Adopt{fd});
        script(raw);
      }
    });
  }
  ~Upstream() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::uint16_t port() const { return port_; }
  Url url(std::string path = "/") const { return *parse_url("http://127.0.0.1:" + std::to_string(port_) + path); }
  std::atomic<int> accepted{0};

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

// Runs a task on a loop to its end, from a test's thread.
template <class T>
T run(Loop& loop, std::function<Task<T>()> make) {
  std::promise<T> done;
  auto root = [](std::function<Task<T>()>& f, std::promise<T>& p) -> Task<void> {
    try { p.set_value(co_await f()); } catch (...) { p.set_exception(std::current_exception()); }
  };
  loop.post([&] { detach(root(make, done), [](std::exception_ptr) {}); });
  return done.get_future().get();
}

}  // namespace ballast::net::test
