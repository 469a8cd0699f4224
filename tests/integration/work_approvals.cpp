// Approvals on both databases: the first decision wins, over exactly what was shown, in time, and is used once; and all of it is on the run's chain.
#include <thread>

#include "../support/databases.hpp"
#include "records/audit.hpp"
#include "records/migrations.hpp"
#include "work/approval_rows.hpp"
#include "work/canonical.hpp"
#include "work/job_rows.hpp"

namespace ballast::work {
namespace {

namespace audit = records::audit;
using std::chrono::hours;
using std::chrono::minutes;

const WallTime kNow{std::chrono::microseconds(1'763'700'000'123'456)};
const JobId kJob = *parse_job_id("job_0123456789abc");

json::value J(std::string_view text) { return *parse_json(text); }
Decider person(std::string user) { return {.key_id = "key_" + user, .key_name = user, .user = user}; }

class ApprovalsTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(records::migrations()));
    const auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
    add_job(kJob);
  }
  void add_job(JobId id) {
    Job job;
    job.id = id;
    job.spec.kind = JobKind::flow;
    job.spec.name = "mails";
    job.state = JobState::waiting;
    job.input = "{}";
    const NewJob made{.job = std::make_shared<const Job>(std::move(job))};
    const NewJob* one = &made;
    const auto done = database().write_now([&](store::Tx& tx) { return insert_jobs(tx, std::span(&one, 1), kNow); });
    ASSERT_TRUE(done) << describe(done.error());
  }
  static ApprovalAsk mail() {
    return {.job = kJob, .path = "check", .input = sha256("question"), .shown = J(R"({"to":"a@example.org","text":"hello"})"), .flow = "mails",
            .definition = sha256("flow"), .policy = "always", .key_id = "key_submitter", .user = "sue", .assignees = {"user:anna", "user:bob"},
            .edit = {.allowed = true, .paths = {"text"}, .schema = {}}, .expires = kNow + hours(1)};
  }
  ApprovalId ask(const ApprovalAsk& what = mail(), WallTime now = kNow) {
    const auto id = database().write_now([&](store::Tx& tx) { return request_approval(tx, what, now); });
    EXPECT_TRUE(id) << describe(id.error());
    return id.value_or(ApprovalId{});
  }
  Result<Approval> decide(Decision d, WallTime now = kNow + minutes(1)) {
    return database().write_now([&](store::Tx& tx) { return decide_approval(tx, d, now); });
  }
  Decision approve(ApprovalId id, std::string user = "anna") {
    return {.id = id, .choice = Decision::Choice::approve, .seen = value_digest(mail().shown), .value = {}, .note = {}, .by = person(std::move(user))};
  }
  Decision edit(ApprovalId id, std::string_view value) {
    Decision d = approve(id);
    d.choice = Decision::Choice::edit;
    d.value = J(value);
    return d;
  }
  Approval get(ApprovalId id) { return **database().read_now([&](store::Tx& tx) { return get_approval(tx, id); }); }
  Result<Approval> take(ApprovalId id, const Binding& bound) { return database().write_now([&](store::Tx& tx) { return take_decision(tx, id, bound, kNow); }); }
  std::vector<Approval> waiting_decisions(JobId job = kJob) { return *database().read_now([&](store::Tx& tx) { return decisions_of(tx, job); }); }
  // "action by actor" of the run's chain, in order.
  std::vector<std::string> chain(JobId job = kJob) {
    std::vector<std::string> out;
    for (const auto& row : *database().read_now([&](store::Tx& tx) { return records::list_audit(tx, to_string(job), 0, 100); }))
      out.push_back(row.entry.action + " by " + row.entry.actor);
    return out;
  }
  records::AuditEntry last_entry() { return database().read_now([&](store::Tx& tx) { return records::list_audit(tx, to_string(kJob), 0, 100); })->back().entry; }
  static void expect(const Result<Approval>& result, ErrorCode code, std::string_view words = {}) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << describe(result.error());
    EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
  }
};

