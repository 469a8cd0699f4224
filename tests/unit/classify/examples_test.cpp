// Files of examples, and the figures that are made of answers.
#include <gtest/gtest.h>

#include "classify/examples.hpp"

namespace ballast::classify {
namespace {

TEST(Examples, TheThreeFormatsReadAlike) {
  const struct {
    Format format;
    std::string content;
  } same[]{
      {Format::tsv, "refund\tmy \"money\", back\n\ncard\twhere's it?\tnow\n"},
      {Format::tsv, "\xEF\xBB\xBFrefund\tmy \"money\", back\r\ncard\twhere's it?\tnow"},
      {Format::csv, "id,Text,label\n1,\"my \"\"money\"\", back\",refund\n\n2,where's it?\tnow,card"},
      {Format::csv, "label,text\r\nrefund,\"my \"\"money\"\", back\"\r\ncard,where's it?\tnow\r\n"},
      {Format::jsonl, "{\"text\":\"my \\\"money\\\", back\",\"label\":\"refund\"}\n{\"label\":\"card\",\"text\":\"where's it?\\tnow\",\"n\":1}\n"},
  };
  for (const auto& s : same) {
    const auto read = read_examples(s.content, s.format, "f");
    ASSERT_TRUE(read) << s.content << read.error().message;
    ASSERT_EQ(read->size(), 2u) << s.content;
    EXPECT_EQ((*read)[0].text, "my \"money\", back");
    EXPECT_EQ((*read)[0].label, "refund");
    EXPECT_EQ((*read)[1].text, "where's it?\tnow");
    EXPECT_EQ((*read)[1].label, "card");
  }
  EXPECT_EQ(read_examples("text,label\n\"two\nlines\",a\nb,b\n", Format::csv, "f").value()[0].text, "two\nlines");
}

TEST(Examples, WhatIsWrongIsToldByFileAndLine) {
  const struct {
    Format format;
    std::string content;
    const char *field, *message;
  } cases[]{
      {Format::tsv, "a\tb\nno tab here\n", "f:2", "must be a label, a tab and a text"},
      {Format::tsv, "a\tb\n\n\tc\n", "f:3", "has no label"},
      {Format::tsv, "a\t  \n", "f:1", "has no text"},
      {Format::tsv, "a\t\xff\n", "f:1", "is not UTF-8"},
      {Format::tsv, std::string(129, 'l') + "\tx", "f:1", "has a label of 129 bytes, at most 128 are allowed"},
      {Format::csv, "", "f:1", "must name the columns, \"text\" and \"label\" among them"},
      {Format::csv, "text,intent\na,b\n", "f:1", "must name the columns, \"text\" and \"label\" among them"},
      {Format::csv, "text,label\n\"a\nb\",c\nd\n", "f:4", "has 1 columns, the first line names 2"},
      {Format::csv, "text,label\na,b\n\"c,d\n", "f:3", "is not a line of CSV: a quotation that does not end, or something behind one"},
      {Format::csv, "text,label\n\"a\"b,c\n", "f:2", "is not a line of CSV: a quotation that does not end, or something behind one"},
      {Format::jsonl, "{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":1,\"label\":\"b\"}", "f:2", "text: must be a string, not a number"},
      {Format::jsonl, "{\"text\":\"a\"}", "f:1", "label: is required"},
  };
  for (const auto& c : cases) {
    const auto read = read_examples(c.content, c.format, "f");
    ASSERT_FALSE(read) << c.content;
    EXPECT_EQ(read.error().field, c.field) << c.content;
    EXPECT_EQ(read.error().message, c.message) << c.content;
  }
  EXPECT_FALSE(read_examples("{", Format::jsonl, "f"));
  EXPECT_EQ(format_of("a/b.jsonl"), Format::jsonl);
  EXPECT_EQ(format_of("b.csv"), Format::csv);
  EXPECT_EQ(format_of("b.tsv"), Format::tsv);
  EXPECT_FALSE(format_of("b.parquet"));
}

TEST(Report, CountsWhatItSays) {
  const std::vector<std::string> labels{"a", "b", "c"};
  const std::vector<Judged> judged{{0, 0, 0.9, 0.8, false},          {0, 0, 0.9, 0.01, true},           {0, 1, 0.6, 0.5, false},
                                   {1, 1, 1.0, 0.9, false},          {kOutOfScope, 0, 0.5, 0.02, true}, {kOutOfScope, 1, 0.5, 0.005, true},
                                   {kOutOfScope, 1, 0.5, 0.6, false}};
  const auto r = make_report(judged, labels);
  EXPECT_EQ(r.in_scope, 4u);
  EXPECT_EQ(r.out_of_scope, 3u);
  EXPECT_DOUBLE_EQ(r.accuracy, 0.75);
  EXPECT_DOUBLE_EQ(r.accuracy_after_refusals, 0.5);
  EXPECT_DOUBLE_EQ(r.false_refusals, 0.25);
  EXPECT_DOUBLE_EQ(*r.recall, 2.0 / 3);
  EXPECT_DOUBLE_EQ(*r.recall_at_5, 1.0 / 3);               // below the least typical of the four
  EXPECT_NEAR(r.calibration_error, (0.2 + 0.6 + 0) / 4, 1e-9);
  ASSERT_EQ(r.labels.size(), 2u);                          // "c" has no examples
  EXPECT_EQ(r.labels[0].label, "a");
  EXPECT_DOUBLE_EQ(r.labels[0].recall(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(r.labels[1].precision(), 0.5);
  ASSERT_EQ(r.confusions.size(), 1u);
  EXPECT_EQ(r.confusions[0].truth, "a");
  EXPECT_EQ(r.confusions[0].answer, "b");
  EXPECT_EQ(make_report({}, labels).accuracy, 0);
}

}  // namespace
}  // namespace ballast::classify
