#include "watch/alert.hpp"

namespace ballast::watch {

namespace {

json::object object_of(const Labels& labels) {
  json::object o;
  for (const auto& [name, value] : labels) o[name] = value;
  return o;
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::pending: return "pending";
    case State::firing: return "firing";
    case State::resolved: return "resolved";
  }
  return "";
}

std::optional<State> state_from(std::string_view name) {
  for (const State s : {State::pending, State::firing, State::resolved})
    if (to_string(s) == name) return s;
  return std::nullopt;
}

std::string fingerprint(const Alert& alert) {
  std::string out = alert.rule;
  for (const auto& [name, value] : alert.labels) out += '\x1f' + name + '\x1f' + value;
  return out;
}

json::object alert_json(const Alert& a) {
  const bool silenced = a.silenced && a.state == State::firing;
  return {{"id", "alert_" + std::to_string(a.id)}, {"rule", a.rule}, {"kind", to_string(a.kind)}, {"severity", to_string(a.severity)},
          {"state", silenced ? "silenced" : to_string(a.state)}, {"title", a.title}, {"detail", a.detail}, {"labels", object_of(a.labels)},
          {"value", a.value}, {"threshold", a.threshold}, {"unit", unit_of(a.kind)}, {"since", to_rfc3339(a.since)}, {"updated", to_rfc3339(a.updated)},
          {"resolved_at", a.resolved_at ? json::value(to_rfc3339(*a.resolved_at)) : json::value(nullptr)}, {"evidence", object_of(a.evidence)}};
}

}  // namespace ballast::watch
