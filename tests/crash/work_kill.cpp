// A child process runs an engine under load over either database and tells an oracle outside, through a pipe, what it was acknowledged and what it did;
// it is killed at a named point of a cycle or at any moment, and started again on the same database, over and over. BALLAST_KILLS says how often.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <set>

#include "../support/postgres.hpp"
#include "../support/temp_dir.hpp"
#include "../support/work_house.hpp"
#include "base/random.hpp"
#include "net/loop.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using To = Commit::To;

constexpr const char* kPoints[] = {"staged", "inserted", "written", "committed", "told"};
constexpr std::uint32_t kAttempts = 6, kPoisonAttempts = 2;

struct Event {
  enum Kind : std::int64_t { accepted, began, pulled, done, cancelled } kind = accepted;
  std::int64_t job = 0;
  Fence fence = 0;
  std::int64_t n = 0;                        // of the submission
};
struct OpenLease {
  JobId job;
  Fence fence = 0;
};
struct Plan {
  std::uint64_t seed = 0;
  std::int64_t first = 0;                    // submission
  const char* point = nullptr;               // to die at, the `nth` time
  std::uint64_t nth = 0;
  std::vector<OpenLease> outlived;           // of external workers, who know nothing of the crash
};

// Kills whoever runs it.
bool is_poison(std::int64_t n) { return n % 307 == 0; }

Submission numbered(std::int64_t n) {
  Submission s;
  s.spec.name = is_poison(n) ? "poison" : n % 2 ? "ext" : "here";
  s.spec.tenant = "t" + std::to_string(n % 5);
  s.spec.max_attempts = is_poison(n) ? kPoisonAttempts : kAttempts;
  s.spec.backoff = {.first = 1ms, .factor = 1, .max = 1ms};
  if (n % 7 == 0 && s.spec.name != "ext") s.spec.concurrency_key = "k", s.spec.concurrency = 2;
  s.input = std::to_string(n);
  s.idempotency_key = "n" + s.input;
  return s;
}

class Child final : public Executor {
 public:
  Child(const std::string& url, int pipe, Plan plan) : plan_(std::move(plan)), pipe_(pipe), random_(plan_.seed) {
    auto opened = store::open_database(url);
    if (!opened) ::_exit(3);
    database_ = std::move(*opened);
  }
  [[noreturn]] void live() {
    EngineOptions options{.local_leases = 16};
    options.at = [this, n = std::uint64_t{0}](std::string_view point) mutable {
      if (plan_.point && point == plan_.point && ++n == plan_.nth) ::kill(::getpid(), SIGKILL);
    };
    net::LoopGroup loops(1, clock_);
    engine_.emplace(loops.at(0), *database_, std::move(options), plan_.seed);
    if (!engine_->start(*this)) ::_exit(4);
    loops.start();
    loops.at(0).post([this] {
      engine_->open();
      tasks_.spawn(submit());
      for (int i = 0; i < 2; ++i) tasks_.spawn(work());
      tasks_.spawn(cancel());
      tasks_.spawn(speak_again());
    });
    for (;;) ::pause();
  }

  bool runs(const JobSpec& spec) const override { return spec.name != "ext"; }
  void start(Lease lease) override {
    tell({Event::began, lease.job->id.value, lease.fence});
    if (lease.job->spec.name == "poison") ::kill(::getpid(), SIGKILL);
    tasks_.spawn(run(std::move(lease)));
  }
  void revoke(JobId, Fence) override {}
  Task<void> stop() override { co_return; }

