// Values held to the schemas of an OpenAPI 3.1 description: the part of JSON Schema that OpenAI's uses.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace ballast::test {

class OpenApi {
 public:
  explicit OpenApi(const json::value& document) : schemas_(document.at("components").at("schemas").get_object()) {}

  // The first place where `value` is not a `schema`, and why; empty: it is one.
  std::string fault(const json::value& value, std::string_view schema) const { return check(value, schemas_.at(schema).get_object(), std::string(schema)); }

 private:
  std::string check(const json::value& v, const json::object& s, const std::string& at) const {
    if (const auto* ref = s.if_contains("$ref")) {
      const std::string_view path = ref->get_string();
      return check(v, schemas_.at(path.substr(path.rfind('/') + 1)).get_object(), at);
    }
    if (const auto* all = s.if_contains("allOf"))
      for (const auto& part : all->get_array())
        if (auto why = check(v, part.get_object(), at); !why.empty()) return why;
    for (const std::string_view either : {"anyOf", "oneOf"})
      if (const auto* list = s.if_contains(either))
        if (auto why = any(v, list->get_array(), at); !why.empty()) return why;
    if (const auto* type = s.if_contains("type"); type != nullptr && !is(v, type->get_string())) return at + ": not of type " + std::string(type->get_string());
    if (const auto* names = s.if_contains("enum"); names != nullptr && std::ranges::find(names->get_array(), v) == names->get_array().end())
      return at + ": not one of its values: " + to_json(v);
    if (v.is_number())
      if (auto why = bounds(v.to_number<double>(), s, "minimum", "maximum", at); !why.empty()) return why;
    if (v.is_string()) return bounds(static_cast<double>(v.get_string().size()), s, "minLength", "maxLength", at);
    if (v.is_array()) return items(v.get_array(), s, at);
    if (v.is_object()) return members(v.get_object(), s, at);
    return {};
  }

  // Of the alternatives that all fail, the one that got furthest says why.
  std::string any(const json::value& v, const json::array& list, const std::string& at) const {
    std::string furthest;
    for (const auto& one : list) {
      auto why = check(v, one.get_object(), at);
      if (why.empty()) return {};
      if (why.find(':') == std::string::npos || why.find(':') >= furthest.find(':') || furthest.empty()) furthest = std::move(why);
    }
    return furthest;
  }

  static bool is(const json::value& v, std::string_view type) {
    if (type == "object") return v.is_object();
    if (type == "array") return v.is_array();
    if (type == "string") return v.is_string();
    if (type == "boolean") return v.is_bool();
    if (type == "null") return v.is_null();
    if (type == "number") return v.is_number();
    return type == "integer" && (v.is_int64() || v.is_uint64());
  }

  static std::string bounds(double n, const json::object& s, std::string_view low, std::string_view high, const std::string& at) {
    const auto* least = s.if_contains(low);
    const auto* most = s.if_contains(high);
    if (least != nullptr && n < least->to_number<double>()) return at + ": below its " + std::string(low);
    if (most != nullptr && n > most->to_number<double>()) return at + ": above its " + std::string(high);
    return {};
  }

  std::string items(const json::array& list, const json::object& s, const std::string& at) const {
    if (auto why = bounds(static_cast<double>(list.size()), s, "minItems", "maxItems", at); !why.empty()) return why;
    if (const auto* item = s.if_contains("items"))
      for (std::size_t i = 0; i < list.size(); ++i)
        if (auto why = check(list[i], item->get_object(), at + "[" + std::to_string(i) + "]"); !why.empty()) return why;
    return {};
  }

  std::string members(const json::object& o, const json::object& s, const std::string& at) const {
    const auto* properties = s.if_contains("properties");
    const auto* rest = s.if_contains("additionalProperties");
    for (const auto& [name, value] : o) {
      const auto* known = properties != nullptr ? properties->get_object().if_contains(name) : nullptr;
      if (known == nullptr) known = rest;
      if (known == nullptr || known->is_bool()) continue;
      if (auto why = check(value, known->get_object(), at + "." + std::string(name)); !why.empty()) return why;
    }
    if (const auto* required = s.if_contains("required"))
      for (const auto& name : required->get_array())
        if (!o.contains(name.get_string())) return at + ": lacks " + std::string(name.get_string());
    return {};
  }

  const json::object& schemas_;
};

}  // namespace ballast::test
