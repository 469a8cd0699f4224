// Gemini generateContent, the request side: https://ai.google.dev/api/generate-content. Both spellings of a member
// (camelCase and snake_case) are read, as protobuf's JSON mapping has it.
#include <algorithm>
#include <deque>
#include <map>

#include "base/json.hpp"
#include "llm/structured.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::gemini;

Media::Kind kind_of(std::string_view mime) {
  if (mime.starts_with("image/")) return Media::Kind::image;
  return mime.starts_with("audio/") ? Media::Kind::audio : Media::Kind::file;
}

// Calls without ids (Vertex) are matched to their results by name and order.
struct CallIds {
  std::size_t calls = 0;
  std::map<std::string, std::deque<std::string>, std::less<>> open;

  void name_calls(std::vector<Part>& parts) {
    for (auto& p : parts) {
      if (auto* c = std::get_if<ToolCall>(&p.body)) {
        if (c->id.empty()) c->id = "call_" + std::to_string(calls);
        ++calls;
        open[c->name].push_back(c->id);
      } else if (auto* r = std::get_if<ToolResult>(&p.body)) {
        auto& queue = open[r->name];
        if (r->id.empty() && !queue.empty()) r->id = queue.front();
        if (const auto at = std::ranges::find(queue, r->id); at != queue.end()) queue.erase(at);
        if (r->id.empty()) r->id = "call_" + r->name;
      }
    }
  }
};

ToolResult parse_result(const Node& f) {
  ToolResult result{.id = f.str("id"), .name = f.required_str("name")};
  if (auto response = f.find("response")) {
    const json::value* told = &response->value();
    if (told->is_object()) {
      const auto& o = told->get_object();
      // The documented convention: {"output": …} or {"error": …}.
      if (const auto* output = o.if_contains("output"); output != nullptr && o.size() == 1) told = output;
      else if (const auto* error = o.if_contains("error"); error != nullptr && o.size() == 1) told = error, result.is_error = true;
      else if (const auto* plain = o.if_contains("result"); plain != nullptr && o.size() == 1) told = plain;
    }
    result.parts.push_back(text_part(told->is_string() ? std::string(view(told->get_string())) : to_json(*told)));
  }
  if (auto parts = f.array("parts")) {
    std::size_t calls = 0;
    for (std::size_t i = 0; i < parts->size(); ++i) {
      std::optional<Error> ignored;
      json::value wrapped(json::object{{"parts", json::array{parts->item(i).value()}}});
      parse_gemini_parts(Node(JsonRef(wrapped), ignored), result.parts, calls);
    }
  }
  return result;
}

}  // namespace

void parse_gemini_parts(const Node& content, std::vector<Part>& out, std::size_t& calls) {
  auto list = content.find("parts");
  if (!list) return;
  const std::size_t count = list->is_array() ? list->size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = list->is_array() ? list->item(i) : *list;
    if (!node.is_object()) return node.fail("must be an object");
    auto signature = node.str("thoughtSignature");
    if (signature.empty()) signature = node.str("thought_signature");
    if (auto text = node.find("text")) {
      if (node.boolean("thought").value_or(false))
        out.push_back({.body = Reasoning{.text = text->text(), .summary = true, .signature = std::move(signature), .sealed_by = kWire}});
      else
        out.push_back({.body = Text{text->text(), std::move(signature)}});
    } else if (auto call = node.find("functionCall", "function_call")) {
      ToolCall c{.id = call->str("id"), .name = call->str("name"), .arguments = "{}", .signature = std::move(signature)};
      if (auto args = call->find("args")) c.arguments = to_json(args->value());
      ++calls;
      out.push_back({.body = std::move(c)});
    } else if (auto f = node.find("functionResponse", "function_response")) {
      out.push_back({.body = parse_result(*f)});
    } else if (auto data = node.find("inlineData", "inline_data")) {
      Media m{.mime = data->str("mimeType"), .data = data->required_str("data")};
      if (m.mime.empty()) m.mime = data->str("mime_type");
      m.kind = kind_of(m.mime);
      out.push_back({.body = std::move(m)});
    } else if (auto file = node.find("fileData", "file_data")) {
      Media m{.mime = file->str("mimeType"), .url = file->str("fileUri")};
      if (m.mime.empty()) m.mime = file->str("mime_type");
      if (m.url.empty()) m.url = file->str("file_uri");
      m.kind = kind_of(m.mime);
      // A file of the Files API or of a bucket is nobody else's to fetch.
      if (!m.url.starts_with("http") || m.url.find("generativelanguage.googleapis.com") != std::string::npos)
        m.id = std::move(m.url), m.url.clear(), m.id_wire = kWire;
      out.push_back({.body = std::move(m)});
    } else {
      out.push_back({.body = Opaque{kWire, node.value()}});
    }
  }
}

