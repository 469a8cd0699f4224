#include "net/egress.hpp"

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"
#include "net/fetch.hpp"

namespace ballast::net {
namespace {

using namespace std::chrono_literals;

TEST(Egress, OnlyThePublicInternetIsPublic) {
  const struct { const char* address; const char* kind; } cases[] = {
      {"0.0.0.0", "unspecified"}, {"0.1.2.3", "unspecified"},
      {"10.0.0.1", "private"}, {"10.255.255.255", "private"}, {"172.16.0.1", "private"}, {"172.31.255.255", "private"}, {"192.168.0.1", "private"},
      {"100.64.0.1", "shared"}, {"100.127.255.255", "shared"},
      {"127.0.0.1", "loopback"}, {"127.255.255.254", "loopback"},
      {"169.254.1.1", "link-local"}, {"169.254.169.254", "link-local"},
      {"192.0.0.8", "protocol"}, {"192.0.2.1", "documentation"}, {"198.51.100.1", "documentation"}, {"203.0.113.255", "documentation"},
      {"192.88.99.1", "6to4"}, {"198.18.0.1", "benchmarking"}, {"198.19.255.255", "benchmarking"},
      {"224.0.0.1", "multicast"}, {"239.255.255.255", "multicast"}, {"240.0.0.1", "reserved"}, {"255.255.255.255", "reserved"},
      {"::", "unspecified"}, {"::1", "loopback"}, {"::2", "compatible"},
      {"::ffff:127.0.0.1", "mapped"}, {"::ffff:8.8.8.8", "mapped"}, {"::127.0.0.1", "compatible"}, {"::ffff:0:10.0.0.1", "translated"},
      {"64:ff9b::10.0.0.1", "NAT64"}, {"64:ff9b::8.8.8.8", "NAT64"}, {"64:ff9b:1::1", "NAT64"},
      {"100::1", "discard"}, {"2001::1", "Teredo"}, {"2001:0:4136:e378::1", "Teredo"}, {"2001:2::1", "benchmarking"}, {"2001:20::1", "protocol"},
      {"2001:db8::1", "documentation"}, {"3fff::1", "documentation"}, {"3fff:fff:ffff::1", "documentation"},
      {"2002:7f00:1::1", "6to4"}, {"2002:808:808::1", "6to4"},
      {"fc00::1", "unique local"}, {"fd00:ec2::254", "unique local"}, {"fe80::1", "link-local"}, {"febf::1", "link-local"},
      {"fec0::1", "site-local"}, {"ff02::1", "multicast"}, {"4000::1", "outside"}, {"5f00::1", "outside"}, {"1::1", "outside"},
      {"1.1.1.1", ""}, {"8.8.8.8", ""}, {"9.255.255.255", ""}, {"11.0.0.0", ""}, {"100.63.255.255", ""}, {"100.128.0.0", ""},
      {"126.255.255.255", ""}, {"128.0.0.0", ""}, {"172.15.255.255", ""}, {"172.32.0.0", ""}, {"192.167.255.255", ""}, {"192.169.0.0", ""},
      {"198.17.255.255", ""}, {"198.20.0.0", ""}, {"223.255.255.255", ""},
      {"2001:200::1", ""}, {"2003::1", ""}, {"2606:4700::1111", ""}, {"2a00:1450::1", ""}, {"3ffe::1", ""},
  };
  for (const auto& c : cases) {
    const auto address = parse_ip(c.address);
    ASSERT_TRUE(address) << c.address;
    const auto kind = not_public(*address);
    EXPECT_EQ(*c.kind == 0, kind.empty()) << c.address << " " << kind;
    EXPECT_NE(std::string_view::npos, kind.find(c.kind)) << c.address << " " << kind;
  }
  for (const char* text : {"", "1.2.3", "01.2.3.4", "1.2.3.4.", "0x7f.0.0.1", "2130706433", "[::1]", "fe80::1%lo", "::ffff:1.2.3", "a", " ::1"})
    EXPECT_FALSE(parse_ip(text)) << text;
  EXPECT_FALSE(parse_ip(std::string_view("8.8.8.8\0x", 9)));
}

// What a policy says of a URL by its text; empty: allowed so far.
std::string verdict(const EgressPolicy& policy, std::string_view text) {
  const auto url = parse_url(text);
  if (!url) return "malformed";
  const auto said = policy.admit(url->origin);
  if (said) return "";
  EXPECT_EQ(said.error().code, ErrorCode::policy_egress_denied) << text;
  EXPECT_EQ(said.error().field, url->origin.authority);
  EXPECT_FALSE(said.error().retryable) << text;
  EXPECT_NE(said.error().message.find(url->origin.host), std::string::npos) << said.error().message;
  return said.error().message;
}

TEST(Egress, OddSpellingsOfAnAddressGetNowhere) {
  const EgressPolicy policy;
  for (const char* url : {
           "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://0x7f000001/", "http://127.1/", "http://127.0.1/",
           "http://017700000001/", "http://0x7F.0x0.0x0.0x1/", "http://00000177.0.0.1/", "http://127.0.0.1./", "http://1.1.1.1./",
           "http://0/", "http://0x/", "http://4294967295/", "http://1.2.3.4.5/", "http://256.256.256.256/", "http://example.0x7f/",
           "http://127.0.0.1/", "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/",
           "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1]/", "http://[127.0.0.1]/",
           "http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://a.localhost/", "http://A.B.LocalHost.:8080/",
           "http://localhost.localdomain/", "http://printer.local/", "http://db.internal/", "http://nas.home.arpa/",
           "http://metadata.google.internal/", "http://metadata.google.internal./", "http://metadata/", "http://metadata.goog/",
           "http://instance-data.ec2.internal/", "http://redis/", "http://./", "https://169.254.169.254/latest/meta-data/", "http://168.63.129.16/"})
    EXPECT_NE(verdict(policy, url), "") << url;
  for (const char* url : {
           "http://user@example.com/", "http://user:secret@127.0.0.1/", "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/",
           "http://[fe80::1%25lo]/", "http://[fe80::1%lo]/", "http://%6c%6f%63alhost/", "http://\xe2\x93\x9bocalhost/", "http://loc\xc4\xb1lhost/",
           "http://127\xe3\x80\x82""0\xe3\x80\x82""0\xe3\x80\x82""1/", "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", "ftp://example.com/",
           "file:///etc/passwd", "gopher://example.com/", "//example.com/", "http:example.com", "http://exa mple.com/", "http://a\r\nb/",
           "http://example.com:0/", "http://example.com:65536/", "http://example.com:/"})
    EXPECT_EQ(verdict(policy, url), "malformed") << url;
  for (const char* url : {"http://example.com/", "https://example.com:8443/x", "http://example.com./", "https://1.1.1.1/", "http://[2606:4700::1111]:8080/",
                          "http://xn--d1acufc.xn--p1ai/", "http://notlocalhost.example/", "http://localhost.example.com/", "http://10.example.com/",
                          "http://0x7f.example.com/", "http://mylocal.net/"})
    EXPECT_EQ(verdict(policy, url), "") << url;
}

TEST(Egress, PortsOfOtherServicesAreRefused) {
  const EgressPolicy policy;
  for (const int port : {1, 21, 22, 25, 53, 110, 143, 389, 465, 587, 993, 2049, 3306, 5060, 5432, 6000, 6379, 6667, 10080, 11211, 27017})
    EXPECT_NE(verdict(policy, "http://example.com:" + std::to_string(port) + "/").find("port"), std::string::npos) << port;
  for (const int port : {80, 443, 3000, 8000, 8080, 8443, 9090, 65535})
    EXPECT_EQ(verdict(policy, "http://example.com:" + std::to_string(port) + "/"), "") << port;
}

EgressPolicy allowing(std::vector<std::string> allow) {
  auto policy = EgressPolicy::parse(allow);
  EXPECT_TRUE(policy) << policy.error().message;
  return *policy;
}

// May a request for `url` connect to `address`?
bool reaches(const EgressPolicy& policy, std::string_view url, std::string_view address) {
  const auto parsed = parse_url(url);
  return policy.admit(parsed->origin) && policy.admit(parsed->origin, *parse_ip(address));
}

TEST(Egress, TheOperatorsListOpensWhatItNamesAndNoMore) {
  const auto host = allowing({"hooks.internal", "LocalHost:25", "[fd00::7]:8080", "10.0.0.7:8081"});
  EXPECT_TRUE(reaches(host, "http://hooks.internal/", "10.0.0.1"));
  EXPECT_TRUE(reaches(host, "http://hooks.internal.:8080/", "127.0.0.1"));
  EXPECT_FALSE(reaches(host, "http://hooks.internal:25/", "10.0.0.1")) << "the port is another service's";
  EXPECT_FALSE(reaches(host, "http://x.hooks.internal/", "10.0.0.1"));
  EXPECT_TRUE(reaches(host, "http://localhost:25/", "127.0.0.1"));
  EXPECT_FALSE(reaches(host, "http://localhost:26/", "127.0.0.1"));
  EXPECT_TRUE(reaches(host, "http://[fd00::7]:8080/", "fd00::7"));
  EXPECT_FALSE(reaches(host, "http://[fd00::7]/", "fd00::7"));
  EXPECT_TRUE(reaches(host, "http://10.0.0.7:8081/", "10.0.0.7"));
  EXPECT_FALSE(reaches(host, "http://10.0.0.7/", "10.0.0.7"));
  EXPECT_FALSE(reaches(host, "http://rebind.example/", "10.0.0.7")) << "an allowed host is no allowed address";

  const auto network = allowing({"10.0.0.0/8", "127.0.0.1", "fd00::/8"});
  EXPECT_TRUE(reaches(network, "http://service.example/", "10.1.2.3"));
  EXPECT_TRUE(reaches(network, "http://service:8080/", "10.1.2.3"));
  EXPECT_TRUE(reaches(network, "http://service.internal/", "fd12::1"));
  EXPECT_TRUE(reaches(network, "http://localhost:8080/", "127.0.0.1"));
  EXPECT_FALSE(reaches(network, "http://localhost:8080/", "::1"));
  EXPECT_FALSE(reaches(network, "http://localhost:8080/", "127.0.0.2"));
  EXPECT_FALSE(reaches(network, "http://service.example/", "192.168.0.1"));
  EXPECT_FALSE(reaches(network, "http://service.example/", "::ffff:10.1.2.3"));
  EXPECT_FALSE(reaches(network, "http://service.example:6379/", "10.1.2.3"));
  EXPECT_FALSE(reaches(network, "http://2130706433/", "127.0.0.1"));
  EXPECT_FALSE(reaches(network, "http://metadata.google.internal/", "10.1.2.3"));
  EXPECT_FALSE(reaches(network, "http://service.example/", "fd00:ec2::254")) << "a wide network does not open a metadata service";
  EXPECT_FALSE(reaches(allowing({"0.0.0.0/0"}), "http://example.com/", "169.254.169.254"));
  EXPECT_FALSE(reaches(allowing({"0.0.0.0/0"}), "http://example.com/", "168.63.129.16"));
  EXPECT_TRUE(reaches(allowing({"169.254.169.254"}), "http://169.254.169.254/", "169.254.169.254"));
  EXPECT_TRUE(reaches(allowing({"fd00:ec2::254/128"}), "http://[fd00:ec2::254]/", "fd00:ec2::254"));
}

TEST(Egress, AMalformedListIsRefusedByItsEntry) {
  for (const char* bad : {"", "*", "*.example.com", "http://a", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "10.0.0.0/", "10.0.0.0/-1", "a/8", "a:b", ":80",
                          "a:0", "user@a", "2130706433", "0x7f.1:80", "10.0.0.0/8,a"}) {
    const auto policy = EgressPolicy::parse({"fine.example", bad}, "webhooks.allow");
    ASSERT_FALSE(policy) << bad;
    EXPECT_EQ(policy.error().field, "webhooks.allow[1]");
  }
}

TEST(Egress, ADenialTellsNoAddressAndWhetherItMayPass) {
  const EgressPolicy policy;
  const auto origin = parse_url("http://rebind.example:8080/")->origin;
  const auto named = policy.admit(origin, *parse_ip("10.11.12.13"));
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().message, "requests to rebind.example are not allowed: the name leads to a private address; an operator can allow the host or its network");
  EXPECT_EQ(named.error().field, "rebind.example:8080");
  EXPECT_TRUE(named.error().retryable) << "a name may lead elsewhere later";
  const auto literal = policy.admit(parse_url("http://10.11.12.13/")->origin);
  ASSERT_FALSE(literal);
  EXPECT_FALSE(literal.error().retryable);
}

TEST(Fetch, RedirectsLeadWhereRfc3986SaysSo) {
  const auto base = *parse_url("https://a.example:8443/b/c/d?q=1");
  const struct { const char *location, *to; } cases[] = {
      {"https://other.example/x", "https://other.example/x"}, {"HTTP://other.example", "http://other.example/"},
      {"//other.example/x", "https://other.example/x"}, {"/x?y", "https://a.example:8443/x?y"}, {"x", "https://a.example:8443/b/c/x"},
      {"./x", "https://a.example:8443/b/c/x"}, {"../x", "https://a.example:8443/b/x"}, {"../../../../x", "https://a.example:8443/x"},
      {"..", "https://a.example:8443/b/"}, {".", "https://a.example:8443/b/c/"}, {"?z", "https://a.example:8443/b/c/d?z"},
      {"x:y", ""}, {"x/y:z", "https://a.example:8443/b/c/x/y:z"}, {"#f", "https://a.example:8443/b/c/d?q=1"}, {" /x \t", "https://a.example:8443/x"},
      {"/../..", "https://a.example:8443/"}, {"/x?../y", "https://a.example:8443/x?../y"}, {"", "https://a.example:8443/b/c/d?q=1"},
      {"javascript:alert(1)", ""}, {"//user@other.example/", ""}, {"/a b", ""},
  };
  for (const auto& c : cases) {
    const auto to = resolve_location(base, c.location);
    EXPECT_EQ(to ? to_string(*to) : "", c.to) << c.location;
  }
}

// Answers from a list, in simulated time; remembers what it was asked.
struct Scripted final : Transport {
  struct Answer {
    int status = 200;
    Headers headers;
    std::string body;
    Duration body_takes{};
  };
  struct Response final : ClientResponse {
    Response(Scheduler& l, Answer a, CancelToken c) : loop(l), answer(std::move(a)), cancel(c) {
      h.status = answer.status;
      h.headers = answer.headers;
    }
    const ResponseHead& head() const override { return h; }
    Task<Result<std::string_view>> read_some(Deadline) override {
      const MonoTime end = loop.clock().mono() + answer.body_takes;
      while (loop.clock().mono() < end) {
        if (cancel && cancel->cancelled()) co_return fail(ErrorCode::caller_cancelled, "cancelled");
        co_await SleepUntil(loop, loop.clock().mono() + 100ms);
      }
      given.clear();
      given.swap(answer.body);
      co_return std::string_view(given);
    }
    Scheduler& loop;
    Answer answer;
    CancelToken cancel;
    ResponseHead h;
    std::string given;
  };
  struct Seen { std::string method, url, authorization, own, content_type, body; };
  std::vector<Answer> answers;
  std::vector<Seen> seen;
  Task<Result<std::unique_ptr<ClientResponse>>> send(Scheduler& loop, const ClientRequest& r, Timeouts, CancelToken cancel) override {
    const auto& h = r.headers;
    EXPECT_EQ(h.get("accept-encoding"), "identity");
    seen.push_back({std::string(r.method), to_string(*r.url), std::string(h.get("authorization")), std::string(h.get("x-own")),
                    std::string(h.get("content-type")), r.body.empty() ? "" : std::string(r.body[0])});
    if (seen.size() > answers.size()) co_return fail(ErrorCode::provider_unreachable, "no more");
    co_return std::unique_ptr<ClientResponse>(std::make_unique<Response>(loop, answers[seen.size() - 1], cancel));
  }
};

struct Fetching : testing::Test {
  Result<Fetched> get(FetchLimits limits, std::string_view method = "POST", std::string_view url = "https://a.example/start") {
    return loop.run(fetch(transport, loop,
                          {.method = method, .url = url,
                           .headers = {{"authorization", "Bearer s"}, {"x-own", "1"}, {"content-type", "text/plain"}}, .body = method == "GET" ? "" : "body"},
                          limits, nullptr));
  }
  static Scripted::Answer to(int status, std::string_view where) { return {.status = status, .headers = {{"location", where}}}; }
  SimClock clock;
  SimLoop loop{clock};
  Scripted transport;
};

TEST_F(Fetching, ARedirectIsAnAnswerUnlessAskedToBeFollowed) {
  transport.answers = {to(302, "http://127.0.0.1/")};
  const auto got = get({});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 302);
  EXPECT_EQ(transport.seen.size(), 1u);
}

