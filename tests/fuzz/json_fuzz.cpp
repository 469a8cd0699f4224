// JSON documents: what parses is written and parses as the same value; equal values have one canonical text whatever the order of their
// members; and any bytes become a JSON string.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/text.hpp"
#include "work/canonical.hpp"
#include "require.hpp"

using namespace ballast;

namespace {

json::value turned_round(const json::value& value) {
  if (const auto* array = value.if_array()) {
    json::array out;
    for (const auto& v : *array) out.push_back(turned_round(v));
    return out;
  }
  const auto* object = value.if_object();
  if (!object) return value;
  json::object out;
  for (auto member = object->end(); member != object->begin();) {
    --member;
    out.emplace(member->key(), turned_round(member->value()));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 14) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string quoted;
  append_json_string(quoted, text);
  const auto string = parse_json(quoted);
  require(string && string->is_string() && (!is_utf8(text) || string->get_string() == text));

  const auto value = parse_json(text, {.max_bytes = 1 << 14, .max_depth = 100});
  if (!value) {
    require(!value.error().message.empty());
    return 0;
  }
  require(is_utf8(text));
  const auto again = parse_json(to_json(*value));
  require(again && *again == *value && to_json(*again) == to_json(*value));
  const std::string canonical = work::canonical_json(*value);
  require(work::canonical_json(turned_round(*value)) == canonical);
  const auto same = parse_json(canonical);
  require(same && work::canonical_json(*same) == canonical && work::value_digest(*same) == work::value_digest(*value));
  return 0;
}
