// The journal of effects on both databases: what may follow what, under which fence, what a crash at each step leaves, and how it is undone.
#include "../support/databases.hpp"
#include "records/audit.hpp"
#include "records/effects.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

using enum EffectState;

constexpr std::int64_t kJob = 7;
const std::string kChain = "job_7";
const WallTime kNow{std::chrono::microseconds(1'763'700'000'123'456)};
constexpr EffectState kAll[] = {intended, dispatched, confirmed, failed, unknown, compensated, compensation_failed};

EffectId named(std::string path, std::uint32_t attempt = 1, EffectKind kind = EffectKind::http) {
  const Digest input = sha256("input of " + path);
  return {.path = std::move(path), .input = input, .attempt = attempt, .kind = kind};
}
EffectIntent meant(const EffectId& id) {
  return {.id = id, .target = "POST https://pay.example/charges", .arguments = sha256("arguments of " + id.path), .idempotency_key = "key of " + id.path};
}

class EffectsTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
  }
 public:
  // Each move is another moment.
  EffectHand hand(std::int64_t fence) { return {.job = kJob, .chain = kChain, .fence = fence, .actor = "system", .now = kNow + std::chrono::milliseconds(++moves_)}; }
  template <class F>
  Result<void> write(F body) {
    auto done = database().write_now([&](store::Tx& tx) -> Result<bool> {
      if (auto ok = body(tx); !ok) return fail(ok.error());
      return true;
    });
    if (!done) return fail(done.error());
    return {};
  }
  Result<void> intend_as(const EffectHand& by, const EffectId& id) {
    const EffectIntent one = meant(id);
    return write([&](store::Tx& tx) { return intend(tx, by, {&one, 1}); });
  }
  Result<void> dispatch_as(const EffectHand& by, const EffectId& id) {
    return write([&](store::Tx& tx) { return dispatch(tx, by, {&id, 1}); });
  }
  Result<void> end_as(const EffectHand& by, const EffectId& id, EffectState state, std::string outcome = R"({"status":201})") {
    const EffectEnd end{id, state, std::move(outcome)};
    const bool undoing = state == compensated || state == compensation_failed;
    return write([&](store::Tx& tx) { return undoing ? undone(tx, by, end) : settle(tx, by, {&end, 1}); });
  }
  Result<void> resolve_as(const EffectHand& by, const EffectId& id, EffectState state) {
    return write([&](store::Tx& tx) { return resolve(tx, by, {id, state, "seen in the other side's books"}); });
  }
  // Brings a new effect into a state, by the ways there are.
  void bring(const EffectId& id, EffectState state, std::int64_t fence = 5) {
    ASSERT_TRUE(intend_as(hand(fence), id));
    if (state == intended) return;
    ASSERT_TRUE(dispatch_as(hand(fence), id));
    if (state == dispatched) return;
    const bool undoing = state == compensated || state == compensation_failed;
    ASSERT_TRUE(end_as(hand(fence), id, undoing ? confirmed : state));
    if (undoing) ASSERT_TRUE(end_as(hand(fence), id, state));
  }
  std::vector<Effect> effects() {
    auto rows = database().read_now([&](store::Tx& tx) { return list_effects(tx, kJob); });
    EXPECT_TRUE(rows) << describe(rows.error());
    return rows.value_or(std::vector<Effect>{});
  }
  Effect the(const EffectId& id) {
    for (const Effect& e : effects())
      if (e.intent.id == id) return e;
    ADD_FAILURE() << id.path;
    return {};
  }
  std::vector<std::string> paths(Result<std::vector<Effect>> (*list)(store::Tx&, std::int64_t)) {
    std::vector<std::string> out;
    for (const Effect& e : *database().read_now([&](store::Tx& tx) { return list(tx, kJob); })) out.push_back(e.intent.id.path);
    return out;
  }
  std::vector<AuditRow> audit() {
    return *database().read_now([&](store::Tx& tx) { return list_audit(tx, kChain, 0, 1000); });
  }
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const AuditRow& row : audit()) out.push_back(row.entry.action + " " + row.entry.subject);
    return out;
  }

 private:
  int moves_ = 0;
};