TEST_F(Fetching, CredentialsStayWithTheirOrigin) {
  transport.answers = {to(307, "/same"), to(308, "https://b.example/"), to(307, "https://a.example/back"), {.body = "fine"}};
  const auto got = get({.redirects = 5});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->body, "fine");
  EXPECT_EQ(got->url, "https://a.example/back");
  ASSERT_EQ(transport.seen.size(), 4u);
  EXPECT_EQ(transport.seen[1].authorization, "Bearer s");
  EXPECT_EQ(transport.seen[2].authorization, "");
  EXPECT_EQ(transport.seen[2].own, "");
  EXPECT_EQ(transport.seen[2].content_type, "text/plain");
  EXPECT_EQ(transport.seen[2].body, "body");
  EXPECT_EQ(transport.seen[3].authorization, "") << "what was dropped does not come back";
}

TEST_F(Fetching, ASeeOtherBecomesAGetWithoutABody) {
  for (const int status : {301, 302, 303}) {
    transport.seen.clear();
    transport.answers = {to(status, "/done"), {}};
    ASSERT_TRUE(get({.redirects = 1}));
    EXPECT_EQ(transport.seen[1].method, "GET") << status;
    EXPECT_EQ(transport.seen[1].body, "");
    EXPECT_EQ(transport.seen[1].content_type, "");
  }
}

