// What a terminal is shown: widths, cutting, hostile text, tables that fit and progress.
#include "app/terminal.hpp"

#include <gtest/gtest.h>

#include "app/progress.hpp"
#include "app/table.hpp"
#include "base/text.hpp"

namespace ballast::app {
namespace {

using namespace std::chrono_literals;

TEST(DisplayWidth, CountsColumns) {
  const std::pair<std::string_view, std::size_t> rows[] = {{"", 0},    {"abc", 3},       {"äöü", 3},      {"漢字", 4},         {"🙂", 2},           {"한글", 4},
                                                           {"ｗｉｄｅ", 8}, {"e\u0301", 1}, {"👍🏽", 2}, {"a\u200Db", 2}, {"\xff\xfe", 2}, {"…", 1}};
  for (const auto& [text, width] : rows) EXPECT_EQ(display_width(text), width) << text;
}

TEST(OneLine, NothingOfItMovesTheTerminal) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"plain äß漢🙂", "plain äß漢🙂"},
      {"\x1b[2J\x1b]0;owned\x07", "?[2J?]0;owned?"},
      {"a\nb\tc\r", "a b c "},
      {std::string_view("nul\0", 4), "nul?"},
      {"\x7f", "?"},
      {"\u009b31m", "?31m"},
      {"\u202Eabc\u2066", "?abc?"},
      {"\u2028", "?"},
      {"\xc3", "?"},
      {"\xff\xfe", "??"},
      {"\xed\xa0\x80", "???"},
  };
  for (const auto& [text, safe] : rows) EXPECT_EQ(one_line(text), safe);
}

TEST(Fitted, CutsByColumnsAndBetweenCharacters) {
  EXPECT_EQ(fitted("12345", 5), "12345");
  EXPECT_EQ(fitted("123456", 5), "1234…");
  EXPECT_EQ(fitted("漢字漢字", 8), "漢字漢字");
  EXPECT_EQ(fitted("漢字漢字", 7), "漢字漢…");
  EXPECT_EQ(fitted("漢字漢字", 6), "漢字…") << "half a character is none";
  EXPECT_EQ(fitted("abc", 0), "");
  EXPECT_EQ(padded("漢", 4), "漢  ");
  EXPECT_EQ(padded("7", 3, true), "  7");
  const std::string mixed = "aä漢🙂e\u0301aä漢🙂aä漢🙂";
  for (std::size_t columns = 0; columns < 24; ++columns) {
    EXPECT_LE(display_width(fitted(mixed, columns)), columns);
    EXPECT_EQ(display_width(padded(mixed, columns)), columns);
    EXPECT_TRUE(is_utf8(fitted(mixed, columns))) << columns;
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (const auto line : split(text, '\n')) out.emplace_back(line);
  if (!out.empty() && out.back().empty()) out.pop_back();
  return out;
}

TEST(Table, FitsTheWindowByItsWidestTexts) {
  const json::array rows{json::object{{"id", "call_01"}, {"comment", std::string(60, 'x')}, {"cost_usd", "0.000000125"}, {"route", std::string(30, 'r')}},
                         json::object{{"id", "call_02"}, {"comment", "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"}, {"cost_usd", "1234.500000000"}, {"route", "chat"}}};
  const auto whole = lines_of(table(rows, std::nullopt));
  EXPECT_NE(whole[1].find(std::string(60, 'x')), std::string::npos) << "in a file nothing is cut";
  for (std::size_t columns = 50; columns < 140; ++columns)
    for (const auto& line : lines_of(table(rows, columns))) EXPECT_LE(display_width(line), columns) << line;
  const auto narrow = lines_of(table(rows, 60));
  EXPECT_NE(narrow[2].find("1234.500000000"), std::string::npos) << "a number is never cut";
  EXPECT_NE(narrow[1].find("call_01"), std::string::npos);
  EXPECT_NE(narrow[1].find("…"), std::string::npos);
  const auto tiny = lines_of(table(rows, 5));
  EXPECT_EQ(tiny.size(), 9u) << "where nothing can give way any more, each member has a line";
}

TEST(Table, CellsAreHarmlessAndAligned) {
  const json::array rows{json::object{{"user\x1b[1m", "a\x1b[31mb\nc"}, {"n", 5}}, json::object{{"user\x1b[1m", "漢"}, {"n", 12345}}};
  const auto lines = lines_of(table(rows, std::nullopt));
  ASSERT_EQ(lines.size(), 3u) << "a line end in a cell makes no line";
  EXPECT_EQ(lines[0], "user?[1m       n");
  EXPECT_EQ(lines[1], "a?[31mb c      5");
  EXPECT_EQ(lines[2], "漢         12345");
}

TEST(ProgressLine, TellsWhatIsKnown) {
  const ProgressState half{.what = "copying", .unit = Unit::bytes, .done = 50'000'000, .all = 100'000'000, .elapsed = 5s};
  EXPECT_EQ(progress_line(half, 200), "copying  [############............]  50 %  10.0 MB/s  0:05 left");
  EXPECT_EQ(progress_line({.what = "asking", .unit = Unit::things, .done = 3, .all = 0, .elapsed = 65s}, 200), "asking  3  0/s  1:05");
  EXPECT_EQ(progress_line({.what = "waiting", .unit = Unit::things, .done = 0, .all = 0, .elapsed = 3'725s}, 200), "waiting  1:02:05");
  EXPECT_EQ(progress_line({.what = "x", .unit = Unit::things, .done = 0, .all = 10, .elapsed = {}}, 200), "x  [........................]   0 %") << "no rate yet, no guess";
  EXPECT_EQ(progress_line({.what = "x", .unit = Unit::things, .done = 11, .all = 10, .elapsed = 1s}, 200), "x  11  11/s  0:01") << "the whole was guessed too small";
  EXPECT_EQ(display_width(progress_line(half, 20)), 20u);
  EXPECT_EQ(progress_line({.what = "\x1b[2J", .unit = Unit::things, .done = 0, .all = 0, .elapsed = {}}, 200).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace ballast::app
