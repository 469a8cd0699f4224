// Two nodes with one database: what one has answered the other needs not ask for.
#include "../support/temp_dir.hpp"
#include "gateway/cache_shared.hpp"
#include "records/migrations.hpp"
#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

Options across(Duration ttl = 1h) {
  Options o;
  o.route.cache = {.ttl = ttl, .across_nodes = true};
  o.route.retries.attempts = 1;
  o.route.targets = {*target_from("a/m", "t")};
  return o;
}

struct Node {
  Node(store::Database& database, const Options& options) : house(options), shared(database, database, house.clock, house.registry, {}) {
    house.gateway = std::make_unique<Gateway>(World{.clock = house.clock, .keys = house.keys, .breakers = house.breakers, .cache = house.cache, .idempotency = house.idempotency,
                                                    .journal = *house.journal, .metrics = house.registry, .shared_cache = &shared},
                                              house.setup(options));
  }
  ~Node() { house.gateway.reset(); }
  // The road waits for the database, which answers at once.
  const Caller& ask(CacheControl wanted = {}, bool stream = false) {
    auto& caller = house.callers.emplace_back(house.loop);
    asked = {.stream = stream};
    call = asked.call();
    call.secret = kSecret;
    call.cache = wanted;
    ++house.served;
    detach(house.gateway->serve(call, caller), [](std::exception_ptr) { ADD_FAILURE(); });
    house.loop.run_until_idle();
    shared.read_waiting();
    EXPECT_TRUE(house.loop.run_to_rest());
    while (shared.write_waiting()) {}
    return caller;
  }
  std::uint64_t calls() const {
    const auto counts = house.first.simulator.counts();
    const auto m = counts.find("m");
    return m == counts.end() ? 0 : m->second.requests;
  }
  std::string last_step(std::string_view name) {
    const auto parsed = parse_json(house.record().decision);
    std::string out;
    for (const auto& s : parsed->as_array())
      if (s.at("step").as_string() == name) out = to_json(s);
    return out;
  }

  House house;
  SharedCache shared;
  Asked asked;
  Call call;
};

struct Installation {
  ballast::test::TempDir folder;
  std::unique_ptr<store::Database> database = *store::open_database("sqlite:" + (folder / "shared.db"));
  Installation() { EXPECT_TRUE(database->migrate(records::migrations())); }
};

TEST(GatewaySharedCache, WhatOneHasAnsweredTheOtherNeedsNotAskFor) {
  Installation all;
  Node a(*all.database, across()), b(*all.database, across());
  const std::string first = hear(Wire::openai_chat, a.ask()).text;
  const std::int64_t cost = a.house.record().billed_nano;
  b.house.loop.advance(10min);
  const auto& hit = b.ask();
  EXPECT_EQ(hear(Wire::openai_chat, hit).text, first);
  EXPECT_EQ(hit.header("x-ballast-cache"), "hit");
  EXPECT_EQ(hit.header("x-ballast-served-by"), "cache");
  EXPECT_FALSE(hit.header("age").empty());
  const auto record = b.house.record();
  EXPECT_EQ(record.cache, records::CacheState::hit);
  EXPECT_EQ(record.incurred_nano, 0);
  EXPECT_EQ(record.saved_nano, cost);
  EXPECT_GT(cost, 0);
  EXPECT_NE(b.last_step("cache_hit").find(R"("shared":true)"), std::string::npos);
  EXPECT_EQ(b.calls(), 0u);

  const auto& streamed = b.ask({}, true);
  EXPECT_EQ(hear(Wire::openai_chat, streamed).text, first) << "from its own memory now";
  EXPECT_EQ(b.last_step("cache_hit").find("shared"), std::string::npos);
  b.house.loop.advance(51min);
  EXPECT_EQ(b.ask().header("x-ballast-cache"), "miss") << "an hour after it was made, wherever it is";
  EXPECT_EQ(b.calls(), 1u);
}

TEST(GatewaySharedCache, ARouteThatDoesNotSayItKeepsToItself) {
  Installation all;
  Options own = across();
  own.route.cache.across_nodes = false;
  Node a(*all.database, own), b(*all.database, across()), c(*all.database, own);
  a.ask();
  EXPECT_EQ(b.ask().header("x-ballast-cache"), "miss") << "a has told nobody";
  EXPECT_EQ(c.ask().header("x-ballast-cache"), "miss") << "c asks nobody";
}

TEST(GatewaySharedCache, TheCallersWishesHold) {
  Installation all;
  Node a(*all.database, across()), b(*all.database, across());
  EXPECT_EQ(a.ask({.no_store = true}).header("x-ballast-cache"), "bypass");
  EXPECT_NE(b.ask({.only_if_cached = true}).head.status, 200) << "what must not be kept is kept nowhere";
  a.ask({.no_cache = true});
  b.house.loop.advance(10min);
  EXPECT_EQ(b.ask({.no_cache = true}).header("x-ballast-cache"), "bypass");
  Node c(*all.database, across());
  c.house.loop.advance(20min);
  const auto& cached = c.ask({.only_if_cached = true});
  EXPECT_EQ(cached.header("x-ballast-cache"), "hit");
  EXPECT_EQ(c.calls(), 0u);
  Node d(*all.database, across());
  d.house.loop.advance(20min);
  EXPECT_EQ(d.ask({.max_age = 5min}).header("x-ballast-cache"), "miss") << "b's is ten minutes old";
  EXPECT_EQ(d.calls(), 1u);
}

TEST(GatewaySharedCache, AnOldAnswerOfAnotherNodeIsBetterThanNone) {
  Installation all;
  Options options = across();
  options.route.degrade.stale = 24h;
  Node a(*all.database, options);
  const std::string first = hear(Wire::openai_chat, a.ask()).text;
  options.first = {{.kind = SimFaultKind::http_500}};
  Node b(*all.database, options);
  b.house.loop.advance(3h);
  const auto& stale = b.ask();
  EXPECT_EQ(hear(Wire::openai_chat, stale).text, first);
  EXPECT_EQ(stale.header("x-ballast-served-by"), "stale");
  b.house.loop.advance(22h);
  EXPECT_NE(b.ask().head.status, 200) << "too old even for that";
}

TEST(GatewaySharedCache, ADatabaseThatSaysNothingCostsMilliseconds) {
  Installation all;
  Node a(*all.database, across());
  Asked asked;
  Call call = asked.call();
  call.secret = kSecret;
  ++a.house.served;
  auto& caller = a.house.callers.emplace_back(a.house.loop);
  detach(a.house.gateway->serve(call, caller), [](std::exception_ptr) { ADD_FAILURE(); });
  a.house.loop.run_until_idle();
  EXPECT_TRUE(a.house.loop.run_to_rest());
  EXPECT_EQ(caller.header("x-ballast-cache"), "miss");
  const auto missed = parse_json(a.last_step("cache_miss"));
  ASSERT_TRUE(missed);
  EXPECT_GE(missed->at("at_us").as_int64(), 5'000);
  EXPECT_LE(missed->at("at_us").as_int64(), 6'000);
}

}  // namespace
}  // namespace ballast::gateway
