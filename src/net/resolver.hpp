// Private to net/: names to addresses, by the system's resolver, which blocks: on a thread of its own.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/loop.hpp"

namespace ballast::net {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// "127.0.0.1", "::1": no name to ask for.
std::optional<Address> literal_address(const std::string& host, std::uint16_t port);

struct Resolved {
  std::vector<Address> addresses;
  std::string failure;                    // why there are none
};

// Questions are answered in order, by one thread that starts with the first. Thread-safe. The destructor waits for the question in
// hand; those behind it are never answered.
class Resolver {
 public:
  Resolver() = default;
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();
  // `done` is called on `loop`, which outlives the answer or is no longer run.
  void resolve(Loop& loop, std::string host, std::uint16_t port, std::function<void(Resolved)> done);

 private:
  struct Question {
    Loop* loop;
    std::string host;
    std::uint16_t port;
    std::function<void(Resolved)> done;
  };
  void work();
  std::mutex mutex_;                      // guards the rest
  std::condition_variable asked_;
  std::deque<Question> questions_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ballast::net
