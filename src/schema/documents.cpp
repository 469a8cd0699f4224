#include "schema/documents.hpp"

#include <fmt/format.h>

#include <array>

#include "base/text.hpp"
#include "schema/uri.hpp"

namespace ballast::schema {

extern const std::string_view kMetaschemas;

namespace {

// Where a keyword's value holds schemas.
enum class Holds : unsigned char { schema, list, either, members };
struct Holder {
  std::string_view keyword;
  Holds holds;
  Draft from = Draft::d4, to = Draft::d2020_12;
};
constexpr std::array<Holder, 23> kHolders{{
    {"properties", Holds::members}, {"patternProperties", Holds::members}, {"additionalProperties", Holds::schema},
    {"propertyNames", Holds::schema, Draft::d6}, {"items", Holds::either}, {"prefixItems", Holds::list, Draft::d2020_12},
    {"additionalItems", Holds::schema, Draft::d4, Draft::d2019_09}, {"contains", Holds::schema, Draft::d6},
    {"allOf", Holds::list}, {"anyOf", Holds::list}, {"oneOf", Holds::list}, {"not", Holds::schema},
    {"if", Holds::schema, Draft::d7}, {"then", Holds::schema, Draft::d7}, {"else", Holds::schema, Draft::d7},
    {"definitions", Holds::members}, {"$defs", Holds::members, Draft::d2019_09}, {"dependencies", Holds::members, Draft::d4, Draft::d7},
    {"dependentSchemas", Holds::members, Draft::d2019_09}, {"unevaluatedItems", Holds::schema, Draft::d2019_09},
    {"unevaluatedProperties", Holds::schema, Draft::d2019_09}, {"contentSchema", Holds::schema, Draft::d2019_09},
    {"extends", Holds::schema, Draft::d4, Draft::d4},
}};

const json::string* text_at(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value ? value->if_string() : nullptr;
}

}  // namespace

Documents::Documents(const CompileOptions& options) : options_(options) {
  find_ = [this](std::string_view uri) { return find_document(uri); };
}

std::string Documents::path(PlaceId place, std::string_view keyword) const {
  std::vector<PlaceId> road;
  for (PlaceId at = place; at != kNowhere; at = places_[at].parent) road.push_back(at);
  std::string out;
  for (std::size_t i = road.size(); i-- > 0;) {
    if (road.size() > 24 && i == road.size() - 13) {
      out += "/…";
      i = 12;
    }
    out += places_[road[i]].step;
  }
  if (!keyword.empty()) append_step(out, keyword);
  return out;
}

const json::value* Documents::find_document(std::string_view uri) {
  for (const std::string& key : {std::string(uri), std::string(uri) + "#"})
    if (const auto found = options_.documents.find(key); found != options_.documents.end()) return &found->second;
  if (!uri.contains("json-schema.org/")) return nullptr;
  if (metaschemas_.is_null()) metaschemas_ = parse_json(kMetaschemas).value();
  return metaschemas_.get_object().if_contains(uri);
}

Result<PlaceId> Documents::add_root(const json::value& schema) {
  auto root = add(schema, {}, Dialect{.draft = options_.default_draft}, {});
  if (root) by_uri_.emplace(std::string(), places_[*root].resource);
  return root;
}

Result<PlaceId> Documents::add(const json::value& schema, std::string base, Dialect dialect, std::string_view name) {
  const auto resource = static_cast<ResourceId>(resources_.size());
  const auto place = static_cast<PlaceId>(places_.size());
  resources_.push_back({.root = &schema, .base = base, .dialect = dialect, .anchors = {}, .dynamic_anchors = {}, .place = place});
  places_.push_back({.schema = &schema, .resource = resource, .parent = kNowhere, .step = std::string(name)});
  by_schema_.emplace(&schema, place);
  if (!base.empty()) by_uri_.emplace(std::move(base), resource);
  if (auto done = read(place); !done) return fail(std::move(done.error()));
  return place;
}

PlaceId Documents::place_of(const json::value& schema, PlaceId parent, std::string_view step) {
  const auto [at, is_new] = by_schema_.emplace(&schema, static_cast<PlaceId>(places_.size()));
  if (is_new) places_.push_back({.schema = &schema, .resource = places_[parent].resource, .parent = parent, .step = std::string(step)});
  return at->second;
}

// Walks the schemas below and notes their resources and anchors, without recursion: documents may be as deep as they like.
Result<void> Documents::read(PlaceId from) {
  std::vector<PlaceId> pending{from};
  while (!pending.empty()) {
    const PlaceId place = pending.back();
    pending.pop_back();
    const auto* object = places_[place].schema->if_object();
    if (!object) continue;
    if (places_.size() > options_.max_nodes * 2)
      return fail(ErrorCode::caller_too_large, fmt::format("the schema and its documents hold more than {} subschemas", options_.max_nodes), path(place));
    if (auto done = enter(place, *object); !done) return done;
    push_children(place, *object, pending);
  }
  return {};
}

Result<void> Documents::enter(PlaceId place, const json::object& object) {
  const ResourceId outer = places_[place].resource;
  const bool is_root = resources_[outer].root == places_[place].schema;
  // `$schema` counts at the root of a resource, and says which keyword names it.
  const auto* dialect_uri = text_at(object, "$schema");
  if (is_root && dialect_uri) {
    auto dialect = dialect_of(std::string_view(*dialect_uri), find_);
    if (!dialect) {
      dialect.error().field = path(place, "$schema");
      return fail(std::move(dialect.error()));
    }
    resources_[outer].dialect = *dialect;
  }
  Dialect dialect = resources_[outer].dialect;
  if (!is_root && dialect_uri && (text_at(object, "$id") || text_at(object, "id")))
    if (auto own = dialect_of(std::string_view(*dialect_uri), find_)) dialect = *own;
  const auto* id = text_at(object, dialect.id_keyword());
  if (id && !(dialect.before_2019() && object.contains("$ref"))) {
    const std::string_view text(*id);
    if (dialect.before_2019() && text.starts_with('#') && text.size() > 1) resources_[outer].anchors.emplace(text.substr(1), place);
    else if (!without_fragment(text).empty())
      if (auto done = begin_resource(place, text, object); !done) return done;
  }
  if (!dialect.before_2019()) note_anchors(place, object);
  return {};
}

Result<void> Documents::begin_resource(PlaceId place, std::string_view id, const json::object& object) {
  const ResourceId outer = places_[place].resource;
  const std::string base = resolve_uri(resources_[outer].base, id);
  if (resources_[outer].root == places_[place].schema) {
    resources_[outer].base = base;
    by_uri_.emplace(base, outer);
    return {};
  }
  Dialect dialect = resources_[outer].dialect;
  if (const auto* uri = text_at(object, "$schema")) {
    auto own = dialect_of(std::string_view(*uri), find_);
    if (!own) {
      own.error().field = path(place, "$schema");
      return fail(std::move(own.error()));
    }
    dialect = *own;
  }
  const auto inner = static_cast<ResourceId>(resources_.size());
  resources_.push_back({.root = places_[place].schema, .base = base, .dialect = dialect, .anchors = {}, .dynamic_anchors = {}, .place = place});
  places_[place].resource = inner;
  by_uri_.emplace(base, inner);
  return {};
}

void Documents::note_anchors(PlaceId place, const json::object& object) {
  auto& resource = resources_[places_[place].resource];
  if (const auto* anchor = text_at(object, "$anchor")) resource.anchors.emplace(std::string_view(*anchor), place);
  if (resource.dialect.draft == Draft::d2020_12) {
    if (const auto* anchor = text_at(object, "$dynamicAnchor")) resource.dynamic_anchors.emplace(std::string_view(*anchor), place);
  } else if (const auto* recursive = object.if_contains("$recursiveAnchor"); recursive && recursive->is_bool() && recursive->get_bool()) {
    if (resource.root == places_[place].schema) resource.dynamic_anchors.emplace(kRecursiveAnchor, place);
  }
}

void Documents::push_children(PlaceId place, const json::object& object, std::vector<PlaceId>& pending) {
  const Draft draft = resources_[places_[place].resource].dialect.draft;
  for (const auto& member : object) {
    const std::string_view keyword = member.key();
    const auto holder = std::ranges::find(kHolders, keyword, &Holder::keyword);
    if (holder == kHolders.end() || draft < holder->from || draft > holder->to) continue;
    const auto& value = member.value();
    const std::string road = "/" + std::string(keyword);
    const auto push = [&](const json::value& schema, std::string_view step) {
      if (!by_schema_.contains(&schema)) pending.push_back(place_of(schema, place, step));
    };
    if (const auto* list = value.if_array(); list && (holder->holds == Holds::list || holder->holds == Holds::either)) {
      for (std::size_t i = 0; i < list->size(); ++i) push((*list)[i], fmt::format("{}/{}", road, i));
    } else if (const auto* members = value.if_object(); members && holder->holds == Holds::members) {
      for (const auto& [key, schema] : *members) {
        std::string step = road;
        append_step(step, key);
        push(schema, step);
      }
    } else if (value.is_object() && (holder->holds == Holds::schema || holder->holds == Holds::either)) {
      push(value, road);
    }
  }
}

// ---- References

Result<ResourceId> Documents::find_resource(const std::string& uri, std::string_view reference) {
  if (const auto known = by_uri_.find(uri); known != by_uri_.end()) return known->second;
  if (const auto* document = find_document(uri)) {
    // The document may have been read already, under another URI of its own.
    if (const auto read = by_schema_.find(document); read != by_schema_.end()) return places_[read->second].resource;
    auto place = add(*document, uri, inherited(), uri + "#");
    if (!place) return fail(std::move(place.error()));
    return places_[*place].resource;
  }
  if (!registered_read_) {
    registered_read_ = true;
    for (const auto& [name, document] : options_.documents)  // one that cannot be read matters only to those who refer to it
      if (!by_schema_.contains(&document)) (void)add(document, std::string(without_fragment(name)), inherited(), name + "#");
    return find_resource(uri, reference);
  }
  return fail(ErrorCode::caller_invalid_request,
              fmt::format("\"{}\" leads to \"{}\", which is neither in this schema nor a registered document; nothing is fetched", reference, uri));
}

Result<Documents::Target> Documents::resolve(std::string_view reference, ResourceId from) {
  ResourceId resource = from;
  if (!without_fragment(reference).empty()) {
    auto found = find_resource(resolve_uri(resources_[from].base, reference), reference);
    if (!found) return fail(std::move(found.error()));
    resource = *found;
  }
  return resolve_fragment(resource, fragment_of(reference), reference);
}

Result<Documents::Target> Documents::resolve_fragment(ResourceId id, const std::string& fragment, std::string_view reference) {
  const Resource& resource = resources_[id];
  if (fragment.empty()) return Target{resource.place, {}};
  if (fragment.starts_with('/')) {
    auto place = follow(id, fragment, reference);
    if (!place) return fail(std::move(place.error()));
    return Target{*place, {}};
  }
  if (const auto found = resource.dynamic_anchors.find(fragment); found != resource.dynamic_anchors.end()) return Target{found->second, fragment};
  if (const auto found = resource.anchors.find(fragment); found != resource.anchors.end()) return Target{found->second, {}};
  return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" leads nowhere: there is no anchor \"{}\" in that schema", reference, fragment));
}

Result<PlaceId> Documents::follow(ResourceId id, const std::string& pointer, std::string_view reference) {
  const json::value* at = resources_[id].root;
  PlaceId nearest = resources_[id].place;
  std::string road;
  for (const auto& step : pointer_steps(pointer)) {
    const json::value* next = nullptr;
    if (const auto* object = at->if_object()) next = object->if_contains(step);
    else if (const auto* array = at->if_array()) {
      const auto index = parse_int<std::size_t>(step);
      if (index && *index < array->size()) next = &(*array)[*index];
    }
    if (!next) return fail(ErrorCode::caller_invalid_request, fmt::format("\"{}\" leads nowhere: \"{}\" is not there", reference, step));
    at = next;
    append_step(road, step);
    if (const auto known = by_schema_.find(at); known != by_schema_.end()) {
      nearest = known->second;
      road.clear();
    }
  }
  if (road.empty()) return nearest;
  const PlaceId place = place_of(*at, nearest, road);  // a place that only this reference makes a schema
  if (auto done = read(place); !done) return fail(std::move(done.error()));
  return place;
}

}  // namespace ballast::schema
