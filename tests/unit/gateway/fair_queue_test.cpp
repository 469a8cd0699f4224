#include "gateway/fair_queue.hpp"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

// One gateway with one limit, on simulated time. Calls note what became of them.
struct World {
  SimClock clock;
  SimLoop loop{clock};
  std::unique_ptr<Limits> limits;
  std::unique_ptr<FairQueue> queue;
  std::vector<std::string> served, refused;
  std::vector<Admission> kept;

  explicit World(LimitRule rule) {
    limits = std::move(*Limits::create({std::move(rule)}, clock, {}));
    queue = std::make_unique<FairQueue>(*limits);
  }
  Task<void> call(std::string tenant, std::string name, QueueOptions options, CancelToken cancel, bool keep) {
    auto admitted = co_await queue->admit({.system = true}, 1, tenant, options, loop, cancel);
    if (admitted) {
      served.push_back(name);
      if (keep) kept.push_back(std::move(*admitted));
    } else {
      refused.push_back(name + ":" + std::string(to_string(admitted.error().error.code)));
    }
  }
  void start(std::string tenant, std::string name, QueueOptions options, CancelToken cancel = nullptr, bool keep = false) {
    detach(call(std::move(tenant), std::move(name), options, cancel, keep), [](std::exception_ptr e) { std::rethrow_exception(e); });
    loop.run_until_idle();
  }
};
LimitRule ten_a_second() { return {.scope = LimitScope::system, .requests = Rate{10, 1s}}; }

TEST(FairQueue, WaitsForRoomInsteadOfRefusing) {
  World w(ten_a_second());
  for (int i = 0; i < 15; ++i) w.start("t", std::to_string(i), {.wait = 5s});
  EXPECT_EQ(w.served.size(), 10u);
  EXPECT_EQ(w.queue->waiting(), 5u);
  w.loop.advance(510ms);
  EXPECT_EQ(w.served.size(), 15u);
  EXPECT_EQ(w.served.back(), "14") << "in order of arrival";
  EXPECT_EQ(w.queue->waiting(), 0u);
  EXPECT_TRUE(w.refused.empty());
}

TEST(FairQueue, AFloodOfOneTenantDelaysItselfNotTheOthers) {
  World w(ten_a_second());
  for (int i = 0; i < 60; ++i) w.start("flood", "f", {.wait = 10s});
  w.start("quiet", "q1", {.wait = 10s});
  w.start("quiet", "q2", {.wait = 10s});
  w.loop.advance(450ms);                              // four or five places
  EXPECT_EQ(std::ranges::count(w.served, "q1"), 1);
  EXPECT_EQ(std::ranges::count(w.served, "q2"), 1);
  w.loop.advance(10s);
  EXPECT_EQ(w.served.size(), 62u);
}

TEST(FairQueue, AFullLaneTakesAPlaceFromTheLargestTenant) {
  World w(ten_a_second());
  for (int i = 0; i < 10; ++i) w.start("flood", "f", {.wait = 5s, .depth = 4});
  for (int i = 0; i < 6; ++i) w.start("flood", "f" + std::to_string(i), {.wait = 5s, .depth = 4});
  EXPECT_EQ(w.refused.size(), 2u);
  w.start("quiet", "q", {.wait = 5s, .depth = 4});
  EXPECT_EQ(w.refused.size(), 3u);
  EXPECT_EQ(w.refused.back(), "f3:policy_rate_limited") << "its newest";
  w.loop.advance(5s);
  EXPECT_EQ(std::ranges::count(w.served, "q"), 1);
}

TEST(FairQueue, NobodyOvertakesThoseWhoWait) {
  World w(ten_a_second());
  for (int i = 0; i < 12; ++i) w.start("a", "a", {.wait = 5s});
  w.clock.advance(100ms);                             // room for one, before the waiter's timer has run
  w.start("b", "hasty", {});
  EXPECT_EQ(w.refused, std::vector<std::string>{"hasty:policy_rate_limited"});
  w.loop.advance(5s);
  EXPECT_EQ(w.served.size(), 12u);
}

