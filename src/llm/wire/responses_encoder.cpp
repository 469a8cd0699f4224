// OpenAI Responses as a stream, written: every item is added, told in deltas, and done; the last event holds them all.
#include "base/json.hpp"
#include "llm/wire/common.hpp"
#include "llm/wire/responses_parts.hpp"
#include "llm/wire/stream.hpp"

namespace ballast::llm {

namespace {

constexpr Wire kWire = Wire::openai_responses;

// Of a response that failed the API has a closed list of codes; the event before it says ours.
std::string_view failure_code(const Error& error) {
  return error.code == ErrorCode::provider_rate_limited ? "rate_limit_exceeded" : "server_error";
}

class ResponsesEncoder final : public Encoder {
 public:
  explicit ResponsesEncoder(StreamEncoderOptions options) : Encoder(std::move(options)), echo_(request_echo(options_.request)) {}

  void event(const StreamEvent& event, std::string& out) override {
    head(out);
    if (const auto* e = std::get_if<TextDelta>(&event)) {
      if (!e->text.empty()) say(Kind::text, e->text, out);
    } else if (const auto* f = std::get_if<RefusalDelta>(&event)) {
      say(Kind::refusal, f->text, out);
    } else if (const auto* r = std::get_if<ReasoningDelta>(&event)) {
      think(r->text, out);
    } else if (const auto* s = std::get_if<ReasoningSeal>(&event)) {
      seal(s->seal, out);
    } else if (const auto* t = std::get_if<ToolStart>(&event)) {
      begin_call(*t, out);
    } else if (const auto* a = std::get_if<ToolArgsDelta>(&event)) {
      const auto at = calls_.find(a->index);
      if (at == calls_.end() || at->second.done) return;
      at->second.call.arguments += a->text;
      at->second.scan.push(a->text);
      send("response.function_call_arguments.delta",
           {{"item_id", at->second.id}, {"output_index", at->second.position}, {"delta", a->text}}, out);
    } else if (const auto* c = std::get_if<CitationDelta>(&event); c != nullptr && c->wire == kWire && open_ == Kind::text) {
      send("response.output_text.annotation.added", {{"item_id", id_}, {"output_index", position_}, {"content_index", 0},
                                                     {"annotation_index", annotations_.size()}, {"annotation", c->raw}}, out);
      annotations_.push_back(c->raw);
    } else if (std::holds_alternative<PartStop>(event) || std::holds_alternative<Finish>(event)) {
      close(out);
      if (std::holds_alternative<Finish>(event)) close_calls(true, out);
    }
  }

  void finish(std::string& out) override {
    close(out);
    close_calls(true, out);
    const auto reason = finishes_.begin()->second.reason;
    auto whole = response("completed", items_);
    finish_response(whole, reason, usage_);
    const auto* name = whole["status"] == "incomplete" ? "response.incomplete" : "response.completed";
    send(name, {{"response", std::move(whole)}}, out);
  }

  void error(const Error& error, std::string& out) override {
    head(out);
    const auto told = error_object(kWire, error).at("error").get_object();
    send("error", {{"code", told.at("code")}, {"message", told.at("message")}, {"param", told.at("param")}}, out);
    auto broken = response("failed", items_);
    broken["error"] = json::object{{"code", failure_code(error)}, {"message", told.at("message")}};
    send("response.failed", {{"response", std::move(broken)}}, out);
  }

 private:
  enum class Kind { none, text, refusal, reasoning };
  struct OpenCall { ToolCall call; ArgumentScan scan; std::string id; std::size_t position = 0; bool done = false; };

  json::object response(std::string_view status, json::array output) const {
    auto o = response_object({options_.id, options_.model, options_.created}, status, std::move(output));
    for (const auto& [name, value] : echo_) o[name] = value;
    return o;
  }

  void send(std::string_view type, json::object data, std::string& out) {
    json::object event{{"type", type}, {"sequence_number", sequence_++}};
    for (auto& [key, value] : data) event[key] = std::move(value);
    write_event(out, type, event);
  }

  void head(std::string& out) {
    if (begun_) return;
    begun_ = true;
    for (const std::string_view type : {"response.created", "response.in_progress"})
      send(type, {{"response", response("in_progress", {})}}, out);
  }

  void add_item(json::object item, std::string& out) {
    position_ = items_.size();
    send("response.output_item.added", {{"output_index", position_}, {"item", item}}, out);
    items_.push_back(std::move(item));
  }
  void done_item(std::size_t position, json::object item, std::string& out) {
    items_[position] = item;
    send("response.output_item.done", {{"output_index", position}, {"item", std::move(item)}}, out);
  }

