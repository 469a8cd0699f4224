// `classifiers` of the configuration: read with the file, given to the routes that choose by them, refused where they do not fit.
#include "app/classifiers.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

#include "../../support/temp_dir.hpp"
#include "app/wiring.hpp"

namespace ballast::app {
namespace {

using testing::HasSubstr;

struct Folder {
  test::TempDir dir;
  SystemClock clock;
  llm::Simulator sim{llm::default_sim_config(), clock};
  llm::SimTransport network{sim};

  Folder() {
    write("mails.model", classify::train(std::vector<classify::Example>{{"where is my parcel", "delivery"}, {"track my order", "delivery"},
                                                                        {"give me a refund", "refund"}, {"my money back", "refund"}}).value().model.to_bytes());
  }
  void write(const std::string& name, std::string_view bytes) { std::ofstream(dir / name, std::ios::binary) << bytes; }
  Result<Config> parsed(const std::string& text) { return parse_config_text(text, dir / "ballast.yaml", fixed_environment({})); }
  std::string refusal(const std::string& text) {
    const auto config = parsed(text);
    if (!config) return config.error().message;
    const auto wired = wire(*config, network, clock, nullptr);
    return wired ? "(none)" : wired.error().field + ": " + wired.error().message;
  }
};

constexpr std::string_view kRoute = "classifiers: {mails: mails.model}\nroutes: {chat: {strategy: intent, classifier: mails, unsure_below: 0.7, targets: "
                                    "[{model: sim/sim-small, intents: [refund]}, sim/sim-large]}}\n";

TEST(Classifiers, AreGivenToTheirRoutes) {
  Folder folder;
  const auto config = folder.parsed(std::string(kRoute));
  ASSERT_TRUE(config) << config.error().message;
  const auto wired = wire(*config, folder.network, folder.clock, nullptr);
  ASSERT_TRUE(wired) << wired.error().message;
  const auto route = *(*wired)->setup.routes->resolve("chat");
  EXPECT_EQ(route->strategy, gateway::Strategy::intent);
  EXPECT_EQ(route->unsure_below, 0.7);
  ASSERT_TRUE(route->intents);
  EXPECT_EQ(route->intents->classify("a refund of my money").label, "refund");
  EXPECT_EQ(route->targets[0].intents, std::vector<std::string>{"refund"});
  EXPECT_TRUE(route->targets[1].intents.empty());
}

TEST(Classifiers, WhatDoesNotFitIsRefusedByName) {
  Folder folder;
  folder.write("junk.model", "junk");
  const auto with = [](std::string_view from, std::string_view to) {
    std::string text(kRoute);
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_THAT(folder.refusal(with("classifier: mails", "classifier: mail")), HasSubstr("there is no classifier \"mail\", did you mean \"mails\"?"));
  EXPECT_THAT(folder.refusal(with("classifier: mails,", "")), HasSubstr("strategy intent needs a classifier"));
  EXPECT_THAT(folder.refusal(with("strategy: intent", "strategy: cheapest")), HasSubstr("is for strategies intent and complexity"));
  EXPECT_THAT(folder.refusal(with("0.7", "7")), HasSubstr("must be 0 to 1"));
  EXPECT_THAT(folder.refusal(with("[refund]", "[refunds]")),
              HasSubstr("routes.chat.targets: sim/sim-small is for \"refunds\", a label that \"mails\" does not know, did you mean \"refund\"?"));
  EXPECT_THAT(folder.refusal(with("strategy: intent", "strategy: complexity")),
              HasSubstr("tells label \"delivery\", strategy complexity wants simple, medium and hard"));
  EXPECT_THAT(folder.refusal(with("mails.model", "junk.model")),
              HasSubstr("classifiers.mails: " + (folder.dir / "junk.model") + ": is no usable model of intents"));
  EXPECT_THAT(folder.refusal(with("mails.model", "nothing.model")), HasSubstr("cannot be read"));
}

constexpr std::string_view kInline = "classifiers: {mails: {examples: {delivery: [where is my parcel, track my order], refund: [give me a refund, my money back]}, seed: 3}}\n";

TEST(Classifiers, AreTrainedOnExamplesOnceForTheSameContent) {
  Folder folder;
  const auto made = [&](std::string_view text, const Classifiers* before) {
    const auto config = folder.parsed(std::string(text));
    EXPECT_TRUE(config) << config.error().message;
    auto all = make_classifiers(*config, before);
    EXPECT_TRUE(all) << all.error().message;
    return std::move(*all);
  };
  const auto first = made(kInline, nullptr);
  const auto& mails = first.at("mails");
  EXPECT_EQ(mails.examples, 4u);
  EXPECT_EQ(mails.model->classify("a refund of my money").label, "refund");
  EXPECT_EQ(made(kInline, &first).at("mails").model, mails.model) << "nothing was trained";
  EXPECT_EQ(made(kInline, nullptr).at("mails").model->digest(), mails.model->digest()) << "the same, byte for byte";
  std::string other(kInline);
  other.replace(other.find("my order"), 8, "my parcel");
  EXPECT_NE(made(other, &first).at("mails").model->digest(), mails.model->digest());
  folder.write("mails.tsv", "delivery\twhere is my parcel\ndelivery\ttrack my order\nrefund\tgive me a refund\nrefund\tmy money back\n");
  EXPECT_EQ(made("classifiers: {shop: {examples: mails.tsv, seed: 3}}\n", &first).at("shop").model, mails.model) << "by content, whatever its name";
  const auto file = made("classifiers: {mails: mails.model}\n", nullptr);
  EXPECT_EQ(file.at("mails").examples, 0u);
  EXPECT_EQ(made("classifiers: {mails: mails.model}\n", &file).at("mails").model, file.at("mails").model);
}

TEST(Classifiers, WhatCannotBeTrainedIsRefusedByName) {
  Folder folder;
  std::string many;
  for (std::size_t i = 0; i <= kMostExamples; ++i) many += fmt::format("label{}\ttext {}\n", i % 2, i);
  folder.write("many.tsv", many);
  std::string wide;
  for (int i = 0; i < 8'400; ++i) wide += fmt::format("label{}\ttext {}\n", i % 500, i);
  folder.write("wide.tsv", wide);
  const auto with = [&](std::string_view what) { return folder.refusal(fmt::format("classifiers: {{mails: {}}}\n", what)); };
  EXPECT_THAT(with("{examples: many.tsv}"), HasSubstr("classifiers.mails: examples: 20001 examples of 2 labels: at most 20000"));
  EXPECT_THAT(with("{examples: wide.tsv}"), HasSubstr("ballast intents train"));
  EXPECT_THAT(with("{examples: [nothing.tsv]}"), HasSubstr("nothing.tsv: cannot be read"));
  EXPECT_THAT(with("{examples: mails.model}"), HasSubstr("must end in .tsv, .csv or .jsonl"));
  EXPECT_THAT(with("{examples: {a: [x, y]}}"), HasSubstr("at least two labels are needed"));
  EXPECT_THAT(with("{examples: []}"), HasSubstr("needs a file, a list of files, or texts by their label"));
  EXPECT_THAT(with("{examples: many.tsv, false_refusals: 0.9}"), HasSubstr("must be from 0.001 to 0.5"));
  EXPECT_THAT(with("{seed: 1}"), HasSubstr("examples is required"));
}

TEST(Classifiers, TheModelThatIsAskedIsCheckedWithItsRoute) {
  Folder folder;
  const auto with = [&](std::string_view ask, std::string_view replaced = "unsure_below: 0.7", std::string_view by = "unsure_below: 0.7") {
    std::string text(kRoute);
    text.replace(text.find("targets:"), 0, fmt::format("ask: {}, ", ask));
    text.replace(text.find(replaced), replaced.size(), by);
    return folder.refusal(text);
  };
  EXPECT_EQ(with("{model: sim/sim-small, timeout: 1s, out_of_scope: true, max_tokens: 64, effort: low, labels: {refund: money back}}"), "(none)");
  EXPECT_THAT(with("{timeout: 1s}"), HasSubstr("model is required"));
  EXPECT_THAT(with("{model: sim-small}"), HasSubstr("write provider/model"));
  EXPECT_THAT(with("{model: other/m}"), HasSubstr("there is no provider \"other\""));
  EXPECT_THAT(with("{model: sim/sim-smal}"), HasSubstr("did you mean \"sim-small\"?"));
  EXPECT_THAT(with("{model: sim/sim-small, timeout: 2m}"), HasSubstr("must be above zero and at most 1m"));
  EXPECT_THAT(with("{model: sim/sim-small, labels: {refunds: x}}"), HasSubstr("routes.chat.ask.labels: describes \"refunds\", a label that \"mails\" does not know, did you mean \"refund\"?"));
  EXPECT_THAT(with("{model: sim/sim-small}", "strategy: intent, classifier: mails", "strategy: complexity"), HasSubstr("needs a classifier"));
  const std::string none = "classifiers: {m: {examples: {none: [x y, y z], b: [c d, d e]}}}\nroutes: {chat: {strategy: intent, classifier: m, ask: {model: sim/sim-small}, targets: [sim/sim-large]}}\n";
  EXPECT_THAT(folder.refusal(none), HasSubstr("routes.chat.ask: a model is offered \"none\" where no label fits"));
}

}  // namespace
}  // namespace ballast::app
