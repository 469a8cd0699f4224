#include "schema/trail.hpp"

#include <algorithm>

namespace ballast::schema {

std::vector<const Trail*> Trail::road() const {
  std::vector<const Trail*> out;
  for (const Trail* at = this; at && at->up; at = at->up) out.push_back(at);
  std::ranges::reverse(out);
  return out;
}

std::string instance_path(const std::vector<const Trail*>& road) {
  std::string out;
  for (const Trail* at : road) {
    if (at->position == kNoIndex) continue;
    if (at->is_member) append_step(out, at->member);
    else append_step(out, std::to_string(at->position));
  }
  return out;
}

std::string schema_path(const std::vector<const Trail*>& road, std::string_view keyword) {
  std::string out;
  for (const Trail* at : road) {
    append_step(out, at->keyword);
    if (at->has_key) append_step(out, at->schema_key);
    else if (at->schema_index != kNoIndex) append_step(out, std::to_string(at->schema_index));
  }
  if (!keyword.empty()) append_step(out, keyword);
  return out;
}

}  // namespace ballast::schema
