// The compiled form of a schema: nodes that name each other by number. Immutable once built. Private to schema/.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.hpp"
#include "schema/formats.hpp"
#include "schema/pattern.hpp"
#include "schema/schema.hpp"
#include "schema/values.hpp"

namespace ballast::schema {

using NodeId = std::uint32_t;
inline constexpr NodeId kNone = ~NodeId{0};
inline constexpr std::uint64_t kUnbounded = ~std::uint64_t{0};

// Bits of `type`. A whole number has both number bits; `integer` alone asks for the second.
enum TypeBit : std::uint8_t { kNull = 1, kBool = 2, kNumber = 4, kInteger = 8, kString = 16, kArray = 32, kObject = 64, kAnyType = 127 };

struct NumberRules {
  std::optional<json::value> least, most, above, below, step;
  std::optional<Divisor> divisor;  // of step
};

struct StringRules {
  std::uint64_t min = 0, max = kUnbounded;  // in code points
  std::optional<Pattern> pattern;
  Format format = Format::none;
  std::string format_name;
};

struct ArrayRules {
  std::vector<NodeId> prefix;
  std::string_view prefix_keyword, rest_keyword;
  NodeId rest = kNone;  // what follows the prefix
  NodeId contains = kNone;
  std::uint64_t min_contains = 1, max_contains = kUnbounded;
  bool contains_marks = false;  // what it matches counts as evaluated (2020-12)
  std::uint64_t min = 0, max = kUnbounded;
  bool unique = false;
  NodeId unevaluated = kNone;
};

// The members a schema names, found by one hash.
class Members {
 public:
  struct Member {
    std::string name;
    NodeId schema = kNone;  // of `properties`, if there
    bool required = false;
  };
  Member& add(std::string_view name);  // or the one that is there; valid until the next add
  // `likely` is where the member stands if the instance keeps the schema's order, as most do.
  const Member* find(std::string_view name, std::size_t likely = 0) const {
    if (likely < all_.size() && all_[likely].name == name) return &all_[likely];
    if (slots_.empty()) {
      for (const auto& m : all_)
        if (m.name == name) return &m;
      return nullptr;
    }
    const std::uint64_t h = fast_hash(name);
    for (std::size_t i = h & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.member == kNone) return nullptr;
      if (slot.tag == static_cast<std::uint32_t>(h >> 32) && all_[slot.member].name == name) return &all_[slot.member];
    }
  }
  const std::vector<Member>& all() const { return all_; }

 private:
  struct Slot {
    std::uint32_t tag = 0, member = kNone;
  };
  void grow();
  void place(std::uint32_t member);

  std::vector<Member> all_;
  std::vector<Slot> slots_;  // open addressing, at most half full; empty for a few members
  std::size_t mask_ = 0;
};

struct PatternMember {
  Pattern pattern;
  NodeId schema;
};
struct Dependency {
  std::string name;
  std::vector<std::string> required;
  NodeId schema = kNone;
  std::string_view keyword;
};

struct ObjectRules {
  Members members;
  std::size_t required = 0;  // how many members are
  std::vector<PatternMember> patterns;
  NodeId additional = kNone, names = kNone, unevaluated = kNone;
  std::uint64_t min = 0, max = kUnbounded;
  std::vector<Dependency> dependencies;
};

// `enum` and `const`: the values, and their hashes in order.
struct ValueRules {
  bool is_const = false;
  std::vector<json::value> values;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes;  // (hash, index in values), sorted; empty for a few values
};

// Schemas applied to the same instance.
struct InPlaceRules {
  std::vector<NodeId> references;              // $ref and what resolves at once
  std::vector<std::string_view> reference_keywords;
  NodeId dynamic = kNone;                      // $dynamicRef: where it leads if nobody in scope overrides
  std::uint32_t dynamic_name = kNone;          // index in Program::dynamic_names
  std::string_view dynamic_keyword;
  std::vector<NodeId> all_of, any_of, one_of;
  NodeId negated = kNone, condition = kNone, then = kNone, otherwise = kNone;
};

struct Node {
  bool refuses = false;        // the schema `false`
  bool wanted_types = false;   // `type` is there
  bool whole_by_text = false;  // draft 4: 1.0 is not an integer
  std::uint8_t types = kAnyType;
  std::uint32_t resource = 0;
  std::unique_ptr<ValueRules> constant, choices;
  std::unique_ptr<NumberRules> number;
  std::unique_ptr<StringRules> string;
  std::unique_ptr<ArrayRules> array;
  std::unique_ptr<ObjectRules> object;
  std::unique_ptr<InPlaceRules> in_place;
};

// Which node a resource has for a dynamic anchor.
struct DynamicName {
  std::vector<std::pair<std::uint32_t, NodeId>> targets;  // (resource, node)
};

struct Program {
  std::vector<Node> nodes;
  NodeId root = 0;
  std::vector<DynamicName> dynamic_names;  // empty: the dynamic scope need not be kept
  std::size_t max_depth = 0;
  std::uint64_t max_steps = 0, max_pattern_steps = 0;
};

// Keyword by keyword, into nodes. compile.cpp.
Result<std::shared_ptr<const Program>> build_program(const json::value& schema, const CompileOptions& options);

}  // namespace ballast::schema
