// A snapshot beside writers: one moment of the database, on both; and PostgreSQL's way back, which is all or nothing.
#include <atomic>
#include <filesystem>
#include <thread>

#include "../support/databases.hpp"
#include "store/backup.hpp"

namespace ballast::store {
namespace {

constexpr Migration kSchema[] = {
    {"bank", 1, "accounts", "CREATE TABLE accounts (id {int} NOT NULL PRIMARY KEY, amount {int} NOT NULL, note {text}, photo {blob}, rate {real}) {table};\n"},
    {"bank", 2, "moves", "CREATE TABLE moves (n {int} NOT NULL PRIMARY KEY) {table};\n"},
};
constexpr std::int64_t kAll = 1'000'000;

class SnapshotTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(database().migrate(kSchema));
    ASSERT_TRUE(run("INSERT INTO accounts (id, amount, note, photo, rate) VALUES (1, 500000, 'Grüße', NULL, 0.5), (2, 500000, NULL, $1, NULL)", {Value::bytes({"\0\xff\n", 3})}));
    for (int i = 3; i < 2'000; ++i) ASSERT_TRUE(run("INSERT INTO accounts (id, amount, note) VALUES ($1, 0, $2)", {i, std::string(300, 'x')}));
  }
  Result<Rows> run(const char* sql, Args args = {}) {
    return database().write_now([&](Tx& tx) { return tx.run(sql, args); });
  }
  std::filesystem::path folder() const {
    const std::filesystem::path to = directory() / "copy";
    std::filesystem::create_directories(to);
    return to;
  }
  static std::vector<std::int64_t> figures(Database& db) {
    auto rows = db.read_now([](Tx& tx) { return tx.run("SELECT (SELECT CAST(SUM(amount) AS BIGINT) FROM accounts), (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM moves)"); });
    EXPECT_TRUE(rows) << describe(rows.error());
    return {(*rows)[0].integer(0), (*rows)[0].integer(1), (*rows)[0].integer(2)};
  }
};

const CopyProgress kSilent = [](std::uint64_t, std::uint64_t) {};

TEST_P(SnapshotTest, IsOneMomentWhateverIsWrittenMeanwhile) {
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> moves{0};
  std::jthread mover([&] {
    while (!stop) {
      const std::int64_t n = moves + 1;
      const auto done = database().write_now([&](Tx& tx) -> Result<void> {
        for (const auto& [sql, id] : {std::pair("UPDATE accounts SET amount = amount - $1 WHERE id = $2", n % 1'998 + 1), {"UPDATE accounts SET amount = amount + $1 WHERE id = $2", n % 1'999 + 1}})
          if (auto moved = tx.run(sql, {7, id}); !moved) return std::unexpected(moved.error());
        auto noted = tx.run("INSERT INTO moves (n) VALUES ($1)", {n});
        return noted ? Result<void>{} : std::unexpected(noted.error());
      });
      if (done) ++moves;
    }
  });
  while (moves < 20) std::this_thread::yield();
  auto snapshot = take_snapshot(url(), kSchema);
  ASSERT_TRUE(snapshot) << describe(snapshot.error());
  const std::int64_t then = moves;
  while (moves < then + 20) std::this_thread::yield();
  std::vector<TableCopy> tables;
  const auto files = (*snapshot)->write(folder(), tables, kSilent);
  stop = true;
  mover.join();
  ASSERT_TRUE(files) << describe(files.error());
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].name, "accounts");
  EXPECT_EQ(tables[1].name, "moves");
  EXPECT_LE(tables[1].rows, then + 1) << "what was written after the snapshot is not in it";
  snapshot->reset();

  std::string restored = "sqlite:" + (folder() / kSqliteCopy).string();
  std::unique_ptr<PostgresRestore> restore;
  if (!sqlite()) {
    restored = test::Postgres::instance()->fresh_url();
    auto begun = begin_postgres_restore(restored, {folder(), tables, kSchema, {{"bank", 1}, {"bank", 2}}}, false, kSilent);
    ASSERT_TRUE(begun) << describe(begun.error());
    ASSERT_TRUE((*begun)->commit());
  }
  auto copy = open_database(restored);
  ASSERT_TRUE(copy);
  EXPECT_EQ(figures(**copy), (std::vector<std::int64_t>{kAll, 1'999, tables[1].rows}));
  const auto values = (*copy)->read_now([](Tx& tx) { return tx.run("SELECT note, photo, rate FROM accounts WHERE id < 3 ORDER BY id"); });
  EXPECT_EQ((*values)[0].text(0), "Grüße");
  EXPECT_EQ((*values)[0].real(2), 0.5);
  EXPECT_EQ((*values)[1].bytes(1), std::string_view("\0\xff\n", 3));
  EXPECT_TRUE((*copy)->migrate(kSchema)) << "it goes on";
}

TEST_P(SnapshotTest, WhatANewerProgramMadeIsRefused) {
  const Migration newer[] = {kSchema[0], kSchema[1], {"bank", 3, "more", "CREATE TABLE more (n {int} NOT NULL PRIMARY KEY) {table};\n"}};
  ASSERT_TRUE(database().migrate(newer));
  auto snapshot = take_snapshot(url(), kSchema);
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(fault_of(snapshot.error()), Fault::schema);
}

TEST_P(SnapshotTest, APostgresRestoreIsAllOrNothing) {
  if (sqlite()) GTEST_SKIP() << "a SQLite copy is put in place by renaming";
  std::vector<TableCopy> tables;
  {
    auto snapshot = take_snapshot(url(), kSchema);
    ASSERT_TRUE(snapshot);
    ASSERT_TRUE((*snapshot)->write(folder(), tables, kSilent));
  }
  ASSERT_TRUE(run("INSERT INTO moves (n) VALUES (42)"));
  const PostgresCopy copy{folder(), tables, kSchema, {{"bank", 1}, {"bank", 2}}};
  EXPECT_EQ(begin_postgres_restore(url(), copy, false, kSilent).error().code, ErrorCode::caller_conflict);
  { ASSERT_TRUE(begin_postgres_restore(url(), copy, true, kSilent)); }      // never committed
  EXPECT_EQ(figures(database())[2], 1);
  PostgresCopy short_of_rows = copy;
  short_of_rows.tables[0].rows += 1;
  EXPECT_EQ(begin_postgres_restore(url(), short_of_rows, true, kSilent).error().field, "from");
  EXPECT_EQ(figures(database())[2], 1);
  auto begun = begin_postgres_restore(url(), copy, true, kSilent);
  ASSERT_TRUE(begun);
  ASSERT_TRUE((*begun)->commit());
  EXPECT_EQ(figures(database()), (std::vector<std::int64_t>{kAll, 1'999, 0}));
}

BALLAST_ON_BOTH_DATABASES(SnapshotTest);

}  // namespace
}  // namespace ballast::store
