// OpenAI chat completions, the reply side, and its many compatible dialects.
#include "base/json.hpp"
#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/usage.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

std::string google_signature(const Node& holder) {
  if (auto extra = holder.object("extra_content"))
    if (auto google = extra->object("google")) return google->str("thought_signature");
  return {};
}

// Mistral lists its thoughts among the content: {"type":"thinking","thinking":[{"type":"text","text":…}]}.
void parse_content_part(const Node& node, std::vector<Part>& out) {
  if (node.is_string()) return out.push_back(text_part(node.text()));
  if (!node.is_object()) return node.fail("must be an object");
  const auto type = node.str("type");
  if (type == "text" || type == "output_text") {
    auto part = text_part(node.str("text"));
    part.cache = parse_cache(node);
    return out.push_back(std::move(part));
  }
  if (type == "refusal") return out.push_back({.body = Refusal{node.str("refusal")}});
  if (type == "thinking") {
    Reasoning r{.sealed_by = Wire::openai_chat};
    if (auto inner = node.find("thinking")) {
      if (inner->is_string()) r.text = inner->text();
      for (std::size_t i = 0; i < inner->size(); ++i)
        if (inner->item(i).is_object()) r.text += inner->item(i).str("text");
    }
    return out.push_back({.body = std::move(r)});
  }
  out.push_back({.body = Opaque{Wire::openai_chat, node.value()}});
}

void parse_reasoning(const Node& message, std::vector<Part>& out) {
  if (auto details = message.find("reasoning_details"); details && details->is_array() && details->size() > 0) {
    for (std::size_t i = 0; i < details->size(); ++i) parse_reasoning_detail(details->item(i), out);
    return;
  }
  for (const std::string_view key : {"reasoning_content", "reasoning"}) {
    auto node = message.find(key);
    if (!node || !node->is_string() || node->text_view().empty()) continue;
    return out.push_back({.body = Reasoning{.text = node->text()}});
  }
}

void parse_calls(const Node& message, std::vector<Part>& out) {
  if (auto calls = message.array("tool_calls"))
    for (std::size_t i = 0; i < calls->size(); ++i) {
      const auto node = calls->item(i);
      if (!node.is_object()) return node.fail("must be an object");
      auto f = node.object("function");
      if (!f) {
        out.push_back({.body = Opaque{Wire::openai_chat, node.value()}});
        continue;
      }
      ToolCall call{.id = node.str("id"), .name = f->required_str("name"), .signature = google_signature(node)};
      if (auto args = f->find("arguments")) call.arguments = args->is_string() ? args->text() : to_json(args->value());
      out.push_back({.body = std::move(call)});
    }
  if (auto f = message.object("function_call"))
    out.push_back({.body = ToolCall{.id = f->str("name"), .name = f->required_str("name"), .arguments = f->str("arguments")}});
}

}  // namespace

void parse_reasoning_detail(const Node& d, std::vector<Part>& out) {
  if (!d.is_object()) return d.fail("must be an object");
  const auto type = d.str("type");
  Reasoning r{.id = d.str("id")};
  const auto format = d.str("format");
  r.sealed_by = format.starts_with("anthropic") ? Wire::anthropic_messages : format.starts_with("google") ? Wire::gemini
                : format.starts_with("openai")  ? Wire::openai_responses : Wire::openai_chat;
  if (type == "reasoning.text") r.text = d.str("text"), r.signature = d.str("signature");
  else if (type == "reasoning.summary") r.text = d.str("summary"), r.summary = true;
  else if (type == "reasoning.encrypted") r.encrypted = d.str("data");
  else return;
  out.push_back({.body = std::move(r)});
}

json::object reasoning_detail(const Reasoning& r, bool with_text) {
  static constexpr std::string_view formats[kWires] = {"unknown", "openai-responses-v1", "anthropic-claude-v1", "google-gemini-v1"};
  json::object d{{"format", formats[static_cast<std::size_t>(r.sealed_by)]}};
  if (!r.id.empty()) d["id"] = r.id;
  if (!r.encrypted.empty()) {
    d["type"] = "reasoning.encrypted";
    d["data"] = r.encrypted;
  } else if (r.summary) {
    d["type"] = "reasoning.summary";
    d["summary"] = with_text ? r.text : "";
  } else {
    d["type"] = "reasoning.text";
    d["text"] = with_text ? r.text : "";
    if (!r.signature.empty()) d["signature"] = r.signature;
  }
  return d;
}