namespace {

void parse_contents(const Node& list, ChatRequest& out) {
  CallIds ids;
  const std::size_t count = list.is_array() ? list.size() : list.is_object() ? 1 : 0;
  if (count == 0) list.fail("must hold at least one content");
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = list.is_array() ? list.item(i) : list;
    if (!node.is_object()) return node.fail("must be an object");
    Message m;
    const auto role = node.str("role");
    if (role == "model") m.role = Role::assistant;
    else if (!role.empty() && role != "user" && role != "function") node.fail_at("role", "must be user or model");
    std::size_t calls = 0;
    parse_gemini_parts(node, m.parts, calls);
    ids.name_calls(m.parts);
    m.prefill = m.role == Role::assistant && i + 1 == count;
    out.messages.push_back(std::move(m));
  }
}

void parse_tools(const Node& list, ChatRequest& out) {
  const std::size_t count = list.is_array() ? list.size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = list.is_array() ? list.item(i) : list;
    if (!node.is_object()) return node.fail("must be an object");
    auto declared = node.find("functionDeclarations", "function_declarations");
    for (std::size_t k = 0; declared && k < declared->size(); ++k) {
      const auto f = declared->item(k);
      Tool tool{.name = f.required_str("name"), .description = f.str("description")};
      for (const std::string_view key : {"parametersJsonSchema", "parameters_json_schema", "parameters"})
        if (auto schema = f.find(key)) { tool.schema = schema->value(); break; }
      out.tools.push_back(std::move(tool));
    }
    if (!declared || node.value().get_object().size() > 1) out.tools.push_back(Tool{.hosted = node.value()});
  }
}

void parse_tool_config(const Node& config, ChatRequest& out) {
  auto f = config.find("functionCallingConfig", "function_calling_config");
  if (!f) return;
  ToolChoice c;
  const auto mode = f->str("mode");
  if (mode == "ANY") c.mode = ToolChoice::Mode::required;
  else if (mode == "NONE") c.mode = ToolChoice::Mode::none;
  if (auto names = f->find("allowedFunctionNames", "allowed_function_names"))
    for (std::size_t i = 0; i < names->size(); ++i) c.names.push_back(names->item(i).text());
  out.tool_choice = std::move(c);
}

std::optional<std::int64_t> either(const Node& n, std::string_view a, std::string_view b, std::int64_t low, std::int64_t high = INT64_MAX) {
  auto v = n.integer(a, low, high);
  return v ? v : n.integer(b, low, high);
}
std::optional<double> either_number(const Node& n, std::string_view a, std::string_view b, double low, double high) {
  auto v = n.number(a, low, high);
  return v ? v : n.number(b, low, high);
}

