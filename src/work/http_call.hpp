// An HTTP call of a flow, from what the run has to what the journal of effects keeps: `make_request` says what exactly will be sent (pure),
// `send` sends it once over a guarded transport and judges the answer, `may_retry` and `state_after` say what follows for the effect.
//
//   made = make_request(…) → intend(made.target, made.arguments) → dispatch → send(…) → settle(state_after(…), outcome)
//
// What must never happen: a value of the run that becomes another header; a header's value in an error, in a log or in the database; a
// call that may have arrived and must not be made twice, made twice.
#pragma once
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/scheduler.hpp"
#include "net/transport.hpp"
#include "records/effects.hpp"
#include "work/flow.hpp"

namespace ballast::work {

// A request as it will be sent, but for what the connection adds (Host, Content-Length). May hold secrets: only `target`, `idempotency_key` and
// `arguments` are to be kept or shown.
struct HttpRequestMade {
  std::string method, url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string target;             // "POST https://pay.example/charges": without the query, values of the environment, and what looks like a credential
  std::string idempotency_key;    // as sent, but for values of the environment; empty: none is
  Digest arguments{};             // SHA-256 of "METHOD URL\n", a "name: value\n" for each header in order but x-ballast-fence, "\n", the body
};

inline constexpr std::size_t kMaxHeaderValue = 16u << 10;
inline constexpr Duration kHttpTimeout = std::chrono::seconds(60);   // of a call whose stage has none

// Renders the call in `context` (flow.hpp: what an expression sees). Equal context, equal bytes: JSON bodies are canonical.
// Adds user-agent, content-type and accept unless the flow gives them, x-ballast-fence unless `fence` is empty, and with `idempotency: key`
// Idempotency-Key; the last two replace the flow's own.
// Errors, `field` as in the flow's file: those of Jq and Template, without their words where a header is concerned; caller_invalid_request:
// the URL, also one whose path has a "." or ".." segment; a header with a line break or a control, or one that is the connection's;
// the key. caller_too_large: a header.
Result<HttpRequestMade> make_request(const HttpCall& call, const json::value& context, std::string_view idempotency_key, std::string_view fence);
// The same for a settlement: in the context {values, run}. The body is the values unless the effect has one; the stage's own `key`, where it has
// one, replaces `derived_key`. A key is text of 1 to 255 printable ASCII characters; another JSON value is taken by its digest.
Result<HttpRequestMade> make_settlement(const SettleStage& stage, const json::value& context, std::string_view derived_key, std::string_view fence);

struct HttpAnswer {
  // {status, headers, body}: header names in lower case, several of one name joined by ", ", Set-Cookie left out; body is JSON where it
  // parses as such, else text, in which bytes that are no UTF-8 become U+FFFD. A secret of the environment that comes back in it is hidden.
  json::value output;
  std::string outcome;            // for the journal of effects: {"status":201,"digest":"…"}
};
struct HttpFailure {
  Error error;
  // It may have had its effect: bytes have left, and no answer says that it was refused.
  bool may_have_arrived = false;
  // It had its effect: the status is as expected, only the answer's body is not what the schema wants.
  bool accepted = false;
  std::optional<Duration> retry_after;
  std::string outcome;            // {"status":503,"code":"provider_error"}
};

// One call. `timeout` is for all of it (zero: kHttpTimeout); `max_body` bytes of the answer are read at most. Redirects are followed for GET and HEAD
// whose `expect` has no 3xx, each a request of its own to the guard. A call that must not be made twice goes on a connection of its own.
// Everything borrowed lives until the task ends. Errors:
//   policy_egress_denied   the guard refused the address: nothing was sent to it; `field` is the URL's
//   provider_rate_limited  429, with Retry-After where it was told
//   provider_error         5xx; may have arrived
//   provider_rejected      any other status that is not expected; a 2xx may have arrived
//   provider_timeout, provider_unreachable, provider_bad_response, internal_unavailable, caller_cancelled: as net/fetch.hpp
//   provider_bad_response  also: the body is not what `schema` wants, `field` its place ("body/id")
Task<std::expected<HttpAnswer, HttpFailure>> send(Scheduler& loop, net::Transport& guarded_client, const HttpRequestMade& made, const HttpCall& call,
                                                  Duration timeout, std::size_t max_body, CancelToken cancel);

// May the same call be made once more without doing something twice? Whether it is worth it is the stage's `retry`.
bool may_retry(const HttpFailure& failure, Idempotency idempotency);
// What the effect is after the failure. `again`: the same effect will be tried once more, under a row of its own, and this try no longer counts.
// confirmed: accepted; failed: not done, or superseded; unknown: a person has to look.
records::EffectState state_after(const HttpFailure& failure, bool again);

}  // namespace ballast::work
