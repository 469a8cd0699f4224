// Several engines on one database: whatever is asked of a job reaches it, whichever board it is on, and is done once.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "../support/work_house.hpp"
#include "records/audit.hpp"
#include "records/migrations.hpp"
#include "work/door.hpp"
#include "work/signals.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Fate = test::ObedientDatabase::Fate;
using testing::HasSubstr;
using To = Commit::To;

// A process of the installation. All are on one loop: what happens in what order is the same each time.
class Node {
 public:
  Node(store::Database& real, SimLoop& loop, unsigned number, bool company)
      : database(real), boot(fmt::format("boot{}", number)), engine(loop, database, {.node = number, .boot = boot, .shared = true}, number + 1),
        ends(engine, nullptr), door(engine, {.shared = true, .company = [company] { return company; }}), loop_(loop) {
    hands.engine = &engine;
    // What "waits" is done when it has been woken.
    hands.say = [](const Lease& l) { return l.job->spec.name == "waits" ? std::optional(test::word(l.first ? To::waiting : To::done)) : std::nullopt; };
    auto started = engine.start(hands, &ends);
    EXPECT_TRUE(started) << (started ? "" : describe(started.error()));
    engine.open();
    door.open();
  }
  ~Node() {
    loop_.run(engine.drain({}));
    loop_.run(door.stop());
    loop_.run_until_idle();
  }
  // Nothing that it says is heard any more.
  void cut() { database.otherwise = Fate::broken, database.reads_away = true; }

  test::ObedientDatabase database;
  const std::string boot;
  test::Hands hands;
  Engine engine;
  FamilyWriter ends;
  Door door;

 private:
  SimLoop& loop_;
};

class WorkElsewhere : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    for (const auto& steps : {records::migrations(), migrations()}) ASSERT_TRUE(database().migrate(steps));
    for (unsigned n = 0; n < 3; ++n) add(n);
  }
  void TearDown() override { nodes_.clear(); }

  void add(unsigned n, bool company = true) {
    nodes_.emplace_back(std::make_unique<Node>(database(), loop, n, company));
    loop.run_until_idle();
  }
  Node& a() { return *nodes_[0]; }
  Node& b() { return *nodes_[1]; }
  Node& c() { return *nodes_[2]; }
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }

  JobId submit(Node& node, const std::string& name, std::function<void(Submission&)> change = {}) {
    Submission s;
    s.spec.name = name;
    s.input = "{}";
    if (change) change(s);
    auto accepted = loop.run(node.engine.submit(std::vector{std::move(s)}));
    EXPECT_TRUE(accepted.front()) << (accepted.front() ? "" : describe(accepted.front().error()));
    loop.run_until_idle();
    return accepted.front() ? accepted.front()->id : JobId{};
  }
  Lease pull(Node& node, Duration lease = 30s) {
    auto leases = loop.run(node.engine.pull({.worker = "w", .queues = {"default"}, .tasks = {}, .most = 1, .lease = lease, .wait = {}}));
    EXPECT_TRUE(leases && leases->size() == 1);
    return leases && !leases->empty() ? leases->front() : Lease{};
  }
  WorkerWord word(const Lease& lease, To to, std::string output = {}) {
    WorkerWord w{.job = lease.job->id, .fence = lease.fence, .to = to, .output = std::move(output), .error = {}, .delay = {}, .event = {}};
    if (to == To::failed || to == To::dead) w.error = Error{ErrorCode::provider_error, "it did not work", "here", true, {}, {}, {}, {}};
    return w;
  }
  Result<Settled> say(Node& node, WorkerWord w) { return loop.run(node.door.commit(std::vector{std::move(w)})).front(); }
  Result<void> cancel(Node& node, JobId id) { return loop.run(node.door.cancel({id}, "no more", "key:ann")).front(); }
  // Begins it; the result is there when it has ended.
  template <class T>
  std::shared_ptr<std::optional<T>> begin(Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    tasks_.spawn([](Task<T> what, std::shared_ptr<std::optional<T>> into) -> Task<void> {
      T value = co_await what;
      into->emplace(std::move(value));
    }(std::move(task), out));
    return out;
  }
  void pass(Duration d) { loop.advance(d), loop.run_until_idle(); }

  Job job(JobId id) {
    auto found = database().read_now([&](store::Tx& tx) { return get_job(tx, id); });
    EXPECT_TRUE(found && *found);
    return found && *found ? **found : Job{};
  }
  std::int64_t count(const char* sql) {
    auto rows = database().read_now([&](store::Tx& tx) { return tx.run(sql); });
    EXPECT_TRUE(rows) << sql;
    return rows ? (*rows)[0].integer(0) : -1;
  }
  std::size_t told_of_cancel(JobId id) {
    auto rows = database().read_now([&](store::Tx& tx) { return records::list_audit(tx, to_string(id), 0, 100); });
    return rows ? static_cast<std::size_t>(std::ranges::count_if(*rows, [](const auto& r) { return r.entry.action == records::audit::job_cancelled; })) : 99;
  }

  SimClock clock{WallTime(1'800'000'000s)};
  SimLoop loop{clock};

 private:
  std::vector<std::unique_ptr<Node>> nodes_;
  TaskGroup tasks_{"test"};
};

TEST_P(WorkElsewhere, AJobIsCancelledFromAnyNodeOnce) {
  const JobId id = submit(a(), "ext");
  EXPECT_TRUE(cancel(b(), id));
  EXPECT_EQ(job(id).state, JobState::cancelled);
  EXPECT_FALSE(a().engine.owns(id));
  EXPECT_EQ(told_of_cancel(id), 1u);
  const auto again = cancel(c(), id);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::caller_conflict);
  EXPECT_THAT(again.error().message, HasSubstr("has ended already: cancelled"));
  const auto unknown = cancel(b(), JobId{12345});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(told_of_cancel(id), 1u);
}

