// The call road while everything fails at once.
#include <map>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

// Hundreds of calls while both providers fail in every way they know. Whatever happens: one outcome a call, its story told,
// an answer that is whole or an error that says so, and a budget that has kept exactly what the journal says.
class RoadInAStorm : public testing::TestWithParam<RescueMode> {};
INSTANTIATE_TEST_SUITE_P(Modes, RoadInAStorm, testing::Values(RescueMode::restart, RescueMode::proceed, RescueMode::error),
                         [](const auto& info) { return std::string(info.param == RescueMode::proceed ? "continued" : to_string(info.param)); });

// Every fault there is (but those that rest or kill the one key for everybody), each with a chance of one in twenty.
std::vector<SimFault> storm(bool spare_keys) {
  std::vector<SimFault> faults;
  for (int k = 0; k <= static_cast<int>(SimFaultKind::wrong_content_length); ++k) {
    const auto kind = static_cast<SimFaultKind>(k);
    if (kind == SimFaultKind::over_report_usage) continue;   // the one way past a ceiling has its own tests
    const bool on_key = kind == SimFaultKind::http_401 || kind == SimFaultKind::http_429 || kind == SimFaultKind::http_429_billing;
    if (on_key && spare_keys) continue;
    faults.push_back({.kind = kind, .rate = 0.05, .after_tokens = static_cast<std::uint64_t>(k % 15)});
  }
  return faults;
}

// Thirty at a time, hedged, for less money than they want: the budget is never overshot, at no moment.
TEST_P(RoadInAStorm, AtTheSameTimeForTooLittleMoney) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Money amount{32'000'000};
    House house({.first = storm(true), .second = storm(true),
                 .route = {.retries = {.attempts = 3}, .hedge = {.after = 300ms}, .rescue = {.mode = GetParam(), .hold_back = 6}},
                 .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = amount, .period = BudgetPeriod::month}}, .seed = seed});
    std::deque<Asked> asked;
    const auto book = house.gateway->setup()->budgets;
    unsigned ended = 0;
    auto one = [&](Call call, Caller& caller) -> Task<void> {
      co_await house.gateway->serve(call, caller);
      for (const auto& s : book->status()) EXPECT_LE(s.spent + s.held, amount);
      ++ended;
    };
    for (unsigned round = 0; round < 4; ++round) {
      for (unsigned i = 0; i < 30; ++i) {
        auto& caller = house.callers.emplace_back(house.loop);
        if (i % 7 == 3) caller.leave_after = 20;
        Call call = asked.emplace_back(Asked{.wire = kAll[i % 4], .stream = i % 3 != 0}).call();
        call.secret = kSecret;
        ++house.served;
        detach(one(call, caller), [](std::exception_ptr e) { std::rethrow_exception(e); });
      }
      EXPECT_TRUE(house.loop.run_to_rest());
      EXPECT_EQ(ended, house.served) << "nobody waits for ever";
      house.loop.advance(11min);
    }
    for (const auto& caller : house.callers) EXPECT_TRUE(caller.replies + caller.ends + caller.aborts >= 1 || caller.leave_after < 100);
    house.record();
    for (const auto& s : book->status()) EXPECT_LE(s.spent + s.held, amount);
    EXPECT_EQ(book->stats().unsettled, 0u);
    std::map<std::string, unsigned> ends;
    ASSERT_TRUE(records::CallJournal::read_directory(house.dir.string(), {.intent = [](const auto&) {}, .outcome = [&](const auto& r) {
      ++ends[r.status == records::CallStatus::ok ? "ok" : r.error];
    }}));
    EXPECT_GT(ends["ok"], 5u);
    EXPECT_GT(ends["policy_budget_exceeded"], 0u) << "the money was too little indeed";
  }
}

void endure(RescueMode mode, llm::ProviderKind second_kind) {
  const auto faults = storm(false);
  House house({.first = faults, .second = faults,
               .route = {.retries = {.attempts = 3}, .rescue = {.mode = mode, .hold_back = 6}},
               .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {100'000'000'000}, .period = BudgetPeriod::month}},
               .second_kind = second_kind});
  unsigned good = 0, bad = 0;
  std::deque<Asked> asked;
  for (unsigned i = 0; i < 300; ++i) {
    const Wire wire = kAll[i % 4];
    auto& a = asked.emplace_back(Asked{.wire = wire, .stream = i % 3 != 0});
    const Caller& caller = house.serve(a.call());
    house.loop.advance(i % 4 == 0 ? 11min : 10s);            // breakers rest, dead keys come back on probation
    const auto heard = hear(wire, caller);
    if (heard.whole && caller.head.status == 200) {
      ++good;
      const bool joined = heard.text.size() > kSecondSays.size() && heard.text.ends_with(kSecondSays) &&
                          kFirstSays.starts_with(std::string_view(heard.text).substr(0, heard.text.size() - kSecondSays.size()));
      EXPECT_TRUE(heard.text == kFirstSays || heard.text == kSecondSays || (mode == RescueMode::proceed && joined))
          << "call " << i << ", " << to_string(wire) << ": " << heard.text;
    } else {
      ++bad;
      EXPECT_TRUE(heard.failure) << "call " << i << ", " << to_string(wire) << ": " << caller.body;
    }
    EXPECT_TRUE(caller.replies == 1 || (caller.begins == 1 && caller.ends + caller.aborts == 1)) << i;
  }
  EXPECT_GT(good, 150u);
  EXPECT_GT(bad, 0u);
  house.record();                                            // and its checks of all of them
  std::int64_t incurred = 0, charged = 0;
  const auto read = records::CallJournal::read_directory(house.dir.string(), {.intent = [](const auto&) {}, .outcome = [&](const auto& r) {
    incurred += r.incurred_nano;
    for (const auto& c : r.charges) charged += c.nano;
  }});
  ASSERT_TRUE(read);
  const auto status = house.gateway->setup()->budgets->status();
  ASSERT_EQ(status.size(), 1u);
  EXPECT_EQ((status[0].spent + status[0].held).nano, charged) << "held: attempts whose cost nobody knows";
  EXPECT_EQ(charged, incurred);
  Money unknown;
  for (const auto& u : house.gateway->setup()->budgets->unknown()) unknown += u.charged;
  EXPECT_EQ(status[0].held, unknown);
}

TEST_P(RoadInAStorm, EveryCallEndsOnceAndHonestly) { endure(GetParam(), llm::ProviderKind::simulator); }
TEST_P(RoadInAStorm, EveryCallEndsOnceAndHonestlyAcrossWires) { endure(GetParam(), llm::ProviderKind::anthropic); }

}  // namespace
}  // namespace ballast::gateway
