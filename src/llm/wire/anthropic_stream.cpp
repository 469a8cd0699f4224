// Anthropic messages as a stream, both ways.
#include <deque>

#include "base/json.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/stream.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::anthropic_messages;

class AnthropicDecoder final : public Decoder {
 public:
  void event(std::string_view name, const Node& data, Events& out) override {
    auto type = data.str("type");
    if (type.empty()) type = name;
    if (type == "error") return fail_stream(error_from_json(kWire, 0, data.value()), out);
    if (type == "message_start") {
      auto message = data.object("message");
      if (!message) return data.fail("needs a message");
      start(message->str("id"), message->str("model"), 0, out);
      choices_[0];
      if (auto usage = message->find("usage")) usage_of(kWire, *usage, out);
    } else if (type == "content_block_start") {
      block_start(data, out);
    } else if (type == "content_block_delta") {
      block_delta(data, out);
    } else if (type == "content_block_stop") {
      block_stop(data, out);
    } else if (type == "message_delta") {
      if (auto usage = data.find("usage")) usage_of(kWire, *usage, out);
      auto delta = data.object("delta");
      auto raw = delta ? delta->str("stop_reason") : std::string();
      const auto reason = finish_from(kWire, raw, false);
      if (!raw.empty()) finish_choice(0, reason, std::move(raw), delta->str("stop_sequence"), out);
    } else if (type == "message_stop") {
      terminal = true;
    } else if (type == "ping") {
      out.push_back(Ping{});
    } else {
      out.push_back(UnknownEvent{kWire, type, to_json(data.value())});
    }
  }

 private:
  enum class Kind { text, thinking, tool, foreign };
  struct Block { Kind kind; std::string input; };

  void block_start(const Node& data, Events& out) {
    const auto index = data.integer("index", 0, 100000).value_or(0);
    auto node = data.object("content_block");
    if (!node) return data.fail("needs a content_block");
    const auto type = node->str("type");
    auto& block = blocks_[index];
    if (type == "text") {
      block.kind = Kind::text;
      if (auto text = node->str("text"); !text.empty()) out.push_back(TextDelta{0, std::move(text), {}});
    } else if (type == "thinking") {
      block.kind = Kind::thinking;
      if (auto text = node->str("thinking"); !text.empty()) out.push_back(ReasoningDelta{0, std::move(text), false});
    } else if (type == "redacted_thinking") {
      block.kind = Kind::thinking;
      out.push_back(ReasoningSeal{0, Reasoning{.encrypted = node->str("data"), .sealed_by = kWire}});
    } else if (type == "tool_use") {
      block.kind = Kind::tool;
      if (auto input = node->object("input"); input && !input->value().get_object().empty()) block.input = to_json(input->value());
      open_call(0, index, node->str("id"), node->str("name"), {}, out);
    } else {
      block.kind = Kind::foreign;
      out.push_back(UnknownEvent{kWire, "content_block_start", to_json(data.value())});
    }
  }

  void block_delta(const Node& data, Events& out) {
    const auto index = data.integer("index", 0, 100000).value_or(0);
    auto delta = data.object("delta");
    if (!delta) return data.fail("needs a delta");
    const auto at = blocks_.find(index);
    if (at != blocks_.end() && at->second.kind == Kind::foreign)
      return out.push_back(UnknownEvent{kWire, "content_block_delta", to_json(data.value())});
    const auto type = delta->str("type");
    if (type == "text_delta") out.push_back(TextDelta{0, delta->str("text"), {}});
    else if (type == "thinking_delta") out.push_back(ReasoningDelta{0, delta->str("thinking"), false});
    else if (type == "signature_delta") out.push_back(ReasoningSeal{0, Reasoning{.signature = delta->str("signature"), .sealed_by = kWire}});
    else if (type == "citations_delta") out.push_back(CitationDelta{0, kWire, delta->raw("citation")});
    else if (type == "input_json_delta") {
      if (const auto call = find_call(0, index)) arguments(0, *call, delta->str("partial_json"), out);
    }
    else out.push_back(UnknownEvent{kWire, "content_block_delta", to_json(data.value())});
  }

