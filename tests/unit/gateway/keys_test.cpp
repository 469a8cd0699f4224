#include "gateway/keys.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

TEST(Keys, AMintedKeyOpensAndOnlyItsSecretDoes) {
  SimClock clock;
  KeyRing ring({.loops = 2});
  auto minted = mint_key({.name = "app", .team = "web"}, clock.wall());
  ASSERT_TRUE(minted);
  EXPECT_EQ(minted->secret.size(), 5u + 43u);
  EXPECT_TRUE(minted->secret.starts_with("blst_"));
  EXPECT_TRUE(minted->stored.info.id.starts_with("key_"));
  ASSERT_TRUE(ring.put(minted->stored));
  auto who = ring.authenticate(1, minted->secret, clock.wall());
  ASSERT_TRUE(who);
  EXPECT_EQ(who->team(), "web");
  for (const std::string& bad : {std::string(), std::string("blst_"), minted->secret + "x", minted->secret.substr(1)}) {
    auto no = ring.authenticate(0, bad, clock.wall());
    ASSERT_FALSE(no) << bad;
    EXPECT_EQ(no.error().code, ErrorCode::caller_unauthenticated);
    EXPECT_EQ(no.error().message.find(minted->secret), std::string::npos);
  }
}

TEST(Keys, TheRingKnowsWhenAKeyWasUsedAndTellsItOnce) {
  SimClock clock;
  KeyRing ring({.loops = 2});
  auto a = *mint_key({.name = "a"}, clock.wall());
  auto b = *mint_key({.name = "b"}, clock.wall());
  ASSERT_TRUE(ring.put_all({a.stored, b.stored}));
  const std::string id = a.stored.info.id;
  EXPECT_FALSE(ring.last_used(id) || ring.last_used("key_nobody"));
  EXPECT_TRUE(ring.take_uses().empty());
  const auto second = std::chrono::floor<std::chrono::seconds>(clock.wall());
  for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(ring.authenticate(i % 2, a.secret, clock.wall()));
  EXPECT_EQ(ring.last_used(id), second);
  ASSERT_TRUE(ring.put(b.stored));   // a change of the ring forgets nothing of the others
  const auto uses = ring.take_uses();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].id, id);
  EXPECT_EQ(uses[0].at, second);
  EXPECT_TRUE(ring.take_uses().empty());
  ASSERT_TRUE(ring.authenticate(0, a.secret, clock.wall() + 1min));
  EXPECT_EQ(ring.take_uses().size(), 1u);
  EXPECT_EQ(ring.last_used(id), second + 1min);
}

TEST(Keys, AnUpdateKeepsTheUseAndNeverBringsBackWhatWasRevoked) {
  SimClock clock;
  KeyRing ring({.loops = 1});
  auto a = *mint_key({.name = "a"}, clock.wall()), b = *mint_key({.name = "b"}, clock.wall());
  ASSERT_TRUE(ring.put(a.stored));
  ASSERT_TRUE(ring.authenticate(0, a.secret, clock.wall()));
  auto rotated = a.stored;
  rotated.old_digest = std::exchange(rotated.digest, b.stored.digest);
  rotated.old_until = clock.wall() + 1h;
  EXPECT_FALSE(ring.holds(rotated));
  ASSERT_TRUE(ring.update(rotated));
  EXPECT_TRUE(ring.holds(rotated));
  EXPECT_FALSE(ring.holds(a.stored));
  EXPECT_TRUE(ring.last_used(a.stored.info.id));
  EXPECT_EQ(ring.take_uses().size(), 1u) << "the use before the change is told too";
  EXPECT_EQ(ring.list().size(), 1u);
  ASSERT_TRUE(ring.authenticate(0, a.secret, clock.wall() + 59min));
  EXPECT_FALSE(ring.authenticate(0, a.secret, clock.wall() + 1h));
  ASSERT_TRUE(ring.authenticate(0, b.secret, clock.wall() + 2h));
  ASSERT_TRUE(ring.revoke(a.stored.info.id));
  EXPECT_FALSE(ring.authenticate(0, a.secret, clock.wall()) || ring.authenticate(0, b.secret, clock.wall()));
  EXPECT_EQ(ring.update(rotated).error().code, ErrorCode::caller_not_found);
}

