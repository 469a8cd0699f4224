#include <atomic>
#include <thread>

#include "../../support/databases.hpp"
#include "store/schema_steps.hpp"

namespace ballast::store {
namespace {

class DatabaseTest : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    const Migration tables[] = {{"test", 1, "things", "CREATE TABLE things (\n  id {int} NOT NULL PRIMARY KEY, name {text}, data {blob}, weight {real}) {table};\n"
                                                      "CREATE TABLE counter (id {int} NOT NULL PRIMARY KEY, n {int} NOT NULL) {table};\n"
                                                      "INSERT INTO counter (id, n) VALUES (1, 0);\n"}};
    auto done = database().migrate(tables);
    ASSERT_TRUE(done) << describe(done.error());
  }
  Result<void> put(std::int64_t id, std::string name = "x") {
    return database().write_now([&](Tx& tx) -> Result<void> {
      auto r = tx.run("INSERT INTO things (id, name) VALUES ($1, $2)", {id, name});
      if (!r) return std::unexpected(r.error());
      return {};
    });
  }
  std::int64_t count() {
    auto n = database().read_now([](Tx& tx) -> Result<std::int64_t> {
      auto rows = tx.run("SELECT COUNT(*) FROM things");
      if (!rows) return std::unexpected(rows.error());
      return (*rows)[0].integer(0);
    });
    return n ? *n : -1;
  }
};

TEST_P(DatabaseTest, ValuesOfEveryKindComeBackAsTheyWere) {
  const std::string bytes("\0\xff\x01z", 4);
  auto written = database().write_now([&](Tx& tx) -> Result<void> {
    auto r = tx.run("INSERT INTO things (id, name, data, weight) VALUES ($1, $2, $3, $4)", {INT64_MIN, "naïve 'quoted' $1", Value::bytes(bytes), 0.1});
    if (!r) return std::unexpected(r.error());
    EXPECT_EQ(r->affected(), 1);
    r = tx.run("INSERT INTO things (id, name, data, weight) VALUES ($1, $2, $3, $4)", {INT64_MAX, nullptr, Value::bytes(""), std::optional<double>()});
    if (!r) return std::unexpected(r.error());
    return {};
  });
  ASSERT_TRUE(written) << describe(written.error());
  auto rows = database().read_now([](Tx& tx) { return tx.run("SELECT id, name, data, weight FROM things ORDER BY id"); });
  ASSERT_TRUE(rows) << describe(rows.error());
  ASSERT_EQ(rows->size(), 2u);
  const Row first = (*rows)[0], second = (*rows)[1];
  EXPECT_EQ(first.integer(0), INT64_MIN);
  EXPECT_EQ(first.text(1), "naïve 'quoted' $1");
  EXPECT_EQ(first.bytes(2), bytes);
  EXPECT_EQ(first.real(3), 0.1);
  EXPECT_EQ(second.integer(0), INT64_MAX);
  EXPECT_TRUE(second.null(1));
  EXPECT_FALSE(second.null(2));
  EXPECT_TRUE(second.null(3));
}

TEST_P(DatabaseTest, ParametersCountByNumberNotByAppearance) {
  auto rows = database().read_now([](Tx& tx) { return tx.run("SELECT $2 || '-' || $1 || '-' || $2 || ' $1'", {"a", "b"}); });
  ASSERT_TRUE(rows) << describe(rows.error());
  EXPECT_EQ((*rows)[0].text(0), "b-a-b $1");
}

