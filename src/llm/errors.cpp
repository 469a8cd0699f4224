#include "llm/errors.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

namespace {

using std::chrono::milliseconds;

// ---- When to come back ------------------------------------------------------------------------------------------

std::optional<double> decimal(std::string_view text) {
  double v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size() || !std::isfinite(v) || v < 0) return std::nullopt;
  return v;
}

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 IMF-fixdate). In seconds: a date of the year 9999, as some send it, is more nanoseconds than there are.
std::optional<std::chrono::sys_seconds> http_date(std::string_view text) {
  static constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char month[4] = {};
  int day = 0, year = 0, hour = 0, minute = 0, second = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &day, month, &year, &hour, &minute, &second) != 6) return std::nullopt;
  const auto at = months.find(month);
  if (at == std::string_view::npos || at % 3 != 0) return std::nullopt;
  using namespace std::chrono;
  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(at / 3 + 1)), std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return std::nullopt;
  return sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
}

constexpr double kLongestWaitMs = 7.0 * 24 * 3600 * 1000;
milliseconds wait_of(double ms) { return milliseconds(static_cast<std::int64_t>(std::ceil(std::min(ms, kLongestWaitMs)))); }

}  // namespace

std::optional<milliseconds> retry_wait(const RetryHeaders& h) {
  if (const auto ms = decimal(trim(h.retry_after_ms)); ms && !h.retry_after_ms.empty()) return wait_of(*ms);
  const auto text = trim(h.retry_after);
  if (text.empty()) return std::nullopt;
  if (const auto s = decimal(text)) return wait_of(*s * 1000);
  if (const auto date = http_date(text)) {
    const milliseconds left = *date - std::chrono::time_point_cast<milliseconds>(h.now);
    return std::clamp(left, milliseconds(0), wait_of(kLongestWaitMs));
  }
  return std::nullopt;
}

namespace {

// ---- What a body says -------------------------------------------------------------------------------------------

struct Told {
  std::string message, type, code, param, status;
  std::optional<milliseconds> wait;
  bool per_day = false;
};

std::string scalar(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (v == nullptr) return {};
  if (v->is_string()) return std::string(view(v->get_string()));
  if (v->is_int64()) return std::to_string(v->get_int64());
  return {};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void read_details(const json::object& error, Told& told) {
  const auto* details = error.if_contains("details");
  if (details == nullptr || !details->is_array()) return;
  for (const auto& item : details->get_array()) {
    if (!item.is_object()) continue;
    const auto& o = item.get_object();
    const auto delay = scalar(o, "retryDelay");
    if (delay.ends_with('s'))
      if (const auto s = decimal(std::string_view(delay).substr(0, delay.size() - 1))) told.wait = wait_of(*s * 1000);
    if (const auto reason = scalar(o, "reason"); !reason.empty() && (told.code.empty() || is_digit(told.code[0]))) told.code = reason;
    const auto* violations = o.if_contains("violations");
    if (violations == nullptr || !violations->is_array()) continue;
    for (const auto& v : violations->get_array())
      if (v.is_object() && scalar(v.get_object(), "quotaId").find("PerDay") != std::string::npos) told.per_day = true;
  }
}

Told read_body(const json::value& document) {
  Told told;
  const json::value* at = &document;
  if (at->is_array() && !at->get_array().empty()) at = &at->get_array().front();
  if (!at->is_object()) return told;
  const auto& root = at->get_object();
  const json::object* error = &root;
  if (const auto* response = root.if_contains("response"); response != nullptr && response->is_object())
    if (const auto* inner = response->get_object().if_contains("error"); inner != nullptr && inner->is_object()) error = &inner->get_object();
  if (const auto* e = root.if_contains("error"); e != nullptr) {
    if (e->is_object()) error = &e->get_object();
    else if (e->is_string()) told.message = std::string(view(e->get_string()));
  }
  if (told.message.empty()) told.message = scalar(*error, "message");
  if (told.message.empty()) told.message = scalar(root, "detail");
  told.type = scalar(*error, "type");
  told.code = scalar(*error, "code");
  told.param = scalar(*error, "param");
  told.status = scalar(*error, "status");
  read_details(*error, told);
  // OpenRouter passes its provider's own words on.
  if (const auto* meta = error->if_contains("metadata"); meta != nullptr && meta->is_object())
    if (const auto raw = scalar(meta->get_object(), "raw"); !raw.empty()) told.message += ": " + raw;
  return told;
}

bool any_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view w) { return text.find(w) != std::string_view::npos; });
}