TEST_P(WorkElsewhere, OfTwoWhoAskAtOnceOneCancels) {
  const JobId id = submit(a(), "ext");
  const auto first = begin(b().door.cancel({id}, "b", "key:b")), second = begin(c().door.cancel({id}, "c", "key:c")), third = begin(a().door.cancel({id}, "a", "key:a"));
  pass(6s);
  ASSERT_TRUE(*first && *second && *third);
  EXPECT_EQ((**first)[0].has_value() + (**second)[0].has_value() + (**third)[0].has_value(), 1);
  EXPECT_EQ(told_of_cancel(id), 1u);
}

TEST_P(WorkElsewhere, AWorkerSpeaksToWhicheverNodeItReaches) {
  const JobId id = submit(a(), "ext");
  const Lease lease = pull(a());
  JobEvent event{.seq = 0, .at = {}, .attempt = 1, .kind = "progress", .data = R"({"done":5})"};
  auto progress = word(lease, To::running);
  progress.event = event;
  const auto heard = say(b(), progress);
  ASSERT_TRUE(heard) << describe(heard.error());
  EXPECT_TRUE(heard->running);
  const auto events = database().read_now([&](store::Tx& tx) { return list_events(tx, id, 0, 10); });
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().data, event.data);

  auto failed = word(lease, To::failed);
  failed.delay = 10s;
  const auto settled = say(c(), failed);
  ASSERT_TRUE(settled) << describe(settled.error());
  EXPECT_EQ(settled->state, JobState::queued);
  EXPECT_THAT(job(id).error, HasSubstr("it did not work"));
  const auto stale = say(b(), word(lease, To::done, "1"));
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(stale.error().field, "fence");

  pass(11s);
  const Lease second = pull(a());
  EXPECT_EQ(second.attempt, 2u);
  const auto done = say(b(), word(second, To::done, std::string("\x00\xff", 2)));
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(done->state, JobState::done);
  EXPECT_EQ(job(id).output, std::string("\x00\xff", 2));
  const auto twice = say(b(), word(second, To::done, "2"));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::caller_not_found);
}

TEST_P(WorkElsewhere, HeartbeatsReachTheLeaseAndSayWhenItIsLost) {
  const JobId id = submit(a(), "ext"), other = submit(a(), "ext");
  const Lease lease = pull(a()), lost = pull(a());
  ASSERT_EQ(lease.job->id, id);
  ASSERT_TRUE(cancel(a(), other));
  pass(20s);
  const auto kept = loop.run(b().door.heartbeat({{id, lease.fence, 30s}, {id, lease.fence + 1, 30s}, {other, lost.fence, 30s}}));
  EXPECT_TRUE(kept[0]) << describe(kept[0].error());
  ASSERT_TRUE(!kept[1] && !kept[2]);
  EXPECT_EQ(kept[1].error().code, ErrorCode::caller_conflict);
  EXPECT_EQ(kept[2].error().code, ErrorCode::caller_not_found);
  pass(20s);
  EXPECT_TRUE(a().engine.running(id)) << "40 s after it was leased for 30";
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks WHERE kind = 4"), 0);
  pass(31s);
  EXPECT_EQ(job(id).attempt, 1u) << "and then nobody spoke";
}

