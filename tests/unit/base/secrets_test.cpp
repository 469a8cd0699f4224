// Values from the environment do not show where the text they went into does.
#include "base/secrets.hpp"

#include <gtest/gtest.h>

namespace ballast {
namespace {

SecretValues knowing(std::initializer_list<std::pair<const char*, const char*>> all) {
  SecretValues s;
  for (const auto& [name, value] : all) s.add(name, value);
  return s;
}

TEST(Secrets, AreHiddenInEveryFormTheyAreWrittenIn) {
  const auto s = knowing({{"WORD", "a b/\"ü\"%20+"}});
  for (const char* text : {"a b/\"ü\"%20+", "a%20b%2F%22%C3%BC%22%2520%2B", "a%20b/%22%c3%bc%22%2520+", "a+b%2f%22ü%22%2520+", "a b/\\\"ü\\\"%20+", "a b\\/\\\"ü\\\"%20+", "%61%20b/\"ü\"%2520+"})
    EXPECT_EQ(s.hide(std::string("<") + text + ">"), "<[redacted:WORD]>") << text;
  for (const char* text : {"", "a b/", "a  b/\"ü\"%20+", "A b/\"ü\"%20+", "%", "%2", "\\"}) EXPECT_EQ(s.hide(text), text);
}

TEST(Secrets, TheLongerGoesFirstAndShortOnesAreNone) {
  const auto s = knowing({{"SHORT", "12345"}, {"ONE", "violet"}, {"TWO", "violets-and-more"}, {"AGAIN", "violet"}, {"NONE", ""}});
  EXPECT_EQ(s.hide("12345 violets-and-more, violets"), "12345 [redacted:TWO], [redacted:ONE]s");
  EXPECT_EQ(s.hide("violetviolet"), "[redacted:ONE][redacted:ONE]");
  EXPECT_TRUE(knowing({{"SHORT", "12345"}}).empty());
}

TEST(Secrets, OfAUrlTheOriginIsNone) {
  const auto s = knowing({{"SHOP", "https://shop.example:8443"}, {"HOOK", "https://hooks.example/services/T01/xyz/?code=abcdefgh#fragment"}, {"DB", "postgres://ann:a-word@db.example/orders"}});
  EXPECT_EQ(s.hide("POST https://shop.example:8443/charges"), "POST https://shop.example:8443/charges");
  EXPECT_EQ(s.hide("POST https://hooks.example/services/T01/xyz/ refused"), "POST https://hooks.example/[redacted:HOOK]/ refused");
  EXPECT_EQ(s.hide("?code=abcdefgh"), "?[redacted:HOOK]");
  EXPECT_EQ(s.hide("postgres://ann:a-word@db.example/orders"), "postgres://[redacted:DB]@db.example/[redacted:DB]");
}

TEST(Secrets, InDataOnlyThoseWhoseNamesSayIt) {
  const auto s = knowing({{"STAGE", "production"}, {"MONGREL", "a little dog"}, {"SHOP_KEY", "a little key"}, {"AppToken", "a little token"}, {"DB_PASSWORD", "a little word"}, {"SLACK_HOOK", "https://h.example/a/little/hook"}});
  json::value v = json::object{{"a", json::array{"in production", 1, nullptr, "a little dog", "a little key!"}}, {"a little key", json::object{{"b", "a+little%20token a little word https://h.example/a/little/hook"}}}};
  s.hide_named(v);
  EXPECT_EQ(to_json(v), R"({"a":["in production",1,null,"a little dog","[redacted:SHOP_KEY]!"],)"
                        R"("a little key":{"b":"[redacted:AppToken] [redacted:DB_PASSWORD] https://h.example/[redacted:SLACK_HOOK]"}})");
  EXPECT_EQ(s.hide("in production"), "in [redacted:STAGE]");
  json::value both = "violets";
  knowing({{"FLOWER", "violets"}, {"FLOWER_KEY", "violets"}, {"OTHER", "violets"}}).hide_named(both);
  EXPECT_EQ(both, "[redacted:FLOWER_KEY]");
}

}  // namespace
}  // namespace ballast
