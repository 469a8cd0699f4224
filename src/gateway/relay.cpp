#include "gateway/relay.hpp"

namespace ballast::gateway {

void Relay::begin(llm::Wire upstream, bool continuing, bool by_tool) {
  upstream_ = upstream;
  continuing_ = continuing;
  direct_ = upstream == options_.client && !options_.may_continue && !options_.judged_by;
  terminal_ = false;
  finish_ = llm::FinishReason::none;
  finishes_ = 0;
  usage_.reset();
  token_bytes_ = 0;
  told_error_ = false;
  if (!continuing) {
    content_seen_ = false;
    only_text_ = true;
    content_bytes_ = content_events_ = 0;
    text_.clear();
    collector_ = {};
    encoder_.reset();
    if (options_.judged_by)
      watch_ = std::make_unique<AnswerWatch>(options_.judged_by, WatchOptions{.hold = options_.hold, .pass = options_.pass});
  }
  tool_answer_.reset();
  if (by_tool) tool_answer_.emplace();
  if (direct_ && !options_.collect) {
    decoder_.reset();
  } else {
    decoder_.emplace(upstream);
  }
  if (!direct_ && !encoder_) encoder_.emplace(encoder());
}

llm::StreamEncoder Relay::encoder() const {
  return llm::StreamEncoder(options_.client, {.include_usage = options_.include_usage, .request = options_.request});
}

Result<void> Relay::grow(std::uint64_t bytes) {
  content_bytes_ += bytes;
  if (content_bytes_ <= options_.max_answer_bytes) return {};
  return ballast::fail(ErrorCode::provider_bad_response, "the answer is longer than the limit on answers");
}

Result<void> Relay::event(const net::SseEvent& event, std::string& out) {
  if (!event.has_data) {
    if (direct_) out.append(event.raw);                     // comments keep connections alive
    return {};
  }
  return direct_ ? direct_event(event, out) : translated_event(event, out);
}

namespace {

std::size_t past_blanks(std::string_view text, std::size_t at) {
  const auto next = text.find_first_not_of(" \t", at);
  return next == std::string_view::npos ? text.size() : next;
}

// Every chunk of a stream whose usage was asked for says `"usage": null` but the last. The caller did not ask. A quote inside a text is
// escaped, so that the key is never found there.
void append_without_usage(std::string_view raw, std::string& out) {
  constexpr std::string_view key = R"("usage")";
  for (auto at = raw.rfind(key); at != std::string_view::npos; at = at ? raw.rfind(key, at - 1) : std::string_view::npos) {
    auto end = past_blanks(raw, at + key.size());
    if (!raw.substr(end).starts_with(':')) continue;
    end = past_blanks(raw, end + 1);
    if (!raw.substr(end).starts_with("null")) continue;
    end += 4;
    auto from = raw.find_last_not_of(" \t", at - 1);
    if (from == std::string_view::npos || raw[from] != ',') {
      from = at;
      if (const auto next = past_blanks(raw, end); raw.substr(next).starts_with(',')) end = past_blanks(raw, next + 1);
    }
    out.append(raw.substr(0, from)).append(raw.substr(end));
    return;
  }
  out.append(raw);
}

}  // namespace

Result<void> Relay::direct_event(const net::SseEvent& event, std::string& out) {
  const auto facts = reader_.chunk(upstream_, event.event, event.data);
  if (!facts) {
    ++malformed_;
    token_bytes_ += event.data.size();
    return {};
  }
  if (facts->has_error) {
    told_error_ = true;
    scratch_.clear();
    llm::StreamDecoder once(upstream_);
    const auto read = once.push(event.event, event.data, scratch_);
    for (const auto& e : scratch_)
      if (const auto* failure = std::get_if<llm::StreamFailure>(&e)) return ballast::fail(failure->error);
    return ballast::fail(read ? Error{ErrorCode::provider_error, "the provider reported an error inside the stream"} : read.error());
  }
  if (facts->usage) {
    if (!usage_) usage_.emplace();
    llm::merge_usage(upstream_, *usage_, *facts->usage);
  }
  if (facts->finish != llm::FinishReason::none) {
    finish_ = facts->finish;
    ++finishes_;
  }
  if (facts->text_bytes || facts->reasoning_bytes || facts->has_tool_delta) {
    content_seen_ = true;
    ++content_events_;
    token_bytes_ += facts->has_tool_delta ? event.data.size() : facts->text_bytes + facts->reasoning_bytes;
    if (facts->has_tool_delta || facts->reasoning_bytes) only_text_ = false;
    if (auto ok = grow(facts->text_bytes + facts->reasoning_bytes); !ok) return ok;
  }
  if (options_.collect) {
    scratch_.clear();
    if (decoder_->push(event.event, event.data, scratch_))
      for (const auto& e : scratch_) collector_.push(e);
  }
  if (facts->is_terminal) terminal_ = true;
  if (options_.include_usage) out.append(event.raw);
  else if (facts->usage_null) append_without_usage(event.raw, out);
  else if (!facts->usage_only) out.append(event.raw);
  return {};
}

Result<void> Relay::translated_event(const net::SseEvent& event, std::string& out) {
  scratch_.clear();
  if (!decoder_->push(event.event, event.data, scratch_)) {
    ++malformed_;
    token_bytes_ += event.data.size();
    return {};
  }
  for (auto& e : scratch_) {
    if (auto* start = std::get_if<llm::StreamStart>(&e); start && start->created == 0) start->created = options_.created;
    if (std::holds_alternative<llm::ToolStart>(e)) token_bytes_ += event.data.size();   // names and ids are tokens too
    if (auto ok = weigh(e); !ok) return ok;
    if (!tool_answer_) {
      if (auto ok = let_through(std::move(e), out); !ok) return ok;
      continue;
    }
    std::vector<llm::StreamEvent> rewritten;
    tool_answer_->rewrite(std::move(e), rewritten);
    for (auto& r : rewritten)
      if (auto ok = let_through(std::move(r), out); !ok) return ok;
  }
  if (decoder_->terminal()) terminal_ = true;
  return {};
}

Result<void> Relay::let_through(llm::StreamEvent event, std::string& out) {
  if (auto ok = note(event); !ok) return ok;
  if (!watch_) {
    tell(event, out);
    return {};
  }
  std::vector<llm::StreamEvent> told;
  watch_->push(std::move(event), told);
  for (const auto& t : told) tell(t, out);
  return {};
}

void Relay::tell(const llm::StreamEvent& event, std::string& out) {
  if (options_.collect) collector_.push(event);
  if (continuing_ && std::holds_alternative<llm::StreamStart>(event)) return;   // the caller's stream has started
  encoder_->push(event, out);
}

// What the provider made, told or not.
Result<void> Relay::weigh(const llm::StreamEvent& event) {
  std::uint64_t bytes = 0;
  if (const auto* text = std::get_if<llm::TextDelta>(&event)) bytes = text->text.size();
  else if (const auto* thought = std::get_if<llm::ReasoningDelta>(&event)) bytes = thought->text.size();
  else if (const auto* args = std::get_if<llm::ToolArgsDelta>(&event)) bytes = args->text.size();
  else if (std::holds_alternative<llm::ToolStart>(event)) bytes = 1;
  else if (const auto* refusal = std::get_if<llm::RefusalDelta>(&event)) bytes = refusal->text.size();
  if (bytes == 0) return {};
  content_seen_ = true;
  ++content_events_;
  token_bytes_ += bytes;
  return grow(bytes);
}

Result<void> Relay::note(const llm::StreamEvent& event) {
  if (const auto* failure = std::get_if<llm::StreamFailure>(&event)) {
    told_error_ = true;
    return ballast::fail(failure->error);
  }
  if (const auto* usage = std::get_if<llm::UsageUpdate>(&event)) usage_ = usage->usage;
  if (const auto* end = std::get_if<llm::Finish>(&event)) {
    finish_ = end->reason;
    ++finishes_;
  }
  if (const auto* text = std::get_if<llm::TextDelta>(&event); text != nullptr && options_.may_continue) text_ += text->text;
  if (std::holds_alternative<llm::ReasoningDelta>(event) || std::holds_alternative<llm::ToolArgsDelta>(event) || std::holds_alternative<llm::ToolStart>(event))
    only_text_ = false;
  return {};
}

Result<void> Relay::end(std::string& out) {
  if (!finished() || (decoder_ && !decoder_->finished()))
    return ballast::fail(ErrorCode::provider_bad_response, "the provider's stream ended before the answer was finished");
  if (watch_ && watch_->refused()) {
    terminal_ = true;
    return ballast::fail(ErrorCode::provider_invalid_output, "the answer is not the JSON that was asked for");
  }
  if (!direct_) {
    encoder_->finish(out);
  } else if (!terminal_ && upstream_ == llm::Wire::openai_chat) {
    out += "data: [DONE]\n\n";                              // some providers never send it
  }
  terminal_ = true;
  return {};
}

void Relay::pass_on(llm::ChatReply reply, std::string& out) {
  out += stream_text(options_.client, reply, options_.include_usage, options_.request);
  passed_ = std::make_unique<llm::ChatReply>(std::move(reply));
}

void Relay::fail(const Error& error, std::string& out) {
  if (encoder_) return encoder_->error(error, out);
  encoder().error(error, out);
}

}  // namespace ballast::gateway