 private:
  void tell(const Event& e) {
    if (::write(pipe_, &e, sizeof e) != sizeof e) ::_exit(5);
  }
  auto sleep(Duration d) { return SleepUntil(engine_->home(), clock_.mono() + d); }
  Commit end_of(JobId job, Fence fence) {
    Commit c;
    c.job = job;
    c.fence = fence;
    const double how = random_.uniform();
    c.to = how < 0.85 ? To::done : how < 0.95 ? To::failed : To::snoozed;
    if (c.to == To::done) c.output = std::to_string(fence);
    if (c.to == To::failed) c.error = Error{ErrorCode::provider_error, "no luck", {}, true, {}, {}, {}, {}};
    return c;
  }
  Task<void> run(Lease lease) {
    if (random_.chance(0.1)) co_await sleep(3ms);
    auto settled = co_await engine_->commit(end_of(lease.job->id, lease.fence));
    if (settled && settled->state == JobState::done) tell({Event::done, lease.job->id.value, lease.fence});
  }
  // Leases that nobody was told of before a crash stay leased for a while: they do not count.
  bool much_waits() const {
    const QueueFigures f = engine_->board().figures("default");
    return f.ready + f.delayed + f.blocked > 300;
  }
  Task<void> submit() {
    for (std::int64_t next = plan_.first;;) {
      while (much_waits()) co_await sleep(1ms);
      std::vector<Submission> bulk;
      std::vector<std::int64_t> numbers;
      for (auto i = 1 + random_.below(8); i-- > 0;) {
        const std::int64_t n = next > 1 && random_.chance(0.2) ? 1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(next))) : next++;
        numbers.push_back(n);
        bulk.push_back(numbered(n));
      }
      auto results = co_await engine_->submit(std::move(bulk));
      for (std::size_t i = 0; i < results.size(); ++i)
        if (results[i]) tell({Event::accepted, results[i]->id.value, 0, numbers[i]}), last_ = results[i]->id;
    }
  }
  Task<void> work() {
    for (;;) {
      PullRequest request{.worker = "worker", .queues = {}, .tasks = {}, .most = 4, .lease = 60s, .wait = 50ms};
      request.queues.emplace_back("default");
      auto leases = co_await engine_->pull(std::move(request));
      if (!leases) ::_exit(6);
      std::vector<Commit> words;
      for (const Lease& lease : *leases) {
        tell({Event::pulled, lease.job->id.value, lease.fence});
        words.push_back(end_of(lease.job->id, lease.fence));
      }
      if (random_.chance(0.3)) co_await sleep(2ms);
      const std::vector<Commit> said = words;
      auto settled = co_await engine_->commit(std::move(words));
      for (std::size_t i = 0; i < settled.size(); ++i)
        if (settled[i] && settled[i]->state == JobState::done) tell({Event::done, said[i].job.value, said[i].fence});
    }
  }
  Task<void> cancel() {
    for (;;) {
      co_await sleep(2ms);
      const JobId id = last_;
      if (!id) continue;
      std::vector<JobId> ids;
      ids.push_back(id);
      auto cancelled = co_await engine_->cancel(std::move(ids), "chaos");
      if (cancelled[0]) tell({Event::cancelled, id.value});
    }
  }
  // Workers whose leases outlived the process say what they have done.
  Task<void> speak_again() {
    for (const OpenLease& lease : plan_.outlived) {
      Commit c;
      c.job = lease.job;
      c.fence = lease.fence;
      c.output = std::to_string(lease.fence);
      auto settled = co_await engine_->commit(std::move(c));
      if (settled) tell({Event::done, lease.job.value, lease.fence});
    }
  }

  const Plan plan_;
  const int pipe_;
  SeededRandom random_;
  SystemClock clock_;
  std::unique_ptr<store::Database> database_;
  std::optional<Engine> engine_;
  TaskGroup tasks_{"child"};
  JobId last_;
};

// Watches from outside.
class Oracle {
 public:
  void hear(const Event& e) {
    switch (e.kind) {
      case Event::accepted:
        EXPECT_EQ(ids.try_emplace(e.n, e.job).first->second, e.job) << "submission " << e.n << " is two jobs";
        break;
      case Event::began:
      case Event::pulled: {
        EXPECT_GT(e.fence, std::exchange(fences[e.job], e.fence)) << "a fence was given again";
        EXPECT_FALSE(done.contains(e.job)) << "what was done is done again";
        EXPECT_FALSE(cancelled.contains(e.job)) << "what was cancelled runs";
        if (e.kind == Event::pulled) open[e.job] = e.fence;
        ++effects;
        break;
      }
      case Event::done:
        EXPECT_TRUE(done.try_emplace(e.job, e.fence).second) << "done twice";
        EXPECT_FALSE(cancelled.contains(e.job)) << "cancelled and done";
        EXPECT_EQ(fences[e.job], e.fence) << "a stale fence was believed";
        open.erase(e.job);
        break;
      case Event::cancelled:
        EXPECT_TRUE(cancelled.insert(e.job).second) << "cancelled twice";
        EXPECT_FALSE(done.contains(e.job)) << "done and cancelled";
        open.erase(e.job);
        break;
    }
  }
  std::map<std::int64_t, std::int64_t> ids;  // submission → job
  std::map<std::int64_t, Fence> fences, done, open;
  std::set<std::int64_t> cancelled;
  std::uint64_t effects = 0;
};

