#include "app/schema.hpp"

#include "base/text.hpp"

namespace ballast::app {

namespace {

json::object leaf(std::string_view type) { return {{"type", type}}; }

// A value that ${NAME} may stand for.
json::object written(std::string_view type, std::string_view pattern) {
  json::array kinds;
  if (!type.empty()) kinds.push_back(json::value(type));
  kinds.push_back("string");
  return {{"type", std::move(kinds)}, {"pattern", fmt::format("^({}|.*\\$\\{{.*)$", pattern)}};
}

json::object object_of(std::span<const SchemaKey> keys);

json::object shape(const SchemaKey& key) {
  switch (key.form) {
    case Form::text: return {{"type", json::array{"string", "number", "boolean"}}};
    case Form::integer: return written("integer", "-?[0-9]+");
    case Form::number: return written("number", "-?[0-9.eE+-]+");
    case Form::boolean: return written("boolean", "true|false|yes|no|on|off");
    case Form::duration: return written("integer", "[0-9.]+ ?(ns|us|ms|s|m|h|d)?");
    case Form::size: return written("integer", "[0-9.]+ ?(B|KB|MB|GB|TB)?");
    case Form::money: return written("number", "\\$?[0-9.]+");
    case Form::rate: return written({}, "[0-9]+/(s|m|h|d)");
    case Form::time: return leaf("string");
    case Form::delay: {
      json::object drawn{{"type", "object"}, {"additionalProperties", false},
                         {"properties", json::object{{"uniform", leaf("array")}, {"median", leaf("string")}, {"sigma", leaf("number")}}}};
      return {{"anyOf", json::array{shape({"", Form::duration, ""}), std::move(drawn)}}};
    }
    case Form::texts: return {{"type", json::array{"array", "string"}}, {"items", leaf("string")}};
    case Form::choice: {
      json::array words;
      for (const auto word : split(key.words, '|')) words.push_back(json::value(word));
      return {{"enum", std::move(words)}};
    }
    case Form::object: return object_of(key.keys);
    case Form::choice_or_object: return {{"anyOf", json::array{shape({.name = {}, .form = Form::choice, .about = {}, .words = key.words}), object_of(key.keys)}}};
    case Form::map: {
      json::object map{{"type", "object"}, {"additionalProperties", object_of(key.keys)}};
      if (key.name != "models" || key.example.contains('/')) return map;
      return {{"anyOf", json::array{std::move(map), json::object{{"type", "array"}, {"items", leaf("string")}}}}};
    }
    case Form::map_text: return {{"type", "object"}, {"additionalProperties", json::object{{"type", "string"}}}};
    case Form::map_or_text: return {{"type", "object"}, {"additionalProperties", json::object{{"anyOf", json::array{leaf("string"), object_of(key.keys)}}}}};
    case Form::examples:
      return {{"type", json::array{"string", "array", "object"}}, {"items", leaf("string")},
              {"additionalProperties", json::object{{"type", json::array{"string", "array"}}, {"items", leaf("string")}}}};
    case Form::list: return {{"type", "array"}, {"items", object_of(key.keys)}};
    case Form::list_or_text:
      return {{"type", "array"}, {"items", json::object{{"anyOf", json::array{leaf("string"), object_of(key.keys)}}}}};
  }
  return {};
}

json::object object_of(std::span<const SchemaKey> keys) {
  json::object properties;
  json::array required;
  for (const auto& key : keys) {
    json::object property = shape(key);
    property["description"] = json::value(key.about);
    if (!key.fallback.empty()) property["default"] = json::value(key.fallback);
    if (!key.example.empty() && key.form != Form::map && key.form != Form::map_text && key.form != Form::map_or_text)
      property["examples"] = json::array{json::value(key.example)};
    if (key.required) required.push_back(json::value(key.name));
    properties[key.name] = std::move(property);
  }
  // A section that is named and left empty is null in YAML.
  json::object made{{"type", json::array{"object", "null"}}, {"additionalProperties", false}, {"properties", std::move(properties)}};
  if (!required.empty()) made["required"] = std::move(required);
  return made;
}

void indent(std::string& out, const json::value& value, std::size_t depth) {
  const std::string pad(2 * depth + 2, ' ');
  const auto close = [&](char c) { out.append("\n").append(2 * depth, ' ').push_back(c); };
  if (const auto* object = value.if_object(); object && !object->empty()) {
    out += "{";
    bool first = true;
    for (const auto& [name, member] : *object) {
      out += first ? "\n" : ",\n";
      first = false;
      out += pad;
      append_json_string(out, name);
      out += ": ";
      indent(out, member, depth + 1);
    }
    close('}');
  } else {
    append_json(out, value);
  }
}

}  // namespace

json::value schema_json() {
  json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "ballast.yaml"}};
  for (auto& [name, member] : object_of(config_schema())) schema[name] = std::move(member);
  return schema;
}

std::string schema_text() {
  std::string out;
  indent(out, schema_json(), 0);
  out += '\n';
  return out;
}

}  // namespace ballast::app
