// The statements, word for word, in both dialects; and what the builder will not build.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <regex>

#include "../../support/shop.hpp"

namespace ballast::query {
namespace {

using store::Dialect;
using testing::HasSubstr;

std::string sql_of(std::string_view intent, Dialect dialect = Dialect::sqlite, const Principal& who = test::red()) {
  auto built = test::build(intent, dialect, who);
  return built ? built->sql : describe(built.error());
}

constexpr std::string_view kOrders =
    R"((SELECT t2."id", t2."customer_id", t2."helper_id", t2."day", t2."placed", t2."seen", t2."paid", t2."total", t2."memo", t2."team" FROM "order" AS t2 WHERE t2."team" IN ($1)) AS t1)";

TEST(QueryBuilder, AGroupedQuestionInBothDialects) {
  const auto intent = R"({"from":"visits","dimensions":["customers.city",{"truncate":"month","of":"visits.day","as":"month"}],"measures":[{"count":"*","as":"n"}],
    "where":{"field":"visits.day","op":"within","value":{"last":2,"unit":"month","whole":true}},"having":{"field":"n","op":">","value":1},"order":[{"by":"n","desc":true}],"limit":3})";
  EXPECT_EQ(sql_of(intent),
            R"(SELECT t2."city" AS c1, STRFTIME('%Y-%m-01', t1."day") AS c2, COUNT(*) AS c3 FROM "visits" AS t1 JOIN "customers" AS t2 ON t1."customer_id" = t2."id" )"
            R"(WHERE (t1."day" >= $1 AND t1."day" < $2) GROUP BY 1, 2 HAVING (COUNT(*) > $3) ORDER BY 3 DESC NULLS LAST, 1 ASC NULLS LAST, 2 ASC NULLS LAST LIMIT $4)");
  EXPECT_EQ(sql_of(intent, Dialect::postgres),
            R"(SELECT CAST(t2."city" AS TEXT) COLLATE "C" AS c1, TO_CHAR(CAST(DATE_TRUNC('month', t1."day") AS DATE), 'YYYY-MM-DD') AS c2, CAST(COUNT(*) AS BIGINT) AS c3 )"
            R"(FROM "visits" AS t1 JOIN "customers" AS t2 ON t1."customer_id" = t2."id" WHERE (t1."day" >= CAST($1 AS DATE) AND t1."day" < CAST($2 AS DATE)) )"
            R"(GROUP BY t2."city", CAST(DATE_TRUNC('month', t1."day") AS DATE) HAVING (COUNT(*) > $3) ORDER BY 3 DESC NULLS LAST, 1 ASC NULLS LAST, 2 ASC NULLS LAST LIMIT $4)");
  EXPECT_EQ(to_json(test::build(intent)->parameters_json()), R"(["2025-12-01","2026-02-01",1,3])");
}

TEST(QueryBuilder, TheLimitIsTheDatasetsAndOneMore) {
  EXPECT_EQ(to_json(test::build(R"({"from":"products","dimensions":["products.name"]})")->parameters_json()), "[6]");
  EXPECT_EQ(to_json(test::build(R"({"from":"products","dimensions":["products.name"],"limit":1000000})")->parameters_json()), "[6]");
  EXPECT_EQ(to_json(test::build(R"({"from":"products","dimensions":["products.name"],"limit":2})")->parameters_json()), "[2]");
}

