// The same questions on both databases: what comes back, masked; and what the database itself refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../../support/databases.hpp"
#include "../../support/shop.hpp"

namespace ballast::query {
namespace {

using testing::HasSubstr;

// Numbers by their value: SQLite tells the whole ones among NUMERIC as such.
void expect_same(const json::value& got, const json::value& wanted, const char* intent) {
  if (wanted.is_number() && got.is_number()) {
    EXPECT_NEAR(got.to_number<double>(), wanted.to_number<double>(), 1e-9) << intent;
  } else if (wanted.is_array() && got.is_array() && wanted.get_array().size() == got.get_array().size()) {
    for (std::size_t i = 0; i < wanted.get_array().size(); ++i) expect_same(got.at(i), wanted.at(i), intent);
  } else {
    EXPECT_EQ(got, wanted) << intent;
  }
}

class QueryRun : public test::OnBothDatabases {
 protected:
  void SetUp() override {
    OnBothDatabases::SetUp();
    if (IsSkipped()) return;
    const auto made = database().write_now([](store::Tx& tx) -> Result<int> {
      for (const char* sql : test::kShopTables)
        if (auto done = tx.run(sql); !done) return std::unexpected(done.error());
      return 0;
    });
    ASSERT_TRUE(made) << describe(made.error());
    dataset_ = test::dataset_from(test::kShop, url()).value();
    runner_.emplace(dataset_, clock_);
  }
  Result<Answer> ask(std::string_view text, const Principal& who = test::red()) {
    auto intent = read_intent(test::doc(text), dataset_);
    if (!intent) return std::unexpected(intent.error());
    auto statement = build(*intent, dataset_, who, GetParam(), test::kShopNow);
    if (!statement) return std::unexpected(statement.error());
    return runner_->run_now(*statement);
  }
  std::string rows(std::string_view text, const Principal& who = test::red()) {
    auto answer = ask(text, who);
    return answer ? to_json(answer->rows) : describe(answer.error());
  }

