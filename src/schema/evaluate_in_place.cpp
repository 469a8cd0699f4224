// The evaluator where schemas are applied to the same instance: references, alternatives, conditions.
#include <fmt/format.h>

#include <algorithm>

#include "schema/evaluate.hpp"

namespace ballast::schema {

bool Evaluator::check_in_place(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks) {
  bool ok = check_references(rules, v, at, marks);
  for (std::size_t i = 0; i < rules.all_of.size(); ++i) {
    if (!ok && !goes_on()) return false;
    if (!apply(rules.all_of[i], v, Trail::in_place(at, "allOf", i), marks)) ok = false;
  }
  if ((ok || goes_on()) && !rules.any_of.empty() && !check_alternatives(rules.any_of, "anyOf", false, v, at, marks)) ok = false;
  if ((ok || goes_on()) && !rules.one_of.empty() && !check_alternatives(rules.one_of, "oneOf", true, v, at, marks)) ok = false;
  if ((ok || goes_on()) && rules.negated != kNone && apply_muted(rules.negated, v, Trail::in_place(at, "not"), nullptr))
    ok = refuse(at, "not", [] { return std::string("must not fit the schema under \"not\""); });
  if ((ok || goes_on()) && rules.condition != kNone && !check_condition(rules, v, at, marks)) ok = false;
  return ok && !stopped_;
}

NodeId Evaluator::dynamic_target(const InPlaceRules& rules) const {
  NodeId target = rules.dynamic;
  for (const Scope* scope = scope_; scope; scope = scope->up)  // the outermost wins
    for (const auto& [resource, node] : program_.dynamic_names[rules.dynamic_name].targets)
      if (resource == scope->resource) target = node;
  return target;
}

bool Evaluator::check_references(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks) {
  bool ok = true;
  for (std::size_t i = 0; i < rules.references.size(); ++i) {
    if (!apply(rules.references[i], v, Trail::in_place(at, rules.reference_keywords[i]), marks)) ok = false;
    if (!ok && !goes_on()) return false;
  }
  if (rules.dynamic != kNone && !apply(dynamic_target(rules), v, Trail::in_place(at, rules.dynamic_keyword), marks)) ok = false;
  return ok;
}

bool Evaluator::check_condition(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks) {
  ++muted_;
  const bool held = apply_branch(rules.condition, v, Trail::in_place(at, "if"), marks);
  --muted_;
  if (stopped_) return false;
  const NodeId next = held ? rules.then : rules.otherwise;
  return next == kNone || apply(next, v, Trail::in_place(at, held ? "then" : "else"), marks);
}

bool Evaluator::check_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, bool only_one, const Value& v, const Trail& at,
                                       Marks* marks) {
  std::size_t fitting = 0, first = 0;
  ++muted_;
  for (std::size_t i = 0; i < branches.size() && !stopped_; ++i) {
    if (!apply_branch(branches[i], v, Trail::in_place(at, keyword, i), marks)) continue;
    if (fitting++ == 0) first = i;
    else if (only_one) {
      --muted_;
      return refuse(at, keyword, [&] { return fmt::format("must fit exactly one of {} alternatives, fits number {} and number {}", branches.size(), first + 1, i + 1); });
    }
    if (!only_one && !marks) break;
  }
  --muted_;
  if (stopped_) return false;
  return fitting > 0 || explain_alternatives(branches, keyword, v, at);
}

// None fits: what is wrong with the nearest, the one whose first trouble is deepest in the instance.
bool Evaluator::explain_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, const Value& v, const Trail& at) {
  if (!goes_on()) return false;
  constexpr std::size_t most_tried = 32, most_told = 8;
  const std::size_t mark = found_.size(), room = room_;
  std::vector<Found> best;
  std::size_t nearest = 0;
  const auto rank = [](const std::vector<Found>& found) {
    int worst = 1 << 30;
    for (const auto& f : found) worst = std::min(worst, f.nearness);
    return std::pair(worst, -static_cast<long>(found.size()));
  };
  for (std::size_t i = 0; i < std::min(branches.size(), most_tried); ++i) {
    room_ = mark + most_told;
    apply(branches[i], v, Trail::in_place(at, keyword, i), nullptr);
    room_ = room;
    if (stopped_) return false;
    std::vector<Found> mine(std::make_move_iterator(found_.begin() + static_cast<std::ptrdiff_t>(mark)), std::make_move_iterator(found_.end()));
    found_.resize(mark);
    if (i == 0 || rank(mine) > rank(best)) {
      best = std::move(mine);
      nearest = i;
    }
  }
  refuse(at, keyword, [&] { return fmt::format("fits none of {} alternatives; the nearest is number {}", branches.size(), nearest + 1); });
  for (auto& f : best) {
    f.number = noted_++;  // after the line above, where both are about the same place
    found_.push_back(std::move(f));
  }
  return false;
}

}  // namespace ballast::schema
