#include "gateway/structured_stream.hpp"

namespace ballast::gateway {

namespace {

bool declines(llm::FinishReason reason) {
  using enum llm::FinishReason;
  return reason == tool_calls || reason == content_filter || reason == refusal || reason == pause;
}

std::optional<std::uint32_t> choice_of(const llm::StreamEvent& event) {
  return std::visit([]<class T>(const T& e) -> std::optional<std::uint32_t> {
    if constexpr (requires { e.choice; }) return e.choice;
    else return std::nullopt;
  }, event);
}

}  // namespace

void AnswerWatch::push(llm::StreamEvent event, std::vector<llm::StreamEvent>& out) {
  if (options_.pass) raw_.push(event);
  if (refused_) return;
  const auto index = choice_of(event);
  if (!index) return out.push_back(std::move(event));
  Choice& choice = choices_[*index];
  if (choice.ended) return;
  if (auto* delta = std::get_if<llm::TextDelta>(&event)) return text(choice, std::move(*delta), out);
  if (auto* end = std::get_if<llm::Finish>(&event)) return finish(choice, std::move(*end), out);
  if (std::holds_alternative<llm::PartStop>(event)) {      // a text that is told in part is one, whatever its parts were
    if (choice.exempt || choice.answer.text().empty()) out.push_back(std::move(event));
    return;
  }
  if (std::holds_alternative<llm::ToolStart>(event) || std::holds_alternative<llm::RefusalDelta>(event)) exempt(choice, *index, out);
  const bool content = std::holds_alternative<llm::ToolStart>(event) || std::holds_alternative<llm::ToolArgsDelta>(event) ||
                       std::holds_alternative<llm::RefusalDelta>(event) || std::holds_alternative<llm::ReasoningDelta>(event);
  if (content) tell(std::move(event), out);
  else out.push_back(std::move(event));
}

void AnswerWatch::text(Choice& choice, llm::TextDelta delta, std::vector<llm::StreamEvent>& out) {
  if (choice.exempt) return tell(std::move(delta), out);
  choice.signature += delta.signature;
  if (options_.hold) choice.answer.hold();
  tell_text(choice, delta.choice, choice.answer.take(delta.text), out);
}

void AnswerWatch::tell_text(Choice& choice, std::uint32_t index, std::string text, std::vector<llm::StreamEvent>& out) {
  if (!text.empty()) tell(llm::TextDelta{index, std::move(text), std::exchange(choice.signature, {})}, out);
}

// What was held back of its text stands before the call or the refusal, as the model said it.
void AnswerWatch::exempt(Choice& choice, std::uint32_t index, std::vector<llm::StreamEvent>& out) {
  if (choice.exempt) return;
  choice.exempt = true;
  tell_text(choice, index, choice.answer.rest_as_it_came(), out);
}

void AnswerWatch::conclude(Choice& choice, const llm::Finish& end, std::vector<llm::StreamEvent>& out) {
  Verdict verdict = judge(demand_, choice.answer.text(), end.reason);
  auto rest = verdict.good() ? choice.answer.rest(verdict) : std::nullopt;
  if (verdict.good() && !rest)
    verdict = {.standing = Standing::wrong, .text = {}, .how = {}, .violations = {{{}, "json", "the answer was told before it could be put right"}}};
  const bool may_be_asked_again = options_.hold || !told_;
  if (!rest && options_.pass && !may_be_asked_again) rest = choice.answer.rest_as_it_came();
  if (rest) {
    tell_text(choice, end.choice, std::move(*rest), out);
  } else {
    refused_ = true;
    words_ = choice.answer.text();
  }
  if (!verdict_ || verdict.standing > verdict_->standing) verdict_ = std::move(verdict);
}

void AnswerWatch::finish(Choice& choice, llm::Finish end, std::vector<llm::StreamEvent>& out) {
  if (!choice.exempt && declines(end.reason)) exempt(choice, end.choice, out);
  if (!choice.exempt) conclude(choice, end, out);
  choice.ended = true;
  if (refused_) return;
  if (!choice.signature.empty()) out.push_back(llm::TextDelta{end.choice, {}, std::exchange(choice.signature, {})});
  out.push_back(std::move(end));
}

}  // namespace ballast::gateway
