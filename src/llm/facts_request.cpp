// One pass over a request of any wire. Text is counted by its undecoded length, which is never shorter than the decoded
// one, so that `text_bytes` bounds the prompt's tokens; what is not understood counts in full.
#include "llm/facts_scan.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

namespace {

using namespace scan;

class RequestScan {
 public:
  RequestScan(Wire wire, const char* base) : wire_(wire), base_(base) {}
  void run(od::object root);
  std::optional<Error> error;
  RequestFacts facts;

 private:
  enum Seen : unsigned { model = 1, max_tokens = 2, max_completion = 4, stream = 8, messages = 16, n = 32, stream_options = 64,
                         generation_config = 128, user = 256, metadata = 512, include_usage = 1024, system = 2048, tools = 4096 };

  void refuse(std::string_view field, std::string message) {
    if (!error) error = fail(ErrorCode::caller_invalid_request, std::move(message), std::string(field)).error();
  }
  bool first(Seen what, std::string_view field) {
    if ((seen_ & what) != 0) refuse(field, "is given twice");
    seen_ |= what;
    return true;
  }
  void member(std::string_view key, od::value& value);
  bool common_member(std::string_view key, od::value& value);
  void openai_member(std::string_view key, od::value& value);
  void anthropic_member(std::string_view key, od::value& value);
  void gemini_member(std::string_view key, od::value& value);

  void limit(Seen what, std::string_view name, od::value& value);
  void count(std::string_view name, od::value& value);
  bool flag(std::string_view name, od::value& value, ByteRange& where);
  void options(od::value& value);
  void metadata_of(od::value& value);
  void generation(od::value& value);
  void format(od::value& value);
  void choice(od::value& value);
  void tool_list(od::value& value);
  void message_list(std::string_view name, od::value& value);
  std::string message_path(std::string_view member) const;
  bool known_role(std::string_view role) const;
  void message(od::object object);
  bool sampling(std::string_view key, od::value& value);
  void content(od::value& value);
  void part(od::object object);
  void part_member(std::string_view key, od::value& value);
  void link(std::string_view name, od::value& value);
  void media(std::string_view name, od::value& value);
  void cache_mark(od::value& value);
  void open_ended(bool RequestFacts::*what, std::string_view key);
  void text(od::value& value) { facts.text_bytes += raw_json(value).size(); }

