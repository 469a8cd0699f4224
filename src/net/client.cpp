#include "net/client.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <future>
#include <optional>
#include <stdexcept>
#include <utility>

#include "net/chars.hpp"
#include "net/pool.hpp"

namespace ballast::net {
namespace {

iovec piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

bool bodyless(std::string_view method) { return method == "GET" || method == "HEAD" || method == "DELETE" || method == "OPTIONS"; }

std::unexpected<Error> bad_response(std::string message) {
  return fail(Error{.code = ErrorCode::provider_bad_response, .message = std::move(message), .retryable = true});
}

// A response on a pooled connection. All state is in the connection; this is its lease.
class PooledResponse final : public ClientResponse {
 public:
  explicit PooledResponse(ClientConnection* c) : c_(c), reused_(c->used), resent_(c->resent) {}
  ~PooledResponse() override {
    std::string_view unwanted;            // an unread body that is all here does not cost the connection
    while (!c_->complete && take(unwanted) == Got::bytes) {}
    const bool keep = c_->complete && !c_->failed && !c_->cancelled && c_->channel->open() && !c_->channel->peer_ended() &&
                      c_->parser.head().keep_alive;
    if (keep) c_->pool.park(c_);
    else c_->pool.drop(c_);
  }
  static void* operator new(std::size_t n) { return detail::frame_allocate(n); }
  static void operator delete(void* p, std::size_t n) noexcept { detail::frame_release(p, n); }

  const ResponseHead& head() const override { return c_->parser.head(); }
  bool reused() const override { return reused_; }
  bool resent() const override { return resent_; }
  Task<Result<std::string_view>> read_some(Deadline deadline) override;