  void block_stop(const Node& data, Events& out) {
    const auto index = data.integer("index", 0, 100000).value_or(0);
    const auto at = blocks_.find(index);
    if (at == blocks_.end()) return;
    if (at->second.kind == Kind::foreign) return out.push_back(UnknownEvent{kWire, "content_block_stop", to_json(data.value())});
    if (at->second.kind != Kind::tool) return out.push_back(PartStop{0});
    const auto call = find_call(0, index);
    // Some compatible providers give the whole input at the start.
    if (call && !choices_[0].calls[*call].any_arguments) arguments(0, *call, at->second.input.empty() ? "{}" : at->second.input, out);
  }

  std::map<std::int64_t, Block> blocks_;
};

// Blocks follow each other here, while other wires may interleave: what does not belong to an unfinished tool call waits
// until its arguments are whole.
class AnthropicEncoder final : public Encoder {
 public:
  using Encoder::Encoder;

  void event(const StreamEvent& event, std::string& out) override {
    head(out);
    if (std::holds_alternative<Finish>(event)) return drain(true, out), close(out);
    if (std::holds_alternative<StreamStart>(event) || std::holds_alternative<UsageUpdate>(event)) return;
    if (std::holds_alternative<Ping>(event)) return write_event(out, "ping", json::object{{"type", "ping"}});
    const auto* args = std::get_if<ToolArgsDelta>(&event);
    const bool ours = args != nullptr && open_ == Kind::tool && args->index == tool_;
    if (ours || (waiting_.empty() && (open_ != Kind::tool || input_.whole()))) {
      write(event, out);
      if (ours && !waiting_.empty() && input_.whole()) drain(false, out);
    } else {
      wait(event);
    }
  }

  void finish(std::string& out) override {
    drain(true, out);
    close(out);
    const auto& end = finishes_.begin()->second;
    json::object delta{{"stop_reason", finish_name(kWire, end.reason)}, {"stop_sequence", nullptr}};
    if (!end.stop_sequence.empty()) delta["stop_sequence"] = end.stop_sequence;
    else if (end.reason == FinishReason::stop_sequence) delta["stop_reason"] = "end_turn";
    write_event(out, "message_delta", json::object{{"type", "message_delta"}, {"delta", std::move(delta)},
                                                   {"usage", write_usage(kWire, usage_.value_or(Usage{}))}});
    write_event(out, "message_stop", json::object{{"type", "message_stop"}});
  }

  void error(const Error& error, std::string& out) override { write_event(out, "error", error_object(kWire, error)); }

 private:
  enum class Kind { none, text, thinking, tool, foreign };
  struct Waiting { StreamEvent event; std::string arguments; };   // the latter of a call

  void head(std::string& out) {
    if (begun_) return;
    begun_ = true;
    auto usage = write_usage(kWire, usage_ ? *usage_ : options_.usage_estimate.value_or(Usage{}));
    json::object message{{"id", options_.id}, {"type", "message"}, {"role", "assistant"}, {"model", options_.model}, {"content", json::array{}},
                         {"stop_reason", nullptr}, {"stop_sequence", nullptr}, {"usage", std::move(usage)}};
    write_event(out, "message_start", json::object{{"type", "message_start"}, {"message", std::move(message)}});
  }

  // The arguments of a call that waits wait with it; those of one that is closed come too late.
  void wait(const StreamEvent& event) {
    if (const auto* args = std::get_if<ToolArgsDelta>(&event)) {
      if (const auto at = waiting_calls_.find(args->index); at != waiting_calls_.end()) at->second->arguments += args->text;
      return;
    }
    waiting_.push_back({event, {}});
    if (const auto* call = std::get_if<ToolStart>(&event)) waiting_calls_[call->index] = &waiting_.back();
  }

  // Writes what waits, up to a call that is not whole yet; at the end everything, for arguments that never became whole
  // are the model's mistake, not ours.
  void drain(bool all, std::string& out) {
    while (!waiting_.empty()) {
      if (!all && open_ == Kind::tool && !input_.whole()) return;
      const Waiting next = std::move(waiting_.front());
      const auto* call = std::get_if<ToolStart>(&next.event);
      if (call != nullptr) waiting_calls_.erase(call->index);
      waiting_.pop_front();
      write(next.event, out);
      if (call != nullptr && !next.arguments.empty()) write(ToolArgsDelta{call->choice, call->index, next.arguments}, out);
    }
  }

