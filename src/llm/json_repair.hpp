// JSON that a model wrote almost: put right where what it means has one reading, and left alone everywhere else. Pure, linear in the
// text. What a repair may do, and nothing more:
//   - take off a byte order mark and the blanks of other scripts (NBSP, zero width) around the text;
//   - take off one code fence, or prose around one object or list, when no other bracket stands in it;
//   - drop a comma that stands before a closing bracket;
//   - put names and texts in double quotes that stand in single or curly ones, when no quote of either kind and no backslash is in them.
// Brackets that are missing at the end are never added: what is not there is not known.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace ballast::llm {

struct RepairedJson {
  std::string text;        // one JSON document
  std::string_view what;   // the gravest thing that was done: "blanks", "fence", "prose", "comma", "quotes"; static
};
// `text` did not parse. Nothing: it has no reading, or several. The result is JSON by JsonScan's grammar.
std::optional<RepairedJson> repair_json(std::string_view text);

// Is this the beginning of JSON that was cut off: brackets or a text are open at its end? Prose and a fence may stand before it.
bool cut_off_json(std::string_view text);

}  // namespace ballast::llm
