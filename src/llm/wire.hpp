// Wire translation: four formats to the canonical form (types.hpp) and back. Pure; any thread. Sixteen pairs are four
// parsers and four writers. Same-wire round trips lose nothing: parse then write gives a semantically equal document.
//
// A feature that the target wire lacks is, by the table of docs/wire-translation.md, mapped, carried (kept for its own
// wire, left out elsewhere because the answer stays right without it) or refused (`caller_invalid_request`, `field` named).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llm/errors.hpp"
#include "llm/types.hpp"

namespace ballast::llm {

// Requests. Parsing checks the types and ranges of what it understands: `caller_invalid_request` with the path in `field`
// ("messages[3].content[0].text"). Gemini: set `model` and `stream` from the path afterwards.
Result<ChatRequest> parse_request(Wire wire, const json::value& document);
Result<json::object> write_request(Wire wire, const ChatRequest& request);

// Replies (status 2xx, not streamed). Parsing fails with `provider_bad_response`, or with the error that a 2xx body carries.
// Writing fails with `provider_bad_response` if the reply has more choices than the wire can express.
Result<ChatReply> parse_reply(Wire wire, const json::value& document);
Result<json::object> write_reply(Wire wire, const ChatReply& reply);

// A reply of the Responses API repeats the parameters of its request (instructions, tools, temperature, metadata, …): as the caller wrote
// them, and the API's documented defaults for the rest. `write_reply` leaves them out, for one answer may be told to many; this lays them
// over. `request`: the caller's body. Replies of other wires repeat nothing and stay as they are.
void repeat_request(Wire wire, json::object& reply, std::string_view request);
// The text of a remembered reply, as this request's; nothing where it is that already. One without parameters gets them. One that has them,
// a Responses provider's own, keeps them but for the marks of who asked: metadata, user, safety_identifier, prompt_cache_key.
std::optional<std::string> retell(Wire wire, std::string_view reply, std::string_view request);

// Reads one stream of server-sent events. One instance a stream; used from one thread at a time.
class StreamDecoder {
 public:
  explicit StreamDecoder(Wire wire);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  // One parsed event. Appends what it means to `out`. An event whose data is not JSON is `provider_bad_response`: the
  // caller may skip and count it and go on; the decoder's state is unharmed. A provider's error becomes StreamFailure.
  Result<void> push(std::string_view event, std::string_view data, std::vector<StreamEvent>& out);

  // The body ended. Appends nothing if the stream was whole; a stream without a finish reason, or one that failed, gets
  // `provider_bad_response` (truncated), never a silent success.
  Result<void> finish();

  bool finished() const;       // a finish reason was seen for every choice that started
  bool terminal() const;       // the wire's terminator was seen: nothing follows

  struct State;
 private:
  std::unique_ptr<State> state_;
};

struct StreamEncoderOptions {
  bool include_usage = true;         // OpenAI chat: whether the client asked for the usage chunk
  std::string id;                    // reply id to announce; empty: the one of StreamStart
  std::string model;                 // likewise
  std::int64_t created = 0;          // Unix seconds; 0: StreamStart's
  std::string_view request;          // Responses: the caller's body, whose parameters the events repeat; read once, at the making
  std::optional<Usage> usage_estimate;   // Anthropic puts input tokens into message_start, before they are known elsewhere
};

// Writes one stream as server-sent events of the wire, in the order its official SDKs demand. Append-only on `out`.
class StreamEncoder {
 public:
  explicit StreamEncoder(Wire wire, StreamEncoderOptions options = {});
  ~StreamEncoder();
  StreamEncoder(StreamEncoder&&) noexcept;
  StreamEncoder& operator=(StreamEncoder&&) noexcept;

  void push(const StreamEvent& event, std::string& out);

  // The clean end (the terminator; usage where the wire puts it last). Without a finish reason before it, an error event
  // is written instead: a client never mistakes a cut for an end. Idempotent.
  void finish(std::string& out);

  // An error after the start, in the wire's own shape; nothing may follow.
  void error(const Error& error, std::string& out);

  bool ended() const;
  struct State;
 private:
  std::unique_ptr<State> state_;
};

// One row a canonical field: how each wire treats it. The published table is printed from this; tests hold both to it.
enum class Handling : std::uint8_t { mapped, carried, refused, instructed };   // instructed: by a sentence in the system prompt
struct FieldRow {
  std::string_view field;
  Handling handling[kWires];
  std::string_view spelling[kWires];   // where it goes, or why not
};
std::span<const FieldRow> translation_table();
std::string translation_table_markdown();

}  // namespace ballast::llm
