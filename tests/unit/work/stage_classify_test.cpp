// The `classify` stage: what its file may say, what it puts on its output, and that it passes taint on.
#include "work/stage_classify.hpp"

#include <gmock/gmock.h>

#include "base/sim_loop.hpp"
#include "flow_text.hpp"
#include "work/flow_check.hpp"
#include "work/taint.hpp"

namespace ballast::work {
namespace {
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kSort = R"(flow: sort
stages:
  wants: {classify: {classifier: mails, text: "{{ .input.mail }}", unsure_below: 0.6}}
)";

const classify::Model& mails() {
  static const auto model = classify::train(std::vector<classify::Example>{{"where is my parcel", "delivery"}, {"track my order", "delivery"}, {"when will it arrive", "delivery"},
                                                                           {"give me a refund", "refund"}, {"my money back", "refund"}, {"refund the order", "refund"}}).value().model;
  return model;
}

std::string refusal(std::string_view stage) {
  const auto flow = read_flow(fmt::format("flow: sort\nstages:\n  wants: {{classify: {}}}\n", stage), "f.yaml", fixed_environment({}), flow_file);
  return flow ? "" : flow.error().message;
}

TEST(ClassifyStage, TellsTheLabelHowSureItIsAndByWhichModel) {
  const auto flow = good_flow(kSort);
  const auto& stage = *flow->find("wants")->as<ClassifyStage>();
  EXPECT_EQ(to_string(flow->find("wants")->kind()), "classify");
  auto told = classified(stage, mails(), "a refund of my money");
  EXPECT_EQ(told.at("label"), "refund");
  EXPECT_EQ(told.at("digest"), json::value(mails().digest()));
  EXPECT_EQ(told.at("next").at(0).at("label"), "delivery");
  EXPECT_EQ(told.at("verdict"), told.at("confidence").as_double() >= 0.6 ? "sure" : "unsure");
  auto strict = stage, lax = stage;
  strict.unsure_below = 1;
  lax.unsure_below = 0;
  EXPECT_EQ(classified(strict, mails(), "a refund of my money").at("verdict"), "unsure");
  EXPECT_EQ(classified(lax, mails(), "a refund of my money").at("verdict"), "sure");
  const auto strange = classified(lax, mails(), "qzx wvk jjj");
  EXPECT_EQ(strange.at("verdict"), "out_of_scope");
  EXPECT_TRUE(strange.at("out_of_scope").as_bool());
}

TEST(ClassifyStage, ItsOutputIsWhatItsSchemaSays) {
  const auto flow = good_flow(kSort);
  const auto* schema = output_schema(*flow->find("wants"));
  ASSERT_TRUE(schema);
  const auto compiled = schema::Schema::compile(*schema);
  ASSERT_TRUE(compiled);
  for (const auto* text : {"a refund of my money", "qzx wvk jjj", ""})
    EXPECT_TRUE(compiled->valid(classified(*flow->find("wants")->as<ClassifyStage>(), mails(), text))) << text;
}

TEST(ClassifyStage, RefusesWhatCannotBeMeant) {
  EXPECT_THAT(refusal("{classifier: mails, text: x}"), IsEmpty());
  EXPECT_THAT(refusal("{text: x}"), HasSubstr("classifier"));
  EXPECT_THAT(refusal("{classifier: mails}"), HasSubstr("text"));
  EXPECT_THAT(refusal("{classifier: mails, text: x, unsure_below: 2}"), HasSubstr("must be from 0 to 1"));
  EXPECT_THAT(refusal("{classifier: mails, text: x, ask: y}"), HasSubstr("ask"));
}

TEST(ClassifyStage, IsProvedAgainstTheClassifiersThereAre) {
  const FlowPtr flows[] = {good_flow(kSort)};
  FlowWorld world;
  world.classifier_exists = [](std::string_view name) { return name == "letters"; };
  const auto errors = check_flows(flows, world).errors;
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].line, 3);
  EXPECT_THAT(errors[0].message, HasSubstr("asks the classifier mails, and there is none"));
  EXPECT_THAT(check_flows(flows).errors, IsEmpty());
}

// Whoever writes the text chooses the label, however few labels there are.
TEST(ClassifyStage, PassesOnTheTaintOfItsText) {
  const auto flow = good_flow(kSort);
  const TaintsAround said{.stage = [](std::string_view) { return Taint(); }, .item = {}, .input = TaintOrigin{"", TaintKind::input}};
  const auto taint = taint_given(*flow->find("wants"), "wants", said);
  ASSERT_EQ(taint.origins().size(), 1u);
  EXPECT_EQ(taint.origins()[0].kind, TaintKind::input);
  const TaintsAround clean{.stage = [](std::string_view) { return Taint(); }, .item = {}, .input = {}};
  EXPECT_TRUE(taint_given(*flow->find("wants"), "wants", clean).clean());
}

TEST(ClassifyStage, WithoutItsClassifierItFailsAndSaysSo) {
  const auto flow = good_flow(kSort);
  RunStage stage;
  stage.stage = flow->find("wants");
  stage.context = std::make_shared<const json::value>(json::object{{"input", json::object{{"mail", "my money back"}}}});
  const Job job;
  const StageCall call{.stage = stage, .run = job, .fence = {}, .approved = {}};
  SimClock clock;
  SimLoop loop{clock};
  const auto ask = [&](FindClassifier find) {
    const auto performer = classify_performer(std::move(find));
    return loop.run(performer.perform(call));
  };
  const auto gone = ask([](std::string_view) { return nullptr; });
  ASSERT_TRUE(gone.error);
  EXPECT_EQ(gone.error->code, ErrorCode::caller_not_found);
  EXPECT_THAT(gone.error->message, HasSubstr("\"mails\""));
  const auto there = ask([](std::string_view) { return std::make_shared<const classify::Model>(mails()); });
  ASSERT_TRUE(there.value);
  EXPECT_EQ(there.value->at("label"), "refund");
}

}  // namespace
}  // namespace ballast::work
