#include "llm/wire/stream.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

// ---- Decoder: what all wires share ----------------------------------------------------------------------------

bool Decoder::finished() const {
  return !failed && !choices_.empty() && std::ranges::all_of(choices_, [](const auto& c) { return c.second.done; });
}

void Decoder::start(std::string id, std::string model, std::int64_t created, Events& out) {
  if (started_) return;
  started_ = true;
  out.push_back(StreamStart{std::move(id), std::move(model), created});
}

void Decoder::fail_stream(Error error, Events& out) {
  failed = terminal = true;
  out.push_back(StreamFailure{std::move(error)});
}

void Decoder::finish_choice(std::uint32_t choice, FinishReason reason, std::string raw, std::string stop_sequence, Events& out) {
  auto& state = choices_[choice];
  if (state.done) return;
  state.done = true;
  for (std::uint32_t i = 0; i < state.calls.size(); ++i)   // a call without arguments has an empty object of them
    if (!state.calls[i].any_arguments) arguments(choice, i, "{}", out);
  out.push_back(Finish{choice, reason, std::move(raw), std::move(stop_sequence)});
}

std::optional<std::uint32_t> Decoder::find_call(std::uint32_t choice, std::int64_t key) const {
  const auto at = choices_.find(choice);
  if (at == choices_.end()) return std::nullopt;
  const auto& calls = at->second.calls;
  for (std::size_t i = calls.size(); i > 0; --i)
    if (calls[i - 1].key == key) return static_cast<std::uint32_t>(i - 1);
  return std::nullopt;
}

std::uint32_t Decoder::open_call(std::uint32_t choice, std::int64_t key, std::string id, std::string name, std::string signature, Events& out) {
  auto& calls = choices_[choice].calls;
  too_many_calls |= calls.size() >= kMostCalls;
  const auto index = static_cast<std::uint32_t>(calls.size());
  calls.push_back({key, id, false});
  out.push_back(ToolStart{choice, index, std::move(id), std::move(name), std::move(signature)});
  return index;
}

void Decoder::arguments(std::uint32_t choice, std::uint32_t index, std::string text, Events& out) {
  if (text.empty()) return;
  choices_[choice].calls[index].any_arguments = true;
  out.push_back(ToolArgsDelta{choice, index, std::move(text)});
}

void Decoder::whole_parts(std::uint32_t choice, const std::vector<Part>& parts, Events& out) {
  choices_[choice];
  for (const auto& part : parts) {
    if (const auto* t = as<Text>(part)) out.push_back(TextDelta{choice, t->text, t->signature});
    else if (const auto* r = as<Refusal>(part)) out.push_back(RefusalDelta{choice, r->text});
    else if (const auto* g = as<Reasoning>(part)) {
      if (!g->text.empty()) out.push_back(ReasoningDelta{choice, g->text, g->summary});
      if (g->sealed()) {
        auto seal = *g;
        seal.text.clear();
        out.push_back(ReasoningSeal{choice, std::move(seal)});
      }
    }
    else if (const auto* c = as<ToolCall>(part)) {
      const auto key = -1 - static_cast<std::int64_t>(choices_[choice].calls.size());   // whole calls are not continued
      arguments(choice, open_call(choice, key, c->id, c->name, c->signature, out), c->arguments, out);
    }
    else if (const auto* o = as<Opaque>(part)) out.push_back(UnknownEvent{o->wire, {}, to_json(o->raw)});
  }
}

void Decoder::usage_of(Wire wire, const Node& usage, Events& out) {
  count_all(counts_, wire, usage.value());
  if (usage.is_object() && counts_.any()) out.push_back(UsageUpdate{counts_.usage(wire)});
}

struct StreamDecoder::State {
  Wire wire;
  std::unique_ptr<Decoder> decoder;
};

StreamDecoder::StreamDecoder(Wire wire) : state_(std::make_unique<State>(wire, nullptr)) {
  switch (wire) {
    case Wire::openai_chat: state_->decoder = chat_decoder(); break;
    case Wire::openai_responses: state_->decoder = responses_decoder(); break;
    case Wire::anthropic_messages: state_->decoder = anthropic_decoder(); break;
    case Wire::gemini: state_->decoder = gemini_decoder(); break;
  }
}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

