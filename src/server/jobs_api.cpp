// Jobs: submitted, seen, waited for, cancelled; queues: seen, paused, limited. A key sees its own jobs; scope read all of them, scope admin acts on all.
#include <algorithm>
#include <iterator>
#include <span>

#include <fmt/format.h>

#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/submission.hpp"
#include "work/job_trace.hpp"

namespace ballast::server {

namespace {

using work::JobId;

constexpr std::size_t kMostBulk = 10'000;
constexpr std::size_t kMostListed = 1'000;
constexpr JsonLimits kBody{.max_bytes = 256u << 20, .max_depth = 256};
constexpr Duration kLongestWait = std::chrono::seconds(60);

bool may_see(const gateway::Principal& who, const work::Job& job) { return who.key->scopes.has(gateway::Scope::read) || job.spec.key_id == who.key_id(); }

Result<Duration> wait_of(const net::RequestHead& request) {
  const std::string text = query(request, "wait");
  if (text.empty()) return Duration{};
  auto wait = parse_duration(text, "wait");
  if (!wait) return wait;
  return std::min(*wait, kLongestWait);
}

// The job once it has ended or `wait` is over. Nothing: unknown, or another's.
Task<Result<std::optional<work::Job>>> look(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, JobId id, Duration wait, bool& running) {
  Departure left(door, exchange);
  auto found = co_await door.ask(exchange, [&]() -> Task<Result<std::optional<work::Job>>> {
    auto job = co_await door.jobs().wait_for(id, door.engine().home().clock().mono() + wait, left.ticket());
    running = job && *job && !work::terminal((*job)->state) && (co_await door.jobs().running({id})).front();
    co_return job;
  });
  if (found && *found && !may_see(who, **found)) co_return std::optional<work::Job>{};
  co_return found;
}

Task<void> reply_job(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, JobId id, Duration wait, int status) {
  bool running = false;
  auto job = co_await look(door, exchange, who, id, wait, running);
  if (!job) co_return co_await reply_problem(exchange, job.error());
  if (!*job) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such job, or not any more, or it is another key's", "id"});
  co_await reply_json(exchange, status, job_json(**job, running && !work::terminal((*job)->state), Detail::whole));
}

Task<void> submit(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  const auto document = parse_json(exchange.body(), kBody);
  if (!document) co_return co_await reply_problem(exchange, document.error());
  auto one = read_submission(door, JsonRef(*document), who);
  const auto wait = wait_of(exchange.request());
  if (!one) co_return co_await reply_problem(exchange, one.error());
  if (!wait) co_return co_await reply_problem(exchange, wait.error());
  if (const auto key = exchange.request().headers.get("idempotency-key"); !key.empty()) one->idempotency_key = key;
  work::join_trace(one->spec, exchange.request().headers.get("traceparent"), all_of(exchange.request().headers, "tracestate"));
  auto accepted = co_await door.ask(exchange, [&]() -> Task<std::vector<Result<work::Accepted>>> {
    std::vector<work::Submission> jobs;
    jobs.push_back(std::move(*one));
    auto results = co_await door.engine().submit(std::move(jobs));
    co_return results;
  });
  if (!accepted.front()) co_return co_await reply_problem(exchange, accepted.front().error());
  const work::Accepted& job = *accepted.front();
  if (*wait > Duration::zero() && job.ended) co_return co_await reply_json(exchange, 200, job_json(*job.ended, false, Detail::whole));
  if (*wait > Duration::zero()) co_return co_await reply_job(door, exchange, who, job.id, *wait, 200);
  co_await reply_json(exchange, job.existing ? 200 : 202, json::object{{"id", to_string(job.id)}, {"state", "queued"}, {"existing", job.existing}, {"url", "/api/jobs/" + to_string(job.id)}});
}

// Of each job in turn what became of it. There may be ten thousand: written without a tree of values.
std::string bulk_answer(std::span<const Result<work::Accepted>> results, std::size_t refused) {
  std::string text = R"({"jobs":[)";
  text.reserve(64 + 64 * results.size());
  for (const auto& r : results) {
    if (text.back() == '}') text += ',';
    if (r) text.append(R"({"id":")").append(to_string(r->id)).append(r->existing ? R"(","existing":true})" : R"(","existing":false})");
    else append_json(text, json::object{{"error", refusal_json(r.error())}});
  }
  fmt::format_to(std::back_inserter(text), R"(],"accepted":{},"refused":{}}})", results.size() - refused, refused);
  return text;
}

Task<void> submit_many(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  const auto document = parse_json(exchange.body(), kBody);
  if (!document) co_return co_await reply_problem(exchange, document.error());
  const auto list = JsonRef(*document).get<JsonRef>("jobs");
  if (!list) co_return co_await reply_problem(exchange, list.error());
  if (!list->is_array() || list->size() == 0 || list->size() > kMostBulk)
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_invalid_request, fmt::format("must be a list of 1 to {} jobs", kMostBulk), "jobs"});
  std::vector<work::Submission> jobs;
  jobs.reserve(list->size());
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto one = read_submission(door, list->item(i), who);
    if (!one && one.error().field.starts_with("webhook")) one.error().field = fmt::format("jobs[{}].{}", i, one.error().field);
    if (!one) co_return co_await reply_problem(exchange, one.error());       // a body that cannot be read is refused as a whole
    work::join_trace(one->spec, exchange.request().headers.get("traceparent"), all_of(exchange.request().headers, "tracestate"));
    jobs.push_back(std::move(*one));
  }
  const auto results = co_await door.ask(exchange, [&] { return door.engine().submit(std::move(jobs)); });
  const auto refused = static_cast<std::size_t>(std::ranges::count_if(results, [](const auto& r) { return !r; }));
  if (refused == results.size()) co_return co_await reply_problem(exchange, results.front().error());
  const std::string text = bulk_answer(results, refused);
  co_await reply_text(exchange, 202, "application/json", text);
}

