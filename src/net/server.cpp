#include "net/server.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <stdexcept>

#include "base/log.hpp"
#include "net/connection.hpp"

namespace ballast::net {
namespace {

constexpr Duration starved_retry = std::chrono::milliseconds(250);
constexpr int accepts_per_turn = 64;

int listen_on(const std::string& address, std::uint16_t port, bool share) {
  sockaddr_storage where{};
  socklen_t size = 0;
  if (auto& v4 = reinterpret_cast<sockaddr_in&>(where); inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof v4;
  } else if (auto& v6 = reinterpret_cast<sockaddr_in6&>(where); inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof v6;
  } else {
    throw std::runtime_error("cannot listen on '" + address + "': not an IP address");
  }
  const int fd = ::socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (fd >= 0) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd >= 0 && share) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&where), size) != 0 || ::listen(fd, 4096) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) ::close(fd);
    throw std::runtime_error("cannot listen on " + address + ":" + std::to_string(port) + ": " + why);
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage where{};
  socklen_t size = sizeof where;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&where), &size);
  return ntohs(where.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(where).sin_port
                                          : reinterpret_cast<sockaddr_in6&>(where).sin6_port);
}

// Runs `f` on `loop` and waits for it.
template <class F>
void run_on(Loop& loop, F f) {
  std::promise<void> done;
  loop.post([&] {
    f();
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace

std::uint32_t Server::State::connections() const {
  std::uint32_t n = 0;
  for (const auto& l : per_loop) n += l->connections.load(std::memory_order_relaxed);
  return n;
}

void Server::State::listen() {
  acceptor = Channel::make(loops.at(0), std::exchange(listen_fd, -1));
  acceptor->watch([](void* s) { static_cast<State*>(s)->accept_ready(); }, this);
}

void Server::State::accept_ready() {
  for (int i = 0; i < accepts_per_turn && accept_one(); ++i) {}
  // Asked again, the reactor reports at once what is still in the queue.
  if (acceptor && acceptor->open() && !retry.armed())
    acceptor->watch([](void* s) { static_cast<State*>(s)->accept_ready(); }, this);
}

bool Server::State::accept_one() {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const int fd = ::accept4(acceptor->fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    if (starved) log::info("accepting_again");
    starved = false;
    hand_over(fd, peer);
    return true;
  }
  if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    if (!starved) log::error("out_of_descriptors", {{"error", std::strerror(errno)}, {"connections", connections()}});
    starved = true;
    acceptor->watch(nullptr, nullptr);
    loops.at(0).arm(retry, loops.at(0).now() + starved_retry, [](void* s) { static_cast<State*>(s)->accept_ready(); }, this);
    return false;
  }
  if (errno == EAGAIN) acceptor->found_nothing();
  return errno == ECONNABORTED || errno == EINTR;
}

void Server::State::hand_over(int fd, const sockaddr_storage& peer) {
  accepted.fetch_add(1, std::memory_order_relaxed);
  if (connections() >= options.connections) {
    turned_away.fetch_add(1, std::memory_order_relaxed);
    static constexpr std::string_view full = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";
    if (!tls) (void)!::send(fd, full.data(), full.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::close(fd);
    return;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ServerLoop* least = per_loop[0].get();
  for (const auto& l : per_loop)
    if (l->connections.load(std::memory_order_relaxed) < least->connections.load(std::memory_order_relaxed)) least = l.get();
  least->connections.fetch_add(1, std::memory_order_relaxed);
  least->loop->post([self = shared_from_this(), least, fd, peer] {
    if (!least->tasks.spawn(ServerConnection::serve(self, *least, fd, peer))) {
      least->connections.fetch_sub(1, std::memory_order_relaxed);
      ::close(fd);
    }
  });
}

void Server::State::close_acceptor() {
  retry.cancel();
  if (acceptor) acceptor->close();
}

Server::Server(LoopGroup& loops, ServerOptions options, Handler& handler)
    : state_(std::make_shared<State>(loops, std::move(options), handler)) {
  if (!state_->options.tls.cert_file.empty()) {
    auto context = make_tls_server_context(state_->options.tls);
    if (!context) throw std::runtime_error(describe(context.error()));
    state_->tls = std::move(*context);
  }
  for (unsigned i = 0; i < loops.size(); ++i) state_->per_loop.push_back(std::make_unique<ServerLoop>(loops.at(i)));
  state_->listen_fd = listen_on(state_->options.address, state_->options.port, state_->options.share_port);
  port_ = port_of(state_->listen_fd);
  loops.at(0).post([state = state_] {
    if (state->listen_fd >= 0) state->listen();
  });
}

Server::~Server() {
  stop_accepting();
  drain(Duration(0));
}

void Server::stop_accepting() {
  if (state_->loops.running()) run_on(state_->loops.at(0), [this] { state_->close_acceptor(); });
  if (state_->listen_fd >= 0 && !state_->loops.running()) ::close(std::exchange(state_->listen_fd, -1));
}

bool Server::drain(Duration patience) {
  if (!state_->loops.running()) return true;
  state_->draining.store(true, std::memory_order_release);
  for (const auto& l : state_->per_loop)
    run_on(*l->loop, [&l] {
      for (auto* c = l->first; c; c = c->next()) c->close_if_idle();
    });
  const auto empty = [this] { return state_->connections() == 0; };
  std::unique_lock lock(state_->mutex);
  bool clean = state_->changed.wait_for(lock, patience, empty);
  if (!clean) {
    lock.unlock();
    for (const auto& l : state_->per_loop)
      run_on(*l->loop, [&l] {
        for (auto* c = l->first; c;) {
          auto* next = c->next();
          c->cut();                       // ends it on a later turn: the list stays whole
          c = next;
        }
      });
    lock.lock();
    while (!state_->changed.wait_for(lock, std::chrono::seconds(5), empty))
      log::warn("drain_waits_for_handlers", {{"connections", state_->connections()}});
  }
  lock.unlock();
  // The last task of each loop has left its frame once the loop has turned.
  for (const auto& l : state_->per_loop) run_on(*l->loop, [] {});
  return clean;
}

Server::Stats Server::stats() const {
  Stats s;
  s.accepted = state_->accepted.load(std::memory_order_relaxed);
  s.turned_away = state_->turned_away.load(std::memory_order_relaxed);
  for (const auto& l : state_->per_loop) {
    s.requests += l->requests.load(std::memory_order_relaxed);
    s.refused += l->refused.load(std::memory_order_relaxed);
    s.cut += l->cut.load(std::memory_order_relaxed);
    s.connections += l->connections.load(std::memory_order_relaxed);
    s.in_flight += l->in_flight.load(std::memory_order_relaxed);
  }
  return s;
}

}  // namespace ballast::net
