// Training and answering: small sets that a person can judge, and floors on real ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "base/random.hpp"
#include "classify/classify.hpp"
#include "classify/examples.hpp"

namespace ballast::classify {
namespace {

const std::vector<Example> kShop{
    {"where is my parcel", "delivery"},        {"has my order been sent", "delivery"},     {"when will the parcel arrive", "delivery"},
    {"track my order please", "delivery"},     {"the courier never came", "delivery"},     {"my delivery is late", "delivery"},
    {"I want my money back", "refund"},        {"please refund the order", "refund"},      {"how do I get a refund", "refund"},
    {"return this and pay me back", "refund"}, {"refund my last purchase", "refund"},      {"money back for the broken lamp", "refund"},
    {"I forgot my password", "account"},       {"cannot log in to my account", "account"}, {"change my email address", "account"},
    {"close my account", "account"},           {"reset the password", "account"},          {"my login does not work", "account"},
};

Model shop() {
  static const Model model = train(kShop).value().model;
  return model;
}

TEST(Classify, ToldApartByTheirWords) {
  const std::vector<std::pair<const char*, const char*>> asked{
      {"when does my parcel come", "delivery"}, {"Where is my PARCEL?!", "delivery"}, {"refund please", "refund"},          {"i want the money back", "refund"},
      {"forgot the password again", "account"}, {"log in does not work", "account"},  {"delivry of my parcell", "delivery"}};
  for (const auto& [text, label] : asked) {
    const Verdict v = shop().classify(text);
    EXPECT_EQ(v.label, label) << text;
    EXPECT_GT(v.confidence, 0.5) << text;
    EXPECT_FALSE(v.out_of_scope) << text;
    ASSERT_EQ(v.runners, 2u);
    EXPECT_GE(v.confidence, v.runners_up[0].confidence);
    EXPECT_GE(v.runners_up[0].confidence, v.runners_up[1].confidence);
    EXPECT_NEAR(v.confidence + v.runners_up[0].confidence + v.runners_up[1].confidence, 1, 1e-5);
  }
}

TEST(Classify, WhatHasNothingInCommonIsOutOfScope) {
  for (const char* text : {"", " \n\t", "?!…", "qzx wvk jjj", "ψφχ ωβδ", "\xff\xfe\xfd", "数字人民币"}) {
    const Verdict v = shop().classify(text);
    EXPECT_TRUE(v.out_of_scope) << text;
    EXPECT_LT(v.typicality, 0.05) << text;
    EXPECT_FALSE(v.label.empty());
  }
}

TEST(Classify, TextsOfAnyKindAndSize) {
  SeededRandom random(7);
  std::string noise(1 << 20, ' ');
  for (auto& c : noise) c = static_cast<char>(random.next());
  for (const std::string& text : {noise, std::string(1 << 20, 'a'), std::string("where is my parcel\0 or not", 26), noise.substr(0, 4'095) + "\xf0\x9f"}) {
    const Verdict v = shop().classify(text);
    EXPECT_TRUE(v.confidence > 0 && v.confidence <= 1 && v.typicality >= 0 && v.typicality <= 1);
  }
  // Only the beginning of a long text is read.
  const std::string start = std::string("refund my last purchase ") + std::string(kMaxTextBytes, '.');
  EXPECT_EQ(shop().classify(start + "parcel parcel parcel").confidence, shop().classify(start).confidence);
}

TEST(Classify, LettersAreFoldedInLatinGreekAndCyrillic) {
  const auto model = train(std::vector<Example>{{"über", "a"}, {"été", "a"}, {"ČAJ", "a"}, {"ΛΟΓΟΣ", "b"}, {"привет", "b"}, {"ёлка", "b"}}).value().model;
  for (const auto& [one, other] : std::vector<std::pair<const char*, const char*>>{
           {"ÜBER", "über"}, {"ÉTÉ", "été"}, {"čaj", "ČAJ"}, {"λογος", "ΛΟΓΟΣ"}, {"ПРИВЕТ", "привет"}, {"ЁЛКА", "ёлка"}}) {
    EXPECT_EQ(model.classify(one).confidence, model.classify(other).confidence) << one;
    EXPECT_GT(model.classify(one).confidence, 0.5) << one;
  }
}

TEST(Classify, TheSameExamplesAndSeedGiveTheSameModel) {
  const auto again = train(kShop).value().model;
  EXPECT_EQ(again.to_bytes(), shop().to_bytes());
  EXPECT_EQ(again.digest(), shop().digest());
  EXPECT_NE(train(kShop, {.seed = 2}).value().model.digest(), shop().digest());
}

TEST(Classify, FromManyThreadsAtOnce) {
  const Model model = shop();
  const double alone = model.classify("please refund my parcel").confidence;
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) wrong += model.classify("please refund my parcel").confidence != alone;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Classify, TooLittleOrWrongIsToldByName) {
  struct Case {
    std::vector<Example> examples;
    TrainOptions options;
    ErrorCode code;
    const char *field, *message;
  };
  const std::vector<Example> two{{"a b", "x"}, {"c d", "x"}, {"e f", "y"}, {"g h", "y"}};
  std::vector<Example> many;
  for (int i = 0; i < 2'002; ++i) many.push_back({"text", fmt::format("label{}", i / 2)});
  const std::vector<Case> cases{
      {{}, {}, ErrorCode::caller_invalid_request, "examples", "no examples of any label, at least two labels are needed"},
      {{{"a", "oos"}, {"b", "oos"}}, {}, ErrorCode::caller_invalid_request, "examples", "no examples of any label, at least two labels are needed"},
      {{{"a", "x"}, {"b", "x"}, {"c", "oos"}},
       {},
       ErrorCode::caller_invalid_request,
       "examples",
       "examples of one label, at least two labels are needed: all are \"x\""},
      {{{"a", "x"}, {"b", "y"}}, {}, ErrorCode::caller_invalid_request, "examples", "label \"x\" has one example, at least two are needed, ten are better"},
      {{{"a", "x"}, {" ", "y"}}, {}, ErrorCode::caller_invalid_request, "examples[1].text", "is empty"},
      {{{"a", ""}}, {}, ErrorCode::caller_invalid_request, "examples[0].label", "must have 1 to 128 bytes of UTF-8"},
      {{{"a", "\xff"}}, {}, ErrorCode::caller_invalid_request, "examples[0].label", "must have 1 to 128 bytes of UTF-8"},
      {{{"a", std::string(129, 'l')}}, {}, ErrorCode::caller_invalid_request, "examples[0].label", "must have 1 to 128 bytes of UTF-8"},
      {{{"!", "x"}, {"?", "x"}, {".", "y"}, {",", "y"}}, {}, ErrorCode::caller_invalid_request, "examples", "their texts have no words to learn from"},
      {two, {.folds = 1}, ErrorCode::caller_invalid_request, "folds", "must be 2 to 10"},
      {two, {.false_refusals = 0}, ErrorCode::caller_invalid_request, "false_refusals", "must be 0.001 to 0.5"},
      {two, {.out_of_scope_label = ""}, ErrorCode::caller_invalid_request, "out_of_scope_label", "must have 1 to 128 bytes of UTF-8"},
      {many, {}, ErrorCode::caller_too_large, "examples", "1001 labels, at most 1000 can be told apart"},
  };
  for (const auto& c : cases) {
    const auto trained = train(c.examples, c.options);
    ASSERT_FALSE(trained) << c.message;
    EXPECT_EQ(trained.error().code, c.code) << c.message;
    EXPECT_EQ(trained.error().field, c.field);
    EXPECT_EQ(trained.error().message, c.message);
  }
  EXPECT_TRUE(train(two));
}

// Texts of words that belong to a label with a probability: what is the best that can be known of them is known.
TEST(Classify, ConfidenceIsAProbability) {
  SeededRandom random(3);
  const auto draw = [&](int count) {
    std::vector<Example> out;
    for (int i = 0; i < count; ++i) {
      const auto label = random.below(4);
      std::string text;
      for (int w = 0; w < 4; ++w) text += fmt::format("{}{} ", random.chance(0.5) ? "abcd"[label] : "abcd"[random.below(4)], random.below(30));
      out.push_back({text, fmt::format("label{}", label)});
    }
    return out;
  };
  const auto trained = train(draw(3'000)).value();
  const auto report = test(trained.model, draw(3'000));
  EXPECT_GT(report.accuracy, 0.6);
  EXPECT_LT(report.accuracy, 0.95);
  EXPECT_LT(report.calibration_error, 0.04);
  EXPECT_NEAR(report.accuracy, trained.report.accuracy, 0.04);
  EXPECT_NEAR(report.false_refusals, 0.05, 0.02);
}

TEST(Classify, ExamplesOfNoneAreLearntFrom) {
  auto examples = kShop;
  for (const char* text : {"tell me a joke about a parcel", "sing of my order", "a poem on money please", "who invented the password"})
    examples.push_back({text, "none"});
  const auto trained = train(examples, {.out_of_scope_label = "none"}).value();
  EXPECT_EQ(trained.model.labels().size(), 3u);
  EXPECT_EQ(trained.model.out_of_scope_label(), "none");
  EXPECT_EQ(trained.report.out_of_scope, 4u);
  ASSERT_TRUE(trained.report.recall);
  EXPECT_LT(trained.model.classify("a poem on my order please").typicality, shop().classify("a poem on my order please").typicality + 1e-9);
}

std::vector<Example> shared(const std::string& name) {
  std::ifstream file(std::string(BALLAST_SHARED_DATA) + "/intents/" + name, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return read_examples(text.str(), Format::tsv, name).value();
}

// A fifth of BANKING77's labels, so that it is quick; the whole of both sets is measured by `make eval-intents`.
TEST(Classify, AFloorOnRealQuestions) {
  auto learn = shared("banking77.train.tsv"), ask = shared("banking77.val.tsv");
  if (learn.empty() || ask.empty()) GTEST_SKIP() << "no examples under " << BALLAST_SHARED_DATA << "/intents";
  const auto others = [](const Example& e) { return e.label > "card_swallowed"; };
  std::vector<Example> strange;
  std::ranges::copy_if(ask, std::back_inserter(strange), others);
  std::erase_if(learn, others);
  std::erase_if(ask, others);
  ask.insert(ask.end(), strange.begin(), strange.end());                 // of labels that the model does not know
  const auto trained = train(learn).value();
  const auto report = test(trained.model, ask);
  EXPECT_GE(report.accuracy, 0.92);
  EXPECT_GE(trained.report.accuracy, 0.92);
  EXPECT_LE(report.calibration_error, 0.04);
  EXPECT_LE(report.false_refusals, 0.10);
  EXPECT_GE(*report.recall_at_5, 0.5);
}

}  // namespace
}  // namespace ballast::classify
