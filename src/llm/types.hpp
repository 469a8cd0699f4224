// The canonical form of a model call: what the four wire formats have in common, and enough memory of the one that
// spoke for its own fields to return unharmed. Values: they copy and compare; nothing here does I/O.
// docs/wire-translation.md says, field by field, what each wire can express.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <boost/json.hpp>

#include "base/result.hpp"

namespace ballast {
namespace json = boost::json;
}

namespace ballast::llm {

// The formats that clients and providers speak. OpenAI-compatible providers (Azure, Groq, DeepSeek, Mistral,
// OpenRouter, Ollama, …) are `openai_chat`; Vertex is `gemini`.
enum class Wire : std::uint8_t { openai_chat, openai_responses, anthropic_messages, gemini };
inline constexpr std::size_t kWires = 4;
std::string_view to_string(Wire wire);
std::optional<Wire> wire_from(std::string_view name);

// The document a value was parsed from. A writer of the same wire starts from it and changes only what was changed
// since, so that unknown fields and spellings survive. Shared and immutable.
struct Origin {
  Wire wire;
  std::shared_ptr<const json::object> document;
};

// ---- Content -------------------------------------------------------------------------------------------------

struct CacheMark {                     // Anthropic `cache_control`: the prompt up to here is worth keeping
  std::string ttl;                     // "5m", "1h", or empty for the provider's default
  bool operator==(const CacheMark&) const = default;
};

// Text. `signature` is Gemini's thoughtSignature of this part (base64), to be returned with it.
struct Text {
  std::string text;
  std::string signature;
  bool operator==(const Text&) const = default;
};

// Bytes that are not text: exactly one of `data` (base64), `url` and `id` is set.
struct Media {
  enum class Kind : std::uint8_t { image, file, audio };
  Kind kind = Kind::image;
  std::string mime;                    // "image/png"; may be empty with a url or an id
  std::string data;                    // base64, as received
  std::string url;                     // fetched by the provider: its size, hence its cost, is unknown to us
  std::string id;                      // uploaded before; means something only to the provider of `id_wire`
  Wire id_wire = Wire::openai_chat;
  std::string name;                    // file name or title
  std::string detail;                  // OpenAI image detail: low, high, auto
  bool operator==(const Media&) const = default;
};

// A call the model makes. `arguments` is the JSON text exactly as the model wrote it; it may be invalid JSON.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
  std::string signature;               // Gemini's thoughtSignature
  bool operator==(const ToolCall&) const = default;
};

struct Part;
struct ToolResult {
  std::string id;                      // of the call
  std::string name;                    // of the tool, where the wire says it (Gemini)
  std::vector<Part> parts;             // Text and Media
  bool is_error = false;
  bool operator==(const ToolResult&) const;
};

// What the model thought. A signature or ciphertext is valid only for the wire that produced it: other wires drop it.
struct Reasoning {
  std::string text;
  bool summary = false;                // `text` summarises what stays hidden
  std::string signature;               // Anthropic, Gemini: proves that `text` is the model's own
  std::string encrypted;               // Anthropic redacted_thinking, OpenAI encrypted_content
  std::string id;                      // OpenAI Responses item id
  Wire sealed_by = Wire::openai_chat;  // whose signature or ciphertext it is
  bool sealed() const { return !signature.empty() || !encrypted.empty() || !id.empty(); }
  bool operator==(const Reasoning&) const = default;
};

struct Refusal {
  std::string text;
  bool operator==(const Refusal&) const = default;
};

// Content only its own wire understands (server tool calls and their results, code execution, …).
struct Opaque {
  Wire wire = Wire::openai_chat;
  json::value raw;
  bool operator==(const Opaque&) const = default;
};

struct Part {
  std::variant<Text, Media, ToolCall, ToolResult, Reasoning, Refusal, Opaque> body;
  std::optional<CacheMark> cache;
  json::array citations;               // of a Text, as its wire spells them
  bool operator==(const Part&) const = default;
};
inline bool ToolResult::operator==(const ToolResult& o) const {
  return id == o.id && name == o.name && parts == o.parts && is_error == o.is_error;
}

// A tool result may stand in a `tool` message of its own or among a user message's parts; writers arrange it.
enum class Role : std::uint8_t { system, user, assistant, tool };
struct Message {
  Role role = Role::user;
  std::vector<Part> parts;
  std::string name;                    // of the participant
  bool prefill = false;                // an assistant message the model shall continue
  bool operator==(const Message&) const = default;
};

// ---- Request -------------------------------------------------------------------------------------------------

struct Tool {
  std::string name;
  std::string description;
  json::value schema;                  // JSON Schema of the arguments; null when none was given
  std::optional<bool> strict;
  std::optional<CacheMark> cache;
  json::value hosted;                  // a tool the provider runs itself, as its wire spells it; else null
  bool operator==(const Tool&) const = default;
};

struct ToolChoice {
  enum class Mode : std::uint8_t { automatic, none, required };
  Mode mode = Mode::automatic;
  std::vector<std::string> names;      // with `required` or `automatic`: the only tools allowed
  bool operator==(const ToolChoice&) const = default;
};

struct ResponseFormat {
  enum class Kind : std::uint8_t { text, json, schema };
  Kind kind = Kind::text;
  std::string name;                    // of the schema
  std::string description;
  json::value schema;
  std::optional<bool> strict;
  bool operator==(const ResponseFormat&) const = default;
};

struct ReasoningOptions {
  std::string effort;                        // none, minimal, low, medium, high, xhigh, max; or empty
  std::optional<std::int64_t> budget;        // tokens; 0 turns thinking off; -1 lets the model choose
  std::string summary;                       // auto, concise, detailed; or empty
  std::optional<bool> include;               // return the thoughts
  bool operator==(const ReasoningOptions&) const = default;
};

