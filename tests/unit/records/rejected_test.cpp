// Calls that no database took come back once it does: through the journal's importer into DIR/rejected, and out of it again.
#include "records/rejected.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../../support/records_samples.hpp"
#include "../../support/temp_dir.hpp"
#include "records/journal.hpp"
#include "records/ledger.hpp"
#include "records/migrations.hpp"

namespace ballast::records {
namespace {

using test::sample_call, test::call_id;

class Rejected : public testing::Test {
 protected:
  void SetUp() override {
    database = std::move(*store::open_database("sqlite:" + (folder / "test.db")));
    ASSERT_TRUE(database->migrate(migrations()));
  }
  void run(const char* sql) {
    const auto done = database->write_now([&](store::Tx& tx) -> Result<bool> {
      auto ran = tx.run(store::Statement(sql));
      if (!ran) return fail(ran.error());
      return true;
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  void refuse_all() { run("CREATE TRIGGER refusal BEFORE INSERT ON budget_spend BEGIN SELECT RAISE(ABORT, 'not today'); END"); }
  void accept_all() { run("DROP TRIGGER refusal"); }
  // Calls 1 … n through the journal into a database that refuses them.
  void set_aside(std::uint64_t n) {
    refuse_all();
    auto journal = std::move(*CallJournal::open({.directory = folder / "journal", .segment_bytes = 1u << 20}));
    for (std::uint64_t i = 1; i <= n; ++i) ASSERT_TRUE(journal->outcome(0, sample_call(i)));
    ASSERT_TRUE(journal->import_all(*database));
    ASSERT_TRUE(std::filesystem::exists(file()));
  }
  std::string file() const { return folder / "journal/rejected"; }
  bool in_ledger(std::uint64_t n) {
    return database->read_now([&](store::Tx& tx) { return get_call(tx, call_id(n)); }).has_value();
  }
  RejectedReport again(const std::function<void(std::uint64_t, std::uint64_t)>& progress = {}) {
    auto report = import_rejected(folder / "journal", *database, {.progress = progress, .charged = {}});
    EXPECT_TRUE(report) << describe(report.error());
    return report ? std::move(*report) : RejectedReport{};
  }
  test::TempDir folder;
  std::unique_ptr<store::Database> database;
};

TEST_F(Rejected, WhatWasSetAsideIsInTheLedgerOnceItIsTaken) {
  set_aside(3);
  accept_all();
  const auto size = std::filesystem::file_size(file());
  std::vector<std::uint64_t> done;
  const auto report = again([&](std::uint64_t so_far, std::uint64_t all) {
    EXPECT_EQ(all, size);
    done.push_back(so_far);
  });
  EXPECT_EQ(done.size(), 3u);
  EXPECT_EQ(done.back(), size) << "the last call is the end of the file";
  EXPECT_EQ(report.imported, 3u);
  ASSERT_EQ(report.calls.size(), 3u);
  EXPECT_EQ(report.calls[0].call, to_string(call_id(1), "call"));
  EXPECT_EQ(report.calls[0].outcome, "imported");
  for (const std::uint64_t n : {1, 2, 3}) EXPECT_TRUE(in_ledger(n));
  EXPECT_FALSE(std::filesystem::exists(file()) || std::filesystem::exists(file() + ".taken"));
  EXPECT_TRUE(again().calls.empty()) << "nothing is left to do";
}

TEST_F(Rejected, WhatIsRefusedAgainStaysWithItsReason) {
  set_aside(2);
  const auto report = again();
  EXPECT_EQ(report.refused, 2u);
  EXPECT_EQ(report.calls[1].outcome, "refused");
  EXPECT_NE(report.calls[1].error.find("not today"), std::string::npos) << report.calls[1].error;
  accept_all();
  EXPECT_EQ(again().imported, 2u) << "they were kept";
}

TEST_F(Rejected, ACallThatIsThereAlreadyIsLeftAlone) {
  set_aside(2);
  accept_all();
  const auto there = sample_call(2);
  ASSERT_TRUE(database->write_now([&](store::Tx& tx) { return add_calls(tx, {&there, 1}); }));
  const auto report = again();
  EXPECT_EQ(report.imported, 1u);
  EXPECT_EQ(report.present, 1u);
  EXPECT_EQ(report.calls[1].outcome, "already there");
}

TEST_F(Rejected, ARunThatDiedIsFinishedByTheNext) {
  set_aside(2);
  accept_all();
  std::filesystem::rename(file(), file() + ".taken");
  std::filesystem::copy_file(file() + ".taken", file());   // the importer set the same aside meanwhile
  const auto report = again();
  EXPECT_EQ(report.imported, 2u);
  EXPECT_EQ(report.present, 2u);
  EXPECT_FALSE(std::filesystem::exists(file()) || std::filesystem::exists(file() + ".taken"));
}

TEST_F(Rejected, DamageIsCountedAndTheRestRead) {
  set_aside(1);
  accept_all();
  const auto size = std::filesystem::file_size(file());
  std::ofstream(file(), std::ios::app | std::ios::binary) << "torn frame that is none";
  const auto report = again();
  EXPECT_EQ(report.imported, 1u);
  EXPECT_EQ(report.damaged_bytes, 23u) << size;
}

TEST_F(Rejected, NoFileIsNothingToDo) { EXPECT_TRUE(again().calls.empty()); }

}  // namespace
}  // namespace ballast::records
