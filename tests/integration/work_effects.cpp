// Calls of flows to the outside, on both databases, through the journal of effects: each happens once, or says that nobody knows.
#include "records/audit.hpp"
#include "records/effects.hpp"

#include "../support/databases.hpp"
#include "../support/flow_house.hpp"
#include "work/approval_rows.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;
using Says = test::FakeWeb::Says;
using Seen = test::FakeWeb::Seen;
using Told = std::vector<std::string>;

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

class WorkEffects : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
    const auto migrated = database().migrate(migrations());
    ASSERT_TRUE(migrated) << describe(migrated.error());
    house_.emplace(database());
  }
  void TearDown() override { house_.reset(); }
  test::FlowHouse& house() { return *house_; }
  test::FakeWeb& web() { return house_->web; }
  void begin(std::initializer_list<std::string_view> flows) {
    for (const auto text : flows) house().add(text);
    house().start();
  }
  void says(Says what) {
    web().answer = [what = std::move(what)](const Seen&) { return what; };
  }
  // One after the other; the last stays.
  void says_in_turn(std::vector<Says> what) {
    web().answer = [what = std::move(what), n = std::size_t{0}](const Seen&) mutable { return what[std::min(n++, what.size() - 1)]; };
  }
  JobId run(const std::string& flow, const std::string& input = R"({"n":1})", Duration d = 60s) {
    const JobId id = house().submit(flow, input);
    house().pass(d);
    return id;
  }
  std::set<std::string> keys() {
    std::set<std::string> out;
    for (const Seen& s : web().seen) out.insert(s.header("idempotency-key"));
    return out;
  }

 private:
  std::optional<test::FlowHouse> house_;
};

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
  EXPECT_EQ(house().end(id), "dead: POST https://pay.example/charges has happened, as a person found out, and what it answered was lost");
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

TEST_P(WorkEffects, WhoHasLostTheRunMovesNothing) {
  begin({kKeyed});
  says({.silent = true});
  const JobId id = run("charging", R"({"n":1})", 1s);
  const auto before = house().effects(id).at(0);
  house().loop.run(house().engine().cancel({id}, "by hand"));
  house().pass(10s);
  EXPECT_EQ(house().end(id), "cancelled");
  EXPECT_EQ(house().told(id), (Told{"charge http 1 dispatched"})) << "what the holder said then was not heard";
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return close_effects(tx, id, "the run was cancelled", house().clock.wall()); }));
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return close_effects(tx, id, "the run was cancelled", house().clock.wall()); })) << "again";
  EXPECT_EQ(house().told(id), (Told{"charge http 1 unknown"}));
  EXPECT_EQ(house().effects(id).at(0).fence, before.fence);
  EXPECT_EQ(house().effects(id).at(0).outcome, R"({"why":"the run was cancelled"})");
}

// ---- settlements ----

constexpr std::string_view kPays = R"(
flow: pays
output: .stages.pay.output.body
stages:
  ask:   {http: {url: "https://model.example/"}}
  shape: {transform: '{to: .stages.ask.output.body.to, amount: .input.amount}'}
  ok:    {approve: {show: .stages.shape.output, expires: 24h}}
  pay:
    settle: {values: .stages.ok.output.value, effect: {http: {method: POST, url: "https://bank.example/pay", idempotency: key}}}
    needs: ok
)";
constexpr std::string_view kPaysOther = R"(
flow: other
output: .stages.pay.output.body
stages:
  ask:   {http: {url: "https://model.example/"}}
  ok:    {approve: {show: .stages.ask.output.body, expires: 24h}}
  pay:
    settle: {values: '.stages.ok.output.value + {amount: 1000000}', effect: {http: {method: POST, url: "https://bank.example/pay", idempotency: key}}}
    needs: ok
)";
constexpr std::string_view kPaysBare = R"(
flow: bare
output: .stages.pay.output.body
stages:
  ask:   {http: {url: "https://model.example/"}}
  shape: {transform: '{to: .stages.ask.output.body.to}'}
  pay:   {settle: {values: .stages.shape.output, effect: {http: {method: POST, url: "https://bank.example/pay", idempotency: key}}}}
)";
constexpr std::string_view kPaysClean = R"(
flow: clean
input: {trusted: true}
output: .stages.pay.output.body
stages:
  pay: {settle: {values: '{to: .input.to}', key: '.values.to', effect: {http: {method: POST, url: "https://bank.example/pay"}}}}
)";

