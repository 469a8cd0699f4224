// /api/nodes: the nodes of this installation, as this one sees them.
#include "cluster/duties.hpp"
#include "server/reply.hpp"
#include "server/routes.hpp"

namespace ballast::server {

namespace {

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// What a member wrote: of another version, perhaps. What engines say to each other is left out.
json::value load_of(const cluster::Member& m) {
  auto load = parse_json(m.load);
  if (!load || !load->is_object()) return json::object{};
  load->as_object().erase("work");
  return std::move(*load);
}

json::array nodes_json(const cluster::Picture& picture, const std::vector<cluster::Duty>& duties) {
  json::array out;
  for (const auto& seen : picture.members) {
    const cluster::Member& m = seen.member;
    const bool gone = m.state == cluster::MemberState::gone;
    const Duration age = std::max(picture.at - m.beat, Duration::zero());
    if (gone && age > cluster::kShownGone) continue;
    json::array held;
    for (const auto& d : duties)
      if (d.holder == m.boot) held.emplace_back(d.name);
    out.push_back(json::object{{"name", m.name}, {"slot", m.slot}, {"state", gone || seen.lives ? to_string(m.state) : std::string_view("silent")}, {"version", m.version},
                               {"address", m.address}, {"since", to_rfc3339(m.joined)}, {"beat_age_s", seconds(age)}, {"load", gone ? json::value(json::object{}) : load_of(m)},
                               {"duties", std::move(held)}});
  }
  return out;
}

}  // namespace

Task<bool> nodes_api(net::Exchange& exchange, const Parts& parts) {
  if (exchange.request().method != "GET" || exchange.request().path != "/api/nodes") co_return false;
  const auto who = require_scope(exchange, parts, gateway::Scope::read);
  if (!who || !parts.members) {
    co_await reply_problem(exchange, who ? Error{ErrorCode::caller_not_found, "this server is no node of an installation"} : who.error());
    co_return true;
  }
  const auto picture = parts.members->picture();
  co_await reply_json(exchange, 200, json::object{{"self", parts.members->name()},
                                                  {"installation", parts.members->installation()},
                                                  {"read_age_s", std::max(0.0, seconds(parts.clock.mono() - picture->read))},
                                                  {"nodes", nodes_json(*picture, parts.duties->seen())}});
  co_return true;
}

}  // namespace ballast::server
