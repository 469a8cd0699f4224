// Two hundred nodes on one quota in simulated time (cluster_fleet.hpp): never above the limit, and near it. A failure prints its seed;
// BALLAST_SIM_SEED=… replays it, BALLAST_SIM_SEEDS=… runs so many.
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "cluster_fleet.hpp"

namespace ballast::test {
namespace {

using cluster::kUnit;
using cluster::QuotaKind;
using cluster::Terms;

constexpr std::int64_t kSecond = 1'000'000, kMinute = 60 * kSecond;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

Terms rate_of(Nano units, std::int64_t period_us) { return {.kind = QuotaKind::rate, .amount = units * kUnit, .period_us = period_us}; }
Terms permits(Nano n, std::int64_t linger_us) { return {.kind = QuotaKind::concurrency, .amount = n * kUnit, .linger_us = linger_us}; }
Terms money(Nano nano_dollars) { return {.kind = QuotaKind::money, .amount = nano_dollars}; }

double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

// What each would have by a max-min fair division of `limit`.
std::vector<double> fair_parts(std::vector<double> wants, double limit) {
  std::vector<std::size_t> order(wants.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return wants[i]; });
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double even = limit / static_cast<double>(order.size() - i);
    wants[order[i]] = std::min(wants[order[i]], even);
    limit -= wants[order[i]];
  }
  return wants;
}
// Jain's index of what each got of its fair part: 1, all alike. Of those whose part is twenty calls: fewer are chance.
double jain(const FleetPlan& plan, const Fleet& f, double limit) {
  const auto fair = fair_parts(f.offered, limit);
  double s = 0, squares = 0, n = 0;
  for (std::size_t i = 0; i < fair.size(); ++i) {
    if (fair[i] < 10 * static_cast<double>(plan.least + plan.most)) continue;
    const double x = f.passed[i] / fair[i];
    s += x, squares += x * x, ++n;
  }
  return n > 0 ? s * s / (n * squares) : 0;
}

void tell(const char* what, const FleetPlan& plan, const Fleet& f, double use, double fairness) {
  std::printf("%-28s seed %-4llu use %5.1f %%  Jain %.3f  %5.1f settlements a second; %llu crashes, %llu partitions, %llu pauses, %llu clocks, %llu lost, %llu repeated\n",
              what, static_cast<unsigned long long>(plan.seed), use * 100, fairness, static_cast<double>(f.settled) / plan.seconds,
              static_cast<unsigned long long>(f.crashes), static_cast<unsigned long long>(f.partitions), static_cast<unsigned long long>(f.pauses),
              static_cast<unsigned long long>(f.jumps), static_cast<unsigned long long>(f.lost), static_cast<unsigned long long>(f.repeated));
}

struct Case {
  const char* name;
  FleetPlan plan;
  double use, fairness;                      // at least, without faults
};

