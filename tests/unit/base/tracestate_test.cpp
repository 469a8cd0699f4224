#include "base/tracestate.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ballast::trace {
namespace {

TEST(Tracestate, IsPassedOnAsItCame) {
  for (const char* whole : {"rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "tenant-1@vendor=a b;c:d", "0vendor=~", "a_-*/=x"})
    EXPECT_EQ(read_tracestate(whole), whole);
  EXPECT_EQ(read_tracestate(" congo=1 ,\t, rojo=2\t,"), "congo=1,rojo=2") << "blanks and empty members say nothing";
  EXPECT_EQ(read_tracestate(""), "");
}

TEST(Tracestate, IsDroppedWholeWhereItIsMalformed) {
  for (const char* bad : {"vendor", "=x", "Vendor=x", "vendor=", "vendor=a=b", "vendor=\x7f", "vendor=gr\xc3\xbc\xc3\x9f", "@system=x", "tenant@=x", "tenant@1system=x", "_a=x", "a b=x", "a=1,bad"})
    EXPECT_EQ(read_tracestate(bad), "") << bad;
  EXPECT_EQ(read_tracestate("a=1,b=2,a=3"), "") << "a key twice";
  EXPECT_EQ(read_tracestate("a=1\r\nset-cookie: x"), "");
  EXPECT_EQ(read_tracestate(std::string(257, 'k') + "=x"), "");
  EXPECT_EQ(read_tracestate("k=" + std::string(257, 'v')), "");
}

TEST(Tracestate, HasALimit) {
  std::string most, more;
  for (int i = 0; i < 33; ++i) (i < 32 ? most : more) += fmt::format("{}k{}=v", i == 0 || i == 32 ? "" : ",", i);
  EXPECT_EQ(read_tracestate(most), most);
  EXPECT_EQ(read_tracestate(most + "," + more), "");
  // Long members go first, then the last ones.
  const std::string tall = "tall=" + std::string(200, 'x'), other = "other=" + std::string(200, 'y');
  EXPECT_EQ(read_tracestate("a=1," + tall + "," + other + ",b=" + std::string(120, 'z') + ",c=3"), "a=1," + tall + ",b=" + std::string(120, 'z') + ",c=3");
  std::string small;
  for (int i = 0; i < 10; ++i) small += fmt::format("{}s{}={}", i == 0 ? "" : ",", i, std::string(97, 'v'));
  EXPECT_EQ(read_tracestate(small), small.substr(0, 5 * 100 + 4));
}

}  // namespace
}  // namespace ballast::trace
