#include "schema/plan.hpp"

#include <algorithm>
#include <cmath>

namespace ballast::schema {

namespace {

Kinds kinds_of_type(const Node& node) {
  using enum json::kind;
  Kinds kinds = kNoKind;
  if (node.types & kNull) kinds |= bit_of(null);
  if (node.types & kBool) kinds |= bit_of(bool_);
  if (node.types & (kNumber | kInteger)) kinds |= kWholes;
  if ((node.types & kNumber) || ((node.types & kInteger) && !node.whole_by_text)) kinds |= kDoubles;
  if (node.types & kString) kinds |= kTexts;
  if (node.types & kArray) kinds |= kArrays;
  if (node.types & kObject) kinds |= kObjects;
  return kinds;
}

// A number equals one of another kind.
Kinds kinds_of_values(const ValueRules& rules) {
  Kinds kinds = kNoKind;
  for (const auto& value : rules.values) kinds |= is_number(value) ? kNumbers : bit_of(value.kind());
  return kinds;
}

// Of which there is no other value.
Kinds kinds_all_in(const ValueRules& rules) {
  bool null = false, yes = false, no = false;
  for (const auto& value : rules.values) {
    null = null || value.is_null();
    if (value.is_bool()) (value.get_bool() ? yes : no) = true;
  }
  return static_cast<Kinds>((null ? bit_of(json::kind::null) : kNoKind) |
                            (yes && no ? bit_of(json::kind::bool_) : kNoKind));
}

// Nothing but one reference.
bool only_refers(const Node& node) {
  if (!node.in_place || node.refuses || node.wanted_types || node.constant || node.choices || node.number ||
      node.string || node.array || node.object)
    return false;
  const auto& rules = *node.in_place;
  return rules.references.size() + rules.all_of.size() == 1 && rules.dynamic == kNone && rules.any_of.empty() &&
         rules.one_of.empty() && rules.negated == kNone && rules.condition == kNone;
}

// A number of this size is exact as a double, and an integer beyond it is still beyond it when rounded.
bool is_small(double number) { return std::abs(number) < 0x1p53; }

bool has_unevaluated(const Node& node) {
  return (node.object && node.object->unevaluated != kNone) || (node.array && node.array->unevaluated != kNone);
}

}  // namespace

Plan::Plan(const Program& program) : program_(program) {
  const auto count = static_cast<NodeId>(program.nodes.size());
  remembers_ = !program.dynamic_names.empty() || std::ranges::any_of(program.nodes, has_unevaluated);
  std::vector<Target> owns;
  for (NodeId id = 0; id < count; ++id) owns.push_back(own(id));
  for (NodeId id = 0; id < count; ++id) targets_.push_back(narrowed(meant(id), owns));
  shapes_.resize(count);
  for (NodeId id = 0; id < count; ++id) lay_out(id);
}

// A resource that is passed through counts for dynamic references. Schemas never refer to each other in a circle (compile.cpp).
NodeId Plan::meant(NodeId id) const {
  if (!program_.dynamic_names.empty()) return id;
  while (only_refers(program_.nodes[id])) {
    const auto& rules = *program_.nodes[id].in_place;
    id = rules.references.empty() ? rules.all_of[0] : rules.references[0];
  }
  return id;
}

// Without what is applied to the same value.
Kinds Plan::asked_of(const Node& node) {
  Kinds asks = kNoKind;
  for (const auto* values : {node.constant.get(), node.choices.get()})
    if (values) asks |= static_cast<Kinds>(kinds_of_values(*values) & ~kinds_all_in(*values));
  if (node.wanted_types && !(node.types & kNumber)) asks |= kDoubles;
  if (node.string) asks |= kTexts;
  if (node.number) asks |= kNumbers;
  if (node.array) asks |= kArrays;
  if (node.object) asks |= kObjects;
  return asks;
}

Target Plan::own(NodeId id) const {
  const Node& node = program_.nodes[id];
  Target out{id, node.refuses ? kNoKind : node.wanted_types ? kinds_of_type(node) : kEveryKind, kNoKind};
  for (const auto* values : {node.constant.get(), node.choices.get()})
    if (values) out.takes &= kinds_of_values(*values);
  out.asks = out.takes & (node.in_place ? kEveryKind : asked_of(node));
  return out;
}

// What is applied to the same value narrows the kinds, or has nothing to ask of some.
Target Plan::narrowed(NodeId id, const std::vector<Target>& owns) const {
  Target out = owns[id];
  const Node& node = program_.nodes[id];
  if (!node.in_place || remembers_) return out;
  const auto& rules = *node.in_place;
  const auto own_of = [&](NodeId other) { return owns[meant(other)]; };
  for (const auto* list : {&rules.references, &rules.all_of})
    for (const NodeId other : *list) out.takes &= own_of(other).takes;
  for (const auto* list : {&rules.any_of, &rules.one_of}) {
    Kinds some = kNoKind;
    for (const NodeId other : *list) some |= own_of(other).takes;
    if (!list->empty()) out.takes &= some;
  }
  out.asks = out.takes & (asked_in_place(rules, owns) | asked_of(node));
  return out;
}

// The kinds of which something is asked where all that is applied to the same value takes them.
Kinds Plan::asked_in_place(const InPlaceRules& rules, const std::vector<Target>& owns) const {
  if (rules.negated != kNone || rules.condition != kNone || rules.dynamic != kNone) return kEveryKind;
  const auto own_of = [&](NodeId other) { return owns[meant(other)]; };
  Kinds asks = kNoKind;
  for (const auto* list : {&rules.references, &rules.all_of})
    for (const NodeId other : *list) asks |= own_of(other).asks;
  Kinds surely = rules.any_of.empty() ? kEveryKind : kNoKind;
  for (const NodeId other : rules.any_of) surely |= static_cast<Kinds>(own_of(other).takes & ~own_of(other).asks);
  asks |= static_cast<Kinds>(~surely);
  Kinds once = kNoKind, twice = kNoKind, unsure = kNoKind;
  for (const NodeId other : rules.one_of) {
    twice |= once & own_of(other).takes;
    once |= own_of(other).takes;
    unsure |= own_of(other).asks;
  }
  return asks | twice | unsure;
}

std::vector<Target> Plan::targets_of(const std::vector<NodeId>& nodes) const {
  std::vector<Target> out;
  for (const NodeId node : nodes) out.push_back(target(node));
  return out;
}

void Plan::lay_out(NodeId id) {
  const Node& node = program_.nodes[id];
  Shape& shape = shapes_[id];
  shape.whole = node.wanted_types && !(node.types & kNumber);
  shape.resource = node.resource;
  shape.string = node.string.get();
  if (node.number) shape.number = number_plan(*node.number);
  if (node.constant) shape.constant = choice_plan(*node.constant);
  if (node.choices) shape.choices = choice_plan(*node.choices);
  if (node.array) shape.array = array_plan(*node.array);
  if (node.object) shape.object = object_plan(*node.object);
  if (node.in_place) shape.in_place = in_place_plan(*node.in_place);
}

const NumberPlan* Plan::number_plan(const NumberRules& rules) {
  NumberPlan plan{.rules = &rules};
  const auto simple = [](const std::optional<json::value>& bound) {
    return !bound || is_small(bound->to_number<double>());
  };
  plan.plain = !rules.step && !(rules.least && rules.above) && !(rules.most && rules.below) && simple(rules.least) &&
               simple(rules.above) && simple(rules.most) && simple(rules.below);
  if (plan.plain) {
    plan.above_low = rules.above.has_value();
    plan.below_high = rules.below.has_value();
    const auto &low = rules.above ? rules.above : rules.least, &high = rules.below ? rules.below : rules.most;
    plan.has_low = low.has_value(), plan.has_high = high.has_value();
    if (low) plan.low = low->to_number<double>();
    if (high) plan.high = high->to_number<double>();
  }
  return &numbers_.emplace_back(plan);
}

const ChoicePlan* Plan::choice_plan(const ValueRules& rules) {
  constexpr std::size_t few = 8;
  std::vector<std::string_view> texts;
  ChoicePlan plan{.rules = &rules};
  for (const auto& value : rules.values) {
    if (const auto* text = value.if_string()) texts.emplace_back(*text);
    else if (value.is_bool()) (value.get_bool() ? plan.yes : plan.no) = true;
    else if (is_number(value)) plan.numbers.push_back(value.to_number<double>());
  }
  plan.few_numbers = plan.numbers.size() <= few && std::ranges::all_of(plan.numbers, is_small);
  std::ranges::sort(texts);
  const auto repeated = std::ranges::unique(texts);
  texts.erase(repeated.begin(), repeated.end());
  plan.texts = NameTable(std::move(texts));
  return &choices_.emplace_back(std::move(plan));
}

const ArrayPlan* Plan::array_plan(const ArrayRules& rules) {
  return &arrays_.emplace_back(ArrayPlan{targets_of(rules.prefix), target(rules.rest), target(rules.contains),
                                         target(rules.unevaluated), &rules});
}

const ObjectPlan* Plan::object_plan(const ObjectRules& rules) {
  ObjectPlan plan;
  std::vector<std::string_view> names;
  for (const auto& member : rules.members.all()) {
    names.emplace_back(member.name);
    plan.members.push_back({target(member.schema), member.schema != kNone, member.required});
  }
  plan.names = NameTable(std::move(names));
  plan.sparse = plan.members.size() <= 2 && rules.patterns.empty() && rules.additional == kNone && rules.names == kNone;
  plan.required = static_cast<std::uint32_t>(rules.required);
  plan.min = std::max<std::uint64_t>(rules.min, rules.required);
  plan.max = rules.max;
  for (const auto& [pattern, schema] : rules.patterns) plan.patterns.emplace_back(&pattern, target(schema));
  plan.additional = target(rules.additional);
  plan.member_names = target(rules.names);
  plan.unevaluated = target(rules.unevaluated);
  for (const auto& dependency : rules.dependencies) plan.dependencies.push_back(target(dependency.schema));
  plan.rules = &rules;
  return &objects_.emplace_back(std::move(plan));
}

const InPlacePlan* Plan::in_place_plan(const InPlaceRules& rules) {
  InPlacePlan plan{
      targets_of(rules.references), targets_of(rules.any_of), targets_of(rules.one_of), target(rules.negated),
      target(rules.condition),      target(rules.then),       target(rules.otherwise),  &rules};
  for (const NodeId node : rules.all_of) plan.all.push_back(target(node));
  return &in_places_.emplace_back(std::move(plan));
}

}  // namespace ballast::schema
