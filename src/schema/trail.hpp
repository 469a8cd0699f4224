// How the evaluator came where it is, kept on its stack: read only when there is something to report. Private to schema/.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "schema/uri.hpp"

namespace ballast::schema {

inline constexpr std::size_t kNoIndex = ~std::size_t{0};

// One schema applied: by which keyword, and to what below the instance.
struct Trail {
  const Trail* up = nullptr;
  std::string_view keyword, schema_key;
  std::size_t schema_index = kNoIndex;
  bool has_key = false;                 // schema_key is a step of its own
  std::string_view member;              // the step into the instance: a member's name,
  std::size_t position = kNoIndex;      // and its place among the members, or an item's; kNoIndex: no step
  bool is_member = false;

  static Trail in_place(const Trail& at, std::string_view keyword, std::size_t index = kNoIndex) { return {.up = &at, .keyword = keyword, .schema_index = index}; }
  static Trail keyed(const Trail& at, std::string_view keyword, std::string_view key) {
    return {.up = &at, .keyword = keyword, .schema_key = key, .has_key = true};
  }
  static Trail to_member(const Trail& at, std::string_view keyword, std::string_view name, std::size_t position) {
    return {.up = &at, .keyword = keyword, .member = name, .position = position, .is_member = true};
  }
  static Trail to_member(const Trail& at, std::string_view keyword, std::string_view key, std::string_view name, std::size_t position) {
    return {.up = &at, .keyword = keyword, .schema_key = key, .has_key = true, .member = name, .position = position, .is_member = true};
  }
  static Trail to_item(const Trail& at, std::string_view keyword, std::size_t schema_index, std::size_t position) {
    return {.up = &at, .keyword = keyword, .schema_index = schema_index, .position = position};
  }

  // From the root down.
  std::vector<const Trail*> road() const;
};

std::string instance_path(const std::vector<const Trail*>& road);
std::string schema_path(const std::vector<const Trail*>& road, std::string_view keyword);

}  // namespace ballast::schema
