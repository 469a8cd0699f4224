#include "records/call_record.hpp"

#include <gtest/gtest.h>

#include <array>
#include <tuple>

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

TEST(CallRecord, ReadInPlaceItSaysTheSame) {
  CallRecord c = test::sample_call(7);
  c.status = CallStatus::failed;
  c.charges.push_back({"system|*|0", INT64_MAX});
  c.attempts.push_back(c.attempts[0]);
  c.attempts[0].outcome = "provider_error";
  const std::string bytes = bytes_of(c);
  CallView v;
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(read_call(bytes, v));
    EXPECT_EQ(v.id, c.id);
    EXPECT_EQ((std::array{v.key_id, v.team, v.user, v.feature, v.route, v.operation, v.provider, v.model}),
              (std::array<std::string_view, 8>{c.key_id, c.team, c.user, c.feature, c.route, c.operation, c.provider, c.model}));
    EXPECT_EQ(v.status, c.status);
    EXPECT_EQ(v.cache, c.cache);
    EXPECT_EQ(v.usage, c.usage);
    EXPECT_EQ(v.incurred_nano, c.incurred_nano);
    EXPECT_EQ(v.billed_nano, c.billed_nano);
    EXPECT_EQ(v.latency_us, c.latency_us);
    ASSERT_EQ(v.charges.size(), 2u);
    EXPECT_EQ(v.charges[0].window, c.charges[0].window);
    EXPECT_EQ(v.charges[1].nano, INT64_MAX);
    ASSERT_EQ(v.attempts.size(), 2u);
    EXPECT_EQ(v.attempts[0].outcome, "provider_error");
    EXPECT_EQ(v.attempts[1].model, c.attempts[1].model);
    EXPECT_EQ(v.attempts[1].usage, c.attempts[1].usage);
    EXPECT_EQ(v.attempts[1].incurred_nano, c.attempts[1].incurred_nano);
  }
}

TEST(CallRecord, EveryTruncationIsRefused) {
  CallRecord call = test::sample_call(1);
  call.saved_nano = 77'000;
  EXPECT_EQ(*decode_call(bytes_of(call)), call);
  const std::string whole = bytes_of(call);
  CallView view;
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(decode_call(std::string_view(whole).substr(0, n))) << n;
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(read_call(std::string_view(whole).substr(0, n), view)) << n;
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
    CallView view;
    EXPECT_EQ(decode_call(mutated).has_value(), read_call(mutated, view).has_value());
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
  EXPECT_FALSE(doc->as_object().contains("saved_usd") || doc->as_object().contains("routing_saved_usd"));
}

TEST(CallRecord, WhatWasSavedIsTheCachesOrRoutings) {
  CallRecord c = test::sample_call(1);
  c.saved_nano = 77'000;
  for (const auto& [cache, name, other] : {std::tuple(CacheState::miss, "routing_saved_usd", "saved_usd"), std::tuple(CacheState::hit, "saved_usd", "routing_saved_usd")}) {
    c.cache = cache;
    const auto doc = parse_json(to_json(c));
    ASSERT_TRUE(doc);
    EXPECT_EQ(doc->at(name).as_string(), "0.000077000");
    EXPECT_FALSE(doc->as_object().contains(other));
  }
}

}  // namespace
}  // namespace ballast::records
