#include "work/model_call.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "gateway/collect.hpp"
#include "net/sse.hpp"

namespace ballast::work {

namespace {

constexpr unsigned kTries = 3;               // of a call that is refused for want of room after all

constexpr std::array<CallShape, 4> kShapes{{{"chat.completions", llm::Operation::chat, llm::Wire::openai_chat},
                                            {"responses", llm::Operation::responses, llm::Wire::openai_responses},
                                            {"messages", llm::Operation::messages, llm::Wire::anthropic_messages},
                                            {"embeddings", llm::Operation::embeddings, llm::Wire::openai_chat}}};

// Keeps what the road says, and tells a stream's events on.
class Gatherer final : public gateway::ReplySink {
 public:
  Gatherer(Scheduler& home, CancelToken cancel, const ModelRequest& request) : home_(home), cancel_(cancel), request_(request), decoder_(request.wire) {}
  Scheduler& loop() override { return home_; }
  CancelToken gone() override { return cancel_; }
  Task<Result<void>> reply(gateway::ReplyHead head, std::string_view body) override {
    head_ = std::move(head);
    body_ = body;
    whole_ = true;
    co_return Result<void>{};
  }
  Task<Result<void>> begin(gateway::ReplyHead head, std::string_view first) override {
    head_ = std::move(head);
    streamed_ = true;
    return write(first);
  }
  Task<Result<void>> write(std::string_view bytes) override {
    parser_.push(bytes);
    for (auto event = parser_.next(); event && *event; event = parser_.next())
      if ((*event)->has_data) take((*event)->event, (*event)->data);
    co_return Result<void>{};
  }
  Task<Result<void>> end(std::string_view last) override {
    whole_ = true;
    return write(last);
  }
  void abort() override { whole_ = false; }
  // Work has attempts of its own, with time between them: a model does not answer the same twice. Over HTTP the road's own tries are all there are.
  void failed(const Error& error) override {
    error_ = error;
    if (error_->code == ErrorCode::provider_invalid_output) error_->retryable = true;
  }

  ModelReply finish() {
    ModelReply reply{.error = std::move(error_), .status = head_.status, .body = {}, .call_id = header("x-ballast-call-id"),
                     .served_by = header("x-ballast-served-by"), .model = header("x-ballast-model"), .cost_usd = header("x-ballast-cost-usd")};
    const std::string attempts = header("x-ballast-attempts");
    reply.attempts = attempts.empty() ? 0 : static_cast<unsigned>(std::stoul(attempts));
    if (!whole_ && !reply.error) reply.error = Error{cancel_ && cancel_->cancelled() ? ErrorCode::caller_cancelled : ErrorCode::provider_bad_response, "the answer broke off"};
    if (!streamed_) reply.body = std::move(body_);
    else if (!reply.error) write_whole(reply);
    return reply;
  }

 private:
  std::string header(std::string_view name) const { return std::string(head_.headers.get(name)); }
  void take(std::string_view event, std::string_view data) {
    if (data == "[DONE]") return;
    events_.clear();
    const auto understood = decoder_.push(event, data, events_);   // what is not understood is told on, and left out of the whole
    if (understood)
      for (const auto& e : events_) {
        collected_.push(e);
        if (const auto* text = std::get_if<llm::TextDelta>(&e); text && request_.on_text) request_.on_text(text->choice, text->text);
      }
    if (request_.on_event) request_.on_event(event, data);
  }
  void write_whole(ModelReply& reply) {
    auto document = llm::write_reply(request_.wire, collected_.take());
    if (document) reply.body = to_json(json::value(std::move(*document)));
    else reply.error = std::move(document.error());
  }

