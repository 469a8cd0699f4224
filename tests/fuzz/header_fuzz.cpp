// What stands in headers, paths and queries: waits that a server asks for, signatures of webhooks, traces, ids. The first byte picks
// which; the lines of the rest are the headers' values.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"
#include "llm/errors.hpp"
#include "work/batch.hpp"
#include "work/file_rows.hpp"
#include "work/webhook_signature.hpp"
#include "require.hpp"

using namespace ballast;
using namespace std::chrono_literals;

namespace {

void wait(std::string_view rest) {
  const auto first = take_until(rest, '\n'), second = take_until(rest, '\n');
  for (const auto now : {0s, 1'790'000'000s, 4'000'000'000s}) {
    const auto wait = llm::retry_wait({.retry_after = first, .retry_after_ms = second, .x_should_retry = rest, .now = std::chrono::system_clock::time_point(now)});
    require(!wait || (*wait >= 0ms && *wait <= 7 * 24h));
  }
}

void signature(std::string_view rest) {
  static const auto secret = *work::WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=");
  const std::span<const work::WebhookSecret> secrets(&secret, 1);
  const auto id = take_until(rest, '\n'), timestamp = take_until(rest, '\n'), signature = take_until(rest, '\n');
  const WallTime now = WallTime(1'790'000'000s);
  require(!work::verify_webhook(secrets, {id, timestamp, signature}, rest, now));       // nobody guesses
  (void)work::WebhookSecret::parse(signature);
  const auto signed_by_us = work::sign_webhook(secrets, id, now, rest);
  if (!signed_by_us) return;
  const std::string at = work::webhook_timestamp(now);
  require(work::verify_webhook(secrets, {id, at, *signed_by_us}, rest, now + 299s).has_value());
  require(work::verify_webhook(secrets, {id, at, std::string(signature) + " " + *signed_by_us}, rest, now).has_value());
  require(!work::verify_webhook(secrets, {id, at, *signed_by_us}, std::string(rest) + "x", now));
  require(!work::verify_webhook(secrets, {id, at, *signed_by_us}, rest, now + 301s));
}

void names(std::string_view text) {
  if (const auto span = trace::parse_traceparent(text)) {
    require(span->valid());
    require(trace::parse_traceparent(trace::format_traceparent(*span)) == span);
  }
  if (const auto id = parse_id(text, "call")) {
    require(parse_id(to_string(*id, "call"), "call") == id && id_from_bytes(to_bytes(*id)) == id);
    require(to_string(*id, "call").size() == text.size());
  }
  if (const auto id = work::parse_job_id(text)) require(id->value > 0 && work::parse_job_id(work::to_string(*id)) == id);
  if (const auto id = work::parse_batch_id(text)) require(work::parse_batch_id(work::batch_id(*id)) == id);
  if (const auto id = work::parse_file_id(text)) require(work::parse_file_id(work::file_id(*id)) == id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 1 << 12) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0: wait(rest); break;
    case 1: signature(rest); break;
    default: names(rest);
  }
  return 0;
}
