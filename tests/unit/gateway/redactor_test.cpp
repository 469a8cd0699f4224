// What is taken out, and what only looks like it.
#include "gateway/redactor.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

std::shared_ptr<const Redactor> redactor(std::uint8_t kinds = Redactor::kAll, std::vector<Redactor::Own> own = {}) {
  auto made = Redactor::create(kinds, std::move(own));
  EXPECT_TRUE(made);
  return *made;
}

struct Row {
  std::string_view in, out;
};

TEST(Redactor, TakesOutWhatItKnows) {
  constexpr Row rows[] = {
      {"write to ann.lee+x@mail.example.co.uk.", "write to [email]."},
      {"<ann@example.com>, bob_1@x-y.org", "<[email]>, [email]"},
      {"mailto:ann@example.com?subject=hi", "mailto:[email]?subject=hi"},
      {"ann@example.com-", "[email]-"},
      {"call +49 30 901820 now", "call [phone] now"},
      {"+1 (212) 555-0123", "[phone]"},
      {"+442079460958", "[phone]"},
      {"0049 30 901820", "[phone]"},
      {"Tel.: 030/901820-12", "Tel.: [phone]"},
      {"06 12 34 56 78", "[phone]"},
      {"06.12.34.56.78", "[phone]"},
      {"0171 1234567.", "[phone]."},
      {"(212) 555-0123 or 212-555-0123", "[phone] or [phone]"},
      {"1-800-555-0199", "[phone]"},
      {"card 4111 1111 1111 1111 exp 12/27", "card [card] exp 12/27"},
      {"5555555555554444", "[card]"},
      {"3782-822463-10005", "[card]"},
      {"6011111111111117,", "[card],"},
      {"4111 1111 1111 1111 12", "[card] 12"},
      {"DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"},
      {"GB82WEST12345698765432", "[iban]"},
      {"NL91 ABNA 0417 1643 00", "[iban]"},
      {"from 192.168.0.1:8080 to 10.0.0.255.", "from [ip]:8080 to [ip]."},
      {"2001:db8::1 and fe80::1ff:fe23:4567:890a", "[ip] and [ip]"},
      {"2001:0db8:85a3:0000:0000:8a2e:0370:7334", "[ip]"},
      {"[2001:db8::1]:443", "[[ip]]:443"},
      {"my SSN is 123-45-6789", "my SSN is [ssn]"},
      {"123 45 6789", "[ssn]"},
      {"key sk-proj-abcdefghijklmnop1234 here", "key sk-[redacted] here"},
      {"Authorization: Bearer abcdef0123456789", "Authorization: Bearer [redacted]"},
      {"password=hunter2 ok", "password=[redacted] ok"},
      {"see data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA= there", "see [image/png, 18 bytes] there"},
      {"übel: ann@example.com – ok", "übel: [email] – ok"},
  };
  const auto r = redactor();
  for (const auto& [in, out] : rows) EXPECT_EQ(r->text(in), out) << in;
}

TEST(Redactor, LeavesWhatOnlyLooksLikeIt) {
  constexpr std::string_view same[] = {
      "user@host", "@ann said", "npm i @scope/pkg@1.2.3", "a @ b.com", "std::vector<int>", "x::y::z", "std::begin(a)", "12:30:45", "at 10:15", "C++17", "a+12345678901",
      "4111 1111 1111 1112",                      // Luhn
      "1234567812345670",                         // passes it, but nobody issues it
      "id 41111111111111111111111",               // longer
      "x4111111111111111", "550e8400-e29b-41d4-a716-446655440000",
      "DE89 3704 0044 0532 0130 01",              // mod 97
      "XX89 3704 0044 0532 0130 00", "DE893704004405320130", "ABCD1234",
      "1.2.3", "256.1.1.1", "1.2.3.4.5", "01.2.3.4", "v10.0.19045.1",
      "000-12-3456", "666-12-3456", "912-34-5678", "123-00-4567", "123-45-0000", "123-45-67890", "1123-45-6789", "123456789",
      "2026-11-22T20:41:48Z", "on 22.11.2026 10:30", "09.11.2026", "02/11/2026 12", "0.123456789", "3.14159265", "1,000,000,000", "1700000000", "2125550123",
      "212-155-0123", "call 555-0123", "pi = 3.141592653589793", "ISBN 978-3-16-148410-0", "00:11:22", "0x1234567890", "line 0001-0002", "+1234567", "50 000 000 000 EUR",
      "password", "the token is gone", "keyboard shortcuts",
  };
  const auto r = redactor();
  for (const auto in : same) EXPECT_EQ(r->text(in), in);
}

TEST(Redactor, OnlyTheKindsThatAreWanted) {
  const auto r = redactor(static_cast<std::uint8_t>(Sensitive::email));
  EXPECT_EQ(r->text("ann@example.com +49 30 901820 4111111111111111 sk-abcdefghijkl"), "[email] +49 30 901820 4111111111111111 sk-abcdefghijkl");
  EXPECT_EQ(sensitive_from("iban"), Sensitive::iban);
  EXPECT_FALSE(sensitive_from("names"));
}

