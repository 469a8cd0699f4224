// What is refused, where, and in words that a model can act on.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "../../support/shop.hpp"

namespace ballast::query {
namespace {

using testing::HasSubstr;

struct Refusal {
  const char *intent, *field, *says;
};

TEST(QueryIntent, WhatCannotBeIsRefusedWithItsPlace) {
  const Refusal rows[] = {
      {R"([])", "", "must be an intent"},
      {R"({"from":"orders"})", "", "asks for nothing"},
      {R"({"from":"wages","measures":[{"count":"*"}]})", "from", "is not a table of this dataset; there are customers, orders, lines, products, visits"},
      {R"({"from":"helped_by","measures":[{"count":"*"}]})", "from", "is not a table"},
      {R"({"from":"orders","dimension":["orders.day"]})", "", "did you mean \"dimensions\"?"},
      {R"({"from":"orders","dimensions":["orders.totl"]})", "dimensions[0]", "did you mean \"orders.total\"?"},
      {R"({"from":"orders","dimensions":["total"]})", "dimensions[0]", "columns are written table.column"},
      {R"({"from":"orders","dimensions":["orders.team"]})", "dimensions[0]", "is not a column of this dataset"},
      {R"({"from":"orders","dimensions":["customers.secret_note"]})", "dimensions[0]", "is not a column of this dataset"},
      {R"({"from":"orders","dimensions":[{"sum":"orders.total"}]})", "dimensions[0]", "belongs into \"measures\""},
      {R"({"from":"orders","measures":["orders.total"]})", "measures[0]", "is not a measure"},
      {R"({"from":"orders","measures":[{"sum":"orders.memo"}]})", "measures[0].sum", "only numbers can be summed"},
      {R"({"from":"customers","measures":[{"avg":"customers.score"}]})", "measures[0]", "the aggregate avg is not allowed of customers.score"},
      {R"({"from":"orders","measures":[{"sum":{"sum":"orders.total"}}]})", "measures[0].sum", "not into another aggregate"},
      {R"({"from":"orders","dimensions":["orders.memo"],"measures":[{"count":"*"}]})", "", "may not be grouped by"},
      {R"({"from":"orders","measures":[{"median":"orders.total"}]})", "measures[0]", "has no operation"},
      {R"({"from":"orders","measures":[{"count":"*","as":"a\"; DROP TABLE x"}]})", "measures[0].as", "must be a word"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"=","value":"10"}})", "where.value", "must be a number"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.day","op":"=","value":"yesterday"}})", "where.value", "must be a date as 2026-01-31"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.day","op":"=","value":"2026-02-30"}})", "where.value", "must be a date"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.paid","op":"=","value":1}})", "where.value", "must be true or false"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"== 1 OR 1","value":1}})", "where.op", "must be one of =, !="},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"contains","value":"1"}})", "where", "contains needs a text"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"field":"customers.city","op":"like","value":"Par\\"}})", "where.value", "must not end with a lone"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"in","value":[1,2,3,4,5]}})", "where.value", "has more than 4 values"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"is_null","value":1}})", "where", "takes no value"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":"orders.id","op":"=","other":"orders.day"}})", "where.other", "is a date, and the field is a integer"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"and":[]}})", "where.and", "must be a list of conditions"},
      {R"({"from":"orders","dimensions":["orders.id"],"where":{"field":{"count":"*"},"op":">","value":1}})", "where.field", "is an aggregate"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"field":"customers.email","op":"=","value":"x"}})", "where.field", "nothing may be decided by it"},
      {R"({"from":"customers","dimensions":["customers.id"],"order":[{"by":"customers.card"}]})", "order[0].by", "nothing may be decided by it"},
      {R"({"from":"customers","dimensions":["customers.name"],"order":[{"by":"name"}]})", "order[0].by", "is masked"},
      {R"({"from":{"from":"customers","dimensions":["customers.email"]},"dimensions":["email"],"where":{"field":"email","op":"starts","value":"a"}})", "where.field", "is masked"},
      {R"({"from":"customers","dimensions":["customers.id"],"where":{"field":"customers.city","op":"in","intent":{"from":"customers","dimensions":["customers.email"]}}})", "where.intent", "is masked"},
      {R"({"from":"customers","dimensions":["customers.id",{"rank":[{"by":"customers.email"}]}]})", "dimensions[1].rank[0].by", "nothing may be decided by it"},
      {R"({"from":"customers","measures":[{"count":"*","where":{"field":"customers.card","op":"starts","value":"4"}}]})", "measures[0].where.field", "nothing may be decided by it"},
      {R"({"from":"customers","dimensions":["customers.id"],"order":[{"by":{"scalar":{"from":"customers","measures":[{"min":"customers.email"}]}}}]})", "order[0].by.scalar", "is masked"},
      {R"({"from":"orders","measures":[{"count":"*"}],"limit":0})", "limit", ""},
      {R"({"from":"orders","measures":[{"count":"*"}],"limit":"1; DROP TABLE x"})", "limit", ""},
      {R"({"from":{"from":{"from":{"from":"orders","measures":[{"count":"*"}]},"dimensions":["count"]},"dimensions":["count"]},"dimensions":["count"]})", "from.from.from", "more than 3 intents inside each other"},
      {R"({"from":{"from":"orders","dimensions":["orders.id"]},"dimensions":["orders.day"]})", "dimensions[0]", "only its outputs are there"},
      {R"({"unanswerable":"  "})", "", "must give a reason"},
      {R"({"unanswerable":"no","from":"orders"})", "", "has a member that is not known here"},
      {R"({"measures":[{"scalar":{"from":"orders","dimensions":["orders.id"]}}]})", "measures[0].scalar", "must have one row"},
      {R"({"from":"customers","dimensions":["customers.city"],"where":{"field":"customers.city","op":"=","value":"0123456789012345678901234567890123456789x"}})", "where.value", "is longer than 40 bytes"},
  };
  for (const auto& row : rows) {
    const auto read = read_intent(test::doc(row.intent), test::shop());
    ASSERT_FALSE(read) << row.intent;
    EXPECT_EQ(read.error().field, row.field) << row.intent << "\n" << read.error().message;
    EXPECT_THAT(read.error().message, HasSubstr(row.says)) << row.intent;
  }
}

