// Private to net/: the server's shared state and one accepted connection.
#pragma once
#include <netinet/in.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "base/task_group.hpp"
#include "net/channel.hpp"
#include "net/codec.hpp"
#include "net/server.hpp"

namespace ballast::net {

class ServerConnection;

// What one loop knows of a server. Only the counters are read by others.
struct ServerLoop {
  explicit ServerLoop(Loop& l) : loop(&l), tasks("http_connections") {}
  Loop* loop;
  TaskGroup tasks;
  ServerConnection* first = nullptr;      // intrusive list of live connections
  std::atomic<std::uint32_t> connections{0}, in_flight{0};
  std::atomic<std::uint64_t> requests{0}, refused{0}, cut{0};
};

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(LoopGroup& l, ServerOptions o, Handler& h) : loops(l), options(std::move(o)), handler(h) {}
  std::uint32_t connections() const;
  // The acceptor, on loop 0.
  void listen();
  void accept_ready();
  bool accept_one();                      // false: nothing more for now
  void hand_over(int fd, const sockaddr_storage& peer);
  void close_acceptor();

  LoopGroup& loops;
  ServerOptions options;
  Handler& handler;
  TlsContext tls;
  std::vector<std::unique_ptr<ServerLoop>> per_loop;
  int listen_fd = -1;
  Channel::Ref acceptor;
  Timer retry;
  bool starved = false;                   // out of descriptors: said once
  std::atomic<bool> draining{false};
  std::atomic<std::uint64_t> accepted{0}, turned_away{0};
  std::mutex mutex;                       // for `changed` only: the end of a drain
  std::condition_variable changed;
};

// One connection, from its handshake to its end, living in the frame of `serve`.
class ServerConnection final : public Exchange {
 public:
  // An IPv4 or IPv6 address; sockaddr_storage is four times as large.
  union Peer {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  ServerConnection(Server::State& server, ServerLoop& home, int fd, const Peer& peer);
  ~ServerConnection();
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  // The whole story of a connection.
  static Task<void> serve(std::shared_ptr<Server::State> server, ServerLoop& home, int fd, const sockaddr_storage& peer);

  const RequestHead& request() const override { return parser_.head(); }
  std::string_view body() const override { return body_view_; }
  std::string_view peer() const override;
  Scheduler& loop() override { return *home_.loop; }
  CancelToken gone() override { return &*gone_; }
  using Exchange::respond;
  using Exchange::write;
  Task<Result<void>> respond(int status, const Headers& headers, Pieces body) override;
  Task<Result<void>> start_stream(int status, const Headers& headers, std::string_view first) override;
  Task<Result<void>> write(Pieces bytes) override;
  Task<Result<void>> finish(std::string_view last) override;
  void abort() override;
  bool started() const override { return sent_ != Sent::nothing; }

  // Drain: closes if between requests; cuts what is in flight.
  void close_if_idle();
  void cut();
  ServerConnection* next() const { return next_; }

 private:
  enum class Read : unsigned char { request, closed, refused };
  enum class Sent : unsigned char { nothing, stream, all };
  enum class When : unsigned char { now, turn_ends };
  class HeadLines;

  static Task<void> live(std::shared_ptr<Server::State> server, ServerLoop& home, int fd, Peer peer);
  Task<void> run();
  Task<bool> tls_handshake();
  Task<Read> read_request();
  Task<Read> read_head();
  Task<Read> read_length_body();
  Task<Read> read_chunked_body();
  Task<Wake> more(Bytes& into, std::size_t most, Deadline deadline);
  Task<void> answer();
  Task<void> answer_for_handler(bool threw);
  Task<void> refuse();
  Task<void> linger();
  // All of the pieces; the fast path is one system call.
  Task<Result<void>> send_rest(iovec* pieces, std::size_t count, When when = When::now);
  Read refusal(int status, std::string_view reason) { refusal_ = {status, reason}; return Read::refused; }
  void watch_for_leaving();
  void on_readable();
  void reset_for_next();
  bool persists() const;
  bool bodyless(int status) const { return head_only_ || status == 204 || status == 304; }

  Server::State& server_;
  ServerLoop& home_;
  Channel::Ref channel_;
  ServerConnection* next_ = nullptr;
  ServerConnection* prev_ = nullptr;
  RequestParser parser_;
  Bytes in_;                              // the message: head, and body if it came along
  Bytes body_;                            // the body otherwise
  Bytes ahead_;                           // bytes of the next message (pipelining), bounded while a handler runs
  std::string_view body_view_;
  std::optional<CancelSource> gone_;
  Refusal refusal_;
  Peer peer_;
  mutable char peer_text_[56] = {};
  Sent sent_ = Sent::nothing;
  bool idle_ = true;                      // no byte of a request has arrived
  bool handling_ = false, left_ = false, close_after_ = false, head_only_ = false, chunked_out_ = false;
};

}  // namespace ballast::net