void parse_chat_message(const Node& message, std::vector<Part>& out) {
  parse_reasoning(message, out);
  if (auto content = message.find("content")) {
    if (content->is_string()) {
      if (!content->text_view().empty()) {
        auto part = text_part(content->text());
        std::get<Text>(part.body).signature = google_signature(message);
        if (auto notes = message.find("annotations"); notes && notes->is_array()) part.citations = notes->value().get_array();
        out.push_back(std::move(part));
      }
    } else if (content->is_array()) {
      for (std::size_t i = 0; i < content->size(); ++i) parse_content_part(content->item(i), out);
    } else {
      content->fail("must be a string or an array");
    }
  }
  if (auto refusal = message.str("refusal"); !refusal.empty()) out.push_back({.body = Refusal{std::move(refusal)}});
  parse_calls(message, out);
}

json::object render_chat_message(const std::vector<Part>& parts, bool reply) {
  json::object out{{"role", "assistant"}, {"content", nullptr}};
  std::string text, refusal, reasoning;
  json::array details, calls;
  for (const auto& part : parts) {
    if (const auto* t = as<Text>(part)) {
      text += t->text;
      if (!t->signature.empty()) out["extra_content"] = json::object{{"google", json::object{{"thought_signature", t->signature}}}};
    } else if (const auto* r = as<Refusal>(part)) {
      refusal += r->text;
    } else if (const auto* g = as<Reasoning>(part)) {
      reasoning += g->text;
      if (g->sealed()) details.push_back(reasoning_detail(*g, true));
    } else if (const auto* c = as<ToolCall>(part)) {
      json::object call{{"id", c->id}, {"type", "function"},
                        {"function", json::object{{"name", c->name}, {"arguments", c->arguments.empty() ? "{}" : c->arguments}}}};
      if (!c->signature.empty()) call["extra_content"] = json::object{{"google", json::object{{"thought_signature", c->signature}}}};
      calls.push_back(std::move(call));
    }
  }
  if (!text.empty() || (refusal.empty() && calls.empty())) out["content"] = text;
  if (!refusal.empty()) out["refusal"] = refusal;
  else if (reply) out["refusal"] = nullptr;
  if (reply && !reasoning.empty()) out["reasoning_content"] = reasoning;
  if (reply && !details.empty()) out["reasoning_details"] = std::move(details);
  if (!calls.empty()) out["tool_calls"] = std::move(calls);
  return out;
}

void parse_chat_reply(const Node& body, ChatReply& out) {
  out.id = body.str("id");
  out.model = body.str("model");
  if (auto created = body.find("created"); created && created->value().is_int64()) out.created = created->value().get_int64();
  auto list = body.required("choices");
  if (!list || !list->is_array()) return body.fail("choices must be an array");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto node = list->item(i);
    auto message = node.object("message");
    if (!message) return node.fail("needs a message");
    Choice choice;
    parse_chat_message(*message, choice.parts);
    choice.raw_finish = node.str("finish_reason");
    const bool calls = std::ranges::any_of(choice.parts, [](const Part& p) { return as<ToolCall>(p) != nullptr; });
    choice.finish = finish_from(Wire::openai_chat, choice.raw_finish, calls);
    choice.logprobs = node.raw("logprobs");
    out.choices.push_back(std::move(choice));
  }
  UsageCounts counts;
  if (auto usage = body.find("usage")) count_all(counts, Wire::openai_chat, usage->value());
  count_tier(counts, body.value());
  if (counts.any()) out.usage = counts.usage(Wire::openai_chat);
}

Result<json::object> render_chat_reply(const ChatReply& r) {
  json::object out{{"id", r.id}, {"object", "chat.completion"}, {"created", r.created}, {"model", r.model}};
  json::array choices;
  for (std::size_t i = 0; i < r.choices.size(); ++i) {
    const auto& c = r.choices[i];
    json::object choice{{"index", i}, {"message", render_chat_message(c.parts, true)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (c.finish != FinishReason::none) choice["finish_reason"] = finish_name(Wire::openai_chat, c.finish);
    choices.push_back(std::move(choice));
  }
  out["choices"] = std::move(choices);
  if (r.usage) out["usage"] = write_usage(Wire::openai_chat, *r.usage);
  return out;
}

}  // namespace ballast::llm