  json::object part(std::string_view text) const {
    if (open_ == Kind::refusal) return {{"type", "refusal"}, {"refusal", text}};
    auto o = output_text(text);
    o["annotations"] = annotations_;
    return o;
  }
  json::object where(std::string_view index_name, std::size_t index) const {
    return {{"item_id", id_}, {"output_index", position_}, {index_name, index}};
  }

  void say(Kind kind, std::string_view text, std::string& out) {
    if (open_ != kind) {
      close(out);
      close_calls(false, out);
      open_ = kind;
      id_ = item_id("msg", options_.id, items_.size());
      add_item(message_item(id_, "in_progress", {}), out);
      auto data = where("content_index", 0);
      data["part"] = part("");
      send("response.content_part.added", std::move(data), out);
    }
    text_ += text;
    auto data = where("content_index", 0);
    data["delta"] = text;
    if (kind == Kind::text) data["logprobs"] = json::array{};
    send(kind == Kind::text ? "response.output_text.delta" : "response.refusal.delta", std::move(data), out);
  }

  void open_reasoning(std::string& out) {
    if (open_ == Kind::reasoning) return;
    close(out);
    open_ = Kind::reasoning;
    reasoning_ = {.sealed_by = kWire};
    id_ = item_id("rs", options_.id, items_.size());
    add_item(reasoning_item(id_, {}), out);
  }
  void think(std::string_view text, std::string& out) {
    open_reasoning(out);
    if (text_.empty()) {
      auto data = where("summary_index", 0);
      data["part"] = json::object{{"type", "summary_text"}, {"text", ""}};
      send("response.reasoning_summary_part.added", std::move(data), out);
    }
    text_ += text;
    auto data = where("summary_index", 0);
    data["delta"] = text;
    send("response.reasoning_summary_text.delta", std::move(data), out);
  }
  void seal(const Reasoning& r, std::string& out) {
    if (r.sealed_by != kWire || r.encrypted.empty()) return;
    open_reasoning(out);
    reasoning_.encrypted = r.encrypted;
  }

  void close(std::string& out) {
    if (open_ == Kind::none) return;
    if (open_ == Kind::reasoning) {
      if (!text_.empty()) {
        auto done = where("summary_index", 0);
        done["text"] = text_;
        send("response.reasoning_summary_text.done", std::move(done), out);
        auto data = where("summary_index", 0);
        data["part"] = json::object{{"type", "summary_text"}, {"text", text_}};
        send("response.reasoning_summary_part.done", std::move(data), out);
      }
      reasoning_.text = text_;
      done_item(position_, reasoning_item(id_, reasoning_), out);
    } else {
      auto done = where("content_index", 0);
      done[open_ == Kind::text ? "text" : "refusal"] = text_;
      if (open_ == Kind::text) done["logprobs"] = json::array{};
      send(open_ == Kind::text ? "response.output_text.done" : "response.refusal.done", std::move(done), out);
      auto data = where("content_index", 0);
      data["part"] = part(text_);
      send("response.content_part.done", std::move(data), out);
      done_item(position_, message_item(id_, "completed", json::array{part(text_)}), out);
    }
    open_ = Kind::none;
    text_.clear();
    annotations_.clear();
  }

  void begin_call(const ToolStart& t, std::string& out) {
    close(out);
    close_calls(false, out);
    OpenCall c{.call = {.id = t.id, .name = t.name}, .id = item_id("fc", options_.id, items_.size()), .position = items_.size()};
    add_item(call_item(c.id, "in_progress", c.call), out);
    calls_[t.index] = std::move(c);
  }
  // Items may stay open beside each other, so only whole calls are closed before the end.
  void close_calls(bool all, std::string& out) {
    for (auto& [index, c] : calls_) {
      if (c.done || (!all && !c.scan.whole())) continue;
      c.done = true;
      send("response.function_call_arguments.done",
           {{"item_id", c.id}, {"output_index", c.position}, {"name", c.call.name}, {"arguments", c.call.arguments}}, out);
      done_item(c.position, call_item(c.id, "completed", c.call), out);
    }
  }

  const json::object echo_;            // of the request
  bool begun_ = false;
  std::int64_t sequence_ = 0;
  json::array items_;                  // as they will stand in the last event
  Kind open_ = Kind::none;             // the open message or reasoning item
  std::string id_, text_;
  std::size_t position_ = 0;
  json::array annotations_;
  Reasoning reasoning_;
  std::map<std::uint32_t, OpenCall> calls_;
};

}  // namespace

std::unique_ptr<Encoder> responses_encoder(StreamEncoderOptions options) { return std::make_unique<ResponsesEncoder>(std::move(options)); }

}  // namespace ballast::llm