TEST_F(Fetching, RedirectsEnd) {
  transport.answers.assign(20, to(302, "/again"));
  const auto got = get({.redirects = 100}, "GET");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::provider_bad_response);
  EXPECT_EQ(transport.seen.size(), 1u + kMostRedirects);
  transport.seen.clear();
  transport.answers = {to(302, "http://a.example/")};
  EXPECT_EQ(get({.redirects = 1}).error().code, ErrorCode::policy_egress_denied) << "never from https to http";
  transport.seen.clear();
  transport.answers = {to(302, "gopher://a.example/")};
  EXPECT_EQ(get({.redirects = 1}).error().code, ErrorCode::provider_bad_response);
}

TEST_F(Fetching, BodiesAreBoundedInSizeTimeAndForm) {
  transport.answers = {{.body = std::string(101, 'x')}, {.body = std::string(100, 'x')}, {.headers = {{"content-encoding", "gzip"}}, .body = "x"},
                       {.body = "x", .body_takes = 10s}, {.headers = {{"content-encoding", "br"}}, .body = "x", .body_takes = 10s}};
  EXPECT_EQ(get({.body_bytes = 100}).error().code, ErrorCode::provider_bad_response);
  EXPECT_EQ(get({.body_bytes = 100})->body.size(), 100u);
  EXPECT_EQ(get({}).error().code, ErrorCode::provider_bad_response) << "compressed, though not asked for";
  const auto begin = clock.mono();
  const auto late = get({.total = 3s});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::provider_timeout);
  EXPECT_EQ(late.error().field, "total");
  EXPECT_LT(clock.mono() - begin, 4s);
  EXPECT_EQ(get({.total = 3s, .body_bytes = 0})->status, 200) << "nobody reads it";
  EXPECT_EQ(get({}, "GET", "nonsense").error().field, "url");
}

}  // namespace
}  // namespace ballast::net
