// The form that answers. A Program's nodes keep what a refusal has to tell; a plan holds what is needed to say yes or no, laid out for speed:
// which kinds of value a schema takes at all and of which it asks more stand beside every reference to it, so that most values are
// judged where they are met; schemas that only refer to another are gone. Immutable. Private to schema/.
#pragma once
#include <deque>

#include "schema/name_table.hpp"
#include "schema/node.hpp"

namespace ballast::schema {

// Sets of json::kind.
using Kinds = std::uint8_t;
constexpr Kinds bit_of(json::kind kind) { return static_cast<Kinds>(1u << static_cast<unsigned>(kind)); }
inline constexpr Kinds kNoKind = 0, kEveryKind = 0xFF;
inline constexpr Kinds kTexts = bit_of(json::kind::string), kArrays = bit_of(json::kind::array),
                       kObjects = bit_of(json::kind::object);
inline constexpr Kinds kDoubles = bit_of(json::kind::double_),
                       kWholes = bit_of(json::kind::int64) | bit_of(json::kind::uint64);
inline constexpr Kinds kNumbers = kDoubles | kWholes;

// A schema as it is referred to.
struct Target {
  std::uint32_t shape = 0;
  Kinds takes = kEveryKind;  // any other kind is refused
  Kinds asks = kNoKind;  // of these the shape asks more; the others are taken
};

struct NumberPlan {
  bool plain = false;  // the bounds are doubles below 2^53, and all there is
  double low = 0, high = 0;
  bool has_low = false, has_high = false, above_low = false, below_high = false;
  const NumberRules* rules = nullptr;
};

// `enum` and `const`. Null is among the values where it is asked for.
struct ChoicePlan {
  NameTable texts;
  bool yes = false, no = false;
  bool few_numbers = false;  // and all are exact as doubles below 2^53
  std::vector<double> numbers;
  const ValueRules* rules = nullptr;
};

struct ArrayPlan {
  std::vector<Target> prefix;
  Target rest, contains, unevaluated;
  const ArrayRules* rules = nullptr;
};

struct MemberPlan {
  Target target;
  bool has_schema = false, required = false;
};

struct ObjectPlan {
  NameTable names;
  std::vector<MemberPlan> members;  // as in names
  bool sparse =
      false;  // one or two names and nothing about the others: they are looked for, instead of looking at each
  std::uint32_t required = 0;
  std::uint64_t min = 0, max = kUnbounded;
  std::vector<std::pair<const Pattern*, Target>> patterns;
  Target additional, member_names, unevaluated;
  std::vector<Target> dependencies;  // as in the rules'
  const ObjectRules* rules = nullptr;
};

struct InPlacePlan {
  std::vector<Target> all, any, one;  // all: $ref and allOf
  Target negated, condition, then, otherwise;
  const InPlaceRules* rules = nullptr;
};

struct Shape {
  bool whole = false;  // a double must be a whole number
  std::uint32_t resource = 0;
  const StringRules* string = nullptr;
  const NumberPlan* number = nullptr;
  const ArrayPlan* array = nullptr;
  const ObjectPlan* object = nullptr;
  const ChoicePlan *choices = nullptr, *constant = nullptr;
  const InPlacePlan* in_place = nullptr;
};

class Plan {
 public:
  // Of a program that stays where it is.
  explicit Plan(const Program& program);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const Shape& shape(std::uint32_t id) const { return shapes_[id]; }
  Target target(NodeId node) const { return node == kNone ? Target{} : targets_[node]; }
  // Whether judging must remember what has been evaluated and which resources it came through.
  bool remembers() const { return remembers_; }

 private:
  NodeId meant(NodeId node) const;  // behind schemas that only refer to another
  Target own(NodeId id) const;
  Target narrowed(NodeId id, const std::vector<Target>& owns) const;
  Kinds asked_in_place(const InPlaceRules& rules, const std::vector<Target>& owns) const;
  void lay_out(NodeId id);
  static Kinds asked_of(const Node& node);
  const NumberPlan* number_plan(const NumberRules& rules);
  const ChoicePlan* choice_plan(const ValueRules& rules);
  const ArrayPlan* array_plan(const ArrayRules& rules);
  const ObjectPlan* object_plan(const ObjectRules& rules);
  const InPlacePlan* in_place_plan(const InPlaceRules& rules);
  std::vector<Target> targets_of(const std::vector<NodeId>& nodes) const;

  const Program& program_;
  bool remembers_ = false;
  std::vector<Target> targets_;  // by node
  std::vector<Shape> shapes_;  // by node
  std::deque<NumberPlan> numbers_;
  std::deque<ChoicePlan> choices_;
  std::deque<ArrayPlan> arrays_;
  std::deque<ObjectPlan> objects_;
  std::deque<InPlacePlan> in_places_;
};

}  // namespace ballast::schema
