// Texts and documents of anybody before they are kept: no read beyond them, no growth beyond the marks, and a document stays one.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "gateway/redactor.hpp"
#include "require.hpp"

using namespace ballast;
using namespace ballast::gateway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const auto redactor = *Redactor::create(Redactor::kAll, {{"badge", "[A-Z]{2}[0-9]{3,5}"}});
  const std::string hidden = hide_forms(text, Redactor::kAll);
  require(hidden.size() <= 2 * size + 16);
  require(hide_forms(text, 0) == text);
  if (!is_utf8(text)) return 0;              // JSON holds no other
  require(is_utf8(hidden) && is_utf8(redactor->text(text)));
  json::value document = parse_json(text).value_or(json::value(text));
  const std::string before = to_json(document);
  const bool changed = redactor->document(document);
  const std::string after = to_json(document);
  require(changed || before == after);
  require(parse_json(after).has_value());
  return 0;
}
