#include "work/webhook_signature.hpp"

#include <gtest/gtest.h>

namespace ballast::work {
namespace {

using namespace std::chrono_literals;

// The vector that the convention's own libraries test themselves with.
constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
constexpr std::string_view kId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
constexpr std::string_view kBody = R"({"test": 2432232314})";
constexpr std::string_view kSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
constexpr std::string_view kOther = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
constexpr WallTime kAt{1614265330s};

WebhookSecret secret(std::string_view text = kSecret) {
  auto parsed = WebhookSecret::parse(text);
  EXPECT_TRUE(parsed) << text;
  return *parsed;
}

TEST(WebhookSignature, IsTheConventionsOwnVector) {
  const WebhookSecret secrets[] = {secret()};
  EXPECT_EQ(*sign_webhook(secrets, kId, kAt, kBody), kSignature);
  EXPECT_EQ(*sign_webhook(secrets, kId, kAt + 999ms, kBody), kSignature) << "whole seconds";
  EXPECT_EQ(webhook_timestamp(kAt + 999ms), "1614265330");
}

TEST(WebhookSignature, ReadsOnlyWhatASenderMeant) {
  const WebhookSecret secrets[] = {secret()};
  const std::string several = std::string(kOther) + " v2," + std::string(kSignature.substr(3)) + " " + std::string(kSignature) + " " + std::string(kOther);
  const std::string asymmetric = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== " + std::string(kSignature);
  const std::string wrong_version = "v2," + std::string(kSignature.substr(3));
  const std::string cut(kSignature.substr(0, kSignature.size() - 4));
  const struct { const char* name; WebhookHeaders headers; std::string_view body; Duration later; const char* field; } cases[] = {
      {"valid", {kId, "1614265330", kSignature}, kBody, 0s, ""},
      {"one of several", {kId, "1614265330", several}, kBody, 0s, ""},
      {"beside an asymmetric one", {kId, "1614265330", asymmetric}, kBody, 0s, ""},
      {"at the edge", {kId, "1614265330", kSignature}, kBody, 5min, ""},
      {"at the other edge", {kId, "1614265330", kSignature}, kBody, -5min, ""},
      {"too old", {kId, "1614265330", kSignature}, kBody, 5min + 1s, "webhook-timestamp"},
      {"from the future", {kId, "1614265330", kSignature}, kBody, -5min - 1s, "webhook-timestamp"},
      {"no id", {"", "1614265330", kSignature}, kBody, 0s, "webhook-id"},
      {"an id with a full stop", {"msg.1614265330", "1614265330", kSignature}, kBody, 0s, "webhook-id"},
      {"no time", {kId, "", kSignature}, kBody, 0s, "webhook-timestamp"},
      {"no number", {kId, "1614265330x", kSignature}, kBody, 0s, "webhook-timestamp"},
      {"a huge time", {kId, "9223372036854775807", kSignature}, kBody, 0s, "webhook-timestamp"},
      {"the same time, written otherwise", {kId, "01614265330", kSignature}, kBody, 0s, "webhook-signature"},
      {"another time", {kId, "1614265331", kSignature}, kBody, 0s, "webhook-signature"},
      {"no signature", {kId, "1614265330", ""}, kBody, 0s, "webhook-signature"},
      {"another's", {kId, "1614265330", kOther}, kBody, 0s, "webhook-signature"},
      {"another version", {kId, "1614265330", wrong_version}, kBody, 0s, "webhook-signature"},
      {"without its version", {kId, "1614265330", kSignature.substr(3)}, kBody, 0s, "webhook-signature"},
      {"cut", {kId, "1614265330", cut}, kBody, 0s, "webhook-signature"},
      {"another body", {kId, "1614265330", kSignature}, R"({"test":2432232314})", 0s, "webhook-signature"},
      {"another id", {"msg_p", "1614265330", kSignature}, kBody, 0s, "webhook-signature"},
  };
  for (const auto& c : cases) {
    const auto got = verify_webhook(secrets, c.headers, c.body, kAt + c.later);
    EXPECT_EQ(got ? "" : got.error().field, c.field) << c.name;
    if (!got) EXPECT_EQ(got.error().code, ErrorCode::caller_unauthenticated) << c.name;
  }
  EXPECT_FALSE(verify_webhook({}, {kId, "1614265330", kSignature}, kBody, kAt)) << "nobody's secret";
}

TEST(WebhookSignature, ASecretIsExchangedWithoutAGap) {
  const WebhookSecret before[] = {secret()}, after[] = {secret(WebhookSecret::make())}, both[] = {after[0], before[0]};
  const auto header = *sign_webhook(both, kId, kAt, kBody);
  EXPECT_TRUE(header.ends_with(" " + std::string(kSignature)));
  const auto timestamp = webhook_timestamp(kAt);
  EXPECT_TRUE(verify_webhook(before, {kId, timestamp, header}, kBody, kAt));
  EXPECT_TRUE(verify_webhook(after, {kId, timestamp, header}, kBody, kAt));
  EXPECT_FALSE(verify_webhook(after, {kId, timestamp, kSignature}, kBody, kAt));
  EXPECT_TRUE(verify_webhook(both, {kId, timestamp, kSignature}, kBody, kAt));
}

TEST(WebhookSignature, OnlySecretsOfTheRightFormAreTaken) {
  for (const std::size_t size : {std::size_t{24}, std::size_t{32}, std::size_t{64}})
    EXPECT_TRUE(WebhookSecret::parse("whsec_" + to_base64(std::string(size, 'k')))) << size;
  for (const std::string& bad : {std::string(), std::string("whsec_"), std::string(kSecret.substr(6)), "whsec_" + to_base64(std::string(23, 'k')),
                                 "whsec_" + to_base64(std::string(65, 'k')), std::string(kSecret) + " ", "whsk_" + to_base64(std::string(32, 'k')),
                                 "whsec_" + std::string(32, '-')}) {
    const auto got = WebhookSecret::parse(bad, "webhooks.secrets[0]");
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().field, "webhooks.secrets[0]");
    if (bad.size() > 8) EXPECT_EQ(got.error().message.find(bad.substr(6)), std::string::npos) << "a secret is never repeated";
  }
  EXPECT_NE(WebhookSecret::make(), WebhookSecret::make());
}

TEST(WebhookSignature, SignsNothingThatCouldMeanSomethingElse) {
  const WebhookSecret secrets[] = {secret()};
  for (const char* id : {"", "a.b", "a b", "a\r\nb"}) EXPECT_FALSE(sign_webhook(secrets, id, kAt, kBody)) << id;
  EXPECT_FALSE(sign_webhook({}, kId, kAt, kBody));
}

}  // namespace
}  // namespace ballast::work
