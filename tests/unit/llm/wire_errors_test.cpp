// What a provider's failure means, and how ours is told.
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "llm/errors.hpp"

namespace ballast::llm {
namespace {

struct Case { Wire wire; int status; std::string_view body; ErrorCode code; };
class ProviderErrors : public testing::TestWithParam<Case> {};
TEST_P(ProviderErrors, AreClassified) {
  const auto& c = GetParam();
  EXPECT_EQ(to_string(parse_error(c.wire, c.status, {}, c.body).code), to_string(c.code)) << c.body;
}
using enum ErrorCode;
INSTANTIATE_TEST_SUITE_P(Table, ProviderErrors, testing::Values(
    Case{Wire::openai_chat, 429, R"({"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}})", provider_rate_limited},
    Case{Wire::openai_chat, 429, R"({"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}})", provider_quota},
    Case{Wire::openai_chat, 429, R"({"error":{"message":"no","code":"project_spend_limit_exceeded"}})", provider_quota},
    Case{Wire::openai_chat, 402, R"({"error":{"message":"Insufficient Balance"}})", provider_quota},
    Case{Wire::openai_chat, 400, R"({"error":{"message":"…","code":"context_length_exceeded"}})", provider_context_length},
    Case{Wire::openai_chat, 400, R"({"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","code":"content_filter"}})", provider_content_filter},
    Case{Wire::openai_chat, 400, R"({"error":{"message":"bad","code":"invalid_value"}})", provider_rejected},
    Case{Wire::openai_chat, 401, "nope", provider_auth},
    Case{Wire::openai_chat, 403, "{}", provider_auth},
    Case{Wire::openai_chat, 404, "{}", provider_rejected},
    Case{Wire::openai_chat, 500, "<html>", provider_error},
    Case{Wire::openai_chat, 503, "", provider_overloaded},
    Case{Wire::anthropic_messages, 529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})", provider_overloaded},
    Case{Wire::anthropic_messages, 400, R"({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3 tokens > 2 maximum"}})", provider_context_length},
    Case{Wire::anthropic_messages, 400, R"({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}})", provider_quota},
    Case{Wire::anthropic_messages, 200, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})", provider_overloaded},
    Case{Wire::anthropic_messages, 0, R"({"type":"error","error":{"type":"api_error","message":"x"}})", provider_error},
    Case{Wire::gemini, 429, R"([{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"RequestsPerDayPerProject"}]}]}}])", provider_quota},
    Case{Wire::gemini, 429, R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}})", provider_rate_limited},
    Case{Wire::gemini, 400, R"({"error":{"code":400,"message":"API key not valid","details":[{"reason":"API_KEY_INVALID"}]}})", provider_auth},
    Case{Wire::gemini, 400, R"({"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}})", provider_context_length},
    Case{Wire::openai_responses, 0, R"({"type":"error","code":"rate_limit_exceeded","message":"slow","param":null})", provider_rate_limited},
    Case{Wire::openai_responses, 0, R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}})", provider_error}));

TEST(ProviderErrors, SayWhenToComeBack) {
  using namespace std::chrono_literals;
  const auto with = [](RetryHeaders h) { return parse_error(Wire::openai_chat, 429, h, "{}").retry_after; };
  EXPECT_EQ(with({.retry_after = "2"}), 2000ms);
  EXPECT_EQ(with({.retry_after = "0.25"}), 250ms);
  EXPECT_EQ(with({.retry_after = "9", .retry_after_ms = "120"}), 120ms);
  EXPECT_EQ(with({}), std::nullopt);
  EXPECT_EQ(with({.retry_after = "soon"}), std::nullopt);
  EXPECT_EQ(with({.retry_after = "-4"}), std::nullopt);
  const auto now = std::chrono::sys_days{std::chrono::year(2026) / 11 / 6} + 8h;
  EXPECT_EQ(with({.retry_after = "Fri, 06 Nov 2026 08:00:30 GMT", .now = now}), 30000ms);
  EXPECT_EQ(with({.retry_after = "Fri, 06 Nov 2026 07:00:30 GMT", .now = now}), 0ms);
  EXPECT_EQ(with({.retry_after = "Sat, 06 Nov 2027 08:00:30 GMT", .now = now}), 168h);
  EXPECT_EQ(with({.retry_after = "Fri, 31 Dec 9999 23:59:59 GMT", .now = now}), 168h);
  EXPECT_EQ(with({.retry_after = "Fri, 06 Nov 2026 2000000000:00:30 GMT", .now = now}), std::nullopt);
  EXPECT_EQ(with({.retry_after = "99999999999", .now = now}), 168h);
  EXPECT_EQ(parse_error(Wire::gemini, 429, {}, R"({"error":{"details":[{"@type":"…RetryInfo","retryDelay":"31.5s"}]}})").retry_after, 31500ms);
}