TEST(Keys, RevocationAndExpiryActOnEveryLoopAtOnce) {
  SimClock clock;
  KeyRing ring({.loops = 3});
  auto a = *mint_key({.name = "a"}, clock.wall());
  auto b = *mint_key({.name = "b", .expires = clock.wall() + 1h}, clock.wall());
  ASSERT_TRUE(ring.put_all({a.stored, b.stored}));
  for (unsigned loop = 0; loop < 3; ++loop) EXPECT_TRUE(ring.authenticate(loop, a.secret, clock.wall()));
  ASSERT_TRUE(ring.revoke(a.stored.info.id));
  for (unsigned loop = 0; loop < 3; ++loop) EXPECT_FALSE(ring.authenticate(loop, a.secret, clock.wall()));
  EXPECT_EQ(ring.revoke(a.stored.info.id).error().code, ErrorCode::caller_not_found);
  EXPECT_TRUE(ring.authenticate(0, b.secret, clock.wall() + 59min));
  EXPECT_FALSE(ring.authenticate(0, b.secret, clock.wall() + 1h));
  EXPECT_FALSE(mint_key({.expires = clock.wall()}, clock.wall()));
}

TEST(Keys, ConfiguredKeysAreReplacedByAReloadAndNotRevoked) {
  SimClock clock;
  KeyRing ring({});
  auto minted = *mint_key({.name = "db"}, clock.wall());
  ASSERT_TRUE(ring.put(minted.stored));
  ASSERT_TRUE(ring.configure({admin_key("root"), configured_key("s3cret", {.name = "app"})}));
  EXPECT_TRUE(ring.authenticate(0, "root", clock.wall())->admin());
  EXPECT_FALSE(ring.authenticate(0, "s3cret", clock.wall())->admin());
  EXPECT_EQ(ring.revoke("config:app").error().code, ErrorCode::caller_conflict);
  EXPECT_FALSE(ring.configure({configured_key("x", {.name = "app"}), configured_key("y", {.name = "app"})}));
  EXPECT_FALSE(ring.configure({configured_key("x", {.name = "one"}), configured_key("x", {.name = "two"})}));
  EXPECT_TRUE(ring.authenticate(0, "s3cret", clock.wall())) << "a bad reload changes nothing";
  ASSERT_TRUE(ring.configure({configured_key("new", {.name = "app"})}));
  EXPECT_FALSE(ring.authenticate(0, "s3cret", clock.wall()));
  EXPECT_FALSE(ring.authenticate(0, "root", clock.wall()));
  EXPECT_TRUE(ring.authenticate(0, minted.secret, clock.wall()));
  EXPECT_EQ(ring.list().size(), 2u);
}

TEST(Keys, TheRingIsBounded) {
  SimClock clock;
  KeyRing ring({.max_keys = 2});
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ring.put(mint_key({}, clock.wall())->stored));
  EXPECT_EQ(ring.put(mint_key({}, clock.wall())->stored).error().code, ErrorCode::internal_unavailable);
  EXPECT_EQ(ring.size(), 2u);
}

TEST(Keys, LoopsReadWhileKeysChange) {
  SimClock clock;
  KeyRing ring({.loops = 4});
  auto stays = *mint_key({.name = "stays"}, clock.wall());
  ASSERT_TRUE(ring.put(stays.stored));
  std::atomic<bool> done{false};
  std::vector<std::jthread> readers;
  for (unsigned loop = 0; loop < 4; ++loop)
    readers.emplace_back([&, loop] {
      while (!done) ASSERT_TRUE(ring.authenticate(loop, stays.secret, clock.wall()));
    });
  for (int i = 0; i < 200; ++i) {
    auto k = *mint_key({}, clock.wall());
    ASSERT_TRUE(ring.put(k.stored));
    ASSERT_TRUE(ring.revoke(k.stored.info.id));
  }
  done = true;
}

TEST(Keys, TheSecretIsFoundWhereEachApiPutsIt) {
  EXPECT_EQ(secret_in("Bearer abc", "", "", ""), "abc");
  EXPECT_EQ(secret_in("bearer  abc ", "", "", ""), "abc");
  EXPECT_EQ(secret_in("", "x", "", ""), "x");
  EXPECT_EQ(secret_in("", "", "azure", ""), "azure");
  EXPECT_EQ(secret_in("", "", "", "goog"), "goog");
  EXPECT_EQ(secret_in("Basic abc", "", "", ""), "");
  EXPECT_EQ(secret_in("Bearer ", "x", "", ""), "x");
}

}  // namespace
}  // namespace ballast::gateway
