// OpenAI Responses, the request side: https://platform.openai.com/docs/api-reference/responses/create
#include <algorithm>

#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::openai_responses;

Media parse_media(const Node& node, Media::Kind kind) {
  Media m{.kind = kind, .id_wire = kWire};
  m.id = node.str("file_id");
  m.name = node.str("filename");
  m.detail = node.str("detail");
  auto url = node.str(kind == Media::Kind::image ? "image_url" : "file_url");
  if (kind == Media::Kind::file && url.empty()) url = node.str("file_data");
  if (const auto data = parse_data_url(url)) m.mime = data->mime, m.data = data->base64;
  else if (node.find("file_data")) m.data = url, m.mime = mime_from_name(m.name);
  else m.url = url, m.mime = mime_from_name(url);
  if (m.data.empty() && m.url.empty() && m.id.empty()) node.fail("needs data, a URL or a file id");
  return m;
}

void parse_part(const Node& node, std::vector<Part>& out) {
  if (!node.is_object()) return node.fail("must be an object");
  const auto type = node.str("type");
  Part part;
  if (type == "input_text" || type == "output_text" || type == "text") {
    part.body = Text{.text = node.required_str("text")};
    if (auto notes = node.find("annotations"); notes && notes->is_array()) part.citations = notes->value().get_array();
  }
  else if (type == "refusal") part.body = Refusal{node.required_str("refusal")};
  else if (type == "input_image") part.body = parse_media(node, Media::Kind::image);
  else if (type == "input_file") part.body = parse_media(node, Media::Kind::file);
  else if (type.empty()) node.fail("needs a type");
  else part.body = Opaque{kWire, node.value()};
  out.push_back(std::move(part));
}

void parse_content(const Node& content, std::vector<Part>& out) {
  if (content.is_string()) return out.push_back(text_part(content.text()));
  if (!content.is_array()) return content.fail("must be a string or an array");
  for (std::size_t i = 0; i < content.size(); ++i) parse_part(content.item(i), out);
}

}  // namespace

void parse_response_item(const Node& item, std::vector<Part>& out) {
  const auto type = item.str("type");
  if (type == "message") {
    if (auto content = item.find("content")) parse_content(*content, out);
  } else if (type == "function_call") {
    out.push_back({.body = ToolCall{.id = item.required_str("call_id"), .name = item.required_str("name"), .arguments = item.str("arguments")}});
  } else if (type == "reasoning") {
    Reasoning r{.encrypted = item.str("encrypted_content"), .id = item.str("id"), .sealed_by = kWire};
    for (const std::string_view key : {"summary", "content"}) {
      auto list = item.find(key);
      for (std::size_t i = 0; list && i < list->size(); ++i) {
        if (!r.text.empty()) r.text += "\n\n";
        r.text += list->item(i).str("text");
        r.summary |= key == "summary";
      }
      if (!r.text.empty()) break;
    }
    out.push_back({.body = std::move(r)});
  } else {
    out.push_back({.body = Opaque{kWire, item.value()}});
  }
}

namespace {

// Items the model made follow each other in one assistant message.
Message& assistant(ChatRequest& out) {
  if (out.messages.empty() || out.messages.back().role != Role::assistant) out.messages.push_back({.role = Role::assistant});
  return out.messages.back();
}

void parse_item(const Node& item, std::size_t index, ChatRequest& out) {
  if (!item.is_object()) return item.fail("must be an object");
  auto type = item.str("type");
  if (type.empty() && item.find("role")) type = "message";
  if (type == "message") {
    const auto role = item.required_str("role");
    auto content = item.required("content");
    if (!content) return;
    if (role == "assistant") return parse_content(*content, assistant(out).parts);
    Message m;
    parse_content(*content, m.parts);
    if (role == "system" || role == "developer") {
      if (out.messages.empty()) { out.system.insert(out.system.end(), m.parts.begin(), m.parts.end()); return; }
      m.role = Role::system;
    } else if (role != "user") {
      item.fail_at("role", "must be user, assistant, system or developer");
    }
    out.messages.push_back(std::move(m));
  } else if (type == "function_call_output") {
    ToolResult result{.id = item.required_str("call_id")};
    if (auto output = item.required("output")) parse_content(*output, result.parts);
    Message m{.role = Role::tool};
    m.parts.push_back({.body = std::move(result)});
    out.messages.push_back(std::move(m));
  } else if (type.empty()) {
    item.fail("needs a type");
  } else {
    if (type == "item_reference") out.bound.push_back("input[" + std::to_string(index) + "]");
    parse_response_item(item, assistant(out).parts);
  }
}

void parse_tools(const Node& list, ChatRequest& out) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto node = list.item(i);
    if (!node.is_object()) return node.fail("must be an object");
    Tool tool;
    if (node.required_str("type") == "function") {
      tool.name = node.required_str("name");
      tool.description = node.str("description");
      tool.schema = node.raw("parameters");
      tool.strict = node.boolean("strict");
    } else {
      tool.hosted = node.value();
    }
    out.tools.push_back(std::move(tool));
  }
}

