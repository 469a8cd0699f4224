// What cannot be taken back, and what is undone, on both databases: settlements of clean or approved values alone, compensations each once.
#include "../support/effects_house.hpp"
#include "work/approval_rows.hpp"

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

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

class Settlements : public EffectsHouse {
 protected:
  void SetUp() override {
    EffectsHouse::SetUp();
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
  EXPECT_EQ(house().end(id), "dead: is tainted: pay.values ← shape.output ← ask.output (web); no approval or signature over exactly these values stands between");
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
  EXPECT_TRUE(house().end(id).starts_with("dead: is tainted: pay.values ← ok.output ← ask.output (web); no approval")) << house().end(id);
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

class Undoing : public EffectsHouse {
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

BALLAST_ON_BOTH_DATABASES(Settlements);
BALLAST_ON_BOTH_DATABASES(Undoing);

}  // namespace
}  // namespace ballast::work
