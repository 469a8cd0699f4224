#include "cluster/duties.hpp"

#include <gmock/gmock.h>

#include "../../support/databases.hpp"

namespace ballast::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Member member(unsigned slot, std::string boot, MemberState state = MemberState::serving) {
  return {.slot = slot, .name = "n" + std::to_string(slot), .boot = std::move(boot), .address = "a:1", .version = "1", .state = state, .joined = {}, .beat = {}, .beats = 0, .load = "{}"};
}

// ---- whose turn it is ----

class WhoseTurn : public ::testing::Test {
 protected:
  void node(unsigned slot, std::string boot, MemberState state = MemberState::serving, bool lives = true) { picture_.members.push_back({member(slot, std::move(boot), state), lives, {}}); }
  void held(std::string name, std::string by) { rows_.push_back({.name = std::move(name), .holder = std::move(by), .slot = 0, .fence = 3, .since = {}}); }
  std::vector<std::string> taken(std::string_view by, bool overdue = false) const {
    std::vector<std::string> out;
    for (const Duty& d : decide(rows_, names_, picture_, by, [=](std::string_view) { return overdue; }, true).take) out.push_back(d.name);
    return out;
  }
  std::vector<std::string> given(std::string_view by, bool settled = true) const { return decide(rows_, names_, picture_, by, [](std::string_view) { return false; }, settled).give; }

  const std::vector<std::string> names_{"a", "b", "c", "d", "e", "f"};
  std::vector<Duty> rows_;
  Picture picture_;
};

TEST_F(WhoseTurn, OneNodeHasThemAllAndThreeShareThem) {
  node(0, "x");
  EXPECT_EQ(taken("x"), names_);
  node(1, "y"), node(2, "z");
  EXPECT_THAT(taken("x"), ElementsAre("a", "d"));
  EXPECT_THAT(taken("y"), ElementsAre("b", "e"));
  EXPECT_THAT(taken("z"), ElementsAre("c", "f"));
}

TEST_F(WhoseTurn, WhatADeadNodeHadGoesToThoseWithTheFewest) {
  node(0, "x"), node(1, "y"), node(2, "dead", MemberState::serving, false), node(3, "left", MemberState::gone, false);
  held("a", "x"), held("b", "x"), held("c", "y"), held("d", "dead"), held("e", "left"), held("f", "");
  EXPECT_THAT(taken("x"), ElementsAre("e"));
  EXPECT_THAT(taken("y"), ElementsAre("d", "f"));
  EXPECT_THAT(taken("dead"), IsEmpty());
  EXPECT_EQ(decide(rows_, names_, picture_, "y", [](auto) { return false; }, true).take.front(), rows_[3]) << "as it stands";
}

TEST_F(WhoseTurn, WhoDrainsKeepsWhatItHasNotHandedBackAndTakesNothing) {
  node(0, "x", MemberState::draining), node(1, "y"), node(2, "z", MemberState::joining);
  for (const auto& name : names_) held(name, name < "d" ? "x" : "");
  EXPECT_THAT(taken("x"), IsEmpty());
  EXPECT_THAT(taken("z"), IsEmpty());
  EXPECT_THAT(taken("y"), ElementsAre("d", "e", "f"));
}

TEST_F(WhoseTurn, WhatNobodyTookForAWhileAnybodyTakes) {
  node(0, "x"), node(1, "y");
  for (const auto& name : names_) held(name, name == "c" ? "" : "x");
  EXPECT_THAT(taken("x"), IsEmpty());
  EXPECT_THAT(taken("x", true), ElementsAre("c"));
  EXPECT_THAT(taken("y"), ElementsAre("c"));
}

