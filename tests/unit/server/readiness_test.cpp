// The production checklist: each line by facts, as a table; and what the database tells of them.
#include "server/readiness.hpp"

#include <set>

#include "../../support/databases.hpp"
#include "api_house.hpp"
#include "records/audit.hpp"
#include "server/readiness_facts.hpp"
#include "work/job_rows.hpp"
#include "work/outbox_rows.hpp"

namespace ballast::server {
namespace {

using namespace std::chrono_literals;
constexpr Duration kDay = 24h;

const WallTime kNow = WallTime(std::chrono::milliseconds(ballast::test::kNoonMs));

ConfiguredFacts good_configuration() {
  return {.real = {"openai", "anthropic"}, .alone = {}, .untried = {}, .unpriced = {}, .routes = 2, .degrading = 1, .structured = 0, .providers = 2, .wires = 2, .limits = 1, .budgets = 1,
          .flows = 1, .approvals = 1, .settles = 1, .classifiers = 0, .telemetry = true, .require_key = true, .tls = true, .loopback = false, .sqlite = false,
          .temporary = false, .retention = {}, .receivers = 1, .keys_without_end = {}};
}
SeenFacts good_sights() {
  return {.since = kNow - 30 * kDay, .calls = 100, .failed = 1, .direct = 0, .cache_hits = 5, .retried = 4, .fell_over = 2, .last_fall_over = kNow - kDay, .rescued = 1, .degraded = 1,
          .limited = 3, .over_budget = 2, .last_limited = kNow - kDay, .busiest_minute = 12, .answered_by = {"sim", "openai"}, .incurred_nano = 1'000'000, .dearest_nano = 90'000,
          .breakers_opened = 3, .breakers_open_now = 1, .budget_windows_charged = 1, .exported = 9, .not_exported = 0, .jobs = 10, .dead = 0, .redriven = 1, .oldest_dead = {},
          .approvals = 1, .verdicts = 1, .idempotent = 1, .last_backup = kNow - kDay, .last_restore = kNow - kDay, .last_alert = kNow - kDay, .last_alert_lost = {}, .alert_lost_why = {}};
}
ReadinessFacts all_good() {
  ReadinessFacts f{.now = kNow, .configured = good_configuration(), .seen = good_sights(), .evidence = {}};
  for (const char* line : {"load_test", "evals"}) f.evidence.push_back({.line = line, .at = kNow - kDay, .note = "done", .actor = "ann", .told = kNow - kDay});
  return f;
}

Readiness state_of(std::string_view id, const ReadinessFacts& facts, std::string* todo = nullptr) {
  for (const auto& line : readiness_lines()) {
    if (line.id != id) continue;
    const Judgement j = line.judge(facts);
    EXPECT_FALSE(j.evidence.empty()) << id;
    EXPECT_EQ(j.todo.empty(), j.state == Readiness::passed || j.state == Readiness::not_applicable) << id << ": " << j.evidence;
    if (todo) *todo = j.todo;
    return j.state;
  }
  ADD_FAILURE() << "no line " << id;
  return Readiness::unproven;
}

TEST(ReadinessLines, AllPassWhereAllIsWell) {
  std::set<std::string_view> ids;
  for (const auto& line : readiness_lines()) {
    EXPECT_TRUE(ids.insert(line.id).second) << line.id;
    EXPECT_EQ(state_of(line.id, all_good()), Readiness::passed) << line.id;
    EXPECT_EQ(line.see, "docs/readiness.md#" + std::string(line.id));
  }
  EXPECT_EQ(ids.size(), 24u);
}

TEST(ReadinessLines, EachIsJudgedByItsFacts) {
  struct Row {
    std::string_view line;
    Readiness state;
    void (*change)(ReadinessFacts&);
  };
  using enum Readiness;
  const Row rows[] = {
      {"when_wrong", unproven, [](auto& f) { f.seen->approvals = f.seen->verdicts = 0; }},
      {"when_wrong", unproven, [](auto& f) { f.seen->approvals = f.seen->verdicts = 0; f.configured.approvals = 0; }},
      {"when_down", failed, [](auto& f) { f.configured.alone = {"chat"}; }},
      {"when_down", failed, [](auto& f) { f.configured.routes = 0; }},
      {"explained", failed, [](auto& f) { f.configured.retention = kDay; }},
      {"explained", unproven, [](auto& f) { f.seen->calls = 0; }},
      {"explained", unproven, [](auto& f) { f.seen.reset(); }},
      {"critical_path", passed, [](auto& f) { f.configured.settles = 0; }},
      {"critical_path", unproven, [](auto& f) { f.configured.settles = 0; f.seen->jobs = 0; }},
      {"request_cost", failed, [](auto& f) { f.configured.unpriced = {"a/b"}; }},
      {"request_cost", unproven, [](auto& f) { f.seen->calls = 0; }},
      {"request_cost", not_applicable, [](auto& f) { f.configured.real.clear(); }},
      {"queue", unproven, [](auto& f) { f.seen->jobs = 0; }},
      {"retries", failed, [](auto& f) { f.configured.untried = {"chat"}; }},
      {"retries", unproven, [](auto& f) { f.seen->retried = 0; }},
      {"idempotency", unproven, [](auto& f) { f.seen->idempotent = 0; }},
      {"dead_letters", failed, [](auto& f) { f.seen->dead = 1; f.seen->oldest_dead = kNow - 4 * kDay; }},
      {"dead_letters", passed, [](auto& f) { f.seen->dead = 1; f.seen->oldest_dead = kNow - kDay; }},
      {"dead_letters", failed, [](auto& f) { f.configured.receivers = 0; }},
      {"dead_letters", unproven, [](auto& f) { f.configured.receivers.reset(); }},
      {"dead_letters", not_applicable, [](auto& f) { f.seen->jobs = 0; f.configured.flows = 0; }},
      {"dead_letters", passed, [](auto& f) { f.seen->redriven = 0; }},
      {"dead_letters", passed, [](auto& f) { f.seen->last_alert = {}; }},
      {"dead_letters", unproven, [](auto& f) { f.seen->last_alert = {}; f.seen->redriven = 0; }},
      {"dead_letters", unproven, [](auto& f) { f.seen.reset(); }},
      {"external_state", failed, [](auto& f) { f.configured.temporary = true; }},
      {"cost_alerts", unproven, [](auto& f) { f.seen->last_alert = {}; }},
      {"cost_alerts", failed, [](auto& f) { f.configured.receivers = 0; }},
      {"cost_alerts", failed, [](auto& f) { f.seen->last_alert_lost = kNow; }},
      {"cost_alerts", passed, [](auto& f) { f.seen->last_alert_lost = kNow - 2 * kDay; }},
      {"cost_alerts", unproven, [](auto& f) { f.seen.reset(); }},
      {"cost_alerts", unproven, [](auto& f) { f.configured.receivers.reset(); }},
      {"load_test", unproven, [](auto& f) { f.evidence.clear(); }},
      {"load_test", unproven, [](auto& f) { f.evidence[0].at = kNow - 181 * kDay; }},
      {"interface", failed, [](auto& f) { f.seen->direct = 51; }},
      {"interface", passed, [](auto& f) { f.seen->calls = 10; f.seen->direct = 10; }},
      {"breakers", unproven, [](auto& f) { f.seen->breakers_opened = f.seen->breakers_open_now = 1; }},
      {"breakers", unproven, [](auto& f) { f.seen->breakers_opened = f.seen->breakers_open_now = 0; }},
      {"rate_limits", passed, [](auto& f) { f.seen->limited = 0; }},
      {"rate_limits", passed, [](auto& f) { f.seen.reset(); }},
      {"rate_limits", failed, [](auto& f) { f.configured.limits = 0; }},
      {"observability", unproven, [](auto& f) { f.configured.telemetry = false; }},
      {"observability", unproven, [](auto& f) { f.seen->exported = 0; }},
      {"observability", failed, [](auto& f) { f.seen->exported = 0; f.seen->not_exported = 5; }},
      {"observability", passed, [](auto& f) { f.seen->not_exported = 5; }},
      {"fallbacks", passed, [](auto& f) { f.seen->fell_over = 0; }},
      {"fallbacks", unproven, [](auto& f) { f.seen->fell_over = f.seen->degraded = 0; }},
      {"evals", unproven, [](auto& f) { f.evidence.clear(); }},
      {"budgets", failed, [](auto& f) { f.configured.budgets = 0; }},
      {"budgets", unproven, [](auto& f) { f.seen->budget_windows_charged = 0; }},
      {"providers", unproven, [](auto& f) { f.configured.real.clear(); }},
      {"providers", unproven, [](auto& f) { f.seen->answered_by = {"sim"}; }},
      {"providers", unproven, [](auto& f) { f.seen.reset(); }},
      {"keys", failed, [](auto& f) { f.configured.require_key = false; }},
      {"keys", unproven, [](auto& f) { f.configured.require_key = false; f.configured.loopback = true; }},
      {"tls", unproven, [](auto& f) { f.configured.tls = false; }},
      {"tls", passed, [](auto& f) { f.configured.tls = false; f.configured.loopback = true; }},
      {"backup", failed, [](auto& f) { f.seen->last_backup = kNow - 8 * kDay; }},
      {"backup", unproven, [](auto& f) { f.seen->last_backup = {}; }},
      {"restore", unproven, [](auto& f) { f.seen->last_restore = {}; }},
  };
  for (const Row& r : rows) {
    ReadinessFacts f = all_good();
    r.change(f);
    EXPECT_EQ(to_string(state_of(r.line, f)), to_string(r.state)) << r.line << ", row " << &r - rows;
  }
}

TEST(ReadinessLines, TheEvidenceIsWhatWasSeen) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"when_wrong", "people answered 1 approval and gave 1 verdict"}, {"when_down", "2 calls were answered by another target"}, {"explained", "100 calls are on record"},
      {"critical_path", "10 jobs were done"}, {"request_cost", "of 100 calls"}, {"queue", "10 jobs went"}, {"retries", "4 calls needed"}, {"idempotency", "1 key is on record"},
      {"dead_letters", "0 are dead now, 1 driven again"}, {"cost_alerts", "a notice was delivered on "}, {"breakers", "opened 3 times"}, {"rate_limits", "3 calls were refused, the last on "},
      {"observability", "a collector took 9 spans"}, {"fallbacks", "(1 a stream that had begun), 1 by a route's own answer"}, {"budgets", "2 calls were refused for want of money"},
      {"providers", "1 of 2 providers answered calls in the last 30 days: openai"}, {"backup", "made on "}, {"restore", "restored on "}};
  for (const auto& [id, part] : rows) {
    const auto line = std::ranges::find(readiness_lines(), id, &ReadinessLine::id);
    EXPECT_NE(line->judge(all_good()).evidence.find(part), std::string::npos) << id << ": " << line->judge(all_good()).evidence;
  }
  ReadinessFacts f = all_good();
  f.evidence.clear();
  const auto load = std::ranges::find(readiness_lines(), "load_test", &ReadinessLine::id);
  EXPECT_NE(load->judge(f).evidence.find("the busiest minute had 12 calls"), std::string::npos);
}

