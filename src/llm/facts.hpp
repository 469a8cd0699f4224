// What the call road must know of a body without building a document: one pass of simdjson on-demand, then edits of raw
// bytes. The caller's bytes reach the provider untouched but for the spliced values.
//
// Only what is read here is validated (types, ranges, duplicate keys); other mistakes are the provider's to refuse. A
// malformed document fails with `caller_invalid_request`.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "llm/types.hpp"

namespace ballast::llm {

inline constexpr std::size_t kJsonPadding = 64;   // readable bytes past the body that spare the reader a copy

struct ByteRange {                     // of a value in the body, quotes included; length 0: absent
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  explicit operator bool() const { return length != 0; }
  bool operator==(const ByteRange&) const = default;
};

struct RequestFacts {
  std::string model;                   // empty for Gemini, whose path names it
  bool stream = false;
  bool include_usage = false;          // stream_options.include_usage
  std::optional<std::int64_t> max_tokens;   // max_completion_tokens, max_output_tokens, maxOutputTokens; ≥ 1
  std::uint32_t n = 1;                 // n, candidateCount; 1 … 128
  std::uint32_t messages = 0;          // messages, input items or contents
  bool has_tools = false;
  bool forces_tools = false;           // one must be called, as far as a word of the choice says: the request itself says which
  bool wants_json = false;             // JSON mode or a schema
  bool wants_schema = false;
  bool prefill = false;                // the last message is the assistant's
  bool wants_reasoning = false;        // effort or budget asked for
  bool priority = false;               // service_tier asks to be served, and charged, before others
  bool cache_marks = false;            // Anthropic cache_control somewhere: cache-write price applies
  bool cache_1h = false;

  std::uint64_t format_bytes = 0;      // of what it says of its answer's form, in `text_bytes`
  std::uint64_t text_bytes = 0;        // of all prompt text, system and tools included, escapes undecoded: bounds its tokens
  std::uint32_t images = 0;            // inline ones and remote ones
  std::uint64_t media_bytes = 0;       // base64 length of inline images, audio and files
  std::uint32_t files = 0;             // documents and audio, inline or not
  bool remote_content = false;         // URLs or file ids whose size is unknown
  bool stored_state = false;           // previous_response_id, conversation, prompt template, cachedContent
  bool hosted_tools = false;           // tools the provider runs and charges itself
  bool unbounded() const { return remote_content || stored_state || hosted_tools; }
  bool RequestFacts::*unbounded_by = nullptr;   // the first of them
  std::string unbounded_field;         // its field, as the caller wrote it: "messages[2].content[0].image_url"

  std::string user;                    // `user`, metadata.user_id
  std::string feature;                 // metadata.feature

  ByteRange model_value;
  ByteRange max_tokens_value;          // the number (or null)
  ByteRange stream_value;
  ByteRange stream_options_value;      // the whole object (or null)
  ByteRange include_usage_value;       // the boolean inside it
  ByteRange generation_config_value;   // Gemini: holds maxOutputTokens
  ByteRange metadata_value;
  std::string_view max_tokens_name;    // the spelling found, a literal; empty if absent
  std::uint32_t insert_at = 0;         // right after the opening brace
  bool empty_object = false;           // `{}`: an insertion needs no comma
};

// What to change; unset means leave.
struct RequestEdits {
  std::optional<std::string_view> model;
  std::optional<std::int64_t> max_tokens;
  std::optional<bool> include_usage;   // OpenAI chat only
  std::optional<bool> stream;
  std::string_view max_tokens_name;    // spelling to insert when absent; empty: the wire's own
};

// Edits raw bytes; O(body). `facts` must be of this very body.
std::string splice_request(Wire wire, std::string_view body, const RequestFacts& facts, const RequestEdits& edits);

struct ReplyFacts {
  std::string id;
  std::string model;
  ByteRange model_value;
  std::optional<Usage> usage;
  FinishReason finish = FinishReason::none;   // of the first choice
  std::uint64_t content_bytes = 0;     // text, refusal, reasoning and arguments, escapes undecoded
  std::uint32_t tool_calls = 0;
  bool has_error = false;              // the body carries an error object instead of an answer
};
// The reply with another model name and, optionally, the rest untouched.
std::string splice_model(std::string_view body, ByteRange model_value, std::string_view model);

// Folds a later count of the same stream into an earlier one: counts are cumulative and replace, but Anthropic's closing
// count may leave out the input that its opening one told.
void merge_usage(Wire wire, Usage& total, const Usage& later);

struct ChunkFacts {
  std::uint64_t text_bytes = 0;        // visible text and refusal in this event, decoded
  std::uint64_t reasoning_bytes = 0;
  bool has_tool_delta = false;
  bool lifecycle = false;              // says nothing yet: role, created, in_progress, ping, message_start
  FinishReason finish = FinishReason::none;
  std::optional<Usage> usage;          // of this event alone: fold with merge_usage
  bool has_error = false;
  bool is_terminal = false;            // [DONE], message_stop, response.completed/failed/incomplete
  bool usage_only = false;             // OpenAI chat: `choices: []` with usage; strip it if the client did not ask
  bool usage_null = false;             // OpenAI chat: `usage: null`; likewise
  ByteRange model_value;               // in the data
};

// Owns the parser and its scratch memory: one a loop, reused; not thread-safe; no result refers to it.
class FactsReader {
 public:
  FactsReader();
  ~FactsReader();
  FactsReader(FactsReader&&) noexcept;
  FactsReader& operator=(FactsReader&&) noexcept;

  // `readable`: bytes readable from body.data(); with at least kJsonPadding beyond the body nothing is copied.
  // A duplicate of model, max_tokens (any spelling), stream, messages, n or stream_options is refused: which one counts
  // would be the provider's choice, and a budget's clamp could be smuggled past.
  Result<RequestFacts> request(Wire wire, std::string_view body, std::size_t readable = 0);
  Result<ReplyFacts> reply(Wire wire, std::string_view body, std::size_t readable = 0);
  // One server-sent event. Fails with provider_bad_response on malformed data: skip and count it.
  Result<ChunkFacts> chunk(Wire wire, std::string_view event, std::string_view data);

  struct State;
 private:
  std::unique_ptr<State> state_;
};

}  // namespace ballast::llm
