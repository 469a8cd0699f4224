// The subset of JSON Schema that OpenAI's structured outputs take: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
// What the page leaves open counts as outside.
#include <algorithm>
#include <array>
#include <set>

#include "llm/structured.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

namespace {

constexpr int kDeepest = 10;                       // levels of nesting
constexpr std::size_t kMostProperties = 5'000;
constexpr std::size_t kMostNames = 120'000;        // bytes of names and of values of enum and const, together
constexpr std::size_t kMostValues = 1'000;         // of enums, together
constexpr std::size_t kLongEnum = 250, kMostInLongEnum = 15'000;   // values of one enum, and bytes of its texts above that
constexpr std::array<std::string_view, 19> kKnown{"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
                                                  "description", "title", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"};
constexpr std::array<std::string_view, 9> kFormats{"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"};

bool is_text(const json::value* value, std::string_view text) { return value != nullptr && value->is_string() && view(value->get_string()) == text; }

class Reader {
 public:
  explicit Reader(const json::value& root) : root_(root) {}
  bool schema(const json::value& value, int depth);

 private:
  bool object(const json::object& schema, int depth);
  bool values(const json::object& schema);
  bool reference(const json::value& path) const;
  bool all(const json::object& schemas, int depth) {
    return std::ranges::all_of(schemas, [&](const auto& member) { return count(member.key()) && this->schema(member.value(), depth); });
  }
  bool count(std::string_view name) { return (names_ += name.size()) <= kMostNames; }

  const json::value& root_;
  std::size_t properties_ = 0, names_ = 0, values_ = 0;
};

bool Reader::schema(const json::value& value, int depth) {
  const auto* s = value.if_object();
  if (s == nullptr || depth > kDeepest) return false;
  const auto known = [](const auto& member) { return std::ranges::find(kKnown, std::string_view(member.key())) != kKnown.end(); };
  if (!std::ranges::all_of(*s, known)) return false;
  const auto has = [&](std::string_view key) { return s->if_contains(key); };
  if (!has("type") && !has("anyOf") && !has("$ref") && !has("enum") && !has("const")) return false;
  const auto* format = has("format");
  if (format != nullptr && !(format->is_string() && std::ranges::find(kFormats, view(format->get_string())) != kFormats.end())) return false;
  if (const auto* ref = has("$ref"); ref != nullptr && !reference(*ref)) return false;
  if (const auto* defs = has("$defs"); defs != nullptr && !(defs->is_object() && all(defs->get_object(), depth))) return false;
  if (const auto* items = has("items"); items != nullptr && !schema(*items, depth + 1)) return false;
  if (is_text(has("type"), "array") && !has("items")) return false;
  if (const auto* any = has("anyOf"))
    if (!any->is_array() || !std::ranges::all_of(any->get_array(), [&](const json::value& v) { return schema(v, depth); })) return false;
  return values(*s) && object(*s, depth);
}

// Closed, and every member required.
bool Reader::object(const json::object& schema, int depth) {
  const auto* type = schema.if_contains("type");
  const auto* list = type != nullptr ? type->if_array() : nullptr;
  const bool says = is_text(type, "object") || (list != nullptr && std::ranges::any_of(*list, [](const json::value& v) { return is_text(&v, "object"); }));
  const auto* properties = schema.if_contains("properties");
  if (!says) return properties == nullptr && !schema.contains("required") && !schema.contains("additionalProperties");
  const auto* rest = schema.if_contains("additionalProperties");
  const auto* required = schema.if_contains("required");
  if (rest == nullptr || !rest->is_bool() || rest->get_bool() || properties == nullptr || !properties->is_object()) return false;
  const auto& members = properties->get_object();
  if (required == nullptr || !required->is_array() || required->get_array().size() != members.size()) return false;
  std::set<std::string_view> names;
  for (const auto& name : required->get_array())
    if (name.is_string()) names.insert(view(name.get_string()));
  properties_ += members.size();
  const bool all_required = std::ranges::all_of(members, [&](const auto& member) { return names.contains(member.key()); });
  return properties_ <= kMostProperties && all_required && all(members, depth + 1);
}

bool Reader::values(const json::object& schema) {
  if (const auto* one = schema.if_contains("const"); one != nullptr && one->is_string() && !count(view(one->get_string()))) return false;
  const auto* list = schema.if_contains("enum");
  if (list == nullptr) return true;
  if (!list->is_array()) return false;
  std::size_t bytes = 0;
  for (const auto& v : list->get_array()) {
    if (v.is_structured()) return false;
    if (!v.is_string()) continue;
    bytes += v.get_string().size();
    if (!count(view(v.get_string()))) return false;
  }
  values_ += list->get_array().size();
  return values_ <= kMostValues && (list->get_array().size() <= kLongEnum || bytes <= kMostInLongEnum);
}

// To the whole, or to a definition.
bool Reader::reference(const json::value& path) const {
  constexpr std::string_view start = "#/$defs/";
  if (!path.is_string()) return false;
  const auto text = view(path.get_string());
  if (text == "#") return true;
  const auto* defs = root_.get_object().if_contains("$defs");
  return text.starts_with(start) && defs != nullptr && defs->is_object() && defs->get_object().contains(text.substr(start.size()));
}

}  // namespace

bool can_be_strict(const json::value& schema) {
  const auto* root = schema.if_object();
  return root != nullptr && is_text(root->if_contains("type"), "object") && !root->contains("anyOf") && Reader(schema).schema(schema, 1);
}

}  // namespace ballast::llm