TEST_P(ApprovalsTest, WhatIsAskedIsKeptWholeAndDecidedOnce) {
  auto what = mail();
  what.escalate = {.at = kNow + minutes(30), .to = "group:board"};
  what.edit.schema = J(R"({"type":"object"})");
  const ApprovalId id = ask(what);
  EXPECT_EQ(to_string(id), "appr_0123456789abc_1");
  const Approval asked = get(id);
  EXPECT_EQ(asked.ask.shown, what.shown);
  EXPECT_EQ(asked.digest, value_digest(what.shown));
  EXPECT_EQ(asked.ask.assignees, what.assignees);
  EXPECT_EQ(asked.ask.edit.paths, what.edit.paths);
  EXPECT_EQ(asked.ask.edit.schema, what.edit.schema);
  EXPECT_EQ(asked.ask.escalate->to, "group:board");
  EXPECT_EQ(asked.binding(), (Binding{what.input, asked.digest, what.definition, sha256("always"), "key_submitter", "sue"}));

  Decision d = approve(id);
  d.note = "fine — go";
  const auto done = decide(d);
  ASSERT_TRUE(done) << describe(done.error());
  const Approval now = get(id);
  EXPECT_EQ(now.state, ApprovalState::approved);
  EXPECT_EQ(now.by, "user:anna");
  EXPECT_EQ(now.note, "fine — go");
  EXPECT_EQ(now.value_digest, now.digest);
  expect(decide(approve(id, "bob")), ErrorCode::caller_conflict, "approved already, by user:anna");
  EXPECT_EQ(chain(), (std::vector<std::string>{"approval.requested by system", "approval.granted by user:anna"}));
  EXPECT_EQ(last_entry().arguments, now.digest);
}

TEST_P(ApprovalsTest, OfManyDecidersExactlyOneWins) {
  for (int round = 0; round < 5; ++round) {
    const ApprovalId id = ask();
    std::atomic<int> won{0}, lost{0}, other{0};
    {
      std::vector<std::jthread> people;
      for (int i = 0; i < 6; ++i)
        people.emplace_back([&, i] {
          Decision d = approve(id, i % 2 ? "anna" : "bob");
          if (i % 3 == 0) d.choice = Decision::Choice::reject;
          const auto done = decide(d);
          ++(done ? won : done.error().code == ErrorCode::caller_conflict ? lost : other);
        });
    }
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, 5);
    EXPECT_EQ(other, 0);
    const auto told = chain();
    EXPECT_EQ(told.size(), 2u * (static_cast<std::size_t>(round) + 1)) << "one request and one decision a round";
  }
}

TEST_P(ApprovalsTest, WhatWasSeenMustBeWhatIsAsked) {
  const ApprovalId id = ask();
  Decision stale = approve(id);
  stale.seen = value_digest(J(R"({"to":"a@example.org","text":"hello, yesterday"})"));
  expect(decide(stale), ErrorCode::caller_conflict, "what you saw is not what is asked");
  stale.seen = Digest{};
  expect(decide(stale), ErrorCode::caller_conflict);
  EXPECT_EQ(get(id).state, ApprovalState::pending);
  EXPECT_TRUE(decide(approve(id)));
}

TEST_P(ApprovalsTest, OnlyThoseAskedDecide) {
  const ApprovalId id = ask();
  expect(decide(approve(id, "eve")), ErrorCode::caller_not_found);
  Decision own = approve(id, "anna");
  own.by.key_id = "key_submitter";
  expect(decide(own), ErrorCode::caller_forbidden, "who submitted the run");
  expect(decide(approve({kJob, 9})), ErrorCode::caller_not_found);
  Decision admin = approve(id);
  admin.by = {.key_id = "admin", .key_name = "admin", .admin = true};
  ASSERT_TRUE(decide(admin));
  EXPECT_NE(last_entry().outcome.find("as an administrator"), std::string::npos);
}

TEST_P(ApprovalsTest, AnEditChangesWhatItMayAndHasItsOwnDigest) {
  const ApprovalId id = ask();
  expect(decide(edit(id, R"({"to":"evil@example.org","text":"hello"})")), ErrorCode::caller_invalid_request);
  Decision without = edit(id, "1");
  without.value.reset();
  expect(decide(without), ErrorCode::caller_invalid_request);
  const auto value = J(R"({"to":"a@example.org","text":"good evening"})");
  ASSERT_TRUE(decide(edit(id, to_json(value))));
  const Approval now = get(id);
  EXPECT_EQ(now.state, ApprovalState::edited);
  EXPECT_EQ(now.value, value);
  EXPECT_EQ(now.value_digest, value_digest(value));
  EXPECT_NE(now.value_digest, now.digest);
  EXPECT_EQ(last_entry().action, audit::approval_edited);
  EXPECT_EQ(last_entry().arguments, now.value_digest);
  EXPECT_NE(last_entry().outcome.find(to_hex(now.digest)), std::string::npos) << "and what it was edited from";
}