TEST_P(WorkElsewhere, HeartbeatsOfManyGoInOneRow) {
  std::vector<Lease> leases;
  for (int i = 0; i < 5; ++i) submit(a(), "ext"), leases.push_back(pull(a()));
  const auto before = b().door.stats().asked;
  std::vector<std::shared_ptr<std::optional<std::vector<Result<void>>>>> all;
  for (const Lease& l : leases) all.push_back(begin(b().door.heartbeat({{l.job->id, l.fence, 30s}})));
  pass(1s);
  for (const auto& one : all) ASSERT_TRUE(*one && (**one)[0]);
  EXPECT_EQ(b().door.stats().asked - before, 1u);
}

TEST_P(WorkElsewhere, WhoWaitsForAJobElsewhereHearsOfItsEnd) {
  const JobId id = submit(a(), "ext");
  EXPECT_EQ(loop.run(b().door.running({id})), std::vector{false});
  const Lease lease = pull(a());
  EXPECT_EQ(loop.run(b().door.running({id})), std::vector{true});
  const auto waits = begin(b().door.wait_for(id, clock.mono() + 60s, 1)), leaves = begin(b().door.wait_for(id, clock.mono() + 60s, 2)), late = begin(b().door.wait_for(id, clock.mono() + 2s, 3));
  pass(1s);
  b().door.stop_waiting(2);
  loop.run_until_idle();
  ASSERT_TRUE(*leaves);
  EXPECT_EQ((***leaves)->state, JobState::queued);
  pass(2s);
  ASSERT_TRUE(*late) << "its time was up";
  EXPECT_FALSE(*waits);
  ASSERT_TRUE(say(a(), word(lease, To::done, "7")));
  pass(300ms);
  ASSERT_TRUE(*waits) << "a look later";
  EXPECT_EQ((***waits)->output, "7");
  EXPECT_EQ(loop.run(b().door.running({id})), std::vector{false});
  EXPECT_EQ(b().engine.feed().followers(), 0u);
}

TEST_P(WorkElsewhere, AFollowerHearsOfWhatHappensElsewhere) {
  const JobId id = submit(a(), "ext");
  b().engine.feed().follow(77, id);
  pass(1s);
  (void)loop.run(b().engine.feed().wait(77, clock.mono()));
  EXPECT_FALSE(loop.run(b().engine.feed().wait(77, clock.mono() + 5s))) << "nothing happens";
  const Lease lease = pull(a());
  EXPECT_TRUE(loop.run(b().engine.feed().wait(77, clock.mono() + 300ms))) << "it was leased";
  auto progress = word(lease, To::running);
  progress.event = JobEvent{.seq = 0, .at = {}, .attempt = 1, .kind = "progress", .data = "1"};
  ASSERT_TRUE(say(a(), progress));
  EXPECT_TRUE(loop.run(b().engine.feed().wait(77, clock.mono() + 300ms))) << "it came further";
  b().engine.feed().leave(77);
}

TEST_P(WorkElsewhere, TheEndOfAChildWakesARunElsewhereEvenIfItsNodeDiesThere) {
  const JobId run = submit(a(), "waits");
  ASSERT_EQ(job(run).state, JobState::waiting);
  const JobId child = submit(b(), "ext", [&](Submission& s) { s.spec.origin = Origin::child, s.spec.parent = run; });
  const Lease lease = pull(b());
  ASSERT_TRUE(say(b(), word(lease, To::done)));
  b().cut();                                 // before it told anybody
  pass(300ms);
  EXPECT_EQ(job(run).state, JobState::done);
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks"), 0) << "nobody waits for an answer";
  EXPECT_EQ(job(child).state, JobState::done);
}

