// The codec as a table: what passes, what is refused and with which status; and that splitting never changes the answer.
#include "net/codec.hpp"

#include <gtest/gtest.h>

#include <string>

namespace ballast::net {
namespace {

struct Case { const char* name; std::string bytes; int status; };   // 0: accepted

std::string get(std::string fields, std::string line = "GET / HTTP/1.1\r\n") { return line + fields + "\r\n"; }

const Case request_cases[] = {
    {"plain", get("Host: a\r\n"), 0},
    {"an empty line first", "\r\n" + get("Host: a\r\n"), 0},
    {"two empty lines first", "\r\n\r\n" + get("Host: a\r\n"), 400},
    {"HTTP/1.0 without Host", get("", "GET / HTTP/1.0\r\n"), 0},
    {"no Host", get("A: b\r\n"), 400},
    {"two Hosts", get("Host: a\r\nHost: a\r\n"), 400},
    {"empty Host", get("Host:\r\n"), 400},
    {"Host with a path", get("Host: a/b\r\n"), 400},
    {"Host with credentials", get("Host: u@a\r\n"), 400},
    {"TE and CL", get("Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"CL and TE", get("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400},
    {"two equal CL", get("Host: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n"), 400},
    {"two different CL", get("Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n"), 400},
    {"a CL list", get("Host: a\r\nContent-Length: 3, 3\r\n"), 400},
    {"a signed CL", get("Host: a\r\nContent-Length: +3\r\n"), 400},
    {"a hexadecimal CL", get("Host: a\r\nContent-Length: 0x3\r\n"), 400},
    {"an empty CL", get("Host: a\r\nContent-Length: \r\n"), 400},
    {"a CL beyond 64 bits", get("Host: a\r\nContent-Length: 99999999999999999999\r\n"), 400},
    {"a CL above the limit", get("Host: a\r\nContent-Length: 1000001\r\n"), 413},
    {"a CL at the limit", get("Host: a\r\nContent-Length: 1000000\r\n"), 0},
    {"chunked", get("Host: a\r\nTransfer-Encoding: chunked\r\n"), 0},
    {"CHUNKED", get("Host: a\r\nTransfer-Encoding: Chunked\r\n"), 0},
    {"chunked twice", get("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"chunked, chunked", get("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n"), 501},
    {"gzip, chunked", get("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"), 501},
    {"chunked in HTTP/1.0", get("Host: a\r\nTransfer-Encoding: chunked\r\n", "POST / HTTP/1.0\r\n"), 400},
    {"a folded line", get("Host: a\r\nA: b\r\n c\r\n"), 400},
    {"a folded first field", get(" Host: a\r\n"), 400},
    {"a blank before the colon", get("Host : a\r\n"), 400},
    {"no colon", get("Host: a\r\nabc\r\n"), 400},
    {"an empty name", get("Host: a\r\n: b\r\n"), 400},
    {"a bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
    {"a bare LF in the fields", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"a bare CR", get("Host: a\r\nA: b\rc\r\n"), 400},
    {"NUL in a value", get(std::string("Host: a\r\nA: b\0c\r\n", 17)), 400},
    {"NUL in a name", get(std::string("Host: a\r\nA\0: c\r\n", 16)), 400},
    {"a control in a value", get("Host: a\r\nA: b\x01\r\n"), 400},
    {"bytes above ASCII in a value", get("Host: a\r\nA: \xc3\xa4\r\n"), 0},
    {"a tab in a value", get("Host: a\r\nA: b\tc\r\n"), 0},
    {"an unknown method", get("Host: a\r\n", "BREW / HTTP/1.1\r\n"), 0},
    {"CONNECT", get("Host: a\r\n", "CONNECT a:443 HTTP/1.1\r\n"), 405},
    {"TRACE", get("Host: a\r\n", "TRACE / HTTP/1.1\r\n"), 405},
    {"no method", get("Host: a\r\n", " / HTTP/1.1\r\n"), 400},
    {"a method that is no token", get("Host: a\r\n", "G@T / HTTP/1.1\r\n"), 400},
    {"two blanks", get("Host: a\r\n", "GET  / HTTP/1.1\r\n"), 400},
    {"a blank in the target", get("Host: a\r\n", "GET /a b HTTP/1.1\r\n"), 400},
    {"a fragment", get("Host: a\r\n", "GET /a#b HTTP/1.1\r\n"), 400},
    {"a relative target", get("Host: a\r\n", "GET a HTTP/1.1\r\n"), 400},
    {"an asterisk", get("Host: a\r\n", "OPTIONS * HTTP/1.1\r\n"), 0},
    {"an asterisk of GET", get("Host: a\r\n", "GET * HTTP/1.1\r\n"), 400},
    {"absolute form", get("Host: a:80\r\n", "GET http://a:80/x HTTP/1.1\r\n"), 0},
    {"absolute form of another host", get("Host: a\r\n", "GET http://b/x HTTP/1.1\r\n"), 400},
    {"HTTP/2.0", get("Host: a\r\n", "GET / HTTP/2.0\r\n"), 505},
    {"HTTP/1.2", get("Host: a\r\n", "GET / HTTP/1.2\r\n"), 505},
    {"HTTP/0.9", "GET /\r\n\r\n", 400},
    {"lower-case version", get("Host: a\r\n", "GET / http/1.1\r\n"), 400},
    {"100-continue", get("Host: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n"), 0},
    {"another expectation", get("Host: a\r\nExpect: tea\r\n"), 417},
    {"a long target", get("Host: a\r\n", "GET /" + std::string(600, 'a') + " HTTP/1.1\r\n"), 414},
    {"a target beyond the header limit", "GET /" + std::string(3000, 'a'), 414},
    {"a long header", get("Host: a\r\nA: " + std::string(3000, 'a') + "\r\n"), 431},
    {"an endless header", "GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(3000, 'a'), 431},
    {"many fields", get("Host: a\r\n" + [] { std::string s; for (int i = 0; i < 20; ++i) s += "A: b\r\n"; return s; }()), 431},
};

HttpLimits limits() { return {.head_bytes = 2048, .target_bytes = 512, .fields = 20, .body_bytes = 1'000'000, .trailer_bytes = 64, .chunk_line_bytes = 32}; }

TEST(Codec, RefusesWhatTwoReadersCouldReadInTwoWays) {
  const HttpLimits l = limits();
  for (const Case& c : request_cases) {
    RequestParser whole(l);
    const ParseStep step = whole.parse(c.bytes);
    EXPECT_EQ(c.status ? ParseStep::refused : ParseStep::done, step) << c.name;
    EXPECT_EQ(c.status, whole.refusal().status) << c.name << ": " << whole.refusal().reason;
  }
}

TEST(Codec, LetsAnUploadBeLargerOnItsOwnPathAlone) {
  HttpLimits l = limits();
  l.upload_path = "/v1/files";
  l.upload_bytes = 5'000'000;
  for (const auto& [target, length, status] : {std::tuple("/v1/files", "5000000", 0), {"/v1/files?a=b", "5000000", 0}, {"http://a/v1/files", "5000000", 0}, {"/v1/files", "5000001", 413},
                                               {"/v1/files/", "1000001", 413}, {"/v1/file", "1000001", 413}, {"/?/v1/files", "1000001", 413}}) {
    RequestParser parser(l);
    (void)parser.parse(std::string("POST ") + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\n\r\n");
    EXPECT_EQ(parser.refusal().status, status) << target << " " << length;
  }
}

TEST(Codec, ByteByByteSaysTheSame) {
  const HttpLimits l = limits();
  for (const Case& c : request_cases) {
    RequestParser p(l);
    ParseStep step = ParseStep::more;
    std::string arrived;
    for (std::size_t i = 0; i < c.bytes.size() && step == ParseStep::more; ++i) {
      arrived = std::string(arrived + c.bytes[i]);        // another place each time
      step = p.parse(arrived);
    }
    EXPECT_EQ(c.status ? ParseStep::refused : ParseStep::done, step) << c.name;
    EXPECT_EQ(c.status, p.refusal().status) << c.name;
    if (step == ParseStep::done) EXPECT_TRUE(p.head().headers.empty() || p.head().headers[0].name.size() > 0);
  }
}

TEST(Codec, ReadsTheParts) {
  const HttpLimits l = limits();
  const std::string bytes = "POST /v1/chat?x=1&y HTTP/1.1\r\nHost: example:80\r\nX-A:  b c \r\ncontent-length: 5\r\nConnection: foo, Close\r\n\r\nhello";
  RequestParser p(l);
  ASSERT_EQ(ParseStep::done, p.parse(bytes));
  const RequestHead& h = p.head();
  EXPECT_EQ("POST", h.method);
  EXPECT_EQ("/v1/chat?x=1&y", h.target);
  EXPECT_EQ("/v1/chat", h.path);
  EXPECT_EQ("x=1&y", h.query);
  EXPECT_EQ("b c", h.headers.get("x-a"));
  EXPECT_EQ(Framing::Kind::length, h.framing.kind);
  EXPECT_EQ(5u, h.framing.length);
  EXPECT_FALSE(h.keep_alive);
  EXPECT_EQ("hello", bytes.substr(p.head_bytes()));
  const Headers copy = h.headers;                         // owns its text: can be sent on
  EXPECT_EQ("Host: example:80\r\nX-A: b c\r\ncontent-length: 5\r\nConnection: foo, Close\r\n", copy.wire());
}

TEST(Codec, Responses) {
  const HttpLimits l = limits();
  const struct { const char* bytes; bool ok; Framing::Kind kind; bool keep; } cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, Framing::Kind::length, true},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", true, Framing::Kind::none, true},
      {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", true, Framing::Kind::chunked, true},
      {"HTTP/1.1 200 OK\r\n\r\n", true, Framing::Kind::until_close, false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", true, Framing::Kind::length, false},
      {"HTTP/1.1 204 No Content\r\n\r\n", true, Framing::Kind::none, true},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", true, Framing::Kind::none, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false, {}, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", false, {}, false},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, {}, false},
      {"HTTP/2 200 OK\r\n\r\n", false, {}, false},
      {"HTTP/1.1 20 OK\r\n\r\n", false, {}, false},
      {"HTTP/1.1 2000 OK\r\n\r\n", false, {}, false},
      {"<html>\r\n\r\n", false, {}, false},
      {"HTTP/1.1 200 OK\nA: b\n\n", false, {}, false},
  };
  for (const auto& c : cases) {
    ResponseParser p(l);
    p.reset(false);
    EXPECT_EQ(c.ok ? ParseStep::done : ParseStep::refused, p.parse(c.bytes)) << c.bytes;
    if (!c.ok) continue;
    EXPECT_EQ(c.kind, p.head().framing.kind) << c.bytes;
    EXPECT_EQ(c.keep, p.head().keep_alive) << c.bytes;
  }
}

struct ChunkCase { const char* name; std::string bytes; int status; std::string payload; std::string after; };

const ChunkCase chunk_cases[] = {
    {"two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0, "abcde", ""},
    {"upper and lower hex", "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", 0, "01234567890123456789a", ""},
    {"the next message", "1\r\na\r\n0\r\n\r\nGET", 0, "a", "GET"},
    {"extensions", "1;x=y\r\na\r\n0;z\r\n\r\n", 0, "a", ""},
    {"trailers vanish", "1\r\na\r\n0\r\nAuthorization: x\r\nB: c\r\n\r\n", 0, "a", ""},
    {"long extension", "1;" + std::string(40, 'x') + "\r\na\r\n0\r\n\r\n", 400, "", ""},
    {"long trailers", "0\r\nA: " + std::string(80, 'x') + "\r\n\r\n", 431, "", ""},
    {"no size", "\r\na", 400, "", ""},
    {"a sign", "+1\r\na\r\n0\r\n\r\n", 400, "", ""},
    {"0x", "0x1\r\na\r\n0\r\n\r\n", 400, "", ""},
    {"a blank", "1 \r\na\r\n0\r\n\r\n", 400, "", ""},
    {"a size beyond 64 bits", "10000000000000000\r\n", 400, "", ""},
    {"a bare LF after the size", "1\na\r\n0\r\n\r\n", 400, "", ""},
    {"a bare LF after the data", "1\r\na\n0\r\n\r\n", 400, "", ""},
    {"a bare LF in trailers", "0\r\nA: b\n\r\n", 400, "", ""},
    {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", 400, "", ""},
    {"more data than its size", "1\r\nab\r\n0\r\n\r\n", 400, "", ""},
    {"a NUL in an extension", std::string("1;\0\r\na", 6), 400, "", ""},
    {"above the body limit", "f4241\r\n", 413, "", ""},
};

TEST(Codec, ChunkedCoding) {
  const HttpLimits l = limits();
  for (const ChunkCase& c : chunk_cases) {
    std::string bytes = c.bytes;
    ChunkedDecoder d(l);
    const auto out = d.decode(bytes.data(), bytes.size());
    EXPECT_EQ(c.status ? ParseStep::refused : ParseStep::done, out.step) << c.name;
    EXPECT_EQ(c.status, d.refusal().status) << c.name << d.refusal().reason;
    if (!c.status) {
      EXPECT_EQ(c.payload, bytes.substr(0, out.produced)) << c.name;
      EXPECT_EQ(c.after, c.bytes.substr(out.consumed)) << c.name;
    }
    ChunkedDecoder slow(l);
    std::string payload;
    ParseStep step = ParseStep::more;
    for (std::size_t i = 0; i < c.bytes.size() && step == ParseStep::more; ++i) {
      char one = c.bytes[i];
      const auto o = slow.decode(&one, 1);
      payload.append(&one, o.produced);
      step = o.step;
    }
    EXPECT_EQ(c.status ? ParseStep::refused : ParseStep::done, step) << c.name;
    if (!c.status) EXPECT_EQ(c.payload, payload) << c.name;
  }
}

TEST(Headers, NeverSplitAMessage) {
  Headers h;
  EXPECT_FALSE(h.add("a", "b\r\nc: d"));
  EXPECT_FALSE(h.add("a", "b\nc"));
  EXPECT_FALSE(h.add("a b", "c"));
  EXPECT_FALSE(h.add("", "c"));
  EXPECT_FALSE(h.add("a", std::string_view("\0", 1)));
  EXPECT_TRUE(h.add("A", " x "));
  EXPECT_TRUE(h.add("b", ""));
  EXPECT_TRUE(h.add("a", "y"));
  EXPECT_EQ("A: x\r\nb: \r\na: y\r\n", h.wire());
  EXPECT_EQ(2u, h.count("a"));
  EXPECT_TRUE(h.set("a", h.get("a")));
  EXPECT_EQ("b: \r\na: x\r\n", h.wire());
  Headers moved = std::move(h);
  EXPECT_EQ(1u, moved.remove("B"));
  EXPECT_EQ("a: x\r\n", moved.wire());
}

TEST(Headers, FramingIsTheCodecsOwn) {
  const Headers all{{"Connection", "x"}, {"a", "1"}, {"Keep-Alive", "x"}, {"content-length", "9"}, {"Transfer-Encoding", "x"},
                    {"Date", "d"}, {"Host", "h"}, {"expect", "e"}};
  Headers from_client, from_server, unused;
  EXPECT_EQ("a: 1\r\nDate: d\r\n", wire_without_framing(all, Sender::client, from_client));
  EXPECT_EQ("a: 1\r\nHost: h\r\nexpect: e\r\n", wire_without_framing(all, Sender::server, from_server));
  const Headers plain{{"a", "1"}};
  EXPECT_EQ(plain.wire().data(), wire_without_framing(plain, Sender::server, unused).data());
  EXPECT_EQ("", wire_without_framing(Headers{}, Sender::client, unused));
  EXPECT_TRUE(unused.empty());
}

TEST(Headers, RefuseAControlWhereverItStandsInAValue) {
  const std::string_view text = "a value of some twenty bytes";
  for (std::size_t size = 3; size <= text.size(); ++size)
    for (std::size_t at = 1; at + 1 < size; ++at)
      for (unsigned c = 0; c < 256; ++c) {
        std::string value(text.substr(0, size - 1));
        value += 'z';
        value[at] = static_cast<char>(c);
        const bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
        ASSERT_EQ(allowed, Headers().add("a", value)) << "byte " << c << " at " << at << " of " << size;
        ASSERT_EQ(allowed, Headers().put("a", value));
        Headers set{{"a", "x"}};
        ASSERT_EQ(allowed, set.set("b", value));
      }
}

TEST(Headers, AFieldCanBeSetToTheTextOfAnother) {
  Headers h{{"a", "long enough not to be kept in place, and longer than the room that is left"}};
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(h.set("b" + std::to_string(i), h.get("a")));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(h.get("a"), h.get("b" + std::to_string(i)));
}

}  // namespace
}  // namespace ballast::net
