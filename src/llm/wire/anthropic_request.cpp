// Anthropic messages, the request side: https://docs.anthropic.com/en/api/messages
#include <algorithm>

#include "base/json.hpp"
#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::anthropic_messages;
constexpr std::int64_t kDefaultMaxTokens = 4096;   // the field is required; this fits every model
constexpr std::int64_t kLeastBudget = 1024;

Media parse_source(const Node& block, Media::Kind kind) {
  Media m{.kind = kind};
  auto s = block.object("source");
  if (!s) return block.fail("needs a source"), m;
  const auto type = s->str("type");
  m.mime = s->str("media_type");
  m.name = block.str("title");
  if (type == "base64") m.data = s->required_str("data");
  else if (type == "url") m.url = s->required_str("url");
  else if (type == "file") m.id = s->required_str("file_id"), m.id_wire = kWire;
  else s->fail("must be of type base64, url, text or file");
  if (m.mime.empty()) m.mime = mime_from_name(m.url);
  return m;
}

void parse_document(const Node& block, Part& part) {
  auto s = block.object("source");
  const auto type = s ? s->str("type") : std::string();
  if (type == "text") part.body = Text{.text = s->required_str("data")};
  else if (type == "content") part.body = Opaque{kWire, block.value()};
  else part.body = parse_source(block, Media::Kind::file);
}

}  // namespace

void parse_anthropic_block(const Node& block, std::vector<Part>& out) {
  if (block.is_string()) return out.push_back(text_part(block.text()));
  if (!block.is_object()) return block.fail("must be an object");
  const auto type = block.required_str("type");
  Part part;
  part.cache = parse_cache(block);
  if (type == "text") {
    part.body = Text{.text = block.required_str("text")};
    if (auto notes = block.find("citations"); notes && notes->is_array()) part.citations = notes->value().get_array();
  }
  else if (type == "image") part.body = parse_source(block, Media::Kind::image);
  else if (type == "document") parse_document(block, part);
  else if (type == "tool_use") {
    ToolCall call{.id = block.required_str("id"), .name = block.required_str("name")};
    if (auto input = block.find("input")) call.arguments = to_json(input->value());
    part.body = std::move(call);
  }
  else if (type == "tool_result") {
    ToolResult result{.id = block.required_str("tool_use_id"), .is_error = block.boolean("is_error").value_or(false)};
    if (auto content = block.find("content")) {
      if (content->is_array()) for (std::size_t i = 0; i < content->size(); ++i) parse_anthropic_block(content->item(i), result.parts);
      else parse_anthropic_block(*content, result.parts);
    }
    part.body = std::move(result);
  }
  else if (type == "thinking")
    part.body = Reasoning{.text = block.str("thinking"), .signature = block.str("signature"), .sealed_by = kWire};
  else if (type == "redacted_thinking") part.body = Reasoning{.encrypted = block.str("data"), .sealed_by = kWire};
  else part.body = Opaque{kWire, block.value()};
  out.push_back(std::move(part));
}

namespace {

void parse_content(const Node& content, std::vector<Part>& out) {
  if (content.is_string()) return out.push_back(text_part(content.text()));
  if (!content.is_array()) return content.fail("must be a string or an array");
  for (std::size_t i = 0; i < content.size(); ++i) parse_anthropic_block(content.item(i), out);
}

void parse_messages(const Node& list, ChatRequest& out) {
  if (list.size() == 0) list.fail("must not be empty");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto node = list.item(i);
    if (!node.is_object()) return node.fail("must be an object");
    const auto role = node.required_str("role");
    Message m;
    if (role == "assistant") m.role = Role::assistant, m.prefill = i + 1 == list.size();
    else if (role == "system") m.role = Role::system;
    else if (role != "user") node.fail_at("role", "must be user or assistant");
    if (auto content = node.required("content")) parse_content(*content, m.parts);
    out.messages.push_back(std::move(m));
  }
}

void parse_tools(const Node& list, ChatRequest& out) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto node = list.item(i);
    if (!node.is_object()) return node.fail("must be an object");
    Tool tool;
    tool.cache = parse_cache(node);
    const auto type = node.str("type");
    if (type.empty() || type == "custom") {
      tool.name = node.required_str("name");
      tool.description = node.str("description");
      tool.schema = node.raw("input_schema");
      tool.strict = node.boolean("strict");
    } else {
      tool.hosted = node.value();
    }
    out.tools.push_back(std::move(tool));
  }
}

