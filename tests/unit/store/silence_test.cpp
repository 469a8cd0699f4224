#include "store/postgres/silence.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/sim_loop.hpp"

namespace ballast::store {
namespace {

using std::chrono::seconds;

class SilenceTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0); }
  void TearDown() override {
    for (const int end : ends_) ::close(end);
  }
  bool open() {
    char byte = 0;
    const auto n = ::recv(ends_[0], &byte, 1, MSG_DONTWAIT);
    return n < 0 && errno == EAGAIN;
  }
  SimClock clock_;
  bool answers_ = false;
  int asked_ = 0;
  std::array<int, 2> ends_{-1, -1};
  Silence silence_{clock_, [this] { return ++asked_, answers_; }, std::chrono::hours(1)};   // looks when it is told to
};

TEST_F(SilenceTest, WhoWaitsForAServerThatAnswersNobodyIsToldThatItIsGone) {
  const Silence::Waiting waiting(silence_, ends_[0]);
  silence_.look();
  EXPECT_TRUE(open() && asked_ == 0) << "not yet";
  clock_.advance(Silence::kSilence);
  silence_.look();
  char byte = 0;
  EXPECT_EQ(::recv(ends_[0], &byte, 1, 0), 0) << "wakes up";
}

TEST_F(SilenceTest, WhatOnlyTakesLongIsLetBe) {
  answers_ = true;
  const Silence::Waiting waiting(silence_, ends_[0]);
  clock_.advance(Silence::kSilence);
  silence_.look();
  answers_ = false;
  clock_.advance(Silence::kSilence - seconds(1));
  silence_.look();
  EXPECT_TRUE(open());
  EXPECT_EQ(asked_, 1) << "it has answered a moment ago";
  clock_.advance(seconds(1));
  silence_.look();
  EXPECT_FALSE(open()) << "and has fallen silent since";
}

TEST_F(SilenceTest, WhoDoesNotWaitAnyMoreOrNotForLongIsLetBe) {
  std::array<int, 2> other{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, other.data()), 0);
  const Silence::Waiting stuck(silence_, other[0]);
  Silence::Waiting over(silence_, ends_[0]);
  over.end();
  clock_.advance(Silence::kSilence);
  const Silence::Waiting fresh(silence_, ends_[0]);
  silence_.look();
  EXPECT_TRUE(open());
  char byte = 0;
  EXPECT_EQ(::recv(other[0], &byte, 1, 0), 0);
  for (const int end : other) ::close(end);
}

}  // namespace
}  // namespace ballast::store
