#include "gateway/idempotency.hpp"

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;
using Told = std::vector<std::string>;

struct World {
  SimClock clock;
  SimLoop loop{clock};
  MemoryIdempotencyStore store;
  IdempotencyOptions options;
  std::unique_ptr<Idempotency> gate;
  Told told;
  std::vector<IdempotencyClaim> claims;

  explicit World(IdempotencyOptions o = {}) : options(o) { boot("boot-1"); }
  // A new process over the same store.
  void boot(std::string owner) {
    store.disown(owner);
    gate = std::make_unique<Idempotency>(store, owner, clock, options);
  }
  Task<void> enter(std::string name, std::string key, std::string body, std::string scope, Duration patience, CancelToken cancel) {
    auto entry = co_await gate->enter(scope, key, sha256(body), to_string(new_id(clock.wall()), "call"), loop, clock.mono() + patience, cancel);
    if (!entry) told.push_back(name + " " + std::string(to_string(entry.error().code)));
    else if (auto* reply = std::get_if<std::shared_ptr<const RememberedReply>>(&*entry)) told.push_back(name + " replayed " + (*reply)->body);
    else {
      told.push_back(name + " goes on");
      claims.push_back(std::move(std::get<IdempotencyClaim>(*entry)));
    }
  }
  void start(std::string name, std::string key = "K", std::string body = "B", std::string scope = "k1", Duration patience = 10s,
             CancelToken cancel = nullptr) {
    detach(enter(std::move(name), std::move(key), std::move(body), std::move(scope), patience, cancel), [](std::exception_ptr) {});
    loop.run_until_idle();
  }
  void finish(std::string body) {
    EXPECT_TRUE(loop.run(claims.back().finish({.status = 200, .content_type = "application/json", .body = std::move(body), .call_id = "call_x", .served_by = "sim/m"})));
    claims.pop_back();
    loop.run_until_idle();
  }
};

// A job's step: apart from callers' keys, dispatched again whatever the policy, answers of any size remembered.
TEST(Idempotency, ADurableCallIsDispatchedAgainAndItsLargeAnswerIsKept) {
  World w({.unknown = UnknownPolicy::tell, .max_body_bytes = 8});
  const auto enter = [&] {
    return w.loop.run(w.gate->enter("k1", "job_1/call", sha256("B"), to_string(new_id(w.clock.wall()), "call"), w.loop, w.clock.mono() + 10s, nullptr, true));
  };
  w.start("a caller", "job_1/call", "another body");
  auto first = enter();
  ASSERT_TRUE(first && std::holds_alternative<IdempotencyClaim>(*first)) << "a caller's key of that name is another";
  first = std::unexpected(Error{});          // the process is killed
  w.claims.clear();
  w.boot("boot-2");
  auto second = enter();
  ASSERT_TRUE(second && std::holds_alternative<IdempotencyClaim>(*second));
  ASSERT_TRUE(w.loop.run(std::get<IdempotencyClaim>(*second).finish({.status = 200, .body = "longer than eight bytes"})));
  w.boot("boot-3");
  auto third = enter();
  ASSERT_TRUE(third && std::holds_alternative<std::shared_ptr<const RememberedReply>>(*third));
  EXPECT_EQ(std::get<std::shared_ptr<const RememberedReply>>(*third)->body, "longer than eight bytes");
}

TEST(Idempotency, TheSameKeyAnswersTheSameAndCallsOnce) {
  World w;
  w.start("first");
  w.start("second");
  w.start("third");
  EXPECT_EQ(w.told, (Told{"first goes on"})) << "the others wait";
  w.finish("answer");
  w.start("fourth");
  EXPECT_EQ(w.told, (Told{"first goes on", "second replayed answer", "third replayed answer", "fourth replayed answer"}));
  EXPECT_EQ(w.gate->in_flight(), 0u);
}

TEST(Idempotency, AnAnswerSurvivesARestartUntilItsRetentionEnds) {
  World w;
  w.start("first");
  w.finish("answer");
  w.boot("boot-2");
  w.start("after");
  w.clock.advance(24h);
  w.start("later");
  EXPECT_EQ(w.told, (Told{"first goes on", "after replayed answer", "later goes on"}));
}

