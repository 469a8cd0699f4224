#include "gateway/retry.hpp"

#include <algorithm>

namespace ballast::gateway {

FailureClass classify_failure(ErrorCode code) {
  switch (code) {
    case ErrorCode::provider_unreachable:
    case ErrorCode::provider_error:
    case ErrorCode::provider_bad_response:
      return {.same_target_retries = 2, .other_target = true, .blame = Blame::target};
    case ErrorCode::provider_overloaded:
      return {.same_target_retries = 1, .other_target = true, .blame = Blame::target};
    case ErrorCode::provider_timeout:
      return {.other_target = true, .blame = Blame::target};
    case ErrorCode::provider_rate_limited:
      return {.same_target_retries = 1, .other_credential = true, .other_target = true, .blame = Blame::credential};
    case ErrorCode::provider_quota:
    case ErrorCode::provider_auth:
      return {.other_credential = true, .other_target = true, .blame = Blame::credential, .credential_dead = true};
    case ErrorCode::provider_context_length:
      return {.other_target = true, .larger_context_only = true};
    case ErrorCode::policy_rate_limited:    // our own limit on this provider or model
    case ErrorCode::provider_all_failed:    // its breaker is open
      return {.other_target = true};
    default:
      return {};
  }
}

namespace {

// Full jitter (Brooker, "Exponential Backoff And Jitter"): uniform in [0, min(cap, base·2^n)].
Duration full_jitter(unsigned tries, const RetryOptions& options, Random& random) {
  const auto doubled = options.backoff * (1LL << std::min(tries - 1, 16U));
  const auto ceiling = std::min(options.max_backoff, Duration(doubled));
  return Duration(static_cast<std::int64_t>(random.uniform() * static_cast<double>(ceiling.count())));
}

}  // namespace

RetryDecision decide_retry(const Error& error, const RetryState& state, const RetryOptions& options, Random& random) {
  if (state.attempts_made >= options.attempts || state.deadline_left <= Duration::zero()) return {};
  FailureClass kind = classify_failure(error.code);
  if (error.code == ErrorCode::provider_content_filter) kind.other_target = state.content_filter_moves_on;
  // The provider's verdict wins over the table. It speaks of this request with this key: another key, or another target, may try.
  if (error.told_retry && !*error.told_retry) kind.same_target_retries = 0;
  else if (error.told_retry && !kind.credential_dead) kind.same_target_retries = std::max(kind.same_target_retries, 1U);

  if (kind.other_credential && state.more_credentials) return {Next::other_credential, Duration::zero()};

  if (state.tries_on_target <= kind.same_target_retries) {
    const bool rate = error.code == ErrorCode::provider_rate_limited;
    // A provider that says when is believed; one that limits by rate without saying is left if anyone else can answer.
    std::optional<Duration> wait;
    if (error.retry_after) {
      if (*error.retry_after <= options.patience || !state.more_targets) wait = Duration(*error.retry_after);
    } else if (!rate || !state.more_targets) {
      wait = full_jitter(state.tries_on_target, options, random);
    }
    if (wait && *wait < state.deadline_left) return {Next::same_target, *wait};
  }
  if (kind.other_target && state.more_targets) return {Next::next_target, Duration::zero()};
  // All have failed. One that rests may be waited for; where the last one's own health failed the call, another may be well by now.
  const bool rests = error.code == ErrorCode::provider_all_failed;
  const bool again = error.told_retry.value_or(true) && kind.blame == Blame::target && state.several_targets;
  if (rests || again) {
    const Duration wait = full_jitter(state.tries_on_target, options, random);
    if (wait < state.deadline_left) return {Next::another_round, wait};
  }
  return {};
}

}  // namespace ballast::gateway
