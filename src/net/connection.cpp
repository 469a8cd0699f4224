#include "net/connection.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/log.hpp"

namespace ballast::net {
namespace {
constexpr std::size_t ahead_limit = 16 * 1024;      // pipelined bytes taken in while a handler runs
constexpr std::size_t first_body_block = 64 * 1024; // a declared length is not believed beyond this until bytes come
}  // namespace

ServerConnection::ServerConnection(Server::State& server, ServerLoop& home, int fd, const Peer& peer)
    : server_(server), home_(home), channel_(Channel::make(*home.loop, fd)), parser_(server.options.limits), peer_(peer) {
  next_ = home_.first;
  if (next_) next_->prev_ = this;
  home_.first = this;
}

ServerConnection::~ServerConnection() {
  channel_->close();
  (prev_ ? prev_->next_ : home_.first) = next_;
  if (next_) next_->prev_ = prev_;
}

Task<void> ServerConnection::serve(std::shared_ptr<Server::State> server, ServerLoop& home, int fd, const sockaddr_storage& peer) {
  Peer small;
  std::memcpy(&small, &peer, sizeof small);
  return live(std::move(server), home, fd, small);
}

Task<void> ServerConnection::live(std::shared_ptr<Server::State> server, ServerLoop& home, int fd, Peer peer) {
  {
    ServerConnection connection(*server, home, fd, peer);
    try {
      co_await connection.run();
    } catch (const std::exception& e) {   // no memory for a body
      log::error("connection_escaped", {{"what", log::redact(e.what())}});
    }
    // The handler may have been resumed from inside gone()->cancel(): leave that stack before the source dies.
    co_await next_turn(*home.loop);
  }
  home.connections.fetch_sub(1, std::memory_order_relaxed);
  if (server->draining.load(std::memory_order_acquire)) {
    const std::lock_guard lock(server->mutex);
    server->changed.notify_all();
  }
}

Task<void> ServerConnection::run() {
  if (server_.tls) {
    const bool up = co_await tls_handshake();
    if (!up) co_return;
  }
  for (;;) {
    const Read got = co_await read_request();
    if (got == Read::closed) break;
    if (got == Read::refused) {
      co_await refuse();
      break;
    }
    co_await answer();
    if (close_after_ || left_ || !channel_->open()) break;
    reset_for_next();
  }
  if (!left_ && close_after_ && channel_->open() && !ahead_.empty()) co_await linger();
}

Task<bool> ServerConnection::tls_handshake() {
  const Deadline deadline = home_.loop->now() + server_.options.header_timeout;
  if (!channel_->start_tls(server_.tls.get(), nullptr)) co_return false;
  for (;;) {
    bool wants_write = false;
    const IoResult step = channel_->handshake(wants_write);
    if (step.kind == IoResult::Kind::bytes) co_return true;
    if (step.kind != IoResult::Kind::would_block) co_return false;
    const Wake woke = wants_write ? co_await channel_->writable(deadline) : co_await channel_->readable(deadline);
    if (woke != Wake::ready) co_return false;
  }
}

// Appends what arrives, at most `most` bytes: Wake::ready; `cancelled` is the end of the connection.
Task<Wake> ServerConnection::more(Bytes& into, std::size_t most, Deadline deadline) {
  for (;;) {
    if (!channel_->surely_blocked()) {
      IoResult got{IoResult::Kind::broken};
      if (into.capacity() == 0) {
        got = channel_->receive(into);
      } else {
        if (into.room() == 0) into.grow(into.size() + 1);
        got = channel_->receive(into.tail(), std::min(into.room(), most));
        if (got.kind == IoResult::Kind::bytes) into.resize(into.size() + got.bytes);
      }
      if (got.kind == IoResult::Kind::bytes) co_return Wake::ready;
      if (got.kind != IoResult::Kind::would_block) co_return Wake::cancelled;
    }
    const Wake woke = co_await channel_->readable(deadline);
    if (woke != Wake::ready) co_return woke;
  }
}

Task<ServerConnection::Read> ServerConnection::read_request() {
  const Read head = co_await read_head();
  if (head != Read::request) co_return head;
  const RequestHead& h = parser_.head();
  head_only_ = h.method == "HEAD";
  close_after_ = !h.keep_alive;
  const std::size_t begin = parser_.head_bytes();
  if (h.framing.kind == Framing::Kind::none || (h.framing.kind == Framing::Kind::length && in_.size() - begin >= h.framing.length)) {
    const auto size = static_cast<std::size_t>(h.framing.length);
    body_view_ = in_.view().substr(begin, size);
    if (in_.size() > begin + size) {
      ahead_.append(in_.view().substr(begin + size));
      in_.resize(begin + size);
    }
    co_return Read::request;
  }
  if (h.expect_continue && in_.size() == begin) {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    iovec piece{const_cast<char*>(go_on.data()), go_on.size()};
    const auto sent = co_await send_rest(&piece, 1);
    if (!sent) co_return Read::closed;
  }
  if (h.framing.kind == Framing::Kind::length) co_return co_await read_length_body();
  co_return co_await read_chunked_body();
}

Task<ServerConnection::Read> ServerConnection::read_head() {
  idle_ = ahead_.empty();
  if (idle_) ahead_.release();
  in_ = std::move(ahead_);
  const ServerOptions& options = server_.options;
  Deadline deadline = home_.loop->now() + (idle_ ? options.idle_timeout : options.header_timeout);
  for (;;) {
    if (!in_.empty()) {
      const ParseStep step = parser_.parse(in_.view());
      if (step == ParseStep::done) co_return Read::request;
      if (step == ParseStep::refused) co_return refusal(parser_.refusal().status, parser_.refusal().reason);
    } else if (server_.draining.load(std::memory_order_relaxed)) {
      co_return Read::closed;
    }
    const Wake woke = co_await more(in_, ~std::size_t{0}, deadline);
    if (woke == Wake::timeout && !idle_) co_return refusal(408, "the header did not arrive in time");
    if (woke != Wake::ready) co_return Read::closed;
    if (idle_) {
      idle_ = false;
      deadline = home_.loop->now() + options.header_timeout;
    }
  }
}

Task<ServerConnection::Read> ServerConnection::read_length_body() {
  const Deadline deadline = home_.loop->now() + server_.options.body_timeout;
  const std::size_t begin = parser_.head_bytes();
  const auto length = static_cast<std::size_t>(parser_.head().framing.length);
  body_.reserve(std::min(length, std::max(first_body_block, in_.size() - begin)));
  body_.append(in_.view().substr(begin));
  in_.resize(begin);
  while (body_.size() < length) {
    if (body_.room() == 0) body_.reserve(std::min(length, body_.capacity() * 2));
    const Wake woke = co_await more(body_, length - body_.size(), deadline);
    if (woke == Wake::timeout) co_return refusal(408, "the body did not arrive in time");
    if (woke != Wake::ready) co_return Read::closed;
  }
  body_view_ = body_.view();
  co_return Read::request;
}

Task<ServerConnection::Read> ServerConnection::read_chunked_body() {
  const Deadline deadline = home_.loop->now() + server_.options.body_timeout;
  ChunkedDecoder decoder(server_.options.limits);
  body_.append(in_.view().substr(parser_.head_bytes()));
  in_.resize(parser_.head_bytes());
  std::size_t decoded = 0;                // body_ holds payload up to here, then bytes still coded
  for (;;) {
    const std::size_t coded = body_.size() - decoded;
    const auto out = decoder.decode(body_.data() + decoded, coded);
    if (out.step == ParseStep::refused) co_return refusal(decoder.refusal().status, decoder.refusal().reason);
    if (out.step == ParseStep::done) {
      ahead_.append({body_.data() + decoded + out.consumed, coded - out.consumed});
      body_.resize(decoded + out.produced);
      body_view_ = body_.view();
      co_return Read::request;
    }
    decoded += out.produced;
    body_.resize(decoded);
    const Wake woke = co_await more(body_, ~std::size_t{0}, deadline);
    if (woke == Wake::timeout) co_return refusal(408, "the body did not arrive in time");
    if (woke != Wake::ready) co_return Read::closed;
  }
}

Task<void> ServerConnection::answer() {
  home_.requests.fetch_add(1, std::memory_order_relaxed);
  home_.in_flight.fetch_add(1, std::memory_order_relaxed);
  sent_ = Sent::nothing;
  gone_.emplace();
  handling_ = true;
  watch_for_leaving();
  bool threw = false;
  try {
    co_await server_.handler.handle(*this);
  } catch (const std::exception& e) {
    threw = true;
    log::error("handler_threw", {{"what", log::redact(e.what())}, {"path", parser_.head().path}});
  } catch (...) {
    threw = true;
    log::error("handler_threw", {{"path", parser_.head().path}});
  }
  if (sent_ == Sent::nothing && !left_ && channel_->open()) {
    co_await answer_for_handler(threw);
  } else if (sent_ == Sent::stream) {
    abort();
  }
  handling_ = false;
  channel_->watch(nullptr, nullptr);
  home_.in_flight.fetch_sub(1, std::memory_order_relaxed);
}

// The handler threw, or gave no answer.
Task<void> ServerConnection::answer_for_handler(bool threw) {
  if (!threw) log::error("handler_gave_no_answer", {{"path", parser_.head().path}});
  const auto body = server_.handler.refused(500, "internal error", parser_.head().path);
  const Headers headers{{"content-type", body.content_type}};
  const auto sent = co_await Exchange::respond(500, headers, body.body);
  if (!sent) close_after_ = true;
}

// While a handler runs, a pending read is what notices that the client has left.
void ServerConnection::watch_for_leaving() {
  if (ahead_.size() < ahead_limit)
    channel_->watch([](void* self) { static_cast<ServerConnection*>(self)->on_readable(); }, this);
}

void ServerConnection::on_readable() {
  Bytes block(ahead_limit - ahead_.size());
  const IoResult got = channel_->receive(block.data(), ahead_limit - ahead_.size());
  if (got.kind == IoResult::Kind::bytes) ahead_.append({block.data(), got.bytes});
  if (got.kind == IoResult::Kind::bytes || got.kind == IoResult::Kind::would_block) return watch_for_leaving();
  left_ = true;
  channel_->watch(nullptr, nullptr);
  gone_->cancel();                        // may run the handler to its end; nothing is touched after it
}

void ServerConnection::reset_for_next() {
  parser_.reset();
  in_.release();
  body_.release();
  body_view_ = {};
}

// Answers what the codec refused, then reads a while so that the answer is not lost in a reset.
Task<void> ServerConnection::refuse() {
  home_.refused.fetch_add(1, std::memory_order_relaxed);
  close_after_ = true;
  head_only_ = false;
  gone_.emplace();
  sent_ = Sent::nothing;
  const auto body = server_.handler.refused(refusal_.status, refusal_.reason, parser_.path_in(in_.view()));
  const Headers headers{{"content-type", body.content_type}};
  const auto sent = co_await Exchange::respond(refusal_.status, headers, body.body);
  if (sent) co_await linger();
}

Task<void> ServerConnection::linger() {
  channel_->shutdown_send();
  const Deadline deadline = home_.loop->now() + std::chrono::seconds(1);
  Bytes sink;
  for (std::size_t total = 0; total < 4 * 1024 * 1024;) {
    sink.release();
    const Wake woke = co_await more(sink, ~std::size_t{0}, deadline);
    if (woke != Wake::ready) break;
    total += sink.size();
  }
}

std::string_view ServerConnection::peer() const {
  if (peer_text_[0] == 0) {
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (peer_.any.sa_family == AF_INET) {
      const auto& a = peer_.v4;
      inet_ntop(AF_INET, &a.sin_addr, host, sizeof host);
      port = ntohs(a.sin_port);
      std::snprintf(peer_text_, sizeof peer_text_, "%s:%u", host, port);
    } else {
      const auto& a = peer_.v6;
      inet_ntop(AF_INET6, &a.sin6_addr, host, sizeof host);
      port = ntohs(a.sin6_port);
      std::snprintf(peer_text_, sizeof peer_text_, "[%s]:%u", host, port);
    }
  }
  return peer_text_;
}

bool ServerConnection::persists() const { return !close_after_ && !server_.draining.load(std::memory_order_relaxed); }

void ServerConnection::close_if_idle() {
  if (idle_ && !handling_) channel_->close();
}

void ServerConnection::cut() {
  home_.cut.fetch_add(1, std::memory_order_relaxed);
  left_ = true;
  channel_->close(true);
  if (gone_) gone_->cancel();
}

}  // namespace ballast::net
