// A job's name, its settings as they are stored, and how long a failed one waits.
#include "work/job.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

const WallTime kNow{std::chrono::seconds(1'800'000'000)};

TEST(JobId, IsPrintedAndReadBack) {
  JobIds ids(7);
  for (int i = 0; i < 5'000; ++i) {
    const JobId id = ids.next(kNow + i * 300us);
    const std::string text = to_string(id);
    EXPECT_EQ(text.size(), 17u);
    ASSERT_EQ(parse_job_id(text), id) << text;
  }
  EXPECT_EQ(parse_job_id("job_" + std::string(13, '0')), std::nullopt) << "zero is nobody's";
}

TEST(JobId, TextThatIsNoneIsRefused) {
  for (const char* text : {"", "job_", "job_0", "job_0000000000000", "job_00000000000001", "run_0000000000001", "job_000000000000u", "job_00000 0000001",
                           "job_zzzzzzzzzzzzz", "job_8000000000000", "job_g000000000000"})
    EXPECT_EQ(parse_job_id(text), std::nullopt) << text;
  EXPECT_EQ(parse_job_id("job_7zzzzzzzzzzzz"), JobId{INT64_MAX}) << "the largest there is";
  EXPECT_EQ(parse_job_id("job_000000000000A"), JobId{10}) << "letters in either case";
}

TEST(JobId, TextsSortAsIdsDo) {
  JobIds ids(3);
  JobId last = ids.next(kNow);
  for (int i = 1; i < 3'000; ++i) {
    const JobId id = ids.next(kNow + i * 1ms);
    EXPECT_LT(to_string(last), to_string(id));
    last = id;
  }
}

TEST(JobId, TellsWhenItWasMade) {
  JobIds ids(1023);
  const JobId id = ids.next(kNow + 123ms);
  EXPECT_EQ(id.unix_ms(), unix_ms(kNow + 123ms));
  EXPECT_LE(first_job_id(kNow + 123ms), id);
  EXPECT_GT(first_job_id(kNow + 124ms), id);
  EXPECT_EQ(first_job_id(WallTime{}), JobId{}) << "before the ids began";
}

TEST(JobIds, StrictlyIncreaseWhateverTheClockDoes) {
  JobIds ids(5);
  JobId last;
  WallTime now = kNow;
  for (int i = 0; i < 20'000; ++i) {       // far more than one millisecond holds
    if (i == 7'000) now -= 1h;
    if (i == 14'000) now += 2h;
    const JobId id = ids.next(now);
    ASSERT_GT(id, last);
    last = id;
  }
}

TEST(JobIds, GoOnAboveTheLastOfTheProcessBefore) {
  JobIds before(5);
  JobId last;
  for (int i = 0; i < 10'000; ++i) last = before.next(kNow);
  JobIds after(5, last);
  EXPECT_GT(after.next(kNow - 1h), last) << "even when the clock stepped back meanwhile";
}

TEST(JobIds, GoOnInTheNextMillisecondWhereAnotherNodeWasTheLast) {
  JobIds before(0), other(2);
  JobId newest;
  for (int i = 0; i < 30; ++i) newest = before.next(kNow);
  const JobId last = other.next(kNow);
  ASSERT_GT(last, newest);
  JobIds after(0, last);
  EXPECT_GT(after.next(kNow), last) << "with the clock of the process before";
  EXPECT_GT(JobIds(0, last).next(kNow - std::chrono::seconds(5)), last) << "or an earlier one";
}

TEST(JobIds, NodesNeverGiveTheSameOne) {
  std::set<JobId> seen;
  for (const unsigned node : {0u, 1u, 512u, kMaxNode}) {
    JobIds ids(node, first_job_id(kNow));
    for (int i = 0; i < 5'000; ++i) EXPECT_TRUE(seen.insert(ids.next(kNow)).second);
  }
}

TEST(Backoff, GrowsToItsCeilingAndIsSpread) {
  const Backoff backoff{.first = 1s, .factor = 2, .max = 10s};
  EXPECT_EQ(backoff_delay(backoff, 1, 0), 500ms);
  EXPECT_NEAR(static_cast<double>(backoff_delay(backoff, 1, 0.999'999).count()), 1e9, 1e6);
  EXPECT_EQ(backoff_delay(backoff, 2, 0), 1s);
  EXPECT_EQ(backoff_delay(backoff, 4, 0), 4s);
  EXPECT_EQ(backoff_delay(backoff, 5, 0), 5s) << "half of the ceiling";
  EXPECT_LE(backoff_delay(backoff, 1'000'000, 0.999), 10s);
  EXPECT_LE(backoff_delay(backoff, UINT32_MAX, 0.999), 10s);
  EXPECT_EQ(backoff_delay({.first = 3s, .factor = 0.1, .max = 10s}, 9, 0), 1500ms) << "a factor below one does not shrink it";
  EXPECT_EQ(backoff_delay({.first = 0s, .factor = 2, .max = 10s}, 9, 0.5), 0s);
}

TEST(JobSpec, WhatIsUsualTakesNoSpace) {
  EXPECT_EQ(pack_spec({}), "");
  JobSpec spec{.name = "send", .queue = "mail", .tenant = "t", .priority = 2};
  EXPECT_EQ(pack_spec(spec), "") << "these have columns";
}

TEST(JobSpec, IsStoredWhole) {
  JobSpec spec;
  spec.max_attempts = 9;
  spec.backoff = {.first = 250ms, .factor = 1.5, .max = 1h};
  spec.deadline = kNow + 1h;
  spec.timeout = 90s;
  spec.concurrency_key = "customer \"7\"\n";
  spec.concurrency = 3;
  spec.key_id = "key_1";
  spec.user = "u";
  spec.feature = "f";
  spec.tags = {"a", "b c", "ü"};
  spec.webhook = "https://example.org/x?a=b";
  spec.version = "sha256:abc";
  spec.retention = 30min;
  spec.origin = Origin::child;
  spec.parent = JobId{123'456'789'012'345};
  spec.parent_stage = "stage";
  spec.generation = 4;
  spec.trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  JobSpec read;
  const auto done = unpack_spec(pack_spec(spec), read);
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(read, spec);
}

TEST(JobSpec, WhatCannotBeReadIsAnErrorNotAGuess) {
  JobSpec spec;
  EXPECT_FALSE(unpack_spec("{", spec));
  EXPECT_FALSE(unpack_spec("not json", spec));
  EXPECT_FALSE(unpack_spec(R"({"backoff":["a",2,3]})", spec));
}

TEST(Names, AreReadBack) {
  for (const JobKind kind : {JobKind::task, JobKind::call, JobKind::flow}) EXPECT_EQ(job_kind_from(to_string(kind)), kind);
  for (const JobState state : {JobState::queued, JobState::waiting, JobState::done, JobState::dead, JobState::cancelled}) {
    EXPECT_EQ(job_state_from(to_string(state)), state);
    EXPECT_EQ(terminal(state), state == JobState::done || state == JobState::dead || state == JobState::cancelled);
  }
  EXPECT_EQ(job_kind_from("tasks"), std::nullopt);
  EXPECT_EQ(job_state_from(""), std::nullopt);
}

TEST(StoredError, IsJsonAndUtf8WhateverAProviderSaid) {
  const Error error{ErrorCode::provider_error, "it said \xff\xfe and \x00 and ü", "input", false, {}, {}, {}, {}};
  const auto packed = pack_error(error);
  const auto read = error_json(packed);
  EXPECT_EQ(read.at("code"), "provider_error");
  EXPECT_EQ(read.at("field"), "input");
  EXPECT_EQ(packed.find('\xff'), std::string::npos) << "PostgreSQL refuses it, and with it the transition";
}

TEST(StoredError, TextFromElsewhereIsShownAsItIs) {
  EXPECT_EQ(error_json("plain words").at("message"), "plain words");
}

}  // namespace
}  // namespace ballast::work
