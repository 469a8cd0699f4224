#include "schema/evaluate.hpp"

#include <fmt/format.h>

#include <algorithm>


namespace ballast::schema {

bool Evaluator::apply(NodeId id, const Value& v, const Trail& at, Marks* marks) {
  const Node& node = program_.nodes[id];
  if (node.refuses) return refuse(at, {}, [] { return std::string("is not allowed here"); });
  if (depth_ >= program_.max_depth)
    return stop(at, {}, [&] { return fmt::format("cannot be checked: more than {} schemas would be applied inside each other", program_.max_depth); });
  if (steps_ == 0) return stop(at, {}, [&] { return fmt::format("cannot be checked in the {} steps allowed", program_.max_steps); });
  --steps_;
  ++depth_;
  const bool new_scope = !program_.dynamic_names.empty() && (!scope_ || scope_->resource != node.resource);
  const bool ok = new_scope ? apply_in_scope(node, v, at, marks) : apply_node(node, v, at, marks);
  --depth_;
  return ok;
}

bool Evaluator::apply_in_scope(const Node& node, const Value& v, const Trail& at, Marks* marks) {
  const Scope scope{scope_, node.resource};
  scope_ = &scope;
  const bool ok = apply_node(node, v, at, marks);
  scope_ = scope.up;
  return ok;
}

bool Evaluator::apply_node(const Node& node, const Value& v, const Trail& at, Marks* marks) {
  const bool own = (node.object && node.object->unevaluated != kNone && v.is_object()) || (node.array && node.array->unevaluated != kNone && v.is_array());
  return own ? apply_with_marks(node, v, at, marks) : apply_keywords(node, v, at, marks);
}

bool Evaluator::apply_with_marks(const Node& node, const Value& v, const Trail& at, Marks* outer) {
  MarksFrame frame(scratch_, v.is_object() ? v.get_object().size() : v.get_array().size());
  if (!apply_keywords(node, v, at, &frame.marks)) return false;
  const bool ok = v.is_object() ? check_unevaluated_members(*node.object, v.get_object(), at, frame.marks)
                                : check_unevaluated_items(*node.array, v.get_array(), at, frame.marks);
  if (ok && outer) outer->all = true;
  return ok;
}

bool Evaluator::apply_keywords(const Node& node, const Value& v, const Trail& at, Marks* marks) {
  bool ok = !node.wanted_types || check_type(node, v, at);
  const auto more = [&] { return ok || goes_on(); };
  if (node.constant && more() && !check_values(*node.constant, v, at)) ok = false;
  if (node.choices && more() && !check_values(*node.choices, v, at)) ok = false;
  if (!more()) return false;
  switch (v.kind()) {
    case json::kind::object:
      if (node.object) {
        if (!check_object(*node.object, v.get_object(), at, marks)) ok = false;
        if (!node.object->dependencies.empty() && more() && !check_dependencies(*node.object, v.get_object(), v, at, marks)) ok = false;
      }
      break;
    case json::kind::array:
      if (node.array && !check_array(*node.array, v.get_array(), at, marks)) ok = false;
      break;
    case json::kind::string:
      if (node.string && !check_string(*node.string, v.get_string(), at)) ok = false;
      break;
    case json::kind::int64: case json::kind::uint64: case json::kind::double_:
      if (node.number && !check_number(*node.number, v, at)) ok = false;
      break;
    default: break;
  }
  if (node.in_place && more() && !check_in_place(*node.in_place, v, at, marks)) ok = false;
  return ok && !stopped_;
}

bool Evaluator::apply_muted(NodeId id, const Value& v, const Trail& at, Marks* marks) {
  ++muted_;
  const bool ok = apply(id, v, at, marks);
  --muted_;
  return ok && !stopped_;
}

// What a branch evaluates counts only if it fits.
bool Evaluator::apply_branch(NodeId id, const Value& v, const Trail& at, Marks* outer) {
  if (!outer) return apply(id, v, at, nullptr);
  MarksFrame frame(scratch_, outer->count);
  const bool ok = apply(id, v, at, &frame.marks);
  if (ok) scratch_.merge(*outer, frame.marks);
  return ok;
}

void Evaluator::note(const Trail& at, std::string_view keyword, std::string message, int nearness) {
  const auto road = at.road();
  Found found;
  for (const Trail* step : road)
    if (step->position != kNoIndex) found.order.push_back(step->position);
  found.number = noted_++;
  found.nearness = static_cast<int>(found.order.size()) + nearness;
  found.violation = {instance_path(road), schema_path(road, keyword), std::move(message)};
  found_.push_back(std::move(found));
}

std::vector<Found> Evaluator::take_found() {
  std::ranges::sort(found_, [](const Found& a, const Found& b) { return std::tie(a.order, a.number) < std::tie(b.order, b.number); });
  return std::move(found_);
}

}  // namespace ballast::schema
