// The database fails under the engine in every way it can: away, full, broken, rolled back, restarted, cut off within its commit, its answer
// lost. Every ask is answered or tried again, and afterwards memory equals the database.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "../support/work_house.hpp"
#include "work/homes.hpp"
#include "base/random.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::word;
using Fate = test::ObedientDatabase::Fate;
using To = Commit::To;

class WorkFaults : public test::HouseOnBothDatabases {
 protected:
  Result<void> execute(std::string_view sql) {
    return database().write_now([&](store::Tx& tx) -> Result<void> {
      auto r = tx.run(store::Statement(sql));
      if (!r) return std::unexpected(r.error());
      return {};
    });
  }
};

TEST_P(WorkFaults, AskersAreToldAndNothingOfItStays) {
  for (const Fate fate : {Fate::away, Fate::full, Fate::broken, Fate::lost_after}) {
    house().database.next = {fate, fate};
    auto r = house().submit({.spec = {.name = "here"}, .input = "x"});
    ASSERT_FALSE(r);
    EXPECT_NE(store::fault_of(r.error()), store::Fault::none);
    EXPECT_EQ(house().engine().board().size(), 0u);
    house().database.next.clear();
    house().pass(1s);
    house().compare();
  }
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 0);
  EXPECT_TRUE(house().hands.started.empty()) << "nothing is started that is not durable";
}

TEST_P(WorkFaults, WhatIsReadyIsLeasedOnceTheDatabaseIsBackWithoutAnotherAsk) {
  begin({.local_leases = 1});
  house().add("here"), house().add("here");
  ASSERT_EQ(house().hands.kept.size(), 1u);
  house().database.next = {Fate::fine, Fate::away, Fate::away, Fate::away};   // its end, then the next one's lease
  ASSERT_TRUE(house().commit(house().hands.kept[0], word(To::done)));
  EXPECT_EQ(house().hands.kept.size(), 1u);
  house().pass(2s);
  EXPECT_EQ(house().hands.kept.size(), 2u);
  house().compare();
}

TEST_P(WorkFaults, TheHolderInThisProcessIsHeardWhenTheDatabaseIsBack) {
  house().hands.say = [](const Lease&) { return word(To::done, "out"); };
  house().database.next = {Fate::fine};
  house().database.otherwise = Fate::away;
  const JobId id = house().add("here");
  house().pass(1min);
  EXPECT_TRUE(house().hands.settled.empty());
  EXPECT_EQ(house().job(id).state, JobState::queued);
  EXPECT_LT(house().database.writes, 400u) << "it does not knock without end";
  house().database.otherwise = Fate::full;
  house().pass(1min);
  house().database.otherwise = Fate::fine;
  house().pass(1s);
  ASSERT_EQ(house().hands.settled.size(), 1u);
  EXPECT_TRUE(house().hands.settled[0]);
  EXPECT_EQ(house().job(id).output, "out");
  house().compare();
}

TEST_P(WorkFaults, AnExpiryThatCouldNotBeWrittenIsWrittenLater) {
  const JobId id = house().add("ext");
  ASSERT_EQ(house().pull(1, 10s).size(), 1u);
  house().database.otherwise = Fate::away;
  house().pass(30s);
  EXPECT_TRUE(house().engine().running(id));
  house().database.otherwise = Fate::fine;
  house().pass(3s);
  EXPECT_FALSE(house().engine().running(id));
  EXPECT_EQ(house().attempts(id).size(), 1u);
  EXPECT_EQ(house().pull().at(0).attempt, 2u);
}

TEST_P(WorkFaults, OneThatDoesNotFitFailsAlone) {
  if (!sqlite()) return;                     // PostgreSQL's disk is not ours to fill
  close();
  reopen({.max_bytes = 2 << 20});
  begin({});
  std::vector<Result<Accepted>> results(3);
  TaskGroup tasks("three");
  const auto submit = [&](std::size_t i, std::string input) -> Task<void> {
    std::vector<Submission> one;
    one.push_back({.spec = {.name = "ext"}, .input = std::move(input)});
    auto r = co_await house().engine().submit(std::move(one));
    results[i] = r.at(0);
  };
  tasks.spawn(submit(0, "small"));
  tasks.spawn(submit(1, std::string(4 << 20, 'x')));
  tasks.spawn(submit(2, "small"));
  house().settle();
  EXPECT_TRUE(results[0]);
  ASSERT_FALSE(results[1]);
  EXPECT_EQ(store::fault_of(results[1].error()), store::Fault::full);
  EXPECT_TRUE(results[2]);
  house().compare();
}

