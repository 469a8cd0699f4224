// Small pure pieces the four wires share: names, finish reasons, data URLs, media types.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "llm/types.hpp"

namespace ballast::llm {

// Finish reasons by the wire's spelling. `calls`: the answer holds tool calls (Gemini and Responses say only "stop").
FinishReason finish_from(Wire wire, std::string_view raw, bool calls);
// Gemini's protobuf numbers of finish reasons, which some of its endpoints send: 1 is STOP, 2 MAX_TOKENS, …
std::string_view gemini_finish(std::uint64_t number);
// What the wire says for a reason; for Responses the status is derived elsewhere.
std::string_view finish_name(Wire wire, FinishReason reason);

struct DataUrl { std::string_view mime, base64; };
std::optional<DataUrl> parse_data_url(std::string_view url);
std::string data_url(std::string_view mime, std::string_view base64);
std::string_view mime_from_name(std::string_view name);       // by extension; empty if unknown
std::string_view audio_format(std::string_view mime);         // "wav", "mp3", …
std::string audio_mime(std::string_view format);
std::string_view image_mime_from_base64(std::string_view data);  // by magic bytes; "image/png" if unknown

// The text of parts, joined by blank lines where several; media and calls are left out.
std::string joined_text(const std::vector<Part>& parts, std::string_view separator = "\n\n");
bool only_text(const std::vector<Part>& parts);
template <class T>
const T* as(const Part& part) { return std::get_if<T>(&part.body); }
Part text_part(std::string text);

json::value cache_json(const CacheMark& mark);
std::string_view view(const json::string& s);

// A JSON document for arguments text that may be empty or wrong: an object, or {"_raw": text}.
json::object arguments_object(std::string_view text);

// Thinking budget of an effort, and back.
std::int64_t budget_for(std::string_view effort);
std::string_view effort_for(std::int64_t budget);

}  // namespace ballast::llm