  Scheduler& home_;
  const CancelToken cancel_;
  const ModelRequest& request_;
  gateway::ReplyHead head_;
  std::string body_;
  std::optional<Error> error_;
  bool streamed_ = false, whole_ = false;
  net::SseParser parser_;
  llm::StreamDecoder decoder_;
  gateway::StreamCollector collected_;
  std::vector<llm::StreamEvent> events_;
};

ModelReply failed_with(Error error) { return {.error = std::move(error), .status = 0, .body = {}, .call_id = {}, .served_by = {}, .model = {}, .cost_usd = {}}; }

bool for_want_of_room(const ModelReply& reply) {
  return reply.error && !reply.call_id.empty() && reply.error->retry_after &&
         (reply.error->code == ErrorCode::policy_rate_limited || reply.error->code == ErrorCode::provider_rate_limited);
}

// The rest that a provider asked for, or that its targets and credentials take already.
std::optional<Duration> rest_of(const ModelReply& reply) {
  if (!reply.error || (reply.error->code != ErrorCode::provider_rate_limited && !reply.never_asked())) return std::nullopt;
  return Duration(reply.error->retry_after.value_or(std::chrono::milliseconds(0)));
}

}  // namespace

const CallShape* call_shape(std::string_view name) {
  const auto at = std::ranges::find(kShapes, name, &CallShape::name);
  return at == kShapes.end() ? nullptr : &*at;
}

std::string call_names() {
  std::vector<std::string_view> names;
  for (const auto& shape : kShapes) names.push_back(shape.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string model_of(const json::value& body) {
  const auto* object = body.if_object();
  const auto* model = object ? object->if_contains("model") : nullptr;
  const auto* text = model ? model->if_string() : nullptr;
  return text && text->size() <= kMaxName ? std::string(*text) : std::string();
}

Task<ModelReply> ModelCaller::call(ModelRequest request, CancelToken cancel) {
  const MonoTime until = home_.clock().mono() + request.patience;
  for (unsigned tries = 1;; ++tries) {
    ModelReply reply = co_await once(request, until, cancel);
    const bool again = for_want_of_room(reply) && !request.model.empty() && tries < kTries;
    if (!again || home_.clock().mono() + *reply.error->retry_after >= until) co_return reply;
  }
}

std::optional<gateway::Gateway::BatchTarget> ModelCaller::batch_target(const ModelRequest& request) {
  auto who = gateway_.world().keys.principal_of(request.key_id, home_.clock().wall());
  if (!who) return std::nullopt;
  gateway::DurableCall durable{.who = std::move(*who), .answered = nullptr, .seat = {}};
  const gateway::Call call{.wire = request.wire, .operation = request.operation, .body = request.body, .content_type = "application/json", .user = request.user,
                           .feature = request.feature, .durable = &durable};
  Gatherer gatherer(home_, nullptr, request);
  return gateway_.batch_target(call, gatherer);
}

Task<ModelReply> ModelCaller::once(const ModelRequest& request, MonoTime until, CancelToken cancel) {
  auto& keys = gateway_.world().keys;
  gateway::DurableCall durable{.who = {}, .answered = request.answered ? &*request.answered : nullptr, .seat = {}};
  const gateway::Call call{.wire = request.wire, .operation = request.operation, .body = request.body, .content_type = "application/json",
                           .user = request.user, .feature = request.feature, .idempotency_key = request.idempotency_key,
                           .traceparent = request.traceparent, .tracestate = request.tracestate, .durable = &durable};
  Gatherer gatherer(home_, cancel, request);
  const auto name_who = [&]() -> Result<void> {
    auto who = keys.principal_of(request.key_id, home_.clock().wall());
    if (!who) return fail(std::move(who.error()));
    durable.who = std::move(*who);
    return {};
  };
  const bool paced = !request.model.empty() && !request.answered;
  if (paced) {
    const Pace::Draw draw = [&]() -> std::optional<MonoTime> {
      if (!name_who()) return std::nullopt;  // let go, and refused below
      auto seat = gateway_.draw(call, gatherer);
      if (!seat && !seat.error().never) return seat.error().retry_at;
      if (seat) durable.seat = std::move(*seat);
      return std::nullopt;
    };
    const auto turn = co_await pace_.turn({request.model, request.tenant, request.may_wait}, draw, until, cancel);
    if (!turn) co_return failed_with(turn.error());
  }
  const auto named = name_who();             // the key may have gone while the call waited
  if (named) co_await gateway_.serve(call, gatherer);
  ModelReply reply = named ? gatherer.finish() : failed_with(named.error());
  if (paced) pace_.ended({request.model, request.tenant, request.may_wait}, rest_of(reply), !reply.error);
  co_return reply;
}

}  // namespace ballast::work
