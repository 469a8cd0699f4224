// A flow's `classify` stage: which of a user's own labels a text belongs to, by a classifier of the configuration. What it said is recorded like
// any stage's result, with the classifier's digest: a replay needs no classifier, and a newer one changes nothing that was said.
#pragma once
#include <functional>
#include <memory>
#include <string_view>

#include "classify/classify.hpp"
#include "work/runner.hpp"

namespace ballast::work {

// The classifier of this name; null: there is none. Called on the runner's loop.
using FindClassifier = std::function<std::shared_ptr<const classify::Model>(std::string_view name)>;

// The stage's output of `text`. Pure.
json::object classified(const ClassifyStage& stage, const classify::Model& model, std::string_view text);

// Errors of the stage: caller_not_found where a reload has taken the classifier away; what rendering its text says.
Performer classify_performer(FindClassifier find);

}  // namespace ballast::work