TEST_P(WorkFaults, AFullDiskFailsClosedAndIsOverWhenThereIsRoom) {
  if (!sqlite()) return;
  close();
  reopen({.max_bytes = 1 << 20});
  begin({});
  std::set<JobId> accepted;
  int full = 0;
  for (int i = 0; i < 400; ++i) {
    auto r = house().submit({.spec = {.name = "ext"}, .input = std::string(10'000, 'x')});
    if (r) accepted.insert(r->id);
    else ++full;
  }
  EXPECT_GT(accepted.size(), 20u);
  EXPECT_GT(full, 100);
  house().compare();
  close();
  reopen();
  begin({});
  std::set<JobId> kept;
  for (const Lease& lease : house().pull(1'000)) kept.insert(lease.job->id);
  EXPECT_EQ(kept, accepted);
  house().compare();
}

// The kernel refuses to write: what SQLite sees as an input/output error.
TEST_P(WorkFaults, AnErrorOfTheDiskFailsClosed) {
  if (!sqlite()) return;
  const JobId before = house().add("ext", "x");
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{std::filesystem::file_size(directory() / "test.db-wal") + 100, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  int refused = 0;
  for (int i = 0; i < 5; ++i) refused += !house().submit({.spec = {.name = "ext"}, .input = std::string(100'000, 'x')}).has_value();
  const std::size_t live = house().engine().board().size();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(refused, 5);
  EXPECT_EQ(live, 1u);
  const JobId after = house().add("ext", "x");
  house().compare();
  auto leases = house().pull(9);
  ASSERT_EQ(leases.size(), 2u);
  EXPECT_EQ(leases[0].job->id, before);
  EXPECT_EQ(leases[1].job->id, after);
}

TEST_P(WorkFaults, PostgresRestartsBetweenAndConnectionsAreCutWithin) {
  if (sqlite()) return;
  close();
  use(test::Postgres::own());
  begin({});
  house().hands.say = [](const Lease&) { return word(To::done, "out"); };
  for (int i = 0; i < 3; ++i) {
    house().database.during = [] {
      test::Postgres::own()->stop(SIGQUIT);
      ASSERT_TRUE(test::Postgres::own()->start());
    };
    EXPECT_EQ(house().job(house().add("here")).state, JobState::done);
    house().compare();
  }
  EXPECT_EQ(house().hands.started.size(), 3u) << "each once";
}

// The backend dies inside COMMIT, once for each of the first commits that lease something.
TEST_P(WorkFaults, PostgresDiesWithinTheCommit) {
  if (sqlite()) return;
  ASSERT_TRUE(execute("CREATE SEQUENCE deaths"));
  ASSERT_TRUE(execute("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF nextval('deaths') % 2 = 1 THEN "
                      "PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $f$"));
  ASSERT_TRUE(execute("CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON claims DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"));
  house().hands.say = [](const Lease&) { return word(To::done, "out"); };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(house().job(house().add("here")).state, JobState::done);
  EXPECT_EQ(house().hands.started.size(), 5u);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 5);
  house().compare();
}

TEST_P(WorkFaults, ACommitOfUnknownFateIsLearntNotGuessed) {
  if (sqlite()) return;                      // it always knows
  house().hands.say = [](const Lease&) { return word(To::done, "out"); };
  for (const Fate fate : {Fate::unknown_written, Fate::unknown_lost}) {
    house().database.next = {fate, Fate::away, Fate::away, Fate::away};       // and for a while nobody can say
    auto r = house().submit({.spec = {.name = "here"}, .input = "x"});
    EXPECT_TRUE(r) << describe(r.error());                                    // what was lost is written again
    house().pass(1s);
    house().compare();
  }
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 2);
  // A repeated submission that is leased in its own cycle leaves no row of its own: only the cycle's number tells.
  Submission keyed{.spec = {.name = "here"}, .input = "x", .idempotency_key = "k"};
  const JobId first = house().submit(keyed)->id;
  house().database.next = {Fate::unknown_written};
  auto again = house().submit(keyed);
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(again->id, first);
  EXPECT_EQ(house().hands.started.size(), 3u);
  // A step that was recorded is not recorded again.
  const JobId id = house().add("ext");
  const Lease lease = house().pull().at(0);
  int recorded = 0;
  Commit step = word(To::running);
  step.also = [&](store::Tx& tx) -> Result<void> {
    ++recorded;
    auto r = tx.run("INSERT INTO queues (name, concurrency, per_tenant, paused) VALUES ('step', 0, 0, 0)");
    if (!r) return std::unexpected(r.error());
    return {};
  };
  house().database.next = {Fate::unknown_written};
  auto said = house().commit(lease, step);
  EXPECT_TRUE(said) << describe(said.error());
  EXPECT_EQ(recorded, 1);
  EXPECT_TRUE(house().engine().running(id));
  house().compare();
}

// So long that a lease of that cycle might be over.
TEST_P(WorkFaults, WhatWasLostLongAgoIsNotWrittenAgain) {
  if (sqlite()) return;
  house().database.next = {Fate::unknown_lost};
  house().database.next.resize(40, Fate::away);
  auto r = house().submit({.spec = {.name = "here"}, .input = "x"});
  ASSERT_FALSE(r);
  EXPECT_TRUE(r.error().retryable);
  house().pass(5s);                          // until it is back
  house().compare();
  EXPECT_TRUE(house().submit({.spec = {.name = "here"}, .input = "x"}));
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 1);
}

// Nobody outside waits for a database of which nobody knows when it is back: it may be a day.
TEST_P(WorkFaults, WhoAsksWhileTheFateOfACycleIsUnknownIsToldSo) {
  if (sqlite()) return;
  for (const Fate fate : {Fate::unknown_written, Fate::unknown_lost}) {
    const bool written = fate == Fate::unknown_written;
    const JobId leased = house().add("ext");
    const Lease lease = house().pull().at(0);
    std::optional<Result<Accepted>> first, second;
    std::optional<Result<Settled>> word_said;
    TaskGroup tasks("askers");
    const auto submit = [&](std::string key, std::optional<Result<Accepted>>& answer) -> Task<void> {
      std::vector<Submission> one{{.spec = {.name = "ext"}, .input = "x", .idempotency_key = std::move(key)}};
      answer = (co_await house().engine().submit(std::move(one))).front();
    };
    const auto say = [&]() -> Task<void> {
      std::vector<Commit> one{word(To::done, "out")};
      one.front().job = lease.job->id, one.front().fence = lease.fence;
      word_said = (co_await house().engine().commit(std::move(one))).front();
    };
    const std::string key = written ? "a" : "b";
    house().database.next = {fate};
    house().database.otherwise = Fate::away;
    tasks.spawn(submit(key, first));
    tasks.spawn(say());
    house().settle();
    tasks.spawn(submit("late", second));
    house().pass(4s);
    EXPECT_FALSE(first || second || word_said) << "it may be back in a moment";
    house().pass(2s);
    ASSERT_TRUE(first && second && word_said);
    for (const Error& told : {first->error(), second->error(), word_said->error()}) {
      EXPECT_EQ(told.code, ErrorCode::internal_unavailable);
      EXPECT_TRUE(told.retryable);
    }
    EXPECT_NE(first->error().message.find("known only when it is back"), std::string::npos) << first->error().message;
    EXPECT_EQ(second->error().message.find("known only"), std::string::npos) << "nothing of it was written: " << second->error().message;
    house().database.otherwise = Fate::fine;
    house().pass(2s);
    house().compare();
    EXPECT_EQ(house().job(leased).state, written ? JobState::done : JobState::queued);
    const auto again = house().submit({.spec = {.name = "ext"}, .input = "x", .idempotency_key = key});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->existing, written);
    EXPECT_EQ(house().commit(lease, word(To::done, "out")).has_value(), !written) << "once";
    EXPECT_EQ(house().pull().at(0).job->id, again->id);
  }
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), 4);
}

// Whom the engine has given up as lost may still be on its way through a network: it must not be committed after all.
TEST_P(WorkFaults, ACycleThatWasGivenUpAsLostIsNeverCommitted) {
  if (sqlite()) return;
  const auto in = [&](auto body) { return database().write_now(body); };
  const std::uint32_t epoch = *in([](store::Tx& tx) { return begin_epoch(tx, 7, "", true); });
  const auto commit = [&](std::int64_t cycle) { return in([&](store::Tx& tx) { return check_epoch(tx, 7, epoch, cycle); }); };
  const auto settled = [&](std::int64_t cycle) { return *in([&](store::Tx& tx) { return settle_cycle(tx, 7, epoch, cycle); }); };
  EXPECT_TRUE(commit(1));
  EXPECT_TRUE(settled(1));
  EXPECT_FALSE(settled(2));
  EXPECT_FALSE(settled(2)) << "asked again";
  EXPECT_FALSE(commit(2)) << "it comes late";
  EXPECT_TRUE(commit(3));
  EXPECT_TRUE(settled(3));
}

TEST_P(WorkFaults, AWordThatCannotBeRecordedIsAFailedAttemptAndNobodyHoldsTheJobForEver) {
  begin({});
  house().hands.say = [](const Lease&) {
    Commit done = word(To::done, "out");
    done.also = [](store::Tx&) -> Result<void> { return fail(ErrorCode::caller_conflict, "the decision was used already", "decision"); };
    return done;
  };
  const JobId id = house().add("here", "{}", [](Submission& s) { s.spec.max_attempts = 2; });
  for (int i = 0; i < 20; ++i) house().pass(1min);
  EXPECT_EQ(house().job(id).state, JobState::dead);
  EXPECT_NE(house().job(id).error.find("the decision was used already"), std::string::npos);
  EXPECT_EQ(house().hands.started.size(), 2u);
  house().compare();
}

// Every way at random, under load; then it heals, and everything comes to its end.
TEST_P(WorkFaults, ChaosOfTheDatabaseLosesNothingAndRepeatsNothing) {
  const char* given = std::getenv("BALLAST_SIM_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : os_seed();
  SCOPED_TRACE("BALLAST_SIM_SEED=" + std::to_string(seed));
  SeededRandom random(seed);
  begin({.local_leases = 8});
  std::vector<Fate> fates{Fate::away, Fate::full, Fate::broken, Fate::lost_after};
  if (!sqlite()) fates.insert(fates.end(), {Fate::unknown_written, Fate::unknown_lost});
  const auto any = [&] { return word(std::array{To::done, To::done, To::failed, To::snoozed, To::dead}[random.below(5)], "out"); };
  house().hands.say = [&](const Lease&) -> std::optional<Commit> { return any(); };
  std::set<JobId> accepted;
  std::vector<Lease> outside;
  for (int round = 0; round < 300; ++round) {
    for (auto n = random.below(4); n-- > 0;) house().database.next.push_back(random.chance(0.4) ? fates[random.below(fates.size())] : Fate::fine);
    std::vector<Submission> bulk(random.below(4), Submission{.spec = {.name = random.chance(0.5) ? "ext" : "here", .max_attempts = 3}, .input = "x"});
    for (const auto& r : house().submit(std::move(bulk)))
      if (r) EXPECT_TRUE(accepted.insert(r->id).second);
    for (Lease& lease : house().pull(random.below(3) + 1, 10s)) outside.push_back(std::move(lease));
    if (!outside.empty() && random.chance(0.6)) (void)house().commit(outside[random.below(outside.size())], any());
    if (!accepted.empty() && random.chance(0.1)) (void)house().loop.run(house().engine().cancel({*accepted.begin()}, "chaos"));
    house().pass(Duration(random.below(1'500) * 1ms));
    if (random.chance(0.03)) {
      house().database.next.clear();
      ASSERT_TRUE(house().start());
    }
    if (house().database.next.empty() && round % 5 == 0) {
      house().pass(1s);
      house().compare();
    }
  }
  house().database.next.clear();
  house().hands.say = [](const Lease&) { return word(To::done); };
  for (int i = 0; i < 100 && house().engine().board().size() > 0; ++i) {
    for (const Lease& lease : house().pull(50, 10s)) EXPECT_TRUE(house().commit(lease, word(To::done)));
    house().pass(30s);
  }
  for (const JobId id : accepted)
    if (const Entry* e = house().engine().board().find(id))
      ADD_FAILURE() << to_string(id) << " is at place " << static_cast<int>(e->place) << ", attempt " << e->attempt << ", fence " << e->fence << (e->settling ? ", settling" : "")
                    << (e->woken ? ", woken" : "") << (e->in_line ? ", in line" : "") << ", lane " << e->lane;
  EXPECT_EQ(house().engine().board().size(), 0u) << "everything comes to its end";
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs"), static_cast<std::int64_t>(accepted.size())) << "what was refused is not there, what was accepted is";
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs WHERE live = 1"), 0);
  EXPECT_EQ(house().count("SELECT COUNT(*) FROM jobs WHERE attempt > 3"), 0);
  for (const JobId id : accepted) EXPECT_TRUE(terminal(house().job(id).state));
  house().compare();
}

BALLAST_ON_BOTH_DATABASES(WorkFaults);

}  // namespace
}  // namespace ballast::work