TEST(Redactor, OwnPatternsAreFoundAndBounded) {
  const auto r = redactor(Redactor::kAll, {{"national_id", "\\b[A-Z]{2}[0-9]{7}\\b"}, {"project", "Falcon"}, {"evil", "(a+)+$"}});
  EXPECT_EQ(r->text("AB1234567, XAB1234567, Falcon ÄB AB7654321"), "[national_id], XAB1234567, [project] ÄB [national_id]");
  EXPECT_EQ(r->text("xaa"), "x[evil]");
  for (const std::size_t size : {500, 3000}) EXPECT_EQ(r->text(std::string(size, 'a') + "!"), "[hidden: evil]") << "what cannot be searched within the steps is not shown";
  const auto bad = Redactor::create(Redactor::kAll, {{"x", "("}});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().field, "x");
  EXPECT_FALSE(Redactor::create(Redactor::kAll, {{"any", "a*"}}));
  EXPECT_FALSE(Redactor::create(Redactor::kAll, {{"Not A Name", "a"}}));
}

std::string document(std::string_view in, const Redactor& r) {
  auto parsed = parse_json(in);
  EXPECT_TRUE(parsed) << in;
  const std::string before = to_json(*parsed);
  const bool changed = r.document(*parsed);
  const std::string after = to_json(*parsed);
  EXPECT_EQ(changed, before != after) << in;
  return after;
}

TEST(Redactor, KnowsJson) {
  const auto r = redactor();
  const std::string rows[][2] = {
      {R"({"a":"\u0061nn@example.com","n":1})", R"({"a":"[email]","n":1})"},
      {R"({"a":"line\n030 1234567"})", R"({"a":"line\n[phone]"})"},
      {R"({"arguments":"{\"to\":\"x\\n030 1234567\",\"n\":1}"})", R"({"arguments":"{\"to\":\"x\\n[phone]\",\"n\":1}"})"},
      {R"({"arguments":"{ \"spaces\": 1 }"})", R"({"arguments":"{ \"spaces\": 1 }"})"},
      {R"({"password":"hunter2","max_tokens":5,"token":"","api_key":["x"]})", R"({"password":"[redacted]","max_tokens":5,"token":"","api_key":["x"]})"},
      {R"({"token":"Hello","logprob":-0.5})", R"({"token":"Hello","logprob":-0.5})"},
      {R"({"ann@example.com":1,"bob@example.com":2})", R"({"[email]":1,"[email]_":2})"},
      {R"(["{\"a\":\"[\\\"ann@example.com\\\"]\"}"])", R"(["{\"a\":\"[\\\"[email]\\\"]\"}"])"},
      {R"({"n":4111111111111111})", R"({"n":4111111111111111})"},
  };
  for (const auto& [in, out] : rows) EXPECT_EQ(document(in, *r), out);
}

TEST(Redactor, MediaAndVectorsBecomeNotes) {
  const auto r = redactor();
  std::string data;
  for (int i = 0; i < 100; ++i) data += "aB3+";
  EXPECT_EQ(document(R"({"type":"base64","media_type":"image/jpeg","data":")" + data + "\"}", *r), R"({"type":"base64","media_type":"image/jpeg","data":"[image/jpeg, 300 bytes]"})");
  EXPECT_EQ(document(R"({"url":"data:image/png;base64,)" + data + "\"}", *r), R"({"url":"[image/png, 300 bytes]"})");
  EXPECT_EQ(document(R"({"b64_json":")" + data + "\"}", *r), R"({"b64_json":"[base64, 300 bytes]"})");
  std::string vector = "[0.5";
  for (int i = 1; i < 1536; ++i) vector += ",0.25";
  EXPECT_EQ(document(R"({"embedding":)" + vector + "]}", *r), R"({"embedding":"[1536 numbers]"})");
  const std::string word = "\"" + std::string(1000, 'a') + "\"";
  EXPECT_EQ(document(word, *r), word);
}

// Every cut of a text with everything in it: no crash, no growth beyond the marks, and valid JSON comes out as valid JSON.
TEST(Redactor, EveryPrefixIsBorne) {
  const auto r = redactor();
  const std::string_view all = "+49 30 901820 (212) 555-0123 ann@example.com DE89 3704 0044 0532 0130 00 2001:db8::1 192.168.0.1 4111-1111-1111-1111 123-45-6789 sk-abcdefghijk ::1 @ + ( : 00";
  for (std::size_t from = 0; from < all.size(); ++from)
    for (std::size_t size = 0; size <= all.size() - from; size += 3) EXPECT_LE(r->text(all.substr(from, size)).size(), 2 * size + 32);
}

}  // namespace
}  // namespace ballast::gateway