void parse_tool_choice(const Node& node, ChatRequest& out) {
  const auto type = node.required_str("type");
  ToolChoice c;
  if (type == "none") c.mode = ToolChoice::Mode::none;
  else if (type == "any") c.mode = ToolChoice::Mode::required;
  else if (type == "tool") c = {ToolChoice::Mode::required, {node.required_str("name")}};
  else if (type != "auto") node.fail("must be of type auto, any, tool or none");
  if (const auto off = node.boolean("disable_parallel_tool_use")) out.parallel_tool_calls = !*off;
  out.tool_choice = std::move(c);
}

void parse_options(const Node& body, ChatRequest& out) {
  if (auto t = body.object("thinking")) {
    ReasoningOptions r;
    const auto type = t->str("type");
    if (type == "disabled") r.budget = 0;
    else if (type == "adaptive") r.budget = -1;
    else r.budget = t->integer("budget_tokens", 0);
    out.reasoning = std::move(r);
  }
  if (auto c = body.object("output_config")) {
    if (auto effort = c->str("effort"); !effort.empty()) {
      if (!out.reasoning) out.reasoning.emplace();
      out.reasoning->effort = effort;
    }
    if (auto f = c->object("format")) out.response_format = parse_openai_format(*f, false);
  }
  if (auto f = body.object("output_format")) out.response_format = parse_openai_format(*f, false);
  if (auto m = body.object("metadata")) {
    out.user = m->str("user_id");
    out.metadata = m->value().get_object();
    out.metadata.erase("user_id");
  }
  for (const std::string_view field : {"mcp_servers", "container"})
    if (auto v = body.find(field); v && !(v->is_array() && v->size() == 0)) out.bound.emplace_back(field);
}

}  // namespace

void parse_anthropic_request(const Node& body, ChatRequest& out) {
  out.model = body.required_str("model");
  if (auto system = body.find("system")) parse_content(*system, out.system);
  if (auto list = body.required("messages")) {
    if (list->is_array()) parse_messages(*list, out);
    else list->fail("must be an array");
  }
  if (auto list = body.array("tools")) parse_tools(*list, out);
  if (auto choice = body.object("tool_choice")) parse_tool_choice(*choice, out);
  out.max_tokens = body.integer("max_tokens", 1);
  out.temperature = body.number("temperature", 0, 1);
  out.top_p = body.number("top_p", 0, 1);
  out.top_k = body.integer("top_k", 0);
  if (auto stop = body.array("stop_sequences"))
    for (std::size_t i = 0; i < stop->size(); ++i) out.stop.push_back(stop->item(i).text());
  out.stream = body.boolean("stream").value_or(false);
  out.include_usage = true;
  parse_options(body, out);
}

// ---- Rendering ----------------------------------------------------------------------------------------------------

