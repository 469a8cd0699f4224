// Egress guard: which addresses a request to a URL that a user or a flow named may reach. Given to a Client (ClientOptions::egress) it
// is asked where a connection is made, about the very address that is connected to: a name that answers differently the second time, a
// redirect, an odd spelling all end there. Such a client has connections of its own, so no guarded request travels on an unguarded one.
//
// Public unicast addresses are allowed (IANA special-purpose registries, RFC 6890; 2000::/3 alone in IPv6), by default nothing else: not
// loopback, private, link-local, shared (CGNAT), multicast, unspecified, documentation or benchmarking addresses, not what carries an
// IPv4 address inside an IPv6 one, not a cloud's metadata service. A URL is refused before its name is asked for where its port belongs
// to another protocol (WHATWG Fetch, "bad ports"), its host is an IPv4 address in another spelling than four decimal numbers, or its
// name is one of this machine or of a private network.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "net/url.hpp"

namespace ballast::net {

// An IP address as a value, network order: the first 4 bytes or all 16.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  bool v6 = false;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};
// "192.0.2.1", "2001:db8::1": no brackets, no zone, nothing that another reader could read otherwise.
std::optional<IpAddress> parse_ip(std::string_view text);

// Why an address is not one of the public internet ("a private address"), static; empty: it is one.
std::string_view not_public(const IpAddress& address);
// The address of a cloud's metadata or credentials service, wherever it lies.
bool is_metadata(const IpAddress& address);
// A port that no HTTP server listens on.
bool is_bad_port(std::uint16_t port);

// What an operator allows beyond that. A value; thread-safe to ask.
class EgressPolicy {
 public:
  // Nothing but the public internet.
  EgressPolicy() = default;
  // `allow`, each one of
  //   "hooks.internal"       that host, whatever its addresses are; ports as usual
  //   "hooks.internal:25"    that host and port, also a bad one; "10.0.0.7:8080", "[fd00::7]:8080" likewise
  //   "10.0.0.0/8"           addresses; a metadata service only by its own address ("169.254.169.254", or with /32)
  // caller_invalid_request, `field` with the entry's index.
  static Result<EgressPolicy> parse(const std::vector<std::string>& allow, std::string_view field = "allow");

  // May this origin be asked at all, as far as its text tells? policy_egress_denied names the host and why; not retryable.
  Result<void> admit(const Origin& origin) const;
  // May this address be connected to on behalf of that origin? policy_egress_denied names the host and the kind of address, never
  // the address itself; retryable where the host is a name, whose answer may be another one later.
  Result<void> admit(const Origin& origin, const IpAddress& address) const;

 private:
  struct Host { std::string name; std::uint16_t port = 0; };          // port 0: any that is not bad
  struct Network { IpAddress address; unsigned bits = 0; };
  static std::optional<Network> read_network(std::string_view text);
  static std::optional<Host> read_host(std::string_view text);
  bool names(const Origin& origin, bool with_port) const;
  bool covers(const IpAddress& address, bool exactly) const;
  std::vector<Host> hosts_;
  std::vector<Network> networks_;
};

}  // namespace ballast::net
