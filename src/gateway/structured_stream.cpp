#include "gateway/structured_stream.hpp"

namespace ballast::gateway {

namespace {

bool declines(llm::FinishReason reason) {
  using enum llm::FinishReason;
  return reason == content_filter || reason == refusal || reason == pause;
}

std::optional<std::uint32_t> choice_of(const llm::StreamEvent& event) {
  return std::visit([]<class T>(const T& e) -> std::optional<std::uint32_t> {
    if constexpr (requires { e.choice; }) return e.choice;
    else return std::nullopt;
  }, event);
}

Verdict told_too_early() { return {.standing = Standing::wrong, .text = {}, .how = {}, .violations = {{{}, "json", "the answer was told before it could be put right"}}}; }

}  // namespace

void AnswerWatch::push(llm::StreamEvent event, Events& out) {
  if (options_.pass) raw_.push(event);
  if (refused_) return;
  const auto index = choice_of(event);
  if (!index) return out.push_back(std::move(event));
  Choice& choice = choices_[*index];
  if (choice.ended) return;
  if (auto* end = std::get_if<llm::Finish>(&event)) return finish(choice, std::move(*end), out);
  if (std::holds_alternative<llm::RefusalDelta>(event)) exempt(choice, *index, out);
  if (by_.calls != nullptr && !choice.exempt && call(choice, event, out)) return;
  if (auto* delta = std::get_if<llm::TextDelta>(&event)) return text(choice, std::move(*delta), out);
  if (std::holds_alternative<llm::PartStop>(event)) {      // a text that is told in part is one, whatever its parts were
    if (choice.exempt || choice.answer.text().empty()) out.push_back(std::move(event));
    return;
  }
  if (std::holds_alternative<llm::ToolStart>(event)) exempt(choice, *index, out);
  const bool content = std::holds_alternative<llm::ToolStart>(event) || std::holds_alternative<llm::ToolArgsDelta>(event) ||
                       std::holds_alternative<llm::RefusalDelta>(event) || std::holds_alternative<llm::ReasoningDelta>(event);
  if (content) tell(std::move(event), out);
  else out.push_back(std::move(event));
}

void AnswerWatch::text(Choice& choice, llm::TextDelta delta, Events& out) {
  if (choice.exempt) return tell(std::move(delta), out);
  choice.signature += delta.signature;
  if (options_.hold) choice.answer.hold();
  tell_text(choice, delta.choice, choice.answer.take(delta.text), out);
}

void AnswerWatch::tell_text(Choice& choice, std::uint32_t index, std::string text, Events& out) {
  if (!text.empty()) tell(llm::TextDelta{index, std::move(text), std::exchange(choice.signature, {})}, out);
}

// What was held back stands before the call or the refusal, as the model said it.
void AnswerWatch::exempt(Choice& choice, std::uint32_t index, Events& out) {
  if (choice.exempt) return;
  choice.exempt = true;
  tell_text(choice, index, choice.answer.rest_as_it_came(), out);
  for (auto& e : std::exchange(choice.before_calls, {})) tell(std::move(e), out);
  for (auto& [n, c] : choice.calls) tell_call(choice, n, c.arguments.rest_as_it_came(), out);
}

// ---- Calls that are forced ----------------------------------------------------------------------------------------

// Text stands before the calls as the model said it, but waits for the first: as long as nothing is told, it can be asked again.
bool AnswerWatch::call(Choice& choice, llm::StreamEvent& event, Events& out) {
  if (auto* start = std::get_if<llm::ToolStart>(&event)) {
    const auto* tool = by_.calls->find(start->name);
    const std::uint32_t index = start->index;
    ForcedCall& c = choice.calls[index];
    c.judged = tool == nullptr || tool->arguments;
    c.start = std::move(*start);
    if (options_.hold) c.arguments.hold();
    if (!c.judged && !options_.hold) tell_call(choice, index, {}, out);
    return true;
  }
  if (auto* args = std::get_if<llm::ToolArgsDelta>(&event)) {
    const auto at = choice.calls.find(args->index);
    if (at == choice.calls.end()) return true;
    std::string now = at->second.judged || options_.hold ? at->second.arguments.take(args->text) : std::move(args->text);
    if (!now.empty()) tell_call(choice, args->index, std::move(now), out);
    return true;
  }
  const bool text = std::holds_alternative<llm::TextDelta>(event) || std::holds_alternative<llm::PartStop>(event) || std::holds_alternative<llm::CitationDelta>(event);
  if (!text) return false;
  const bool waits = !choice.calling && (!choice.before_calls.empty() || std::holds_alternative<llm::TextDelta>(event));
  (waits ? choice.before_calls : out).push_back(std::move(event));
  return true;
}

// Calls begin in their order.
void AnswerWatch::tell_call(Choice& choice, std::uint32_t index, std::string arguments, Events& out) {
  choice.calling = true;
  for (auto& e : std::exchange(choice.before_calls, {})) tell(std::move(e), out);
  for (auto& [n, c] : choice.calls) {
    if (n > index) break;
    if (!std::exchange(c.told, true)) tell(c.start, out);
  }
  const auto of = choice.calls.at(index).start.choice;
  if (!arguments.empty()) tell(llm::ToolArgsDelta{of, index, std::move(arguments)}, out);
}

void AnswerWatch::conclude_calls(Choice& choice, const llm::Finish& end, Events& out) {
  bool good = !choice.calls.empty();
  if (!good) note(judge_silence(end.reason));
  std::map<std::uint32_t, std::string> rests;
  for (auto& [n, c] : choice.calls) {
    Verdict verdict = judge_call(*by_.calls, c.start.name, c.arguments.text(), end.reason);
    auto rest = !c.judged ? std::optional(c.arguments.rest_as_it_came()) : verdict.good() ? c.arguments.rest(verdict) : std::nullopt;
    if (verdict.good() && !rest) {
      verdict = told_too_early();
      verdict.tool = c.start.name;
    }
    good = good && rest;
    rests[n] = rest ? std::move(*rest) : c.arguments.rest_as_it_came();
    note(std::move(verdict));
  }
  if (!good && (!options_.pass || may_be_asked_again())) return refuse(choice);
  for (auto& e : std::exchange(choice.before_calls, {})) tell(std::move(e), out);
  for (auto& [n, rest] : rests) tell_call(choice, n, std::move(rest), out);
}

// ---- The end ------------------------------------------------------------------------------------------------------

void AnswerWatch::note(Verdict verdict) {
  if (!verdict_ || verdict.standing > verdict_->standing) verdict_ = std::move(verdict);
}

void AnswerWatch::refuse(Choice& choice) {
  refused_ = true;
  said_.words = choice.answer.text();
  for (const auto& e : choice.before_calls)
    if (const auto* t = std::get_if<llm::TextDelta>(&e)) said_.words += t->text;
  for (const auto& [n, c] : choice.calls)
    said_.calls.push_back({.id = c.start.id, .name = c.start.name, .arguments = c.arguments.text(), .signature = c.start.signature});
}

void AnswerWatch::conclude(Choice& choice, const llm::Finish& end, Events& out) {
  Verdict verdict = judge(*by_.answer, choice.answer.text(), end.reason);
  auto rest = verdict.good() ? choice.answer.rest(verdict) : std::nullopt;
  if (verdict.good() && !rest) verdict = told_too_early();
  if (!rest && options_.pass && !may_be_asked_again()) rest = choice.answer.rest_as_it_came();
  if (rest) tell_text(choice, end.choice, std::move(*rest), out);
  else refuse(choice);
  note(std::move(verdict));
}

void AnswerWatch::finish(Choice& choice, llm::Finish end, Events& out) {
  const bool unasked = by_.calls == nullptr && end.reason == llm::FinishReason::tool_calls;
  if (!choice.exempt && (declines(end.reason) || unasked)) exempt(choice, end.choice, out);
  if (!choice.exempt && by_.calls != nullptr) conclude_calls(choice, end, out);
  else if (!choice.exempt) conclude(choice, end, out);
  choice.ended = true;
  if (refused_) return;
  if (!choice.signature.empty()) out.push_back(llm::TextDelta{end.choice, {}, std::exchange(choice.signature, {})});
  out.push_back(std::move(end));
}

}  // namespace ballast::gateway
