// The table "retry policy by class" of the field notes, from what a provider says on the wire to what the road does next.
#include "gateway/retry.hpp"

#include <gtest/gtest.h>

#include "base/sim_loop.hpp"
#include "llm/errors.hpp"

namespace ballast::gateway {
namespace {

using namespace std::chrono_literals;
using enum Next;

Error told(int status, std::string_view body = "{}", std::string_view retry_after = {}) {
  return llm::parse_error(llm::Wire::openai_chat, status, {.retry_after = retry_after}, body);
}
Error failed(ErrorCode code) { return {.code = code, .message = "it failed"}; }
Error limited(std::chrono::milliseconds wait) {
  Error e = failed(ErrorCode::provider_rate_limited);
  e.retry_after = wait;
  return e;
}

// What happens to a call that meets `error` again and again, with one other key and one other target at hand.
std::vector<Next> course(const Error& error, RetryState state, RetryOptions options = {.attempts = 100}) {
  SeededRandom random(7);
  std::vector<Next> steps;
  for (;;) {
    const auto decided = decide_retry(error, state, options, random);
    steps.push_back(decided.next);
    ++state.attempts_made;
    switch (decided.next) {
      case same_target: ++state.tries_on_target; break;
      case other_credential: state.more_credentials = false; ++state.tries_on_target; break;
      case next_target: state.more_targets = false; state.tries_on_target = 1; break;
      case another_round: return steps;                 // which breakers admit is not this table's
      case stop: return steps;
    }
    if (steps.size() > 20) return steps;
  }
}
const RetryState rich{.more_credentials = true, .more_targets = true, .deadline_left = 60s};

TEST(Retry, EveryClassOfTheTableGoesItsWay) {
  struct Row {
    std::string name;
    Error error;
    std::vector<Next> course;
    Blame blame;
    bool credential_dead = false;
  };
  const std::vector<Next> transient{same_target, same_target, next_target, same_target, same_target, stop};
  const std::vector<Next> overloaded{same_target, next_target, same_target, stop};
  const std::vector<Next> dead_key{other_credential, next_target, stop};
  const std::vector<Next> elsewhere{next_target, stop};
  const std::vector<Next> never{stop};
  const std::string quota = R"({"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}})";
  const std::string context = R"({"error":{"message":"maximum context length","type":"invalid_request_error","code":"context_length_exceeded"}})";
  const std::string filter = R"({"error":{"message":"filtered due to the content management policy","code":"content_filter"}})";
  const std::vector<Row> table{
      {"connect or reset", failed(ErrorCode::provider_unreachable), transient, Blame::target},
      {"408", told(408), transient, Blame::target},
      {"409", told(409), transient, Blame::target},
      {"500", told(500), transient, Blame::target},
      {"502", told(502), transient, Blame::target},
      {"504", told(504), transient, Blame::target},
      {"truncated reply", failed(ErrorCode::provider_bad_response), transient, Blame::target},
      {"503", told(503), overloaded, Blame::target},
      {"529", told(529), overloaded, Blame::target},
      {"429 by rate, silent about when", told(429), {other_credential, next_target, same_target, stop}, Blame::credential},
      {"429 billing", told(429, quota), dead_key, Blame::credential, true},
      {"401", told(401), dead_key, Blame::credential, true},
      {"402", told(402), dead_key, Blame::credential, true},
      {"403", told(403), dead_key, Blame::credential, true},
      {"context length", told(400, context), elsewhere, Blame::none},
      {"content filter", told(400, filter), never, Blame::none},
      {"400", told(400), never, Blame::none},
      {"404", told(404), never, Blame::none},
      {"413", told(413), never, Blame::none},
      {"422", told(422), never, Blame::none},
      {"header or first-token timeout", failed(ErrorCode::provider_timeout), elsewhere, Blame::target},
      {"the caller left", failed(ErrorCode::caller_cancelled), never, Blame::none},
      {"our limit on the target", failed(ErrorCode::policy_rate_limited), elsewhere, Blame::none},
      {"an open breaker", failed(ErrorCode::provider_all_failed), {next_target, another_round}, Blame::none},
      {"a budget", failed(ErrorCode::policy_budget_exceeded), never, Blame::none},
      {"a broken journal", failed(ErrorCode::internal_unavailable), never, Blame::none},
  };
  for (const auto& row : table) {
    EXPECT_EQ(course(row.error, rich), row.course) << row.name << " is " << to_string(row.error.code);
    const auto kind = classify_failure(row.error.code);
    EXPECT_EQ(kind.blame, row.blame) << row.name;
    EXPECT_EQ(kind.credential_dead, row.credential_dead) << row.name;
    EXPECT_EQ(kind.larger_context_only, row.error.code == ErrorCode::provider_context_length) << row.name;
  }
}

