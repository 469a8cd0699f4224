// What people are shown in a terminal.
#include "app/table.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ballast::app