TEST(Idempotency, AnotherBodyIsAConflictInFlightAndAfter) {
  World w;
  w.start("first");
  w.start("other", "K", "B2");
  w.finish("answer");
  w.start("late", "K", "B2");
  EXPECT_EQ(w.told, (Told{"first goes on", "other caller_conflict", "late caller_conflict"}));
  w.start("same");
  EXPECT_EQ(w.told.back(), "same replayed answer") << "the conflict left nothing behind";
}

TEST(Idempotency, KeysOfDifferentCallersNeverMeet) {
  World w;
  w.start("alice", "K", "B", "k1");
  w.start("mallory", "K", "B", "k2");
  EXPECT_EQ(w.told, (Told{"alice goes on", "mallory goes on"}));
}

TEST(Idempotency, ARefusedCallFreesItsKeyForTheNextWhoWaits) {
  World w;
  w.start("first");
  w.start("second");
  w.start("third");
  auto released = w.loop.run(w.claims[0].release());
  EXPECT_TRUE(released);
  w.loop.run_until_idle();
  EXPECT_EQ(w.told, (Told{"first goes on", "second goes on"})) << "one at a time";
  w.finish("answer");
  EXPECT_EQ(w.told.back(), "third replayed answer");
}

TEST(Idempotency, AfterACrashTheRetryIsToldOrSentAgain) {
  for (const bool again : {false, true}) {
    World w({.unknown = again ? UnknownPolicy::redispatch : UnknownPolicy::tell});
    w.start("first");
    const auto lost = std::move(w.claims[0]);          // the process dies with it
    auto before = std::move(w.gate);
    w.boot("boot-2");
    w.start("retry");
    w.start("retry2");
    if (again) EXPECT_EQ(w.told, (Told{"first goes on", "retry goes on"}));
    else EXPECT_EQ(w.told, (Told{"first goes on", "retry caller_conflict", "retry2 caller_conflict"}));
    if (again) {
      w.finish("second time");
      EXPECT_EQ(w.told.back(), "retry2 replayed second time");
    }
    w.claims.clear();
    std::swap(before, w.gate);                         // the old one's claim dies before it
    { const auto dead = std::move(const_cast<IdempotencyClaim&>(lost)); }
  }
}

TEST(Idempotency, AClaimThatDiesLeavesTheOutcomeUnknown) {
  for (const bool again : {false, true}) {
    World w({.unknown = again ? UnknownPolicy::redispatch : UnknownPolicy::tell});
    w.start("first");
    w.start("waits");
    w.claims.clear();
    w.loop.run_until_idle();
    w.start("retry");
    if (again) EXPECT_EQ(w.told, (Told{"first goes on", "waits goes on"}));
    else EXPECT_EQ(w.told, (Told{"first goes on", "waits caller_conflict", "retry caller_conflict"}));
    w.claims.clear();
    w.loop.run_until_idle();
    w.claims.clear();
  }
}

TEST(Idempotency, WaitingEndsByTimeAndByLeaving) {
  World w;
  CancelSource gone;
  w.start("first");
  w.start("patient", "K", "B", "k1", 2s);
  w.start("leaver", "K", "B", "k1", 10s, &gone);
  gone.cancel();
  w.loop.advance(3s);
  EXPECT_EQ(w.told, (Told{"first goes on", "leaver caller_cancelled", "patient provider_timeout"}));
  w.finish("answer");
}

TEST(Idempotency, UnusableKeysAndLargeAnswers) {
  World w({.max_body_bytes = 4});
  w.start("empty", "");
  w.start("long", std::string(256, 'x'));
  w.start("binary", "a\nb");
  EXPECT_EQ(w.told, (Told{"empty caller_invalid_request", "long caller_invalid_request", "binary caller_invalid_request"}));
  w.start("first");
  w.finish("too long");
  w.start("retry");
  EXPECT_EQ(w.told.back(), "retry caller_conflict") << "told that the answer was not kept";
}

TEST(Idempotency, InFlightKeysAreBounded) {
  World w({.max_in_flight = 2, .max_waiters = 1});
  for (const auto* key : {"a", "b", "c"}) w.start(key, key);
  w.start("w1", "a");
  w.start("w2", "a");
  EXPECT_EQ(w.told, (Told{"a goes on", "b goes on", "c internal_unavailable", "w2 caller_conflict"}));
  w.claims.clear();
  w.loop.run_until_idle();
}

}  // namespace
}  // namespace ballast::gateway