bool says_billing(const Told& t, std::string_view lower) {
  if (any_of(t.code, {"insufficient_quota", "credit_balance_exhausted", "spend_limit_exceeded", "organization_usage_limit_exceeded",
                      "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}))
    return true;
  return t.type == "insufficient_quota" || t.type == "billing_error" ||
         any_of(lower, {"credit balance is too low", "insufficient balance", "insufficient credits"});
}

bool says_context(const Told& t, std::string_view lower) {
  if (any_of(t.code, {"context_length_exceeded", "string_above_max_length"}) || t.type == "too_many_prompt_tokens") return true;
  return any_of(lower, {"maximum context length", "prompt is too long", "context window", "exceeds the maximum number of tokens allowed",
                        "too many tokens", "total length of all messages is too long", "reduce the length of the messages",
                        "input is too long", "context length exceeded"});
}

bool says_filter(const Told& t, std::string_view lower) {
  if (any_of(t.code, {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "cyber_policy", "invalid_prompt"})) return true;
  return any_of(lower, {"content management policy", "content_filter", "content filtering policy", "safety system", "violating our usage policy"});
}

// A status for errors that come without one (inside a stream, or a 200 body), from what they say.
int implied_status(const Told& t) {
  struct Row { std::string_view name; int status; };
  static constexpr Row rows[] = {
      {"invalid_request_error", 400}, {"authentication_error", 401}, {"billing_error", 402}, {"permission_error", 403},
      {"not_found_error", 404}, {"request_too_large", 413}, {"rate_limit_error", 429}, {"rate_limit_exceeded", 429}, {"api_error", 500},
      {"server_error", 500}, {"timeout_error", 504}, {"overloaded_error", 529}, {"service_unavailable_error", 503}, {"insufficient_quota", 429},
      {"INVALID_ARGUMENT", 400}, {"FAILED_PRECONDITION", 400}, {"UNAUTHENTICATED", 401}, {"PERMISSION_DENIED", 403}, {"NOT_FOUND", 404},
      {"RESOURCE_EXHAUSTED", 429}, {"INTERNAL", 500}, {"UNAVAILABLE", 503}, {"DEADLINE_EXCEEDED", 504}, {"server_overloaded", 503},
      {"context_length_exceeded", 400}};
  for (const auto& name : {t.code, t.type, t.status})
    for (const auto& row : rows)
      if (row.name == name) return row.status;
  int number = 0;
  const auto [p, ec] = std::from_chars(t.code.data(), t.code.data() + t.code.size(), number);
  if (ec == std::errc() && number >= 400 && number < 600) return number;
  return 500;
}

ErrorCode classify(int status, const Told& t) {
  const auto lower = to_lower_ascii(t.message);
  if (status == 402 || ((status == 429 || status == 403 || status == 400) && says_billing(t, lower))) return ErrorCode::provider_quota;
  if (status == 429) return t.per_day ? ErrorCode::provider_quota : ErrorCode::provider_rate_limited;
  if (status == 401 || status == 403) return ErrorCode::provider_auth;
  if (status == 400 && any_of(t.code, {"API_KEY_INVALID", "invalid_api_key"})) return ErrorCode::provider_auth;
  if (status == 503 || status == 529) return ErrorCode::provider_overloaded;
  if ((status == 400 || status == 413 || status == 422) && says_context(t, lower)) return ErrorCode::provider_context_length;
  if (status < 500 && says_filter(t, lower)) return ErrorCode::provider_content_filter;
  if (status == 408 || status == 409 || status >= 500) return ErrorCode::provider_error;
  return ErrorCode::provider_rejected;
}

bool worth_retrying(ErrorCode code) {
  return code == ErrorCode::provider_rate_limited || code == ErrorCode::provider_overloaded || code == ErrorCode::provider_error;
}

constexpr std::size_t kLongestMessage = 600;
constexpr std::size_t kLongestWord = 128;

std::string plain_word(std::string_view word) {
  const auto plain = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-'; };
  if (word.size() > kLongestWord || !std::ranges::all_of(word, plain) || log::redact(word) != word) return {};
  return std::string(word);
}

std::shared_ptr<const ProviderWords> words_of(Wire wire, ErrorCode kind, const Told& told) {
  if (kind != ErrorCode::provider_rejected && kind != ErrorCode::provider_context_length && kind != ErrorCode::provider_content_filter &&
      kind != ErrorCode::provider_rate_limited)
    return nullptr;
  ProviderWords words{.wire = wire, .type = plain_word(wire == Wire::gemini ? told.status : told.type)};
  if (!std::ranges::all_of(told.code, is_digit)) words.code = plain_word(told.code);
  if (words.type.empty() && words.code.empty()) return nullptr;
  return std::make_shared<const ProviderWords>(std::move(words));
}

Error make_error(Wire wire, int status, Told told, const RetryHeaders& headers) {
  Error e;
  const bool has_status = status >= 400;
  e.code = classify(has_status ? status : implied_status(told), told);
  e.theirs = words_of(wire, e.code, told);
  if (told.message.size() > kLongestMessage) {
    told.message.resize(utf8_prefix(told.message, kLongestMessage).size());
    told.message += "…";
  }
  e.message = told.message.empty() ? "the provider answered with status " + std::to_string(status) : std::move(told.message);
  e.field = std::move(told.param);
  e.retryable = worth_retrying(e.code);
  if (const auto verdict = trim(headers.x_should_retry); verdict == "true" || verdict == "false") {
    e.told_retry = verdict == "true";
    e.retryable = *e.told_retry;
  }
  e.retry_after = retry_wait(headers);
  if (!e.retry_after) e.retry_after = told.wait;
  return e;
}

}  // namespace

Error parse_error(Wire wire, int status, const RetryHeaders& headers, std::string_view body) {
  Told told;
  if (auto document = parse_json(body)) told = read_body(*document);
  // A page of HTML says nothing that a person could use.
  else if (body.size() < kLongestMessage && body.find('<') == std::string_view::npos && is_utf8(body)) told.message = std::string(trim(body));
  return make_error(wire, status, std::move(told), headers);
}

Error error_from_json(Wire wire, int status, const json::value& document) { return make_error(wire, status, read_body(document), {}); }

// ---- Ours, told to the caller -------------------------------------------------------------------------------------

int http_status(ErrorCode code, Wire wire) {
  const bool anthropic = wire == Wire::anthropic_messages;
  switch (code) {
    case ErrorCode::caller_invalid_request: return 400;
    case ErrorCode::caller_unauthenticated: return 401;
    case ErrorCode::caller_forbidden: return 403;
    case ErrorCode::caller_not_found: return 404;
    case ErrorCode::caller_conflict: return 409;
    case ErrorCode::caller_too_large: return 413;
    case ErrorCode::caller_timeout: return 408;
    case ErrorCode::caller_cancelled: return 499;
    case ErrorCode::policy_rate_limited: return 429;
    case ErrorCode::policy_budget_exceeded: return 429;
    case ErrorCode::policy_unpriced_model: return 400;
    case ErrorCode::policy_unbounded_cost: return 400;
    case ErrorCode::policy_egress_denied: return 403;
    case ErrorCode::provider_unreachable: return 502;
    case ErrorCode::provider_timeout: return 504;
    case ErrorCode::provider_rate_limited: return 429;
    case ErrorCode::provider_quota: return 503;
    case ErrorCode::provider_auth: return 502;
    case ErrorCode::provider_overloaded: return anthropic ? 529 : 503;
    case ErrorCode::provider_error: return 502;
    case ErrorCode::provider_bad_response: return 502;
    case ErrorCode::provider_context_length: return 400;
    case ErrorCode::provider_content_filter: return 400;
    case ErrorCode::provider_rejected: return 400;
    case ErrorCode::provider_invalid_output: return 422;
    case ErrorCode::provider_all_failed: return 503;
    case ErrorCode::internal_unavailable: return 503;
    case ErrorCode::internal_error: return 500;
  }
  return 500;
}

namespace {

// A cache that finds nothing and may not ask on says 504 (RFC 9111, section 5.2.1.7).
int status_of(const Error& error, Wire wire) {
  return error.code == ErrorCode::caller_not_found && error.field == "cache-control" ? 504 : http_status(error.code, wire);
}

std::string_view openai_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  if (status >= 500) return "server_error";
  return "invalid_request_error";
}

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    case 529: case 503: return "overloaded_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string_view gemini_status(int status) {
  switch (status) {
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 408: case 504: return "DEADLINE_EXCEEDED";
    case 409: return "ABORTED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 499: return "CANCELLED";
    case 503: return "UNAVAILABLE";
    default: return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
  }
}

// The words SDKs and their users already test for.
std::string_view openai_code(const Error& error) {
  switch (error.code) {
    case ErrorCode::provider_context_length: return "context_length_exceeded";
    case ErrorCode::provider_content_filter: return "content_filter";
    case ErrorCode::caller_unauthenticated: return "invalid_api_key";
    case ErrorCode::caller_not_found: return error.field == "model" ? "model_not_found" : to_string(error.code);
    default: return to_string(error.code);
  }
}

bool same_api(Wire a, Wire b) {
  const auto openai = [](Wire w) { return w == Wire::openai_chat || w == Wire::openai_responses; };
  return a == b || (openai(a) && openai(b));
}

// The provider's word where it gave one; `ours` else.
std::string_view or_ours(std::string_view theirs, std::string_view ours) { return theirs.empty() ? ours : theirs; }

}  // namespace