namespace {

Result<json::value> render_media(const Media& m, std::string_view field) {
  if (m.kind == Media::Kind::audio || m.mime.starts_with("audio/")) return cannot(field, kWire, "it takes no audio");
  if (m.mime.starts_with("video/")) return cannot(field, kWire, "it takes no video");
  json::object source;
  if (!m.id.empty()) {
    if (m.id_wire != kWire) return cannot(field, kWire, "the file is stored at another provider");
    source = {{"type", "file"}, {"file_id", m.id}};
  } else if (!m.url.empty()) {
    source = {{"type", "url"}, {"url", m.url}};
  } else {
    const auto mime = !m.mime.empty() ? std::string_view(m.mime) : m.kind == Media::Kind::image ? image_mime_from_base64(m.data) : "application/pdf";
    source = {{"type", "base64"}, {"media_type", mime}, {"data", m.data}};
  }
  json::object block{{"type", m.kind == Media::Kind::image ? "image" : "document"}, {"source", std::move(source)}};
  if (m.kind == Media::Kind::file && !m.name.empty()) block["title"] = m.name;
  return block;
}

Result<json::value> render_part(const Part& part, std::string_view field);

Result<json::value> render_result(const ToolResult& r, std::string_view field) {
  json::object block{{"type", "tool_result"}, {"tool_use_id", r.id}};
  if (r.parts.size() == 1 && as<Text>(r.parts[0]) != nullptr) {
    block["content"] = as<Text>(r.parts[0])->text;
  } else if (!r.parts.empty()) {
    json::array content;
    for (const auto& p : r.parts) {
      auto v = render_part(p, field);
      if (!v) return v;
      content.push_back(std::move(*v));
    }
    block["content"] = std::move(content);
  }
  if (r.is_error) block["is_error"] = true;
  return block;
}

Result<json::value> render_body(const Part& part, std::string_view field) {
  if (const auto* t = as<Text>(part)) {
    if (t->text.empty()) return json::value();   // empty text blocks are refused
    json::object block{{"type", "text"}, {"text", t->text}};
    return block;
  }
  if (const auto* r = as<Refusal>(part)) return json::object{{"type", "text"}, {"text", r->text}};
  if (const auto* m = as<Media>(part)) return render_media(*m, field);
  if (const auto* c = as<ToolCall>(part))
    return json::object{{"type", "tool_use"}, {"id", c->id}, {"name", c->name}, {"input", arguments_object(c->arguments)}};
  if (const auto* r = as<ToolResult>(part)) return render_result(*r, field);
  if (const auto* g = as<Reasoning>(part)) {
    // Thoughts without this API's own signature are refused by it: they are left out.
    if (g->sealed_by != kWire) return json::value();
    if (!g->encrypted.empty()) return json::object{{"type", "redacted_thinking"}, {"data", g->encrypted}};
    if (g->signature.empty()) return json::value();
    return json::object{{"type", "thinking"}, {"thinking", g->text}, {"signature", g->signature}};
  }
  return as<Opaque>(part)->raw;
}

Result<json::value> render_part(const Part& part, std::string_view field) {
  auto v = render_body(part, field);
  if (v && v->is_object() && part.cache) v->get_object()["cache_control"] = cache_json(*part.cache);
  return v;
}

// Roles alternate and the results of one turn's calls share one message, first in it.
void append(json::array& messages, std::string_view role, json::array blocks) {
  if (blocks.empty()) return;
  const auto results_first = [](json::array& all) {
    json::array sorted, rest;
    for (auto& b : all) (b.is_object() && b.get_object().contains("tool_use_id") ? sorted : rest).push_back(std::move(b));
    for (auto& b : rest) sorted.push_back(std::move(b));
    all = std::move(sorted);
  };
  if (!messages.empty() && messages.back().get_object()["role"] == json::value(role)) {
    auto& content = messages.back().get_object()["content"].get_array();
    for (auto& b : blocks) content.push_back(std::move(b));
    if (role == "user") results_first(content);
    return;
  }
  if (role == "user") results_first(blocks);
  messages.push_back(json::object{{"role", role}, {"content", std::move(blocks)}});
}

Result<json::array> render_messages(const ChatRequest& r, std::vector<Part>& system) {
  const bool own = r.origin && r.origin->wire == kWire;
  json::array out;
  for (std::size_t i = 0; i < r.messages.size(); ++i) {
    const auto& m = r.messages[i];
    if (m.role == Role::system && !own) {   // instructions in mid-conversation join those at the top
      system.insert(system.end(), m.parts.begin(), m.parts.end());
      continue;
    }
    json::array blocks;
    for (const auto& part : m.parts) {
      auto v = render_part(part, "messages[" + std::to_string(i) + "]");
      if (!v) return std::unexpected(v.error());
      if (!v->is_null()) blocks.push_back(std::move(*v));
    }
    const auto role = m.role == Role::assistant ? "assistant" : m.role == Role::system ? "system" : "user";
    if (own) out.push_back(json::object{{"role", role}, {"content", std::move(blocks)}});
    else append(out, role, std::move(blocks));
  }
  return out;
}

json::value render_tool(const Tool& t) {
  if (!t.hosted.is_null()) return t.hosted;
  json::object o{{"name", t.name}};
  if (!t.description.empty()) o["description"] = t.description;
  o["input_schema"] = t.schema.is_object() && t.schema.get_object().contains("type") ? t.schema
                      : json::value(json::object{{"type", "object"}, {"properties", json::object{}}});
  if (t.strict && *t.strict) o["strict"] = true;
  if (t.cache) o["cache_control"] = cache_json(*t.cache);
  return o;
}

Result<void> render_tools(const ChatRequest& r, json::object& out) {
  if (r.tools.empty()) return {};
  json::array tools;
  for (const auto& t : r.tools) tools.push_back(render_tool(t));
  out["tools"] = std::move(tools);
  json::object choice;
  if (r.tool_choice) {
    const auto& c = *r.tool_choice;
    if (c.names.size() > 1 || (c.names.size() == 1 && c.mode != ToolChoice::Mode::required))
      return cannot("tool_choice", kWire, "it can force one tool, not offer a choice of some");
    if (c.mode == ToolChoice::Mode::none) choice["type"] = "none";
    else if (!c.names.empty()) choice = {{"type", "tool"}, {"name", c.names[0]}};
    else choice["type"] = c.mode == ToolChoice::Mode::required ? "any" : "auto";
  }
  if (r.parallel_tool_calls) {
    if (choice.empty()) choice["type"] = "auto";
    if (choice["type"] != "none") choice["disable_parallel_tool_use"] = !*r.parallel_tool_calls;
  }
  if (!choice.empty()) out["tool_choice"] = std::move(choice);
  return {};
}

// With thinking on, an assistant turn that calls tools must start with its thoughts; a client of another API may not
// have kept them, and then thinking is left out for this call.
bool thoughts_missing(const ChatRequest& r) {
  for (auto m = r.messages.rbegin(); m != r.messages.rend(); ++m) {
    if (m->role == Role::user && std::ranges::none_of(m->parts, [](const Part& p) { return as<ToolResult>(p) != nullptr; })) return false;
    if (m->role != Role::assistant) continue;
    bool call = false, thought = false;
    for (const auto& p : m->parts) {
      call |= as<ToolCall>(p) != nullptr;
      if (const auto* g = as<Reasoning>(p)) thought |= g->sealed_by == kWire && g->sealed();
    }
    return call && !thought;
  }
  return false;
}

void render_reasoning(const ChatRequest& r, std::int64_t max_tokens, json::object& out) {
  if (!r.reasoning) return;
  const auto& o = *r.reasoning;
  const bool own = r.origin && r.origin->wire == kWire;
  if (own && !o.effort.empty()) out["output_config"].emplace_object()["effort"] = o.effort;
  if (!o.budget && (o.effort.empty() || own)) return;
  auto budget = o.budget ? *o.budget : budget_for(o.effort);
  if (budget == 0) { out["thinking"] = json::object{{"type", "disabled"}}; return; }
  if (budget < 0) {
    if (own) { out["thinking"] = json::object{{"type", "adaptive"}}; return; }
    budget = budget_for("medium");
  }
  if (!own) {
    budget = std::min(budget, max_tokens / 2);
    if (budget < kLeastBudget || thoughts_missing(r)) return;
  }
  out["thinking"] = json::object{{"type", "enabled"}, {"budget_tokens", budget}};
}

void render_format(const ChatRequest& r, json::object& out, std::vector<Part>& system) {
  if (!r.response_format || r.response_format->kind == ResponseFormat::Kind::text) return;
  if (r.response_format->kind == ResponseFormat::Kind::json) {
    system.push_back(text_part("Answer with one valid JSON value and nothing else: no prose, no code fences."));
    return;
  }
  json::object format{{"type", "json_schema"}, {"schema", r.response_format->schema}};
  auto& config = out["output_config"];
  if (!config.is_object()) config.emplace_object();
  config.get_object()["format"] = std::move(format);
}

json::value render_system(const std::vector<Part>& system) {
  const bool marked = std::ranges::any_of(system, [](const Part& p) { return p.cache.has_value() || as<Text>(p) == nullptr; });
  if (!marked) return json::value(joined_text(system));
  json::array blocks;
  for (const auto& p : system)
    if (auto v = render_part(p, "system"); v && !v->is_null()) blocks.push_back(std::move(*v));
  return blocks;
}

}  // namespace

