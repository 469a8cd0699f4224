// Answers to a schema: a value that satisfies it, and lies about one.
#include <algorithm>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "llm/simulator/answer.hpp"
#include "llm/wire/common.hpp"

namespace ballast::llm {

namespace {

constexpr int kDeepest = 24;               // an optional member below it is left out, and what must be there is null
constexpr std::uint64_t kMostItems = 64;

class Sampler {
 public:
  explicit Sampler(const json::value& root) : root_(root) {}
  json::value value(const json::value& schema, int depth);

 private:
  const json::value* follow(std::string_view reference) const;
  json::value alternative(const json::object& schema, int depth);
  json::value object(const json::object& schema, int depth);
  json::value array(const json::object& schema, int depth);

  const json::value& root_;
};

std::uint64_t count(const json::object& schema, std::string_view key) {
  const auto* n = schema.if_contains(key);
  return n != nullptr && n->is_number() ? static_cast<std::uint64_t>(std::clamp(n->to_number<double>(), 0.0, 4096.0)) : 0;
}

std::string_view type_of(const json::object& schema) {
  const auto* type = schema.if_contains("type");
  if (type != nullptr && type->is_array() && !type->get_array().empty()) type = &type->get_array().front();
  if (type != nullptr && type->is_string()) return view(type->get_string());
  for (const std::string_view key : {"properties", "required", "additionalProperties", "minProperties"})
    if (schema.contains(key)) return "object";
  for (const std::string_view key : {"items", "prefixItems", "minItems"})
    if (schema.contains(key)) return "array";
  for (const std::string_view key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
    if (schema.contains(key)) return "number";
  return "string";
}

json::value text(const json::object& schema) {
  struct Known { std::string_view format, text; };
  static constexpr Known known[] = {{"date-time", "2026-01-31T12:00:00Z"}, {"date", "2026-01-31"}, {"time", "12:00:00Z"}, {"duration", "P1D"},
                                    {"email", "someone@example.com"}, {"hostname", "example.com"}, {"ipv4", "192.0.2.1"}, {"ipv6", "2001:db8::1"},
                                    {"uri", "https://example.com/"}, {"uuid", "00000000-0000-4000-8000-000000000000"}};
  if (const auto* format = schema.if_contains("format"); format != nullptr && format->is_string())
    for (const auto& k : known)
      if (k.format == view(format->get_string())) return json::value(k.text);
  std::string out = "text";
  while (out.size() < count(schema, "minLength")) out += " text";
  if (schema.contains("maxLength")) out.resize(std::min<std::size_t>(out.size(), count(schema, "maxLength")));
  return json::value(out);
}

// The number nearest to zero inside the bounds.
json::value number(const json::object& schema, bool whole) {
  const auto bound = [&](std::string_view key) -> const json::value* {
    const auto* n = schema.if_contains(key);
    return n != nullptr && n->is_number() ? n : nullptr;
  };
  double x = 0, step = whole ? 1 : 0;
  if (const auto* m = bound("multipleOf"); m != nullptr && m->to_number<double>() > 0) step = std::max(step, m->to_number<double>());
  if (const auto* low = bound("minimum")) x = std::max(x, low->to_number<double>());
  if (const auto* above = bound("exclusiveMinimum"); above != nullptr && x <= above->to_number<double>()) x = above->to_number<double>() + (step > 0 ? step : 0.5);
  if (const auto* high = bound("maximum")) x = std::min(x, high->to_number<double>());
  if (const auto* below = bound("exclusiveMaximum"); below != nullptr && x >= below->to_number<double>()) x = below->to_number<double>() - (step > 0 ? step : 0.5);
  if (step > 0) x = (bound("maximum") != nullptr || bound("exclusiveMaximum") != nullptr) && x < 0 ? std::floor(x / step) * step : std::ceil(x / step) * step;
  if (std::floor(x) == x && std::abs(x) < 1e15) return static_cast<std::int64_t>(x);
  return x;
}

// Members of one laid over those of another; lists of required members are joined.
void overlay(json::object& out, const json::object& more) {
  for (const auto& [key, value] : more) {
    auto* have = out.if_contains(key);
    if (have != nullptr && key == "properties" && have->is_object() && value.is_object()) {
      for (const auto& [name, schema] : value.get_object()) have->get_object()[name] = schema;
    } else if (have != nullptr && key == "required" && have->is_array() && value.is_array()) {
      have->get_array().insert(have->get_array().end(), value.get_array().begin(), value.get_array().end());
    } else {
      out[key] = value;
    }
  }
}

const json::value* Sampler::follow(std::string_view reference) const {
  if (reference == "#") return &root_;
  if (!reference.starts_with("#/")) return nullptr;
  boost::system::error_code bad;
  return root_.find_pointer(reference.substr(1), bad);
}

json::value Sampler::alternative(const json::object& schema, int depth) {
  json::object merged = schema;
  const auto lay = [&](const json::value& part) {
    if (const auto* o = part.if_object()) overlay(merged, *o);
  };
  if (const auto* r = schema.if_contains("$ref"); r != nullptr && r->is_string()) {
    merged.erase("$ref");
    if (const auto* target = follow(view(r->get_string()))) lay(*target);
  }
  if (const auto* all = schema.if_contains("allOf"); all != nullptr && all->is_array()) {
    merged.erase("allOf");
    for (const auto& part : all->get_array()) lay(part);
  }
  for (const std::string_view key : {"anyOf", "oneOf"})
    if (const auto* any = schema.if_contains(key); any != nullptr && any->is_array() && !any->get_array().empty()) {
      merged.erase(key);
      lay(any->get_array().front());
    }
  return value(merged, depth + 1);
}

json::value Sampler::object(const json::object& schema, int depth) {
  json::object out;
  const auto* properties = schema.if_contains("properties");
  const auto* required = schema.if_contains("required");
  const auto must = [&](std::string_view name) {
    return required != nullptr && required->is_array() && std::ranges::any_of(required->get_array(), [&](const json::value& r) { return r.is_string() && view(r.get_string()) == name; });
  };
  if (properties != nullptr && properties->is_object())
    for (const auto& [key, inner] : properties->get_object())
      if (depth < kDeepest / 4 || must(key)) out[key] = value(inner, depth + 1);
  const auto* rest = schema.if_contains("additionalProperties");
  const auto other = [&] { return rest != nullptr && rest->is_object() ? value(*rest, depth + 1) : json::value("text"); };
  if (required != nullptr && required->is_array())
    for (const auto& name : required->get_array())
      if (name.is_string() && !out.contains(name.get_string())) out[name.get_string()] = other();
  for (std::uint64_t i = out.size(); i < std::min(count(schema, "minProperties"), kMostItems); ++i) out["member" + std::to_string(i)] = other();
  return out;
}

json::value Sampler::array(const json::object& schema, int depth) {
  json::array out;
  if (const auto* prefix = schema.if_contains("prefixItems"); prefix != nullptr && prefix->is_array())
    for (const auto& item : prefix->get_array()) out.push_back(value(item, depth + 1));
  const auto* items = schema.if_contains("items");
  const bool room = !schema.contains("maxItems") || count(schema, "maxItems") > out.size();
  const bool may = items != nullptr && items->is_object() && room && depth < kDeepest / 4;
  const std::uint64_t least = std::max<std::uint64_t>(std::min(count(schema, "minItems"), kMostItems), may && out.empty() ? 1 : 0);
  const bool unlike = schema.contains("uniqueItems");
  while (out.size() < least) {
    auto item = items != nullptr ? value(*items, depth + 1) : json::value("text");
    if (unlike && item.is_string() && !out.empty()) item = std::string(view(item.get_string())) + std::to_string(out.size());
    if (unlike && item.is_int64()) item = item.get_int64() + static_cast<std::int64_t>(out.size());
    out.push_back(std::move(item));
  }
  return out;
}

json::value Sampler::value(const json::value& schema, int depth) {
  const auto* o = schema.if_object();
  if (o == nullptr) return "text";         // true: anything
  if (depth > kDeepest) return nullptr;
  if (const auto* c = o->if_contains("const")) return *c;
  if (const auto* e = o->if_contains("enum"); e != nullptr && e->is_array() && !e->get_array().empty()) return e->get_array().front();
  for (const std::string_view key : {"$ref", "allOf", "anyOf", "oneOf"})
    if (o->contains(key)) return alternative(*o, depth);
  const auto type = type_of(*o);
  if (type == "object") return object(*o, depth);
  if (type == "array") return array(*o, depth);
  if (type == "integer" || type == "number") return number(*o, type == "integer");
  if (type == "boolean") return true;
  if (type == "null") return nullptr;
  return text(*o);
}

}  // namespace

json::value sample_of(const json::value& schema) { return Sampler(schema).value(schema, 0); }

std::string lie_about(std::string text, SimFaultKind kind) {
  switch (kind) {
    case SimFaultKind::json_fenced: return "```json\n" + text + "\n```";
    case SimFaultKind::json_prose: return "Sure! Here is what you asked for:\n" + text + "\nLet me know if there is anything else.";
    case SimFaultKind::json_truncated: return text.substr(0, text.size() - std::max<std::size_t>(text.size() / 3, 1));
    case SimFaultKind::json_trailing_comma:
      if (text.ends_with('}') || text.ends_with(']')) text.insert(text.size() - 1, ",");
      return text;
    case SimFaultKind::json_wrong_type: {
      // The first member, or the whole, becomes what it was not.
      auto document = parse_json(text);
      if (!document) return text;
      json::value* at = &*document;
      if (at->is_object() && !at->get_object().empty()) at = &at->get_object().begin()->value();
      *at = at->is_array() || at->is_object() ? json::value("text") : json::value(json::array{json::object{}});
      return to_json(*document);
    }
    default: return text;
  }
}

}  // namespace ballast::llm
