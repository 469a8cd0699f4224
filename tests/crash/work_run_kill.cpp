// Runs of flows in a process that is killed at every named point of their road and at any moment, and started again on the same database, over and over;
// and in one that is cut off from its database instead and goes on. Beside them an effect server counts from outside. BALLAST_KILLS says how often; on
// SQLite every point is reached whatever it says.
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "../support/postgres.hpp"
#include "../support/temp_dir.hpp"
#include "records/migrations.hpp"
#include "run_kill_child.hpp"
#include "run_kill_oracle.hpp"

namespace ballast::work::kill {
namespace {

class RunKill : public ::testing::TestWithParam<store::Dialect> {
 protected:
  using Now = std::chrono::steady_clock;

  RunKill() : seed_(os_seed()), random_(seed_), oracle_(seed_) {
    if (const char* given = std::getenv("BALLAST_KILLS")) kills_ = static_cast<std::size_t>(std::atoi(given));
  }

  // The flows are read once: each process begins with a copy.
  void SetUp() override {
    if (!sqlite() && !test::Postgres::instance()) GTEST_SKIP() << test::kNoPostgres;
    ASSERT_NE(outside_.port(), 0);
    for (const auto text : kFlows) {
      auto flow = read_flow(written_out(text), "kill.yaml", fixed_environment({{"SHOP", shop()}}), {});
      ASSERT_TRUE(flow) << describe(flow.error());
      flows_[(*flow)->name()] = *flow;
    }
    use(sqlite() ? "sqlite:" + (directory_ / "work.db") : test::Postgres::instance()->fresh_url());
  }
  // A fresh database.
  void use(std::string url) {
    url_ = std::move(url);
    auto db = store::open_database(url_);
    ASSERT_TRUE(db && (*db)->migrate(records::migrations()) && (*db)->migrate(migrations()));
  }
  bool sqlite() const { return GetParam() == store::Dialect::sqlite; }
  std::string shop() const { return "http://127.0.0.1:" + std::to_string(outside_.port()); }
  std::string anchors() const { return directory_ / "audit"; }
  Plan plan() {
    return {.seed = random_.next(), .first = 1 + (oracle_.jobs.empty() ? 0 : oracle_.jobs.rbegin()->first), .url = url_, .anchors = anchors(),
            .shop = shop(), .point = {}, .nth = 0, .calm = false};
  }
  // The points to die at. PostgreSQL's few without a wish: those of the cycle, and some of the others.
  std::vector<std::string> points() {
    constexpr std::size_t kOfCycle = 5, kSome = 5;
    std::vector<std::string> all(std::begin(kPoints), std::end(kPoints));
    if (sqlite() || kills_ > 0) return all;
    for (std::size_t i = all.size() - 1; i > kOfCycle; --i) std::swap(all[i], all[kOfCycle + random_.below(i + 1 - kOfCycle)]);
    all.resize(kOfCycle + kSome);
    return all;
  }
  // The points that the other side sees.
  bool arrived(std::string_view point) {
    const bool now = pid_ > 0 && point == plan_.point && ++passed_ == plan_.nth;
    if (now) ::kill(pid_, SIGKILL);
    return now;
  }
  test::Reply answer(const test::Arrived& a) {
    test::Reply reply = oracle_.answer(a, life_);
    const auto kind = kinds().find(a.path);
    const bool undoes = kind != kinds().end() && kind->second.undoes;
    if (arrived(a.path == "hook" ? "arrived_webhook" : a.path == "pay" ? "arrived_settlement" : undoes ? "arrived_undoing" : "arrived")) reply.status = 0;
    reply.sent = [this] { arrived("replied"); };
    ++seen_;
    return reply;
  }
  // One life of the process: until its point, or until so much has been seen and heard of it; one that ends, until it has nothing to do.
  void life(Plan plan, std::uint64_t wanted) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ++life_;
    plan_ = plan;
    passed_ = seen_ = 0;
    outside_.answer = [this](const test::Arrived& a) { return answer(a); };
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      outside_.close();
      Child(std::move(plan), flows_, ends[1]).live();
    }
    ::close(ends[1]);
    const auto patience = Now::now() + 120s;
    bool late = false;
    for (;;) {
      if (outside_.serve(ends[0], 50ms)) {
        Event e;
        if (::read(ends[0], &e, sizeof e) != sizeof e) break;
        oracle_.hear(e, life_);
        ++seen_;
      }
      if (meanwhile_) meanwhile_();
      late = Now::now() > patience;
      const bool over = plan_.ends() ? oracle_.idle : plan_.point.empty() && seen_ >= wanted;
      if (over || late) ::kill(pid_, SIGKILL);
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_GT(::waitpid(std::exchange(pid_, 0), &status, 0), 0);
    outside_.finish();
    ASSERT_FALSE(late) << "it stands still" << (plan_.point.empty() ? "" : ", or never comes to " + plan_.point);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the process ended by itself with " << status;
    look();
  }
  // What is on the disk.
  void look() {
    auto db = store::open_database(url_);
    ASSERT_TRUE(db) << describe(db.error());
    oracle_.look(**db);
  }
  void check() {
    auto db = store::open_database(url_);
    ASSERT_TRUE(db) << describe(db.error());
    oracle_.check(**db, anchors());
  }

