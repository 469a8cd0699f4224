// Applies a program to an instance and says why it does not fit; whether it fits is the matcher's to answer (match.hpp), which is quicker
// and agrees. Private to schema/.
//
// A branch that fails drops what it has evaluated. A limit that is met ends everything: `not` cannot turn it around.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/marks.hpp"
#include "schema/node.hpp"
#include "schema/trail.hpp"

namespace ballast::schema {

struct Found {
  Violation violation;
  std::vector<std::size_t> order;  // positions from the root down: the order of the instance
  std::size_t number = 0;          // in which it was found
  int nearness = 0;                // how far into the instance; wrong types and constants count as less
};

class Evaluator {
 public:
  Evaluator(const Program& program, Scratch& scratch, std::size_t room) : program_(program), scratch_(scratch), steps_(program.max_steps), room_(room) {}

  bool run(const json::value& instance) {
    const bool ok = apply(program_.root, instance, Trail{}, nullptr);
    return ok && !stopped_;
  }
  // Stable, in the order of the instance.
  std::vector<Found> take_found();

 private:
  using Value = json::value;
  struct Scope {
    const Scope* up;
    std::uint32_t resource;
  };

  bool apply(NodeId id, const Value& v, const Trail& at, Marks* marks);
  bool apply_in_scope(const Node& node, const Value& v, const Trail& at, Marks* marks);
  bool apply_node(const Node& node, const Value& v, const Trail& at, Marks* marks);
  bool apply_with_marks(const Node& node, const Value& v, const Trail& at, Marks* outer);
  bool apply_keywords(const Node& node, const Value& v, const Trail& at, Marks* marks);
  bool apply_muted(NodeId id, const Value& v, const Trail& at, Marks* marks);
  bool apply_branch(NodeId id, const Value& v, const Trail& at, Marks* outer);

  bool check_type(const Node& node, const Value& v, const Trail& at);
  bool check_values(const ValueRules& rules, const Value& v, const Trail& at);
  bool check_number(const NumberRules& rules, const Value& v, const Trail& at);
  bool check_string(const StringRules& rules, std::string_view text, const Trail& at);
  bool check_array(const ArrayRules& rules, const json::array& items, const Trail& at, Marks* marks);
  bool check_contains(const ArrayRules& rules, const json::array& items, const Trail& at, Marks* marks);
  bool check_unique(const json::array& items, const Trail& at);
  bool check_object(const ObjectRules& rules, const json::object& members, const Trail& at, Marks* marks);
  bool check_member(const ObjectRules& rules, const json::key_value_pair& member, std::size_t i, std::size_t& required, const Trail& at, Marks* marks);
  bool check_name(NodeId names, std::string_view name, std::size_t i, const Trail& at);
  bool refuse_additional(const ObjectRules& rules, std::string_view name, std::size_t i, const Trail& at);
  bool check_required(const ObjectRules& rules, const json::object& members, const Trail& at);
  bool check_dependencies(const ObjectRules& rules, const json::object& members, const Value& v, const Trail& at, Marks* marks);
  bool check_unevaluated_items(const ArrayRules& rules, const json::array& items, const Trail& at, const Marks& marks);
  bool check_unevaluated_members(const ObjectRules& rules, const json::object& members, const Trail& at, const Marks& marks);

  bool check_in_place(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks);
  bool check_references(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks);
  bool check_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, bool only_one, const Value& v, const Trail& at, Marks* marks);
  bool explain_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, const Value& v, const Trail& at);
  bool check_condition(const InPlaceRules& rules, const Value& v, const Trail& at, Marks* marks);
  NodeId dynamic_target(const InPlaceRules& rules) const;

  bool matches(const Pattern& pattern, std::string_view text, const Trail& at, std::string_view keyword);
  bool equals(const Value& a, const Value& b, const Trail& at);

  // Whether there is any use in looking for further reasons.
  bool goes_on() const {
    return muted_ == 0 && !stopped_ && found_.size() < room_;
  }
  // False, and where reasons are wanted, one more: `say()` makes its message.
  template <class Say>
  bool refuse(const Trail& at, std::string_view keyword, Say&& say, int nearness = 0) {
    if (goes_on()) note(at, keyword, say(), nearness);
    return false;
  }
  // A limit: nothing after it counts.
  template <class Say>
  bool stop(const Trail& at, std::string_view keyword, Say&& say) {
    if (!stopped_) {
      found_.clear();
      note(at, keyword, say(), 0);
    }
    stopped_ = true;
    return false;
  }
  void note(const Trail& at, std::string_view keyword, std::string message, int nearness);

  const Program& program_;
  Scratch& scratch_;
  const Scope* scope_ = nullptr;
  std::uint64_t steps_;
  std::size_t depth_ = 0;
  bool stopped_ = false;
  int muted_ = 0;
  std::size_t room_, noted_ = 0;
  std::vector<Found> found_;
};

}  // namespace ballast::schema
