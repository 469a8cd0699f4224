// OpenAI Responses as a stream, read.
#include <algorithm>

#include "base/json.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/stream.hpp"
#include "llm/wire/wires.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::openai_responses;

class ResponsesDecoder final : public Decoder {
 public:
  void event(std::string_view name, const Node& data, Events& out) override {
    auto type = data.str("type");
    if (type.empty()) type = name;
    if (type == "error") return fail_stream(error_from_json(kWire, 0, data.value()), out);
    if (type == "response.created" || type == "response.in_progress" || type == "response.queued") return begin(data, out);
    if (type == "response.completed" || type == "response.incomplete" || type == "response.failed") return end(type, data, out);
    if (type == "response.output_item.added") return item_added(data, out);
    if (type == "response.output_item.done") return item_done(data, out);
    if (delta(type, data, out)) return;
    if (type.starts_with("response.content_part.") || type.ends_with(".done") || type == "response.reasoning_summary_part.added" || type == "keepalive") return;
    out.push_back(UnknownEvent{kWire, type, to_json(data.value())});
  }

 private:
  void begin(const Node& data, Events& out) {
    auto r = data.object("response");
    if (!r) return data.fail("needs a response");
    std::int64_t created = 0;
    if (auto c = r->find("created_at"); c && c->value().is_int64()) created = c->value().get_int64();
    start(r->str("id"), r->str("model"), created, out);
    choices_[0];
  }

  bool delta(std::string_view type, const Node& data, Events& out) {
    if (type == "response.output_text.delta") return spoke_ = true, out.push_back(TextDelta{0, data.str("delta"), {}}), true;
    if (type == "response.refusal.delta") return spoke_ = true, out.push_back(RefusalDelta{0, data.str("delta")}), true;
    if (type == "response.reasoning_text.delta") return thought_ = true, out.push_back(ReasoningDelta{0, data.str("delta"), false}), true;
    if (type == "response.reasoning_summary_text.delta") {
      // Several summaries of one item are paragraphs.
      const auto item = data.integer("output_index", 0).value_or(0), part = data.integer("summary_index", 0).value_or(0);
      if (part > 0 && summaries_[item] < part) out.push_back(ReasoningDelta{0, "\n\n", true});
      summaries_[item] = part;
      thought_ = true;
      out.push_back(ReasoningDelta{0, data.str("delta"), true});
      return true;
    }
    if (type == "response.function_call_arguments.delta") {
      if (const auto call = find_call(0, data.integer("output_index", 0).value_or(0))) arguments(0, *call, data.str("delta"), out);
      return true;
    }
    if (type == "response.function_call_arguments.done") {
      complete_call(data, data.str("arguments"), out);
      return true;
    }
    if (type == "response.output_text.annotation.added") return out.push_back(CitationDelta{0, kWire, data.raw("annotation")}), true;
    return false;
  }

  void complete_call(const Node& data, std::string whole, Events& out) {
    const auto call = find_call(0, data.integer("output_index", 0).value_or(0));
    if (call && !choices_[0].calls[*call].any_arguments) arguments(0, *call, std::move(whole), out);
  }

  void item_added(const Node& data, Events& out) {
    auto item = data.object("item");
    if (!item) return data.fail("needs an item");
    const auto type = item->str("type");
    choices_[0];
    thought_ = false;
    if (type == "function_call") {
      spoke_ = true;
      open_call(0, data.integer("output_index", 0).value_or(0), item->str("call_id"), item->str("name"), {}, out);
    } else if (type != "message" && type != "reasoning") {
      out.push_back(UnknownEvent{kWire, "response.output_item.added", to_json(data.value())});
    }
  }

  void item_done(const Node& data, Events& out) {
    auto item = data.object("item");
    if (!item) return data.fail("needs an item");
    const auto type = item->str("type");
    if (type == "message") return out.push_back(PartStop{0});
    if (type == "function_call") return complete_call(data, item->str("arguments"), out);
    if (type != "reasoning") return out.push_back(UnknownEvent{kWire, "response.output_item.done", to_json(data.value())});
    std::vector<Part> parts;
    parse_response_item(*item, parts);
    for (auto& part : parts)
      if (auto* r = std::get_if<Reasoning>(&part.body)) {
        if (!thought_ && !r->text.empty()) out.push_back(ReasoningDelta{0, r->text, r->summary});
        r->text.clear();
        out.push_back(ReasoningSeal{0, *r});
      }
    out.push_back(PartStop{0});
  }

  void end(std::string_view type, const Node& data, Events& out) {
    auto r = data.object("response");
    if (!r) return data.fail("needs a response");
    begin(data, out);
    count_tier(counts_, r->value());
    if (auto usage = r->find("usage")) usage_of(kWire, *usage, out);
    if (type == "response.failed") return fail_stream(error_from_json(kWire, 0, data.value()), out);
    terminal = true;
    if (!spoke_) snapshot(*r, out);
    auto raw = r->str("status");
    auto reason = choices_[0].calls.empty() ? FinishReason::stop : FinishReason::tool_calls;
    if (type == "response.incomplete") {
      if (auto details = r->object("incomplete_details")) raw = details->str("reason");
      reason = finish_from(kWire, raw, false);
    }
    finish_choice(0, reason, std::move(raw), {}, out);
  }

  // Nothing was said in deltas: some providers put the whole answer into the last event.
  void snapshot(const Node& response, Events& out) {
    auto items = response.array("output");
    for (std::size_t i = 0; items && i < items->size(); ++i) {
      const auto item = items->item(i);
      if (!item.is_object()) continue;
      const auto type = item.str("type");
      if (type != "message" && type != "function_call") continue;
      std::vector<Part> parts;
      parse_response_item(item, parts);
      whole_parts(0, parts, out);
    }
  }

  bool spoke_ = false;       // text or calls were streamed
  bool thought_ = false;     // the open reasoning item was streamed
  std::map<std::int64_t, std::int64_t> summaries_;
};

}  // namespace

std::unique_ptr<Decoder> responses_decoder() { return std::make_unique<ResponsesDecoder>(); }

}  // namespace ballast::llm
