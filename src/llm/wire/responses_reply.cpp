// OpenAI Responses, the reply side; a stream's last event holds the same object.
#include <algorithm>

#include "llm/wire/common.hpp"
#include "llm/wire/responses_parts.hpp"
#include "llm/wire/usage.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

void parse_responses_reply(const Node& body, ChatReply& out) {
  out.id = body.str("id");
  out.model = body.str("model");
  if (auto created = body.find("created_at"); created && created->value().is_int64()) out.created = created->value().get_int64();
  Choice choice;
  if (auto items = body.array("output"))
    for (std::size_t i = 0; i < items->size(); ++i) {
      const auto item = items->item(i);
      if (!item.is_object()) return item.fail("must be an object");
      parse_response_item(item, choice.parts);
    }
  const bool calls = std::ranges::any_of(choice.parts, [](const Part& p) { return as<ToolCall>(p) != nullptr; });
  const auto status = body.str("status");
  choice.raw_finish = status;
  if (status == "incomplete") {
    if (auto details = body.object("incomplete_details")) choice.raw_finish = details->str("reason");
    choice.finish = finish_from(Wire::openai_responses, choice.raw_finish, false);
  } else if (status == "completed" || status.empty()) {
    choice.finish = calls ? FinishReason::tool_calls : FinishReason::stop;
  }
  out.choices.push_back(std::move(choice));
  UsageCounts counts;
  if (auto usage = body.find("usage")) count_all(counts, Wire::openai_responses, usage->value());
  count_tier(counts, body.value());
  if (counts.any()) out.usage = counts.usage(Wire::openai_responses);
}

std::string item_id(std::string_view prefix, std::string_view reply_id, std::size_t index) {
  std::string id(prefix);
  id.append("_").append(reply_id).append("_").append(std::to_string(index));
  return id;
}

json::object message_item(std::string_view id, std::string_view status, json::array content) {
  return {{"id", id}, {"type", "message"}, {"status", status}, {"role", "assistant"}, {"content", std::move(content)}};
}
json::object output_text(std::string_view text) {
  return {{"type", "output_text"}, {"text", text}, {"annotations", json::array{}}, {"logprobs", json::array{}}};
}
json::object call_item(std::string_view id, std::string_view status, const ToolCall& call) {
  return {{"id", id}, {"type", "function_call"}, {"status", status}, {"call_id", call.id}, {"name", call.name}, {"arguments", call.arguments}};
}
json::object reasoning_item(std::string_view id, const Reasoning& r) {
  json::array summary;
  if (!r.text.empty()) summary.push_back(json::object{{"type", "summary_text"}, {"text", r.text}});
  json::object o{{"id", id}, {"type", "reasoning"}, {"summary", std::move(summary)}};
  if (r.sealed_by == Wire::openai_responses && !r.encrypted.empty()) o["encrypted_content"] = r.encrypted;
  return o;
}

json::object response_object(const ResponseHead& head, std::string_view status, json::array output) {
  return {{"id", head.id}, {"object", "response"}, {"created_at", head.created}, {"status", status}, {"error", nullptr},
          {"incomplete_details", nullptr}, {"model", head.model}, {"output", std::move(output)}};
}

namespace {
// The tier that served, not the one asked for. OpenAI's batches say `default` too.
std::string_view tier_name(ServiceTier tier) {
  if (tier == ServiceTier::flex || tier == ServiceTier::priority) return to_string(tier);
  return "default";
}
}  // namespace

void finish_response(json::object& response, FinishReason finish, const std::optional<Usage>& usage) {
  if (finish == FinishReason::length || finish == FinishReason::content_filter) {
    response["status"] = "incomplete";
    response["incomplete_details"] = json::object{{"reason", finish_name(Wire::openai_responses, finish)}};
  }
  if (usage) response["usage"] = write_usage(Wire::openai_responses, *usage);
  response["service_tier"] = tier_name(usage ? usage->tier : ServiceTier::standard);
}

Result<json::object> render_responses_reply(const ChatReply& r) {
  json::array output;
  FinishReason finish = FinishReason::none;
  if (!r.choices.empty()) {
    const auto& c = r.choices.front();
    finish = c.finish;
    json::array content;
    const auto flush = [&] {
      if (content.empty()) return;
      output.push_back(message_item(item_id("msg", r.id, output.size()), "completed", std::move(content)));
      content = {};
    };
    for (const auto& part : c.parts) {
      if (const auto* t = as<Text>(part)) { content.push_back(output_text(t->text)); continue; }
      if (const auto* f = as<Refusal>(part)) { content.push_back(json::object{{"type", "refusal"}, {"refusal", f->text}}); continue; }
      flush();
      if (const auto* call = as<ToolCall>(part)) output.push_back(call_item(item_id("fc", r.id, output.size()), "completed", *call));
      else if (const auto* g = as<Reasoning>(part))
        output.push_back(reasoning_item(!g->id.empty() && g->sealed_by == Wire::openai_responses ? g->id : item_id("rs", r.id, output.size()), *g));
      else if (const auto* o = as<Opaque>(part); o != nullptr && o->wire == Wire::openai_responses) output.push_back(o->raw);
    }
    flush();
  }
  auto out = response_object({r.id, r.model, r.created}, finish == FinishReason::none ? "in_progress" : "completed", std::move(output));
  finish_response(out, finish, r.usage);
  return out;
}

}  // namespace ballast::llm
