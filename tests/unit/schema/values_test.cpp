#include "schema/values.hpp"

#include <gtest/gtest.h>

namespace ballast::schema {
namespace {

json::value num(std::string_view text) { return parse_json(text).value(); }

TEST(Values, NumbersCompareByTheirMathematicalValue) {
  struct Row {
    const char *a, *b;
    int order;
  };
  const Row rows[] = {
      {"1", "1.0", 0}, {"1", "2", -1}, {"-1", "0.5", -1}, {"9007199254740993", "9007199254740992.0", 1},
      {"18446744073709551615", "18446744073709551616.0", -1}, {"18446744073709551615", "-1", 1}, {"-9223372036854775808", "-9223372036854775808.0", 0},
      {"1e308", "18446744073709551615", 1}, {"-1e308", "-9223372036854775808", -1}, {"0", "-0.0", 0}, {"3", "3.0000000000000004", -1},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(compare(num(row.a), num(row.b)), row.order) << row.a << " " << row.b;
    EXPECT_EQ(compare(num(row.b), num(row.a)), -row.order) << row.b << " " << row.a;
    bool too_deep = false;
    if (row.order == 0) { EXPECT_EQ(hash(num(row.a), 7, too_deep), hash(num(row.b), 7, too_deep)) << row.a; }
    EXPECT_EQ(equal(num(row.a), num(row.b), too_deep), row.order == 0);
  }
}

TEST(Values, MultiplesAreThoseOfTheDecimalsThatWereWritten) {
  struct Row {
    const char *number, *step;
    bool is;
  };
  const Row rows[] = {
      {"0.0075", "0.0001", true}, {"0.00751", "0.0001", false}, {"19.99", "0.01", true}, {"0.3", "0.1", true}, {"1.1", "0.1", true},
      {"4.5", "1.5", true}, {"35", "1.5", false}, {"1e308", "0.5", true}, {"1e308", "0.123456789", false}, {"12391239123", "1e-8", true},
      {"-9223372036854775808", "2", true}, {"18446744073709551615", "5", true}, {"18446744073709551615", "2", false}, {"0", "7", true},
      {"0.0", "0.3", true}, {"-19.99", "0.01", true}, {"19.999", "0.01", false}, {"19.98", "0.02", true}, {"19.99", "0.02", false}, {"1e15", "0.01", true},
      {"12345678901234.56", "0.01", true}, {"12345678901234.567", "0.01", false}, {"1e-23", "1e-23", true}, {"100", "1e2", true}, {"150", "1e2", false}, {"1e-300", "1e300", false}, {"7", "7.0", true}, {"-9", "3", true}, {"5e-324", "5e-324", true},
  };
  for (const auto& row : rows) EXPECT_EQ(is_multiple(num(row.number), Divisor(num(row.step))), row.is) << row.number << " of " << row.step;
}

TEST(Values, ObjectsAreEqualWhateverTheOrder) {
  bool too_deep = false;
  const auto a = num(R"({"x":[1,{"y":2.0}],"z":"é"})"), b = num(R"({"z":"é","x":[1.0,{"y":2}]})"), c = num(R"({"z":"é","x":[1,{"y":3}]})");
  EXPECT_TRUE(equal(a, b, too_deep));
  EXPECT_EQ(hash(a, 1, too_deep), hash(b, 1, too_deep));
  EXPECT_FALSE(equal(a, c, too_deep));
  EXPECT_FALSE(equal(num("1"), num("true"), too_deep));
  EXPECT_FALSE(equal(num("[]"), num("{}"), too_deep));
  EXPECT_FALSE(too_deep);
}

TEST(Values, WhatIsTooDeepIsSaidToBe) {
  json::value deep = json::array();
  for (int i = 0; i < 2'000; ++i) deep = json::array{std::move(deep)};
  bool too_deep = false;
  (void)equal(deep, deep, too_deep);
  EXPECT_TRUE(too_deep);
  too_deep = false;
  (void)hash(deep, 0, too_deep);
  EXPECT_TRUE(too_deep);
}

}  // namespace
}  // namespace ballast::schema
