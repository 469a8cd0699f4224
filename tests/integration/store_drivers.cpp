// What each driver promises beyond the common contract: full disks, lost connections, commits of unknown fate.
#include <atomic>
#include <filesystem>
#include <future>
#include <latch>
#include <thread>

#include "../support/databases.hpp"
#include "base/sim_loop.hpp"

namespace ballast::store {
namespace {

Result<void> execute(Database& db, std::string_view sql) {
  return db.write_now([&](Tx& tx) -> Result<void> {
    auto r = tx.run(Statement(sql));
    if (!r) return std::unexpected(r.error());
    return {};
  });
}

Result<std::int64_t> count(Database& db) {
  return db.read_now([](Tx& tx) -> Result<std::int64_t> {
    auto rows = tx.run("SELECT COUNT(*) FROM t");
    if (!rows) return std::unexpected(rows.error());
    return (*rows)[0].integer(0);
  });
}

// One body of a group hits the file's limit, which rolls the whole group back: the small ones still commit, the large one fails.
TEST(SqliteDriver, AFullDatabaseFailsOnlyWhatDoesNotFit) {
  test::TempDir dir;
  auto db = open_database("sqlite:" + (dir / "a.db"), {.max_bytes = 1 << 20});
  ASSERT_TRUE(db);
  ASSERT_TRUE(execute(**db, "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)"));
  const std::string large(2 << 20, 'x');
  std::atomic<int> small_ok{0}, full{0}, other{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) {
          const bool huge = t == 0;
          auto r = (*db)->write_now([&](Tx& tx) -> Result<void> {
            auto done = tx.run("INSERT INTO t (id, data) VALUES ($1, $2)", {t * 1000 + i, Value::bytes(huge ? std::string_view(large) : "y")});
            if (!done) return std::unexpected(done.error());
            return {};
          });
          if (r) ++small_ok;
          else if (fault_of(r.error()) == Fault::full) ++full;
          else ++other;
        }
      });
  }
  EXPECT_EQ(small_ok, 100);
  EXPECT_EQ(full, 20);
  EXPECT_EQ(other, 0);
  EXPECT_EQ(*count(**db), 100);
}

TEST(SqliteDriver, TheLogIsCheckpointedAndReused) {
  test::TempDir dir;
  auto db = open_database("sqlite:" + (dir / "a.db"), {.checkpoint_pages = 100});
  ASSERT_TRUE(db);
  ASSERT_TRUE(execute(**db, "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)"));
  const std::string data(20'000, 'x');
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE((*db)->write_now([&](Tx& tx) { return tx.run("INSERT INTO t (id, data) VALUES ($1, $2)", {i, Value::bytes(data)}); }));
  EXPECT_GT((*db)->stats().checkpoints, 5u);
  EXPECT_LT((*db)->stats().wal_pages, 400u);
  EXPECT_EQ(*count(**db), 300);
}

TEST(SqliteDriver, TheFilesAreTheirOwnersAlone) {
  test::TempDir dir;
  auto db = open_database("sqlite:" + (dir / "a.db"));
  ASSERT_TRUE(db);
  ASSERT_TRUE(execute(**db, "CREATE TABLE t (id INTEGER PRIMARY KEY)"));
  for (const char* name : {"a.db", "a.db-wal", "a.db-shm"})
    EXPECT_EQ(std::filesystem::status(dir / name).permissions(), std::filesystem::perms(0600)) << name;
}

TEST(SqliteDriver, ASecondProcessMayWriteBesideTheFirst) {
  test::TempDir dir;
  auto one = open_database("sqlite:" + (dir / "a.db"));
  auto two = open_database("sqlite:" + (dir / "a.db"));
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(execute(**one, "CREATE TABLE t (id INTEGER PRIMARY KEY)"));
  ASSERT_TRUE(execute(**two, "INSERT INTO t VALUES (1)"));
  ASSERT_TRUE(execute(**one, "INSERT INTO t VALUES (2)"));
  EXPECT_EQ(*count(**one), 2);
  EXPECT_EQ(*count(**two), 2);
}

TEST(SqliteDriver, BulkWorkWaitsBehindOrdinaryWorkButIsNotStarved) {
  test::TempDir dir;
  auto db = open_database("sqlite:" + (dir / "a.db"));
  ASSERT_TRUE(db);
  ASSERT_TRUE(execute(**db, "CREATE TABLE t (id INTEGER PRIMARY KEY)"));
  std::atomic<bool> stop{false};
  std::vector<std::jthread> busy;
  for (int t = 0; t < 4; ++t)
    busy.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) (void)(*db)->write_now([&](Tx& tx) { return tx.run("INSERT INTO t VALUES ($1)", {t * 1'000'000 + i}); });
    });
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE((*db)->write_now([&](Tx& tx) { return tx.run("INSERT INTO t VALUES ($1)", {-1 - i}); }, {.priority = Priority::low}));
  stop = true;
}

