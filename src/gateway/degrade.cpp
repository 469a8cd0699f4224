// When nothing answered: a stale answer, a template, or the error in the caller's own shape. And how whole replies are told.
#include <algorithm>

#include "base/json.hpp"
#include "base/log.hpp"
#include "gateway/collect.hpp"
#include "gateway/road.hpp"

namespace ballast::gateway {

namespace {

// Failures of the world beneath; the caller's own mistakes and policies are told as they are.
bool degradable(ErrorCode code) {
  switch (code) {
    case ErrorCode::provider_unreachable:
    case ErrorCode::provider_timeout:
    case ErrorCode::provider_rate_limited:
    case ErrorCode::provider_quota:
    case ErrorCode::provider_auth:
    case ErrorCode::provider_overloaded:
    case ErrorCode::provider_error:
    case ErrorCode::provider_bad_response:
    case ErrorCode::provider_all_failed:
      return true;
    default:
      return false;
  }
}

llm::ChatReply template_reply(const Trail& trail, const std::string& text, WallTime now) {
  llm::ChatReply reply{.id = trail.call_id, .model = trail.record.requested_model, .created = unix_ms(now) / 1000, .usage = llm::Usage{}};
  llm::Choice choice{.finish = llm::FinishReason::stop};
  choice.parts.push_back({.body = llm::Text{.text = text}});
  reply.choices.push_back(std::move(choice));
  return reply;
}

}  // namespace

std::optional<Degraded> degrade(const Scene& scene, const Asked& asked, const Memory& memory, const Error& why, Trail& trail) {
  if (!degradable(why.code)) return std::nullopt;
  const auto& options = asked.route->degrade;
  if (options.stale > Duration::zero() && memory.key && scene.call.cache.reads()) {
    if (const auto old = scene.world.cache.find_stale(*memory.key, std::min(options.stale, scene.call.cache.oldest()))) {
      trail.age = scene.world.clock.wall() - old->stored;
      trail.record.served_by = "stale";
      trail.record.cache = records::CacheState::stale;
      trail.record.saved_nano = std::max<std::int64_t>(old->cost.nano, 0);
      trail.decision.step(scene.now(), "degraded", {{"to", "stale"}, {"of", old->call_id}, {"why", to_string(why.code)}});
      return Degraded{old->body, asked.facts.stream};
    }
  }
  // A template calls no tool.
  const bool fits = !asked.calls && (!asked.demand || (options.answer && judge(*asked.demand, *options.answer, llm::FinishReason::stop).standing == Standing::valid));
  if (options.answer && fits) {
    auto document = llm::write_reply(scene.call.wire, template_reply(trail, *options.answer, scene.world.clock.wall()));
    if (document) {
      trail.record.served_by = "template";
      trail.decision.step(scene.now(), "degraded", {{"to", "template"}, {"why", to_string(why.code)}});
      return Degraded{to_json(*document), asked.facts.stream};
    }
  }
  return std::nullopt;
}

Task<void> answer_error(const Scene& scene, Error error, Trail& trail) {
  error.message = log::redact(error.message);
  const std::string_view domain = to_string(error.code);
  const bool of_request = domain.starts_with("caller_") || domain.starts_with("policy_") || error.code == ErrorCode::provider_rejected ||
                          error.code == ErrorCode::provider_context_length || error.code == ErrorCode::provider_content_filter;
  if (!of_request) error.field.clear();   // the timer or the step that failed
  scene.sink.failed(error);
  llm::ErrorReply told = llm::write_error(scene.call.wire, error);
  ReplyHead head = reply_head(trail, told.status, "application/json", true);
  head.headers.put("x-ballast-error", to_string(error.code));
  for (auto& [name, value] : told.headers)
    if (name != "content-type") head.headers.add(name, value);
  const auto sent = co_await scene.sink.reply(std::move(head), told.body);
  if (!sent) log::debug("caller_left", {{"call", trail.call_id}});
}

Task<void> answer_whole(const Scene& scene, bool stream, bool include_usage, int status, std::string_view content_type,
                        std::string_view body, Trail& trail) {
  if (!stream) {
    const auto told = llm::retell(scene.call.wire, body, scene.call.body);
    const auto sent = co_await scene.sink.reply(reply_head(trail, status, content_type, true), told ? std::string_view(*told) : body);
    if (!sent) log::debug("caller_left", {{"call", trail.call_id}});
    co_return;
  }
  const auto document = parse_json(body);
  auto reply = document ? llm::parse_reply(scene.call.wire, *document) : Result<llm::ChatReply>(fail(document.error()));
  if (!reply) co_return co_await answer_error(scene, std::move(reply.error()), trail);
  const std::string text = stream_text(scene.call.wire, *reply, include_usage, scene.call.body);
  auto begun = co_await scene.sink.begin(reply_head(trail, status, "text/event-stream", true), text);
  if (begun) begun = co_await scene.sink.end({});
  if (!begun) log::debug("caller_left", {{"call", trail.call_id}});
}

}  // namespace ballast::gateway
