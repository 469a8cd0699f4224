// Run: fuzz_sse [corpus] tests/fuzz/seeds/sse
// The SSE parser: the same events however the bytes are split, raw bytes never invented, bounded memory.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/sse.hpp"

using ballast::net::SseParser;

namespace {

struct Seen { std::string events, raw; bool failed = false; };

Seen feed(const std::string& bytes, std::size_t step) {
  SseParser parser(512);
  Seen seen;
  for (std::size_t at = 0; at < bytes.size() && !seen.failed; at += step) {
    const std::string piece = bytes.substr(at, step);
    parser.push(piece);
    for (;;) {
      const auto e = parser.next();
      if (!e) { seen.failed = true; break; }
      if (!*e) break;
      const auto& v = **e;
      if (v.has_data) seen.events.append(v.event).append(1, '\1').append(v.data).append(1, '\1').append(v.id).append(1, '\2');
      seen.raw.append(v.raw);
    }
    if (parser.pending().size() > 512) std::abort();
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const Seen whole = feed(bytes, bytes.size() + 1), split = feed(bytes, 1 + data[0] % 5);
  // At the very limit a CRLF cut in two may decide whether an event is one byte too large.
  if (!whole.failed && !split.failed && whole.events != split.events) std::abort();
  if (whole.raw.size() > bytes.size()) std::abort();
  return 0;
}
