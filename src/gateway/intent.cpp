// Part of step 4 of the road, for routes with a classifier: what the last message of the user wants. The classifier is asked where it
// stands, in microseconds; what it is unsure of, and what is out of its scope, goes to the targets that are for anything.
#include <cmath>

#include "base/json.hpp"
#include "classify/classify.hpp"
#include "gateway/road.hpp"
#include "llm/wire.hpp"

namespace ballast::gateway {

namespace {

// The texts of the last message that a user sent, as much of them as a classifier reads. Empty where there is none, or the body
// is one that only its provider understands.
std::string last_words(const Call& call) {
  const auto document = parse_json(call.body);
  const auto request = document ? llm::parse_request(call.wire, *document) : Result<llm::ChatRequest>(fail(document.error()));
  if (!request) return {};
  std::string out;
  for (auto message = request->messages.rbegin(); message != request->messages.rend() && out.empty(); ++message) {
    if (message->role != llm::Role::user) continue;
    for (const auto& part : message->parts)
      if (const auto* text = std::get_if<llm::Text>(&part.body); text && out.size() < classify::kMaxTextBytes) (out += text->text) += '\n';
  }
  return out;
}

}  // namespace

void classify_call(const Scene& scene, const Asked& asked, Needs& needs, Trail& trail) {
  const Route& route = *asked.route;
  if (!asked.chat || (route.strategy == Strategy::complexity && needs.complexity)) return;
  const auto verdict = route.intents->classify(last_words(scene.call));
  const bool sure = !verdict.out_of_scope && verdict.confidence >= route.unsure_below;
  if (sure) needs.intent = verdict.label;
  if (sure && route.strategy == Strategy::complexity) needs.complexity = complexity_from(verdict.label);
  const std::string_view what = sure ? "sure" : verdict.out_of_scope ? "out of scope" : "unsure";
  scene.metrics.intents.with({route.name, sure ? verdict.label : verdict.out_of_scope ? "(out of scope)" : "(unsure)"}).add();
  trail.decision.step(scene.now(), "intent", {{"classifier", route.classifier}, {"label", verdict.label},
                                              {"percent", std::lround(verdict.confidence * 100)}, {"verdict", what}});
}

}  // namespace ballast::gateway