TEST_P(EffectsTest, TheRoadOfACharge) {
  const EffectId charge = named("charge", 1, EffectKind::settle);
  const EffectHand first = hand(5), second = hand(5), third = hand(5);
  ASSERT_TRUE(intend_as(first, charge));
  ASSERT_TRUE(dispatch_as(second, charge));
  ASSERT_TRUE(end_as(third, charge, confirmed, R"({"status":201,"digest":"ab"})"));
  const Effect e = the(charge);
  EXPECT_EQ(e.state, confirmed);
  EXPECT_EQ(e.fence, 5);
  EXPECT_EQ(e.outcome, R"({"status":201,"digest":"ab"})");
  EXPECT_EQ(e.intent.target, "POST https://pay.example/charges");
  EXPECT_EQ(e.intent.idempotency_key, "key of charge");
  EXPECT_EQ(e.intended, first.now);
  EXPECT_EQ(e.dispatched, second.now);
  EXPECT_EQ(e.settled, third.now);
  EXPECT_EQ(e.undone, WallTime{});
  ASSERT_EQ(told(), (std::vector<std::string>{"effect.dispatched charge", "effect.confirmed charge"}));
  const AuditEntry sent = audit()[0].entry;
  EXPECT_EQ(sent.arguments, meant(charge).arguments);
  EXPECT_EQ(sent.actor, "system");
  EXPECT_EQ(sent.at, second.now);
  EXPECT_EQ(sent.outcome, R"({"kind":"settle","attempt":1,"target":"POST https://pay.example/charges"})");
  EXPECT_EQ(audit()[1].entry.outcome, e.outcome);
}

// From every state every move: the arrows of the header, and no other.
TEST_P(EffectsTest, WhatMayFollowWhat) {
  struct Move { const char* name; std::vector<EffectState> from; EffectState to; Result<void> (*make)(EffectsTest&, const EffectId&); };
  const Move moves[] = {
      {"intend", {intended}, intended, [](EffectsTest& t, const EffectId& id) { return t.intend_as(t.hand(6), id); }},
      {"dispatch", {intended}, dispatched, [](EffectsTest& t, const EffectId& id) { return t.dispatch_as(t.hand(6), id); }},
      {"confirm", {dispatched}, confirmed, [](EffectsTest& t, const EffectId& id) { return t.end_as(t.hand(6), id, confirmed); }},
      {"fail", {intended, dispatched}, failed, [](EffectsTest& t, const EffectId& id) { return t.end_as(t.hand(6), id, failed); }},
      {"lose", {dispatched}, unknown, [](EffectsTest& t, const EffectId& id) { return t.end_as(t.hand(6), id, unknown); }},
      {"resolve", {unknown}, confirmed, [](EffectsTest& t, const EffectId& id) { return t.resolve_as(t.hand(0), id, confirmed); }},
      {"undo", {confirmed, compensation_failed}, compensated, [](EffectsTest& t, const EffectId& id) { return t.end_as(t.hand(6), id, compensated); }},
      {"fail to undo", {confirmed, compensation_failed}, compensation_failed, [](EffectsTest& t, const EffectId& id) { return t.end_as(t.hand(6), id, compensation_failed); }},
  };
  for (const Move& m : moves)
    for (const EffectState from : kAll) {
      const EffectId id = named(std::string(m.name) + " from " + std::string(to_string(from)));
      bring(id, from);
      const std::size_t before = told().size();
      const auto made = m.make(*this, id);
      const bool allowed = std::find(m.from.begin(), m.from.end(), from) != m.from.end();
      EXPECT_EQ(made.has_value(), allowed) << id.path << (made ? "" : describe(made.error()));
      EXPECT_EQ(the(id).state, allowed ? m.to : from) << id.path;
      EXPECT_EQ(told().size(), before + (allowed && m.to != intended)) << id.path << ": an entry for a move, none for a refusal";
      if (made) continue;
      EXPECT_EQ(made.error().code, ErrorCode::caller_conflict) << id.path;
      EXPECT_EQ(made.error().field, "effect");
      EXPECT_NE(made.error().message.find(to_string(from)), std::string::npos) << made.error().message;
    }
  EXPECT_EQ(dispatch_as(hand(6), named("nobody's")).error().code, ErrorCode::caller_not_found);
  EXPECT_EQ(end_as(hand(6), named("nobody's"), intended).error().code, ErrorCode::caller_invalid_request);
}

TEST_P(EffectsTest, AStaleFenceMovesNothing) {
  const EffectId sent = named("sent"), waiting = named("waiting"), done = named("done");
  bring(waiting, intended, 5);
  bring(sent, dispatched, 5);
  bring(done, confirmed, 5);
  ASSERT_TRUE(intend_as(hand(9), waiting)) << "a later holder takes over what was not sent";
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return mark_unknown(tx, hand(9), "the process died"); }));
  ASSERT_TRUE(end_as(hand(9), done, compensation_failed));
  const std::size_t before = told().size();
  const EffectHand zombie = hand(5);
  for (const auto& refused : {intend_as(zombie, waiting), dispatch_as(zombie, waiting), end_as(zombie, waiting, failed), end_as(zombie, sent, confirmed),
                              end_as(zombie, done, compensated)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::caller_conflict);
    EXPECT_EQ(refused.error().field, "fence");
  }
  EXPECT_EQ(the(waiting).state, intended);
  EXPECT_EQ(the(sent).state, unknown);
  EXPECT_EQ(the(done).state, compensation_failed);
  EXPECT_EQ(told().size(), before);
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return mark_unknown(tx, zombie, "late"); }), 0u);
  EXPECT_TRUE(dispatch_as(hand(9), waiting));
}

