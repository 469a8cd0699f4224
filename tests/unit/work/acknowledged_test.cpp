#include "work/acknowledged.hpp"

#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using What = Acknowledged::What;

class AcknowledgedTest : public ::testing::Test {
 protected:
  void cycle(std::int64_t number, Duration later = 1ms) {
    now_ += later;
    acknowledged.begin(number, WallTime(1'000s) + now_, MonoTime(now_));
  }
  static JobId job(std::int64_t n) { return JobId{n}; }
  Acknowledged acknowledged;

 private:
  Duration now_{};
};

TEST_F(AcknowledgedTest, WhatCameAfterTheNewestCycleThatIsThereIsNamed) {
  cycle(3);
  acknowledged.note(What::submitted, job(1));
  cycle(5);                                    // 4 was never written
  acknowledged.note(What::submitted, job(2));
  acknowledged.note(What::ended, job(1));
  cycle(6);
  acknowledged.note(What::went_on, job(2));
  acknowledged.note_effect(job(2), "pay");
  const auto lost = acknowledged.since(3);
  EXPECT_EQ(lost.kept, 3);
  EXPECT_EQ(lost.last, 6);
  EXPECT_EQ(lost.cycles, 2u);
  EXPECT_TRUE(lost.all_known);
  EXPECT_EQ(lost.since, WallTime(1'000s) + 2ms);
  EXPECT_EQ(lost.submitted.named, std::vector{job(2)});
  EXPECT_EQ(lost.ended.named, std::vector{job(1)});
  EXPECT_EQ(lost.went_on.named, std::vector{job(2)});
  EXPECT_EQ(lost.named_effects, (std::vector<std::pair<JobId, std::string>>{{job(2), "pay"}}));
  EXPECT_EQ(acknowledged.since(0).submitted.count, 2u);
  const auto none = acknowledged.since(6);
  EXPECT_EQ(none.cycles, 0u);
  EXPECT_EQ(none.submitted.count + none.ended.count + none.went_on.count + none.effects, 0u);
}

TEST_F(AcknowledgedTest, WhatIsOlderThanAMinuteIsCountedNoMoreAndSaysSo) {
  cycle(1);
  acknowledged.note(What::submitted, job(1));
  acknowledged.note_effect(job(1), "pay");
  cycle(2, 30s);
  acknowledged.note(What::submitted, job(2));
  cycle(3, 31s);
  const auto lost = acknowledged.since(0);
  EXPECT_FALSE(lost.all_known);
  EXPECT_EQ(lost.submitted.named, std::vector{job(2)});
  EXPECT_EQ(lost.effects, 0u);
  EXPECT_TRUE(acknowledged.since(1).all_known) << "the first is there";
}

TEST_F(AcknowledgedTest, ItsMemoryIsBoundedAndTheNewestStay) {
  for (std::int64_t n = 1; n <= 3; ++n) {
    cycle(n);
    for (std::size_t i = 0; i < Acknowledged::kMostNames / 2; ++i) acknowledged.note(What::submitted, job(n));
  }
  const auto lost = acknowledged.since(0);
  EXPECT_FALSE(lost.all_known);
  EXPECT_EQ(lost.cycles, 2u);
  EXPECT_EQ(lost.submitted.count, Acknowledged::kMostNames);
  EXPECT_EQ(lost.submitted.named.size(), kMostLostNamed);
  EXPECT_EQ(lost.submitted.named.front(), job(2));
  for (std::size_t i = 0; i <= Acknowledged::kMostNames; ++i) acknowledged.note(What::ended, job(4));     // one cycle with more than there is room for
  EXPECT_EQ(acknowledged.since(2).ended.count, Acknowledged::kMostNames);
  for (std::int64_t n = 4; n <= 4 + static_cast<std::int64_t>(Acknowledged::kMostCycles); ++n) cycle(n, Duration(1));
  EXPECT_EQ(acknowledged.since(0).cycles, Acknowledged::kMostCycles);
}

}  // namespace
}  // namespace ballast::work
