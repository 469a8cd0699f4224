// The database goes away between what is durable and what must be told of it: whom nobody else would tell hears of it when it is back.
#include "../support/effects_house.hpp"
#include "work/run_rows.hpp"
#include "work/signals.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Fate = test::ObedientDatabase::Fate;

class WorkAway : public EffectsHouse {
 protected:
  // Is told while the database is away for a minute, which then comes back.
  void tell_meanwhile(Task<void> told) {
    TaskGroup tasks("told");
    house().database.otherwise = Fate::away;
    tasks.spawn(std::move(told));
    house().pass(1min);
    EXPECT_LT(house().database.writes, 1'000u) << "it does not knock without end";
    house().database.otherwise = Fate::fine;
    house().pass(3s);
  }
};

TEST_P(WorkAway, ARunWhoseEventHasComeIsWokenWhenItIsBack) {
  begin({"flow: listens\nstages:\n  a: {wait: {event: paid, timeout: 24h}}\n"});
  const JobId id = run("listens");
  ASSERT_EQ(house().end(id), "waiting");
  const Signal signal{.id = house().engine().new_id(), .name = "paid", .key = {}, .key_id = {}, .payload = "1", .at = house().clock.wall()};
  ASSERT_TRUE(house().database.write_now([&](store::Tx& tx) { return put_signal(tx, signal, signal.at + 24h); }));
  tell_meanwhile([](Door& door, Signal sent) -> Task<void> { EXPECT_EQ(co_await wake_listeners(door, sent, 10), 1u); }(house().door(), signal));
  EXPECT_EQ(house().end(id), "done");
}

TEST_P(WorkAway, TheChildrenOfARunThatIsOverAreCalledOffWhenItIsBack) {
  begin({"flow: asks\nstages:\n  a: {worker: {task: cut}, timeout: 24h}\n"});
  const JobId id = run("asks");
  const auto children = [&] { return *house().database.read_now([&](store::Tx& tx) { return children_of(tx, id); }); };
  ASSERT_EQ(children().size(), 1u);
  const JobId child = children()[0];
  ASSERT_TRUE(house().loop.run(house().engine().cancel({id}, "no more"))[0]);
  tell_meanwhile(house().runner().called_off(id, "the run is cancelled"));
  EXPECT_EQ(house().job(child).state, JobState::cancelled);
}

BALLAST_ON_BOTH_DATABASES(WorkAway);

}  // namespace
}  // namespace ballast::work
