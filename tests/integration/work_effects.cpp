// Calls of flows to the outside, on both databases, through the journal of effects: each happens once, or says that nobody knows.
#include "../support/effects_house.hpp"
#include "work/run_again.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

// One stage `charge`, whose call says what more there is.
std::string charging(std::string_view more, std::string_view stage = "") {
  return fmt::format(R"(
flow: charging
output: .stages.charge.output.body
stages:
  charge:
    http: {{url: "https://pay.example/charges?key=sk-0123456789abcdef0123", method: POST, body: '{{n: .input.n}}', risk: write, {}}}
    {}
)", more, stage);
}
const std::string kKeyed = charging("idempotency: key");
const std::string kOnce = charging("idempotency: none");

class WorkEffects : public EffectsHouse {};

// ---- once ----

TEST_P(WorkEffects, ACallHappensOnceAndIsTold) {
  begin({kKeyed});
  says({.status = 201, .body = R"({"id":7})"});
  const JobId id = run("charging");
  EXPECT_EQ(house().end(id), "done");
  EXPECT_EQ(house().job(id).output, R"({"id":7})");
  ASSERT_EQ(web().seen.size(), 1u);
  EXPECT_EQ(web().seen[0].body, R"({"n":1})");
  EXPECT_FALSE(web().seen[0].header("x-ballast-fence").empty());
  EXPECT_EQ(house().told(id), (Told{"charge http 1 confirmed"}));
  EXPECT_EQ(house().audit(id), (Told{"effect.dispatched charge", "effect.confirmed charge"}));
  const auto e = house().effects(id).at(0);
  EXPECT_EQ(e.intent.target, "POST https://pay.example/charges") << "nothing of the query";
  EXPECT_EQ(e.intent.idempotency_key, web().seen[0].header("idempotency-key"));
  EXPECT_TRUE(e.intent.idempotency_key.starts_with(to_string(id) + ":charge:"));
  EXPECT_EQ(e.outcome, R"({"status":201,"digest":")" + to_hex(sha256(R"({"id":7})")) + "\"}");
}

TEST_P(WorkEffects, GoWithTheirRun) {
  begin({kKeyed});
  const JobId id = run("charging");
  ASSERT_EQ(house().told(id).size(), 1u);
  const auto swept = database().write_now([&](store::Tx& tx) { return sweep_jobs(tx, {}, house().clock.wall() + 1h, 1min, 100); });
  ASSERT_TRUE(swept && swept->deleted == 1);
  EXPECT_EQ(house().told(id), Told{});
}

TEST_P(WorkEffects, ItIsDurableBeforeItLeaves) {
  begin({kKeyed});
  Told then;
  web().answer = [&](const Seen&) {
    auto rows = database().read_now([&](store::Tx& tx) { return tx.run("SELECT state FROM effects"); });
    for (store::Row r : *rows) then.emplace_back(records::to_string(static_cast<records::EffectState>(r.integer(0))));
    return Says{.body = "1"};
  };
  run("charging");
  EXPECT_EQ(then, (Told{"dispatched"}));
}

TEST_P(WorkEffects, WhicheverWriteFailsNothingLeavesThatIsNotDurable) {
  using Fate = test::ObedientDatabase::Fate;
  begin({kKeyed});
  for (std::size_t fails = 1; fails < 5; ++fails) {      // accepted and leased in the first
    web().seen.clear();
    web().answer = [&](const Seen&) {
      auto rows = database().read_now([&](store::Tx& tx) { return tx.run("SELECT COUNT(*) FROM effects WHERE state = 1"); });
      EXPECT_EQ((*rows)[0].integer(0), 1) << fails;
      return Says{.body = "1"};
    };
    house().database.next.assign(fails, Fate::fine);
    house().database.next.push_back(Fate::lost_after);
    const JobId id = run("charging");
    EXPECT_EQ(house().end(id), "done") << fails;
    EXPECT_EQ(web().effects(), 1u) << fails;
    EXPECT_EQ(house().told(id).back(), fmt::format("charge http {} confirmed", house().told(id).size())) << fails;
  }
}

