// Whether an answer is what was demanded of it: the road's step behind each attempt.
#include <algorithm>

#include <fmt/format.h>

#include "base/json.hpp"
#include "gateway/hedge.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

constexpr std::size_t kMostWords = 64u << 10;    // of a refused answer that the model is shown again

bool declines(const llm::Choice& choice) {
  using enum llm::FinishReason;
  if (choice.finish == content_filter || choice.finish == refusal || choice.finish == pause) return true;
  return std::ranges::any_of(choice.parts, [](const llm::Part& p) { return std::holds_alternative<llm::Refusal>(p.body); });
}

// Whoever calls tools unasked has not been asked for JSON in this turn.
bool calls_tools(const llm::Choice& choice) {
  if (choice.finish == llm::FinishReason::tool_calls) return true;
  return std::ranges::any_of(choice.parts, [](const llm::Part& p) { return std::holds_alternative<llm::ToolCall>(p.body); });
}

std::string text_of(const llm::Choice& choice) {
  std::string out;
  for (const auto& part : choice.parts)
    if (const auto* text = std::get_if<llm::Text>(&part.body)) out += text->text;
  return out;
}

void put_text(llm::Choice& choice, std::string text) {
  bool put = false;
  std::erase_if(choice.parts, [&](llm::Part& part) {
    auto* old = std::get_if<llm::Text>(&part.body);
    if (old == nullptr) return false;
    if (put) return true;
    old->text = std::move(text);
    part.citations.clear();
    put = true;
    return false;
  });
}

Verdict unreadable(const std::string& why) {
  return {.standing = Standing::wrong, .text = {}, .how = {}, .violations = {{{}, "json", "the provider's reply cannot be read: " + why}}};
}

// The gravest of several verdicts, and what was said where it fell.
struct Gravest {
  std::optional<Verdict> verdict;
  Said said;
  bool changed = false;                  // something was put right
};

void note(Gravest& gravest, Verdict verdict, Said said) {
  gravest.changed |= verdict.standing == Standing::repaired;
  if (gravest.verdict && verdict.standing <= gravest.verdict->standing) return;
  gravest.verdict = std::move(verdict);
  gravest.said = std::move(said);
}

void judge_text(const Demand& demand, llm::Choice& choice, Gravest& gravest) {
  std::string text = text_of(choice);
  Verdict verdict = judge(demand, text, choice.finish);
  if (verdict.standing == Standing::repaired) put_text(choice, verdict.text);
  note(gravest, std::move(verdict), {std::move(text), {}});
}

void judge_calls(const CallDemand& demand, llm::Choice& choice, Gravest& gravest) {
  Said said{text_of(choice), {}};
  for (const auto& part : choice.parts)
    if (const auto* call = std::get_if<llm::ToolCall>(&part.body)) said.calls.push_back(*call);
  if (said.calls.empty()) return note(gravest, judge_silence(choice.finish), std::move(said));
  for (auto& part : choice.parts) {
    auto* call = std::get_if<llm::ToolCall>(&part.body);
    if (call == nullptr) continue;
    Verdict verdict = judge_call(demand, call->name, call->arguments, choice.finish);
    if (verdict.standing == Standing::repaired) call->arguments = verdict.text;
    note(gravest, std::move(verdict), said);
  }
}

// Of a whole reply: the gravest of its choices' verdicts; what was repaired is written into it. Nothing: there is no answer to judge. What
// cannot be read is not passed on unjudged: the fast reader takes documents that the parser refuses, numbers too large among them.
std::optional<Verdict> judge_whole(JudgedBy by, llm::Wire wire, Answer& answer, Said& said) {
  const auto document = parse_json(answer.body, {.max_bytes = answer.body.size() + 1});
  auto reply = document ? llm::parse_reply(wire, *document) : Result<llm::ChatReply>(fail(document.error()));
  if (!reply) return unreadable(reply.error().message);
  Gravest gravest;
  for (auto& choice : reply->choices) {
    if (declines(choice)) continue;
    if (by.calls != nullptr) judge_calls(*by.calls, choice, gravest);
    else if (!calls_tools(choice)) judge_text(*by.answer, choice, gravest);
  }
  said = std::move(gravest.said);
  if (!gravest.changed || !gravest.verdict->good()) return std::move(gravest.verdict);
  auto written = llm::write_reply(wire, *reply);
  if (!written) return unreadable(written.error().message);
  answer.body = to_json(std::move(*written));
  return std::move(gravest.verdict);
}