Result<work::JobFilter> filter_from(const net::RequestHead& request, const gateway::Principal& who) {
  work::JobFilter f;
  f.queue = query(request, "queue");
  f.tag = query(request, "tag");
  f.text = query(request, "text");
  f.tenant = who.key->scopes.has(gateway::Scope::read) ? query(request, "tenant") : who.key_id();
  for (const auto& [name, kind] : {std::pair("flow", work::JobKind::flow), {"task", work::JobKind::task}, {"operation", work::JobKind::call}})
    if (const std::string value = query(request, name); !value.empty()) f.name = value, f.kind = kind;
  if (const std::string state = query(request, "state"); !state.empty()) {
    f.state = work::job_state_from(state == "running" ? "queued" : state);
    if (!f.state) return fail(ErrorCode::caller_invalid_request, "must be queued, running, waiting, done, dead or cancelled", "state");
  }
  if (auto ok = query_time(request, "from", f.since); !ok) return fail(std::move(ok.error()));
  if (auto ok = query_time(request, "to", f.until); !ok) return fail(std::move(ok.error()));
  auto limit = query_count(request, "limit", f.limit, 1, kMostListed);
  if (!limit) return fail(std::move(limit.error()));
  f.limit = *limit;
  if (const std::string before = query(request, "before"); !before.empty()) {
    const auto id = work::parse_job_id(before);
    if (!id) return fail(ErrorCode::caller_invalid_request, "must be a job's id: the `next` of the page before", "before");
    f.before = *id;
  }
  return f;
}

Task<void> list(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  const auto filter = filter_from(exchange.request(), who);
  if (!filter) co_return co_await reply_problem(exchange, filter.error());
  const auto page = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_jobs(tx, *filter); });
  if (!page) co_return co_await reply_problem(exchange, page.error());
  const auto running = co_await door.ask(exchange, [&]() -> Task<std::vector<bool>> {
    std::vector<JobId> live;
    for (const auto& job : page->jobs)
      if (!work::terminal(job.state)) live.push_back(job.id);
    const auto held = co_await door.jobs().running(live);
    std::vector<bool> out;
    for (std::size_t at = 0; const auto& job : page->jobs) out.push_back(!work::terminal(job.state) && held[at++]);
    co_return out;
  });
  json::array jobs;
  for (std::size_t i = 0; i < page->jobs.size(); ++i) jobs.push_back(job_json(page->jobs[i], running[i], Detail::brief));
  json::object body{{"jobs", std::move(jobs)}};
  if (page->next) body["next"] = to_string(page->next);
  co_await reply_json(exchange, 200, std::move(body));
}

