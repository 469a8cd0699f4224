// OpenAI chat completions, the request side: https://platform.openai.com/docs/api-reference/chat/create
#include <algorithm>
#include <deque>

#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr std::string_view kShared[] = {"service_tier", "store", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"};

Media parse_media(const Node& part, Media::Kind kind, std::string_view key) {
  Media m{.kind = kind};
  auto inner = part.find(key);
  if (!inner) return part.fail("needs " + std::string(key)), m;
  std::string url;
  if (inner->is_string()) {
    url = inner->text();
  } else if (inner->is_object()) {
    m.detail = inner->str("detail");
    m.name = inner->str("filename");
    m.id = inner->str("file_id");
    url = inner->str(kind == Media::Kind::image ? "url" : "file_data");
  } else {
    inner->fail("must be an object");
  }
  if (const auto data = parse_data_url(url)) m.mime = data->mime, m.data = data->base64;
  else if (kind == Media::Kind::file && key == "file") m.data = url, m.mime = mime_from_name(m.name);
  else m.url = url, m.mime = mime_from_name(url);
  if (m.data.empty() && m.url.empty() && m.id.empty()) inner->fail("is empty");
  return m;
}

Part parse_part(const Node& node) {
  if (node.is_string()) return text_part(node.text());
  Part part;
  if (!node.is_object()) return node.fail("must be an object"), part;
  const auto type = node.str("type");
  if (type == "text" || type == "input_text" || type == "output_text") part.body = Text{.text = node.required_str("text")};
  else if (type == "refusal") part.body = Refusal{node.required_str("refusal")};
  else if (type == "image_url") part.body = parse_media(node, Media::Kind::image, "image_url");
  else if (type == "file") part.body = parse_media(node, Media::Kind::file, "file");
  else if (type == "document_url") part.body = parse_media(node, Media::Kind::file, "document_url");
  else if (type == "input_audio") {
    Media m{.kind = Media::Kind::audio};
    if (auto audio = node.object("input_audio")) m.data = audio->required_str("data"), m.mime = audio_mime(audio->str("format"));
    else node.fail("needs input_audio");
    part.body = std::move(m);
  }
  else if (type.empty()) node.fail("needs a type");
  else part.body = Opaque{Wire::openai_chat, node.value()};
  part.cache = parse_cache(node);
  return part;
}

void parse_content(const Node& message, std::vector<Part>& out) {
  auto content = message.find("content");
  if (!content) return;
  if (content->is_string()) return out.push_back(text_part(content->text()));
  if (!content->is_array()) return content->fail("must be a string or an array");
  for (std::size_t i = 0; i < content->size(); ++i) out.push_back(parse_part(content->item(i)));
}

// Some compatible providers leave the ids of calls and results out: they match in order.
struct OpenCalls {
  std::deque<std::string> ids;
  std::size_t count = 0;
  void name(std::vector<Part>& parts) {
    for (auto& p : parts)
      if (auto* call = std::get_if<ToolCall>(&p.body)) {
        if (call->id.empty()) call->id = "call_" + std::to_string(count);
        ++count;
        ids.push_back(call->id);
      }
  }
  void answer(const Node& message, ToolResult& result) {
    if (result.id.empty() && !ids.empty()) result.id = ids.front();
    if (result.id.empty()) message.required_str("tool_call_id");
    std::erase(ids, result.id);
  }
};

void parse_messages(const Node& list, ChatRequest& out) {
  if (list.size() == 0) list.fail("must not be empty");
  bool leading = true;
  OpenCalls open;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto node = list.item(i);
    if (!node.is_object()) return node.fail("must be an object");
    const auto role = node.required_str("role");
    Message m;
    m.name = node.str("name");
    m.prefill = node.boolean("prefix").value_or(false);
    if (role == "system" || role == "developer") {
      parse_content(node, leading ? out.system : m.parts);
      if (leading) continue;
      m.role = Role::system;
    } else if (role == "user") {
      parse_content(node, m.parts);
    } else if (role == "assistant" || role == "model") {
      m.role = Role::assistant;
      parse_chat_message(node, m.parts);
      open.name(m.parts);
      if (node.find("audio")) out.bound.push_back("messages[" + std::to_string(i) + "].audio");
    } else if (role == "tool" || role == "function") {
      m.role = Role::tool;
      ToolResult result{.id = role == "tool" ? node.str("tool_call_id") : m.name, .name = m.name};
      open.answer(node, result);
      parse_content(node, result.parts);
      m.name.clear();
      m.parts.push_back({.body = std::move(result)});
      if (role == "function") out.bound.push_back("messages[" + std::to_string(i) + "].role");
    } else {
      node.fail_at("role", "must be system, developer, user, assistant or tool");
    }
    leading = false;
    out.messages.push_back(std::move(m));
  }
}

