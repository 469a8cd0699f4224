// JSON as callers send it: strict, limited, and with errors that name the place.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/json.hpp"
#include "base/random.hpp"
#include "base/text_writer.hpp"

namespace ballast {
namespace {
using namespace std::string_view_literals;

json::value read(std::string_view text) {
  auto v = parse_json(text);
  EXPECT_TRUE(v) << text << ": " << (v ? "" : v.error().message);
  return v ? *v : json::value();
}

TEST(ParseJson, RoundTripsWhatItReads) {
  for (const auto text : {"null", "true", "[]", "{}", R"({"b":1,"a":[1,2.5,-3,"x\n\"\\"],"unknown":{"deep":[null]}})", "18446744073709551615", "-9223372036854775808",
                          "0.1", "0.7", "1e+300", R"("日本語 😀")", "\"\\u0000\\u001f\"", "[[[[]]]]", "-0.0", "1.0", "123456789.12345679"})
    EXPECT_EQ(to_json(read(text)), text);
  EXPECT_EQ(to_json(read(" { \"a\" : 1.50e1 } \n")), R"({"a":15.0})");
  EXPECT_EQ(to_json(read(R"("\ud83d\ude00\/")")), "\"😀/\"");
}

TEST(ParseJson, RefusesWhatIsNotExactlyOneDocument) {
  const std::string_view bad[] = {
      "", " ", "{", "[1,]", "{\"a\":}", "{'a':1}", "nul", "01", "1.", ".5", "+1", "NaN", "Infinity", "[1] [2]", "{} x", "// c\n1", "\"a\nb\"", "\"\\x\"",
      "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", R"("\ud800")", R"("\udc00")", "1e999", "-1e999", "{\"a\":1,}", "\"tab\there\"", "\xEF\xBB\xBF{}"};
  for (const auto text : bad) {
    const auto v = parse_json(text);
    ASSERT_FALSE(v) << text;
    EXPECT_EQ(v.error().code, ErrorCode::caller_invalid_request) << text;
    EXPECT_NE(v.error().message.find("invalid JSON at byte"), std::string::npos) << v.error().message;
  }
  EXPECT_NE(parse_json("[1, x]").error().message.find("at byte 4"), std::string::npos) << parse_json("[1, x]").error().message;
}

TEST(ParseJson, HoldsItsLimitsExactly) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse_json(nested(512)));
  EXPECT_EQ(parse_json(nested(513)).error().code, ErrorCode::caller_too_large);
  EXPECT_TRUE(parse_json("[[1]]", {.max_depth = 2}));
  EXPECT_FALSE(parse_json("[[[1]]]", {.max_depth = 2}));
  EXPECT_FALSE(parse_json(R"([{"a":[1]}])", {.max_depth = 2}));
  EXPECT_TRUE(parse_json("[1]", {.max_bytes = 3}));
  EXPECT_EQ(parse_json("[1] ", {.max_bytes = 3}).error().code, ErrorCode::caller_too_large);
}

TEST(ParseJson, KeepsNumbersToTheLastBit) {
  SeededRandom random(11);
  for (int i = 0; i < 20'000; ++i) {
    const double v = std::bit_cast<double>(random.next());
    if (!std::isfinite(v)) continue;
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", v);
    if (!std::strpbrk(text, ".e")) continue;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(read(text).as_double()), std::bit_cast<std::uint64_t>(v)) << text;
    const auto again = read(to_json(json::value(v)));
    ASSERT_EQ(again.as_double(), v);
  }
  EXPECT_EQ(read("1e-400").as_double(), 0.0);
  EXPECT_EQ(read("123456789012345678901234567890").as_double(), 123456789012345678901234567890.0);
}

TEST(ParseJson, UsesTheMemoryItIsGiven) {
  json::monotonic_resource memory;
  const auto v = parse_json(R"({"a":[1,2,3]})", {}, &memory);
  ASSERT_TRUE(v);
  EXPECT_EQ(v->storage().get(), &memory);
  EXPECT_EQ(v->as_object().at("a").storage().get(), &memory);
}

