// What samples have in common, as a JSON Schema: the structure that is pinned when something is known by its answers alone.
//
//   Structure seen;
//   for (const auto& sample : samples) seen.add(sample);
//   json::value schema = seen.schema();        // {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, …
//
// Pinned are types (an integer where every number was whole, "null" beside another type where both were seen), the members that every object
// had, the others as optional, and the structure of arrays' items, merged over all of them. Values are not: a list of allowed values comes
// from a declared schema only (`refined`). Objects of which no name is in more than half, out of three or more, are maps: any names, values
// of one structure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.hpp"

namespace ballast::schema {

// A value; const methods are thread-safe. Below kDeepest levels, and for objects that together have more than kMostNames names, anything fits.
class Structure {
 public:
  static constexpr int kDeepest = 64;
  static constexpr std::size_t kMostNames = 2'000;

  void add(const json::value& sample) { add(sample, 0); }
  // As if the other's samples had been added here.
  void merge(const Structure& other);
  // Whether anything has been added.
  bool known() const { return types_ != 0 || anything_; }
  // A schema of 2020-12 without `$schema`; true if nothing has been added. `open`: objects may have members that no sample had.
  json::value schema(bool open = false) const;

 private:
  struct Member;
  void add(const json::value& sample, int depth);
  Member& member(std::string_view name);
  bool is_map() const;
  json::object object_schema(bool open) const;

  std::uint8_t types_ = 0;  // bits by kTypeNames
  bool anything_ = false;
  std::uint64_t objects_ = 0;
  std::vector<Member> members_;  // in the order in which they were first seen
  std::vector<Structure> items_;  // one, if there was an item
};

struct Structure::Member {
  std::string name;
  std::uint64_t seen = 0;
  Structure structure;
};

// `inferred` with what `declared` says about the same places (through properties, items and references within it): its enum and const; the
// members that it names and no sample had, as they are declared; and required only what it requires too, where it has `required`.
json::value refined(json::value inferred, const json::value& declared);

}  // namespace ballast::schema