void parse_tools(const Node& body, ChatRequest& out) {
  if (auto list = body.array("tools")) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      const auto node = list->item(i);
      if (!node.is_object()) return node.fail("must be an object");
      Tool tool;
      tool.cache = parse_cache(node);
      const auto type = node.str("type");
      if (auto f = node.object("function"); f && (type == "function" || type.empty())) {
        tool.name = f->required_str("name");
        tool.description = f->str("description");
        tool.schema = f->raw("parameters");
        tool.strict = f->boolean("strict");
      } else {
        if (type == "function") node.fail("needs function");
        tool.hosted = node.value();
      }
      out.tools.push_back(std::move(tool));
    }
  }
  if (body.find("functions")) out.bound.emplace_back("functions");
}

void parse_tool_choice(const Node& node, ChatRequest& out) {
  ToolChoice choice;
  if (node.is_string()) {
    const auto mode = node.text();
    if (mode == "none") choice.mode = ToolChoice::Mode::none;
    else if (mode == "required" || mode == "any") choice.mode = ToolChoice::Mode::required;
    else if (mode != "auto") return node.fail("must be none, auto, required or an object");
  } else if (!node.is_object()) {
    return node.fail("must be a string or an object");
  } else if (auto f = node.object("function")) {
    choice = {ToolChoice::Mode::required, {f->required_str("name")}};
  } else if (auto allowed = node.object("allowed_tools")) {
    if (allowed->str("mode") == "required") choice.mode = ToolChoice::Mode::required;
    if (auto tools = allowed->array("tools"))
      for (std::size_t i = 0; i < tools->size(); ++i)
        if (auto fn = tools->item(i).object("function")) choice.names.push_back(fn->required_str("name"));
  } else {
    out.bound.emplace_back("tool_choice");
  }
  out.tool_choice = std::move(choice);
}

void parse_reasoning(const Node& body, ChatRequest& out) {
  ReasoningOptions r;
  bool any = false;
  if (auto effort = body.str("reasoning_effort"); !effort.empty()) r.effort = effort, any = true;
  if (auto o = body.object("reasoning")) {   // OpenRouter's
    any = true;
    if (auto effort = o->str("effort"); !effort.empty()) r.effort = effort;
    r.budget = o->integer("max_tokens", 0);
    if (const auto on = o->boolean("enabled"); on && r.effort.empty() && !r.budget) r.effort = *on ? "medium" : "none";
  }
  if (auto o = body.find("thinking"); o && o->is_object() && r.effort.empty()) {   // DeepSeek's, Z.ai's
    any = true;
    r.effort = o->str("type") == "disabled" ? "none" : "medium";
  }
  if (any) out.reasoning = std::move(r);
}

void parse_bound(const Node& body, ChatRequest& out) {
  for (const std::string_view field : {"audio", "web_search_options", "plugins"})
    if (body.find(field)) out.bound.emplace_back(field);
  if (auto list = body.array("modalities"))
    for (std::size_t i = 0; i < list->size(); ++i)
      if (list->item(i).text() != "text") { out.bound.emplace_back("modalities"); break; }
}

}  // namespace

std::optional<CacheMark> parse_cache(const Node& node) {
  if (!node.is_object()) return std::nullopt;
  auto mark = node.find("cache_control");
  if (!mark || !mark->is_object()) return std::nullopt;
  return CacheMark{mark->str("ttl")};
}

std::optional<ResponseFormat> parse_openai_format(const Node& node, bool nested) {
  ResponseFormat f;
  const auto type = node.required_str("type");
  if (type == "text") return f;
  if (type == "json_object") { f.kind = ResponseFormat::Kind::json; return f; }
  if (type != "json_schema") return node.fail("must be of type text, json_object or json_schema"), std::nullopt;
  f.kind = ResponseFormat::Kind::schema;
  const auto inner = nested ? node.object("json_schema") : std::optional(node);
  if (!inner) return node.fail("needs json_schema"), std::nullopt;
  f.name = inner->str("name");
  f.description = inner->str("description");
  f.schema = inner->raw("schema");
  f.strict = inner->boolean("strict");
  return f;
}