TEST(QueryBuilder, RangesOfTimeAreReckonedFromTheMomentTheQuestionIsAsked) {
  const auto bounds = [](std::string_view field, std::string_view value) {
    return to_json(test::build(fmt::format(R"({{"from":"orders","measures":[{{"count":"*"}}],"where":{{"field":"orders.{}","op":"within","value":{}}}}})", field, value))->parameters_json());
  };
  // Friday, 2026-02-20 15:00
  EXPECT_EQ(bounds("day", R"({"last":30,"unit":"days"})"), R"(["red","2026-01-21","2026-02-20",6])");
  EXPECT_EQ(bounds("placed", R"({"last":30,"unit":"days"})"), R"(["red","2026-01-21","2026-02-20 15:00:00",6])");
  EXPECT_EQ(bounds("placed", R"({"last":2,"unit":"hour"})"), R"(["red","2026-02-20 13:00:00","2026-02-20 15:00:00",6])");
  EXPECT_EQ(bounds("seen", R"({"last":2,"unit":"hour"})"), R"(["red",1771592400,1771599600,6])");
  EXPECT_EQ(bounds("day", R"({"last":1,"unit":"week","whole":true})"), R"(["red","2026-02-09","2026-02-16",6])");
  EXPECT_EQ(bounds("day", R"({"last":1,"unit":"quarter","whole":true})"), R"(["red","2025-10-01","2026-01-01",6])");
  EXPECT_EQ(bounds("day", R"({"this":"year"})"), R"(["red","2026-01-01",6])");
  EXPECT_EQ(bounds("day", R"({"from":"2026-01-01","to":"2026-01-31"})"), R"(["red","2026-01-01","2026-01-31",6])");
  EXPECT_THAT(sql_of(R"({"from":"orders","measures":[{"count":"*"}],"where":{"field":"orders.placed","op":"between","value":["2026-01-01","2026-01-31"]}})"),
              HasSubstr(R"((t1."placed" >= $2 AND t1."placed" < DATE($3, '+1 day')))"));
}

TEST(QueryBuilder, RowsOfOthersAreNotThereWhereverTheTableStands) {
  const char* const everywhere[] = {
      R"({"from":"orders","measures":[{"count":"*"}]})",
      R"({"from":"lines","dimensions":["orders.id"]})",
      R"({"from":"lines","measures":[{"sum":"lines.quantity"}]})",                              // what belongs to an order
      R"({"from":"lines","dimensions":["customers.city"]})",                                    // only led through
      R"({"from":"customers","dimensions":["customers.id"],"measures":[{"count":"orders.id"}],"optional":["orders"]})",
      R"({"from":"customers","dimensions":["customers.id"],"where":{"exists":"orders","by":"helped_by"}})",
      R"({"from":"customers","dimensions":["customers.id"],"where":{"field":"customers.id","op":"in","intent":{"from":"orders","dimensions":["orders.customer"]}}})",
      R"({"measures":[{"scalar":{"from":"orders","measures":[{"max":"orders.total"}]}}]})",
      R"({"from":{"from":"orders","dimensions":["orders.day"],"measures":[{"count":"*","as":"n"}]},"measures":[{"max":"n"}]})",
      R"({"from":"customers","dimensions":["customers.id"],"where":{"exists":"visits","where":{"field":"visits.customer","op":"in","intent":{"from":"orders","dimensions":["orders.helper"]}}}})",
      R"({"from":"lines","measures":["margin"],"where":{"field":"orders.paid","op":"=","value":true}})",
  };
  for (const char* intent : everywhere)
    for (const Dialect dialect : {Dialect::sqlite, Dialect::postgres}) {
      const auto built = test::build(intent, dialect);
      ASSERT_TRUE(built) << intent << ": " << describe(built.error());
      const std::regex once("\"order\""), guarded("FROM \"order\" AS (t[0-9]+) WHERE \\1\\.\"team\" IN \\(");
      const auto count = [&](const std::regex& what) { return std::distance(std::sregex_iterator(built->sql.begin(), built->sql.end(), what), std::sregex_iterator()); };
      EXPECT_GT(count(once), 0) << built->sql;
      EXPECT_EQ(count(once), count(guarded)) << built->sql;
      const auto denied = test::build(intent, dialect, Principal{});
      ASSERT_FALSE(denied) << intent;
      EXPECT_EQ(denied.error().code, ErrorCode::caller_forbidden);
      EXPECT_EQ(denied.error().field, "principal.team");
    }
  EXPECT_EQ(sql_of(R"({"from":"orders","dimensions":["orders.id"]})"), fmt::format("SELECT t1.\"id\" AS c1 FROM {} LIMIT $2", kOrders));
  EXPECT_THAT(sql_of(R"({"from":"orders","dimensions":["orders.id"]})", Dialect::sqlite, test::of_team(json::array{"red", "blue"})), HasSubstr("t2.\"team\" IN ($1, $2)"));
  EXPECT_THAT(sql_of(R"({"from":"orders","dimensions":["orders.id"]})", Dialect::sqlite, test::of_team(json::array{})), HasSubstr("WHERE 1 = 0"));
  for (const json::value& odd : {json::value(7), json::value(json::object{{"a", 1}}), json::value(nullptr), json::value(true)})
    EXPECT_EQ(test::build(R"({"from":"orders","dimensions":["orders.id"]})", Dialect::sqlite, test::of_team(odd)).error().code, ErrorCode::caller_forbidden);
}

