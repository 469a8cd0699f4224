#include "work/stage_classify.hpp"

#include <fmt/format.h>

namespace ballast::work {

namespace {

Result<json::object> answer(const FindClassifier& find, const StageCall& call) {
  const auto& stage = *call.stage.stage->as<ClassifyStage>();
  const auto model = find(stage.classifier);
  if (!model) return fail(ErrorCode::caller_not_found, fmt::format("there is no classifier \"{}\"", stage.classifier), "classifier");
  const auto text = stage.text.text->render(*call.stage.context);
  if (!text) return fail(text.error());
  return classified(stage, *model, *text);
}

}  // namespace

json::object classified(const ClassifyStage& stage, const classify::Model& model, std::string_view text) {
  const auto verdict = model.classify(text);
  json::array next;
  for (unsigned i = 0; i < verdict.runners; ++i)
    next.push_back(json::object{{"label", verdict.runners_up[i].label}, {"confidence", verdict.runners_up[i].confidence}});
  const std::string_view told = verdict.out_of_scope ? "out_of_scope" : classify::is_sure(verdict, stage.unsure_below) ? "sure" : "unsure";
  return {{"label", verdict.label}, {"confidence", verdict.confidence}, {"out_of_scope", verdict.out_of_scope}, {"verdict", told},
          {"next", std::move(next)}, {"digest", model.digest()}};
}

Performer classify_performer(FindClassifier find) {
  return {.prepare = {}, .perform = [find = std::move(find)](StageCall call) -> Task<Performed> {
    auto said = answer(find, call);
    Performed done;
    if (said) done.value = std::make_shared<const json::value>(std::move(*said));
    else done.error = std::move(said.error());
    co_return done;
  }};
}

}  // namespace ballast::work
