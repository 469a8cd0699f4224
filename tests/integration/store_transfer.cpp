// An installation moves from one database into another, beside writers and killed at will: equal in the end, or not moved.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "../support/databases.hpp"
#include "store/moves.hpp"
#include "store/transfer.hpp"
#include "store/transfer_side.hpp"

namespace ballast::store {
namespace {

constexpr Migration kSchema[] = {
    {"bank", 1, "accounts", "CREATE TABLE accounts (id {int} NOT NULL PRIMARY KEY, amount {int} NOT NULL, note {text}, photo {blob}, rate {real}) {table};\n"
                            "CREATE INDEX accounts_by_amount ON accounts (amount);\n"},
    {"bank", 2, "paths", "CREATE TABLE paths (name {text} NOT NULL, n {int} NOT NULL, key {blob} NOT NULL, body {blob} NOT NULL, PRIMARY KEY (name, key, n)) {clustered};\n"
                         "CREATE TABLE leases (name {text} NOT NULL PRIMARY KEY, holder {text} NOT NULL) {table};\n"
                         "CREATE TABLE state (n {int} NOT NULL PRIMARY KEY, noted {int} NOT NULL) {table};\nINSERT INTO state (n, noted) VALUES (1, 0);\nINSERT INTO state (n, noted) VALUES (9, 9);\n"},
};
constexpr LeftOut kLeftOut[] = {{"leases", "of processes that have stopped"}};

// From the kind of the parameter to the other; the source is open as a server has it.
class TransferTest : public ::testing::TestWithParam<Dialect> {
 protected:
  void SetUp() override {
    test::Postgres* server = test::Postgres::instance();
    if (!server) GTEST_SKIP() << test::kNoPostgres;
    const std::string lite = "sqlite:" + (directory_ / "test.db");
    url_ = sqlite() ? lite : server->fresh_url();
    target_ = sqlite() ? server->fresh_url() : lite;
    reopen();
    ASSERT_TRUE(database().migrate(kSchema));
    fill(500);
  }
  void reopen() {
    auto opened = open_database(url_);
    ASSERT_TRUE(opened) << describe(opened.error());
    database_ = std::move(*opened);
  }
  void close() { database_.reset(); }
  Database& database() { return *database_; }
  bool sqlite() const { return GetParam() == Dialect::sqlite; }
  const std::string& url() const { return url_; }
  const test::TempDir& directory() const { return directory_; }
  Result<Rows> run(const char* sql, Args args = {}) {
    return database().write_now([&](Tx& tx) { return tx.run(sql, args); });
  }
  void fill(int n) {
    ASSERT_TRUE(run("INSERT INTO leases (name, holder) VALUES ('watch', 'me')"));
    ASSERT_TRUE(run("UPDATE state SET noted = 77 WHERE n = 1"));
    ASSERT_TRUE(run("DELETE FROM state WHERE n = 9"));
    Batch accounts(5), paths(4);
    std::vector<std::string> texts, keys;
    for (int i = 0; i < n; ++i) {
      texts.push_back(i % 3 ? "Grüße " + std::string(static_cast<std::size_t>(i % 97), 'x') : "");
      keys.push_back({static_cast<char>(i * 37), '\0', static_cast<char>(i)});
    }
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      accounts.add({i * 7 - 1'000, std::int64_t{1} << (i % 63), i % 5 ? Value(texts[at]) : Value(nullptr), i % 4 ? Value::bytes(keys[at]) : Value(nullptr), i % 6 ? Value(i / 3.0 - 9) : Value(nullptr)});
      paths.add({texts[at], i, Value::bytes(keys[at]), Value::bytes(texts[at])});
    }
    const auto done = database().write_now([&](Tx& tx) -> Result<void> {
      if (auto a = tx.run_many("INSERT INTO accounts (id, amount, note, photo, rate) VALUES ($1, $2, $3, $4, $5)", accounts); !a) return std::unexpected(a.error());
      auto p = tx.run_many("INSERT INTO paths (name, n, key, body) VALUES ($1, $2, $3, $4)", paths);
      return p ? Result<void>{} : std::unexpected(p.error());
    });
    ASSERT_TRUE(done) << describe(done.error());
  }
  // Small ranges, so that there are many.
  TransferOptions options() const { return {.known = kSchema, .left_out = kLeftOut, .range_rows = 40, .range_bytes = 4'000}; }
  std::unique_ptr<Transfer> begun(TransferOptions o) const {
    auto transfer = Transfer::open(url(), target_, std::move(o));
    EXPECT_TRUE(transfer) << describe(transfer.error());
    return transfer ? std::move(*transfer) : nullptr;
  }
  std::unique_ptr<Transfer> begun() const { return begun(options()); }
  // As another program would read them.
  static std::string everything(const std::string& url) {
    auto side = open_side(url, TransferRole::source);
    if (!side) return describe(side.error());
    std::string out;
    for (const auto& table : *(*side)->tables()) {
      if (table.name != "accounts" && table.name != "paths" && table.name != "state") continue;
      auto rows = (*side)->read("SELECT " + column_list(table) + " FROM " + in_quotes(table.name) + " ORDER BY " + key_list(table), {}, 0);
      if (!rows) return describe(rows.error());
      out += table.name + std::to_string(rows->size());
      for (const Row r : *rows) encode_row(out, r, table.columns.size());
    }
    return out;
  }
  const std::string& target() const { return target_; }

 private:
  test::TempDir directory_;
  std::string url_, target_;
  std::unique_ptr<Database> database_;
};

TEST_P(TransferTest, AllOfItArrivesAndOnlyTheTargetCounts) {
  auto transfer = begun();
  const auto passed = transfer->pass();
  ASSERT_TRUE(passed) << describe(passed.error());
  EXPECT_EQ(passed->rows, 1'001u);
  EXPECT_EQ(passed->copied_rows, 1'001u);
  ASSERT_EQ(passed->tables.size(), 3u);
  const auto again = transfer->pass();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->copied_rows, passed->copied_rows) << "nothing changed, nothing is put again";

  const auto busy = transfer->finish();
  ASSERT_FALSE(busy) << "the source is open here";
  EXPECT_EQ(busy.error().code, ErrorCode::caller_conflict);
  EXPECT_TRUE(run("UPDATE accounts SET note = 'late' WHERE id = -993")) << "and goes on";
  close();
  const auto moved = transfer->finish();
  ASSERT_TRUE(moved) << describe(moved.error());
  EXPECT_LE(moved->copied_rows, passed->copied_rows + 80) << "one range";
  EXPECT_EQ(everything(url()), everything(target()));
  const auto compared = transfer->verify();
  ASSERT_TRUE(compared);
  for (const auto& t : compared->tables) EXPECT_TRUE(t.same()) << t.name;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(compared->tables[i].checksum, moved->tables[i].checksum);
  transfer.reset();

  EXPECT_TRUE(begun()->finished());
  reopen();
  const auto left = database().migrate(kSchema);
  ASSERT_FALSE(left);
  EXPECT_NE(left.error().message.find("was moved to"), std::string::npos) << left.error().message;
  auto there = open_database(target());
  ASSERT_TRUE(there);
  EXPECT_TRUE((*there)->migrate(kSchema));
  EXPECT_EQ((*(*there)->read_now([](Tx& tx) { return tx.run("SELECT COUNT(*) FROM leases"); }))[0].integer(0), 0);
  there->reset();
  EXPECT_TRUE(begun()->used());
  EXPECT_FALSE(begun()->take_back()) << "it was worked with";
}

TEST_P(TransferTest, WhoWorksWithTheTargetFirstIsToldOnce) {
  close();
  TransferOptions told = options();
  told.note = [](const TransferReport& report) { return report.id + " " + std::to_string(report.rows); };
  auto transfer = begun(told);
  const auto moved = transfer->finish();
  ASSERT_TRUE(moved) << describe(moved.error());
  const auto compared = transfer->verify();
  ASSERT_TRUE(compared);
  for (const auto& t : compared->tables) EXPECT_TRUE(t.same()) << t.name;
  ASSERT_TRUE(transfer->take_back());
  transfer.reset();
  reopen();
  EXPECT_TRUE(run("UPDATE accounts SET note = 'more' WHERE id = -993"));
  EXPECT_TRUE(run("DELETE FROM paths WHERE n = 3"));
  EXPECT_FALSE(*database().write_now([](Tx& tx) { return take_note(tx); })) << "nothing was moved into it";
  close();
  ASSERT_TRUE(begun(told)->finish()) << "moved again, the note is the last one's";

  auto there = open_database(target());
  ASSERT_TRUE(there);
  ASSERT_TRUE((*there)->migrate(kSchema));
  const auto note = (*there)->write_now([](Tx& tx) { return take_note(tx); });
  ASSERT_TRUE(note) << describe(note.error());
  EXPECT_EQ(*note, moved->id + " 1000");
  EXPECT_FALSE(*(*there)->write_now([](Tx& tx) { return take_note(tx); })) << "once";
}

TEST_P(TransferTest, WritersBesideItLoseNothing) {
  std::atomic<bool> stop{false};
  std::jthread writer([&] {
    std::mt19937 random(3);
    for (int i = 0; !stop; ++i) {
      const std::int64_t id = static_cast<int>(random() % 4'000) - 1'000;
      const std::string note(random() % 60, 'w');
      switch (random() % 4) {
        case 0: (void)run("DELETE FROM accounts WHERE id >= $1 AND id < $2", {id, id + 30}); break;
        case 1: (void)run("INSERT INTO accounts (id, amount, note) VALUES ($1, 1, $2) ON CONFLICT (id) DO UPDATE SET note = excluded.note", {10'000 + i, note}); break;
        case 2: (void)run("DELETE FROM paths WHERE n = $1", {id}); break;
        default: (void)run("INSERT INTO accounts (id, amount, note) VALUES ($1, 1, $2) ON CONFLICT (id) DO UPDATE SET note = excluded.note", {id, note});
      }
    }
  });
  auto transfer = begun();
  for (int n = 0; n < 6; ++n) ASSERT_TRUE(transfer->pass());
  stop = true;
  writer.join();
  close();
  const auto moved = transfer->finish();
  ASSERT_TRUE(moved) << describe(moved.error());
  EXPECT_EQ(everything(url()), everything(target()));
}

TEST_P(TransferTest, KilledAnywhereItGoesOn) {
  close();
  std::mt19937 random(11);
  int killed = 0;
  bool through = false;
  for (int n = 0; n < 60 && !through; ++n) {
    const unsigned patience = 500 + random() % 30'000;
    const pid_t child = ::fork();
    if (child == 0) {
      auto transfer = Transfer::open(url(), target(), options());
      const bool done = transfer && ((*transfer)->finished() || ((*transfer)->pass() && (*transfer)->finish()));
      ::_exit(done ? 0 : 1);
    }
    int status = 0;
    for (unsigned waited = 0; ::waitpid(child, &status, WNOHANG) == 0; ::usleep(500))
      if ((waited += 500) >= patience && n < 50) {
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        break;
      }
    if (WIFSIGNALED(status)) {
      ++killed;
      // PostgreSQL sees a little later that nobody is there any more, and until then refuses a second filler.
      if (sqlite()) ::usleep(30'000);
    } else {
      through = WEXITSTATUS(status) == 0;
    }
  }
  EXPECT_TRUE(through);
  EXPECT_GT(killed, 2);
  EXPECT_EQ(everything(url()), everything(target()));
}

TEST_P(TransferTest, TakenBackTheSourceCountsAgain) {
  auto transfer = begun();
  close();
  ASSERT_TRUE(transfer->finish()) << "without a pass before";
  ASSERT_TRUE(transfer->take_back());
  transfer.reset();
  reopen();
  EXPECT_TRUE(database().migrate(kSchema));
  ASSERT_TRUE(run("UPDATE accounts SET amount = 5 WHERE id = -1000"));
  {
    auto there = open_database(target());
    const auto half = (*there)->migrate(kSchema);
    ASSERT_FALSE(half);
    EXPECT_NE(half.error().message.find("has not finished"), std::string::npos) << half.error().message;
  }
  close();
  transfer = begun();
  const auto moved = transfer->finish();
  ASSERT_TRUE(moved) << describe(moved.error());
  EXPECT_LE(moved->copied_rows, 40u) << "what it had is not copied again";
  EXPECT_EQ(everything(url()), everything(target()));
}

TEST_P(TransferTest, ADamagedTargetIsMended) {
  ASSERT_TRUE(begun()->pass());
  {
    auto side = open_side(target(), TransferRole::target);
    ASSERT_TRUE(side);
    ASSERT_TRUE((*side)->run("UPDATE accounts SET amount = amount + 1 WHERE id = 1"));
    ASSERT_TRUE((*side)->run("UPDATE store_move_ranges SET checked = 0"));
  }
  auto transfer = begun();
  const auto differs = transfer->verify();
  ASSERT_TRUE(differs);
  EXPECT_FALSE(differs->tables[0].same());
  EXPECT_TRUE(differs->tables[1].same());
  close();
  ASSERT_TRUE(transfer->finish());
  EXPECT_EQ(everything(url()), everything(target()));
}

TEST_P(TransferTest, WhatIsNotEmptyIsLeftAlone) {
  const auto refused = [&](const std::string& from, const std::string& to, std::string_view why) {
    auto transfer = Transfer::open(from, to, options());
    ASSERT_FALSE(transfer) << why;
    EXPECT_NE(transfer.error().message.find(why), std::string::npos) << transfer.error().message;
  };
  refused(url(), url(), "are the same");
  const std::string other = "sqlite:" + (directory() / "other.db");
  refused(other, target(), "no database at");
  TransferOptions known = options();
  known.only_known = true;
  EXPECT_FALSE(Transfer::open(url(), target(), known));
  EXPECT_TRUE(sqlite() || !std::filesystem::exists(target().substr(7))) << "nothing is made there";
  {
    auto filled = open_database(other);
    ASSERT_TRUE((*filled)->migrate(kSchema));
  }
  refused(url(), other, "is not empty");
  ASSERT_TRUE(begun()->pass());
  refused(other, target(), "--start-over");
  refused(target(), "sqlite:" + (directory() / "third.db"), "is not whole");
  TransferOptions anew = options();
  anew.start_over = true;
  auto transfer = Transfer::open(other, target(), anew);
  ASSERT_TRUE(transfer) << describe(transfer.error());
  ASSERT_TRUE((*transfer)->finish());
  transfer->reset();
  EXPECT_EQ(everything(other), everything(target()));
  EXPECT_FALSE(Transfer::open(url(), target(), anew)) << "an installation is not started over";

  constexpr Migration kNewer[] = {kSchema[0], kSchema[1], {"bank", 3, "more", "CREATE TABLE more (n {int} NOT NULL PRIMARY KEY) {table};\n"}};
  TransferOptions newer = options();
  newer.known = kNewer;
  const auto older = Transfer::open(url(), "sqlite:" + (directory() / "fourth.db"), newer);
  ASSERT_FALSE(older);
  EXPECT_NE(older.error().message.find("serve it with this version once"), std::string::npos) << older.error().message;
}

TEST_P(TransferTest, ARowThatTheTargetCannotHoldIsNamed) {
  if (sqlite()) ASSERT_TRUE(run("UPDATE accounts SET note = CAST(x'610062' AS TEXT) WHERE id = 15"));
  else ASSERT_TRUE(run("UPDATE accounts SET rate = 'NaN' WHERE id = 15"));
  const auto passed = begun()->pass();
  ASSERT_FALSE(passed);
  EXPECT_EQ(passed.error().field, "rows");
  for (const char* part : {"accounts", "id=15", sqlite() ? "column note: has a zero byte" : "column rate: is not a number"})
    EXPECT_NE(passed.error().message.find(part), std::string::npos) << passed.error().message;
  ASSERT_TRUE(run("UPDATE accounts SET note = 'fine', rate = 1 WHERE id = 15"));
  EXPECT_TRUE(begun()->pass());
}

TEST_P(TransferTest, ARowLargerThanAPageGoesAlone) {
  const std::string large(33u << 20, 'L');
  for (const int i : {250, 251}) ASSERT_TRUE(run("UPDATE accounts SET photo = $1 WHERE id = $2", {Value::bytes(large), i * 7 - 1'000}));
  auto transfer = begun({.known = kSchema, .left_out = kLeftOut});
  close();
  ASSERT_TRUE(transfer->finish());
  EXPECT_EQ(everything(url()), everything(target()));
}

BALLAST_ON_BOTH_DATABASES(TransferTest);

}  // namespace
}  // namespace ballast::store
