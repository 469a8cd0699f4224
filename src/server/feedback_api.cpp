// What people say of answers: POST /api/feedback ties a verdict to a call or a job, GET /api/feedback tells how content they are and what a
// successful answer costs. A key judges its own calls, scope admin all; scope read sees the figures.
#include "base/config_node.hpp"
#include "base/text.hpp"
#include "server/await_call.hpp"
#include "server/feedback_body.hpp"
#include "server/feedback_json.hpp"
#include "server/heavy.hpp"
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/job_rows.hpp"
#include "work/run_rows.hpp"

namespace ballast::server {

namespace {

bool may_judge(const gateway::Principal& who, std::string_view key) { return who.admin() || who.key_id() == key; }

// A job that has ended: what it cost is known then.
Task<Result<records::Subject>> job_subject(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, work::JobId id) {
  struct Found {
    std::optional<work::Job> job;
    Money cost;
  };
  const auto found = co_await parts.database.read(exchange.loop(), [id](store::Tx& tx) -> Result<Found> {
    auto job = work::get_job(tx, id);
    if (!job) return std::unexpected(job.error());
    Found out{.job = std::move(*job), .cost = {}};
    if (!out.job || out.job->spec.kind != work::JobKind::flow) return out;
    const auto records = work::load_records(tx, id);
    if (!records) return std::unexpected(records.error());
    for (const auto& r : *records) out.cost += r.cost;
    return out;
  });
  if (!found) co_return fail(found.error());
  if (!found->job || !may_judge(who, found->job->spec.key_id))
    co_return fail(ErrorCode::caller_not_found, "there is no such job, or not any more, or it is another key's", "job");
  const work::Job& job = *found->job;
  if (!work::terminal(job.state)) co_return fail(ErrorCode::caller_conflict, "the job is not over: judge what came of it", "job");
  co_return records::Subject{.name = to_string(id), .call = {}, .at = WallTime(std::chrono::milliseconds(id.unix_ms())), .key_id = job.spec.key_id, .user = job.spec.user,
                             .feature = job.spec.feature, .team = {}, .route = job.spec.name, .provider = {}, .model = job.spec.model, .incurred_nano = found->cost.nano};
}

Task<Result<records::Subject>> call_subject(net::Exchange& exchange, const Parts& parts, const gateway::Principal& who, Id id) {
  const auto call = co_await await_call(exchange, parts, id);
  if (!call && call.error().code != ErrorCode::caller_not_found) co_return fail(call.error());
  if (!call || !may_judge(who, call->key_id)) co_return fail(ErrorCode::caller_not_found, "there is no such call, or it is another key's", "call");
  co_return records::subject_of(*call);
}

Task<void> judge(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  auto said = read_said(exchange.body());
  if (!said) co_return co_await reply_problem(exchange, said.error());
  Result<records::Subject> subject;
  if (said->call) subject = co_await call_subject(exchange, parts, *who, *said->call);
  else subject = co_await job_subject(exchange, parts, *who, said->job);
  if (!subject) co_return co_await reply_problem(exchange, subject.error());
  records::Feedback& f = said->feedback;
  f.subject = std::move(*subject);
  if (!said->named) f.user = f.subject.user;
  if (!who->key->user.empty()) f.user = who->key->user;   // such a key speaks for nobody else
  f.key_id = who->key_id();
  f.given = parts.clock.wall();
  f.id = new_id(f.given);
  const auto kept = co_await parts.database.write(exchange.loop(), [&](store::Tx& tx) { return records::put_feedback(tx, f); });
  if (!kept) co_return co_await reply_problem(exchange, kept.error());
  co_await reply_json(exchange, 201, json::object{{"id", to_string(*kept, "fb")}, {"replaced", *kept != f.id}});
}

Task<void> report(net::Exchange& exchange, const Parts& parts) {
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who) co_return co_await reply_problem(exchange, who.error());
  const auto& request = exchange.request();
  WallTime from{}, to = parts.clock.wall() + std::chrono::hours(1);
  const auto begins = query_time(request, "from", from);
  if (!begins) co_return co_await reply_problem(exchange, begins.error());
  const auto ends = query_time(request, "to", to);
  if (!ends) co_return co_await reply_problem(exchange, ends.error());
  const auto by = feedback_by(query(request, "by"), "by");
  if (!by) co_return co_await reply_problem(exchange, by.error());
  const auto limit = query_count(request, "limit", 20, 0, 1000);
  if (!limit) co_return co_await reply_problem(exchange, limit.error());
  co_await catch_up(exchange, parts);
  const auto answer = co_await parts.database.read(exchange.loop(), [&](store::Tx& tx) -> Result<json::object> {
    const auto rows = records::feedback_report(tx, from, to, *by);
    if (!rows) return fail(rows.error());
    const auto recent = records::recent_feedback(tx, from, to, *limit);
    if (!recent) return fail(recent.error());
    return feedback_report_json(*rows, *recent);
  }, kHeavy);
  if (!answer) co_return co_await reply_problem(exchange, answer.error());
  co_await reply_json(exchange, 200, *answer);
}

}  // namespace

Task<bool> feedback_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  if (request.path != "/api/feedback" || (request.method != "POST" && request.method != "GET")) co_return false;
  if (request.method == "POST") co_await judge(exchange, parts);
  else co_await report(exchange, parts);
  co_return true;
}

}  // namespace ballast::server
