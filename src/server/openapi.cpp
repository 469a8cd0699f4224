// The OpenAPI document, built from the tables of operations and from data/schemas.json: what each of them takes and answers.
#include <array>

#include "base/json.hpp"
#include "base/text.hpp"
#include "server/openapi_operations.hpp"
#include "server/server.hpp"

namespace ballast::server {

extern const std::string_view kSchemas;          // data/schemas.json: `schemas`, and of `operations` which of them they take and answer

namespace {

const json::object& shapes() {
  static const json::value all = parse_json(kSchemas).value();
  return all.get_object();
}

json::object content_of(json::value schema) { return {{"application/json", {{"schema", std::move(schema)}}}}; }
json::object reference(std::string_view name) { return {{"$ref", fmt::format("#/components/schemas/{}", name)}}; }
// A name, or several of which one fits.
json::object schema_of(const json::value& named) {
  if (named.is_string()) return reference(named.get_string());
  json::array any;
  for (const auto& name : named.get_array()) any.push_back(reference(name.get_string()));
  return {{"anyOf", std::move(any)}};
}

// In the document's order.
std::array<const Operations*, 4> families() { return {&call_operations(), &job_operations(), &people_operations(), &state_operations()}; }

// `/a/{x}:b` is any text between `/a/` and `:b`.
bool matches(std::string_view pattern, std::string_view path) {
  const auto open = pattern.find('{');
  if (open == std::string_view::npos) return path == pattern;
  const auto front = pattern.substr(0, open), back = pattern.substr(pattern.find('}') + 1);
  return path.size() > front.size() + back.size() && path.starts_with(front) && path.ends_with(back);
}

json::object operation_json(const Operation& op) {
  json::array parameters;
  for (const auto& p : op.parameters)
    parameters.push_back(json::object{{"name", p.name}, {"in", p.in}, {"required", p.in == "path"}, {"description", p.description}, {"schema", {{"type", "string"}}}});
  json::object o{{"tags", json::array{op.tag}}, {"summary", op.summary}, {"description", op.description}, {"parameters", std::move(parameters)}};
  std::string verb(op.method);
  for (char& c : verb) c = static_cast<char>(c - 'a' + 'A');
  static const json::object nothing;
  const auto* said = shapes().at("operations").get_object().if_contains(fmt::format("{} {}", verb, op.path));
  const json::object& shape = said ? said->get_object() : nothing;
  const auto* request = shape.if_contains("request");
  if (op.body) o["requestBody"] = {{"required", true}, {"content", content_of(request ? json::value(schema_of(*request)) : json::value(json::object{{"type", "object"}}))}};
  json::object done{{"description", "Done."}};
  if (const auto* reply = shape.if_contains("reply")) done["content"] = content_of(schema_of(*reply));
  const auto* status = shape.if_contains("status");
  o["responses"] = {{status ? std::string_view(status->get_string()) : "200", std::move(done)},
                    {"4XX", {{"description", "The request is at fault; native routes answer RFC 9457 problem details that name the field."}}},
                    {"5XX", {{"description", "A provider or this node is at fault."}}}};
  return o;
}

}  // namespace

std::string methods_of(std::string_view path) {
  std::string methods;
  for (const Operations* family : families())
    for (const auto& op : *family) {
      if (!matches(op.path, path)) continue;
      if (!methods.empty()) methods += ", ";
      for (const char c : op.method) methods += static_cast<char>(c - 'a' + 'A');
    }
  return methods;
}

std::string openapi_document(std::string_view version) {
  json::object paths;
  for (const Operations* family : families())
    for (const auto& op : *family) {
      auto& at = paths[op.path];
      if (!at.is_object()) at = json::object{};
      at.as_object()[op.method] = operation_json(op);
    }
  const json::object document{
      {"openapi", "3.1.0"},
      {"info", {{"title", "Ballast"}, {"version", version}, {"license", {{"name", "Apache-2.0"}}},
                {"description", "The production runtime for AI systems: a model gateway that survives its providers."}}},
      {"security", json::array{json::object{{"bearer", json::array{}}}}},
      {"components", {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}, {"schemas", shapes().at("schemas")}}},
      {"paths", std::move(paths)}};
  return to_json(document);
}

}  // namespace ballast::server
