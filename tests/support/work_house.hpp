// An engine in simulated time over an obedient database.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sim_loop.hpp"
#include "base/task_group.hpp"
#include "databases.hpp"
#include "obedient_database.hpp"
#include "work/engine.hpp"

namespace ballast::test {

// Runs what is not named "ext…". Ends each lease as `say` tells, or keeps it for the test when that says nothing.
class Hands final : public work::Executor {
 public:
  std::function<std::optional<work::Commit>(const work::Lease&)> say, at_once_say;
  std::vector<work::Lease> kept;
  std::vector<work::JobId> revoked, started;
  std::vector<Result<work::Settled>> settled;
  work::Engine* engine = nullptr;

  bool runs(const work::JobSpec& spec) const override { return !spec.name.starts_with("ext"); }
  std::optional<work::Commit> at_once(const work::Lease& lease) override {
    auto word = at_once_say ? at_once_say(lease) : std::nullopt;
    if (word) word->job = lease.job->id, word->fence = lease.fence;
    return word;
  }
  void start(work::Lease lease) override {
    started.push_back(lease.job->id);
    auto word = say ? say(lease) : std::nullopt;
    if (!word) return kept.push_back(std::move(lease));
    word->job = lease.job->id;
    word->fence = lease.fence;
    tasks_.spawn(tell(std::move(*word)));
  }
  void revoke(work::JobId id, work::Fence) override { revoked.push_back(id); }
  Task<void> stop() override { co_return; }  // a process that just ends

 private:
  Task<void> tell(work::Commit word) {
    auto done = co_await engine->conclude(std::move(word));
    settled.push_back(std::move(done));
  }
  TaskGroup tasks_{"hands"};
};

class WorkHouse {
 public:
  explicit WorkHouse(store::Database& real, work::EngineOptions options = {}) : database(real), options_(options) {}
  ~WorkHouse() { stop(); }

  // A new engine, as of a new process.
  Result<void> start(const work::EndWriter* writer = nullptr) {
    stop();
    hands.kept.clear();
    engine_ = std::make_unique<work::Engine>(loop, database, options_, ++seed_);
    hands.engine = engine_.get();
    if (auto started = engine_->start(hands, writer); !started) return started;
    engine_->open();
    settle();
    return {};
  }
  // Ends the process: what it had leased stays leased in the database.
  void stop() {
    if (!engine_) return;
    loop.run(engine_->drain({}));
    settle();
    engine_.reset();
  }
  work::Engine& engine() { return *engine_; }
  void settle() { loop.run_until_idle(); }
  void pass(Duration d) { loop.advance(d); }
  void audit() { engine_->board().audit(clock.mono()); }

  std::vector<Result<work::Accepted>> submit(std::vector<work::Submission> jobs) {
    auto results = loop.run(engine_->submit(std::move(jobs)));
    settle();
    audit();
    return results;
  }
  Result<work::Accepted> submit(work::Submission job) { return submit(std::vector{std::move(job)}).front(); }
  // A job that must be accepted.
  work::JobId add(const std::string& name, const std::string& input = "{}", std::function<void(work::Submission&)> change = {}) {
    work::Submission s;
    s.spec.name = name;
    s.input = input;
    if (change) change(s);
    auto accepted = submit(std::move(s));
    EXPECT_TRUE(accepted) << (accepted ? "" : describe(accepted.error()));
    return accepted ? accepted->id : work::JobId{};
  }
  std::vector<work::Lease> pull(std::size_t most = 1, Duration lease = std::chrono::seconds(30), const std::string& worker = "w1") {
    auto leases = loop.run(engine_->pull({.worker = worker, .queues = {"default"}, .tasks = {}, .most = most, .lease = lease, .wait = {}}));
    EXPECT_TRUE(leases) << (leases ? "" : describe(leases.error()));
    settle();
    audit();
    return leases ? *leases : std::vector<work::Lease>{};
  }
  Result<work::Settled> commit(const work::Lease& lease, work::Commit word) {
    word.job = lease.job->id;
    word.fence = lease.fence;
    auto results = loop.run(engine_->commit(std::vector{std::move(word)}));
    settle();
    audit();
    return results.front();
  }
  work::Job job(work::JobId id) {
    auto found = database.read_now([&](store::Tx& tx) { return work::get_job(tx, id); });
    EXPECT_TRUE(found && *found) << work::to_string(id) << " is gone";
    return found && *found ? **found : work::Job{};
  }
  std::vector<work::AttemptRow> attempts(work::JobId id) {
    return *database.read_now([&](store::Tx& tx) { return work::list_attempts(tx, id); });
  }
  std::int64_t count(const char* sql) {
    auto rows = database.read_now([&](store::Tx& tx) { return tx.run(sql); });
    EXPECT_TRUE(rows) << sql;
    return rows ? (*rows)[0].integer(0) : -1;
  }
  // Memory equals the database: the same live jobs, attempts, and leases under the same fences.
  void compare() {
    audit();
    auto rows = *database.read_now([](store::Tx& tx) { return work::load_live(tx, {}, 1'000'000); });
    auto claims = *database.read_now([](store::Tx& tx) { return work::load_claims(tx); });
    std::map<work::JobId, work::Fence> leased;
    for (const auto& c : claims)
      for (const work::JobId id : c.jobs) leased[id] = std::max(leased[id], c.fence);
    const work::Board& board = engine_->board();
    EXPECT_EQ(board.size(), rows.size());
    for (const auto& row : rows) {
      const work::Entry* e = board.find(row.job.id);
      ASSERT_TRUE(e) << work::to_string(row.job.id);
      EXPECT_EQ(e->attempt, row.job.attempt);
      EXPECT_FALSE(e->settling);
      const auto lease = leased.find(row.job.id);
      const bool is = lease != leased.end() && lease->second > row.fence;
      EXPECT_EQ(e->place == work::Entry::Place::leased, is) << work::to_string(row.job.id);
      if (is) EXPECT_EQ(e->fence, lease->second);
    }
  }

  SimClock clock{WallTime(std::chrono::seconds(1'800'000'000))};
  SimLoop loop{clock};
  ObedientDatabase database;
  Hands hands;

 private:
  const work::EngineOptions options_;
  std::uint64_t seed_ = 0;
  std::unique_ptr<work::Engine> engine_;
};

// Tests of an engine on each database: a house is open when a test begins.
class HouseOnBothDatabases : public OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (!IsSkipped()) begin();
  }
  void TearDown() override { close(); }
  // Another house, in place of the one before.
  void begin(work::EngineOptions options = {}) {
    auto migrated = database().migrate(work::migrations());
    ASSERT_TRUE(migrated) << describe(migrated.error());
    house_.emplace(database(), options);
    restart();
  }
  // The process ends and the next one begins: it has in memory what is in the database.
  void restart() {
    auto started = house_->start();
    ASSERT_TRUE(started) << describe(started.error());
    house_->compare();
  }
  void close() { house_.reset(); }
  WorkHouse& house() { return *house_; }

 private:
  std::optional<WorkHouse> house_;
};

inline work::Commit word(work::Commit::To to, std::string output = {}) {
  work::Commit c;
  c.to = to;
  c.output = std::move(output);
  if (to == work::Commit::To::failed || to == work::Commit::To::dead) c.error = Error{ErrorCode::provider_error, "it did not work", {}, true, {}, {}, {}, {}};
  return c;
}

}  // namespace ballast::test
