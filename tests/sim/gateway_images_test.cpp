// Calls that make images, and embeddings, under budgets: what is held is never less than what the provider charges.
#include <gmock/gmock.h>

#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;

const Target kA = *target_from("a/m", "t");
constexpr std::int64_t kImageToken = 40'000, kToken = 5'000;   // nano-dollars
constexpr std::int64_t kHeldFor1 = 300'000'000;                // more than one image holds: the prompt's bound and 256 tokens
constexpr std::string_view kForm = "multipart/form-data; boundary=edge";

llm::SimModel by_tokens() { return {.name = "m", .price = llm::PriceSet{.input = {kToken * 1'000'000}, .output = {kImageToken * 1'000'000}}}; }
llm::SimModel apiece() { return {.name = "m", .per_image = Price{40'000'000'000'000}}; }

std::string field(std::string_view name, std::string_view value) {
  return "--edge\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" + std::string(value) + "\r\n";
}
std::string edit(std::string_view n, int files = 1) {
  std::string body = field("model", "chat") + field("prompt", "a red keel") + field("n", n);
  for (int i = 0; i < files; ++i) body += "--edge\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"a\"\r\n\r\nPNG\r\n";
  return body + "--edge--\r\n";
}
Call edits(std::string_view body) { return {.operation = llm::Operation::images_edits, .body = body, .content_type = kForm}; }
Call generations(std::string_view body) { return {.operation = llm::Operation::images_generations, .body = body, .content_type = "application/json"}; }

House house_with(llm::SimModel model, std::int64_t nano) {
  return House({.route = {.targets = {kA}}, .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {nano}}}, .first_model = std::move(model)});
}
std::int64_t held(const records::CallRecord& r) {
  const auto parsed = parse_json(r.decision);
  for (const auto& s : parsed->as_array())
    if (s.at("step").as_string() == "held") return s.at("ceiling_nano").to_number<std::int64_t>();
  return -1;
}
Money spent(House& house) { return house.gateway->setup()->budgets->status().at(0).spent; }

