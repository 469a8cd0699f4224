// Budgets: whatever happens at once, and whoever lies about cost, the books are right.
#include "gateway/budgets.hpp"

#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;

Money usd(double dollars) { return {static_cast<std::int64_t>(dollars * 1e9)}; }
std::unique_ptr<BudgetBook> make(std::vector<BudgetRule> rules, const Clock& clock, BudgetBook::Options options = {}) {
  auto book = BudgetBook::create(std::move(rules), clock, options);
  EXPECT_TRUE(book) << (book ? "" : book.error().message);
  return std::move(*book);
}
std::vector<records::BudgetCharge> charges_of(const Hold& hold) {
  std::vector<records::BudgetCharge> out{{"left over", 1}, {"from before", 2}, {"", 3}};
  hold.charges(out);
  return out;
}
BudgetRule per_day(BudgetScope scope, Money amount) { return {.scope = scope, .amount = amount}; }
const BudgetSubject alice{.key = "k1", .user = "alice", .feature = "chat", .team = "web"};

TEST(Budgets, HoldsTheCeilingAndReturnsWhatWasNotSpent) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(1))}, clock);
  auto hold = book->hold(alice, "call_1", usd(0.60));
  ASSERT_TRUE(hold);
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.40));
  auto refused = book->hold(alice, "call_2", usd(0.41));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::policy_budget_exceeded);
  EXPECT_NE(refused.error().message.find("system/day"), std::string::npos) << refused.error().message;
  EXPECT_EQ(refused.error().retry_after, 24h - 1s);
  auto attempt = hold->begin("sim/m", usd(0.60));
  ASSERT_TRUE(attempt);
  hold->end(*attempt, usd(0.10));
  hold->settle();
  hold->settle();
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.90));
  const auto charges = charges_of(*hold);
  ASSERT_EQ(charges.size(), 1u);
  EXPECT_EQ(charges[0].nano, usd(0.10).nano);
  EXPECT_EQ(charges[0].window, "system/day|*|1767225600");
}

TEST(Budgets, ARefusedHoldChargesNoBudget) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(10)), per_day(BudgetScope::user, usd(5)), per_day(BudgetScope::key, usd(1))}, clock);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(book->hold(alice, "c", usd(2)));
  for (const auto& s : book->status(alice)) EXPECT_EQ(s.remaining, s.limit) << s.budget;
  EXPECT_TRUE(book->hold({.user = "bob"}, "c", usd(2))) << "a budget of keys does not bind who has none";
}

TEST(Budgets, ARetryUsesWhatIsHeldAndAHedgeHoldsForItself) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::key, usd(1))}, clock);
  auto hold = book->hold(alice, "c", usd(0.4));
  auto first = hold->begin("a/m", usd(0.4));
  hold->end(*first, {});                              // failed, cost nothing
  auto second = hold->begin("b/m", usd(0.3));         // fits in what is held
  EXPECT_EQ(hold->ceiling(), usd(0.4));
  auto hedge = hold->begin("c/m", usd(0.3));          // beside it
  ASSERT_TRUE(hedge);
  EXPECT_EQ(hold->ceiling(), usd(0.6));
  auto too_much = hold->begin("d/m", usd(0.5));
  ASSERT_FALSE(too_much);
  EXPECT_EQ(hold->ceiling(), usd(0.6)) << "a refused attempt holds nothing";
  hold->end(*second, usd(0.2));
  hold->end(*hedge, usd(0.1));
  hold->settle();
  EXPECT_EQ(hold->incurred(), usd(0.3));
  EXPECT_EQ(book->remaining(alice, "x"), usd(0.7));
}

TEST(Budgets, EachModelsBudgetGetsItsOwnAttempts) {
  SimClock clock;
  auto book = make({{.name = "dear", .scope = BudgetScope::model, .match = "openai/*", .amount = usd(1)}, per_day(BudgetScope::system, usd(9))}, clock);
  auto hold = book->hold(alice, "c", usd(0.8));
  auto a = hold->begin("openai/x", usd(0.8));
  hold->end(*a, usd(0.7));
  EXPECT_FALSE(hold->begin("openai/x", usd(0.8)));
  auto b = hold->begin("sim/y", usd(0.8));
  ASSERT_TRUE(b);
  hold->end(*b, usd(0.5));
  hold->settle();
  EXPECT_EQ(book->remaining({}, "openai/x"), usd(0.3));
  EXPECT_EQ(book->remaining({}, "openai/z"), usd(1)) << "each model that matches has its own";
  EXPECT_EQ(book->remaining({}, "sim/y"), usd(9) - usd(1.2));
  const auto charges = charges_of(*hold);
  ASSERT_EQ(charges.size(), 2u);
  EXPECT_EQ(charges[0].nano, usd(1.2).nano);
  EXPECT_EQ(charges[1].nano, usd(0.7).nano);
}