TEST_P(DatabaseTest, AnErrorRollsBackAndSpoilsTheRestOfTheTransaction) {
  ASSERT_TRUE(put(1));
  auto result = database().write_now([&](Tx& tx) -> Result<void> {
    (void)tx.run("INSERT INTO things (id) VALUES (2)");
    auto twice = tx.run("INSERT INTO things (id) VALUES (1)");
    EXPECT_FALSE(twice);
    EXPECT_EQ(fault_of(twice.error()), Fault::conflict);
    EXPECT_EQ(twice.error().code, ErrorCode::caller_conflict);
    EXPECT_FALSE(tx.run("SELECT 1"));  // on both databases alike
    return {};                         // a body that looks away does not commit half of its work
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(fault_of(result.error()), Fault::conflict);
  EXPECT_EQ(count(), 1);
}

TEST_P(DatabaseTest, ABodyThatReturnsItsOwnErrorWritesNothing) {
  auto result = database().write_now([&](Tx& tx) -> Result<void> {
    (void)tx.run("INSERT INTO things (id) VALUES (7)");
    return fail(ErrorCode::policy_budget_exceeded, "no");
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::policy_budget_exceeded);
  EXPECT_EQ(fault_of(result.error()), Fault::none);
  EXPECT_EQ(count(), 0);
}

TEST_P(DatabaseTest, RunManySaysWhatEachRowChanged) {
  ASSERT_TRUE(put(500));
  auto affected = database().write_now([&](Tx& tx) {
    Batch batch(2);
    for (int i = 0; i < 1000; ++i) batch.add({i, "n"});
    return tx.run_many("INSERT INTO things (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", batch);
  });
  ASSERT_TRUE(affected) << describe(affected.error());
  ASSERT_EQ(affected->size(), 1000u);
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ((*affected)[i], i == 500 ? 0 : 1) << i;
  auto failed = database().write_now([&](Tx& tx) {
    Batch batch(1);
    for (int i : {2000, 2001, 5, 2002}) batch.add({i});
    return tx.run_many("INSERT INTO things (id) VALUES ($1)", batch);
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(fault_of(failed.error()), Fault::conflict);
  EXPECT_EQ(count(), 1000);
}

// Rows of every kind, by the thousand, in the order given; a column of nothing but NULL is one too.
TEST_P(DatabaseTest, RunSetWritesManyRowsAtOnce) {
  static constexpr Statement insert("INSERT INTO things (id, name, data, weight) VALUES ($1, $2, $3, $4)",
                                    "INSERT INTO things (id, name, data, weight) SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::bytea[]), unnest($4::float8[])");
  const std::string bytes("\0\xff\\", 3), long_text(300, 'n');
  const auto put_set = [&](int from, int rows, bool names) {
    return database().write_now([&](Tx& tx) -> Result<void> {
      Batch batch(4);
      for (int i = from; i < from + rows; ++i)
        batch.add({i, names && i % 3 ? Value(long_text) : Value(nullptr), Value::bytes(i % 2 ? std::string_view(bytes) : std::string_view("")), names ? Value(i * 0.5) : Value(nullptr)});
      return tx.run_set(insert, batch);
    });
  };
  for (const auto& [from, rows, names] : {std::tuple(0, 3, false), {10, 10'000, true}, {20'000, 1, false}, {30'000, 0, true}}) {
    auto done = put_set(from, rows, names);
    ASSERT_TRUE(done) << describe(done.error());
  }
  EXPECT_EQ(count(), 10'004);
  auto rows = database().read_now([](Tx& tx) { return tx.run("SELECT name, data, weight FROM things WHERE id IN (1, 12, 13, 20000) ORDER BY id"); });
  ASSERT_TRUE(rows) << describe(rows.error());
  ASSERT_EQ(rows->size(), 4u);
  EXPECT_TRUE((*rows)[0].null(0) && (*rows)[0].null(2));
  EXPECT_EQ((*rows)[0].bytes(1), bytes);
  EXPECT_TRUE((*rows)[1].null(0));
  EXPECT_EQ((*rows)[1].bytes(1), "");
  EXPECT_EQ((*rows)[1].real(2), 6.0);
  EXPECT_EQ((*rows)[2].text(0), long_text);
  EXPECT_TRUE((*rows)[3].null(0));
  auto twice = put_set(10'005, 20, true);
  ASSERT_FALSE(twice);
  EXPECT_EQ(fault_of(twice.error()), Fault::conflict);
  EXPECT_EQ(count(), 10'004);
}

// What is not waited for happens in its place, before what follows; whatever goes wrong with it fails the transaction, also one that ends with it.
TEST_P(DatabaseTest, RunLaterIsInOrderAndItsFailureIsTheTransactions) {
  const auto insert = [](Tx& tx, std::initializer_list<int> ids) {
    Batch batch(1);
    for (const int id : ids) batch.add({id});
    return tx.run_later("INSERT INTO things (id) VALUES ($1)", batch);
  };
  auto seen = database().write_now([&](Tx& tx) -> Result<std::int64_t> {
    for (int i = 0; i < 1'500; ++i)
      if (auto done = insert(tx, {2 * i, 2 * i + 1}); !done) return std::unexpected(done.error());
    auto rows = tx.run("SELECT COUNT(*) FROM things");
    if (!rows) return std::unexpected(rows.error());
    if (auto done = insert(tx, {9'000}); !done) return std::unexpected(done.error());
    return (*rows)[0].integer(0);
  });
  ASSERT_TRUE(seen) << describe(seen.error());
  EXPECT_EQ(*seen, 3'000);
  EXPECT_EQ(count(), 3'001);
  auto twice = database().write_now([&](Tx& tx) { return insert(tx, {9'001, 9'000, 9'002}); });
  ASSERT_FALSE(twice);
  EXPECT_EQ(fault_of(twice.error()), Fault::conflict);
  auto away = database().write_now([&](Tx& tx) -> Result<void> {
    (void)insert(tx, {9'003});
    return fail(ErrorCode::policy_budget_exceeded, "no");
  });
  EXPECT_EQ(away.error().code, ErrorCode::policy_budget_exceeded);
  EXPECT_EQ(count(), 3'001);
}

TEST_P(DatabaseTest, RunLaterNamesTheRowThatIsNotAsItMustBe) {
  ASSERT_TRUE(put(1));
  ASSERT_TRUE(put(2));
  const auto rename = [&](std::initializer_list<int> ids, bool look) {
    return database().write_now([&](Tx& tx) -> Result<void> {
      Batch batch(1);
      for (const int id : ids) batch.add({id});
      const auto odd = [](std::size_t row) { return Error{ErrorCode::caller_conflict, "row " + std::to_string(row), "id"}; };
      (void)tx.run_later("UPDATE things SET name = 'new' WHERE id = $1", batch, odd);
      if (look) EXPECT_EQ(tx.run("SELECT 1").has_value(), ids.size() == 2);
      return {};                       // one that looks away, again
    });
  };
  for (const bool look : {false, true}) {
    auto failed = rename({1, 2, 5, 6}, look);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message, "row 2");
    EXPECT_EQ(fault_of(failed.error()), Fault::none);
  }
  auto rows = database().read_now([](Tx& tx) { return tx.run("SELECT COUNT(*) FROM things WHERE name = 'new'"); });
  EXPECT_EQ((*rows)[0].integer(0), 0);
  for (const bool look : {false, true}) EXPECT_TRUE(rename({1, 2}, look));
}

TEST_P(DatabaseTest, NoIncrementIsLostAmongManyWriters) {
  std::atomic<int> failures{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i)
          if (!database().write_now([](Tx& tx) -> Result<void> {
                auto r = tx.run("UPDATE counter SET n = n + 1 WHERE id = 1");
                if (!r) return std::unexpected(r.error());
                return {};
              }))
            ++failures;
      });
  }
  EXPECT_EQ(failures, 0);
  auto n = database().read_now([](Tx& tx) { return tx.run("SELECT n FROM counter"); });
  EXPECT_EQ((*n)[0].integer(0), 400);
}

TEST_P(DatabaseTest, AFailingBodyDoesNotTakeItsNeighboursDown) {
  ASSERT_TRUE(put(0));
  std::atomic<int> good{0}, refused{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        for (int i = 1; i <= 25; ++i) {
          const auto result = put(i % 5 == 0 ? 0 : t * 100 + i);
          ++(result ? good : refused);
        }
      });
  }
  EXPECT_EQ(good, 160);
  EXPECT_EQ(refused, 40);
  EXPECT_EQ(count(), 161);
}

TEST_P(DatabaseTest, ACoroutineIsResumedOnItsLoopAfterTheCommit) {
  test::WaitingLoop loop;
  auto story = [](Database& db, Scheduler& on) -> Task<Result<std::int64_t>> {
    Result<void> written = co_await db.write(on, [](Tx& tx) -> Result<void> {
      auto r = tx.run("INSERT INTO things (id) VALUES (42)");
      if (!r) return std::unexpected(r.error());
      return {};
    });
    if (!written) co_return std::unexpected(written.error());
    Result<std::int64_t> read = co_await db.read(on, [](Tx& tx) -> Result<std::int64_t> {
      auto rows = tx.run("SELECT id FROM things");
      if (!rows) return std::unexpected(rows.error());
      return (*rows)[0].integer(0);
    });
    co_return read;
  };
  auto result = loop.run(story(database(), loop));
  ASSERT_TRUE(result) << describe(result.error());
  EXPECT_EQ(*result, 42);
}

TEST_P(DatabaseTest, AReadCannotWriteAndEndsAtItsDeadline) {
  auto wrote = database().read_now([](Tx& tx) { return tx.run("INSERT INTO things (id) VALUES (1)"); });
  ASSERT_FALSE(wrote);
  EXPECT_EQ(fault_of(wrote.error()), Fault::broken);
  auto endless = database().read_now([](Tx& tx) {
    return tx.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) SELECT COUNT(*) FROM n");
  }, {.limit = std::chrono::milliseconds(50)});
  ASSERT_FALSE(endless);
  EXPECT_EQ(fault_of(endless.error()), Fault::timeout) << describe(endless.error());
  EXPECT_EQ(count(), 0);
}

TEST_P(DatabaseTest, AThrowingBodyIsAnErrorAndTheThreadLivesOn) {
  auto result = database().write_now([](Tx&) -> Result<void> { throw std::runtime_error("oops"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(fault_of(result.error()), Fault::broken);
  EXPECT_TRUE(put(1));
}

// Two rows a piece; the third piece fails, as a killed process would.
Result<bool> move_things(Tx& tx) {
  auto rows = tx.run("SELECT id FROM things ORDER BY id LIMIT 2");
  if (!rows) return std::unexpected(rows.error());
  for (Row r : *rows) {
    auto moved = tx.run("INSERT INTO moved (id) VALUES ($1)", {r.integer(0)});
    if (!moved) return std::unexpected(moved.error());
    auto gone = tx.run("DELETE FROM things WHERE id = $1", {r.integer(0)});
    if (!gone) return std::unexpected(gone.error());
    if (r.integer(0) == 4 && tx.run("SELECT 1 FROM things WHERE name = 'stop'")->size() > 0) return fail(ErrorCode::internal_error, "killed");
  }
  return !rows->empty();
}

TEST_P(DatabaseTest, AMigrationMovesDataInPiecesAndGoesOnWhereItStopped) {
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(put(i, i == 6 ? "stop" : "x"));
  const Migration move[] = {{"mover", 1, "place", "CREATE TABLE moved (id {int} NOT NULL PRIMARY KEY) {table};\n"},
                            {"mover", 2, "move", "DROP TABLE things;\n", move_things}};
  EXPECT_FALSE(database().migrate(move));
  EXPECT_EQ(count(), 3);  // two whole pieces have moved
  ASSERT_TRUE(database().write_now([](Tx& tx) { return tx.run("UPDATE things SET name = 'go' WHERE id = 6"); }));
  ASSERT_TRUE(database().migrate(move));
  ASSERT_TRUE(database().migrate(move));
  auto moved = database().read_now([](Tx& tx) { return tx.run("SELECT id FROM moved"); });
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->size(), 7u);
  EXPECT_EQ(count(), -1);  // the table is gone
}

TEST_P(DatabaseTest, MigrationsApplyOnceInOrderAndSurviveARestart) {
  const Migration two[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\n"},
                           {"later", 2, "b", "ALTER TABLE a ADD COLUMN name {text};\nINSERT INTO a (id, name) VALUES (1, 'x');\n"}};
  ASSERT_TRUE(database().migrate(std::span(two, 1)));
  reopen();
  auto done = database().migrate(two);
  ASSERT_TRUE(done) << describe(done.error());
  ASSERT_TRUE(database().migrate(two));
  auto rows = database().read_now([](Tx& tx) { return tx.run("SELECT id, name FROM a"); });
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->size(), 1u);
}

TEST_P(DatabaseTest, ANewerOrAlteredSchemaIsRefusedClearly) {
  const Migration known[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\n"},
                             {.module = "later", .version = 2, .name = "b", .sql = "DROP TABLE a;\n", .oldest_beside = 2}};
  ASSERT_TRUE(database().migrate(known));
  auto older = database().migrate(std::span(known, 1));
  ASSERT_FALSE(older);
  EXPECT_EQ(fault_of(older.error()), Fault::schema);
  EXPECT_NE(older.error().message.find("newer Ballast"), std::string::npos) << older.error().message;
  const Migration altered[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL) {table};\n"}, known[1]};
  auto changed = database().migrate(altered);
  ASSERT_FALSE(changed);
  EXPECT_NE(changed.error().message.find("checksum"), std::string::npos) << changed.error().message;
}

// So a node of the version before starts again in the middle of a rolling upgrade.
TEST_P(DatabaseTest, AProgramRunsBesideNewerStepsThatDoNotSayItIsTooOld) {
  const Migration known[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\n"},
                             {"later", 2, "b", "CREATE TABLE b (id {int} NOT NULL PRIMARY KEY) {table};\n"},
                             {.module = "later", .version = 3, .name = "c", .sql = "DROP TABLE a;\n", .oldest_beside = 2},
                             {"later", 4, "d", "CREATE TABLE d (id {int} NOT NULL PRIMARY KEY) {table};\n"}};
  ASSERT_TRUE(database().migrate(std::span(known, 2)));
  EXPECT_TRUE(database().migrate(std::span(known, 1))) << "the second step only adds";
  EXPECT_EQ(newer_steps(database(), std::span(known, 1))->size(), 1u);
  ASSERT_TRUE(database().migrate(known));
  EXPECT_TRUE(database().migrate(std::span(known, 2)));
  EXPECT_TRUE(newer_steps(database(), known)->empty());
  auto older = database().migrate(std::span(known, 1));
  ASSERT_FALSE(older) << "the third took away what the first made, and the fourth changes nothing about that";
  EXPECT_NE(older.error().message.find("is at version 3, this program knows version 1"), std::string::npos) << older.error().message;

  // What was applied before steps said it may be anything.
  ASSERT_TRUE(database().write_now([](Tx& tx) { return tx.run("UPDATE schema_migrations SET oldest_beside = NULL WHERE module = 'later'"); }));
  EXPECT_TRUE(database().migrate(known));
  EXPECT_FALSE(database().migrate(std::span(known, 2)));
}

TEST_P(DatabaseTest, TheTableOfStepsOfAnOlderProgramLearnsWhatTheySay) {
  ASSERT_TRUE(database().write_now([](Tx& tx) { return tx.run("ALTER TABLE schema_migrations DROP COLUMN oldest_beside"); }));
  const Migration one[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\n"}};
  ASSERT_TRUE(database().migrate(one));
  ASSERT_TRUE(database().migrate(one));
  auto said = database().read_now([](Tx& tx) { return tx.run("SELECT oldest_beside FROM schema_migrations WHERE module = 'later'"); });
  ASSERT_TRUE(said && said->size() == 1);
  EXPECT_FALSE((*said)[0].null(0));
}

TEST_P(DatabaseTest, AFailingMigrationLeavesNothingBehind) {
  const Migration bad[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\nCREATE TABLE broken (;\n"}};
  EXPECT_FALSE(database().migrate(bad));
  const Migration good[] = {{"later", 1, "a", "CREATE TABLE a (id {int} NOT NULL PRIMARY KEY) {table};\n"}};
  auto done = database().migrate(good);
  EXPECT_TRUE(done) << describe(done.error());
}

BALLAST_ON_BOTH_DATABASES(DatabaseTest);

TEST(OpenDatabase, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(open_database("mysql://x"));
  EXPECT_FALSE(open_database("sqlite:"));
  auto nowhere = open_database("sqlite:/nonexistent/dir/file.db");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(fault_of(nowhere.error()), Fault::unavailable);
}

TEST(OpenDatabase, AnUnreachableServerFailsWorkAtItsDeadlineWithoutNamingThePassword) {
  auto db = open_database("postgres://u:hunter2@127.0.0.1:1/x", {.readers = 1});
  ASSERT_TRUE(db);
  auto result = (*db)->write_now([](Tx&) -> Result<void> { return {}; }, {.limit = std::chrono::seconds(1)});
  ASSERT_FALSE(result);
  EXPECT_EQ(fault_of(result.error()), Fault::unavailable);
  EXPECT_EQ(describe(result.error()).find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace ballast::store
