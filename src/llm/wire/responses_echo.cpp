// OpenAI Responses: what a reply repeats of its request. https://platform.openai.com/docs/api-reference/responses/object
#include <array>

#include "base/json.hpp"
#include "llm/facts_scan.hpp"
#include "llm/wire.hpp"
#include "llm/wire/responses_parts.hpp"

namespace ballast::llm {

namespace {

// What a reply says where the caller said nothing: the API's documented defaults. `store`: of a translated answer nothing is kept.
// `user` has no default and may not be null.
json::object unasked() {
  return {{"background", false}, {"instructions", nullptr}, {"max_output_tokens", nullptr}, {"max_tool_calls", nullptr},
          {"metadata", json::object{}}, {"parallel_tool_calls", true}, {"previous_response_id", nullptr}, {"prompt_cache_key", nullptr},
          {"prompt_cache_retention", nullptr}, {"reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}}},
          {"safety_identifier", nullptr}, {"store", false}, {"temperature", 1},
          {"text", json::object{{"format", json::object{{"type", "text"}}}, {"verbosity", "medium"}}}, {"tool_choice", "auto"},
          {"tools", json::array{}}, {"top_logprobs", 0}, {"top_p", 1}, {"truncation", "disabled"}};
}

// Who asked and what they file it under. An answer from memory was made for another, who may have had their own.
constexpr std::array<std::string_view, 4> kMarks{"metadata", "prompt_cache_key", "safety_identifier", "user"};

// What a reply says of a function even where the caller did not.
void complete_tools(json::value& tools) {
  if (!tools.is_array()) return;
  for (auto& tool : tools.get_array()) {
    auto* o = tool.if_object();
    if (o == nullptr || !o->contains("type") || o->at("type") != "function") continue;
    for (const std::string_view member : {"parameters", "strict"}) o->emplace(member, nullptr);
  }
}

// The parameter as the caller wrote it; of `text` and `reasoning`, the rest of the defaults stay.
void lay(json::object& echo, std::string_view name, json::value value) {
  if (name == "tools") complete_tools(value);
  auto& at = echo[name];
  if (!at.is_object() || !value.is_object()) {
    at = std::move(value);
    return;
  }
  for (auto& [key, inner] : value.get_object()) at.get_object()[key] = std::move(inner);
}

// The input, which may be large, is stepped over. A request that is no JSON object was refused before anybody answered it.
void read_parameters(std::string_view request, json::object& echo) {
  const simdjson::padded_string text(request);
  simdjson::ondemand::parser parser;
  auto document = parser.iterate(text);
  simdjson::ondemand::object body = document.get_object();
  for (auto result : body) {
    auto field = scan::checked(result);
    const std::string name(scan::key_of(field));
    if (name != "user" && !echo.contains(name)) continue;
    simdjson::ondemand::value raw = field.value();
    auto value = parse_json(scan::raw_json(raw), {.max_bytes = request.size()});
    if (value && !value->is_null()) lay(echo, name, std::move(*value));
  }
}

bool says_nothing(const json::value& v) { return v.is_null() || (v.is_object() && v.get_object().empty()); }

// Exchanges the marks of who asked. False: they were the same.
bool exchange_marks(json::object& reply, const json::object& echo) {
  bool changed = false;
  for (const auto name : kMarks) {
    const auto* asked = echo.if_contains(name);
    const auto* had = reply.if_contains(name);
    const bool same = had == nullptr || says_nothing(*had) ? asked == nullptr || says_nothing(*asked) : asked != nullptr && *had == *asked;
    if (same) continue;
    if (asked != nullptr) reply[name] = *asked;
    else reply.erase(name);
    changed = true;
  }
  return changed;
}

}  // namespace

json::object request_echo(std::string_view request) {
  auto echo = unasked();
  if (request.empty()) return echo;
  try {
    read_parameters(request, echo);
  } catch (const simdjson::simdjson_error&) {
    return unasked();
  }
  return echo;
}

void repeat_request(Wire wire, json::object& reply, std::string_view request) {
  if (wire != Wire::openai_responses) return;
  for (auto& [name, value] : request_echo(request)) reply[name] = std::move(value);
}

std::optional<std::string> retell(Wire wire, std::string_view reply, std::string_view request) {
  if (wire != Wire::openai_responses) return std::nullopt;
  auto document = parse_json(reply, {.max_bytes = reply.size()});
  if (!document || !document->is_object()) return std::nullopt;
  auto& object = document->get_object();
  if (!object.contains("tools")) repeat_request(wire, object, request);
  else if (!exchange_marks(object, request_echo(request))) return std::nullopt;
  return to_json(*document);
}

}  // namespace ballast::llm