// The failed attempts of a job: what a dead letter is read with.
Task<void> attempts(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, JobId id) {
  bool running = false;
  const auto job = co_await look(door, exchange, who, id, {}, running);
  if (!job) co_return co_await reply_problem(exchange, job.error());
  if (!*job) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such job", "id"});
  const auto rows = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_attempts(tx, id); });
  if (!rows) co_return co_await reply_problem(exchange, rows.error());
  json::array out;
  for (const auto& a : *rows) {
    json::object o{{"attempt", a.n}, {"at", to_rfc3339(a.at)}, {"error", work::error_json(a.error)}};
    if (!a.holder.empty()) o["worker"] = a.holder;
    out.push_back(std::move(o));
  }
  co_await reply_json(exchange, 200, json::object{{"id", to_string(id)}, {"attempts", std::move(out)}});
}

Task<void> cancel(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, JobId id) {
  bool running = false;
  const auto job = co_await look(door, exchange, who, id, {}, running);
  if (!job) co_return co_await reply_problem(exchange, job.error());
  const bool mine = *job && ((*job)->spec.key_id == who.key_id() || who.admin());
  if (!mine) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such job of this key", "id"});
  const auto results = co_await door.ask(exchange, [&] { return door.jobs().cancel({id}, fmt::format("cancelled by {}", who.key_id()), "key:" + who.key_id()); });
  if (!results.front() && results.front().error().code == ErrorCode::caller_not_found)
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_conflict, "the job has ended already; see its state", "id"});
  if (!results.front()) co_return co_await reply_problem(exchange, results.front().error());
  log::info("job_cancelled", {{"id", to_string(id)}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, json::object{{"id", to_string(id)}, {"state", "cancelled"}});
}

// ---- queues ----

constexpr Duration kShortestDrain = std::chrono::seconds(1), kLongestDrain = std::chrono::hours(24);

Result<Duration> drain_of(const net::RequestHead& request) {
  const std::string text = query(request, "drain");
  if (text.empty()) return work::kUsualDrain;
  auto drain = parse_duration(text, "drain");
  if (drain && (*drain < kShortestDrain || *drain > kLongestDrain)) return fail(ErrorCode::caller_invalid_request, "must be from 1s to 24h", "drain");
  return drain;
}

Task<void> list_queues(WorkDoor& door, net::Exchange& exchange) {
  const auto drain = drain_of(exchange.request());
  if (!drain) co_return co_await reply_problem(exchange, drain.error());
  const work::QueuesElsewhere elsewhere = door.elsewhere();
  const unsigned nodes = elsewhere.nodes + 1;
  auto body = co_await door.ask(exchange, [&]() -> Task<json::array> {
    work::Engine& engine = door.engine();
    json::array out;
    const work::QueueViews here = work::views_of(engine.board(), engine.meter(), engine.home().clock().mono());
    for (const auto& [name, all] : elsewhere.with(here)) {
      const auto rules = engine.board().rules(name);
      const auto mine = here.find(name);
      auto queue = queue_json(name, rules, all, mine == here.end() ? work::QueueView{} : mine->second);
      if (engine.meter()) add_flow(queue, all, rules, *drain, nodes);
      out.push_back(std::move(queue));
    }
    co_return out;
  });
  co_await reply_json(exchange, 200, json::object{{"queues", std::move(body)}, {"nodes", nodes}, {"left_out", elsewhere.left_out}});
}