void parse_thinking(const Node& g, ChatRequest& out) {
  auto t = g.find("thinkingConfig", "thinking_config");
  if (!t || !t->is_object()) return;
  ReasoningOptions r;
  r.budget = either(*t, "thinkingBudget", "thinking_budget", -1);
  r.include = t->boolean("includeThoughts");
  if (!r.include) r.include = t->boolean("include_thoughts");
  auto level = t->find("thinkingLevel", "thinking_level");
  if (level) r.effort = level->text();
  std::ranges::transform(r.effort, r.effort.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  out.reasoning = std::move(r);
}

void parse_generation(const Node& g, ChatRequest& out) {
  out.max_tokens = either(g, "maxOutputTokens", "max_output_tokens", 1);
  out.temperature = g.number("temperature", 0, 2);
  out.top_p = either_number(g, "topP", "top_p", 0, 1);
  if (const auto k = either_number(g, "topK", "top_k", 0, 1e9)) out.top_k = static_cast<std::int64_t>(*k);
  out.n = either(g, "candidateCount", "candidate_count", 1, 128);
  out.seed = g.integer("seed", INT64_MIN);
  out.frequency_penalty = either_number(g, "frequencyPenalty", "frequency_penalty", -2, 2);
  out.presence_penalty = either_number(g, "presencePenalty", "presence_penalty", -2, 2);
  if (auto stop = g.find("stopSequences", "stop_sequences"))
    for (std::size_t i = 0; i < stop->size(); ++i) out.stop.push_back(stop->item(i).text());
  out.response_format = parse_gemini_format(g);
  parse_thinking(g, out);
  if (g.boolean("responseLogprobs").value_or(false)) out.bound.emplace_back("generationConfig.responseLogprobs");
  if (auto m = g.find("responseModalities", "response_modalities"))
    for (std::size_t i = 0; i < m->size(); ++i)
      if (m->item(i).text_view() != "TEXT" && m->item(i).text_view() != "Text") { out.bound.emplace_back("generationConfig.responseModalities"); break; }
  if (g.find("speechConfig", "speech_config")) out.bound.emplace_back("generationConfig.speechConfig");
}

}  // namespace

void parse_gemini_request(const Node& body, ChatRequest& out) {
  out.model = body.str("model");
  if (auto list = body.required("contents")) parse_contents(*list, out);
  if (auto system = body.find("systemInstruction", "system_instruction")) {
    std::size_t calls = 0;
    if (system->is_string()) out.system.push_back(text_part(system->text()));
    else parse_gemini_parts(*system, out.system, calls);
  }
  if (auto list = body.find("tools")) parse_tools(*list, out);
  if (auto config = body.find("toolConfig", "tool_config")) parse_tool_config(*config, out);
  if (auto g = body.find("generationConfig", "generation_config")) {
    if (g->is_object()) parse_generation(*g, out);
    else g->fail("must be an object");
  }
  out.include_usage = true;
  if (body.find("cachedContent", "cached_content")) out.bound.emplace_back("cachedContent");
}

// ---- Rendering ----------------------------------------------------------------------------------------------------

json::object render_gemini_call(const ToolCall& call) {
  return {{"name", call.name}, {"args", arguments_object(call.arguments)}};
}