TEST(ReadinessLines, WhatAPersonToldCounts) {
  ReadinessFacts f = all_good();
  f.seen->fell_over = f.seen->degraded = 0;
  std::string todo;
  EXPECT_EQ(state_of("fallbacks", f, &todo), Readiness::unproven);
  EXPECT_NE(todo.find("--record fallbacks="), std::string::npos);
  f.evidence.push_back({.line = "fallbacks", .at = kNow - kDay, .note = "\x1b[31mpulled the plug", .actor = "ann", .told = kNow});
  EXPECT_EQ(state_of("fallbacks", f), Readiness::passed);
  EXPECT_NE(told_line("load_test"), nullptr);
  EXPECT_EQ(told_line("when_down"), nullptr) << "figures show that";
  EXPECT_EQ(told_line("nothing"), nullptr);
}

TEST(ReadinessLines, OfflineNothingIsClaimed) {
  const auto answer = readiness_json({.now = kNow, .configured = good_configuration(), .seen = {}, .evidence = {}});
  EXPECT_EQ(answer.at("failed").to_number<int>(), 0);
  EXPECT_GT(answer.at("unproven").to_number<int>(), 5);
  EXPECT_FALSE(answer.contains("looked_back_to"));
  EXPECT_EQ(answer.at("lines").as_array().size(), readiness_lines().size());
}

