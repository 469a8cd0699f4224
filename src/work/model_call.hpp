// ModelCaller: one model call for work of this process (a job of kind `call`, a flow's `model` stage), along the gateway's road: the key's
// limits, budgets, scopes and models apply as over HTTP, the cost is in the ledger whatever becomes of the work.
//
// Paced: it waits for room in the limits before it calls, in turn with the others of its model (pace.hpp), and is hardly ever refused.
// Once: with an idempotency key, a call whose answer was recorded is answered from the record and costs nothing again, also after a crash;
// one that a crash cut before its answer was recorded is made again, for work promises an answer (the first is booked as it was held).
//
// Single-threaded: the home loop. Borrows the gateway and the pace; outlives its calls.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "base/scheduler.hpp"
#include "base/task.hpp"
#include "gateway/gateway.hpp"
#include "work/pace.hpp"

namespace ballast::work {

// An operation by the name that jobs and flows give it.
struct CallShape {
  std::string_view name;                     // "chat.completions"
  llm::Operation operation;
  llm::Wire wire;                            // of its request and its reply
};
// Nothing: no such operation.
const CallShape* call_shape(std::string_view name);
std::string call_names();                    // of all of them, for people
// The model that a request of any of them names; empty if it names none.
std::string model_of(const json::value& body);

struct ModelRequest {
  llm::Operation operation = llm::Operation::chat;
  llm::Wire wire = llm::Wire::openai_chat;
  std::string body;                          // JSON as the wire's API has it; with `stream: true` the answer is streamed
  std::string model;                         // that `body` names: what it waits with others for; empty: for nothing
  std::string key_id;                        // in whose name: looked up when the call is made
  std::string user, feature;                 // as x-ballast-user and x-ballast-feature
  std::string idempotency_key;               // of the work, the same at every attempt; empty: none
  std::string traceparent;
  std::string tracestate = {};
  std::optional<gateway::ProviderAnswer> answered;         // by a provider's batch: nobody is asked
  std::string tenant;                        // whose turn it is among those who wait
  bool may_wait = false;                     // has its turn when nobody else of its model can take one
  Duration patience = std::chrono::minutes(5);   // for room in the limits; then policy_rate_limited
  // Each server-sent event of a streamed answer as it comes: its name (may be empty) and its data. `[DONE]` is not told.
  std::function<void(std::string_view event, std::string_view data)> on_event;
  // Each piece of the text of a streamed answer as it comes, by the number of the choice it belongs to.
  std::function<void(std::uint32_t choice, std::string_view text)> on_text;
};

struct ModelReply {
  std::optional<Error> error;                // none: `body` is the answer
  int status = 0;                            // as over HTTP
  std::string body;                          // the whole reply in the wire's form, also of a streamed one; or the error in the API's own words
  std::string call_id;                       // of the last call made; empty: none was
  std::string served_by;                     // a target's name, "cache", "stale", "template"
  std::string model;                         // "provider/model"
  std::string cost_usd;                      // billed, of a whole answer
  unsigned attempts = 0;                     // at providers
  // Nobody could be asked: every target rests, or every credential of theirs. `error` says for how long.
  bool never_asked() const { return error && error->code == ErrorCode::provider_all_failed && error->retry_after && attempts == 0; }
  bool degraded() const { return served_by == "stale" || served_by == "template"; }
};

class ModelCaller {
 public:
  ModelCaller(gateway::Gateway& gateway, Scheduler& home, Pace& pace) : gateway_(gateway), home_(home), pace_(pace) {}
  // Never throws for a reason outside the process. `cancel` ends it soon with caller_cancelled; what had been spent is booked.
  Task<ModelReply> call(ModelRequest request, CancelToken cancel);
  // Where a provider would answer it in a batch (Gateway::batch_target).
  std::optional<gateway::Gateway::BatchTarget> batch_target(const ModelRequest& request);

 private:
  Task<ModelReply> once(const ModelRequest& request, MonoTime until, CancelToken cancel);
  gateway::Gateway& gateway_;
  Scheduler& home_;
  Pace& pace_;
};

}  // namespace ballast::work