  const SystemClock clock_;
  Dataset dataset_;
  std::optional<Runner> runner_;
};

TEST_P(QueryRun, TheSameQuestionHasTheSameAnswerOnBoth) {
  struct Row {
    const char *intent, *rows;
  };
  const Row table[] = {
      {R"({"from":"orders","measures":[{"count":"*"},{"sum":"orders.total"}]})", "[[3,45.5]]"},
      {R"({"from":"orders","dimensions":["orders.id","orders.day","orders.placed","orders.paid"],"order":[{"by":"orders.day","desc":true}],"limit":1})",
       R"([[13,"2026-02-14","2026-02-14 08:00:00",true]])"},
      {R"({"from":"orders","dimensions":["customers.city",{"truncate":"month","of":"orders.seen","as":"month"}],"measures":[{"count":"*"}],"order":[{"by":"month"}]})",
       R"([["PAR","2026-01-01",2],["PAR","2026-02-01",1]])"},
      {R"({"from":"orders","dimensions":["orders.id","helped_by.city"],"optional":["helped_by"],"order":[{"by":"orders.id"}]})", R"([[10,"ROM"],[11,null],[13,"PAR"]])"},
      {R"({"from":"lines","measures":["margin"]})", "[[21.5]]"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"not":{"exists":"visits"}}})", "[[3]]"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"exists":"orders","by":"helped_by","where":{"field":"orders.paid","op":"=","value":true}},"order":[{"by":"customers.id"}]})",
       "[[1],[2]]"},
      {R"({"from":"orders","dimensions":[{"part":"quarter","of":"orders.day"},{"part":"weekday","of":"orders.day"},{"part":"time","of":"orders.placed"},{"part":"year_month","of":"orders.seen"}],
         "where":{"field":"orders.id","op":"=","value":10}})", R"([[1,1,"09:30","2026-01"]])"},
      {R"({"from":"orders","measures":[{"round":{"avg":{"elapsed":["orders.day","orders.placed"],"unit":"hour"}},"digits":2}]})", "[[13.5]]"},
      {R"({"from":"orders","dimensions":[{"shift":"orders.day","by":1,"unit":"month"},{"shift":"orders.placed","by":-90,"unit":"minute"}],"where":{"field":"orders.id","op":"=","value":10}})",
       R"([["2026-02-05","2026-01-05 08:00:00"]])"},
      {R"({"from":"orders","dimensions":[{"integer":{"divide":["orders.total",4]}},{"abs":{"subtract":[1,"orders.total"]}},{"length":"orders.memo"}],"where":{"field":"orders.id","op":"=","value":10}})",
       "[[7,29.5,1]]"},
      {R"({"from":"orders","dimensions":["orders.customer"],"measures":[{"sum":"orders.total","as":"sold"},{"rank":[{"by":"sold","desc":true}]},{"previous":"sold","order":[{"by":"orders.customer"}]}],
         "order":[{"by":"sold","desc":true}]})", "[[1,40.5,1,null],[3,5,2,40.5]]"},
      {R"({"from":{"from":"orders","dimensions":["orders.customer","orders.id",{"row_number":[{"by":"orders.day"}],"within":["orders.customer"],"as":"nth"}]},
         "dimensions":["customer","id"],"where":{"field":"nth","op":"=","value":1},"order":[{"by":"id"}]})", "[[1,10],[3,13]]"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.total","op":"=","other":{"scalar":{"from":"orders","measures":[{"max":"orders.total"}]}}}})", "[[10]]"},
      {R"({"from":"customers","dimensions":["customers.city"],"where":{"field":"customers.city","op":"starts","value":"p"},"distinct":true})", R"([["PAR"]])"},
      {R"({"from":"orders","measures":[{"divide":[{"count":"*","where":{"field":"orders.paid","op":"=","value":true}},{"count":"*"}]}]})", "[[0.666666666666667]]"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.placed","op":"between","value":["2026-01-05","2026-01-20"]},"order":[{"by":"orders.id"}]})", "[[10],[11]]"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.seen","op":"between","value":["2026-01-05","2026-01-20"]},"order":[{"by":"orders.id"}]})", "[[10],[11]]"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.seen","op":">","other":"orders.placed"}})", "[]"},
      {R"({"from":"orders","measures":[{"coalesce":[{"sum":"orders.total","where":{"field":"orders.id","op":"=","value":999}},0]}]})", "[[0]]"},
      {R"({"from":"customers","dimensions":["customers.name","customers.email","customers.card"],"order":[{"by":"customers.id"}],"limit":1})", R"([["A•••","#HASH","•••"]])"},
      {R"({"from":"customers","measures":[{"min":"customers.name"},{"count_distinct":"customers.email"}]})", R"([["A•••",2]])"},
      {R"({"from":{"from":"customers","dimensions":["customers.email"],"where":{"field":"customers.id","op":"=","value":1}},"dimensions":[{"upper":"email"}]})", R"([["#HASH"]])"},
  };
  for (const auto& row : table) {
    std::string got = rows(row.intent);
    // Twelve digits under the key of the test: the same everywhere, but not readable here.
    for (std::size_t at = got.find("\"#"); at != std::string::npos; at = got.find("\"#", at + 1)) got.replace(at + 2, 12, "HASH");
    const auto answer = parse_json(got);
    ASSERT_TRUE(answer) << row.intent << got;
    expect_same(*answer, test::doc(row.rows), row.intent);
  }
}