TEST(WriteJson, StringsAreAlwaysValid) {
  const auto s = [](std::string_view text) { std::string out; append_json_string(out, text); return out; };
  EXPECT_EQ(s("plain text that is longer than eight bytes"), "\"plain text that is longer than eight bytes\"");
  EXPECT_EQ(s("a\"b\\c/d\b\f\n\r\t\x01\x7f"), "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\x7f\"");
  EXPECT_EQ(s("caf\xc3\xa9 \xff end"), "\"caf\xc3\xa9 \xEF\xBF\xBD end\"");
  EXPECT_EQ(s("cut \xe6\x97"), "\"cut \xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(s("\0x"sv), "\"\\u0000x\"");
  SeededRandom random(3);
  for (int i = 0; i < 5000; ++i) {  // any bytes at all: the result parses, and is the text itself when that was UTF-8
    std::string text;
    const auto n = random.below(24);
    for (std::uint64_t k = 0; k < n; ++k) text += static_cast<char>(random.chance(0.5) ? random.below(128) : random.next());
    const auto v = parse_json(s(text));
    ASSERT_TRUE(v);
  }
  for (unsigned c = 0; c < 128; ++c)  // every ASCII byte at every offset of a word
    for (std::size_t at = 0; at < 17; ++at) {
      std::string text(17, 'a');
      text[at] = static_cast<char>(c);
      ASSERT_EQ(std::string_view(read(s(text)).as_string()), text) << c << ' ' << at;
    }
  EXPECT_EQ(to_json(json::value(std::numeric_limits<double>::infinity())), "null");
}

TEST(TextWriter, WritesWhatAStringWouldBeGiven) {
  SeededRandom random(4);
  std::string out, expected;
  for (int i = 0; i < 5000; ++i) {       // short and long, in room that is there and in room that is made
    std::string text;
    const auto n = random.chance(0.02) ? random.below(2000) : random.below(24);
    for (std::uint64_t k = 0; k < n; ++k) text += static_cast<char>(random.chance(0.9) ? 'a' + random.below(26) : random.next());
    const auto number = static_cast<std::int64_t>(random.next()) >> random.below(64);
    const auto padded = random.below(1'000'000'000);
    if (random.chance(0.01)) out = expected = {};
    append_text(out, 2, [](TextWriter& w) { w.put(std::string_view()).json_string({}); });
    expected += "\"\"";
    append_text(out, json_string_room(text) + text.size() + 2 * kNumberRoom + 4, [&](TextWriter& w) {
      w.put("\"n\":").number(number).put(',').padded(padded, 9).put(text);
      w.json_string(text);
    });
    const auto digits = std::to_string(padded);
    expected += "\"n\":" + std::to_string(number) + ',' + std::string(9 - digits.size(), '0') + digits + text;
    append_json_string(expected, text);
    ASSERT_EQ(out, expected);
  }
}

TEST(JsonRef, NamesTheOffendingPlace) {
  const auto doc = read(R"({"messages":[{"role":"user"},{"role":7}],"n":2.0,"t":2.5,"big":18446744073709551615,"off":null})");
  const JsonRef root(doc);
  const auto messages = root.at("messages");
  ASSERT_TRUE(messages);
  EXPECT_EQ(messages->size(), 2u);
  EXPECT_EQ(*messages->item(0).get<std::string_view>("role"), "user");
  const auto role = messages->item(1).get<std::string_view>("role");
  ASSERT_FALSE(role);
  EXPECT_EQ(role.error().field, "messages[1].role");
  EXPECT_EQ(role.error().message, "must be a string, not a number");
  const auto missing = messages->item(0).get<std::string>("content");
  EXPECT_EQ(missing.error().field, "messages[0].content");
  EXPECT_EQ(missing.error().message, "is required");
  EXPECT_EQ(*root.get<std::int64_t>("n"), 2);
  EXPECT_FALSE(root.get<std::int64_t>("t"));
  EXPECT_EQ(*root.get<double>("t"), 2.5);
  EXPECT_EQ(*root.get<std::uint64_t>("big"), UINT64_MAX);
  EXPECT_FALSE(root.get<std::int64_t>("big"));
  EXPECT_EQ(*root.maybe<bool>("absent"), std::nullopt);
  EXPECT_EQ(*root.maybe<bool>("off"), std::nullopt);
  EXPECT_EQ(root.maybe<bool>("n").error().field, "n");
  EXPECT_FALSE(root.find("off"));
  EXPECT_EQ(*root.maybe_int("n", 1, 128), 2);
  EXPECT_EQ(root.maybe_int("n", 3, 128).error().message, "must be between 3 and 128");
  EXPECT_EQ(JsonRef(doc.as_object().at("messages")).at("x").error().message, "must be an object, not an array");
  EXPECT_FALSE(JsonRef(doc.as_object().at("n")).maybe<bool>("x"));
}

TEST(JsonRef, APathTooDeepToKeepShowsItsEnds) {
  const auto doc = read(std::string(20, '[') + "1" + std::string(20, ']'));
  JsonRef ref(doc);
  for (int i = 0; i < 20; ++i) ref = ref.item(0);
  EXPECT_EQ(ref.path(), "[0][0][0][0][0][0][0][0][0][0][0]…[0]");
  EXPECT_EQ(*ref.as<std::int64_t>(), 1);
}

}  // namespace
}  // namespace ballast