TEST(QueryBuilder, WhatWouldBeCountedTwiceIsRefusedUnlessItIsMeant) {
  struct Row {
    const char *intent, *says;   // null: built
  };
  const Row rows[] = {
      {R"({"from":"lines","measures":[{"sum":"lines.price"}]})", nullptr},
      {R"({"from":"lines","measures":[{"sum":"orders.total"}]})", "orders.total repeats, once for each row of lines: begin \"from\": \"orders\""},
      {R"({"from":"lines","measures":[{"sum":"orders.total","per":"lines"}]})", nullptr},
      {R"({"from":"lines","measures":[{"sum":"orders.total","per":"orders"}]})", "\"per\" is orders, but the rows are those of lines"},
      {R"({"from":"lines","measures":[{"count_distinct":"orders.id"},{"max":"orders.total"}]})", nullptr},
      {R"({"from":"orders","dimensions":["orders.day"],"measures":[{"sum":"orders.total"},{"sum":"lines.quantity"}]})", "orders.total repeats"},
      {R"({"from":"orders","dimensions":["orders.day"],"measures":[{"sum":"lines.quantity"},{"count":"*"}]})", nullptr},
      // A product of both is one value for each line.
      {R"({"from":"lines","measures":[{"sum":{"multiply":["lines.quantity","orders.total"]}}]})", nullptr},
      {R"({"from":"customers","dimensions":["customers.city"],"measures":[{"count":"orders.id"},{"count":"visits.day"}]})", "the joins multiply rows"},
      {R"({"from":"customers","dimensions":["customers.city"],"measures":[{"count_distinct":"orders.id"},{"max":"visits.day"}]})", nullptr},
      {R"({"from":"orders","measures":[{"count":"visits.day"}]})", "the joins multiply rows"},
      {R"({"from":"customers","dimensions":["customers.id"],"measures":[{"count":"*"}],"optional":["visits"]})", "counts rows that have no visits as one"},
      {R"({"from":"customers","dimensions":["customers.id"],"measures":[{"count":"visits.day"}],"optional":["visits"]})", nullptr},
      {R"({"from":"visits","dimensions":["visits.day"],"measures":[{"add":[{"count":"*"},"visits.customer"]}]})", "visits.customer is neither aggregated nor one of the dimensions"},
      {R"({"from":"visits","dimensions":["visits.day"],"measures":[{"count":"*"}],"order":[{"by":"visits.customer"}]})", "neither aggregated nor one of the dimensions"},
      {R"({"from":"visits","dimensions":["visits.day"],"distinct":true,"order":[{"by":"visits.customer"}]})", "only what is shown can be ordered by"},
      {R"({"dimensions":["products.name"]})", "needs \"from\""},
      {R"({"from":"products","dimensions":["products.name"],"where":{"exists":"visits"}})", "no declared join leads straight to visits"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"exists":"orders"}})", "there are several joins to orders: say which by \"by\""},
  };
  for (const auto& row : rows) {
    const auto built = test::build(row.intent);
    if (row.says == nullptr) EXPECT_TRUE(built) << row.intent << "\n" << describe(built.error());
    else if (built) ADD_FAILURE() << row.intent << "\n" << built->sql;
    else EXPECT_THAT(built.error().message, HasSubstr(row.says)) << row.intent;
  }
}

TEST(QueryBuilder, NoValueIsEverText) {
  const auto built = test::build(R"({"from":"customers","dimensions":["customers.city"],"where":{"or":[{"field":"customers.city","op":"=","value":"' OR 1=1 --"},
    {"field":"customers.city","op":"contains","value":"50%_\\"},{"field":"customers.id","op":"in","value":[777777,888888]}]},"limit":4})");
  ASSERT_TRUE(built) << describe(built.error());
  EXPECT_EQ(built->sql, R"(SELECT t1."city" AS c1 FROM "customers" AS t1 WHERE ((t1."city" = $1) OR (LOWER(t1."city") LIKE LOWER($2) ESCAPE '\') OR (t1."id" IN ($3, $4))) LIMIT $5)");
  EXPECT_EQ(to_json(built->parameters_json()), R"(["' OR 1=1 --","%50\\%\\_\\\\%",777777,888888,4])");
}

}  // namespace
}  // namespace ballast::query
