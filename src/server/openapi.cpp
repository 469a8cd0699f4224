// The OpenAPI document: one table of operations, from which the document is built.
#include "base/json.hpp"
#include "server/server.hpp"

namespace ballast::server {

namespace {

struct Parameter {
  std::string_view name, in, description;
};
struct Operation {
  std::string_view method, path, tag, summary, description;
  std::initializer_list<Parameter> parameters;
  bool body = false;
};

constexpr Parameter kUser{"x-ballast-user", "header", "Whom the call is for: limits, budgets and usage are kept by user."};
constexpr Parameter kFeature{"x-ballast-feature", "header", "The feature that calls."};
constexpr Parameter kComplexity{"x-ballast-complexity", "header", "simple, medium or hard: for routes that choose by it."};
constexpr Parameter kIdempotency{"idempotency-key", "header", "The same key and body give the same answer, billed once."};
constexpr Parameter kCache{"cache-control", "header", "Of the exact cache, for this call (RFC 9111): no-cache, no-store, max-age=N, only-if-cached."};
constexpr Parameter kFrom{"from", "query", "Calls from this time on (RFC 3339, UTC)."};
constexpr Parameter kTo{"to", "query", "Calls before this time."};

const std::initializer_list<Operation>& operations() {
  static const std::initializer_list<Operation> all = {
      {"post", "/v1/chat/completions", "models", "OpenAI chat completions", "OpenAI's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kCache, kIdempotency}, true},
      {"post", "/v1/responses", "models", "OpenAI responses", "OpenAI's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kCache, kIdempotency}, true},
      {"post", "/v1/messages", "models", "Anthropic messages", "Anthropic's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kCache, kIdempotency}, true},
      {"post", "/v1/messages/count_tokens", "models", "Estimate a prompt's tokens", "An estimate: see the reply header x-ballast-estimate.", {}, true},
      {"post", "/v1beta/models/{model}:generateContent", "models", "Gemini generate", "Gemini's request and reply.", {{"model", "path", "A route, an alias or provider/model."}, kUser, kFeature, kComplexity, kCache, kIdempotency}, true},
      {"post", "/v1beta/models/{model}:streamGenerateContent", "models", "Gemini generate, streamed", "Server-sent events.", {{"model", "path", "A route, an alias or provider/model."}}, true},
      {"post", "/v1beta/models/{model}:countTokens", "models", "Estimate a prompt's tokens, as Gemini asks", "", {{"model", "path", "A route, an alias or provider/model."}}, true},
      {"post", "/v1/embeddings", "models", "Embeddings", "Passed through with accounting.", {kUser, kFeature}, true},
      {"post", "/v1/images/generations", "models", "Images", "Passed through with accounting.", {kUser, kFeature}, true},
      {"post", "/v1/images/edits", "models", "Image edits", "Passed through with accounting; JSON or multipart.", {kUser, kFeature}, true},
      {"get", "/v1/models", "models", "What a request's model may name", "Routes, aliases and known models that the key allows.", {}},
      {"get", "/v1/models/{model}", "models", "One of them", "", {{"model", "path", "A route, an alias or provider/model."}}},
      {"get", "/api/usage", "records", "Usage", "Tokens and money, exact to the nano-dollar. Keys without scope read see their own.",
       {kFrom, kTo, {"by", "query", "Commas between: key, user, feature, team, model, provider, route, operation, hour, day, status."},
        {"key", "query", "A key's id."}, {"user", "query", ""}, {"feature", "query", ""}, {"team", "query", ""}, {"model", "query", ""},
        {"provider", "query", ""}, {"route", "query", ""}, {"operation", "query", ""}, {"limit", "query", "Rows, at most 10000."}, {"offset", "query", ""}}},
      {"get", "/api/calls", "records", "Calls, newest first", "With their attempts and decisions.", {kFrom, kTo, {"limit", "query", "At most 1000."}, {"before", "query", "The `next` of the page before."}}},
      {"get", "/api/decisions/{id}", "records", "Why a call went the way it went", "The call, its attempts, its cost and each step's decision.", {{"id", "path", "x-ballast-call-id of the reply."}}},
      {"get", "/api/keys", "keys", "List keys", "Never their secrets.", {{"revoked", "query", "true: revoked ones too."}}},
      {"post", "/api/keys", "keys", "Make a key", "name, scopes (call, usage, read, work, approve, admin), models, team, user, feature, expires. The answer holds the secret, once.", {}, true},
      {"get", "/api/keys/{id}", "keys", "Show a key", "Never its secret.", {{"id", "path", ""}}},
      {"patch", "/api/keys/{id}", "keys", "Change a key", "Of name, scopes, models, team, user, feature and expires (null: never), those that the body names. In effect from the next call on.", {{"id", "path", ""}}, true},
      {"post", "/api/keys/{id}/rotate", "keys", "Give a key another secret", "The answer holds it, once. `overlap` in the body: seconds that the old one goes on, 2592000 at most; 0 if absent.", {{"id", "path", ""}}},
      {"delete", "/api/keys/{id}", "keys", "Revoke a key", "In effect from the next call on.", {{"id", "path", ""}}},
      {"post", "/api/jobs", "jobs", "Submit a job", "Exactly one of task (with payload), call {operation, body} and flow (with input); queue, priority 0-9, attempts, delay, at, deadline, timeout, backoff {first, factor, max}, concurrency {key, limit}, unique {key, for}, tags, webhook (a URL, or {url, secret}), tenant, user, feature, retention. Answers 202 at once with the id; 200 with the job that has the same key already.",
       {kIdempotency, {"wait", "query", "Answer when the job has ended, or after so long: 30s, 60s at most."}}, true},
      {"post", "/api/jobs/bulk", "jobs", "Submit many jobs", "jobs: a list of 1 to 10000. Each is accepted or refused alone, in one transaction.", {}, true},
      {"get", "/api/jobs", "jobs", "Jobs, newest first", "Keys without scope read see their own.",
       {{"flow", "query", ""}, {"task", "query", ""}, {"operation", "query", "Of model calls."}, {"queue", "query", ""}, {"tenant", "query", ""}, {"tag", "query", ""},
        {"state", "query", "queued, running, waiting, done, dead or cancelled."}, {"text", "query", "In input, output or error."}, {"from", "query", "Submitted from this time on."},
        {"to", "query", "Submitted before."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before; a page may be short and still have one."}}},
      {"get", "/api/jobs/{id}", "jobs", "A job", "With its input, and its output once done.", {{"id", "path", ""}, {"wait", "query", "Answer when it has ended, or after so long, 60s at most."}}},
      {"get", "/api/jobs/{id}/attempts", "jobs", "The failed attempts of a job", "", {{"id", "path", ""}}},
      {"post", "/api/jobs/{id}/cancel", "jobs", "Cancel a job", "Whoever runs it: exactly one of this and its completion wins. 409 when it has ended.", {{"id", "path", ""}}},
      {"get", "/api/jobs/{id}/events", "jobs", "Follow a job, live", "Server-sent events: state (the job; first, at every change and last), progress, and reset when a new attempt begins what is told anew. Ends when the job has.", {{"id", "path", ""}, {"last-event-id", "header", "The last id seen: goes on after it."}}},
      {"get", "/api/jobs/{id}/stages", "jobs", "A run, stage by stage", "Its journal: what each stage gave, when, at which attempt, what it cost, what it derives from.", {{"id", "path", ""}}},
      {"get", "/api/flows", "jobs", "Flows", "Those in force, with their versions.", {}},
      {"get", "/api/flows/{name}", "jobs", "A flow", "Its stages, what each comes after, its input's schema, its text.", {{"name", "path", ""}}},
      {"post", "/api/jobs/{id}/redrive", "jobs", "Drive a dead or cancelled job again", "As a new job that points to it; asked twice it is the same one. The body may change input (payload), attempts, queue, delay and deadline.", {{"id", "path", ""}}, true},
      {"get", "/api/dead", "jobs", "Dead letters by cause", "Queue, name and error code; how many, the newest and the oldest, an example. Of the newest 10000.", {}},
      {"post", "/api/dead/redrive", "jobs", "Drive many dead letters again", "Those of queue, name, code and text (absent: all), `limit` of them (1000; 10000 at most), oldest first, at `rate` (\"10/s\"; absent: at once). Each is driven again once.", {}, true},
      {"get", "/api/queues", "jobs", "Queues", "What is ready, delayed, held back, running and waiting; how old the oldest ready job is; limits; jobs that arrive and end per second over one and five minutes; the mean time in leases of a job; `wanted`: the leases at once that would drain the queue in `drain`, for an autoscaler.",
       {{"drain", "query", "1s to 24h (5m)."}}},
      {"put", "/api/queues/{name}", "jobs", "Pause, resume or limit a queue", "paused, concurrency, per_tenant (0: no limit), those that the body names. Lasts over restarts.", {{"name", "path", ""}}, true},
      {"get", "/api/webhooks", "jobs", "Webhooks, newest first", "What was told of ended jobs, or is still owed: state (pending, delivered, dead), attempts, the last answer's status, why it failed. Scope read.",
       {{"state", "query", "pending, delivered or dead."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"get", "/api/webhooks/{id}", "jobs", "A webhook", "With its payload. Scope read.", {{"id", "path", "Its header webhook-id."}}},
      {"post", "/api/webhooks/{id}/redrive", "jobs", "Deliver a webhook again", "One that is dead or was delivered: at once, with the same id and payload, and all its attempts. 409 while it is pending. Scope admin.", {{"id", "path", ""}}},
      {"get", "/api/approvals", "approvals", "The inbox", "What runs ask of humans, newest first, without what is shown. Scope approve: those that the key, its user or its team is asked for; admin: all.",
       {{"state", "query", "pending (if absent), approved, edited, rejected, expired, withdrawn or any."}, {"assignee", "query", "user:NAME, group:NAME or key:NAME."}, {"job", "query", "Of this run."},
        {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before; a page may be short and still have one."}}},
      {"get", "/api/approvals/{id}", "approvals", "What is asked", "The value as it is shown, with its digest; who may decide, what may be edited, until when; and the decision.", {{"id", "path", ""}}},
      {"post", "/api/approvals/{id}/approve", "approvals", "Approve", "digest: of the value you saw; note. The first decision wins: 409 when another was made, when what you saw is not what is asked, when it has expired or its run has ended.", {{"id", "path", ""}}, true},
      {"post", "/api/approvals/{id}/edit", "approvals", "Approve an edited form", "digest (of what was shown), value (whole; only what the flow allows may differ), note.", {{"id", "path", ""}}, true},
      {"post", "/api/approvals/{id}/reject", "approvals", "Reject", "digest, note.", {{"id", "path", ""}}, true},
      {"post", "/api/approvals/{id}/link", "approvals", "Make an approval link", "For `user`, who must be among those asked: a path, signed, that answers this one question once; expires (24h, and never after the approval), may: decide, approve or reject. An administrator makes them for others.", {{"id", "path", ""}}, true},
      {"get", "/approve/{token}", "approvals", "The page of an approval link", "HTML. Shows what is asked and changes nothing.", {{"token", "path", "A secret: the link."}}},
      {"post", "/approve/{token}", "approvals", "Decide by an approval link", "The page's form: decision (approve or reject), digest, note.", {{"token", "path", "A secret: the link."}}},
      {"post", "/api/workers/pull", "workers", "Lease tasks", "worker (its name), queues ([default]), tasks (any), max (1), wait (0s, 60s at most), lease (30s): leased until then, unless a heartbeat comes. Scope work.", {}, true},
      {"post", "/api/workers/heartbeat", "workers", "Keep leases", "tasks: [{id, fence}], lease. Tells of each whether it is kept or lost.", {}, true},
      {"post", "/api/workers/complete", "workers", "Complete tasks", "tasks: [{id, fence, output}]. A fence that is not the present lease's is refused.", {}, true},
      {"post", "/api/workers/fail", "workers", "Fail tasks", "tasks: [{id, fence, error {message, code}, retry, delay}].", {}, true},
      {"post", "/api/workers/progress", "workers", "Tell of progress", "tasks: [{id, fence, attempt, progress}]: any JSON, for those who follow the job.", {}, true},
      {"post", "/api/workers/release", "workers", "Give tasks back", "tasks: [{id, fence, delay}]. No attempt is counted.", {}, true},
      {"get", "/api/budgets", "state", "Budgets", "Limit, spent, held and remaining of every current window; distrusted models.", {}},
      {"get", "/api/budgets/unknown", "state", "Attempts whose cost nobody told", "Charged at their ceilings until reconciled: call, attempt, provider, model, charged, when, and the budget windows. From the ledger, newest first.",
       {kFrom, kTo, {"key", "query", "A key's id."}, {"user", "query", ""}, {"team", "query", ""}, {"provider", "query", ""}, {"model", "query", ""},
        {"limit", "query", "Calls, 1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"post", "/api/budgets/reconcile", "state", "Say what such an attempt cost", "call; attempt, where the call has several of them; incurred: dollars as a string, at most nine decimals. Corrects the ledger and every window it was charged to, once; the same again changes nothing (`already`), another sum is refused with 409.", {}, true},
      {"post", "/api/budgets/trust", "state", "Trust a model's ceilings again", "After a provider reported more than the proven bound.", {{"model", "query", "provider/model"}}},
      {"get", "/api/breakers", "state", "Breakers", "State, failures and averages by provider and model.", {}},
      {"post", "/api/breakers/reset", "state", "Close a breaker by hand", "", {{"provider", "query", ""}, {"model", "query", "Empty: all of the provider's."}}},
      {"get", "/api/providers", "state", "Providers and the health of their credentials", "Never their secrets.", {}},
      {"get", "/metrics", "state", "Prometheus metrics", "Prometheus text or OpenMetrics. From this machine, or with a key of scope read.", {}},
      {"get", "/healthz", "state", "Is the process alive", "", {}},
      {"get", "/readyz", "state", "Shall it get traffic", "503 while draining or when the journal cannot be written.", {}},
  };
  return all;
}

// `/a/{x}:b` is any text between `/a/` and `:b`.
bool matches(std::string_view pattern, std::string_view path) {
  const auto open = pattern.find('{');
  if (open == std::string_view::npos) return path == pattern;
  const auto front = pattern.substr(0, open), back = pattern.substr(pattern.find('}') + 1);
  return path.size() > front.size() + back.size() && path.starts_with(front) && path.ends_with(back);
}

json::object operation_json(const Operation& op) {
  json::array parameters;
  for (const auto& p : op.parameters)
    parameters.push_back(json::object{{"name", p.name}, {"in", p.in}, {"required", p.in == "path"}, {"description", p.description}, {"schema", {{"type", "string"}}}});
  json::object o{{"tags", json::array{op.tag}}, {"summary", op.summary}, {"description", op.description}, {"parameters", std::move(parameters)}};
  if (op.body) o["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
  o["responses"] = {{"200", {{"description", "Done."}}},
                    {"4XX", {{"description", "The request is at fault; native routes answer RFC 9457 problem details that name the field."}}},
                    {"5XX", {{"description", "A provider or this node is at fault."}}}};
  return o;
}

}  // namespace

std::string methods_of(std::string_view path) {
  std::string methods;
  for (const auto& op : operations())
    if (matches(op.path, path)) {
      if (!methods.empty()) methods += ", ";
      for (const char c : op.method) methods += static_cast<char>(c - 'a' + 'A');
    }
  return methods;
}

std::string openapi_document(std::string_view version) {
  json::object paths;
  for (const auto& op : operations()) {
    auto& at = paths[op.path];
    if (!at.is_object()) at = json::object{};
    at.as_object()[op.method] = operation_json(op);
  }
  const json::object document{
      {"openapi", "3.1.0"},
      {"info", {{"title", "Ballast"}, {"version", version}, {"license", {{"name", "Apache-2.0"}}},
                {"description", "The production runtime for AI systems: a model gateway that survives its providers."}}},
      {"security", json::array{json::object{{"bearer", json::array{}}}}},
      {"components", {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"paths", std::move(paths)}};
  return to_json(document);
}

}  // namespace ballast::server