TEST(Budgets, ARequestsOwnBudgetCountsAllItsAttempts) {
  SimClock clock;
  auto book = make({{.scope = BudgetScope::request, .amount = usd(0.5)}}, clock);
  EXPECT_FALSE(book->hold(alice, "c", usd(0.51)));
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.5));
  auto hold = book->hold(alice, "c", usd(0.3));
  auto a = hold->begin("m", usd(0.3));
  EXPECT_FALSE(hold->begin("m", usd(0.3)));
  hold->end(*a, usd(0.1));
  EXPECT_TRUE(hold->begin("m", usd(0.3)));
  hold->settle();
}

TEST(Budgets, AnUnknownOutcomeStaysChargedUntilReconciled) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(1))}, clock);
  {
    auto hold = book->hold(alice, "call_7", usd(0.5));
    (void)hold->begin("sim/m", usd(0.3));
  }                                                   // the task died
  EXPECT_EQ(book->stats().unsettled, 1u);
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.7)) << "its attempt stays charged, the rest is free";
  ASSERT_EQ(book->unknown().size(), 1u);
  EXPECT_EQ(book->unknown()[0].call, "call_7");
  const BudgetBook::Reconciled now{.call = "call_7", .model = "sim/m", .attempt = 0, .charged = usd(0.3), .incurred = usd(0.1)};
  EXPECT_TRUE(book->reconcile(now));
  EXPECT_FALSE(book->reconcile(now));
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.9));
  EXPECT_EQ(book->status()[0].spent, usd(0.1));
  EXPECT_EQ(book->status()[0].held, Money{});
}

TEST(Budgets, AChargeOfAnEarlierProcessIsReconciledOnceInTheWindowsThatStillRun) {
  SimClock clock{WallTime(std::chrono::hours(24 * 20'000))};
  const WallTime before = clock.wall() - 1h;
  auto book = make({per_day(BudgetScope::system, usd(1)), per_day(BudgetScope::user, usd(1))}, clock);
  const std::vector<std::string> windows = {book->status()[0].window, "user/day|alice|" + std::to_string((20'000 - 1) * 86'400), "gone|*|0"};
  ASSERT_TRUE(book->restore(windows[0], usd(0.5)));
  BudgetBook::Reconciled now{.call = "call_1", .model = "sim/m", .attempt = 0, .charged = usd(0.4), .incurred = usd(0.1), .windows = windows, .began = before, .at = clock.wall()};
  EXPECT_TRUE(book->reconcile(now));
  EXPECT_FALSE(book->reconcile(now)) << "once";
  EXPECT_EQ(book->status()[0].spent, usd(0.2));
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.8));

  now.call = "call_2";
  now.at = before;
  EXPECT_FALSE(book->reconcile(now)) << "what was restored knew of it";
  now.call = "call_3";
  now.at = now.began = clock.wall();
  EXPECT_FALSE(book->reconcile(now)) << "another node's: it was never charged here";
  now.call = "call_4";
  now.began = before;
  EXPECT_TRUE(book->reconcile(now));
  EXPECT_EQ(book->status()[0].spent, Money{}) << "never below zero";
  EXPECT_EQ(book->status()[0].held, Money{});
  now.call = "call_5";
  now.incurred = usd(0.6);
  EXPECT_TRUE(book->reconcile(now));
  EXPECT_EQ(book->status()[0].spent, usd(0.2));
  EXPECT_EQ(book->stats().overspends, 1u);
}

TEST(Budgets, AnUnsettledAttemptSaysWhatItHoldsAndWhere) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(1)), per_day(BudgetScope::model, usd(1))}, clock);
  auto hold = book->hold(alice, "call_7", usd(0.3));
  const auto first = hold->begin("sim/m", usd(0.3));
  const auto second = hold->begin("sim/n", usd(0.2));
  const auto left = hold->end_unknown(*second, 5);
  EXPECT_EQ(left.charged, usd(0.2));
  EXPECT_EQ(left.windows, (std::vector<std::string>{"system/day|*|1767225600", "model/day|sim/n|1767225600"}));
  EXPECT_EQ(book->unknown()[0].attempt, 5u);
  hold->end(*first, usd(0.1));
  hold->settle();
}

