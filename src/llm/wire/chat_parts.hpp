// What both OpenAI wires share, and the assistant message that chat requests, replies and history have in common.
#pragma once
#include "llm/types.hpp"
#include "llm/wire/reader.hpp"

namespace ballast::llm {

std::optional<CacheMark> parse_cache(const Node& node);
// `nested`: chat puts the schema under json_schema, Responses beside the type.
std::optional<ResponseFormat> parse_openai_format(const Node& node, bool nested);
json::object render_openai_format(const ResponseFormat& format, bool nested);
void parse_openai_shared(const Node& body, ChatRequest& out);
void render_openai_shared(const ChatRequest& request, json::object& out);

// An assistant message: reasoning (in three dialects), content, refusal, tool calls.
void parse_chat_message(const Node& message, std::vector<Part>& out);
// `reply`: reasoning is shown to the client; in a request only what carries a seal goes along.
json::object render_chat_message(const std::vector<Part>& parts, bool reply);

// A seal in OpenRouter's dialect (`reasoning_details`), which clients hand back untouched.
json::object reasoning_detail(const Reasoning& reasoning, bool with_text);
void parse_reasoning_detail(const Node& detail, std::vector<Part>& out);

}  // namespace ballast::llm