namespace {

struct Names { std::map<std::string, std::string, std::less<>> by_id; };

Result<json::value> render_media(const Media& m, std::string_view field) {
  if (!m.data.empty()) {
    const auto mime = !m.mime.empty() ? std::string_view(m.mime) : m.kind == Media::Kind::image ? image_mime_from_base64(m.data) : "application/pdf";
    return json::object{{"inlineData", json::object{{"mimeType", mime}, {"data", m.data}}}};
  }
  if (!m.id.empty() && m.id_wire != kWire) return cannot(field, kWire, "the file is stored at another provider");
  json::object file{{"fileUri", m.id.empty() ? m.url : m.id}};
  if (!m.mime.empty()) file["mimeType"] = m.mime;
  else if (m.kind == Media::Kind::image) file["mimeType"] = "image/jpeg";
  return json::object{{"fileData", std::move(file)}};
}

Result<json::value> render_result(const ToolResult& r, const Names& names, std::string_view field) {
  json::value told(joined_text(r.parts, "\n"));
  if (auto parsed = parse_json(view(told.get_string())); parsed && parsed->is_object()) told = std::move(*parsed);
  json::object response;
  if (r.is_error) response["error"] = std::move(told);
  else if (told.is_object()) response = std::move(told.get_object());
  else response["output"] = std::move(told);
  const auto name = names.by_id.find(r.id);
  json::object f{{"name", !r.name.empty() ? r.name : name != names.by_id.end() ? name->second : r.id}, {"response", std::move(response)}};
  json::array media;
  for (const auto& p : r.parts)
    if (const auto* m = as<Media>(p)) {
      auto v = render_media(*m, field);
      if (!v) return v;
      media.push_back(std::move(*v));
    }
  if (!media.empty()) f["parts"] = std::move(media);
  return json::object{{"functionResponse", std::move(f)}};
}

Result<json::value> render_part(const Part& part, const Names& names, std::string_view field) {
  if (const auto* t = as<Text>(part)) {
    if (t->text.empty() && t->signature.empty()) return json::value();
    json::object o{{"text", t->text}};
    if (!t->signature.empty()) o["thoughtSignature"] = t->signature;
    return o;
  }
  if (const auto* r = as<Refusal>(part)) return json::object{{"text", r->text}};
  if (const auto* m = as<Media>(part)) return render_media(*m, field);
  if (const auto* c = as<ToolCall>(part)) {
    json::object o{{"functionCall", render_gemini_call(*c)}};
    if (!c->signature.empty()) o["thoughtSignature"] = c->signature;
    return o;
  }
  if (const auto* r = as<ToolResult>(part)) return render_result(*r, names, field);
  if (const auto* o = as<Opaque>(part)) return o->raw;
  // Thoughts are the model's own notes; only its signatures, on the parts above, need to come back.
  return json::value();
}

// Gemini 3 refuses a call of a tool that no thought of its own sealed. Where the call came from another model, or its client kept no
// seals, Google's documented stand-in says so. The first call of a turn carries the seal for all.
void seal_calls(json::array& parts) {
  constexpr std::string_view stand_in = "skip_thought_signature_validator";
  for (auto& part : parts) {
    auto& o = part.get_object();
    if (!o.contains("functionCall")) continue;
    if (!o.contains("thoughtSignature")) o["thoughtSignature"] = stand_in;
    return;
  }
}

bool is_gemini_3(std::string_view model) { return model.find("gemini-3") != std::string_view::npos; }

Result<json::array> render_contents(const ChatRequest& r, json::array& system) {
  Names names;
  json::array out;
  const bool own = r.origin && r.origin->wire == kWire;
  for (std::size_t i = 0; i < r.messages.size(); ++i) {
    const auto& m = r.messages[i];
    json::array parts;
    for (const auto& part : m.parts) {
      if (const auto* c = as<ToolCall>(part)) names.by_id[c->id] = c->name;
      auto v = render_part(part, names, "messages[" + std::to_string(i) + "]");
      if (!v) return std::unexpected(v.error());
      if (!v->is_null()) (m.role == Role::system ? system : parts).push_back(std::move(*v));
    }
    if (m.role == Role::system || (parts.empty() && !own)) continue;
    if (m.role == Role::assistant && !own && is_gemini_3(r.model)) seal_calls(parts);
    const auto role = m.role == Role::assistant ? "model" : "user";
    // The results of parallel calls belong into one content.
    if (!own && !out.empty() && out.back().get_object()["role"] == role) {
      auto& into = out.back().get_object()["parts"].get_array();
      for (auto& p : parts) into.push_back(std::move(p));
    } else {
      out.push_back(json::object{{"role", role}, {"parts", std::move(parts)}});
    }
  }
  return out;
}

void render_tools(const ChatRequest& r, json::object& out) {
  json::array declared, list;
  for (const auto& t : r.tools) {
    if (!t.hosted.is_null()) { list.push_back(t.hosted); continue; }
    json::object f{{"name", t.name}};
    if (!t.description.empty()) f["description"] = t.description;
    if (t.schema.is_object() && !t.schema.get_object().empty()) f["parametersJsonSchema"] = t.schema;
    declared.push_back(std::move(f));
  }
  if (!declared.empty()) list.insert(list.begin(), json::object{{"functionDeclarations", std::move(declared)}});
  if (!list.empty()) out["tools"] = std::move(list);
  if (!r.tool_choice || r.tools.empty()) return;
  static constexpr std::string_view modes[] = {"AUTO", "NONE", "ANY"};
  json::object config{{"mode", modes[static_cast<std::size_t>(r.tool_choice->mode)]}};
  if (!r.tool_choice->names.empty()) {
    if (r.tool_choice->mode == ToolChoice::Mode::automatic) config["mode"] = "VALIDATED";   // AUTO takes no list
    config["allowedFunctionNames"] = json::value_from(r.tool_choice->names);
  }
  out["toolConfig"] = json::object{{"functionCallingConfig", std::move(config)}};
}

void render_thinking(const ChatRequest& r, json::object& g) {
  if (!r.reasoning) return;
  json::object t;
  const auto& o = *r.reasoning;
  const bool levels = is_gemini_3(r.model) || (r.origin && r.origin->wire == kWire);
  if (!o.effort.empty() && levels) t["thinkingLevel"] = o.effort == "none" || o.effort == "minimal" ? "minimal" : o.effort == "low" ? "low" : o.effort == "medium" ? "medium" : "high";
  else if (o.budget) t["thinkingBudget"] = *o.budget;
  else if (!o.effort.empty()) t["thinkingBudget"] = budget_for(o.effort);
  if (o.include) t["includeThoughts"] = *o.include;
  else if (!o.summary.empty()) t["includeThoughts"] = true;
  g["thinkingConfig"] = std::move(t);
}

json::object render_generation(const ChatRequest& r) {
  json::object g;
  if (r.max_tokens) g["maxOutputTokens"] = *r.max_tokens;
  if (r.temperature) g["temperature"] = *r.temperature;
  if (r.top_p) g["topP"] = *r.top_p;
  if (r.top_k) g["topK"] = *r.top_k;
  if (r.n && *r.n > 1) g["candidateCount"] = *r.n;
  if (r.seed) g["seed"] = *r.seed;
  if (r.frequency_penalty) g["frequencyPenalty"] = *r.frequency_penalty;
  if (r.presence_penalty) g["presencePenalty"] = *r.presence_penalty;
  if (!r.stop.empty()) g["stopSequences"] = json::value_from(r.stop);
  if (r.response_format && r.response_format->kind != ResponseFormat::Kind::text) {
    g["responseMimeType"] = "application/json";
    if (r.response_format->kind == ResponseFormat::Kind::schema && !r.response_format->schema.is_null())
      g["responseJsonSchema"] = r.response_format->schema;
  }
  render_thinking(r, g);
  return g;
}

}  // namespace

