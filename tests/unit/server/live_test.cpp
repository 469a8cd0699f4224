// The live feed: what is told, to whom, and what a slow follower loses.
#include "server/live.hpp"

#include "api_house.hpp"
#include "server/stat_json.hpp"
#include "shapes.hpp"

namespace ballast::server::test {
namespace {

struct LiveHouse : House {
  Live live;
  Api watched;
  explicit LiveHouse(Live::Options options = {}) : live(*gateway, *database, nullptr, clock, options), watched(parts_of()) {}
  Parts parts_of() {
    Parts parts = api->parts();
    parts.live = &live;
    return parts;
  }
  std::string take(const std::shared_ptr<LiveFollower>& f) {
    std::string out;
    loop.run([](std::shared_ptr<LiveFollower> follower, std::string& into, MonoTime until) -> Task<void> { into = co_await follower->take(until); }(f, out, clock.mono() + 1s));
    return out;
  }
  void calls(std::uint64_t n) {
    for (std::uint64_t i = 0; i < n; ++i) call(ballast::test::sample_call(i, 0));
  }
  void call(const records::CallRecord& record) {
    std::string encoded;
    records::encode(encoded, record);
    live.call(encoded);
  }
};

std::size_t count(std::string_view text, std::string_view event) {
  std::size_t n = 0;
  const std::string line = fmt::format("event: {}\n", event);
  for (auto at = text.find(line); at != text.npos; at = text.find(line, at + 1)) ++n;
  return n;
}

TEST(Live, CallsAreToldEachSecondAndManyAreCounted) {
  LiveHouse house;
  house.calls(5);
  const auto one = house.live.join(house.loop), two = house.live.join(house.loop);
  house.calls(25);
  house.live.second();
  for (const auto& f : {one, two}) {
    const std::string told = house.take(f);
    EXPECT_EQ(count(told, "call"), 20u);
    EXPECT_NE(told.find("event: skipped\ndata: {\"calls\":5}"), std::string::npos) << told;
    EXPECT_EQ(count(told, "figures"), 1u);
  }
  house.live.leave(two);
  house.live.second();
  EXPECT_EQ(count(house.take(one), "call"), 0u);
  EXPECT_EQ(house.live.followers(), 1u);
}

TEST(Live, ASlowFollowerLosesCallsAndIsToldAndTheOthersLoseNothing) {
  LiveHouse house({.bytes = 20'000, .calls = 20});
  const auto slow = house.live.join(house.loop), quick = house.live.join(house.loop);
  std::size_t seen = 0;
  for (int second = 0; second < 10; ++second) {
    house.calls(20);
    house.clock.advance(1s);
    house.live.second();
    seen += count(house.take(quick), "call");
  }
  EXPECT_EQ(seen, 200u);
  const std::string told = house.take(slow);
  EXPECT_LE(told.size(), 20'100u);
  const auto kept = count(told, "call");
  EXPECT_NE(told.find(fmt::format("event: skipped\ndata: {{\"calls\":{}}}", 200 - kept)), std::string::npos) << told.substr(told.size() - 200);
  EXPECT_FALSE(slow->ended());
  house.calls(200);
  for (int i = 0; i < 100; ++i) house.live.tell("alert", json::object{{"detail", std::string(1000, 'x')}});
  EXPECT_TRUE(slow->ended()) << "what must not be lost ends it: it comes back and begins anew";
}

TEST(Live, NoMoreThanMay) {
  LiveHouse house({.followers = 2});
  const auto a = house.live.join(house.loop), b = house.live.join(house.loop);
  EXPECT_EQ(house.live.join(house.loop), nullptr);
  house.live.leave(a);
  EXPECT_NE(house.live.join(house.loop), nullptr);
  house.live.stop();
  EXPECT_TRUE(b->ended());
  EXPECT_EQ(house.live.join(house.loop), nullptr);
}

TEST(Live, ABreakerThatOpensIsTold) {
  LiveHouse house;
  const auto f = house.live.join(house.loop);
  house.live.second();
  house.take(f);
  house.live.second();
  EXPECT_EQ(count(house.take(f), "state"), 0u);
  (void)house.breakers.of("p", "m");
  house.live.second();
  EXPECT_NE(house.take(f).find("event: state\ndata: {\"what\":\"breakers\"}"), std::string::npos);
}

TEST(Live, WhatIsToldIsAsDescribed) {
  LiveHouse house;
  const auto f = house.live.join(house.loop);
  auto hostile = ballast::test::sample_call(7, 0);
  hostile.user = "</script>\n\nevent: alert\ndata: {}\n";
  house.call(hostile);
  house.live.second();
  const std::string told = house.take(f);
  EXPECT_EQ(count(told, "alert"), 0u) << told;
  const Shapes shapes(parse_json(openapi_document("test")).value());
  const auto data_of = [&](std::string_view event) {
    const auto at = told.find(fmt::format("event: {}\ndata: ", event));
    const auto begin = told.find("data: ", at) + 6;
    return parse_json(told.substr(begin, told.find('\n', begin) - begin)).value();
  };
  EXPECT_EQ(shapes.fault_of("CallRow", data_of("call")), "");
  EXPECT_EQ(shapes.fault_of("LiveFigures", data_of("figures")), "");
  EXPECT_EQ(std::string_view(data_of("call").at("user").get_string()), hostile.user);
}

TEST(Live, AStreamEndsWithItsKey) {
  LiveHouse house;
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"eye","scopes":["read"]})");
  Asked asked(house.loop, "GET", "/api/live", made.at("secret"), {}, "192.0.2.7:5000");
  int writes = 0;
  asked.on_write = [&](std::string_view) {
    if (++writes == 2) house.ask("DELETE", "/api/keys/" + made.at("id"), kAdmin);
    return true;
  };
  house.loop.run(house.watched.handle(asked));
  EXPECT_EQ(asked.status, 200);
  EXPECT_EQ(asked.type, "text/event-stream");
  EXPECT_TRUE(asked.answer.starts_with("retry: 2000\n\nevent: hello\ndata: {")) << asked.answer;
  EXPECT_EQ(writes, 2) << "two heartbeats, and then the key was revoked";
  EXPECT_TRUE(asked.finished);
  EXPECT_EQ(house.live.followers(), 0u);
  Asked caller(house.loop, "GET", "/api/live", std::string(kCaller), {}, "192.0.2.7:5000");
  house.loop.run(house.watched.handle(caller));
  EXPECT_EQ(caller.status, 403);
}

}  // namespace
}  // namespace ballast::server::test