json::object error_object(Wire wire, const Error& error) {
  const int status = status_of(error, wire);
  const bool native = error.theirs && same_api(wire, error.theirs->wire);
  const std::string_view type = native ? std::string_view(error.theirs->type) : std::string_view();
  const std::string_view code = error.theirs ? std::string_view(error.theirs->code) : std::string_view();
  switch (wire) {
    case Wire::openai_chat:
    case Wire::openai_responses: {
      const auto ours = openai_code(error);
      const auto told = native || ours == to_string(error.code) ? or_ours(code, ours) : ours;   // a word of this API before one of another
      json::object inner{{"message", error.message}, {"type", or_ours(type, openai_type(status))}, {"param", nullptr}, {"code", told}};
      if (!error.field.empty()) inner["param"] = error.field;
      return {{"error", std::move(inner)}};
    }
    case Wire::anthropic_messages: {
      auto message = error.field.empty() ? error.message : error.field + ": " + error.message;
      return {{"type", "error"}, {"error", json::object{{"type", or_ours(type, anthropic_type(status))}, {"message", std::move(message)},
                                                              {"code", or_ours(code, to_string(error.code))}}}};
    }
    case Wire::gemini: {
      json::object info{{"@type", "type.googleapis.com/google.rpc.ErrorInfo"}, {"reason", or_ours(code, to_string(error.code))},
                        {"domain", native && !code.empty() ? "googleapis.com" : "ballast"}};
      if (!error.field.empty()) info["metadata"] = json::object{{"field", error.field}};
      json::array details{std::move(info)};
      if (error.retry_after)
        details.push_back(json::object{{"@type", "type.googleapis.com/google.rpc.RetryInfo"},
                                       {"retryDelay", std::to_string((error.retry_after->count() + 999) / 1000) + "s"}});
      return {{"error", json::object{{"code", status}, {"message", error.message}, {"status", or_ours(type, gemini_status(status))}, {"details", std::move(details)}}}};
    }
  }
  return {};
}

ErrorReply write_error(Wire wire, const Error& error) {
  ErrorReply reply;
  reply.status = status_of(error, wire);
  reply.body = to_json(error_object(wire, error));
  reply.headers.emplace_back("content-type", "application/json");
  // The SDKs retry 408, 409, 429 and 5xx by themselves: say when that cannot help.
  reply.headers.emplace_back("x-should-retry", error.retryable ? "true" : "false");
  if (error.retry_after) {
    reply.headers.emplace_back("retry-after", std::to_string((error.retry_after->count() + 999) / 1000));
    reply.headers.emplace_back("retry-after-ms", std::to_string(error.retry_after->count()));
  }
  return reply;
}

}  // namespace ballast::llm
