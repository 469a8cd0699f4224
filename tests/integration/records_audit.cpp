// The audit trail on both databases: chains grow without forks, are retired with a tombstone, and what values a run keeps.
#include <thread>

#include "../support/databases.hpp"
#include "records/audit.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

const WallTime kNow{std::chrono::microseconds(1'763'700'000'123'456)};

AuditEntry entry(std::string subject, std::string_view action = audit::effect_dispatched) {
  return {.actor = "worker:w1", .action = std::string(action), .subject = subject, .arguments = sha256(subject), .outcome = R"({"status":200})"};
}

class AuditTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
  }
  ChainHead append(std::string_view chain, std::vector<AuditEntry> entries) {
    auto head = database().write_now([&](store::Tx& tx) { return append_audit(tx, chain, entries, kNow); });
    EXPECT_TRUE(head) << describe(head.error());
    return head.value_or(ChainHead{});
  }
  std::vector<AuditRow> list(std::string_view chain, std::int64_t after = 0, std::size_t limit = 1000) {
    auto rows = database().read_now([&](store::Tx& tx) { return list_audit(tx, chain, after, limit); });
    EXPECT_TRUE(rows) << describe(rows.error());
    return rows.value_or(std::vector<AuditRow>{});
  }
  ChainHead head(std::string_view chain) { return *database().read_now([&](store::Tx& tx) { return audit_head(tx, chain); }); }
};

TEST_P(AuditTest, EntriesFollowEachOtherAndTheHeadIsTheNewest) {
  append("job_1", {entry("charge"), entry("charge", audit::effect_confirmed)});
  const ChainHead end = append("job_1", {entry("mail")});
  append("job_2", {entry("other")});
  const auto rows = list("job_1");
  ASSERT_EQ(rows.size(), 3u);
  Digest previous{};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].seq, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(rows[i].previous, previous);
    EXPECT_EQ(rows[i].hash, audit_hash("job_1", rows[i].seq, previous, rows[i].entry));
    previous = rows[i].hash;
  }
  EXPECT_EQ(end, (ChainHead{3, previous}));
  EXPECT_EQ(head("job_1"), end);
  AuditEntry stored = entry("mail");
  stored.at = kNow;
  EXPECT_EQ(rows[2].entry, stored);
  EXPECT_EQ(list("job_1", 1, 1).at(0).entry.action, audit::effect_confirmed);
  EXPECT_EQ(list("job_2").size(), 1u);
  EXPECT_EQ(head("nobody"), ChainHead{});
}

TEST_P(AuditTest, WhatACallerCallsThingsNeverStopsAnEntry) {
  append("job_1", {{.actor = std::string("a\0b\xff", 4), .action = "effect.dispatched", .subject = std::string(9'000, 'x') + "é", .outcome = std::string(10'000, 'y')}});
  const auto row = list("job_1").at(0);
  EXPECT_EQ(row.entry.actor, "a?b?");
  EXPECT_EQ(row.entry.subject.size(), kMaxAuditText);
  EXPECT_EQ(row.entry.outcome.size(), kMaxAuditOutcome);
  EXPECT_EQ(row.hash, audit_hash("job_1", 1, {}, row.entry));
  const auto nameless = database().write_now([&](store::Tx& tx) { return append_audit(tx, "", std::vector{entry("x")}, kNow); });
  ASSERT_FALSE(nameless);
  EXPECT_EQ(nameless.error().code, ErrorCode::caller_invalid_request);
}

TEST_P(AuditTest, ManyChainsGrowInOneTransactionAndOneMayComeTwice) {
  std::vector<std::string> names;
  for (int i = 0; i < 150; ++i) names.push_back("job_" + std::to_string(i));
  append(names[7], {entry("before")});
  std::vector<std::vector<AuditEntry>> entries;
  for (std::size_t i = 0; i < names.size(); ++i) entries.push_back({entry("a"), entry("b")});
  std::vector<AuditAppend> appends;
  for (std::size_t i = 0; i < names.size(); ++i) appends.push_back({names[i], entries[i]});
  appends.push_back({names[3], entries[3]});
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto done = append_audits(tx, appends, kNow); !done) return fail(done.error());
    return true;
  }));
  EXPECT_EQ(head(names[0]).length, 2);
  EXPECT_EQ(head(names[7]).length, 3);
  EXPECT_EQ(head(names[3]).length, 4);
  EXPECT_EQ(list(names[3]).at(3).entry.subject, "b");
  EXPECT_EQ(head(names[149]).length, 2);
}

TEST_P(AuditTest, WritersOfOneChainNeverForkIt) {
  constexpr int kWriters = 4, kEach = 25;
  std::atomic<int> failed{0};
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < kWriters; ++w)
      writers.emplace_back([&, w] {
        for (int i = 0; i < kEach; ++i) {
          const std::vector<AuditEntry> one = {entry(std::to_string(w) + "." + std::to_string(i)), entry("second")};
          failed += !database().write_now([&](store::Tx& tx) { return append_audit(tx, i == 0 ? "fresh" : "shared", one, kNow); });
        }
      });
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(head("fresh").length, 2 * kWriters);
  EXPECT_EQ(head("shared").length, 2 * kWriters * (kEach - 1));
  for (const char* chain : {"fresh", "shared"}) {
    Digest previous{};
    for (const auto& row : list(chain)) {
      EXPECT_EQ(row.previous, previous) << chain << " " << row.seq;
      previous = row.hash;
    }
    EXPECT_EQ(head(chain).hash, previous);
  }
}

TEST_P(AuditTest, ARetiredChainLeavesItsTombstone) {
  const ChainHead end = append("job_1", {entry("a"), entry("b")});
  append("job_2", {entry("c")});
  const std::vector<std::string> gone = {"job_1", "never", "job_1"};
  const auto retired = database().write_now([&](store::Tx& tx) { return retire_chains(tx, gone, "n1", "system", "retention of 30 days", kNow); });
  ASSERT_TRUE(retired) << describe(retired.error());
  EXPECT_EQ(*retired, 1u);
  EXPECT_TRUE(list("job_1").empty());
  EXPECT_EQ(head("job_1"), ChainHead{});
  EXPECT_EQ(list("job_2").size(), 1u);
  const auto told = list(admin_chain("n1"));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].entry.action, audit::chain_erased);
  EXPECT_EQ(told[0].entry.subject, "job_1");
  EXPECT_EQ(told[0].entry.arguments, end.hash);
  EXPECT_EQ(told[0].entry.outcome, R"({"length":2,"hash":")" + to_hex(end.hash) + R"(","why":"retention of 30 days"})");
  const std::vector<std::string> admin = {admin_chain("n1")};
  EXPECT_FALSE(database().write_now([&](store::Tx& tx) { return retire_chains(tx, admin, "n1", "system", "no", kNow); }));
}

BALLAST_ON_BOTH_DATABASES(AuditTest);

}  // namespace
}  // namespace ballast::records
