#include "work/flow_types.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "base/text.hpp"

namespace ballast::work {
namespace {

constexpr std::size_t max_references = 32;    // on one path; a reference that leads to itself ends there
constexpr std::size_t max_depth = 32;

const json::value* pointed(const json::value& root, std::string_view reference) {
  if (!reference.starts_with('#')) return nullptr;
  boost::system::error_code bad;
  const auto* found = root.find_pointer(reference.substr(1), bad);
  return bad ? nullptr : found;
}

// Follows local references. Null where the schema is not a plain one: several at once, a remote reference.
const json::object* plain(const json::value& root, const json::value* schema) {
  for (std::size_t i = 0; schema && i < max_references; ++i) {
    const auto* object = schema->if_object();
    if (!object) return nullptr;
    for (const std::string_view open : {"anyOf", "oneOf", "allOf", "not", "if", "$dynamicRef", "$recursiveRef"})
      if (object->contains(open)) return nullptr;
    const auto* reference = object->if_contains("$ref");
    if (!reference) return object;
    const auto* text = reference->if_string();
    schema = text ? pointed(root, *text) : nullptr;
  }
  return nullptr;
}

// The types it allows; empty: any.
std::set<std::string_view> types(const json::object& schema) {
  std::set<std::string_view> out;
  const auto* type = schema.if_contains("type");
  if (!type) return out;
  if (const auto* one = type->if_string()) out.insert(*one);
  if (const auto* several = type->if_array())
    for (const auto& t : *several)
      if (const auto* name = t.if_string()) out.insert(*name);
  return out;
}

std::string_view in_words(std::string_view type) {
  if (type == "object") return "a map";
  if (type == "array") return "a list";
  if (type == "string") return "a text";
  if (type == "integer") return "an integer";
  if (type == "number") return "a number";
  if (type == "boolean") return "true or false";
  return type;
}
std::string in_words(const std::set<std::string_view>& types) {
  std::vector<std::string_view> words;
  for (const auto t : types) words.push_back(in_words(t));
  return fmt::format("{}", fmt::join(words, " or "));
}

bool forbids(const json::object& schema, std::string_view keyword) {
  const auto* value = schema.if_contains(keyword);
  return value && value->is_bool() && !value->get_bool();
}
const json::object* object_at(const json::object& schema, std::string_view keyword) {
  const auto* value = schema.if_contains(keyword);
  return value ? value->if_object() : nullptr;
}

PathType unknown_member(const json::object& schema, const json::object& properties, std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& p : properties) names.push_back(p.key());
  const auto near = nearest_name(name, std::span<const std::string_view>(names));
  PathType t;
  t.says = forbids(schema, "additionalProperties") || forbids(schema, "unevaluatedProperties") ? PathType::Says::never : PathType::Says::doubtful;
  t.why = near.empty() ? fmt::format("has no member \"{}\"; it has {}", name, fmt::join(names, ", ")) : fmt::format("has no member \"{}\", did you mean \"{}\"?", name, near);
  return t;
}

std::optional<std::string> differ(const json::value& from_root, const json::value* from, const json::value& to_root, const json::value* to,
                                  const std::string& where, std::size_t depth) {
  const auto* given = plain(from_root, from);
  const auto* wanted = plain(to_root, to);
  if (!given || !wanted || depth > max_depth) return std::nullopt;
  const auto label = [&] { return where.empty() ? std::string("it") : where; };
  const auto have = types(*given), want = types(*wanted);
  const auto fits = [&](std::string_view t) {
    return want.contains(t) || (t == "integer" && want.contains("number")) || (t == "number" && want.contains("integer"));
  };
  if (!have.empty() && !want.empty() && std::ranges::none_of(have, fits)) return fmt::format("{} must be {}, and is {}", label(), in_words(want), in_words(have));
  const auto* properties = object_at(*given, "properties");
  if (const auto* required = wanted->if_contains("required"); required && required->is_array() && forbids(*given, "additionalProperties"))
    for (const auto& name : required->get_array())
      if (name.is_string() && !(properties && properties->contains(name.get_string())))
        return fmt::format("{} must have {}, which is never there", label(), std::string_view(name.get_string()));
  const auto* theirs = object_at(*wanted, "properties");
  if (properties && theirs)
    for (const auto& p : *properties)
      if (const auto* other = theirs->if_contains(p.key()))
        if (auto why = differ(from_root, &p.value(), to_root, other, where.empty() ? std::string(p.key()) : fmt::format("{}.{}", where, std::string_view(p.key())), depth + 1)) return why;
  const auto *items = given->if_contains("items"), *their_items = wanted->if_contains("items");
  if (items && their_items) return differ(from_root, items, to_root, their_items, where + "[]", depth + 1);
  return std::nullopt;
}

}  // namespace

PathType type_at(const json::value& schema, std::span<const std::string> path) {
  const json::value* at = &schema;
  for (const auto& name : path) {
    const auto* object = plain(schema, at);
    if (!object) return {};
    const auto allowed = types(*object);
    if (!allowed.empty() && !allowed.contains("object") && !allowed.contains("null"))
      return {PathType::Says::never, nullptr, fmt::format("is {}, which has no member \"{}\"", in_words(allowed), name)};
    const auto* properties = object_at(*object, "properties");
    if (!properties) return {};
    const auto* next = properties->if_contains(name);
    if (!next) {
      if (object->contains("patternProperties") || object_at(*object, "additionalProperties")) return {};
      return unknown_member(*object, *properties, name);
    }
    at = next;
  }
  return {PathType::Says::known, at, {}};
}

std::optional<std::string> mismatch(const json::value& from, const json::value& to) { return differ(from, &from, to, &to, "", 0); }

}  // namespace ballast::work
