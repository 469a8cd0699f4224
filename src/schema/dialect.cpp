#include "schema/dialect.hpp"

#include <fmt/format.h>

#include <array>

#include "schema/uri.hpp"

namespace ballast::schema {

namespace {

constexpr std::array<std::pair<std::string_view, Draft>, 6> kDrafts{{
    {"json-schema.org/draft-04/schema", Draft::d4},
    {"json-schema.org/draft-06/schema", Draft::d6},
    {"json-schema.org/draft-07/schema", Draft::d7},
    {"json-schema.org/draft/2019-09/schema", Draft::d2019_09},
    {"json-schema.org/draft/2020-12/schema", Draft::d2020_12},
    {"json-schema.org/schema", Draft::d2020_12},
}};

std::optional<Draft> standard_draft(std::string_view uri) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (uri.starts_with(scheme))
      for (const auto& [name, draft] : kDrafts)
        if (uri.substr(scheme.size()) == name) return draft;
  return std::nullopt;
}

// Applies one entry of `$vocabulary`; false if it is unknown.
bool apply(Dialect& dialect, std::string_view vocabulary) {
  for (const std::string_view draft : {"https://json-schema.org/draft/2020-12/vocab/", "https://json-schema.org/draft/2019-09/vocab/"}) {
    if (!vocabulary.starts_with(draft)) continue;
    const auto name = vocabulary.substr(draft.size());
    if (name == "applicator") dialect.applicators = true, dialect.unevaluated |= dialect.draft == Draft::d2019_09;
    else if (name == "unevaluated") dialect.unevaluated = true;
    else if (name == "validation") dialect.validation = true;
    else if (name == "format-assertion") dialect.format_asserts = true;
    else if (name != "core" && name != "meta-data" && name != "content" && name != "format-annotation" && name != "format") return false;
    return true;
  }
  return false;
}

Result<Dialect> find_dialect(std::string_view uri, const FindDocument& find, int depth) {
  uri = without_fragment(uri);
  if (const auto draft = standard_draft(uri)) return Dialect{.draft = *draft};
  const auto* document = find(uri);
  const auto* object = document && depth < 8 ? document->if_object() : nullptr;
  if (!object)
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("\"{}\" is no draft known here and no registered meta-schema; use \"https://json-schema.org/draft/2020-12/schema\" or "
                            "\"http://json-schema.org/draft-07/schema#\", or register the document",
                            uri));
  Dialect dialect;
  const auto* above = object->if_contains("$schema");
  if (above && above->is_string() && without_fragment(std::string_view(above->get_string())) != uri) {
    auto parent = find_dialect(std::string_view(above->get_string()), find, depth + 1);
    if (!parent) return parent;
    dialect = *parent;
  }
  const auto* vocabularies = object->if_contains("$vocabulary");
  if (dialect.before_2019() || !vocabularies || !vocabularies->is_object()) return dialect;
  dialect = Dialect{.draft = dialect.draft, .applicators = false, .unevaluated = false, .validation = false, .format_asserts = false};
  for (const auto& [name, required] : vocabularies->get_object())
    if (!apply(dialect, name) && required.is_bool() && required.get_bool())
      return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" requires the vocabulary \"{}\", which is unknown here", uri, std::string_view(name)));
  return dialect;
}

}  // namespace

Result<Dialect> dialect_of(std::string_view uri, const FindDocument& find) { return find_dialect(uri, find, 0); }

std::optional<Draft> draft_from(std::string_view name) {
  if (name.starts_with("draft")) name.remove_prefix(5);
  while (name.starts_with('-') || name.starts_with('0')) name.remove_prefix(1);
  if (name == "2020-12") return Draft::d2020_12;
  if (name == "2019-09") return Draft::d2019_09;
  if (name == "7") return Draft::d7;
  if (name == "6") return Draft::d6;
  if (name == "4") return Draft::d4;
  return std::nullopt;
}

}  // namespace ballast::schema