class PostgresDriver : public ::testing::Test {
 protected:
  void SetUp() override { use(test::Postgres::instance()); }
  // A fresh database of this server, in place of the one before.
  void use(test::Postgres* server, OpenOptions options = {}) {
    if (!server) GTEST_SKIP() << test::kNoPostgres;
    auto opened = open_database(server->fresh_url(), options);
    ASSERT_TRUE(opened);
    db = std::move(*opened);
    ASSERT_TRUE(execute(*db, "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0)"));
  }
  std::unique_ptr<Database> db;
};

TEST_F(PostgresDriver, AConnectionLostBeforeCommitRunsTheBodyAgain) {
  int runs = 0;
  auto r = db->write_now([&](Tx& tx) -> Result<void> {
    auto inserted = tx.run("INSERT INTO t (id) VALUES (1)");
    if (!inserted) return std::unexpected(inserted.error());
    if (++runs == 1) {
      auto killed = tx.run("SELECT CAST(pg_terminate_backend(pg_backend_pid()) AS TEXT)");
      if (!killed) return std::unexpected(killed.error());
    }
    return {};
  });
  ASSERT_TRUE(r) << describe(r.error());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(*count(*db), 1);
  EXPECT_GE(db->stats().reconnects, 1u);
}

// The backend dies inside COMMIT (a deferred trigger ends it): the driver asks the server what became of the transaction.
TEST_F(PostgresDriver, AConnectionLostDuringCommitIsInvestigated) {
  ASSERT_TRUE(execute(*db, "CREATE SEQUENCE once"));
  ASSERT_TRUE(execute(*db, "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF nextval('once') = 1 THEN "
                           "PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $f$"));
  ASSERT_TRUE(execute(*db, "CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"));
  int runs = 0;
  auto r = db->write_now([&](Tx& tx) {
    ++runs;
    return tx.run("INSERT INTO t (id) VALUES (1)");
  });
  ASSERT_TRUE(r) << describe(r.error());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(*count(*db), 1);
}

// Rows of `t`, of which each is to become another: what a writer whose rows tell its fate leaves to its commit.
Result<void> raise(Tx& tx, std::initializer_list<std::int64_t> ids) {
  Batch batch(1);
  for (const std::int64_t id : ids) batch.add({id});
  return tx.run_later("UPDATE t SET n = n + 1 WHERE id = $1", batch, [](std::size_t row) { return make_error(Fault::broken, "no row " + std::to_string(row)); });
}

TEST_F(PostgresDriver, ACommitThatGoesAlongDoesAllOrSaysWhichRowWasNotThere) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1), (2)"));
  const auto sum = [&] { return (*db->read_now([](Tx& tx) { return tx.run("SELECT CAST(SUM(n) AS BIGINT) FROM t"); }))[0].integer(0); };
  EXPECT_TRUE(db->write_now([](Tx& tx) { return raise(tx, {1, 2}); }, {.fate_in_rows = true}));
  EXPECT_EQ(sum(), 2);
  int runs = 0;
  auto refused = db->write_now([&](Tx& tx) { return ++runs, raise(tx, {1, 2, 3}); }, {.fate_in_rows = true});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "no row 2");
  EXPECT_EQ(runs, 2) << "the first try does not tell which";
  refused = db->write_now([&](Tx& tx) { return ++runs, raise(tx, {1, 2, 1, 2, 3, 1}); }, {.fate_in_rows = true});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "no row 4") << "so many are looked at here";
  auto twice = db->write_now([&](Tx& tx) -> Result<void> {
    if (auto raised = raise(tx, {1}); !raised) return raised;
    Batch batch(1);
    batch.add({2});
    return tx.run_later("INSERT INTO t (id) VALUES ($1)", batch);
  }, {.fate_in_rows = true});
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("duplicate key"), std::string::npos) << twice.error().message;
  EXPECT_EQ(sum(), 2) << "nothing of what failed is there";
}