TEST_P(WorkElsewhere, TheEndOfARunCallsItsChildrenElsewhereOff) {
  const JobId run = submit(a(), "ext", [](Submission& s) { s.spec.kind = JobKind::flow; });
  const JobId child = submit(b(), "ext", [&](Submission& s) { s.spec.origin = Origin::child, s.spec.parent = run; });
  const std::string value = R"({"child":")" + to_string(child) + "\"}";
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    auto put = tx.run("INSERT INTO run_steps (job, path, input, what, attempt, at_us, value, output, fallback, taint, cost_nano, error) VALUES ($1, 'a', $2, $3, 1, 0, $4, $2, 0, '', 0, '')",
                      {run.value, store::Value::bytes("x"), static_cast<int>(StageRecord::What::started), store::Value::bytes(value)});
    return put ? Result<void>{} : Result<void>(std::unexpected(put.error()));
  }));
  ASSERT_TRUE(cancel(a(), run));
  pass(300ms);
  EXPECT_EQ(job(child).state, JobState::cancelled);
  EXPECT_FALSE(b().engine.owns(child));
}

TEST_P(WorkElsewhere, ASignalWhoseSenderDiedWakesItsRunsAllTheSame) {
  const JobId run = submit(a(), "waits");
  const Signal signal{.id = b().engine.new_id(), .name = "paid", .key = {}, .key_id = {}, .payload = "1", .at = clock.wall()};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    if (auto put = put_wait(tx, {.job = run, .path = "a", .input = {}, .name = "paid", .key = {}}, ""); !put) return put;
    if (auto put = put_signal(tx, signal, signal.at + 24h); !put) return put;
    return insert_asks(tx, std::vector<AskRow>{{.seq = signal.id, .kind = AskKind::signal, .job = {}, .owner = 0, .asker = {}, .body = pack_signal(signal, 10), .payload = {}, .asked = {}}});
  }));
  pass(2s);
  EXPECT_EQ(job(run).state, JobState::waiting) << "its sender may still be at it";
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return tx.run("UPDATE asks SET asked_us = asked_us - 11000000"); }));
  pass(1s);
  EXPECT_EQ(job(run).state, JobState::done);
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks WHERE kind = 5"), 0);
}

TEST_P(WorkElsewhere, ASignalWakesRunsEverywhere) {
  const JobId here = submit(a(), "waits"), there = submit(b(), "waits");
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    for (const JobId id : {here, there})
      if (auto put = put_wait(tx, {.job = id, .path = "a", .input = {}, .name = "paid", .key = {}}, ""); !put) return put;
    return {};
  }));
  const Signal signal{.id = a().engine.new_id(), .name = "paid", .key = {}, .key_id = {}, .payload = "1", .at = clock.wall()};
  const auto woken = loop.run(send_signal(a().door, signal, signal.at + 24h, 10));
  EXPECT_EQ(*woken, 2u);
  pass(1s);
  EXPECT_EQ(job(here).state, JobState::done);
  EXPECT_EQ(job(there).state, JobState::done);
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks"), 0);
}

TEST_P(WorkElsewhere, WithoutAnAnswerNothingIsDoneAndNothingWillBe) {
  const JobId id = submit(a(), "ext");
  a().cut();
  const MonoTime begun = clock.mono();
  const auto refused = cancel(b(), id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal_unavailable);
  EXPECT_TRUE(refused.error().retryable && refused.error().retry_after);
  EXPECT_THAT(refused.error().message, HasSubstr("nothing was done"));
  EXPECT_LE(clock.mono() - begun, 6s);
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks"), 0);
  EXPECT_EQ(*loop.run(c().engine.adopt(0, a().boot)), 1u);
  pass(3s);
  EXPECT_EQ(job(id).state, JobState::queued);
  EXPECT_TRUE(cancel(b(), id)) << "and now there is somebody";
  EXPECT_EQ(told_of_cancel(id), 1u);
}

TEST_P(WorkElsewhere, WhoAdoptsTheJobDoesWhatWasAskedOfItsOwner) {
  const JobId id = submit(a(), "ext");
  a().cut();
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  pass(1s);
  EXPECT_FALSE(*asked);
  EXPECT_EQ(*loop.run(c().engine.adopt(0, a().boot)), 1u);
  pass(1s);
  ASSERT_TRUE(*asked);
  EXPECT_TRUE((**asked)[0]);
  EXPECT_EQ(job(id).state, JobState::cancelled);
  EXPECT_EQ(told_of_cancel(id), 1u);
}

