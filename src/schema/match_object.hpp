// The matcher on objects. Private: part of match.cpp.
#pragma once
#include "schema/match.hpp"

namespace ballast::schema {

template <bool kRemembers>
bool Matcher<kRemembers>::fits_later(const Target& target, const Value& v, Later& later) {
  const Kinds kind = bit_of(v.kind());
  if (!(target.takes & kind)) return false;
  if (!(target.asks & kind)) return true;
  if (later.count == later.list.size()) return look(target.shape, v, nullptr);
  later.list[later.count++] = {&v, target.shape};
  return true;
}

template <bool kRemembers>
bool Matcher<kRemembers>::object(const ObjectPlan& plan, const json::object& members, const Value& v, Marks* marks) {
  if (members.size() < plan.min || members.size() > plan.max) return false;
  charge(members.size() / 4);
  if (!(plan.sparse ? few_members(plan, members, marks) : each_member(plan, members, marks))) return false;
  if constexpr (kRemembers)
    if (marks && plan.rules->additional != kNone) marks->all = true;
  return plan.dependencies.empty() || dependencies(plan, members, v, marks);
}

// All members are asked for their names and kinds before one is looked into: that finds most of what is wrong.
template <bool kRemembers>
bool Matcher<kRemembers>::each_member(const ObjectPlan& plan, const json::object& members, Marks* marks) {
  Later later;
  std::uint32_t required = 0;
  std::size_t i = 0;
  for (const auto& member : members) {
    const std::string_view name = member.key();
    bool evaluated = false;
    if (const auto n = plan.names.find(name); n != NameTable::kNothing) {
      const MemberPlan& known = plan.members[n];
      required += known.required;
      evaluated = known.has_schema;
      if (evaluated && !fits_later(known.target, member.value(), later)) return false;
    }
    for (const auto& [pattern, target] : plan.patterns) {
      if (!matches(*pattern, name)) continue;
      evaluated = true;
      if (!fits_later(target, member.value(), later)) return false;
    }
    if (!evaluated && !fits_later(plan.additional, member.value(), later)) return false;
    if (plan.rules->names != kNone && !this->name(plan.member_names, name)) return false;
    if constexpr (kRemembers)
      if (marks && evaluated) scratch_.mark(*marks, i);
    ++i;
  }
  if (stopped_ || required != plan.required) return false;
  for (std::size_t n = 0; n < later.count; ++n)
    if (!look(later.list[n].shape, *later.list[n].value, nullptr)) return false;
  return true;
}

// One or two names among the members.
template <bool kRemembers>
bool Matcher<kRemembers>::few_members(const ObjectPlan& plan, const json::object& members, Marks* marks) {
  Later later;
  for (std::size_t n = 0; n < plan.members.size(); ++n) {
    const std::string_view name = plan.names.names()[n];
    const auto* at = std::ranges::find_if(members, [&](const auto& member) {
      return member.key().size() == name.size() && std::string_view(member.key()) == name;
    });
    if (at == members.end()) {
      if (plan.members[n].required) return false;
      continue;
    }
    if (!plan.members[n].has_schema) continue;
    if (!fits_later(plan.members[n].target, at->value(), later)) return false;
    if constexpr (kRemembers)
      if (marks) scratch_.mark(*marks, static_cast<std::size_t>(at - members.begin()));
  }
  for (std::size_t n = 0; n < later.count; ++n)
    if (!look(later.list[n].shape, *later.list[n].value, nullptr)) return false;
  return true;
}

template <bool kRemembers>
[[gnu::noinline]] bool Matcher<kRemembers>::name(const Target& target, std::string_view text) {
  if (!(target.takes & kTexts)) return false;
  if (!(target.asks & kTexts)) return true;
  unsigned char buffer[512];
  json::monotonic_resource memory(buffer, sizeof buffer);
  const json::value value(json::string_view(text), &memory);
  return look(target.shape, value, nullptr);
}

template <bool kRemembers>
bool Matcher<kRemembers>::dependencies(const ObjectPlan& plan, const json::object& members, const Value& v,
                                       Marks* marks) {
  for (std::size_t i = 0; i < plan.dependencies.size(); ++i) {
    const Dependency& dependency = plan.rules->dependencies[i];
    if (!members.contains(dependency.name)) continue;
    if (!std::ranges::all_of(dependency.required, [&](const auto& name) { return members.contains(name); }))
      return false;
    if (!fits(plan.dependencies[i], v, marks)) return false;
  }
  return true;
}

template <bool kRemembers>
bool Matcher<kRemembers>::unevaluated(const Shape& shape, const Value& v, const Marks& marks) {
  std::size_t i = 0;
  if (v.is_object())
    return std::ranges::all_of(v.get_object(), [&](const auto& member) {
      return scratch_.marked(marks, i++) || fits(shape.object->unevaluated, member.value(), nullptr);
    });
  return std::ranges::all_of(v.get_array(), [&](const auto& item) {
    return scratch_.marked(marks, i++) || fits(shape.array->unevaluated, item, nullptr);
  });
}

}  // namespace ballast::schema
