// Server: accepts connections, reads strict HTTP/1.1 requests whole, and hands each to a Handler as an Exchange.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/result.hpp"
#include "net/http.hpp"
#include "net/loop.hpp"
#include "net/tls.hpp"

namespace ballast::net {

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                        // 0: any free port, see Server::port()
  bool share_port = false;                       // SO_REUSEPORT: other processes of this user that say so too may listen there, and the kernel deals connections out
  HttpLimits limits;
  Duration header_timeout = std::chrono::seconds(10);    // first byte to the end of the head (slow senders: 408)
  Duration body_timeout = std::chrono::seconds(30);      // the head's end to the body's end
  Duration idle_timeout = std::chrono::seconds(60);      // between requests
  Duration write_timeout = std::chrono::seconds(30);     // a reader that takes nothing
  unsigned connections = 16000;                  // above it new ones are answered 503 and closed
  TlsServerOptions tls;
};

// One request and its answer. Lives until the handler's task ends; used on its loop only. Answer exactly once: either
// `respond`, or `start_stream`, `write`…, `finish`. A handler that returns without an answer makes it a 500; one that
// leaves a stream unfinished cuts it.
class Exchange {
 public:
  virtual const RequestHead& request() const = 0;
  // The whole body, contiguous, transfer coding removed.
  virtual std::string_view body() const = 0;
  // "address:port" of the other end of the connection.
  virtual std::string_view peer() const = 0;
  virtual Scheduler& loop() = 0;
  // Fires when the client closes or resets the connection while the handler runs. A half-close (the client ends its
  // sending side) counts as leaving: HTTP clients that wait for an answer keep it open.
  virtual CancelToken gone() = 0;

  // Sends a complete response with one gathered write. Content-Length, Date and Connection are added. For HEAD (and 204,
  // 304) the body is not sent. caller_cancelled if the client has left, caller_timeout if it takes nothing in time.
  Task<Result<void>> respond(int status, const Headers& headers, std::string_view body);
  virtual Task<Result<void>> respond(int status, const Headers& headers, Pieces body) = 0;

  // Sends the head (chunked; until close for HTTP/1.0), together with a first piece if there is one.
  virtual Task<Result<void>> start_stream(int status, const Headers& headers, std::string_view first = {}) = 0;
  // One chunk, handed to the kernel before this returns: nothing is held back. Waits while the client's window is full, up to
  // the write timeout. An empty piece sends nothing.
  virtual Task<Result<void>> write(Pieces bytes) = 0;
  Task<Result<void>> write(std::string_view bytes);
  // Ends the stream cleanly, after a last piece if there is one.
  virtual Task<Result<void>> finish(std::string_view last = {}) = 0;
  // Cuts the connection without a terminator (RST): the client sees that the answer is broken, never a clean end.
  virtual void abort() = 0;
  // Has a head been sent.
  virtual bool started() const = 0;

 protected:
  ~Exchange() = default;
};

// The application. Called on any loop; `exchange` lives until the task ends. An exception becomes a 500 and is logged.
struct Handler {
  virtual ~Handler() = default;
  virtual Task<void> handle(Exchange& exchange) = 0;
  // The body of the answer to a request that the codec refused (400, 408, 413, 431, …): content type and text. `path` is the
  // request's target as it was sent, query included; empty when its first line is what was refused.
  struct RefusalBody { std::string content_type, body; };
  virtual RefusalBody refused(int status, std::string_view reason, std::string_view path);
};

// Listens from construction on. One acceptor hands sockets to the loop with the fewest connections. At the descriptor
// limit it stops accepting, logs once and tries again 4 times a second; calls in flight go on.
// The group and the handler must outlive the server; destroy it from outside the loops.
class Server {
 public:
  // Throws std::runtime_error if it cannot listen or the certificate is unusable.
  Server(LoopGroup& loops, ServerOptions options, Handler& handler);
  ~Server();                          // stop_accepting, then drain with no patience
  std::uint16_t port() const { return port_; }
  // Closes the listening socket. Thread-safe, returns when it is closed.
  void stop_accepting();
  // Closes idle connections, lets calls in flight end (their answers say `Connection: close`), at the end of `patience`
  // cuts the rest. Blocks; not from a loop. True if nothing had to be cut.
  bool drain(Duration patience);

  struct Stats {
    std::uint64_t accepted = 0, requests = 0, refused = 0, turned_away = 0, cut = 0;
    std::uint32_t connections = 0, in_flight = 0;
  };
  Stats stats() const;                // a snapshot; any thread

  struct State;                       // known inside net/ only

 private:
  std::shared_ptr<State> state_;
  std::uint16_t port_ = 0;
};

}  // namespace ballast::net