TEST_F(PostgresDriver, ACommitThatGoesAlongIsNotSentAfterAnErrorThatNobodyMinded) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1)"));
  auto minded = db->write_now([](Tx& tx) {
    (void)tx.run("SELECT CAST('1' AS JSON)");      // the server has no error: the driver cannot read it
    (void)raise(tx, {1});
    return Result<void>{};
  }, {.fate_in_rows = true});
  EXPECT_FALSE(minded);
  minded = db->write_now([](Tx& tx) {
    auto before = raise(tx, {1});
    (void)tx.run("SELECT CAST('1' AS JSON)");
    return before;
  }, {.fate_in_rows = true});
  ASSERT_FALSE(minded);
  EXPECT_NE(minded.error().message.find("has type"), std::string::npos) << minded.error().message;
  EXPECT_EQ((*db->read_now([](Tx& tx) { return tx.run("SELECT n FROM t"); }))[0].integer(0), 0);
}

TEST_F(PostgresDriver, ACommitThatGoesAlongFindsASessionThatWasEndedWhileItRested) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1)"));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(db->read_now([](Tx& tx) { return tx.run("SELECT CAST(pg_terminate_backend(pid, 10000) AS TEXT) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); }));
    auto raised = db->write_now([](Tx& tx) { return raise(tx, {1}); }, {.fate_in_rows = true});
    ASSERT_TRUE(raised) << describe(raised.error());
  }
  EXPECT_EQ((*db->read_now([](Tx& tx) { return tx.run("SELECT n FROM t"); }))[0].integer(0), 5);
}

// As AConnectionLostDuringCommitIsInvestigated, but who wrote it looks at its rows.
TEST_F(PostgresDriver, ACommitThatGoesAlongAndIsNotAnsweredIsUnknownAndNotTriedAgain) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1)"));
  ASSERT_TRUE(execute(*db, "CREATE SEQUENCE once"));
  ASSERT_TRUE(execute(*db, "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF nextval('once') = 1 THEN "
                           "PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $f$"));
  ASSERT_TRUE(execute(*db, "CREATE CONSTRAINT TRIGGER dies AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"));
  int runs = 0;
  const auto write = [&] { return db->write_now([&](Tx& tx) { return ++runs, raise(tx, {1}); }, {.fate_in_rows = true}); };
  auto raised = write();
  ASSERT_FALSE(raised);
  EXPECT_EQ(fault_of(raised.error()), Fault::commit_unknown);
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(write()) << "the next one finds a connection";
  EXPECT_EQ((*db->read_now([](Tx& tx) { return tx.run("SELECT n FROM t"); }))[0].integer(0), 1);
}

TEST_F(PostgresDriver, ADeadlockIsRunAgain) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1), (2)"));
  std::atomic<int> failures{0};
  auto swap = [&](int first, int second) {
    for (int i = 0; i < 20; ++i) {
      auto r = db->write_now([&](Tx& tx) -> Result<void> {
        for (int id : {first, second}) {
          auto done = tx.run("UPDATE t SET n = n + 1 WHERE id = $1", {id});
          if (!done) return std::unexpected(done.error());
        }
        return {};
      });
      failures += !r;
    }
  };
  {
    std::jthread a([&] { swap(1, 2); });
    std::jthread b([&] { swap(2, 1); });
  }
  EXPECT_EQ(failures, 0);
  auto sum = db->read_now([](Tx& tx) { return tx.run("SELECT CAST(SUM(n) AS BIGINT) FROM t"); });
  EXPECT_EQ((*sum)[0].integer(0), 80);
}

