#include "llm/structured.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/provider.hpp"
#include "llm/wire.hpp"
#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr std::array<std::string_view, 4> kAskings{"native", "json", "tool", "prompt"};
constexpr int kDeepest = 64;             // of a schema that is rewritten; what is deeper is no hint any more

template <std::size_t N>
bool among(std::string_view key, const std::array<std::string_view, N>& list) { return std::ranges::find(list, key) != list.end(); }

// Keywords that hold schemas: by name, in a list, or one.
constexpr std::array<std::string_view, 5> kMaps{"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"};
constexpr std::array<std::string_view, 4> kLists{"anyOf", "allOf", "oneOf", "prefixItems"};
constexpr std::array<std::string_view, 3> kSingles{"items", "additionalProperties", "not"};

// What Anthropic's structured outputs read; the rest is refused there.
constexpr std::array<std::string_view, 16> kAnthropic{"type", "properties", "required", "items", "enum", "const", "anyOf", "allOf", "oneOf", "$ref", "$defs",
                                                      "definitions", "description", "title", "default", "format"};
constexpr std::array<std::string_view, 9> kAnthropicFormats{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "uuid"};
// What Gemini's responseJsonSchema reads.
constexpr std::array<std::string_view, 22> kGemini{"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "const", "enum", "items",
                                                   "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties",
                                                   "additionalProperties", "required", "propertyOrdering"};

bool says_object(const json::object& schema) {
  const auto* type = schema.if_contains("type");
  if (type == nullptr) return schema.contains("properties");
  if (type->is_string()) return type->get_string() == "object";
  return type->is_array() && std::ranges::any_of(type->get_array(), [](const json::value& t) { return t.is_string() && t.get_string() == "object"; });
}

// One schema after another through `rewrite`, which drops or changes its keywords; then those inside it. False: it gave up.
template <class Rewrite>
bool walk(json::value& schema, Rewrite& rewrite, int depth) {
  auto* object = schema.if_object();
  if (object == nullptr) return true;
  if (depth > kDeepest || !rewrite(*object)) return false;
  for (auto& [key, value] : *object) {
    if (among(key, kMaps) && value.is_object()) {
      for (auto& [name, inner] : value.get_object())
        if (!walk(inner, rewrite, depth + 1)) return false;
    } else if (among(key, kLists) && value.is_array()) {
      for (auto& inner : value.get_array())
        if (!walk(inner, rewrite, depth + 1)) return false;
    } else if (among(key, kSingles) && !walk(value, rewrite, depth + 1)) {
      return false;
    }
  }
  return true;
}

// Rules that a description can tell.
constexpr std::array<std::string_view, 13> kTellable{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
                                                     "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"};

// What the provider does not read is told to the model in the description instead, where that can be said in a word.
template <std::size_t N>
void keep_only(json::object& schema, const std::array<std::string_view, N>& known) {
  std::string told;
  for (const auto& [key, value] : schema)
    if (!among(key, known) && among(key, kTellable)) told += (told.empty() ? "" : ", ") + std::string(key) + ": " + to_json(value);
  for (std::size_t i = schema.size(); i-- > 0;)
    if (const auto at = schema.begin() + static_cast<std::ptrdiff_t>(i); !among(at->key(), known)) schema.stable_erase(at);
  if (told.empty()) return;
  auto& description = schema["description"];
  const std::string before = description.is_string() && !description.get_string().empty() ? std::string(view(description.get_string())) + " " : std::string();
  description = before + "(" + told + ")";
}

// Every object must be closed there: one that the schema leaves open is closed by the hint, unless the schema names its members by no other
// way than being open.
bool for_anthropic(json::object& schema) {
  if (schema.contains("$dynamicRef") || schema.contains("patternProperties")) return false;
  const auto* rest = schema.if_contains("additionalProperties");
  if (rest != nullptr && (rest->is_object() || (rest->is_bool() && rest->get_bool()))) return false;
  if (schema.empty()) return false;      // anything at all
  if (says_object(schema)) {
    const auto* properties = schema.if_contains("properties");
    if (properties == nullptr || !properties->is_object()) return false;
  }
  if (auto* one = schema.if_contains("oneOf"); one != nullptr && !schema.contains("anyOf")) {
    json::value alternatives = std::move(*one);
    schema.erase("oneOf");
    schema["anyOf"] = std::move(alternatives);
  }
  keep_only(schema, kAnthropic);
  schema.erase("oneOf");
  if (const auto* format = schema.if_contains("format"); format != nullptr && !(format->is_string() && among(format->get_string(), kAnthropicFormats)))
    schema.erase("format");
  if (says_object(schema)) schema["additionalProperties"] = false;
  return true;
}