  Wire wire_;
  const char* base_;
  unsigned seen_ = 0;
  bool in_list_ = false;                 // among the messages
  std::string_view list_;                // of a message's parts: its name
  std::uint32_t depth_ = 0, part_ = 0;   // lists of parts around; the part of the outermost
};

void RequestScan::run(od::object root) {
  bool any = false;
  for (auto result : root) {
    od::field field = checked(result);
    const auto key = key_of(field);
    od::value value = field.value();
    any = true;
    member(key, value);
    if (error) return;
  }
  facts.empty_object = !any;
  const std::string_view list = wire_ == Wire::gemini ? "contents" : wire_ == Wire::openai_responses ? "input" : "messages";
  if ((seen_ & messages) == 0 && !(wire_ == Wire::openai_responses && facts.stored_state)) refuse(list, "is required");
}

void RequestScan::member(std::string_view key, od::value& value) {
  if (common_member(key, value)) return;
  switch (wire_) {
    case Wire::openai_chat:
    case Wire::openai_responses: return openai_member(key, value);
    case Wire::anthropic_messages: return anthropic_member(key, value);
    case Wire::gemini: return gemini_member(key, value);
  }
}

// Knobs that every wire but Gemini's spells alike.
bool RequestScan::sampling(std::string_view key, od::value& value) {
  const bool positive = key == "temperature" || key == "top_p";
  if (!positive && key != "frequency_penalty" && key != "presence_penalty") return false;
  if (is_null(value)) return true;
  double v = 0;
  if (value.type() != od::json_type::number || value.get_double().get(v) != simdjson::SUCCESS) return refuse(key, "must be a number"), true;
  if (positive && v < 0) refuse(key, "must not be negative");
  return true;
}

bool RequestScan::common_member(std::string_view key, od::value& value) {
  if (wire_ == Wire::gemini) return false;
  if (sampling(key, value)) return true;
  if (key == "model") {
    first(model, key);
    if (!is_string(value)) return refuse(key, "must be a string"), true;
    facts.model_value = range_of(base_, token(value));
    facts.model = decoded(value);
    if (facts.model.empty()) refuse(key, "must not be empty");
  } else if (key == "stream") {
    first(stream, key);
    facts.stream = flag(key, value, facts.stream_value);
  } else if (key == "metadata") {
    first(metadata, key);
    metadata_of(value);
  } else if (key == "tools" || key == "functions") {
    tool_list(value);
  } else if (key == "messages" && wire_ != Wire::openai_responses) {
    first(messages, key);
    message_list(key, value);
  } else if (key == "max_tokens" && wire_ != Wire::openai_responses) {
    limit(max_tokens, "max_tokens", value);
  } else {
    return false;
  }
  return true;
}

void RequestScan::openai_member(std::string_view key, od::value& value) {
  const bool chat = wire_ == Wire::openai_chat;
  if (chat && key == "max_completion_tokens") limit(max_completion, "max_completion_tokens", value);
  else if (!chat && key == "max_output_tokens") limit(max_tokens, "max_output_tokens", value);
  else if (!chat && key == "input") { first(messages, key); message_list(key, value); }
  else if (chat && key == "stream_options") { first(stream_options, key); options(value); }
  else if (chat && key == "n") { first(n, key); count(key, value); }
  else if (key == "user") {
    first(user, key);
    if (is_string(value)) facts.user = decoded(value);
    else if (!is_null(value)) refuse(key, "must be a string");
  }
  else if (key == "service_tier" && is_string(value)) facts.priority |= service_tier_from(decoded(value)) == ServiceTier::priority;
  else if (key == "response_format" || key == "text") format(value);
  else if (key == "tool_choice") choice(value);
  else if (key == "reasoning_effort" || key == "reasoning" || key == "thinking") { facts.wants_reasoning |= !is_null(value); }
  else if (key == "previous_response_id" || key == "conversation" || key == "prompt") { if (!is_null(value)) open_ended(&RequestFacts::stored_state, key); }
  else if (key == "web_search_options" || key == "plugins") { if (!is_null(value)) open_ended(&RequestFacts::hosted_tools, key); }
  // Short scalars steer the model and are no prompt; anything else may become one.
  else if (!is_null(value) && value.type() != od::json_type::number && value.type() != od::json_type::boolean) text(value);
}

void RequestScan::anthropic_member(std::string_view key, od::value& value) {
  if (key == "system") {
    first(system, key);
    content(value);
  } else if (key == "thinking") {
    facts.wants_reasoning |= !is_null(value);
  } else if (key == "mcp_servers") {
    if (raw_json(value).size() > 4) open_ended(&RequestFacts::hosted_tools, key);
  } else if (key == "container") {
    if (!is_null(value)) open_ended(&RequestFacts::stored_state, key);
  } else if (key == "output_config" || key == "output_format") {
    format(value);
  } else if (key == "tool_choice") {
    choice(value);
  } else if (key == "cache_control") {
    cache_mark(value);
  } else if (!is_null(value) && value.type() != od::json_type::number && value.type() != od::json_type::boolean) {
    text(value);
  }
}

void RequestScan::gemini_member(std::string_view key, od::value& value) {
  if (key == "contents") {
    first(messages, key);
    message_list(key, value);
  } else if (key == "systemInstruction" || key == "system_instruction") {
    first(system, key);
    const bool prefill = facts.prefill;
    if (is_object(value)) message(value.get_object());
    else text(value);
    facts.prefill = prefill;
  } else if (key == "generationConfig" || key == "generation_config") {
    first(generation_config, "generationConfig");
    generation(value);
  } else if (key == "tools") {
    first(tools, key);
    tool_list(value);
  } else if (key == "toolConfig" || key == "tool_config") {
    choice(value);
  } else if (key == "cachedContent" || key == "cached_content") {
    if (!is_null(value)) open_ended(&RequestFacts::stored_state, key);
  } else if (key == "labels") {
    metadata_of(value);
  } else if (key == "model") {
    if (!is_string(value)) return refuse(key, "must be a string");
    first(model, key);
    facts.model_value = range_of(base_, token(value));
    facts.model = decoded(value);
  } else if (!is_null(value) && value.type() != od::json_type::number && value.type() != od::json_type::boolean) {
    text(value);
  }
}

// Two spellings may both be present if all but one are null; the number counts, and its place is the one to edit.
void RequestScan::limit(Seen what, std::string_view name, od::value& value) {
  first(what, name);
  const auto bytes = token(value);
  const auto key = name.substr(name.rfind('.') + 1);     // of a path its last step
  if (is_null(value)) {
    if (!facts.max_tokens_value) facts.max_tokens_value = range_of(base_, bytes), facts.max_tokens_name = key;
    return;
  }
  std::int64_t v = 0;
  if (value.type() != od::json_type::number || value.get_int64().get(v) != simdjson::SUCCESS) return refuse(name, "must be an integer");
  if (v < 1) return refuse(name, "must be at least 1");
  if (facts.max_tokens) return refuse(name, "is given in two spellings");
  facts.max_tokens = v;
  facts.max_tokens_value = range_of(base_, bytes);
  facts.max_tokens_name = key;
}

void RequestScan::count(std::string_view name, od::value& value) {
  if (is_null(value)) return;
  std::int64_t v = 0;
  if (value.type() != od::json_type::number || value.get_int64().get(v) != simdjson::SUCCESS) return refuse(name, "must be an integer");
  if (v < 1 || v > 128) return refuse(name, "must be from 1 to 128");
  facts.n = static_cast<std::uint32_t>(v);
}

bool RequestScan::flag(std::string_view name, od::value& value, ByteRange& where) {
  where = range_of(base_, token(value));
  if (is_null(value)) return false;
  if (value.type() != od::json_type::boolean) return refuse(name, "must be true or false"), false;
  return value.get_bool();
}

void RequestScan::options(od::value& value) {
  if (is_null(value)) { facts.stream_options_value = range_of(base_, token(value)); return; }
  if (!is_object(value)) return refuse("stream_options", "must be an object");
  od::object object = value.get_object();
  facts.stream_options_value = range_of(base_, object.raw_json());
  object.reset();
  for (auto result : object) {
    od::field field = checked(result);
    if (key_of(field) != "include_usage") continue;
    od::value v = field.value();
    first(include_usage, "stream_options.include_usage");
    facts.include_usage = flag("stream_options.include_usage", v, facts.include_usage_value);
  }
}

void RequestScan::metadata_of(od::value& value) {
  if (is_null(value)) return;
  if (!is_object(value)) return refuse("metadata", "must be an object");
  od::object object = value.get_object();
  facts.metadata_value = range_of(base_, object.raw_json());
  object.reset();
  for (auto result : object) {
    od::field field = checked(result);
    const auto key = key_of(field);
    const bool is_user = key == "user_id";
    if (!is_user && key != "feature") continue;
    od::value v = field.value();
    if (is_null(v)) continue;
    if (!is_string(v)) { refuse(is_user ? "metadata.user_id" : "metadata.feature", "must be a string"); continue; }
    if (!is_user) facts.feature = decoded(v);
    else if (facts.user.empty()) facts.user = decoded(v);
  }
}

void RequestScan::generation(od::value& value) {
  if (is_null(value)) { facts.generation_config_value = range_of(base_, token(value)); return; }
  if (!is_object(value)) return refuse("generationConfig", "must be an object");
  od::object object = value.get_object();
  facts.generation_config_value = range_of(base_, object.raw_json());
  object.reset();
  for (auto result : object) {
    od::field field = checked(result);
    const auto key = key_of(field);
    od::value v = field.value();
    if (key == "maxOutputTokens" || key == "max_output_tokens") {
      limit(max_tokens, key == "maxOutputTokens" ? "generationConfig.maxOutputTokens" : "generationConfig.max_output_tokens", v);
    } else if (key == "candidateCount" || key == "candidate_count") {
      first(n, "generationConfig.candidateCount");
      count("generationConfig.candidateCount", v);
    } else if (key == "responseMimeType" || key == "response_mime_type") {
      facts.wants_json |= raw_json(v).find("json") != std::string_view::npos;
    } else if (key.starts_with("response") && key.find("chema") != std::string_view::npos) {
      facts.wants_json = facts.wants_schema = true;
      const auto before = facts.text_bytes;
      text(v);
      facts.format_bytes += facts.text_bytes - before;
    } else if (key == "thinkingConfig" || key == "thinking_config") {
      facts.wants_reasoning |= !is_null(v);
    }
  }
}

void RequestScan::format(od::value& value) {
  const auto raw = raw_json(value);
  if (raw.find("json_schema") != std::string_view::npos) facts.wants_json = facts.wants_schema = true;
  else if (raw.find("json_object") != std::string_view::npos) facts.wants_json = true;
  facts.text_bytes += raw.size();
  facts.format_bytes += raw.size();
}

// Which tools may be called. A name may be one of these words too: then the request is read for nothing.
void RequestScan::choice(od::value& value) {
  if (is_null(value) || value.type() == od::json_type::number || value.type() == od::json_type::boolean) return;
  const auto raw = raw_json(value);
  facts.text_bytes += raw.size();
  const auto says = [&](std::string_view word) { return raw.find(word) != std::string_view::npos; };
  if (wire_ == Wire::gemini) facts.forces_tools |= says("\"ANY\"");
  else if (wire_ == Wire::anthropic_messages) facts.forces_tools |= says("\"any\"") || says("\"tool\"");
  else facts.forces_tools |= says("\"required\"") || says("\"function\"") || says("\"any\"");
}

// Tools are prompt text. One the provider runs itself has a type other than function or custom, or (Gemini) no declarations.
void RequestScan::tool_list(od::value& value) {
  if (is_null(value)) return;
  if (!is_array(value)) {
    if (wire_ == Wire::gemini && is_object(value)) { facts.has_tools = true; return text(value); }
    return refuse("tools", "must be an array");
  }
  od::array list = value.get_array();
  facts.text_bytes += std::string_view(list.raw_json()).size();
  list.reset();
  for (auto item : list) {
    od::value tool = item.value();
    if (!is_object(tool)) return refuse("tools", "must hold objects");
    facts.has_tools = true;
    for (auto result : tool.get_object()) {
      od::field field = checked(result);
      const auto key = key_of(field);
      od::value v = field.value();
      if (wire_ == Wire::gemini) {
        if (key != "functionDeclarations" && key != "function_declarations" && !is_null(v)) open_ended(&RequestFacts::hosted_tools, "tools");
      } else if (key == "type" && is_string(v)) {
        const auto type = raw_string(v);
        if (type != "function" && type != "custom") open_ended(&RequestFacts::hosted_tools, "tools");
      } else if (key == "cache_control") {
        cache_mark(v);
      }
    }
  }
}

void RequestScan::message_list(std::string_view name, od::value& value) {
  if (is_string(value) && wire_ == Wire::openai_responses) {
    facts.messages = 1;
    return text(value);
  }
  if (!is_array(value)) return refuse(name, wire_ == Wire::openai_responses ? "must be a string or an array" : "must be an array");
  in_list_ = true;
  for (auto item : value.get_array()) {
    od::value entry = item.value();
    if (!is_object(entry)) return refuse(std::string(name) + "[" + std::to_string(facts.messages) + "]", "must be an object");
    message(entry.get_object());
    ++facts.messages;
  }
  in_list_ = false;
  if (facts.messages == 0) refuse(name, "must not be empty");
}

// The paths of messages are spelled out only when one is refused.
std::string RequestScan::message_path(std::string_view member) const {
  const std::string_view list = wire_ == Wire::gemini ? "contents" : wire_ == Wire::openai_responses ? "input" : "messages";
  return std::string(list) + "[" + std::to_string(facts.messages) + "]." + std::string(member);
}

bool RequestScan::known_role(std::string_view role) const {
  if (role == "user" || role == "assistant" || role == "system") return true;
  return wire_ == Wire::openai_chat && (role == "developer" || role == "tool" || role == "function");
}

// Chat and messages: a role we know, and content that is text, a list of objects, or (an assistant's) nothing.
void RequestScan::message(od::object object) {
  const bool strict = wire_ == Wire::openai_chat || wire_ == Wire::anthropic_messages;
  bool assistant = false, has_role = false;
  for (auto result : object) {
    od::field field = checked(result);
    const auto key = key_of(field);
    od::value value = field.value();
    if (key == "role") {
      if (strict && !is_string(value)) return refuse(message_path("role"), "must be a string");
      const auto role = raw_string(value);
      if (strict && !known_role(role)) return refuse(message_path("role"), "is no role of this API");
      has_role = true;
      assistant = role == "assistant" || role == "model";
    } else if (key == "content" || key == "parts" || key == "output") {
      if (strict && !is_string(value) && !is_array(value) && !is_null(value)) return refuse(message_path("content"), "must be a string or an array");
      list_ = key;
      content(value);
    } else if (key == "type") {
      // Items of the Responses API that refer to something stored, or that a hosted tool made.
      if (raw_string(value) == "item_reference") open_ended(&RequestFacts::stored_state, key);
    } else {
      part_member(key, value);
    }
  }
  if (strict && !has_role) return refuse(message_path("role"), "is required");
  facts.prefill = assistant;
}

void RequestScan::content(od::value& value) {
  if (is_string(value)) {
    facts.text_bytes += raw_string(value).size();
  } else if (is_array(value)) {
    if (++depth_ == 1) part_ = 0;
    for (auto item : value.get_array()) {
      od::value entry = item.value();
      if (is_object(entry)) part(entry.get_object());
      else if (wire_ == Wire::openai_chat) return refuse(message_path("content"), "must be a string or an array of objects");
      else text(entry);
      if (depth_ == 1) ++part_;
    }
    --depth_;
  } else if (is_object(value)) {
    part(value.get_object());
  } else if (!is_null(value)) {
    text(value);
  }
}

void RequestScan::part(od::object object) {
  for (auto result : object) {
    od::field field = checked(result);
    const auto key = key_of(field);
    od::value value = field.value();
    part_member(key, value);
  }
}

// Members of content parts, of messages and of nested media objects; what they mean does not depend on `type`, which may
// come last.
void RequestScan::part_member(std::string_view key, od::value& value) {
  if (is_null(value)) return;
  if (key == "text" || key == "thinking" || key == "refusal") return text(value);
  if (key == "type" || key == "role" || key == "id" || key == "status" || key == "prefix") return;
  if (key == "image_url") return ++facts.images, link(key, value);
  if (key == "source") return media(key, value);
  if (key == "inlineData" || key == "inline_data" || key == "fileData" || key == "file_data" || key == "input_audio" || key == "file") {
    if (is_object(value)) return media(key, value);
    ++facts.files;
    return link(key, value);
  }
  if (key == "file_url" || key == "file_id" || key == "document_url" || key == "video_url") {
    ++facts.files;
    return open_ended(&RequestFacts::remote_content, key);
  }
  if (key == "functionResponse" || key == "function_response" || key == "content") {
    if (is_object(value)) return part(value.get_object());
    return content(value);
  }
  if (key == "parts") return content(value);
  if (key == "cache_control") return cache_mark(value);
  text(value);
}

// The cost of `key` cannot be known. Its path is spelled out for the first; of parts within parts, the outermost's.
void RequestScan::open_ended(bool RequestFacts::*what, std::string_view key) {
  if (!facts.unbounded_by) {
    facts.unbounded_by = what;
    if (!in_list_) facts.unbounded_field = key;
    else if (depth_ == 0) facts.unbounded_field = message_path(key);
    else facts.unbounded_field = message_path(list_) + "[" + std::to_string(part_) + "]" + (depth_ == 1 ? "." + std::string(key) : "");
  }
  facts.*what = true;
}

// A URL or a data URL: a string, or an object with `url`.
void RequestScan::link(std::string_view name, od::value& value) {
  if (is_object(value)) {
    for (auto result : value.get_object()) {
      od::field field = checked(result);
      if (key_of(field) != "url") continue;
      od::value v = field.value();
      if (is_string(v)) link(name, v);
    }
    return;
  }
  const auto raw = raw_string(value);
  if (raw.starts_with("data:")) facts.media_bytes += raw.size();
  else open_ended(&RequestFacts::remote_content, name);
}

// {type, media_type, data | url | file_id} in any order and of any wire. Text in a `data` is prompt text.
void RequestScan::media(std::string_view name, od::value& value) {
  if (!is_object(value)) return text(value);
  std::uint64_t data = 0;
  bool image = false, is_text = false, remote = false, other = false;
  for (auto result : value.get_object()) {
    od::field field = checked(result);
    const auto key = key_of(field);
    od::value v = field.value();
    if (is_null(v)) continue;
    if (key == "data" || key == "file_data") data += raw_string(v).size();
    else if (key == "url" || key == "file_id" || key == "fileUri" || key == "file_uri") remote = true;
    else if (key == "type") is_text |= raw_string(v) == "text";
    else if (key == "media_type" || key == "mimeType" || key == "mime_type") {
      const auto mime = raw_string(v);
      image |= mime.starts_with("image");
      is_text |= mime.starts_with("text");
    }
    else if (key == "content") { content(v); other = true; }
    else if (key != "format" && key != "filename") text(v);
  }
  if (remote) open_ended(&RequestFacts::remote_content, name);
  if (is_text) { facts.text_bytes += data; return; }
  facts.media_bytes += data;
  if (image) ++facts.images;
  else if (data > 0 || remote || !other) ++facts.files;
}

void RequestScan::cache_mark(od::value& value) {
  if (is_null(value)) return;
  facts.cache_marks = true;
  facts.cache_1h = facts.cache_1h || raw_json(value).find("\"1h\"") != std::string_view::npos;
}

}  // namespace

Result<RequestFacts> FactsReader::request(Wire wire, std::string_view body, std::size_t readable) {
  if (body.size() > UINT32_MAX / 2) return fail(ErrorCode::caller_too_large, "the body is too large");
  try {
    const auto padded = state_->padded(body, readable);
    od::document document = state_->parser.iterate(padded);
    if (document.type() != od::json_type::object) return fail(ErrorCode::caller_invalid_request, "the body must be a JSON object");
    RequestScan run(wire, padded.data());
    run.run(document.get_object());
    if (run.error) return std::unexpected(std::move(*run.error));
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return fail(ErrorCode::caller_invalid_request, "the body holds more than one JSON document");
    run.facts.insert_at = static_cast<std::uint32_t>(body.find('{') + 1);
    return std::move(run.facts);
  } catch (const simdjson::simdjson_error& e) {
    return fail(ErrorCode::caller_invalid_request, std::string("the body is not valid JSON: ") + e.what());
  }
}

}  // namespace ballast::llm
