// jq in its cage: what people write works, what would harm ends with a clear error, quickly and without a trace.
#include "work/jq.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace ballast::work {
namespace {

using testing::HasSubstr;

Jq program(std::string_view text) {
  auto made = Jq::compile(text, "stages.x.input");
  if (!made) ADD_FAILURE() << text << ": " << describe(made.error());
  return made ? *made : *Jq::compile("null");
}

std::string run(std::string_view text, std::string_view input, Jq::Variables variables = {}) {
  const auto value = program(text).one(*parse_json(input), variables);
  return value ? to_json(*value) : describe(value.error());
}

TEST(Jq, WhatPeopleWrite) {
  struct Case {
    const char *text, *input, *output;
  };
  const Case cases[] = {
      {".a.b + 1", R"({"a":{"b":2}})", "3"},
      {".name", R"({"name":"Ümläut 😀"})", "\"Ümläut 😀\""},
      {"[.items[] | select(.price > 2) | .name]", R"({"items":[{"name":"a","price":1},{"name":"b","price":3}]})", R"(["b"])"},
      {"{id, total: (.lines | map(.n) | add)}", R"({"id":"x","lines":[{"n":1},{"n":2.5}]})", R"({"id":"x","total":3.5})"},
      {"\"Hello \\(.who), \\(.n + 1)\"", R"({"who":"you","n":1})", R"("Hello you, 2")"},
      {"def twice(f): f | f; .n | twice(. * 3)", R"({"n":2})", "18"},
      {"reduce range(10) as $i (0; . + $i)", "null", "45"},
      {"[limit(3; repeat(1))]", "null", "[1,1,1]"},
      {".a as {b: $x, c: [$y]} | $x + $y", R"({"a":{"b":1,"c":[2]}})", "3"},
      {"if .confidence >= 0.85 then \"auto\" elif .confidence > 0.5 then \"template\" else \"human\" end", R"({"confidence":0.6})", "\"template\""},
      {"try error(\"no\") catch .", "null", "\"no\""},
      {".missing // \"default\"", "{}", "\"default\""},
      {".text | test(\"refund|money\"; \"i\")", R"({"text":"My MONEY"})", "true"},
      {"[.text | scan(\"[0-9]+\")] | join(\",\")", R"({"text":"a1b22"})", "\"1,22\""},
      {".a |= . + 1 | .b = 5 | del(.c)", R"({"a":1,"c":2})", R"({"a":2,"b":5})"},
      {"@base64 \"x\\(.a)\"", R"({"a":"hi"})", "\"xaGk=\""},
      {"[foreach .[] as $x (0; . + $x; [$x, .])]", "[1,2]", "[[1,1],[2,3]]"},
      {"label $out | first(.[] | if . > 1 then ., break $out else empty end)", "[1,2,3]", "2"},
      {"to_entries | map(select(.value != null)) | from_entries", R"({"a":1,"b":null})", R"({"a":1})"},
      {"\"2026-11-21T00:00:00Z\" | fromdate | todate", "null", "\"2026-11-21T00:00:00Z\""},
      {"[nan, infinite, -infinite] | length", "null", "3"},
      {"# a remark\n.a # another", R"({"a":1})", "1"},
      {"9007199254740992", "null", "9007199254740992"},
      {"-1 * 2.5", "null", "-2.5"},
  };
  for (const auto& c : cases) EXPECT_EQ(run(c.text, c.input), c.output) << c.text;
}

TEST(Jq, WhatTheCageRefusesIsNamedWithWhatToUseInstead) {
  struct Case {
    const char *text, *says;
  };
  const Case cases[] = {
      {"env.HOME", "declare what you need as an input"},
      {"$ENV.HOME", "$ENV is not allowed"},
      {"$ ENV", "$ENV is not allowed"},
      {"\"\\($ENV.KEY)\"", "$ENV is not allowed"},
      {"\"a \\(\"b \\(env)\")\"", "env is not allowed"},
      {"{(env|tostring): 1}", "env is not allowed"},
      {". as {(env|tostring): $x} | $x", "env is not allowed"},
      {"def env: 1; env", "may not be called env"},
      {"def f(env): env; f(1)", "not understood"},
      {"def _plus(a; b): 7; 1 + 1", "may not be called _plus"},
      {"input", "one input"},
      {"[inputs]", "one input"},
      {"debug", "writes to the log"},
      {"stderr", "writes to the log"},
      {"input_filename", "one input"},
      {"input_line_number", "one input"},
      {"$__loc__", "not allowed"},
      {"$__prog_args", "not allowed"},
      {"import \"a\" as a; a::f", "no modules"},
      {"include \"a\"; .", "no modules"},
      {"\"a\" | modulemeta", "no modules"},
      {"halt", "use error"},
      {"halt_error(1)", "use error"},
      {"now", "take the time from an input"},
      {"localtime", "use gmtime"},
      {"[-1] | implode", "can abort the process"},
      {"get_search_list", "outside"},
      {"@nonsense", "no format @nonsense"},
      {".a | lenght", "did you mean length?"},
      {"join", "use join/1"},
      {"_flatten(1)", "no function _flatten"},
  };
  for (const auto& c : cases) {
    const auto made = Jq::compile(c.text, "when");
    ASSERT_FALSE(made) << c.text;
    EXPECT_EQ(made.error().code, ErrorCode::caller_invalid_request);
    EXPECT_EQ(made.error().field, "when");
    EXPECT_THAT(made.error().message, HasSubstr(c.says)) << c.text;
  }
}

TEST(Jq, BadSyntaxIsToldInJqsWordsWithThePlace) {
  const auto open = Jq::compile(".a |\n  map(.b", "mapping");
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error().message, HasSubstr("syntax error"));
  EXPECT_THAT(open.error().message, HasSubstr("line 2"));
  EXPECT_EQ(open.error().field, "mapping");
  for (const char* text : {".a b", "{", "}", "\"\\x\"", "\"abc", "1 +", "if . then 1", ".[", "$", "@", "reduce . as $x", "| .", "'a'", "\\"})
    EXPECT_FALSE(Jq::compile(text)) << text;
  EXPECT_THAT(Jq::compile("  ").error().message, HasSubstr("empty program"));
  EXPECT_EQ(Jq::compile(std::string(70'000, ' ') + ".").error().code, ErrorCode::caller_too_large);
  EXPECT_FALSE(Jq::compile(std::string(20'000, '[') + std::string(20'000, ']')));
  EXPECT_FALSE(Jq::compile("\xff"));
}

// Each of these would run for hours, or take all memory, or overrun the stack.
TEST(Jq, HostileProgramsEnd) {
  const char* const programs[] = {
      "[range(1e12)] | length",
      "last(range(1e12))",
      "range(1e12) | empty",
      "def f: f; f",
      "def f: 1 + f; f",
      "def f: [f]; f",
      "repeat(empty)",
      "[repeat(1)]",
      "last(repeat(1))",
      "[.[] | recurse(.)] | length",
      "until(false; .)",
      "[while(true; .)]",
      "first(range(1e12) | select(. < 0))",
      "try last(range(1e12)) catch 1",
      "[try range(1e12) catch 1] | length",
      "reduce range(1e12) as $i (0; . + 1)",
      "[limit(1e12; repeat(1))] | length",
      "\"x\" * 2000000000",
      "reduce range(60) as $i (\"xx\"; . + .)",
      "reduce range(60) as $i ([1]; . + .)",
      "reduce range(60) as $i (1; [., .]) | tojson",
      "reduce range(60) as $i (1; [., .]) | flatten",
      "(reduce range(60) as $i (1; [., .])) as $a | (reduce range(60) as $i (1; [., .])) as $b | $a == $b",
      "[reduce range(60) as $i (1; [., .]), reduce range(60) as $i (1; [., .])] | sort",
      "[reduce range(60) as $i (1; [., .]), reduce range(60) as $i (1; [., .])] | unique | length",
      "reduce range(60) as $i (1; [., .]) | [.., 1] | length",
      "reduce range(60) as $i (1; {a: ., b: .}) | [paths] | length",
      "(reduce range(60) as $i (1; {a: ., b: .})) as $a | (reduce range(60) as $i (1; {a: ., b: .})) as $b | $a | contains($b)",
      "reduce range(1000000) as $i (1; [.])",
      "reduce range(1000000) as $i (1; [.]) | length",
      "reduce range(1000000) as $i (1; {a: .}) | tojson | length",
      "[range(300000)] | [.[] as $x | .[] as $y | $x - $y] | length",
      "[range(100000)] - [range(100000, 200000) | [.]] | length",
      "[limit(40; repeat(\"a\"))] | add | test(\"^(a+)+$b\")",
      "(\"a\" * 40) + \"!\" | test(\"(a*)*(a*)*(a*)*b\")",
      "(\"a\" * 100000) | [match(\"(a|aa)*c|a\"; \"g\")] | length",
      "\"abc\" | indices(\"\") | length",
      "\"abc\" | gsub(\"\"; \"x\")",
      "[range(60)] | [combinations(50)] | length",
      "[.[1431655766] = 1] | length",
      "null | .[2147483646] = 1 | length",
      "null | setpath([1e9]; 1)",
      "[range(200000)] | sort_by(tojson | . * 200) | length",
      "[range(20000)] | join(\",\" * 10000) | length",
      "@json \"\\([range(1e9)])\"",
      "[range(1e7)] | map(tostring) | add | length",
      "reduce range(100000) as $i (null; .[$i | tostring] = (\"x\" * 100000))",
      "walk(repeat(.))",
  };
  for (const char* text : programs) {
    const auto jq = program(text);
    JqLimits limits;
    limits.time = std::chrono::milliseconds(50);
    limits.max_memory = 64u << 20;
    SCOPED_TRACE(text);
    const auto began = std::clock();
    const auto value = jq.all(json::value(json::array{1, 2}), {}, limits);
    const double seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 2.0) << text;
    if (value) EXPECT_LT(to_json(json::value_from(*value)).size(), 1000u) << text << " ended by itself";
    const auto after = program(".[0] + 1").one(json::value(json::array{1, 2}));
    ASSERT_TRUE(after) << text;
    EXPECT_EQ(*after, json::value(2));
  }
}

TEST(Jq, TimeIsUtcWhateverTheMachineSays) {
  const std::string before = std::getenv("TZ") ? std::getenv("TZ") : "";
  ::setenv("TZ", "Europe/Berlin", 1);
  ::tzset();
  EXPECT_EQ(run("fromdate | todate", "\"2026-03-29T02:30:00Z\""), "\"2026-03-29T02:30:00Z\"") << "an hour that Berlin leaves out";
  before.empty() ? ::unsetenv("TZ") : ::setenv("TZ", before.c_str(), 1);
  ::tzset();
}

TEST(Jq, LimitsSayWhatToDo) {
  const auto slow = program("last(range(1e12))").one(nullptr);
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, ErrorCode::caller_too_large);
  EXPECT_EQ(slow.error().field, "stages.x.input");
  EXPECT_THAT(slow.error().message, HasSubstr("runs longer"));
  const auto huge = program("\"x\" * 2000000000").one(nullptr);
  EXPECT_THAT(huge.error().message, HasSubstr("more memory"));
  const auto deep = program("reduce range(50000) as $i (1; [.])").one(nullptr);
  EXPECT_EQ(deep.error().code, ErrorCode::caller_too_large);
  EXPECT_THAT(deep.error().message, HasSubstr("nested"));
  const auto many = program("range(2000)").all(nullptr);
  EXPECT_THAT(many.error().message, HasSubstr("more than 1000 outputs"));
  JqLimits small;
  small.max_output_bytes = 100;
  EXPECT_THAT(program("\"x\" * 200").one(nullptr, {}, small).error().message, HasSubstr("more than 100 bytes"));
}

TEST(Jq, OneAllAndTruth) {
  EXPECT_THAT(run("empty", "1"), HasSubstr("gave nothing"));
  EXPECT_THAT(run("1, 2", "1"), HasSubstr("more than one value"));
  EXPECT_THAT(run("1, error(\"late\")", "1"), HasSubstr("late"));
  EXPECT_EQ(program(".[]").all(*parse_json("[1,[2]]"))->size(), 2u);
  for (const auto& [text, truth] : {std::pair{"false", false}, {"null", false}, {"0", true}, {"\"\"", true}, {"[]", true}, {"true, false", true}})
    EXPECT_EQ(*program(text).truth(nullptr), truth) << text;
  EXPECT_FALSE(program("empty").truth(nullptr));
  EXPECT_THAT(run("error(\"why not\")", "1"), HasSubstr("why not"));
  EXPECT_THAT(run("error({a: 1})", "1"), HasSubstr("not a text"));
  EXPECT_THAT(run(".a", "[1]"), HasSubstr("Cannot index array"));
  EXPECT_EQ(program(".a.b").text(), ".a.b");
}

TEST(Jq, VariablesAreGivenByName) {
  const json::value x = 1, y = json::object{{"z", "deep"}};
  const std::pair<std::string_view, const json::value*> given[] = {{"x", &x}, {"y", &y}, {"unused", &y}};
  EXPECT_EQ(run("[$x, $y.z, .]", "5", given), R"([1,"deep",5])");
  EXPECT_EQ(run("$x as $y | $y + 1", "5", given), "2");
  EXPECT_EQ(run("def f($x): $x; f(9) + $x", "5", given), "10");
  EXPECT_EQ(run("{$x}", "5", given), R"({"x":1})");
  EXPECT_EQ(run(".. | $x", "5", given), "1");
  EXPECT_THAT(run("$x + $unknown", "5", given), HasSubstr("$unknown is not given here"));
  EXPECT_EQ(program("(. as $x | 1) | [$x, $y]").variables(), (std::vector<std::string>{"x", "y"}));
}

TEST(Jq, IntegersAreExactOrRefused) {
  EXPECT_EQ(run(".", "[9007199254740992, -9007199254740992, 0, 1.5, 3.0]"), "[9007199254740992,-9007199254740992,0,1.5,3]");
  EXPECT_THAT(run(".", R"({"a":[1,{"id":9007199254740993}]})"), HasSubstr("a[1].id is 9007199254740993"));
  EXPECT_THAT(run(".a", R"({"a":[1,{"id":18446744073709551615}]})"), HasSubstr("pass integers beyond 2^53 as strings"));
  EXPECT_EQ(run(".b", R"({"a":9007199254740993,"b":1})"), "1") << "what is not read cannot be rounded into the result";
  EXPECT_EQ(run("[nan, infinite]", "0"), "[null,1.7976931348623157e+308]");
  EXPECT_EQ(run("tojson", R"({"b":[1,null,true,"é\u0000"]})"), R"("{\"b\":[1,null,true,\"é\\u0000\"]}")");
}

std::string reads(std::string_view text) {
  const auto jq = program(text);
  std::string out = jq.reads().whole ? "*" : "";
  for (const auto& path : jq.reads().paths) {
    out += out.empty() ? "" : " ";
    for (const auto& step : path) out += "/" + step;
  }
  return out;
}

TEST(Jq, WhatAProgramMayReadIsNeverMissed) {
  struct Case {
    const char *text, *reads;
  };
  const Case cases[] = {
      {".stages.draft.output", "/stages/draft/output"},
      {".a[\"b c\"].d", "/a/b c/d"},
      {".\"a\".\"b\"", "/a/b"},
      {".[\"\\u00e9\"]", "/é"},
      {".[\"\\ud83d\\ude00\"]", "/😀"},
      {".a | .b | .c", "/a/b/c"},
      {".a[0].b", "/a"},
      {".a[.i]", "/a /i"},
      {".a[]", "/a"},
      {".a[1:3]", "/a"},
      {".a, .b.c", "/a /b/c"},
      {".a + .b * 2", "/a /b"},
      {".a // .b", "/a /b"},
      {"{x: .a, b, \"c\": 1, \"d\"}", "/a /b /d"},
      {"{(.k): 1}", "/k"},
      {"\"\\(.a) and \\(.b.c)\"", "/a /b/c"},
      {"@json \"\\(.a)\"", "/a"},
      {".a as $x | $x.b", "/a/b"},
      {".a as {b: $x} | $x", "/a"},
      {"$in.a.b + $other", "/$in/a/b /$other"},
      {"if .a then .b else .c end", "/a /b /c"},
      {".a | length", "/a"},
      {".a | map(.b)", "/a"},
      {".a | select(.ok) | .b", "/a/b /a/ok"},
      {"first(.a[])", "/a"},
      {"[limit(.n; .a[])]", "/a /n"},
      {"reduce .a[] as $x (.s; . + $x + $y)", "/$y /a /s"},
      {".a?.b?", "/a/b"},
      {"1", ""},
      {"empty", ""},
      {".", "*"},
      {"..", "*"},
      {"length", "*"},
      {".a = 1", "* /a"},
      {"getpath([\"a\"])", "*"},
      {".[$k]", "* /$k"},
      {".[\"a\\(.b)\"]", "* /b"},
      {"to_entries", "*"},
      {"def f: .x; .a | f", "* /a"},
      {"try .a.b catch .", "* /a/b"},
      {"path(.a)", "*"},
      {"(.a, .) | .b", "/a/b /b"},
      {".a.b | 1", "/a/b"},
      {".a as $x | 1", "/a"},
      {"$x as $y | 1", "/$x"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(reads(c.text), c.reads) << c.text;
  }
}

// A path beginning with a member called "$x" is the input's, not the variable's.
TEST(Jq, OnlyWhatIsReadIsHandedOver) {
  const json::value x = json::object{{"a", 9007199254740993}, {"b", 1}};
  const std::pair<std::string_view, const json::value*> given[] = {{"x", &x}};
  EXPECT_EQ(run("$x.b + .a.b", R"({"a":{"b":1,"c":9007199254740993},"d":18446744073709551615})", given), "2");
  EXPECT_THAT(run("$x", "1", given), HasSubstr("$x.a is 9007199254740993"));
  EXPECT_EQ(run(".[\"$x\"].b", R"({"$x":{"b":5}})", given), "5");
  EXPECT_EQ(run("[.a.b, .a.c, .b]", R"({"a":{"b":[1,{"z":2}],"c":null,"d":3},"b":"s"})"), R"([[1,{"z":2}],null,"s"])");
  EXPECT_THAT(run(".a.b", R"({"a":[1]})"), HasSubstr("Cannot index array"));
  EXPECT_THAT(run(".a.b | 1", R"({"a":"s"})"), HasSubstr("Cannot index string"));
  EXPECT_EQ(run("1", "[9007199254740993]"), "1");
}

TEST(Jq, DefinitionsInTheHomeFolderAreNotRead) {
  const auto home = std::filesystem::temp_directory_path() / ("ballast_jq_" + std::to_string(::getpid()));
  std::filesystem::create_directories(home);
  std::ofstream(home / ".jq") << "def length: \"from home\";";
  const std::string before = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::setenv("HOME", home.c_str(), 1);
  EXPECT_EQ(run("[1, 2] | length + 0", "1"), "2");
  ::setenv("HOME", before.c_str(), 1);
  std::filesystem::remove_all(home);
}

TEST(Jq, ThreadsShareAProgram) {
  const auto jq = program("[.items[] | .n * $k] | add");
  const auto hostile = program("last(range(1e12))");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const json::value k = t, input = json::parse(R"({"items":[{"n":1},{"n":2},{"n":3}]})");
      const std::pair<std::string_view, const json::value*> given[] = {{"k", &k}};
      JqLimits limits;
      limits.time = std::chrono::milliseconds(5);
      for (int i = 0; i < 300; ++i) {
        EXPECT_EQ(*jq.one(input, given), json::value(6 * t));
        if (i % 100 == 0) EXPECT_FALSE(hostile.one(nullptr, {}, limits));
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(Jq, MoreProgramsThanAreKeptCompiled) {
  for (int i = 0; i < 135; ++i) EXPECT_EQ(run(". + " + std::to_string(i), "1"), std::to_string(i + 1));
  EXPECT_EQ(run(". + 0", "1"), "1");
}

}  // namespace
}  // namespace ballast::work