json::object render_openai_format(const ResponseFormat& f, bool nested) {
  if (f.kind == ResponseFormat::Kind::text) return {{"type", "text"}};
  if (f.kind == ResponseFormat::Kind::json) return {{"type", "json_object"}};
  json::object inner{{"name", f.name.empty() ? "response" : f.name}};
  if (!f.description.empty()) inner["description"] = f.description;
  if (!f.schema.is_null()) inner["schema"] = f.schema;
  if (f.strict) inner["strict"] = *f.strict;
  if (nested) return {{"type", "json_schema"}, {"json_schema", std::move(inner)}};
  inner["type"] = "json_schema";
  return inner;
}

void parse_openai_shared(const Node& body, ChatRequest& out) {
  for (const auto key : kShared)
    if (auto v = body.find(key)) out.openai[key] = v->value();
  out.user = body.str("user");
  if (auto m = body.object("metadata")) out.metadata = m->value().get_object();
  out.parallel_tool_calls = body.boolean("parallel_tool_calls");
  out.temperature = body.number("temperature", 0, 2);
  out.top_p = body.number("top_p", 0, 1);
  out.stream = body.boolean("stream").value_or(false);
}

void render_openai_shared(const ChatRequest& r, json::object& out) {
  for (const auto& [key, value] : r.openai) out[key] = value;
  if (!r.user.empty()) out["user"] = r.user;
  if (!r.metadata.empty()) out["metadata"] = r.metadata;
  if (r.parallel_tool_calls && !r.tools.empty()) out["parallel_tool_calls"] = *r.parallel_tool_calls;
  if (r.temperature) out["temperature"] = *r.temperature;
  if (r.top_p) out["top_p"] = *r.top_p;
  if (r.stream) out["stream"] = true;
}

void parse_chat_request(const Node& body, ChatRequest& out) {
  out.model = body.required_str("model");
  if (auto list = body.required("messages")) {
    if (list->is_array()) parse_messages(*list, out);
    else list->fail("must be an array");
  }
  parse_tools(body, out);
  if (auto choice = body.find("tool_choice")) parse_tool_choice(*choice, out);
  parse_openai_shared(body, out);
  const auto old_limit = body.integer("max_tokens", 1);
  out.max_tokens = body.integer("max_completion_tokens", 1);
  if (!out.max_tokens) out.max_tokens = old_limit;
  out.n = body.integer("n", 1, 128);
  out.seed = body.integer("seed", INT64_MIN);
  out.top_k = body.integer("top_k", 0);
  out.frequency_penalty = body.number("frequency_penalty", -2, 2);
  out.presence_penalty = body.number("presence_penalty", -2, 2);
  if (auto stop = body.find("stop")) {
    if (stop->is_string()) out.stop.push_back(stop->text());
    else if (stop->is_array()) for (std::size_t i = 0; i < stop->size(); ++i) out.stop.push_back(stop->item(i).text());
    else stop->fail("must be a string or an array");
  }
  if (body.boolean("logprobs").value_or(false)) out.logprobs = body.integer("top_logprobs", 0, 20).value_or(0);
  if (auto format = body.object("response_format")) out.response_format = parse_openai_format(*format, true);
  if (auto o = body.object("stream_options")) out.include_usage = o->boolean("include_usage").value_or(false);
  parse_reasoning(body, out);
  parse_bound(body, out);
}

// ---- Rendering ----------------------------------------------------------------------------------------------------

