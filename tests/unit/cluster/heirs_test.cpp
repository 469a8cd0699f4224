#include "cluster/heirs.hpp"

#include <gtest/gtest.h>

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HeirsTest : public ::testing::Test {
 protected:
  static Picture::Seen seen(unsigned slot, std::string boot, MemberState state) {
    return {.member = {.slot = slot, .name = "n", .boot = std::move(boot), .address = {}, .version = {}, .state = state, .joined = {}, .beat = {}, .beats = 1, .load = {}},
            .lives = state != MemberState::gone, .silent = {}};
  }
  void look(Duration after, Picture p) {
    now_ += after;
    heirs_.look(p, "me", now_);
  }
  static Picture with(std::vector<Picture::Seen> members) { return {.members = std::move(members), .read = {}, .at = {}}; }

  MonoTime now_{seconds(100)};
  std::vector<std::string> asked_;
  std::vector<Heirs::Told> told_;
  Heirs heirs_{[this](const Member& m, Heirs::Told told) {
    asked_.push_back(m.boot);
    told_.push_back(std::move(told));
  }, 7};
};

TEST_F(HeirsTest, WhoSaidItAsksAtOnceAndOnce) {
  const Picture p = with({seen(0, "me", MemberState::serving), seen(1, "a", MemberState::gone)});
  heirs_.died(p.members[1].member, now_);
  look({}, p);
  look(seconds(10), p);
  EXPECT_EQ(asked_, std::vector<std::string>{"a"}) << "nobody has answered yet";
  told_[0](true);
  look(seconds(10), p);
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(HeirsTest, OthersAskALittleLaterAndAgainUntilItIsDone) {
  const Picture p = with({seen(0, "me", MemberState::serving), seen(1, "a", MemberState::gone), seen(2, "b", MemberState::serving)});
  look({}, p);
  look(milliseconds(499), p);
  EXPECT_TRUE(asked_.empty());
  look(milliseconds(501), p);
  ASSERT_EQ(asked_, std::vector<std::string>{"a"});
  told_[0](false);
  look(milliseconds(1), p);
  EXPECT_EQ(asked_.size(), 1u) << "not at once";
  look(seconds(4), p);
  ASSERT_EQ(asked_.size(), 2u);
  told_[1](true);
  look(seconds(60), p);
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(HeirsTest, ASlotThatIsTakenAgainHasAnotherBootToAskFor) {
  look({}, with({seen(1, "a", MemberState::gone)}));
  look(seconds(1), with({seen(1, "b", MemberState::serving)}));
  look(seconds(9), with({seen(1, "b", MemberState::serving)}));
  EXPECT_TRUE(asked_.empty()) << "who has the slot looks after it himself";
  look({}, with({seen(1, "b", MemberState::gone)}));
  look(seconds(1), with({seen(1, "b", MemberState::gone)}));
  EXPECT_EQ(asked_, std::vector<std::string>{"b"});
}

TEST_F(HeirsTest, AnAnswerThatComesTooLateIsHeardByNobody) {
  Heirs::Told late;
  {
    Heirs heirs([&](const Member&, Heirs::Told told) { late = std::move(told); }, 7);
    heirs.died(seen(1, "a", MemberState::gone).member, now_);
  }
  late(true);
  SUCCEED();
}

}  // namespace
}  // namespace ballast::cluster
