// Runs of flows: how one stands, stage by stage; moves to another version, forks, rollbacks and the comparison of two; events from outside for those that wait.
#include <map>

#include "base/log.hpp"
#include "server/job_json.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/run_jobs.hpp"
#include "work/canonical.hpp"
#include "work/run_move.hpp"
#include "work/run_rows.hpp"
#include "work/signals.hpp"

namespace ballast::server {

namespace {

using work::JobId;

constexpr std::size_t kMostWoken = 10'000;

Error gone() { return Error{ErrorCode::caller_not_found, "there is no such run, or it is another key's", "id"}; }
Error conflict(std::string message) { return Error{ErrorCode::caller_conflict, std::move(message), "id"}; }

json::object record_json(const work::StageRecord& r) {
  json::object o{{"stage", r.path}, {"what", to_string(r.what)}, {"attempt", r.attempt}, {"at", to_rfc3339(r.at)}};
  if (r.value) o[r.what == work::StageRecord::What::done ? "output" : "waits_for"] = *r.value;
  if (r.confidence) o["confidence"] = *r.confidence;
  if (r.fallback) o["fallback"] = true;
  if (!r.taint.clean()) o["taint"] = r.taint.to_json();
  if (r.cost.nano > 0) o["cost_usd"] = to_usd(r.cost);
  if (r.error) o["error"] = refusal_json(*r.error);
  return o;
}

// A run that this key may look at, or act on (`own`).
Task<Result<work::Job>> run_of(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId id, bool own) {
  auto job = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::get_job(tx, id); });
  if (!job) co_return fail(std::move(job.error()));
  const bool mine = *job && ((*job)->spec.key_id == who.key_id() || (own ? who.admin() : who.key->scopes.has(gateway::Scope::read)));
  if (!mine || (*job)->spec.kind != work::JobKind::flow) co_return fail(gone());
  co_return std::move(**job);
}

Task<Result<std::vector<work::StageRecord>>> journal_of(net::Exchange& exchange, WorkDoor& door, JobId id) {
  auto records = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::load_records(tx, id); });
  co_return records;
}

Task<Result<void>> stages(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId id) {
  const auto job = co_await run_of(exchange, door, who, id, false);
  if (!job) co_return fail(job.error());
  const auto records = co_await journal_of(exchange, door, id);
  if (!records) co_return fail(records.error());
  json::array out;
  for (const auto& r : *records)
    if (!r.path.starts_with('$')) out.push_back(record_json(r));
  co_await reply_json(exchange, 200, json::object{{"id", to_string(id)}, {"flow", job->spec.name}, {"version", job->spec.version}, {"state", to_string(job->state)}, {"records", std::move(out)}});
  co_return Result<void>{};
}

// The last word on each stage.
std::map<std::string, const work::StageRecord*> last_words(const std::vector<work::StageRecord>& records) {
  std::map<std::string, const work::StageRecord*> out;
  for (const auto& r : records)
    if (r.what != work::StageRecord::What::started && r.what != work::StageRecord::What::compensated && !r.path.starts_with('$')) out[r.path] = &r;
  return out;
}

json::object side_json(const work::Job& job, const std::vector<work::StageRecord>& records) {
  Money cost;
  for (const auto& r : records) cost.nano += r.cost.nano;
  json::object o{{"id", to_string(job.id)}, {"state", to_string(job.state)}, {"version", job.spec.version}, {"cost_usd", to_usd(cost)}};
  if (terminal(job.state)) o["took_s"] = std::chrono::duration<double>(job.finished - job.created).count();
  if (job.state == work::JobState::done) o["output"] = payload_json(job.output);
  return o;
}

Task<Result<void>> compare(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId left, JobId right) {
  const auto a = co_await run_of(exchange, door, who, left, false);
  if (!a) co_return fail(a.error());
  const auto b = co_await run_of(exchange, door, who, right, false);
  if (!b) co_return fail(b.error());
  const auto ra = co_await journal_of(exchange, door, left);
  if (!ra) co_return fail(ra.error());
  const auto rb = co_await journal_of(exchange, door, right);
  if (!rb) co_return fail(rb.error());
  std::map<std::string, std::pair<const work::StageRecord*, const work::StageRecord*>> both;
  for (const auto& [path, r] : last_words(*ra)) both[path].first = r;
  for (const auto& [path, r] : last_words(*rb)) both[path].second = r;
  json::array out;
  for (const auto& [path, pair] : both) {
    const auto& [l, r] = pair;
    const bool asked_same = l && r && l->input == r->input;
    const bool same = l && r && l->what == r->what && l->output == r->output;
    json::object o{{"stage", path}, {"same_question", asked_same}, {"same", same}};
    if (l) o["a"] = record_json(*l);
    if (r && !same) o["b"] = record_json(*r);
    out.push_back(std::move(o));
  }
  co_await reply_json(exchange, 200, json::object{{"a", side_json(*a, *ra)}, {"b", side_json(*b, *rb)}, {"stages", std::move(out)}});
  co_return Result<void>{};
}

