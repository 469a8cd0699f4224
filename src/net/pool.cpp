#include "net/pool.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ballast::net {

ClientConnection::~ClientConnection() {
  if (channel) channel->close();
}

void ClientConnection::obey(CancelToken token) {
  hook.attach(token,
              [](void* self) {
                auto& c = *static_cast<ClientConnection*>(self);
                c.cancelled = true;
                if (c.channel) c.channel->close(true);
              },
              this);
}

Error ClientConnection::failure(Wake how, std::string_view timer, const char* broken) const {
  if (cancelled) return {.code = ErrorCode::caller_cancelled, .message = "cancelled"};
  if (how == Wake::timeout)
    return {.code = ErrorCode::provider_timeout, .message = "the provider did not answer in time (" + std::string(timer) + " timer)",
            .field = std::string(timer), .retryable = true};
  return {.code = ErrorCode::provider_unreachable, .message = broken, .field = origin.key.authority, .retryable = true};
}

bool OriginPool::wake_one() {
  while (!waiting.empty()) {
    Gate* first = waiting.front();
    waiting.erase(waiting.begin());
    if (first->open()) return true;       // else it has given up, and has not had its turn yet to say so
  }
  return false;
}

// Anything that an idle connection has to say means its end.
void ClientConnection::watch_idle() {
  channel->watch([](void* self) {
    auto* c = static_cast<ClientConnection*>(self);
    char unexpected;
    if (c->channel->receive(&unexpected, 1).kind == IoResult::Kind::would_block) return c->watch_idle();
    c->pool.drop(c);
  }, this);
}

void ClientConnection::forget_response() {
  hook.detach();
  head.release();
  body.release();
  unread = {};
  left = 0;
  complete = failed = resent = false;
}

Client::Pool::Pool(Loop& l, const ClientOptions& o, void* tls_context, unsigned loops, Resolver& names)
    : loop(l), options(o), tls(tls_context), most_open(std::max(1u, o.connections_per_origin / loops)),
      most_idle(std::max(1u, o.idle_per_origin / loops)), resolver(names) {}

Client::Pool::~Pool() { close_idle(); }

void Client::Pool::close_idle() {
  for (const auto& o : origins)
    while (o->newest) drop(o->newest);
}

OriginPool& Client::Pool::of(const Origin& origin) {
  for (const auto& o : origins)
    if (o->key == origin) return *o;
  if (origins.size() >= options.origins) forget_unused();
  origins.push_back(std::make_unique<OriginPool>(*this, origin));
  return *origins.back();
}

void Client::Pool::forget_unused() {
  std::erase_if(origins, [this](const auto& o) {
    if (o->open != o->idle || o->acquiring != 0) return false;
    while (o->newest) drop(o->newest);
    return true;
  });
}

void Client::Pool::unlink_idle(ClientConnection* c) {
  OriginPool& o = c->origin;
  (c->next_idle ? c->next_idle->prev_idle : o.oldest) = c->prev_idle;
  (c->prev_idle ? c->prev_idle->next_idle : o.newest) = c->next_idle;
  c->next_idle = c->prev_idle = nullptr;
  --o.idle;
  idle.fetch_sub(1, std::memory_order_relaxed);
}

ClientConnection* Client::Pool::take_idle(OriginPool& o) {
  ClientConnection* c = o.newest;
  if (!c) return nullptr;
  unlink_idle(c);
  c->idle_timer.cancel();
  c->channel->watch(nullptr, nullptr);
  c->used = true;
  return c;
}

void Client::Pool::park(ClientConnection* c) {
  OriginPool& o = c->origin;
  c->forget_response();
  c->next_idle = o.newest;
  (o.newest ? o.newest->prev_idle : o.oldest) = c;
  o.newest = c;
  ++o.idle;
  idle.fetch_add(1, std::memory_order_relaxed);
  c->watch_idle();
  loop.arm(c->idle_timer, loop.now() + options.idle_timeout,
           [](void* self) {
             auto* old = static_cast<ClientConnection*>(self);
             old->pool.drop(old);
           },
           c);
  if (!o.wake_one() && o.idle > most_idle) drop(o.oldest);
}

void Client::Pool::drop(ClientConnection* c) {
  OriginPool& o = c->origin;
  if (o.newest == c || c->prev_idle) unlink_idle(c);
  --o.open;
  open.fetch_sub(1, std::memory_order_relaxed);
  delete c;
  o.wake_one();
}

Task<Result<ClientConnection*>> Client::Pool::acquire(OriginPool& o, bool fresh, Deadline deadline, CancelToken cancel) {
  // A send that has been woken has left `waiting` and holds no connection yet.
  struct Stay {
    OriginPool& o;
    explicit Stay(OriginPool& origin) : o(origin) { ++o.acquiring; }
    ~Stay() { --o.acquiring; }
  } const stay(o);
  for (;;) {
    if (!fresh)
      if (auto* c = take_idle(o)) co_return c;
    if (o.open < most_open) co_return co_await connect(o, deadline, cancel);
    if (fresh && o.oldest) {
      drop(o.oldest);
      continue;
    }
    const auto place = co_await wait_for_place(o, deadline, cancel);
    if (!place) co_return fail(place.error());
  }
}

Task<Result<void>> Client::Pool::wait_for_place(OriginPool& o, Deadline deadline, CancelToken cancel) {
  Gate gate(loop);
  gate.open_on(cancel);
  o.waiting.push_back(&gate);
  const Wake woke = co_await gate.wait(deadline);
  if (woke == Wake::ready) co_return Result<void>{};
  std::erase(o.waiting, &gate);
  if (woke == Wake::cancelled) co_return fail(ErrorCode::caller_cancelled, "cancelled");
  co_return fail(Error{.code = ErrorCode::provider_timeout, .message = "every connection to the provider is in use",
                       .field = "connect", .retryable = true});
}

