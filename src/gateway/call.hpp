// Call and ReplySink: what enters the call road and where its answer goes. Everything that wants a model (an HTTP
// request, a flow's stage, an agent's turn, an eval case) fills a Call and waits for the road to end.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/cache_control.hpp"
#include "gateway/seat.hpp"
#include "gateway/step_listener.hpp"
#include "llm/provider.hpp"
#include "llm/wire.hpp"

namespace ballast::gateway {

// What a call of the durable road (a job's, a stage's) brings that one over HTTP does not. Its idempotency keys are apart from those that
// callers choose; one whose outcome a crash took away is dispatched again; answers of any size are remembered.
struct ProviderAnswer {
  std::string target;                                  // that it is of: the call goes to no other
  int status = 0;
  std::string body;
};
struct DurableCall {
  Principal who;                                       // by the id of a key (KeyRing::principal_of): its secret is not kept
  const ProviderAnswer* answered = nullptr;            // by a provider's batch: nothing is sent, and it costs what batches do. Borrowed
  Seat seat;                                           // room in the limits, drawn before the call (Gateway::draw); may be none
};

// One request for a model. Views are borrowed and outlive the road's task; `body` has the padding the fast reader
// needs or is copied by it.
struct Call {
  llm::Wire wire = llm::Wire::openai_chat;             // the caller's API: request, reply and error shapes
  llm::Operation operation = llm::Operation::chat;
  std::string_view body;                               // JSON (or multipart for images/edits), size-limited already
  std::string_view content_type;                       // of the body, for pass-through operations
  std::string_view secret;                             // bearer token or x-api-key, empty when absent
  std::string_view path_model;                         // the model where the path names it (Gemini), else empty
  bool path_stream = false;                            // the path asks for a stream (Gemini)
  std::string_view user;                               // x-ballast-user
  std::string_view feature;                            // x-ballast-feature
  std::string_view complexity;                         // x-ballast-complexity: the declared class
  std::string_view record;                             // x-ballast-record: "off" keeps its messages from being recorded; else empty
  CacheControl cache;                                  // cache-control: of the exact cache, for this call
  std::string_view idempotency_key;
  std::string_view traceparent;
  std::string_view tracestate;                         // passed on with the trace context, as it came
  std::string_view content_encoding;
  std::string_view anthropic_beta;                     // passed through to Anthropic targets
  const Principal* known = nullptr;                    // who asks, where that was proved otherwise (a page's session): `secret` is not looked at. Borrowed
  StepListener* steps = nullptr;                       // hears the steps while they are taken; null: nobody does. Borrowed
  DurableCall* durable = nullptr;                      // null: over HTTP; else `secret` is not looked at. Borrowed, its seat is taken
};

struct ReplyHead {
  int status = 200;
  net::Headers headers;                                               // `content-type` first
};

// Where the answer goes. Exactly one of: `reply` once; or `begin`, `write`*, then `end` or `abort`.
// Used on the call's own loop. A failed write means that the caller is gone: stop, settle, return.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual Scheduler& loop() = 0;
  virtual CancelToken gone() = 0;                                     // fires when the caller leaves
  virtual Task<Result<void>> reply(ReplyHead head, std::string_view body) = 0;
  // A stream of server-sent events, with its first bytes: together they are one packet, and wake the caller once. So are the last ones
  // and the end. Both may be empty.
  virtual Task<Result<void>> begin(ReplyHead head, std::string_view first) = 0;
  virtual Task<Result<void>> write(std::string_view bytes) = 0;       // flushed at once
  virtual Task<Result<void>> end(std::string_view last) = 0;          // the clean end
  virtual void abort() = 0;                                           // an end that no client mistakes for a clean one
  // Told before an error is answered, or written into a stream that had begun, in the words of the caller's API.
  virtual void failed(const Error&) {}
};

}  // namespace ballast::gateway
