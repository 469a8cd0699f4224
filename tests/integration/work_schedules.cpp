// Schedules on both databases, in simulated time: each slot once, over restarts, a second process and clocks that jump; summer time.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../support/databases.hpp"
#include "../support/work_house.hpp"
#include "work/schedules.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using test::WorkHouse;
using ::testing::HasSubstr;
constexpr WallTime kStart{1'800'000'000s};               // 2027-01-15T08:00:00Z, a Friday

WallTime utc(const char* text) { return *parse_time(text); }

Schedule schedule(std::string name, std::string_view cron, std::string_view zone = "UTC", Overlap overlap = Overlap::allow, CatchUp catch_up = CatchUp::one) {
  Schedule s{.name = std::move(name), .cron = *Cron::compile(cron, zone), .job = {}, .shown = "{}", .enabled = true, .overlap = overlap, .catch_up = catch_up, .next = {}, .last = {}, .last_job = {}, .why = {}};
  s.job.spec.name = "ext.report";
  s.job.spec.key_id = "key_a";
  s.job.spec.tags = {"daily"};
  s.job.input = "{\"n\":1}";
  return s;
}

// ---- which slot ----

TEST(Firing, WhatWasMissedMakesOneJobAtMost) {
  const Cron quarter = *Cron::compile("*/15 * * * *");
  const auto on = [&](const char* next, const char* now, CatchUp c = CatchUp::one) { return decide_firing(quarter, utc(next), utc(now), c); };
  EXPECT_FALSE(on("2026-11-21T10:15:00Z", "2026-11-21T10:14:59Z").slot);
  EXPECT_EQ(on("2026-11-21T10:15:00Z", "2026-11-21T10:15:00Z").slot, utc("2026-11-21T10:15:00Z"));
  EXPECT_EQ(on("2026-11-21T10:15:00Z", "2026-11-21T10:15:00Z").next, utc("2026-11-21T10:30:00Z"));
  for (const char* now : {"2026-11-21T10:44:00Z", "2026-11-21T23:37:00Z", "2026-12-04T23:37:00Z", "2029-12-04T23:37:00Z"}) {
    const Firing late = on("2026-11-21T10:15:00Z", now);
    EXPECT_EQ(late.slot, utc(now) - (now[14] == '4' ? 14min : 7min)) << now;
    EXPECT_EQ(late.next, *late.slot + 15min) << now;
    const Firing not_late = on("2026-11-21T10:15:00Z", now, CatchUp::none);
    EXPECT_FALSE(not_late.slot) << now;
    EXPECT_EQ(not_late.next, late.next) << now;
  }
  EXPECT_TRUE(on("2026-11-21T10:15:00Z", "2026-11-21T10:31:00Z", CatchUp::none).slot) << "the latest one is on time";
  const Cron once = *Cron::compile("0 0 29 2 *");
  EXPECT_EQ(decide_firing(once, utc("2028-02-29T00:00:00Z"), utc("2031-06-01T00:00:00Z"), CatchUp::one).slot, utc("2028-02-29T00:00:00Z"));
}

TEST(Firing, SummerTimeSkipsAndRepeatsNoSlot) {
  const Cron night = *Cron::compile("30 2 * * *", "Europe/Berlin");
  std::vector<WallTime> slots;
  std::optional<WallTime> next = night.next(utc("2026-10-24T00:00:00Z"));
  for (WallTime now = utc("2026-10-24T00:00:00Z"); now < utc("2026-10-27T00:00:00Z"); now += 10min)
    if (const Firing f = decide_firing(night, *next, now, CatchUp::one); next = f.next, f.slot) slots.push_back(*f.slot);
  EXPECT_EQ(slots, (std::vector<WallTime>{utc("2026-10-24T00:30:00Z"), utc("2026-10-25T00:30:00Z"), utc("2026-10-26T01:30:00Z")}));
}

// ---- with the engine ----

class SchedulesTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  // A process with its own clock, which starts at kStart.
  struct Process {
    explicit Process(store::Database& db, EngineOptions options = {}) : house(db, options) {
      EXPECT_TRUE(house.start());
      schedules = std::make_unique<Schedules>(house.engine(), flows);
      EXPECT_TRUE(schedules->start());
      schedules->open();
      house.settle();
    }
    ~Process() { end(); }
    void end() {
      if (!schedules) return;
      house.loop.run(schedules->drain());
      schedules.reset();
      house.stop();
    }
    void put(Schedule s) {
      const auto done = house.loop.run(schedules->put(std::move(s), {}));
      EXPECT_TRUE(done) << describe(done.error());
    }
    Schedule stored(std::string_view name) {
      auto all = house.database.read_now([](store::Tx& tx) { return load_schedules(tx); });
      return *std::ranges::find(*all, name, &Schedule::name);
    }
    std::int64_t jobs() { return house.count("SELECT COUNT(*) FROM jobs"); }
    FlowBook flows{fixed_environment({})};
    WorkHouse house;
    std::unique_ptr<Schedules> schedules;
  };
};