Result<json::object> render_anthropic_request(const ChatRequest& r) {
  if (r.n && *r.n > 1) return cannot("n", kWire, "it gives one answer a call");
  const bool own = r.origin && r.origin->wire == kWire;
  if (r.logprobs) return cannot("logprobs", kWire, "it tells no log probabilities");
  json::object out{{"model", r.model}};
  const auto max_tokens = r.max_tokens.value_or(kDefaultMaxTokens);
  out["max_tokens"] = max_tokens;
  auto system = r.system;
  auto messages = render_messages(r, system);
  if (!messages) return std::unexpected(messages.error());
  if (messages->empty()) messages->push_back(json::object{{"role", "user"}, {"content", joined_text(system)}}), system.clear();
  render_format(r, out, system);
  if (!system.empty()) out["system"] = render_system(system);
  out["messages"] = std::move(*messages);
  if (auto ok = render_tools(r, out); !ok) return std::unexpected(ok.error());
  render_reasoning(r, max_tokens, out);
  const auto* thinking = out.if_contains("thinking");
  const bool thinks = !own && thinking != nullptr && thinking->get_object().at("type") != "disabled";
  // Thinking allows only the default sampling.
  if (r.temperature && !thinks) out["temperature"] = std::min(*r.temperature, 1.0);
  if (r.top_p && !thinks) out["top_p"] = *r.top_p;
  if (r.top_k && !thinks) out["top_k"] = *r.top_k;
  if (!r.stop.empty()) out["stop_sequences"] = json::value_from(r.stop);
  if (r.stream) out["stream"] = true;
  if (!r.user.empty()) out["metadata"] = json::object{{"user_id", r.user}};
  return out;
}

}  // namespace ballast::llm
