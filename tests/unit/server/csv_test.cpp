// Lines that a spreadsheet shows and does not run.
#include "server/csv.hpp"

#include <gtest/gtest.h>

namespace ballast::server {
namespace {

std::string field(std::string_view in) {
  std::string out;
  append_csv_field(out, in);
  return out;
}

TEST(Csv, FieldsAreQuotedWhereTheyMustBe) {
  const std::string_view rows[][2] = {{"plain", "plain"}, {"", ""}, {"a,b", "\"a,b\""}, {"say \"hi\"", "\"say \"\"hi\"\"\""}, {"two\nlines", "\"two\nlines\""}, {"ümlaut; 1.5", "ümlaut; 1.5"}};
  for (const auto& [in, out] : rows) EXPECT_EQ(field(in), out);
}

TEST(Csv, WhatLooksLikeAFormulaIsText) {
  const std::string_view rows[][2] = {{"=1+1", "\"'=1+1\""}, {"+49", "\"'+49\""}, {"-5", "\"'-5\""}, {"@SUM(A1)", "\"'@SUM(A1)\""}, {"\t=x", "\"'\t=x\""}, {"\r=x", "\"'\r=x\""},
                                      {"=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""}, {"a=b", "a=b"}};
  for (const auto& [in, out] : rows) EXPECT_EQ(field(in), out);
}

TEST(Csv, ARowEndsAsTheStandardSays) {
  std::string out;
  const std::string fields[] = {"a", "b,c", ""};
  append_csv_row(out, fields);
  EXPECT_EQ(out, "a,\"b,c\",\r\n");
}

}  // namespace
}  // namespace ballast::server
