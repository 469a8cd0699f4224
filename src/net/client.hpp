// Client: pooled keep-alive HTTP/1.1 connections, per loop and origin. Nothing is shared between loops.
#pragma once
#include <memory>

#include "net/egress.hpp"
#include "net/loop.hpp"
#include "net/tls.hpp"
#include "net/transport.hpp"

namespace ballast::net {

class Resolver;

struct ClientOptions {
  unsigned connections_per_origin = 16'384;      // over all loops; above it a send waits, within its connect timeout
  unsigned idle_per_origin = 512;                // kept open and unused, over all loops
  unsigned origins = 1'024;                      // remembered by a loop; above it those that serve no request are forgotten
  Duration idle_timeout = std::chrono::seconds(55);
  Duration write_timeout = std::chrono::seconds(30);   // no progress in sending
  Duration dns_ttl = std::chrono::seconds(30);
  HttpLimits limits{.head_bytes = 64 * 1024, .target_bytes = 64 * 1024, .fields = 256,
                    .body_bytes = ~0ull, .trailer_bytes = 16 * 1024, .chunk_line_bytes = 1024};
  TlsClientOptions tls;
  // Asked before a name is, and about each address before it is connected to; null: anything may be reached. A client whose
  // URLs come from users or flows has one, for its whole life: kept connections are those it allowed. Adds policy_egress_denied.
  std::shared_ptr<const EgressPolicy> egress;
  std::shared_ptr<Resolver> resolver;            // null: the system's names, on threads of its own
};

// Thread-safe: each send works on the given loop's own pool. The group must outlive the client; destroy the client when
// nothing is being sent (kept connections are closed on their loops, which must still run or never run again).
class Client final : public Transport {
 public:
  // Throws std::runtime_error if the certificate authorities cannot be read (start-up only).
  Client(LoopGroup& loops, ClientOptions options);
  ~Client() override;
  Task<Result<std::unique_ptr<ClientResponse>>> send(Scheduler& loop, const ClientRequest& request, Timeouts timeouts,
                                                     CancelToken cancel) override;
  struct Stats { std::uint64_t opened = 0, reused = 0, resent = 0; std::uint32_t open = 0, idle = 0; };
  // A snapshot summed over the loops; any thread.
  Stats stats() const;

  struct Pool;                        // one per loop; known inside net/ only

 private:
  LoopGroup& loops_;
  ClientOptions options_;
  TlsContext tls_;
  std::shared_ptr<Resolver> resolver_;
  std::vector<std::unique_ptr<Pool>> pools_;
};

}  // namespace ballast::net
