#include "net/channel.hpp"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>

#include "net/resolver.hpp"

namespace ballast::net {
namespace {

// A BIO over send and recv: OpenSSL's own raises SIGPIPE.
int bio_write(BIO* bio, const char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const auto n = ::send(fd, data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}
int bio_read(BIO* bio, char* data, int size) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const auto n = ::recv(fd, data, static_cast<std::size_t>(size), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}
long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ballast");
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_ctrl(m, bio_control);
    return m;
  }();
  return method;
}

// Marks `n` bytes of the vector as sent.
void advance(iovec* pieces, std::size_t count, std::size_t n) {
  for (std::size_t i = 0; i < count && n; ++i) {
    const std::size_t take = n < pieces[i].iov_len ? n : pieces[i].iov_len;
    pieces[i].iov_base = static_cast<char*>(pieces[i].iov_base) + take;
    pieces[i].iov_len -= take;
    n -= take;
  }
}

// A short message is copied together: that costs less than what the kernel does to take it in pieces.
constexpr std::size_t kCopied = 2048;

// Its size; 0 if it is longer.
std::size_t gather(const iovec* pieces, std::size_t count, char (&into)[kCopied]) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) size += pieces[i].iov_len;
  if (size > kCopied) return 0;
  char* at = into;
  for (std::size_t i = 0; i < count; at += pieces[i++].iov_len)
    if (pieces[i].iov_len != 0) std::memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
  return size;
}

}  // namespace

Channel::Channel(Loop& loop, int fd) : loop_(loop), fd_(fd) {
  if (loop_.core().add(fd, *this)) return;
  errno_ = errno;
  ::close(fd);
  closed_ = true;
}

Channel::~Channel() {
  SSL_free(ssl_);
  if (closed_) return;
  loop_.core().forget(*this);
  ::close(fd_);
}

IoResult Channel::receive(Bytes& out) {
  assert(out.empty());
  Bytes block(Bytes::scratch);
  const IoResult got = receive(block.data(), block.capacity());
  if (got.kind != IoResult::Kind::bytes) return got;
  block.resize(got.bytes);
  if (got.bytes > Bytes::scratch / 4) {
    out = std::move(block);
  } else {
    out.release();
    out.append(block.view());
  }
  return got;
}

IoResult Channel::receive(char* to, std::size_t room) {
  if (closed_) return {IoResult::Kind::broken};
  if (ssl_) {
    std::size_t total = 0;
    while (total < room) {
      ERR_clear_error();
      const int n = SSL_read(ssl_, to + total, static_cast<int>(std::min<std::size_t>(room - total, 1 << 30)));
      if (n <= 0) {
        if (total) break;
        return tls_result(n);
      }
      total += static_cast<std::size_t>(n);
      if (SSL_pending(ssl_) == 0) break;
    }
    return {IoResult::Kind::bytes, total};
  }
  for (;;) {
    const auto n = ::recv(fd(), to, room, 0);
    if (n > 0) {
      readable_ = static_cast<std::size_t>(n) == room;
      return {IoResult::Kind::bytes, static_cast<std::size_t>(n)};
    }
    if (n == 0) return {IoResult::Kind::end};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      readable_ = false;
      return {IoResult::Kind::would_block};
    }
    errno_ = errno;
    return {IoResult::Kind::broken};
  }
}

IoResult Channel::send(iovec* pieces, std::size_t count) {
  if (closed_) return {IoResult::Kind::broken};
  while (count && pieces->iov_len == 0) { ++pieces; --count; }
  if (ssl_) {
    // One record per 16 KB, whatever the pieces are.
    static thread_local char record[16 * 1024];
    std::size_t total = 0;
    for (;;) {
      std::size_t n = 0;
      for (std::size_t i = 0; i < count && n < sizeof record; ++i) {
        const std::size_t take = std::min(pieces[i].iov_len, sizeof record - n);
        std::memcpy(record + n, pieces[i].iov_base, take);
        n += take;
      }
      if (n == 0) return {IoResult::Kind::bytes, total};
      ERR_clear_error();
      const int sent = SSL_write(ssl_, record, static_cast<int>(n));
      if (sent <= 0) {
        const IoResult r = tls_result(sent);
        return r.kind == IoResult::Kind::would_block && total ? IoResult{IoResult::Kind::bytes, total} : r;
      }
      total += static_cast<std::size_t>(sent);
      advance(pieces, count, static_cast<std::size_t>(sent));
    }
  }
  char whole[kCopied];
  const std::size_t size = gather(pieces, count, whole);
  for (;;) {
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count < 1024 ? count : 1024;
    const auto n = size ? ::send(fd(), whole, size, MSG_NOSIGNAL) : ::sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (n >= 0) {
      advance(pieces, count, static_cast<std::size_t>(n));
      return {IoResult::Kind::bytes, static_cast<std::size_t>(n)};
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      writable_ = false;
      return {IoResult::Kind::would_block};
    }
    errno_ = errno;
    return {IoResult::Kind::broken};
  }
}

