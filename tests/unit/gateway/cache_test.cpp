#include "gateway/cache.hpp"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

CacheKey key_of(std::string_view body, std::string_view scope = "k1", std::string_view route = "chat") {
  return *cache_key({.wire = "openai_chat", .operation = "chat", .route = route, .scope = scope, .body = body});
}
constexpr std::string_view kAsk = R"({"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0})";

struct World {
  SimClock clock;
  SimLoop loop{clock};
  ResponseCache cache{clock, {}};
  std::vector<std::string> told;
  std::vector<CacheLead> leads;

  Task<void> ask(std::string name, CacheKey key, Duration patience, CancelToken cancel, Duration max_age) {
    auto found = co_await cache.look_up(key, max_age, loop, clock.mono() + patience, cancel);
    if (!found) {
      told.push_back(name + " " + std::string(to_string(found.error().code)));
    } else if (auto* hit = std::get_if<CacheHit>(&*found)) {
      told.push_back(name + (hit->waited ? " joined " : " hit ") + hit->reply->body);
    } else {
      told.push_back(name + " leads");
      leads.push_back(std::move(std::get<CacheLead>(*found)));
    }
  }
  void start(std::string name, CacheKey key = key_of(kAsk), Duration patience = 10s, CancelToken cancel = nullptr, Duration max_age = Duration::max()) {
    detach(ask(std::move(name), key, patience, cancel, max_age), [](std::exception_ptr) {});
    loop.run_until_idle();
  }
};
using Told = std::vector<std::string>;

TEST(Cache, AKeyIgnoresWhatDoesNotChangeTheAnswer) {
  const auto same = key_of(kAsk);
  for (const auto* body : {R"( { "temperature" : 0, "messages":[ {"role":"user","content":"hi"} ],"model":"other"})",
                           R"({"stream":true,"stream_options":{"include_usage":true},"user":"u","metadata":{"a":1},"messages":[{"role":"user","content":"hi"}],"temperature":0})"})
    EXPECT_EQ(key_of(body), same) << body;
  for (const auto* body : {R"({"messages":[{"role":"user","content":"hi "}],"temperature":0})", R"({"messages":[{"role":"user","content":"hi"}]})",
                           R"({"messages":[{"role":"user","content":"hi"}],"temperature":0,"n":2})"})
    EXPECT_FALSE(key_of(body) == same) << body;
  EXPECT_FALSE(key_of(kAsk, "k2") == same) << "another caller's";
  EXPECT_FALSE(key_of(kAsk, "k1", "other") == same);
  for (const auto* body : {"", "[]", "{", R"({"a":1} x)", R"({"previous_response_id":"r","input":"x"})"})
    EXPECT_FALSE(cache_key({.body = body})) << body;
}

TEST(Cache, AnswersUntilItsTimeIsOverThenOnlyAsStale) {
  World w;
  w.start("a");
  w.leads[0].publish({.body = "one"}, 1h, 24h);
  w.start("b");
  EXPECT_EQ(w.told, (Told{"a leads", "b hit one"}));
  w.loop.advance(1h);
  EXPECT_FALSE(w.cache.find(key_of(kAsk)));
  EXPECT_TRUE(w.cache.find_stale(key_of(kAsk), 24h));
  EXPECT_FALSE(w.cache.find_stale(key_of(kAsk), 30min));
  w.clock.advance(23h);
  EXPECT_FALSE(w.cache.find_stale(key_of(kAsk), 48h));
}

TEST(Cache, AnAnswerFromElsewhereIsAsOldAsItIs) {
  World w;
  w.start("a");
  w.leads[0].publish({.body = "old"}, 1h, 24h, 40min);
  EXPECT_TRUE(w.cache.find(key_of(kAsk)));
  EXPECT_FALSE(w.cache.find(key_of(kAsk), 39min));
  w.loop.advance(20min);
  EXPECT_FALSE(w.cache.find(key_of(kAsk))) << "an hour since it was made";
  EXPECT_TRUE(w.cache.find_stale(key_of(kAsk), 24h));
  w.cache.store(key_of(kAsk), {.body = "stale"}, 1h, 24h, 2h);
  EXPECT_FALSE(w.cache.find(key_of(kAsk)));
  EXPECT_TRUE(w.cache.find_stale(key_of(kAsk), 3h));
  EXPECT_FALSE(w.cache.find_stale(key_of(kAsk), 1h));
}

TEST(Cache, WhoWaitsAndWouldNotTakeAnOldAnswerIsNotGivenOne) {
  World w;
  w.start("leader");
  w.start("any");
  w.start("young", key_of(kAsk), 10s, nullptr, 1min);
  w.start("younger", key_of(kAsk), 10s, nullptr, 30s);
  w.start("any too");
  w.leads[0].publish({.body = "x"}, 1h, 0s, 10min);
  w.loop.run_until_idle();
  EXPECT_EQ(w.told, (Told{"leader leads", "any joined x", "any too joined x", "young leads"}));
  w.leads[1].publish({.body = "y"}, 1h, 0s);
  w.loop.run_until_idle();
  EXPECT_EQ(w.told.back(), "younger joined y");
  EXPECT_EQ(w.cache.find(key_of(kAsk))->body, "y");
}