void parse_tool_choice(const Node& node, ChatRequest& out) {
  ToolChoice c;
  if (node.is_string()) {
    const auto mode = node.text();
    if (mode == "none") c.mode = ToolChoice::Mode::none;
    else if (mode == "required") c.mode = ToolChoice::Mode::required;
    else if (mode != "auto") return node.fail("must be none, auto, required or an object");
  } else if (!node.is_object()) {
    return node.fail("must be a string or an object");
  } else if (node.str("type") == "function") {
    c = {ToolChoice::Mode::required, {node.required_str("name")}};
  } else if (node.str("type") == "allowed_tools") {
    if (node.str("mode") == "required") c.mode = ToolChoice::Mode::required;
    auto tools = node.array("tools");
    for (std::size_t i = 0; tools && i < tools->size(); ++i) c.names.push_back(tools->item(i).str("name"));
  } else {
    out.bound.emplace_back("tool_choice");
  }
  out.tool_choice = std::move(c);
}

}  // namespace

void parse_responses_request(const Node& body, ChatRequest& out) {
  out.model = body.required_str("model");
  if (auto text = body.str("instructions"); !text.empty()) out.system.push_back(text_part(std::move(text)));
  const bool stored = body.find("previous_response_id") || body.find("conversation") || body.find("prompt");
  if (auto input = stored ? body.find("input") : body.required("input")) {
    if (input->is_string()) out.messages.push_back({.role = Role::user, .parts = {text_part(input->text())}});
    else if (input->is_array()) for (std::size_t i = 0; i < input->size(); ++i) parse_item(input->item(i), i, out);
    else input->fail("must be a string or an array");
  }
  if (auto list = body.array("tools")) parse_tools(*list, out);
  if (auto choice = body.find("tool_choice")) parse_tool_choice(*choice, out);
  parse_openai_shared(body, out);
  out.max_tokens = body.integer("max_output_tokens", 1);
  if (auto text = body.object("text"))
    if (auto format = text->object("format")) out.response_format = parse_openai_format(*format, false);
  if (auto r = body.object("reasoning")) out.reasoning = ReasoningOptions{.effort = r->str("effort"), .summary = r->str("summary")};
  out.include_usage = true;
  for (const std::string_view field : {"previous_response_id", "conversation", "prompt"})
    if (body.find(field)) out.bound.emplace_back(field);
  if (body.boolean("background").value_or(false)) out.bound.emplace_back("background");
  if (const auto top = body.integer("top_logprobs", 0, 20); top && *top > 0) out.bound.emplace_back("top_logprobs");
}

// ---- Rendering ----------------------------------------------------------------------------------------------------

