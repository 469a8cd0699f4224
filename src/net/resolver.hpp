// Private to net/: names to addresses, by the system's resolver, which blocks: on threads of its own.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/egress.hpp"
#include "net/loop.hpp"

namespace ballast::net {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// "127.0.0.1", "::1": no name to ask for.
std::optional<Address> literal_address(const std::string& host, std::uint16_t port);

// The address without its port, as connect(2) will read it. Neither IPv4 nor IPv6: an unspecified one, which nobody may reach.
IpAddress ip_of(const Address& address);

struct Resolved {
  std::vector<Address> addresses;
  std::string failure;                    // why there are none
};

// Each question has a thread to itself, up to kThreads at once: a name server that hangs keeps only those waiting who ask for its names.
// Thread-safe. What is not answered when the resolver dies never is, and nobody waits for it.
class Resolver {
 public:
  static constexpr unsigned kThreads = 8;
  using Ask = std::function<Resolved(const std::string& host, std::uint16_t port)>;   // blocks; on any thread
  static Resolved ask_system(const std::string& host, std::uint16_t port);

  explicit Resolver(Ask ask = ask_system);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();
  // `done` is called on `loop`, which lives as long as the resolver.
  void resolve(Loop& loop, std::string host, std::uint16_t port, std::function<void(Resolved)> done);

 private:
  struct Desk;                            // shared with the threads, which may outlive the resolver
  std::shared_ptr<Desk> desk_;
};

}  // namespace ballast::net
