// Transport: how a request reaches a provider. Implemented by Client (sockets) and by the simulator (in process).
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "net/http.hpp"
#include "net/url.hpp"

namespace ballast::net {

// A point in monotonic time; `no_deadline` waits for ever.
using Deadline = MonoTime;
inline constexpr Deadline no_deadline = MonoTime::max();
inline Deadline deadline_after(const Scheduler& loop, Duration wait) {
  return wait > std::chrono::hours(24 * 365) ? no_deadline : loop.clock().mono() + wait;
}

// What is sent. Host, Content-Length and Connection are written by the transport and ignored in `headers`.
// All views are borrowed until `send` has returned.
struct ClientRequest {
  std::string_view method = "POST";
  const Url* url = nullptr;
  std::string_view target;            // instead of url->target, if not empty
  Headers headers;
  Pieces body;                        // no pieces: no body
  // May a request that went out on a kept connection which turned out dead before the first response byte be sent once
  // more on a new one? The provider may have seen it: say yes where a repeat is harmless or accepted.
  bool replay_safe = true;
  // Not on a kept connection, which may have died unseen: for what must not be sent again, so that an error does not leave it in doubt.
  bool fresh = false;
  // Set when the first byte is about to leave: from then on it may have arrived, whatever the error. Null: nobody asks.
  bool* sent = nullptr;
};

struct Timeouts {
  Duration connect = std::chrono::seconds(3);    // waiting for a free connection, name, TCP and TLS together
  Duration headers = std::chrono::seconds(30);   // from then until the whole response head
};

// One response. Owned by the caller, used on the loop that sent it. Destroyed after the end of the body it gives its
// connection back to the pool; destroyed earlier it closes the connection at once.
class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  // Valid for the life of the response.
  virtual const ResponseHead& head() const = 0;
  // The next bytes of the body as they arrive, transfer coding removed; empty is the clean end. Valid until the next call.
  // provider_timeout (field "read") at the deadline; provider_bad_response if the body is cut or malformed: never
  // mistaken for an end; caller_cancelled once the token given to `send` fires. After an error only destruction.
  virtual Task<Result<std::string_view>> read_some(Deadline deadline) = 0;
  // Did it travel on a kept connection; was it sent twice because the first one was stale.
  virtual bool reused() const { return false; }
  virtual bool resent() const { return false; }
  // The whole body; above `limit` bytes provider_bad_response.
  Task<Result<std::string>> read_all(std::size_t limit, Deadline deadline);
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Returns when the response head is complete. `request` and what it borrows, and `cancel`, are the caller's: the first
  // until this returns, the token until the response is destroyed.
  // provider_unreachable: no name, refused, reset, TLS; provider_timeout: field "connect" or "headers";
  // provider_bad_response: not HTTP, or cut; caller_cancelled; internal_unavailable: out of descriptors or pool closed.
  virtual Task<Result<std::unique_ptr<ClientResponse>>> send(Scheduler& loop, const ClientRequest& request,
                                                             Timeouts timeouts, CancelToken cancel) = 0;
};

}  // namespace ballast::net
