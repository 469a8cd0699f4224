// The answering half of a server connection: heads, chunks, gathered writes.
#include <array>
#include <charconv>
#include <cstring>

#include "net/connection.hpp"

namespace ballast::net {
namespace {

iovec piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

// Failures, made where the result is kept: as values of a coroutine each would have room of its own in the frame.
struct Failure {
  ErrorCode code;
  const char* message;
  const char* field = "";
  operator Result<void>() const { return fail(Error{.code = code, .message = message, .field = field}); }
};
constexpr Failure client_left{ErrorCode::caller_cancelled, "the client closed the connection"};
constexpr Failure answered_already{ErrorCode::internal_error, "an answer was sent already"};
constexpr Failure no_stream{ErrorCode::internal_error, "no stream is open"};
constexpr Failure takes_nothing{ErrorCode::caller_timeout, "the client takes no more bytes", "write"};

}  // namespace

// Status line, our own fields and the blank line: what surrounds the caller's fields. Lives while they are sent.
class ServerConnection::HeadLines {
 public:
  HeadLines(ServerConnection& c, int status, bool chunked, bool has_length, std::size_t length) {
    const auto reason = reason_phrase(status);
    put("HTTP/1.1 ");
    put_number(static_cast<std::size_t>(status));
    put(" ");
    put(reason);
    put("\r\n");
    first_ = size_;
    if (has_length) {
      put("content-length: ");
      put_number(length);
      put("\r\n");
    }
    if (chunked) put("transfer-encoding: chunked\r\n");
    if (!c.persists()) put("connection: close\r\n");
    else if (c.parser_.head().minor_version == 0) put("connection: keep-alive\r\n");
    put("date: ");
    put(c.home_.loop->core().http_date());
    put("\r\n\r\n");
  }
  std::string_view status_line() const { return {text_, first_}; }
  std::string_view fields() const { return {text_ + first_, size_ - first_}; }

 private:
  void put(std::string_view s) { std::memcpy(text_ + size_, s.data(), s.size()); size_ += s.size(); }
  void put_number(std::size_t n) {
    size_ = static_cast<std::size_t>(std::to_chars(text_ + size_, text_ + sizeof text_, n).ptr - text_);
  }
  char text_[240];
  std::size_t size_ = 0, first_ = 0;
};

Task<Result<void>> ServerConnection::send_rest(iovec* pieces, std::size_t count, When when) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
  for (bool first = true;; first = false) {
    if (left_) co_return client_left;
    IoResult sent{IoResult::Kind::broken};
    if (first && when == When::turn_ends) sent = co_await channel_->send_with_others(pieces, count);
    else sent = channel_->send(pieces, count);
    if (sent.kind == IoResult::Kind::bytes) {
      total -= sent.bytes;
      if (total == 0) co_return Result<void>{};
      continue;
    }
    if (sent.kind != IoResult::Kind::would_block) {
      left_ = true;
      co_return client_left;
    }
    const Wake woke = co_await channel_->writable(home_.loop->now() + server_.options.write_timeout);
    if (woke == Wake::timeout) {
      left_ = true;
      channel_->close(true);
      co_return takes_nothing;
    }
    if (woke == Wake::cancelled) {
      left_ = true;
      co_return client_left;
    }
  }
}

Task<Result<void>> ServerConnection::respond(int status, const Headers& headers, Pieces body) {
  if (sent_ != Sent::nothing) co_return answered_already;
  if (left_) co_return client_left;
  std::size_t length = 0;
  for (const auto p : body) length += p.size();
  if (!persists()) close_after_ = true;
  Headers copy;
  const HeadLines lines(*this, status, false, status != 204 && status != 304 && status >= 200, length);
  std::array<iovec, 16> few;
  std::vector<iovec> many;
  iovec* pieces = few.data();
  if (body.size() + 3 > few.size()) {
    many.resize(body.size() + 3);
    pieces = many.data();
  }
  std::size_t n = 0;
  pieces[n++] = piece(lines.status_line());
  pieces[n++] = piece(wire_without_framing(headers, Sender::server, copy));
  pieces[n++] = piece(lines.fields());
  if (!bodyless(status))
    for (const auto p : body) pieces[n++] = piece(p);
  sent_ = Sent::all;
  co_return co_await send_rest(pieces, n, When::turn_ends);
}

Task<Result<void>> ServerConnection::start_stream(int status, const Headers& headers, std::string_view first) {
  if (sent_ != Sent::nothing) co_return answered_already;
  if (left_) co_return client_left;
  chunked_out_ = parser_.head().minor_version == 1 && !bodyless(status);
  if (!chunked_out_ && !bodyless(status)) close_after_ = true;
  if (!persists()) close_after_ = true;
  Headers copy;
  const HeadLines lines(*this, status, chunked_out_, false, 0);
  std::array<iovec, 6> pieces;
  std::size_t n = 0;
  pieces[n++] = piece(lines.status_line());
  pieces[n++] = piece(wire_without_framing(headers, Sender::server, copy));
  pieces[n++] = piece(lines.fields());
  char size_line[24];
  if (!first.empty() && !bodyless(status)) {
    if (chunked_out_) pieces[n++] = piece({size_line, write_chunk_line(first.size(), size_line)});
    pieces[n++] = piece(first);
    if (chunked_out_) pieces[n++] = piece("\r\n");
  }
  head_only_ = bodyless(status);
  sent_ = Sent::stream;
  co_return co_await send_rest(pieces.data(), n);
}

Task<Result<void>> ServerConnection::write(Pieces bytes) {
  if (sent_ != Sent::stream) co_return no_stream;
  if (left_) co_return client_left;
  std::size_t size = 0;
  for (const auto p : bytes) size += p.size();
  if (size == 0 || head_only_) co_return Result<void>{};
  char size_line[24];
  std::array<iovec, 16> few;
  std::vector<iovec> many;
  iovec* pieces = few.data();
  if (bytes.size() + 2 > few.size()) {
    many.resize(bytes.size() + 2);
    pieces = many.data();
  }
  std::size_t n = 0;
  if (chunked_out_) pieces[n++] = piece({size_line, write_chunk_line(size, size_line)});
  for (const auto p : bytes) pieces[n++] = piece(p);
  if (chunked_out_) pieces[n++] = piece("\r\n");
  co_return co_await send_rest(pieces, n, When::turn_ends);
}

Task<Result<void>> ServerConnection::finish(std::string_view last) {
  if (sent_ != Sent::stream) co_return no_stream;
  if (left_) co_return client_left;
  char size_line[24];
  std::array<iovec, 3> pieces;
  std::size_t n = 0;
  if (!last.empty() && !head_only_) {
    if (chunked_out_) pieces[n++] = piece({size_line, write_chunk_line(last.size(), size_line)});
    pieces[n++] = piece(last);
  }
  if (chunked_out_) pieces[n++] = piece(n ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
  const auto sent = n ? co_await send_rest(pieces.data(), n) : Result<void>{};
  if (sent) sent_ = Sent::all;
  co_return sent;
}

void ServerConnection::abort() {
  sent_ = Sent::all;
  left_ = true;
  channel_->close(true);
}

Task<Result<void>> Exchange::respond(int status, const Headers& headers, std::string_view body) {
  const std::string_view one[1] = {body};
  co_return co_await respond(status, headers, Pieces(one));
}

Task<Result<void>> Exchange::write(std::string_view bytes) {
  const std::string_view one[1] = {bytes};
  co_return co_await write(Pieces(one));
}

Handler::RefusalBody Handler::refused(int, std::string_view reason, std::string_view) { return {"text/plain", std::string(reason) + "\n"}; }

}  // namespace ballast::net
