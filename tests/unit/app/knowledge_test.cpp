// What nodes tell each other: two of them over one database, looked at by hand.
#include "app/knowledge.hpp"

#include <fmt/format.h>

#include <fmt/format.h>

#include "../../support/databases.hpp"
#include "base/sim_loop.hpp"
#include "cluster/members.hpp"
#include "gateway/keys.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;
using gateway::BreakerState;

class KnowledgeTest : public test::OnBothDatabases {
 protected:
  struct Node {
    SimClock clock;
    gateway::Breakers breakers{clock, {.breaker = {.jitter = 0.0}}};
    gateway::Freshness freshness{clock, 60s};
    metrics::Registry metrics;
    Knowledge knowledge;
    int keys = 0;
    bool reachable = true;
    Node(store::Database& database, unsigned slot) : knowledge(database, breakers, freshness, clock, metrics, {.slot = slot}) {
      knowledge.on(cluster::Topic::keys, [this] { return reachable && ++keys > 0; });
    }
    gateway::Breaker& target() { return breakers.of("openai", "chat"); }
    BreakerState state() { return target().view().state; }
    void fails() {
      for (int i = 0; i < 5; ++i)
        if (auto permit = target().try_acquire()) permit->failure(ErrorCode::provider_error);
    }
    void succeeds() {
      if (auto permit = target().try_acquire()) permit->success(1ms, std::nullopt);
    }
  };
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(cluster::migrations()));
    a = std::make_unique<Node>(database(), 0u);
    b = std::make_unique<Node>(database(), 1u);
  }
  void touch(cluster::Topic topic) {
    ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return cluster::touch(tx, topic); }));
  }
  void look() {
    for (Node* n : {a.get(), b.get()}) {
      n->clock.advance(500ms);
      ASSERT_TRUE(n->knowledge.look());
    }
  }
  std::int64_t number() { return (*database().read_now([](store::Tx& tx) { return cluster::load_topics(tx); }))[static_cast<std::size_t>(cluster::Topic::resting)]; }
  std::unique_ptr<Node> a, b;
};
BALLAST_ON_BOTH_DATABASES(KnowledgeTest);

TEST_P(KnowledgeTest, WhatHasChangedIsReadOnceByEachNode) {
  look();
  EXPECT_EQ(b->keys, 0);
  touch(cluster::Topic::keys);
  touch(cluster::Topic::keys);
  look();
  look();
  EXPECT_EQ(a->keys, 1);
  EXPECT_EQ(b->keys, 1);
  touch(cluster::Topic::keys);
  b->reachable = false;
  EXPECT_FALSE(b->knowledge.look()) << "it could not be read: asked for again";
  b->reachable = true;
  EXPECT_TRUE(b->knowledge.look());
  EXPECT_EQ(b->keys, 2);
}

TEST_P(KnowledgeTest, OnesRestingTargetRestsAtTheOthersToo) {
  a->fails();
  look();
  EXPECT_EQ(a->state(), BreakerState::open);
  EXPECT_EQ(b->state(), BreakerState::open);
  EXPECT_TRUE(b->breakers.list().at(0).heard);
  const auto told = number();
  look();
  EXPECT_EQ(number(), told) << "what is heard is not told on";
  for (Node* n : {a.get(), b.get()}) n->clock.advance(2s);
  a->succeeds();
  EXPECT_EQ(a->state(), BreakerState::closed);
  look();
  EXPECT_EQ(b->state(), BreakerState::closed);
  look();
  EXPECT_EQ(number(), told + 1);
}

TEST_P(KnowledgeTest, WhoHasHadASuccessSinceIsNotImpressed) {
  b->clock.advance(10s);
  a->fails();
  ASSERT_TRUE(a->knowledge.look());
  b->clock.advance(300ms);
  b->succeeds();
  ASSERT_TRUE(b->knowledge.look());
  EXPECT_EQ(b->state(), BreakerState::closed);
}

TEST_P(KnowledgeTest, ItsOwnFindingIsToldAndStands) {
  a->fails();
  look();
  b->clock.advance(2s);
  b->fails();                                // its probe
  EXPECT_FALSE(b->breakers.list().at(0).heard);
  ASSERT_TRUE(b->knowledge.look());
  a->clock.advance(2s);
  a->succeeds();
  ASSERT_TRUE(a->knowledge.look());
  ASSERT_TRUE(b->knowledge.look());
  EXPECT_EQ(a->state(), BreakerState::closed) << "it has seen for itself";
  EXPECT_EQ(b->state(), BreakerState::open);
}

TEST_P(KnowledgeTest, WhatIsResetByHandIsResetEverywhereOnce) {
  a->fails();
  b->fails();
  look();
  a->breakers.reset("openai", "");
  look();
  EXPECT_EQ(b->state(), BreakerState::closed);
  const auto told = number();
  b->fails();
  ASSERT_TRUE(b->knowledge.look());
  EXPECT_EQ(b->state(), BreakerState::open) << "the reset was before that";
  EXPECT_EQ(number(), told + 1);
  b->breakers.reset("openai", "chat");
  look();
  look();
  EXPECT_EQ(number(), told + 2);
}

// What others may have made meanwhile is not refused for good.
TEST_P(KnowledgeTest, AKeyThatIsUnknownWhileItCannotLookMayBeNew) {
  Node& n = *a;
  gateway::KeyRing ring({.loops = 1, .freshness = &n.freshness});
  auto old = gateway::mint_key({.name = "old", .expires = n.clock.wall() + 30s}, n.clock.wall());
  auto known = gateway::mint_key({.name = "known"}, n.clock.wall());
  ASSERT_TRUE(old && known && ring.put(old->stored) && ring.put(known->stored));
  const auto says = [&](std::string_view secret) {
    const auto who = ring.authenticate(0, secret, n.clock.wall());
    return who ? std::string("yes") : fmt::format("{} {}", to_string(who.error().code), who.error().retry_after.has_value());
  };
  EXPECT_FALSE(n.freshness.stale_since());
  EXPECT_EQ(says("blst_new"), "caller_unauthenticated false");
  const WallTime heard = n.clock.wall();
  n.clock.advance(61s);
  EXPECT_TRUE(n.freshness.stale());
  EXPECT_EQ(n.freshness.age(), 61s);
  EXPECT_EQ(n.freshness.stale_since(), heard);
  EXPECT_EQ(says("blst_new"), "internal_unavailable true");
  EXPECT_EQ(says(known->secret), "yes") << "what is known stays in force";
  EXPECT_EQ(says(old->secret), "caller_unauthenticated false") << "expired is expired";
  EXPECT_EQ(says(""), "caller_unauthenticated false");
  n.freshness.heard();
  EXPECT_EQ(says("blst_new"), "caller_unauthenticated false");
}

}  // namespace
}  // namespace ballast::app
