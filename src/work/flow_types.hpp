// What JSON Schemas say of each other as far as it is clear, for the proof (flow_check.hpp). Silent wherever a schema leaves it open.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "base/json.hpp"

namespace ballast::work {

// What a schema says of one path below it.
struct PathType {
  enum class Says : std::uint8_t { nothing, known, doubtful, never };
  Says says = Says::nothing;                 // known: `schema` is its schema; doubtful: not among the declared members; never: cannot be there
  const json::value* schema = nullptr;
  std::string why;                           // doubtful and never: "has no member \"nmae\", did you mean \"name\"?"
};
// `schema` outlives the answer. Follows properties, local references and lists; anything else says nothing.
PathType type_at(const json::value& schema, std::span<const std::string> path);

// Why no value that `from` allows (or not every one of those it demands) can satisfy `to`: "name must be a string, is a number". Nothing
// where that is not clear.
std::optional<std::string> mismatch(const json::value& from, const json::value& to);

}  // namespace ballast::work
