#include "net/server.hpp"

#include <set>

#include "world.hpp"

namespace ballast::net::test {
namespace {

std::string post(std::string body, std::string fields = "") {
  return "POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Task<void> echo(Exchange& ex) {
  const Headers headers{{"content-type", "text/plain"}};
  (void)co_await ex.respond(200, headers, ex.body());
}

TEST(Server, AnswersManyRequestsOnOneConnection) {
  World world(echo);
  Raw c(world.port());
  for (int i = 0; i < 50; ++i) {
    const std::string body = "hello " + std::to_string(i) + std::string(static_cast<std::size_t>(i) * 2000, 'x');
    c.send(post(body));
    const std::string r = c.response();
    EXPECT_TRUE(r.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ")) << r.substr(0, 200);
    EXPECT_TRUE(r.ends_with(body));
  }
  EXPECT_EQ(50u, world.server->stats().requests);
}

TEST(Server, APortIsSharedOnlyByThoseWhoSaySo) {
  const auto named = [](std::string name) {
    return [name](Exchange& ex) -> Task<void> { (void)co_await ex.respond(200, Headers{}, name); };
  };
  World one(named("one"), {.share_port = true});
  EXPECT_THROW(World(named("stranger"), {.port = one.port()}), std::runtime_error);
  std::set<char> met;
  {
    World two(named("two"), {.port = one.port(), .share_port = true});
    for (int i = 0; i < 200 && met.size() < 2; ++i) {
      Raw c(one.port());
      c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
      met.insert(c.response().back());
    }
    EXPECT_EQ(met.size(), 2u);
  }
  Raw c(one.port());
  c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_TRUE(c.response().ends_with("one")) << "who is gone gets none";
}

TEST(Server, PipelinedRequestsAreAnsweredInOrder) {
  World world(echo);
  Raw c(world.port());
  std::string all;
  for (int i = 0; i < 200; ++i)
    all += i % 3 ? post("n" + std::to_string(i))
                 : "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nn\r\n" + std::string(1, "0123456789abcdef"[std::to_string(i).size()]) + "\r\n" + std::to_string(i) + "\r\n0\r\n\r\n";
  std::thread sender([&] { c.send(all); });
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(c.response().ends_with("\r\n\r\nn" + std::to_string(i))) << i;
  sender.join();
}

TEST(Server, BodiesInEveryShape) {
  World world(echo);
  const std::string big(3'000'000, 'b');
  Raw c(world.port());
  std::thread sender([&] { c.send(post(big)); });
  EXPECT_TRUE(c.response().ends_with(big));
  sender.join();
  c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const char* piece : {"5", "\r\nhel", "lo\r\n1;x\r", "\n!\r\n0\r\nX-Trailer: 1\r\n", "\r\n"}) c.send(piece);
  EXPECT_TRUE(c.response().ends_with("\r\n\r\nhello!"));
  c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ("HTTP/1.1 100 Continue\r\n\r\n", c.until("\r\n\r\n"));
  c.send("ok");
  EXPECT_TRUE(c.response().ends_with("\r\n\r\nok"));
  c.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(std::string::npos, c.until("\r\n\r\n").find("content-length: 0"));
  EXPECT_NE(std::string::npos, c.rest().find("connection: close"));
}

TEST(Server, TrailersNeverBecomeHeaders) {
  World world([](Exchange& ex) -> Task<void> {
    const Headers headers;
    (void)co_await ex.respond(200, headers, ex.request().headers.has("authorization") ? "yes" : "no");
  });
  Raw c(world.port());
  c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n");
  EXPECT_TRUE(c.response().ends_with("no"));
}

TEST(Server, RefusesAndSaysWhy) {
  World world(echo, {.limits = {.body_bytes = 1000}});
  const struct { std::string bytes; const char *status, *path; } cases[] = {
      {"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + std::string(500'000, 'x'), "HTTP/1.1 413", "/v1/messages"},
      {"POST /a?b=c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", "HTTP/1.1 413", "/a?b=c"},
      {"GET http://a/v1/x HTTP/1.1\r\nHost: b\r\n\r\n", "HTTP/1.1 400", "/v1/x"},
      {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "/"},
      {"GET /big HTTP/1.1\r\nHost: a\r\nx: " + std::string(40'000, 'x') + "\r\n\r\n", "HTTP/1.1 431", "/big"},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505", ""},
      {"\x16\x03\x01\x02\r\n\r\n", "HTTP/1.1 400", ""},
  };
  for (const auto& c : cases) {
    Raw raw(world.port());
    raw.send(c.bytes);
    const std::string got = raw.rest();
    EXPECT_TRUE(got.starts_with(c.status)) << got;
    EXPECT_NE(std::string::npos, got.find("connection: close"));
    EXPECT_TRUE(got.ends_with(" at [" + std::string(c.path) + "]")) << got;
    EXPECT_FALSE(raw.timed_out());
  }
  EXPECT_EQ(7u, world.server->stats().refused);
  EXPECT_EQ(0u, world.server->stats().requests);
}

TEST(Server, SlowSendersAndIdleOnesAreEnded) {
  World world(echo, {.header_timeout = 60ms, .body_timeout = 60ms, .idle_timeout = 60s}), brief(echo, {.idle_timeout = 60ms});
  Raw header(world.port()), body(world.port()), idle(brief.port());
  header.send("GET / HTTP/1.1\r\nHo");
  body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_TRUE(header.rest().starts_with("HTTP/1.1 408"));
  EXPECT_TRUE(body.rest().starts_with("HTTP/1.1 408"));
  EXPECT_EQ("", idle.rest());
  EXPECT_FALSE(idle.timed_out());
}

TEST(Server, StreamsEachChunkAtOnce) {
  std::promise<void> first_seen;
  auto seen = first_seen.get_future().share();
  World world([&](Exchange& ex) -> Task<void> {
    const Headers headers{{"content-type", "text/event-stream"}};
    (void)co_await ex.start_stream(200, headers);
    (void)co_await ex.write("data: 1\n\n");
    seen.wait();                          // the client has it before the second one exists
    const std::string_view pieces[] = {"data: ", "2", "\n\n"};
    (void)co_await ex.write(Pieces(pieces));
    (void)co_await ex.finish("data: [DONE]\n\n");
  });
  Raw c(world.port());
  c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(std::string::npos, c.until("\r\n\r\n").find("transfer-encoding: chunked"));
  EXPECT_EQ("9\r\ndata: 1\n\n\r\n", c.exactly(14));
  first_seen.set_value();
  EXPECT_EQ("9\r\ndata: 2\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", c.until("0\r\n\r\n"));
  c.send("GET / HTTP/1.0\r\n\r\n");       // kept alive; HTTP/1.0 gets the bytes until close
  const std::string old = c.rest();
  EXPECT_TRUE(old.ends_with("\r\n\r\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\n")) << old;
}

TEST(Server, AnUnfinishedStreamIsCutNeverEnded) {
  World world([](Exchange& ex) -> Task<void> {
    const Headers headers;
    (void)co_await ex.start_stream(200, headers, "part");
    if (ex.request().path == "/abort") ex.abort();
  });
  for (const char* path : {"/abort", "/forget"}) {
    Raw c(world.port());
    c.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(std::string::npos, c.rest().find("0\r\n\r\n"));
    EXPECT_TRUE(c.reset());
  }
}

TEST(Server, ABugBecomesA500AndTheConnectionLives) {
  World world([](Exchange& ex) -> Task<void> {
    if (ex.request().path == "/throw") throw std::runtime_error("oh");
    co_return;
  });
  Raw c(world.port());
  for (const char* path : {"/throw", "/silent"}) {
    c.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(c.response().starts_with("HTTP/1.1 500"));
  }
}

// Waits for gone(), as the gateway does while it waits for a provider.
struct Leaving {
  std::promise<void> entered, left;
  Task<void> operator()(Exchange& ex) {
    struct Wait {
      CancelToken token;
      CancelHook hook;
      std::coroutine_handle<> h;
      bool await_ready() const { return token->cancelled(); }
      void await_suspend(std::coroutine_handle<> handle) {
        h = handle;
        hook.attach(token, [](void* w) { static_cast<Wait*>(w)->h.resume(); }, this);   // resumed inside cancel(): the worst case
      }
      void await_resume() const {}
    };
    entered.set_value();
    co_await Wait{ex.gone(), {}, {}};
    const Headers headers;
    const auto sent = co_await ex.respond(200, headers, "too late");
    EXPECT_EQ(ErrorCode::caller_cancelled, sent.error().code);
    left.set_value();
  }
};

TEST(Server, NoticesThatTheClientLeft) {
  for (int how = 0; how < 3; ++how) {
    Leaving leaving;
    World world([&](Exchange& ex) { return leaving(ex); });
    Raw c(world.port());
    c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    leaving.entered.get_future().wait();
    if (how == 0) c.close();
    if (how == 1) c.close(true);
    if (how == 2) c.half_close();
    EXPECT_EQ(std::future_status::ready, leaving.left.get_future().wait_for(60s)) << how;
  }
}

TEST(Server, AReaderThatTakesNothingIsCut) {
  std::promise<Result<void>> ended;
  World world([&](Exchange& ex) -> Task<void> {
    const std::string chunk(1 << 20, 'x');
    const Headers headers;
    auto sent = co_await ex.start_stream(200, headers);
    while (sent) sent = co_await ex.write(chunk);
    ended.set_value(sent);
  }, {.write_timeout = 100ms});
  Raw c(world.port());
  c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  auto result = ended.get_future();
  ASSERT_EQ(std::future_status::ready, result.wait_for(60s));
  EXPECT_EQ(ErrorCode::caller_timeout, result.get().error().code);
}

TEST(Server, BackPressureHoldsTheWriterNotTheBytes) {
  std::atomic<int> written{0};
  World world([&](Exchange& ex) -> Task<void> {
    const std::string chunk(1 << 20, 'x');
    const Headers headers;
    (void)co_await ex.start_stream(200, headers);
    for (int i = 0; i < 64; ++i) {
      const auto sent = co_await ex.write(chunk);
      if (!sent) co_return;
      ++written;
    }
    (void)co_await ex.finish();
  });
  Raw c(world.port());
  c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  c.until("\r\n\r\n");
  EXPECT_LT(written.load(), 64);          // the kernel's buffers are far smaller than 64 MB
  const std::string rest = c.rest();
  EXPECT_EQ(64, written.load());
  EXPECT_TRUE(rest.ends_with("0\r\n\r\n"));
}

TEST(Server, DrainLetsCallsEndAndClosesIdleOnes) {
  std::promise<void> entered;
  std::atomic<bool> first{true};
  World world([&](Exchange& ex) -> Task<void> {
    if (first.exchange(false)) {
      entered.set_value();
      co_await SleepUntil(ex.loop(), ex.loop().clock().mono() + 1s);   // long after the drain began
    }
    const Headers headers;
    (void)co_await ex.respond(200, headers, "done");
  });
  Raw busy(world.port()), idle(world.port());
  busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  entered.get_future().wait();
  idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  idle.response();
  world.server->stop_accepting();
  EXPECT_TRUE(world.server->drain(60s));
  const std::string r = busy.rest();
  EXPECT_NE(std::string::npos, r.find("connection: close"));
  EXPECT_TRUE(r.ends_with("done"));
  EXPECT_EQ("", idle.rest());
  EXPECT_EQ(0u, world.server->stats().connections);
}

TEST(Server, DrainCutsWhatHasNoEnd) {
  Leaving leaving;
  World world([&](Exchange& ex) { return leaving(ex); });
  Raw c(world.port());
  c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  leaving.entered.get_future().wait();
  EXPECT_FALSE(world.server->drain(20ms));
  EXPECT_EQ(1u, world.server->stats().cut);
}

TEST(Server, TurnsAwayAboveItsConnections) {
  World world(echo, {.connections = 2});
  Raw a(world.port()), b(world.port());
  a.send(post("x")); a.response();
  b.send(post("x")); b.response();
  Raw c(world.port());
  EXPECT_TRUE(c.rest().starts_with("HTTP/1.1 503"));
  a.send(post("still here"));
  EXPECT_TRUE(a.response().ends_with("still here"));
}

TEST(Server, SpreadsConnectionsOverLoops) {
  std::atomic<int> on[2] = {0, 0};
  World world([&](Exchange& ex) -> Task<void> { ++on[ex.loop().index()]; co_await echo(ex); }, {}, 2);
  std::vector<Raw> all;
  for (int i = 0; i < 10; ++i) {
    all.emplace_back(world.port());
    all.back().send(post("x"));
    all.back().response();
  }
  EXPECT_EQ(5, on[0].load());
  EXPECT_EQ(5, on[1].load());
}

}  // namespace
}  // namespace ballast::net::test
