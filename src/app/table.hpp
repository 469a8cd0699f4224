// Printing JSON to people.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"

namespace ballast::app {

// A list of flat objects as aligned columns, numbers to the right. Columns that are empty everywhere are left out.
// On a terminal the widest columns of text are cut with "…" until a row fits the window; where that is not enough each row is written as lines of
// "name  value". Elsewhere nothing is cut. Cells are made harmless for terminals.
std::string table(const json::array& rows);
// Of a window so wide; nothing: as wide as it gets.
std::string table(const json::array& rows, std::optional<std::size_t> window);
// A scalar as text; a list of scalars with commas.
std::string plain(const json::value& value);
// At most `most` characters (not bytes) of `text`, the last three of them "..." where it is longer. Never cuts a character in two.
std::string shortened(std::string_view text, std::size_t most);
// An object's members, one per line, harmless for terminals.
std::string members(const json::value& object);
// The list in an answer like {"data": […]}: the first array among its members, or the document itself.
const json::array* rows_of(const json::value& document);

}  // namespace ballast::app
