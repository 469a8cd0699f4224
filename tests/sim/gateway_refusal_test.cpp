// What a caller is told when the request is at fault: the field, whoever found it.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

// The error of an answer in OpenAI's shape: "status param".
std::string refusal(House& house, Call call, std::string_view body) {
  call.body = body;
  call.content_type = "application/json";
  const Caller& caller = house.serve(call);
  const auto document = parse_json(caller.body);
  const auto* error = document && document->is_object() ? document->as_object().if_contains("error") : nullptr;
  if (!error) return std::to_string(caller.head.status);
  const auto& param = error->at("param");
  return std::to_string(caller.head.status) + " " + (param.is_string() ? std::string(param.as_string()) : "-");
}

TEST(Refusal, AProvidersFieldReachesTheCaller) {
  House house({.route = {.targets = {*target_from("a/m", "t")}}});
  EXPECT_EQ(refusal(house, {}, R"({"model":"chat","messages":[{"role":"user","content":[{"type":"text","text":5}]}]})"), "400 messages[0].content[0].text");
  EXPECT_EQ(house.record().error, "provider_rejected");
}

TEST(Refusal, AStepThatFailedIsNoFieldOfTheRequest) {
  House house({.first = {{.kind = SimFaultKind::http_500}}, .route = {.targets = {*target_from("a/m", "t")}}});
  EXPECT_EQ(refusal(house, {}, R"({"model":"chat","messages":[{"role":"user","content":"hi"}]})"), "502 -");
}

TEST(Refusal, EmbeddingsOfNothingAreRefusedBeforeAnybodyIsAsked) {
  House house({.route = {.targets = {*target_from("a/m", "t")}}});
  struct Row { const char *rest, *told; };
  for (const auto& [rest, told] :
       {Row{"", "400 input"}, {R"(,"input":5)", "400 input"}, {R"(,"input":[])", "400 input"}, {R"(,"input":[true])", "400 input[0]"},
        {R"(,"input":["a",[]])", "400 input[1]"}, {R"(,"input":"a","dimensions":-2)", "400 dimensions"}, {R"(,"input":"a","dimensions":"x")", "400 dimensions"},
        {R"(,"input":"a")", "200"}, {R"(,"input":["a","b"],"dimensions":8)", "200"}, {R"(,"input":[1,2])", "200"}, {R"(,"input":[[1,2],[3]])", "200"}})
    EXPECT_EQ(refusal(house, {.operation = llm::Operation::embeddings}, std::string(R"({"model":"chat")") + rest + "}"), told) << rest;
}

TEST(Refusal, ABodyInAnEncodingIsToldSo) {
  House house({});
  EXPECT_EQ(refusal(house, {.content_encoding = "gzip"}, "\x1f\x8b"), "400 content-encoding");
}

TEST(Refusal, WithoutAKeyTheWayToSendOneCanBeRead) {
  House house({});
  Caller& caller = house.callers.emplace_back(house.loop);
  house.loop.run(house.gateway->serve({.body = "{}"}, caller));
  EXPECT_THAT(caller.body, testing::HasSubstr("bearer token"));
  EXPECT_THAT(caller.body, testing::Not(testing::HasSubstr("redacted")));
}

TEST(Translated, AnAnswerHasTheTimeWhereItsProviderDoesNotSayIt) {
  for (const bool stream : {false, true}) {
    House house({.route = {.targets = {*target_from("b/m", "t")}}, .second_kind = llm::ProviderKind::anthropic});
    Asked asked{.stream = stream};
    const Caller& caller = house.serve(asked.call());
    EXPECT_THAT(caller.body, testing::HasSubstr("\"created\":" + std::to_string(unix_ms(house.clock.wall()) / 1000)));
  }
}

}  // namespace
}  // namespace ballast::gateway