  void start_block(Kind kind, json::object block, std::string& out) {
    close(out);
    open_ = kind;
    write_event(out, "content_block_start", json::object{{"type", "content_block_start"}, {"index", index_}, {"content_block", std::move(block)}});
  }
  void close(std::string& out) {
    if (open_ == Kind::none) return;
    write_event(out, "content_block_stop", json::object{{"type", "content_block_stop"}, {"index", index_}});
    open_ = Kind::none;
    ++index_;
    input_ = {};
  }
  void delta(json::object delta, std::string& out) {
    write_event(out, "content_block_delta", json::object{{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }
  void text(std::string_view text, std::string& out) {
    if (text.empty()) return;
    if (open_ != Kind::text) start_block(Kind::text, {{"type", "text"}, {"text", ""}}, out);
    delta({{"type", "text_delta"}, {"text", text}}, out);
  }

  void write(const StreamEvent& event, std::string& out) {
    if (const auto* e = std::get_if<TextDelta>(&event)) {
      text(e->text, out);
    } else if (const auto* f = std::get_if<RefusalDelta>(&event)) {
      text(f->text, out);
    } else if (const auto* r = std::get_if<ReasoningDelta>(&event)) {
      if (open_ != Kind::thinking) start_block(Kind::thinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}, out);
      delta({{"type", "thinking_delta"}, {"thinking", r->text}}, out);
    } else if (const auto* s = std::get_if<ReasoningSeal>(&event)) {
      seal(s->seal, out);
    } else if (const auto* t = std::get_if<ToolStart>(&event)) {
      start_block(Kind::tool, {{"type", "tool_use"}, {"id", t->id}, {"name", t->name}, {"input", json::object{}}}, out);
      tool_ = t->index;
    } else if (const auto* a = std::get_if<ToolArgsDelta>(&event)) {
      if (open_ != Kind::tool || a->index != tool_) return;
      input_.push(a->text);
      delta({{"type", "input_json_delta"}, {"partial_json", a->text}}, out);
    } else if (std::holds_alternative<PartStop>(event)) {
      if (open_ == Kind::text || open_ == Kind::thinking) close(out);
    } else if (const auto* c = std::get_if<CitationDelta>(&event); c != nullptr && c->wire == kWire) {
      if (open_ == Kind::text) delta({{"type", "citations_delta"}, {"citation", c->raw}}, out);
    } else if (const auto* u = std::get_if<UnknownEvent>(&event); u != nullptr && u->wire == kWire) {
      unknown(*u, out);
    }
  }

  void seal(const Reasoning& r, std::string& out) {
    if (r.sealed_by != kWire) return;
    if (!r.encrypted.empty()) {
      start_block(Kind::thinking, {{"type", "redacted_thinking"}, {"data", r.encrypted}}, out);
      return close(out);
    }
    if (open_ != Kind::thinking) start_block(Kind::thinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}, out);
    delta({{"type", "signature_delta"}, {"signature", r.signature}}, out);
  }

  // A block of a hosted tool, renumbered.
  void unknown(const UnknownEvent& u, std::string& out) {
    auto data = parse_json(u.data);
    if (!data || !data->is_object() || u.event.empty()) return;
    if (u.event == "content_block_start") close(out), open_ = Kind::foreign;
    if (u.event == "content_block_stop") return open_ == Kind::foreign ? close(out) : void();
    if (data->get_object().contains("index")) data->get_object()["index"] = index_;
    write_event(out, u.event, *data);
  }

  bool begun_ = false;
  Kind open_ = Kind::none;
  std::size_t index_ = 0;
  std::uint32_t tool_ = 0;
  ArgumentScan input_;                   // of the open call
  std::deque<Waiting> waiting_;
  std::map<std::uint32_t, Waiting*> waiting_calls_;
};

}  // namespace

std::unique_ptr<Decoder> anthropic_decoder() { return std::make_unique<AnthropicDecoder>(); }
std::unique_ptr<Encoder> anthropic_encoder(StreamEncoderOptions options) { return std::make_unique<AnthropicEncoder>(std::move(options)); }

}  // namespace ballast::llm
