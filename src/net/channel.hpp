// Private to net/: one connected socket on one loop, plain or TLS. Reads and writes are tried directly; only what would block
// waits, for readiness, so that a waiting connection holds no buffer.
#pragma once
#include <sys/uio.h>

#include <boost/intrusive_ptr.hpp>
#include <string>

#include "net/buffer.hpp"
#include "net/core.hpp"

typedef struct ssl_st SSL;

namespace ballast::net {

// The result of one attempt.
struct IoResult {
  enum class Kind : unsigned char { bytes, would_block, end, broken };
  Kind kind;
  std::size_t bytes = 0;
};

// At most one coroutine waits (for either direction); while none waits for reading, a watch may be set. Closing wakes the
// waiter with `cancelled`. Kept alive by its owner.
class Channel {
 public:
  using Ref = boost::intrusive_ptr<Channel>;
  using Watch = void (*)(void* context);
  // Takes ownership of a non-blocking descriptor.
  static Ref make(Loop& loop, int fd) { return Ref(new Channel(loop, fd)); }

  // Into `out`, which is empty: a block that fits what arrived (up to 64 KB).
  IoResult receive(Bytes& out);
  IoResult receive(char* to, std::size_t room);
  // One gathered write. Advances the vector past what was sent: whole pieces get length 0.
  IoResult send(iovec* pieces, std::size_t count);

  struct Gathered;
  // The same at the end of the loop's turn, together with what others have to send: for whole messages.
  Gathered send_with_others(iovec* pieces, std::size_t count);

  // Has nothing arrived since the last attempt? Then waiting comes before trying: a wait ends at once if something came meanwhile,
  // and an attempt that took less than there was room for has taken all. Never of a closed channel.
  bool surely_blocked() const;
  // The peer is known to send no more, or the connection to be broken; bytes that came before may still be unread.
  bool peer_ended() const { return ended_; }
  // Whoever read from `fd()` by other means has found nothing there.
  void found_nothing() { readable_ = false; }
  struct Awaiter;
  Awaiter readable(Deadline deadline);
  Awaiter writable(Deadline deadline);
  // Calls `watch(context)` once when there is something to read (or the end); null ends it.
  void watch(Watch watch, void* context);

  // Immediately; `reset` sends RST. The waiter is resumed from the loop with Wake::cancelled. Idempotent.
  void close(bool reset = false);
  void shutdown_send();
  // Before a body that comes in pieces: the kernel may acknowledge several at once, instead of each as soon as it is read.
  void acknowledge_late();
  bool open() const { return !closed_; }
  int fd() const { return fd_; }
  Loop& loop() { return loop_; }
  int last_errno() const { return errno_; }

  // From here on everything is TLS. `context` is an SSL_CTX; `host` (client) is verified and sent as SNI.
  bool start_tls(void* context, const std::string* host);
  // True when the handshake is complete; else would_block says which direction to wait for in `wants_write`.
  IoResult handshake(bool& wants_write);
  std::string tls_error() const { return tls_error_; }
  bool tls() const { return ssl_ != nullptr; }

 private:
  friend void intrusive_ptr_add_ref(Channel* c) { ++c->refs_; }
  friend void intrusive_ptr_release(Channel* c) { if (--c->refs_ == 0) delete c; }
  enum class Side : unsigned char { none, read, write };
  Channel(Loop& loop, int fd);
  ~Channel();
  friend struct Loop::Core;
  void happened(std::uint32_t events);    // what epoll has to say
  void wake(Wake how, bool now);
  IoResult tls_result(int result);

  Loop& loop_;
  int fd_;
  SSL* ssl_ = nullptr;
  std::coroutine_handle<> waiter_;
  Timer timer_;
  Watch watch_ = nullptr;
  void* watch_context_ = nullptr;
  std::string tls_error_;
  int errno_ = 0;
  unsigned refs_ = 0;
  Side waiting_ = Side::none;
  Wake how_ = Wake::ready;
  // As epoll last said, or an attempt has found since; `ended_`: the peer sends no more, or the connection is broken.
  bool readable_ = false, writable_ = false, ended_ = false, told_again_ = false;
  bool closed_ = false, tls_up_ = false;
};

struct Channel::Awaiter {
  Channel& channel;
  Side side;
  Deadline deadline;
  bool await_ready() {
    channel.how_ = channel.closed_ ? Wake::cancelled : Wake::ready;
    return channel.closed_ || (side == Side::read ? channel.readable_ || channel.ended_ : channel.writable_);
  }
  void await_suspend(std::coroutine_handle<> h);
  Wake await_resume() const { return channel.how_; }
};

struct Channel::Gathered : QueuedSend {
  Channel& channel;
  iovec* pieces;
  std::size_t count;
  IoResult result{IoResult::Kind::broken};
  Gathered(Channel& c, iovec* p, std::size_t n) : channel(c), pieces(p), count(n) {
    send = [](QueuedSend& self) {
      auto& me = static_cast<Gathered&>(self);
      me.result = me.channel.send(me.pieces, me.count);
    };
  }
  bool await_ready() const { return channel.closed_; }
  void await_suspend(std::coroutine_handle<> h) {
    waiter = h;
    channel.loop_.core().outbox.add(*this);
  }
  IoResult await_resume() const { return result; }
};

inline Channel::Gathered Channel::send_with_others(iovec* pieces, std::size_t count) { return {*this, pieces, count}; }
inline Channel::Awaiter Channel::readable(Deadline deadline) { return {*this, Side::read, deadline}; }
inline Channel::Awaiter Channel::writable(Deadline deadline) { return {*this, Side::write, deadline}; }

}  // namespace ballast::net
