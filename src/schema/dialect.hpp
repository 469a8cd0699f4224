// Which keywords a schema resource understands: a draft, and the vocabularies its meta-schema asks for. Private to schema/.
#pragma once
#include <functional>
#include <optional>
#include <string_view>

#include "schema/schema.hpp"

namespace ballast::schema {

struct Dialect {
  Draft draft = Draft::d2020_12;
  bool applicators = true, unevaluated = true, validation = true;
  bool format_asserts = false;  // the meta-schema asks for it

  bool before_2019() const { return draft < Draft::d2019_09; }
  std::string_view id_keyword() const { return draft == Draft::d4 ? "id" : "$id"; }
};

// A document by its URI, or null.
using FindDocument = std::function<const json::value*(std::string_view uri)>;

// What `$schema: uri` means. Errors (no field): caller_invalid_request for a URI that is neither a draft's nor a registered
// meta-schema's, or whose required vocabularies are not all known.
Result<Dialect> dialect_of(std::string_view uri, const FindDocument& find);

}  // namespace ballast::schema