class Settlements : public WorkEffects {
 protected:
  void SetUp() override {
    WorkEffects::SetUp();
    if (IsSkipped()) return;
    begin({kPays, kPaysOther, kPaysBare, kPaysClean});
    web().answer = [](const Seen& s) { return s.url.starts_with("https://model.example/") ? Says{.body = R"({"to":"mallory"})"} : Says{.body = "\"paid\""}; };
  }
  void approve(JobId id) {
    auto pending = database().read_now([&](store::Tx& tx) { return list_approvals(tx, {.job = id}); });
    ASSERT_TRUE(pending && pending->approvals.size() == 1);
    const auto decided = database().write_now([&](store::Tx& tx) {
      return decide_approval(tx, {.id = pending->approvals[0].id, .choice = Decision::Choice::approve, .seen = pending->approvals[0].digest, .value = {}, .note = {},
                                  .by = {.key_id = "key_ann", .key_name = "ann", .user = "ann", .team = {}, .admin = true, .link = false}}, house().clock.wall());
    });
    ASSERT_TRUE(decided) << describe(decided.error());
    ASSERT_TRUE(house().loop.run(house().engine().wake(id)));
    house().pass(10s);
  }
  std::size_t paid() {
    return static_cast<std::size_t>(std::ranges::count_if(web().seen, [](const Seen& s) { return s.url == "https://bank.example/pay"; }));
  }
};

TEST_P(Settlements, CleanValuesAreSettledUnderTheFlowsKey) {
  const JobId id = run("clean", R"({"to":"INV-7"})");
  EXPECT_EQ(house().end(id), "done");
  EXPECT_EQ(web().seen.at(0).header("idempotency-key"), "INV-7");
  EXPECT_EQ(web().seen.at(0).body, R"({"to":"INV-7"})");
  EXPECT_EQ(house().told(id), (Told{"pay settle 1 confirmed"}));
}

TEST_P(Settlements, TaintedValuesAreRefusedWithTheirOriginAndToldInTheAudit) {
  const JobId id = run("bare");
  EXPECT_EQ(house().end(id), "dead: derives from ask (web), and no approval or signature over exactly these values stands between");
  EXPECT_EQ(paid(), 0u);
  EXPECT_EQ(house().told(id), Told{});
  EXPECT_EQ(house().audit(id), (Told{"settle.refused pay"}));
}

TEST_P(Settlements, ApprovedValuesPass) {
  const JobId id = run("pays", R"({"amount":5.0})");
  EXPECT_EQ(house().job(id).state, JobState::waiting);
  EXPECT_EQ(paid(), 0u);
  approve(id);
  EXPECT_EQ(house().end(id), "done") << house().end(id);
  ASSERT_EQ(paid(), 1u);
  EXPECT_EQ(web().seen.back().body, R"({"amount":5,"to":"mallory"})");
  EXPECT_EQ(house().told(id), (Told{"pay settle 1 confirmed"}));
}

TEST_P(Settlements, OtherValuesThanTheApprovedAreRefused) {
  const JobId id = run("other");
  approve(id);
  EXPECT_TRUE(house().end(id).starts_with("dead: derives from ask (web)")) << house().end(id);
  EXPECT_EQ(paid(), 0u);
  EXPECT_EQ(house().audit(id).back(), "settle.refused pay");
}

TEST_P(Settlements, ACrashInTheAirIsSettledOnceByItsKey) {
  const JobId id = run("pays", R"({"amount":5})");
  says({.silent = true});
  approve(id);
  EXPECT_EQ(house().told(id), (Told{"pay settle 1 dispatched"}));
  house().crash();
  says({.body = "1"});
  house().start();
  house().pass(10s);
  EXPECT_EQ(house().end(id), "done") << house().end(id);
  EXPECT_EQ(house().told(id), (Told{"pay settle 1 failed", "pay settle 2 confirmed"}));
  EXPECT_EQ(web().seen[web().seen.size() - 1].header("idempotency-key"), web().seen[web().seen.size() - 2].header("idempotency-key"));
}

// ---- undoing ----

// `book`, then `card`, which fails; both are undone by a DELETE whose idempotency is said.
std::string undoing(std::string_view idempotency) {
  return fmt::format(R"(
flow: undoing
policy: {{on_failure: compensate}}
output: .stages.card.output.body
stages:
  book:
    http: {{url: "https://hotel.example/rooms", method: POST, idempotency: key}}
    compensate: {{http: {{url: "https://hotel.example/rooms/{{{{ .output.body.id }}}}", method: DELETE, idempotency: {}}}}}
  seat:
    http: {{url: "https://air.example/seats", method: POST, idempotency: key}}
    after: [book]
    compensate: {{http: {{url: "https://air.example/seats/{{{{ .output.body.id }}}}", method: DELETE, idempotency: key}}}}
  card:
    http: {{url: "https://card.example/", method: POST, idempotency: key}}
    after: [seat]
    compensate: none
)", idempotency);
}