TEST(ImageCalls, AHoldGrowsWithTheImagesAskedForAndTheFilesSent) {
  House house = house_with(by_tokens(), 1'000'000'000'000);
  std::int64_t last = 0;
  for (const auto& [n, files] : std::initializer_list<std::pair<std::string, int>>{{"1", 1}, {"2", 1}, {"10", 1}, {"10", 3}}) {
    const std::string body = edit(n, files);
    EXPECT_EQ(house.serve(edits(body)).head.status, 200) << house.callers.back().body;
    const auto r = house.record();
    EXPECT_GT(held(r), last) << n << " images of " << files << " files";
    EXPECT_GE(held(r), std::stoll(n) * (256 * kImageToken + files * 50'000 * kToken));
    EXPECT_LE(r.incurred_nano, held(r));
    EXPECT_EQ(r.usage.images, std::stoull(n));
    last = held(r);
  }
  EXPECT_EQ(spent(house).nano, cost_of(house.first.simulator));
}

TEST(ImageCalls, FourImagesAreRefusedWhereTheBudgetAllowsThree) {
  for (const bool form : {true, false}) {
    const auto call = [&](const std::string& body) { return form ? edits(body) : generations(body); };
    const auto body = [&](int n) { return form ? edit(std::to_string(n)) : R"({"model":"chat","prompt":"a red keel","n":)" + std::to_string(n) + "}"; };
    House measured = house_with(apiece(), 1'000'000'000'000);
    const std::string three = body(3), four = body(4);
    measured.serve(call(three));
    const auto enough = held(measured.record());
    EXPECT_EQ(enough, 3 * 40'000'000);
    House house = house_with(apiece(), enough);
    EXPECT_EQ(house.serve(call(four)).header("x-ballast-error"), "policy_budget_exceeded");
    EXPECT_TRUE(house.first.simulator.counts().empty()) << "nothing was sent";
    EXPECT_EQ(house.serve(call(three)).head.status, 200);
    EXPECT_EQ(spent(house).nano, 3 * 40'000'000);
    EXPECT_EQ(spent(house).nano, cost_of(house.first.simulator));
  }
}

TEST(ImageCalls, AStreamOfImagesIsHeldWithItsPartialImagesAndPassedOnWhole) {
  House house = house_with(by_tokens(), kHeldFor1);
  const std::string plain = R"({"model":"chat","prompt":"x","n":1})";
  house.serve(generations(plain));
  const auto without = held(house.record());
  const std::string body = R"({"model":"chat","prompt":"x","n":1,"stream":true,"partial_images":2})";
  const Caller& caller = house.serve(generations(body));
  EXPECT_EQ(caller.header("content-type"), "text/event-stream");
  EXPECT_NE(caller.body.find("event: image_generation.completed"), std::string::npos) << caller.body;
  const auto r = house.record();
  EXPECT_GE(held(r), without + 200 * kImageToken);
  EXPECT_EQ(r.usage.images, 1u);
  EXPECT_EQ(spent(house).nano, cost_of(house.first.simulator));
}

TEST(ImageCalls, AStreamOfImagesIsNotAnsweredFromTheCacheNorKeptInIt) {
  House house({.route = {.targets = {kA}, .cache = {.ttl = 60s}}, .first_model = by_tokens()});
  const std::string streamed = R"({"model":"chat","prompt":"x","stream":true})", plain = R"({"model":"chat","prompt":"x"})";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(house.serve(generations(streamed)).header("content-type"), "text/event-stream");
    EXPECT_EQ(house.serve(generations(plain)).header("content-type"), "application/json");
  }
  EXPECT_EQ(house.first.simulator.counts().at("m").images, 3u) << "the second plain one is remembered";
}

TEST(ImageCalls, WhatHasNoBoundIsRefusedByName) {
  const auto house_for = [](llm::ModelOverride price) {
    price.provider = "a";
    price.model = "m";
    return House({.route = {.targets = {kA}}, .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {1'000'000'000'000}}},
                  .prices = {std::move(price)}});
  };
  const llm::PriceSet priced{.input = {kToken * 1'000'000}, .output = {kImageToken * 1'000'000}};
  const std::string body = R"({"model":"chat","prompt":"x"})";
  {
    House house = house_for({.price = priced});
    const Caller& caller = house.serve(generations(body));
    EXPECT_EQ(caller.header("x-ballast-error"), "policy_unbounded_cost");
    EXPECT_NE(caller.body.find("a/m: set image_tokens"), std::string::npos) << caller.body;
  }
  {
    House house = house_for({.context = 100});
    EXPECT_EQ(house.serve(generations(body)).header("x-ballast-error"), "policy_unpriced_model");
  }
  {
    House house = house_for({.price = priced, .image_tokens = 256});
    EXPECT_EQ(house.serve(generations(body)).head.status, 200);
    const std::string remote = R"({"model":"chat","prompt":"x","images":[{"image_url":"https://example.org/a.png"}]})";
    Call call = generations(remote);
    call.operation = llm::Operation::images_edits;
    const Caller& caller = house.serve(call);
    EXPECT_EQ(caller.header("x-ballast-error"), "policy_unbounded_cost");
    EXPECT_NE(caller.body.find("images[0]"), std::string::npos) << caller.body;
  }
}

