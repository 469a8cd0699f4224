// What budgets' forecasts go by: their hours, read together, are what each one's own are; and where a month begins.
#include "server/budget_history.hpp"

#include <fmt/format.h>

#include "../../support/rollup_oracle.hpp"
#include "api_house.hpp"
#include "records/ledger_import.hpp"
#include "server/forecast.hpp"

namespace ballast::server::test {
namespace {

using gateway::BudgetScope, gateway::BudgetStatus, records::CallRecord, records::Dimension;
using Histories = std::vector<std::vector<std::int64_t>>;

constexpr std::int64_t kHour = 3'600'000, kDay = 24 * kHour;
WallTime at(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ballast::test::kNoonMs + ms)); }

void add(House& house, std::vector<CallRecord> calls) {
  std::ranges::sort(calls, {}, &CallRecord::id);
  ASSERT_TRUE(house.database->write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); }));
}
Histories read(House& house, const std::vector<BudgetStatus>& budgets, WallTime now) {
  return *house.database->read_now([&](store::Tx& tx) -> Result<Histories> { return budget_histories(tx, budgets, now); });
}
// By a loop over the calls; the hours of nine days, the last of them the one that `now` is in.
std::vector<std::int64_t> expected(const std::vector<CallRecord>& calls, WallTime now, const std::function<bool(const CallRecord&)>& counts) {
  const auto hour_of = [](WallTime t) { return std::chrono::floor<std::chrono::hours>(t).time_since_epoch() / 1h; };
  std::vector<std::int64_t> out(9 * 24 + 1);
  for (const CallRecord& c : calls) {
    const WallTime t = WallTime(std::chrono::milliseconds(c.id.unix_ms()));
    const auto back = hour_of(now) - hour_of(t);
    if (t < now && back <= 9 * 24 && counts(c)) out[static_cast<std::size_t>(9 * 24 - back)] += c.incurred_nano;
  }
  return out;
}