TEST(FairQueue, AReleasedSlotGoesToTheNextAtOnce) {
  World w({.scope = LimitScope::system, .concurrency = 1});
  w.start("a", "first", {}, nullptr, true);
  w.start("b", "second", {.wait = 5s}, nullptr, true);
  EXPECT_EQ(w.served.size(), 1u);
  Admission first = std::move(w.kept.front());
  w.kept.clear();
  first.settle(0);
  w.loop.run_until_idle();
  EXPECT_EQ(w.served, (std::vector<std::string>{"first", "second"}));
  w.kept.clear();
}

TEST(FairQueue, GivesUpAtItsTimeAndWhenTheCallerLeaves) {
  World w({.scope = LimitScope::system, .concurrency = 1});
  w.start("a", "holder", {}, nullptr, true);
  CancelSource gone;
  w.start("b", "patient", {.wait = 2s});
  w.start("c", "leaver", {.wait = 5s}, &gone);
  w.loop.advance(1s);
  gone.cancel();
  w.loop.run_until_idle();
  EXPECT_EQ(w.refused, std::vector<std::string>{"leaver:caller_cancelled"});
  w.loop.advance(1100ms);
  EXPECT_EQ(w.refused.back(), "patient:policy_rate_limited");
  EXPECT_EQ(w.queue->waiting(), 0u);
  w.kept.clear();
  w.start("d", "later", {});
  EXPECT_EQ(w.served.back(), "later") << "nothing is left behind";
}

TEST(FairQueue, ACallThatTwoLimitsRefuseWaitsForOneAfterTheOther) {
  SimClock clock;
  SimLoop loop(clock);
  auto limits = std::move(*Limits::create({{.scope = LimitScope::key, .concurrency = 1}, ten_a_second()}, clock, {}));
  FairQueue queue(*limits);
  auto holder = limits->admit({.key = "k", .system = true}, 0);
  std::vector<Admission> others;
  for (int i = 0; i < 9; ++i) others.push_back(std::move(*limits->admit({.key = "o" + std::to_string(i), .system = true}, 0)));
  bool served = false;
  auto wait = [&]() -> Task<void> {
    auto a = co_await queue.admit({.key = "k", .system = true}, 0, "k", {.wait = 5s}, loop, nullptr);
    served = a.has_value();
  };
  auto waiting = wait();
  detach(std::move(waiting), [](std::exception_ptr) {});
  loop.run_until_idle();
  holder->settle(0);                                  // its key has a slot now, but the system is at its rate
  loop.run_until_idle();
  EXPECT_FALSE(served);
  loop.advance(101ms);
  EXPECT_TRUE(served);
}

// Four loops on threads of their own share three slots: all are served, never more than three at once, none forgotten.
TEST(FairQueue, LoopsShareOneQueue) {
  SimClock clock;
  auto limits = std::move(*Limits::create({{.scope = LimitScope::system, .concurrency = 3}}, clock, {}));
  FairQueue queue(*limits);
  std::atomic<int> together{0}, worst{0}, served{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        SimLoop loop(clock, t);
        int done = 0;
        const std::string tenant = "tenant" + std::to_string(t);
        auto call = [&]() -> Task<void> {
          auto admitted = co_await queue.admit({.system = true}, 0, tenant, {.wait = 1h, .depth = 1000}, loop, nullptr);
          if (admitted) {
            const int now = ++together;
            for (int seen = worst; now > seen && !worst.compare_exchange_weak(seen, now);) {}
            std::this_thread::yield();
            --together;
            ++served;
            admitted->settle(0);
          }
          ++done;
        };
        for (int i = 0; i < 200; ++i) detach(call(), [](std::exception_ptr) {});
        while (done < 200) {
          loop.run_until_idle();
          std::this_thread::yield();
        }
      });
  }
  EXPECT_EQ(served, 800);
  EXPECT_LE(worst, 3);
  EXPECT_EQ(queue.waiting(), 0u);
}

}  // namespace
}  // namespace ballast::gateway
