// The output items of the Responses API, as replies and streams write them.
#pragma once
#include "llm/types.hpp"

namespace ballast::llm {

struct ResponseHead { std::string id, model; std::int64_t created = 0; };

std::string item_id(std::string_view prefix, std::string_view reply_id, std::size_t index);
json::object message_item(std::string_view id, std::string_view status, json::array content);
json::object output_text(std::string_view text);
json::object call_item(std::string_view id, std::string_view status, const ToolCall& call);
json::object reasoning_item(std::string_view id, const Reasoning& reasoning);
// The answer's members alone: what repeats the request is laid over it.
json::object response_object(const ResponseHead& head, std::string_view status, json::array output);
// What a reply repeats of this request. Empty or no JSON object: the defaults.
json::object request_echo(std::string_view request);
void finish_response(json::object& response, FinishReason finish, const std::optional<Usage>& usage);

}  // namespace ballast::llm
