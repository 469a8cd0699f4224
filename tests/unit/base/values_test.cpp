// Errors, time, money, text, ids, chance, hashes: values with exact rules.
#include <gtest/gtest.h>

#include <thread>
#include <unordered_set>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/ids.hpp"
#include "base/money.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "base/text.hpp"

namespace ballast {
namespace {
using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace std::chrono_literals;

// ---- Errors

TEST(ErrorCode, EveryNameReadsBackAndSaysItsDomain) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal_error); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(error_code_from(to_string(code)), code);
  }
  EXPECT_EQ(to_string(ErrorCode::policy_budget_exceeded), "policy_budget_exceeded");
  EXPECT_EQ(to_string(ErrorCode::provider_content_filter), "provider_content_filter");
  EXPECT_EQ(to_string(ErrorCode::internal_error), "internal_error");
  EXPECT_FALSE(error_code_from("nonsense"));
}

TEST(Error, DescribesItsCauses) {
  Error reset{.code = ErrorCode::provider_unreachable, .message = "connection reset"};
  Error all{.code = ErrorCode::provider_all_failed, .message = "no target answered", .field = "model"};
  all.cause = std::make_shared<const Error>(reset);
  EXPECT_EQ(describe(all), "provider_all_failed: no target answered (model) ← provider_unreachable: connection reset");
}

// ---- Time

