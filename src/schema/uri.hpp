// References between schemas: RFC 3986 resolution and RFC 6901 pointers. Pure and thread-safe. Private to schema/.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ballast::schema {

// `reference` against `base` (RFC 3986, 5.2), without its fragment. An empty or relative base gives a relative result.
std::string resolve_uri(std::string_view base, std::string_view reference);
// What stands before and after the first '#'; the latter percent-decoded.
std::string_view without_fragment(std::string_view uri);
std::string fragment_of(std::string_view uri);

// The steps of a pointer ("/a~1b/0" → "a/b", "0"). `pointer` is empty or begins with '/'.
std::vector<std::string> pointer_steps(std::string_view pointer);
// Appends "/step", escaped.
void append_step(std::string& pointer, std::string_view step);

}  // namespace ballast::schema