TEST_P(ApprovalsTest, TimeIsOverWhenItIsOver) {
  const ApprovalId id = ask();
  expect(decide(approve(id), kNow + hours(1)), ErrorCode::caller_conflict, "expired");
  EXPECT_TRUE(database().write_now([&](store::Tx& tx) { return expire_due(tx, kNow + minutes(59), 10); })->empty());
  const auto expired = database().write_now([&](store::Tx& tx) { return expire_due(tx, kNow + hours(1), 10); });
  ASSERT_EQ(expired->size(), 1u);
  EXPECT_EQ((*expired)[0].id, id);
  expect(decide(approve(id), kNow + minutes(2)), ErrorCode::caller_conflict, "expired");
  ASSERT_EQ(waiting_decisions().size(), 1u);
  EXPECT_EQ(waiting_decisions()[0].state, ApprovalState::expired);
  EXPECT_EQ(chain().back(), "approval.expired by system");
}

TEST_P(ApprovalsTest, NobodyAnswersAndOneMoreIsAskedOnce) {
  auto what = mail();
  what.escalate = {.at = kNow + minutes(10), .to = "user:boss"};
  const ApprovalId id = ask(what);
  const auto escalate = [&](WallTime now) { return database().write_now([&](store::Tx& tx) { return escalate_due(tx, now, 10); })->size(); };
  expect(decide(approve(id, "boss"), kNow + minutes(5)), ErrorCode::caller_not_found);
  EXPECT_EQ(escalate(kNow + minutes(9)), 0u);
  EXPECT_EQ(escalate(kNow + minutes(10)), 1u);
  EXPECT_EQ(escalate(kNow + minutes(11)), 0u);
  EXPECT_EQ(chain().back(), "approval.escalated by system");
  EXPECT_TRUE(decide(approve(id, "boss"), kNow + minutes(12)));
}

TEST_P(ApprovalsTest, ADecisionIsUsedOnceAndOnlyForWhatItIsBoundTo) {
  const ApprovalId id = ask();
  const Binding bound = get(id).binding();
  expect(take(id, bound), ErrorCode::caller_conflict, "pending");
  ASSERT_TRUE(decide(edit(id, R"({"to":"a@example.org","text":"edited"})")));
  ASSERT_EQ(waiting_decisions().size(), 1u);
  struct Drift { const char* what; Binding now; };
  std::vector<Drift> drifts(6, {"", bound});
  drifts[0].what = "the value", drifts[0].now.shown = sha256("other");
  drifts[1].what = "the question", drifts[1].now.input = sha256("other");
  drifts[2].what = "definition", drifts[2].now.definition = sha256("other");
  drifts[3].what = "the policy", drifts[3].now.policy = sha256("never");
  drifts[4].what = "the principal", drifts[4].now.key_id = "key_other";
  drifts[5].what = "the principal", drifts[5].now.user = "";
  for (const auto& d : drifts) expect(take(id, d.now), ErrorCode::caller_conflict, d.what);
  const auto taken = take(id, bound);
  ASSERT_TRUE(taken) << describe(taken.error());
  EXPECT_EQ(taken->value->at("text"), "edited");
  expect(take(id, bound), ErrorCode::caller_conflict, "used already");
  EXPECT_TRUE(waiting_decisions().empty());
}

TEST_P(ApprovalsTest, ARowThatWasTamperedWithIsNotTaken) {
  const ApprovalId id = ask();
  const Binding bound = get(id).binding();
  ASSERT_TRUE(decide(approve(id)));
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return tx.run(R"(UPDATE approvals SET shown = '{"to":"evil@example.org","text":"hello"}')"); }));
  expect(take(id, bound), ErrorCode::caller_conflict, "the value");
}

TEST_P(ApprovalsTest, AskingAnewWithdrawsTheOldQuestion) {
  const ApprovalId first = ask();
  auto changed = mail();
  changed.shown = J(R"({"to":"a@example.org","text":"another"})");
  const ApprovalId second = ask(changed);
  EXPECT_EQ(second.n, 2);
  expect(decide(approve(first)), ErrorCode::caller_conflict, "withdrawn");
  expect(decide(approve(second)), ErrorCode::caller_conflict, "what you saw");
  auto other = mail();
  other.path = "another stage";
  const ApprovalId third = ask(other);
  EXPECT_EQ(get(second).state, ApprovalState::pending) << "another stage's question leaves it alone";
  EXPECT_TRUE(waiting_decisions().empty()) << "a withdrawn one is no decision";
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return withdraw_approvals(tx, kJob, "cancelled", kNow); }), 2u);
  EXPECT_EQ(get(third).state, ApprovalState::withdrawn);
}