class ReadinessFactsTest : public ballast::test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    std::vector<store::Migration> all(records::migrations().begin(), records::migrations().end());
    all.insert(all.end(), work::migrations().begin(), work::migrations().end());
    ASSERT_TRUE(database().migrate(all));
  }
  SeenFacts seen() {
    auto s = database().read_now([](store::Tx& tx) { return seen_in(tx, kNow + 1h); });
    EXPECT_TRUE(s) << describe(s.error());
    return s.value_or(SeenFacts{});
  }
};

TEST_P(ReadinessFactsTest, CallsAreCountedByWhatBecameOfThem) {
  const SeenFacts nothing = seen();
  EXPECT_EQ(nothing.calls, 0u);
  EXPECT_EQ(nothing.last_backup, WallTime{});
  std::vector<records::CallRecord> calls;
  for (std::uint64_t n = 0; n < 6; ++n) calls.push_back(ballast::test::sample_call(n, static_cast<std::int64_t>(n) * 1000));
  calls[1].route.clear();
  calls[2].cache = records::CacheState::hit;
  calls[3].status = records::CallStatus::failed;
  auto failed = calls[4].attempts[0];
  failed.provider = "other";
  failed.outcome = "provider_error";
  failed.incurred_nano = 0;
  calls[4].attempts = {failed, calls[4].attempts[0]};
  calls[4].attempts[1].n = 1;
  calls[4].attempts[0].cut = true;                                         // a stream that had begun
  calls[5].attempts = {calls[5].attempts[0], calls[5].attempts[0]};        // the same target again
  calls[5].attempts[0].outcome = "provider_error";
  calls[5].attempts[1].n = 1;
  const auto refused = [&](std::uint64_t n, std::string_view error) {
    auto c = ballast::test::sample_call(n, static_cast<std::int64_t>(n) * 1000);
    c.status = records::CallStatus::failed;
    c.error = error;
    c.provider = c.model = c.served_by = "";
    c.attempts.clear();
    return c;
  };
  calls.push_back(refused(6, "policy_rate_limited"));
  calls.push_back(refused(7, "policy_budget_exceeded"));
  auto own = ballast::test::sample_call(8, 8000);                          // every target failed: the route's own answer
  own.provider = own.model = "";
  own.served_by = "template";
  own.attempts[0].outcome = "provider_error";
  auto old = ballast::test::sample_call(9, 9000);
  old.cache = records::CacheState::stale;
  calls.push_back(own);
  calls.push_back(old);
  calls.push_back(ballast::test::sample_call(99, -31LL * 86'400'000));   // too old to count
  std::ranges::sort(calls, {}, &records::CallRecord::id);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); }));
  const SeenFacts s = seen();
  EXPECT_EQ(s.calls, 10u);
  EXPECT_EQ(s.direct, 1u);
  EXPECT_EQ(s.cache_hits, 2u);
  EXPECT_EQ(s.failed, 3u);
  EXPECT_EQ(s.retried, 2u);
  EXPECT_EQ(s.fell_over, 1u);
  EXPECT_EQ(s.last_fall_over, kNow + 4s);
  EXPECT_EQ(s.rescued, 1u);
  EXPECT_EQ(s.degraded, 2u);
  EXPECT_EQ(s.limited, 1u);
  EXPECT_EQ(s.last_limited, kNow + 6s);
  EXPECT_EQ(s.over_budget, 1u);
  EXPECT_EQ(s.busiest_minute, 10u);
  EXPECT_EQ(s.answered_by, std::vector<std::string>{"openai"});
  EXPECT_EQ(s.dearest_nano, 125'000);
  EXPECT_EQ(s.since, kNow + 1h - kReadinessLooksBack) << "all of it was looked at";
}

