// Duties of several nodes on a real server: taken, spread, taken over, fenced.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>

#include "../support/databases.hpp"
#include "cluster/duties.hpp"

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;

class DutiesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::Postgres* server = test::Postgres::instance();
    if (!server) GTEST_SKIP() << test::kNoPostgres;
    url_ = server->fresh_url();
    database_ = std::move(*store::open_database(url_));
    ASSERT_TRUE(database_->migrate(migrations()));
  }
  struct Node {
    std::unique_ptr<Membership> membership;
    std::unique_ptr<Duties> duties;
    std::atomic<int> gained{0}, lost{0};
    std::atomic<bool> stopped{false};                    // it neither beats nor looks, as under SIGSTOP
    bool holds(std::string_view name) const { return duties->holds(name); }
    std::size_t held() const {
      return static_cast<std::size_t>(std::ranges::count_if(duties->names(), [&](const auto& name) { return duties->holds(name); }));
    }
    ~Node() { stopped = false; membership->leave(); }
  };
  std::unique_ptr<Node> node(const std::string& name) {
    auto n = std::make_unique<Node>();
    std::filesystem::create_directories(directory_ / name);
    auto joined = Membership::join(*database_, url_, clock_, {.folder = directory_ / name, .address = name, .version = "1", .every = milliseconds(30), .dead_after = milliseconds(400),
                                                              .load = [self = n.get()] {
                                                                while (self->stopped) std::this_thread::sleep_for(milliseconds(5));
                                                                return std::string("{}");
                                                              }});
    if (!joined) {
      ADD_FAILURE() << describe(joined.error());
      return nullptr;
    }
    n->membership = std::move(*joined);
    n->duties = std::make_unique<Duties>(*n->membership, std::vector<std::string>{"a", "b", "c", "d"},
                                         Duties::Listener{.gained = [self = n.get()](const std::string&) { ++self->gained; }, .lost = [self = n.get()](const std::string&) { ++self->lost; }},
                                         Duties::Pace{.overdue = milliseconds(200), .settled = milliseconds(200)});
    n->membership->listen({.died = {}, .lost = [self = n.get()] { self->duties->forget(); }, .beside = [self = n.get()](store::Tx& tx) { return self->duties->read(tx); },
                           .looked = [self = n.get()](const Picture& p) { self->duties->act(p); }});
    n->membership->serve();
    return n;
  }
  template <class F>
  static bool soon(F holds) {
    for (int i = 0; i < 2'000 && !holds(); ++i) std::this_thread::sleep_for(milliseconds(5));
    return holds();
  }
  bool checked(const Node& n, const std::string& name) {
    const auto done = database_->write_now([&](store::Tx& tx) -> Result<bool> {
      if (auto mine = n.duties->check(tx, name); !mine) return std::unexpected(mine.error());
      return true;
    });
    if (!done) EXPECT_EQ(done.error().field, "duty");
    return done.has_value();
  }

  test::TempDir directory_;
  SystemClock clock_;
  std::string url_;
  std::unique_ptr<store::Database> database_;
};

TEST_F(DutiesTest, OneHasThemAllUntilAnotherComesAndTheyAreSpread) {
  auto a = node("a");
  EXPECT_TRUE(soon([&] { return a->held() == 4; }));
  auto b = node("b");
  EXPECT_TRUE(soon([&] { return a->held() == 2 && b->held() == 2; }));
  EXPECT_EQ(a->lost, 2);
  EXPECT_EQ(b->gained, 2);
  for (const auto& name : a->duties->names()) {
    EXPECT_NE(a->holds(name), b->holds(name));
    EXPECT_EQ(checked(*a, name), a->holds(name));
  }
}

TEST_F(DutiesTest, WhoHandsBackHasNoneAndOthersTakeThem) {
  auto a = node("a");
  ASSERT_TRUE(soon([&] { return a->held() == 4; }));
  auto b = node("b");
  a->membership->drain();
  a->duties->hand_back();
  EXPECT_EQ(a->held(), 0u);
  EXPECT_TRUE(soon([&] { return b->held() == 4; }));
  EXPECT_EQ(a->held(), 0u);
}

TEST_F(DutiesTest, WhoIsStoppedIsFencedByItselfAndByTheRow) {
  auto a = node("a");
  ASSERT_TRUE(soon([&] { return a->held() == 4; }));
  auto b = node("b");
  ASSERT_TRUE(soon([&] { return b->held() == 2; }));
  const std::string name = *std::ranges::find_if(a->duties->names(), [&](const auto& n) { return a->holds(n); });
  a->stopped = true;
  ASSERT_TRUE(soon([&] { return b->held() == 4; }));
  EXPECT_FALSE(a->holds(name)) << "it could not look for too long, and knows";
  EXPECT_FALSE(checked(*a, name)) << "and what it still believes does not count";
  EXPECT_TRUE(checked(*b, name));
  a->stopped = false;
  EXPECT_TRUE(soon([&] { return a->membership->lost(); }));
  EXPECT_TRUE(soon([&] { return a->lost == a->gained; }));
}

TEST_F(DutiesTest, WhatIsCheckedIsCommittedBeforeAnybodyElseHasIt) {
  auto a = node("a");
  ASSERT_TRUE(soon([&] { return a->held() == 4 && a->duties->seen().size() == 4; }));
  const Duty row = a->duties->seen().front();
  std::atomic<bool> taken{false};
  std::jthread taker;
  ASSERT_TRUE(database_->write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto mine = a->duties->check(tx, row.name); !mine) return std::unexpected(mine.error());
    if (!taker.joinable())
      taker = std::jthread([&] {
        auto other = std::move(*store::open_database(url_));
        EXPECT_TRUE(other->write_now([&](store::Tx& t) { return release_duty(t, row.name, row.holder); }));
        taken = true;
      });
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_FALSE(taken);
    return true;
  }));
  taker.join();
  EXPECT_TRUE(taken);
}

}  // namespace
}  // namespace ballast::cluster
