#include <gtest/gtest.h>

#include <optional>

#include "base/sim_loop.hpp"
#include "net/core.hpp"

namespace ballast::net::test {
namespace {
using namespace std::chrono_literals;

struct Origin {
  SimClock clock;
  LoopGroup loops{1, clock};
  Loop& loop = loops.at(0);
  AnswerTime time;

  void answer_after(Duration took, int times = 1) {
    for (int i = 0; i < times; ++i) {
      const SoonAnswer answer(loop, time);
      clock.advance(took);
    }
  }
  bool looks_again() const { return loop.core().vigil.lasts(clock); }
};

TEST(Vigil, IsNotKeptForAnOriginThatNobodyKnows) {
  Origin origin;
  const SoonAnswer first(origin.loop, origin.time);
  EXPECT_FALSE(origin.looks_again());
}

TEST(Vigil, IsKeptWhileAnAnswerThatComesSoonIsAwaited) {
  Origin origin;
  origin.answer_after(40us, 30);
  EXPECT_FALSE(origin.looks_again());                      // nothing is awaited
  {
    const SoonAnswer answer(origin.loop, origin.time);
    EXPECT_TRUE(origin.looks_again());
    origin.clock.advance(Vigil::kLongest - 1us);
    EXPECT_TRUE(origin.looks_again());
    origin.clock.advance(1us);
    EXPECT_FALSE(origin.looks_again());                    // not soon after all: the loop may sleep
    const SoonAnswer another(origin.loop, origin.time);
    EXPECT_TRUE(origin.looks_again());
  }
  EXPECT_FALSE(origin.looks_again());
}

TEST(Vigil, EndsWithTheLastOfSeveralAnswers) {
  Origin origin;
  origin.answer_after(40us, 30);
  std::optional<SoonAnswer> one, two;
  one.emplace(origin.loop, origin.time);
  two.emplace(origin.loop, origin.time);
  one.reset();
  EXPECT_TRUE(origin.looks_again());
  two.reset();
  EXPECT_FALSE(origin.looks_again());
}

// A model that thinks for seconds costs no core.
TEST(Vigil, IsNotKeptForWhatIsSlow) {
  Origin origin;
  origin.answer_after(40us, 30);
  origin.answer_after(2s, 2);
  const SoonAnswer answer(origin.loop, origin.time);
  EXPECT_FALSE(origin.looks_again());
}

TEST(Vigil, IsKeptAgainSoonAfterAStall) {
  Origin origin;
  origin.answer_after(40us, 30);
  origin.answer_after(2s, 2);
  origin.answer_after(40us, 10);
  const SoonAnswer answer(origin.loop, origin.time);
  EXPECT_TRUE(origin.looks_again());
}

// One slow answer in four: what the loop would look for in vain is more than what it would win.
TEST(Vigil, IsNotKeptWhereAnswersAreMixed) {
  Origin origin;
  for (int i = 0; i < 50; ++i) {
    origin.answer_after(40us, 3);
    origin.answer_after(20ms);
  }
  const SoonAnswer answer(origin.loop, origin.time);
  EXPECT_FALSE(origin.looks_again());
}

}  // namespace
}  // namespace ballast::net::test