struct ChatRequest {
  std::string model;                         // Gemini names it in the path: empty after parsing its body
  std::vector<Part> system;
  std::vector<Message> messages;
  std::vector<Tool> tools;
  std::optional<ToolChoice> tool_choice;
  std::optional<bool> parallel_tool_calls;
  std::optional<std::int64_t> max_tokens;    // of output, thoughts included
  std::optional<double> temperature, top_p, frequency_penalty, presence_penalty;
  std::optional<std::int64_t> top_k, n, seed;
  std::vector<std::string> stop;
  std::optional<std::int64_t> logprobs;      // number of alternatives; 0: of the chosen tokens only
  std::optional<ResponseFormat> response_format;
  std::optional<ReasoningOptions> reasoning;
  bool stream = false;
  bool include_usage = false;                // OpenAI chat streams: a last chunk with the usage
  std::string user;
  json::object metadata;                     // without the user
  json::object openai;                       // fields both OpenAI wires spell alike: service_tier, store, prompt_cache_key, …
  std::vector<std::string> bound;            // fields present that only the origin's wire can honour (previous_response_id, …)
  std::optional<Origin> origin;
};

// ---- Reply ---------------------------------------------------------------------------------------------------

// Disjoint counts, in tokens: the input is uncached + cache_read + cache_write_5m + cache_write_1h. (OpenAI's
// prompt_tokens and Gemini's promptTokenCount contain the cached ones, Anthropic's input_tokens does not.)
// The service level a call was served and is charged at. Whatever else a provider names is its standard.
enum class ServiceTier : std::uint8_t { standard, flex, priority, batch };
std::string_view to_string(ServiceTier tier);
ServiceTier service_tier_from(std::string_view name);    // any wire's word

struct Usage {
  std::uint64_t input_uncached = 0;
  std::uint64_t cache_read = 0;
  std::uint64_t cache_write_5m = 0;
  std::uint64_t cache_write_1h = 0;
  std::uint64_t output = 0;                  // everything billed as output, reasoning included
  std::uint64_t reasoning = 0;               // of `output`
  std::uint64_t audio_in = 0;                // of `input_uncached`
  std::uint64_t audio_out = 0;               // of `output`
  std::uint64_t image_in = 0;                // of `input_uncached`
  std::uint64_t image_out = 0;               // of `output`
  std::uint64_t server_tool_calls = 0;       // searches and the like that the provider ran, charged apart
  std::uint64_t images = 0;                  // made by an images call, whether or not tokens were told for them
  ServiceTier tier = ServiceTier::standard;  // as the reply says
  std::uint64_t input() const { return input_uncached + cache_read + cache_write_5m + cache_write_1h; }
  std::uint64_t total() const { return input() + output; }
  bool operator==(const Usage&) const = default;
};

enum class FinishReason : std::uint8_t {
  none,             // not finished
  stop,             // the natural end
  stop_sequence,    // one of the request's stop sequences
  length,           // max_tokens or the context was reached
  tool_calls,
  content_filter,   // the provider's safety system cut the answer
  refusal,          // the model declined
  pause,            // Anthropic pause_turn: send it back to go on
  other,            // named in the raw reason
};
std::string_view to_string(FinishReason reason);

struct Choice {
  std::vector<Part> parts;
  FinishReason finish = FinishReason::none;
  std::string raw_finish;                    // as the wire said it
  std::string stop_sequence;                 // which one, where the wire says
  json::value logprobs;                      // as its wire spells them
  bool operator==(const Choice&) const = default;
};

struct ChatReply {
  std::string id;
  std::string model;
  std::int64_t created = 0;                  // Unix seconds; 0 where the wire does not say
  std::vector<Choice> choices;
  std::optional<Usage> usage;
  std::optional<Origin> origin;
};

// ---- Stream --------------------------------------------------------------------------------------------------
// The order in every stream: start, then deltas, finish (one a choice), usage; or error at any time, and nothing after.
// Tool indexes count 0, 1, 2 … within a choice; the arguments of several calls may interleave.

struct StreamStart { std::string id, model; std::int64_t created = 0; };
struct TextDelta { std::uint32_t choice = 0; std::string text; std::string signature; };
struct ReasoningDelta { std::uint32_t choice = 0; std::string text; bool summary = false; };
struct ReasoningSeal { std::uint32_t choice = 0; Reasoning seal; };   // signature, ciphertext and id of the thoughts just streamed
struct ToolStart { std::uint32_t choice = 0; std::uint32_t index = 0; std::string id, name, signature; };
struct ToolArgsDelta { std::uint32_t choice = 0; std::uint32_t index = 0; std::string text; };
struct PartStop { std::uint32_t choice = 0; };                        // the current text or reasoning is complete
struct RefusalDelta { std::uint32_t choice = 0; std::string text; };
struct CitationDelta { std::uint32_t choice = 0; Wire wire = Wire::openai_chat; json::value raw; };
struct UsageUpdate { Usage usage; };                                  // cumulative: replaces earlier ones
struct Finish { std::uint32_t choice = 0; FinishReason reason = FinishReason::stop; std::string raw, stop_sequence; };
struct StreamFailure { Error error; };
struct Ping {};
struct UnknownEvent { Wire wire = Wire::openai_chat; std::string event, data; };

using StreamEvent = std::variant<StreamStart, TextDelta, ReasoningDelta, ReasoningSeal, ToolStart, ToolArgsDelta, PartStop,
                                 RefusalDelta, CitationDelta, UsageUpdate, Finish, StreamFailure, Ping, UnknownEvent>;

}  // namespace ballast::llm
