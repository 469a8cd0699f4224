#include "gateway/structured_stream.hpp"

#include <algorithm>

namespace ballast::gateway {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool declines(llm::FinishReason reason) {
  using enum llm::FinishReason;
  return reason == tool_calls || reason == content_filter || reason == refusal || reason == pause;
}

}  // namespace

void AnswerWatch::push(llm::StreamEvent event, std::vector<llm::StreamEvent>& out) {
  if (options_.pass) raw_.push(event);
  if (refused_) return;
  if (auto* delta = std::get_if<llm::TextDelta>(&event)) return text(choices_[delta->choice], std::move(*delta), out);
  if (auto* end = std::get_if<llm::Finish>(&event)) return finish(choices_[end->choice], std::move(*end), out);
  if (const auto* stop = std::get_if<llm::PartStop>(&event)) {
    if (choices_[stop->choice].text.empty()) out.push_back(std::move(event));
    return;
  }
  if (const auto* call = std::get_if<llm::ToolStart>(&event)) choices_[call->choice].exempt = true;
  if (const auto* no = std::get_if<llm::RefusalDelta>(&event)) choices_[no->choice].exempt = true;
  const bool content = std::holds_alternative<llm::ToolStart>(event) || std::holds_alternative<llm::ToolArgsDelta>(event) ||
                       std::holds_alternative<llm::RefusalDelta>(event) || std::holds_alternative<llm::ReasoningDelta>(event);
  if (content) tell(std::move(event), out);
  else out.push_back(std::move(event));
}

void AnswerWatch::text(Choice& choice, llm::TextDelta delta, std::vector<llm::StreamEvent>& out) {
  choice.text += delta.text;
  if (options_.hold) choice.collecting = true;
  std::string now;
  for (const char c : delta.text) {
    if (choice.collecting) break;
    if (!choice.scan.push(c)) {
      const bool dropped = choice.scan.after_comma() && (c == '}' || c == ']');
      if (dropped) {
        choice.scan.forget_comma();
        choice.waiting.erase(0, 1);
      }
      if (!dropped || !choice.scan.push(c)) {
        choice.collecting = true;
        break;
      }
    }
    if (!choice.scan.begun()) continue;          // blanks before it are not told
    choice.waiting += c;
    if (choice.told.empty() && now.empty() && choice.scan.depth() == 0) continue;   // prose may begin as a number, a text or a word does
    if (choice.scan.after_comma() || (choice.scan.complete() && is_blank(c))) continue;   // what is behind a comma or the whole is not known yet
    now += choice.waiting;
    choice.waiting.clear();
  }
  if (now.empty()) return;
  choice.told += now;
  delta.text = std::move(now);
  tell(std::move(delta), out);
}

bool AnswerWatch::tell_rest(Choice& choice, std::uint32_t index, std::string_view whole, std::vector<llm::StreamEvent>& out) {
  whole.remove_prefix(std::min(whole.find_first_not_of(" \t\r\n"), whole.size()));
  if (!whole.starts_with(choice.told)) return false;
  whole.remove_prefix(choice.told.size());
  if (!whole.empty()) tell(llm::TextDelta{index, std::string(whole), {}}, out);
  return true;
}

void AnswerWatch::finish(Choice& choice, llm::Finish end, std::vector<llm::StreamEvent>& out) {
  if (choice.exempt || declines(end.reason)) {
    if (!tell_rest(choice, end.choice, choice.text, out)) refused_ = true;   // only where a comma was dropped before
  } else {
    Verdict verdict = judge(demand_, choice.text, end.reason);
    // What was let through already is kept as it is: a repair of the rest goes on from there.
    const bool told_all = !choice.collecting && choice.scan.complete() && !choice.told.empty() && (verdict.standing == Standing::valid || verdict.how == "comma");
    const std::string_view whole = told_all ? std::string_view(choice.told) : verdict.standing == Standing::repaired ? std::string_view(verdict.text) : std::string_view(choice.text);
    const bool tells = verdict.good() || options_.pass;
    const bool could_wait = options_.pass && !verdict.good() && (options_.hold || !told_);     // asked again first
    if (!tells || could_wait || !tell_rest(choice, end.choice, whole, out)) {
      refused_ = true;
      words_ = choice.text;
      if (verdict.good()) verdict.standing = Standing::wrong, verdict.violations = {{{}, "json", "the answer was told before it could be put right"}};
    }
    if (!verdict_ || verdict.standing > verdict_->standing) verdict_ = std::move(verdict);
  }
  if (!refused_) out.push_back(std::move(end));
}

}  // namespace ballast::gateway