// A new run from this one, told on the chain of the old.
Task<Result<void>> submit_from(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, work::Submission s, std::vector<work::StageRecord> journal,
                               std::string_view action, std::string_view relation, WallTime now) {
  const JobId parent = s.spec.parent;
  const auto kept = journal.size();
  auto told = tell_of_jobs(who, action, {parent}, now);
  std::vector<work::Submission> jobs;
  jobs.push_back(std::move(s));
  std::vector<std::vector<work::StageRecord>> journals;
  journals.push_back(std::move(journal));
  const auto results = co_await submit_seeded(door, exchange, std::move(jobs), std::move(journals), std::move(told));
  const auto& made = results.front();
  if (!made) co_return fail(made.error());
  log::info("run_from_run", {{"id", to_string(made->id)}, {"what", relation}, {"of", to_string(parent)}, {"by", who.key_id()}});
  json::object o{{"id", to_string(made->id)}, {relation, to_string(parent)}, {"existing", made->existing}, {"url", "/api/jobs/" + to_string(made->id)}};
  if (relation == "fork_of") o["results_kept"] = kept;
  co_await reply_json(exchange, made->existing ? 200 : 202, o);
  co_return Result<void>{};
}

Task<Result<void>> fork(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId id, WallTime now) {
  const auto job = co_await run_of(exchange, door, who, id, true);
  if (!job) co_return fail(job.error());
  const auto document = parse_json(exchange.body().empty() ? std::string_view("{}") : exchange.body(), {.max_bytes = 64u << 20, .max_depth = 512});
  if (!document) co_return fail(document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"stage", "input", "version"}); !known) co_return fail(std::move(known.error()));
  const auto stage = body.maybe<std::string>("stage");
  if (!stage) co_return fail(stage.error());
  work::Submission s = work::fork_of(*job);
  if (const auto input = body.find("input")) s.input = to_json(input->value());
  if (auto bound = bind_version(door, body, s, now); !bound) co_return fail(std::move(bound.error()));
  if (auto fits = co_await check_input(door, exchange, s); !fits) co_return fail(std::move(fits.error()));
  auto kept = co_await results_of(door, exchange, id, s.spec.version, stage->value_or(""));
  if (!kept) co_return fail(std::move(kept.error()));
  auto done = co_await submit_from(exchange, door, who, std::move(s), std::move(kept->records), records::audit::run_forked, "fork_of", now);
  co_return done;
}

Task<Result<void>> rollback(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId id, WallTime now) {
  const auto job = co_await run_of(exchange, door, who, id, true);
  if (!job) co_return fail(job.error());
  if (job->spec.origin == work::Origin::rollback) co_return fail(conflict("this is a rollback itself"));
  if (!terminal(job->state)) co_return fail(conflict(fmt::format("the run is {}; cancel it first, then roll it back", to_string(job->state))));
  auto done = co_await submit_from(exchange, door, who, work::rollback_of(*job), {}, records::audit::run_rolled_back, "rollback_of", now);
  co_return done;
}

// ---- to another version

json::object moved_json(JobId id, const work::MovePlan& plan, bool moved) {
  const auto paths = [](const std::vector<work::MoveReport::Asked>& asked) {
    json::array out;
    for (const auto& a : asked) out.emplace_back(a.path);
    return out;
  };
  return {{"id", to_string(id)}, {"from", plan.from}, {"to", plan.to}, {"moved", moved}, {"results_kept", plan.report.kept}, {"again", json::value_from(plan.report.again)},
          {"asked_again", paths(plan.report.asked_again)}, {"called_off", paths(plan.report.called_off)}, {"begins", json::value_from(plan.report.begins)}};
}

Task<Result<void>> move(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, JobId id, WallTime now) {
  const auto job = co_await run_of(exchange, door, who, id, true);
  if (!job) co_return fail(job.error());
  const auto document = parse_json(exchange.body().empty() ? std::string_view("{}") : exchange.body(), {.max_bytes = 4096, .max_depth = 4});
  if (!document) co_return fail(document.error());
  const JsonRef body(*document);
  if (auto known = only_members(body, {"version", "call_off", "dry_run"}); !known) co_return fail(std::move(known.error()));
  const auto version = body.maybe<std::string>("version");
  const auto call_off = body.maybe<bool>("call_off"), dry_run = body.maybe<bool>("dry_run");
  for (const Error* e : {version ? nullptr : &version.error(), call_off ? nullptr : &call_off.error(), dry_run ? nullptr : &dry_run.error()})
    if (e) co_return fail(*e);
  work::MoveWish wish{.run = id, .to = version->value_or("current"), .call_off = call_off->value_or(false), .actor = "key:" + who.key_id()};
  const bool dry = dry_run->value_or(false);
  auto plan = dry ? co_await work::plan_move(exchange.loop(), door.engine().database(), door.flows(), std::move(wish), now)
                  : co_await door.ask(exchange, [&] { return door.jobs().move(std::move(wish), now); });
  if (!plan) co_return fail(std::move(plan.error()));
  const bool moves = plan->run && !dry;
  if (moves) {
    log::info("run_moved", {{"id", to_string(id)}, {"from", plan->from}, {"to", plan->to}, {"by", who.key_id()}});
  }
  co_await reply_json(exchange, 200, moved_json(id, *plan, moves));
  co_return Result<void>{};
}

