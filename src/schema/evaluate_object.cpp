// The evaluator on objects.
#include <fmt/format.h>

#include "base/text.hpp"
#include "schema/evaluate.hpp"

namespace ballast::schema {

bool Evaluator::check_object(const ObjectRules& rules, const json::object& members, const Trail& at, Marks* marks) {
  bool ok = true;
  if (members.size() < rules.min)
    ok = refuse(at, "minProperties", [&] { return fmt::format("must have at least {} members, has {}", rules.min, members.size()); });
  if (members.size() > rules.max)
    ok = refuse(at, "maxProperties", [&] { return fmt::format("must have at most {} members, has {}", rules.max, members.size()); });
  if (!ok && !goes_on()) return false;
  std::size_t required = 0, i = 0;
  const bool each = !rules.members.all().empty() || !rules.patterns.empty() || rules.additional != kNone || rules.names != kNone;
  if (each)
    for (const auto& member : members) {
      if (!check_member(rules, member, i++, required, at, marks)) ok = false;
      if (!ok && !goes_on()) return false;
    }
  if (marks && rules.additional != kNone) marks->all = true;
  return (required == rules.required || check_required(rules, members, at)) && ok;
}

bool Evaluator::check_member(const ObjectRules& rules, const json::key_value_pair& member, std::size_t i, std::size_t& required, const Trail& at,
                                 Marks* marks) {
  const std::string_view name = member.key();
  bool ok = true, evaluated = false;
  if (const auto* known = rules.members.find(name, i)) {
    required += known->required;
    if (known->schema != kNone) {
      evaluated = true;
      ok = apply(known->schema, member.value(), Trail::to_member(at, "properties", name, name, i), nullptr);
    }
  }
  for (const auto& [pattern, schema] : rules.patterns) {
    if (!ok && !goes_on()) return false;
    if (!matches(pattern, name, at, "patternProperties")) continue;
    evaluated = true;
    if (!apply(schema, member.value(), Trail::to_member(at, "patternProperties", pattern.source(), name, i), nullptr)) ok = false;
  }
  if (stopped_ || (!ok && !goes_on())) return false;
  if (!evaluated && rules.additional != kNone) {
    if (program_.nodes[rules.additional].refuses) return refuse_additional(rules, name, i, at);
    if (!apply(rules.additional, member.value(), Trail::to_member(at, "additionalProperties", name, i), nullptr)) ok = false;
  }
  if (rules.names != kNone && (ok || goes_on()) && !check_name(rules.names, name, i, at)) ok = false;
  if (marks && evaluated) scratch_.mark(*marks, i);
  return ok;
}

bool Evaluator::check_name(NodeId names, std::string_view name, std::size_t i, const Trail& at) {
  unsigned char buffer[512];
  json::monotonic_resource memory(buffer, sizeof buffer);
  const json::value value(json::string_view(name), &memory);
  const std::size_t before = found_.size();
  if (apply(names, value, Trail::to_member(at, "propertyNames", name, i), nullptr)) return true;
  if (!stopped_)
    for (std::size_t f = before; f < found_.size(); ++f) found_[f].violation.message = "its name " + found_[f].violation.message;
  return false;
}

bool Evaluator::refuse_additional(const ObjectRules& rules, std::string_view name, std::size_t i, const Trail& at) {
  return refuse(Trail::to_member(at, "additionalProperties", name, i), {}, [&] {
    std::vector<std::string> known;
    for (const auto& m : rules.members.all())
      if (known.size() < 1000) known.push_back(m.name);
    const auto near = name.size() <= 64 ? nearest_name(name, std::span<const std::string>(known)) : std::string_view{};
    return near.empty() ? std::string("is not allowed here") : fmt::format("is not allowed here; did you mean \"{}\"?", near);
  });
}

bool Evaluator::check_required(const ObjectRules& rules, const json::object& members, const Trail& at) {
  for (const auto& m : rules.members.all()) {
    if (!m.required || members.contains(m.name)) continue;
    refuse(at, "required", [&] { return fmt::format("must have the member \"{}\"", m.name); });
    if (!goes_on()) break;
  }
  return false;
}

bool Evaluator::check_dependencies(const ObjectRules& rules, const json::object& members, const Value& v, const Trail& at, Marks* marks) {
  bool ok = true;
  for (const auto& dependency : rules.dependencies) {
    if (!members.contains(dependency.name)) continue;
    for (const auto& name : dependency.required)
      if (!members.contains(name))
        ok = refuse(Trail::keyed(at, dependency.keyword, dependency.name), {},
                    [&] { return fmt::format("must have the member \"{}\", because it has \"{}\"", name, dependency.name); });
    if (dependency.schema != kNone && !apply(dependency.schema, v, Trail::keyed(at, dependency.keyword, dependency.name), marks)) ok = false;
    if (!ok && !goes_on()) return false;
  }
  return ok;
}

bool Evaluator::check_unevaluated_members(const ObjectRules& rules, const json::object& members, const Trail& at, const Marks& marks) {
  bool ok = true;
  std::size_t i = 0;
  for (const auto& member : members) {
    const std::size_t position = i++;
    if (scratch_.marked(marks, position)) continue;
    if (!apply(rules.unevaluated, member.value(), Trail::to_member(at, "unevaluatedProperties", std::string_view(member.key()), position), nullptr)) ok = false;
    if (!ok && !goes_on()) return false;
  }
  return ok;
}

}  // namespace ballast::schema
