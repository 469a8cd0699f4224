// The floor: a bare reverse proxy of Server and Client, no features. net_proxy PORT UPSTREAM_PORT [LOOPS=1]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "net/client.hpp"
#include "net/server.hpp"

using namespace ballast;
using namespace ballast::net;

struct Proxy final : Handler {
  Proxy(Client& c, Url u) : client(c), upstream(std::move(u)) {}
  Task<void> handle(Exchange& ex) override {
    const std::string_view body[1] = {ex.body()};
    ClientRequest request{.method = ex.request().method, .url = &upstream, .target = ex.request().target};
    request.headers.add("content-type", ex.request().headers.get("content-type"));
    request.headers.add("authorization", ex.request().headers.get("authorization"));
    if (!body[0].empty()) request.body = Pieces(body);
    auto reply = co_await client.send(ex.loop(), request, {}, ex.gone());
    if (!reply) {
      const Headers none;
      (void)co_await ex.respond(502, none, describe(reply.error()));
      co_return;
    }
    ClientResponse& r = **reply;
    const Headers headers{{"content-type", r.head().headers.get("content-type")}};
    const Deadline deadline = deadline_after(ex.loop(), std::chrono::seconds(60));
    auto piece = co_await r.read_some(deadline);
    if (r.head().framing.kind == Framing::Kind::length && piece && piece->size() == r.head().framing.length) {
      (void)co_await ex.respond(r.head().status, headers, *piece);
      co_return;
    }
    if (!piece) co_return;
    auto sent = co_await ex.start_stream(r.head().status, headers, *piece);
    while (sent && !piece->empty()) {
      piece = co_await r.read_some(deadline);
      if (!piece) { ex.abort(); co_return; }
      if (!piece->empty()) sent = co_await ex.write(*piece);
    }
    if (sent) (void)co_await ex.finish();
  }
  Client& client;
  Url upstream;
};

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: net_proxy PORT UPSTREAM_PORT [LOOPS]\n"), 2;
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGINT);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, nullptr);
  SystemClock clock;
  LoopGroup loops(argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1, clock);
  Client client(loops, {});
  Proxy proxy(client, *parse_url(std::string("http://127.0.0.1:") + argv[2]));
  Server server(loops, {.port = static_cast<std::uint16_t>(std::atoi(argv[1]))}, proxy);
  loops.start();
  int signal = 0;
  sigwait(&end, &signal);
  server.stop_accepting();
  server.drain(std::chrono::seconds(5));
}
