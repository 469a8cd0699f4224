// The OpenAPI document, built from the tables of operations.
#include <array>

#include "base/json.hpp"
#include "server/openapi_operations.hpp"
#include "server/server.hpp"

namespace ballast::server {

namespace {

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
  if (op.body) o["requestBody"] = {{"required", true}, {"content", {{"application/json", {{"schema", {{"type", "object"}}}}}}}};
  o["responses"] = {{"200", {{"description", "Done."}}},
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
      {"components", {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"paths", std::move(paths)}};
  return to_json(document);
}

}  // namespace ballast::server
