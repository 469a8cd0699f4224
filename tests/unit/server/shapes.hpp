// Answers held to the schemas that /openapi.json publishes: every member that is told must be described, and what must be there is.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/json.hpp"
#include "schema/schema.hpp"

namespace ballast::server::test {

// Objects whose schema does not speak of further members have none.
inline void close(json::value& schema) {
  if (auto* list = schema.if_array())
    for (auto& one : *list) close(one);
  auto* o = schema.if_object();
  if (!o) return;
  for (auto& [name, member] : *o) close(member);
  const auto* properties = o->if_contains("properties");
  if (properties && properties->is_object() && !o->contains("additionalProperties")) (*o)["additionalProperties"] = false;
}

class Shapes {
 public:
  explicit Shapes(const json::value& document) : document_(document) { close(document_.at("components").at("schemas")); }

  const json::object& paths() const { return document_.at("paths").get_object(); }

  // Why `answer` is not what the operation says it answers; empty: it is.
  std::string fault(std::string_view method, std::string_view path, const json::value& answer) const {
    const auto* content = document_.at("paths").at(path).at(method).at("responses").at("200").get_object().if_contains("content");
    if (!content) return "the operation does not say what it answers";
    return judge(content->at("application/json").at("schema").get_object(), answer);
  }
  // The same of one of the schemas.
  std::string fault_of(std::string_view name, const json::value& value) const { return judge({{"$ref", "#/components/schemas/" + std::string(name)}}, value); }

 private:
  std::string judge(json::object schema, const json::value& answer) const {
    schema["components"] = document_.at("components");
    const auto compiled = schema::Schema::compile(schema);
    if (!compiled) return compiled.error().message;
    const auto faults = compiled->check(answer, 1);
    return faults.empty() ? std::string() : faults.front().instance_path + ": " + faults.front().message;
  }

  json::value document_;
};

}  // namespace ballast::server::test