class Undoing : public WorkEffects {
 protected:
  // What the DELETE of the hotel says, in turn.
  void hotel_says(std::vector<Says> what) {
    web().answer = [what = std::move(what), n = std::size_t{0}](const Seen& s) mutable {
      if (s.url == "https://card.example/") return Says{.status = 402};
      if (s.method == "POST" || s.url.starts_with("https://air")) return Says{.body = R"({"id":9})"};
      return what[std::min(n++, what.size() - 1)];
    };
  }
  std::vector<Seen> deletes() {
    std::vector<Seen> out;
    for (const Seen& s : web().seen)
      if (s.method == "DELETE") out.push_back(s);
    return out;
  }
};

TEST_P(Undoing, WhatWasDoneIsUndoneInReverseEachOnce) {
  begin({undoing("key")});
  hotel_says({{.body = "{}"}});
  const JobId id = run("undoing");
  EXPECT_EQ(house().end(id), "dead: the answer has status 402, which the call does not expect");
  ASSERT_EQ(deletes().size(), 2u);
  EXPECT_EQ(deletes()[0].url, "https://air.example/seats/9");
  EXPECT_EQ(deletes()[1].url, "https://hotel.example/rooms/9");
  EXPECT_NE(deletes()[0].header("idempotency-key"), deletes()[1].header("idempotency-key"));
  EXPECT_EQ(house().told(id), (Told{"book http 1 compensated", "seat http 1 compensated", "card http 1 failed", "seat compensation 1 confirmed", "book compensation 1 confirmed"}));
}

TEST_P(Undoing, IsTriedAgainUnderItsKey) {
  begin({undoing("key")});
  hotel_says({{.status = 503}, {.error = test::unreachable("cut")}, {.body = "{}"}});
  const JobId id = run("undoing");
  ASSERT_EQ(deletes().size(), 4u);
  EXPECT_EQ(deletes()[1].header("idempotency-key"), deletes()[3].header("idempotency-key"));
  EXPECT_EQ(house().told(id).back(), "book compensation 1 confirmed");
}

TEST_P(Undoing, OneThatFailsIsVisibleAndTheOthersAreUndone) {
  begin({undoing("key")});
  hotel_says({{.status = 409}});
  const JobId id = run("undoing");
  EXPECT_EQ(house().told(id), (Told{"book http 1 compensation_failed", "seat http 1 compensated", "card http 1 failed", "seat compensation 1 confirmed", "book compensation 1 failed"}));
  EXPECT_EQ(deletes().size(), 2u);
}

TEST_P(Undoing, OneThatMustNotBeSentTwiceIsUnknown) {
  begin({undoing("none")});
  hotel_says({{.status = 503}});
  const JobId id = run("undoing");
  EXPECT_EQ(house().told(id).back(), "book compensation 1 unknown");
  EXPECT_EQ(house().told(id).front(), "book http 1 compensation_failed");
  EXPECT_EQ(deletes().size(), 2u);
}

TEST_P(Undoing, ACrashInTheAirIsMadeGoodByTheKey) {
  begin({undoing("key")});
  hotel_says({{.silent = true}, {.body = "{}"}});
  const JobId id = run("undoing");
  EXPECT_EQ(house().told(id).back(), "book compensation 1 dispatched");
  house().crash();
  house().start();
  house().pass(60s);
  EXPECT_EQ(deletes().size(), 3u) << "the seat once, the room twice under one key";
  EXPECT_EQ(deletes()[1].header("idempotency-key"), deletes()[2].header("idempotency-key"));
  EXPECT_EQ(house().told(id), (Told{"book http 1 compensated", "seat http 1 compensated", "card http 1 failed", "seat compensation 1 confirmed", "book compensation 1 failed", "book compensation 2 confirmed"}));
}

TEST_P(Undoing, ACrashInTheAirOfOneThatMustNotBeSentTwiceIsUnknown) {
  begin({undoing("none")});
  hotel_says({{.silent = true}, {.body = "{}"}});
  const JobId id = run("undoing");
  house().crash();
  house().start();
  house().pass(60s);
  EXPECT_EQ(deletes().size(), 2u);
  EXPECT_EQ(house().told(id).back(), "book compensation 1 unknown");
  EXPECT_EQ(house().told(id).front(), "book http 1 compensation_failed");
  EXPECT_EQ(house().end(id), "dead: the answer has status 402, which the call does not expect");
  const auto done = database().write_now([&](store::Tx& tx) {
    return resolve_effect(tx, id, {.path = "book"}, records::EffectState::confirmed, "the room is free", "key:ann", house().clock.wall());
  });
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(house().told(id).front(), "book http 1 compensated") << "its undoing has happened";
}

BALLAST_ON_BOTH_DATABASES(WorkEffects);
BALLAST_ON_BOTH_DATABASES(Settlements);
BALLAST_ON_BOTH_DATABASES(Undoing);

}  // namespace
}  // namespace ballast::work
