#include "net/egress.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/text.hpp"

namespace ballast::net {
namespace {

struct Range {
  std::string_view network;
  unsigned bits;
  std::string_view kind;
};

// IANA IPv4 Special-Purpose Address Registry, without what it calls globally reachable.
constexpr Range v4_ranges[] = {
    {"0.0.0.0", 8, "an unspecified address"},
    {"10.0.0.0", 8, "a private address"},
    {"100.64.0.0", 10, "a shared address (carrier-grade NAT)"},
    {"127.0.0.0", 8, "a loopback address"},
    {"169.254.0.0", 16, "a link-local address"},
    {"172.16.0.0", 12, "a private address"},
    {"192.0.0.0", 24, "an address of protocol assignments"},
    {"192.0.2.0", 24, "a documentation address"},
    {"192.88.99.0", 24, "an address of 6to4 relays"},
    {"192.168.0.0", 16, "a private address"},
    {"198.18.0.0", 15, "a benchmarking address"},
    {"198.51.100.0", 24, "a documentation address"},
    {"203.0.113.0", 24, "a documentation address"},
    {"224.0.0.0", 4, "a multicast address"},
    {"240.0.0.0", 4, "a reserved address"},
};

// The same for IPv6, the narrower range first. Whatever is not in 2000::/3 is refused, named here or not.
constexpr Range v6_ranges[] = {
    {"::", 128, "an unspecified address"},
    {"::1", 128, "a loopback address"},
    {"::ffff:0:0", 96, "an IPv4-mapped address"},
    {"::", 96, "an IPv4-compatible address"},
    {"::ffff:0:0:0", 96, "an IPv4-translated address"},
    {"64:ff9b::", 96, "a NAT64 address"},
    {"64:ff9b:1::", 48, "a NAT64 address"},
    {"100::", 64, "a discard-only address"},
    {"2001::", 32, "a Teredo address"},
    {"2001:2::", 48, "a benchmarking address"},
    {"2001::", 23, "an address of protocol assignments"},
    {"2001:db8::", 32, "a documentation address"},
    {"2002::", 16, "a 6to4 address"},
    {"3fff::", 20, "a documentation address"},
    {"fc00::", 7, "a unique local address"},
    {"fe80::", 10, "a link-local address"},
    {"fec0::", 10, "a site-local address"},
    {"ff00::", 8, "a multicast address"},
};

// EC2 and most others, ECS tasks, EKS pods, Alibaba, Oracle, Azure's wire server (a public address), EC2 and EKS over IPv6, Google over IPv6.
constexpr std::string_view metadata_addresses[] = {
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
};

// Names of this machine, and those set aside for private networks (RFC 6761, 6762, 8375; ICANN's .internal).
constexpr std::string_view private_suffixes[] = {"localhost", "localdomain", "local", "internal", "home.arpa"};
constexpr std::string_view metadata_names[] = {"metadata.google.internal", "metadata.goog", "metadata", "instance-data.ec2.internal", "instance-data"};

// WHATWG Fetch, section 2.9 "Port blocking"; and data stores that take an HTTP request's lines for commands or have no business with one.
constexpr std::uint16_t bad_ports[] = {
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115,
    117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587,
    601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080, 11211, 27017,
};
static_assert(std::ranges::is_sorted(bad_ports));

bool in_network(const IpAddress& address, const IpAddress& network, unsigned bits) {
  if (address.v6 != network.v6) return false;
  if (std::memcmp(address.bytes.data(), network.bytes.data(), bits / 8) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((address.bytes[bits / 8] ^ network.bytes[bits / 8]) >> (8 - rest)) == 0;
}

// The tables above, read once.
struct ReadRange {
  IpAddress network;
  unsigned bits;
  std::string_view kind;
};
const std::vector<ReadRange>& ranges() {
  static const auto read = [] {
    std::vector<ReadRange> out;
    for (const auto& r : v4_ranges) out.push_back({*parse_ip(r.network), r.bits, r.kind});
    for (const auto& r : v6_ranges) out.push_back({*parse_ip(r.network), r.bits, r.kind});
    return out;
  }();
  return read;
}

std::string_view without_dot(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

bool within(std::string_view name, std::string_view domain) {
  return name == domain || (name.size() > domain.size() && name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.');
}

bool all_of(std::string_view text, std::string_view set) { return text.find_first_not_of(set) == text.npos; }

// WHATWG URL, "ends in a number": what a reader may take for an IPv4 address ("2130706433", "0x7f.1", "127.1", "1.2.3.4.").
bool ends_in_number(std::string_view host) {
  host = without_dot(host);
  const auto last = host.substr(host.rfind('.') + 1);          // the whole, if there is no dot
  if (last.empty()) return false;
  return all_of(last, "0123456789") || (istarts_with(last, "0x") && all_of(last.substr(2), "0123456789abcdefABCDEF"));
}

std::unexpected<Error> denied(const Origin& origin, std::string_view why, bool retryable = false) {
  return fail(Error{.code = ErrorCode::policy_egress_denied,
                    .message = "requests to " + origin.host + " are not allowed: " + std::string(why) +
                               "; an operator can allow the host or its network",
                    .field = origin.authority,
                    .retryable = retryable});
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  const std::string copy(text);
  if (copy.size() != std::strlen(copy.c_str())) return std::nullopt;
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address = {.v6 = true};
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

std::string_view not_public(const IpAddress& address) {
  for (const auto& r : ranges())
    if (in_network(address, r.network, r.bits)) return r.kind;
  if (address.v6 && (address.bytes[0] & 0xe0) != 0x20) return "an address outside the public internet";
  return {};
}

bool is_metadata(const IpAddress& address) {
  return std::ranges::any_of(metadata_addresses, [&](std::string_view known) { return *parse_ip(known) == address; });
}

bool is_bad_port(std::uint16_t port) { return std::ranges::binary_search(bad_ports, port); }

std::optional<EgressPolicy::Network> EgressPolicy::read_network(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned most = address->v6 ? 128 : 32;
  if (slash == text.npos) return Network{*address, most};
  const auto bits = parse_int<unsigned>(text.substr(slash + 1));
  if (!bits || *bits > most) return std::nullopt;
  IpAddress first = *address;                                 // "10.1.2.3/8" means 10.0.0.0/8: refuse rather than guess
  for (unsigned bit = *bits; bit < most; ++bit)
    if ((first.bytes[bit / 8] >> (7 - bit % 8)) & 1) return std::nullopt;
  return Network{first, *bits};
}

std::optional<EgressPolicy::Host> EgressPolicy::read_host(std::string_view text) {
  if (text.find_first_of("/?#@") != text.npos) return std::nullopt;
  // A host with a port is read as a URL's is; without one the port is left open.
  const auto colon = text.rfind(':');
  const bool with_port = colon != text.npos && (text.find(':') == colon || text[colon - 1] == ']');
  const auto url = parse_url("http://" + std::string(text));
  if (!url) return std::nullopt;
  return Host{std::string(without_dot(url->origin.host)), with_port ? url->origin.port : std::uint16_t{0}};
}

Result<EgressPolicy> EgressPolicy::parse(const std::vector<std::string>& allow, std::string_view field) {
  EgressPolicy policy;
  for (std::size_t i = 0; i < allow.size(); ++i) {
    const auto text = trim(allow[i]);
    if (const auto network = read_network(text)) {
      policy.networks_.push_back(*network);
    } else if (auto host = read_host(text); host && (parse_ip(host->name) || !ends_in_number(host->name))) {
      policy.hosts_.push_back(std::move(*host));
    } else {
      return fail(ErrorCode::caller_invalid_request,
                  "expected a host (\"hooks.internal\"), a host and port (\"hooks.internal:8080\") or a network whose address has no bits "
                  "below its length (\"10.0.0.0/8\")",
                  std::string(field) + "[" + std::to_string(i) + "]");
    }
  }
  return policy;
}

bool EgressPolicy::names(const Origin& origin, bool with_port) const {
  const auto name = without_dot(origin.host);
  return std::ranges::any_of(hosts_, [&](const Host& h) { return h.name == name && (h.port == origin.port || (h.port == 0 && !with_port)); });
}

bool EgressPolicy::covers(const IpAddress& address, bool exactly) const {
  return std::ranges::any_of(networks_, [&](const Network& n) {
    return (!exactly || n.bits == (n.address.v6 ? 128U : 32U)) && in_network(address, n.address, n.bits);
  });
}

Result<void> EgressPolicy::admit(const Origin& origin) const {
  if (names(origin, true)) return {};
  if (is_bad_port(origin.port)) return denied(origin, "port " + std::to_string(origin.port) + " belongs to another service than HTTP");
  if (names(origin, false)) return {};
  if (const auto address = parse_ip(origin.host)) return admit(origin, *address);
  if (ends_in_number(origin.host)) return denied(origin, "an IPv4 address is written as four decimal numbers");
  const auto name = without_dot(origin.host);
  if (std::ranges::find(metadata_names, name) != std::end(metadata_names)) return denied(origin, "it is the name of a metadata service");
  if (!networks_.empty()) return {};                          // names of allowed networks: their addresses decide
  for (const auto suffix : private_suffixes)
    if (within(name, suffix)) return denied(origin, "it is a name of this machine or of a private network");
  if (name.find('.') == name.npos) return denied(origin, "a name without a dot belongs to a private network");
  return {};
}

Result<void> EgressPolicy::admit(const Origin& origin, const IpAddress& address) const {
  if (names(origin, false)) return {};
  const bool metadata = is_metadata(address);
  if (covers(address, metadata)) return {};
  const auto kind = metadata ? std::string_view("the address of a metadata service") : not_public(address);
  if (kind.empty()) return {};
  const bool literal = parse_ip(origin.host).has_value();
  return denied(origin, literal ? std::string("it is ") + std::string(kind) : "the name leads to " + std::string(kind), !literal);
}

}  // namespace ballast::net