TEST_P(QueryRun, ANumberKeepsFifteenDigitsAndIsOneOrNothing) {
  const char* odd = sqlite() ? "INSERT INTO products VALUES (7, 'odd', 9e999)" : "INSERT INTO products VALUES (7, 'odd', 'NaN')";
  const auto filled = database().write_now([&](store::Tx& tx) -> Result<int> {
    for (const char* sql : {"INSERT INTO lines VALUES (10, 1, 1, 12345678.91), (10, 1, 1, 87654321.08), (10, 1, 9007199254740993, 0)", odd})
      if (auto done = tx.run(sql); !done) return std::unexpected(done.error());
    return 0;
  });
  ASSERT_TRUE(filled) << describe(filled.error());
  EXPECT_EQ(rows(R"({"from":"lines","dimensions":["lines.price"],"where":{"field":"lines.price","op":">","value":1000},"order":[{"by":"lines.price"}]})"), "[[12345678.91],[87654321.08]]");
  EXPECT_EQ(rows(R"({"from":"lines","measures":[{"sum":{"multiply":["lines.price",100000]}}],"where":{"field":"lines.price","op":">","value":1000}})"), "[[9999999999000.0]]");
  EXPECT_EQ(rows(R"({"from":"lines","measures":[{"max":"lines.quantity"}]})"), "[[9007199254740993]]") << "whole numbers have all their digits";
  dataset_.tables[3].columns[2].hidden = false;
  EXPECT_EQ(rows(R"({"from":"products","dimensions":["products.cost"],"where":{"field":"products.id","op":"=","value":7}})"), "[[null]]");
}

TEST_P(QueryRun, EachSeesItsOwnRows) {
  const auto count = R"({"from":"orders","measures":[{"count":"*"}]})";
  EXPECT_EQ(rows(count, test::of_team("blue")), "[[1]]");
  EXPECT_EQ(rows(count, test::of_team(json::array{"blue", "red"})), "[[4]]");
  EXPECT_EQ(rows(count, test::of_team("' OR '1'='1")), "[[0]]");
}

TEST_P(QueryRun, TooManyRowsAreCutOffAndSaid) {
  const auto answer = ask(R"({"from":"lines","dimensions":["lines.quantity","products.name"]})", test::of_team(json::array{"red", "blue"}));
  ASSERT_TRUE(answer) << describe(answer.error());
  EXPECT_EQ(answer->rows.size(), 5u);
  EXPECT_FALSE(answer->truncated);
  const auto more = ask(R"({"from":"lines","dimensions":["lines.quantity","visits.day"]})", test::of_team(json::array{"red", "blue"}));
  ASSERT_TRUE(more) << describe(more.error());
  EXPECT_EQ(more->rows.size(), 5u);
  EXPECT_TRUE(more->truncated);
}

