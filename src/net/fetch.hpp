// fetch: one whole exchange with a URL that a user or a flow named, over any Transport (over a Client with an egress guard, where it
// matters). Everything has a limit: the body, the time of it all, the redirects. Nothing is unpacked: a compressed answer is refused,
// so there are no decompression bombs.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "net/transport.hpp"

namespace ballast::net {

struct FetchRequest {
  std::string_view method = "GET";
  std::string_view url;
  Headers headers;
  std::string_view body;
  bool replay_safe = false, fresh = false;   // see ClientRequest
  bool* sent = nullptr;
};

struct FetchLimits {
  Duration connect = std::chrono::seconds(5);
  Duration total = std::chrono::seconds(20);       // from the call to the last byte, redirects included
  std::size_t body_bytes = 1024 * 1024;            // of the answer; 0: its body is not read
  // 0: an answer with status 3xx is returned like any other. Else 301, 302, 303, 307 and 308 are followed, up to kMostRedirects: each hop is a
  // request of its own to the transport's guard, never from https to http; another origin is told nothing but what the
  // body is and what may be answered (no Authorization, no Cookie, no header of one's own).
  unsigned redirects = 0;
};
inline constexpr unsigned kMostRedirects = 5;

struct Fetched {
  int status = 0;
  Headers headers;
  std::string body;
  std::string url;                      // the one that answered
};

// Any status is a success. caller_invalid_request: the URL, of field "url"; provider_timeout of field "total"; provider_bad_response: a body
// above its limit or compressed, a redirect too many or to nowhere; policy_egress_denied; and what Transport::send returns.
// `transport`, `loop`, `cancel` and all that `request` borrows live until the task ends.
Task<Result<Fetched>> fetch(Transport& transport, Scheduler& loop, FetchRequest request, FetchLimits limits, CancelToken cancel);

// Where a redirect leads: `location`, absolute or relative (RFC 3986, section 5.2), seen from `base`. Pure.
Result<Url> resolve_location(const Url& base, std::string_view location);

}  // namespace ballast::net
