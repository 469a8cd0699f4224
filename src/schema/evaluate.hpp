// Applies a program to an instance: `At` decides whether it only answers (NoTrail) or also says why (Trail). Private to schema/.
//
// What counts as evaluated (for unevaluatedItems and unevaluatedProperties) is kept as bits in a buffer of the thread's, a frame for
// each schema that asks; a branch that fails drops its frame. A limit that is met ends everything: `not` cannot turn it around.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "schema/node.hpp"
#include "schema/trail.hpp"

namespace ballast::schema {

// Reused from one instance to the next.
struct Scratch {
  std::vector<std::uint64_t> bits;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes;
};

struct Found {
  Violation violation;
  std::vector<std::size_t> order;  // positions from the root down: the order of the instance
  std::size_t number = 0;          // in which it was found
  int nearness = 0;                // how far into the instance; wrong types and constants count as less
};

template <class At>
class Evaluator {
 public:
  static constexpr bool kReports = std::is_same_v<At, Trail>;

  Evaluator(const Program& program, Scratch& scratch, std::size_t room = 0) : program_(program), scratch_(scratch), steps_(program.max_steps), room_(room) {}

  bool run(const json::value& instance) {
    const bool ok = apply(program_.root, instance, At{}, nullptr);
    return ok && !stopped_;
  }
  // Stable, in the order of the instance.
  std::vector<Found> take_found();

 private:
  using Value = json::value;
  // Which members or items of one instance have been evaluated.
  struct Marks {
    std::size_t offset = 0, count = 0;
    bool all = false;
  };
  class MarksFrame {
   public:
    MarksFrame(Scratch& scratch, std::size_t count);
    ~MarksFrame() { scratch_.bits.resize(marks.offset); }
    MarksFrame(const MarksFrame&) = delete;
    MarksFrame& operator=(const MarksFrame&) = delete;
    Marks marks;

   private:
    Scratch& scratch_;
  };
  struct Scope {
    const Scope* up;
    std::uint32_t resource;
  };

  bool apply(NodeId id, const Value& v, const At& at, Marks* marks);
  bool apply_in_scope(const Node& node, const Value& v, const At& at, Marks* marks);
  bool apply_node(const Node& node, const Value& v, const At& at, Marks* marks);
  bool apply_with_marks(const Node& node, const Value& v, const At& at, Marks* outer);
  bool apply_keywords(const Node& node, const Value& v, const At& at, Marks* marks);
  bool apply_muted(NodeId id, const Value& v, const At& at, Marks* marks);
  bool apply_branch(NodeId id, const Value& v, const At& at, Marks* outer);

  bool check_type(const Node& node, const Value& v, const At& at);
  bool check_values(const ValueRules& rules, const Value& v, const At& at);
  bool check_number(const NumberRules& rules, const Value& v, const At& at);
  bool check_string(const StringRules& rules, std::string_view text, const At& at);
  bool check_array(const ArrayRules& rules, const json::array& items, const At& at, Marks* marks);
  bool check_contains(const ArrayRules& rules, const json::array& items, const At& at, Marks* marks);
  bool check_unique(const json::array& items, const At& at);
  bool check_object(const ObjectRules& rules, const json::object& members, const At& at, Marks* marks);
  bool check_member(const ObjectRules& rules, const json::key_value_pair& member, std::size_t i, std::size_t& required, const At& at, Marks* marks);
  bool check_name(NodeId names, std::string_view name, std::size_t i, const At& at);
  bool refuse_additional(const ObjectRules& rules, std::string_view name, std::size_t i, const At& at);
  bool check_required(const ObjectRules& rules, const json::object& members, const At& at);
  bool check_dependencies(const ObjectRules& rules, const json::object& members, const Value& v, const At& at, Marks* marks);
  bool check_unevaluated_items(const ArrayRules& rules, const json::array& items, const At& at, const Marks& marks);
  bool check_unevaluated_members(const ObjectRules& rules, const json::object& members, const At& at, const Marks& marks);

  bool check_in_place(const InPlaceRules& rules, const Value& v, const At& at, Marks* marks);
  bool check_references(const InPlaceRules& rules, const Value& v, const At& at, Marks* marks);
  bool check_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, bool only_one, const Value& v, const At& at, Marks* marks);
  bool explain_alternatives(const std::vector<NodeId>& branches, std::string_view keyword, const Value& v, const At& at);
  bool check_condition(const InPlaceRules& rules, const Value& v, const At& at, Marks* marks);
  NodeId dynamic_target(const InPlaceRules& rules) const;

  bool matches(const Pattern& pattern, std::string_view text, const At& at, std::string_view keyword);
  bool equals(const Value& a, const Value& b, const At& at);

  void mark(Marks& marks, std::size_t i) { scratch_.bits[marks.offset + i / 64] |= std::uint64_t{1} << (i % 64); }
  bool marked(const Marks& marks, std::size_t i) const {
    return marks.all || (scratch_.bits[marks.offset + i / 64] >> (i % 64) & 1);
  }
  void merge(Marks& into, const Marks& from);

  // Whether there is any use in looking for further reasons.
  bool goes_on() const {
    if constexpr (kReports) return muted_ == 0 && !stopped_ && found_.size() < room_;
    else return false;
  }
  // False, and where reasons are wanted, one more: `say()` makes its message.
  template <class Say>
  [[gnu::noinline]] bool refuse(const At& at, std::string_view keyword, Say&& say, int nearness = 0) {
    if constexpr (kReports) {
      if (muted_ == 0 && !stopped_ && found_.size() < room_) note(at, keyword, say(), nearness);
    }
    return false;
  }
  // A limit: nothing after it counts.
  template <class Say>
  [[gnu::noinline]] bool stop(const At& at, std::string_view keyword, Say&& say) {
    if constexpr (kReports) {
      if (!stopped_) {
        found_.clear();
        note(at, keyword, say(), 0);
      }
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

extern template class Evaluator<NoTrail>;
extern template class Evaluator<Trail>;

}  // namespace ballast::schema