std::optional<ResponseFormat> parse_gemini_format(const Node& generation) {
  const auto mime = generation.find("responseMimeType", "response_mime_type");
  if (!mime || mime->text_view() != "application/json") return std::nullopt;
  ResponseFormat f{.kind = ResponseFormat::Kind::json};
  for (const std::string_view key : {"responseJsonSchema", "response_json_schema", "responseSchema", "response_schema"})
    if (const auto schema = generation.find(key)) {
      f.kind = ResponseFormat::Kind::schema;
      f.schema = key == "responseJsonSchema" || key == "response_json_schema" ? schema->value() : from_openapi_schema(schema->value());
      break;
    }
  return f;
}

Result<json::object> render_gemini_request(const ChatRequest& r) {
  if (r.logprobs) return cannot("logprobs", kWire);
  json::object out;
  json::array system;
  Names none;
  for (const auto& part : r.system) {
    auto v = render_part(part, none, "system");
    if (!v) return std::unexpected(v.error());
    if (!v->is_null()) system.push_back(std::move(*v));
  }
  auto contents = render_contents(r, system);
  if (!contents) return std::unexpected(contents.error());
  if (contents->empty()) contents->push_back(json::object{{"role", "user"}, {"parts", std::move(system)}}), system = {};
  out["contents"] = std::move(*contents);
  if (!system.empty()) out["systemInstruction"] = json::object{{"parts", std::move(system)}};
  render_tools(r, out);
  if (auto g = render_generation(r); !g.empty()) out["generationConfig"] = std::move(g);
  return out;
}

}  // namespace ballast::llm
