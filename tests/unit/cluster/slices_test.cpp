#include "cluster/slices.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/holding.hpp"

namespace ballast::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kMinuteUs = 60'000'000;

Terms a_minute(Nano units) { return {.kind = QuotaKind::rate, .amount = units * kUnit, .period_us = kMinuteUs}; }

// A quota in a row, and asks of nodes that hold what they were told.
class SlicesTest : public ::testing::Test {
 protected:
  void has(const Terms& terms) {
    terms_ = terms;
    quota_ = new_quota(terms, now_);
  }
  Answer asks(std::string_view who, Nano share, Nano want, Nano least = 0, Nano floor = 0) {
    return settle(quota_, slices_, terms_, {.holder = who, .seq = ++seq_, .share = share, .floor = floor, .want = want, .least = least}, now_);
  }
  const Slice* of(std::string_view who) const {
    const auto at = std::ranges::find(slices_, who, &Slice::holder);
    return at == slices_.end() ? nullptr : &*at;
  }
  Terms terms_;
  Quota quota_;
  std::vector<Slice> slices_;
  std::int64_t now_ = 1'000'000'000'000;
  std::uint64_t seq_ = 0;
};

TEST_F(SlicesTest, TheFirstHasWhatItWantsAndTheLevelThatGoesWithIt) {
  has(a_minute(100));
  const Answer a = asks("a", 0, 40 * kUnit, kUnit);
  EXPECT_EQ(a.share, 50 * kUnit) << "and a quarter to spare, as nobody else wants it";
  EXPECT_EQ(a.level, 50 * kUnit);
  EXPECT_EQ(quota_.level, 50 * kUnit);
}

TEST_F(SlicesTest, LevelIsMovedAndRefilledAndNeverMade) {
  has(a_minute(100));
  EXPECT_EQ(asks("a", 0, 100 * kUnit, kUnit).level, 100 * kUnit);
  EXPECT_EQ(quota_.level, 0);
  // It has used it all, and gives up fifty: forty is what it wants.
  settle(quota_, slices_, terms_, {.holder = "a", .seq = ++seq_, .share = 40 * kUnit, .want = 40 * kUnit}, now_);
  now_ += kMinuteUs / 2;
  EXPECT_EQ(asks("b", 0, 50 * kUnit, kUnit).level, 25 * kUnit) << "half a minute of fifty a minute";
  now_ -= kMinuteUs;
  asks("c", 0, kUnit);
  now_ += 1;
  EXPECT_LE(quota_.level, kUnit) << "a clock that went back has stood still";
}

TEST_F(SlicesTest, NobodyHasLessThanAnotherButByItsOwnWish) {
  has(a_minute(100));
  asks("a", 0, 100 * kUnit);
  asks("b", 0, 10 * kUnit, kUnit);
  asks("c", 0, 100 * kUnit, kUnit);
  EXPECT_EQ(asks("a", 100 * kUnit, 100 * kUnit).target, 45 * kUnit);
  EXPECT_EQ(asks("a", 45 * kUnit, 100 * kUnit).share, 45 * kUnit);
  EXPECT_EQ(asks("b", 0, 10 * kUnit, kUnit).share, 10 * kUnit);
  EXPECT_EQ(asks("c", 0, 100 * kUnit, kUnit).share, 45 * kUnit);
}

TEST_F(SlicesTest, AnAskThatComesTwiceOrLateChangesNothing) {
  has(a_minute(100));
  const Ask first{.holder = "a", .seq = 1, .want = 40 * kUnit, .least = kUnit};
  settle(quota_, slices_, terms_, first, now_);
  const Ask back{.holder = "a", .seq = 2, .back = 50 * kUnit};
  settle(quota_, slices_, terms_, back, now_);
  EXPECT_EQ(quota_.level, 100 * kUnit);
  asks("b", 0, 100 * kUnit, kUnit);
  for (const Ask& again : {first, back}) EXPECT_TRUE(settle(quota_, slices_, terms_, again, now_).stale);
  EXPECT_EQ(quota_.level, 0);
  EXPECT_EQ(of("a")->share, 0);
}

TEST_F(SlicesTest, WhatAnAnswerThatGotLostGaveComesBackWithTheNextAsk) {
  has(a_minute(100));
  asks("a", 0, 40 * kUnit, kUnit);
  EXPECT_EQ(of("a")->share, 50 * kUnit);
  asks("a", 0, 0);
  EXPECT_EQ(of("a")->share, 0);
  EXPECT_EQ(quota_.level, 50 * kUnit) << "its level is burnt";
}

