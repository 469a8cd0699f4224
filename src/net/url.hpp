// Where a request goes: an origin (scheme, host, port) and a target.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::net {

struct Origin {
  bool tls = false;
  std::string host;                   // lower case; an IPv6 address without brackets
  std::uint16_t port = 80;
  std::string authority;              // the Host header: host, and the port unless it is the scheme's own
  friend bool operator==(const Origin& a, const Origin& b) { return a.tls == b.tls && a.port == b.port && a.host == b.host; }
};

struct Url {
  Origin origin;
  std::string target = "/";           // path and query, as sent
};

// An absolute http or https URL without user information; a fragment is dropped. Refuses controls, blanks and anything
// that could not be a Host header or a request target (caller_invalid_request, `field`).
Result<Url> parse_url(std::string_view text, std::string_view field = "url");
std::string to_string(const Url& url);

// Percent-decodes a path segment or a query value ('+' is a blank in a query); malformed escapes stay as they are.
std::string percent_decode(std::string_view text, bool plus_is_blank);
std::string percent_encode(std::string_view text);
// The first value of `name` in a query, decoded; false if absent.
bool query_value(std::string_view query, std::string_view name, std::string& value);

}  // namespace ballast::net
