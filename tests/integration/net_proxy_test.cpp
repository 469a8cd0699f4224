// Server and client together: a proxy on two loops between impatient callers and an unreliable upstream. Whatever happens,
// nobody is told that a cut answer is whole, every call ends, and nothing is left behind.
#include <random>

#include "../unit/net/world.hpp"

namespace ballast::net::test {
namespace {

// GET /N/ABORT: N numbered chunks, cut after ABORT of them if ABORT < N; with a pause now and then.
Task<void> unreliable(Exchange& ex) {
  const std::string path(ex.request().path);
  const int n = std::stoi(path.substr(1)), stop = std::stoi(path.substr(path.find('/', 1) + 1));
  const Headers headers{{"content-type", "text/event-stream"}};
  auto sent = co_await ex.start_stream(200, headers);
  for (int i = 0; i < n && sent; ++i) {
    if (i == stop) co_return ex.abort();
    if (i % 5 == 4) co_await SleepUntil(ex.loop(), ex.loop().clock().mono() + 1ms);
    sent = co_await ex.write("data: " + std::to_string(i) + std::string(static_cast<std::size_t>(i * 37 % 3000), '.') + "\n\n");
  }
  if (sent) (void)co_await ex.finish("data: [DONE]\n\n");
}

struct Forward {
  Client& client;
  Url upstream;
  Task<void> operator()(Exchange& ex) {
    const std::string_view body[1] = {ex.body()};
    ClientRequest request{.method = ex.request().method, .url = &upstream, .target = ex.request().target};
    if (!body[0].empty()) request.body = Pieces(body);
    auto reply = co_await client.send(ex.loop(), request, {60s, 60s}, ex.gone());
    const Headers headers;
    if (!reply) { (void)co_await ex.respond(502, headers, describe(reply.error())); co_return; }
    auto sent = co_await ex.start_stream((*reply)->head().status, (*reply)->head().headers);
    while (sent) {
      const auto piece = co_await (*reply)->read_some(deadline_after(ex.loop(), 60s));
      if (!piece) co_return ex.abort();
      if (piece->empty()) { (void)co_await ex.finish(); co_return; }
      sent = co_await ex.write(*piece);
    }
  }
};

TEST(Proxy, CutsStayCutsAndNothingLeaks) {
  World upstream(unreliable, {}, 2);
  SystemClock clock;
  LoopGroup loops(2, clock);
  Client client(loops, {});
  FnHandler handler;
  Forward forward{client, *parse_url("http://127.0.0.1:" + std::to_string(upstream.port()))};
  handler.f = [&](Exchange& ex) { return forward(ex); };
  Server server(loops, {}, handler);
  loops.start();

  std::vector<std::thread> callers;
  std::atomic<int> whole{0}, cut{0}, left{0};
  for (unsigned t = 0; t < 4; ++t)
    callers.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 60; ++i) {
        Raw c(server.port());
        for (int again = 0; again < 3; ++again) {
          const int n = static_cast<int>(random() % 40), stop = random() % 3 ? 1000 : static_cast<int>(random() % 40);
          c.send("POST /" + std::to_string(n) + "/" + std::to_string(stop) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
          if (random() % 4 == 0) {
            if (random() % 2) c.until("\r\n\r\n");
            c.close(random() % 2);
            ++left;
            break;
          }
          const std::string got = c.until("0\r\n\r\n");
          const bool ended = got.ends_with("\r\n0\r\n\r\n");
          EXPECT_FALSE(c.timed_out());
          EXPECT_EQ(stop >= n, ended) << n << " " << stop;
          if (ended) EXPECT_NE(std::string::npos, got.find("data: [DONE]\n\n"));
          ++(ended ? whole : cut);
          if (!ended) break;
        }
      }
    });
  for (auto& c : callers) c.join();
  EXPECT_GT(whole.load(), 50);
  EXPECT_GT(cut.load(), 10);
  EXPECT_GT(left.load(), 10);
  server.stop_accepting();
  EXPECT_TRUE(server.drain(60s));
  EXPECT_EQ(0u, server.stats().connections);
  EXPECT_EQ(client.stats().open, client.stats().idle);
}

}  // namespace
}  // namespace ballast::net::test