Task<void> change_queue(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, std::string name) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 4096, .max_depth = 4});
  if (!document) co_return co_await reply_problem(exchange, document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"paused", "concurrency", "per_tenant"}); !known) co_return co_await reply_problem(exchange, known.error());
  const auto paused = body.maybe<bool>("paused");
  const auto concurrency = body.maybe_int("concurrency", 0, 1'000'000), per_tenant = body.maybe_int("per_tenant", 0, 1'000'000);
  for (const Error* e : {paused ? nullptr : &paused.error(), concurrency ? nullptr : &concurrency.error(), per_tenant ? nullptr : &per_tenant.error()})
    if (e) co_return co_await reply_problem(exchange, *e);
  const work::QueuesElsewhere elsewhere = door.elsewhere();
  auto changed = co_await door.ask(exchange, [&]() -> Task<Result<json::object>> {
    auto& engine = door.engine();
    work::QueueRules rules = engine.board().rules(name);
    rules.paused = paused->value_or(rules.paused);
    rules.concurrency = static_cast<std::uint32_t>(concurrency->value_or(rules.concurrency));
    rules.per_tenant = static_cast<std::uint32_t>(per_tenant->value_or(rules.per_tenant));
    work::Also told;
    if (rules.paused != engine.board().rules(name).paused)
      told = tell_of_act(who, rules.paused ? records::audit::queue_paused : records::audit::queue_resumed, name, engine.home().clock().wall());
    const auto done = co_await engine.set_queue(name, rules, std::move(told));
    if (!done) co_return std::unexpected(done.error());
    work::QueueViews here = work::views_of(engine.board(), nullptr, engine.home().clock().mono());
    co_return queue_json(name, rules, elsewhere.with(here)[name], here[name]);
  });
  if (!changed) co_return co_await reply_problem(exchange, changed.error());
  log::info("queue_changed", {{"queue", name}, {"by", who.key_id()}});
  co_await reply_json(exchange, 200, std::move(*changed));
}

Task<bool> one_job(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, std::string_view rest) {
  const auto& request = exchange.request();
  const auto slash = rest.find('/');
  const std::string_view action = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  const bool known = (request.method == "GET" && (action.empty() || action == "attempts")) || (request.method == "POST" && action == "cancel");
  if (!known) co_return false;
  const auto id = work::parse_job_id(rest.substr(0, slash));
  const auto wait = wait_of(request);
  if (!id) co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "a job's id looks like job_0123456789abc", "id"});
  else if (!wait) co_await reply_problem(exchange, wait.error());
  else if (action == "attempts") co_await attempts(door, exchange, who, *id);
  else if (action == "cancel") co_await cancel(door, exchange, who, *id);
  else co_await reply_job(door, exchange, who, *id, *wait, 200);
  co_return true;
}

}  // namespace

Task<bool> jobs_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/jobs/", queue = "/api/queues/";
  const bool jobs = request.path == "/api/jobs" || request.path.starts_with(one);
  const bool queues = request.path == "/api/queues" || request.path.starts_with(queue);
  if (!jobs && !queues) co_return false;
  WorkDoor& door = *parts.work;
  const bool reading = request.method == "GET", submitting = request.method == "POST";
  const auto scope = jobs ? gateway::Scope::call : reading ? gateway::Scope::read : gateway::Scope::admin;
  const auto who = require_scope(exchange, parts, scope);
  bool known = true;
  if (!who) co_await reply_problem(exchange, who.error());
  else if (submitting && request.path == "/api/jobs") co_await submit(door, exchange, *who);
  else if (submitting && request.path == "/api/jobs/bulk") co_await submit_many(door, exchange, *who);
  else if (reading && request.path == "/api/jobs") co_await list(door, exchange, *who);
  else if (reading && request.path == "/api/queues") co_await list_queues(door, exchange);
  else if (request.method == "PUT" && request.path.starts_with(queue)) co_await change_queue(door, exchange, *who, std::string(request.path.substr(queue.size())));
  else if (jobs && request.path.size() > one.size()) known = co_await one_job(door, exchange, *who, request.path.substr(one.size()));
  else known = false;
  co_return known;
}

}  // namespace ballast::server
