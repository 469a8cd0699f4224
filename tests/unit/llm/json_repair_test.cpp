// What is put right, and what is left alone because it might mean something else.
#include "llm/json_repair.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"

namespace ballast::llm {
namespace {

struct Row { std::string_view text, repaired, what; };
constexpr Row kRepaired[] = {
    {"\xEF\xBB\xBF{\"a\":1}", R"({"a":1})", "blanks"},
    {"\xC2\xA0 {\"a\":1}\xC2\xA0", R"({"a":1})", "blanks"},
    {"```json\n{\"a\":1}\n```", R"({"a":1})", "fence"},
    {"```\n[1]\n```\n", "[1]", "fence"},
    {"Here it is:\n```json\n{\"a\":1}\n```\nAnything else?", R"({"a":1})", "fence"},
    {"```json\n\"only text\"\n```", R"("only text")", "fence"},
    {"Sure! {\"a\":[1,2]} Hope this helps.", R"({"a":[1,2]})", "prose"},
    {"The answer: [1,2]", "[1,2]", "prose"},
    {R"({"a":1,})", R"({"a":1})", "comma"},
    {"[1,2, ]", "[1,2 ]", "comma"},
    {R"({"a":[1,],"b":{"c":2,},})", R"({"a":[1],"b":{"c":2}})", "comma"},
    {"```json\n{\"a\":[1,2,],}\n```", R"({"a":[1,2]})", "comma"},
    {"{'a':'b'}", R"({"a":"b"})", "quotes"},
    {"{'a': 1, 'b': ['x','y']}", R"({"a": 1, "b": ["x","y"]})", "quotes"},
    {"{\xE2\x80\x9C" "a\xE2\x80\x9D: \xE2\x80\x9C" "b\xE2\x80\x9D}", R"({"a": "b"})", "quotes"},
    {R"({"a":"it's, ] }",})", R"({"a":"it's, ] }"})", "comma"},
    {R"({"a":"```"} done)", R"({"a":"```"})", "prose"},
};

TEST(JsonRepair, PutsRightWhatHasOneReading) {
  for (const auto& [text, repaired, what] : kRepaired) {
    const auto r = repair_json(text);
    ASSERT_TRUE(r) << text;
    EXPECT_EQ(r->text, repaired) << text;
    EXPECT_EQ(r->what, what) << text;
    EXPECT_TRUE(parse_json(r->text)) << text;
  }
}

TEST(JsonRepair, LeavesAloneWhatMayMeanSomethingElse) {
  for (const std::string_view text : {
           R"({"a":1)", R"({"a":[1,2})", R"({"a":"cut o)", "[1,2",                       // what is not there is not known
           R"({"a":1} {"a":2})", R"(First [1], then {"a":2})", R"({"a":1} or [2])",      // which one?
           "```json\n{\"a\":1}\n```\n```json\n{\"a\":2}\n```",
           "{a:1}", "{\"a\":True}", "{\"a\":undefined}", "{\"a\":1 \"b\":2}", "[1 2]", "[,1]", "[1,,2]", "{\"a\":,}",
           "{'it's':1}", "{'a':'b\"c'}", "{'a':'b\\n'}", "{'a' 1}", "// note\n{\"a\":1,/* x */}",
           "{\"a\":01}", "{\"a\":.5}", "no JSON at all", "", "   ", "```json\n```"}) {
    const auto r = repair_json(text);
    EXPECT_FALSE(r) << text << " became " << (r ? r->text : "");
  }
}

TEST(JsonRepair, CutOffIsToldFromWrong) {
  for (const std::string_view text : {R"({"a":1)", R"({"a":"cut o)", "[1,2", "[1,", R"({"a")", "```json\n{\"a\":[", "Here: {\"a\":1", "{", R"({"a":tr)", R"({"a":"\u00)"})
    EXPECT_TRUE(cut_off_json(text)) << text;
  for (const std::string_view text : {R"({"a":1})", "{a:1", "no", "", "12", "[1]", R"({"a":1,})", R"({"a":1}} )"}) EXPECT_FALSE(cut_off_json(text)) << text;
}

TEST(JsonRepair, IsLinearInHostileTexts) {
  const std::size_t n = 200'000;
  const std::string many(n, '['), quotes = "{" + std::string(n, '\''), fences = [&] {
    std::string s;
    while (s.size() < n) s += "```\n";
    return s;
  }();
  for (const std::string& text : {many, quotes, fences, "[" + std::string(n, ','), "{\"a\":'" + std::string(n, 'x')}) {
    EXPECT_FALSE(repair_json(text));
    cut_off_json(text);
  }
}

}  // namespace
}  // namespace ballast::llm