TEST(Budgets, ACostAboveItsCeilingIsBookedAndEndsTheOptimism) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(1))}, clock);
  auto hold = book->hold(alice, "c", usd(0.4));
  auto a = hold->begin("liar/m", usd(0.4));
  hold->end(*a, usd(1.5));
  hold->settle();
  EXPECT_EQ(book->remaining(alice, "m"), Money{});
  EXPECT_EQ(book->status()[0].spent, usd(1.5));
  EXPECT_EQ(book->stats().overspends, 1u);
  EXPECT_EQ(book->stats().overspent, usd(1.1));
  EXPECT_EQ(book->prudent("liar/m", usd(0.1)), usd(0.2));
  EXPECT_EQ(book->prudent("honest/m", usd(0.1)), usd(0.1));
  ASSERT_EQ(book->stopped().size(), 1u);
  book->trust("liar/m");
  EXPECT_EQ(book->prudent("liar/m", usd(0.1)), usd(0.1));
}

TEST(Budgets, WindowsTurnAndOldHoldsSettleWhereTheyBegan) {
  SimClock clock;                                     // 2026-01-01T00:00:00Z
  auto book = make({{.scope = BudgetScope::key, .amount = usd(1), .period = BudgetPeriod::hour}}, clock);
  clock.advance(59min);
  auto hold = book->hold(alice, "c", usd(1));
  auto a = hold->begin("m", usd(1));
  EXPECT_FALSE(book->hold(alice, "d", usd(0.1)));
  clock.advance(2min);
  EXPECT_TRUE(book->hold(alice, "d", usd(1))) << "a new hour";
  hold->end(*a, usd(0.5));
  hold->settle();
  EXPECT_EQ(charges_of(*hold)[0].window, "key/hour|k1|1767225600");
  EXPECT_EQ(book->remaining(alice, "m"), usd(1));
}

TEST(Budgets, WindowBoundsAreThoseOfTheCalendar) {
  using namespace std::chrono;
  const WallTime t = sys_days(2028y / February / 29) + 13h + 5min;
  const auto span = [&](BudgetPeriod p) { return window_at({.period = p}, t); };
  EXPECT_EQ(span(BudgetPeriod::hour), (WindowSpan{sys_days(2028y / 2 / 29) + 13h, sys_days(2028y / 2 / 29) + 14h}));
  EXPECT_EQ(span(BudgetPeriod::day), (WindowSpan{sys_days(2028y / 2 / 29), sys_days(2028y / 3 / 1)}));
  EXPECT_EQ(span(BudgetPeriod::month), (WindowSpan{sys_days(2028y / 2 / 1), sys_days(2028y / 3 / 1)}));
  SimClock clock;
  auto book = make({{.scope = BudgetScope::system, .amount = usd(1), .period = BudgetPeriod::fixed, .from = clock.wall() + 1h, .to = clock.wall() + 2h}}, clock);
  const auto before = book->hold({}, "c", usd(0.1));
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().retry_after, 1h);
  clock.advance(1h);
  EXPECT_TRUE(book->hold({}, "c", usd(0.1)));
  clock.advance(1h);
  const auto after = book->hold({}, "c", usd(0.1));
  ASSERT_FALSE(after);
  EXPECT_EQ(after.error().retry_after, std::nullopt) << "it never comes back";
}

TEST(Budgets, ARefusalNamesTheTightestBudgetItsOwnerAndWhenItOpensAnew) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, usd(10)), {.scope = BudgetScope::key, .amount = usd(5), .period = BudgetPeriod::month}}, clock);
  auto spent = book->hold(alice, "c", usd(4.75));
  ASSERT_TRUE(spent);
  const Error told = book->too_little(alice, "a/m", usd(0.5));
  EXPECT_EQ(told.message, "budget \"key/month\" (of key \"k1\", per month) leaves $0.25 of $5; the call may cost up to $0.5; it resets 2026-02-01T00:00:00.000Z");
  EXPECT_EQ(told.retry_after, 31 * 24h - 1s);
  const auto refused = book->hold(alice, "c", usd(0.5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, told.message);
  EXPECT_EQ(book->too_little({}, "a/m", usd(6)).message,
            "budget \"system/day\" (of everybody, per day) leaves $5.25 of $10; the call may cost up to $6; it resets 2026-01-02T00:00:00.000Z");
  auto each = make({{.name = "one", .scope = BudgetScope::request, .amount = usd(1)}}, clock);
  const Error once = each->too_little(alice, "a/m", usd(2));
  EXPECT_EQ(once.message, "budget \"one\" allows $1 for one call; this one may cost up to $2");
  EXPECT_EQ(once.retry_after, std::nullopt);
}

TEST(Budgets, RestoresWhatWasSpentInWindowsThatStillRun) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::user, usd(1))}, clock);
  EXPECT_TRUE(book->restore("user/day|alice|1767225600", usd(0.9)));
  EXPECT_FALSE(book->restore("user/day|alice|1767139200", usd(0.9))) << "yesterday's";
  EXPECT_FALSE(book->restore("gone/day|alice|1767225600", usd(0.9)));
  EXPECT_FALSE(book->restore("nonsense", usd(0.9)));
  EXPECT_EQ(book->remaining(alice, "m"), usd(0.1));
  EXPECT_EQ(book->status(alice)[0].spent, usd(0.9));
}

