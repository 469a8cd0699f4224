#include "schema/match.hpp"

#include <algorithm>

#include "schema/match_object.hpp"
#include "schema/match_values.hpp"

namespace ballast::schema {

template <bool kRemembers>
bool Matcher<kRemembers>::look(std::uint32_t id, const Value& v, Marks* marks) {
  if (depth_ >= program_.max_depth || steps_ == 0) return stop();
  --steps_;
  ++depth_;
  const Shape& shape = plan_.shape(id);
  bool ok;
  if constexpr (kRemembers) ok = look_in_scope(shape, v, marks);
  else ok = look_into(shape, v, marks);
  --depth_;
  return ok;
}

template <bool kRemembers>
bool Matcher<kRemembers>::look_in_scope(const Shape& shape, const Value& v, Marks* marks) {
  const Scope scope{scope_, shape.resource};
  const Scope* const before = scope_;
  if (!scope_ || scope_->resource != shape.resource) scope_ = &scope;
  const bool own = (v.is_object() && shape.object && shape.object->rules->unevaluated != kNone) ||
                   (v.is_array() && shape.array && shape.array->rules->unevaluated != kNone);
  const bool ok = own ? look_with_marks(shape, v, marks) : look_into(shape, v, marks);
  scope_ = before;
  return ok;
}

template <bool kRemembers>
[[gnu::noinline]] bool Matcher<kRemembers>::look_with_marks(const Shape& shape, const Value& v, Marks* outer) {
  MarksFrame frame(scratch_, v.is_object() ? v.get_object().size() : v.get_array().size());
  if (!look_into(shape, v, &frame.marks) || !unevaluated(shape, v, frame.marks)) return false;
  if (outer) outer->all = true;
  return true;
}

template <bool kRemembers>
bool Matcher<kRemembers>::look_into(const Shape& shape, const Value& v, Marks* marks) {
  switch (v.kind()) {
    case json::kind::object:
      if (shape.object && !object(*shape.object, v.get_object(), v, marks)) return false;
      break;
    case json::kind::array:
      if (shape.array && !array(*shape.array, v.get_array(), marks)) return false;
      break;
    case json::kind::string:
      if (shape.string && !string(*shape.string, v.get_string())) return false;
      break;
    case json::kind::double_:
      if (shape.whole && !is_whole(v)) return false;
      [[fallthrough]];
    case json::kind::int64:
    case json::kind::uint64:
      if (shape.number && !number(*shape.number, v)) return false;
      break;
    default: break;
  }
  return (!shape.choices || chosen(*shape.choices, v)) && (!shape.constant || chosen(*shape.constant, v)) &&
         (!shape.in_place || in_place(*shape.in_place, v, marks)) && !stopped_;
}

// ---- Schemas applied to the same value

template <bool kRemembers>
bool Matcher<kRemembers>::in_place(const InPlacePlan& plan, const Value& v, Marks* marks) {
  const InPlaceRules& rules = *plan.rules;
  for (const Target& one : plan.all)
    if (!fits(one, v, marks)) return false;
  if constexpr (kRemembers)
    if (rules.dynamic != kNone && !fits(plan_.target(dynamic_target(rules)), v, marks)) return false;
  if (!plan.any.empty() && !alternatives(plan.any, false, v, marks)) return false;
  if (!plan.one.empty() && !alternatives(plan.one, true, v, marks)) return false;
  if (rules.negated != kNone && (fits(plan.negated, v, nullptr) || stopped_)) return false;
  return rules.condition == kNone || condition(plan, v, marks);
}

template <bool kRemembers>
NodeId Matcher<kRemembers>::dynamic_target(const InPlaceRules& rules) const {
  NodeId target = rules.dynamic;
  for (const Scope* scope = scope_; scope; scope = scope->up)  // the outermost wins
    for (const auto& [resource, node] : program_.dynamic_names[rules.dynamic_name].targets)
      if (resource == scope->resource) target = node;
  return target;
}

template <bool kRemembers>
bool Matcher<kRemembers>::alternatives(const std::vector<Target>& branches, bool only_one, const Value& v,
                                       Marks* marks) {
  bool found = false;
  for (const Target& one : branches) {
    if (!branch(one, v, marks)) continue;
    if (found && only_one) return false;
    found = true;
    if (!only_one && !marks) break;
  }
  return found && !stopped_;
}

template <bool kRemembers>
bool Matcher<kRemembers>::condition(const InPlacePlan& plan, const Value& v, Marks* marks) {
  const bool held = branch(plan.condition, v, marks);
  return !stopped_ && fits(held ? plan.then : plan.otherwise, v, marks);
}

// What a branch evaluates counts only if it fits.
template <bool kRemembers>
bool Matcher<kRemembers>::branch(const Target& target, const Value& v, Marks* outer) {
  if constexpr (kRemembers) {
    if (outer) {
      MarksFrame frame(scratch_, outer->count);
      const bool ok = fits(target, v, &frame.marks);
      if (ok) scratch_.merge(*outer, frame.marks);
      return ok;
    }
  }
  return fits(target, v, nullptr);
}

bool matches(const Program& program, const Plan& plan, Scratch& scratch, const json::value& instance) {
  return plan.remembers() ? Matcher<true>(program, plan, scratch).run(instance)
                          : Matcher<false>(program, plan, scratch).run(instance);
}

}  // namespace ballast::schema
