#include "llm/wire.hpp"

#include <algorithm>

#include "llm/wire/common.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

std::unexpected<Error> cannot(std::string_view field, Wire wire, std::string_view why) {
  std::string message = "cannot be expressed for a provider of the " + std::string(to_string(wire)) + " API";
  if (!why.empty()) message.append(": ").append(why);
  return fail(ErrorCode::caller_invalid_request, std::move(message), std::string(field));
}

namespace {

// Spellings of one thing: setting one removes the others.
constexpr std::string_view kAliases[][4] = {
    {"max_tokens", "max_completion_tokens", ""},
    {"tools", "functions", ""},
    {"tool_choice", "function_call", ""},
    {"reasoning_effort", "reasoning", "thinking"},
    {"responseJsonSchema", "response_json_schema", "responseSchema", "response_schema"},
    {"generationConfig", "generation_config", ""},
    {"systemInstruction", "system_instruction", ""},
    {"toolConfig", "tool_config", ""},
};

void drop_aliases(json::object& object, std::string_view key) {
  for (const auto& group : kAliases) {
    if (std::ranges::find(group, key) == std::end(group)) continue;
    for (const auto other : group)
      if (!other.empty() && other != key) object.erase(other);
  }
}

json::object merge_objects(const json::object& original, const json::object& then, const json::object& now) {
  json::object out = original;
  for (const auto& [key, value] : now) {
    const auto* before = then.if_contains(key);
    if (before != nullptr && *before == value) continue;
    const auto* raw = original.if_contains(key);
    if (raw != nullptr && before != nullptr) {
      auto merged = merge(*raw, *before, value);
      out[key] = std::move(merged);
    } else {
      out[key] = value;
      drop_aliases(out, key);
    }
  }
  for (const auto& [key, value] : then)
    if (!now.contains(key)) {
      out.erase(key);
      drop_aliases(out, key);
    }
  return out;
}

json::array merge_arrays(const json::array& original, const json::array& then, const json::array& now) {
  json::array out;
  for (std::size_t i = 0; i < now.size(); ++i)
    out.push_back(i < then.size() ? merge(original[i], then[i], now[i]) : now[i]);
  return out;
}

}  // namespace

json::value merge(const json::value& original, const json::value& then, const json::value& now) {
  if (then == now) return original;
  if (original.is_object() && then.is_object() && now.is_object())
    return merge_objects(original.get_object(), then.get_object(), now.get_object());
  if (original.is_array() && then.is_array() && now.is_array() && original.get_array().size() == then.get_array().size())
    return merge_arrays(original.get_array(), then.get_array(), now.get_array());
  return now;
}

namespace {

void dispatch_request(Wire wire, const Node& body, ChatRequest& out) {
  switch (wire) {
    case Wire::openai_chat: return parse_chat_request(body, out);
    case Wire::openai_responses: return parse_responses_request(body, out);
    case Wire::anthropic_messages: return parse_anthropic_request(body, out);
    case Wire::gemini: return parse_gemini_request(body, out);
  }
}

Result<json::object> render_request(Wire wire, const ChatRequest& request) {
  switch (wire) {
    case Wire::openai_chat: return render_chat_request(request);
    case Wire::openai_responses: return render_responses_request(request);
    case Wire::anthropic_messages: return render_anthropic_request(request);
    case Wire::gemini: return render_gemini_request(request);
  }
  return fail(ErrorCode::internal_error, "unknown wire");
}

void dispatch_reply(Wire wire, const Node& body, ChatReply& out) {
  switch (wire) {
    case Wire::openai_chat: return parse_chat_reply(body, out);
    case Wire::openai_responses: return parse_responses_reply(body, out);
    case Wire::anthropic_messages: return parse_anthropic_reply(body, out);
    case Wire::gemini: return parse_gemini_reply(body, out);
  }
}

Result<json::object> render_reply(Wire wire, const ChatReply& reply) {
  switch (wire) {
    case Wire::openai_chat: return render_chat_reply(reply);
    case Wire::openai_responses: return render_responses_reply(reply);
    case Wire::anthropic_messages: return render_anthropic_reply(reply);
    case Wire::gemini: return render_gemini_reply(reply);
  }
  return fail(ErrorCode::internal_error, "unknown wire");
}

// What its own wire alone can honour, found while translating to another.
std::optional<Error> foreign(Wire wire, const ChatRequest& request) {
  if (request.origin && request.origin->wire == wire) return std::nullopt;
  if (!request.bound.empty()) return cannot(request.bound.front(), wire).error();
  for (std::size_t i = 0; i < request.tools.size(); ++i)
    if (!request.tools[i].hosted.is_null())
      return cannot("tools[" + std::to_string(i) + "]", wire, "the provider of the caller's API runs this tool itself").error();
  for (std::size_t i = 0; i < request.messages.size(); ++i)
    for (const auto& part : request.messages[i].parts)
      if (as<Opaque>(part) != nullptr) return cannot("messages[" + std::to_string(i) + "]", wire, "it holds content of a hosted tool").error();
  return std::nullopt;
}

}  // namespace

Result<ChatRequest> parse_request(Wire wire, const json::value& document) {
  std::optional<Error> error;
  const Node body(JsonRef(document), error);
  if (!body.is_object()) return fail(ErrorCode::caller_invalid_request, "the body must be a JSON object");
  ChatRequest out;
  dispatch_request(wire, body, out);
  if (error) return std::unexpected(std::move(*error));
  out.origin = Origin{wire, std::make_shared<const json::object>(document.get_object())};
  return out;
}

Result<json::object> write_request(Wire wire, const ChatRequest& request) {
  if (auto error = foreign(wire, request)) return std::unexpected(std::move(*error));
  auto now = render_request(wire, request);
  if (!now || !request.origin || request.origin->wire != wire) return now;
  const json::value original(*request.origin->document);
  auto parsed = parse_request(wire, original);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  parsed->model = wire == Wire::gemini ? request.model : parsed->model;
  auto then = render_request(wire, *parsed);
  if (!then) return then;
  return std::move(merge(original, *then, *now).get_object());
}

Result<ChatReply> parse_reply(Wire wire, const json::value& document) {
  if (document.is_array()) return std::unexpected(error_from_json(wire, 200, document));
  std::optional<Error> error;
  const Node body(JsonRef(document), error);
  if (!body.is_object()) return fail(ErrorCode::provider_bad_response, "the reply is not a JSON object");
  const auto* told = document.get_object().if_contains("error");
  if (told != nullptr && !told->is_null()) return std::unexpected(error_from_json(wire, 200, document));
  ChatReply out;
  dispatch_reply(wire, body, out);
  if (error) {
    error->code = ErrorCode::provider_bad_response;
    return std::unexpected(std::move(*error));
  }
  out.origin = Origin{wire, std::make_shared<const json::object>(document.get_object())};
  return out;
}

Result<json::object> write_reply(Wire wire, const ChatReply& reply) {
  const bool single = wire == Wire::openai_responses || wire == Wire::anthropic_messages;
  if (single && reply.choices.size() > 1)
    return fail(ErrorCode::provider_bad_response, "the reply has more choices than the caller's API can express", "choices");
  auto now = render_reply(wire, reply);
  if (!now || !reply.origin || reply.origin->wire != wire) return now;
  const json::value original(*reply.origin->document);
  auto parsed = parse_reply(wire, original);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  auto then = render_reply(wire, *parsed);
  if (!then) return then;
  return std::move(merge(original, *then, *now).get_object());
}

}  // namespace ballast::llm
