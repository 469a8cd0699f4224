#include "store/job_queue.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <latch>
#include <mutex>
#include <semaphore>
#include <thread>

#include "../../support/databases.hpp"

namespace ballast::store {
namespace {

using Takes = JobQueue::Takes;

struct Named final : Job {
  explicit Named(std::string n, Priority p) : name(std::move(n)) {
    priority = p;
    due = MonoTime::max();
  }
  Result<void> run(Tx&) override { return {}; }
  void finish(Result<void>) override {}
  const std::string name;
};

class JobQueueTest : public testing::Test {
 protected:
  void put(std::string name, Priority p = Priority::normal) { queue.push(jobs.emplace_back(std::move(name), p)); }
  void put_low(std::string name) { put(std::move(name), Priority::low); }
  std::string take(Takes takes = Takes::all) {
    Job* job = queue.take(1, takes);
    return job ? static_cast<Named*>(job)->name : "";
  }
  SystemClock clock;
  JobQueue queue{100, clock};
  std::deque<Named> jobs;
};

TEST_F(JobQueueTest, WhatSomebodyWaitsForComesFirst) {
  put_low("export");
  put("page");
  EXPECT_EQ(take(), "page");
  EXPECT_EQ(take(), "export");
}

TEST_F(JobQueueTest, BulkWorkHasItsTurnHoweverMuchElseThereIs) {
  put_low("export");
  for (int i = 0; i < 20; ++i) put("page");
  int turn = 1;
  while (take() != "export") ++turn;
  EXPECT_EQ(turn, 8);
}

TEST_F(JobQueueTest, AThreadThatTakesNoBulkLeavesItToTheOthers) {
  put_low("export");
  put("page");
  put("search");
  EXPECT_EQ(take(Takes::normal), "page");
  EXPECT_EQ(take(Takes::normal), "search");
  queue.close();
  EXPECT_EQ(take(Takes::normal), "");
  EXPECT_EQ(take(), "export");
  EXPECT_EQ(take(), "");
}

// Whichever thread is woken: bulk work does not lie there until something else comes.
TEST_F(JobQueueTest, BulkWorkWakesWhoTakesIt) {
  for (int round = 0; round < 50; ++round) {
    std::latch taken(1);
    std::jthread aside([&] { EXPECT_EQ(take(Takes::normal), "end"); });
    std::jthread worker([&] {
      EXPECT_EQ(take(), "export");
      taken.count_down();
    });
    put_low("export");
    taken.wait();
    put("end");
  }
}

// As a page meets them: ten searches under way, each in steps, and between any two of their steps whoever only looks is answered.
class ReadersTest : public test::OnBothDatabases {};

TEST_P(ReadersTest, TenHeavyReadsAtOnceKeepNobodyWaiting) {
  std::mutex mutex;
  int running = 0, most = 0, ended = 0;
  std::counting_semaphore<> begun(0);
  std::latch let(1);
  std::vector<std::jthread> heavy;
  for (int i = 0; i < 10; ++i)
    heavy.emplace_back([&] {
      auto done = database().read_now(
          [&](Tx&) -> Result<int> {
            {
              const std::lock_guard hold(mutex);
              most = std::max(most, ++running);
            }
            begun.release();
            let.wait();
            const std::lock_guard hold(mutex);
            --running;
            ++ended;
            return 1;
          },
          {.priority = Priority::low});
      EXPECT_TRUE(done) << (done ? "" : describe(done.error()));
    });
  begun.acquire();
  for (int i = 0; i < 100; ++i) {                        // none of the heavy ones ends before these have
    auto seen = database().read_now([](Tx& tx) { return tx.run("SELECT 1"); });
    ASSERT_TRUE(seen) << describe(seen.error());
  }
  {
    const std::lock_guard hold(mutex);
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(most, 1) << "of two readers one takes heavy reads";
  }
  let.count_down();
  heavy.clear();
  EXPECT_EQ(ended, 10);
}

BALLAST_ON_BOTH_DATABASES(ReadersTest);

TEST(OneReader, TakesHeavyReadsToo) {
  const test::TempDir dir;
  auto db = open_database("sqlite:" + (dir / "test.db"), {.readers = 1});
  ASSERT_TRUE(db);
  auto done = (*db)->read_now([](Tx& tx) { return tx.run("SELECT 1"); }, {.priority = Priority::low});
  EXPECT_TRUE(done) << describe(done.error());
}

}  // namespace
}  // namespace ballast::store