TEST_P(ReadinessFactsTest, BackupsAreInTheTrail) {
  const records::AuditEntry made{.actor = "command line", .action = std::string(records::audit::backup_made), .subject = "backup", .arguments = {}, .outcome = {}, .at = kNow};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return records::append_audit(tx, records::admin_chain("0"), std::span(&made, 1), kNow); }));
  EXPECT_EQ(seen().last_backup, kNow);
  EXPECT_EQ(seen().last_restore, WallTime{});
}

TEST_P(ReadinessFactsTest, NoticesCountOnceTheirReceiverTookThem) {
  EXPECT_EQ(seen().last_alert, WallTime{});
  work::JobIds ids(work::kMaxNode);
  const auto owe = [&](std::string kind) {
    const std::int64_t id = ids.next(kNow).value;
    EXPECT_TRUE(database().write_now([&](store::Tx& tx) { return work::insert_outbox(tx, {.id = id, .kind = std::move(kind), .url = "http://x", .body = "{}", .secret_ref = {}, .attempt = 0, .created = kNow}); }));
    return id;
  };
  const auto ended = [&](std::int64_t id, work::Delivery::Verdict how, Duration after) {
    const work::Delivery outcome{.verdict = how, .attempt = 1, .next = kNow + kDay, .status = 500, .why = "the receiver answered 500", .code = {}};
    EXPECT_TRUE(database().write_now([&](store::Tx& tx) { return work::settle_outbox(tx, id, outcome, kNow + after); }));
  };
  using enum work::Delivery::Verdict;
  ended(owe("job.done"), delivered, 1s);
  const auto first = owe("alert.firing"), second = owe("alert.test");
  EXPECT_EQ(seen().last_alert, WallTime{}) << "a job's webhook is no alert; what is owed is not delivered";
  ended(first, delivered, 2s);
  EXPECT_EQ(seen().last_alert, kNow + 2s);
  EXPECT_EQ(seen().last_alert_lost, WallTime{});
  ended(owe("alert.firing"), retry, 1s);
  EXPECT_EQ(seen().last_alert_lost, kNow) << "tried in vain so far";
  ended(second, dead, 3s);
  EXPECT_EQ(seen().last_alert_lost, kNow + 3s);
  EXPECT_EQ(seen().alert_lost_why, "the receiver answered 500");
  EXPECT_EQ(seen().last_alert, kNow + 2s);
}