TEST_P(QueryRun, AnAnswerAboveTheLimitOfBytesIsRefused) {
  const auto filled = database().write_now([](store::Tx& tx) { return tx.run("INSERT INTO products VALUES (9, $1, 1)", {std::string(5'000, 'x')}); });
  ASSERT_TRUE(filled);
  dataset_.limits.bytes = 4'000;
  runner_.emplace(dataset_, clock_);
  const auto answer = ask(R"({"from":"products","dimensions":["products.name"]})");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::caller_too_large) << describe(answer.error());
  EXPECT_EQ(rows(R"({"from":"products","measures":[{"count":"*"}]})"), "[[4]]");
}

TEST_P(QueryRun, AQuestionThatTakesTooLongIsEnded) {
  const auto filled = database().write_now([&](store::Tx& tx) -> Result<int> {
    store::Batch batch(2);
    for (int i = 0; i < 3'000; ++i) batch.add({i, "2026-01-01"});
    if (auto done = sqlite() ? tx.run_many("INSERT INTO visits VALUES ($1, $2)", batch) : tx.run_many("INSERT INTO visits VALUES ($1, CAST($2 AS DATE))", batch); !done) return std::unexpected(done.error());
    return 0;
  });
  ASSERT_TRUE(filled) << describe(filled.error());
  dataset_.limits.timeout = std::chrono::milliseconds(50);
  runner_.emplace(dataset_, clock_);
  // Nothing that a dataset of ours would build takes so long on so little: rows against rows against rows.
  Statement slow{.sql = "SELECT COUNT(*) AS c1 FROM visits AS a, visits AS b, visits AS c", .columns = {{"n", Type::integer, Mask::none}}, .rows = 1};
  const auto began = clock_.mono();
  const auto answer = runner_->run_now(slow);
  ASSERT_FALSE(answer);
  EXPECT_EQ(store::fault_of(answer.error()), store::Fault::timeout) << describe(answer.error());
  EXPECT_LT(clock_.mono() - began, std::chrono::seconds(3));
}

// Whatever the builder might be made to write: the database has the last word.
TEST_P(QueryRun, TheDatabaseItselfWritesNothing) {
  for (const char* sql : {"INSERT INTO visits VALUES (9, '2026-01-01')", "DELETE FROM visits", "UPDATE visits SET customer_id = 1", "DROP TABLE visits", "CREATE TABLE x (y INT)"}) {
    const auto answer = runner_->run_now({.sql = sql, .rows = 1});
    ASSERT_FALSE(answer) << sql;
  }
  EXPECT_EQ(rows(R"({"from":"visits","measures":[{"count":"*"}]})"), "[[3]]");
  if (!sqlite()) return;
  for (const char* sql : {"SELECT name AS c1 FROM wages", "SELECT sql AS c1 FROM sqlite_master", "SELECT load_extension('x') AS c1", "SELECT randomblob(10) AS c1", "PRAGMA table_info(customers)",
                          "ATTACH 'x' AS y", "SELECT name AS c1 FROM products UNION SELECT name FROM wages", "SELECT (SELECT amount FROM wages) AS c1 FROM products",
                          "SELECT rowid AS c1 FROM products", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS c1 FROM r"}) {
    const auto answer = runner_->run_now({.sql = sql, .columns = {{"x", Type::text, Mask::none}}, .rows = 1});
    ASSERT_FALSE(answer) << sql;
    EXPECT_THAT(answer.error().message, testing::AnyOf(HasSubstr("prohibited"), HasSubstr("not authorized"))) << sql;
  }
}

TEST(QueryRunner, ADatabaseThatIsNotThereIsLookedForAgain) {
  const test::TempDir folder;
  const SystemClock clock;
  const auto dataset = test::dataset_from(test::kShop, "sqlite:" + (folder / "later.db")).value();
  Runner runner(dataset, clock, 1);
  const Statement one{.sql = "SELECT COUNT(*) AS c1 FROM products AS t1", .columns = {{"n", Type::integer, Mask::none}}, .rows = 1};
  const auto missing = runner.run_now(one);
  ASSERT_FALSE(missing);
  EXPECT_EQ(store::fault_of(missing.error()), store::Fault::unavailable);
  EXPECT_FALSE(std::filesystem::exists(folder / "later.db"));
  auto made = store::open_database("sqlite:" + (folder / "later.db")).value();
  ASSERT_TRUE(made->write_now([](store::Tx& tx) { return tx.run("CREATE TABLE products (id, name, cost)"); }));
  const auto found = runner.run_now(one);
  ASSERT_TRUE(found) << describe(found.error());
  EXPECT_EQ(to_json(found->rows), "[[0]]");
}

TEST_P(QueryRun, ALoopIsNotHeldUp) {
  test::WaitingLoop loop;
  const auto statement = build(read_intent(test::doc(R"({"from":"products","measures":[{"count":"*"}]})"), dataset_).value(), dataset_, test::red(), GetParam(), test::kShopNow).value();
  const auto answer = loop.run(runner_->run(loop, statement));
  ASSERT_TRUE(answer) << describe(answer.error());
  EXPECT_EQ(to_json(answer->rows), "[[3]]");
}

BALLAST_ON_BOTH_DATABASES(QueryRun);

}  // namespace
}  // namespace ballast::query
