// What a caller may ask of the road by header, and what the road tells in return: Cache-Control, the complexity class, what a budget leaves.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::ElementsAre;

const Route kCached{.cache = {.ttl = 1h}};

struct Wish : House {
  explicit Wish(Options o = {}) : House(std::move(o)) {}
  const Caller& ask(std::string_view cache_control, bool stream = false) {
    auto& asked = asks.emplace_back(Asked{.stream = stream});
    Call call = asked.call();
    call.cache = cache_control_from(cache_control);
    return serve(call);
  }
  std::uint64_t sent() const { return first.simulator.counts().contains("m") ? first.simulator.counts().at("m").requests : 0; }
  std::deque<Asked> asks;
};

TEST(CacheControl, NoCacheMakesTheAnswerAnewAndKeepsIt) {
  for (const bool stream : {false, true}) {
    Wish house({.route = kCached});
    house.ask("");
    house.loop.advance(10min);
    const Caller& anew = house.ask("no-cache", stream);
    EXPECT_EQ(hear(Wire::openai_chat, anew).text, kFirstSays);
    EXPECT_EQ(anew.header("x-ballast-cache"), "bypass");
    EXPECT_EQ(anew.header("age"), "");
    EXPECT_EQ(house.sent(), 2u);
    EXPECT_THAT(steps(house.record()), ElementsAre("route", "cache_bypassed", "plan", "attempt", "settled"));
    house.loop.advance(55min);                       // the first answer's hour is over, the second's is not
    const Caller& hit = house.ask("");
    EXPECT_EQ(hit.header("x-ballast-cache"), "hit");
    EXPECT_EQ(hit.header("age"), "3300");
    EXPECT_EQ(house.sent(), 2u);
  }
}

TEST(CacheControl, NoStoreNeitherReadsNorKeeps) {
  Wish house({.route = kCached});
  EXPECT_EQ(house.ask("no-store").header("x-ballast-cache"), "bypass");
  EXPECT_EQ(house.ask("").header("x-ballast-cache"), "miss") << "nothing was kept";
  EXPECT_EQ(house.ask("no-store").header("x-ballast-cache"), "bypass") << "nothing is read";
  EXPECT_EQ(house.sent(), 3u);
  EXPECT_EQ(house.cache.stats().entries, 1u);
}

TEST(CacheControl, MaxAgeTakesWhatIsYoungEnough) {
  Wish house({.route = kCached});
  house.ask("max-age=0");
  house.loop.advance(60s);
  EXPECT_EQ(house.ask("max-age=120").header("x-ballast-cache"), "hit");
  EXPECT_EQ(house.ask("max-age=\"120\"").header("x-ballast-cache"), "hit");
  EXPECT_EQ(house.sent(), 1u);
  EXPECT_EQ(house.ask("max-age=30").header("x-ballast-cache"), "miss");
  EXPECT_EQ(house.sent(), 2u);
  EXPECT_EQ(house.ask("max-age=30").header("x-ballast-cache"), "hit") << "the newer one took its place";
}

TEST(CacheControl, OnlyIfCachedAsksNobody) {
  for (const Route& route : {kCached, Route{}}) {
    Wish house({.route = route});
    const Caller& none = house.ask("only-if-cached");
    EXPECT_EQ(none.head.status, 504) << none.body;
    EXPECT_NE(none.body.find("cache-control"), std::string::npos);
    EXPECT_EQ(none.header("x-should-retry"), "false");
    EXPECT_EQ(house.sent(), 0u);
    EXPECT_EQ(house.record().http_status, 504);
  }
  Wish house({.route = kCached});
  house.ask("");
  EXPECT_EQ(house.ask("only-if-cached").header("x-ballast-cache"), "hit");
  house.loop.advance(60s);
  EXPECT_EQ(house.ask("only-if-cached, max-age=30").head.status, 504);
  EXPECT_EQ(house.ask("only-if-cached, no-cache").head.status, 504);
  EXPECT_EQ(house.sent(), 1u);
}

