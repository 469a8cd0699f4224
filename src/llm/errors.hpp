// Provider failures read into the house's vocabulary, and the house's failures told in each API's own shape. Pure.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llm/types.hpp"

namespace ballast::llm {

// Response headers that say when to come back; empty when absent.
struct RetryHeaders {
  std::string_view retry_after;        // seconds, possibly fractional, or an HTTP date
  std::string_view retry_after_ms;
  std::string_view x_should_retry;     // "true" or "false": the provider's own verdict
  std::chrono::system_clock::time_point now{};   // to turn a date into a delay
};

// How long these ask to wait, from `now` on, at most a week; nothing if they do not say. Pure.
std::optional<std::chrono::milliseconds> retry_wait(const RetryHeaders& headers);

// How a provider named a failure that is the caller's to hear: each a plain token of [A-Za-z0-9_.-], at most 128 long and nothing that looks
// like a secret; empty where it gave none in that form.
struct ProviderWords {
  Wire wire = Wire::openai_chat;       // whose words they are
  std::string type;                    // Google: its status
  std::string code;                    // never a bare number; Google: the reason of its details
};

// A reply with status ≥ 400 (or an error object that came with another status: pass what was received, 200 in a stream).
// `body` may be anything, also HTML. The code follows the retry table of the field notes: 429 with a billing code or a daily
// quota → provider_quota, context length, content filter, 503/529 → overloaded, 401/403 → auth, other 4xx → rejected.
// Error::theirs is set where the caller can act on it: rejected, context length, content filter, rate limited.
Error parse_error(Wire wire, int status, const RetryHeaders& headers, std::string_view body);

// The same for an error object already read (inside a stream or a 2xx body).
Error error_from_json(Wire wire, int status, const json::value& document);

struct ErrorReply {
  int status = 500;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;   // content-type, retry-after, retry-after-ms, x-should-retry
};
ErrorReply write_error(Wire wire, const Error& error);
int http_status(ErrorCode code, Wire wire);

// The error object alone: a provider's own type and code where its API is the caller's, its code alone where it is another.
// As it stands in a stream's error event, too.
json::object error_object(Wire wire, const Error& error);

}  // namespace ballast::llm
