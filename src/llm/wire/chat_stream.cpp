// OpenAI chat completions as a stream, both ways.
#include "base/json.hpp"
#include "llm/wire/chat_parts.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/stream.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::openai_chat;

class ChatDecoder final : public Decoder {
 public:
  void event(std::string_view name, const Node& data, Events& out) override {
    if (data.find("error") || name == "error") {
      if (auto usage = data.find("usage")) usage_of(kWire, *usage, out);   // what was spent until then is owed
      return fail_stream(error_from_json(kWire, 0, data.value()), out);
    }
    count_tier(counts_, data.value());
    auto list = data.array("choices");
    if (list) {
      std::int64_t created = 0;
      if (auto c = data.find("created"); c && c->value().is_int64()) created = c->value().get_int64();
      start(data.str("id"), data.str("model"), created, out);
      for (std::size_t i = 0; i < list->size(); ++i) choice(list->item(i), out);
    }
    if (auto usage = data.find("usage")) usage_of(kWire, *usage, out);
    else if (auto groq = data.object("x_groq"))
      if (auto inner = groq->find("usage")) usage_of(kWire, *inner, out);
  }

 private:
  void choice(const Node& node, Events& out) {
    if (!node.is_object()) return node.fail("must be an object");
    const auto index = static_cast<std::uint32_t>(node.integer("index", 0, 127).value_or(0));
    choices_[index];
    if (auto delta = node.object("delta")) this->delta(index, *delta, out);
    auto finish = node.find("finish_reason");
    if (!finish) return;
    auto raw = finish->text();
    if (raw.empty()) return;
    const auto reason = finish_from(kWire, raw, !choices_[index].calls.empty());
    finish_choice(index, reason, std::move(raw), {}, out);
  }

  void delta(std::uint32_t index, const Node& d, Events& out) {
    reasoning(index, d, out);
    if (auto content = d.find("content")) {
      if (content->is_string()) {
        if (auto text = content->text(); !text.empty()) out.push_back(TextDelta{index, std::move(text), {}});
      } else {
        std::vector<Part> parts;   // Mistral: a list, thoughts among it
        const json::value message(json::object{{"content", content->value()}});
        std::optional<Error> ignored;
        parse_chat_message(Node(JsonRef(message), ignored), parts);
        whole_parts(index, parts, out);
      }
    }
    if (auto extra = d.object("extra_content"))
      if (auto google = extra->object("google"))
        if (auto s = google->str("thought_signature"); !s.empty()) out.push_back(TextDelta{index, {}, std::move(s)});
    if (auto refusal = d.str("refusal"); !refusal.empty()) out.push_back(RefusalDelta{index, std::move(refusal)});
    if (auto notes = d.find("annotations"); notes && notes->is_array())
      for (const auto& note : notes->value().get_array()) out.push_back(CitationDelta{index, kWire, note});
    if (auto calls = d.array("tool_calls"))
      for (std::size_t i = 0; i < calls->size(); ++i) call(index, calls->item(i), i, out);
    if (auto legacy = d.object("function_call")) {
      auto at = find_call(index, -1);
      if (!at) at = open_call(index, -1, "call_0", legacy->str("name"), {}, out);
      arguments(index, *at, legacy->str("arguments"), out);
    }
  }

  void reasoning(std::uint32_t index, const Node& d, Events& out) {
    if (auto details = d.find("reasoning_details"); details && details->size() > 0) {
      std::vector<Part> parts;
      for (std::size_t i = 0; i < details->size(); ++i) parse_reasoning_detail(details->item(i), parts);
      for (auto& part : parts)
        if (auto* r = std::get_if<Reasoning>(&part.body); r != nullptr && r->sealed()) {
          if (r->text == thoughts_[index]) r->text.clear();   // heard before, repeated with its seal
          thoughts_[index].clear();
        }
      return whole_parts(index, parts, out);
    }
    for (const std::string_view key : {"reasoning_content", "reasoning"})
      if (auto text = d.find(key); text && text->is_string() && !text->text_view().empty()) {
        thoughts_[index] += text->text_view();
        return out.push_back(ReasoningDelta{index, text->text(), false});
      }
  }

  // Keyed by `index`; where a provider leaves that out or repeats it, a new id starts a new call.
  void call(std::uint32_t choice, const Node& node, std::size_t position, Events& out) {
    if (!node.is_object()) return node.fail("must be an object");
    const auto key = node.integer("index", 0, 4096).value_or(static_cast<std::int64_t>(position));
    auto id = node.str("id");
    auto f = node.object("function");
    auto name = f ? f->str("name") : std::string();
    auto at = find_call(choice, key);
    if (!at || (!id.empty() && !name.empty() && choices_[choice].calls[*at].id != id)) {
      std::string signature;
      if (auto extra = node.object("extra_content"))
        if (auto google = extra->object("google")) signature = google->str("thought_signature");
      at = open_call(choice, key, std::move(id), std::move(name), std::move(signature), out);
    }
    if (!f) return;
    auto args = f->find("arguments");
    if (args) arguments(choice, *at, args->is_string() ? args->text() : to_json(args->value()), out);
  }