// The store may run a body twice, and a holder that was not told of its commit commits again.
TEST_P(EffectsTest, TheSameMoveAgainIsNoSecondOne) {
  const EffectId charge = named("charge");
  const EffectIntent intent = meant(charge);
  const EffectHand out = hand(5), back = hand(5), reversed = hand(5), person = hand(0);
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(write([&](store::Tx& tx) -> Result<void> {
      if (auto ok = intend(tx, out, {&intent, 1}); !ok) return ok;
      return dispatch(tx, out, {&charge, 1});
    }));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(end_as(back, charge, confirmed));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(end_as(reversed, charge, compensated));
  EXPECT_EQ(told(), (std::vector<std::string>{"effect.dispatched charge", "effect.confirmed charge", "compensation.done charge"}));
  const EffectId lost = named("lost");
  bring(lost, unknown);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(resolve_as(person, lost, failed));
  EXPECT_FALSE(resolve_as(hand(0), lost, confirmed)) << "the first person's word counts";
  EXPECT_EQ(the(lost).state, failed);
  EXPECT_EQ(told().back(), "effect.resolved lost");
  EXPECT_FALSE(dispatch_as(hand(5), charge)) << "another moment is another dispatch";
}

// After each step the process dies: a step whose transaction had not committed leaves nothing, one that had says what may have happened outside.
TEST_P(EffectsTest, ACrashAtEachStepLeavesWhatANewHolderNeeds) {
  const EffectId charge = named("charge");
  const auto dies_in = [&](auto step) {
    const auto lost = write([&](store::Tx& tx) -> Result<void> {
      if (auto ok = step(tx); !ok) return ok;
      return fail(ErrorCode::internal_unavailable, "killed before the commit");
    });
    EXPECT_EQ(lost.error().message, "killed before the commit");
    reopen();
  };
  const EffectIntent intent = meant(charge);
  dies_in([&](store::Tx& tx) { return intend(tx, hand(5), {&intent, 1}); });
  EXPECT_TRUE(effects().empty());
  ASSERT_TRUE(intend_as(hand(6), charge));
  dies_in([&](store::Tx& tx) { return dispatch(tx, hand(6), {&charge, 1}); });
  EXPECT_EQ(the(charge).state, intended) << "nothing was sent: the next holder may send it";
  EXPECT_TRUE(told().empty());
  ASSERT_TRUE(intend_as(hand(7), charge));
  ASSERT_TRUE(dispatch_as(hand(7), charge));
  const EffectEnd end{charge, confirmed, R"({"status":201})"};
  dies_in([&](store::Tx& tx) { return settle(tx, hand(7), {&end, 1}); });
  EXPECT_EQ(the(charge).state, dispatched) << "the answer is lost: it may have happened";
  EXPECT_EQ(paths(unsettled), std::vector<std::string>{"charge"});
  dies_in([&](store::Tx& tx) -> Result<void> {
    if (auto marked = mark_unknown(tx, hand(8), "the process died"); !marked) return fail(marked.error());
    return {};
  });
  EXPECT_EQ(the(charge).state, dispatched);
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return mark_unknown(tx, hand(8), "the process died"); }), 1u);
  reopen();
  EXPECT_EQ(the(charge).state, unknown);
  EXPECT_EQ(the(charge).outcome, R"({"why":"the process died"})");
  EXPECT_EQ(told(), (std::vector<std::string>{"effect.dispatched charge", "effect.unknown charge"}));
  EXPECT_TRUE(paths(unsettled).empty());
  // One that may be made twice is tried again under its own row.
  EffectId again = charge;
  again.attempt = next_attempt(effects(), charge);
  EXPECT_EQ(again.attempt, 2u);
  bring(again, confirmed, 8);
  EXPECT_EQ(next_attempt(effects(), charge), 3u);
  EXPECT_EQ(next_attempt(effects(), named("other")), 1u);
}

