// Runs of flows in a process that is killed at every named point of their road and at any moment, and started again on the same file, over and over,
// beside an effect server that counts from outside. BALLAST_KILLS says how often; every point is reached whatever it says.
#include <sys/wait.h>

#include <cstdlib>

#include "../support/temp_dir.hpp"
#include "records/migrations.hpp"
#include "run_kill_child.hpp"
#include "run_kill_oracle.hpp"

namespace ballast::work::kill {
namespace {

class RunKill : public ::testing::Test {
 protected:
  RunKill() : seed_(os_seed()), random_(seed_), oracle_(seed_) {}

  // Read once: each process begins with a copy.
  void SetUp() override {
    for (const auto text : kFlows) {
      auto flow = read_flow(written_out(text), "kill.yaml", fixed_environment({{"SHOP", shop()}}), {});
      ASSERT_TRUE(flow) << describe(flow.error());
      flows_[(*flow)->name()] = *flow;
    }
  }
  std::string shop() const { return "http://127.0.0.1:" + std::to_string(outside_.port()); }
  std::string url() const { return "sqlite:" + (directory_ / "work.db"); }
  std::string anchors() const { return directory_ / "audit"; }
  Plan plan() {
    return {.seed = random_.next(), .first = 1 + (oracle_.jobs.empty() ? 0 : oracle_.jobs.rbegin()->first), .url = url(), .anchors = anchors(),
            .shop = shop(), .point = {}, .nth = 0, .calm = false};
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
  // One life of the process: until its point, or until so much has been seen and heard of it; a calm one until it has nothing to do.
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
    const auto patience = std::chrono::steady_clock::now() + 120s;
    bool late = false;
    for (;;) {
      if (outside_.serve(ends[0], 50ms)) {
        Event e;
        if (::read(ends[0], &e, sizeof e) != sizeof e) break;
        oracle_.hear(e, life_);
        ++seen_;
      }
      late = std::chrono::steady_clock::now() > patience;
      const bool over = plan_.calm ? oracle_.idle : plan_.point.empty() && seen_ >= wanted;
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
    auto db = store::open_database(url());
    ASSERT_TRUE(db) << describe(db.error());
    oracle_.look(**db);
  }

  const std::uint64_t seed_;
  SeededRandom random_;
  test::TempDir directory_;
  test::Outside outside_;
  Oracle oracle_;
  FlowSet flows_;
  Plan plan_;
  pid_t pid_ = 0;
  int life_ = 0;
  std::uint64_t passed_ = 0, seen_ = 0;
};

TEST_F(RunKill, AtEveryPointOfTheRoadAndAtRandomNothingIsLostOrDoneTwice) {
  const char* given = std::getenv("BALLAST_KILLS");
  const std::size_t kills = std::max(given ? static_cast<std::size_t>(std::atoi(given)) : 0, std::size(kPoints) + 3);
  SCOPED_TRACE("seed " + std::to_string(seed_));
  ASSERT_NE(outside_.port(), 0);
  {
    auto db = store::open_database(url());
    ASSERT_TRUE(db && (*db)->migrate(records::migrations()) && (*db)->migrate(migrations()));
  }
  std::map<std::string, int> reached;
  for (std::size_t round = 0; round < kills && !HasFailure(); ++round) {
    Plan one = plan();
    const bool named = round < std::size(kPoints) || round % 2 == 0;
    if (named) one.point = kPoints[(round < std::size(kPoints) ? round : round / 2) % std::size(kPoints)], one.nth = 1 + random_.below(given ? 12 : 3);
    const std::string point = one.point;
    life(std::move(one), 1 + random_.below(400));
    if (!point.empty()) ++reached[point];
  }
  if (HasFailure()) return;
  for (const char* point : kPoints) EXPECT_GT(reached[point], 0) << "no run ever came to " << point;
  Plan last = plan();
  last.calm = true;
  life(std::move(last), 0);
  auto db = store::open_database(url());
  ASSERT_TRUE(db);
  oracle_.check(**db, anchors());
}

}  // namespace
}  // namespace ballast::work::kill
