// What people say of answers: one verdict each, joined to what the ledger says they cost, and forgotten with its user.
#include "records/feedback.hpp"

#include "../../support/databases.hpp"
#include "../../support/records_samples.hpp"
#include "records/evidence.hpp"
#include "records/audit.hpp"
#include "records/migrations.hpp"
#include "records/reconcile.hpp"

namespace ballast::records {
namespace {

using test::kNoonMs;
using test::sample_call;

WallTime noon(std::int64_t plus_ms = 0) { return WallTime(std::chrono::milliseconds(kNoonMs + plus_ms)); }

class FeedbackTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(migrations()));
  }
  CallRecord call(std::uint64_t n, std::string model = "small", std::int64_t nano = 1000, std::int64_t at_ms = 0) {
    CallRecord c = sample_call(n, at_ms);
    c.model = c.attempts[0].model = std::move(model);
    c.incurred_nano = c.attempts[0].incurred_nano = nano;
    EXPECT_TRUE(database().write_now([&](store::Tx& tx) { return add_calls(tx, {&c, 1}); }));
    return c;
  }
  Id judge(const CallRecord& c, bool good, std::string user = "alice", std::string comment = {}, std::optional<double> score = {}) {
    const Feedback f{.id = new_id(noon(++given_)), .subject = subject_of(c), .user = std::move(user), .good = good, .score = score, .comment = std::move(comment), .key_id = "key_1", .given = noon(given_)};
    const auto id = database().write_now([&](store::Tx& tx) { return put_feedback(tx, f); });
    EXPECT_TRUE(id) << describe(id.error());
    return id.value_or(Id{});
  }
  FeedbackReport report(FeedbackBy by, WallTime from = {}, WallTime to = noon(86'400'000)) {
    auto r = database().read_now([&](store::Tx& tx) { return feedback_report(tx, from, to, by); });
    EXPECT_TRUE(r) << describe(r.error());
    return r.value_or(FeedbackReport{});
  }
  std::vector<Feedback> said_of(const CallRecord& c) {
    return *database().read_now([&](store::Tx& tx) { return feedback_of(tx, to_string(c.id, "call")); });
  }
  std::int64_t given_ = 0;
};

TEST_P(FeedbackTest, ALaterVerdictReplacesTheOneBefore) {
  const auto c = call(1);
  const Id first = judge(c, false, "alice", "wrong");
  EXPECT_EQ(judge(c, true, "alice", "after all", 0.75), first) << "it is the same verdict, changed";
  judge(c, false, "bob");
  const auto said = said_of(c);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0].user, "bob") << "newest first";
  EXPECT_FALSE(said[0].score);
  EXPECT_TRUE(said[1].good);
  EXPECT_EQ(said[1].comment, "after all");
  EXPECT_EQ(said[1].score, 0.75);
  const auto all = report(FeedbackBy::all);
  ASSERT_EQ(all.rows.size(), 1u);
  EXPECT_EQ(all.rows[0].good, 1u);
  EXPECT_EQ(all.rows[0].bad, 1u);
  EXPECT_EQ(all.rows[0].judged, 1u);
  EXPECT_EQ(all.rows[0].successful, 0u) << "as many for as against";
  EXPECT_EQ(all.rows[0].incurred_nano, 1000) << "two verdicts on a call do not double its cost";
}

TEST_P(FeedbackTest, GroupsAddUpToTheLedgersMoney) {
  for (std::uint64_t n = 0; n < 60; ++n) judge(call(n, n % 3 ? "small" : "large", static_cast<std::int64_t>(n), static_cast<std::int64_t>(n) * 1000), n % 4 != 0);
  std::int64_t small = 0, large = 0;
  for (std::int64_t n = 0; n < 60; ++n) (n % 3 ? small : large) += n;
  const auto by_model = report(FeedbackBy::model);
  ASSERT_EQ(by_model.rows.size(), 2u);
  EXPECT_EQ(by_model.rows[0].group, "small") << "most verdicts first";
  EXPECT_EQ(by_model.rows[0].good + by_model.rows[0].bad, 40u);
  EXPECT_EQ(by_model.rows[0].incurred_nano, small);
  EXPECT_EQ(by_model.rows[1].incurred_nano, large);
  EXPECT_EQ(by_model.rows[1].successful, 15u);
  EXPECT_FALSE(by_model.cut);
  for (const auto& [by, group] : {std::pair(FeedbackBy::route, "chat"), {FeedbackBy::feature, "search"}, {FeedbackBy::user, "alice"}, {FeedbackBy::team, "web"},
                                  {FeedbackBy::provider, "openai"}, {FeedbackBy::day, "2026-11-21"}, {FeedbackBy::key, "key_01jd0000000000000000000001"}}) {
    const auto r = report(by);
    ASSERT_EQ(r.rows.size(), 1u) << group;
    EXPECT_EQ(r.rows[0].group, group);
    EXPECT_EQ(r.rows[0].incurred_nano, small + large);
  }
  EXPECT_EQ(report(FeedbackBy::all, noon(10'000), noon(20'000)).rows.at(0).judged, 10u) << "by the time of the call";
}