TEST(Budgets, AReloadKeepsTheBooks) {
  SimClock clock;
  auto before = make({per_day(BudgetScope::user, usd(1))}, clock);
  auto hold = before->hold(alice, "c", usd(0.6));
  auto a = hold->begin("m", usd(0.6));
  auto after = std::move(*BudgetBook::create({per_day(BudgetScope::user, usd(2))}, clock, {}, before.get()));
  EXPECT_EQ(after->remaining(alice, "m"), usd(1.4));
  hold->end(*a, usd(0.2));
  hold->settle();
  EXPECT_EQ(after->remaining(alice, "m"), usd(1.8));
}

TEST(Budgets, MemoryIsBoundedAndNamesBeyondItShareOneAmount) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::user, usd(1))}, clock, {.max_windows = 640});
  int granted = 0;
  std::vector<Hold> holds;
  for (int i = 0; i < 5000; ++i) {
    auto hold = book->hold({.user = "u" + std::to_string(i)}, "c", usd(1));
    if (!hold) continue;
    ++granted;
    holds.push_back(std::move(*hold));
  }
  EXPECT_LE(book->stats().windows, 641u);
  EXPECT_LE(granted, 641);
  EXPECT_GT(book->stats().overflowed, 4000u);
}

// 8 threads want 40,000 calls of a budget that pays for exactly 100 at the ceiling; some disconnect, some fail.
TEST(Budgets, IsNeverOvershotByAnyNumberOfThreads) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, {100'000}), per_day(BudgetScope::key, {60'000}), {.scope = BudgetScope::model, .amount = {80'000}}}, clock);
  std::atomic<std::int64_t> spent{0};
  std::atomic<int> full_price{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        const std::string key = t % 2 ? "odd" : "even", model = t % 4 < 2 ? "a/m" : "b/m";
        for (int i = 0; i < 5000; ++i) {
          auto hold = book->hold({.key = key}, "c", {1000});
          if (!hold) continue;
          auto attempt = hold->begin(model, {1000});
          if (!attempt) { hold->settle(); continue; }
          const auto fate = random() % 10;
          const Money cost{fate < 3 ? 0 : fate < 5 ? 400 : 1000};
          hold->end(*attempt, cost);
          if (fate != 7) hold->settle();              // else the task dies
          spent += cost.nano;
          full_price += cost.nano == 1000;
        }
      });
  }
  EXPECT_LE(spent, 100'000);
  for (const std::string key : {"odd", "even"})       // what the last to hold left over is there for others, to the last call
    for (const std::string model : {"a/m", "b/m"})
      while (auto hold = book->hold({.key = key}, "c", {1000})) {
        const auto attempt = hold->begin(model, {1000});
        if (!attempt) break;
        hold->end(*attempt, {1000});
        spent += 1000;
      }
  EXPECT_LE(spent, 100'000);
  EXPECT_GT(spent, 99'000);
  for (const auto& s : book->status()) {
    EXPECT_LE(s.spent, s.limit) << s.budget << " " << s.value;
    EXPECT_EQ(s.held, Money{}) << s.budget << " " << s.value;
    if (s.scope == BudgetScope::system) EXPECT_EQ(s.spent.nano, spent);
  }
}

TEST(Budgets, ExactlyAHundredOfTwoThousandAreServed) {
  SimClock clock;
  auto book = make({per_day(BudgetScope::system, {100 * 777})}, clock);
  std::atomic<int> served{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 250; ++i) {
          auto hold = book->hold({}, "c", {777});
          if (!hold) continue;
          auto attempt = hold->begin("m", {777});
          hold->end(*attempt, {777});
          hold->settle();
          ++served;
        }
      });
  }
  EXPECT_EQ(served, 100);
  EXPECT_EQ(book->remaining({}, "m"), Money{});
}

TEST(Budgets, ContradictoryConfigurationIsRefused) {
  SimClock clock;
  EXPECT_FALSE(BudgetBook::create({per_day(BudgetScope::key, usd(1)), per_day(BudgetScope::key, usd(2))}, clock, {}));
  EXPECT_FALSE(BudgetBook::create({per_day(BudgetScope::key, usd(-1))}, clock, {}));
  EXPECT_FALSE(BudgetBook::create({{.period = BudgetPeriod::fixed}}, clock, {}));
  auto none = make({}, clock);
  auto hold = none->hold(alice, "c", usd(1e6));
  ASSERT_TRUE(hold && hold->begin("m", usd(1e6)));
  EXPECT_FALSE(none->remaining(alice, "m"));
}

}  // namespace
}  // namespace ballast::gateway