TEST_P(WorkElsewhere, AnAnswerOutlivesWhoGaveIt) {
  const JobId id = submit(a(), "ext");
  b().database.reads_away = true;            // the asker does not see it yet
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  pass(1s);
  EXPECT_EQ(job(id).state, JobState::cancelled);
  a().cut();
  EXPECT_FALSE(*asked);
  b().database.reads_away = false;
  pass(1s);
  ASSERT_TRUE(*asked);
  EXPECT_TRUE((**asked)[0]);
}

TEST_P(WorkElsewhere, WhoAdoptsTheAskerFindsItsOwnAskDone) {
  const JobId id = submit(a(), "ext");
  a().cut();
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  pass(300ms);
  EXPECT_EQ(*loop.run(b().engine.adopt(0, a().boot)), 1u) << "the asker itself";
  pass(1s);
  ASSERT_TRUE(*asked);
  EXPECT_TRUE((**asked)[0]);
}

TEST_P(WorkElsewhere, AJobThatIsGivenAwayIsFoundAgain) {
  const JobId id = submit(a(), "ext");
  a().database.reads_away = true;            // it does not look
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  const auto waited = begin(a().door.wait_for(submit(a(), "ext"), clock.mono() + 1s));
  loop.run_until_idle();
  EXPECT_EQ(*loop.run(a().engine.give({id}, c().engine.epoch())), 1u);
  a().database.reads_away = false;
  pass(500ms);
  EXPECT_FALSE(*asked) << "it is on nobody's board";
  EXPECT_EQ(*loop.run(c().engine.receive()), 1u);
  pass(500ms);
  ASSERT_TRUE(*asked);
  EXPECT_TRUE((**asked)[0]) << describe((**asked)[0].error());
  EXPECT_EQ(told_of_cancel(id), 1u);
  pass(1s);
  EXPECT_TRUE(*waited);
}

TEST_P(WorkElsewhere, AnAskThatFindsTheJobEndedSaysSo) {
  const JobId id = submit(a(), "ext");
  const Lease lease = pull(a());
  a().database.reads_away = true;
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  loop.run_until_idle();
  ASSERT_TRUE(say(a(), word(lease, To::done, "1")));
  a().database.reads_away = false;
  pass(1s);
  ASSERT_TRUE(*asked);
  ASSERT_FALSE((**asked)[0]);
  EXPECT_THAT((**asked)[0].error().message, HasSubstr("has ended already: done"));
  EXPECT_EQ(told_of_cancel(id), 0u);
  EXPECT_EQ(job(id).output, "1");
}

TEST_P(WorkElsewhere, AnAskTakenBackWhileItIsDoneIsDoneOrIsNot) {
  const JobId id = submit(a(), "ext");
  a().database.reads_away = true;
  const auto asked = begin(b().door.cancel({id}, "no more", "key:ann"));
  pass(4s);
  a().database.during = [&] {                // its owner's transaction is about to begin when the asker gives up
    ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("DELETE FROM asks"); }));
  };
  a().database.reads_away = false;
  pass(2s);
  ASSERT_TRUE(*asked);
  EXPECT_FALSE((**asked)[0]);
  EXPECT_EQ(job(id).state, JobState::queued);
  EXPECT_EQ(told_of_cancel(id), 0u);
  EXPECT_TRUE(a().engine.owns(id));
  a().engine.board().audit(clock.mono());
}

TEST_P(WorkElsewhere, WhatIsOldAndAnsweredIsSwept) {
  const JobId id = submit(a(), "ext"), live = submit(a(), "ext");
  ASSERT_TRUE(cancel(b(), id));
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks"), 1);
  a().cut();
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) {
    return insert_asks(tx, std::vector<AskRow>{{.seq = b().engine.new_id(), .kind = AskKind::wake, .job = live}, {.seq = b().engine.new_id(), .kind = AskKind::wake, .job = id}});
  }));
  const auto sweep = [&](Duration age) { return *database().write_now([&](store::Tx& tx) { return sweep_asks(tx, tx.now() - age, 100); }); };
  EXPECT_EQ(sweep(1min), 0u);
  EXPECT_EQ(sweep(-1min), 2u) << "the answered one and that of a job that is over";
  EXPECT_EQ(count("SELECT COUNT(*) FROM asks"), 1);
}