TEST(Cache, AStampedeMakesOneCall) {
  World w;
  for (int i = 0; i < 100; ++i) w.start("c");
  EXPECT_EQ(w.leads.size(), 1u);
  w.leads[0].publish({.body = "x"}, 1h, 0s);
  w.loop.run_until_idle();
  EXPECT_EQ(std::ranges::count(w.told, "c joined x"), 99);
  EXPECT_EQ(w.cache.stats().joined, 99u);
}

TEST(Cache, WhenTheLeaderFailsTheNextOneTriesAndOnlyThatOne) {
  World w;
  for (const auto* name : {"a", "b", "c", "d"}) w.start(name);
  w.leads[0].abandon();
  w.loop.run_until_idle();
  EXPECT_EQ(w.told, (Told{"a leads", "b leads"}));
  w.leads.pop_back();                                 // dies
  w.loop.run_until_idle();
  EXPECT_EQ(w.told.back(), "c leads");
  w.leads.back().publish({.body = "at last"}, 1h, 0s);
  w.loop.run_until_idle();
  EXPECT_EQ(w.told.back(), "d joined at last");
}

TEST(Cache, FollowersHaveTheirOwnPatience) {
  World w;
  CancelSource gone;
  w.start("a");
  w.start("b", key_of(kAsk), 1s);
  w.start("c", key_of(kAsk), 10s, &gone);
  w.loop.advance(1s);
  gone.cancel();
  w.loop.run_until_idle();
  EXPECT_EQ(w.told, (Told{"a leads", "b provider_timeout", "c caller_cancelled"}));
  w.leads.clear();                                    // nobody waits any more
  w.start("d");
  EXPECT_EQ(w.told.back(), "d leads");
}

TEST(Cache, ADutyPassedToOneWhoGaveUpIsPassedOn) {
  World w;
  CancelSource gone;
  w.start("a");
  w.start("b", key_of(kAsk), 10s, &gone);
  w.start("c");
  w.leads[0].abandon();                               // b is to lead …
  gone.cancel();                                      // … and leaves before it runs
  w.loop.run_until_idle();
  w.leads.clear();
  w.loop.run_until_idle();
  EXPECT_EQ(w.told.back(), "c leads");
}

TEST(Cache, StaysWithinItsBytes) {
  SimClock clock;
  SimLoop loop(clock);
  ResponseCache cache(clock, {.max_bytes = 1 << 20});
  for (int i = 0; i < 2000; ++i) {
    auto found = loop.run(cache.look_up(key_of(R"({"n":)" + std::to_string(i) + "}"), Duration::max(), loop, MonoTime::max(), nullptr));
    std::get<CacheLead>(*found).publish({.body = std::string(4000, 'x')}, 1h, 0s);
  }
  EXPECT_LE(cache.stats().bytes, 1u << 20);
  EXPECT_GT(cache.stats().evicted, 1000u);
  EXPECT_TRUE(cache.find(key_of(R"({"n":1999})")));
  auto big = loop.run(cache.look_up(key_of(R"({"big":1})"), Duration::max(), loop, MonoTime::max(), nullptr));
  std::get<CacheLead>(*big).publish({.body = std::string(1 << 17, 'x')}, 1h, 0s);
  EXPECT_FALSE(cache.find(key_of(R"({"big":1})"))) << "too large to keep";
  cache.clear();
  EXPECT_EQ(cache.stats().bytes, 0u);
}

// Loops on threads of their own: each turns until its tasks are done.
TEST(Cache, LoopsShareOneLeader) {
  SimClock clock;
  ResponseCache cache(clock, {});
  std::atomic<int> leads{0}, hits{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        SimLoop loop(clock, t);
        int done = 0;
        auto ask = [&](int i) -> Task<void> {
          const auto key = key_of(R"({"q":)" + std::to_string(i) + "}");
          auto found = co_await cache.look_up(key, Duration::max(), loop, MonoTime::max(), nullptr);
          if (auto* lead = std::get_if<CacheLead>(&*found)) {
            ++leads;
            if (leads % 5 == 0) lead->abandon();
            else lead->publish({.body = "x"}, 1h, 0s);
          } else {
            ++hits;
          }
          ++done;
        };
        for (int i = 0; i < 500; ++i) {
          detach(ask(i), [](std::exception_ptr) {});
          loop.run_until_idle();
        }
        while (done < 500) {
          loop.run_until_idle();
          std::this_thread::yield();
        }
      });
  }
  EXPECT_EQ(leads + hits, 2000);
  EXPECT_GE(leads, 500);
}

}  // namespace
}  // namespace ballast::gateway
