#include "gateway/trail.hpp"

#include "base/money.hpp"
#include "base/text_writer.hpp"

namespace ballast::gateway {

Trail::Trail(Id id, MonoTime start, WallTime arrived, const Call& call)
    : decision(start), started(start), call_id(to_string(id, "call")) {
  record.id = id;
  record.arrived = arrived;
  record.operation = llm::to_string(call.operation);
  record.api = llm::to_string(call.wire);
}

std::string_view answered_by(const records::CallRecord& r, NameBuffer& into) {
  if (r.model.empty()) return {};
  into.append(r.provider);
  into.push_back('/');
  into.append(r.model);
  return {into.data(), into.size()};
}

ReplyHead reply_head(const Trail& trail, int status, std::string_view content_type, bool settled) {
  ReplyHead head{.status = status, .headers = {}};
  head.headers.reserve(704, 18);
  const auto add = [&](net::FieldName name, std::string_view value) {
    if (!value.empty()) head.headers.put(name, value);
  };
  char text[std::max(kNumberRoom, kUsdRoom)];
  const auto add_number = [&](net::FieldName name, std::uint64_t value) {
    head.headers.put(name, TextWriter(text, sizeof text).number(value).written());
  };
  const auto add_money = [&](net::FieldName name, Money value) { head.headers.put(name, TextWriter(text, sizeof text).usd(value).written()); };
  add("content-type", content_type);
  const auto& r = trail.record;
  add("x-ballast-call-id", trail.call_id);
  add("x-request-id", trail.call_id);
  if (r.api == llm::to_string(llm::Wire::anthropic_messages)) add("request-id", trail.call_id);
  add("x-ballast-served-by", r.served_by);
  NameBuffer model;
  add("x-ballast-model", answered_by(r, model));
  add("x-ballast-cache", records::to_string(r.cache));
  if (trail.age) add_number("age", static_cast<std::uint64_t>(std::max<std::int64_t>(trail.age->count(), 0)) / 1'000'000'000);
  if (!r.attempts.empty()) add_number("x-ballast-attempts", r.attempts.size());
  if (settled) add_money("x-ballast-cost-usd", {r.billed_nano});
  add("x-ballast-structured", trail.structured);
  add("x-ballast-warning", trail.warning);
  if (const auto& q = trail.limits.requests) {
    add_number("x-ratelimit-limit-requests", q->limit);
    add_number("x-ratelimit-remaining-requests", q->remaining);
    add("x-ratelimit-reset-requests", reset_text(q->reset));
  }
  if (const auto& q = trail.limits.tokens) {
    add_number("x-ratelimit-limit-tokens", q->limit);
    add_number("x-ratelimit-remaining-tokens", q->remaining);
    add("x-ratelimit-reset-tokens", reset_text(q->reset));
  }
  if (trail.budget) {
    add_money("x-ballast-budget-remaining", trail.budget->money);
    add("x-ballast-budget-reset", reset_text(trail.budget->reset));
  }
  return head;
}

records::TokenCounts token_counts(const llm::Usage& u) {
  return {.input = u.input_uncached,
          .cached = u.cache_read,
          .cache_write = u.cache_write_5m + u.cache_write_1h,
          .output = u.output - std::min(u.output, u.reasoning),
          .reasoning = u.reasoning,
          .images = u.images};
}

}  // namespace ballast::gateway