IoResult Channel::tls_result(int result) {
  const int why = SSL_get_error(ssl_, result);
  if (why == SSL_ERROR_WANT_READ) readable_ = false;
  if (why == SSL_ERROR_WANT_WRITE) writable_ = false;
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {IoResult::Kind::would_block};
  if (why == SSL_ERROR_ZERO_RETURN) return {IoResult::Kind::end};
  if (const auto code = ERR_peek_last_error()) {
    char text[160];
    ERR_error_string_n(code, text, sizeof text);
    tls_error_ = text;
    if (const long verify = SSL_get_verify_result(ssl_); !tls_up_ && verify != X509_V_OK)
      tls_error_ = X509_verify_cert_error_string(verify);
  }
  ERR_clear_error();
  return {IoResult::Kind::broken};    // without close_notify: a cut, not an end
}

bool Channel::surely_blocked() const { return !closed_ && !readable_ && !ended_ && (!ssl_ || SSL_pending(ssl_) == 0); }

void Channel::happened(std::uint32_t events) {
  const Ref keep(this);
  told_again_ = false;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ended_ = true;
  if (waiting_ == Side::read ? readable_ || ended_ : waiting_ == Side::write && writable_) wake(Wake::ready, true);
  // The same event may hold news for the watch, and comes but once. The writer may have ended the watch or the channel meanwhile.
  if (watch_ && readable_) std::exchange(watch_, nullptr)(watch_context_);
}

void Channel::wake(Wake how, bool now) {
  if (!waiter_) return;
  timer_.cancel();
  how_ = how;
  waiting_ = Side::none;
  const auto h = std::exchange(waiter_, {});
  if (now) h.resume();
  else loop_.resume(h);
}

void Channel::Awaiter::await_suspend(std::coroutine_handle<> h) {
  assert(!channel.waiter_);
  channel.waiter_ = h;
  channel.waiting_ = side;
  if (deadline != no_deadline)
    channel.loop_.arm(channel.timer_, deadline,
                      [](void* c) {
                        const Ref keep(static_cast<Channel*>(c));
                        keep->wake(Wake::timeout, true);
                      },
                      &channel);
}

void Channel::watch(Watch watch, void* context) {
  watch_ = watch;
  watch_context_ = context;
  if (!watch || closed_ || told_again_ || !(readable_ || ended_)) return;
  told_again_ = true;
  loop_.core().tell_again(*this);
}

void Channel::acknowledge_late() {
  const int off = 0;
  if (!closed_) ::setsockopt(fd(), IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

void Channel::shutdown_send() {
  if (closed_) return;
  if (ssl_ && tls_up_) SSL_shutdown(ssl_);
  ::shutdown(fd(), SHUT_WR);
}

void Channel::close(bool reset) {
  if (closed_) return;
  closed_ = true;
  watch_ = nullptr;
  if (reset) {
    const linger now{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  } else if (ssl_ && tls_up_) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  loop_.core().forget(*this);
  ::close(fd_);
  wake(Wake::cancelled, false);
}

bool Channel::start_tls(void* context, const std::string* host) {
  ssl_ = SSL_new(static_cast<SSL_CTX*>(context));
  if (!ssl_) return false;
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd())));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_mode(ssl_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  if (!host) { SSL_set_accept_state(ssl_); return true; }
  SSL_set_connect_state(ssl_);
  if (literal_address(*host, 0)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host->c_str()) == 1;
  SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl_, host->c_str()) == 1 && SSL_set_tlsext_host_name(ssl_, host->c_str()) == 1;
}

IoResult Channel::handshake(bool& wants_write) {
  if (closed_) return {IoResult::Kind::broken};
  ERR_clear_error();
  const int n = SSL_do_handshake(ssl_);
  if (n == 1) {
    tls_up_ = true;
    return {IoResult::Kind::bytes};
  }
  wants_write = SSL_get_error(ssl_, n) == SSL_ERROR_WANT_WRITE;
  return tls_result(n);
}

}  // namespace ballast::net
