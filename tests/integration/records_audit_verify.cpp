// Tampering with the audit trail, on both databases: each kind is found, named and placed; what retention and crashes do is none.
#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "../support/databases.hpp"
#include "records/audit.hpp"
#include "records/audit_anchors.hpp"
#include "records/audit_verify.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

const WallTime kNow{std::chrono::microseconds(1'763'700'000'123'456)};

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

std::string told(const AuditReport& report) {
  std::string out;
  for (const auto& f : report.findings) out += std::string(to_string(f.fault)) + " " + f.chain + "#" + std::to_string(f.seq) + ": " + f.what + "\n";
  return out;
}

// job_1, job_2 and job_3 with five entries each, anchored one by one; then a sixth entry of job_1, anchored.
class AuditVerifyTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    auto done = database().migrate(migrations());
    ASSERT_TRUE(done) << describe(done.error());
    open_anchors();
    for (const char* chain : {"job_1", "job_2", "job_3"}) {
      append(chain, 5);
      anchor();
    }
    append("job_1", 1);
    anchor();
  }
  void open_anchors(std::chrono::milliseconds every = std::chrono::seconds(1)) {
    anchors_.reset();
    auto opened = Anchorer::open({.directory = folder(), .node = "n1", .every = every});
    ASSERT_TRUE(opened) << describe(opened.error());
    anchors_ = std::move(*opened);
  }
  std::string folder() const { return directory() / "audit"; }
  std::string file() const { return anchors_file(folder(), "n1"); }
  void append(std::string_view chain, int entries) {
    std::vector<AuditEntry> all;
    for (int i = 0; i < entries; ++i)
      all.push_back({.actor = "worker:w1", .action = std::string(audit::effect_confirmed), .subject = "charge", .arguments = sha256("args"), .outcome = "ok"});
    auto head = database().write_now([&](store::Tx& tx) { return append_audit(tx, chain, all, kNow); });
    ASSERT_TRUE(head) << describe(head.error());
  }
  std::size_t anchor() {
    auto done = anchors_->anchor(database());
    EXPECT_TRUE(done) << describe(done.error());
    return done.value_or(0);
  }
  void sql(std::string_view statements) {
    auto done = database().write_now([&](store::Tx& tx) -> Result<bool> {
      while (!statements.empty()) {
        const auto end = statements.find(';');
        const std::string one(statements.substr(0, end));
        statements.remove_prefix(end == std::string_view::npos ? statements.size() : end + 1);
        if (auto ran = tx.run(store::Statement(std::string_view(one))); !ran) return fail(ran.error());
      }
      return true;
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  AuditReport verify(AuditVerification asked = {}) {
    auto report = verify_audit(database(), anchors_files(folder()), asked);
    EXPECT_TRUE(report) << describe(report.error());
    return report.value_or(AuditReport{});
  }
  void retire(std::vector<std::string> chains) {
    auto done = database().write_now([&](store::Tx& tx) { return retire_chains(tx, chains, "n1", "system", "retention", kNow); });
    ASSERT_TRUE(done) << describe(done.error());
  }
  // The chain's entries from `seq` on, written anew with another outcome, every hash and the head put right: the best forgery there is.
  void forge(std::string_view chain, std::int64_t from) {
    auto done = database().write_now([&](store::Tx& tx) -> Result<bool> {
      auto rows = list_audit(tx, chain, 0, 1000);
      if (!rows) return fail(rows.error());
      Digest previous{};
      for (AuditRow& row : *rows) {
        if (row.seq >= from) {
          row.entry.outcome = "never happened";
          row.hash = audit_hash(chain, row.seq, previous, row.entry);
          auto set = tx.run("UPDATE audit_entries SET outcome = $3, previous = $4, hash = $5 WHERE chain = $1 AND seq = $2",
                            {chain, row.seq, row.entry.outcome, bytes(previous), bytes(row.hash)});
          if (!set) return fail(set.error());
        }
        previous = row.hash;
      }
      auto set = tx.run("UPDATE audit_heads SET hash = $2 WHERE chain = $1", {chain, bytes(previous)});
      if (!set) return fail(set.error());
      return true;
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  static store::Value bytes(const Digest& d) { return store::Value::bytes({reinterpret_cast<const char*>(d.data()), d.size()}); }
  static bool has(const AuditReport& report, AuditFault fault, std::string_view chain, std::int64_t seq) {
    for (const auto& f : report.findings)
      if (f.fault == fault && f.chain == chain && f.seq == seq) return true;
    return false;
  }
  Anchorer& anchors() { return *anchors_; }

 private:
  std::unique_ptr<Anchorer> anchors_;
};

TEST_P(AuditVerifyTest, AnUntouchedTrailIsClean) {
  const AuditReport report = verify();
  EXPECT_TRUE(report.clean()) << told(report);
  EXPECT_EQ(report.chains, 3u);
  EXPECT_EQ(report.entries, 16u);
  EXPECT_EQ(report.anchors, 4u);
  EXPECT_EQ(report.anchored_heads, 4u);
  ASSERT_EQ(report.newest.size(), 1u);
  EXPECT_EQ(report.newest[0].number, 4);
  EXPECT_EQ(report.newest[0].hash, anchors().newest().hash);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told_of;
  verify({.progress = [&](std::uint64_t done, std::uint64_t all) { told_of.emplace_back(done, all); }});
  EXPECT_EQ(told_of, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{16, 16}})) << "a page is told with the whole";
  EXPECT_TRUE(verify({.expect = report.newest[0].hash}).clean());
  append("job_2", 3);                                      // not anchored yet
  EXPECT_TRUE(verify({.chain = "job_2"}).clean());
  EXPECT_EQ(verify({.chain = "job_2"}).entries, 8u);
}

struct Tampering {
  const char* what;
  const char* sql;
  AuditFault fault;
  const char* chain;
  std::int64_t seq;
};
const Tampering kTamperings[] = {
    {"an entry is deleted", "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq = 3", AuditFault::deleted, "job_2", 3},
    {"the first entry is deleted", "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq = 1", AuditFault::deleted, "job_2", 1},
    {"an outcome is edited", "UPDATE audit_entries SET outcome = 'no' WHERE chain = 'job_2' AND seq = 3", AuditFault::edited, "job_2", 3},
    {"an actor is edited", "UPDATE audit_entries SET actor = 'worker:w2' WHERE chain = 'job_2' AND seq = 5", AuditFault::edited, "job_2", 5},
    {"a time is edited", "UPDATE audit_entries SET at_us = at_us + 1 WHERE chain = 'job_2' AND seq = 1", AuditFault::edited, "job_2", 1},
    {"a hash is edited", "UPDATE audit_entries SET hash = previous WHERE chain = 'job_2' AND seq = 2", AuditFault::edited, "job_2", 2},
    {"two entries are exchanged",
     "UPDATE audit_entries SET seq = 99 WHERE chain = 'job_2' AND seq = 2; UPDATE audit_entries SET seq = 2 WHERE chain = 'job_2' AND seq = 4; "
     "UPDATE audit_entries SET seq = 4 WHERE chain = 'job_2' AND seq = 99",
     AuditFault::moved, "job_2", 2},
    {"an entry is put in and the rest moved on",
     "UPDATE audit_entries SET seq = seq + 100 WHERE chain = 'job_2' AND seq >= 3; UPDATE audit_entries SET seq = seq - 99 WHERE chain = 'job_2' AND seq >= 100; "
     "INSERT INTO audit_entries SELECT chain, 3, at_us, actor, action, 'another', arguments, outcome, previous, hash FROM audit_entries "
     "WHERE chain = 'job_2' AND seq = 2",
     AuditFault::moved, "job_2", 4},
    {"an entry is deleted and the rest moved up",
     "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq = 3; UPDATE audit_entries SET seq = 3 WHERE chain = 'job_2' AND seq = 4; "
     "UPDATE audit_entries SET seq = 4 WHERE chain = 'job_2' AND seq = 5",
     AuditFault::moved, "job_2", 3},
    {"an entry comes from another chain",
     "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq = 2; UPDATE audit_entries SET chain = 'job_2' WHERE chain = 'job_3' AND seq = 2",
     AuditFault::edited, "job_2", 2},
    {"an entry is put in behind the head",
     "INSERT INTO audit_entries SELECT chain, 6, at_us, actor, action, subject, arguments, outcome, previous, hash FROM audit_entries WHERE chain = 'job_2' AND seq = 5",
     AuditFault::inserted, "job_2", 6},
    {"an entry is put in before the first",
     "INSERT INTO audit_entries SELECT chain, 0, at_us, actor, action, subject, arguments, outcome, previous, hash FROM audit_entries WHERE chain = 'job_2' AND seq = 5",
     AuditFault::inserted, "job_2", 0},
    {"the newest entries are cut off", "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq >= 4", AuditFault::truncated, "job_2", 4},
    {"the newest entries are cut off and the head set back",
     "DELETE FROM audit_entries WHERE chain = 'job_2' AND seq = 5; UPDATE audit_heads SET length = 4, hash = (SELECT hash FROM audit_entries "
     "WHERE chain = 'job_2' AND seq = 4) WHERE chain = 'job_2'",
     AuditFault::truncated, "job_2", 5},
    {"all entries are deleted", "DELETE FROM audit_entries WHERE chain = 'job_2'", AuditFault::truncated, "job_2", 1},
    {"the chain is deleted", "DELETE FROM audit_entries WHERE chain = 'job_2'; DELETE FROM audit_heads WHERE chain = 'job_2'", AuditFault::chain_deleted, "job_2", 5},
    {"the head is edited", "UPDATE audit_heads SET hash = (SELECT hash FROM audit_heads WHERE chain = 'job_1') WHERE chain = 'job_2'", AuditFault::head, "job_2", 5},
    {"the head is set back", "UPDATE audit_heads SET length = 4 WHERE chain = 'job_2'", AuditFault::head, "job_2", 4},
    {"the head is put forward", "UPDATE audit_heads SET length = 9 WHERE chain = 'job_2'", AuditFault::truncated, "job_2", 6},
    {"the head is deleted", "DELETE FROM audit_heads WHERE chain = 'job_2'", AuditFault::head, "job_2", 0},
    {"a link is edited with its hash left", "UPDATE audit_entries SET previous = hash WHERE chain = 'job_2' AND seq = 2", AuditFault::edited, "job_2", 2},
};

TEST_P(AuditVerifyTest, EveryKindOfTamperingIsFoundNamedAndPlaced) {
  for (const char* table : {"audit_entries", "audit_heads"}) sql("CREATE TABLE kept_" + std::string(table) + " AS SELECT * FROM " + table);
  for (const Tampering& t : kTamperings) {
    SCOPED_TRACE(t.what);
    sql(t.sql);
    const AuditReport all = verify(), one = verify({.chain = t.chain});
    EXPECT_TRUE(has(all, t.fault, t.chain, t.seq)) << told(all);
    EXPECT_TRUE(has(one, t.fault, t.chain, t.seq)) << told(one);
    EXPECT_TRUE(verify({.chain = "job_1"}).clean()) << "a chain that nobody touched";
    for (const std::string table : {"audit_entries", "audit_heads"}) sql("DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM kept_" + table);
    ASSERT_TRUE(verify().clean()) << told(verify());
  }
}

TEST_P(AuditVerifyTest, AChainWrittenAnewWithAllItsHashesIsToldByItsAnchors) {
  forge("job_2", 3);
  EXPECT_TRUE(verify_audit(database(), {}, {.chain = "job_2"})->findings.at(0).fault == AuditFault::anchors_missing) << "within itself it is sound";
  AuditReport report = verify();
  EXPECT_TRUE(has(report, AuditFault::rewritten, "job_2", 5)) << told(report);
  EXPECT_EQ(report.found, 1u) << told(report);

  // Later entries and anchors on top of the forgery do not cover it.
  append("job_2", 2);
  anchor();
  report = verify();
  EXPECT_TRUE(has(report, AuditFault::rewritten, "job_2", 5)) << told(report);
  // An entry put right at a link: its own hash is right, what follows does not follow it.
  forge("job_3", 5);
  sql("UPDATE audit_heads SET hash = hash WHERE chain = 'job_3'");
  EXPECT_TRUE(has(verify(), AuditFault::rewritten, "job_3", 5));
}

TEST_P(AuditVerifyTest, AnExchangedEntryWithAHashOfItsOwnDoesNotLink) {
  const auto rows = database().read_now([](store::Tx& tx) { return list_audit(tx, "job_2", 1, 1); });
  AuditEntry forged = rows->at(0).entry;
  forged.outcome = "forged";
  const Digest hash = audit_hash("job_2", 2, rows->at(0).previous, forged);
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) {
    return tx.run("UPDATE audit_entries SET outcome = 'forged', hash = $1 WHERE chain = 'job_2' AND seq = 2", {bytes(hash)});
  }));
  const AuditReport report = verify();
  EXPECT_TRUE(has(report, AuditFault::unlinked, "job_2", 3)) << told(report);
}

TEST_P(AuditVerifyTest, RetentionLeavesATombstoneAndTheTrailClean) {
  retire({"job_2"});
  append("job_9", 1);
  retire({"job_9"});                                       // never anchored
  EXPECT_TRUE(verify().clean()) << told(verify());
  anchor();
  const AuditReport report = verify();
  EXPECT_TRUE(report.clean()) << told(report);
  EXPECT_EQ(report.retired, 1u);
  // Without its tombstone it is a deleted chain, and the chain that had the tombstone has a hole.
  sql("DELETE FROM audit_entries WHERE chain = 'admin:n1' AND seq = 1");
  const AuditReport without = verify();
  EXPECT_TRUE(has(without, AuditFault::chain_deleted, "job_2", 5)) << told(without);
  EXPECT_TRUE(has(without, AuditFault::deleted, "admin:n1", 1)) << told(without);
}

TEST_P(AuditVerifyTest, TamperingWithTheFileOfAnchorsIsFound) {
  const std::string whole = read_file(file());
  const Digest newest = anchors().newest().hash;
  const auto fault_of_file = [&](const std::string& bytes, AuditVerification asked = {}) {
    write_file(file(), bytes);
    const AuditReport report = verify(asked);
    write_file(file(), whole);
    return told(report);
  };
  std::string rotten = whole;
  rotten[whole.size() / 2] ^= 1;
  EXPECT_THAT(fault_of_file(rotten), ::testing::HasSubstr("anchors_damaged"));
  std::vector<std::uint64_t> ends;
  auto reader = *AnchorReader::open(file());
  while (*reader->next()) ends.push_back(reader->end());
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_THAT(fault_of_file(whole.substr(0, ends[2])), ::testing::HasSubstr("anchors_truncated anchors-n1.log#4"));
  EXPECT_THAT(fault_of_file(whole.substr(ends[0])), ::testing::HasSubstr("anchors_truncated " + file() + "#2"));
  EXPECT_THAT(fault_of_file(whole.substr(0, ends[0]) + whole.substr(ends[1])), ::testing::HasSubstr("anchors_edited " + file() + "#3"));
  EXPECT_THAT(fault_of_file(whole + whole.substr(0, 20)), "") << "a torn tail is what a kill leaves";
  // Cut together with what the database knows of it: only an anchor kept elsewhere tells.
  sql("UPDATE audit_anchors SET number = 0");
  EXPECT_EQ(fault_of_file(whole.substr(0, ends[2])), "");
  EXPECT_THAT(fault_of_file(whole.substr(0, ends[2]), {.expect = newest}), ::testing::HasSubstr("anchors_truncated"));
  EXPECT_EQ(fault_of_file(whole, {.expect = newest}), "");
  std::filesystem::remove(file());
  sql("UPDATE audit_anchors SET number = 4");
  EXPECT_TRUE(has(verify(), AuditFault::anchors_missing, "anchors-n1.log", 4)) << told(verify());
  sql("DELETE FROM audit_anchors");
  EXPECT_TRUE(has(verify(), AuditFault::anchors_missing, "anchors", 0)) << told(verify());
}

TEST_P(AuditVerifyTest, AnAnchorIsMadeAgainWhenTheProcessDiedBeforeItWasNoted) {
  append("job_1", 1);
  sql("CREATE TABLE kept AS SELECT * FROM audit_dirty; CREATE TABLE noted AS SELECT * FROM audit_anchors");
  EXPECT_EQ(anchor(), 1u);
  sql("INSERT INTO audit_dirty SELECT * FROM kept; DELETE FROM audit_anchors; INSERT INTO audit_anchors SELECT * FROM noted");
  open_anchors();
  EXPECT_EQ(anchors().newest().number, 5);
  EXPECT_TRUE(verify().clean()) << told(verify());
  EXPECT_EQ(anchor(), 1u);
  EXPECT_EQ(anchor(), 0u);
  EXPECT_TRUE(verify().clean()) << told(verify());
  EXPECT_EQ(verify().anchors, 6u);
}

TEST_P(AuditVerifyTest, ATornTailIsCutOffAtStartAndTheFileIsOneProcesss) {
  EXPECT_FALSE(Anchorer::open({.directory = folder(), .node = "n1"})) << "locked";
  const std::string whole = read_file(file());
  for (const std::size_t torn : {std::size_t{1}, std::size_t{11}, std::size_t{40}, whole.size() / 5}) {
    write_file(file(), whole + whole.substr(0, torn));
    open_anchors();
    EXPECT_EQ(read_file(file()), whole);
    EXPECT_EQ(anchors().newest().number, 4);
  }
  append("job_3", 1);
  EXPECT_EQ(anchor(), 1u);
  EXPECT_TRUE(verify().clean()) << told(verify());
  EXPECT_FALSE(Anchorer::open({.directory = folder(), .node = "../n1"}));
}

TEST_P(AuditVerifyTest, TheThreadAnchorsByItselfAndOnceMoreAtTheEnd) {
  open_anchors(std::chrono::milliseconds(1));
  anchors().start(database());
  append("job_3", 1);
  while (anchors().newest().number < 5) std::this_thread::yield();
  EXPECT_EQ(anchors().newest().number, 5);
  append("job_3", 1);
  anchors().stop();
  EXPECT_EQ(anchor(), 0u);
  EXPECT_GE(verify().anchors, 6u);
  EXPECT_TRUE(verify().clean()) << told(verify());
}

TEST_P(AuditVerifyTest, ManyChainsAreReadInPages) {
  std::vector<std::string> names;
  for (int i = 0; i < 3'000; ++i) names.push_back("job_many_" + std::to_string(10'000 + i));
  const std::vector<AuditEntry> entries(3, {.actor = "system", .action = std::string(audit::effect_confirmed), .subject = "s", .outcome = "ok"});
  std::vector<AuditAppend> appends;
  for (const auto& name : names) appends.push_back({name, entries});
  ASSERT_TRUE(database().write_now([&](store::Tx& tx) -> Result<bool> {
    if (auto done = append_audits(tx, appends, kNow); !done) return fail(done.error());
    return true;
  }));
  append("job_long", 5'000);
  EXPECT_EQ(anchor(), 3'001u);
  AuditReport report = verify();
  EXPECT_TRUE(report.clean()) << told(report);
  EXPECT_EQ(report.entries, 16u + 9'000u + 5'000u);
  EXPECT_EQ(report.chains, 3u + 3'001u);
  EXPECT_EQ(report.anchored_heads, 4u + 3'001u);
  sql("DELETE FROM audit_entries WHERE chain = 'job_long' AND seq = 4001; UPDATE audit_entries SET outcome = 'no' WHERE seq = 3");
  report = verify({.most = 100});
  EXPECT_TRUE(has(report, AuditFault::deleted, "job_long", 4001)) << told(report);
  EXPECT_EQ(report.found, 1u + 3u + 3'001u);
  EXPECT_EQ(report.findings.size(), 100u);
}

BALLAST_ON_BOTH_DATABASES(AuditVerifyTest);

TEST(MerkleRoot, IsThatOfTheRfcsTree) {
  std::vector<AnchoredHead> heads;
  EXPECT_EQ(merkle_root(heads), sha256(""));
  for (int i = 0; i < 5; ++i) heads.push_back({"job_" + std::to_string(i), {i + 1, sha256(std::to_string(i))}});
  const auto text = [](const Digest& d) { return std::string(reinterpret_cast<const char*>(d.data()), d.size()); };
  const auto node = [&](const Digest& a, const Digest& b) { return sha256("\1" + text(a) + text(b)); };
  const auto leaf = [&](std::size_t i) { return merkle_root(std::span(heads).subspan(i, 1)); };
  EXPECT_EQ(merkle_root(heads), node(node(node(leaf(0), leaf(1)), node(leaf(2), leaf(3))), leaf(4)));
  const Digest before = merkle_root(heads);
  heads[3].head.length = 9;
  EXPECT_NE(merkle_root(heads), before);
}

}  // namespace
}  // namespace ballast::records