// A reference to the whole, or to what holds it, never ends: it is refused there.
bool refers_to_itself(const json::value& schema, const json::value& root, int depth) {
  if (depth > kDeepest) return true;
  if (const auto* list = schema.if_array()) return std::ranges::any_of(*list, [&](const json::value& v) { return refers_to_itself(v, root, depth + 1); });
  const auto* object = schema.if_object();
  if (object == nullptr) return false;
  for (const auto& [key, value] : *object) {
    if (key == "$defs" || key == "definitions") continue;    // what nobody leads to does not matter
    if (key != "$ref") {
      if (refers_to_itself(value, root, depth + 1)) return true;
      continue;
    }
    const auto* path = value.if_string();
    if (path == nullptr || !path->starts_with("#/")) return true;
    boost::system::error_code bad;
    const auto* target = root.find_pointer(view(*path).substr(1), bad);
    if (target == nullptr || refers_to_itself(*target, root, depth + 4)) return true;
  }
  return false;
}

bool can_be_tool_input(const json::value& schema) {
  const auto* object = schema.if_object();
  const auto* type = object != nullptr ? object->if_contains("type") : nullptr;
  return type != nullptr && type->is_string() && type->get_string() == "object";
}

// Models from before Anthropic's structured outputs.
bool before_structured_outputs(std::string_view model) {
  constexpr std::array<std::string_view, 2> exact{"claude-opus-4", "claude-sonnet-4"};
  constexpr std::array<std::string_view, 10> early{"claude-v1", "claude-2", "claude-instant", "claude-3", "claude-4-opus", "claude-4-sonnet",
                                                   "claude-opus-4-0", "claude-sonnet-4-0", "claude-opus-4-2025", "claude-sonnet-4-2025"};
  return among(model, exact) || std::ranges::any_of(early, [&](std::string_view prefix) { return model.starts_with(prefix); });
}

// OpenAI-compatible servers that are known to have JSON mode alone.
bool json_mode_alone(std::string_view host) { return host == "api.deepseek.com" || host == "api.moonshot.ai"; }

void say(ChatRequest& request, std::string text) { request.system.push_back(text_part(std::move(text))); }

std::string instruction(const ResponseFormat& format) {
  std::string out = "Answer with one JSON value and nothing else: no prose, no code fence. It must satisfy this JSON Schema:\n";
  append_json(out, format.schema);
  if (!format.description.empty()) out.append("\nWhat it is for: ").append(format.description);
  return out;
}

}  // namespace

Result<AskedFormat> read_format(Wire wire, const json::value& document) {
  std::optional<Error> error;
  const Node body(JsonRef(document), error);
  AskedFormat out;
  const auto one = [&](std::string_view holder, std::string_view member, bool nested, std::string_view place) {
    const auto outer = body.object(holder);
    const auto at = outer && !member.empty() ? outer->object(member) : outer;
    if (at && !out.format) out = {parse_openai_format(*at, nested), place};
  };
  switch (wire) {
    case Wire::openai_chat: one("response_format", "", true, "response_format.json_schema.schema"); break;
    case Wire::openai_responses: one("text", "format", false, "text.format.schema"); break;
    case Wire::anthropic_messages:
      one("output_format", "", false, "output_format.schema");
      one("output_config", "format", false, "output_config.format.schema");
      break;
    case Wire::gemini:
      if (const auto g = body.find("generationConfig", "generation_config")) out = {parse_gemini_format(*g), "generationConfig.responseSchema"};
      break;
  }
  if (error) return std::unexpected(std::move(*error));
  return out;
}