Task<Result<ClientConnection*>> Client::Pool::connect(OriginPool& o, Deadline deadline, CancelToken cancel) {
  ++o.open;                               // the place is taken from here on
  open.fetch_add(1, std::memory_order_relaxed);
  auto* c = new ClientConnection(*this, o, options.limits);
  Result<void> done = options.egress ? options.egress->admit(o.key) : Result<void>{};
  if (done) done = co_await resolve(o, deadline, cancel);
  if (done) done = co_await reach(*c, deadline, cancel);
  if (done && o.key.tls) done = co_await secure(*c, deadline);
  if (!done) {
    o.addresses_until = {};               // ask for the name again next time
    drop(c);
    co_return fail(std::move(done.error()));
  }
  opened.fetch_add(1, std::memory_order_relaxed);
  co_return c;
}

// One address after the other; those that may not be reached are passed over.
Task<Result<void>> Client::Pool::reach(ClientConnection& c, Deadline deadline, CancelToken cancel) {
  const auto addresses = c.origin.addresses;
  Result<void> done = fail(ErrorCode::internal_error, "no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (options.egress) {
      const auto admitted = options.egress->admit(c.origin.key, ip_of(addresses[i]));
      if (!admitted) {
        done = admitted;
        continue;
      }
    }
    // The time left is shared out over the addresses left, so that a dead first one does not eat it all.
    const auto now = loop.now();
    const Deadline share = deadline == no_deadline ? deadline : now + (deadline - now) / static_cast<int>(addresses.size() - i);
    done = co_await connect_to(c, addresses[i], share, cancel);
    if (done || c.cancelled || done.error().code == ErrorCode::internal_unavailable) break;
  }
  co_return done;
}

Task<Result<void>> Client::Pool::resolve(OriginPool& o, Deadline deadline, CancelToken cancel) {
  if (const auto literal = literal_address(o.key.host, o.key.port)) {
    if (o.addresses.empty()) o.addresses.push_back(*literal);
    co_return Result<void>{};
  }
  if (loop.now() < o.addresses_until) co_return Result<void>{};
  // The answer may come after we have given up: it then finds nobody.
  struct Answer {
    Gate* gate = nullptr;
    Resolved found;
  };
  auto answer = std::make_shared<Answer>();
  Gate gate(loop);
  answer->gate = &gate;
  gate.open_on(cancel);
  resolver.resolve(loop, o.key.host, o.key.port, [answer](Resolved found) {
    answer->found = std::move(found);
    if (answer->gate) answer->gate->open();
  });
  const Wake woke = co_await gate.wait(deadline);
  answer->gate = nullptr;
  if (woke == Wake::cancelled) co_return fail(ErrorCode::caller_cancelled, "cancelled");
  if (woke == Wake::timeout)
    co_return fail(Error{.code = ErrorCode::provider_timeout, .message = "the name " + o.key.host + " was not resolved in time",
                         .field = "connect", .retryable = true});
  if (answer->found.addresses.empty())
    co_return fail(Error{.code = ErrorCode::provider_unreachable,
                         .message = "cannot resolve " + o.key.host + ": " + answer->found.failure, .field = o.key.authority,
                         .retryable = true});
  o.addresses = std::move(answer->found.addresses);
  o.addresses_until = loop.now() + options.dns_ttl;
  co_return Result<void>{};
}

Task<Result<void>> Client::Pool::connect_to(ClientConnection& c, const Address& where, Deadline deadline, CancelToken cancel) {
  const int fd = ::socket(where.data()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    co_return fail(Error{.code = ErrorCode::internal_unavailable, .message = std::string("no socket: ") + std::strerror(errno), .retryable = true});
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int error = ::connect(fd, where.data(), where.size) == 0 ? 0 : errno;
  c.channel = Channel::make(loop, fd);
  c.obey(cancel);
  if (error == EINPROGRESS && !c.cancelled) {
    const Wake woke = co_await c.channel->writable(deadline);
    if (woke != Wake::ready) {
      c.channel->close();
      co_return fail(c.failure(woke, "connect", "the connection attempt was dropped"));
    }
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (c.cancelled) co_return fail(c.failure(Wake::cancelled, "connect", ""));
  if (error != 0) {
    c.channel->close();
    co_return fail(Error{.code = ErrorCode::provider_unreachable,
                         .message = "cannot connect to " + c.origin.key.authority + ": " + std::strerror(error),
                         .field = c.origin.key.authority, .retryable = true});
  }
  co_return Result<void>{};
}

Task<Result<void>> Client::Pool::secure(ClientConnection& c, Deadline deadline) {
  auto refused = [&](const std::string& why) {
    return fail(Error{.code = ErrorCode::provider_unreachable, .message = "TLS with " + c.origin.key.authority + " failed: " + why,
                      .field = c.origin.key.authority, .retryable = true});
  };
  if (!c.channel->start_tls(tls, &c.origin.key.host)) co_return refused("cannot begin");
  for (;;) {
    bool wants_write = false;
    const IoResult step = c.channel->handshake(wants_write);
    if (step.kind == IoResult::Kind::bytes) co_return Result<void>{};
    if (c.cancelled) co_return fail(c.failure(Wake::cancelled, "connect", ""));
    if (step.kind != IoResult::Kind::would_block)
      co_return refused(c.channel->tls_error().empty() ? "the connection was cut" : c.channel->tls_error());
    const Wake woke = wants_write ? co_await c.channel->writable(deadline) : co_await c.channel->readable(deadline);
    if (woke != Wake::ready) co_return fail(c.failure(woke, "connect", "the connection was cut during the TLS handshake"));
  }
}

}  // namespace ballast::net
