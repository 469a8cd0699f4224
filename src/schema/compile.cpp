#include "schema/compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "schema/uri.hpp"

namespace ballast::schema {

enum class Vocabulary : unsigned char { core, applicators, unevaluated, validation };

struct Compiler::Keyword {
  std::string_view name;
  Vocabulary vocabulary;
  Read read;
  Draft from = Draft::d4, to = Draft::d2020_12;
};

const Compiler::Keyword* Compiler::find_keyword(std::string_view name) {
  using enum Vocabulary;
  using C = Compiler;
  static constexpr std::array<Keyword, 43> all{{
      {"type", validation, &C::read_type},
      {"enum", validation, &C::read_enum},
      {"const", validation, &C::read_const, Draft::d6},
      {"minimum", validation, &C::read_bound},
      {"maximum", validation, &C::read_bound},
      {"exclusiveMinimum", validation, &C::read_bound},
      {"exclusiveMaximum", validation, &C::read_bound},
      {"multipleOf", validation, &C::read_multiple},
      {"minLength", validation, &C::read_count},
      {"maxLength", validation, &C::read_count},
      {"minItems", validation, &C::read_count},
      {"maxItems", validation, &C::read_count},
      {"minProperties", validation, &C::read_count},
      {"maxProperties", validation, &C::read_count},
      {"minContains", validation, &C::read_count, Draft::d2019_09},
      {"maxContains", validation, &C::read_count, Draft::d2019_09},
      {"pattern", validation, &C::read_pattern},
      {"format", core, &C::read_format},
      {"uniqueItems", validation, &C::read_unique},
      {"required", validation, &C::read_required},
      {"dependentRequired", validation, &C::read_dependent_required, Draft::d2019_09},
      {"properties", applicators, &C::read_properties},
      {"patternProperties", applicators, &C::read_patterns},
      {"additionalProperties", applicators, &C::read_one},
      {"propertyNames", applicators, &C::read_one, Draft::d6},
      {"contains", applicators, &C::read_one, Draft::d6},
      {"not", applicators, &C::read_one},
      {"if", applicators, &C::read_one, Draft::d7},
      {"then", applicators, &C::read_one, Draft::d7},
      {"else", applicators, &C::read_one, Draft::d7},
      {"unevaluatedItems", unevaluated, &C::read_one, Draft::d2019_09},
      {"unevaluatedProperties", unevaluated, &C::read_one, Draft::d2019_09},
      {"allOf", applicators, &C::read_list},
      {"anyOf", applicators, &C::read_list},
      {"oneOf", applicators, &C::read_list},
      {"prefixItems", applicators, &C::read_list, Draft::d2020_12},
      {"items", applicators, &C::read_items},
      {"additionalItems", applicators, &C::read_additional_items, Draft::d4, Draft::d2019_09},
      {"dependentSchemas", applicators, &C::read_dependent_schemas, Draft::d2019_09},
      {"dependencies", applicators, &C::read_dependencies, Draft::d4, Draft::d7},
      {"$ref", core, &C::read_reference},
      {"$dynamicRef", core, &C::read_dynamic_reference, Draft::d2020_12},
      {"$recursiveRef", core, &C::read_dynamic_reference, Draft::d2019_09, Draft::d2019_09},
  }};
  const auto found = std::ranges::find(all, name, &Keyword::name);
  return found == all.end() ? nullptr : &*found;
}

std::unexpected<Error> Compiler::refuse(const Site& site, std::string_view keyword, std::string why, ErrorCode code) const {
  return fail(code, std::move(why), documents_.path(site.place, keyword));
}

Result<NodeId> Compiler::node_of(PlaceId place) {
  const auto [at, is_new] = by_place_.emplace(place, static_cast<NodeId>(nodes_.size()));
  if (!is_new) return at->second;
  if (nodes_.size() >= options_.max_nodes)
    return fail(ErrorCode::caller_too_large, fmt::format("the schema has more than {} subschemas", options_.max_nodes), documents_.path(place));
  nodes_.emplace_back();
  places_.push_back(place);
  return at->second;
}

Result<NodeId> Compiler::child(Site& site, std::string_view keyword, const json::value& schema, std::string_view step) {
  const PlaceId place = documents_.place_of(schema, site.place, fmt::format("/{}{}", keyword, step));
  if (!schema.is_object() && !schema.is_bool())
    return fail(ErrorCode::caller_invalid_request, "must be a schema: an object, true or false", documents_.path(place));
  return node_of(place);
}

Result<Node> Compiler::read_schema(PlaceId id) {
  const Place& place = documents_.place(id);
  Node node;
  node.resource = place.resource;
  const auto* object = place.schema->if_object();
  if (!object) {
    if (!place.schema->is_bool()) return fail(ErrorCode::caller_invalid_request, "must be a schema: an object, true or false", documents_.path(id));
    node.refuses = !place.schema->get_bool();
    return node;
  }
  Site site{id, documents_.resource(place.resource).dialect, *object, std::move(node)};
  // Before 2019-09, `$ref` stands alone whatever is written beside it.
  const auto* reference = object->if_contains("$ref");
  if (site.dialect.before_2019() && reference) {
    if (auto done = read_reference(site, "$ref", *reference); !done) return fail(std::move(done.error()));
    return std::move(site.node);
  }
  for (const auto& member : *object)
    if (auto done = read_member(site, member.key(), member.value()); !done) return fail(std::move(done.error()));
  finish(site);
  return std::move(site.node);
}

Result<void> Compiler::read_member(Site& site, std::string_view name, const json::value& value) {
  const Keyword* keyword = find_keyword(name);
  if (!keyword || site.dialect.draft < keyword->from || site.dialect.draft > keyword->to) return {};
  const bool understood = keyword->vocabulary == Vocabulary::core || (keyword->vocabulary == Vocabulary::applicators && site.dialect.applicators) ||
                          (keyword->vocabulary == Vocabulary::unevaluated && site.dialect.unevaluated) ||
                          (keyword->vocabulary == Vocabulary::validation && site.dialect.validation);
  return understood ? (this->*keyword->read)(site, keyword->name, value) : Result<void>{};
}

void Compiler::finish(Site& site) {
  if (auto& array = site.node.array) {
    array->contains_marks = site.dialect.draft == Draft::d2020_12;
    if (array->contains == kNone) array->min_contains = 0, array->max_contains = kUnbounded;
  }
  if (auto& in_place = site.node.in_place; in_place && in_place->condition == kNone) in_place->then = in_place->otherwise = kNone;
}

Result<void> Compiler::drain() {
  for (; read_ < nodes_.size(); ++read_) {
    auto node = read_schema(places_[read_]);
    if (!node) return fail(std::move(node.error()));
    nodes_[read_] = std::move(*node);
  }
  return {};
}

// Every resource that has an anchor by a name that some dynamic reference asks for may be meant at run time.
Result<void> Compiler::resolve_dynamic_names() {
  for (bool more = true; more;) {
    more = false;
    for (std::size_t n = 0; n < dynamic_names_.size(); ++n)
      for (ResourceId r = 0; r < documents_.resources(); ++r) {
        const auto& anchors = documents_.resource(r).dynamic_anchors;
        const auto found = anchors.find(dynamic_names_[n]);
        if (found == anchors.end() || std::ranges::find(dynamic_[n].targets, r, &std::pair<std::uint32_t, NodeId>::first) != dynamic_[n].targets.end()) continue;
        auto node = node_of(found->second);
        if (!node) return fail(std::move(node.error()));
        dynamic_[n].targets.emplace_back(r, *node);
        more = true;
      }
    if (auto done = drain(); !done) return done;
  }
  return {};
}

// Schemas that are always applied to the same instance must not form a circle.
Result<void> Compiler::refuse_endless(const Program& program) const {
  enum : std::uint8_t { fresh, open, closed };
  std::vector<std::uint8_t> state(program.nodes.size(), fresh);
  const auto always = [&](NodeId id) {
    std::vector<NodeId> out;
    if (const auto* rules = program.nodes[id].in_place.get()) {
      out = rules->references;
      if (rules->dynamic != kNone && rules->dynamic_name == kNone) out.push_back(rules->dynamic);
      out.insert(out.end(), rules->all_of.begin(), rules->all_of.end());
      for (const auto* some : {&rules->any_of, &rules->one_of})
        if (!some->empty()) out.push_back(some->front());
      for (const NodeId one : {rules->negated, rules->condition})
        if (one != kNone) out.push_back(one);
    }
    return out;
  };
  struct Step {
    NodeId node;
    std::vector<NodeId> next;
  };
  for (NodeId start = 0; start < program.nodes.size(); ++start) {
    if (state[start] != fresh) continue;
    std::vector<Step> road;
    road.push_back({start, always(start)});
    state[start] = open;
    while (!road.empty()) {
      auto& [node, next] = road.back();
      if (next.empty()) {
        state[node] = closed;
        road.pop_back();
        continue;
      }
      const NodeId to = next.back();
      next.pop_back();
      if (state[to] == open)
        return fail(ErrorCode::caller_invalid_request, "leads back to itself without a step into the instance, so it would never end",
                    documents_.path(places_[node]));
      if (state[to] == fresh) {
        state[to] = open;
        road.push_back({to, always(to)});
      }
    }
  }
  return {};
}

Result<std::shared_ptr<const Program>> Compiler::run(const json::value& schema) {
  if (!schema.is_object() && !schema.is_bool()) return fail(ErrorCode::caller_invalid_request, "a schema is an object, true or false");
  auto root = documents_.add_root(schema);
  if (!root) return fail(std::move(root.error()));
  auto program = std::make_shared<Program>();
  auto node = node_of(*root);
  if (!node) return fail(std::move(node.error()));
  program->root = *node;
  if (auto done = drain(); !done) return fail(std::move(done.error()));
  if (auto done = resolve_dynamic_names(); !done) return fail(std::move(done.error()));
  program->nodes = std::move(nodes_);
  program->dynamic_names = std::move(dynamic_);
  program->max_depth = options_.max_depth;
  program->max_steps = options_.max_steps;
  program->max_pattern_steps = options_.max_pattern_steps;
  if (auto done = refuse_endless(*program); !done) return fail(std::move(done.error()));
  return std::shared_ptr<const Program>(std::move(program));
}

Result<std::shared_ptr<const Program>> build_program(const json::value& schema, const CompileOptions& options) { return Compiler(options).run(schema); }

Members::Member& Members::add(std::string_view name) {
  if (const auto* known = find(name)) return const_cast<Member&>(*known);
  constexpr std::size_t few = 4;
  all_.push_back(Member{std::string(name), kNone, false});
  if (all_.size() > few) {
    if (all_.size() * 2 > slots_.size()) grow();
    else place(static_cast<std::uint32_t>(all_.size() - 1));
  }
  return all_.back();
}

void Members::grow() {
  const std::size_t size = std::max<std::size_t>(16, slots_.size() * 2);
  mask_ = size - 1;
  slots_.assign(size, {});
  for (std::uint32_t m = 0; m < all_.size(); ++m) place(m);
}

void Members::place(std::uint32_t member) {
  const std::uint64_t h = fast_hash(all_[member].name);
  std::size_t i = h & mask_;
  while (slots_[i].member != kNone) i = (i + 1) & mask_;
  slots_[i] = {static_cast<std::uint32_t>(h >> 32), member};
}

}  // namespace ballast::schema