Result<std::vector<ForcedTool>> read_forced_tools(Wire wire, const json::value& document) {
  auto request = parse_request(wire, document);
  if (!request) return fail(std::move(request.error()));
  std::vector<ForcedTool> out;
  if (!request->tool_choice || request->tool_choice->mode != ToolChoice::Mode::required) return out;
  const auto& names = request->tool_choice->names;
  for (auto& tool : request->tools) {
    if (!tool.hosted.is_null() && names.empty()) return std::vector<ForcedTool>{};
    if (!tool.hosted.is_null() || (!names.empty() && std::ranges::find(names, tool.name) == names.end())) continue;
    out.push_back({std::move(tool.name), wire == Wire::gemini ? from_openapi_schema(tool.schema) : std::move(tool.schema)});
  }
  return out;
}

std::string_view to_string(Asking asking) { return kAskings[static_cast<std::size_t>(asking)]; }

std::optional<Asking> asking_from(std::string_view name) {
  const auto at = std::ranges::find(kAskings, name);
  if (at == kAskings.end()) return std::nullopt;
  return static_cast<Asking>(at - kAskings.begin());
}

SchemaHints schema_hints(const json::value& schema) {
  SchemaHints hints{.anthropic = schema, .gemini = schema};
  if (!schema.is_object() || refers_to_itself(schema, schema, 0) || !walk(*hints.anthropic, for_anthropic, 0)) hints.anthropic.reset();
  auto for_gemini = [](json::object& s) { return keep_only(s, kGemini), true; };
  if (!walk(hints.gemini, for_gemini, 0)) hints.gemini = json::object{};
  return hints;
}

json::value from_openapi_schema(const json::value& schema) {
  json::value out = schema;
  auto rewrite = [](json::object& s) {
    if (auto* type = s.if_contains("type"); type != nullptr && type->is_string()) {
      std::string name = to_lower_ascii(view(type->get_string()));
      const auto* nullable = s.if_contains("nullable");
      if (name == "type_unspecified") s.erase("type");
      else if (nullable != nullptr && nullable->is_bool() && nullable->get_bool()) *type = json::array{name, "null"};
      else *type = std::move(name);
    }
    // An enum with null in its type has null among its values.
    if (auto* values = s.if_contains("enum"); values != nullptr && values->is_array())
      if (const auto* type = s.if_contains("type"); type != nullptr && type->is_array()) values->get_array().push_back(nullptr);
    for (const std::string_view key : {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}) {
      auto* count = s.if_contains(key);
      if (count == nullptr || !count->is_string()) continue;
      const auto text = view(count->get_string());
      std::uint64_t n = 0;
      const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), n);
      if (bad == std::errc() && end == text.data() + text.size()) *count = n;
    }
    s.erase("nullable");
    s.erase("propertyOrdering");
    s.erase("example");
    return true;
  };
  walk(out, rewrite, 0);
  return out;
}

Asking asking_of(const ProviderSpec& spec, std::string_view model, const ResponseFormat& format, const SchemaHints& hints, AskedBeside beside) {
  if (format.kind != ResponseFormat::Kind::schema) return Asking::native;
  const bool anthropic = spec.kind == ProviderKind::anthropic;
  Asking how = Asking::native;
  if (spec.quirks.structured) how = *spec.quirks.structured;
  else if (anthropic && (!hints.anthropic || before_structured_outputs(model))) how = Asking::tool;
  else if (spec.kind == ProviderKind::openai && json_mode_alone(spec.base.origin.host)) how = Asking::json;
  const bool no_tool = beside.tools || (anthropic && beside.reasoning) || !can_be_tool_input(format.schema);
  return how == Asking::tool && no_tool ? Asking::prompt : how;
}

void ask_for(ChatRequest& request, const ResponseFormat& format, const SchemaHints& hints, Asking asking, Wire wire) {
  request.response_format = format;
  if (format.kind != ResponseFormat::Kind::schema) {
    if (asking == Asking::prompt) request.response_format.reset();
    return;
  }
  switch (asking) {
    case Asking::native:
      if (wire == Wire::anthropic_messages && hints.anthropic) request.response_format->schema = *hints.anthropic;
      if (wire == Wire::gemini) request.response_format->schema = hints.gemini;
      return;
    case Asking::json:
      request.response_format = ResponseFormat{.kind = ResponseFormat::Kind::json};
      return say(request, instruction(format));
    case Asking::prompt:
      request.response_format.reset();
      return say(request, instruction(format));
    case Asking::tool: {
      request.response_format.reset();
      Tool tool{.name = std::string(kAnswerTool), .description = format.description, .schema = format.schema};
      if (tool.description.empty()) tool.description = "Give the answer by calling this: its input is the whole answer.";
      request.tools = {std::move(tool)};
      request.tool_choice = ToolChoice{.mode = ToolChoice::Mode::required, .names = {std::string(kAnswerTool)}};
      request.parallel_tool_calls.reset();
      return;
    }
  }
}

