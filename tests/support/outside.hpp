// The world outside of a process that is killed: an HTTP server in the thread of whoever polls it, so that it outlives its clients, knows what
// has arrived at which moment, and can have a client killed before it has its answer.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/text.hpp"

namespace ballast::test {

// A request that has arrived whole.
struct Arrived {
  std::string method, path;                                     // the path without its "/"
  std::map<std::string, std::string> query, headers;            // header names in lower case
  std::string body;
  std::string asks(const std::string& name) const { return query.contains(name) ? query.at(name) : std::string(); }
  std::string header(const std::string& name) const { return headers.contains(name) ? headers.at(name) : std::string(); }
};
struct Reply {
  int status = 200;                                             // 0: none is given
  std::string body;                                             // JSON
  std::chrono::microseconds after{};
  std::function<void()> sent;                                   // called when it has been written
};

class Outside {
 public:
  // Says what a request is answered.
  std::function<Reply(const Arrived&)> answer;

  Outside() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool listens = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 128) == 0 &&
                         ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    port_ = listens ? ntohs(address.sin_port) : 0;
  }
  ~Outside() { close(); }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;
  // Zero: it could not listen.
  std::uint16_t port() const { return port_; }

  // Serves until something happened or `most` has passed. True: `other` can be read (or has ended).
  bool serve(int other, std::chrono::milliseconds most) {
    std::vector<pollfd> fds{{other, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const auto& [fd, c] : open_) fds.push_back({fd, POLLIN, 0});
    if (!later_.empty()) most = std::min(most, std::chrono::ceil<std::chrono::milliseconds>(std::max(later_.begin()->first - Now::now(), Now::duration{})));
    if (::poll(fds.data(), fds.size(), static_cast<int>(most.count())) > 0) {
      if (fds[1].revents) accept();
      for (std::size_t i = 2; i < fds.size(); ++i)
        if (fds[i].revents) read(fds[i].fd);
    }
    while (!later_.empty() && later_.begin()->first <= Now::now()) {
      const Late late = std::move(later_.begin()->second);
      later_.erase(later_.begin());
      write(late);
    }
    return fds[0].revents != 0;
  }
  // When the client is dead: takes in what it had sent.
  void finish() {
    while (!open_.empty()) serve(-1, std::chrono::milliseconds(10));
  }
  // Also what a forked child does first: it has no part in these connections.
  void close() {
    for (const auto& [fd, c] : open_) ::close(fd);
    open_.clear();
    later_.clear();
    if (listener_ >= 0) ::close(std::exchange(listener_, -1));
  }

 private:
  using Now = std::chrono::steady_clock;
  struct Connection { std::uint64_t number = 0; std::string bytes; };
  struct Late { int fd = -1; std::uint64_t connection = 0; Reply reply; };

  void accept() {
    const int fd = ::accept(listener_, nullptr, nullptr);
    const int yes = 1;
    if (fd < 0) return;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    open_[fd] = {.number = ++count_, .bytes = {}};
  }
  void read(int fd) {
    const auto at = open_.find(fd);
    if (at == open_.end()) return;
    char bytes[16 * 1024];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
      ::close(fd);
      open_.erase(at);
      return;
    }
    Connection& c = at->second;
    c.bytes.append(bytes, static_cast<std::size_t>(n));
    const auto head = c.bytes.find("\r\n\r\n");
    if (head == std::string::npos) return;
    Arrived asked = parse(c.bytes.substr(0, head));
    const std::size_t length = asked.header("content-length").empty() ? 0 : std::stoull(asked.header("content-length"));
    if (c.bytes.size() < head + 4 + length) return;
    asked.body = c.bytes.substr(head + 4, length);
    c.bytes.erase(0, head + 4 + length);
    Reply reply = answer(asked);
    const Now::time_point due = Now::now() + reply.after;
    const Late late{.fd = fd, .connection = c.number, .reply = std::move(reply)};
    if (late.reply.after == std::chrono::microseconds::zero()) write(late);
    else later_.emplace(due, late);
  }
  void write(const Late& late) {
    const auto at = open_.find(late.fd);
    if (at == open_.end() || at->second.number != late.connection || late.reply.status == 0) return;
    const std::string text = "HTTP/1.1 " + std::to_string(late.reply.status) + " x\r\ncontent-type: application/json\r\ncontent-length: " +
                             std::to_string(late.reply.body.size()) + "\r\n\r\n" + late.reply.body;
    (void)::send(late.fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (late.reply.sent) late.reply.sent();
  }
  static Arrived parse(std::string_view head) {
    Arrived a;
    const auto lines = split(head, '\n');
    const auto words = split(lines[0], ' ');
    a.method = std::string(words[0]);
    const auto target = split(words.size() > 1 ? words[1] : "/", '?');
    a.path = std::string(target[0].substr(1));
    if (target.size() > 1)
      for (const auto pair : split(target[1], '&'))
        if (const auto is = pair.find('='); is != std::string_view::npos) a.query[std::string(pair.substr(0, is))] = std::string(pair.substr(is + 1));
    for (std::size_t i = 1; i < lines.size(); ++i)
      if (const auto colon = lines[i].find(':'); colon != std::string_view::npos)
        a.headers[to_lower_ascii(lines[i].substr(0, colon))] = std::string(trim(lines[i].substr(colon + 1)));
    return a;
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::uint64_t count_ = 0;
  std::map<int, Connection> open_;
  std::multimap<Now::time_point, Late> later_;
};

}  // namespace ballast::test
