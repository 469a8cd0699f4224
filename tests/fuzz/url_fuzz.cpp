// URLs that users and flows name, and the guard that says which may be reached. The first line is an operator's exception, the second a
// URL, the third what is looked for in a query. What is read is written and read the same; nothing that leads to this machine or to a
// private network is let through without an exception; and an exception lets nothing through that was not meant by it.
#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "net/egress.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::net;

namespace {

// What the C library makes of a host, in every spelling that it knows for an IPv4 address.
bool is_inside(const std::string& host) {
  in_addr v4{};
  if (::inet_aton(host.c_str(), &v4) == 0) return false;
  IpAddress address;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&v4.s_addr);
  std::copy(bytes, bytes + 4, address.bytes.begin());
  return !not_public(address).empty() || is_metadata(address);
}

void ask(const EgressPolicy& strict, const EgressPolicy& open, const Origin& origin) {
  const auto closed = strict.admit(origin), given = open.admit(origin);
  require(!closed || given);                      // an exception only adds
  if (closed) require(!is_bad_port(origin.port) && !is_inside(origin.host) && origin.host.find("localhost") != 0);
  for (const auto literal : {"127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "fd00:ec2::254", "::ffff:10.0.0.1", "64:ff9b::a00:1"}) {
    const auto denied = strict.admit(origin, *parse_ip(literal));
    require(!denied && denied.error().code == ErrorCode::policy_egress_denied && (origin.host.find(literal) != origin.host.npos || denied.error().message.find(literal) == std::string::npos));
  }
  if (const auto address = parse_ip(origin.host)) require(closed.has_value() == (strict.admit(origin, *address).has_value() && !is_bad_port(origin.port)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 12) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto allow = take_until(rest, '\n'), text = take_until(rest, '\n');

  std::string value;
  const bool found = query_value(rest, "a", value);
  require(!found || value.size() <= rest.size());
  require(percent_decode(percent_encode(rest), false) == rest);

  const auto open = EgressPolicy::parse({std::string(allow)});
  if (!open) require(open.error().field == "allow[0]");
  const auto url = parse_url(text);
  if (!url) {
    require(url.error().field == "url" && !url.error().message.empty());
    return 0;
  }
  require(!url->origin.host.empty() && url->target.starts_with('/') && url->origin.port != 0);
  const auto again = parse_url(to_string(*url));
  require(again && again->origin == url->origin && again->target == url->target && again->origin.authority == url->origin.authority);
  ask({}, open ? *open : EgressPolicy(), url->origin);
  return 0;
}
