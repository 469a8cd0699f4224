// The strict HTTP/1.1 codec: pure, incremental, no I/O. Everything an intermediary could read in two ways is refused:
// TE with CL, differing or repeated CL, chunked in HTTP/1.0, a missing or second Host, folded lines, a bare CR or LF,
// blanks before a colon, controls in values, chunk sizes that are not plain hexadecimal, trailers past the limit.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/http.hpp"

namespace ballast::net {

// Why a message was refused: the status for a client, a fixed sentence for both sides.
struct Refusal {
  int status = 0;                     // 400, 405, 413, 414, 417, 431, 501, 505; 502 from a ResponseParser
  std::string_view reason;            // static text, never the peer's bytes
};

enum class ParseStep : std::uint8_t { more, done, refused };

// The part that requests and responses share: lines, fields, framing. Use the two below.
class HeadParser {
 public:
  // Bytes the head took, once `done`.
  std::size_t head_bytes() const { return at_; }
  const Refusal& refusal() const { return refusal_; }

 protected:
  explicit HeadParser(const HttpLimits& limits) : limits_(&limits) {}
  void restart();
  // The next whole line of `bytes` without its CRLF, or false: more is needed, or it was refused (`refusal_.status`).
  bool next_line(std::string_view bytes, std::string_view& line);
  bool add_field(std::string_view bytes, std::string_view line, Headers& headers);
  bool special_field(std::string_view bytes, std::string_view name, std::string_view value);
  ParseStep refuse(int status, std::string_view reason) { refusal_ = {status, reason}; return ParseStep::refused; }

  const HttpLimits* limits_;
  std::size_t at_ = 0;                // first byte of the line being read
  std::size_t scanned_ = 0;           // no LF before here
  bool first_line_done_ = false;
  Refusal refusal_;
  // Collected while the fields pass by.
  bool has_length_ = false, has_coding_ = false, chunked_ = false, other_coding_ = false;
  bool close_ = false, keep_ = false, expect_ = false, bad_expect_ = false;
  unsigned hosts_ = 0;
  std::uint32_t host_at_ = 0, host_size_ = 0;
  std::uint64_t length_ = 0;
};

// Reads one request head. `parse` is called with all bytes from the head's first byte on, again with more bytes (the
// buffer may have moved) until it is `done` or `refused`; each byte is scanned once. The head borrows those bytes:
// after moving them, call `rebase`.
class RequestParser : public HeadParser {
 public:
  explicit RequestParser(const HttpLimits& limits) : HeadParser(limits) {}
  ParseStep parse(std::string_view bytes);
  // Points the finished head at the same bytes in another place.
  void rebase(const char* bytes);
  void reset();
  const RequestHead& head() const { return head_; }
  // The path, as soon as the request line was read, also of a head that was refused later; else empty. `bytes`: what was parsed.
  std::string_view path_in(std::string_view bytes) const { return bytes.substr(path_at_, path_size_); }

 private:
  ParseStep request_line(std::string_view bytes, std::string_view line);
  ParseStep finish(std::string_view bytes);
  RequestHead head_;
  std::uint32_t target_at_ = 0, target_size_ = 0, method_size_ = 0, method_at_ = 0, path_at_ = 0, path_size_ = 0;
};

// Reads one response head; interim 1xx heads are the caller's to skip (`head().status < 200`).
class ResponseParser : public HeadParser {
 public:
  explicit ResponseParser(const HttpLimits& limits) : HeadParser(limits) {}
  // `to_head_request`: the response to a HEAD has no body whatever it says.
  void reset(bool to_head_request);
  ParseStep parse(std::string_view bytes);
  void rebase(const char* bytes);
  const ResponseHead& head() const { return head_; }

 private:
  ParseStep status_line(std::string_view bytes, std::string_view line);
  ParseStep finish(std::string_view bytes);
  ResponseHead head_;
  std::uint32_t reason_at_ = 0, reason_size_ = 0;
  bool no_body_ = false;
};

// Removes the chunked coding in place: payload bytes are moved together to the front of what was given.
class ChunkedDecoder {
 public:
  explicit ChunkedDecoder(const HttpLimits& limits) : limits_(&limits) {}
  void reset() { *this = ChunkedDecoder(*limits_); }
  struct Out {
    ParseStep step;                   // done: the last chunk and the trailers have passed
    std::size_t consumed;             // of the bytes given; all of them unless done or refused
    std::size_t produced;             // payload bytes, now at the front
  };
  Out decode(char* bytes, std::size_t size);
  const Refusal& refusal() const { return refusal_; }
  // Payload bytes so far.
  std::uint64_t total() const { return total_; }

 private:
  enum class State : std::uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailer, trailer_lf, done };
  bool refuse(int status, std::string_view reason) { refusal_ = {status, reason}; return false; }
  bool step(char c);
  const HttpLimits* limits_;
  State state_ = State::size;
  bool line_empty_ = true;
  std::uint8_t digits_ = 0;
  std::uint32_t line_bytes_ = 0, trailer_bytes_ = 0;
  std::uint64_t left_ = 0, total_ = 0;
  Refusal refusal_;
};

// Writes `size` as a chunk's first line ("1f4\r\n") into `out` (at least 18 bytes); returns its length.
std::size_t write_chunk_line(std::size_t size, char* out);

// The fields as a message of `sender` carries them: without those that the codec writes itself (framing, the connection's
// life; Date on the server, Host and Expect on the client). A view of `headers` if it owns its text and names none of
// them, else of `copy`, which was empty.
enum class Sender : std::uint8_t { client, server };
std::string_view wire_without_framing(const Headers& headers, Sender sender, Headers& copy);

}  // namespace ballast::net
