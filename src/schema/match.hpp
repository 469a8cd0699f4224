// Applies a plan to an instance and answers yes or no. `kRemembers` says whether it keeps what has been evaluated and which resources it
// came through: only schemas with unevaluated* or a dynamic reference need that. Private to schema/.
//
// What counts as evaluated is kept as bits in a buffer of the thread's, a frame for each schema that asks; a branch that fails drops
// its frame. A limit that is met ends everything: `not` cannot turn it around.
#pragma once
#include "schema/evaluate.hpp"
#include "schema/plan.hpp"

namespace ballast::schema {

template <bool kRemembers>
class Matcher {
 public:
  Matcher(const Program& program, const Plan& plan, Scratch& scratch)
      : program_(program), plan_(plan), scratch_(scratch), steps_(program.max_steps) {}

  bool run(const json::value& instance) { return fits(plan_.target(program_.root), instance, nullptr) && !stopped_; }

 private:
  using Value = json::value;
  struct Scope {
    const Scope* up;
    std::uint32_t resource;
  };
  struct Pending {
    const Value* value;
    std::uint32_t shape;
  };
  // What is to be looked into once everything cheap has been asked of all members.
  struct Later {
    std::array<Pending, 24> list;
    std::size_t count = 0;
  };

  bool fits(const Target& target, const Value& v, Marks* marks) {
    const Kinds kind = bit_of(v.kind());
    return (target.takes & kind) && (!(target.asks & kind) || look(target.shape, v, marks));
  }
  bool fits_later(const Target& target, const Value& v, Later& later);
  bool look(std::uint32_t id, const Value& v, Marks* marks);
  bool look_in_scope(const Shape& shape, const Value& v, Marks* marks);
  bool look_with_marks(const Shape& shape, const Value& v, Marks* outer);
  bool look_into(const Shape& shape, const Value& v, Marks* marks);

  bool number(const NumberPlan& plan, const Value& v);
  bool chosen(const ChoicePlan& plan, const Value& v);
  bool string(const StringRules& rules, std::string_view text);
  bool array(const ArrayPlan& plan, const json::array& items, Marks* marks);
  bool contains(const ArrayPlan& plan, const json::array& items, Marks* marks);
  bool unique(const json::array& items);
  bool object(const ObjectPlan& plan, const json::object& members, const Value& v, Marks* marks);
  bool each_member(const ObjectPlan& plan, const json::object& members, Marks* marks);
  bool few_members(const ObjectPlan& plan, const json::object& members, Marks* marks);
  bool name(const Target& target, std::string_view text);
  bool dependencies(const ObjectPlan& plan, const json::object& members, const Value& v, Marks* marks);
  bool in_place(const InPlacePlan& plan, const Value& v, Marks* marks);
  bool alternatives(const std::vector<Target>& branches, bool only_one, const Value& v, Marks* marks);
  bool condition(const InPlacePlan& plan, const Value& v, Marks* marks);
  bool branch(const Target& target, const Value& v, Marks* outer);
  NodeId dynamic_target(const InPlaceRules& rules) const;
  bool unevaluated(const Shape& shape, const Value& v, const Marks& marks);

  bool matches(const Pattern& pattern, std::string_view text) {
    const auto found = pattern.search(text, program_.max_pattern_steps, steps_);
    return found == Pattern::Found::too_much ? stop() : found == Pattern::Found::yes;
  }
  bool equals(const Value& a, const Value& b) {
    bool too_deep = false;
    const bool same = equal(a, b, too_deep);
    return too_deep ? stop() : same;
  }
  void charge(std::uint64_t steps) { steps_ -= std::min(steps_, steps); }
  bool stop() {
    stopped_ = true;
    return false;
  }

  const Program& program_;
  const Plan& plan_;
  Scratch& scratch_;
  const Scope* scope_ = nullptr;
  std::uint64_t steps_;
  std::size_t depth_ = 0;
  bool stopped_ = false;
};

// Whether the instance fits, by the matcher that the plan needs.
bool matches(const Program& program, const Plan& plan, Scratch& scratch, const json::value& instance);

}  // namespace ballast::schema
