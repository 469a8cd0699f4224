// Signatures of webhooks by the Standard Webhooks convention, version 1.0.0: HMAC-SHA-256 over "id.timestamp.body", told in the headers
// webhook-id, webhook-timestamp and webhook-signature ("v1,BASE64", several separated by blanks while a secret is exchanged). Pure and
// thread-safe.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/result.hpp"

namespace ballast::work {

// A symmetric secret: "whsec_" and 24 to 64 bytes in base64. Holds the keyed states of the hash, never the text.
class WebhookSecret {
 public:
  // caller_invalid_request with `field`; the message does not repeat the text.
  static Result<WebhookSecret> parse(std::string_view text, std::string_view field = "secret");
  // The text of a new one, 32 bytes from the kernel's generator: shown to its owner once.
  static std::string make();

 private:
  explicit WebhookSecret(std::string_view key) : key_(key) {}
  friend Result<std::string> sign_webhook(std::span<const WebhookSecret>, std::string_view, WallTime, std::string_view);
  friend Result<void> verify_webhook(std::span<const WebhookSecret>, const struct WebhookHeaders&, std::string_view, WallTime, Duration);
  HmacKey key_;
};

// The header webhook-signature: one signature for each secret, the newest first. `at` is the time of the attempt, `body` the exact bytes
// that are sent. internal_error: no secret, an id that is empty or has a '.' or a control (it would sign something else), a time before 1970.
Result<std::string> sign_webhook(std::span<const WebhookSecret> secrets, std::string_view id, WallTime at, std::string_view body);
// The header webhook-timestamp.
std::string webhook_timestamp(WallTime at);

struct WebhookHeaders {
  std::string_view id, timestamp, signature;
};
// Does any of the signatures fit any of the secrets, and was it made within `tolerance` of `now`? Compares in constant time; of unknown
// versions it takes no notice. caller_unauthenticated with the header's name as field.
Result<void> verify_webhook(std::span<const WebhookSecret> secrets, const WebhookHeaders& headers, std::string_view body, WallTime now,
                            Duration tolerance = std::chrono::minutes(5));

}  // namespace ballast::work