TEST_P(WorkEffects, ACallThatOnlyReadsLeavesNone) {
  begin({R"(
flow: looks
output: .stages.look.output.body
stages:
  look: {http: {url: "https://pay.example/charges/{{ .input.n }}"}}
)"});
  says({.body = "5"});
  const JobId id = run("looks");
  EXPECT_EQ(house().job(id).output, "5");
  EXPECT_EQ(house().told(id), Told{});
}

TEST_P(WorkEffects, WhatIsSentIsWhatTheStageMaySend) {
  begin({charging("idempotency: key", "input: {type: object, properties: {n: {type: integer}}}")});
  const JobId id = run("charging", R"({"n":"one"})");
  EXPECT_TRUE(house().end(id).starts_with("dead: ")) << house().end(id);
  EXPECT_EQ(web().seen.size(), 0u);
  EXPECT_EQ(house().told(id), Told{}) << "nothing was even intended";
}

// ---- again ----

TEST_P(WorkEffects, EachTryHasARowAndAllHaveOneKey) {
  begin({charging("idempotency: key", "retry: {attempts: 4, backoff: 1s}")});
  says_in_turn({{.status = 503}, {.error = test::unreachable("cut"), .sent = true}, {.status = 429}, {.body = "1"}});
  const JobId id = run("charging");
  EXPECT_EQ(house().end(id), "done");
  EXPECT_EQ(web().seen.size(), 4u);
  EXPECT_EQ(keys().size(), 1u);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 failed", "charge http 2 failed", "charge http 3 failed", "charge http 4 confirmed"}));
}

TEST_P(WorkEffects, WhenTheTriesAreUsedUpItIsUnknown) {
  begin({charging("idempotency: key", "retry: {attempts: 2, backoff: 1s}")});
  says({.status = 503});
  const JobId id = run("charging");
  EXPECT_TRUE(house().end(id).starts_with("dead: it is not known whether POST https://pay.example/charges has happened: the answer has status 503")) << house().end(id);
  EXPECT_NE(house().end(id).find("/api/jobs/" + to_string(id) + "/effects/resolve"), std::string::npos);
  EXPECT_EQ(house().end(id).find("sk-0123"), std::string::npos);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 failed", "charge http 2 unknown"}));
}

TEST_P(WorkEffects, WhatWasRefusedHasFailed) {
  begin({kKeyed});
  says({.status = 422});
  const JobId id = run("charging");
  EXPECT_EQ(house().end(id), "dead: the answer has status 422, which the call does not expect");
  EXPECT_EQ(house().told(id), (Told{"charge http 1 failed"}));
}

TEST_P(WorkEffects, WhatMayHaveHappenedOnceIsNotSentTwice) {
  begin({kOnce});
  says({.error = test::unreachable("cut"), .sent = true});
  const JobId id = run("charging");
  EXPECT_TRUE(house().end(id).starts_with("dead: it is not known whether")) << house().end(id);
  EXPECT_EQ(web().seen.size(), 1u);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 unknown"}));
  says({.error = test::unreachable(), .sent = false});
  const JobId other = run("charging");
  EXPECT_EQ(house().told(other), (Told{"charge http 1 failed"})) << "it never left";
}

TEST_P(WorkEffects, SilenceOfOneThatMustNotBeSentTwiceIsUnknownWithinItsTime) {
  begin({charging("idempotency: none", "timeout: 5s")});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 6s);
  EXPECT_TRUE(house().end(id).starts_with("dead: it is not known whether")) << house().end(id);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 unknown"}));
}

TEST_P(WorkEffects, AnAnswerAgainstItsSchemaIsConfirmedAndFailsTheStage) {
  begin({charging("idempotency: none, schema: {type: integer}")});
  says({.body = "\"seven\""});
  const JobId id = run("charging");
  EXPECT_TRUE(house().end(id).starts_with("dead: the answer's body is not what the schema wants")) << house().end(id);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 confirmed"}));
}

// ---- crashes ----