// Two nodes on one database, of which one has the duty.
TEST_P(SchedulesTest, WhoHasTheDutyFiresWhatOthersPut) {
  Process p(database());
  const Schedules* holder = nullptr;
  Schedules a(p.house.engine(), p.flows), b(p.house.engine(), p.flows);
  for (Schedules* one : {&a, &b}) {
    one->use({.held = [&holder, one] { return holder == one; },
              .check = [&holder, one](store::Tx&) -> Result<void> { return holder == one ? Result<void>{} : fail(ErrorCode::internal_unavailable, "another has it", "duty"); }});
    ASSERT_TRUE(one->start());
    one->open();
  }
  p.house.loop.run(p.schedules->drain());                // alone it would fire them
  ASSERT_TRUE(p.house.loop.run(b.put(schedule("report", "every 1m"), {})));
  p.house.pass(90s);
  EXPECT_EQ(p.jobs(), 0) << "nobody has the duty";
  holder = &a;
  p.house.pass(5s);
  EXPECT_EQ(p.jobs(), 1) << "what was missed, by who read of it";
  p.house.pass(60s);
  EXPECT_EQ(p.jobs(), 2);
  holder = &b;
  p.house.pass(60s);
  EXPECT_EQ(p.jobs(), 3);
  p.house.loop.run(a.look());
  EXPECT_EQ(a.all().at("report").last, b.all().at("report").last);
  p.house.loop.run(a.drain());
  p.house.loop.run(b.drain());
}

TEST_P(SchedulesTest, ASlotMakesOneJobAndTheJobIsAsItWasPut) {
  Process p(database());
  p.put(schedule("report", "every 15m"));
  p.house.pass(14min);
  EXPECT_EQ(p.jobs(), 0);
  p.house.pass(1min);
  EXPECT_EQ(p.jobs(), 1);
  const Schedule& s = p.schedules->all().at("report");
  EXPECT_EQ(s.last, kStart + 15min);
  EXPECT_EQ(s.next, kStart + 30min);
  const Job job = p.house.job(s.last_job);
  EXPECT_EQ(job.spec.origin, Origin::schedule);
  EXPECT_EQ(job.spec.tags, (std::vector<std::string>{"daily"}));
  EXPECT_EQ(job.input, "{\"n\":1}");
  p.house.pass(2h);
  EXPECT_EQ(p.jobs(), 9);
  EXPECT_TRUE(*p.house.loop.run(p.schedules->remove("report", {})));
  p.house.pass(2h);
  EXPECT_EQ(p.jobs(), 9);
}

