// What StreamOut hands the caller's connection, in how many pieces, and when it may not.
#include "gateway/stream.hpp"

#include <gmock/gmock.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Sink final : ReplySink {
  SimClock clock;
  SimLoop here{clock};
  std::vector<std::string> said;
  bool leaves = false;
  Scheduler& loop() override { return here; }
  CancelToken gone() override { return nullptr; }
  Task<Result<void>> hear(std::string what) {
    said.push_back(std::move(what));
    co_return leaves ? fail(ErrorCode::caller_cancelled, "gone") : Result<void>{};
  }
  Task<Result<void>> reply(ReplyHead, std::string_view body) override { return hear("reply " + std::string(body)); }
  Task<Result<void>> begin(ReplyHead, std::string_view first) override { return hear("begin " + std::string(first)); }
  Task<Result<void>> write(std::string_view bytes) override { return hear("write " + std::string(bytes)); }
  Task<Result<void>> end(std::string_view last) override { return hear("end " + std::string(last)); }
  void abort() override { said.push_back("abort"); }
};

struct Stream {
  Sink sink;
  StreamOut out{sink, [] { return ReplyHead{.status = 200, .headers = {}}; }};
  void flush(std::string_view bytes) {
    out.pending() += bytes;
    sink.here.run(out.flush());
  }
};

TEST(StreamOut, TheHeadGoesWithTheFirstBytesAndTheEndWithTheLast) {
  Stream s;
  s.flush("");
  EXPECT_THAT(s.sink.said, IsEmpty());
  s.flush("one");
  s.flush("two");
  s.out.pending() += "three";
  EXPECT_TRUE(s.sink.here.run(s.out.finish()));
  EXPECT_THAT(s.sink.said, ElementsAre("begin one", "write two", "end three"));
  EXPECT_TRUE(s.out.pending().empty());
}

TEST(StreamOut, WhatWasNeverSentBeginsWithItsEnd) {
  Stream s;
  s.out.pending() += "all of it";
  EXPECT_TRUE(s.sink.here.run(s.out.finish()));
  EXPECT_THAT(s.sink.said, ElementsAre("begin all of it", "end "));
}

TEST(StreamOut, ACallerWhoLeftIsSentNoMore) {
  Stream s;
  s.sink.leaves = true;
  s.flush("one");
  EXPECT_TRUE(s.out.caller_left());
  s.flush("two");
  s.out.pending() += "three";
  EXPECT_FALSE(s.sink.here.run(s.out.finish()));
  EXPECT_THAT(s.sink.said, ElementsAre("begin one"));
}

TEST(StreamOut, WhoLostTheRaceAsksOnceAndSaysNothing) {
  Stream s;
  int asked = 0;
  s.out.race([&] { return ++asked > 1; });
  s.flush("");
  EXPECT_EQ(asked, 0) << "nothing was to be sent";
  s.flush("one");
  s.flush("two");
  EXPECT_FALSE(s.sink.here.run(s.out.finish()));
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(s.out.committed());
  EXPECT_THAT(s.sink.said, IsEmpty());
}

TEST(StreamOut, ACutSendsWhatIsPendingFirst) {
  Stream s;
  s.flush("one");
  s.out.pending() += "an error";
  s.sink.here.run(s.out.cut());
  EXPECT_THAT(s.sink.said, ElementsAre("begin one", "write an error", "abort"));
}

}  // namespace
}  // namespace ballast::gateway