void note(const Judged& j, const Verdict& verdict) {
  const Target& target = *j.plan.candidates[j.at].target;
  const bool again = j.correction && j.correction->asked_again > 0;
  j.scene.metrics.structured.with({target.provider, target.model, again ? "again" : "first", to_string(verdict.standing)}).add();
  j.trail.decision.step(j.scene.now(), "judged", {{"target", target.name}, {"verdict", to_string(verdict.standing)}, {"how", verdict.how}, {"rule", broken_rule(verdict)}, {"tool", verdict.tool}});
}

// Serves what is good, and what is passed on for want of better.
Judgement serve(const Judged& j, const std::optional<Verdict>& verdict) {
  if (!verdict) return Judgement::over;
  j.trail.structured = !verdict->good()                                ? "invalid"
                       : j.correction && j.correction->asked_again > 0 ? "reasked"
                                                                       : to_string(verdict->standing);
  j.answer.invalid = !verdict->good();
  if (j.answer.invalid) j.scene.metrics.structured_failures.with({j.trail.record.provider, j.trail.record.model}).add();
  return Judgement::over;
}

// A longer answer than this one may be asked for: neither the caller nor a budget bounds it, and the model can.
std::optional<std::int64_t> more_room(const Judged& j) {
  const Candidate& c = j.plan.candidates[j.at];
  const auto told = j.answer.usage ? j.answer.usage->output : 0;
  if (j.asked.facts.max_tokens || c.max_tokens || !c.info || c.info->max_output <= std::max<std::uint64_t>(told, 1)) return std::nullopt;
  return static_cast<std::int64_t>(c.info->max_output);
}

// Why the model is not asked again; empty: it is.
std::string_view why_not(const Judged& j, const Verdict& verdict, bool ran_out) {
  const auto& route = *j.asked.route;
  const auto gone = j.scene.sink.gone();
  if (gone && gone->cancelled()) return "the caller left";
  if (ran_out && verdict.standing == Standing::truncated && !more_room(j)) return "the limit of its answer allows no more";
  if ((j.correction ? j.correction->asked_again : 0) >= route.structured.reask) return route.structured.reask == 0 ? "the route asks once" : "it was asked again already";
  if (attempts_made(j.plan, j.trail) >= route.retries.attempts) return "the route's attempts are used up";
  if (j.trail.started + route.retries.deadline <= j.scene.now()) return "the route's deadline has passed";
  return {};
}

Error refused(const Verdict& verdict, std::string_view why_not_again) {
  std::string said = verdict.standing == Standing::truncated ? "the model's answer breaks off before its JSON is whole"
                     : verdict.tool.empty()                  ? "the model's answer is not the JSON that was asked for: " + in_words(verdict)
                                                             : fmt::format("the arguments of the model's call of \"{}\" are not what its schema asks for: {}", verdict.tool, in_words(verdict));
  if (!why_not_again.empty()) said += fmt::format(" (no further try: {})", why_not_again);
  return Error{ErrorCode::provider_invalid_output, std::move(said)};
}

// The attempt is booked as it was, and counts as one without an answer.
void disown(const Judged& j, const Verdict& verdict, Said said) {
  auto& attempt = j.trail.record.attempts[j.record];
  attempt.outcome = to_string(ErrorCode::provider_invalid_output);
  j.trail.record.billed_nano = 0;
  if (!j.correction) j.correction = std::make_unique<Correction>();
  Correction& c = *j.correction;
  c.verdict = verdict;
  c.said = std::move(said);
  if (!j.asked.route->structured.pass) return;
  if (j.answer.streamed) c.kept_stream = j.lane.relay.watch()->take_raw();
  c.kept = j.answer;
  c.kept->end = {};
  c.kept_attempt = j.record;
}

