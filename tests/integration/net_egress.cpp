// The egress guard on real sockets: what a name answers at the moment of connecting decides, whoever answered before and wherever a redirect came from.
#include <cstring>

#include "../unit/net/world.hpp"
#include "net/fetch.hpp"
#include "net/resolver.hpp"

namespace ballast::net::test {
namespace {

// A name server whose answers change: host → the next list of addresses; the last one stays.
class Names {
 public:
  void say(const std::string& host, std::vector<std::vector<std::string>> answers) { answers_[host] = std::move(answers); }
  std::shared_ptr<Resolver> resolver() {
    return std::make_shared<Resolver>([this](const std::string& host, std::uint16_t port) {
      ++asked;
      Resolved out{.addresses = {}, .failure = "unknown"};
      auto& left = answers_[host];
      if (left.empty()) return out;
      for (const auto& text : left.front()) out.addresses.push_back(*literal_address(text, port));
      if (left.size() > 1) left.erase(left.begin());
      return out;
    });
  }
  std::atomic<int> asked{0};

 private:
  std::map<std::string, std::vector<std::vector<std::string>>> answers_;    // written before the world starts
};

struct Guarded {
  Guarded(Names& names, const std::vector<std::string>& allow, ClientOptions options = {}) : loops(1, clock) {
    options.egress = std::make_shared<const EgressPolicy>(*EgressPolicy::parse(allow));
    options.resolver = names.resolver();
    client = std::make_unique<Client>(loops, options);
    loops.start();
  }
  Result<Fetched> get(std::string url, FetchLimits limits = {}) {
    limits.total = 60s;
    limits.connect = 60s;
    return run<Result<Fetched>>(loops.at(0), [&]() -> Task<Result<Fetched>> { return fetch(*client, loops.at(0), {.url = url}, limits, nullptr); });
  }
  ErrorCode refusal(std::string url, FetchLimits limits = {}) {
    const auto got = get(std::move(url), limits);
    return got ? ErrorCode::internal_error : got.error().code;
  }
  SystemClock clock;
  LoopGroup loops;
  std::unique_ptr<Client> client;
};

struct Internal : World {
  Internal() : World([this](Exchange& ex) -> Task<void> {
    ++reached;
    const std::string path(ex.request().path);
    Headers headers;
    if (path.starts_with("/to/")) headers.add("location", "http://" + path.substr(4) + "/");
    (void)co_await ex.respond(path.starts_with("/to/") ? 302 : 200, headers, "secret");
  }) {}
  std::string at(std::string host, std::string path = "/") const { return "http://" + host + ":" + std::to_string(port()) + path; }
  std::atomic<int> reached{0};
};

TEST(EgressOnSockets, NothingInsideIsReachedUnlessAllowed) {
  Internal internal;
  Names names;
  names.say("inside.example", {{"127.0.0.1"}});
  names.say("mixed.example", {{"::1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1"}});
  names.say("hex.example", {{"127.0.0.1"}});
  Guarded w(names, {});
  for (const char* host : {"127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "inside.example", "mixed.example"})
    EXPECT_EQ(ErrorCode::policy_egress_denied, w.refusal(internal.at(host))) << host;
  EXPECT_EQ(0, internal.reached);
  EXPECT_EQ(2, names.asked) << "what the text tells is not asked for";
  EXPECT_EQ(0u, w.client->stats().open);

  for (const auto& allow : std::vector<std::vector<std::string>>{{"127.0.0.0/8"}, {"inside.example"}, {"inside.example:" + std::to_string(internal.port())}}) {
    Guarded opened(names, allow);
    const auto got = opened.get(internal.at("inside.example"));
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->body, "secret");
  }
}

TEST(EgressOnSockets, ASecondAnswerOfTheNameIsCheckedToo) {
  Internal internal;
  Names names;
  // 127.0.0.1 stands for a public address here: it is allowed. 127.0.0.2 is not.
  names.say("rebind.example", {{"127.0.0.1"}, {"127.0.0.2"}});
  Guarded w(names, {"127.0.0.1"}, {.idle_timeout = 1ms, .dns_ttl = 0s});
  EXPECT_TRUE(w.get(internal.at("rebind.example")));
  while (w.client->stats().open) std::this_thread::yield();
  EXPECT_EQ(ErrorCode::policy_egress_denied, w.refusal(internal.at("rebind.example")));
  EXPECT_EQ(1, internal.reached);
  EXPECT_EQ(2, names.asked);
}

TEST(EgressOnSockets, AnAnswerThatMixesIsUsedWhereItIsAllowed) {
  Internal internal;
  Names names;
  names.say("mixed.example", {{"127.0.0.2", "10.0.0.1", "127.0.0.1"}});
  Guarded w(names, {"127.0.0.1"});
  EXPECT_TRUE(w.get(internal.at("mixed.example")));
  EXPECT_EQ(1, internal.reached);
}

TEST(EgressOnSockets, ARedirectInsideIsRefused) {
  Internal internal;
  Names names;
  names.say("front.example", {{"127.0.0.1"}});
  names.say("inside.example", {{"10.0.0.1"}});
  Guarded w(names, {"front.example"});
  const std::string port = ":" + std::to_string(internal.port());
  for (const std::string& target : {"127.0.0.1" + port, "inside.example" + port, std::string("169.254.169.254"), "localhost" + port, "[::1]" + port, std::string("2130706433") + port})
    EXPECT_EQ(ErrorCode::policy_egress_denied, w.refusal(internal.at("front.example", "/to/" + target), {.redirects = 5})) << target;
  EXPECT_EQ(6, internal.reached) << "the front alone";
  const auto got = w.get(internal.at("front.example", "/to/front.example" + port), {.redirects = 5});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->body, "secret");
}

TEST(EgressOnSockets, AGuardedRequestNeverTravelsOnAnUnguardedConnection) {
  Internal internal;
  Names names;
  Guarded w(names, {});
  Client unguarded(w.loops, {});
  const std::string url = internal.at("127.0.0.1");
  const auto free = run<Result<Fetched>>(w.loops.at(0), [&]() -> Task<Result<Fetched>> { return fetch(unguarded, w.loops.at(0), {.url = url}, {.total = 60s}, nullptr); });
  ASSERT_TRUE(free) << free.error().message;
  EXPECT_EQ(1u, unguarded.stats().idle);
  EXPECT_EQ(ErrorCode::policy_egress_denied, w.refusal(url));
  EXPECT_EQ(1, internal.reached);
}

TEST(EgressOnSockets, OriginsThatServeNothingAreForgotten) {
  Internal internal;
  Names names;
  for (int i = 0; i < 40; ++i) names.say("h" + std::to_string(i) + ".example", {{"127.0.0.1"}});
  Guarded w(names, {"127.0.0.1"}, {.origins = 4});
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(w.get(internal.at("h" + std::to_string(i) + ".example")));
    EXPECT_LE(w.client->stats().open, 4u);
  }
  EXPECT_EQ(40, internal.reached);
}

TEST(EgressOnSockets, AnOriginThatSomebodyWaitsForIsNotForgotten) {
  Internal internal;
  Names names;
  for (const char* host : {"a.example", "b.example"}) names.say(host, {{"127.0.0.1"}});
  Guarded w(names, {"127.0.0.1"}, {.connections_per_origin = 1, .origins = 1});
  Loop& loop = w.loops.at(0);
  std::promise<int> waited, other;
  auto ask = [&](std::string host, std::promise<int>& status) -> Task<void> {
    const std::string url = internal.at(host);
    const auto got = co_await fetch(*w.client, loop, {.url = url}, {.connect = 60s, .total = 60s}, nullptr);
    status.set_value(got ? got->status : 0);
  };
  run<int>(loop, [&]() -> Task<int> {
    const Url url = *parse_url(internal.at("a.example"));
    const ClientRequest request{.method = "GET", .url = &url};
    auto first = co_await w.client->send(loop, request, {60s, 60s}, nullptr);
    EXPECT_TRUE(first.has_value());
    detach(ask("a.example", waited), [](std::exception_ptr) {});      // waits for the one connection
    first->reset();                                                    // it is woken, and has not had its turn yet
    detach(ask("b.example", other), [](std::exception_ptr) {});       // an origin too many
    co_return 0;
  });
  EXPECT_EQ(200, waited.get_future().get());
  EXPECT_EQ(200, other.get_future().get());
}

}  // namespace
}  // namespace ballast::net::test