TEST_P(SchedulesTest, WhileItsJobLivesASlotIsSkipped) {
  Process p(database());
  p.put(schedule("report", "every 15m", "UTC", Overlap::skip));
  p.house.pass(1h);
  EXPECT_EQ(p.jobs(), 1);
  EXPECT_THAT(p.schedules->all().at("report").why, HasSubstr("not over"));
  EXPECT_EQ(p.stored("report").why, p.schedules->all().at("report").why);
  EXPECT_EQ(p.stored("report").last_job, p.schedules->all().at("report").last_job) << "the one that lives";
  const auto now = p.house.loop.run(p.schedules->run_now("report", {}));
  ASSERT_TRUE(now);
  EXPECT_EQ(p.jobs(), 2) << "who asks by hand gets one";
  for (const auto& lease : p.house.pull(10)) EXPECT_TRUE(p.house.commit(lease, test::word(Commit::To::done)));
  p.house.pass(15min);
  EXPECT_EQ(p.jobs(), 3);
  EXPECT_EQ(p.stored("report").why, "");
  EXPECT_TRUE(p.house.job(p.stored("report").last_job).id);
  EXPECT_EQ(p.house.loop.run(p.schedules->run_now("nobody", {})).error().code, ErrorCode::caller_not_found);
}

TEST_P(SchedulesTest, ARestartAndAClockSetBackAnHourRepeatNothing) {
  {
    Process p(database());
    p.put(schedule("report", "every 15m"));
    p.put(schedule("other", "0 9 * * *", "Europe/Berlin"));
    p.house.pass(61min);
    EXPECT_EQ(p.jobs(), 4);
  }
  Process again(database());                             // its clock: an hour ago
  ASSERT_EQ(again.schedules->all().size(), 2u);
  EXPECT_EQ(again.schedules->all().at("report").next, kStart + 75min);
  EXPECT_EQ(again.schedules->all().at("other").next, utc("2027-01-16T08:00:00Z"));
  again.house.pass(74min);
  EXPECT_EQ(again.jobs(), 4);
  again.house.pass(1min);
  EXPECT_EQ(again.jobs(), 5);
}

TEST_P(SchedulesTest, AfterADowntimeThereIsOneCatchUpOrNone) {
  {
    Process p(database());
    p.put(schedule("one", "every 15m"));
    p.put(schedule("none", "every 15m", "UTC", Overlap::allow, CatchUp::none));
  }
  WorkHouse later(database());
  later.clock.advance(24h + 5min);
  ASSERT_TRUE(later.start());
  FlowBook flows(fixed_environment({}));
  Schedules schedules(later.engine(), flows);
  ASSERT_TRUE(schedules.start());
  schedules.open();
  later.settle();
  EXPECT_EQ(later.count("SELECT COUNT(*) FROM jobs"), 1);
  EXPECT_EQ(schedules.all().at("one").last, kStart + 24h);
  EXPECT_FALSE(schedules.all().at("none").last);
  EXPECT_EQ(schedules.all().at("none").next, kStart + 24h + 15min);
  later.pass(10min);
  EXPECT_EQ(later.count("SELECT COUNT(*) FROM jobs"), 3);
  later.loop.run(schedules.drain());
}

TEST_P(SchedulesTest, TwoProcessesFireASlotOnce) {
  Process a(database(), {.node = 0});
  a.put(schedule("report", "every 15m"));
  Process b(database(), {.node = 1});
  a.house.pass(15min);
  b.house.pass(15min);
  EXPECT_EQ(a.jobs(), 1);
  b.house.pass(15min);
  a.house.pass(15min);
  EXPECT_EQ(a.jobs(), 2);
}

TEST_P(SchedulesTest, AFailedTransactionIsTriedAgainAndALostAnswerMakesNoSecondJob) {
  using Fate = test::ObedientDatabase::Fate;
  Process p(database());
  p.put(schedule("report", "every 15m"));
  p.house.pass(15min - 1s);
  p.house.database.next = {Fate::away, Fate::lost_after};
  p.house.pass(10s);
  EXPECT_EQ(p.jobs(), 1);
  EXPECT_EQ(p.schedules->all().at("report").next, kStart + 30min);
  p.house.pass(15min - 20s);
  p.house.database.next = {Fate::unknown_written};
  p.house.pass(20s);
  EXPECT_EQ(p.jobs(), 2);
}