TEST_F(WhoseTurn, WhatIsAboveTheFairPartIsHandedBackAndThenNothingMoves) {
  node(0, "x"), node(1, "y"), node(2, "z");
  for (const auto& name : names_) held(name, "x");
  EXPECT_THAT(given("x", false), IsEmpty()) << "not while anything moves";
  EXPECT_THAT(given("x"), ElementsAre("c", "d", "e", "f"));
  std::size_t moved = 0;
  for (int turns = 0; turns < 10; ++turns)               // everybody in turn, on the rows as they are
    for (const char* me : {"x", "y", "z"}) {
      for (const auto& name : given(me)) std::ranges::find(rows_, name, &Duty::name)->holder.clear(), ++moved;
      for (const auto& name : taken(me)) std::ranges::find(rows_, name, &Duty::name)->holder = me;
    }
  EXPECT_EQ(moved, 4u);
  for (const char* me : {"x", "y", "z"}) EXPECT_EQ(std::ranges::count(rows_, std::string(me), &Duty::holder), 2);
}

TEST_F(WhoseTurn, WhoHasTwoMoreThanAnotherGivesOneThoughItIsItsFairPart) {
  node(0, "x"), node(1, "y"), node(2, "z"), node(3, "w");
  held("a", "x"), held("b", "x"), held("c", "y"), held("d", "y"), held("e", "z"), held("f", "z");
  EXPECT_THAT(given("x"), ElementsAre("b"));
  EXPECT_THAT(given("w"), IsEmpty());
}

// ---- the rows ----

class DutyRows : public test::OnBothDatabases {
 protected:
  template <class F>
  auto write(F body) { return database().write_now(std::move(body)); }
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
    ASSERT_TRUE(write([](store::Tx& tx) { return installation_of(tx, "inst_1"); }));
    for (const char* name : {"x", "y"}) ASSERT_TRUE(write([&](store::Tx& tx) {
      Member m = member(0, name);
      m.name = name;
      return take_slot(tx, m);
    }));
  }
  bool take(const Duty& was, std::string boot) { return *write([&](store::Tx& tx) { return take_duty(tx, was, 1, boot); }); }
  Duty row() { return database().read_now([](store::Tx& tx) { return load_duties(tx); })->at(0); }
};
BALLAST_ON_BOTH_DATABASES(DutyRows);

TEST_P(DutyRows, OneTakesItAndItsFenceRises) {
  const Duty none{.name = "sweeps"};
  EXPECT_FALSE(take(none, "stranger")) << "no member";
  EXPECT_TRUE(take(none, "x"));
  EXPECT_FALSE(take(none, "y")) << "it is not as it was";
  EXPECT_EQ(row().holder, "x");
  EXPECT_EQ(row().fence, 1);
  EXPECT_FALSE(take(row(), "y")) << "x has not left";
  EXPECT_FALSE(*write([](store::Tx& tx) { return release_duty(tx, "sweeps", "y"); })) << "it is not y's to hand back";
  EXPECT_TRUE(*write([](store::Tx& tx) { return release_duty(tx, "sweeps", "x"); }));
  EXPECT_TRUE(take(row(), "y"));
  EXPECT_EQ(row().fence, 2);
  EXPECT_TRUE(*write([](store::Tx& tx) { return declare_gone(tx, 1, "y", 0); }));
  EXPECT_TRUE(take(row(), "x"));
  EXPECT_EQ(row().fence, 3);
}

// ---- one node, and several in one process ----

TEST(DutiesAlone, OneFileHasOneNodeThatHasThemAll) {
  const test::TempDir directory;
  const std::string url = "sqlite:" + (directory / "b.db");
  SystemClock clock;
  auto database = store::open_database(url);
  ASSERT_TRUE(database && (*database)->migrate(migrations()));
  auto alone = Membership::join(**database, url, clock, {.folder = directory.path(), .address = "", .version = "", .load = {}});
  ASSERT_TRUE(alone);
  Duties duties(**alone, {"b", "a"}, {});
  EXPECT_TRUE(duties.holds("a"));
  EXPECT_TRUE((*database)->write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto mine = duties.check(tx, "a"); !mine) return std::unexpected(mine.error());
    return true;
  }));
  duties.hand_back();
  EXPECT_TRUE((*database)->read_now([](store::Tx& tx) { return load_duties(tx); })->empty());
  EXPECT_EQ(duties.seen().size(), 2u);
}

}  // namespace
}  // namespace ballast::cluster
