#include "cluster/sight.hpp"

#include <gtest/gtest.h>

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kPatience = seconds(2), kGap = milliseconds(1'200);

class SightTest : public ::testing::Test {
 protected:
  Member& add(unsigned slot) {
    members_.push_back({.slot = slot, .name = "node" + std::to_string(slot), .boot = "a", .address = {}, .version = {}, .state = MemberState::serving,
                        .joined = {}, .beat = {}, .beats = 0, .load = {}});
    return members_.back();
  }
  void after(Duration d, std::initializer_list<unsigned> beating) {
    now_ += d;
    for (Member& m : members_)
      for (const unsigned slot : beating) m.beats += m.slot == slot;
    sight_.look(members_, now_);
  }
  std::vector<unsigned> dead() const {
    std::vector<unsigned> out;
    for (const Member& m : sight_.dead()) out.push_back(m.slot);
    return out;
  }
  std::vector<Member> members_;
  MonoTime now_{seconds(100)};
  Sight sight_{kPatience, kGap};
};

TEST_F(SightTest, WhoDoesNotCountOnIsDeadAfterThePatienceAndNotBefore) {
  add(0), add(1);
  sight_.look(members_, now_);
  for (int i = 0; i < 4; ++i) {
    after(milliseconds(499), {0});
    EXPECT_TRUE(dead().empty()) << i;
  }
  after(milliseconds(4), {0});
  EXPECT_EQ(dead(), std::vector<unsigned>{1});
  EXPECT_TRUE(sight_.lives(members_[0]));
  EXPECT_FALSE(sight_.lives(members_[1]));
}

TEST_F(SightTest, TellsWhenTheNextOfThemWouldBeDead) {
  EXPECT_EQ(sight_.next_death(), std::nullopt);
  add(0), add(1), add(2).state = MemberState::gone;
  sight_.look(members_, now_);
  EXPECT_EQ(sight_.next_death(), now_ + kPatience);
  after(milliseconds(700), {0});
  EXPECT_EQ(sight_.next_death(), now_ + milliseconds(1'300));
  after(milliseconds(1'000), {0});
  after(milliseconds(300), {0});
  EXPECT_EQ(dead(), std::vector<unsigned>{1}) << "at the moment that was told";
  EXPECT_EQ(sight_.next_death(), now_ + kPatience) << "of the living";
}

TEST_F(SightTest, ABeatOrAnotherBootBeginsAnew) {
  add(0), add(1);
  sight_.look(members_, now_);
  after(seconds(1), {});
  after(milliseconds(900), {1});
  members_[0].boot = "b";
  after(milliseconds(900), {});
  EXPECT_TRUE(dead().empty());
  EXPECT_EQ(sight_.silent(0), Duration::zero());
  EXPECT_EQ(sight_.silent(1), milliseconds(900));
}

TEST_F(SightTest, TimeInWhichNobodyCouldLookIsNotSilence) {
  add(0), add(1);
  sight_.look(members_, now_);
  after(seconds(60), {});                                // the database was away
  EXPECT_TRUE(dead().empty());
  EXPECT_EQ(sight_.silent(1), Duration::zero());
  after(seconds(1), {0});
  after(seconds(1), {0});
  EXPECT_EQ(dead(), std::vector<unsigned>{1}) << "now it could have beaten";
}

TEST_F(SightTest, WallClocksDoNotMatter) {
  add(0);
  sight_.look(members_, now_);
  for (int hours = -3; hours < 3; ++hours) {
    members_[0].beat = WallTime(std::chrono::hours(500'000 + hours * 7));
    after(milliseconds(700), {0});
    EXPECT_TRUE(dead().empty());
  }
}

TEST_F(SightTest, WhoIsGoneIsNeitherAliveNorDeadAgain) {
  add(0).state = MemberState::gone;
  sight_.look(members_, now_);
  for (int i = 0; i < 5; ++i) after(seconds(1), {});
  EXPECT_TRUE(dead().empty());
  EXPECT_FALSE(sight_.lives(members_[0]));
  EXPECT_EQ(sight_.silent(7), std::nullopt);
}

TEST_F(SightTest, ASlotThatIsNoLongerThereIsForgotten) {
  add(0), add(1);
  sight_.look(members_, now_);
  for (int i = 0; i < 3; ++i) after(seconds(1), {});
  members_.pop_back();
  after(seconds(1), {});
  EXPECT_EQ(dead(), std::vector<unsigned>{0});
}

}  // namespace
}  // namespace ballast::cluster