TEST_P(ApprovalsTest, NobodyDecidesForARunThatHasEnded) {
  const ApprovalId id = ask();
  const Transition end{.id = kJob, .fence = 0, .state = JobState::cancelled, .attempt = 0, .due = {}, .finished = kNow, .output = {}, .error = {}};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto done = apply_transitions(tx, std::span(&end, 1)); !done) return fail(done.error());
    return true;
  }));
  expect(decide(approve(id)), ErrorCode::caller_conflict, "its run has ended");
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return withdraw_orphans(tx, kNow, 10); }), 1u);
  EXPECT_EQ(chain().back(), "approval.withdrawn by system");
  ASSERT_EQ(database().write_now([&](store::Tx& tx) { return sweep_jobs(tx, {}, kNow + hours(24), hours(1), 100); })->deleted, 1u);
  EXPECT_FALSE(*database().read_now([&](store::Tx& tx) { return get_approval(tx, id); })) << "they go with their run";
}

TEST_P(ApprovalsTest, ARunThatWasNotToldIsFound) {
  const ApprovalId id = ask();
  const auto found = [&](WallTime before) { return *database().read_now([&](store::Tx& tx) { return undelivered(tx, before, 10); }); };
  EXPECT_TRUE(found(kNow + hours(2)).empty());
  ASSERT_TRUE(decide(approve(id), kNow + minutes(1)));
  EXPECT_TRUE(found(kNow + minutes(1)).empty());
  EXPECT_EQ(found(kNow + minutes(2)), std::vector<JobId>{kJob});
  ASSERT_TRUE(take(id, get(id).binding()));
  EXPECT_TRUE(found(kNow + minutes(2)).empty());
}

TEST_P(ApprovalsTest, TheInboxHasItsPagesAndShowsOnlyOnesOwn) {
  std::vector<JobId> jobs;
  for (int i = 1; i <= 7; ++i) {
    jobs.push_back(JobId{kJob.value + i});
    add_job(jobs.back());
    auto what = mail();
    what.job = jobs.back();
    if (i % 2) what.assignees = {"group:editors"};
    ask(what);
    what.path = "second";
    what.assignees.clear();
    if (i == 3) ask(what);
  }
  ASSERT_TRUE(decide([&] { Decision d = approve({jobs[1], 1}); return d; }()));
  const auto list = [&](ApprovalFilter f) { return *database().read_now([&](store::Tx& tx) { return list_approvals(tx, f); }); };
  const auto ids = [](const ApprovalPage& page) {
    std::vector<std::int64_t> out;
    for (const auto& a : page.approvals) out.push_back((a.id.job.value - kJob.value) * 10 + a.id.n);
    return out;
  };
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(ids(list({})), (Ids{71, 61, 51, 41, 32, 31, 11}));
  EXPECT_EQ(ids(list({.assignee = "group:editors"})), (Ids{71, 51, 31, 11}));
  EXPECT_EQ(ids(list({.seen_by = person("anna")})), (Ids{61, 41, 32}));
  EXPECT_EQ(ids(list({.state = ApprovalState::approved})), (Ids{21}));
  EXPECT_EQ(ids(list({.state = {}, .job = jobs[2]})), (Ids{32, 31}));
  const auto page = list({.limit = 5});
  EXPECT_EQ(ids(page), (Ids{71, 61, 51, 41, 32}));
  EXPECT_EQ(ids(list({.before = page.next})), (Ids{31, 11}));
  EXPECT_TRUE(page.approvals[0].ask.shown.is_null());
}

TEST_P(ApprovalsTest, AQuestionThatCannotBeAnsweredIsNotAsked) {
  const auto refused = [&](const ApprovalAsk& what) {
    const auto id = database().write_now([&](store::Tx& tx) { return request_approval(tx, what, kNow); });
    return id ? std::string() : id.error().field + ": " + std::string(to_string(id.error().code));
  };
  auto large = mail(), nobody = mail(), past = mail(), escalation = mail();
  large.shown = json::value(std::string(kMaxShown, 'x'));
  nobody.assignees = {"anna"};
  past.expires = kNow;
  escalation.escalate = {.at = kNow, .to = ""};
  EXPECT_EQ(refused(large), "check: caller_too_large");
  for (const auto& what : {nobody, past, escalation}) EXPECT_EQ(refused(what), "check: caller_invalid_request");
  EXPECT_TRUE(chain().empty());
}

BALLAST_ON_BOTH_DATABASES(ApprovalsTest);

}  // namespace
}  // namespace ballast::work
