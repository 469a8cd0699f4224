#include "gateway/trail.hpp"

#include "base/money.hpp"

namespace ballast::gateway {

Trail::Trail(Id id, MonoTime start, WallTime arrived, const Call& call)
    : decision(start), started(start), call_id(to_string(id, "call")) {
  record.id = id;
  record.arrived = arrived;
  record.operation = llm::to_string(call.operation);
  record.api = llm::to_string(call.wire);
}

ReplyHead reply_head(const Trail& trail, int status, std::string_view content_type, bool settled) {
  ReplyHead head{.status = status, .headers = {}};
  head.headers.reserve(640, 16);
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) head.headers.add(name, value);
  };
  add("content-type", content_type);
  const auto& r = trail.record;
  add("x-ballast-call-id", trail.call_id);
  add("x-request-id", trail.call_id);
  if (r.api == llm::to_string(llm::Wire::anthropic_messages)) add("request-id", trail.call_id);
  add("x-ballast-served-by", r.served_by);
  if (!r.model.empty()) add("x-ballast-model", r.provider + "/" + r.model);
  add("x-ballast-cache", records::to_string(r.cache));
  if (!r.attempts.empty()) add("x-ballast-attempts", std::to_string(r.attempts.size()));
  if (settled) add("x-ballast-cost-usd", to_usd({r.billed_nano}));
  add("x-ballast-warning", trail.warning);
  if (const auto& q = trail.limits.requests) {
    add("x-ratelimit-limit-requests", std::to_string(q->limit));
    add("x-ratelimit-remaining-requests", std::to_string(q->remaining));
    add("x-ratelimit-reset-requests", reset_text(q->reset));
  }
  if (const auto& q = trail.limits.tokens) {
    add("x-ratelimit-limit-tokens", std::to_string(q->limit));
    add("x-ratelimit-remaining-tokens", std::to_string(q->remaining));
    add("x-ratelimit-reset-tokens", reset_text(q->reset));
  }
  return head;
}

records::TokenCounts token_counts(const llm::Usage& u) {
  return {.input = u.input_uncached,
          .cached = u.cache_read,
          .cache_write = u.cache_write_5m + u.cache_write_1h,
          .output = u.output - std::min(u.output, u.reasoning),
          .reasoning = u.reasoning,
          .images = u.image_out};
}

}  // namespace ballast::gateway