TEST_P(WorkEffects, ACrashInTheAirIsMadeGoodByTheKey) {
  for (const char* idempotency : {"key", "natural"}) {
    house().add(charging(fmt::format("idempotency: {}", idempotency)));
    house().start();
    web().seen.clear();
    says({.silent = true});
    const JobId id = run("charging", R"({"n":1})", 1s);
    EXPECT_EQ(house().told(id), (Told{"charge http 1 dispatched"}));
    house().crash();
    EXPECT_EQ(house().told(id), (Told{"charge http 1 dispatched"}));
    says({.body = "1"});
    house().start();
    house().pass(10s);
    EXPECT_EQ(house().end(id), "done") << idempotency;
    EXPECT_EQ(web().seen.size(), 2u);
    EXPECT_EQ(keys().size(), 1u);
    EXPECT_EQ(web().seen[0].body, web().seen[1].body);
    EXPECT_NE(web().seen[0].header("x-ballast-fence"), web().seen[1].header("x-ballast-fence"));
    EXPECT_EQ(house().told(id), (Told{"charge http 1 failed", "charge http 2 confirmed"}));
    EXPECT_EQ(house().audit(id), (Told{"effect.dispatched charge", "effect.failed charge", "effect.dispatched charge", "effect.confirmed charge"}));
  }
}

TEST_P(WorkEffects, ACrashInTheAirOfOneThatMustNotBeSentTwiceIsUnknown) {
  begin({kOnce});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  house().crash();
  says({.body = "1"});
  house().start();
  house().pass(10s);
  EXPECT_TRUE(house().end(id).starts_with("dead: it is not known whether POST https://pay.example/charges has happened: the process ended")) << house().end(id);
  EXPECT_EQ(web().seen.size(), 1u);
  EXPECT_EQ(house().told(id), (Told{"charge http 1 unknown"}));
}

TEST_P(WorkEffects, AnUnknownOneWhoseRecordWasLostIsToldAgainAndNotSent) {
  begin({kOnce});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  house().crash();
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return close_effects(tx, id, "a crash after the recovery", house().clock.wall()); }));
  says({.body = "1"});
  house().start();
  house().pass(10s);
  EXPECT_TRUE(house().end(id).starts_with("dead: it is not known whether")) << house().end(id);
  EXPECT_EQ(web().seen.size(), 1u);
}

TEST_P(WorkEffects, OneThatAPersonFoundDoneIsNotSentAgainEither) {
  begin({kOnce});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  house().crash();
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    if (auto closed = close_effects(tx, id, "a crash after the recovery", house().clock.wall()); !closed) return closed;
    const std::string chain = to_string(id);
    return records::resolve(tx, {.job = id.value, .chain = chain, .fence = 0, .actor = "key:ann", .now = house().clock.wall()},
                            {house().effects(id).at(0).intent.id, records::EffectState::confirmed, "seen in their books"});
  }));
  house().start();
  house().pass(10s);
  EXPECT_EQ(house().end(id), "dead: POST https://pay.example/charges has happened, and what it answered is lost: it is not sent again. Fork the run from this stage to do it once more");
  EXPECT_EQ(web().seen.size(), 1u);
}

TEST_P(WorkEffects, APersonSaysWhatBecameOfOneOnceAndItIsAudited) {
  begin({kOnce});
  says({.error = test::unreachable("cut"), .sent = true});
  const JobId id = run("charging");
  const auto resolve = [&](EffectChoice which, records::EffectState state) {
    return database().write_now([&](store::Tx& tx) { return resolve_effect(tx, id, which, state, "in their books", "key:ann", house().clock.wall()); });
  };
  EXPECT_EQ(resolve({.path = "chrage"}, records::EffectState::confirmed).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(resolve({.path = "charge", .attempt = 2}, records::EffectState::confirmed).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(resolve({.path = "charge"}, records::EffectState::unknown).error().field, "state");
  const auto done = resolve({.path = "charge", .attempt = 1, .kind = records::EffectKind::http}, records::EffectState::confirmed);
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(house().told(id), (Told{"charge http 1 confirmed"}));
  EXPECT_EQ(house().effects(id).at(0).outcome, done->outcome);
  EXPECT_EQ(house().audit(id).back(), "effect.resolved charge");
  const auto again = resolve({.path = "charge"}, records::EffectState::failed);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::caller_conflict);
}

TEST_P(WorkEffects, WhoHasLostTheRunMovesNothingAndItsEndSaysUnknown) {
  begin({kKeyed});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  const auto before = house().effects(id).at(0);
  house().loop.run(house().engine().cancel({id}, "by hand"));
  house().pass(10s);
  EXPECT_EQ(house().end(id), "cancelled");
  EXPECT_EQ(house().told(id), (Told{"charge http 1 unknown"})) << "what its holder said after that was not heard";
  EXPECT_EQ(house().effects(id).at(0).fence, before.fence);
  EXPECT_EQ(house().effects(id).at(0).outcome, R"({"why":"the run is cancelled"})");
  EXPECT_EQ(house().audit(id).back(), "effect.unknown charge");
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return close_effects(tx, id, "again", house().clock.wall()); }));
  EXPECT_EQ(house().effects(id).at(0).outcome, R"({"why":"the run is cancelled"})");
}

