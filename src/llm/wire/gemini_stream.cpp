// Gemini streamGenerateContent?alt=sse, both ways: chunks are whole replies, function calls arrive whole.
#include "base/json.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/stream.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::gemini;

class GeminiDecoder final : public Decoder {
 public:
  void event(std::string_view, const Node& data, Events& out) override {
    if (data.find("error")) return fail_stream(error_from_json(kWire, 0, data.value()), out);
    if (id_.empty()) id_ = data.str("responseId");
    start(id_, data.str("modelVersion"), 0, out);
    auto list = data.array("candidates");
    for (std::size_t i = 0; list && i < list->size(); ++i) candidate(list->item(i), out);
    if (auto usage = data.find("usageMetadata")) {
      counts_ = {};   // the last one counts alone
      usage_of(kWire, *usage, out);
    }
    if (auto feedback = data.object("promptFeedback"))
      if (auto reason = feedback->str("blockReason"); !reason.empty())
        finish_choice(0, FinishReason::content_filter, std::move(reason), {}, out);
  }

 private:
  void candidate(const Node& node, Events& out) {
    if (!node.is_object()) return node.fail("must be an object");
    const auto index = static_cast<std::uint32_t>(node.integer("index", 0, 127).value_or(0));
    choices_[index];
    if (auto content = node.object("content")) {
      std::vector<Part> parts;
      std::size_t calls = 0;
      parse_gemini_parts(*content, parts, calls);
      auto known = choices_[index].calls.size();
      for (auto& part : parts)
        if (auto* call = std::get_if<ToolCall>(&part.body); call != nullptr) {
          if (call->id.empty()) call->id = "call_" + (id_.empty() ? std::string() : id_ + "_") + std::to_string(known);
          ++known;
        }
      whole_parts(index, parts, out);
    }
    auto raw = gemini_finish_of(node);
    if (raw.empty()) return;
    const auto reason = finish_from(kWire, raw, !choices_[index].calls.empty());
    finish_choice(index, reason, std::move(raw), {}, out);
  }

  std::string id_;
};

class GeminiEncoder final : public Encoder {
 public:
  using Encoder::Encoder;

  void event(const StreamEvent& event, std::string& out) override {
    if (const auto* e = std::get_if<TextDelta>(&event)) {
      json::object part{{"text", e->text}};
      if (!e->signature.empty()) part["thoughtSignature"] = e->signature;
      chunk(e->choice, std::move(part), out);
    } else if (const auto* r = std::get_if<ReasoningDelta>(&event)) {
      chunk(r->choice, {{"text", r->text}, {"thought", true}}, out);
    } else if (const auto* f = std::get_if<RefusalDelta>(&event)) {
      chunk(f->choice, {{"text", f->text}}, out);
    } else if (const auto* t = std::get_if<ToolStart>(&event)) {
      calls_[{t->choice, t->index}] = {.call = {.id = t->id, .name = t->name, .signature = t->signature}};
      flush(false, out);
    } else if (const auto* a = std::get_if<ToolArgsDelta>(&event)) {
      if (const auto at = calls_.find({a->choice, a->index}); at != calls_.end()) {
        at->second.call.arguments += a->text;
        at->second.scan.push(a->text);
      }
    } else if (std::holds_alternative<Finish>(event)) {
      flush(true, out);
    } else if (const auto* u = std::get_if<UnknownEvent>(&event); u != nullptr && u->wire == kWire) {
      if (auto part = parse_json(u->data); part && part->is_object()) chunk(0, std::move(part->get_object()), out);
    }
  }

  void finish(std::string& out) override {
    flush(true, out);
    json::array candidates;
    for (const auto& [choice, end] : finishes_)
      candidates.push_back(json::object{{"content", json::object{{"role", "model"}, {"parts", json::array{json::object{{"text", ""}}}}}},
                                        {"finishReason", finish_name(kWire, end.reason)}, {"index", choice}});
    auto last = body(std::move(candidates));
    if (usage_) last["usageMetadata"] = write_usage(kWire, *usage_);
    write_event(out, {}, last);
  }

  void error(const Error& error, std::string& out) override { write_event(out, {}, error_object(kWire, error)); }

 private:
  struct Pending { ToolCall call; ArgumentScan scan; bool written = false; };

  // Calls in their order; one whose arguments are still arriving holds back those after it.
  void flush(bool all, std::string& out) {
    for (auto& [key, pending] : calls_) {
      if (pending.written) continue;
      if (!all && !pending.scan.whole()) return;
      pending.written = true;
      auto call = render_gemini_call(pending.call);
      call["id"] = pending.call.id;
      json::object part{{"functionCall", std::move(call)}};
      if (!pending.call.signature.empty()) part["thoughtSignature"] = pending.call.signature;
      chunk(key.first, std::move(part), out);
    }
  }
  json::object body(json::array candidates) {
    return {{"candidates", std::move(candidates)}, {"modelVersion", options_.model}, {"responseId", options_.id}};
  }
  void chunk(std::uint32_t choice, json::object part, std::string& out) {
    write_event(out, {}, body(json::array{json::object{{"content", json::object{{"role", "model"}, {"parts", json::array{std::move(part)}}}}, {"index", choice}}}));
  }

  std::map<std::pair<std::uint32_t, std::uint32_t>, Pending> calls_;
};

}  // namespace

std::unique_ptr<Decoder> gemini_decoder() { return std::make_unique<GeminiDecoder>(); }
std::unique_ptr<Encoder> gemini_encoder(StreamEncoderOptions options) { return std::make_unique<GeminiEncoder>(std::move(options)); }

}  // namespace ballast::llm
