// What people are shown in a terminal.
#include "app/table.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/progress.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"

namespace ballast::app {
namespace {

TEST(Shortened, CutsBetweenCharacters) {
  EXPECT_EQ(shortened("", 5), "");
  EXPECT_EQ(shortened("12345", 5), "12345");
  EXPECT_EQ(shortened("123456", 5), "12...");
  EXPECT_EQ(shortened("äöüßé", 5), "äöüßé") << "characters are counted, not bytes";
  EXPECT_EQ(shortened("äöüßéà", 5), "äö...");
  EXPECT_EQ(shortened("漢字🙂漢字🙂", 5), "漢字...");
  for (std::size_t most = 3; most < 12; ++most) EXPECT_TRUE(is_utf8(shortened("aä漢🙂aä漢🙂aä漢🙂", most))) << most;
}

// What nobody should be able to put on a terminal by way of a stored text.
const std::string kAttack = "\x1b[2J\x1b]0;owned\x07\xc2\x9b" "31m\r\n\t\xe2\x80\xae" "gpj.exe\xe2\x81\xa6\xff\x7f" "漢字🙂עברית";

void expect_harmless(const std::string& text, std::string_view what) {
  for (const char c : text) EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)) << what;
  for (const char* part : {"\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6"}) EXPECT_EQ(text.find(part), std::string::npos) << what;
  EXPECT_TRUE(is_utf8(text)) << what;
}

json::array attacked(std::size_t columns) {
  json::array rows;
  for (int r = 0; r < 3; ++r) {
    json::object row;
    for (std::size_t c = 0; c < columns; ++c) {
      std::string name = fmt::format("column {}{}", c, c == 1 ? kAttack : "");
      if (c % 3 == 2) row[name] = 1234567 * (r + 1);
      else row[name] = c % 3 == 0 ? kAttack + std::string(200, 'x') : std::string("漢字漢字漢字漢字");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST(Table, FitsEveryWindowWhateverItsCellsHold) {
  for (const std::size_t columns : {1u, 3u, 6u, 12u})
    for (const std::size_t window : {20u, 40u, 80u, 200u}) {
      const std::string shown = table(attacked(columns), window);
      expect_harmless(shown, "table");
      for (std::size_t from = 0; from < shown.size();) {
        const auto end = shown.find('\n', from);
        EXPECT_LE(display_width(shown.substr(from, end - from)), window) << columns << " columns\n" << shown;
        from = end + 1;
      }
      if (columns > 2) EXPECT_NE(shown.find("1234567"), std::string::npos) << "a number is never cut";
    }
}

TEST(Table, IsWrittenBeneathEachOtherWhereColumnsDoNotFit) {
  const auto rows = parse_json(R"([{"name":"a long name of something","calls":1200000,"spent_usd":"1.000000000","note":""},{"name":"b","calls":7,"spent_usd":"2.5","note":"x"}])");
  EXPECT_EQ(table(rows->as_array(), 24), "name       a long name …\ncalls      1200000\nspent_usd  1.000000000\n\nname       b\ncalls      7\nspent_usd  2.5\nnote       x\n") << "of a window of 24";
  EXPECT_TRUE(table(rows->as_array(), 60).starts_with("name ")) << "side by side where there is room";
  EXPECT_EQ(table({}, 10), "\n");
}

TEST(Members, AreHarmless) {
  const json::object o{{kAttack, kAttack}, {"nested", json::object{{kAttack, json::array{kAttack}}}}, {"n", 7}};
  const std::string told = members(o);
  expect_harmless(told, "members");
  EXPECT_EQ(std::ranges::count(told, '\n'), 3);
  EXPECT_TRUE(told.ends_with("n              7\n")) << told;
}

TEST(ProgressLine, SaysTheShareWhereTheWholeIsKnown) {
  ProgressState s{.what = "reading" + kAttack, .unit = Unit::things, .done = 50, .all = 200, .elapsed = std::chrono::seconds(10)};
  const std::string known = progress_line(s, 200);
  expect_harmless(known, "progress");
  EXPECT_NE(known.find("[######..................]  25 %  5/s  0:30 left"), std::string::npos) << known;
  s.all = 0;
  EXPECT_NE(progress_line(s, 200).find("  50  5/s  0:10"), std::string::npos) << progress_line(s, 200);
  s.done = 0;
  EXPECT_TRUE(progress_line(s, 200).ends_with("  0:10"));
  for (const std::size_t columns : {1u, 10u, 40u}) EXPECT_LE(display_width(progress_line(s, columns)), columns);
}

TEST(BytesBehind, AreKnownOfFilesAlone) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fputs("twelve bytes", file), 1);
  std::fflush(file);
  std::rewind(file);
  EXPECT_EQ(bytes_behind(fileno(file)), 12u);
  EXPECT_EQ(std::fseek(file, 5, SEEK_SET), 0);
  EXPECT_EQ(bytes_behind(fileno(file)), 7u);
  std::fclose(file);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(bytes_behind(ends[0]), 0u);
  close(ends[0]);
  close(ends[1]);
  EXPECT_EQ(bytes_behind(-1), 0u);
}

}  // namespace
}  // namespace ballast::app