TEST_F(SlicesTest, ALeaseEndsAndMoneyHasNone) {
  has(a_minute(100));
  asks("a", 0, 100 * kUnit, kUnit);
  now_ += kLeaseUs - 1;
  EXPECT_EQ(asks("b", 0, 50 * kUnit, kUnit).share, 0);
  now_ += 1;
  EXPECT_EQ(asks("b", 0, 80 * kUnit, kUnit).share, 100 * kUnit);
  slices_.clear();
  has({.kind = QuotaKind::money, .amount = 500});
  asks("a", 0, 400, 1);
  now_ += 100 * kLeaseUs;
  EXPECT_EQ(asks("b", 0, 500, 1).share, 0) << "it may only be paused: burnt";
  close(slices_, "a", 123);
  EXPECT_EQ(asks("b", 0, 500, 1).share, 377) << "what it did not spend, to the nano-dollar";
  EXPECT_EQ(asks("a", 500, 500, 1).share, 0) << "a boot that was closed has nothing any more";
}

TEST_F(SlicesTest, PermitsInUseStayAndComeBackOnlyWhenTheirCallsMustHaveEnded) {
  has({.kind = QuotaKind::concurrency, .amount = 10 * kUnit, .linger_us = 30'000'000});
  EXPECT_EQ(asks("a", 0, 10 * kUnit, kUnit).share, 10 * kUnit);
  asks("b", 0, 10 * kUnit, kUnit);
  const Answer a = asks("a", 10 * kUnit, 10 * kUnit, kUnit, 8 * kUnit);
  EXPECT_EQ(a.usable, 5 * kUnit);
  EXPECT_EQ(a.target, 8 * kUnit);
  EXPECT_EQ(asks("a", 8 * kUnit, 10 * kUnit, kUnit, 8 * kUnit).share, 8 * kUnit);
  EXPECT_EQ(asks("b", 0, 10 * kUnit, kUnit).share, 2 * kUnit);
  now_ += kLeaseUs + 29'999'999;
  asks("c", 0, 10 * kUnit, kUnit);
  EXPECT_NE(of("a"), nullptr);
  now_ += 1;
  asks("c", 0, 10 * kUnit, kUnit);
  EXPECT_EQ(of("a"), nullptr);
}

// A standby took over that knows of older grants: what was charged of the forgotten ones counts, what was not is nobody's twice.
TEST_F(SlicesTest, OfMoneyThatTheRowHasForgottenOnlyWhatIsChargedIsTheHolders) {
  has({.kind = QuotaKind::money, .amount = 100});
  const Nano granted = asks("a", 0, 40, 40).share;
  const auto quota = quota_;
  const auto slices = slices_;
  const Nano later = asks("a", granted, 90, 1, 40).share;
  EXPECT_GE(later, 90);
  quota_ = quota, slices_ = slices;
  const auto calm = [&](std::string_view who, Nano share, Nano want, Nano floor) {
    return settle(quota_, slices_, terms_, {.holder = who, .seq = ++seq_, .share = share, .floor = floor, .want = want, .least = want > floor ? 1 : 0}, now_, true).share;
  };
  EXPECT_EQ(calm("b", 0, 60, 0), 0) << "who comes first is granted nothing: others may have charged it";
  EXPECT_EQ(calm("a", later, 90, 70), 70) << "what it has not charged is not its own";
  EXPECT_EQ(calm("c", 30, 30, 20), 20) << "of whom the row had never heard";
  EXPECT_LE(asks("b", 0, 60).share + 70 + 20, 100);
}

TEST_F(SlicesTest, WhereThereIsLessThanOneForEachTheyTakeTurns) {
  has(a_minute(2));
  quota_.level = 0;
  std::string got;
  for (int second = 0; second < 250; ++second, now_ += 1'000'000)
    for (const auto* who : {"a", "b", "c", "d"}) {
      const Answer answer = asks(who, 0, 2 * kUnit, kUnit);    // it has used what it got, and waits again
      if (answer.level == 0) continue;
      EXPECT_EQ(answer.level, kUnit);
      EXPECT_EQ(answer.share, kUnit);
      got += who;
    }
  EXPECT_EQ(got.size(), 8u);
  for (const char who : {'a', 'b', 'c', 'd'}) EXPECT_EQ(std::ranges::count(got, who), 2) << got;
}

