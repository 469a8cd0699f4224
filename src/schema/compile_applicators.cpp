// Keywords that apply other schemas: to members and items, to the same instance, and by reference.
#include <fmt/format.h>

#include <algorithm>

#include "schema/compile.hpp"
#include "schema/uri.hpp"

namespace ballast::schema {

namespace {

std::string as_step(std::string_view name) {
  std::string out;
  append_step(out, name);
  return out;
}

}  // namespace

Result<void> Compiler::read_properties(Site& site, std::string_view keyword, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return refuse(site, keyword, "must be an object whose members are schemas");
  for (const auto& member : *object) {
    auto node = child(site, keyword, member.value(), as_step(member.key()));
    if (!node) return fail(std::move(node.error()));
    site.members().members.add(member.key()).schema = *node;
  }
  return {};
}

Result<void> Compiler::read_patterns(Site& site, std::string_view keyword, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return refuse(site, keyword, "must be an object of schemas by regular expression");
  for (const auto& member : *object) {
    auto pattern = make_pattern(site, keyword, member.key());
    if (!pattern) {
      pattern.error().message = fmt::format("\"{}\" {}", std::string_view(member.key()), pattern.error().message);
      return fail(std::move(pattern.error()));
    }
    auto node = child(site, keyword, member.value(), as_step(member.key()));
    if (!node) return fail(std::move(node.error()));
    site.members().patterns.push_back({std::move(*pattern), *node});
  }
  return {};
}

Result<void> Compiler::read_one(Site& site, std::string_view keyword, const json::value& value) {
  auto node = child(site, keyword, value);
  if (!node) return fail(std::move(node.error()));
  if (keyword == "additionalProperties") site.members().additional = *node;
  else if (keyword == "propertyNames") site.members().names = *node;
  else if (keyword == "unevaluatedProperties") site.members().unevaluated = *node;
  else if (keyword == "unevaluatedItems") site.array().unevaluated = *node;
  else if (keyword == "contains") site.array().contains = *node;
  else if (keyword == "not") site.in_place().negated = *node;
  else if (keyword == "if") site.in_place().condition = *node;
  else if (keyword == "then") site.in_place().then = *node;
  else site.in_place().otherwise = *node;
  return {};
}

Result<void> Compiler::read_list(Site& site, std::string_view keyword, const json::value& value) {
  const auto* list = value.if_array();
  if (!list || list->empty()) return refuse(site, keyword, "must be a list of schemas, one or more");
  std::vector<NodeId> nodes;
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto node = child(site, keyword, (*list)[i], fmt::format("/{}", i));
    if (!node) return fail(std::move(node.error()));
    nodes.push_back(*node);
  }
  if (keyword == "allOf") site.in_place().all_of = std::move(nodes);
  else if (keyword == "anyOf") site.in_place().any_of = std::move(nodes);
  else if (keyword == "oneOf") site.in_place().one_of = std::move(nodes);
  else {
    site.array().prefix = std::move(nodes);
    site.array().prefix_keyword = keyword;
  }
  return {};
}

Result<void> Compiler::read_items(Site& site, std::string_view keyword, const json::value& value) {
  if (value.is_array() && site.dialect.draft < Draft::d2020_12) {
    site.array();
    return value.get_array().empty() ? Result<void>{} : read_list(site, keyword, value);
  }
  auto node = child(site, keyword, value);
  if (!node) return fail(std::move(node.error()));
  site.array().rest = *node;
  site.array().rest_keyword = keyword;
  return {};
}

Result<void> Compiler::read_additional_items(Site& site, std::string_view keyword, const json::value& value) {
  const auto* items = site.object.if_contains("items");
  if (!items || !items->is_array()) return {};  // without a tuple it means nothing
  auto node = child(site, keyword, value);
  if (!node) return fail(std::move(node.error()));
  site.array().rest = *node;
  site.array().rest_keyword = keyword;
  return {};
}

Result<void> Compiler::read_dependent_schemas(Site& site, std::string_view keyword, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return refuse(site, keyword, "must be an object whose members are schemas");
  for (const auto& member : *object) {
    auto node = child(site, keyword, member.value(), as_step(member.key()));
    if (!node) return fail(std::move(node.error()));
    site.members().dependencies.push_back({std::string(member.key()), {}, *node, keyword});
  }
  return {};
}

Result<void> Compiler::read_dependencies(Site& site, std::string_view keyword, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return refuse(site, keyword, "must be an object of schemas or lists of member names");
  for (const auto& member : *object) {
    const json::value alone(json::object{{member.key(), member.value()}});
    if (member.value().is_array()) {
      if (auto done = read_dependent_required(site, keyword, alone); !done) return done;
      continue;
    }
    auto node = child(site, keyword, member.value(), as_step(member.key()));
    if (!node) return fail(std::move(node.error()));
    site.members().dependencies.push_back({std::string(member.key()), {}, *node, keyword});
  }
  return {};
}

Result<void> Compiler::read_reference(Site& site, std::string_view keyword, const json::value& value) {
  const auto* text = value.if_string();
  if (!text) return refuse(site, keyword, "must be a string, a reference to a schema");
  auto target = documents_.resolve(std::string_view(*text), documents_.place(site.place).resource);
  if (!target) {
    if (target.error().field.empty()) target.error().field = documents_.path(site.place, keyword);
    return fail(std::move(target.error()));
  }
  auto node = node_of(target->place);
  if (!node) return fail(std::move(node.error()));
  site.in_place().references.push_back(*node);
  site.in_place().reference_keywords.push_back(keyword);
  return {};
}

Result<void> Compiler::read_dynamic_reference(Site& site, std::string_view keyword, const json::value& value) {
  const auto* text = value.if_string();
  if (!text) return refuse(site, keyword, "must be a string, a reference to a schema");
  auto target = documents_.resolve(std::string_view(*text), documents_.place(site.place).resource);
  if (!target) {
    if (target.error().field.empty()) target.error().field = documents_.path(site.place, keyword);
    return fail(std::move(target.error()));
  }
  if (keyword == "$recursiveRef" && documents_.resource(documents_.place(target->place).resource).dynamic_anchors.contains(kRecursiveAnchor))
    target->dynamic = kRecursiveAnchor;
  if (target->dynamic.empty()) return read_reference(site, keyword, value);
  auto node = node_of(target->place);
  if (!node) return fail(std::move(node.error()));
  auto& rules = site.in_place();
  rules.dynamic = *node;
  rules.dynamic_keyword = keyword;
  const auto at = std::ranges::find(dynamic_names_, target->dynamic);
  rules.dynamic_name = static_cast<std::uint32_t>(at - dynamic_names_.begin());
  if (at == dynamic_names_.end()) {
    dynamic_names_.push_back(target->dynamic);
    dynamic_.emplace_back();
  }
  return {};
}

}  // namespace ballast::schema