TEST(QueryIntent, NothingGrowsWithoutBound) {
  std::string deep = R"({"field":"orders.id","op":"=","value":1})";
  for (int i = 0; i < 400; ++i) deep = R"({"not":)" + deep + "}";
  EXPECT_EQ(read_intent(test::doc(R"({"from":"orders","dimensions":["orders.id"],"where":)" + deep + "}"), test::shop()).error().code, ErrorCode::caller_too_large);
  // Each measure is the one before, eight times: what names stand for counts as if it were written.
  std::string measures = R"({"count":"*","as":"m0"})";
  for (int i = 1; i < 8; ++i) measures += fmt::format(R"(,{{"add":["m{0}","m{0}","m{0}","m{0}","m{0}","m{0}","m{0}","m{0}"],"as":"m{1}"}})", i - 1, i);
  EXPECT_EQ(read_intent(test::doc(R"({"from":"orders","measures":[)" + measures + "]}"), test::shop()).error().code, ErrorCode::caller_too_large);
  std::string many;
  for (int i = 0; i < 7; ++i) many += std::string(i ? "," : "") + R"({"field":"orders.id","op":"=","value":1})";
  EXPECT_THAT(read_intent(test::doc(R"({"from":"orders","dimensions":["orders.id"],"where":{"or":[)" + many + "]}}"), test::shop()).error().message, HasSubstr("more than 6 comparisons"));
}

TEST(QueryIntent, MeasuresMayBeMadeOfMeasuresAndNamesAreFound) {
  const auto read = read_intent(test::doc(R"({"from":"orders","dimensions":["orders.day",{"part":"year","of":"orders.day"}],
    "measures":[{"count":"*"},{"sum":"orders.total","as":"sold"},{"divide":["sold","count"],"as":"mean"}]})"), test::shop());
  ASSERT_TRUE(read) << describe(read.error());
  std::vector<std::string> names;
  for (const auto& o : read->outputs) names.push_back(o.name);
  EXPECT_THAT(names, testing::ElementsAre("day", "day_year", "count", "sold", "mean"));
  EXPECT_TRUE(read->grouped);
}

}  // namespace
}  // namespace ballast::query