  std::map<std::uint32_t, std::string> thoughts_;   // since the last seal
};

class ChatEncoder final : public Encoder {
 public:
  using Encoder::Encoder;

  void event(const StreamEvent& event, std::string& out) override {
    if (std::holds_alternative<StreamStart>(event)) return role(0, out);
    if (const auto* e = std::get_if<TextDelta>(&event)) {
      json::object delta;
      if (!e->text.empty()) delta["content"] = e->text;
      if (!e->signature.empty()) delta["extra_content"] = signature(e->signature);
      if (!delta.empty()) chunk(e->choice, std::move(delta), out);
    } else if (const auto* r = std::get_if<ReasoningDelta>(&event)) {
      unsealed_[r->choice] += r->text;
      chunk(r->choice, {{"reasoning_content", r->text}}, out);
    } else if (const auto* s = std::get_if<ReasoningSeal>(&event)) {
      // A signature holds for its text alone, so the text comes with it once more.
      auto seal = s->seal;
      seal.text = std::exchange(unsealed_[s->choice], {});
      auto detail = reasoning_detail(seal, true);
      detail["index"] = entries_++;   // the SDKs demand one in every list they add up
      chunk(s->choice, {{"reasoning_details", json::array{std::move(detail)}}}, out);
    } else if (const auto* f = std::get_if<RefusalDelta>(&event)) {
      chunk(f->choice, {{"refusal", f->text}}, out);
    } else if (const auto* t = std::get_if<ToolStart>(&event)) {
      json::object call{{"index", t->index}, {"id", t->id}, {"type", "function"}, {"function", json::object{{"name", t->name}, {"arguments", ""}}}};
      if (!t->signature.empty()) call["extra_content"] = signature(t->signature);
      chunk(t->choice, {{"tool_calls", json::array{std::move(call)}}}, out);
    } else if (const auto* a = std::get_if<ToolArgsDelta>(&event)) {
      json::object call{{"index", a->index}, {"function", json::object{{"arguments", a->text}}}};
      chunk(a->choice, {{"tool_calls", json::array{std::move(call)}}}, out);
    } else if (const auto* c = std::get_if<CitationDelta>(&event); c != nullptr && c->wire == kWire) {
      auto note = c->raw;
      if (note.is_object()) note.get_object()["index"] = entries_++;
      chunk(c->choice, {{"annotations", json::array{std::move(note)}}}, out);
    } else if (const auto* end = std::get_if<Finish>(&event)) {
      role(end->choice, out);
      write_event(out, {}, body(json::array{json::object{{"index", end->choice}, {"delta", json::object{}}, {"logprobs", nullptr},
                                                         {"finish_reason", finish_name(kWire, end->reason)}}}));
    }
  }

  void finish(std::string& out) override {
    if (options_.include_usage && usage_) {
      auto last = body(json::array{});
      last["usage"] = write_usage(kWire, *usage_);
      write_event(out, {}, last);
    }
    out += "data: [DONE]\n\n";
  }

  void error(const Error& error, std::string& out) override { write_event(out, {}, error_object(kWire, error)); }

 private:
  static json::object signature(std::string_view text) { return {{"google", json::object{{"thought_signature", text}}}}; }

  json::object body(json::array choices) {
    json::object o{{"id", options_.id}, {"object", "chat.completion.chunk"}, {"created", options_.created}, {"model", options_.model},
                   {"choices", std::move(choices)}};
    if (options_.include_usage) o["usage"] = nullptr;
    return o;
  }
  void role(std::uint32_t choice, std::string& out) {
    if (!spoken_.emplace(choice, true).second) return;
    write_event(out, {}, body(json::array{json::object{{"index", choice}, {"delta", json::object{{"role", "assistant"}, {"content", ""}}},
                                                       {"logprobs", nullptr}, {"finish_reason", nullptr}}}));
  }
  void chunk(std::uint32_t choice, json::object delta, std::string& out) {
    role(choice, out);
    write_event(out, {}, body(json::array{json::object{{"index", choice}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}}}));
  }

  std::map<std::uint32_t, bool> spoken_;
  std::map<std::uint32_t, std::string> unsealed_;   // thoughts since the last seal
  std::int64_t entries_ = 0;
};

}  // namespace

std::unique_ptr<Decoder> chat_decoder() { return std::make_unique<ChatDecoder>(); }
std::unique_ptr<Encoder> chat_encoder(StreamEncoderOptions options) { return std::make_unique<ChatEncoder>(std::move(options)); }

}  // namespace ballast::llm
