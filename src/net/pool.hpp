// Private to net/: one loop's client connections.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "base/task_group.hpp"
#include "net/channel.hpp"
#include "net/client.hpp"
#include "net/codec.hpp"
#include "net/resolver.hpp"

namespace ballast::net {

struct OriginPool;

// One connection to an origin: in use by one response, or idle in its pool.
struct ClientConnection {
  ClientConnection(Client::Pool& p, OriginPool& o, const HttpLimits& limits) : pool(p), origin(o), parser(limits), decoder(limits) {}
  ~ClientConnection();
  // Cancelling closes the socket at once and wakes whoever waits on it.
  void obey(CancelToken token);
  // The error for an operation that ended early.
  Error failure(Wake how, std::string_view timer, const char* broken) const;
  void forget_response();
  void watch_idle();

  Client::Pool& pool;
  OriginPool& origin;
  Channel::Ref channel;
  ResponseParser parser;
  ChunkedDecoder decoder;
  Bytes head;                             // the head's bytes, and what came with it
  Bytes body;                             // a later block
  std::string_view unread;                // not yet given out: in `head` or `body`
  std::uint64_t left = 0;                 // Framing::length: body bytes to come
  CancelHook hook;
  Timer idle_timer;
  ClientConnection* next_idle = nullptr;
  ClientConnection* prev_idle = nullptr;
  bool used = false;                      // has served a response before
  bool resent = false;
  bool cancelled = false;
  bool complete = false;                  // the whole body has been received
  bool failed = false;                    // cut or malformed: never pooled
};

struct OriginPool {
  OriginPool(Client::Pool& p, const Origin& o) : pool(p), key(o) {}
  // One connection more may be had: wakes the first send that still waits for one. False: none does.
  bool wake_one();
  Client::Pool& pool;
  Origin key;
  ClientConnection* newest = nullptr;     // idle ones, last in first out
  ClientConnection* oldest = nullptr;
  unsigned open = 0, idle = 0;
  std::vector<Gate*> waiting;             // sends that wait for a free connection, in order
  unsigned acquiring = 0;                 // sends that are about to have one
  AnswerTime answer_time;
  std::vector<Address> addresses;
  MonoTime addresses_until{};
};

struct Client::Pool {
  Pool(Loop& l, const ClientOptions& o, void* tls_context, unsigned loops, Resolver& names);
  ~Pool();
  OriginPool& of(const Origin& origin);
  void forget_unused();                   // origins whose connections, if any, are idle
  ClientConnection* take_idle(OriginPool& origin);
  void park(ClientConnection* c);         // back into the pool
  void drop(ClientConnection* c);         // closes and forgets
  void unlink_idle(ClientConnection* c);
  void close_idle();
  Task<Result<ClientConnection*>> acquire(OriginPool& origin, bool fresh, Deadline deadline, CancelToken cancel);
  Task<Result<void>> wait_for_place(OriginPool& origin, Deadline deadline, CancelToken cancel);
  Task<Result<ClientConnection*>> connect(OriginPool& origin, Deadline deadline, CancelToken cancel);
  Task<Result<void>> reach(ClientConnection& c, Deadline deadline, CancelToken cancel);
  Task<Result<void>> resolve(OriginPool& origin, Deadline deadline, CancelToken cancel);
  Task<Result<void>> connect_to(ClientConnection& c, const Address& where, Deadline deadline, CancelToken cancel);
  Task<Result<void>> secure(ClientConnection& c, Deadline deadline);

  Loop& loop;
  const ClientOptions& options;
  void* tls;
  unsigned most_open, most_idle;
  std::vector<std::unique_ptr<OriginPool>> origins;
  Resolver& resolver;
  std::atomic<std::uint64_t> opened{0}, reused{0}, resent{0};
  std::atomic<std::uint32_t> open{0}, idle{0};
};

}  // namespace ballast::net
