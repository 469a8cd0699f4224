// Flows: those in force, and how a run of one stands, stage by stage.
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"
#include "work/run_rows.hpp"

namespace ballast::server {

namespace {

json::object stage_json(const work::Stage& stage) {
  json::object o{{"stage", stage.name}, {"kind", to_string(stage.kind())}, {"after", json::value_from(stage.waits_for)}};
  if (work::is_effect(stage)) o["risk"] = to_string(work::risk_of(stage));
  return o;
}

json::object flow_json(const work::Flow& flow, bool whole) {
  json::object o{{"flow", flow.name()}, {"version", flow.version_name()}, {"digest", to_hex(flow.digest())}, {"stages", flow.stages().size()}};
  if (!whole) return o;
  json::array stages;
  for (const auto& s : flow.stages()) stages.push_back(stage_json(s));
  o["stages"] = std::move(stages);
  if (flow.input()) o["input"] = flow.input().text;
  o["source"] = flow.source().text;
  return o;
}

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

Task<void> stages_of(net::Exchange& exchange, WorkDoor& door, const gateway::Principal& who, work::JobId id) {
  const auto job = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::get_job(tx, id); });
  if (!job) co_return co_await reply_problem(exchange, job.error());
  const bool mine = *job && (who.key->scopes.has(gateway::Scope::read) || (*job)->spec.key_id == who.key_id());
  if (!mine) co_return co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such run, or it is another key's", "id"});
  const auto records = co_await door.engine().database().read(exchange.loop(), [id](store::Tx& tx) { return work::load_records(tx, id); });
  if (!records) co_return co_await reply_problem(exchange, records.error());
  json::array out;
  for (const auto& r : *records)
    if (!r.path.starts_with('$')) out.push_back(record_json(r));
  co_await reply_json(exchange, 200, json::object{{"id", to_string(id)}, {"flow", (*job)->spec.name}, {"version", (*job)->spec.version}, {"state", to_string((*job)->state)}, {"records", std::move(out)}});
}

}  // namespace

Task<bool> flows_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/flows/", job = "/api/jobs/", end = "/stages";
  const bool stages = request.path.starts_with(job) && request.path.ends_with(end);
  if (request.method != "GET" || !(stages || request.path == "/api/flows" || request.path.starts_with(one))) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  WorkDoor& door = *parts.work;
  if (!who) {
    co_await reply_problem(exchange, who.error());
  } else if (stages) {
    const auto id = work::parse_job_id(request.path.substr(job.size(), request.path.size() - job.size() - end.size()));
    co_await stages_of(exchange, door, *who, id.value_or(work::JobId{}));
  } else if (request.path == "/api/flows") {
    json::array flows;
    for (const auto& flow : door.flows().all()) flows.push_back(flow_json(*flow, false));
    co_await reply_json(exchange, 200, json::object{{"flows", std::move(flows)}});
  } else if (const auto flow = door.flows().current(request.path.substr(one.size()))) {
    co_await reply_json(exchange, 200, flow_json(*flow, true));
  } else {
    co_await reply_problem(exchange, Error{ErrorCode::caller_not_found, "there is no such flow; GET /api/flows lists them", "flow"});
  }
  co_return true;
}

}  // namespace ballast::server
