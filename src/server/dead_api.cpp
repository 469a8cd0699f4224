// Dead letters: grouped by cause, and driven again, one or many, at a chosen rate, perhaps with another input. The dead job stays what it is; a
// redrive is a new job that points to it, and there is one redrive of each.
#include <map>

#include "base/config_node.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "server/job_json.hpp"
#include "server/job_records.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/run_jobs.hpp"
#include "server/work_door.hpp"

namespace ballast::server {

namespace {

using work::JobId;

constexpr std::size_t kMostRedriven = 10'000;
constexpr std::size_t kLookedAt = 10'000;                // dead jobs that grouping reads

Error gone() { return Error{ErrorCode::caller_not_found, "there is no such job, or not any more, or it is another key's", "id"}; }

// What the body changes of the job before it is driven again.
Result<void> edit(const JsonRef& body, work::Submission& s) {
  if (auto known = only_members(body, {"input", "payload", "attempts", "queue", "delay", "deadline", "version"}); !known) return known;
  for (const std::string_view name : {"input", "payload"})
    if (const auto input = body.find(name)) s.input = to_json(input->value());
  const auto attempts = body.maybe_int("attempts", 1, 1'000);
  if (!attempts) return fail(attempts.error());
  if (*attempts) s.spec.max_attempts = static_cast<std::uint32_t>(**attempts);
  auto queue = body.maybe<std::string>("queue");
  if (!queue) return fail(std::move(queue.error()));
  if (*queue) s.spec.queue = std::move(**queue);
  const auto delay = maybe_duration(body, "delay");
  if (!delay) return fail(delay.error());
  s.delay = delay->value_or(Duration{});
  const auto deadline = body.maybe<std::string>("deadline");
  if (!deadline) return fail(deadline.error());
  if (!*deadline) return {};
  const auto at = parse_time(**deadline, "deadline");
  if (!at) return fail(at.error());
  s.spec.deadline = *at;
  return {};
}

// Jobs that come from others, with the journals that runs among them begin with.
struct Again {
  std::vector<work::Submission> jobs;
  std::vector<std::vector<work::StageRecord>> journals;  // of each
};
Task<Result<void>> add(Again& again, WorkDoor& door, net::Exchange& exchange, const work::Job& dead, work::Submission s) {
  std::vector<work::StageRecord> journal;
  if (s.spec.kind == work::JobKind::flow) {
    auto kept = co_await results_of(door, exchange, dead.id, s.spec.version, {});
    if (!kept) co_return fail(std::move(kept.error()));
    journal = std::move(kept->records);
    if (kept->undone) s.spec.lineage.clear();
  }
  again.jobs.push_back(std::move(s));
  again.journals.push_back(std::move(journal));
  co_return Result<void>{};
}

Task<std::vector<Result<work::Accepted>>> submit_audited(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who, Again again, WallTime now) {
  std::vector<JobId> parents;
  for (const auto& s : again.jobs) parents.push_back(s.spec.parent);
  auto told = tell_of_jobs(who, records::audit::job_redriven, std::move(parents), now);
  auto results = co_await submit_seeded(door, exchange, std::move(again.jobs), std::move(again.journals), std::move(told));
  co_return results;
}

Task<void> redrive_one(WorkDoor& door, net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, JobId id) {
  const auto job = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::get_job(tx, id); });
  if (!job) co_return co_await reply_problem(exchange, job.error());
  if (!*job || !((*job)->spec.key_id == who.key_id() || who.admin())) co_return co_await reply_problem(exchange, gone());
  if ((*job)->state != work::JobState::dead && (*job)->state != work::JobState::cancelled)
    co_return co_await reply_problem(exchange, Error{ErrorCode::caller_conflict, fmt::format("only dead and cancelled jobs are driven again; this one is {}", to_string((*job)->state)), "id"});
  work::Submission s = work::redrive_of(**job);
  if (!exchange.body().empty()) {
    const auto document = parse_json(exchange.body());
    if (!document) co_return co_await reply_problem(exchange, document.error());
    if (const auto edited = edit(JsonRef(*document), s); !edited) co_return co_await reply_problem(exchange, edited.error());
    if (const auto bound = bind_version(door, JsonRef(*document), s, parts.clock.wall()); !bound) co_return co_await reply_problem(exchange, bound.error());
  }
  Again again;
  if (const auto added = co_await add(again, door, exchange, **job, std::move(s)); !added) co_return co_await reply_problem(exchange, added.error());
  const auto results = co_await submit_audited(door, exchange, who, std::move(again), parts.clock.wall());
  if (!results.front()) co_return co_await reply_problem(exchange, results.front().error());
  log::info("job_redriven", {{"id", to_string(id)}, {"as", to_string(results.front()->id)}, {"by", who.key_id()}});
  co_await reply_json(exchange, results.front()->existing ? 200 : 202,
                      json::object{{"id", to_string(results.front()->id)}, {"redrive_of", to_string(id)}, {"existing", results.front()->existing}});
}

std::string cause_of(const work::Job& job) {
  const auto error = work::error_json(job.error);
  const auto* code = error.if_contains("code");
  return code && code->is_string() ? std::string(code->get_string()) : "unknown";
}

// Dead jobs, newest first, of all pages up to a bound.
Task<Result<std::vector<work::Job>>> dead_jobs(net::Exchange& exchange, WorkDoor& door, work::JobFilter filter, std::string cause, std::size_t most) {
  filter.state = work::JobState::dead;
  filter.limit = 1'000;
  std::vector<work::Job> out;
  for (std::size_t looked = 0; looked < kLookedAt;) {
    auto page = co_await door.engine().database().read(exchange.loop(), [&](store::Tx& tx) { return work::list_jobs(tx, filter); });
    if (!page) co_return std::unexpected(std::move(page.error()));
    looked += page->jobs.size();
    for (auto& job : page->jobs) {
      if (!cause.empty() && cause_of(job) != cause) continue;
      out.push_back(std::move(job));
      if (out.size() == most) co_return out;
    }
    if (!page->next) break;
    filter.before = page->next;
  }
  co_return out;
}

Task<void> groups(WorkDoor& door, net::Exchange& exchange, const gateway::Principal& who) {
  work::JobFilter filter;
  if (!who.key->scopes.has(gateway::Scope::read)) filter.tenant = who.key_id();
  auto jobs = co_await dead_jobs(exchange, door, std::move(filter), {}, kLookedAt);
  if (!jobs) co_return co_await reply_problem(exchange, jobs.error());
  struct Group { std::uint64_t n = 0; const work::Job* newest = nullptr; const work::Job* oldest = nullptr; };
  std::map<std::tuple<std::string, std::string, std::string>, Group> found;
  for (const auto& job : *jobs) {
    Group& g = found[{job.spec.queue, job.spec.name, cause_of(job)}];
    ++g.n;
    if (!g.newest) g.newest = &job;
    g.oldest = &job;
  }
  json::array out;
  for (const auto& [key, g] : found)
    out.push_back(json::object{{"queue", std::get<0>(key)}, {"name", std::get<1>(key)}, {"code", std::get<2>(key)}, {"jobs", g.n}, {"newest", to_rfc3339(g.newest->finished)},
                               {"oldest", to_rfc3339(g.oldest->finished)}, {"example", to_string(g.newest->id)}, {"error", work::error_json(g.newest->error)}});
  co_await reply_json(exchange, 200, json::object{{"groups", std::move(out)}, {"jobs", jobs->size()}, {"more", jobs->size() == kLookedAt}});
}

struct Many {
  work::JobFilter filter;
  std::string code;
  Rate rate{};
  std::size_t limit = 1'000;
};
Result<Many> many_from(const JsonRef& body) {
  if (auto known = only_members(body, {"queue", "name", "code", "text", "rate", "limit"}); !known) return fail(std::move(known.error()));
  Many many;
  std::string rate;
  for (const auto& [name, into] : {std::pair("queue", &many.filter.queue), {"name", &many.filter.name}, {"code", &many.code}, {"text", &many.filter.text}, {"rate", &rate}}) {
    auto text = body.maybe<std::string>(name);
    if (!text) return fail(std::move(text.error()));
    *into = text->value_or("");
  }
  if (!rate.empty()) {
    auto r = parse_rate(rate, "rate");
    if (!r) return fail(std::move(r.error()));
    if (r->count == 0) return fail(ErrorCode::caller_invalid_request, "must be above zero", "rate");
    many.rate = *r;
  }
  const auto limit = body.maybe_int("limit", 1, kMostRedriven);
  if (!limit) return fail(limit.error());
  many.limit = static_cast<std::size_t>(limit->value_or(1'000));
  return many;
}

// The oldest last: they come newest first, and are driven again in the order they were submitted.
Task<void> redrive_many(WorkDoor& door, net::Exchange& exchange, const Parts& parts, const gateway::Principal& who) {
  const auto document = parse_json(exchange.body().empty() ? std::string_view("{}") : exchange.body());
  if (!document) co_return co_await reply_problem(exchange, document.error());
  const auto many = many_from(JsonRef(*document));
  if (!many) co_return co_await reply_problem(exchange, many.error());
  const auto jobs = co_await dead_jobs(exchange, door, many->filter, many->code, many->limit);
  if (!jobs) co_return co_await reply_problem(exchange, jobs.error());
  Again again;
  for (auto at = jobs->rbegin(); at != jobs->rend(); ++at) {
    work::Submission s = work::redrive_of(*at);
    if (many->rate.count > 0) s.delay = many->rate.per * static_cast<std::int64_t>(again.jobs.size()) / static_cast<std::int64_t>(many->rate.count);
    if (const auto added = co_await add(again, door, exchange, *at, std::move(s)); !added) co_return co_await reply_problem(exchange, added.error());
  }
  const std::size_t n = again.jobs.size();
  std::size_t fresh = 0;
  if (n > 0) {
    const auto results = co_await submit_audited(door, exchange, who, std::move(again), parts.clock.wall());
    for (const auto& r : results) fresh += r && !r->existing;
  }
  log::info("jobs_redriven", {{"jobs", fresh}, {"by", who.key_id()}});
  co_await reply_json(exchange, 202, json::object{{"redriven", fresh}, {"already", n - fresh}});
}

}  // namespace

Task<bool> dead_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/jobs/", end = "/redrive";
  const bool single = request.method == "POST" && request.path.starts_with(one) && request.path.ends_with(end);
  const bool bulk = request.method == "POST" && request.path == "/api/dead/redrive", grouped = request.method == "GET" && request.path == "/api/dead";
  if (!single && !bulk && !grouped) co_return false;
  const auto who = require_scope(exchange, parts, bulk ? gateway::Scope::admin : gateway::Scope::call);
  const auto id = single ? work::parse_job_id(request.path.substr(one.size(), request.path.size() - one.size() - end.size())) : std::nullopt;
  if (!who) co_await reply_problem(exchange, who.error());
  else if (grouped) co_await groups(*parts.work, exchange, *who);
  else if (bulk) co_await redrive_many(*parts.work, exchange, parts, *who);
  else if (id) co_await redrive_one(*parts.work, exchange, parts, *who, *id);
  else co_await reply_problem(exchange, gone());
  co_return true;
}

}  // namespace ballast::server
