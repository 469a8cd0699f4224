#include "net/client.hpp"

#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "world.hpp"

namespace ballast::net::test {
namespace {

struct Got {
  ErrorCode code = ErrorCode::internal_error;
  std::string field, body, message;
  int status = 0;
  bool ok = false, reused = false, resent = false;
};

struct ClientWorld {
  explicit ClientWorld(ClientOptions options = {}, unsigned n = 1) : loops(n, clock), client(loops, options) { loops.start(); }
  // One exchange to its end.
  Got call(const Url& url, std::string body = "{}", Timeouts timeouts = {60s, 60s}, Duration read = 60s, bool replay_safe = true,
           CancelToken cancel = nullptr, std::string_view method = "POST") {
    return run<Got>(loops.at(0), [&]() -> Task<Got> { return one(url, body, timeouts, read, replay_safe, cancel, method); });
  }
  Task<Got> one(const Url& url, std::string body, Timeouts timeouts, Duration read, bool replay_safe, CancelToken cancel, std::string_view method) {
    const std::string_view pieces[] = {body};
    ClientRequest request{.method = method, .url = &url, .headers = {{"content-type", "application/json"}}, .replay_safe = replay_safe};
    if (!body.empty()) request.body = Pieces(pieces);
    auto r = co_await client.send(loops.at(0), request, timeouts, cancel);
    if (!r) co_return Got{.code = r.error().code, .field = r.error().field, .message = r.error().message};
    auto all = co_await (*r)->read_all(100'000'000, deadline_after(loops.at(0), read));
    Got got{.status = (*r)->head().status, .ok = all.has_value(), .reused = (*r)->reused(), .resent = (*r)->resent()};
    if (all) got.body = *all;
    else { got.code = all.error().code; got.field = all.error().field; got.message = all.error().message; }
    co_return got;
  }
  SystemClock clock;
  LoopGroup loops;
  Client client;
};

std::string request_of(Raw& raw) {
  std::string head = raw.until("\r\n\r\n");
  const auto at = head.find("content-length: ");
  return at == std::string::npos ? head : head + raw.exactly(std::stoul(head.substr(at + 16)));
}

auto answers(std::string response, int times = 1) {
  return [=](Raw& raw) {
    for (int i = 0; i < times; ++i)
      if (request_of(raw).empty()) return;
      else raw.send(response);
  };
}

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST(Client, SendsOneExactRequest) {
  std::string seen;
  Upstream up({[&](Raw& raw) { seen = request_of(raw); raw.send(ok); }});
  ClientWorld w;
  const Got got = w.call(up.url("/v1/x?y=1"), "{\"a\":1}");
  EXPECT_TRUE(got.ok);
  EXPECT_EQ("ok", got.body);
  EXPECT_EQ("POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:" + std::to_string(up.port()) +
            "\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}", seen);
}

TEST(Client, ReadsEveryFraming) {
  const struct { std::string response, body; bool ok; } cases[] = {
      {ok, "ok", true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nT: x\r\n\r\n", "abcdefg", true},
      {"HTTP/1.1 200 OK\r\n\r\nuntil close", "until close", true},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + ok, "ok", true},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "", false},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "", false},
      {"HTTP/1.1 200 OK\r\nContent-Le", "", false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "", false},
      {"nonsense\r\n\r\n", "", false},
  };
  for (const auto& c : cases)
    for (bool split : {false, true}) {
      Upstream up({[&](Raw& raw) {
        request_of(raw);
        if (!split) return raw.send(c.response);
        const int on = 1;
        ::setsockopt(raw.fd(), 6, 1, &on, sizeof on);
        for (const char b : c.response) raw.send({&b, 1});
      }});
      ClientWorld w;
      const Got got = w.call(up.url());
      EXPECT_EQ(c.ok, got.ok) << c.response << got.message;
      EXPECT_EQ(c.body, got.body) << c.response;
      if (!c.ok) EXPECT_EQ(ErrorCode::provider_bad_response, got.code) << c.response << got.message;
    }
}

