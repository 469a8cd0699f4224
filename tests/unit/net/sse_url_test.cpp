#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.hpp"
#include "net/sse.hpp"
#include "net/url.hpp"

namespace ballast::net {
namespace {

struct Event { std::string event, data, id; friend bool operator==(const Event&, const Event&) = default; };
void PrintTo(const Event& e, std::ostream* out) { *out << '{' << e.event << '|' << e.data << '|' << e.id << '}'; }

std::vector<Event> parse(const std::string& bytes, std::size_t step, std::string* raw = nullptr) {
  SseParser parser;
  std::vector<Event> out;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const std::string piece = bytes.substr(at, step);
    parser.push(piece);
    for (;;) {
      auto e = parser.next();
      EXPECT_TRUE(e.has_value());
      if (!e || !*e) break;
      if (raw) raw->append((*e)->raw);
      if ((*e)->has_data) out.push_back({std::string((*e)->event), std::string((*e)->data), std::string((*e)->id)});
    }
  }
  return out;
}

TEST(Sse, LinesEndAnywhereAndInThreeWays) {
  const struct { const char* name; std::string bytes; std::vector<Event> events; } cases[] = {
      {"LF", "data: a\n\ndata: b\n\n", {{"", "a", ""}, {"", "b", ""}}},
      {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a", ""}, {"", "b", ""}}},
      {"CR", "data: a\r\rdata: b\r\r", {{"", "a", ""}, {"", "b", ""}}},
      {"mixed", "data: a\r\n\ndata: b\n\r\ndata: c\r\n\r", {{"", "a", ""}, {"", "b", ""}, {"", "c", ""}}},
      {"all fields", "event: delta\nid: 7\nretry: 5\ndata: {\"x\":1}\n\n", {{"delta", "{\"x\":1}", "7"}}},
      {"several data lines", "data: a\ndata\ndata:b\n\n", {{"", "a\n\nb", ""}}},
      {"only one blank is removed", "data:  a\n\n", {{"", " a", ""}}},
      {"comments", ": ping\n\n:\ndata: a\n\n", {{"", "a", ""}}},
      {"byte order mark", "\xef\xbb\xbf" "data: a\n\n", {{"", "a", ""}}},
      {"blank lines around", "\n\r\n\rdata: a\n\n\n\ndata: b\n\n", {{"", "a", ""}, {"", "b", ""}}},
      {"an unfinished event is none", "data: a\n\ndata: b\n", {{"", "a", ""}}},
      {"data without a colon", "data\n\n", {{"", "", ""}}},
      {"unknown fields", "x: y\ndatum: z\ndata: a\n\n", {{"", "a", ""}}},
  };
  for (const auto& c : cases)
    for (std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, c.bytes.size()})
      EXPECT_EQ(c.events, parse(c.bytes, step)) << c.name << " in steps of " << step;
}

// Byte by byte each line's end is found by itself; in larger pieces it is searched for.
TEST(Sse, HowTheBytesArriveChangesNothing) {
  SeededRandom random(5);
  for (int i = 0; i < 300; ++i) {
    std::string bytes;
    while (bytes.size() < 3000) {
      const auto what = random.below(12);
      if (what < 3) bytes += "\n";
      else if (what < 5) bytes += "\r";
      else if (what < 6) bytes += "\r\n";
      else if (what < 9) bytes += "data: ";
      else bytes += std::string(random.chance(0.1) ? 500 + random.below(600) : random.below(40), 'x');
    }
    const auto events = parse(bytes, 1);
    for (const std::size_t step : {std::size_t{2}, 1 + random.below(100), 1 + random.below(2000), bytes.size()})
      ASSERT_EQ(events, parse(bytes, step)) << "seed 5, text " << i << ", steps of " << step;
  }
}

TEST(Sse, WholeEventsAreNotCopiedAndRawIsExact) {
  const std::string bytes = ": hi\n\nevent: a\ndata: 1\n\ndata: [DONE]\n\n";
  SseParser parser;
  parser.push(bytes);
  (void)parser.next();
  const auto e = parser.next();
  ASSERT_TRUE(e && *e);
  EXPECT_GE((*e)->data.data(), bytes.data());
  EXPECT_LT((*e)->data.data(), bytes.data() + bytes.size());
  EXPECT_EQ("event: a\ndata: 1\n\n", (*e)->raw);
  std::string raw;
  parse(bytes, 3, &raw);
  EXPECT_EQ(bytes, raw);
}

TEST(Sse, AnEndlessEventFails) {
  SseParser parser(100);
  const std::string piece(60, 'x');
  parser.push(piece);
  EXPECT_TRUE(parser.next().has_value());
  parser.push(piece);
  const auto e = parser.next();
  ASSERT_FALSE(e.has_value());
  EXPECT_EQ(ErrorCode::provider_bad_response, e.error().code);
  EXPECT_FALSE(parser.next().has_value());
}

TEST(Sse, WritesWhatItReads) {
  std::string out;
  sse_write(out, "x", "a\nb\r\nc");
  EXPECT_EQ("event: x\ndata: a\ndata: b\ndata: c\n\n", out);
  EXPECT_EQ((std::vector<Event>{{"x", "a\nb\nc", ""}}), parse(out, out.size()));
}

TEST(Url, PartsAndRefusals) {
  const auto u = parse_url("https://API.example.com/v1/x?y=z#frag");
  ASSERT_TRUE(u);
  EXPECT_TRUE(u->origin.tls);
  EXPECT_EQ("api.example.com", u->origin.host);
  EXPECT_EQ(443, u->origin.port);
  EXPECT_EQ("api.example.com", u->origin.authority);
  EXPECT_EQ("/v1/x?y=z", u->target);
  EXPECT_EQ("127.0.0.1:9100", parse_url("http://127.0.0.1:9100")->origin.authority);
  EXPECT_EQ("[::1]:80", parse_url("https://[::1]:80/")->origin.authority);
  EXPECT_EQ("/?a", parse_url("http://h?a")->target);
  for (const char* bad : {"", "ftp://a", "http://", "http://:80", "http://a:0", "http://a:70000", "http://a:x", "http://u:p@a/",
                          "http://a b/", "http://a/b c", "http://a/\r\nx", "http://[::1", "http://a/\x80"})
    EXPECT_FALSE(parse_url(bad)) << bad;
  std::string value;
  EXPECT_TRUE(query_value("a=1&b%20c=d+e%2", "b c", value));
  EXPECT_EQ("d e%2", value);
  EXPECT_FALSE(query_value("a=1", "b", value));
  EXPECT_EQ("a%2Fb%20%C3%A4", percent_encode("a/b \xc3\xa4"));
}

}  // namespace
}  // namespace ballast::net
