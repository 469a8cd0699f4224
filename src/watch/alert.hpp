// Alert: one thing that is wrong, from when it was first seen until it is over. A value.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "watch/rule.hpp"

namespace ballast::watch {

enum class State : std::uint8_t { pending, firing, resolved };
std::string_view to_string(State state);
std::optional<State> state_from(std::string_view name);

using Labels = std::vector<std::pair<std::string, std::string>>;

struct Alert {
  std::int64_t id = 0;                       // given by the store; 0: not stored yet
  std::string rule;
  Kind kind = Kind::error_burst;
  Severity severity = Severity::ticket;
  State state = State::pending;
  Labels labels;                             // what it is about: nothing for everything together
  std::string title, detail;                 // for a person; what came from outside in them is text, never markup
  double value = 0, threshold = 0;           // in unit_of(kind)
  WallTime since{}, updated{};
  std::optional<WallTime> resolved_at;
  Labels evidence;                           // figures beside the value, as text
  std::optional<WallTime> announced;         // when receivers were last told of it, and of which state
  State told = State::pending;
  bool silenced = false;                     // by a silence in force; not stored
};

// One alert of a rule for each set of labels at a time: what it is known by while it lives.
std::string fingerprint(const Alert& alert);
// As the API has it: id, rule, kind, severity, state (silenced, where it is), title, detail, labels, value, threshold, unit, since, updated, resolved_at, evidence.
json::object alert_json(const Alert& alert);

}  // namespace ballast::watch