TEST_P(FeedbackTest, TheReportHasTheCostThatTheLedgerHasNow) {
  CallRecord c = sample_call(7);
  c.attempts[0].cost = Cost::unknown;
  c.attempts[0].windows = {};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return add_calls(tx, {&c, 1}); }));
  judge(c, true);
  EXPECT_EQ(report(FeedbackBy::all).rows.at(0).incurred_nano, 125'000);
  const Reconciliation by{.call = c.id, .attempt = 0, .incurred = {40'000}, .actor = "ann", .at = noon(5000)};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return reconcile(tx, by); }));
  EXPECT_EQ(report(FeedbackBy::all).rows.at(0).incurred_nano, 40'000);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return delete_calls(tx, noon(86'400'000), 10); }));
  EXPECT_EQ(report(FeedbackBy::all).rows.at(0).incurred_nano, 125'000) << "what was noted, once the ledger has forgotten the call";
}

TEST_P(FeedbackTest, AnErasedUserIsForgotten) {
  const auto mine = call(1), other = call(2);
  judge(mine, true, "alice", "my number is 555");
  judge(mine, false, "reviewer", "alice was upset");
  Feedback theirs{.id = new_id(noon()), .subject = subject_of(other), .user = "bob", .good = true, .score = {}, .comment = "fine", .key_id = {}, .given = noon()};
  theirs.subject.user = "bob";
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return put_feedback(tx, theirs); }));
  const auto gone = database().write_now([&](store::Tx& tx) { return erase_feedback(tx, "alice", "erased-1"); });
  EXPECT_EQ(*gone, 2u) << "what he said, and what was said of his calls";
  const auto said = said_of(mine);
  ASSERT_EQ(said.size(), 2u);
  for (const auto& f : said) EXPECT_TRUE(f.comment.empty() && f.user != "alice") << f.user;
  EXPECT_EQ(said_of(other).at(0).comment, "fine");
  std::vector<std::string> users;
  for (const auto& row : report(FeedbackBy::user).rows) users.push_back(row.group);
  EXPECT_EQ(users, (std::vector<std::string>{"erased-1", "bob"})) << "the figures stay";
}

TEST_P(FeedbackTest, HostileTextIsKeptOrMadeHarmlessAndOldSubjectsGo) {
  const auto c = call(1);
  judge(c, true, "al'; DROP TABLE feedback; --", std::string("a\0b\xff<script>", 12));
  ASSERT_EQ(said_of(c).size(), 1u);
  EXPECT_EQ(said_of(c)[0].comment, "a?b?<script>");
  judge(c, true, "long", std::string(kMaxComment + 10, 'x'));
  EXPECT_EQ(said_of(c)[0].comment.size(), kMaxComment);
  judge(call(2, "small", 1, 60'000), true);
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return delete_feedback(tx, noon(30'000), 1); }), 1u) << "a step at a time";
  EXPECT_EQ(*database().write_now([&](store::Tx& tx) { return delete_feedback(tx, noon(30'000), 10); }), 1u);
  EXPECT_EQ(report(FeedbackBy::all).rows.at(0).judged, 1u);
}

TEST_P(FeedbackTest, OneAnswerIsJudgedByAThousandAtMost) {
  const auto c = call(1);
  const auto put = [&](std::uint64_t n) {
    const Feedback f{.id = new_id(noon()), .subject = subject_of(c), .user = "user-" + std::to_string(n), .good = true, .score = {}, .comment = {}, .key_id = {}, .given = noon()};
    return database().write_now([&](store::Tx& tx) { return put_feedback(tx, f); });
  };
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<void> {
    for (std::uint64_t n = 0; n < kMostVerdicts; ++n) {
      const Feedback f{.id = new_id(noon()), .subject = subject_of(c), .user = "user-" + std::to_string(n), .good = true, .score = {}, .comment = {}, .key_id = {}, .given = noon()};
      if (auto kept = put_feedback(tx, f); !kept) return fail(kept.error());
    }
    return {};
  }));
  EXPECT_EQ(put(kMostVerdicts).error().code, ErrorCode::caller_conflict);
  EXPECT_TRUE(put(7)) << "who has judged may change his mind";
}

TEST_P(FeedbackTest, EvidenceIsToldOnceALineAndInTheTrail) {
  const auto tell = [&](WallTime at, std::string note) {
    const Evidence e{.line = "load_test", .at = at, .note = std::move(note), .actor = "key:k", .told = noon(1000)};
    const auto done = database().write_now([&](store::Tx& tx) -> Result<bool> {
      if (auto put = put_evidence(tx, e); !put) return std::unexpected(put.error());
      return true;
    });
    EXPECT_TRUE(done) << describe(done.error());
  };
  tell(noon(), "at twice");
  tell(noon(500), "at three times");
  const auto evidence = *database().read_now([](store::Tx& tx) { return list_evidence(tx); });
  ASSERT_EQ(evidence.size(), 1u);
  EXPECT_EQ(evidence[0].note, "at three times");
  EXPECT_EQ(evidence[0].at, noon(500));
  const auto told = *database().read_now([](store::Tx& tx) { return list_audit(tx, admin_chain("0"), 0, 10); });
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].entry.action, kEvidenceTold);
  EXPECT_EQ(told[1].entry.subject, "load_test");
}

BALLAST_ON_BOTH_DATABASES(FeedbackTest);

TEST(Wilson, IsTheIntervalOfThePaper) {
  struct Row {
    std::uint64_t good, all;
    double low, high;
  };
  // Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
  for (const Row& r : {Row{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}}) {
    const Share s = wilson(r.good, r.all);
    EXPECT_NEAR(s.low, r.low, 0.0001) << r.good << " of " << r.all;
    EXPECT_NEAR(s.high, r.high, 0.0001) << r.good << " of " << r.all;
  }
  EXPECT_EQ(wilson(0, 0).low, 0);
  EXPECT_EQ(wilson(0, 0).high, 1);
  EXPECT_EQ(wilson(5, 5).high, 1);
  EXPECT_NEAR(wilson(500'000'000'000, 1'000'000'000'000).high - wilson(500'000'000'000, 1'000'000'000'000).low, 0, 1e-5);
}

}  // namespace
}  // namespace ballast::records