TEST(Client, KeepsConnectionsAndDropsDirtyOnes) {
  Upstream up({answers(ok, 3), answers(ok + "extra"), answers("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), answers(ok)});
  ClientWorld w;
  EXPECT_FALSE(w.call(up.url()).reused);
  EXPECT_TRUE(w.call(up.url()).reused);
  EXPECT_TRUE(w.call(up.url()).reused);
  // The first connection is closed by the provider now: either it is noticed, or the request is sent once more.
  EXPECT_TRUE(w.call(up.url()).ok);
  EXPECT_TRUE(w.call(up.url()).ok);       // not on the connection that said too much
  EXPECT_TRUE(w.call(up.url()).ok);       // nor on the one that said close
  EXPECT_EQ(4, up.accepted);
}

// The provider reads the second request on a kept connection and closes without a word.
std::vector<std::function<void(Raw&)>> stale_then_fine() {
  return {[](Raw& raw) { request_of(raw); raw.send(ok); request_of(raw); }, answers(ok)};
}

TEST(Client, AStaleConnectionIsReplacedOnceBeforeTheFirstByte) {
  Upstream up(stale_then_fine());
  ClientWorld w;
  EXPECT_TRUE(w.call(up.url()).ok);
  const Got second = w.call(up.url());
  EXPECT_TRUE(second.ok);
  EXPECT_TRUE(second.resent);
  EXPECT_EQ(1u, w.client.stats().resent);
}

TEST(Client, AStaleConnectionIsAnErrorWhereARepeatIsNotSafe) {
  Upstream up(stale_then_fine());
  ClientWorld w;
  EXPECT_TRUE(w.call(up.url()).ok);
  EXPECT_EQ(ErrorCode::provider_unreachable, w.call(up.url(), "{}", {60s, 60s}, 60s, false).code);
  EXPECT_TRUE(w.call(up.url()).ok);
}

TEST(Client, AFreshConnectionIsNeverRepeated) {
  Upstream up({[](Raw& raw) { request_of(raw); }, answers(ok)});
  ClientWorld w;
  EXPECT_EQ(ErrorCode::provider_unreachable, w.call(up.url()).code);
  EXPECT_EQ(1, up.accepted);
  EXPECT_TRUE(w.call(up.url()).ok);
}

// For what must not be sent twice: a kept connection may have died unseen, and whether bytes have left is known whatever the error.
TEST(Client, AFreshRequestHasAConnectionOfItsOwnAndSaysWhetherItLeft) {
  std::optional<Raw> kept;                   // the first connection, open to the end
  Upstream up({[&](Raw& raw) { answers(ok)(raw), kept.emplace(Raw::Adopt{::dup(raw.fd())}); }, answers(ok), [](Raw& raw) { request_of(raw); }});
  ClientWorld w;
  EXPECT_TRUE(w.call(up.url()).ok);
  const auto fresh = [&](const Url& url, bool& sent) {
    return run<Got>(w.loops.at(0), [&]() -> Task<Got> {
      const ClientRequest request{.url = &url, .replay_safe = false, .fresh = true, .sent = &sent};
      auto r = co_await w.client.send(w.loops.at(0), request, {60s, 60s}, nullptr);
      if (!r) co_return Got{.code = r.error().code};
      auto all = co_await (*r)->read_all(100, no_deadline);
      co_return Got{.ok = all.has_value(), .reused = (*r)->reused()};
    });
  };
  bool sent = false;
  const Got first = fresh(up.url(), sent);
  EXPECT_TRUE(first.ok && sent && !first.reused);
  EXPECT_EQ(up.accepted, 2);
  sent = false;
  const Got cut = fresh(up.url(), sent);
  EXPECT_TRUE(!cut.ok && sent) << "it may have arrived";
  sent = false;
  const Url nobody = *parse_url("http://127.0.0.1:1/");
  EXPECT_EQ(fresh(nobody, sent).code, ErrorCode::provider_unreachable);
  EXPECT_FALSE(sent) << "nothing has left";
}

TEST(Client, TimersSayWhichOne) {
  {
    Upstream up({[](Raw& raw) { raw.rest(); }});
    ClientWorld w;
    const Got got = w.call(up.url(), "{}", {60s, 50ms});
    EXPECT_EQ(ErrorCode::provider_timeout, got.code);
    EXPECT_EQ("headers", got.field);
  }
  {
    Upstream up({[](Raw& raw) { request_of(raw); raw.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"); raw.rest(); }});
    ClientWorld w;
    const Got got = w.call(up.url(), "{}", {60s, 60s}, 50ms);
    EXPECT_EQ(ErrorCode::provider_timeout, got.code);
    EXPECT_EQ("read", got.field);
  }
}

TEST(Client, RefusedAndUnknownHosts) {
  ClientWorld w;
  std::uint16_t closed;
  { Upstream up({}); closed = up.port(); }
  EXPECT_EQ(ErrorCode::provider_unreachable, w.call(*parse_url("http://127.0.0.1:" + std::to_string(closed))).code);
  EXPECT_EQ(ErrorCode::provider_unreachable, w.call(*parse_url("http://no-such-host.invalid/")).code);
  Upstream up({answers(ok)});
  EXPECT_TRUE(w.call(*parse_url("http://localhost:" + std::to_string(up.port()))).ok);
}

TEST(Client, CancellingClosesAtOnceWhereverItIs) {
  for (bool with_head : {false, true}) {
    std::promise<void> arrived;
    std::atomic<bool> seen_end{false};
    Upstream up({[&](Raw& raw) {
      request_of(raw);
      if (with_head) raw.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      arrived.set_value();
      raw.rest();
      seen_end = !raw.timed_out();
    }});
    ClientWorld w;
    CancelSource cancel;
    std::thread canceller([&] {
      arrived.get_future().wait();
      w.loops.at(0).post([&] { cancel.cancel(); });
    });
    EXPECT_EQ(ErrorCode::caller_cancelled, w.call(up.url(), "{}", {60s, 60s}, 60s, true, &cancel).code);
    canceller.join();
    while (!seen_end) std::this_thread::yield();
    EXPECT_EQ(ErrorCode::caller_cancelled, w.call(up.url(), "{}", {60s, 60s}, 60s, true, &cancel).code);
  }
}

TEST(Client, WaitsForAConnectionAboveItsLimit) {
  World server([](Exchange& ex) -> Task<void> {
    co_await SleepUntil(ex.loop(), ex.loop().clock().mono() + 20ms);
    const Headers headers;
    (void)co_await ex.respond(200, headers, "x");
  });
  ClientWorld w({.connections_per_origin = 1});
  const Url url = *parse_url("http://127.0.0.1:" + std::to_string(server.port()));
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 5; ++i) threads.emplace_back([&] { good += w.call(url).ok; });
  for (auto& t : threads) t.join();
  EXPECT_EQ(5, good);
  EXPECT_EQ(1u, w.client.stats().opened);
  std::atomic<bool> enough{false};
  std::thread busy([&] { while (!enough) w.call(url); });
  Got late;
  do { late = w.call(url, "{}", {1ms, 60s}); } while (late.ok);
  EXPECT_EQ(ErrorCode::provider_timeout, late.code);
  EXPECT_EQ("connect", late.field);
  enough = true;
  busy.join();
}

TEST(Client, ACancelledWaiterPassesThePlaceOn) {
  Upstream up({answers(ok, 2)});
  ClientWorld w({.connections_per_origin = 1});
  const Url url = up.url();
  CancelSource cancel;
  Got given_up, next;
  std::promise<void> done;
  auto into = [&](Got& got, CancelToken token, bool last) -> Task<void> {
    got = co_await w.one(url, "{}", {20s, 20s}, 20s, true, token, "POST");
    if (last) done.set_value();
  };
  run<int>(w.loops.at(0), [&]() -> Task<int> {
    const ClientRequest request{.method = "GET", .url = &url};
    auto first = co_await w.client.send(w.loops.at(0), request, {60s, 60s}, nullptr);
    EXPECT_TRUE(first.has_value());
    detach(into(given_up, &cancel, false), [](std::exception_ptr) {});
    detach(into(next, nullptr, true), [](std::exception_ptr) {});
    cancel.cancel();
    first->reset();                       // the connection is free before the cancelled one has left the queue
    co_return 0;
  });
  done.get_future().wait();
  EXPECT_EQ(ErrorCode::caller_cancelled, given_up.code);
  EXPECT_TRUE(next.ok) << next.message;
  EXPECT_TRUE(next.reused);
}

TEST(Client, AConnectionThatEndsWithItsAnswerIsNotKept) {
  ClientWorld w;
  Loop& loop = w.loops.at(0);
  std::promise<void> held, ended;
  Upstream up({[&](Raw& raw) {
                 request_of(raw);
                 loop.post([&] {          // the loop hears of the answer and the end in one event
                   held.set_value();
                   ended.get_future().wait();
                 });
                 held.get_future().wait();
                 raw.send(ok);
                 raw.close();
                 ended.set_value();
               },
               answers(ok)});
  const auto [first, second] = run<std::pair<Got, Got>>(loop, [&]() -> Task<std::pair<Got, Got>> {
    Got one = co_await w.one(up.url(), "{}", {60s, 60s}, 60s, false, nullptr, "POST");
    Got two = co_await w.one(up.url(), "{}", {60s, 60s}, 60s, false, nullptr, "POST");
    co_return std::pair{one, two};
  });
  EXPECT_TRUE(first.ok) << first.message;
  EXPECT_TRUE(second.ok) << second.message;
  EXPECT_FALSE(second.reused);
}

TEST(Client, ATargetCannotSplitTheRequest) {
  ClientWorld w;
  Url url = *parse_url("http://127.0.0.1:1/");
  for (const char* bad : {"/a b", "/a\r\nX: y", "a", "/\x7f"}) {
    url.target = bad;
    EXPECT_EQ(ErrorCode::caller_invalid_request, w.call(url).code) << bad;
  }
}

TEST(Client, IdleConnectionsEnd) {
  Upstream up({[](Raw& raw) { request_of(raw); raw.send(ok); raw.rest(); }});
  ClientWorld w({.idle_timeout = 20ms});
  EXPECT_TRUE(w.call(up.url()).ok);
  while (w.client.stats().open) std::this_thread::yield();
}

TEST(Client, AnEarlyAnswerToALargeBodyIsHeard) {
  Upstream up({[](Raw& raw) {
    raw.until("\r\n\r\n");
    raw.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    raw.half_close();
    raw.rest();
  }});
  ClientWorld w;
  EXPECT_EQ(413, w.call(up.url(), std::string(8'000'000, 'x')).status);
}

// A self-signed certificate for localhost, made here.
struct Certificate {
  Certificate() {
    dir = std::filesystem::temp_directory_path() / ("ballast_net_" + std::to_string(::getpid()));
    std::filesystem::create_directories(dir);
    EVP_PKEY* key = EVP_RSA_gen(2048);
    X509* c = X509_new();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), -60);
    X509_gmtime_adj(X509_getm_notAfter(c), 3600);
    X509_set_pubkey(c, key);
    auto* name = X509_get_subject_name(c);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(c, name);
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, c, c, nullptr, nullptr, 0);
    X509_EXTENSION* alt = X509V3_EXT_conf_nid(nullptr, &ctx, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(c, alt, -1);
    X509_EXTENSION_free(alt);
    X509_sign(c, key, EVP_sha256());
    FILE* f = std::fopen(cert().c_str(), "w");
    PEM_write_X509(f, c);
    std::fclose(f);
    f = std::fopen(key_file().c_str(), "w");
    PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(f);
    X509_free(c);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(dir); }
  std::string cert() const { return dir / "cert.pem"; }
  std::string key_file() const { return dir / "key.pem"; }
  std::filesystem::path dir;
};

TEST(Tls, EndToEndAndVerified) {
  const Certificate certificate;
  World server([](Exchange& ex) -> Task<void> {
    const Headers headers;
    (void)co_await ex.respond(200, headers, ex.body());
  }, {.tls = {certificate.cert(), certificate.key_file()}});
  const auto url = [&](std::string host) { return *parse_url("https://" + host + ":" + std::to_string(server.port()) + "/"); };
  const std::string big(1'000'000, 'y');
  ClientWorld trusting({.tls = {.ca_file = certificate.cert()}});
  for (int i = 0; i < 3; ++i) {
    const Got got = trusting.call(url("localhost"), big);
    EXPECT_TRUE(got.ok) << got.message;
    EXPECT_EQ(big, got.body);
    EXPECT_EQ(i > 0, got.reused);
  }
  const Got other_name = trusting.call(url("127.0.0.1"));
  EXPECT_EQ(ErrorCode::provider_unreachable, other_name.code);
  ClientWorld system;
  const Got unknown = system.call(url("localhost"));
  EXPECT_EQ(ErrorCode::provider_unreachable, unknown.code);
  EXPECT_NE(std::string::npos, unknown.message.find("self-signed")) << unknown.message;
  ClientWorld careless({.tls = {.verify = false}});
  EXPECT_TRUE(careless.call(url("127.0.0.1")).ok);
  Raw plain(server.port());
  plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(std::string::npos, plain.rest().find("HTTP/1.1 200"));
}

// A provider may ask for a renegotiation (TLS 1.2) and then say nothing more: a write must not wait for it on the loop.
TEST(Tls, AnUnfinishedRenegotiationHoldsNoLoop) {
  const Certificate certificate;
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_use_certificate_chain_file(context.get(), certificate.cert().c_str());
  SSL_CTX_use_PrivateKey_file(context.get(), certificate.key_file().c_str(), SSL_FILETYPE_PEM);
  std::promise<void> asked, done;
  Upstream up({[&](Raw& raw) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(tls.get(), raw.fd());
    const int on = 1;
    ::setsockopt(raw.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    EXPECT_EQ(1, SSL_accept(tls.get()));
    char request[4096];
    EXPECT_LT(0, SSL_read(tls.get(), request, sizeof request));
    SSL_write(tls.get(), ok.data(), static_cast<int>(ok.size()));
    SSL_renegotiate(tls.get());
    SSL_do_handshake(tls.get());          // a HelloRequest, sent at once
    asked.set_value();
    done.get_future().wait();
  }});
  ClientWorld w({.tls = {.ca_file = certificate.cert()}});
  const Url url = *parse_url("https://localhost:" + std::to_string(up.port()) + "/");
  EXPECT_TRUE(w.call(url).ok);
  asked.get_future().wait();
  run<int>(w.loops.at(0), []() -> Task<int> { co_return 0; });    // the idle connection has heard of it
  const Got second = w.call(url, "{}", {60s, 50ms});
  EXPECT_EQ(ErrorCode::provider_timeout, second.code) << second.message;
  EXPECT_EQ("headers", second.field);
  done.set_value();
}

TEST(Server, AtTheDescriptorLimitCallsInFlightGoOn) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "UBSan's vptr check opens a pipe: it reports nonsense where there are no descriptors";
#endif
#endif
  World world([](Exchange& ex) -> Task<void> {
    const Headers headers;
    (void)co_await ex.respond(200, headers, "x");
  });
  Raw early(world.port());
  early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  early.response();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  std::vector<Raw> waiting;
  waiting.emplace_back(Raw::Adopt{::socket(AF_INET, SOCK_STREAM, 0)});
  const rlimit tight{static_cast<rlim_t>(waiting[0].fd()) + 1, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &tight);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(world.port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(0, ::connect(waiting[0].fd(), reinterpret_cast<sockaddr*>(&to), sizeof to));
  waiting[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(early.response().ends_with("x"));
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(waiting[0].response().ends_with("x"));
}

}  // namespace
}  // namespace ballast::net::test