TEST(Clock, PrintsUtcWithMilliseconds) {
  const auto t = [](std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); };
  EXPECT_EQ(to_rfc3339(t(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(t(1795233672345)), "2026-11-21T04:01:12.345Z");
  EXPECT_EQ(to_rfc3339(t(951782399999)), "2000-02-28T23:59:59.999Z");
  EXPECT_EQ(to_rfc3339(t(951782400000)), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(t(-1)), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(unix_ms(WallTime(-1ns)), -1);
  EXPECT_EQ(unix_us(WallTime(1795233672345678ns)), 1795233672345);
}

TEST(Clock, TheSystemsIsMonotonicAndInThisCentury) {
  SystemClock clock;
  const auto a = clock.mono(), b = clock.mono();
  EXPECT_LE(a, b);
  EXPECT_GT(unix_ms(clock.wall()), 1'600'000'000'000);
}

// ---- Money

TEST(Money, ReadsAndPrintsExactly) {
  const struct { std::string_view text; std::int64_t nano; std::string_view printed; } table[] = {
      {"30", 30'000'000'000, "30.000000000"},
      {"0.25", 250'000'000, "0.250000000"},
      {"0.0012345", 1'234'500, "0.001234500"},
      {"-1.5", -1'500'000'000, "-1.500000000"},
      {"0.000000001", 1, "0.000000001"},
      {"9223372036.854775807", INT64_MAX, "9223372036.854775807"},
      {"0", 0, "0.000000000"},
  };
  for (const auto& row : table) {
    const auto m = money_from_usd(row.text, "amount");
    ASSERT_TRUE(m) << row.text;
    EXPECT_EQ(m->nano, row.nano);
    EXPECT_EQ(to_usd(*m), row.printed);
  }
  EXPECT_EQ(to_usd(Money{INT64_MIN}), "-9223372036.854775808");
}

TEST(Money, RefusesEverythingElseNamingTheField) {
  for (const auto text : {"", "-", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "$1", "0.0000000001", "9223372036.854775808", "99999999999999999999", "١"}) {
    const auto m = money_from_usd(text, "budgets[0].amount");
    ASSERT_FALSE(m) << text;
    EXPECT_EQ(m.error().field, "budgets[0].amount");
    EXPECT_EQ(m.error().code, ErrorCode::caller_invalid_request);
  }
}

TEST(Money, SaturatesAndNeverWraps) {
  EXPECT_EQ((Money{INT64_MAX} + Money{1}).nano, INT64_MAX);
  EXPECT_EQ((Money{INT64_MIN} - Money{1}).nano, INT64_MIN);
  EXPECT_EQ((Money{INT64_MIN} + Money{-1}).nano, INT64_MIN);
  EXPECT_EQ((Money{INT64_MAX} - Money{-1}).nano, INT64_MAX);
}

TEST(CostSum, RoundsUpOncePerAttempt) {
  CostSum sum;
  sum.add(1, Price{1});  // a millionth of a nano-dollar
  sum.add(1, Price{1});
  EXPECT_EQ(sum.total().nano, 1);
  CostSum exact;
  exact.add(1000, Price{2'500'000'000});  // 1,000 tokens at $2.50 per million
  exact.add(500, Price{10'000'000'000});
  EXPECT_EQ(to_usd(exact.total()), "0.007500000");
  CostSum huge;
  huge.add(UINT64_MAX, Price{INT64_MAX});
  EXPECT_EQ(huge.total().nano, INT64_MAX);
}

// ---- Text

TEST(Utf8, AcceptsWhatRfc3629Does) {
  for (const auto good : {""sv, "plain"sv, "é"sv, "日本語"sv, "😀"sv, "\x00"sv, "\xF4\x8F\xBF\xBF"sv, "a long text that is only ascii, above the short cut"sv})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const auto bad : {"\x80"sv, "\xC3"sv, "\xC0\xAF"sv, "\xE0\x80\xAF"sv, "\xED\xA0\x80"sv, "\xF4\x90\x80\x80"sv, "\xFF"sv, "ok\xE6\x97"sv})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(Utf8, APrefixNeverCutsACharacter) {
  EXPECT_EQ(utf8_prefix("日本語", 5), "日");
  EXPECT_EQ(utf8_prefix("日本語", 6), "日本");
  EXPECT_EQ(utf8_prefix("日", 2), "");
  EXPECT_EQ(utf8_prefix("abc", 10), "abc");
}

TEST(Text, ComparesTrimsAndSplits) {
  EXPECT_TRUE(iequals("Content-TYPE", "content-type"));
  EXPECT_FALSE(iequals("É", "é"));
  EXPECT_TRUE(istarts_with("Bearer abc", "bearer "));
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  std::string_view rest = "provider/model/x";
  EXPECT_EQ(take_until(rest, '/'), "provider");
  EXPECT_EQ(rest, "model/x");
  EXPECT_EQ(take_until(rest, ':'), "model/x");
  EXPECT_EQ(rest, "");
}

TEST(Text, ReadsIntegersStrictly) {
  EXPECT_EQ(parse_int<int>("-12"), -12);
  EXPECT_EQ(parse_int<std::uint8_t>("255"), 255);
  for (const auto bad : {"", " 1", "1 ", "+1", "0x1", "1.0", "256", "-1"}) EXPECT_FALSE(parse_int<std::uint8_t>(bad)) << bad;
  EXPECT_EQ(parse_double("1.5e3"), 1500);
  for (const auto bad : {"", "nan", "inf", "1e999", "1.5x"}) EXPECT_FALSE(parse_double(bad)) << bad;
}

TEST(Text, GuessesWhatWasMeant) {
  const std::vector<std::string> keys = {"timeout", "listen", "providers", "routes", "rpm"};
  const auto guess = [&](std::string_view name) { return nearest_name(name, std::span<const std::string>(keys)); };
  EXPECT_EQ(guess("timout"), "timeout");
  EXPECT_EQ(guess("tiemout"), "timeout");  // a transposition is one slip
  EXPECT_EQ(guess("provider"), "providers");
  EXPECT_EQ(guess("rmp"), "rpm");
  EXPECT_EQ(guess("database"), "");
  EXPECT_EQ(guess("x"), "");
  EXPECT_EQ(edit_distance("ca", "abc", 5), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 5), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 1), 2u);
  EXPECT_EQ(edit_distance("abcd", "badc", 2), 2u);
}

// ---- Ids

TEST(Id, PrintsTimeOrderedAndReadsBack) {
  IdGenerator ids(1);
  const WallTime now(1795233672345ms);
  const auto id = ids.next(now);
  const auto text = to_string(id, "call");
  EXPECT_EQ(text.size(), 5u + 26u);
  EXPECT_EQ(text.substr(0, 6), "call_0");
  EXPECT_EQ(id.unix_ms(), 1795233672345);
  EXPECT_EQ(parse_id(text, "call"), id);
  EXPECT_EQ(parse_id(to_string(id, ""), ""), id);
  EXPECT_EQ(id_from_bytes(to_bytes(id)), id);
  const Id most{UINT64_MAX, UINT64_MAX};
  EXPECT_EQ(to_string(most, ""), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
  EXPECT_EQ(parse_id("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", ""), most);
}

TEST(Id, RefusesWhatItDidNotPrint) {
  const auto good = to_string(IdGenerator(3).next(WallTime(1s)), "call");
  EXPECT_FALSE(parse_id(good, "job"));
  EXPECT_FALSE(parse_id(good + "0", "call"));
  EXPECT_FALSE(parse_id(good.substr(0, good.size() - 1), "call"));
  EXPECT_FALSE(parse_id("call", "call"));
  EXPECT_FALSE(parse_id("call_80000000000000000000000000", "call"));  // 131 bits
  EXPECT_FALSE(parse_id("call_0000000000000000000000000u", "call"));
  EXPECT_EQ(parse_id("call_0000000000000000000000000O", "call"), Id{});
  EXPECT_EQ(parse_id("call_0000000000000000000000000l", "call"), (Id{0, 1}));
  EXPECT_FALSE(id_from_bytes("short"));
}

TEST(Id, IncreasesEvenWhenTheClockStepsBackAndTextOrderIsTheSame) {
  IdGenerator ids(5);
  Id last{};
  for (int i = 0; i < 200'000; ++i) {  // more than one counter's worth
    const WallTime now(std::chrono::milliseconds(1'000'000 - i / 1000));
    const auto id = ids.next(now);
    ASSERT_LT(last, id);
    if (i % 1000 == 1) {
      ASSERT_LT(to_string(last, "a"), to_string(id, "a"));
      ASSERT_LT(to_bytes(last), to_bytes(id));
    }
    last = id;
  }
}

TEST(Id, ThreadsDoNotCollide) {
  std::vector<std::vector<Id>> made(4);
  std::vector<std::thread> threads;
  for (auto& out : made)
    threads.emplace_back([&out] {
      for (int i = 0; i < 5000; ++i) out.push_back(new_id(WallTime(1s)));
    });
  for (auto& t : threads) t.join();
  std::unordered_set<Id> all;
  for (const auto& ids : made) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), 20000u);
}

// ---- Chance

TEST(Random, TheSameSeedTakesTheSamePath) {
  SeededRandom a(42), b(42), c(43);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
}

TEST(Random, StaysInItsBoundsAndIsEven) {
  SeededRandom random(1);
  int low = 0;
  std::array<int, 10> seen{};
  for (int i = 0; i < 100'000; ++i) {
    const double u = random.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    low += u < 0.25;
    ++seen[random.below(10)];
  }
  EXPECT_NEAR(low, 25'000, 600);
  for (const int n : seen) EXPECT_NEAR(n, 10'000, 400);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(Random, SecretsAreFreshAndPrintable) {
  const auto a = secret_token(), b = secret_token();
  EXPECT_EQ(a.size(), 43u);
  EXPECT_NE(a, b);
  EXPECT_EQ(from_base64url(a)->size(), 32u);
}

// ---- Hashes

TEST(Sha256, MatchesFips180) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(to_hex(sha256(million)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  Sha256 pieces;
  for (std::size_t i = 0; i < million.size(); i += 777) pieces.update(std::string_view(million).substr(i, 777));
  EXPECT_EQ(pieces.finish(), sha256(million));
}

TEST(Hmac, MatchesRfc4231) {
  EXPECT_EQ(to_hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  const HmacKey key("Jefe");
  EXPECT_EQ(key.sign("a"), hmac_sha256("Jefe", "a"));
  EXPECT_EQ(key.sign("a"), key.sign("a"));
}

TEST(Crc32c, MatchesRfc3720AndTheFastPathTheSlowOne) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  SeededRandom random(9);
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(crc32c(bytes), detail::crc32c_portable(bytes, 0));
    const auto cut = random.below(bytes.size() + 1);
    EXPECT_EQ(crc32c(std::string_view(bytes).substr(cut), crc32c(std::string_view(bytes).substr(0, cut))), crc32c(bytes));
    bytes += static_cast<char>(random.next());
  }
}

TEST(FastHash, SpreadsAndReadsEveryByte) {
  std::unordered_set<std::uint64_t> seen;
  std::string bytes(200, 'a');
  for (std::size_t n = 0; n <= bytes.size(); ++n) EXPECT_TRUE(seen.insert(fast_hash(std::string_view(bytes).substr(0, n))).second) << n;
  for (std::size_t n = 1; n <= bytes.size(); n += 13) {
    const std::string_view all = std::string_view(bytes).substr(0, n);
    const auto before = fast_hash(all);
    for (std::size_t i = 0; i < n; ++i) {
      bytes[i] = 'b';
      EXPECT_NE(fast_hash(all), before) << n << ' ' << i;
      bytes[i] = 'a';
    }
  }
  EXPECT_NE(fast_hash("x", 1), fast_hash("x", 2));
  EXPECT_NE(hash_mix(1, 2), hash_mix(2, 1));
}

TEST(Encodings, MatchRfc4648AndRefuseStrayBits) {
  const struct { std::string_view raw, encoded; } table[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& row : table) {
    EXPECT_EQ(to_base64(row.raw), row.encoded);
    EXPECT_EQ(from_base64(row.encoded), std::string(row.raw));
    EXPECT_EQ(from_base64url(row.encoded), std::string(row.raw));
    EXPECT_EQ(from_base64url(to_base64url(row.raw)), std::string(row.raw));
  }
  EXPECT_EQ(to_base64("\xfb\xff"), "+/8=");
  EXPECT_EQ(to_base64url("\xfb\xff"), "-_8");
  for (const auto bad : {"Zg", "Zg=", "Zh==", "Z===", "Zg==\n", "Z g=", "-_8=", "=", "Zg==Zg=="}) EXPECT_FALSE(from_base64(bad)) << bad;
  for (const auto bad : {"+/8", "Z", "Zh", "Zg="}) EXPECT_FALSE(from_base64url(bad)) << bad;
  EXPECT_EQ(to_hex("\x00\xff\x1a"sv), "00ff1a");
  EXPECT_EQ(from_hex("00fF1A"), "\x00\xff\x1a"s);
  for (const auto bad : {"0", "0g", "0x"}) EXPECT_FALSE(from_hex(bad)) << bad;
}

TEST(CtEqual, Compares) {
  EXPECT_TRUE(ct_equal("", ""));
  EXPECT_TRUE(ct_equal("blst_abc", "blst_abc"));
  EXPECT_FALSE(ct_equal("blst_abc", "blst_abd"));
  EXPECT_FALSE(ct_equal("blst_abc", "blst_ab"));
}

}  // namespace
}  // namespace ballast
