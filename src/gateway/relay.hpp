// Relay: one answer stream on its way from a provider's events to the caller's bytes. Synchronous and without I/O:
// `stream.cpp` reads, feeds and writes.
//
// Where both sides speak the same wire the provider's bytes pass untouched (`direct`), watched by the fast reader for
// usage, finish reason and errors. Otherwise, and where a rescue may have to go on with another provider's stream
// (`continue`), events are decoded and written anew, so that the caller sees one coherent stream.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/collect.hpp"
#include "gateway/structured_stream.hpp"
#include "llm/facts.hpp"
#include "llm/wire.hpp"
#include "net/sse.hpp"

namespace ballast::gateway {

struct RelayOptions {
  llm::Wire client = llm::Wire::openai_chat;
  bool include_usage = false;        // the caller asked for the usage chunk (OpenAI chat)
  std::uint32_t choices = 1;         // answers asked for (n): each finishes by itself
  bool may_continue = false;         // rescue mode `continue`
  bool collect = false;              // somebody remembers the answer: cache or idempotency key
  std::size_t max_answer_bytes = 32u << 20;
  std::string_view request;          // the caller's body, which outlives the relay: events may repeat its parameters
  JudgedBy judged_by;                // the answer is watched: only what can still become the JSON that was asked for is told
  bool hold = false;                 // of a watched answer: nothing before it is whole
  bool pass = false;                 // of a watched answer: told though it is wrong
  std::int64_t created = 0;          // Unix seconds, told where the provider's wire does not say when it began
};

class Relay {
 public:
  Relay(RelayOptions options, llm::FactsReader& reader) : options_(options), reader_(reader) {}

  // The next upstream stream begins. `continuing`: it goes on after the text delivered so far; else it is the first, or
  // a clean restart of which nothing was delivered. `by_tool`: the answer comes as the input of a tool that had to be called.
  void begin(llm::Wire upstream, bool continuing, bool by_tool = false);

  // One event. What the caller shall see is appended to `out`. Errors: the provider's own (inside the stream), or
  // provider_bad_response above the answer limit. A malformed event is skipped and counted.
  Result<void> event(const net::SseEvent& event, std::string& out);

  // The upstream body ended (or, after a finish reason, was given up waiting for). Appends the terminator. An end without a
  // finish reason, of one choice that was decoded or of all, is provider_bad_response: truncated; that of a watched answer that was wrong is provider_invalid_output.
  Result<void> end(std::string& out);

  // The caller's stream ends with an error event.
  void fail(const Error& error, std::string& out);

  bool content_seen() const { return content_seen_; }
  bool finished() const { return finishes_ > 0; }            // at least one choice came to its end
  bool all_finished() const { return finishes_ >= options_.choices; }
  bool terminal() const { return terminal_; }               // the upstream said its last word
  std::uint64_t content_bytes() const { return content_bytes_; }
  // Bytes of the present upstream stream in which every token it has sent is contained, a token being one byte at least: its
  // text and thoughts, and all of an event that carries anything else.
  std::uint64_t token_bytes() const { return token_bytes_; }
  bool told_error() const { return told_error_; }           // the upstream ended its stream with an error of its own
  std::uint64_t tokens_seen() const { return content_events_; }   // events with content: a token or a few each
  std::uint32_t malformed() const { return malformed_; }
  llm::FinishReason finish() const { return finish_; }
  const std::optional<llm::Usage>& usage() const { return usage_; }   // of the present upstream stream
  const std::string& text() const { return text_; }         // plain text so far; kept only with `may_continue`
  bool only_text() const { return only_text_; }             // nothing but text so far: it can be continued
  // The whole reply; with `collect` and after a clean end.
  llm::ChatReply collected() { return passed_ ? std::move(*passed_) : collector_.take(); }
  // Of a watched answer: what was let through may be sent. Always true of others.
  bool may_commit() const { return !watch_ || watch_->told(); }
  AnswerWatch* watch() { return watch_.get(); }
  // A refused answer after all: the stream of `reply`, whole, in `out`.
  void pass_on(llm::ChatReply reply, std::string& out);

 private:
  Result<void> direct_event(const net::SseEvent& event, std::string& out);
  Result<void> translated_event(const net::SseEvent& event, std::string& out);
  Result<void> weigh(const llm::StreamEvent& event);
  Result<void> note(const llm::StreamEvent& event);
  Result<void> let_through(llm::StreamEvent event, std::string& out);
  void tell(const llm::StreamEvent& event, std::string& out);
  Result<void> grow(std::uint64_t bytes);
  llm::StreamEncoder encoder() const;

  RelayOptions options_;
  llm::FactsReader& reader_;
  llm::Wire upstream_ = llm::Wire::openai_chat;
  bool direct_ = false;
  bool continuing_ = false;
  bool terminal_ = false;
  bool content_seen_ = false;
  bool only_text_ = true;
  bool told_error_ = false;
  std::uint64_t content_bytes_ = 0, content_events_ = 0, token_bytes_ = 0;
  std::uint32_t malformed_ = 0;
  std::uint32_t finishes_ = 0;
  llm::FinishReason finish_ = llm::FinishReason::none;
  std::optional<llm::Usage> usage_;
  std::string text_;
  std::optional<llm::StreamDecoder> decoder_;
  std::optional<llm::StreamEncoder> encoder_;
  StreamCollector collector_;
  std::vector<llm::StreamEvent> scratch_;
  std::unique_ptr<AnswerWatch> watch_;
  std::optional<llm::ToolAnswer> tool_answer_;
  std::unique_ptr<llm::ChatReply> passed_;
};

}  // namespace ballast::gateway
