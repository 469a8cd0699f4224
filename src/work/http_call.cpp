#include "work/http_call.hpp"

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "base/text.hpp"
#include "llm/errors.hpp"
#include "net/fetch.hpp"
#include "work/canonical.hpp"

namespace ballast::work {
namespace {

constexpr std::string_view kFenceHeader = "x-ballast-fence";
constexpr std::array<std::string_view, 8> kOfTheConnection = {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te", "upgrade"};

std::unexpected<Error> wrong(const Place& at, std::string message, ErrorCode code = ErrorCode::caller_invalid_request) {
  return fail(code, std::move(message), at.field);
}

// A program's error may quote what it was given.
std::unexpected<Error> without_secrets(const HttpCall& call, Error error) {
  error.message = log::redact(call.secrets->hide(error.message));
  return fail(std::move(error));
}

bool has_dot_segment(std::string_view target) {
  for (const auto segment : split(target.substr(0, target.find('?')), '/')) {
    const std::string plain = net::percent_decode(segment, false);
    if (plain == "." || plain == "..") return true;
  }
  return false;
}

struct Header {
  std::string name, value;
};

class Maker {
 public:
  Maker(const HttpCall& call, const json::value& context) : call_(call), context_(context) {}

  Result<void> url() {
    auto text = call_.url.text->render(context_);
    if (!text) return without_secrets(call_, std::move(text.error()));
    const auto parsed = net::parse_url(trim(*text), call_.url.at.field);
    if (!parsed) return fail(parsed.error());
    if (has_dot_segment(parsed->target)) return wrong(call_.url.at, "the path of the URL has a . or .. segment: a value that goes into a path must not lead out of it");
    made_.method = call_.method;
    made_.url = net::to_string(*parsed);
    const std::string_view shown = made_.url;
    made_.target = made_.method + " " + log::redact(call_.secrets->hide(shown.substr(0, shown.find('?'))));
    return {};
  }

  Result<void> header(const std::string& name, const Text& text) {
    if (std::ranges::any_of(kOfTheConnection, [&](std::string_view own) { return iequals(own, name); }))
      return wrong(text.at, "the header " + name + " is written by the connection: leave it out");
    const auto rendered = text.text->render(context_);
    if (!rendered) return wrong(text.at, "the header " + name + " cannot be made of what the run has: an expression in it fails", rendered.error().code);
    const auto value = trim(*rendered);
    if (value.size() > kMaxHeaderValue) return wrong(text.at, "the header " + name + " has more than 16 KiB", ErrorCode::caller_too_large);
    if (!net::Headers().add(name, value)) return wrong(text.at, "the header " + name + " would hold a line break or a control character");
    made_.headers.emplace_back(name, value);
    return {};
  }

  Result<void> body(const json::value* otherwise) {
    json::value made;
    if (call_.body) {
      auto value = call_.body.jq->one(context_);
      if (!value) return without_secrets(call_, std::move(value.error()));
      made = std::move(*value);
      otherwise = &made;
    }
    if (!otherwise) return {};
    const bool text = otherwise->is_string();
    made_.body = text ? std::string(otherwise->get_string()) : canonical_json(*otherwise);
    otherwise_header("content-type", text ? "text/plain; charset=utf-8" : "application/json");
    return {};
  }

  Result<void> key(std::string_view key, const Place& at) {
    if (call_.idempotency != Idempotency::key) return {};
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
    if (key.empty() || key.size() > records::kMaxEffectKey || !std::ranges::all_of(key, printable))
      return wrong(at, "the idempotency key must be 1 to 255 printable ASCII characters without blanks");
    made_.idempotency_key = utf8_prefix(call_.secrets->hide(key), records::kMaxEffectKey);
    replace_header("Idempotency-Key", key);
    return {};
  }

  HttpRequestMade finish(std::string_view fence) {
    otherwise_header("user-agent", "ballast");
    otherwise_header("accept", "application/json, */*;q=0.8");
    std::erase_if(made_.headers, [](const auto& h) { return iequals(h.first, kFenceHeader); });
    Sha256 hash;
    hash.update(made_.method + " " + made_.url + "\n");
    for (const auto& [name, value] : made_.headers) hash.update(name + ": " + value + "\n");
    hash.update("\n");
    hash.update(made_.body);
    made_.arguments = hash.finish();
    if (!fence.empty()) made_.headers.emplace_back(kFenceHeader, fence);
    return std::move(made_);
  }

 private:
  void replace_header(std::string name, std::string_view value) {
    std::erase_if(made_.headers, [&](const auto& h) { return iequals(h.first, name); });
    made_.headers.emplace_back(std::move(name), value);
  }
  void otherwise_header(std::string name, std::string_view value) {
    if (std::ranges::none_of(made_.headers, [&](const auto& h) { return iequals(h.first, name); })) made_.headers.emplace_back(std::move(name), value);
  }

  const HttpCall& call_;
  const json::value& context_;
  HttpRequestMade made_;
};

bool expected(const HttpCall& call, int status) {
  return std::ranges::any_of(call.expect, [status](const auto& range) { return status >= range.first && status <= range.second; });
}

unsigned redirects_of(const HttpCall& call) {
  const bool safe = call.method == "GET" || call.method == "HEAD";
  const bool wants_3xx = std::ranges::any_of(call.expect, [](const auto& range) { return range.first <= 399 && range.second >= 300; });
  return safe && !wants_3xx ? net::kMostRedirects : 0;
}

std::string outcome_of(int status, std::string_view name, std::string_view what) {
  json::object o;
  if (status != 0) o["status"] = status;
  o[name] = what;
  return to_json(o);
}

// Valid UTF-8.
json::string as_text(std::string_view bytes) {
  if (is_utf8(bytes)) return json::string(bytes);
  std::string quoted;
  append_json_string(quoted, bytes);
  return std::move(parse_json(quoted)->get_string());
}

json::object headers_of(const net::Headers& headers) {
  json::object out;
  for (const auto& [name, value] : headers) {
    const std::string key = to_lower_ascii(name);
    if (key == "set-cookie") continue;
    json::value& member = out[key];
    if (member.is_null()) {
      member = as_text(trim(value));
    } else {
      member.get_string().append(", ");
      member.get_string().append(as_text(trim(value)));
    }
  }
  return out;
}

HttpFailure refused(const HttpCall& call, const net::Fetched& got, WallTime now) {
  HttpFailure f;
  const int status = got.status;
  const bool limited = status == 429, theirs = status >= 500;
  f.error = {.code = limited ? ErrorCode::provider_rate_limited : theirs ? ErrorCode::provider_error : ErrorCode::provider_rejected,
             .message = "the answer has status " + std::to_string(status) + ", which the call does not expect",
             .field = call.url.at.field,
             .retryable = limited || theirs};
  if (status >= 300 && status < 400) f.error.message += ": redirects are not followed here";
  f.may_have_arrived = theirs || status < 300;
  const auto wait = llm::retry_wait({.retry_after = got.headers.get("retry-after"), .now = std::chrono::time_point_cast<std::chrono::system_clock::duration>(now)});
  if (wait && (limited || theirs)) {
    f.retry_after = *wait;
    f.error.retry_after = *wait;
  }
  f.outcome = outcome_of(status, "code", to_string(f.error.code));
  return f;
}

std::expected<HttpAnswer, HttpFailure> judge(const HttpCall& call, const net::Fetched& got, WallTime now) {
  if (!expected(call, got.status)) return std::unexpected(refused(call, got, now));
  auto parsed = parse_json(got.body);
  json::value body = parsed ? std::move(*parsed) : json::value(as_text(got.body));
  if (call.schema)
    if (auto fits = schema::require(*call.schema.schema, body, "body"); !fits) {
      Error error = std::move(fits.error());
      error.code = ErrorCode::provider_bad_response;
      error.message = "the answer's body is not what the schema wants: " + error.message;
      return std::unexpected(HttpFailure{.error = std::move(error), .may_have_arrived = true, .accepted = true,
                                         .outcome = outcome_of(got.status, "code", to_string(ErrorCode::provider_bad_response))});
    }
  HttpAnswer answer{.outcome = outcome_of(got.status, "digest", to_hex(sha256(got.body)))};
  answer.output = json::object{{"status", got.status}, {"headers", headers_of(got.headers)}, {"body", std::move(body)}};
  call.secrets->hide_named(answer.output);
  return answer;
}

}  // namespace

namespace {

Result<HttpRequestMade> make(const HttpCall& call, const json::value& context, std::string_view idempotency_key, const Place& key_at, std::string_view fence,
                             const json::value* body_otherwise) {
  Maker maker(call, context);
  if (auto fine = maker.url(); !fine) return fail(std::move(fine.error()));
  for (const auto& [name, text] : call.headers)
    if (auto fine = maker.header(name, text); !fine) return fail(std::move(fine.error()));
  if (auto fine = maker.body(body_otherwise); !fine) return fail(std::move(fine.error()));
  if (auto fine = maker.key(idempotency_key, key_at); !fine) return fail(std::move(fine.error()));
  return maker.finish(fence);
}

}  // namespace

Result<HttpRequestMade> make_request(const HttpCall& call, const json::value& context, std::string_view idempotency_key, std::string_view fence) {
  return make(call, context, idempotency_key, call.url.at, fence, nullptr);
}

Result<HttpRequestMade> make_settlement(const SettleStage& stage, const json::value& context, std::string_view derived_key, std::string_view fence) {
  std::string key(derived_key);
  if (stage.key) {
    auto own = stage.key.jq->one(context);
    if (!own) return without_secrets(stage.effect, std::move(own.error()));
    if (own->is_null()) return wrong(stage.key.at, "is null: a settlement's key names what is settled");
    key = own->is_string() ? std::string(own->get_string()) : to_hex(value_digest(*own));
  }
  const json::object* object = context.if_object();
  return make(stage.effect, context, key, stage.key ? stage.key.at : stage.effect.url.at, fence, object ? object->if_contains("values") : nullptr);
}

Task<std::expected<HttpAnswer, HttpFailure>> send(Scheduler& loop, net::Transport& guarded_client, const HttpRequestMade& made, const HttpCall& call,
                                                  Duration timeout, std::size_t max_body, CancelToken cancel) {
  bool sent = false;
  const bool once = call.idempotency == Idempotency::none;
  net::FetchRequest request{.method = made.method, .url = made.url, .body = made.body, .replay_safe = !once, .fresh = once, .sent = &sent};
  for (const auto& [name, value] : made.headers) request.headers.add(name, value);
  const net::FetchLimits limits{.total = timeout > Duration::zero() ? timeout : kHttpTimeout, .body_bytes = std::max<std::size_t>(max_body, 1),
                                .redirects = redirects_of(call)};
  auto got = co_await net::fetch(guarded_client, loop, std::move(request), limits, cancel);
  if (!got) {
    if (got.error().code == ErrorCode::policy_egress_denied) got.error().field = call.url.at.field;
    const std::string outcome = outcome_of(0, "code", to_string(got.error().code));
    co_return std::unexpected(HttpFailure{.error = std::move(got.error()), .may_have_arrived = sent, .outcome = outcome});
  }
  co_return judge(call, *got, loop.clock().wall());
}

bool may_retry(const HttpFailure& failure, Idempotency idempotency) { return !failure.may_have_arrived || idempotency != Idempotency::none; }

records::EffectState state_after(const HttpFailure& failure, bool again) {
  if (failure.accepted) return records::EffectState::confirmed;
  return failure.may_have_arrived && !again ? records::EffectState::unknown : records::EffectState::failed;
}

}  // namespace ballast::work