TEST_P(WorkEffects, OneInTheAirOfARunThatDiesWithItsProcessIsUnknown) {
  begin({kKeyed});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  for (int crash = 0; crash < 4; ++crash) {
    house().crash();
    house().start();
    house().pass(1s);
  }
  EXPECT_EQ(house().job(id).state, JobState::dead) << "its attempts are used up, and nobody took it up again";
  EXPECT_EQ(house().told(id).back(), "charge http 4 unknown");
  EXPECT_EQ(keys().size(), 1u);
}

TEST_P(WorkEffects, WhatAGracefulEndCutsIsMadeGoodAtTheNextStart) {
  begin({kKeyed});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  house().stop();
  says({.body = "1"});
  house().start();
  house().pass(10s);
  EXPECT_EQ(house().end(id), "done");
  EXPECT_EQ(keys().size(), 1u);
  EXPECT_EQ(house().told(id).back(), "charge http 2 confirmed");
}

// ---- driven again ----

TEST_P(WorkEffects, ARedriveSendsUnderTheFirstRunsKey) {
  begin({kKeyed});
  says({.error = test::unreachable("cut"), .sent = true});
  const JobId id = run("charging");
  EXPECT_EQ(house().told(id).back(), "charge http 3 unknown");
  says({.body = "1"});
  const JobId again = house().submit(redrive_of(house().job(id)));
  house().pass(10s);
  EXPECT_EQ(house().end(again), "done");
  EXPECT_EQ(keys().size(), 1u);
}

TEST_P(WorkEffects, ARedriveDoesNotSendAgainWhatMayHaveHappened) {
  begin({kOnce});
  says({.error = test::unreachable("cut"), .sent = true});
  const JobId id = run("charging");
  says({.body = "1"});
  const JobId again = house().submit(redrive_of(house().job(id)));
  house().pass(10s);
  EXPECT_TRUE(house().end(again).starts_with("dead: it is not known whether")) << house().end(again);
  EXPECT_NE(house().end(again).find(to_string(id) + "/effects/resolve"), std::string::npos) << "the one that is in doubt";
  EXPECT_EQ(web().seen.size(), 1u);
  const auto resolve = [&](records::EffectState state) {
    return database().write_now([&](store::Tx& tx) { return resolve_effect(tx, id, {.path = "charge"}, state, "looked", "key:ann", house().clock.wall()); });
  };
  ASSERT_TRUE(resolve(records::EffectState::failed));
  const JobId third = house().submit(redrive_of(house().job(again)));
  house().pass(10s);
  EXPECT_EQ(house().end(third), "done") << house().end(third);
  EXPECT_EQ(web().seen.size(), 2u);
}

TEST_P(WorkEffects, ARedriveDoesNotRepeatWhatHappenedWithoutAResult) {
  begin({charging("idempotency: none, schema: {type: integer}")});
  says({.body = "\"seven\""});
  const JobId id = run("charging");
  EXPECT_EQ(house().told(id), (Told{"charge http 1 confirmed"}));
  says({.body = "7"});
  const JobId again = house().submit(redrive_of(house().job(id)));
  house().pass(10s);
  EXPECT_TRUE(house().end(again).starts_with("dead: POST https://pay.example/charges has happened, and what it answered is lost")) << house().end(again);
  EXPECT_EQ(web().seen.size(), 1u);
  const JobId fork = house().submit(fork_of(house().job(id)));
  house().pass(10s);
  EXPECT_EQ(house().end(fork), "done") << "who forks asks for it";
  EXPECT_EQ(web().seen.size(), 2u);
}