const Case kCases[] = {
    {"60,000 a minute", {.terms = rate_of(60'000, kMinute), .seconds = 30}, 0.95, 0.95},
    {"60,000 a minute, all alike", {.terms = rate_of(60'000, kMinute), .seconds = 30, .skew = 0}, 0.95, 0.95},
    {"2,000 a second", {.terms = rate_of(2'000, kSecond), .seconds = 20}, 0.95, 0.95},
    {"2,000 a second, very skewed", {.terms = rate_of(2'000, kSecond), .seconds = 20, .skew = 1.6}, 0.95, 0.95},
    {"60 a second", {.terms = rate_of(60, kSecond), .seconds = 60}, 0.95, 0.95},
    {"10 a minute", {.terms = rate_of(10, kMinute), .seconds = 900}, 0.95, 0},
    {"10 a minute, 12 nodes", {.terms = rate_of(10, kMinute), .nodes = 12, .seconds = 3'600, .patience_seconds = 90}, 0.95, 0.85},
    {"3 a minute, 5 nodes", {.terms = rate_of(3, kMinute), .nodes = 5, .seconds = 3'600, .patience_seconds = 90}, 0.95, 0.85},
    {"6 M tokens a minute", {.terms = rate_of(6'000'000, kMinute), .seconds = 240, .least = 20 * kUnit, .most = 4'000 * kUnit}, 0.95, 0.75},
    {"500 at once", {.terms = permits(500, 20 * kSecond), .seconds = 90, .holds_seconds = 4}, 0.86, 0.90},
    {"20 at once", {.terms = permits(20, 20 * kSecond), .seconds = 200, .holds_seconds = 4}, 0.80, 0},
};

class QuotaSim : public ::testing::TestWithParam<int> {
 protected:
  const Case& given() const { return kCases[GetParam()]; }
};

// By what one bucket passes in the time; permits by what they would carry.
double limit_of(const FleetPlan& plan, double from) {
  const double amount = static_cast<double>(plan.terms.amount), seconds = plan.seconds - from;
  return plan.terms.kind == QuotaKind::rate ? amount * seconds / (static_cast<double>(plan.terms.period_us) / 1e6) : amount * seconds / plan.holds_seconds;
}

TEST_P(QuotaSim, IsUsedAndDividedFairlyUnderSteadyLoad) {
  FleetPlan plan = given().plan;
  plan.seed = from_environment("BALLAST_SIM_SEED", 17);
  plan.chaos = false;
  plan.empty = true;
  Fleet fleet(plan);
  fleet.measured_from = plan.seconds / 4;
  fleet.run();
  const double limit = limit_of(plan, fleet.measured_from), use = sum(fleet.passed) / limit, fairness = jain(plan, fleet, limit);
  tell(given().name, plan, fleet, use, fairness);
  EXPECT_GE(use, given().use);
  EXPECT_GE(fairness, given().fairness);
}

TEST_P(QuotaSim, IsNeverExceededWhateverHappens) {
  const std::uint64_t first = from_environment("BALLAST_SIM_SEED", 100 + static_cast<std::uint64_t>(GetParam()));
  for (std::uint64_t i = 0; i < from_environment("BALLAST_SIM_SEEDS", 1) && !HasFailure(); ++i) {
    FleetPlan plan = given().plan;
    plan.seed = first + i;
    Fleet fleet(plan);
    fleet.run();
    tell(given().name, plan, fleet, sum(fleet.passed) / limit_of(plan, 0), jain(plan, fleet, limit_of(plan, 0)));
    EXPECT_GT(sum(fleet.passed), 0);
  }
}
INSTANTIATE_TEST_SUITE_P(Cases, QuotaSim, ::testing::Range(0, static_cast<int>(std::size(kCases))));

FleetPlan steady(unsigned nodes, double seconds) {
  return {.seed = 5, .terms = rate_of(60'000, kMinute), .nodes = nodes, .seconds = seconds, .skew = 0, .chaos = false, .empty = true};
}

TEST(QuotaSimStory, WhoBeginsToCallHasItsPartWithinASecond) {
  Fleet fleet(steady(2, 12));
  fleet.begins(1, 10);
  double before = 0, after = 0;
  fleet.at(9.9, [&] { before = fleet.share_of(0); });
  fleet.at(11, [&] { after = fleet.share_of(1); });
  fleet.run();
  EXPECT_GE(before, 59'000) << "alone it has all that it can use";
  EXPECT_GE(after, 28'000);
}

TEST(QuotaSimStory, WhoHasNoCallsGivesEverythingBack) {
  FleetPlan plan = steady(50, 14);
  plan.lull_at = 10;
  Fleet fleet(plan);
  fleet.at(9.9, [&] { EXPECT_LT(fleet.free(), 3'000 * kUnit); });
  fleet.at(13.5, [&] { EXPECT_EQ(fleet.free(), 60'000 * kUnit); });
  const std::uint64_t asked = (fleet.run(), fleet.settled);
  EXPECT_LE(asked, 50u * 14 * 4);
}

TEST(QuotaSimStory, TheShareOfADeadNodeComesBackWhenItsLeaseIsOver) {
  FleetPlan plan = steady(2, 90);
  Fleet fleet(plan);
  fleet.kill(1, 10);
  fleet.at(65, [&] { EXPECT_LT(fleet.share_of(0), 45'000); });
  fleet.at(75, [&] { EXPECT_GE(fleet.share_of(0), 59'000); });
  fleet.run();
}

TEST(QuotaSimStory, ANodeWithoutTheDatabaseGoesOnWithinItsLeaseAndStops) {
  Fleet fleet(steady(2, 90));
  double at_cut = 0, at_end = 0, later = 0;
  fleet.cut(1, 10);
  fleet.at(10, [&] { at_cut = fleet.passed[1]; });
  fleet.at(59, [&] { at_end = fleet.passed[1]; });
  fleet.at(61, [&] { later = fleet.passed[1]; });
  fleet.run();
  EXPECT_GT(at_end - at_cut, 20'000.0 * kUnit);
  EXPECT_GT(later, at_end);
  EXPECT_EQ(fleet.passed[1], later);
  EXPECT_GE(fleet.share_of(0), 59'000) << "the other has it all in the end";
}

TEST(QuotaSimMoney, ABudgetIsSpentToTheLastAndNotANanoDollarMore) {
  const std::uint64_t first = from_environment("BALLAST_SIM_SEED", 300);
  for (std::uint64_t i = 0; i < from_environment("BALLAST_SIM_SEEDS", 3) && !::testing::Test::HasFailure(); ++i) {
    FleetPlan plan{.seed = first + i, .terms = money(50'000'000'001), .seconds = 40, .offered = 4, .chaos = i % 2 == 0, .least = 1'000'003, .most = 80'000'001};
    Fleet fleet(plan);
    fleet.run();
    const double use = static_cast<double>(fleet.in_use) / static_cast<double>(plan.terms.amount);
    tell("50 dollars and a nano-dollar", plan, fleet, use, 1);
    if (!plan.chaos) EXPECT_GT(use, 0.99);
    EXPECT_GT(use, 0.8);
  }
}

}  // namespace
}  // namespace ballast::test