  const std::uint64_t seed_;
  std::size_t kills_ = 0;                    // wished for; 0: as few as will do
  SeededRandom random_;
  test::TempDir directory_;
  test::Outside outside_;
  Oracle oracle_;
  FlowSet flows_;
  std::string url_;
  Plan plan_;
  std::function<void()> meanwhile_;          // between what is seen
  pid_t pid_ = 0;
  int life_ = 0;
  std::uint64_t passed_ = 0, seen_ = 0;
};

TEST_P(RunKill, AtEveryPointOfTheRoadAndAtRandomNothingIsLostOrDoneTwice) {
  const auto points = this->points();
  const std::size_t kills = std::max(kills_, points.size() + 3);
  SCOPED_TRACE("seed " + std::to_string(seed_));
  std::map<std::string, int> reached;
  for (std::size_t round = 0; round < kills && !HasFailure(); ++round) {
    Plan one = plan();
    const bool named = round < points.size() || round % 2 == 0;
    if (named) one.point = points[(round < points.size() ? round : round / 2) % points.size()], one.nth = 1 + random_.below(kills_ > 0 ? 12 : 3);
    const std::string point = one.point;
    life(std::move(one), 1 + random_.below(400));
    if (!point.empty()) ++reached[point];
  }
  if (HasFailure()) return;
  for (const auto& point : points) EXPECT_GT(reached[point], 0) << "no run ever came to " << point;
  Plan last = plan();
  last.calm = true;
  life(std::move(last), 0);
  check();
}

// Its sessions are ended, or the server dies as in a crash and comes back a little later, over and over, while runs are under way: one process does them all.
TEST_P(RunKill, CutOffFromItsDatabaseItGoesOn) {
  if (sqlite()) return;                      // nothing can come between
  const std::size_t cuts = kills_ > 0 ? 4 + kills_ / 10 : 6;
  SCOPED_TRACE("seed " + std::to_string(seed_));
  test::Postgres& server = *test::Postgres::own();
  use(server.fresh_url());
  std::size_t done = 0;
  std::uint64_t next = 20;                   // at so much seen
  std::optional<Now::time_point> back;       // while the server is away
  meanwhile_ = [&] {
    if (back && Now::now() < *back) return;
    if (std::exchange(back, {})) {
      ASSERT_TRUE(server.start());
    } else if (done < cuts && seen_ >= next) {
      next = seen_ + 10 + random_.below(30);
      if (++done % 2 == 1) {
        ASSERT_TRUE(server.end_sessions());
      } else {
        server.stop(SIGQUIT);
        back = Now::now() + (kills_ > 0 && random_.chance(0.3) ? 7s : random_.below(400) * 1ms);
        return;
      }
    } else {
      return;
    }
    look();                                  // it lives: what has left is durable at any time
  };
  Plan one = plan();
  one.last = static_cast<std::int64_t>(15 * cuts);
  life(std::move(one), 0);
  if (back) ASSERT_TRUE(server.start());
  if (HasFailure()) return;
  EXPECT_EQ(done, cuts) << "all was over too soon";
  check();
  auto db = store::open_database(url_);
  ASSERT_TRUE(db) << describe(db.error());
  oracle_.check_accepted(**db);
}

INSTANTIATE_TEST_SUITE_P(Databases, RunKill, ::testing::Values(store::Dialect::sqlite, store::Dialect::postgres),
                         [](const auto& info) { return info.param == store::Dialect::sqlite ? "SQLite" : "PostgreSQL"; });

}  // namespace
}  // namespace ballast::work::kill