TEST_P(WorkElsewhere, AQueueThatIsPausedAnywhereIsPausedEverywhere) {
  const QueueRules paused{.concurrency = 3, .per_tenant = 0, .paused = true};
  ASSERT_TRUE(loop.run(a().engine.set_queue("default", paused)));
  pass(1500ms);
  EXPECT_EQ(b().engine.board().rules("default"), paused);
  submit(b(), "ext");
  const auto none = loop.run(b().engine.pull({.worker = "w", .queues = {"default"}, .tasks = {}, .most = 1, .lease = 30s, .wait = {}}));
  EXPECT_TRUE(none && none->empty());
  ASSERT_TRUE(loop.run(c().engine.set_queue("default", {})));
  pass(1500ms);
  pull(b());
}

TEST_P(WorkElsewhere, WhoIsAloneHardlyLooks) {
  nodes().clear();
  add(0, false);
  const auto before = a().door.stats().looks;
  pass(60s);
  EXPECT_LE(a().door.stats().looks - before, 13u);
  nodes().clear();
  const std::size_t timers = loop.timers();
  Engine engine(loop, database(), {}, 9);
  Door door(engine);
  door.open();
  loop.run_until_idle();
  EXPECT_EQ(loop.timers(), timers) << "with one node for good there is nothing to wait for";
  loop.run(door.stop());
}

// Whoever asks for what, wherever the jobs go: each job ends once, by the one word that was heard.
TEST_P(WorkElsewhere, EachJobEndsOnceWhoeverAsksAndWhereverItGoes) {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::minstd_rand random(seed);
    const auto any = [&](std::size_t n) { return random() % n; };
    std::vector<JobId> jobs;
    std::vector<Lease> leases;
    struct Said { JobId job; bool cancels; std::shared_ptr<std::optional<std::vector<Result<void>>>> cancelled; std::shared_ptr<std::optional<std::vector<Result<Settled>>>> done; };
    std::vector<Said> said;
    for (int step = 0; step < 120; ++step) {
      Node& node = *nodes()[any(3)];
      switch (any(6)) {
        case 0: jobs.push_back(submit(node, "ext")); break;
        case 1: {
          auto pulled = loop.run(node.engine.pull({.worker = "w", .queues = {"default"}, .tasks = {}, .most = 2, .lease = 1h, .wait = {}}));
          if (pulled) std::ranges::move(*pulled, std::back_inserter(leases));
          break;
        }
        case 2:
          if (!jobs.empty()) {
            const JobId id = jobs[any(jobs.size())];
            said.push_back({id, true, begin(node.door.cancel({id}, "no more", "key:ann")), {}});
          }
          break;
        case 3:
          if (!leases.empty()) {
            const Lease& l = leases[any(leases.size())];
            said.push_back({l.job->id, false, {}, begin(node.door.commit({word(l, To::done, "1")}))});
          }
          break;
        case 4:
          if (!jobs.empty()) {
            const auto given = loop.run(node.engine.give({jobs[any(jobs.size())], jobs[any(jobs.size())]}, nodes()[any(3)]->engine.epoch()));
            EXPECT_TRUE(given);
          }
          break;
        default: (void)loop.run(node.engine.receive()); break;
      }
      if (any(3) == 0) pass(std::chrono::milliseconds(any(300)));
    }
    for (auto& node : nodes()) (void)loop.run(node->engine.receive());
    pass(10s);
    std::map<JobId, int> ends;
    for (const Said& s : said) {
      ASSERT_TRUE(s.cancels ? s.cancelled->has_value() : s.done->has_value());
      if (s.cancels ? (**s.cancelled)[0].has_value() : (**s.done)[0].has_value()) ++ends[s.job];
    }
    for (const JobId id : jobs) {
      const Job j = job(id);
      EXPECT_EQ(ends[id], terminal(j.state) ? 1 : 0) << to_string(id) << " " << to_string(j.state);
      EXPECT_LE(told_of_cancel(id), 1u);
      EXPECT_EQ(std::ranges::count_if(nodes(), [&](const auto& n) { return n->engine.owns(id); }), terminal(j.state) ? 0 : 1);
    }
    for (auto& node : nodes()) node->engine.board().audit(clock.mono());
  }
}

BALLAST_ON_BOTH_DATABASES(WorkElsewhere);

}  // namespace
}  // namespace ballast::work
