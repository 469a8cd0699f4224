// Gemini generateContent, the reply side; a stream's chunks have the same shape.
#include <algorithm>

#include "llm/wire/common.hpp"
#include "llm/wire/usage.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

std::string gemini_finish_of(const Node& candidate) {
  auto reason = candidate.find("finishReason");
  if (!reason) return {};
  if (reason->value().is_int64()) return std::string(gemini_finish(static_cast<std::uint64_t>(reason->value().get_int64())));
  return reason->text();
}

void parse_gemini_reply(const Node& body, ChatReply& out) {
  out.id = body.str("responseId");
  out.model = body.str("modelVersion");
  auto list = body.array("candidates");
  for (std::size_t i = 0; list && i < list->size(); ++i) {
    const auto node = list->item(i);
    Choice choice;
    std::size_t calls = 0;
    if (auto content = node.object("content")) parse_gemini_parts(*content, choice.parts, calls);
    std::size_t k = 0;
    for (auto& part : choice.parts)
      if (auto* call = std::get_if<ToolCall>(&part.body); call != nullptr) {
        if (call->id.empty()) call->id = "call_" + (out.id.empty() ? std::string() : out.id + "_") + std::to_string(k);
        ++k;
      }
    choice.raw_finish = gemini_finish_of(node);
    choice.finish = finish_from(Wire::gemini, choice.raw_finish, calls > 0);
    choice.logprobs = node.raw("logprobsResult");
    out.choices.push_back(std::move(choice));
  }
  if (out.choices.empty()) {   // the prompt was blocked
    Choice choice;
    if (auto feedback = body.object("promptFeedback")) choice.raw_finish = feedback->str("blockReason");
    choice.finish = choice.raw_finish.empty() ? FinishReason::none : FinishReason::content_filter;
    out.choices.push_back(std::move(choice));
  }
  UsageCounts counts;
  if (auto usage = body.find("usageMetadata")) count_all(counts, Wire::gemini, usage->value());
  if (counts.any()) out.usage = counts.usage(Wire::gemini);
}

namespace {

json::value render_part(const Part& part) {
  json::object o;
  if (const auto* t = as<Text>(part)) {
    o["text"] = t->text;
    if (!t->signature.empty()) o["thoughtSignature"] = t->signature;
  } else if (const auto* r = as<Refusal>(part)) {
    o["text"] = r->text;
  } else if (const auto* g = as<Reasoning>(part)) {
    if (g->text.empty()) return json::value();
    o = {{"text", g->text}, {"thought", true}};
    if (g->sealed_by == Wire::gemini && !g->signature.empty()) o["thoughtSignature"] = g->signature;
  } else if (const auto* c = as<ToolCall>(part)) {
    auto call = render_gemini_call(*c);
    if (!c->id.empty()) call["id"] = c->id;
    o["functionCall"] = std::move(call);
    if (!c->signature.empty()) o["thoughtSignature"] = c->signature;
  } else if (const auto* m = as<Media>(part); m != nullptr && !m->data.empty()) {
    o["inlineData"] = json::object{{"mimeType", m->mime}, {"data", m->data}};
  } else if (const auto* x = as<Opaque>(part); x != nullptr && x->wire == Wire::gemini) {
    return x->raw;
  } else {
    return json::value();
  }
  return o;
}

}  // namespace

Result<json::object> render_gemini_reply(const ChatReply& r) {
  json::object out;
  json::array candidates;
  for (std::size_t i = 0; i < r.choices.size(); ++i) {
    const auto& c = r.choices[i];
    json::array parts;
    for (const auto& part : c.parts)
      if (auto v = render_part(part); !v.is_null()) parts.push_back(std::move(v));
    json::object candidate{{"content", json::object{{"role", "model"}, {"parts", std::move(parts)}}}, {"index", i}};
    if (c.finish != FinishReason::none) candidate["finishReason"] = finish_name(Wire::gemini, c.finish);
    candidates.push_back(std::move(candidate));
  }
  out["candidates"] = std::move(candidates);
  if (r.usage) out["usageMetadata"] = write_usage(Wire::gemini, *r.usage);
  out["modelVersion"] = r.model;
  out["responseId"] = r.id;
  return out;
}

}  // namespace ballast::llm
