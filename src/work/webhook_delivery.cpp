#include "work/webhook_delivery.hpp"

#include <algorithm>

namespace ballast::work {
namespace {

bool past_mending(const Error& error) {
  return error.code == ErrorCode::caller_invalid_request || (error.code == ErrorCode::policy_egress_denied && !error.retryable);
}

std::string told(const Attempted& a) {
  if (a.error) return a.error->message;
  std::string why = "the receiver answered with status " + std::to_string(a.status);
  if (a.status >= 300 && a.status < 400) why += ": redirects are not followed, the URL is to be changed";
  if (a.status == 410) why += ": it wants no more";
  return why;
}

}  // namespace

std::string webhook_id(const OutboxRow& row) { return "msg_" + std::to_string(row.id); }

Delivery decide_delivery(const OutboxRow& row, const Attempted& attempted, WallTime now, const DeliveryRules& rules, Random& random) {
  using enum Delivery::Verdict;
  Delivery d{.verdict = delivered, .attempt = row.attempt + 1, .status = attempted.status};
  if (!attempted.error && attempted.status >= 200 && attempted.status < 300) return d;
  d.verdict = dead;
  d.why = told(attempted);
  if (attempted.error) d.code = attempted.error->code;
  d.disable_endpoint = !attempted.error && attempted.status == 410;
  if (d.disable_endpoint || row.attempt >= rules.schedule.size() || (attempted.error && past_mending(*attempted.error))) return d;
  const Duration planned = rules.schedule[row.attempt];
  const auto jitter = static_cast<std::int64_t>(random.uniform() * rules.jitter * static_cast<double>(planned.count()));
  const Duration asked = std::min(attempted.retry_after.value_or(Duration::zero()), rules.longest_retry_after);
  d.verdict = retry;
  d.next = now + std::max(planned, asked) + Duration(jitter);
  return d;
}

}  // namespace ballast::work