TEST_F(SlicesTest, TheHighestVersionRulesAndOfTwoAmountsTheLower) {
  has(a_minute(100));
  asks("a", 0, 100 * kUnit, kUnit);
  terms_.amount = 60 * kUnit;
  EXPECT_EQ(asks("a", 100 * kUnit, 100 * kUnit).target, 60 * kUnit);
  terms_.amount = 100 * kUnit;
  asks("a", 60 * kUnit, 100 * kUnit);
  EXPECT_EQ(quota_.terms.amount, 60 * kUnit);
  terms_.version = 1;
  EXPECT_EQ(asks("a", 60 * kUnit, 100 * kUnit).share, 100 * kUnit);
  terms_.version = 0;
  terms_.amount = 5 * kUnit;
  asks("a", 100 * kUnit, 100 * kUnit);
  EXPECT_EQ(quota_.terms.amount, 100 * kUnit);
}

TEST_F(SlicesTest, MoneyThatIsNotThereKeepsNobodyElseWaiting) {
  has({.kind = QuotaKind::money, .amount = 1'000});
  EXPECT_EQ(asks("a", 0, 700, 700).left, 1'000);
  const Answer big = asks("b", 0, 800, 800);             // a has charged nothing yet: it may give up
  EXPECT_EQ(big.left, 1'000);
  EXPECT_EQ(big.share, 0);
  EXPECT_EQ(asks("a", 700, 700, 0, 500).left, 500) << "it has charged five hundred by now";
  EXPECT_EQ(asks("b", 0, 800, 800).left, 500);
  EXPECT_EQ(of("b")->least, 0) << "there is no use in waiting";
  EXPECT_GE(asks("c", 0, 100, 100).share, 100);
}

TEST_F(SlicesTest, WhoWaitsForAllThatIsLeftOfMoneyGetsWhatIdlesElsewhere) {
  has({.kind = QuotaKind::money, .amount = 900});
  for (const auto* who : {"a", "b", "c"}) asks(who, 0, 300, 300);
  for (const auto* who : {"a", "b"}) EXPECT_EQ(asks(who, 300, 300, 0, 200).target, 300) << "nobody starves";
  EXPECT_EQ(asks("c", 300, 700, 250, 200).share, 200);   // of three hundred that are left a hundred are in no slice
  for (const auto* who : {"a", "b"}) {
    EXPECT_EQ(asks(who, 300, 300, 0, 200).target, 200) << "what idles is given up";
    asks(who, 200, 300, 0, 200);
  }
  EXPECT_EQ(asks("c", 200, 700, 250, 200).share, 450);
}

TEST_F(SlicesTest, ACorrectionIsForWhoeverAsksAlsoBeyondTheAmount) {
  has({.kind = QuotaKind::money, .amount = 500});
  EXPECT_EQ(asks("a", 0, 500, 500).share, 500);
  slices_.push_back({.holder = "ledger", .share = -300, .expires_us = INT64_MAX, .spent = -300, .closed = true});      // a charge of five hundred was two hundred
  const Answer more = asks("a", 500, 700, 200, 500);
  EXPECT_EQ(more.left, 300);
  EXPECT_GE(more.share, 700);
  EXPECT_EQ(asks("a", 700, 900, 200, 700).left, 100);
}

TEST_F(SlicesTest, WhatTheLedgerSaysIsSpentIsNotGivenUp) {
  has({.kind = QuotaKind::money, .amount = 500});
  asks("a", 0, 400, 400);
  slices_.front().spent = 250;
  EXPECT_EQ(asks("a", 0, 0).share, 250) << "it has forgotten what it charged";
  now_ += 2 * kLeaseUs;
  slices_.front().expires_us = now_;
  asks("b", 0, 500, 100);
  ASSERT_NE(of("a"), nullptr);
}

TEST_F(SlicesTest, TheLargestNumbersDoNotOverflow) {
  for (const QuotaKind kind : {QuotaKind::rate, QuotaKind::concurrency, QuotaKind::money}) {
    constexpr Nano most = 9'000'000'000 * kUnit;
    slices_.clear();
    has({.kind = kind, .amount = most, .period_us = kind == QuotaKind::rate ? 1 : 0});
    Nano given = 0;
    for (int round = 0; round < 2; ++round)
      for (const auto* who : {"a", "b", "c", "d", "e"}) {
        asks(who, 0, INT64_MAX, INT64_MAX);
        now_ += 1'000'000;
      }
    for (const Slice& s : slices_) given += s.share;
    EXPECT_LE(given, most);
    EXPECT_GT(given, 0);
  }
}

TEST(SlicesTerms, ThatCannotBeAreRefused) {
  EXPECT_TRUE(check(a_minute(1)));
  EXPECT_FALSE(check(a_minute(0)));
  EXPECT_FALSE(check({.kind = QuotaKind::rate, .amount = INT64_MAX, .period_us = 1}));
  EXPECT_FALSE(check({.kind = QuotaKind::rate, .amount = kUnit, .period_us = 0}));
  EXPECT_FALSE(check({.kind = QuotaKind::concurrency, .amount = kUnit / 2}));
  EXPECT_FALSE(check({.kind = QuotaKind::money, .amount = 1, .linger_us = -1}));
  EXPECT_TRUE(check({.kind = QuotaKind::money, .amount = 1}));
  EXPECT_FALSE(fits(new_quota(a_minute(1), 0), {.kind = QuotaKind::rate, .amount = kUnit, .period_us = 1}));
}

TEST(CarefulTimeTest, IsNeverAheadAndNeverBehindWhileOneClockIsRight) {
  CarefulTime t;
  MonoTime mono{seconds(1'000)};
  WallTime wall{seconds(5'000)};
  const auto after = [&](Duration m, Duration w) { mono += m, wall += w, t.look(mono, wall); };
  after({}, {});
  after(seconds(1'000), seconds(1'000));
  EXPECT_LE(t.earliest(), 999'500'000'000) << "for a clock that is fast by 500 parts in a million";
  EXPECT_GE(t.earliest(), 999'000'000'000);
  EXPECT_GE(t.latest(), 1'000'500'000'000);
  const std::int64_t early = t.earliest(), late = t.latest();
  after(milliseconds(100), seconds(3'600));              // the wall clock was set
  EXPECT_LE(t.earliest() - early, 100'000'000);
  EXPECT_GE(t.latest() - late, 100'000'000);
  after(seconds(3'600), milliseconds(100));              // the monotonic clock jumped
  EXPECT_LE(t.earliest() - early, 200'000'000);
  const std::int64_t slept = t.latest();
  after({}, seconds(60));                                // the machine slept
  EXPECT_GE(t.latest() - slept, 60'000'000'000);
  after(seconds(1), seconds(-1'000));
  EXPECT_LE(t.earliest() - early, 200'000'000);
  EXPECT_GE(t.latest() - slept, 61'000'000'000);
}

class HoldingTest : public ::testing::Test {
 protected:
  void after(Duration d) {
    mono_ += d, wall_ += d;
    t_.look(mono_, wall_);
  }
  // Asks the row, and hears at once.
  Answer ask(Holding& h) {
    const auto answer = settle(quota_, slices_, h.terms(), h.ask(t_), unix_us(wall_));
    EXPECT_TRUE(h.accept(answer, t_.latest(), t_));
    return answer;
  }
  void SetUp() override { after({}); }
  CarefulTime t_;
  MonoTime mono_{seconds(1)};
  WallTime wall_{seconds(1'700'000'000)};
  Quota quota_ = new_quota(a_minute(60), unix_us(wall_));
  std::vector<Slice> slices_;
};

TEST_F(HoldingTest, LetsNothingThroughThatItWasNotGiven) {
  Holding h(a_minute(60), "a");
  EXPECT_FALSE(h.take(kUnit, t_));
  EXPECT_EQ(h.patience(t_), milliseconds(200)) << "somebody waits";
  ask(h);
  unsigned n = 0;
  while (h.take(kUnit, t_)) ++n;
  EXPECT_GE(n, 1u);
  after(milliseconds(300));
  ask(h);
  while (h.take(kUnit, t_)) ++n;
  EXPECT_GT(n, 10u) << "more, as more was wanted";
  EXPECT_LE(n, 60u);
}

TEST_F(HoldingTest, WhatIsMoreThanTheWholeQuotaIsNotAskedFor) {
  Holding h(a_minute(60), "a");
  EXPECT_FALSE(h.take(61 * kUnit, t_));
  EXPECT_FALSE(h.hungry());
  EXPECT_EQ(h.patience(t_), std::nullopt);
  for (int i = 0; i < 3; ++i) h.miss(INT64_MAX, t_);
  EXPECT_EQ(h.ask(t_).want, 60 * kUnit);
}

TEST_F(HoldingTest, IdleItGivesEverythingUpAndNeedNotAskAgain) {
  Holding h(a_minute(60), "a");
  h.miss(30 * kUnit, t_);
  ask(h);
  EXPECT_GT(h.share(), 0);
  after(seconds(2));
  after(milliseconds(251));
  ask(h);
  EXPECT_EQ(h.share(), 0);
  EXPECT_EQ(quota_.level, 60 * kUnit) << "the level too";
  EXPECT_EQ(h.patience(t_), std::nullopt);
}

TEST_F(HoldingTest, AnOldAnswerIsNotTaken) {
  Holding h(a_minute(60), "a");
  h.miss(30 * kUnit, t_);
  const auto first = settle(quota_, slices_, h.terms(), h.ask(t_), unix_us(wall_));
  const auto second = settle(quota_, slices_, h.terms(), h.ask(t_), unix_us(wall_));
  EXPECT_FALSE(h.accept(first, t_.latest(), t_));
  EXPECT_FALSE(h.take(kUnit, t_));
  EXPECT_TRUE(h.accept(second, t_.latest(), t_));
}

TEST_F(HoldingTest, ADebtIsPaidBeforeAnythingElse) {
  Holding h(a_minute(60), "a");
  h.miss(60 * kUnit, t_);
  ask(h);
  ASSERT_TRUE(h.take(50 * kUnit, t_));
  h.charge(40 * kUnit);                                  // it cost more than was estimated
  EXPECT_LT(h.level(t_), -29 * kUnit);
  after(seconds(3));
  ask(h);
  EXPECT_EQ(h.share(), 0);
  EXPECT_LT(quota_.level, -20 * kUnit) << "the debt goes with the share";
}

TEST_F(HoldingTest, WithoutAnAnswerItStopsBeforeTheRowTakesTheShareBack) {
  Holding h(a_minute(60), "a");
  h.miss(60 * kUnit, t_);
  ask(h);
  after(seconds(49));
  EXPECT_TRUE(h.take(kUnit, t_));
  after(seconds(1));
  EXPECT_TRUE(h.over(t_));
  EXPECT_FALSE(h.take(kUnit, t_));
}

TEST_F(HoldingTest, WhatIsReservedIsInUseUntilItIsSettled) {
  Holding h(a_minute(60), "a");
  h.miss(60 * kUnit, t_);
  ask(h);
  ASSERT_TRUE(h.reserve(50 * kUnit, t_));
  after(seconds(40));
  EXPECT_EQ(h.level(t_), 10 * kUnit) << "time refills nothing in its place";
  ask(h);
  EXPECT_GE(h.share(), 50 * kUnit) << "idle, it keeps what is in use";
  EXPECT_EQ(h.level(t_) + quota_.level, 10 * kUnit);
  h.settle(50 * kUnit, 20 * kUnit, t_);
  EXPECT_EQ(h.level(t_) + quota_.level, 40 * kUnit) << "all but what it came to";
  ask(h);
  EXPECT_EQ(h.share(), 0);
  EXPECT_EQ(quota_.level, 40 * kUnit);
}

TEST_F(HoldingTest, WhatIsReservedOutlivesALease) {
  Holding h(a_minute(60), "a");
  h.miss(60 * kUnit, t_);
  ask(h);
  ASSERT_TRUE(h.reserve(50 * kUnit, t_));
  after(seconds(70));
  EXPECT_TRUE(h.over(t_));
  const Answer other = settle(quota_, slices_, h.terms(), {.holder = "b", .seq = 1, .want = 60 * kUnit, .least = kUnit}, unix_us(wall_));
  EXPECT_EQ(other.share, 60 * kUnit) << "the row knows nothing of it any more";
  ask(h);
  EXPECT_EQ(h.share(), 50 * kUnit) << "it is a fact";
  h.settle(50 * kUnit, 70 * kUnit, t_);
  EXPECT_EQ(h.level(t_), -20 * kUnit);
}

TEST_F(HoldingTest, ALowerAmountHoldsAtOnce) {
  Holding h(a_minute(60), "a");
  h.miss(60 * kUnit, t_);
  ask(h);
  h.set_terms(a_minute(5));
  EXPECT_EQ(h.level(t_), 5 * kUnit);
  after(seconds(30));
  EXPECT_EQ(h.level(t_), 5 * kUnit);
}

TEST_F(HoldingTest, ItIsFullWithTheWholeOrWithItsFairPart) {
  Holding h(a_minute(60), "a");
  const auto wants = [&] {
    for (int i = 0; i < 60; ++i) h.miss(kUnit, t_);
  };
  wants();
  ask(h);
  EXPECT_TRUE(h.full(t_)) << "it has the whole";
  settle(quota_, slices_, h.terms(), {.holder = "b", .seq = 1, .want = 60 * kUnit, .least = kUnit}, unix_us(wall_));
  wants();
  ask(h);
  wants();
  ask(h);
  EXPECT_EQ(h.share(), 30 * kUnit);
  EXPECT_TRUE(h.full(t_));
  after(seconds(2));
  EXPECT_FALSE(h.full(t_)) << "nobody knows what the other has use for by now";
}

TEST_F(HoldingTest, AnotherOfTheSameHolderGoesOnFromItsNumber) {
  Holding first(a_minute(60), "a");
  first.miss(kUnit, t_);
  ask(first);
  Holding second(a_minute(60), "a", 1'000);
  second.miss(kUnit, t_);
  ask(second);
  EXPECT_TRUE(second.take(kUnit, t_));
}

TEST_F(HoldingTest, MoneyGoesOnWithWhatWasGranted) {
  const Terms budget{.kind = QuotaKind::money, .amount = 1'000};
  quota_ = new_quota(budget, unix_us(wall_));
  Holding h(budget, "a");
  h.miss(600, t_);
  ask(h);
  after(std::chrono::hours(5));
  EXPECT_TRUE(h.take(600, t_));
  h.give_back(250);
  EXPECT_EQ(h.used(), 350);
  after(seconds(30));
  ask(h);
  EXPECT_EQ(h.share(), 1'000) << "it has ahead what a minute's calls wanted: with it they go on while the database is away";
  after(seconds(40));
  ask(h);
  EXPECT_EQ(h.share(), 350) << "idle, it keeps what is charged";
  EXPECT_EQ(h.patience(t_), std::nullopt);
}

TEST_F(HoldingTest, KnowsWhatTheWholeHasLeftAndHowLongAgoThatWas) {
  const Terms budget{.kind = QuotaKind::money, .amount = 1'000};
  quota_ = new_quota(budget, unix_us(wall_));
  Holding h(budget, "a"), other(budget, "b");
  EXPECT_FALSE(h.left(t_));
  other.miss(300, t_);
  ask(other);
  ASSERT_TRUE(other.take(300, t_));
  after(seconds(70));
  ask(other);                                            // idle, it keeps what is charged
  h.miss(100, t_);
  ask(h);
  EXPECT_EQ(h.left(t_)->nano, 700);
  ASSERT_TRUE(h.take(100, t_));
  after(seconds(3));
  EXPECT_EQ(h.left(t_)->nano, 600) << "less what was taken here since";
  EXPECT_GE(h.left(t_)->age, seconds(3));
  ask(h);
  EXPECT_LT(h.left(t_)->age, seconds(1));
  EXPECT_EQ(h.left(t_)->nano, 600);
  h.doubt();
  EXPECT_EQ(h.left(t_)->age, Duration::max());
}

TEST_F(HoldingTest, MoneyThatIsLessByNewTermsIsAskedForAnewAtOnce) {
  Terms budget{.kind = QuotaKind::money, .amount = 1'000};
  quota_ = new_quota(budget, unix_us(wall_));
  Holding h(budget, "a");
  h.miss(800, t_);
  ask(h);
  ASSERT_TRUE(h.take(200, t_));
  const auto late = settle(quota_, slices_, h.terms(), h.ask(t_), unix_us(wall_));
  budget.amount = 300;
  budget.version = 1;
  h.set_terms(budget);
  EXPECT_FALSE(h.accept(late, t_.latest(), t_)) << "by the old terms";
  EXPECT_FALSE(h.take(150, t_));
  EXPECT_EQ(h.left(t_)->age, Duration::max());
  EXPECT_EQ(ask(h).left, 100);
  EXPECT_FALSE(h.take(100, t_));
  ask(h);
  EXPECT_TRUE(h.take(100, t_, true));
}

}  // namespace
}  // namespace ballast::cluster