TEST(BudgetHistory, ReadTogetherEachIsWhatItsOwnCallsCost) {
  House house;
  SeededRandom random(23);
  std::vector<CallRecord> calls;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    calls.push_back(ballast::test::random_call(i, random, -12 * kDay, 2 * kHour));
    calls.back().key_id = fmt::format("key_{}", random.below(15));
    calls.back().incurred_nano = static_cast<std::int64_t>(random.below(1'000'000));
    if (!calls.back().attempts.empty()) calls.back().attempts.back().incurred_nano = calls.back().incurred_nano;
  }
  add(house, calls);
  std::vector<BudgetStatus> budgets{{.window = "all|*|0", .scope = BudgetScope::system, .value = "*"},
                                    {.scope = BudgetScope::model, .value = "haiku"},
                                    {.scope = BudgetScope::model, .value = "openai/gpt-5-mini"},
                                    {.scope = BudgetScope::request, .value = "*"},
                                    {.scope = BudgetScope::feature, .value = "search"},
                                    {.scope = BudgetScope::team, .value = "web"},
                                    {.scope = BudgetScope::team, .value = "nobody's"}};
  for (int i = 0; i < 12; ++i) budgets.push_back({.scope = BudgetScope::key, .value = fmt::format("key_{}", i * 7 % 12)});
  budgets.push_back({.window = "month", .scope = BudgetScope::key, .value = "key_3"});   // of one key a second
  for (const char* user : {"user-1", "", "user-29", "nobody"}) budgets.push_back({.scope = BudgetScope::user, .value = user});
  const auto counts = [](const BudgetStatus& b, const CallRecord& c) {
    switch (b.scope) {
      case BudgetScope::system: return true;
      case BudgetScope::key: return c.key_id == b.value;
      case BudgetScope::user: return c.user == b.value;
      case BudgetScope::feature: return c.feature == b.value;
      case BudgetScope::team: return c.team == b.value;
      case BudgetScope::model: return b.value == (b.value.contains('/') ? c.provider + "/" + c.model : c.model);
      case BudgetScope::request: break;
    }
    return false;
  };
  for (const bool rolled : {false, true}) {
    if (rolled) ASSERT_TRUE(records::Roller(*house.database).roll(at(kHour)));   // all but the last hour
    for (const WallTime now : {at(2 * kHour), at(90 * 60'000 + 1), at(-kDay - 7)}) {
      const auto histories = read(house, budgets, now);
      ASSERT_EQ(histories.size(), budgets.size());
      for (std::size_t i = 0; i < budgets.size(); ++i) {
        const auto own = expected(calls, now, [&](const CallRecord& c) { return counts(budgets[i], c); });
        if (budgets[i].scope == BudgetScope::request) EXPECT_TRUE(histories[i].empty());
        else EXPECT_EQ(histories[i], own) << rolled << " " << gateway::to_string(budgets[i].scope) << " " << budgets[i].value;
      }
    }
  }
}

TEST(BudgetHistory, OfNoBudgetsThereIsNone) {
  House house;
  EXPECT_TRUE(read(house, {}, at(0)).empty());
}

// A month's window begins with nothing spent; what its hours will cost is known from the month before.
TEST(BudgetHistory, OnTheFirstOfAMonthTheHoursOfTheLastOneAreGoneBy) {
  constexpr std::int64_t kDollar = 1'000'000'000;
  House house({{.name = "all", .scope = BudgetScope::system, .amount = {1'000 * kDollar}, .period = gateway::BudgetPeriod::month}});
  const WallTime first = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 12 / 1).time_since_epoch());
  const auto first_ms = std::chrono::duration_cast<std::chrono::milliseconds>(first - at(0)).count();
  std::vector<CallRecord> calls;                              // a dollar in every hour for ten days, and half of one in the new month
  for (std::int64_t h = -240; h <= 0; ++h) {
    calls.push_back(ballast::test::sample_call(static_cast<std::uint64_t>(h + 240), first_ms + h * kHour + 60'000));
    calls.back().incurred_nano = calls.back().billed_nano = calls.back().attempts[0].incurred_nano = h == 0 ? kDollar / 2 : kDollar;
    calls.back().charges.clear();
  }
  add(house, calls);
  for (const Duration into : {Duration(0), Duration(30min)}) {
    const WallTime now = first + into;
    const bool begun = into > Duration::zero();
    const BudgetStatus b{.window = fmt::format("all|*|{}", first.time_since_epoch() / 1s), .scope = BudgetScope::system, .value = "*", .limit = {600 * kDollar},
                         .spent = {begun ? kDollar / 2 : 0}, .held = {}, .remaining = {}, .window_end = first + 31 * 24h};
    const auto history = read(house, {b}, now).at(0);
    ASSERT_EQ(history.size(), 217u);
    EXPECT_EQ(history.back(), begun ? kDollar / 2 : 0);
    EXPECT_EQ(history[215], kDollar) << "the last hour of November";
    const Forecast f = forecast(b.spent, b.limit, now, b.window_end, history);
    EXPECT_NEAR(static_cast<double>(f.at_end.nano) / kDollar, 31 * 24, 1e-3);
    ASSERT_TRUE(f.at_limit);
    EXPECT_NEAR(std::chrono::duration<double>(*f.at_limit - first).count() / 3600, 600, 1e-3);
  }
  // As it is told: the window of the new month, by the hours of the old one.
  house.clock.advance(first + 30min - house.clock.wall());
  const auto charged = house.gateway->setup()->budgets->restore(fmt::format("all|*|{}", first.time_since_epoch() / 1s), {kDollar / 2});
  ASSERT_TRUE(charged);
  const auto answer = house.ask("GET", "/api/money", kReader);
  ASSERT_EQ(answer.status, 200) << answer.text;
  const json::value body = answer.body();
  const auto& told = body.as_object().at("budgets").as_array().at(0).as_object();
  EXPECT_EQ(told.at("window_end").as_string(), "2027-01-01T00:00:00.000Z");
  EXPECT_EQ(told.at("spent_usd").as_string(), "0.500000000");
  EXPECT_EQ(told.at("forecast_usd").as_string(), "744.000000000");
  EXPECT_TRUE(told.at("forecast_at_limit").is_null()) << "a thousand is more than that";
}

// Nothing is known but what the window has spent: within its first minute it is taken for a minute's.
TEST(BudgetHistory, WithoutOneTheWindowIsSpreadOverItsHours) {
  const WallTime first = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 12 / 1).time_since_epoch());
  const BudgetStatus b{.window = fmt::format("each|*|{}", first.time_since_epoch() / 1s), .scope = BudgetScope::request, .value = "*", .limit = {}, .spent = {6'000},
                       .held = {}, .remaining = {}, .window_end = first + 31 * 24h};
  EXPECT_EQ(even_history(b, first), (std::vector<std::int64_t>{360'000, 0}));
  EXPECT_EQ(even_history(b, first + 30min), (std::vector<std::int64_t>{6'000}));
  EXPECT_EQ(even_history(b, first + 150min), (std::vector<std::int64_t>{2'400, 2'400, 1'200}));
  EXPECT_EQ(even_history(b, first + 20 * 24h).size(), 24u);
}

}  // namespace
}  // namespace ballast::server::test