namespace {

Result<json::value> render_part(const Part& part, bool output, std::string_view field) {
  if (const auto* t = as<Text>(part)) {
    if (!output) return json::object{{"type", "input_text"}, {"text", t->text}};
    return json::object{{"type", "output_text"}, {"text", t->text}, {"annotations", json::array{}}};
  }
  if (const auto* r = as<Refusal>(part)) return json::object{{"type", "refusal"}, {"refusal", r->text}};
  if (const auto* o = as<Opaque>(part)) return o->raw;
  const auto* m = as<Media>(part);
  if (m == nullptr) return json::value();
  if (output) return cannot(field, kWire, "the assistant's media");
  if (m->kind == Media::Kind::audio || m->mime.starts_with("audio/")) return cannot(field, kWire, "it takes no audio");
  if (m->mime.starts_with("video/")) return cannot(field, kWire, "it takes no video");
  if (!m->id.empty() && m->id_wire != kWire && m->id_wire != Wire::openai_chat) return cannot(field, kWire, "the file is stored at another provider");
  const bool image = m->kind == Media::Kind::image;
  json::object o{{"type", image ? "input_image" : "input_file"}};
  if (!m->id.empty()) o["file_id"] = m->id;
  else if (!m->url.empty()) o[image ? "image_url" : "file_url"] = m->url;
  else o[image ? "image_url" : "file_data"] = data_url(image && m->mime.empty() ? image_mime_from_base64(m->data) : std::string_view(m->mime), m->data);
  if (image) o["detail"] = m->detail.empty() ? "auto" : m->detail;
  else if (m->id.empty() && m->url.empty()) o["filename"] = m->name.empty() ? "document.pdf" : m->name;
  return o;
}

Result<json::value> render_parts(const std::vector<Part>& parts, bool output, std::string_view field) {
  json::array list;
  for (const auto& p : parts) {
    auto v = render_part(p, output, field);
    if (!v) return v;
    if (!v->is_null()) list.push_back(std::move(*v));
  }
  return json::value(std::move(list));
}

Result<void> flush_message(std::vector<Part>& pending, Role role, std::string_view field, json::array& out) {
  if (pending.empty()) return {};
  json::value content;
  if (pending.size() == 1 && as<Text>(pending[0]) != nullptr) {
    content = as<Text>(pending[0])->text;
  } else {
    auto parts = render_parts(pending, role == Role::assistant, field);
    if (!parts) return std::unexpected(parts.error());
    content = std::move(*parts);
  }
  const auto name = role == Role::assistant ? "assistant" : role == Role::system ? "developer" : "user";
  out.push_back(json::object{{"role", name}, {"content", std::move(content)}});
  pending.clear();
  return {};
}

// Calls, results and thoughts are items beside the messages, in their order.
Result<void> render_message(const Message& m, std::string_view field, json::array& out) {
  std::vector<Part> pending;
  for (const auto& part : m.parts) {
    json::value item;
    if (const auto* c = as<ToolCall>(part)) {
      item = json::object{{"type", "function_call"}, {"call_id", c->id}, {"name", c->name}, {"arguments", c->arguments.empty() ? "{}" : c->arguments}};
    } else if (const auto* r = as<ToolResult>(part)) {
      json::value output(joined_text(r->parts, "\n"));
      if (!only_text(r->parts)) {
        auto parts = render_parts(r->parts, false, field);
        if (!parts) return std::unexpected(parts.error());
        output = std::move(*parts);
      }
      item = json::object{{"type", "function_call_output"}, {"call_id", r->id}, {"output", std::move(output)}};
    } else if (const auto* g = as<Reasoning>(part)) {
      if (g->sealed_by != kWire || !g->sealed()) continue;
      json::array summary;
      if (!g->text.empty()) summary.push_back(json::object{{"type", "summary_text"}, {"text", g->text}});
      json::object o{{"type", "reasoning"}, {"summary", std::move(summary)}};
      if (!g->id.empty()) o["id"] = g->id;
      if (!g->encrypted.empty()) o["encrypted_content"] = g->encrypted;
      item = std::move(o);
    } else if (const auto* x = as<Opaque>(part); x != nullptr && m.role == Role::assistant) {
      item = x->raw;
    } else {
      pending.push_back(part);
      continue;
    }
    if (auto ok = flush_message(pending, m.role, field, out); !ok) return ok;
    out.push_back(std::move(item));
  }
  return flush_message(pending, m.role, field, out);
}

void render_tools(const ChatRequest& r, json::object& out) {
  if (r.tools.empty()) return;
  json::array tools;
  for (const auto& t : r.tools) {
    if (!t.hosted.is_null()) { tools.push_back(t.hosted); continue; }
    json::object o{{"type", "function"}, {"name", t.name}};
    if (!t.description.empty()) o["description"] = t.description;
    o["parameters"] = t.schema.is_null() ? json::value(json::object{{"type", "object"}, {"properties", json::object{}}}) : t.schema;
    o["strict"] = t.strict.value_or(false);   // absent means true here and false everywhere else
    tools.push_back(std::move(o));
  }
  out["tools"] = std::move(tools);
  if (!r.tool_choice) return;
  const auto& c = *r.tool_choice;
  const bool required = c.mode == ToolChoice::Mode::required;
  if (c.mode == ToolChoice::Mode::none) out["tool_choice"] = "none";
  else if (c.names.empty()) out["tool_choice"] = required ? "required" : "auto";
  else if (required && c.names.size() == 1) out["tool_choice"] = json::object{{"type", "function"}, {"name", c.names[0]}};
  else {
    json::array names;
    for (const auto& n : c.names) names.push_back(json::object{{"type", "function"}, {"name", n}});
    out["tool_choice"] = json::object{{"type", "allowed_tools"}, {"mode", required ? "required" : "auto"}, {"tools", std::move(names)}};
  }
}

}  // namespace

Result<json::object> render_responses_request(const ChatRequest& r) {
  if (r.n && *r.n > 1) return cannot("n", kWire, "it gives one answer a call");
  if (!r.stop.empty()) return cannot("stop", kWire, "it has no stop sequences");
  if (r.logprobs) return cannot("logprobs", kWire);
  json::object out{{"model", r.model}};
  json::array input;
  const bool plain = std::ranges::none_of(r.system, [](const Part& p) { return as<Text>(p) == nullptr; });
  if (!r.system.empty() && plain) out["instructions"] = joined_text(r.system);
  else if (!r.system.empty()) {
    auto pending = r.system;
    if (auto ok = flush_message(pending, Role::system, "system", input); !ok) return std::unexpected(ok.error());
  }
  for (std::size_t i = 0; i < r.messages.size(); ++i)
    if (auto ok = render_message(r.messages[i], "messages[" + std::to_string(i) + "]", input); !ok) return std::unexpected(ok.error());
  out["input"] = std::move(input);
  render_tools(r, out);
  if (r.max_tokens) out["max_output_tokens"] = *r.max_tokens;
  if (r.response_format) out["text"] = json::object{{"format", render_openai_format(*r.response_format, false)}};
  if (r.reasoning) {
    json::object o;
    if (!r.reasoning->effort.empty()) o["effort"] = r.reasoning->effort == "max" ? "xhigh" : r.reasoning->effort;
    else if (r.reasoning->budget) o["effort"] = effort_for(*r.reasoning->budget);
    if (!r.reasoning->summary.empty()) o["summary"] = r.reasoning->summary;
    out["reasoning"] = std::move(o);
  }
  render_openai_shared(r, out);
  return out;
}

}  // namespace ballast::llm