// As a process that is stopped, or whose machine pauses: what it has locked is free again after two seconds.
TEST_F(PostgresDriver, WhoStopsInTheMiddleOfATransactionStopsNobodyElse) {
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1)"));
  const auto raise_one = [](Tx& tx) { return tx.run("UPDATE t SET n = n + 1 WHERE id = 1"); };
  std::latch locked(1), other(1);
  std::jthread waits([&] {
    locked.wait();
    EXPECT_TRUE(db->write_now(raise_one));
    other.count_down();
  });
  int runs = 0;
  auto r = db->write_now([&](Tx& tx) -> Result<void> {
    if (auto raised = raise_one(tx); !raised) return std::unexpected(raised.error());
    if (++runs == 1) {
      locked.count_down();
      other.wait();
    }
    if (auto raised = raise_one(tx); !raised) return std::unexpected(raised.error());
    return {};
  });
  ASSERT_TRUE(r) << describe(r.error());
  EXPECT_EQ(runs, 2);
  auto sum = db->read_now([](Tx& tx) { return tx.run("SELECT n FROM t"); });
  ASSERT_TRUE(sum);
  EXPECT_EQ((*sum)[0].integer(0), 3);
}

TEST_F(PostgresDriver, WorkWaitsOutARestartOfTheServer) {
  use(test::Postgres::own());
  ASSERT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (1)"));
  test::Postgres::own()->stop(SIGQUIT);
  Result<void> r;
  std::jthread writing([&] { r = execute(*db, "INSERT INTO t (id) VALUES (2)"); });
  EXPECT_TRUE(test::Postgres::own()->start());  // on this thread: the server dies with the one that starts it
  writing.join();
  EXPECT_TRUE(r) << describe(r.error());
  EXPECT_EQ(*count(*db), 2);
}

TEST_F(PostgresDriver, AServerThatStaysAwayIsNotWaitedForAgainAndAgain) {
  SimClock clock;
  use(test::Postgres::own(), {.clock = &clock});
  test::Postgres::own()->stop(SIGQUIT);
  const auto insert = [&](int id) {
    return db->write_now([id](Tx& tx) { return tx.run("INSERT INTO t (id) VALUES ($1)", {id}); }, {.limit = std::chrono::hours(24)});
  };
  auto waiting = std::async(std::launch::async, [&] { return insert(1); });
  for (int i = 0; i < 20 && waiting.wait_for(std::chrono::seconds(1)) != std::future_status::ready; ++i) clock.advance(std::chrono::seconds(6));
  EXPECT_EQ(waiting.wait_for(std::chrono::seconds(0)), std::future_status::ready) << "it waits for the whole of its limit";
  clock.advance(std::chrono::hours(48));
  EXPECT_EQ(fault_of(waiting.get().error()), Fault::unavailable);
  EXPECT_EQ(fault_of(insert(2).error()), Fault::unavailable) << "at once: no time passes";
  EXPECT_TRUE(test::Postgres::own()->start());
  EXPECT_TRUE(insert(3));
  test::Postgres::own()->stop(SIGQUIT);
  waiting = std::async(std::launch::async, [&] { return insert(4); });
  EXPECT_TRUE(test::Postgres::own()->start());
  EXPECT_TRUE(waiting.get()) << "the next restart is waited out again";
}

// A transaction's id is not on the disk before anything of it is: after a crash PostgreSQL may give the same id to somebody else, who commits.
TEST_F(PostgresDriver, WhatACrashTookIsNotTakenForWrittenBecauseItsIdWasGivenAgain) {
  use(test::Postgres::own());
  std::promise<void> inserted, back;
  int runs = 0;
  auto writing = std::async(std::launch::async, [&] {
    return db->write_now([&](Tx& tx) -> Result<void> {
      auto done = tx.run("INSERT INTO t (id) VALUES (7)");
      if (!done) return std::unexpected(done.error());
      if (++runs == 1) inserted.set_value(), back.get_future().wait();
      return {};
    });
  });
  inserted.get_future().wait();
  test::Postgres::own()->stop(SIGQUIT);
  EXPECT_TRUE(test::Postgres::own()->start());
  for (int id = 100; id < 110; ++id) EXPECT_TRUE(execute(*db, "INSERT INTO t (id) VALUES (" + std::to_string(id) + ")"));
  back.set_value();
  const auto r = writing.get();
  EXPECT_EQ(*count(*db), r ? 11 : 10) << (r ? "it is said to be written" : describe(r.error()));
}

}  // namespace
}  // namespace ballast::store
