// Routes with a classifier: the last user's message decides who is asked first, on every wire, and the decision record says why.
#include <gmock/gmock.h>

#include "classify/classify.hpp"
#include "road_house.hpp"

namespace ballast::gateway {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;

std::shared_ptr<const classify::Model> model_of(const std::vector<classify::Example>& examples) {
  return std::make_shared<const classify::Model>(classify::train(examples).value().model);
}

std::shared_ptr<const classify::Model> wants() {
  static const auto model = model_of({{"where is my parcel", "delivery"}, {"has my order been sent", "delivery"}, {"when will the parcel arrive", "delivery"},
                                      {"track the parcel", "delivery"}, {"I want my money back", "refund"}, {"please refund the order", "refund"},
                                      {"how do I get a refund", "refund"}, {"refund my money", "refund"}});
  return model;
}

// "b" is meant for refunds, "a" for anything.
Route by_intent() {
  Route r{.targets = {*target_from("b/m", "t"), *target_from("a/m", "t")}, .strategy = Strategy::intent, .classifier = "mails", .intents = wants()};
  r.targets[0].intents = {"refund"};
  return r;
}

struct Shop : House {
  explicit Shop(Route route) : House({.route = std::move(route)}) {}
  // The text in place of the house's "hi", before it a question of another kind that must not count.
  records::CallRecord ask(std::string_view text, Wire wire = Wire::openai_chat, std::string_view complexity = {}) {
    auto& asked = asks.emplace_back(Asked{.wire = wire});
    Call call = asked.call();
    asked.body.replace(asked.body.find("\"hi\""), 4, to_json(json::value(text)));
    call.body = asked.body;
    call.complexity = complexity;
    serve(call);
    return record();
  }
  std::deque<Asked> asks;
};

std::string told(const records::CallRecord& r, std::string_view fact) {
  for (const auto& step : parse_json(r.decision)->as_array())
    if (step.at("step") == "intent") return to_json(step.at(fact));
  return "(no step)";
}

TEST(Intents, TheLabelsTargetIsAskedFirstOnEveryWire) {
  for (const Wire wire : kAll) {
    Shop shop(by_intent());
    const auto refund = shop.ask("a refund of my money please", wire);
    EXPECT_EQ(refund.served_by, "b/m") << llm::to_string(wire) << refund.decision;
    EXPECT_THAT(steps(refund), ElementsAre("route", "intent", "plan", "attempt", "settled"));
    EXPECT_EQ(told(refund, "label"), "\"refund\"");
    EXPECT_EQ(told(refund, "verdict"), "\"sure\"");
    EXPECT_EQ(shop.ask("where is the parcel", wire).served_by, "a/m") << "no target is meant for deliveries";
  }
}

TEST(Intents, WhatIsUnclearGoesToTheTargetForAnything) {
  Shop shop(by_intent());
  const auto strange = shop.ask("qzx wvk jjj");
  EXPECT_EQ(strange.served_by, "a/m");
  EXPECT_EQ(told(strange, "verdict"), "\"out of scope\"");
  auto careful = by_intent();
  careful.unsure_below = 1;
  Shop doubter(careful);
  const auto unsure = doubter.ask("a refund of my money please");
  EXPECT_EQ(unsure.served_by, "a/m");
  EXPECT_EQ(told(unsure, "verdict"), "\"unsure\"");
}

TEST(Intents, OnlyTheLastMessageOfTheUserCounts) {
  Shop shop(by_intent());
  auto& asked = shop.asks.emplace_back();
  Call call = asked.call();
  asked.body = R"({"model":"chat","messages":[{"role":"system","content":"Refunds are refunds."},{"role":"user","content":"where is the parcel"},
    {"role":"assistant","content":"On its way."},{"role":"user","content":[{"type":"text","text":"then refund"},{"type":"text","text":"my money please"}]},
    {"role":"assistant","content":"track the parcel"}]})";
  call.body = asked.body;
  shop.serve(call);
  EXPECT_EQ(shop.record().served_by, "b/m") << shop.record().decision;
}

TEST(Intents, ComplexityIsToldByAClassifierUnlessTheCallerTellsIt) {
  Route route{.targets = {*target_from("a/m", "t"), *target_from("b/m", "t")}, .strategy = Strategy::complexity, .classifier = "size",
              .intents = model_of({{"hello there", "simple"}, {"good morning", "simple"}, {"thank you so much", "simple"}, {"hi there friend", "simple"},
                                   {"prove the theorem in detail", "hard"}, {"derive the proof in detail", "hard"}, {"prove that it converges", "hard"},
                                   {"a detailed proof of the theorem", "hard"}})};
  route.targets[0].complexity = Complexity::simple;
  route.targets[1].complexity = Complexity::hard;
  Shop shop(route);
  EXPECT_EQ(shop.ask("hello friend").served_by, "a/m");
  EXPECT_EQ(shop.ask("prove this theorem in detail").served_by, "b/m");
  const auto declared = shop.ask("prove this theorem in detail", Wire::openai_chat, "simple");
  EXPECT_EQ(declared.served_by, "a/m");
  EXPECT_EQ(told(declared, "label"), "(no step)");
}

TEST(Intents, AreCounted) {
  Shop shop(by_intent());
  shop.ask("a refund of my money please");
  shop.ask("qzx wvk jjj");
  const auto text = shop.registry.expose();
  EXPECT_THAT(text, HasSubstr("ballast_intents_total{route=\"chat\",label=\"refund\",by=\"classifier\"} 1"));
  EXPECT_THAT(text, HasSubstr("ballast_intents_total{route=\"chat\",label=\"(out of scope)\",by=\"classifier\"} 1"));
}

}  // namespace
}  // namespace ballast::gateway