TEST_P(WorkEffects, AForkDoesNotRepeatWhatIsInDoubtUnderAnotherKey) {
  begin({kKeyed});
  says({.error = test::unreachable("cut"), .sent = true});
  const JobId id = run("charging");
  says({.body = "1"});
  const JobId fork = house().submit(fork_of(house().job(id)));
  house().pass(10s);
  EXPECT_TRUE(house().end(fork).starts_with("dead: it is not known whether")) << house().end(fork);
  EXPECT_EQ(keys().size(), 1u);
}

// ---- crashes and attempts

// `stages` calls, one after the other.
std::string chain(int stages) {
  std::string text = "flow: chain\nstages:\n";
  for (int i = 0; i < stages; ++i) {
    text += fmt::format("  s{}: {{http: {{url: 'https://a.example/{}', trusted: true}}, timeout: 1h", i, i);
    text += i == 0 ? "}\n" : fmt::format(", after: s{}}}\n", i - 1);
  }
  return text;
}

TEST_P(WorkEffects, ARunThatComesFurtherBetweenCrashesDoesNotDieOfThem) {
  begin({chain(20)});
  web().answer = [](const Seen&) { return Says{.body = "{}", .headers = {}, .takes = 10s}; };
  const JobId id = house().submit("chain");
  for (int crash = 0; crash < 19; ++crash) {
    house().pass(15s);                       // one stage is done, and the next under way
    ASSERT_FALSE(terminal(house().job(id).state)) << "crash " << crash << ": " << house().end(id);
    house().crash();
    house().start();
  }
  house().pass(60s);
  EXPECT_EQ(house().end(id), "done");
  EXPECT_LE(house().job(id).attempt, 1u);
}

TEST_P(WorkEffects, ARunThatKillsTheProcessAtOnePlaceDiesAfterItsAttempts) {
  begin({chain(3)});
  web().answer = [](const Seen& s) { return Says{.body = "{}", .headers = {}, .takes = s.url.ends_with("/1") ? Duration(1h) : Duration(1s)}; };
  const JobId id = house().submit("chain");
  std::uint32_t crashes = 0;
  for (; crashes < 20 && !terminal(house().job(id).state); ++crashes) {
    house().pass(15s);
    house().crash();
    house().start();
  }
  EXPECT_EQ(crashes, kDefaultAttempts) << "the one that came as far as it counts too";
  EXPECT_EQ(house().job(id).state, JobState::dead);
  EXPECT_EQ(house().job(id).attempt, kDefaultAttempts);
  EXPECT_EQ(web().seen.size(), 1u + kDefaultAttempts) << "what it had done before was not done again";
}

TEST_P(WorkEffects, FailedAttemptsOfAStageAreNoProgress) {
  begin({R"(
flow: beside
output: '0'
stages:
  poison: {http: {url: 'https://a.example/poison'}, timeout: 1h}
  fails: {http: {url: 'https://a.example/fails'}, retry: {attempts: 50, backoff: 2s, factor: 1, on: ['provider_*']}}
)"});
  web().answer = [](const Seen& s) { return s.url.ends_with("poison") ? Says{.silent = true} : Says{.status = 503, .body = "{}"}; };
  const JobId id = house().submit("beside");
  std::uint32_t crashes = 0;
  for (; crashes < 20 && !terminal(house().job(id).state); ++crashes) {
    house().pass(5s);
    house().crash();
    house().start();
  }
  EXPECT_EQ(crashes, kDefaultAttempts);
  EXPECT_EQ(house().job(id).state, JobState::dead);
}

BALLAST_ON_BOTH_DATABASES(WorkEffects);

}  // namespace
}  // namespace ballast::work
