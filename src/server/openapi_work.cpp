// The operations of the durable road: jobs, flows, queues, webhooks, approvals, workers.
#include "server/openapi_operations.hpp"

namespace ballast::server {

namespace {

constexpr Parameter kIdempotency{"idempotency-key", "header", "The same key and body give the same answer, billed once."};
constexpr Parameter kTrace{"traceparent", "header", "The trace that the spans of what is submitted belong to; with a tracestate beside it, which is passed on."};

}  // namespace

const Operations& job_operations() {
  static const Operations all = {
      {"post", "/api/jobs", "jobs", "Submit a job", "Exactly one of task (with payload), call {operation, body} and flow (with input); urgency (batch: a call that may wait), queue, priority 0-9, attempts, delay, at, deadline, timeout, backoff {first, factor, max}, concurrency {key, limit}, unique {key, for}, tags, webhook (a URL, or {url, secret}), tenant, user, feature, retention. Answers 202 at once with the id; 200 with the job that has the same key already.",
       {kIdempotency, kTrace, {"wait", "query", "Answer when the job has ended, or after so long: 30s, 60s at most."}}, true},
      {"post", "/api/jobs/bulk", "jobs", "Submit many jobs", "jobs: a list of 1 to 10000. Each is accepted or refused alone, in one transaction.", {kTrace}, true},
      {"get", "/api/jobs", "jobs", "Jobs, newest first", "Keys without scope read see their own.",
       {{"flow", "query", ""}, {"task", "query", ""}, {"operation", "query", "Of model calls."}, {"queue", "query", ""}, {"tenant", "query", ""}, {"tag", "query", ""},
        {"state", "query", "queued, running, waiting, done, dead or cancelled."}, {"text", "query", "In input, output or error."}, {"from", "query", "Submitted from this time on."},
        {"to", "query", "Submitted before."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before; a page may be short and still have one."}}},
      {"get", "/api/jobs/{id}", "jobs", "A job", "With its input, and its output once done.", {{"id", "path", ""}, {"wait", "query", "Answer when it has ended, or after so long, 60s at most."}}},
      {"get", "/api/jobs/{id}/attempts", "jobs", "The failed attempts of a job", "", {{"id", "path", ""}}},
      {"post", "/api/jobs/{id}/cancel", "jobs", "Cancel a job", "Whoever runs it: exactly one of this and its completion wins. 409 when it has ended.", {{"id", "path", ""}}},
      {"get", "/api/jobs/{id}/events", "jobs", "Follow a job, live", "Server-sent events: state (the job; first, at every change and last), progress, token ({text, choice} of a call with `stream: true`, gathered for about 150 ms; `more`: the rest is in the output alone), and reset when a new attempt begins what is told anew. Ends when the job has.", {{"id", "path", ""}, {"last-event-id", "header", "The last id seen: goes on after it."}}},
      {"get", "/api/jobs/{id}/stages", "jobs", "A run, stage by stage", "Its journal: what each stage gave, when, at which attempt, what it cost, what it derives from.", {{"id", "path", ""}}},
      {"post", "/api/jobs/{id}/fork", "jobs", "Fork a run", "A new run with the results of this one that still answer the same question. stage: it and what depends on it is performed anew; input: another; version: current, or a digest. What people decided is asked again.", {{"id", "path", ""}}, true},
      {"post", "/api/jobs/{id}/move", "jobs", "Move a live run to another version of its flow", "version (current if absent; its number, or its digest) must have been in force here and is proved again. What the run has done stays done; 409 naming each stage that stands in the way: one with a result, an effect or a child that the version does not ask for in the same way, or one that waits and differs (call_off: what it asked of people and events is withdrawn), or that lies between an approval that was given and what it allowed. 409 too while the run is in hand: ask again when it waits. dry_run: only says what would become of it.", {{"id", "path", ""}}, true},
      {"get", "/api/jobs/{id}/compare/{other}", "jobs", "Compare two runs", "Stage by stage: did both ask the same question, is the result the same; state, cost and time of each.", {{"id", "path", ""}, {"other", "path", ""}}},
      {"post", "/api/jobs/{id}/rollback", "jobs", "Roll a run back", "A job that performs the compensations of what the ended run did, the last done first, and whose output says what was undone and what could not be. Asked twice it is the same one.", {{"id", "path", ""}}},
      {"post", "/api/events", "jobs", "Send an event", "To the runs that wait for it: event (its name), key (any JSON; runs that name one wait for that), payload, keep (24h: for runs that begin to wait later; 30d at most). To the runs of this key; an administrator's to all. `runs`: how many waited.", {}, true},
      {"get", "/api/jobs/{id}/effects", "jobs", "What a run did outside", "Each try of each call that does more than read, in order: stage, attempt, kind, state (intended, dispatched, confirmed, failed, unknown, compensated, compensation_failed), target, when, outcome; `unknown`: how many a person has to look into.",
       {{"id", "path", ""}, {"state", "query", "Those in this state."}}},
      {"post", "/api/jobs/{id}/effects/resolve", "jobs", "Say what became of an unknown effect", "stage, state (confirmed: it has happened; failed: it has not), note; attempt, kind and input where several of the stage are unknown. Audited; the first word counts. 409 when none is unknown. Scope admin.", {{"id", "path", ""}}, true},
      {"get", "/api/flows", "jobs", "Flows", "Those in force, with their versions.", {}},
      {"get", "/api/flows/{name}", "jobs", "A flow", "Its stages, what each comes after, its input's schema, its text.", {{"name", "path", ""}}},
      {"post", "/api/jobs/{id}/redrive", "jobs", "Drive a dead or cancelled job again", "As a new job that points to it; asked twice it is the same one. The body may change input (payload), attempts, queue, delay, deadline and, of a run, version (current, or a digest). A run goes on with the results it had.", {{"id", "path", ""}}, true},
      {"get", "/api/dead", "jobs", "Dead letters by cause", "Queue, name and error code; how many, the newest and the oldest, an example. Of the newest 10000.", {}},
      {"post", "/api/dead/redrive", "jobs", "Drive many dead letters again", "Those of queue, name, code and text (absent: all), `limit` of them (1000; 10000 at most), oldest first, at `rate` (\"10/s\"; absent: at once). Each is driven again once.", {}, true},
      {"get", "/api/queues", "jobs", "Queues", "Over all nodes, what is ready, delayed, held back, running and waiting (beneath `here`: on the node that answers); how old the oldest ready job is; limits; jobs that arrive and end per second over one and five minutes; the mean time in leases of a job; `wanted`: the leases at once that would drain the queue in `drain`, for an autoscaler.",
       {{"drain", "query", "1s to 24h (5m)."}}},
      {"put", "/api/queues/{name}", "jobs", "Pause, resume or limit a queue", "paused, concurrency, per_tenant (0: no limit), those that the body names. Lasts over restarts.", {{"name", "path", ""}}, true},
      {"get", "/api/schedules", "jobs", "Schedules", "Jobs submitted by the clock: what each makes, its next five slots, the last one and its job, or why it made none. Keys without scope read see their own.", {}},
      {"get", "/api/schedules/{name}", "jobs", "A schedule", "", {{"name", "path", ""}}},
      {"put", "/api/schedules/{name}", "jobs", "Make or replace a schedule", "cron (five fields, @daily and the like, or \"every 15m\"), timezone (UTC), job (as POST /api/jobs takes it; a flow's run begins with the version in force at its slot), enabled, overlap: skip (no job while that of an earlier slot lives) or allow, catch_up: one (a job for all slots that passed while nothing ran) or none. Its next slot is counted from now.", {{"name", "path", "Letters, digits, - _ and dots, 128 at most."}}, true},
      {"delete", "/api/schedules/{name}", "jobs", "Delete a schedule", "Its jobs stay.", {{"name", "path", ""}}},
      {"post", "/api/schedules/{name}/run", "jobs", "Run a schedule's job now", "Beside its slots, also while another job of it lives or it is disabled.", {{"name", "path", ""}}},
      {"post", "/api/erase", "jobs", "Erase a user", "user: his jobs and what came of them, kept answers, webhooks and approvals go; his calls stay in the ledger, with what they cost, under a pseudonym. dry_run: only counts. cancel: ends his live jobs and schedules first; without it they are a 409. cancel_batches: the same of batches of his keys; those that a provider has are over when it says so, until then it is a 409. with_trail: the chains of his jobs in the audit trail too (a tombstone of each stays). Scope admin.", {}, true},
      {"get", "/api/webhooks", "jobs", "Webhooks, newest first", "What was told of ended jobs, or is still owed: state (pending, delivered, dead), attempts, the last answer's status, why it failed. Scope read.",
       {{"state", "query", "pending, delivered or dead."}, {"limit", "query", "1 to 1000 (100)."}, {"before", "query", "The `next` of the page before."}}},
      {"get", "/api/webhooks/{id}", "jobs", "A webhook", "With its payload. Scope read.", {{"id", "path", "Its header webhook-id."}}},
      {"post", "/api/webhooks/{id}/redrive", "jobs", "Deliver a webhook again", "One that is dead or was delivered: at once, with the same id and payload, and all its attempts. 409 while it is pending. Scope admin.", {{"id", "path", ""}}},
  };
  return all;
}

const Operations& people_operations() {
  static const Operations all = {
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
      {"post", "/api/workers/pull", "workers", "Lease tasks", "worker (its name), queues ([default]), tasks (any), max (1), wait (0s, 60s at most), lease (30s): leased until then, unless a heartbeat comes. A task that is traced has its traceparent, and the tracestate that came with it. Scope work.", {}, true},
      {"post", "/api/workers/heartbeat", "workers", "Keep leases", "tasks: [{id, fence}], lease. Tells of each whether it is kept or lost.", {}, true},
      {"post", "/api/workers/complete", "workers", "Complete tasks", "tasks: [{id, fence, output}]. A fence that is not the present lease's is refused.", {}, true},
      {"post", "/api/workers/fail", "workers", "Fail tasks", "tasks: [{id, fence, error {message, code}, retry, delay}].", {}, true},
      {"post", "/api/workers/progress", "workers", "Tell of progress", "tasks: [{id, fence, attempt, progress}]: any JSON, for those who follow the job.", {}, true},
      {"post", "/api/workers/release", "workers", "Give tasks back", "tasks: [{id, fence, delay}]. No attempt is counted.", {}, true},
  };
  return all;
}

}  // namespace ballast::server