void prepare_again(const Judged& j, bool ran_out) {
  Correction& c = *j.correction;
  ++c.asked_again;
  c.complaint.clear();
  j.trail.structured = "reasked";
  const auto room = ran_out && c.verdict.standing == Standing::truncated ? more_room(j) : std::nullopt;
  const bool dispatched = j.answer.dispatched;
  j.answer = Answer{.dispatched = dispatched};
  j.lane.out.discard();
  const std::string_view target = j.plan.candidates[j.at].target->name;
  j.trail.decision.step(j.scene.now(), "asked_again", {{"target", target}, {"why", to_string(c.verdict.standing)}, {"more_room", room.has_value()}});
  if (room) {
    j.plan.candidates[j.at].max_tokens = room;
    return;
  }
  c.complaint = complaint(c.verdict);
  std::size_t bytes = c.said.words.size();
  for (const auto& call : c.said.calls) bytes += call.name.size() + call.id.size() + call.arguments.size() + call.signature.size() + c.complaint.size();
  if (bytes > kMostWords) c.said = {}, bytes = 0;              // the complaint says what matters
  raise_ceilings(j.asked, j.plan, bytes + c.complaint.size());
}

}  // namespace

Judgement judge_attempt(const Judged& j) {
  const bool refused_stream = !j.answer.end && j.answer.end.error().code == ErrorCode::provider_invalid_output;
  if (!j.answer.end && !refused_stream) return Judgement::failed;
  std::optional<Verdict> verdict;
  Said said;
  if (!j.answer.streamed) verdict = judge_whole(j.asked.judged_by(), j.scene.call.wire, j.answer, said);
  else if (auto* watch = j.lane.relay.watch()) verdict = watch->verdict(), said = watch->said();
  if (verdict) note(j, *verdict);
  if (!verdict || verdict->good()) return serve(j, verdict);
  if (j.answer.streamed && !refused_stream) return serve(j, verdict);     // told already, though it is wrong

  const bool ran_out = j.answer.finish == llm::FinishReason::length;
  const std::string_view no = j.lane.out.committed() ? "a part of it was sent already" : why_not(j, *verdict, ran_out);
  disown(j, *verdict, std::move(said));
  if (no.empty()) {
    prepare_again(j, ran_out);
    return Judgement::again;
  }
  j.answer.end = fail(refused(*verdict, no));
  j.trail.structured = "invalid";
  if (j.lane.out.committed()) j.scene.metrics.structured_failures.with({j.trail.record.provider, j.trail.record.model}).add();
  else fall_back(j);
  return Judgement::over;
}

void fall_back(const Judged& j) {
  Correction& c = *j.correction;
  if (j.answer.caller_left) return;
  if (j.lane.out.committed()) return;            // a later answer was told in part: no other may follow it
  const Error why = std::move(j.answer.end.error());
  const auto& attempt = j.trail.record.attempts[c.kept ? c.kept_attempt : j.trail.record.attempts.size() - 1];
  j.scene.metrics.structured_failures.with({attempt.provider, attempt.model}).add();
  const bool dispatched = j.answer.dispatched;
  j.trail.structured = "invalid";
  if (!c.kept) {
    j.answer.end = fail(why.code == ErrorCode::provider_invalid_output ? why : refused(c.verdict, "asking again failed: " + why.message));
    return;
  }
  j.answer = std::move(*c.kept);
  j.answer.dispatched = dispatched;
  j.answer.invalid = true;
  j.answer.billed = Money{attempt.incurred_nano};
  auto& r = j.trail.record;
  r.billed_nano = attempt.incurred_nano;
  r.usage = attempt.usage;
  r.provider = attempt.provider;
  r.model = attempt.model;
  r.served_by = attempt.provider + "/" + attempt.model;
  j.trail.decision.step(j.scene.now(), "passed_on", {{"target", r.served_by}, {"why", to_string(c.verdict.standing)}});
  if (!j.answer.streamed) return;
  j.lane.out.discard();                          // of the last attempt its start may wait to be told
  j.lane.relay.pass_on(std::move(c.kept_stream), j.lane.out.pending());
}

}  // namespace ballast::gateway