TEST(Retry, WhereSeveralTargetsFailedAnotherRoundFollows) {
  RetryState state = rich;
  state.several_targets = true;
  state.more_credentials = false;
  EXPECT_EQ(course(failed(ErrorCode::provider_timeout), state), (std::vector{next_target, another_round}));
  EXPECT_EQ(course(failed(ErrorCode::provider_unreachable), state),
            (std::vector{same_target, same_target, next_target, same_target, same_target, another_round}));
  EXPECT_EQ(course(failed(ErrorCode::provider_timeout), state, {.attempts = 2}), (std::vector{next_target, stop})) << "within the budget";
  for (const auto code : {ErrorCode::provider_context_length, ErrorCode::provider_auth, ErrorCode::provider_rejected})
    EXPECT_EQ(course(failed(code), state).back(), stop) << to_string(code);
  state.deadline_left = 1ns;
  state.more_targets = false;
  EXPECT_EQ(course(failed(ErrorCode::provider_timeout), state).back(), stop);
}

TEST(Retry, RoundsAreAShareOfTheCalls) {
  SimClock clock;
  RoundBudget budget;
  int rounds = 0;
  while (budget.take(clock.mono())) ++rounds;
  EXPECT_EQ(rounds, 5) << "in store at the start";
  rounds = 0;
  for (int call = 0; call < 1000; ++call) {
    budget.called();
    rounds += budget.take(clock.mono());
  }
  EXPECT_NEAR(rounds, 50, 1);
  for (int call = 0; call < 100'000; ++call) budget.called();
  rounds = 0;
  while (budget.take(clock.mono())) ++rounds;
  EXPECT_EQ(rounds, 10) << "no more than that is saved up";
  clock.advance(20s);
  EXPECT_TRUE(budget.take(clock.mono()) && budget.take(clock.mono())) << "where there are few calls, time counts too";
  EXPECT_FALSE(budget.take(clock.mono()));
}

TEST(Retry, TheProvidersOwnVerdictWins) {
  const auto told = [](int status, std::string_view verdict) {
    return llm::parse_error(llm::Wire::openai_chat, status, {.x_should_retry = verdict}, "{}");
  };
  RetryState state = rich;
  state.more_credentials = false;
  struct Row { int status; std::string_view verdict; std::vector<Next> course; };
  for (const auto& row : std::vector<Row>{{500, "", {same_target, same_target, next_target, same_target, same_target, stop}},
                                          {500, "false", {next_target, stop}},
                                          {503, "false", {next_target, stop}},
                                          {429, "false", {next_target, stop}},
                                          {500, "true", {same_target, same_target, next_target, same_target, same_target, stop}},
                                          {400, "", {stop}},
                                          {400, "true", {same_target, stop}},
                                          {404, "true", {same_target, stop}},
                                          {400, "false", {stop}},
                                          {500, "maybe", {same_target, same_target, next_target, same_target, same_target, stop}},
                                          {401, "true", {next_target, stop}}})
    EXPECT_EQ(course(told(row.status, row.verdict), state), row.course) << row.status << " " << row.verdict;
  EXPECT_EQ(course(told(401, "false"), rich), (std::vector{other_credential, next_target, stop})) << "another key is another asker";
  state.several_targets = true;
  EXPECT_EQ(course(told(500, "false"), state), (std::vector{next_target, stop})) << "nor in another round";
}

TEST(Retry, AContentFilterMovesOnOnlyWhereTheRouteSaysSo) {
  RetryState state = rich;
  state.content_filter_moves_on = true;
  EXPECT_EQ(course(failed(ErrorCode::provider_content_filter), state), (std::vector{next_target, stop}));
  state.more_targets = false;
  EXPECT_EQ(course(failed(ErrorCode::provider_content_filter), state), (std::vector{stop}));
}

TEST(Retry, AShortRetryAfterIsWaitedForAndALongOneMovesOn) {
  SeededRandom random(7);
  const RetryOptions options;
  RetryState state{.more_targets = true, .deadline_left = 60s};
  struct Row { std::chrono::milliseconds after; bool more_targets; Next next; Duration wait; };
  for (const auto& row : std::vector<Row>{{0ms, true, same_target, 0s},
                                          {1500ms, true, same_target, 1500ms},
                                          {2s, true, same_target, 2s},
                                          {2001ms, true, next_target, 0s},
                                          {30s, true, next_target, 0s},
                                          {30s, false, same_target, 30s},
                                          {60s, false, stop, 0s},        // not before the deadline
                                          {24h, false, stop, 0s}}) {
    state.more_targets = row.more_targets;
    const auto decided = decide_retry(limited(row.after), state, options, random);
    EXPECT_EQ(decided.next, row.next) << row.after;
    EXPECT_EQ(decided.wait, row.wait) << row.after;
  }
}

TEST(Retry, AnotherKeyIsTriedBeforeAnyoneWaits) {
  SeededRandom random(7);
  const auto decided = decide_retry(limited(1s), rich, {}, random);
  EXPECT_EQ(decided.next, other_credential);
  EXPECT_EQ(decided.wait, Duration::zero());
}

TEST(Retry, ThereAreNeverMoreAttemptsThanTheBudget) {
  for (unsigned budget = 1; budget <= 6; ++budget)
    for (int code = 0; code <= static_cast<int>(ErrorCode::internal_error); ++code) {
      RetryState state{.more_credentials = true, .more_targets = true, .deadline_left = 60s};
      SeededRandom random(budget);
      unsigned made = 1;
      for (; decide_retry(failed(static_cast<ErrorCode>(code)), state, {.attempts = budget}, random).next != stop && made < 50; ++made)
        state.attempts_made = made + 1;                        // everyone else is always available
      EXPECT_LE(made, budget) << to_string(static_cast<ErrorCode>(code));
    }
}

TEST(Retry, NothingIsTriedPastTheDeadline) {
  SeededRandom random(7);
  for (const Duration left : {Duration(0), Duration(-1s), Duration::min()}) {
    RetryState state = rich;
    state.deadline_left = left;
    for (const auto code : {ErrorCode::provider_error, ErrorCode::provider_timeout, ErrorCode::provider_auth, ErrorCode::provider_rate_limited})
      EXPECT_EQ(decide_retry(failed(code), state, {}, random).next, stop);
  }
}

TEST(Retry, AWaitThatWouldPassTheDeadlineIsGivenToTheNextTarget) {
  SeededRandom random(7);
  RetryState state{.more_targets = true, .deadline_left = 1s};
  EXPECT_EQ(decide_retry(limited(1s), state, {}, random).next, next_target);
  EXPECT_EQ(decide_retry(limited(999ms), state, {}, random).next, same_target);
}

// Chance at its edges.
class Fixed final : public Random {
 public:
  explicit Fixed(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t next() override { return bits_; }
 private:
  std::uint64_t bits_;
};

TEST(Retry, JitterIsUniformUpToADoublingCeiling) {
  const RetryOptions options{.attempts = 100, .backoff = 250ms, .max_backoff = 300ms};
  Fixed least(0), most(~0ULL);
  RetryState state{.tries_on_target = 1, .deadline_left = 60s};
  EXPECT_EQ(decide_retry(failed(ErrorCode::provider_error), state, options, least).wait, Duration::zero());
  const auto first = decide_retry(failed(ErrorCode::provider_error), state, options, most);
  EXPECT_EQ(first.next, same_target);
  EXPECT_LT(first.wait, 250ms);
  EXPECT_GT(first.wait, 249ms);
  state.tries_on_target = 2;
  const auto second = decide_retry(failed(ErrorCode::provider_error), state, options, most);
  EXPECT_LT(second.wait, 300ms) << "doubled, but capped";
  EXPECT_GT(second.wait, 299ms);

  SeededRandom random(42);
  Duration sum{};
  for (int i = 0; i < 1000; ++i) {
    state.tries_on_target = 1;
    const auto wait = decide_retry(failed(ErrorCode::provider_error), state, options, random).wait;
    ASSERT_GE(wait, Duration::zero());
    ASSERT_LT(wait, 250ms);
    sum += wait;
  }
  EXPECT_NEAR(static_cast<double>(sum.count()) / 1000, 125e6, 10e6) << "full jitter: half the ceiling on average";
}

}  // namespace
}  // namespace ballast::gateway