namespace {

Result<json::value> render_part(const Part& part, bool own, std::string_view field) {
  if (const auto* t = as<Text>(part)) return json::object{{"type", "text"}, {"text", t->text}};
  if (const auto* r = as<Refusal>(part)) return json::object{{"type", "refusal"}, {"refusal", r->text}};
  if (const auto* o = as<Opaque>(part)) return o->raw;
  const auto* m = as<Media>(part);
  if (m == nullptr) return json::value();
  if (m->kind == Media::Kind::image) {
    if (!m->id.empty()) return cannot(field, Wire::openai_chat, "images are given by URL or as data, not by id");
    json::object url{{"url", m->url.empty() ? data_url(m->mime.empty() ? image_mime_from_base64(m->data) : m->mime, m->data) : m->url}};
    if (!m->detail.empty()) url["detail"] = m->detail;
    return json::object{{"type", "image_url"}, {"image_url", std::move(url)}};
  }
  if (m->kind == Media::Kind::audio) {
    if (m->data.empty()) return cannot(field, Wire::openai_chat, "audio is given as data");
    return json::object{{"type", "input_audio"}, {"input_audio", json::object{{"data", m->data}, {"format", audio_format(m->mime)}}}};
  }
  if (m->mime.starts_with("video/")) return cannot(field, Wire::openai_chat, "it takes no video");
  json::object file;
  if (!m->id.empty()) {
    if (m->id_wire != Wire::openai_chat && m->id_wire != Wire::openai_responses)
      return cannot(field, Wire::openai_chat, "the file is stored at another provider");
    file["file_id"] = m->id;
  } else if (!m->url.empty()) {
    if (own) return json::object{{"type", "document_url"}, {"document_url", m->url}};   // Mistral's
    return cannot(field, Wire::openai_chat, "files are given as data or by id, not by URL");
  } else {
    file = {{"filename", m->name.empty() ? "document.pdf" : m->name}, {"file_data", data_url(m->mime, m->data)}};
  }
  return json::object{{"type", "file"}, {"file", std::move(file)}};
}

Result<json::value> render_content(const std::vector<Part>& parts, bool own, std::string_view field) {
  if (parts.size() == 1 && as<Text>(parts[0]) != nullptr) return json::value(as<Text>(parts[0])->text);
  json::array out;
  for (const auto& part : parts) {
    auto v = render_part(part, own, field);
    if (!v) return v;
    if (!v->is_null()) out.push_back(std::move(*v));
  }
  return json::value(std::move(out));
}

// Tool results become messages of their own; what they hold besides text follows in a user message, because a tool
// message takes text alone.
struct Rendered {
  bool own = false;                    // the caller spoke this wire
  json::array messages;
  std::vector<Part> media;             // of tool results, waiting for the last of them
  Result<void> flush(std::string_view field) {
    if (media.empty()) return {};
    auto content = render_content(media, own, field);
    if (!content) return std::unexpected(content.error());
    media.clear();
    messages.push_back(json::object{{"role", "user"}, {"content", std::move(*content)}});
    return {};
  }
};

void render_tool_result(const ToolResult& r, Rendered& out) {
  std::vector<Part> media;
  for (const auto& part : r.parts)
    if (as<Media>(part) != nullptr) media.push_back(part);
  auto text = joined_text(r.parts, "\n");
  if (text.empty() && !media.empty()) text = "The result follows in the next message.";
  out.messages.push_back(json::object{{"role", "tool"}, {"tool_call_id", r.id}, {"content", std::move(text)}});
  for (auto& m : media) out.media.push_back(std::move(m));
}

Result<json::object> render_assistant(const Message& m, std::string_view field) {
  auto out = render_chat_message(m.parts, false);
  std::vector<Part> content;
  for (const auto& p : m.parts) {
    if (as<Media>(p) != nullptr) return cannot(field, Wire::openai_chat, "the assistant's media");
    if (as<Opaque>(p) != nullptr) content.push_back(p);
  }
  if (m.prefill) out["prefix"] = true;
  if (!content.empty()) out["content"] = *render_content(content, true, field);
  return out;
}

Result<void> render_messages(const ChatRequest& r, Rendered& out) {
  if (!r.system.empty()) {
    const bool plain = std::ranges::none_of(r.system, [](const Part& p) { return as<Opaque>(p) != nullptr || as<Media>(p) != nullptr; });
    auto content = plain ? Result<json::value>(joined_text(r.system)) : render_content(r.system, out.own, "system");
    if (!content) return std::unexpected(content.error());
    out.messages.push_back(json::object{{"role", "system"}, {"content", std::move(*content)}});
  }
  for (std::size_t i = 0; i < r.messages.size(); ++i) {
    Message m = r.messages[i];
    const auto field = "messages[" + std::to_string(i) + "]";
    // The calls of a turn belong into one message here, so that their results can follow it.
    while (!out.own && m.role == Role::assistant && i + 1 < r.messages.size() && r.messages[i + 1].role == Role::assistant) {
      ++i;
      m.parts.insert(m.parts.end(), r.messages[i].parts.begin(), r.messages[i].parts.end());
    }
    std::vector<Part> rest;
    for (const auto& part : m.parts) {
      if (const auto* result = as<ToolResult>(part)) render_tool_result(*result, out);
      else rest.push_back(part);
    }
    if (m.role == Role::tool && rest.empty()) continue;
    if (auto ok = out.flush(field); !ok) return ok;
    if (rest.empty() && m.parts.size() > 0) continue;
    json::object object;
    if (m.role == Role::assistant) {
      auto rendered = render_assistant(m, field);
      if (!rendered) return std::unexpected(rendered.error());
      object = std::move(*rendered);
    } else {
      auto content = render_content(rest, out.own, field);
      if (!content) return std::unexpected(content.error());
      object = {{"role", m.role == Role::system ? "system" : "user"}, {"content", std::move(*content)}};
    }
    if (!m.name.empty()) object["name"] = m.name;
    out.messages.push_back(std::move(object));
  }
  return out.flush("messages");
}

json::value render_choice(const ToolChoice& c) {
  if (c.mode == ToolChoice::Mode::none) return "none";
  const bool required = c.mode == ToolChoice::Mode::required;
  if (c.names.empty()) return required ? "required" : "auto";
  if (required && c.names.size() == 1) return json::object{{"type", "function"}, {"function", json::object{{"name", c.names[0]}}}};
  json::array tools;
  for (const auto& name : c.names) tools.push_back(json::object{{"type", "function"}, {"function", json::object{{"name", name}}}});
  return json::object{{"type", "allowed_tools"},
                      {"allowed_tools", json::object{{"mode", required ? "required" : "auto"}, {"tools", std::move(tools)}}}};
}

json::value render_tool(const Tool& t) {
  if (!t.hosted.is_null()) return t.hosted;
  json::object f{{"name", t.name}};
  if (!t.description.empty()) f["description"] = t.description;
  if (!t.schema.is_null()) f["parameters"] = t.schema;
  if (t.strict) f["strict"] = *t.strict;
  return json::object{{"type", "function"}, {"function", std::move(f)}};
}

}  // namespace

