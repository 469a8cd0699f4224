// Where schemas are: the resources, anchors and places of a schema and of the documents it refers to. Used while compiling only.
// Private to schema/.
//
// A resource is a (sub)schema with a URI of its own. A place is one schema with the road that first led to it, for messages.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "schema/dialect.hpp"

namespace ballast::schema {

using ResourceId = std::uint32_t;
using PlaceId = std::uint32_t;
inline constexpr std::uint32_t kNowhere = ~std::uint32_t{0};

struct Resource {
  const json::value* root = nullptr;
  std::string base;  // absolute where the schema says so; without fragment
  Dialect dialect;
  std::map<std::string, PlaceId, std::less<>> anchors, dynamic_anchors;
  PlaceId place = kNowhere;
};

// "$recursiveAnchor: true" of 2019-09 is a dynamic anchor by this name, which no other can have.
inline constexpr std::string_view kRecursiveAnchor = "$recursive";

struct Place {
  const json::value* schema = nullptr;
  ResourceId resource = 0;
  PlaceId parent = kNowhere;
  std::string step;  // "/properties/a"; for the root of a registered document its URI
};

class Documents {
 public:
  explicit Documents(const CompileOptions& options);

  // Reads the schema itself. Error: caller_invalid_request or caller_too_large with a field.
  Result<PlaceId> add_root(const json::value& schema);

  struct Target {
    PlaceId place = kNowhere;
    std::string dynamic;  // of a reference that ends at a dynamic anchor, its name
  };
  // Where `reference`, found in `from`, leads. Error without field: it leads nowhere, and why.
  Result<Target> resolve(std::string_view reference, ResourceId from);

  const Place& place(PlaceId id) const { return places_[id]; }
  const Resource& resource(ResourceId id) const { return resources_[id]; }
  std::size_t resources() const { return resources_.size(); }
  // The place of a schema met on the way down, whose road is `parent`'s and `step`.
  PlaceId place_of(const json::value& schema, PlaceId parent, std::string_view step);
  // "/properties/a/minimum"; at most 400 bytes, the middle left out.
  std::string path(PlaceId place, std::string_view keyword = {}) const;

 private:
  Result<PlaceId> add(const json::value& schema, std::string base, Dialect dialect, std::string_view name);
  Result<void> read(PlaceId from);
  Result<void> enter(PlaceId place, const json::object& object);
  Result<void> begin_resource(PlaceId place, std::string_view id, const json::object& object);
  void note_anchors(PlaceId place, const json::object& object);
  void push_children(PlaceId place, const json::object& object, std::vector<PlaceId>& pending);
  Result<Target> resolve_fragment(ResourceId resource, const std::string& fragment, std::string_view reference);
  Result<PlaceId> follow(ResourceId resource, const std::string& pointer, std::string_view reference);
  Result<ResourceId> find_resource(const std::string& uri, std::string_view reference);
  const json::value* find_document(std::string_view uri);
  Dialect inherited() const { return resources_.front().dialect; }  // of a document without `$schema`: the schema's own

  const CompileOptions& options_;
  FindDocument find_;
  std::deque<Resource> resources_;
  std::deque<Place> places_;
  std::unordered_map<const json::value*, PlaceId> by_schema_;
  std::map<std::string, ResourceId, std::less<>> by_uri_;
  json::value metaschemas_;      // read when first asked for
  bool registered_read_ = false;  // every registered document, for the resources inside them
};

}  // namespace ballast::schema
