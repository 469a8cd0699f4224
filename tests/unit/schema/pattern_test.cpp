#include "schema/pattern.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "schema/pattern_run.hpp"

namespace ballast::schema {
namespace {

constexpr std::uint64_t kMost = 2'000'000;

Pattern::Found search(std::string_view pattern, std::string_view text) {
  auto compiled = Pattern::compile(pattern, 16 << 10);
  EXPECT_TRUE(compiled.has_value()) << pattern << ": " << (compiled ? "" : compiled.error().message);
  std::uint64_t steps = 50'000'000;
  return compiled ? compiled->search(text, kMost, steps) : Pattern::Found::too_much;
}

TEST(SchemaPattern, MeansWhatEcmaScriptMeans) {
  struct Row {
    const char *pattern, *text;
    bool found;
  };
  const Row rows[] = {
      {"^a*$", "aaa", true}, {"^a*$", "aab", false}, {"b", "abc", true}, {"^b", "abc", false}, {"c$", "abc", true}, {"^abc$", "abc\n", false},
      {"^a.c$", "a\nc", false}, {"^a.c$", "a\u2028c", false}, {"^a.c$", "a\u00e9c", true}, {"^.$", "\U0001F600", true},
      {"^\\d$", "1", true}, {"^\\d$", "\u0663", false}, {"^\\w+$", "\u00e9", false}, {"^\\s$", "\u00a0", true}, {"^\\s$", "\ufeff", true},
      {"^\\S$", "\u2003", false}, {"^[\\s]$", "\u3000", true}, {"^[^\\S]$", "\t", true}, {"^[\\S]$", "x", true}, {"^\\v$", "\v", true},
      {"^\\cC$", "\x03", true}, {"^\\cc$", "\x03", true}, {"^\\x41\\u0042\\u{43}$", "ABC", true}, {"^\\uD83D\\uDE00$", "\U0001F600", true},
      {"^[\\uD83D\\uDE00-\\uD83D\\uDE02]$", "\U0001F601", true}, {"^\\p{Letter}+$", "h\u00e9\u00df", true}, {"^\\p{Script=Greek}$", "\u03b1", true},
      {"^\\P{L}$", "1", true}, {"^[\\p{Lu}\\d]+$", "A1", true}, {"^\\p{gc=Lu}$", "a", false}, {"^\\p{digit}$", "\u0663", true},
      {"a{,5}", "a{,5}", true}, {"^x{2,3}$", "xx", true}, {"^x{2,3}$", "xxxx", false}, {"^{}$", "{}", true}, {"[]", "x", false}, {"^[^]$", "\n", true},
      {"^(?<year>\\d{4})-\\k<year>$", "2026-2026", true}, {"^(a)\\1$", "aa", true}, {"^\\1(a)$", "a", true}, {"^a\\-b\\_\\@$", "a-b_@", true},
      {"^(?=.*\\d)(?!.*x).+$", "a1", true}, {"(?<=a)b", "ab", true}, {"(?<!a)b", "ab", false}, {"^[a-\\d]$", "-", true}, {"^[\\w-.]+$", "a-.", true},
      {"^[\\b]$", "\b", true}, {"\\bfoo\\b", "a foo b", true}, {"^a|b$", "xb", true}, {"", "anything", true}, {"^$", "", true}, {"^#$", "#", true},
      {"^\\/\\.$", "/.", true}, {"^.{0,100000}$", "short", true}, {"^x{70000}$", "x", false}, {"^[^\\uD800-\\uDFFF]$", "x", true}, {"^\\0$", "x", false},
      {"^[[]$", "[", true}, {"^]$", "]", true}, {"^(?i:a)b$", "Ab", true}, {"^(?i:a)b$", "AB", false}, {"^(?i:[a-c]\u00e9)$", "B\u00c9", true},
  };
  for (const auto& row : rows) EXPECT_EQ(search(row.pattern, row.text), row.found ? Pattern::Found::yes : Pattern::Found::no) << row.pattern << " on " << row.text;
}

TEST(SchemaPattern, TheCommonFormIsWalkedWithoutAnEngine) {
  struct Row {
    const char *pattern, *text;
    std::optional<bool> matches;
  };
  const Row rows[] = {
      {"^[A-Z]{3}-\\d+$", "ABC-12", true}, {"^[A-Z]{3}-\\d+$", "ABC-12x", false}, {"^[A-Z]{3}-\\d+$", "ABC-", false}, {"^[A-Z]{3}-\\d+$", "AB\u00c7-1", std::nullopt},
      {"^[^@\\s]+@[^@\\s]+$", "a@b", true}, {"^[^@\\s]+@[^@\\s]+$", "a b@c", false}, {"^x-", "x-y\u00e9", true}, {"^\\w+\\.?$", "a_9.", true},
      {"^[\\w.-]{2,4}$", "a.-b", true}, {"^[\\w.-]{2,4}$", "abcde", false}, {"^\\D*$", "ab1", false}, {"^.*$", "a\nb", false}, {"^a{0,2}b$", "aab", true}, {"^a{0,2}b$", "aaab", false},
  };
  for (const auto& row : rows) {
    const auto run = PatternRun::from(row.pattern);
    ASSERT_TRUE(run.has_value()) << row.pattern;
    EXPECT_EQ(run->matches(row.text), row.matches) << row.pattern << " on " << row.text;
    if (row.matches) { EXPECT_EQ(search(row.pattern, row.text), *row.matches ? Pattern::Found::yes : Pattern::Found::no); }
  }
  for (const char* other : {"a", "^a*a$", "^a?b?a$", "^(a)$", "^a|b$", "^a+?$", "^\\bx$", "^a{,2}$", "^\u00e9$", "^[\\d-x]$", "^\\u0041$", "^$x", "^a**"})
    EXPECT_FALSE(PatternRun::from(other).has_value()) << other;
}

// "(?:)" changes nothing but sends the expression to the engine.
TEST(SchemaPattern, TheWalkAgreesWithTheEngine) {
  constexpr std::string_view sets[] = {"a", "b", "-", "\\.", "[ab]", "[^a]", "[a-c]", "\\d", "\\w", "\\S", "\\D", ".", "[\\d.-]", "[^\\s@]", "1"};
  constexpr std::string_view counts[] = {"", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}"};
  constexpr std::string_view letters[] = {"a", "b", "c", "1", "-", ".", "@", " ", "\n", "\u00e9"};
  SeededRandom random(20261121);
  int walked = 0;
  for (int round = 0; round < 4'000; ++round) {
    std::string pattern;
    for (auto n = random.below(5); n > 0; --n) pattern += std::string(sets[random.below(std::size(sets))]) + std::string(counts[random.below(std::size(counts))]);
    if (random.below(2)) pattern += "$";
    const auto run = PatternRun::from("^" + pattern);
    if (!run) continue;
    const auto engine = Pattern::compile("^(?:)" + pattern, 16 << 10);
    ASSERT_TRUE(engine.has_value()) << pattern;
    for (int t = 0; t < 20; ++t) {
      std::string text;
      for (auto n = random.below(7); n > 0; --n) text += letters[random.below(std::size(letters))];
      const auto found = run->matches(text);
      if (!found) continue;
      ++walked;
      std::uint64_t steps = kMost;
      EXPECT_EQ(*found, engine->search(text, kMost, steps) == Pattern::Found::yes) << "^" << pattern << " on \"" << text << '"';
    }
  }
  EXPECT_GT(walked, 10'000);
}

TEST(SchemaPattern, LongRepetitionsAreCounted) {
  EXPECT_EQ(search("^x{70000}$", std::string(70'000, 'x')), Pattern::Found::yes);
  EXPECT_EQ(search("^x{70000}$", std::string(69'999, 'x')), Pattern::Found::no);
  EXPECT_EQ(search("^[xy]{2,100000}$", std::string(100'001, 'y')), Pattern::Found::no);
}

TEST(SchemaPattern, WhatIsNotEcmaScriptIsRefusedAndNamed) {
  struct Row {
    const char *pattern, *why;
  };
  const Row rows[] = {
      {"a**", "nothing to repeat"}, {"a++", "nothing to repeat"}, {"*a", "nothing to repeat"}, {"(*ACCEPT)", "nothing to repeat"}, {"(a", "not closed"},
      {"a)", "not opened"}, {"[a", "not closed"}, {"[b-a]", "out of order"}, {"x{3,2}", "out of order"}, {"(?>a)", "kind of group"}, {"(?i)a", "kind of group"}, {"a(?i)", "kind of group"},
      {"a\\", "backslash"}, {"\\Z", "\\Z has no meaning"}, {"\\a", "no meaning"}, {"\\2(a)", "not there"}, {"\\u12", "4 hexadecimal"}, {"\\x1", "2 hexadecimal"},
      {"\\u{110000}", "code point"}, {"\\p{Nonsense}", "cannot"}, {"\\p{L", "braces"}, {"(?<=a+)b", "lookbehind"}, {"(?<n>a)\\k<m>", "not there"}, {"\xff[", "UTF-8"},
  };
  for (const auto& row : rows) {
    const auto compiled = Pattern::compile(row.pattern, 16 << 10);
    ASSERT_FALSE(compiled.has_value()) << row.pattern;
    EXPECT_EQ(compiled.error().code, ErrorCode::caller_invalid_request);
    if (std::string_view(row.why) != "cannot") { EXPECT_NE(compiled.error().message.find(row.why), std::string::npos) << row.pattern << ": " << compiled.error().message; }
  }
  EXPECT_EQ(Pattern::compile(std::string(100, 'x'), 99).error().code, ErrorCode::caller_too_large);
}

// Each of these would hold a backtracking engine for years, or for minutes.
TEST(SchemaPattern, NoExpressionAndNoTextHoldsAThread) {
  EXPECT_EQ(search("^(a+)+$", std::string(200, 'a') + "!"), Pattern::Found::too_much);
  EXPECT_EQ(search("^(a|a)*$", std::string(5'000, 'a') + "!"), Pattern::Found::too_much);
  EXPECT_EQ(search("(x+x+)+y", std::string(60, 'x')), Pattern::Found::no);  // there is no y at all
  EXPECT_EQ(search("x*x*x*[yz]", std::string(200'000, 'x')), Pattern::Found::too_much);
  EXPECT_EQ(search("(?=x*)[yz]{2}", std::string(300'000, 'x') + "z"), Pattern::Found::too_much);
  EXPECT_EQ(search("^(?:[a-z]+ ?)*$", std::string(300'000, 'a')), Pattern::Found::yes);
  EXPECT_EQ(search("^[A-Za-z0-9+/]*={0,2}$", std::string(2'000'000, 'Q')), Pattern::Found::yes);
}

}  // namespace
}  // namespace ballast::schema
