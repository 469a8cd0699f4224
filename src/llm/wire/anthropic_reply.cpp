// Anthropic messages, the reply side.
#include <algorithm>

#include "llm/wire/common.hpp"
#include "llm/wire/usage.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

void parse_anthropic_reply(const Node& body, ChatReply& out) {
  out.id = body.str("id");
  out.model = body.str("model");
  Choice choice;
  if (auto content = body.array("content"))
    for (std::size_t i = 0; i < content->size(); ++i) parse_anthropic_block(content->item(i), choice.parts);
  else body.fail("content must be an array");
  choice.raw_finish = body.str("stop_reason");
  choice.stop_sequence = body.str("stop_sequence");
  choice.finish = finish_from(Wire::anthropic_messages, choice.raw_finish, false);
  out.choices.push_back(std::move(choice));
  UsageCounts counts;
  if (auto usage = body.find("usage")) count_all(counts, Wire::anthropic_messages, usage->value());
  if (counts.any()) out.usage = counts.usage(Wire::anthropic_messages);
}

namespace {

json::value render_block(const Part& part) {
  if (const auto* t = as<Text>(part)) return t->text.empty() ? json::value() : json::value(json::object{{"type", "text"}, {"text", t->text}});
  if (const auto* r = as<Refusal>(part)) return json::object{{"type", "text"}, {"text", r->text}};
  if (const auto* c = as<ToolCall>(part))
    return json::object{{"type", "tool_use"}, {"id", c->id}, {"name", c->name}, {"input", arguments_object(c->arguments)}};
  if (const auto* g = as<Reasoning>(part)) {
    if (g->sealed_by == Wire::anthropic_messages && !g->encrypted.empty()) return json::object{{"type", "redacted_thinking"}, {"data", g->encrypted}};
    // Another provider's thoughts are shown, unsigned: sent back, they are left out again.
    if (g->text.empty()) return json::value();
    return json::object{{"type", "thinking"}, {"thinking", g->text},
                        {"signature", g->sealed_by == Wire::anthropic_messages ? g->signature : std::string()}};
  }
  if (const auto* o = as<Opaque>(part); o != nullptr && o->wire == Wire::anthropic_messages) return o->raw;
  return json::value();
}

}  // namespace

Result<json::object> render_anthropic_reply(const ChatReply& r) {
  json::object out{{"id", r.id}, {"type", "message"}, {"role", "assistant"}, {"model", r.model}};
  json::array content;
  json::value stop_reason, stop_sequence;
  if (!r.choices.empty()) {
    const auto& c = r.choices.front();
    for (const auto& part : c.parts)
      if (auto v = render_block(part); !v.is_null()) content.push_back(std::move(v));
    if (c.finish != FinishReason::none) stop_reason = finish_name(Wire::anthropic_messages, c.finish);
    if (!c.stop_sequence.empty()) stop_sequence = c.stop_sequence;
    // "stop_sequence" without saying which one would be a riddle.
    if (c.finish == FinishReason::stop_sequence && c.stop_sequence.empty()) stop_reason = "end_turn";
  }
  out["content"] = std::move(content);
  out["stop_reason"] = std::move(stop_reason);
  out["stop_sequence"] = std::move(stop_sequence);
  out["usage"] = write_usage(Wire::anthropic_messages, r.usage.value_or(Usage{}));
  return out;
}

}  // namespace ballast::llm