TEST(CacheControl, AStaleAnswerIsNoAnswerForWhoRefusesIt) {
  const auto house = [] {
    return Options{.first = {{.kind = SimFaultKind::http_503, .from = 30min}}, .second = {{.kind = SimFaultKind::http_503}},
                   .route = {.cache = {.ttl = 10min}, .degrade = {.stale = 2h}}};
  };
  struct Row { const char* wanted; int status; };
  for (const auto& [wanted, status] : {Row{"", 200}, {"max-age=7200", 200}, {"max-age=60", 503}, {"no-cache", 503}, {"no-store", 503}}) {
    Wish w(house());
    w.ask("");
    w.loop.advance(1h);
    EXPECT_EQ(w.ask(wanted).head.status == 200, status == 200) << wanted;
  }
}

TEST(CacheControl, IsReadAsRfc9111SaysIt) {
  const auto c = cache_control_from(" No-Cache , MAX-AGE=10,max-age=\"5\", no-transform, x=\"y\",");
  EXPECT_TRUE(c.no_cache && !c.no_store && !c.only_if_cached);
  EXPECT_EQ(c.max_age, 5s) << "the stricter of two";
  for (const char* none : {"max-age", "max-age=", "max-age=-1", "max-age=soon", "max-age=1.5"}) EXPECT_EQ(cache_control_from(none).max_age, 0s) << none;
  EXPECT_GT(cache_control_from("max-age=99999999999999999999").max_age, 24h * 365);
  EXPECT_TRUE(cache_control_from("").reads());
}

TEST(Wishes, AnUnknownComplexityIsRefusedByName) {
  Wish house;
  Asked asked;
  Call call = asked.call();
  call.complexity = "zzz";
  const Caller& caller = house.serve(call);
  EXPECT_EQ(caller.head.status, 400);
  for (const char* word : {"x-ballast-complexity", "simple", "medium", "hard"}) EXPECT_NE(caller.body.find(word), std::string::npos) << caller.body;
  EXPECT_EQ(house.sent(), 0u);
}

TEST(Wishes, TheTightestBudgetSaysWhatItLeavesAndUntilWhen) {
  for (const bool stream : {false, true}) {
    Wish house({.budgets = {{.scope = BudgetScope::request, .amount = {10'000'000}},
                            {.scope = BudgetScope::system, .amount = {9'000'000'000}, .period = BudgetPeriod::month},
                            {.scope = BudgetScope::key, .amount = {1'000'000'000}, .period = BudgetPeriod::hour},
                            {.scope = BudgetScope::model, .match = "b/*", .amount = {1'000'000}}}});
    const Caller& caller = house.ask("", stream);
    EXPECT_EQ(caller.head.status, 200) << caller.body;
    const auto status = house.gateway->setup()->budgets->status();
    const auto key = std::ranges::find(status, BudgetScope::key, &BudgetStatus::scope);
    ASSERT_NE(key, status.end());
    if (stream) EXPECT_LT(caller.header("x-ballast-budget-remaining"), to_usd(key->remaining)) << "at the head the call's ceiling is still held";
    else EXPECT_EQ(caller.header("x-ballast-budget-remaining"), to_usd(key->remaining));
    EXPECT_FALSE(caller.header("x-ballast-budget-reset").empty());
  }
  Wish poor({.budgets = {{.scope = BudgetScope::key, .amount = {1000}}}});
  const Caller& refused = poor.ask("");
  EXPECT_EQ(refused.head.status, 429);
  EXPECT_EQ(refused.header("x-ballast-budget-remaining"), "0.000001000");
  Wish free;
  EXPECT_EQ(free.ask("").header("x-ballast-budget-remaining"), "") << "no budget, no word of one";
}

}  // namespace
}  // namespace ballast::gateway
