// The production checklist: each line by facts, as a table; and what the database tells of them.
#include "server/readiness.hpp"

#include <set>

#include "../../support/databases.hpp"
#include "api_house.hpp"
#include "records/audit.hpp"
#include "server/readiness_facts.hpp"
#include "work/job_rows.hpp"

namespace ballast::server {
namespace {

using namespace std::chrono_literals;
constexpr Duration kDay = 24h;

const WallTime kNow = WallTime(std::chrono::milliseconds(ballast::test::kNoonMs));

ConfiguredFacts good_configuration() {
  return {.outside = true, .alone = {}, .untried = {}, .unpriced = {}, .routes = 2, .degrading = 1, .structured = 0, .providers = 2, .wires = 2, .limits = 1, .budgets = 1,
          .flows = 1, .approvals = 1, .settles = 1, .classifiers = 0, .telemetry = true, .require_key = true, .tls = true, .loopback = false, .sqlite = false,
          .temporary = false, .retention = {}, .receivers = 1, .keys_without_end = {}};
}
SeenFacts good_sights() {
  return {.since = kNow - 30 * kDay, .calls = 100, .failed = 1, .direct = 0, .cache_hits = 5, .retried = 4, .fell_over = 2, .last_fall_over = kNow - kDay, .incurred_nano = 1'000'000,
          .dearest_nano = 90'000, .breakers_opened = 3, .breakers_open_now = 1, .jobs = 10, .dead = 0, .oldest_dead = {}, .approvals = 1, .verdicts = 1, .idempotent = 1,
          .budget_windows_charged = 1, .last_backup = kNow - kDay, .last_restore = kNow - kDay, .last_alert = kNow - kDay};
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
      {"request_cost", not_applicable, [](auto& f) { f.configured.outside = false; }},
      {"queue", unproven, [](auto& f) { f.seen->jobs = 0; }},
      {"retries", failed, [](auto& f) { f.configured.untried = {"chat"}; }},
      {"retries", unproven, [](auto& f) { f.seen->retried = 0; }},
      {"idempotency", unproven, [](auto& f) { f.seen->idempotent = 0; }},
      {"dead_letters", failed, [](auto& f) { f.seen->dead = 1; f.seen->oldest_dead = kNow - 4 * kDay; }},
      {"dead_letters", passed, [](auto& f) { f.seen->dead = 1; f.seen->oldest_dead = kNow - kDay; }},
      {"dead_letters", failed, [](auto& f) { f.configured.receivers = 0; }},
      {"dead_letters", unproven, [](auto& f) { f.configured.receivers.reset(); }},
      {"dead_letters", not_applicable, [](auto& f) { f.seen->jobs = 0; f.configured.flows = 0; }},
      {"external_state", failed, [](auto& f) { f.configured.temporary = true; }},
      {"cost_alerts", unproven, [](auto& f) { f.seen->last_alert = {}; }},
      {"cost_alerts", failed, [](auto& f) { f.seen->last_alert = {}; f.configured.receivers = 0; }},
      {"load_test", unproven, [](auto& f) { f.evidence.clear(); }},
      {"load_test", unproven, [](auto& f) { f.evidence[0].at = kNow - 181 * kDay; }},
      {"interface", failed, [](auto& f) { f.seen->direct = 51; }},
      {"interface", passed, [](auto& f) { f.seen->calls = 10; f.seen->direct = 10; }},
      {"breakers", unproven, [](auto& f) { f.seen->breakers_opened = f.seen->breakers_open_now = 1; }},
      {"breakers", unproven, [](auto& f) { f.seen->breakers_opened = f.seen->breakers_open_now = 0; }},
      {"rate_limits", failed, [](auto& f) { f.configured.limits = 0; }},
      {"observability", unproven, [](auto& f) { f.configured.telemetry = false; }},
      {"fallbacks", unproven, [](auto& f) { f.seen->fell_over = 0; }},
      {"evals", unproven, [](auto& f) { f.evidence.clear(); }},
      {"budgets", failed, [](auto& f) { f.configured.budgets = 0; }},
      {"budgets", unproven, [](auto& f) { f.seen->budget_windows_charged = 0; }},
      {"providers", unproven, [](auto& f) { f.configured.outside = false; }},
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

TEST(ReadinessLines, WhatAPersonToldCounts) {
  ReadinessFacts f = all_good();
  f.seen->fell_over = 0;
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
  calls[5].attempts = {calls[5].attempts[0], calls[5].attempts[0]};        // the same target again
  calls[5].attempts[0].outcome = "provider_error";
  calls[5].attempts[1].n = 1;
  calls.push_back(ballast::test::sample_call(99, -31LL * 86'400'000));   // too old to count
  std::ranges::sort(calls, {}, &records::CallRecord::id);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return records::add_calls(tx, calls); }));
  const SeenFacts s = seen();
  EXPECT_EQ(s.calls, 6u);
  EXPECT_EQ(s.direct, 1u);
  EXPECT_EQ(s.cache_hits, 1u);
  EXPECT_EQ(s.failed, 1u);
  EXPECT_EQ(s.retried, 2u);
  EXPECT_EQ(s.fell_over, 1u);
  EXPECT_EQ(s.last_fall_over, kNow + 4s);
  EXPECT_EQ(s.dearest_nano, 125'000);
  EXPECT_EQ(s.since, kNow + 1h - kReadinessLooksBack) << "all of it was looked at";
}

TEST_P(ReadinessFactsTest, BackupsAreInTheTrail) {
  const records::AuditEntry made{.actor = "command line", .action = std::string(records::audit::backup_made), .subject = "backup", .arguments = {}, .outcome = {}, .at = kNow};
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) { return records::append_audit(tx, records::admin_chain("0"), std::span(&made, 1), kNow); }));
  EXPECT_EQ(seen().last_backup, kNow);
  EXPECT_EQ(seen().last_restore, WallTime{});
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