std::uint64_t asking_bytes(const ResponseFormat& format, const SchemaHints& hints) {
  constexpr std::uint64_t words = 512;     // names of fields, the tool's own name and description
  const std::uint64_t prompt = instruction(format).size();
  std::uint64_t schema = to_json(format.schema).size();
  if (hints.anthropic) schema = std::max<std::uint64_t>(schema, to_json(*hints.anthropic).size());
  schema = std::max<std::uint64_t>(schema, to_json(hints.gemini).size());
  return std::max(prompt, schema + format.name.size() + format.description.size()) + words;
}

void answer_from_tool(ChatReply& reply) {
  for (auto& choice : reply.choices) {
    const auto call = std::ranges::find_if(choice.parts, [](const Part& p) { return as<ToolCall>(p) != nullptr && as<ToolCall>(p)->name == kAnswerTool; });
    if (call == choice.parts.end()) continue;
    Part answer = text_part(std::move(std::get<ToolCall>(call->body).arguments));
    std::erase_if(choice.parts, [](const Part& p) { return as<Text>(p) != nullptr || as<ToolCall>(p) != nullptr; });
    choice.parts.push_back(std::move(answer));
    if (choice.finish == FinishReason::tool_calls) choice.finish = FinishReason::stop;
    choice.raw_finish.clear();
  }
  reply.origin.reset();
}

void ToolAnswer::rewrite(StreamEvent event, std::vector<StreamEvent>& out) {
  if (auto* start = std::get_if<ToolStart>(&event)) {
    Choice& c = choices_[start->choice];
    if (!c.call && start->name == kAnswerTool) {
      c.call = start->index;
      c.waiting.clear();
    } else if (!c.call) {
      c.waiting.push_back(std::move(event));
    }
  } else if (auto* args = std::get_if<ToolArgsDelta>(&event)) {
    Choice& c = choices_[args->choice];
    if (c.call == args->index) out.push_back(TextDelta{args->choice, std::move(args->text), {}});
    else if (!c.call) c.waiting.push_back(std::move(event));
  } else if (auto* text = std::get_if<TextDelta>(&event)) {
    if (Choice& c = choices_[text->choice]; !c.call) c.waiting.push_back(std::move(event));
  } else if (auto* end = std::get_if<Finish>(&event)) {
    Choice& c = choices_[end->choice];
    for (auto& e : c.waiting) out.push_back(std::move(e));
    c.waiting.clear();
    if (c.call && end->reason == FinishReason::tool_calls) {
      end->reason = FinishReason::stop;
      end->raw.clear();
    }
    out.push_back(std::move(event));
  } else {
    out.push_back(std::move(event));
  }
}

void ask_again(ChatRequest& request, std::string_view answer, std::string_view complaint) {
  if (!trim(answer).empty()) request.messages.push_back({.role = Role::assistant, .parts = {text_part(std::string(answer))}});
  request.messages.push_back({.role = Role::user, .parts = {text_part(std::string(complaint))}});
}

void ask_again(ChatRequest& request, std::vector<ToolCall> calls, std::string_view complaint) {
  const bool showable = std::ranges::all_of(calls, [](const ToolCall& c) {
    const auto arguments = parse_json(c.arguments);
    return !c.id.empty() && arguments && arguments->is_object();
  });
  if (!showable) {
    std::string said;
    for (const auto& c : calls) said += c.name + "(" + c.arguments + ")\n";
    return ask_again(request, said, complaint);
  }
  Message turn{.role = Role::assistant}, results{.role = Role::tool};
  for (auto& c : calls) {
    results.parts.push_back({.body = ToolResult{.id = c.id, .name = c.name, .parts = {text_part(std::string(complaint))}, .is_error = true}});
    turn.parts.push_back({.body = std::move(c)});
  }
  request.messages.push_back(std::move(turn));
  request.messages.push_back(std::move(results));
}

}  // namespace ballast::llm