TEST(OurErrors, SpeakTheCallersApi) {
  const Error budget{.code = policy_budget_exceeded, .message = "the day's $5 are spent"};
  const auto openai = write_error(Wire::openai_chat, budget);
  EXPECT_EQ(openai.status, 429);
  EXPECT_EQ(parse_json(openai.body)->at("error").at("code").as_string(), "policy_budget_exceeded");
  EXPECT_NE(std::ranges::find(openai.headers, std::pair<std::string, std::string>("x-should-retry", "false")), openai.headers.end());
  const auto anthropic = write_error(Wire::anthropic_messages, {.code = provider_overloaded, .message = "x"});
  EXPECT_EQ(anthropic.status, 529);
  EXPECT_EQ(parse_json(anthropic.body)->at("error").at("type").as_string(), "overloaded_error");
  const auto gemini = write_error(Wire::gemini, {.code = caller_invalid_request, .message = "x", .field = "contents"});
  EXPECT_EQ(parse_json(gemini.body)->at("error").at("status").as_string(), "INVALID_ARGUMENT");
  const auto context = write_error(Wire::openai_responses, {.code = provider_context_length, .message = "x"});
  EXPECT_EQ(parse_json(context.body)->at("error").at("code").as_string(), "context_length_exceeded");
}

// A provider's error as the caller's API tells it: "type code".
std::string told(Wire provider, Wire caller, int status, std::string_view body) {
  const auto error = error_object(caller, parse_error(provider, status, {}, body)).at("error").as_object();
  const auto word = [&](std::string_view name) { return std::string(error.at(name).as_string()); };
  if (caller == Wire::gemini) return word("status") + " " + std::string(error.at("details").at(0).at("reason").as_string());
  return word("type") + " " + word("code");
}

TEST(ProviderErrors, KeepTheirOwnNamesWhereTheCallersApiKnowsThem) {
  constexpr auto openai = R"({"error":{"message":"no","type":"invalid_request_error","param":"x","code":"unsupported_parameter"}})";
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 400, openai), "invalid_request_error unsupported_parameter");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_responses, 400, openai), "invalid_request_error unsupported_parameter");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 400, R"({"error":{"message":"no","type":"image_generation_user_error","code":"invalid_image_url"}})"),
            "image_generation_user_error invalid_image_url");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 400, R"({"error":{"code":"content_policy_violation"}})"), "invalid_request_error content_policy_violation");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 429, R"({"error":{"type":"tokens","code":"rate_limit_exceeded"}})"), "tokens rate_limit_exceeded");
  EXPECT_EQ(told(Wire::anthropic_messages, Wire::anthropic_messages, 404, R"({"type":"error","error":{"type":"not_found_error","message":"model: x"}})"),
            "not_found_error provider_rejected");
  EXPECT_EQ(told(Wire::gemini, Wire::gemini, 400, R"({"error":{"code":400,"status":"FAILED_PRECONDITION","details":[{"reason":"LOCATION"}]}})"),
            "FAILED_PRECONDITION LOCATION");
}

TEST(ProviderErrors, KeepTheirCodeAcrossApis) {
  constexpr auto openai = R"({"error":{"message":"no","type":"odd_type","code":"unsupported_parameter"}})";
  EXPECT_EQ(told(Wire::openai_chat, Wire::anthropic_messages, 400, openai), "invalid_request_error unsupported_parameter");
  EXPECT_EQ(told(Wire::openai_chat, Wire::gemini, 400, openai), "INVALID_ARGUMENT unsupported_parameter");
  EXPECT_EQ(told(Wire::gemini, Wire::openai_chat, 400, R"({"error":{"code":400,"status":"INVALID_ARGUMENT","message":"no"}})"),
            "invalid_request_error provider_rejected");
  EXPECT_EQ(told(Wire::anthropic_messages, Wire::openai_chat, 400, R"({"error":{"type":"invalid_request_error","message":"prompt is too long"}})"),
            "invalid_request_error context_length_exceeded");
}

TEST(ProviderErrors, GiveNoWordThatIsNotPlain) {
  const auto with = [](std::string_view word) {
    return told(Wire::openai_chat, Wire::openai_chat, 400, to_json(json::object{{"error", json::object{{"type", word}, {"code", word}}}}));
  };
  constexpr auto ours = "invalid_request_error provider_rejected";
  EXPECT_EQ(with(std::string(128, 'a')), std::string(128, 'a') + " " + std::string(128, 'a'));
  for (const std::string& word : {std::string(129, 'a'), std::string("a b"), std::string("a\r\nx: y"), std::string("é"), std::string("\0a", 2), std::string("<b>"),
                                  std::string("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD")})
    EXPECT_EQ(with(word), ours) << word;
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 400, R"({"error":{"message":"vLLM","type":"BadRequestError","code":400}})"), "BadRequestError provider_rejected");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 400, R"({"error":{"message":"x","type":null,"code":{"a":1}}})"), ours);
}

TEST(ProviderErrors, OfTheGatewaysOwnCredentialKeepTheirNamesToThemselves) {
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 401, R"({"error":{"type":"invalid_request_error","code":"invalid_api_key"}})"), "server_error provider_auth");
  EXPECT_EQ(told(Wire::openai_chat, Wire::openai_chat, 429, R"({"error":{"type":"insufficient_quota","code":"insufficient_quota"}})"), "server_error provider_quota");
}

}  // namespace
}  // namespace ballast::llm
