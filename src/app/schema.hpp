// The keys of ballast.yaml as data: for editors (JSON Schema), for docs/configuration.md, and for the test that holds the
// parser against it. The parser is the judge; this describes it.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace ballast::app {

enum class Form : unsigned char {
  text, integer, number, boolean, duration, size, money, rate, time, texts, delay,  // leaves; texts: a list of strings;
                                           // delay: a duration, {uniform: [a, b]} or {median, sigma}
  choice,                                  // `words` separated by '|'
  object,                                  // `keys`
  choice_or_object,                        // one of `words`, or `keys`
  map,                                     // free names, each an object of `keys`
  map_text,                                // free names, each a string
  map_or_text,                             // free names, each a string or an object of `keys`
  examples,                                // labelled texts: a file, files, or lists of texts by label
  list,                                    // of objects of `keys`
  list_or_text,                            // of objects of `keys`, or of strings
};

struct SchemaKey {
  std::string_view name;
  Form form;
  std::string_view about;                  // one sentence, shown by editors
  std::string_view example = {};           // YAML of a leaf's value; for maps, an example member's name
  std::string_view fallback = {};          // the default, as written in the file
  std::string_view words = {};
  std::span<const SchemaKey> keys = {};
  bool required = false;
};

// The root object's keys.
std::span<const SchemaKey> config_schema();
// JSON Schema, draft 2020-12.
json::value schema_json();
// `schema_json`, indented, with a final newline: the content of docs/ballast.schema.json.
std::string schema_text();

}  // namespace ballast::app
