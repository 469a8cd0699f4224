#include "records/call_record.hpp"

#include <gtest/gtest.h>

#include "../../support/records_samples.hpp"
#include "base/json.hpp"
#include "base/random.hpp"

namespace ballast::records {
namespace {

std::string bytes_of(const auto& record) {
  std::string out;
  encode(out, record);
  return out;
}

TEST(CallRecord, ComesBackAsItWasWritten) {
  CallRecord c = test::sample_call(7);
  c.status = CallStatus::cancelled;
  c.error = "caller_cancelled";
  c.charges.push_back({"system|*|0", INT64_MAX});
  c.attempts.push_back(c.attempts[0]);
  c.attempts[1].hedged = c.attempts[1].cut = true;
  c.attempts[1].incurred_nano = -5;
  c.user = std::string("\0\xff odd", 6);
  auto back = decode_call(bytes_of(c));
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(*back, c);
  EXPECT_EQ(*decode_id(bytes_of(c)), c.id);
  EXPECT_EQ(*decode_call(bytes_of(CallRecord{})), CallRecord{});
}

TEST(CallRecord, AnIntentBecomesAnUnknownCallChargedAtItsHold) {
  const CallIntent i = test::sample_intent(3);
  auto back = decode_intent(bytes_of(i));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, i);
  const CallRecord c = unknown_outcome(*back);
  EXPECT_EQ(c.status, CallStatus::unknown);
  EXPECT_EQ(c.id, i.id);
  EXPECT_EQ(c.incurred_nano, 300'000);
  EXPECT_EQ(c.charges, i.charges);
}

TEST(CallRecord, EveryTruncationIsRefused) {
  const std::string whole = bytes_of(test::sample_call(1));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(decode_call(std::string_view(whole).substr(0, n))) << n;
  const std::string intent = bytes_of(test::sample_intent(1));
  for (std::size_t n = 0; n < intent.size(); ++n) EXPECT_FALSE(decode_intent(std::string_view(intent).substr(0, n))) << n;
}

TEST(CallRecord, WhatANewerWriterAppendsIsSkipped) {
  const CallRecord c = test::sample_call(1);
  EXPECT_EQ(*decode_call(bytes_of(c) + "new fields"), c);
  std::string newer = bytes_of(c);
  newer[0] = 9;
  EXPECT_FALSE(decode_call(newer));
}

TEST(CallRecord, ArbitraryBytesNeverCrash) {
  SeededRandom random(20261121);
  const std::string whole = bytes_of(test::sample_call(1));
  for (int i = 0; i < 20'000; ++i) {
    std::string mutated = whole;
    for (int k = 0; k < 4; ++k) mutated[random.below(mutated.size())] = static_cast<char>(random.next());
    (void)decode_call(mutated);
    (void)decode_intent(mutated);
  }
}

TEST(CallRecord, ReadsAsJson) {
  const std::string text = to_json(test::sample_call(1));
  auto doc = parse_json(text);
  ASSERT_TRUE(doc) << text;
  EXPECT_EQ(doc->at("incurred_usd").as_string(), "0.000125000");
  EXPECT_EQ(doc->at("attempts").as_array().size(), 1u);
  EXPECT_EQ(doc->at("decision").as_array()[0].at("step").as_string(), "plan");
  EXPECT_EQ(doc->at("tokens").at("cached").as_int64(), 20);
}

}  // namespace
}  // namespace ballast::records