TEST(ImageCalls, WhatCannotBeReadIsRefusedNamingTheField) {
  House house = house_with(by_tokens(), 1'000'000'000'000);
  for (const auto& [body, name] : std::initializer_list<std::pair<std::string, std::string>>{{edit("11"), "\"n\""}, {edit("1") + "x", "\"body\""},
                                                                                             {field("prompt", "x") + "--edge--", "\"model\""}}) {
    const Caller& caller = house.serve(edits(body));
    EXPECT_EQ(caller.head.status, 400);
    EXPECT_NE(caller.body.find(name), std::string::npos) << caller.body;
  }
  const std::string twice = R"({"model":"chat","prompt":"x","n":9,"n":2})";
  EXPECT_EQ(house.serve(generations(twice)).head.status, 200);
  EXPECT_EQ(house.first.simulator.counts().at("m").images, 2u) << "the provider is sent the count that was held for";
  EXPECT_TRUE(house.gateway->setup()->budgets->status().at(0).held == Money{});
}

TEST(ImageCalls, AReplyWithoutACountIsChargedByItsImagesOrAtItsCeiling) {
  const std::string asked = R"({"model":"chat","prompt":"x","n":4})";
  const auto charged = [&](llm::SimModel model, std::string reply, std::string type = "application/json", int status = 200) {
    Says says(std::move(reply), std::move(type));
    House house({.route = {.targets = {kA}, .retries = {.attempts = 1}}, .budgets = {{.name = "all", .scope = BudgetScope::system, .amount = {1'000'000'000'000}}},
                 .first_model = std::move(model), .first_transport = &says});
    EXPECT_EQ(house.serve(generations(asked)).head.status, status);
    const auto r = house.record();
    return std::pair(r.incurred_nano, r.incurred_nano == held(r));
  };
  const std::string two = R"({"data":[{"url":"a"},{"url":"b"}]})";
  EXPECT_EQ(charged(apiece(), two).first, 2 * 40'000'000) << "of four asked for, two were made";
  EXPECT_EQ(charged(apiece(), R"({"data":[{},{}],"usage":{"input_tokens":0,"output_tokens":0}})").first, 2 * 40'000'000);
  EXPECT_TRUE(charged(by_tokens(), two).second) << "nobody knows its tokens";
  EXPECT_TRUE(charged(by_tokens(), "no JSON").second);
  EXPECT_EQ(charged(by_tokens(), R"({"data":[{}],"usage":{"input_tokens":3,"output_tokens":200}})").first, 3 * kToken + 200 * kImageToken);
  EXPECT_TRUE(charged(by_tokens(), "data: {\"type\":\"image_generation.partial_image\"}\n\n", "text/event-stream", 502).second) << "a stream that broke off";
}

TEST(Embeddings, AreHeldByTheirBytesAndRefusedWhereTheirInputIsElsewhere) {
  House house = house_with(by_tokens(), 1'000'000'000'000);
  const auto call = [](std::string_view body) { return Call{.operation = llm::Operation::embeddings, .body = body, .content_type = "application/json"}; };
  for (const std::string body : {R"({"model":"chat","input":"a text"})", R"({"model":"chat","input":["a","b"]})", R"({"model":"chat","input":[[1,2],[3]]})"}) {
    EXPECT_EQ(house.serve(call(body)).head.status, 200) << house.callers.back().body;
    const auto r = house.record();
    EXPECT_GE(held(r), static_cast<std::int64_t>(body.size()) * kToken);
    EXPECT_LE(r.incurred_nano, held(r));
  }
  for (const auto& [body, name] : std::initializer_list<std::pair<std::string, std::string>>{
           {R"({"model":"chat","input":["a",{"image":"https://example.org/a.png"}]})", "input[1]"}, {R"({"model":"chat","input":[[{}]]})", "input[0]"}}) {
    const Caller& caller = house.serve(call(body));
    EXPECT_EQ(caller.header("x-ballast-error"), "policy_unbounded_cost");
    EXPECT_NE(caller.body.find(name), std::string::npos) << caller.body;
  }
  const Caller& caller = house.serve(call(R"({"model":"chat","messages":[]})"));
  EXPECT_EQ(caller.header("x-ballast-error"), "caller_invalid_request");
  EXPECT_NE(caller.body.find("\"input\""), std::string::npos) << caller.body;
}

}  // namespace
}  // namespace ballast::gateway
