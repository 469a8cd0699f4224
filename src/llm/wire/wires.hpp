// The four parsers and renderers behind wire.hpp. A renderer writes the canonical form afresh; wire.cpp merges that with
// the origin, so that renderers need not know about unknown fields.
#pragma once
#include "llm/types.hpp"
#include "llm/wire/reader.hpp"

namespace ballast::llm {

void parse_chat_request(const Node& body, ChatRequest& out);
void parse_responses_request(const Node& body, ChatRequest& out);
void parse_anthropic_request(const Node& body, ChatRequest& out);
void parse_gemini_request(const Node& body, ChatRequest& out);
std::optional<ResponseFormat> parse_gemini_format(const Node& generation);

Result<json::object> render_chat_request(const ChatRequest& request);
Result<json::object> render_responses_request(const ChatRequest& request);
Result<json::object> render_anthropic_request(const ChatRequest& request);
Result<json::object> render_gemini_request(const ChatRequest& request);

void parse_chat_reply(const Node& body, ChatReply& out);
void parse_responses_reply(const Node& body, ChatReply& out);
void parse_anthropic_reply(const Node& body, ChatReply& out);
void parse_gemini_reply(const Node& body, ChatReply& out);

Result<json::object> render_chat_reply(const ChatReply& reply);
Result<json::object> render_responses_reply(const ChatReply& reply);
Result<json::object> render_anthropic_reply(const ChatReply& reply);
Result<json::object> render_gemini_reply(const ChatReply& reply);

// Pieces that streams and replies share.
void parse_anthropic_block(const Node& block, std::vector<Part>& out);
void parse_gemini_parts(const Node& content, std::vector<Part>& out, std::size_t& calls);
void parse_response_item(const Node& item, std::vector<Part>& out);
std::string gemini_finish_of(const Node& candidate);
json::object render_gemini_call(const ToolCall& call);

// A refusal to translate: `field` in the words of the caller's wire.
std::unexpected<Error> cannot(std::string_view field, Wire wire, std::string_view why = {});

// Merges an edited rendering into the original: where `now` equals `then`, the original's bytes stay.
json::value merge(const json::value& original, const json::value& then, const json::value& now);

}  // namespace ballast::llm