TEST_P(ReadinessFactsTest, DeadLettersDrivenAgainAreInTheirTrails) {
  EXPECT_EQ(seen().redriven, 0u);
  const auto tell = [&](WallTime job, std::string_view act) {
    const std::string chain = to_string(work::first_job_id(job));
    const records::AuditEntry entry{.actor = "key:a", .action = std::string(act), .subject = chain, .arguments = {}, .outcome = {}, .at = kNow};
    ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return records::append_audit(tx, chain, std::span(&entry, 1), kNow); }));
  };
  tell(kNow - kDay, records::audit::job_redriven);
  tell(kNow - 2 * kDay, records::audit::job_redriven);
  tell(kNow - 3 * kDay, records::audit::job_cancelled);
  tell(kNow - 40 * kDay, records::audit::job_redriven);
  EXPECT_EQ(seen().redriven, 2u);
}

BALLAST_ON_BOTH_DATABASES(ReadinessFactsTest);

TEST(ReadinessApi, EvidenceIsToldByAdminsAndMistakesAreNamed) {
  test::House house;
  const auto tell = [&](std::string_view key, std::string body) { return house.ask("POST", "/api/readiness/evidence", key, std::move(body)); };
  EXPECT_EQ(tell(test::kReader, R"({"line":"evals"})").status, 403);
  EXPECT_EQ(house.ask("GET", "/api/readiness", test::kCaller).status, 403);
  test::expect_problem(tell(test::kAdmin, R"({"line":"nothing"})"), 400, "line");
  test::expect_problem(tell(test::kAdmin, R"({"line":"when_down"})"), 400, "line");
  test::expect_problem(tell(test::kAdmin, R"({"line":"evals","at":"2036-01-01"})"), 400, "at");
  test::expect_problem(tell(test::kAdmin, R"({"line":"evals","at":"yesterday"})"), 400, "at");
  test::expect_problem(tell(test::kAdmin, R"({"line":"evals","by":"me"})"), 400, "by");
  test::expect_problem(tell(test::kAdmin, fmt::format(R"({{"line":"evals","note":"{}"}})", std::string(2000, 'x'))), 400, "note");
  EXPECT_EQ(tell(test::kAdmin, R"({"line":"evals","at":"2026-11-20","note":"all green"})").status, 201);
}

}  // namespace
}  // namespace ballast::server