TEST_P(EffectsTest, UndoneInTheReverseOrderOfTheirEndsWhateverTheClockSays) {
  const EffectId reserve = named("reserve"), charge = named("charge"), mail = named("mail"), refused = named("refused");
  for (const EffectId& id : {reserve, charge, mail, refused}) bring(id, dispatched);
  EffectHand late = hand(5), early = hand(5);
  early.now -= std::chrono::hours(1);                          // the clock steps back in between
  ASSERT_TRUE(end_as(late, charge, confirmed));
  ASSERT_TRUE(end_as(early, reserve, confirmed));
  ASSERT_TRUE(end_as(hand(5), refused, failed));
  ASSERT_TRUE(end_as(hand(5), mail, confirmed));
  EXPECT_EQ(paths(list_effects), (std::vector<std::string>{"reserve", "charge", "mail", "refused"}));
  EXPECT_EQ(paths(confirmed_in_reverse), (std::vector<std::string>{"mail", "reserve", "charge"}));
  // Undoing is an effect of its own, beside the one it undoes.
  const EffectId refund = named("mail", 1, EffectKind::compensation);
  bring(refund, confirmed);
  ASSERT_TRUE(end_as(hand(5), mail, compensated));
  ASSERT_TRUE(end_as(hand(5), reserve, compensation_failed, "the other side refused"));
  EXPECT_EQ(paths(confirmed_in_reverse), (std::vector<std::string>{"reserve", "charge"})) << "what could not be undone stays in sight";
  EXPECT_EQ(told().back(), "compensation.failed reserve");
  EXPECT_EQ(audit().back().entry.outcome, "the other side refused");
  EXPECT_EQ(end_as(hand(5), refund, compensated).error().code, ErrorCode::caller_invalid_request) << "what undoes is not undone";
  EXPECT_EQ(*database().write_now([](store::Tx& tx) { return delete_effects(tx, kJob); }), 5u);
  EXPECT_TRUE(effects().empty());
}

TEST_P(EffectsTest, WhatOthersSayNeverStopsTheRecord) {
  const EffectId id = named("charge");
  EffectIntent intent = meant(id);
  intent.target = std::string("POST https://x/\0\xff", 17) + std::string(5'000, 'p');
  ASSERT_TRUE(write([&](store::Tx& tx) { return intend(tx, hand(5), {&intent, 1}); }));
  EXPECT_TRUE(the(id).intent.target.starts_with("POST https://x/??p"));
  EXPECT_EQ(the(id).intent.target.size(), kMaxEffectTarget);
  ASSERT_TRUE(dispatch_as(hand(5), id));
  ASSERT_TRUE(end_as(hand(5), id, failed, std::string(9'000, 'y') + "\xff"));
  EXPECT_EQ(the(id).outcome.size(), kMaxEffectOutcome);
  for (const std::string& key : {std::string(256, 'k'), std::string("a\0b", 3), std::string("\xff")}) {
    EffectIntent bad = meant(named("keyed"));
    bad.idempotency_key = key;
    const auto refused = write([&](store::Tx& tx) { return intend(tx, hand(5), {&bad, 1}); });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().field, "idempotency_key");
  }
}

TEST_P(EffectsTest, ItsNumberIsAProbeHoweverManyTheRunHas) {
  constexpr int kMany = 2'000;
  ASSERT_TRUE(write([&](store::Tx& tx) -> Result<void> {
    for (int i = 0; i < kMany; ++i) {
      const EffectIntent one = meant(named("each[" + std::to_string(i) + "].send"));
      const EffectEnd end{one.id, confirmed, "{}"};
      if (auto ok = intend(tx, hand(1), {&one, 1}); !ok) return ok;
      if (auto ok = dispatch(tx, hand(1), {&one.id, 1}); !ok) return ok;
      if (auto ok = settle(tx, hand(1), {&end, 1}); !ok) return ok;
    }
    return {};
  }));
  const bool lite = GetParam() == store::Dialect::sqlite;
  if (!lite) ASSERT_TRUE(database().write_now([](store::Tx& tx) { return tx.run("ANALYZE effects"); }));
  for (const auto& [query, index] : {std::pair("SELECT COALESCE(MAX(e.n), 0) + 1 FROM effects e WHERE e.job = 7", "effects_by_n"),
                                     {"SELECT COALESCE(MAX(e.place), 0) + 1 FROM effects e WHERE e.job = 7 AND e.place > 0", "effects_by_place"}}) {
    const std::string explain = std::string(lite ? "EXPLAIN QUERY PLAN " : "EXPLAIN ") + query;
    const auto plan = database().read_now([&](store::Tx& tx) { return tx.run(explain.c_str()); });
    ASSERT_TRUE(plan) << describe(plan.error());
    std::string text;
    for (const store::Row r : *plan) text += r.string(lite ? 3 : 0) + "\n";
    EXPECT_NE(text.find(index), std::string::npos) << text;
    const auto last = database().read_now([&](store::Tx& tx) { return tx.run(query); });
    ASSERT_TRUE(last);
    EXPECT_EQ((*last)[0].integer(0), kMany + 1);
  }
}

BALLAST_ON_BOTH_DATABASES(EffectsTest);

}  // namespace
}  // namespace ballast::records