 private:
  enum class Got : unsigned char { bytes, none, wait, end, cancelled, late, cut, malformed };
  // Payload among the bytes that are here; `none`: more are needed, or it is the end (`complete`).
  Got take(std::string_view& out);
  // The same, from the socket too if `look`; never `none`.
  Got look_for(std::string_view& out, bool look);
  Error broken(Got got);
  // What `read_some` returns, made where it is kept: errors made in the coroutine would have room in its frame.
  struct Verdict {
    PooledResponse& response;
    Got got;
    std::string_view out;
    operator Result<std::string_view>() const {
      if (got == Got::bytes || got == Got::end) return out;
      return fail(response.broken(got));
    }
  };
  ClientConnection* c_;
  bool reused_, resent_;
};

PooledResponse::Got PooledResponse::take(std::string_view& out) {
  auto& c = *c_;
  const auto kind = c.parser.head().framing.kind;
  if (c.unread.empty() || c.complete) return Got::none;
  if (kind == Framing::Kind::chunked) {
    const auto decoded = c.decoder.decode(const_cast<char*>(c.unread.data()), c.unread.size());
    if (decoded.step == ParseStep::refused) return Got::malformed;
    out = c.unread.substr(0, decoded.produced);
    c.unread.remove_prefix(decoded.consumed);
    c.complete = decoded.step == ParseStep::done;
    if (c.complete && !c.unread.empty()) c.failed = true;      // bytes after the end: not a connection to keep
    return out.empty() ? Got::none : Got::bytes;
  }
  out = c.unread;
  c.unread = {};
  if (kind == Framing::Kind::length) {
    if (out.size() > c.left) {
      out = out.substr(0, static_cast<std::size_t>(c.left));
      c.failed = true;
    }
    c.left -= out.size();
    c.complete = c.left == 0;
  }
  return Got::bytes;
}

[[gnu::noinline]] PooledResponse::Got PooledResponse::look_for(std::string_view& out, bool look) {
  auto& c = *c_;
  for (;;) {
    if (c.cancelled) return Got::cancelled;
    const Got got = take(out);
    if (got != Got::none) return got;
    if (c.complete) return Got::end;
    if (c.failed) return Got::cut;
    c.body.release();
    if (!look && c.channel->surely_blocked()) return Got::wait;
    const IoResult in = c.channel->receive(c.body);
    if (in.kind == IoResult::Kind::would_block) return Got::wait;
    if (in.kind == IoResult::Kind::bytes) {
      c.unread = c.body.view();
    } else if (in.kind == IoResult::Kind::end && c.parser.head().framing.kind == Framing::Kind::until_close) {
      c.complete = true;
    } else if (!c.cancelled) {
      return Got::cut;
    }
  }
}

[[gnu::noinline]] Error PooledResponse::broken(Got got) {
  auto& c = *c_;
  if (got == Got::cancelled) return {.code = ErrorCode::caller_cancelled, .message = "cancelled"};
  if (got == Got::late) {
    c.failed = true;
    c.channel->close();
    return c.failure(Wake::timeout, "read", "");
  }
  Error error{.code = ErrorCode::provider_bad_response, .message = c.failed ? "the response was cut" : "the response was cut before its end", .retryable = true};
  c.failed = true;
  if (got != Got::malformed) return error;
  c.channel->close();
  error.message = "the response body is malformed: " + std::string(c.decoder.refusal().reason);
  return error;
}

// A stream waits here nearly all its life: what the frame need not hold is made elsewhere.
Task<Result<std::string_view>> PooledResponse::read_some(Deadline deadline) {
  for (bool last_look = false;;) {
    std::string_view out;
    const Got got = look_for(out, last_look);
    if (got != Got::wait) co_return Verdict{*this, got, out};
    const Wake woke = co_await c_->channel->readable(deadline);
    // A loop that was kept from running may hear of the timer before the bytes that came in time.
    if (woke == Wake::timeout && std::exchange(last_look, true)) co_return Verdict{*this, Got::late, {}};
  }
}

// How one attempt on one connection ended.
struct Attempt {
  std::optional<Error> error;
  bool stale = false;                     // a kept connection died before the first response byte
};

Task<std::optional<Error>> send_pieces(ClientConnection& c, iovec* pieces, std::size_t count, Duration write_timeout) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
  IoResult sent = co_await c.channel->send_with_others(pieces, count);
  for (;; sent = c.channel->send(pieces, count)) {
    if (sent.kind == IoResult::Kind::bytes) {
      total -= sent.bytes;
      if (total == 0) co_return std::nullopt;
      continue;
    }
    if (sent.kind != IoResult::Kind::would_block) co_return c.failure(Wake::cancelled, "", "the connection was reset while sending");
    const Wake woke = co_await c.channel->writable(c.pool.loop.now() + write_timeout);
    if (woke != Wake::ready) co_return c.failure(woke, "write", "the connection was closed while sending");
  }
}

// Reads until a final response head is whole. 1xx heads are skipped.
Task<Attempt> receive_head(ClientConnection& c, bool to_head_request, Deadline deadline) {
  c.parser.reset(to_head_request);
  bool last_look = false;                 // as in read_some
  for (unsigned interim = 0;;) {
    if (last_look || !c.channel->surely_blocked()) {
      Bytes block;
      const IoResult in = c.channel->receive(block);
      if (in.kind == IoResult::Kind::bytes) {
        if (c.head.empty()) c.head = std::move(block);
        else c.head.append(block.view());
        for (;;) {
          const ParseStep step = c.parser.parse(c.head.view());
          if (step == ParseStep::more) break;
          if (step == ParseStep::refused)
            co_return Attempt{Error{.code = ErrorCode::provider_bad_response, .message = "the response is malformed: " + std::string(c.parser.refusal().reason), .retryable = true}};
          const int status = c.parser.head().status;
          if (status >= 200) co_return Attempt{};
          if (status == 101 || ++interim > 16)
            co_return Attempt{Error{.code = ErrorCode::provider_bad_response, .message = "an unexpected interim response", .retryable = true}};
          c.head.drop_front(c.parser.head_bytes());
          c.parser.reset(to_head_request);
        }
      } else if (in.kind != IoResult::Kind::would_block) {
        if (c.cancelled) co_return Attempt{c.failure(Wake::cancelled, "", "")};
        if (c.head.empty())
          co_return Attempt{c.failure(Wake::cancelled, "", "the provider closed the connection without an answer"), c.used && interim == 0};
        co_return Attempt{Error{.code = ErrorCode::provider_bad_response, .message = "the response was cut in its header", .retryable = true}};
      }
    }
    const Wake woke = co_await c.channel->readable(deadline);
    if (woke == Wake::timeout && !std::exchange(last_look, true)) continue;
    if (woke != Wake::ready) co_return Attempt{c.failure(woke, "headers", "the connection was closed")};
  }
}

// Sends the request and reads the head: one gathered write, one read, when all goes well.
Task<Attempt> attempt(ClientConnection& c, const ClientRequest& request, Duration patience) {
  std::size_t length = 0;
  for (const auto p : request.body) length += p.size();
  const std::string_view target = request.target.empty() ? std::string_view(request.url->target) : request.target;
  const Deadline deadline = deadline_after(c.pool.loop, patience);
  Headers copy;
  char length_line[48] = "\r\n";
  std::size_t length_size = 2;
  if (length || !bodyless(request.method)) {
    char* end = std::copy_n("content-length: ", 16, length_line);
    end = std::to_chars(end, end + 20, length).ptr;
    end = std::copy_n("\r\n\r\n", 4, end);
    length_size = static_cast<std::size_t>(end - length_line);
  }
  std::array<iovec, 16> few;
  std::vector<iovec> many;
  iovec* pieces = few.data();
  if (request.body.size() + 8 > few.size()) {
    many.resize(request.body.size() + 8);
    pieces = many.data();
  }
  std::size_t n = 0;
  pieces[n++] = piece(request.method);
  pieces[n++] = piece(" ");
  pieces[n++] = piece(target);
  pieces[n++] = piece(" HTTP/1.1\r\nhost: ");
  pieces[n++] = piece(request.url->origin.authority);
  pieces[n++] = piece("\r\n");
  pieces[n++] = piece(wire_without_framing(request.headers, Sender::client, copy));
  pieces[n++] = piece({length_line, length_size});
  for (const auto p : request.body) pieces[n++] = piece(p);
  if (request.sent) *request.sent = true;
  auto unsent = co_await send_pieces(c, pieces, n, c.pool.options.write_timeout);
  if (unsent && (c.cancelled || unsent->code == ErrorCode::provider_timeout)) co_return Attempt{std::move(unsent)};
  // After a failed write there may still be an answer that says why (413, 401).
  const bool to_head_request = request.method == "HEAD";
  const SoonAnswer soon(c.pool.loop, c.origin.answer_time);
  Attempt got = co_await receive_head(c, to_head_request, deadline);
  if (unsent && got.error) got.error = std::move(unsent);
  if (unsent) c.failed = true;
  co_return got;
}

}  // namespace

