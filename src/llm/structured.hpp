// Structured output: how a model is asked for JSON of a schema, by what its provider can do natively, and how an answer that came by a
// detour is told as if it had not. Pure; any thread. docs/structured-output.md has the table. Nothing here judges an answer: that is
// gateway/structured.hpp.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/types.hpp"

namespace ballast::llm {

struct ProviderSpec;

// What a request says of its answer's form, and of nothing else; nothing where it leaves that open. caller_invalid_request for a format of
// the wrong shape. `place`: where its schema stands, for errors about it ("response_format.json_schema.schema").
struct AskedFormat {
  std::optional<ResponseFormat> format;
  std::string_view place;
};
Result<AskedFormat> read_format(Wire wire, const json::value& document);

// A tool that may be called where one must be. `schema`: of its arguments, as JSON Schema; null where none is given.
struct ForcedTool {
  std::string name;
  json::value schema;
};
// All of them; none where the request does not force a call, or lets the provider run a tool of its own instead.
// caller_invalid_request: the request cannot be read.
Result<std::vector<ForcedTool>> read_forced_tools(Wire wire, const json::value& document);

// How a target is asked.
enum class Asking : std::uint8_t {
  native,   // by its own field for a schema (response_format, text.format, output_config.format, responseJsonSchema)
  json,     // by its JSON mode, and the schema in the system prompt
  tool,     // by a tool that it must call and whose input is the answer
  prompt,   // by the system prompt alone
};
std::string_view to_string(Asking asking);
std::optional<Asking> asking_from(std::string_view name);

// What a provider's native field is given instead of the schema: that part of it which the provider understands. An answer that fits the
// schema may always be given; whether it fits is judged by the schema itself.
struct SchemaHints {
  std::optional<json::value> anthropic;   // nothing: it cannot be said without forbidding what the schema allows (open objects, recursion)
  json::value gemini;
};
// `schema` nests at most as deep as `parse_json` lets it.
SchemaHints schema_hints(const json::value& schema);

// May OpenAI be asked to hold itself to it (`strict`)? Where a schema is outside its documented subset, or above its limits, it refuses the call.
bool can_be_strict(const json::value& schema);

// Gemini's `responseSchema` is a dialect of OpenAPI 3.0: types in capitals, `nullable`, counts as texts. As JSON Schema.
json::value from_openapi_schema(const json::value& schema);

// What of the request decides how it can be asked.
struct AskedBeside {
  bool tools = false;       // the caller has tools of its own: none may be forced
  bool reasoning = false;   // Anthropic forces no tool while it thinks
};
// `hints`: of `format.schema`. JSON mode (`Kind::json`) is native everywhere: wire translation says how.
Asking asking_of(const ProviderSpec& spec, std::string_view model, const ResponseFormat& format, const SchemaHints& hints, AskedBeside beside);

// Bytes in which every token is contained that asking for `format` adds to a prompt, whichever way it is asked: the longest of the texts that
// `ask_for` writes.
std::uint64_t asking_bytes(const ResponseFormat& format, const SchemaHints& hints);
// The name of the forced tool.
inline constexpr std::string_view kAnswerTool = "answer";

// Makes `request` ask for `format` in that way. What the request itself said of a format is replaced.
void ask_for(ChatRequest& request, const ResponseFormat& format, const SchemaHints& hints, Asking asking, Wire wire);

// A reply to `Asking::tool`: its call becomes the text that the caller asked for, and its end an ordinary one. A reply that called nothing
// stays as it is.
void answer_from_tool(ChatReply& reply);

// The same for a stream, event by event. What a choice says beside its answer waits for it, and goes when it comes.
class ToolAnswer {
 public:
  // What is told instead of `event` is appended to `out`.
  void rewrite(StreamEvent event, std::vector<StreamEvent>& out);

 private:
  struct Choice {
    std::optional<std::uint32_t> call;    // the answer's
    std::vector<StreamEvent> waiting;     // its text and other calls, as long as there is no answer
  };
  std::map<std::uint32_t, Choice> choices_;
};

// Asks again for an answer that was refused: the answer as the model's own turn (left out where it is empty), then `complaint`.
void ask_again(ChatRequest& request, std::string_view answer, std::string_view complaint);
// The same for calls of tools: each with a result that is an error, `complaint`. Calls that not every API takes back, because their arguments
// are no object or because they have no id, are shown as text.
void ask_again(ChatRequest& request, std::vector<ToolCall> calls, std::string_view complaint);

}  // namespace ballast::llm
