// Cancellation, tasks, groups, timers and simulated time: the ground every coroutine of the house stands on.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "base/random.hpp"
#include "base/sim_loop.hpp"
#include "base/task_group.hpp"
#include "base/timing_wheel.hpp"

namespace ballast {
namespace {
using namespace std::chrono_literals;

// ---- Cancellation

void append_x(void* out) { static_cast<std::string*>(out)->push_back('x'); }

TEST(Cancel, CallsEveryHookOnceInOrderOfAttachment) {
  CancelSource source;
  std::vector<int> order;
  struct Note {
    std::vector<int>* order;
    int n;
  } notes[3] = {{&order, 1}, {&order, 2}, {&order, 3}};
  CancelHook hooks[3];
  for (int i = 0; i < 3; ++i)
    hooks[i].attach(&source, [](void* p) { auto* n = static_cast<Note*>(p); n->order->push_back(n->n); }, &notes[i]);
  source.cancel();
  source.cancel();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST(Cancel, AttachingLateRunsAtOnceAndANullTokenNever) {
  CancelSource source;
  source.cancel();
  std::string seen;
  CancelHook late, never;
  late.attach(&source, append_x, &seen);
  never.attach(nullptr, append_x, &seen);
  EXPECT_EQ(seen, "x");
  EXPECT_FALSE(late.attached());
}

TEST(Cancel, AHookMayDestroyTheHooksBehindIt) {
  CancelSource source;
  std::string seen;
  auto victim = std::make_unique<CancelHook>();
  CancelHook first, last;
  first.attach(&source, [](void* p) { static_cast<std::unique_ptr<CancelHook>*>(p)->reset(); }, &victim);
  victim->attach(&source, append_x, &seen);
  last.attach(&source, append_x, &seen);
  source.cancel();
  EXPECT_EQ(seen, "x");
}

TEST(Cancel, AHookMayDestroyItselfAndTheSource) {
  struct Call {
    CancelSource source;
    CancelHook hook;
  };
  auto call = std::make_unique<Call>();
  std::string seen;
  CancelHook outsider;
  call->hook.attach(&call->source, [](void* p) { static_cast<std::unique_ptr<Call>*>(p)->reset(); }, &call);
  outsider.attach(&call->source, append_x, &seen);
  call->source.cancel();
  EXPECT_EQ(call, nullptr);
  EXPECT_EQ(seen, "");
  EXPECT_FALSE(outsider.attached());
}

TEST(Cancel, AHookOutlivesASourceThatWasNeverCancelled) {
  CancelHook hook;
  std::string seen;
  {
    CancelSource source;
    hook.attach(&source, append_x, &seen);
  }
  EXPECT_FALSE(hook.attached());
  EXPECT_EQ(seen, "");
}

TEST(Cancel, AHookMovesToANewSource) {
  CancelSource one, two;
  std::string seen;
  CancelHook hook;
  hook.attach(&one, append_x, &seen);
  hook.attach(&two, append_x, &seen);
  one.cancel();
  EXPECT_EQ(seen, "");
  two.cancel();
  EXPECT_EQ(seen, "x");
}

TEST(Cancel, AHookMayAttachAnother) {
  struct Pair {
    CancelSource source;
    CancelHook first, second;
    std::string seen;
  } p;
  p.first.attach(&p.source, [](void* q) {
    auto& pair = *static_cast<Pair*>(q);
    pair.second.attach(&pair.source, append_x, &pair.seen);
  }, &p);
  p.source.cancel();
  EXPECT_EQ(p.seen, "x");
}

TEST(Cancel, AChildFollowsItsParentAndNotTheOtherWayRound) {
  CancelSource parent;
  ChildCancelSource one(&parent), two(&parent), orphan(nullptr);
  one.cancel();
  EXPECT_FALSE(parent.cancelled());
  parent.cancel();
  EXPECT_TRUE(two.cancelled());
  EXPECT_FALSE(orphan.cancelled());
}

// ---- Tasks

Task<int> answer() { co_return 42; }
Task<std::unique_ptr<int>> owned(int v) { co_return std::make_unique<int>(v); }
Task<int> failing() {
  throw std::runtime_error("no luck");
  co_return 0;
}
Task<int> add(Scheduler& loop, int a, int b) {
  co_await SleepUntil(loop, loop.clock().mono() + 1h);
  const int c = co_await answer();
  co_return a + b + c;
}

TEST(Task, ReturnsValuesMovesThemAndRethrows) {
  SimClock clock;
  SimLoop loop(clock);
  EXPECT_EQ(loop.run(add(loop, 1, 2)), 45);
  EXPECT_EQ(*loop.run(owned(7)), 7);
  EXPECT_THROW(loop.run(failing()), std::runtime_error);
  EXPECT_EQ(clock.elapsed(), 1h + 1s);
}

TEST(Task, OneThatIsNeverAwaitedFreesItsFrame) {
  auto alive = std::make_shared<int>(0);
  {
    auto hold = [](std::shared_ptr<int> p) -> Task<void> { *p = 1; co_return; };
    Task<void> unused = hold(alive);
    EXPECT_EQ(alive.use_count(), 2);
  }
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_EQ(*alive, 0);
}

Task<int> depth(int n) {
  if (n == 0) co_return 0;
  const int below = co_await depth(n - 1);
  co_return below + 1;
}
TEST(Task, AwaitingOneAfterAnotherDoesNotGrowTheStack) {
  auto loop_many = [](int rounds) -> Task<long> {
    long sum = 0;
    for (int i = 0; i < rounds; ++i) {
      const int one = co_await answer();
      sum += one;
    }
    co_return sum;
  };
  SimClock clock;
  SimLoop loop(clock);
#if !defined(__OPTIMIZE__) || __has_feature(address_sanitizer)
  const int rounds = 1000;  // symmetric transfer is a guarantee of optimised builds only
#else
  const int rounds = 1'000'000;
#endif
  EXPECT_EQ(loop.run(loop_many(rounds)), 42L * rounds);
  EXPECT_EQ(loop.run(depth(1000)), 1000);
}

TEST(TaskFrames, AreReusedAndMayBeFreedOnAnotherThread) {
  void* a = detail::frame_allocate(300);
  detail::frame_release(a, 300);
  std::vector<void*> many;
  for (int i = 0; i < 1000; ++i) many.push_back(detail::frame_allocate(static_cast<std::size_t>(1 + i * 9)));
  EXPECT_EQ(std::set<void*>(many.begin(), many.end()).size(), many.size());
  std::thread([&] {
    for (int i = 0; i < 1000; ++i) detail::frame_release(many[static_cast<std::size_t>(i)], static_cast<std::size_t>(1 + i * 9));
  }).join();
}

TEST(Detach, GivesWhatEscapesToItsHandler) {
  static std::string what;
  what.clear();
  auto broken = []() -> Task<void> { throw std::runtime_error("lost"); co_return; };
  detach(broken(), [](std::exception_ptr e) {
    try { std::rethrow_exception(e); } catch (const std::exception& x) { what = x.what(); }
  });
  EXPECT_EQ(what, "lost");
}

// ---- Groups

Task<void> nap(Scheduler& loop, Duration d, int& done) {
  co_await SleepUntil(loop, loop.clock().mono() + d);
  ++done;
}

TEST(TaskGroup, JoinWaitsForTheLastTask) {
  SimClock clock;
  SimLoop loop(clock);
  int done = 0;
  auto story = [&]() -> Task<void> {
    TaskGroup group("story");
    group.spawn(nap(loop, 3s, done));
    group.spawn(nap(loop, 1s, done));
    EXPECT_EQ(group.running(), 2u);
    co_await group.join();
    EXPECT_EQ(done, 2);
    co_await group.join();  // nothing left to wait for
  };
  loop.run(story());  // the group dies right after the task that resumed the joiner
  EXPECT_EQ(done, 2);
}

TEST(TaskGroup, SurvivesATaskThatThrowsAndCountsIt) {
  SimClock clock;
  SimLoop loop(clock);
  TaskGroup group("doomed");
  auto broken = [](Scheduler& l) -> Task<void> {
    co_await SleepUntil(l, l.clock().mono() + 1s);
    throw std::runtime_error("burst");
  };
  group.spawn(broken(loop));
  loop.advance(2s);
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(group.escaped(), 1u);
}

TEST(TaskGroup, RefusesAboveItsLimit) {
  SimClock clock;
  SimLoop loop(clock);
  int done = 0;
  TaskGroup group("small", 1);
  EXPECT_TRUE(group.spawn(nap(loop, 1s, done)));
  EXPECT_FALSE(group.spawn(nap(loop, 1s, done)));
  loop.advance(1s);
  EXPECT_EQ(done, 1);
}

// ---- Timers

struct Shot {
  SimClock* clock;
  MonoTime due{};
  std::vector<Duration>* late;
  Timer timer;
};

TEST(TimingWheel, FiresNeverEarlyAndAtMostOneTickLate) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    SimClock clock;
    TimingWheel wheel(clock.mono());
    std::vector<Duration> late;
    std::vector<std::unique_ptr<Shot>> shots;
    for (int i = 0; i < 2000; ++i) {
      auto& s = *shots.emplace_back(std::make_unique<Shot>(&clock, MonoTime{}, &late));
      const auto reach = random.below(12) * 3;  // up to 2^33 us: hours
      s.due = clock.mono() + std::chrono::microseconds(random.below(std::uint64_t{1} << (reach + 1)));
      wheel.arm(s.timer, s.due, [](void* p) {
        auto& shot = *static_cast<Shot*>(p);
        shot.late->push_back(shot.clock->mono() - shot.due);
      }, &s);
      if (random.chance(0.3)) {
        const auto until = clock.mono() + std::chrono::microseconds(random.below(5000));
        for (auto next = wheel.next_due(); next && *next <= until; next = wheel.next_due()) {
          if (*next > clock.mono()) clock.advance(*next - clock.mono());
          wheel.advance(clock.mono());
        }
        clock.advance(until - clock.mono());
      }
    }
    while (const auto next = wheel.next_due()) {
      if (*next > clock.mono()) clock.advance(*next - clock.mono());
      wheel.advance(clock.mono());
    }
    ASSERT_EQ(late.size(), shots.size());
    for (const auto d : late) {
      EXPECT_GE(d.count(), 0);
      EXPECT_LE(d, 2ms);  // one tick of rounding, one of having been due already
    }
    EXPECT_EQ(wheel.armed(), 0u);
  }
}

TEST(TimingWheel, JumpsAnyDistanceAtOnce) {
  SimClock clock;
  TimingWheel wheel(clock.mono());
  int fired = 0;
  Timer soon, far, never;
  const auto count = [](void* n) { ++*static_cast<int*>(n); };
  wheel.arm(soon, clock.mono() + 5ms, count, &fired);
  wheel.arm(far, clock.mono() + 24h * 400, count, &fired);
  wheel.arm(never, MonoTime::max(), count, &fired);
  clock.advance(24h * 399);
  EXPECT_EQ(wheel.advance(clock.mono()), 1u);
  clock.advance(24h + 1ms);
  EXPECT_EQ(wheel.advance(clock.mono()), 1u);
  EXPECT_TRUE(never.armed());
  never.cancel();
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_FALSE(wheel.next_due());
}

TEST(TimingWheel, CancelledTimersNeverFireWhereverTheySit) {
  SeededRandom random(7);
  SimClock clock;
  TimingWheel wheel(clock.mono());
  std::vector<std::unique_ptr<Timer>> timers;
  int fired = 0;
  for (int i = 0; i < 1000; ++i) {
    timers.push_back(std::make_unique<Timer>());
    wheel.arm(*timers.back(), clock.mono() + std::chrono::milliseconds(random.below(1u << 20)), [](void* n) { ++*static_cast<int*>(n); }, &fired);
  }
  clock.advance(3s);
  wheel.advance(clock.mono());
  const int before = fired;
  while (!timers.empty()) timers.pop_back();  // destruction cancels
  EXPECT_EQ(wheel.armed(), 0u);
  EXPECT_FALSE(wheel.next_due());
  clock.advance(1h);
  wheel.advance(clock.mono());
  EXPECT_EQ(fired, before);
}

TEST(TimingWheel, ACallbackMayRearmItselfCancelOthersAndDestroyItself) {
  struct World {
    SimClock clock;
    TimingWheel wheel{clock.mono()};
    Timer periodic, victim;
    std::unique_ptr<Timer> suicidal = std::make_unique<Timer>();
    int ticks = 0;
    bool victim_fired = false;
    static void tick(void* p) {
      auto& w = *static_cast<World*>(p);
      w.victim.cancel();
      if (++w.ticks < 10) w.wheel.arm(w.periodic, w.clock.mono() + 10ms, tick, p);
    }
  } w;
  w.wheel.arm(w.periodic, w.clock.mono() + 10ms, World::tick, &w);
  w.wheel.arm(w.victim, w.clock.mono() + 10ms, [](void* p) { static_cast<World*>(p)->victim_fired = true; }, &w);
  w.wheel.arm(*w.suicidal, w.clock.mono() + 15ms, [](void* p) { static_cast<World*>(p)->suicidal.reset(); }, &w);
  for (int i = 0; i < 200; ++i) {
    w.clock.advance(1ms);
    w.wheel.advance(w.clock.mono());
  }
  EXPECT_EQ(w.ticks, 10);
  EXPECT_FALSE(w.victim_fired);
  EXPECT_EQ(w.suicidal, nullptr);
}

TEST(TimingWheel, ArmingAgainMovesTheTimer) {
  SimClock clock;
  TimingWheel wheel(clock.mono());
  std::string seen;
  Timer t;
  wheel.arm(t, clock.mono() + 1h, append_x, &seen);
  wheel.arm(t, clock.mono() + 1s, append_x, &seen);
  EXPECT_EQ(wheel.armed(), 1u);
  clock.advance(2h);
  wheel.advance(clock.mono());
  EXPECT_EQ(seen, "x");
}

// ---- Simulated time

TEST(SimLoop, RunsInOrderOfTimeAndOfArrival) {
  SimClock clock;
  SimLoop loop(clock);
  std::string order;
  Timer late, early;
  struct Mark {
    std::string* order;
    char c;
  } a{&order, 'a'}, b{&order, 'b'};
  const auto mark = [](void* p) { auto* m = static_cast<Mark*>(p); m->order->push_back(m->c); };
  loop.arm(late, clock.mono() + 2s, mark, &b);
  loop.arm(early, clock.mono() + 1s, mark, &a);
  loop.post([&] { order += '1'; });
  loop.post([&] { order += '2'; });
  loop.run_until_idle();
  EXPECT_EQ(order, "12");
  loop.advance(1s);
  EXPECT_EQ(order, "12a");
  EXPECT_TRUE(loop.run_to_rest());
  EXPECT_EQ(order, "12ab");
}

TEST(SimLoop, RunToRestGivesUpAtItsLimit) {
  SimClock clock;
  SimLoop loop(clock);
  Timer t;
  loop.arm(t, clock.mono() + 48h, [](void*) {}, nullptr);
  EXPECT_FALSE(loop.run_to_rest(1h));
}

TEST(SimLoopDeathTest, ADeadlockIsReportedRatherThanWaitedFor) {
  SimClock clock;
  SimLoop loop(clock);
  auto stuck = []() -> Task<void> { co_await std::suspend_always{}; };
  EXPECT_DEATH(loop.run(stuck()), "never happens");
}

}  // namespace
}  // namespace ballast
