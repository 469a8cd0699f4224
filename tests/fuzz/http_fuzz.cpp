// Run: fuzz_http [corpus] tests/fuzz/seeds/http
// The codec under arbitrary bytes: never out of bounds, the same answer however the bytes are split, and, where Beast
// accepts the same head too, the same reading of it (Beast is an oracle here and nowhere else).
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/codec.hpp"

using namespace ballast::net;
namespace http = boost::beast::http;

namespace {

void require(bool holds) { if (!holds) std::abort(); }

const HttpLimits limits{.head_bytes = 4096, .target_bytes = 1024, .fields = 32, .body_bytes = 1 << 20, .trailer_bytes = 128, .chunk_line_bytes = 64};

template <class Parser>
ParseStep in_steps(Parser& p, std::string_view bytes, std::size_t step) {
  std::string arrived;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    std::string moved = arrived + std::string(bytes.substr(at, step));
    arrived.swap(moved);
    const ParseStep got = p.parse(arrived);
    if (got == ParseStep::done) p.rebase(bytes.data());
    if (got != ParseStep::more) return got;
  }
  return ParseStep::more;
}

std::string decode(std::string bytes, std::size_t step, ParseStep& end) {
  ChunkedDecoder d(limits);
  std::string payload;
  end = ParseStep::more;
  for (std::size_t at = 0; at < bytes.size() && end == ParseStep::more; at += step) {
    std::string piece = bytes.substr(at, step);
    const auto out = d.decode(piece.data(), piece.size());
    require(out.consumed <= piece.size() && out.produced <= out.consumed);
    payload.append(piece.data(), out.produced);
    end = out.step;
  }
  return payload;
}

void against_beast(const RequestHead& ours, std::string_view bytes) {
  http::request_parser<http::empty_body> theirs;
  theirs.header_limit(1 << 20);
  theirs.body_limit(boost::none);
  boost::system::error_code failed;
  theirs.eager(false);
  theirs.put(boost::asio::buffer(bytes.data(), bytes.size()), failed);
  if (failed || !theirs.is_header_done()) return;
  require(theirs.get().method_string() == ours.method);
  require(theirs.get().target() == ours.target);
  require(theirs.chunked() == (ours.framing.kind == Framing::Kind::chunked));
  const auto length = theirs.content_length();
  require(theirs.chunked() || (length ? *length : 0) == ours.framing.length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t step = 1 + data[0] % 7;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);

  RequestParser whole(limits), split(limits);
  const ParseStep a = whole.parse(bytes), b = in_steps(split, bytes, step);
  require(a == b && whole.refusal().status == split.refusal().status);
  if (a == ParseStep::done) {
    require(whole.head_bytes() == split.head_bytes() && whole.head_bytes() <= bytes.size());
    require(whole.head().target == split.head().target && whole.head().headers.size() == split.head().headers.size());
    const Headers copy = whole.head().headers;
    require(copy.size() == whole.head().headers.size());
    against_beast(whole.head(), bytes);
  }

  ResponseParser one(limits), many(limits);
  one.reset(false);
  many.reset(false);
  require(one.parse(bytes) == in_steps(many, bytes, step));
  require(one.refusal().status == many.refusal().status);

  ParseStep end_whole, end_split;
  const std::string payload = decode(bytes, bytes.size() + 1, end_whole), pieces = decode(bytes, step, end_split);
  require(end_whole == end_split);
  require(end_whole != ParseStep::done || payload == pieces);
  return 0;
}
