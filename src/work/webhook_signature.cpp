#include "work/webhook_signature.hpp"

#include <algorithm>
#include <array>

#include "base/random.hpp"
#include "base/text.hpp"

namespace ballast::work {
namespace {

constexpr std::string_view kPrefix = "whsec_";
constexpr std::string_view kVersion = "v1,";
constexpr std::size_t kLeastBytes = 24, kMostBytes = 64;

std::string signed_text(std::string_view id, std::string_view timestamp, std::string_view body) {
  std::string text;
  text.reserve(id.size() + timestamp.size() + body.size() + 2);
  text.append(id).append(1, '.').append(timestamp).append(1, '.').append(body);
  return text;
}

std::string_view bytes_of(const Digest& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

bool fit_to_sign(std::string_view id) {
  return !id.empty() && std::ranges::all_of(id, [](char c) { return c > ' ' && c < 0x7f && c != '.'; });
}

}  // namespace

Result<WebhookSecret> WebhookSecret::parse(std::string_view text, std::string_view field) {
  const auto key = text.starts_with(kPrefix) ? from_base64(text.substr(kPrefix.size())) : std::nullopt;
  if (!key || key->size() < kLeastBytes || key->size() > kMostBytes)
    return fail(ErrorCode::caller_invalid_request, "a webhook secret is whsec_ and 24 to 64 random bytes in base64, with its padding", std::string(field));
  return WebhookSecret(*key);
}

std::string WebhookSecret::make() {
  std::array<std::byte, 32> key;
  os_entropy(key);
  return std::string(kPrefix) + to_base64({reinterpret_cast<const char*>(key.data()), key.size()});
}

std::string webhook_timestamp(WallTime at) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
}

Result<std::string> sign_webhook(std::span<const WebhookSecret> secrets, std::string_view id, WallTime at, std::string_view body) {
  if (secrets.empty()) return fail(ErrorCode::internal_error, "no secret to sign a webhook with");
  if (!fit_to_sign(id) || at < WallTime{}) return fail(ErrorCode::internal_error, "a webhook's id or time cannot be signed");
  const std::string text = signed_text(id, webhook_timestamp(at), body);
  std::string header;
  for (const auto& secret : secrets) {
    if (!header.empty()) header += ' ';
    (header += kVersion) += to_base64(bytes_of(secret.key_.sign(text)));
  }
  return header;
}

Result<void> verify_webhook(std::span<const WebhookSecret> secrets, const WebhookHeaders& headers, std::string_view body, WallTime now, Duration tolerance) {
  auto refused = [](std::string message, std::string field) { return fail(ErrorCode::caller_unauthenticated, std::move(message), std::move(field)); };
  if (!fit_to_sign(headers.id)) return refused("the webhook has no usable id", "webhook-id");
  const auto at = parse_int<std::int64_t>(headers.timestamp);
  constexpr std::int64_t latest = 4'102'444'800;             // the year 2100: a time that nanoseconds hold
  if (!at || *at < 0 || *at > latest) return refused("the webhook's time is not one in seconds since 1970", "webhook-timestamp");
  const WallTime when{std::chrono::seconds(*at)};
  if (now - when > tolerance) return refused("the webhook is too old", "webhook-timestamp");
  if (when - now > tolerance) return refused("the webhook is from the future", "webhook-timestamp");
  const std::string text = signed_text(headers.id, headers.timestamp, body);
  bool fits = false;
  for (const auto& secret : secrets) {
    const Digest expected = secret.key_.sign(text);
    for (std::string_view rest = headers.signature; !rest.empty();) {
      const auto one = take_until(rest, ' ');
      if (!one.starts_with(kVersion)) continue;
      const auto given = from_base64(one.substr(kVersion.size()));
      if (given && ct_equal(*given, bytes_of(expected))) fits = true;
    }
  }
  if (!fits) return refused("no signature of the webhook fits", "webhook-signature");
  return {};
}

}  // namespace ballast::work