class WorkKill : public ::testing::TestWithParam<store::Dialect> {
 protected:
  void SetUp() override {
    if (GetParam() == store::Dialect::sqlite) url_ = "sqlite:" + (directory_ / "work.db");
    else if (auto* server = test::Postgres::instance()) url_ = server->fresh_url();
    else GTEST_SKIP() << test::kNoPostgres;
  }
  // One life of the child. False if it did not come as planned.
  void life(Plan plan, std::uint64_t wanted) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      Child(url(), ends[1], std::move(plan)).live();
    }
    ::close(ends[1]);
    Event e;
    bool silent = false;
    for (std::uint64_t seen = 0;;) {
      pollfd ready{ends[0], POLLIN, 0};
      silent = ::poll(&ready, 1, 120'000) == 0;
      if (silent) ::kill(pid, SIGKILL);
      if (silent || ::read(ends[0], &e, sizeof e) != sizeof e) break;
      oracle.hear(e);
      if (++seen == wanted) ::kill(pid, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_FALSE(silent) << "it stands still";
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  }
  const std::string& url() const { return url_; }

  Oracle oracle;

 private:
  test::TempDir directory_;
  std::string url_;
};

void check_rows(test::WorkHouse& house, const Oracle& oracle) {
  std::uint64_t dead = 0;
  for (const auto& [n, id] : oracle.ids) {
    const Job job = house.job(JobId{id});
    EXPECT_EQ(job.input, std::to_string(n));
    EXPECT_TRUE(terminal(job.state)) << to_string(job.id);
    EXPECT_LE(job.attempt, job.spec.max_attempts);
    EXPECT_EQ(house.attempts(job.id).size(), job.attempt) << "every failed attempt is told, once";
    dead += job.state == JobState::dead;
    if (job.state == JobState::dead) EXPECT_EQ(job.attempt, job.spec.max_attempts);
    if (job.spec.name == "poison") EXPECT_NE(job.state, JobState::done);
  }
  for (const auto& [id, fence] : oracle.done) {
    EXPECT_EQ(house.job(JobId{id}).state, JobState::done) << "an acknowledged end is lost";
    EXPECT_EQ(house.job(JobId{id}).output, std::to_string(fence));
  }
  for (const std::int64_t id : oracle.cancelled) EXPECT_EQ(house.job(JobId{id}).state, JobState::cancelled);
  EXPECT_EQ(house.count("SELECT COUNT(*) FROM jobs WHERE live = 1"), 0) << "everything came to its end";
  EXPECT_EQ(house.count("SELECT COUNT(*) FROM (SELECT input FROM jobs GROUP BY input HAVING COUNT(*) > 1) AS twice"), 0);
  EXPECT_GE(house.count("SELECT COUNT(*) FROM jobs"), static_cast<std::int64_t>(oracle.ids.size()));
  std::printf("%zu submissions, %llu attempts begun, %zu told done, %zu told cancelled, %llu dead\n", oracle.ids.size(),
              static_cast<unsigned long long>(oracle.effects), oracle.done.size(), oracle.cancelled.size(), static_cast<unsigned long long>(dead));
}

TEST_P(WorkKill, NothingAcknowledgedIsLostAndNothingDoneIsDoneAgain) {
  const char* given = std::getenv("BALLAST_KILLS");
  const int kills = given ? std::atoi(given) : 20;
  const std::uint64_t seed = os_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  {
    auto db = store::open_database(url());
    ASSERT_TRUE(db && (*db)->migrate(migrations()));
  }
  for (int round = 0; round < kills && !HasFailure(); ++round) {
    Plan plan{.seed = random.next(), .first = 1 + (oracle.ids.empty() ? 0 : oracle.ids.rbegin()->first), .outlived = {}};
    if (round % 2 == 0) plan.point = kPoints[static_cast<std::size_t>(round / 2) % std::size(kPoints)], plan.nth = 1 + random.below(40);
    for (const auto& [job, fence] : oracle.open) plan.outlived.push_back({JobId{job}, fence});
    life(std::move(plan), 1 + random.below(1'500));
  }
  auto db = store::open_database(url());
  ASSERT_TRUE(db);
  test::WorkHouse house(**db, {.local_leases = 10'000});
  house.hands.say = [](const Lease& lease) { return test::word(lease.job->spec.name == "poison" ? To::failed : To::done, std::to_string(lease.fence)); };
  ASSERT_TRUE(house.start());
  house.compare();
  for (int i = 0; i < 200 && house.engine().board().size() > 0; ++i) {
    for (const Lease& lease : house.pull(1'000)) ASSERT_TRUE(house.commit(lease, test::word(To::done, std::to_string(lease.fence))));
    house.pass(31s);
  }
  house.compare();
  check_rows(house, oracle);
}

INSTANTIATE_TEST_SUITE_P(Databases, WorkKill, ::testing::Values(store::Dialect::sqlite, store::Dialect::postgres),
                         [](const auto& info) { return info.param == store::Dialect::sqlite ? "SQLite" : "PostgreSQL"; });

}  // namespace
}  // namespace ballast::work
