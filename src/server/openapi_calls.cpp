// The operations of the call road: calls, what is on record of them, keys, state.
#include "server/openapi_operations.hpp"

namespace ballast::server {

namespace {

constexpr Parameter kUser{"x-ballast-user", "header", "Whom the call is for: limits, budgets and usage are kept by user."};
constexpr Parameter kFeature{"x-ballast-feature", "header", "The feature that calls."};
constexpr Parameter kComplexity{"x-ballast-complexity", "header", "simple, medium or hard: for routes that choose by it."};
constexpr Parameter kRecord{"x-ballast-record", "header", "off: no message of this call is recorded, whatever its route says."};
constexpr Parameter kSteps{"x-ballast-steps", "header", "The name under which GET /api/steps follows this call; one that nobody follows says nothing."};
constexpr Parameter kIdempotency{"idempotency-key", "header", "The same key and body give the same answer, billed once."};
constexpr Parameter kCache{"cache-control", "header", "Of the exact cache, for this call (RFC 9111): no-cache, no-store, max-age=N, only-if-cached."};
constexpr Parameter kFrom{"from", "query", "Calls from this time on (RFC 3339, UTC)."};
constexpr Parameter kTo{"to", "query", "Calls before this time."};

}  // namespace

const Operations& call_operations() {
  static const Operations all = {
      {"post", "/v1/chat/completions", "models", "OpenAI chat completions", "OpenAI's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kRecord, kSteps, kCache, kIdempotency}, true},
      {"post", "/v1/responses", "models", "OpenAI responses", "OpenAI's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kRecord, kSteps, kCache, kIdempotency}, true},
      {"post", "/v1/messages", "models", "Anthropic messages", "Anthropic's request and reply, streamed or whole.", {kUser, kFeature, kComplexity, kRecord, kSteps, kCache, kIdempotency}, true},
      {"post", "/v1/messages/count_tokens", "models", "Estimate a prompt's tokens", "An estimate: the reply header x-ballast-estimate says by which encoding, or bytes/4.", {}, true},
      {"post", "/v1beta/models/{model}:generateContent", "models", "Gemini generate", "Gemini's request and reply.", {{"model", "path", "A route, an alias or provider/model."}, kUser, kFeature, kComplexity, kRecord, kSteps, kCache, kIdempotency}, true},
      {"post", "/v1beta/models/{model}:streamGenerateContent", "models", "Gemini generate, streamed", "Server-sent events.", {{"model", "path", "A route, an alias or provider/model."}}, true},
      {"post", "/v1beta/models/{model}:countTokens", "models", "Estimate a prompt's tokens, as Gemini asks", "", {{"model", "path", "A route, an alias or provider/model."}}, true},
      {"post", "/v1/embeddings", "models", "Embeddings", "Passed through with accounting.", {kUser, kFeature}, true},
      {"post", "/v1/images/generations", "models", "Images", "Passed through with accounting.", {kUser, kFeature}, true},
      {"post", "/v1/images/edits", "models", "Image edits", "Passed through with accounting; JSON or multipart.", {kUser, kFeature}, true},
      {"get", "/v1/models", "models", "What a request's model may name", "Routes, aliases and known models that the key allows.", {}},
      {"get", "/v1/models/{model}", "models", "One of them", "", {{"model", "path", "A route, an alias or provider/model."}}},
      {"post", "/v1/files", "batches", "Upload a file", "multipart/form-data: file, purpose (batch), expires_after[anchor] (created_at) and expires_after[seconds]. A key sees its own files.", {}, true},
      {"get", "/v1/files", "batches", "Files, newest first", "", {{"purpose", "query", "batch or batch_output."}, {"order", "query", "asc or desc."}, {"limit", "query", "1 to 10000."}, {"after", "query", "The last id of the page before."}}},
      {"get", "/v1/files/{id}", "batches", "A file", "", {{"id", "path", ""}}},
      {"get", "/v1/files/{id}/content", "batches", "Its bytes", "", {{"id", "path", ""}}},
      {"delete", "/v1/files/{id}", "batches", "Delete a file", "", {{"id", "path", ""}}},
      {"post", "/v1/batches", "batches", "Make a batch", "input_file_id, endpoint (/v1/chat/completions, /v1/responses, /v1/embeddings or /v1/messages), completion_window (24h, or any from 1s to 30d), metadata. Each line of the file becomes a job; the answers are a file. A key sees its own batches.", {}, true},
      {"get", "/v1/batches", "batches", "Batches, newest first", "", {{"limit", "query", "1 to 100 (20)."}, {"after", "query", "The last id of the page before."}}},
      {"get", "/v1/batches/{id}", "batches", "A batch", "Its status, its request counts, the errors of a file that could not be read, and its files once it is over.", {{"id", "path", ""}}},
      {"post", "/v1/batches/{id}/cancel", "batches", "Cancel a batch", "What is answered already is in its output.", {{"id", "path", ""}}},
      {"get", "/api/usage", "records", "Usage", "Tokens and money, exact to the nano-dollar. Keys without scope read see their own.",
       {kFrom, kTo, {"by", "query", "Commas between: key, user, feature, team, model, provider, route, operation, hour, day, status."},
        {"key", "query", "A key's id."}, {"user", "query", ""}, {"feature", "query", ""}, {"team", "query", ""}, {"model", "query", ""},
        {"provider", "query", ""}, {"route", "query", ""}, {"operation", "query", ""}, {"limit", "query", "Rows, at most 10000."}, {"offset", "query", ""}}},
      {"get", "/api/calls", "records", "Calls, newest first", "With their attempts and decisions; view=row: short rows for a list, of keys of scope read too, without what the journal still holds. A page that ends because it searched enough has `next` and says in `searched_to` how far back it looked.",
       {kFrom, kTo, {"key", "query", "A key's id."}, {"user", "query", ""}, {"feature", "query", ""}, {"team", "query", ""}, {"model", "query", ""}, {"provider", "query", ""},
        {"route", "query", ""}, {"operation", "query", ""}, {"status", "query", "ok, failed, cancelled or unknown."}, {"error", "query", "Its name."},
        {"cache", "query", "none, miss, hit, semantic_hit, stale, bypass, joined or replay."}, {"min_cost", "query", "Dollars that the call incurred, at least."}, {"max_cost", "query", "At most."},
        {"min_latency", "query", "Milliseconds, at least."}, {"max_latency", "query", "At most."}, {"view", "query", "row, or nothing."},
        {"limit", "query", "At most 1000."}, {"before", "query", "The `next` of the page before."}}},
      {"get", "/api/series", "records", "What calls add up to over time", "Exact but for percentiles (`relative_error`) and for calls of the last moment. Filters are key, team, user, feature, route, operation, provider, model, status, error and cache; provider and model are those that answered. With steps of whole hours, from and to are widened to whole hours.",
       {{"from", "query", "From this time on (RFC 3339, UTC); absent: a day before `to`."}, {"to", "query", "Before this time; absent: now."}, {"step", "query", "Whole minutes, such as 5m or 1h; absent: 120 buckets at most."},
        {"by", "query", "One of the filters' names: a group for each of its values."}, {"groups", "query", "The largest, 1 to 1000 (10); the others are one group with `rest`."},
        {"rank", "query", "By which they are the largest: calls (default) or spend. Users are ranked by calls."}, {"errors", "query", "false leaves `errors` empty, which spares much where a user is filtered for; absent: true."}, {"key", "query", "A key's id."},
        {"team", "query", ""}, {"user", "query", ""}, {"feature", "query", ""}, {"route", "query", ""}, {"operation", "query", ""}, {"provider", "query", ""}, {"model", "query", ""},
        {"status", "query", ""}, {"error", "query", ""}, {"cache", "query", ""}}},
      {"get", "/api/calls/{id}/messages", "records", "What a call was asked and answered", "Where its route records messages, redacted as it says; 404 where none are kept, and why. Who may see the call may see them; each look is in the audit trail.", {{"id", "path", "x-ballast-call-id of the reply."}}},
      {"get", "/api/calls/export", "records", "Calls as lines, newest first", "Streamed: JSON lines as /api/calls has them, or CSV (RFC 4180; what a spreadsheet would take for a formula has an apostrophe before it). A connection that is cut is an export that failed. Filters as /api/calls.", {kFrom, kTo, {"format", "query", "jsonl (default) or csv."}}},
      {"get", "/api/export/user", "records", "Everything that is kept of a user", "Streamed: lines of {kind, id, at, data}; kind is one of key, call, messages, feedback, job, stage, effect, approval, webhook, event. Scope admin; told in the audit trail.", {{"user", "query", "As jobs and calls name him."}, {"format", "query", "jsonl (default) or csv."}}},
      {"get", "/api/decisions/{id}", "records", "Why a call went the way it went", "The call, its attempts, its cost and each step's decision.", {{"id", "path", "x-ballast-call-id of the reply."}}},
      {"get", "/api/overview", "records", "How all of it is", "Calls of the range with their chart, errors and models; what is in flight; budgets, breakers, queues, dead letters, approvals. Scope read.",
       {{"from", "query", "RFC 3339, UTC; an hour ago if absent."}, {"to", "query", "Now if absent."}, {"compare", "query", "before: with the range of the same length before."}}},
      {"get", "/api/money", "records", "What it costs", "By day, and by model, key, user, feature, team, route and flow (the 50 dearest of each, of users the 50 with most calls; of flows the calls whose feature is the flow's name); the range before; what the cache and routing saved; where the budgets come to. Scope read.",
       {{"from", "query", "RFC 3339, UTC; 30 days ago if absent."}, {"to", "query", "Now if absent."}, {"by", "query", "Some of model, key, user, feature, team, route and flow, with commas between; all if absent."}}},
      {"get", "/api/live", "state", "What happens now", "Server-sent events: hello; figures each second; call (20 a second at most, then skipped {calls}); alert; state {what} when breakers, queues, approvals or dead letters changed. 64 followers at most. Scope read.", {}},
      {"get", "/api/steps", "records", "A call's decision as it happens", "For whoever is about to make it. Server-sent events: hello; then, of the call of the same key that says the name in x-ballast-steps, call {call}, step for each step as the decision record will hold it, and in between what is kept nowhere (waiting, asking, answering); end {call} when it is settled, with null where none came within 30 s. One call a name, 8 names a key. On the node that serves the call; another hears nothing. Scope usage.",
       {{"name", "query", "16 to 64 letters, digits, - or _, made up anew for each call and told nobody."}}},
      {"get", "/api/audit", "records", "The audit trail", "A chain's entries, newest first: that of administrative acts, or a run's. Scope read.",
       {{"chain", "query", "admin:0 (if absent), or a job's id."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"get", "/api/config", "state", "The configuration in force", "Without secrets. Scope read.", {}},
      {"post", "/api/session", "session", "Sign in", "For the dashboard: the key goes in once, a cookie (HttpOnly, SameSite=Strict) comes back. It counts for /api/ and /v1/ alone; all but GET and HEAD then want the header x-ballast-csrf.", {}, true},
      {"get", "/api/session", "session", "Who is signed in", "By the cookie, or by a header's key: then without csrf.", {}},
      {"delete", "/api/session", "session", "Sign out", "The session ends here too, not in the browser alone.", {}},
      {"post", "/api/feedback", "records", "Judge an answer", "call or job (one that is over); verdict: good or bad; score: 0 to 1; comment; user: who judges, else whose call it was. One verdict for each of both: a later one replaces it. A key judges its own, scope admin all.", {}, true},
      {"get", "/api/feedback", "records", "How content people are, and what a successful answer costs", "By group: verdicts, the share of good ones with its 95 % interval (Wilson), what the judged calls cost, and that divided by the successful ones (more good than bad). Scope read.",
       {kFrom, kTo, {"by", "query", "model, provider, route, feature, key, team, user or day."}, {"limit", "query", "Verdicts under `recent`, 0 to 1000 (20)."}}},
      {"get", "/api/readiness", "records", "The production checklist, judged now", "Each line passed, failed, unproven or not_applicable, with what speaks for that and what to do. From the configuration and from what was seen in the last 30 days.", {}},
      {"post", "/api/readiness/evidence", "records", "Tell what no figure shows", "line: load_test, evals, …; at: a day or a time (now); note. Told in the audit trail; counts for 180 days. Scope admin.", {}, true},
      {"get", "/api/keys", "keys", "List keys", "Never their secrets.", {{"revoked", "query", "true: revoked ones too."}}},
      {"post", "/api/keys", "keys", "Make a key", "name, scopes (call, usage, read, work, approve, admin), models, team, user, feature, expires. The answer holds the secret, once.", {}, true},
      {"get", "/api/keys/{id}", "keys", "Show a key", "Never its secret.", {{"id", "path", ""}}},
      {"patch", "/api/keys/{id}", "keys", "Change a key", "Of name, scopes, models, team, user, feature and expires (null: never), those that the body names. In effect from the next call on.", {{"id", "path", ""}}, true},
      {"post", "/api/keys/{id}/rotate", "keys", "Give a key another secret", "The answer holds it, once. `overlap` in the body: seconds that the old one goes on, 2592000 at most; 0 if absent.", {{"id", "path", ""}}},
      {"delete", "/api/keys/{id}", "keys", "Revoke a key", "In effect from the next call on.", {{"id", "path", ""}}},
  };
  return all;
}

const Operations& state_operations() {
  static const Operations all = {
      {"get", "/api/budgets", "state", "Budgets", "Limit, spent, held and remaining of every current window; distrusted models.", {}},
      {"get", "/api/budgets/unknown", "state", "Attempts whose cost nobody told", "Charged at their ceilings until reconciled: call, attempt, provider, model, charged, when, and the budget windows. From the ledger, newest first.",
       {kFrom, kTo, {"key", "query", "A key's id."}, {"user", "query", ""}, {"team", "query", ""}, {"provider", "query", ""}, {"model", "query", ""},
        {"limit", "query", "Calls, 1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"post", "/api/budgets/reconcile", "state", "Say what such an attempt cost", "call; attempt, where the call has several of them; incurred: dollars as a string, at most nine decimals. Corrects the ledger and every window it was charged to, once; the same again changes nothing (`already`), another sum is refused with 409.", {}, true},
      {"post", "/api/budgets/trust", "state", "Trust a model's ceilings again", "After a provider reported more than the proven bound.", {{"model", "query", "provider/model"}}},
      {"get", "/api/alerts", "state", "Alerts", "Newest first, those that fire and those that are over; the rules; the silences in force. What a title or a label says may come from callers: it is text.",
       {{"state", "query", "pending, firing, silenced or resolved; absent: all."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"post", "/api/alerts/silences", "state", "Tell nobody for a while", "rule, labels ({name: value}, a value may end in *), for (\"2h\", at most 90 days), note. Without rule and labels: everything.", {}, true},
      {"delete", "/api/alerts/silences/{id}", "state", "End a silence", "", {{"id", "path", "silence_…"}}},
      {"post", "/api/alerts/test", "state", "Send a receiver a notice by way of trial", "receiver: its name under alerts.receivers.", {}, true},
      {"get", "/api/breakers", "state", "Breakers", "State, failures and averages by provider and model.", {}},
      {"post", "/api/breakers/reset", "state", "Close a breaker by hand", "", {{"provider", "query", ""}, {"model", "query", "Empty: all of the provider's."}}},
      {"get", "/api/providers", "state", "Providers and the health of their credentials", "Never their secrets.", {}},
      {"get", "/api/nodes", "state", "Nodes", "Those of this installation, as the node that answers sees them: by slot, with what each says of itself and the duties it has. Those that left are shown for a day.", {}},
      {"get", "/metrics", "state", "Prometheus metrics", "Prometheus text or OpenMetrics. From this machine, or with a key of scope read.", {}},
      {"get", "/healthz", "state", "Is the process alive", "", {}},
      {"get", "/readyz", "state", "Shall it get traffic", "503 while draining, when the journal cannot be written, or when other nodes took this one for dead (checks.member). checks.work: whether it works on jobs. checks.knowledge: whether it has heard from the other nodes within cluster.stale_after; stale_since: of which moment it knows, if not.", {}},
  };
  return all;
}

}  // namespace ballast::server