Client::Client(LoopGroup& loops, ClientOptions options)
    : loops_(loops), options_(std::move(options)),
      resolver_(options_.resolver ? options_.resolver : std::make_shared<Resolver>()) {
  auto context = make_tls_client_context(options_.tls);
  if (!context) throw std::runtime_error(describe(context.error()));
  tls_ = std::move(*context);
  for (unsigned i = 0; i < loops.size(); ++i)
    pools_.push_back(std::make_unique<Pool>(loops.at(i), options_, tls_.get(), loops.size(), *resolver_));
}

Client::~Client() {
  if (!loops_.running()) return;
  for (auto& pool : pools_) {
    std::promise<void> done;
    pool->loop.post([&] {
      pool.reset();
      done.set_value();
    });
    done.get_future().wait();
  }
}

Task<Result<std::unique_ptr<ClientResponse>>> Client::send(Scheduler& loop, const ClientRequest& request, Timeouts timeouts, CancelToken cancel) {
  Pool& pool = *pools_[loop.index()];
  OriginPool& origin = pool.of(request.url->origin);
  const Deadline connect_by = deadline_after(loop, timeouts.connect);
  const std::string_view target = request.target.empty() ? std::string_view(request.url->target) : request.target;
  if (!target.starts_with('/') || !all(target, target_char) || !all(request.method, token_char))
    co_return fail(ErrorCode::caller_invalid_request, "the method or the target cannot be sent in a request line", "url");
  if (cancel && cancel->cancelled()) co_return fail(ErrorCode::caller_cancelled, "cancelled");
  for (bool again = false;; again = true) {
    const bool fresh = again || request.fresh;
    ClientConnection* c = fresh ? nullptr : pool.take_idle(origin);
    if (!c) {
      auto got = co_await pool.acquire(origin, fresh, connect_by, cancel);
      if (!got) co_return fail(std::move(got.error()));
      c = *got;
    }
    if (c->used) pool.reused.fetch_add(1, std::memory_order_relaxed);
    c->obey(cancel);
    Attempt ended = co_await attempt(*c, request, timeouts.headers);
    if (!ended.error) {
      const ResponseHead& head = c->parser.head();
      c->resent = again;
      c->unread = c->head.view().substr(c->parser.head_bytes());
      c->left = head.framing.length;
      c->decoder.reset();
      c->complete = head.framing.kind == Framing::Kind::none;
      if (c->complete && !c->unread.empty()) c->failed = true;
      if (!c->complete && head.framing.kind != Framing::Kind::length) c->channel->acknowledge_late();
      co_return std::unique_ptr<ClientResponse>(new PooledResponse(c));
    }
    const bool replay = ended.stale && !again && request.replay_safe;
    pool.drop(c);
    if (!replay) co_return fail(std::move(*ended.error));
    pool.resent.fetch_add(1, std::memory_order_relaxed);
  }
}

Client::Stats Client::stats() const {
  Stats s;
  for (const auto& p : pools_) {
    s.opened += p->opened.load(std::memory_order_relaxed);
    s.reused += p->reused.load(std::memory_order_relaxed);
    s.resent += p->resent.load(std::memory_order_relaxed);
    s.open += p->open.load(std::memory_order_relaxed);
    s.idle += p->idle.load(std::memory_order_relaxed);
  }
  return s;
}

Task<Result<std::string>> ClientResponse::read_all(std::size_t limit, Deadline deadline) {
  std::string all;
  for (;;) {
    const auto got = co_await read_some(deadline);
    if (!got) co_return fail(got.error());
    if (got->empty()) co_return all;
    if (all.size() + got->size() > limit) co_return bad_response("the response body is larger than the limit");
    if (all.empty() && head().framing.kind == Framing::Kind::length && head().framing.length <= limit)
      all.reserve(static_cast<std::size_t>(head().framing.length));
    all.append(*got);
  }
}

}  // namespace ballast::net
