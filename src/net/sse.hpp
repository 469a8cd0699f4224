// Server-sent events (WHATWG HTML, section 9.2): an incremental parser and a writer.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace ballast::net {

// One event. The views are valid until the next call of the parser.
struct SseEvent {
  std::string_view event;             // its `event` field; empty means "message"
  std::string_view data;              // its data lines joined by LF
  std::string_view id;                // its own `id` field, if any (not remembered from earlier events)
  std::string_view raw;               // its bytes as received, comments and the closing blank line included
  bool has_data = false;
};

// Bytes in, events out. Lines end with LF, CR or CRLF, split anywhere; a byte order mark at the start is skipped.
//
//   parser.push(bytes);                       // borrowed: used before they go away
//   while (auto e = parser.next()) …          // nullopt inside the Result: more bytes are needed
//
// An event that is whole inside one push is given as views of the pushed bytes, without a copy (unless it has several data
// lines). Call `next` until it is empty before the next push or before the pushed bytes go away: the rest is then kept inside.
// An event above `max_event` bytes fails (provider_bad_response), and so does every later call.
class SseParser {
 public:
  explicit SseParser(std::size_t max_event = 1024 * 1024) : max_event_(max_event) {}
  void push(std::string_view bytes);
  // Blocks of comments alone (keep-alives) are returned too, with `has_data` false: their raw bytes may be forwarded.
  Result<std::optional<SseEvent>> next();
  // Bytes of an unfinished event: what a stream that ends here has left behind (an incomplete event is not an event).
  std::string_view pending() const { return kept_; }
  void reset();

 private:
  // One past the end of the event that begins (or goes on) here; scans each byte once.
  std::optional<std::size_t> find_end();
  SseEvent read(std::string_view raw);

  std::size_t max_event_;
  std::string_view input_;            // pushed, not yet given out
  std::string kept_;                  // an event's beginning from earlier pushes
  std::string whole_;                 // the event last given, if it came in pieces
  std::string joined_;                // its data, if on several lines
  bool line_start_ = true;            // the scanner stands at the first byte of a line
  bool after_cr_ = false;             // the previous byte was a CR: an LF belongs to it
  bool swallow_lf_ = false;           // an event ended with CR: the LF that follows belongs to it
  bool any_line_ = false;             // the block has a line that is not blank
  bool begin_ = true;                 // nothing parsed yet: a byte order mark may follow
  bool failed_ = false;
};

// "event: NAME\ndata: LINE\n…\n\n" appended to `out`; `event` may be empty. Line breaks in `data` start new data lines.
void sse_write(std::string& out, std::string_view event, std::string_view data);

}  // namespace ballast::net
