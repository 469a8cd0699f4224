// What both ends of the benchmark share: the clock, a listening and a connected socket, and where a message ends.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace bench {

// CLOCK_MONOTONIC, the same for every process of the machine: a stamp written by one end is read by the other.
inline std::uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::uint64_t(t.tv_sec) * 1'000'000'000 + std::uint64_t(t.tv_nsec);
}

// A stamp is 19 digits in a JSON string: `"t":"0000000000000000000"`.
inline constexpr std::string_view stamp_key = "\"t\":\"";
inline constexpr std::size_t stamp_digits = 19;

inline void write_stamp(char* at, std::uint64_t ns) {
  for (std::size_t i = stamp_digits; i-- > 0; ns /= 10) at[i] = char('0' + ns % 10);
}

// Exact timers, no SIGPIPE, as many descriptors as the machine allows.
inline void prepare_process() {
  prctl(PR_SET_TIMERSLACK, 1);
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

inline sockaddr_in loopback(int port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(std::uint16_t(port));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

[[noreturn]] inline void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// Waits for events until `deadline_ns`; 0 on time-out.
inline int wait_until(int epoll, epoll_event* events, int capacity, std::uint64_t deadline_ns) {
  const std::uint64_t t = now_ns();
  const std::uint64_t d = deadline_ns > t ? deadline_ns - t : 0;
  timespec ts{time_t(d / 1'000'000'000), long(d % 1'000'000'000)};
  return epoll_pwait2(epoll, events, capacity, &ts, nullptr);
}

// A request's or reply's head, as far as these programs need it. The peers are well-behaved.
struct Head {
  std::size_t size = 0;            // of the head, with the empty line
  std::size_t content_length = 0;
  bool chunked = false;
  int status = 0;                  // of a reply
};

// nullopt while the head is incomplete.
inline std::optional<Head> read_head(std::string_view in) {
  const auto end = in.find("\r\n\r\n");
  if (end == in.npos) return std::nullopt;
  Head h{.size = end + 4};
  if (in.starts_with("HTTP/1.1 ")) h.status = std::atoi(in.data() + 9);
  for (auto p = in.find("\r\n"); p < end; p = in.find("\r\n", p + 2)) {
    const char* line = in.data() + p + 2;
    if (strncasecmp(line, "content-length:", 15) == 0) h.content_length = std::strtoul(line + 15, nullptr, 10);
    if (strncasecmp(line, "transfer-encoding:", 18) == 0) h.chunked = true;
  }
  return h;
}

}  // namespace bench