Result<json::object> render_chat_request(const ChatRequest& r) {
  json::object out{{"model", r.model}};
  Rendered rendered;
  rendered.own = r.origin && r.origin->wire == Wire::openai_chat;
  if (auto ok = render_messages(r, rendered); !ok) return std::unexpected(ok.error());
  out["messages"] = std::move(rendered.messages);
  if (!r.tools.empty()) {
    json::array tools;
    for (const auto& t : r.tools) tools.push_back(render_tool(t));
    out["tools"] = std::move(tools);
  }
  if (r.tool_choice && !r.tools.empty()) out["tool_choice"] = render_choice(*r.tool_choice);
  // OpenAI's reasoning models know the long name alone, most compatible providers the short one.
  if (r.max_tokens) {
    const bool ours = r.origin && r.origin->wire == Wire::openai_chat;
    const bool brief = ours ? !r.origin->document->contains("max_completion_tokens") : false;
    out[brief ? "max_tokens" : "max_completion_tokens"] = *r.max_tokens;
  }
  if (r.n) out["n"] = *r.n;
  if (r.seed) out["seed"] = *r.seed;
  if (r.frequency_penalty) out["frequency_penalty"] = *r.frequency_penalty;
  if (r.presence_penalty) out["presence_penalty"] = *r.presence_penalty;
  if (r.top_k && r.origin && r.origin->wire == Wire::openai_chat) out["top_k"] = *r.top_k;
  if (!r.stop.empty()) out["stop"] = json::value_from(r.stop);
  if (r.logprobs) {
    out["logprobs"] = true;
    if (*r.logprobs > 0) out["top_logprobs"] = *r.logprobs;
  }
  if (r.response_format) out["response_format"] = render_openai_format(*r.response_format, true);
  if (r.reasoning) {
    if (!r.reasoning->effort.empty()) out["reasoning_effort"] = r.reasoning->effort == "max" ? "xhigh" : r.reasoning->effort;
    else if (r.reasoning->budget) out["reasoning_effort"] = effort_for(*r.reasoning->budget);
  }
  render_openai_shared(r, out);
  if (r.stream && r.include_usage) out["stream_options"] = json::object{{"include_usage", true}};
  return out;
}

}  // namespace ballast::llm
