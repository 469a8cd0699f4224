// Result and Error: how every operation that can fail for a reason outside our control reports it.
// Exceptions are for start-up, allocation and bugs; they are caught at the root of a task.
#pragma once
#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ballast::llm {
struct ProviderWords;     // llm/errors.hpp
}

namespace ballast {

// The closed vocabulary of error types, by fault domain. The name (`to_string`) is the metric label, the log
// field and the API's `code`; adding a value is an API change.
enum class ErrorCode : unsigned char {
  caller_invalid_request,     // malformed or contradictory input; `field` names it
  caller_unauthenticated,     // no key, unknown key, expired key
  caller_forbidden,           // the key lacks the scope or the model
  caller_not_found,           // unknown model, id or path
  caller_conflict,            // idempotency key in use with another body, state does not allow
  caller_too_large,           // body, header, nesting or count above its limit
  caller_timeout,             // the caller sent too slowly
  caller_cancelled,           // the caller went away
  policy_rate_limited,        // a configured limit refused the call
  policy_budget_exceeded,     // a configured budget refused the call
  policy_unpriced_model,      // a budget applies and the model has no price
  policy_unbounded_cost,      // a budget applies and the request has no provable ceiling
  policy_egress_denied,       // an address that a user or a flow named is not one this server may ask (net/egress.hpp)
  provider_unreachable,       // connect failure, reset, TLS failure
  provider_timeout,           // connect, header, first token, idle or total timer
  provider_rate_limited,      // 429 by rate
  provider_quota,             // 429 by billing, 402: the credential is out of money
  provider_auth,              // 401, 403 from the provider: the credential is dead
  provider_overloaded,        // 503, 529
  provider_error,             // 5xx otherwise, error inside a stream
  provider_bad_response,      // unparsable, truncated, contradictory reply
  provider_context_length,    // the prompt does not fit the model
  provider_content_filter,    // the provider's safety system refused
  provider_rejected,          // any other 4xx: the request is wrong for this provider
  provider_invalid_output,    // the answer is not the JSON that was asked for, and asking again did not help
  provider_all_failed,        // every target of the plan failed, no degradation applied
  internal_unavailable,       // draining, database down, out of descriptors
  internal_error,             // a bug or an exhausted machine
};
std::string_view to_string(ErrorCode code);
std::optional<ErrorCode> error_code_from(std::string_view name);

// A failure, as a value. Copyable. `message` is for a person and never carries a secret or a prompt.
struct Error {
  ErrorCode code = ErrorCode::internal_error;
  std::string message;
  std::string field;                                       // JSON path or header of the offending input, or empty
  bool retryable = false;                                  // the same request may succeed later
  std::optional<std::chrono::milliseconds> retry_after;    // when, if known
  std::shared_ptr<const Error> cause;                      // what lay beneath, or null
  std::optional<bool> told_retry;                          // the provider's own verdict on trying again, where it gave one
  std::shared_ptr<const llm::ProviderWords> theirs;        // the provider's own names for it, where it gave any; or null
};

// "code: message (field) ← cause: …", for logs.
std::string describe(const Error& error);

template <class T>
using Result = std::expected<T, Error>;

// `return fail(ErrorCode::caller_invalid_request, "…", "messages[3].role");`
inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string field = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(field), false, {}, {}, {}, {}});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

}  // namespace ballast