Result<void> StreamDecoder::push(std::string_view event, std::string_view data, Events& out) {
  auto& d = *state_->decoder;
  if (d.terminal) return {};
  const auto text = trim(data);
  if (text.empty()) return {};
  if (text == "[DONE]") {
    d.terminal = true;
    return {};
  }
  auto document = parse_json(text);
  if (!document || !document->is_object())
    return fail(ErrorCode::provider_bad_response, "a stream event is not a JSON object");
  std::optional<Error> error;
  const auto before = out.size();
  d.event(event, Node(JsonRef(*document), error), out);
  if (d.too_many_calls) error = Error{ErrorCode::provider_bad_response, "the stream calls more tools than any model does"};
  if (error) {
    out.resize(before, Ping{});
    error->code = ErrorCode::provider_bad_response;
    return std::unexpected(std::move(*error));
  }
  return {};
}

Result<void> StreamDecoder::finish() {
  if (state_->decoder->finished()) return {};
  return fail(ErrorCode::provider_bad_response, state_->decoder->failed ? "the stream ended with an error" : "the stream ended without a finish reason");
}
bool StreamDecoder::finished() const { return state_->decoder->finished(); }
bool StreamDecoder::terminal() const { return state_->decoder->terminal; }

// ---- Encoder: what all wires share ----------------------------------------------------------------------------

namespace {
std::uint32_t choice_of(const StreamEvent& event) {
  return std::visit([]<class T>(const T& e) -> std::uint32_t {
    if constexpr (requires { e.choice; }) return e.choice;
    else return 0;
  }, event);
}
}  // namespace

void Encoder::note(const StreamEvent& event) {
  choices_seen_ = std::max(choices_seen_, choice_of(event) + 1);
  if (const auto* start = std::get_if<StreamStart>(&event)) {
    if (options_.id.empty()) options_.id = start->id;
    if (options_.model.empty()) options_.model = start->model;
    if (options_.created == 0) options_.created = start->created;
  } else if (const auto* usage = std::get_if<UsageUpdate>(&event)) {
    usage_ = usage->usage;
  } else if (const auto* finish = std::get_if<Finish>(&event)) {
    finishes_.try_emplace(finish->choice, *finish);
  }
}

void write_event(std::string& out, std::string_view name, const json::value& data) {
  if (!name.empty()) out.append("event: ").append(name).append("\n");
  out += "data: ";
  append_json(out, data);
  out += "\n\n";
}

struct StreamEncoder::State { std::unique_ptr<Encoder> encoder; };

StreamEncoder::StreamEncoder(Wire wire, StreamEncoderOptions options) : state_(std::make_unique<State>()) {
  switch (wire) {
    case Wire::openai_chat: state_->encoder = chat_encoder(std::move(options)); break;
    case Wire::openai_responses: state_->encoder = responses_encoder(std::move(options)); break;
    case Wire::anthropic_messages: state_->encoder = anthropic_encoder(std::move(options)); break;
    case Wire::gemini: state_->encoder = gemini_encoder(std::move(options)); break;
  }
}
StreamEncoder::~StreamEncoder() = default;
StreamEncoder::StreamEncoder(StreamEncoder&&) noexcept = default;
StreamEncoder& StreamEncoder::operator=(StreamEncoder&&) noexcept = default;

void StreamEncoder::push(const StreamEvent& event, std::string& out) {
  auto& e = *state_->encoder;
  if (e.ended) return;
  if (const auto* failure = std::get_if<StreamFailure>(&event)) return error(failure->error, out);
  e.note(event);
  e.event(event, out);
}

void StreamEncoder::finish(std::string& out) {
  auto& e = *state_->encoder;
  if (e.ended) return;
  if (!e.complete()) {
    return error(Error{.code = ErrorCode::provider_bad_response, .message = "the provider's stream ended before the answer was complete"}, out);
  }
  e.finish(out);
  e.ended = true;
}

void StreamEncoder::error(const Error& error, std::string& out) {
  auto& e = *state_->encoder;
  if (e.ended) return;
  e.error(error, out);
  e.ended = true;
}
bool StreamEncoder::ended() const { return state_->encoder->ended; }

}  // namespace ballast::llm
