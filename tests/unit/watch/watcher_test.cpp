// The watcher on both databases: what fires is kept and told once, also across a restart; silences; one of several nodes acts.
#include "watch/watcher.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "../../support/databases.hpp"
#include "watch/rows.hpp"

namespace ballast::watch {
namespace {

using namespace std::chrono_literals;

class ManualClock final : public Clock {
 public:
  WallTime now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 2) + 1h};
  MonoTime mono() const override { return MonoTime(now.time_since_epoch()); }
  WallTime wall() const override { return now; }
};

class Box final : public Outlet {
 public:
  Result<void> owe(store::Tx&, const Receiver& receiver, const std::string& type, const std::string& body, WallTime) override {
    if (failing) return fail(ErrorCode::internal_unavailable, "no");
    sent.push_back(receiver.name + " " + type);
    bodies.push_back(body);
    return {};
  }
  void poke() override { ++pokes; }
  std::vector<std::string> sent, bodies;
  int pokes = 0;
  bool failing = false;
};

class WatcherTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  std::unique_ptr<Watcher> watcher(const std::string& name = "a") {
    Options options;
    options.receivers = {{.name = "ops", .url = "https://ops.example/"}};
    return std::make_unique<Watcher>(Watcher::World{.database = database(), .clock = clock, .metrics = metrics, .outlet = box, .minutes = reader(), .gauges = [this] { return gauges; },
                                                    .mine = [this, name] { return acting == name; },
                                                    .still_mine = [this, name](store::Tx&) -> Result<void> {
                                                      if (name != still_acting) return fail(ErrorCode::internal_unavailable, "another has it", "duty");
                                                      return {};
                                                    }},
                                     std::move(options));
  }
  Read reader() {
    return [this](WallTime from, WallTime to, Duration step, const Wanted&, std::size_t) -> Result<std::vector<Minute>> {
      std::vector<Minute> out;
      for (WallTime at = from; step == 1min && at < to; at += step) {
        Counts c{.calls = 60, .failed = at >= broken_from && at < broken_to ? 45u : 0u, .cancelled = 0, .lookups = 60, .hits = 0, .input = 60'000, .output = 6'000, .incurred_nano = 1'000'000, .latency = {}, .first_token = {}};
        out.push_back({at, {{"", "", c}}});
      }
      return out;
    };
  }
  void looks(Watcher& w, Duration for_so_long, Duration every = 30s) {
    for (const WallTime end = clock.now + for_so_long; clock.now < end; clock.now += every) {
      const auto looked = w.look();
      ASSERT_TRUE(looked) << looked.error().message;
    }
  }
  std::vector<Alert> stored(std::optional<State> state = {}) {
    auto all = database().read_now([&](store::Tx& tx) { return list_alerts(tx, state, 0, 100); });
    EXPECT_TRUE(all);
    return all ? *all : std::vector<Alert>{};
  }

  ManualClock clock;
  Box box;
  metrics::Registry metrics;
  Gauges gauges;
  std::string acting = "a", still_acting = "a";
  WallTime broken_from = WallTime::max(), broken_to = WallTime::max();
};

TEST_P(WatcherTest, WhatFiresIsKeptToldAndResolved) {
  auto w = watcher();
  std::vector<State> heard;
  w->on_change([&](const Alert& a) { if (a.rule == "error_burst") heard.push_back(a.state); });
  looks(*w, 5min);
  EXPECT_TRUE(box.sent.empty());
  broken_from = clock.now, broken_to = clock.now + 3min;
  looks(*w, 2min);
  ASSERT_FALSE(box.sent.empty());
  EXPECT_EQ(box.sent[0], "ops alert.firing");
  EXPECT_TRUE(std::ranges::any_of(stored(State::firing), [](const Alert& a) { return a.rule == "error_burst" && a.id > 0; }));
  looks(*w, 90min);
  EXPECT_TRUE(std::ranges::any_of(stored(State::resolved), [](const Alert& a) { return a.rule == "error_burst"; }));
  EXPECT_TRUE(std::ranges::count(box.sent, "ops alert.resolved") > 0);
  EXPECT_EQ(heard.front(), State::firing);
  EXPECT_EQ(heard.back(), State::resolved);
  EXPECT_GT(box.pokes, 0);
}

TEST_P(WatcherTest, ARestartTellsNothingTwiceAndGoesOn) {
  gauges.dead = 50;
  auto w = watcher();
  looks(*w, 1min);
  ASSERT_EQ(box.sent.size(), 1u);
  const auto before = stored();
  ASSERT_EQ(before.size(), 1u);
  w = watcher();                              // as after kill -9: nothing was said of an end
  looks(*w, 10min);
  EXPECT_EQ(box.sent.size(), 1u);
  EXPECT_EQ(stored().size(), 1u);
  gauges.dead = 0;
  looks(*w, 12min);
  const auto after = stored();
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].id, before[0].id);
  EXPECT_EQ(after[0].state, State::resolved);
  EXPECT_EQ(box.sent.back(), "ops alert.resolved");
}

