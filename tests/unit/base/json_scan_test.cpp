// JSON that arrives in pieces: judged as the whole parser would, at every split.
#include "base/json_scan.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/random.hpp"

namespace ballast {
namespace {

constexpr std::string_view kTexts[] = {
    R"({"a":1,"b":[true,false,null,-0.5e+10],"c":{"d":"é \u00e9 \ud83d\ude00 \" \\ \/ \b\f\n\r\t"}})", " [ ] ", "{}", "[[[[]]]]", R"("text")", "0", "-0",
    "12.5", "1e9", "1E-2 ", "true", " null\n", R"({"":""})", "[1 , 2\t,\n3\r]", R"({"a" : {} , "b" : []})", "\"\xF0\x9F\x98\x80\"", "[0,0.0,10]"};
constexpr std::string_view kBroken[] = {
    "", " ", "{", "[1,]", R"({"a":1,})", R"({"a"})", R"({a:1})", "{'a':1}", "01", "1.", ".5", "+1", "--1", "1e", "1e+", "[1 2]", "tru", "truex", "nul", "\"",
    "\"\t\"", R"("\x")", R"("\u12g4")", R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", R"("\ud83d\u0041")", "\"\xC3\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"",
    "\"\xF5\x80\x80\x80\"", "\"\xE0\x80\x80\"", "{}{}", "[1]]", "{]", "[}", ",", ":", "```json\n{}\n```", "\xEF\xBB\xBF{}", R"({"a":1 "b":2})", R"(["a":1])"};

// Whole by the scan; SIZE_MAX where it is, else the byte that could not follow.
std::size_t stops(std::string_view text, JsonScan& scan) {
  const auto taken = scan.push(text);
  return taken == text.size() ? SIZE_MAX : taken;
}

TEST(JsonScan, AgreesWithTheWholeParser) {
  for (const auto text : kTexts) {
    JsonScan scan;
    EXPECT_EQ(stops(text, scan), SIZE_MAX) << text;
    EXPECT_TRUE(scan.complete()) << text;
    EXPECT_TRUE(parse_json(text)) << text;
  }
  for (const auto text : kBroken) {
    JsonScan scan;
    EXPECT_FALSE(stops(text, scan) == SIZE_MAX && scan.complete()) << text;
    EXPECT_FALSE(parse_json(text)) << text;
  }
}

TEST(JsonScan, EverySplitIsTheSameText) {
  for (const auto text : kTexts)
    for (std::size_t at = 0; at <= text.size(); ++at) {
      JsonScan scan;
      ASSERT_EQ(scan.push(text.substr(0, at)), at) << text << " at " << at;
      JsonScan copy = scan;
      ASSERT_EQ(copy.push(text.substr(at)), text.size() - at) << text << " at " << at;
      EXPECT_TRUE(copy.complete()) << text << " at " << at;
    }
}

// What a scan accepts of a text can be completed: its every byte was a step towards some document.
TEST(JsonScan, AByteThatIsRefusedChangesNothing) {
  SeededRandom random(7);
  for (const auto text : kTexts)
    for (int i = 0; i < 40; ++i) {
      JsonScan scan;
      const std::size_t at = random.below(text.size() + 1);
      scan.push(text.substr(0, at));
      for (int c = 0; c < 256; ++c) {
        JsonScan tried = scan;
        if (tried.push(static_cast<char>(c))) continue;
        EXPECT_EQ(tried.push(text.substr(at)), text.size() - at) << text << " at " << at << " after byte " << c;
        EXPECT_TRUE(tried.complete());
      }
    }
}

// Bytes changed at random: both say the same, but for what only a whole parser sees.
TEST(JsonScan, AgreesOnTextsThatWereDamaged) {
  SeededRandom random(11);
  constexpr std::string_view spice = "{}[]\",:\\u0129eE+-.tfn \n\xC3\xA9\xED\x80";
  int valid = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text(kTexts[random.below(std::size(kTexts))]);
    for (std::uint64_t n = random.below(3); n > 0 && !text.empty(); --n) {
      const std::size_t at = random.below(text.size());
      if (random.below(2)) text[at] = spice[random.below(spice.size())];
      else text.erase(at, 1);
    }
    JsonScan scan;
    const bool whole = stops(text, scan) == SIZE_MAX && scan.complete();
    const auto parsed = parse_json(text);
    if (!parsed && parsed.error().message.find("out of range") != std::string::npos) continue;
    EXPECT_EQ(whole, parsed.has_value()) << text << (parsed ? "" : ": " + parsed.error().message);
    valid += whole;
  }
  EXPECT_GT(valid, 10'000);
}

TEST(JsonScan, KnowsWhereItStands) {
  JsonScan scan;
  EXPECT_FALSE(scan.begun());
  scan.push(" {\"a");
  EXPECT_TRUE(scan.begun() && scan.in_string());
  EXPECT_EQ(scan.depth(), 1u);
  scan.push("\":[1");
  EXPECT_TRUE(scan.takes_comma());
  scan.push(", ");
  EXPECT_TRUE(scan.after_comma());
  EXPECT_FALSE(scan.push(']'));
  scan.forget_comma();
  EXPECT_EQ(scan.push("]}"), 2u);
  EXPECT_TRUE(scan.complete());
}

TEST(JsonScan, DepthHasALimit) {
  JsonScan scan(3);
  EXPECT_EQ(scan.push("[[[["), 3u);
}

}  // namespace
}  // namespace ballast