// A slot is not lost while the house is full.
TEST_P(SchedulesTest, WithoutRoomASlotWaits) {
  Process p(database(), {.max_live = 1});
  p.put(schedule("report", "every 15m"));
  p.house.pass(15min);
  EXPECT_EQ(p.jobs(), 1);
  p.house.pass(16min);
  EXPECT_EQ(p.jobs(), 1);
  EXPECT_EQ(p.schedules->all().at("report").next, kStart + 30min);
  for (const auto& lease : p.house.pull(10)) EXPECT_TRUE(p.house.commit(lease, test::word(Commit::To::done)));
  p.house.pass(5s);
  EXPECT_EQ(p.jobs(), 2);
  EXPECT_EQ(p.schedules->all().at("report").last, kStart + 30min);
}

TEST_P(SchedulesTest, AJobThatIsRefusedIsToldOfAndTheNextSlotComes) {
  Process p(database());
  Schedule s = schedule("report", "every 15m");
  s.job.spec.kind = JobKind::flow;
  s.job.spec.name = "gone";
  p.put(s);
  p.put(schedule("other", "every 15m"));
  p.house.pass(15min);
  EXPECT_EQ(p.jobs(), 1) << "the other's";
  const Schedule& told = p.schedules->all().at("report");
  EXPECT_THAT(told.why, HasSubstr("no flow \"gone\""));
  EXPECT_EQ(told.last, kStart + 15min);
  EXPECT_EQ(told.next, kStart + 30min);
  EXPECT_FALSE(told.last_job);
  EXPECT_EQ(p.house.loop.run(p.schedules->run_now("report", {})).error().field, "flow");
}

TEST_P(SchedulesTest, ARunBeginsWithTheVersionThatIsInForceAtItsSlot) {
  Process p(database());
  const auto in_force = [&](std::string_view text) {
    std::vector<ConfigMistake> mistakes;
    auto flow = read_flow(fmt::format("flow: report\nstages:\n  say:\n    transform: '\"{}\"'\n", text), "report.yaml", fixed_environment({}), {}, &mistakes);
    EXPECT_TRUE(flow) << describe(flow.error());
    FlowSet set{{"report", *flow}};
    EXPECT_TRUE(p.flows.put(p.house.database, set, kStart));
    return to_hex((*flow)->digest());
  };
  const std::string first = in_force("one");
  Schedule s = schedule("report", "every 15m");
  s.job.spec.kind = JobKind::flow;
  s.job.spec.name = "report";
  p.put(s);
  p.house.pass(15min);
  EXPECT_EQ(p.house.job(p.stored("report").last_job).spec.version, first);
  const std::string second = in_force("two");
  p.house.pass(15min);
  EXPECT_NE(first, second);
  EXPECT_EQ(p.house.job(p.stored("report").last_job).spec.version, second);
}

TEST_P(SchedulesTest, AThousandOfOneSlotAreWrittenTogether) {
  Process p(database());
  for (int i = 0; i < 1'000; ++i) p.put(schedule(fmt::format("s{}", i), "every 15m"));
  const std::size_t before = p.house.database.writes;
  p.house.pass(15min);
  EXPECT_EQ(p.jobs(), 1'000);
  EXPECT_LT(p.house.database.writes - before, 100u);
}

// One whose row says what this program does not understand stops nothing.
TEST_P(SchedulesTest, ARowThatCannotBeReadIsLeftAloneAndTheOthersGoOn) {
  { Process p(database()); p.put(schedule("bad", "every 15m")); p.put(schedule("good", "every 15m")); }
  ASSERT_TRUE(database().write_now([](store::Tx& tx) -> Result<void> {
    auto done = tx.run("UPDATE schedules SET definition = $1 WHERE name = 'bad'", {store::Value::bytes("{}")});
    return done ? Result<void>{} : std::unexpected(done.error());
  }));
  Process p(database());
  p.house.pass(15min);
  EXPECT_EQ(p.jobs(), 1);
  EXPECT_EQ(p.house.count("SELECT COUNT(*) FROM schedules"), 2);
}

BALLAST_ON_BOTH_DATABASES(SchedulesTest);

}  // namespace
}  // namespace ballast::work
