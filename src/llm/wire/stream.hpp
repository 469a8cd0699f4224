// Readers and writers of streams behind StreamDecoder and StreamEncoder: one of each a wire.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json_scan.hpp"
#include "llm/wire.hpp"
#include "llm/wire/reader.hpp"
#include "llm/wire/usage.hpp"

namespace ballast::llm {

using Events = std::vector<StreamEvent>;

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void event(std::string_view name, const Node& data, Events& out) = 0;
  bool finished() const;
  bool terminal = false;
  bool failed = false;
  bool too_many_calls = false;           // of one choice; what follows is not looked at

 protected:
  struct Call { std::int64_t key; std::string id; bool any_arguments = false; };
  struct ChoiceState { bool done = false; std::vector<Call> calls; };

  void start(std::string id, std::string model, std::int64_t created, Events& out);
  void fail_stream(Error error, Events& out);
  void finish_choice(std::uint32_t choice, FinishReason reason, std::string raw, std::string stop_sequence, Events& out);
  static constexpr std::size_t kMostCalls = 1024;        // of a choice: each is looked for among the others
  // The call of this wire key (index, output_index, block), newly started if `fresh`.
  std::uint32_t open_call(std::uint32_t choice, std::int64_t key, std::string id, std::string name, std::string signature, Events& out);
  std::optional<std::uint32_t> find_call(std::uint32_t choice, std::int64_t key) const;
  void arguments(std::uint32_t choice, std::uint32_t index, std::string text, Events& out);
  void whole_parts(std::uint32_t choice, const std::vector<Part>& parts, Events& out);
  void usage_of(Wire wire, const Node& usage, Events& out);

  bool started_ = false;
  std::map<std::uint32_t, ChoiceState> choices_;
  UsageCounts counts_;
};

class Encoder {
 public:
  explicit Encoder(StreamEncoderOptions options) : options_(std::move(options)) {}
  virtual ~Encoder() = default;
  virtual void event(const StreamEvent& event, std::string& out) = 0;
  virtual void finish(std::string& out) = 0;             // called once, with every choice finished
  virtual void error(const Error& error, std::string& out) = 0;

  void note(const StreamEvent& event);                   // keeps head, usage and finish reasons
  bool complete() const { return !finishes_.empty() && finishes_.size() >= choices_seen_; }
  bool ended = false;

 protected:
  StreamEncoderOptions options_;
  std::optional<Usage> usage_;
  std::map<std::uint32_t, Finish> finishes_;
  std::uint32_t choices_seen_ = 1;
};

void write_event(std::string& out, std::string_view name, const json::value& data);   // no name: data alone

// A call's arguments while they arrive: whether they are a whole object by now. Linear, in however many pieces they come.
class ArgumentScan {
 public:
  void push(std::string_view piece) {
    for (const char c : piece)
      if (sound_ && !scan_.begun() && c != ' ' && c != '\t' && c != '\n' && c != '\r') sound_ = c == '{' && scan_.push(c);
      else if (sound_) sound_ = scan_.push(c);
  }
  bool whole() const { return sound_ && scan_.complete(); }

 private:
  JsonScan scan_;
  bool sound_ = true;
};

std::unique_ptr<Decoder> chat_decoder();
std::unique_ptr<Decoder> responses_decoder();
std::unique_ptr<Decoder> anthropic_decoder();
std::unique_ptr<Decoder> gemini_decoder();
std::unique_ptr<Encoder> chat_encoder(StreamEncoderOptions options);
std::unique_ptr<Encoder> responses_encoder(StreamEncoderOptions options);
std::unique_ptr<Encoder> anthropic_encoder(StreamEncoderOptions options);
std::unique_ptr<Encoder> gemini_encoder(StreamEncoderOptions options);

}  // namespace ballast::llm
