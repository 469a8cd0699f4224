#include "server/job_json.hpp"

#include <algorithm>

#include "base/config_node.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "work/batch.hpp"
#include "work/job_trace.hpp"
#include "work/model_call.hpp"

namespace ballast::server {

namespace {

constexpr std::uint32_t kMostAttempts = 1'000;

Result<void> read_work(const JsonRef& body, work::Submission& s) {
  int kinds = 0;
  for (const std::string_view name : {"task", "call", "flow"}) kinds += body.find(name).has_value();
  if (kinds != 1) return body.error("names exactly one of task, call and flow");
  if (const auto call = body.find("call")) {
    s.spec.kind = work::JobKind::call;
    if (!call->is_object()) return call->error("must be an object with body, and operation if it is no chat completion");
    if (auto known = only_members(*call, {"operation", "body"}); !known) return known;
    const auto operation = call->maybe<std::string>("operation");
    if (!operation) return fail(operation.error());
    s.spec.name = operation->value_or("chat.completions");
    if (!work::call_shape(s.spec.name)) return call->error("operation is one of " + work::call_names());
    const auto request = call->at("body");
    if (!request) return fail(request.error());
    if (!request->is_object()) return request->error("must be an object: the request as its API has it");
    s.spec.model = work::model_of(request->value());
    s.input = to_json(request->value());
    return {};
  }
  const bool task = body.find("task").has_value();
  s.spec.kind = task ? work::JobKind::task : work::JobKind::flow;
  auto name = body.get<std::string>(task ? "task" : "flow");
  if (!name) return fail(std::move(name.error()));
  s.spec.name = std::move(*name);
  const auto payload = body.find(task ? "payload" : "input");
  s.input = payload ? to_json(payload->value()) : "null";
  return {};
}

// A URL, or {url, secret}: which of the configured secrets signs.
Result<void> read_webhook(const JsonRef& body, work::Submission& s) {
  const auto webhook = body.find("webhook");
  if (!webhook) return {};
  if (webhook->is_object())
    if (auto known = only_members(*webhook, {"url", "secret"}); !known) return known;
  auto url = webhook->is_object() ? webhook->get<std::string>("url") : webhook->as<std::string>();
  if (!url) return fail(std::move(url.error()));
  s.spec.webhook = std::move(*url);
  if (!webhook->is_object()) return {};
  auto secret = webhook->maybe<std::string>("secret");
  if (!secret) return fail(std::move(secret.error()));
  s.spec.webhook_secret = secret->value_or("");
  return {};
}

// urgency: "batch" may wait: of its own queue and last in it, unless the body says otherwise.
Result<void> read_urgency(const JsonRef& body, work::Submission& s) {
  const auto urgency = body.maybe<std::string>("urgency");
  if (!urgency) return fail(urgency.error());
  if (!*urgency || **urgency == "normal") return {};
  if (**urgency != "batch") return fail(ErrorCode::caller_invalid_request, "must be normal or batch", "urgency");
  if (s.spec.kind != work::JobKind::call) return fail(ErrorCode::caller_invalid_request, "batch is for a call", "urgency");
  s.spec.may_wait = true;
  s.spec.queue = work::kBatchQueue;
  s.spec.priority = work::kBatchPriority;
  return {};
}

Result<void> read_queueing(const JsonRef& body, work::Submission& s) {
  auto& spec = s.spec;
  for (const auto& [name, into] : {std::pair("queue", &spec.queue), {"tenant", &spec.tenant}, {"user", &spec.user}, {"feature", &spec.feature}}) {
    auto text = body.maybe<std::string>(name);
    if (!text) return fail(std::move(text.error()));
    if (*text) *into = std::move(**text);
  }
  const auto priority = body.maybe_int("priority", 0, 9);
  if (!priority) return fail(priority.error());
  if (*priority) spec.priority = static_cast<std::uint8_t>(**priority);
  const auto attempts = body.maybe_int("attempts", 1, kMostAttempts);
  if (!attempts) return fail(attempts.error());
  if (*attempts) spec.max_attempts = static_cast<std::uint32_t>(**attempts);
  for (const auto& [name, into] : {std::pair("delay", &s.delay), {"timeout", &spec.timeout}, {"retention", &spec.retention}}) {
    const auto d = maybe_duration(body, name);
    if (!d) return fail(d.error());
    if (*d) *into = **d;
  }
  for (const auto& [name, into] : {std::pair("at", &s.at), {"deadline", &spec.deadline}}) {
    const auto text = body.maybe<std::string>(name);
    if (!text) return fail(text.error());
    if (!*text) continue;
    const auto at = parse_time(**text, name);
    if (!at) return fail(at.error());
    *into = *at;
  }
  const auto tags = body.find("tags");
  for (std::size_t i = 0; tags && i < tags->size(); ++i) {
    auto tag = tags->item(i).as<std::string>();
    if (!tag) return fail(std::move(tag.error()));
    spec.tags.push_back(std::move(*tag));
  }
  return {};
}

// backoff: {first, factor, max}; concurrency: {key, limit}; unique: {key, for}.
Result<void> read_groups(const JsonRef& body, work::Submission& s) {
  if (const auto backoff = body.find("backoff")) {
    if (auto known = only_members(*backoff, {"first", "factor", "max"}); !known) return known;
    for (const auto& [name, into] : {std::pair("first", &s.spec.backoff.first), {"max", &s.spec.backoff.max}}) {
      const auto d = maybe_duration(*backoff, name);
      if (!d) return fail(d.error());
      if (*d) *into = **d;
    }
    const auto factor = backoff->maybe<double>("factor");
    if (!factor) return fail(factor.error());
    if (*factor && !(**factor >= 1 && **factor <= 100)) return backoff->error("factor must be from 1 to 100");
    s.spec.backoff.factor = factor->value_or(s.spec.backoff.factor);
  }
  if (const auto concurrency = body.find("concurrency")) {
    if (auto known = only_members(*concurrency, {"key", "limit"}); !known) return known;
    auto key = concurrency->get<std::string>("key");
    if (!key) return fail(std::move(key.error()));
    const auto limit = concurrency->maybe_int("limit", 1, 1'000'000);
    if (!limit) return fail(limit.error());
    s.spec.concurrency_key = std::move(*key);
    s.spec.concurrency = static_cast<std::uint32_t>(limit->value_or(1));
  }
  if (const auto unique = body.find("unique")) {
    if (auto known = only_members(*unique, {"key", "for"}); !known) return known;
    auto key = unique->get<std::string>("key");
    if (!key) return fail(std::move(key.error()));
    const auto span = maybe_duration(*unique, "for");
    if (!span) return fail(span.error());
    s.unique_key = std::move(*key);
    s.unique_for = span->value_or(Duration{});
  }
  return {};
}

}  // namespace

Result<void> only_members(const JsonRef& body, std::initializer_list<std::string_view> known) {
  if (!body.is_object()) return body.error("must be an object");
  for (const auto& [name, value] : body.value().get_object()) {
    if (std::ranges::find(known, std::string_view(name)) != known.end()) continue;
    const std::string_view near = nearest_name(name, std::span(known.begin(), known.size()));
    return body.child(name, value).error(near.empty() ? fmt::format("is not known; there are {}", fmt::join(known, ", ")) : fmt::format("is not known; did you mean {}?", near));
  }
  return {};
}

Result<std::optional<Duration>> maybe_duration(const JsonRef& body, std::string_view name) {
  const auto at = body.find(name);
  if (!at) return std::optional<Duration>{};
  if (at->is_number()) {
    const auto seconds = at->as<double>();
    if (!seconds) return fail(seconds.error());
    if (!(*seconds >= 0 && *seconds <= 10.0 * 365 * 86'400)) return at->error("must be from 0 seconds to ten years");
    return std::optional<Duration>(Duration(static_cast<std::int64_t>(*seconds * 1e9)));
  }
  const auto text = at->as<std::string_view>();
  if (!text) return at->error("must be a duration (\"30s\", \"10m\") or a number of seconds");
  const auto d = parse_duration(*text, at->path());
  if (!d) return fail(d.error());
  return std::optional<Duration>(*d);
}

Result<work::Submission> submission_from(const JsonRef& body, const gateway::Principal& who) {
  if (auto known = only_members(body, {"task", "call", "flow", "payload", "input", "queue", "tenant", "user", "feature", "webhook", "priority", "attempts", "delay", "timeout",
                                       "retention", "at", "deadline", "tags", "backoff", "concurrency", "unique", "idempotency_key", "urgency"});
      !known)
    return fail(std::move(known.error()));
  work::Submission s;
  s.spec.key_id = who.key_id();
  s.spec.tenant = who.key_id();
  s.spec.user = who.user;
  s.spec.feature = who.feature;
  for (const auto step : {read_work, read_urgency, read_queueing, read_groups, read_webhook})
    if (auto read = step(body, s); !read) return fail(std::move(read.error()));
  if (!who.key->user.empty()) s.spec.user = who.key->user;                   // what the key says wins, as on the call road
  if (!who.key->feature.empty()) s.spec.feature = who.key->feature;
  auto key = body.maybe<std::string>("idempotency_key");
  if (!key) return fail(std::move(key.error()));
  s.idempotency_key = key->value_or("");
  return s;
}

json::value payload_json(std::string_view bytes) {
  if (bytes.empty()) return nullptr;
  if (auto document = parse_json(bytes, {.max_bytes = bytes.size() + 1, .max_depth = 512})) return std::move(*document);
  if (is_utf8(bytes)) return json::value(bytes);
  return json::object{{"base64", to_base64(bytes)}};
}

json::object refusal_json(const Error& error) {
  json::object o{{"code", to_string(error.code)}, {"message", error.message}};
  if (!error.field.empty()) o["field"] = error.field;
  return o;
}

json::object job_json(const work::Job& job, bool running, Detail detail) {
  const auto& s = job.spec;
  json::object o{{"id", to_string(job.id)}, {"kind", to_string(s.kind)}, {s.kind == work::JobKind::task ? "task" : s.kind == work::JobKind::flow ? "flow" : "operation", s.name},
                 {"state", running ? "running" : to_string(job.state)}, {"queue", s.queue}, {"tenant", s.tenant}, {"priority", s.priority},
                 {"attempt", job.attempt + (running || job.state == work::JobState::done ? 1 : 0)}, {"attempts", s.max_attempts}, {"created", to_rfc3339(job.created)}};
  const auto text = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) o[name] = value;
  };
  const auto time = [&](std::string_view name, WallTime at) {
    if (at != WallTime{}) o[name] = to_rfc3339(at);
  };
  if (!terminal(job.state) && !running) time("due", job.due);
  time("finished", job.finished);
  if (s.deadline) time("deadline", *s.deadline);
  text("version", s.version);
  text("model", s.model);
  text("user", s.user);
  text("feature", s.feature);
  if (s.webhook_secret.empty()) text("webhook", s.webhook);
  else o["webhook"] = json::object{{"url", s.webhook}, {"secret", s.webhook_secret}};
  if (!s.tags.empty()) o["tags"] = json::value_from(s.tags);
  if (!s.concurrency_key.empty()) o["concurrency"] = json::object{{"key", s.concurrency_key}, {"limit", s.concurrency}};
  if (s.origin != work::Origin::submitted) o["origin"] = to_string(s.origin);
  if (s.may_wait) o["urgency"] = "batch";
  if (s.parent && s.origin == work::Origin::batch) o["batch"] = work::batch_id(s.parent);
  else if (s.parent) o["parent"] = to_string(s.parent);
  if (s.generation > 1) o["generation"] = s.generation;
  text("trace_id", work::trace_id_of(s));
  if (!job.error.empty()) o["error"] = work::error_json(job.error);
  if (detail == Detail::brief) return o;
  o[s.kind == work::JobKind::task ? "payload" : "input"] = payload_json(job.input);
  if (job.state == work::JobState::done) o["output"] = payload_json(job.output);
  return o;
}

json::object lease_json(const work::Lease& lease) {
  const auto& job = *lease.job;
  json::object o{{"id", to_string(job.id)}, {"fence", std::to_string(lease.fence)}, {"task", job.spec.name}, {"queue", job.spec.queue}, {"attempt", lease.attempt},
                 {"attempts", job.spec.max_attempts}, {"payload", payload_json(job.input)}};
  if (job.spec.deadline) o["deadline"] = to_rfc3339(*job.spec.deadline);
  if (!job.spec.user.empty()) o["user"] = job.spec.user;
  if (auto around = work::traceparent_of(job); !around.empty()) o["traceparent"] = std::move(around);
  if (!job.spec.tracestate.empty()) o["tracestate"] = job.spec.tracestate;
  if (!job.spec.tags.empty()) o["tags"] = json::value_from(job.spec.tags);
  return o;
}

namespace {

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

void add_counts(json::object& o, const work::QueueView& v) {
  for (const auto& [name, count] : {std::pair("ready", v.ready), {"delayed", v.delayed}, {"blocked", v.blocked}, {"running", v.running}, {"waiting", v.waiting}}) o[name] = count;
  o["oldest_ready_s"] = v.oldest ? seconds(*v.oldest) : 0.0;
}

}  // namespace

json::object queue_json(std::string_view name, const work::QueueRules& rules, const work::QueueView& all, const work::QueueView& here) {
  json::object o{{"queue", name}, {"paused", rules.paused}, {"concurrency", rules.concurrency}, {"per_tenant", rules.per_tenant}}, mine;
  add_counts(o, all);
  add_counts(mine, here);
  o["here"] = std::move(mine);
  return o;
}

void add_flow(json::object& queue, const work::QueueView& all, const work::QueueRules& rules, Duration drain, unsigned nodes) {
  const work::QueueRates& rates = all.rates;
  queue["arrivals_per_s"] = json::object{{"1m", rates.arrivals_1m}, {"5m", rates.arrivals_5m}};
  queue["ends_per_s"] = json::object{{"1m", rates.ends_1m}, {"5m", rates.ends_5m}};
  queue["per_job_s"] = rates.per_job ? json::value(seconds(*rates.per_job)) : json::value(nullptr);
  queue["drain_s"] = seconds(drain);
  queue["wanted"] = work::workers_wanted(all, rules, drain, nodes);
}

}  // namespace ballast::server
