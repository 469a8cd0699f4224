// Keywords that look at one value without applying another schema.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "schema/compile.hpp"
#include "schema/values.hpp"

namespace ballast::schema {

namespace {

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 7> kTypes{{
    {"null", kNull}, {"boolean", kBool}, {"number", kNumber | kInteger}, {"integer", kInteger}, {"string", kString}, {"array", kArray}, {"object", kObject},
}};

std::uint8_t type_bits(const json::value& name) {
  if (const auto* text = name.if_string())
    for (const auto& [type, bits] : kTypes)
      if (std::string_view(*text) == type) return bits;
  return 0;
}

constexpr std::string_view kTypeNames = "\"null\", \"boolean\", \"number\", \"integer\", \"string\", \"array\" or \"object\"";

// A list of strings, or nothing.
std::optional<std::vector<std::string_view>> names_in(const json::value& value) {
  const auto* list = value.if_array();
  if (!list) return std::nullopt;
  std::vector<std::string_view> out;
  for (const auto& item : *list) {
    const auto* text = item.if_string();
    if (!text) return std::nullopt;
    out.emplace_back(*text);
  }
  return out;
}

}  // namespace

Result<void> Compiler::read_type(Site& site, std::string_view keyword, const json::value& value) {
  std::uint8_t bits = 0;
  if (const auto* list = value.if_array()) {
    for (const auto& item : *list) {
      const auto one = type_bits(item);
      if (one == 0) return refuse(site, keyword, fmt::format("{} is not a type: use {}", to_json(item), kTypeNames));
      bits |= one;
    }
  } else {
    bits = type_bits(value);
    if (bits == 0) return refuse(site, keyword, fmt::format("must be {} or a list of these", kTypeNames));
  }
  site.node.wanted_types = true;
  site.node.types = bits;
  site.node.whole_by_text = site.dialect.draft == Draft::d4;
  return {};
}

Result<void> Compiler::make_values(Site& site, std::string_view keyword, std::unique_ptr<ValueRules>& rules, std::vector<json::value> values) {
  constexpr std::size_t few = 8;
  rules = std::make_unique<ValueRules>();
  rules->values = std::move(values);
  bool too_deep = false;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes;
  for (std::uint32_t i = 0; i < rules->values.size(); ++i) hashes.emplace_back(hash(rules->values[i], 0, too_deep), i);
  if (too_deep) return refuse(site, keyword, fmt::format("holds a value nested deeper than {} levels", kMaxCompareDepth), ErrorCode::caller_too_large);
  if (hashes.size() > few) {
    std::ranges::sort(hashes);
    rules->hashes = std::move(hashes);
  }
  return {};
}

Result<void> Compiler::read_enum(Site& site, std::string_view keyword, const json::value& value) {
  const auto* list = value.if_array();
  if (!list) return refuse(site, keyword, "must be a list of values");
  return make_values(site, keyword, site.node.choices, {list->begin(), list->end()});
}

Result<void> Compiler::read_const(Site& site, std::string_view keyword, const json::value& value) {
  auto made = make_values(site, keyword, site.node.constant, {value});
  if (made) site.node.constant->is_const = true;
  return made;
}

Result<void> Compiler::read_bound(Site& site, std::string_view keyword, const json::value& value) {
  const bool exclusive = keyword.starts_with("exclusive"), least = keyword.ends_with("inimum");
  const json::value* bound = &value;
  if (exclusive && site.dialect.draft == Draft::d4) {  // there it is a flag beside the bound
    if (!value.is_bool()) return refuse(site, keyword, "must be true or false in draft 4");
    bound = site.object.if_contains(least ? "minimum" : "maximum");
    if (!value.get_bool() || !bound) return {};
  }
  if (!is_number(*bound)) return refuse(site, keyword, "must be a number");
  auto& rules = site.number();
  (exclusive ? (least ? rules.above : rules.below) : (least ? rules.least : rules.most)) = *bound;
  return {};
}

Result<void> Compiler::read_multiple(Site& site, std::string_view keyword, const json::value& value) {
  if (!is_number(value) || compare(value, json::value(0)) <= 0) return refuse(site, keyword, "must be a number above 0");
  site.number().step = value;
  site.number().divisor = Divisor(value);
  return {};
}

Result<void> Compiler::read_count(Site& site, std::string_view keyword, const json::value& value) {
  if (!is_number(value) || !is_whole(value) || compare(value, json::value(0)) < 0)
    return refuse(site, keyword, "must be a whole number, 0 or more");
  const std::uint64_t n = compare(value, json::value(kUnbounded)) >= 0 ? kUnbounded : value.to_number<std::uint64_t>();
  if (keyword == "minLength") site.string().min = n;
  else if (keyword == "maxLength") site.string().max = n;
  else if (keyword == "minItems") site.array().min = n;
  else if (keyword == "maxItems") site.array().max = n;
  else if (keyword == "minContains") site.array().min_contains = n;
  else if (keyword == "maxContains") site.array().max_contains = n;
  else if (keyword == "minProperties") site.members().min = n;
  else site.members().max = n;
  return {};
}

Result<Pattern> Compiler::make_pattern(const Site& site, std::string_view keyword, std::string_view text) const {
  auto pattern = Pattern::compile(text, options_.max_pattern_bytes);
  if (!pattern) return refuse(site, keyword, std::move(pattern.error().message), pattern.error().code);
  return pattern;
}

Result<void> Compiler::read_pattern(Site& site, std::string_view keyword, const json::value& value) {
  const auto* text = value.if_string();
  if (!text) return refuse(site, keyword, "must be a string that holds a regular expression");
  auto pattern = make_pattern(site, keyword, std::string_view(*text));
  if (!pattern) return fail(std::move(pattern.error()));
  site.string().pattern = std::move(*pattern);
  return {};
}

Result<void> Compiler::read_format(Site& site, std::string_view keyword, const json::value& value) {
  const auto* name = value.if_string();
  if (!name) return refuse(site, keyword, "must be a string, the format's name");
  const Format format = format_from(std::string_view(*name));
  if (format == Format::none || !(options_.assert_format || site.dialect.format_asserts)) return {};
  site.string().format = format;
  site.string().format_name = *name;
  return {};
}

Result<void> Compiler::read_unique(Site& site, std::string_view keyword, const json::value& value) {
  if (!value.is_bool()) return refuse(site, keyword, "must be true or false");
  if (value.get_bool()) site.array().unique = true;
  return {};
}

Result<void> Compiler::read_required(Site& site, std::string_view keyword, const json::value& value) {
  if (value.is_bool() && site.dialect.draft == Draft::d4) return {};  // draft 3's form, left over in schemas that say draft 4: it means nothing there
  const auto names = names_in(value);
  if (!names) return refuse(site, keyword, "must be a list of member names");
  auto& object = site.members();
  for (const auto name : *names) {
    auto& member = object.members.add(name);
    object.required += !member.required;
    member.required = true;
  }
  return {};
}

Result<void> Compiler::read_dependent_required(Site& site, std::string_view keyword, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return refuse(site, keyword, "must be an object whose members are lists of member names");
  for (const auto& member : *object) {
    const auto names = names_in(member.value());
    if (!names) return refuse(site, keyword, fmt::format("\"{}\" must be a list of member names", std::string_view(member.key())));
    site.members().dependencies.push_back({std::string(member.key()), {names->begin(), names->end()}, kNone, keyword});
  }
  return {};
}

}  // namespace ballast::schema