TEST_P(WatcherTest, OneOfTwoNodesActsUntilTheOtherHasTheDuty) {
  gauges.dead = 50;
  auto a = watcher("a"), b = watcher("b");
  for (int i = 0; i < 12; ++i, clock.now += 5s) {
    ASSERT_TRUE(a->look().value());
    ASSERT_FALSE(b->look().value());
  }
  EXPECT_EQ(box.sent.size(), 1u);
  acting = still_acting = "b";
  EXPECT_FALSE(a->look().value());
  EXPECT_TRUE(b->look().value());
  looks(*b, 5min);
  EXPECT_EQ(box.sent.size(), 1u) << "the second node told it again";
}

TEST_P(WatcherTest, WhoLostTheDutyMeanwhileKeepsAndTellsNothing) {
  gauges.dead = 50;
  auto a = watcher("a");
  still_acting = "b";
  for (int i = 0; i < 12; ++i, clock.now += 5s) ASSERT_FALSE(a->look());
  EXPECT_TRUE(box.sent.empty());
  EXPECT_TRUE(stored().empty());
  still_acting = "a";
  looks(*a, 5min);
  EXPECT_EQ(box.sent.size(), 1u);
}

TEST_P(WatcherTest, WhatIsSilencedIsShownAndNotTold) {
  gauges.dead = 50;
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
    auto added = add_silence(tx, {.id = 7, .rule = "dead_letters", .labels = {}, .until = clock.now + 1h, .note = "known", .actor = "me", .created = clock.now}, clock.now);
    return added ? Result<bool>(true) : fail(added.error());
  }));
  auto w = watcher();
  looks(*w, 10min);
  EXPECT_TRUE(box.sent.empty());
  EXPECT_EQ(stored(State::firing).size(), 1u);
  EXPECT_NE(metrics.expose().find(R"(ballast_alerts{state="silenced",severity="ticket"} 1)"), std::string::npos);
  looks(*w, 1h);
  EXPECT_EQ(box.sent.size(), 1u) << "the silence was over";
}

TEST_P(WatcherTest, WhatCannotBeOwedIsNotSaidToBeTold) {
  gauges.dead = 50;
  box.failing = true;
  auto w = watcher();
  for (int i = 0; i < 4; ++i, clock.now += 10s) (void)w->look();
  EXPECT_FALSE(w->look());
  box.failing = false;
  looks(*w, 1min);
  EXPECT_EQ(box.sent.size(), 1u);
}

TEST_P(WatcherTest, ARuleThatIsTurnedOffEndsItsAlert) {
  gauges.dead = 50;
  auto w = watcher();
  looks(*w, 1min);
  Options options = w->options();
  for (Rule& r : options.rules) r.off = r.off || r.name == "dead_letters";
  w->use(options);
  looks(*w, 10min);
  EXPECT_TRUE(stored(State::firing).empty());
}

TEST_P(WatcherTest, HostileNamesAreKeptAsText) {
  gauges.breakers = {{std::string("p\0<script>", 10), "m\xff'; DROP TABLE alerts; --", 60s, "e"}};
  auto w = watcher();
  looks(*w, 1min);
  ASSERT_EQ(stored(State::firing).size(), 1u);
  EXPECT_NE(stored()[0].labels[1].second.find("DROP TABLE"), std::string::npos);
}

TEST_P(WatcherTest, OldResolvedAlertsGo) {
  Alert old{.id = 1, .rule = "dead_letters", .kind = Kind::dead_letters, .state = State::resolved, .since = clock.now - 2'400h, .updated = clock.now - 2'400h, .told = State::resolved};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> { auto put = put_alert(tx, old); return put ? Result<bool>(true) : fail(put.error()); }));
  auto w = watcher();
  looks(*w, 1min);
  EXPECT_TRUE(stored().empty());
}

TEST_P(WatcherTest, AnErasedUsersAlertsAreForgottenByTheWatcherToo) {
  const std::string ann = "an\"n\\";
  for (const auto& [id, user] : {std::pair(1, ann), {2, ann + "a"}}) {
    const Alert a{.id = id, .rule = "error_burst", .kind = Kind::error_burst, .state = State::firing, .labels = {{"user", user}}, .since = clock.now, .updated = clock.now, .announced = clock.now, .told = State::firing};
    ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return put_alert(tx, a); }));
  }
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return add_silence(tx, {.id = 1, .rule = {}, .labels = {{"user", ann}}, .until = clock.now + 1h, .note = {}, .actor = {}, .created = clock.now}, clock.now); }));
  auto w = watcher();
  looks(*w, 30s);
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return erase_alerts_of(tx, ann); }), 1u);
  w->use(w->options());
  looks(*w, 30min);
  const auto left = stored();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].labels, (Labels{{"user", ann + "a"}}));
  EXPECT_TRUE(database().read_now([&](store::Tx& tx) { return silences(tx, clock.now - 1h); })->empty());
}

TEST_P(WatcherTest, AReceiverCanBeTried) {
  auto w = watcher();
  const auto trial = w->trial("ops", clock.now);
  ASSERT_TRUE(trial);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> { auto done = trial->owe(tx); return done ? Result<bool>(true) : fail(done.error()); }));
  EXPECT_EQ(box.sent.back(), "ops alert.test");
  EXPECT_EQ(w->trial("nobody", clock.now).error().code, ErrorCode::caller_not_found);
}

BALLAST_ON_BOTH_DATABASES(WatcherTest);

}  // namespace
}  // namespace ballast::watch
