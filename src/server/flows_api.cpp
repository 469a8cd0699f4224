// Flows: those in force.
#include "server/job_json.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"
#include "server/work_door.hpp"

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

}  // namespace

Task<bool> flows_api(net::Exchange& exchange, const Parts& parts) {
  const auto& request = exchange.request();
  constexpr std::string_view one = "/api/flows/";
  if (request.method != "GET" || !(request.path == "/api/flows" || request.path.starts_with(one))) co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::call);
  WorkDoor& door = *parts.work;
  if (!who) {
    co_await reply_problem(exchange, who.error());
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
