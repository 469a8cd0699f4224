// The rows of jobs as they are listed, and as the schema before kept them.
#include <algorithm>
#include <ranges>

#include "../support/work_house.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;

class WorkJobRows : public test::HouseOnBothDatabases {
 protected:
  static std::vector<JobId> ids_of(const std::vector<Job>& jobs) {
    std::vector<JobId> ids;
    for (const Job& j : jobs) ids.push_back(j.id);
    return ids;
  }
  // Page after page, as who asks with `next` does.
  std::vector<JobId> listed(JobFilter filter) {
    std::vector<JobId> ids;
    for (;;) {
      const auto page = database().read_now([&](store::Tx& tx) { return list_jobs(tx, filter); });
      EXPECT_TRUE(page) << (page ? "" : describe(page.error()));
      if (!page) return ids;
      EXPECT_LE(page->jobs.size(), filter.limit);
      for (const JobId id : ids_of(page->jobs)) ids.push_back(id);
      if (!page->next) return ids;
      filter.before = page->next;
    }
  }
};

// Live jobs and ended ones come from two indexes, in one order.
TEST_P(WorkJobRows, ATenantsJobsAreListedNewestFirstWhateverBecameOfThem) {
  std::vector<JobId> ours, live, ended;
  for (int i = 0; i < 180; ++i) {
    const JobId id = house().add("ext", "x", [&](Submission& s) { s.spec.tenant = i % 3 == 0 ? "other" : "ours"; });
    if (i % 3) ours.push_back(id);
  }
  std::vector<Lease> leases = house().pull(180);
  ASSERT_EQ(leases.size(), 180u);
  for (const Lease& lease : leases)
    if (lease.job->id.value % 5 < 2 || lease.job->id == ours.back()) ASSERT_TRUE(house().commit(lease, word(Commit::To::done)));
  std::ranges::reverse(ours);
  for (const JobId id : ours) (terminal(house().job(id).state) ? ended : live).push_back(id);
  ASSERT_GT(live.size(), 30u);
  ASSERT_GT(ended.size(), 30u);
  EXPECT_EQ(listed({.tenant = "ours", .limit = 1'000}), ours);
  for (const std::size_t limit : {1u, 7u, 60u, 120u}) EXPECT_EQ(listed({.tenant = "ours", .limit = limit}), ours) << limit;
  EXPECT_EQ(listed({.tenant = "ours", .state = JobState::queued, .limit = 9}), live);
  EXPECT_EQ(listed({.tenant = "ours", .state = JobState::done, .limit = 9}), ended);
  EXPECT_EQ(listed({.tenant = "ours", .state = JobState::waiting}), std::vector<JobId>{});
  const auto middle = ours.begin() + 60;
  EXPECT_EQ(listed({.tenant = "ours", .before = *middle, .limit = 11}), std::vector<JobId>(middle + 1, ours.end()));
  EXPECT_EQ(listed({.tenant = "nobody"}), std::vector<JobId>{});
}

TEST_P(WorkJobRows, ALiveJobsPlaceInTheListStaysItsOwnWhenItEndsBetweenTwoPages) {
  std::vector<JobId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(house().add("ext", "x", [](Submission& s) { s.spec.tenant = "t"; }));
  std::ranges::reverse(ids);
  const auto first = database().read_now([](store::Tx& tx) { return list_jobs(tx, {.tenant = "t", .limit = 3}); });
  ASSERT_TRUE(first);
  for (const Lease& lease : house().pull(6)) ASSERT_TRUE(house().commit(lease, word(Commit::To::done)));
  auto all = ids_of(first->jobs);
  for (const JobId id : listed({.tenant = "t", .before = first->next, .limit = 2})) all.push_back(id);
  EXPECT_EQ(all, ids);
}

// Statistics from when nothing lived call the index of the live ones empty. A backlog of some thousands later it is none the less the wrong way to a job.
TEST_P(WorkJobRows, AJobsEndIsWrittenWithoutReadingAllThatLive) {
  if (sqlite()) GTEST_SKIP() << "SQLite takes the primary key for one row, whatever it knows";
  const auto done = database().write_now([&](store::Tx& tx) -> Result<void> {
    auto put = tx.run("INSERT INTO jobs (id, live, state, kind, queue, tenant, name, priority, attempt, fence, due_us, finished_us, spec, input) "
                      "SELECT g, 0, 2, 0, 'default', 't', 'ext', 5, 1, 1, 0, 1, '', '' FROM generate_series(1, 20000) AS g");
    if (!put) return std::unexpected(put.error());
    auto known = tx.run("ANALYZE jobs");
    return known ? Result<void>{} : std::unexpected(known.error());
  });
  ASSERT_TRUE(done) << describe(done.error());
  std::vector<Transition> ends;
  for (int i = 0; i < 100; ++i) ends.push_back({.id = house().add("ext", "x"), .fence = 0, .state = JobState::done, .attempt = 1, .due = {}, .finished = WallTime(std::chrono::seconds(1)), .output = {}, .error = {}});
  const auto scans = database().write_now([&](store::Tx& tx) -> Result<std::pair<std::int64_t, std::int64_t>> {
    if (auto written = apply_transitions(tx, ends); !written) return std::unexpected(written.error());
    auto rows = tx.run("SELECT pg_stat_get_xact_numscans('jobs_live_by_tenant'::regclass), pg_stat_get_xact_numscans('jobs_pkey'::regclass)");
    if (!rows) return std::unexpected(rows.error());
    return std::pair((*rows)[0].integer(0), (*rows)[0].integer(1));
  });
  ASSERT_TRUE(scans) << describe(scans.error());
  EXPECT_LT(scans->first, 10) << "but the planner's own looks at where it ends";
  EXPECT_GE(scans->second, 100);
}

// A database whose jobs were in other indexes.
TEST_P(WorkJobRows, JobsOfTheSchemaBeforeAreThereAfterIt) {
  constexpr int kJobs = 40;
  const auto opened = store::open_database(sqlite() ? "sqlite:" + (directory() / "old.db") : test::Postgres::instance()->fresh_url());
  ASSERT_TRUE(opened);
  store::Database& old = **opened;
  const auto steps = migrations();
  const auto newest = std::ranges::find(steps, 13, &store::Migration::version);
  ASSERT_NE(newest, steps.end());
  ASSERT_TRUE(old.migrate(steps.first(static_cast<std::size_t>(newest - steps.begin()))));
  const auto id_of = [](int i) { return JobId{(std::int64_t{1'800'000'000'000} << 22) + i}; };
  ASSERT_TRUE(old.write_now([&](store::Tx& tx) -> Result<void> {      // as a program of then wrote them
    for (int i = 0; i < kJobs; ++i) {
      const bool over = i < kJobs / 2;
      const std::int64_t finished = over ? 1'800'000'000'000'000 : 0;
      auto put = tx.run("INSERT INTO jobs (id, live, state, kind, queue, tenant, name, priority, attempt, fence, due_us, finished_us, spec, input) "
                        "VALUES ($1, $2, $3, 0, 'default', $4, 'ext', 5, 0, 0, 0, $5, '', $6)",
                        {id_of(i).value, over ? 0 : 1, static_cast<int>(over ? JobState::done : JobState::queued), i % 2 ? "odd" : "even", finished, store::Value::bytes("")});
      if (!put) return std::unexpected(put.error());
    }
    return {};
  }));
  ASSERT_TRUE(old.migrate(migrations()));
  ASSERT_TRUE(old.migrate(migrations()));
  test::WorkHouse house(old);
  ASSERT_TRUE(house.start());
  house.compare();
  EXPECT_EQ(house.engine().board().size(), static_cast<std::size_t>(kJobs / 2));
  const auto page = old.read_now([](store::Tx& tx) { return list_jobs(tx, {.tenant = "odd"}); });
  ASSERT_TRUE(page);
  std::vector<JobId> odd;
  for (int i = kJobs - 1; i > 0; i -= 2) odd.push_back(id_of(i));
  EXPECT_EQ(ids_of(page->jobs), odd);
  for (const Lease& lease : house.pull(kJobs)) EXPECT_TRUE(house.commit(lease, word(Commit::To::done)));
  EXPECT_EQ(house.count("SELECT COUNT(*) FROM jobs WHERE live = 0"), kJobs);
}

BALLAST_ON_BOTH_DATABASES(WorkJobRows);

}  // namespace
}  // namespace ballast::work
