// Answers that other nodes have made: found in time or not at all, written behind, and a database that is left alone when it does not answer.
#include "gateway/cache_shared.hpp"

#include <deque>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "../../support/databases.hpp"
#include "base/sim_loop.hpp"
#include "records/migrations.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

CacheKey key_of(std::string_view name) { return *cache_key({.wire = "openai_chat", .operation = "chat", .route = "chat", .scope = {}, .body = fmt::format(R"({{"messages":["{}"]}})", name)}); }

struct Asked {
  bool told = false;
  std::optional<CachedReply> reply;
  std::string body() const { return !told ? "waits" : reply ? reply->body : "none"; }
};
Task<void> ask(SharedCache& cache, CacheKey key, std::string route, SimLoop& loop, CancelToken cancel, Asked& into) {
  into.reply = co_await cache.find(key, std::move(route), loop, cancel);
  into.told = true;
}

// A node: its threads are the test.
struct Node {
  Node(store::Database& database, const Clock& clock, SimLoop& l, SharedCache::Options options = {}) : loop(l), cache(database, database, clock, registry, options) {}
  Asked& begin(std::string_view name, std::string route = "chat", CancelToken cancel = nullptr) {
    auto& asked = all.emplace_back();
    detach(ask(cache, key_of(name), std::move(route), loop, cancel, asked), [](std::exception_ptr) { ADD_FAILURE(); });
    loop.run_until_idle();
    return asked;
  }
  std::string find(std::string_view name, std::string route = "chat") {
    auto& asked = begin(name, std::move(route));
    if (!asked.told) EXPECT_TRUE(cache.read_waiting());
    loop.run_until_idle();
    return asked.body();
  }
  void keep(std::string_view name, std::string body, Duration lives = 1h, std::string_view user = "ann") {
    cache.offer(key_of(name), "chat", user, std::make_shared<const CachedReply>(CachedReply{.content_type = "application/json", .body = std::move(body), .served_by = "up/model",
                .call_id = "call_1", .input_tokens = 7, .output_tokens = 9, .cost = {1'234}, .stored = loop.clock().wall()}), lives);
  }
  std::uint64_t reads(std::string_view outcome) { return registry.counters("ballast_cache_shared_reads_total", "", {"outcome"}).with({outcome}).value(); }
  std::uint64_t writes(std::string_view outcome) { return registry.counters("ballast_cache_shared_writes_total", "", {"outcome"}).with({outcome}).value(); }
  double gauge(std::string_view name) { return registry.gauge(name, "").value(); }

  metrics::Registry registry;
  SimLoop& loop;
  std::deque<Asked> all;
  SharedCache cache;
};

class CacheShared : public ballast::test::OnBothDatabases {
 protected:
  void SetUp() override {
    ballast::test::OnBothDatabases::SetUp();
    if (!IsSkipped()) ASSERT_TRUE(database().migrate(records::migrations()));
  }
  void run(const char* sql) {
    const auto done = database().write_now([&](store::Tx& tx) { return tx.run(sql); });
    ASSERT_TRUE(done) << describe(done.error());
  }
  SimClock clock_;
  SimLoop loop_{clock_};
};

TEST_P(CacheShared, WhatOneNodeKeepsAnotherFinds) {
  Node a(database(), clock_, loop_), b(database(), clock_, loop_);
  a.keep("x", "hello");
  EXPECT_TRUE(a.cache.write_waiting());
  EXPECT_FALSE(a.cache.write_waiting());
  EXPECT_EQ(a.writes("kept"), 1u);
  loop_.advance(10min);
  auto& asked = b.begin("x");
  EXPECT_EQ(asked.body(), "waits");
  EXPECT_TRUE(b.cache.read_waiting());
  loop_.run_until_idle();
  ASSERT_TRUE(asked.reply);
  EXPECT_EQ(asked.reply->body, "hello");
  EXPECT_EQ(asked.reply->served_by, "up/model");
  EXPECT_EQ(asked.reply->call_id, "call_1");
  EXPECT_EQ(asked.reply->cost.nano, 1'234);
  EXPECT_EQ(asked.reply->output_tokens, 9u);
  EXPECT_EQ(clock_.wall() - asked.reply->stored, 10min);
  EXPECT_EQ(b.find("y"), "none");
  EXPECT_EQ(b.reads("found"), 1u);
  EXPECT_EQ(b.reads("none"), 1u);
  loop_.advance(50min);
  EXPECT_EQ(b.find("x"), "none") << "its time is over";
}

TEST_P(CacheShared, ManyThatWaitAreReadAtOnce) {
  Node a(database(), clock_, loop_), b(database(), clock_, loop_);
  for (int i = 0; i < 20; ++i) a.keep(std::to_string(i), "body " + std::to_string(i));
  EXPECT_TRUE(a.cache.write_waiting());
  for (int i = 0; i < 30; ++i) b.begin(std::to_string(i));
  b.begin("7");
  EXPECT_TRUE(b.cache.read_waiting());
  EXPECT_FALSE(b.cache.read_waiting());
  loop_.run_until_idle();
  for (std::size_t i = 0; i < 30; ++i) EXPECT_EQ(b.all[i].body(), i < 20 ? "body " + std::to_string(i) : "none");
  EXPECT_EQ(b.all[30].body(), "body 7");
}

TEST_P(CacheShared, WhatDoesNotComeInTimeIsNoneAndThenTheDatabaseRests) {
  Node a(database(), clock_, loop_), b(database(), clock_, loop_, {.most_late = 3});
  a.keep("x", "hello");
  a.cache.write_waiting();
  for (int i = 0; i < 3; ++i) {
    auto& asked = b.begin("x");
    EXPECT_EQ(asked.body(), "waits");
    loop_.advance(5ms);
    EXPECT_EQ(asked.body(), "none");
  }
  EXPECT_EQ(b.reads("late"), 3u);
  EXPECT_FALSE(b.cache.read_waiting()) << "nobody waits any more";
  EXPECT_EQ(b.begin("x").body(), "none") << "at once";
  EXPECT_EQ(b.reads("skipped"), 1u);
  loop_.advance(1s);
  auto& tries = b.begin("x");
  EXPECT_EQ(tries.body(), "waits");
  EXPECT_EQ(b.begin("x").body(), "none") << "one tries";
  loop_.advance(5ms);
  EXPECT_EQ(tries.body(), "none");
  EXPECT_EQ(b.begin("x").body(), "none") << "and rests again";
  loop_.advance(1s);
  EXPECT_EQ(b.find("x"), "hello");
  EXPECT_EQ(b.find("x"), "hello");
}

TEST_P(CacheShared, WhoLeavesWaitsNoMoreAndSaysNothingOfTheDatabase) {
  Node b(database(), clock_, loop_, {.most_late = 1});
  CancelSource gone;
  auto& asked = b.begin("x", "chat", &gone);
  gone.cancel();
  loop_.run_until_idle();
  EXPECT_EQ(asked.body(), "none");
  EXPECT_FALSE(b.cache.read_waiting());
  EXPECT_EQ(b.reads("late"), 0u);
  EXPECT_EQ(b.begin("x").body(), "waits");
  loop_.advance(5ms);
}

TEST_P(CacheShared, ARouteWithoutAnswersIsNotAskedForEachTime) {
  Node a(database(), clock_, loop_), b(database(), clock_, loop_);
  EXPECT_EQ(b.find("x"), "none");
  EXPECT_EQ(b.begin("x").body(), "none");
  EXPECT_EQ(b.reads("skipped"), 1u);
  EXPECT_EQ(b.begin("x", "other").body(), "waits") << "nobody knows of that one";
  b.cache.read_waiting();
  loop_.run_until_idle();
  a.keep("x", "hello");
  a.cache.write_waiting();
  loop_.advance(1s);
  EXPECT_EQ(b.find("x"), "hello");
  EXPECT_EQ(b.find("y"), "none");
  EXPECT_EQ(b.begin("z").body(), "waits") << "it has answers";
  loop_.advance(5ms);

  Node c(database(), clock_, loop_);
  run("DELETE FROM shared_answers");
  EXPECT_EQ(c.find("x"), "none");
  c.keep("x", "own");
  c.cache.write_waiting();
  EXPECT_EQ(c.find("x"), "own") << "who has written knows";
}

TEST_P(CacheShared, KeepsToItsBounds) {
  Node a(database(), clock_, loop_, {.waiting = 2, .queued = 2, .queued_bytes = 10'000, .largest = 8'000});
  a.keep("large", std::string(8'001, 'x'));
  EXPECT_EQ(a.writes("large"), 1u);
  a.keep("a", std::string(8'000, 'x'));
  a.keep("b", std::string(3'000, 'x'));
  EXPECT_EQ(a.writes("dropped"), 1u) << "in bytes";
  a.keep("c", "x");
  a.keep("d", "x");
  EXPECT_EQ(a.writes("dropped"), 2u) << "in number";
  a.cache.write_waiting();
  EXPECT_EQ(a.writes("kept"), 2u);
  a.begin("a");
  a.begin("c");
  EXPECT_EQ(a.begin("d").body(), "none") << "two wait already";
  loop_.advance(5ms);
}

TEST_P(CacheShared, ADatabaseThatFailsHoldsNobodyUp) {
  Node a(database(), clock_, loop_, {.most_late = 2});
  run("ALTER TABLE shared_answers RENAME TO elsewhere");
  a.keep("x", "hello");
  EXPECT_TRUE(a.cache.write_waiting());
  EXPECT_EQ(a.writes("failed"), 1u);
  EXPECT_EQ(a.find("x"), "none");
  EXPECT_EQ(a.find("x"), "none");
  EXPECT_EQ(a.reads("failed"), 2u);
  EXPECT_EQ(a.begin("x").body(), "none");
  EXPECT_EQ(a.reads("skipped"), 1u);
  run("ALTER TABLE elsewhere RENAME TO shared_answers");
  a.keep("x", "hello");
  a.cache.write_waiting();
  loop_.advance(1s);
  EXPECT_EQ(a.find("x"), "hello");
  run("UPDATE shared_answers SET packed = digest");
  EXPECT_EQ(a.find("x"), "none") << "damaged";
}

TEST_P(CacheShared, TheTableIsSweptByOneNode) {
  Node a(database(), clock_, loop_, {.table_bytes = 4'000}), b(database(), clock_, loop_);
  std::string noise;
  for (std::uint32_t x = 1; noise.size() < 1'500; noise += static_cast<char>(x >> 24)) x = x * 1'664'525 + 1'013'904'223;
  a.keep("expires", "x", 1s);
  for (const char* name : {"first", "second", "third"}) {
    loop_.advance(1s);
    a.keep(name, noise);
  }
  a.cache.write_waiting();
  b.cache.sweep(false);
  EXPECT_EQ(b.gauge("ballast_cache_shared_entries"), 0);
  EXPECT_EQ(a.find("first"), noise);
  a.cache.sweep(true);
  EXPECT_EQ(a.gauge("ballast_cache_shared_entries"), 2) << "one had expired, and there was no room for three";
  EXPECT_GT(a.gauge("ballast_cache_shared_bytes"), 3'000);
  EXPECT_EQ(a.find("first"), "none") << "the oldest";
  EXPECT_EQ(a.find("second"), noise);
  a.cache.resize(1'000);
  a.cache.sweep(true);
  EXPECT_EQ(a.gauge("ballast_cache_shared_entries"), 0);
  EXPECT_EQ(a.find("third"), "none");
}

TEST_P(CacheShared, WhatIsForgottenIsNotWritten) {
  Node a(database(), clock_, loop_);
  a.keep("x", "hello");
  a.cache.forget_queued();
  loop_.run(a.cache.written(loop_, 1s));
  EXPECT_FALSE(a.cache.write_waiting());
  a.keep("y", "hello");
  EXPECT_TRUE(a.cache.write_waiting());
  EXPECT_EQ(a.writes("kept"), 1u);
}

BALLAST_ON_BOTH_DATABASES(CacheShared);

}  // namespace
}  // namespace ballast::gateway