// ---- events

struct SignalBody {
  work::Signal signal;
  Duration kept = work::kSignalKept;
};
Result<SignalBody> signal_from(const JsonRef& body, const gateway::Principal& who) {
  if (auto known = only_members(body, {"event", "key", "payload", "keep"}); !known) return fail(std::move(known.error()));
  SignalBody out;
  auto name = body.get<std::string>("event");
  if (!name) return fail(std::move(name.error()));
  if (name->empty() || name->size() > 200) return fail(ErrorCode::caller_invalid_request, "must have 1 to 200 bytes", "event");
  out.signal.name = std::move(*name);
  if (const auto key = body.find("key"); key && !key->value().is_null()) out.signal.key = work::canonical_json(key->value());
  const auto payload = body.find("payload");
  out.signal.payload = payload ? to_json(payload->value()) : "null";
  if (out.signal.key.size() + out.signal.payload.size() > work::kMaxSignal)
    return fail(ErrorCode::caller_too_large, fmt::format("key and payload have more than {} bytes", work::kMaxSignal), "payload");
  const auto keep = maybe_duration(body, "keep");
  if (!keep) return fail(keep.error());
  out.kept = keep->value_or(work::kSignalKept);
  if (out.kept < Duration::zero() || out.kept > work::kSignalKeptMost) return fail(ErrorCode::caller_invalid_request, "must be 0s to 30d", "keep");
  if (!who.admin()) out.signal.key_id = who.key_id();
  return out;
}

Task<Result<void>> signal(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, WallTime now) {
  const auto document = parse_json(exchange.body(), {.max_bytes = 2 * work::kMaxSignal, .max_depth = 512});
  if (!document) co_return fail(document.error());
  auto body = signal_from(JsonRef(*document), who);
  if (!body) co_return fail(std::move(body.error()));
  body->signal.at = now;
  const auto woken = co_await door.ask(exchange, [&]() -> Task<Result<std::size_t>> {
    body->signal.id = door.engine().new_id();
    co_return co_await work::send_signal(door.jobs(), body->signal, now + body->kept, kMostWoken);
  });
  if (!woken) co_return fail(woken.error());
  co_await reply_json(exchange, 202, json::object{{"id", to_string(body->signal.id)}, {"runs", *woken}});
  co_return Result<void>{};
}

// ---- routes

struct Route {
  enum class What : std::uint8_t { none, stages, compare, fork, rollback, move, signal } what = What::none;
  JobId id, other;
};
Route route_of(std::string_view method, std::string_view path) {
  using What = Route::What;
  if (method == "POST" && path == "/api/events") return {What::signal, {}, {}};
  constexpr std::string_view front = "/api/jobs/";
  if (!path.starts_with(front)) return {};
  path.remove_prefix(front.size());
  const auto slash = path.find('/');
  if (slash == std::string_view::npos) return {};
  const JobId id = work::parse_job_id(path.substr(0, slash)).value_or(JobId{});
  const std::string_view rest = path.substr(slash + 1);
  if (method == "GET" && rest == "stages") return {What::stages, id, {}};
  if (method == "GET" && rest.starts_with("compare/")) return {What::compare, id, work::parse_job_id(rest.substr(8)).value_or(JobId{})};
  if (method == "POST" && rest == "fork") return {What::fork, id, {}};
  if (method == "POST" && rest == "rollback") return {What::rollback, id, {}};
  if (method == "POST" && rest == "move") return {What::move, id, {}};
  return {};
}

Task<Result<void>> serve(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, Route route) {
  using What = Route::What;
  const WallTime now = parts.clock.wall();
  switch (route.what) {
    case What::none: break;
    case What::stages: return stages(exchange, *parts.work, who, route.id);
    case What::compare: return compare(exchange, *parts.work, who, route.id, route.other);
    case What::fork: return fork(exchange, *parts.work, who, route.id, now);
    case What::rollback: return rollback(exchange, *parts.work, who, route.id, now);
    case What::move: return move(exchange, *parts.work, who, route.id, now);
    case What::signal: return signal(exchange, *parts.work, who, now);
  }
  std::unreachable();
}

}  // namespace

Task<bool> runs_api(net::Exchange& exchange, const Parts& parts) {
  const Route route = route_of(exchange.request().method, exchange.request().path);
  if (route.what == Route::What::none) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  if (!who) {
    co_await reply_problem(exchange, who.error());
    co_return true;
  }
  const auto served = co_await serve(exchange, parts, *who, route);
  if (!served) co_await reply_problem(exchange, served.error());
  co_return true;
}

}  // namespace ballast::server
