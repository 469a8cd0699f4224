#include "schema/infer.hpp"

#include <algorithm>
#include <array>

#include "schema/values.hpp"

namespace ballast::schema {

namespace {

enum Bit : std::uint8_t { kObject = 1, kArray = 2, kString = 4, kNumber = 8, kInteger = 16, kBoolean = 32, kNull = 64 };
constexpr std::array<std::pair<Bit, std::string_view>, 7> kTypeNames{{
    {kObject, "object"}, {kArray, "array"}, {kString, "string"}, {kNumber, "number"}, {kInteger, "integer"}, {kBoolean, "boolean"}, {kNull, "null"},
}};

Bit bit_of(const json::value& v) {
  switch (v.kind()) {
    case json::kind::object: return kObject;
    case json::kind::array: return kArray;
    case json::kind::string: return kString;
    case json::kind::bool_: return kBoolean;
    case json::kind::null: return kNull;
    default: return is_whole(v) ? kInteger : kNumber;
  }
}

json::value type_of(std::uint8_t types) {
  if (types & kNumber) types &= static_cast<std::uint8_t>(~kInteger);
  json::array names;
  for (const auto& [bit, name] : kTypeNames)
    if (types & bit) names.push_back(json::string(name));
  if (names.size() == 1) return names[0];
  return names;
}

}  // namespace

Structure::Member& Structure::member(std::string_view name) {
  const auto at = std::ranges::find(members_, name, &Member::name);
  return at != members_.end() ? *at : members_.emplace_back(Member{std::string(name), 0, {}});
}

void Structure::add(const json::value& sample, int depth) {
  if (depth >= kDeepest) {
    anything_ = true;
    return;
  }
  const Bit bit = bit_of(sample);
  types_ |= bit;
  if (bit == kArray) {
    for (const auto& item : sample.get_array()) {
      if (items_.empty()) items_.emplace_back();
      items_[0].add(item, depth + 1);
    }
  } else if (bit == kObject) {
    ++objects_;
    for (const auto& [name, value] : sample.get_object()) {
      if (members_.size() >= kMostNames) anything_ = true;
      if (anything_) return;
      auto& known = member(name);
      ++known.seen;
      known.structure.add(value, depth + 1);
    }
  }
}

void Structure::merge(const Structure& other) {
  types_ |= other.types_;
  objects_ += other.objects_;
  anything_ = anything_ || other.anything_;
  for (const auto& theirs : other.members_) {
    if (members_.size() >= kMostNames) anything_ = true;
    if (anything_) return;
    auto& mine = member(theirs.name);
    mine.seen += theirs.seen;
    mine.structure.merge(theirs.structure);
  }
  if (other.items_.empty()) return;
  if (items_.empty()) items_.emplace_back();
  items_[0].merge(other.items_[0]);
}

bool Structure::is_map() const {
  constexpr std::uint64_t least = 3;
  return objects_ >= least && !members_.empty() && std::ranges::all_of(members_, [&](const Member& m) { return m.seen * 2 <= objects_; });
}

json::object Structure::object_schema(bool open) const {
  json::object out;
  if (is_map()) {
    Structure values;
    for (const auto& m : members_) values.merge(m.structure);
    out["additionalProperties"] = values.schema(open);
    return out;
  }
  json::object properties;
  json::array required;
  for (const auto& m : members_) {
    properties[m.name] = m.structure.schema(open);
    if (m.seen == objects_) required.push_back(json::string(m.name));
  }
  if (!required.empty()) out["required"] = std::move(required);
  out["properties"] = std::move(properties);
  if (!open) out["additionalProperties"] = false;
  return out;
}

json::value Structure::schema(bool open) const {
  if (anything_ || types_ == 0) return true;
  json::object out{{"type", type_of(types_)}};
  if (types_ & kObject)
    for (auto& [name, value] : object_schema(open)) out[name] = std::move(value);
  if (!items_.empty()) out["items"] = items_[0].schema(open);
  return out;
}

namespace {

class Refiner {
 public:
  explicit Refiner(const json::value& root) : root_(root) {}

  void refine(json::value& inferred, const json::value& place, int depth) {
    auto* mine = inferred.if_object();
    const auto* theirs = meant(place);
    if (!mine || !theirs || depth > Structure::kDeepest) return;
    for (const char* keyword : {"enum", "const"})
      if (const auto* values = theirs->if_contains(keyword)) (*mine)[keyword] = *values;
    if (auto* items = mine->if_contains("items"))
      if (const auto* declared = theirs->if_contains("items")) refine(*items, *declared, depth + 1);
    refine_members(*mine, *theirs, depth);
  }

 private:
  void refine_members(json::object& mine, const json::object& theirs, int depth) {
    const auto* declared = theirs.if_contains("properties");
    auto* seen = mine.if_contains("properties");
    if (!declared || !declared->is_object() || !seen) return;
    auto& properties = seen->get_object();
    for (const auto& [name, schema] : declared->get_object()) {
      if (auto* known = properties.if_contains(name)) refine(*known, schema, depth + 1);
      else properties[name] = plain(schema);
    }
    const auto* wanted = theirs.if_contains("required");
    auto* required = mine.if_contains("required");
    if (!wanted || !wanted->is_array() || !required) return;
    json::array both;
    for (const auto& name : required->get_array())
      if (std::ranges::find(wanted->get_array(), name) != wanted->get_array().end()) both.push_back(name);
    *required = std::move(both);
  }

  // The schema behind references into the declared one, or nothing.
  const json::object* meant(const json::value& place) const {
    constexpr int most = 16;
    const auto* at = &place;
    for (int hops = 0; hops < most; ++hops) {
      const auto* object = at->if_object();
      const auto* reference = object ? object->if_contains("$ref") : nullptr;
      if (!reference) return object;
      const auto* text = reference->if_string();
      if (!text || !text->starts_with('#')) return nullptr;
      std::error_code error;
      at = root_.find_pointer(json::string_view(*text).substr(1), error);
      if (error || !at) return nullptr;
    }
    return nullptr;
  }

  // What may stand in another document: a reference would lead nowhere there.
  json::value plain(const json::value& schema) const {
    const auto* object = meant(schema);
    if (!object) return schema.is_bool() ? schema : json::value(true);
    json::object out;
    for (const char* keyword : {"type", "enum", "const"})
      if (const auto* value = object->if_contains(keyword)) out[keyword] = *value;
    return out;
  }

  const json::value& root_;
};

}  // namespace

json::value refined(json::value inferred, const json::value& declared) {
  Refiner(declared).refine(inferred, declared, 0);
  return inferred;
}

}  // namespace ballast::schema
