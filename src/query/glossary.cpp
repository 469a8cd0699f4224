// What a model is told of a dataset: the schema of intents, and the glossary.
#include "query/reader.hpp"

namespace ballast::query {

namespace {

json::object ref(const char* name) { return {{"$ref", std::string("#/$defs/") + name}}; }
json::object constant(std::string_view v) { return {{"const", v}}; }
json::object list_of(json::value items, std::size_t least, std::size_t most) { return {{"type", "array"}, {"items", std::move(items)}, {"minItems", least}, {"maxItems", most}}; }

template <class Names>
json::object one_of(const Names& names) {
  json::array out;
  for (const auto& n : names) out.emplace_back(std::string_view(n));
  return {{"enum", std::move(out)}};
}

// An object with these members and no others, the first `needed` of them required.
json::object object_of(std::initializer_list<std::pair<std::string_view, json::value>> members, std::size_t needed) {
  json::object properties;
  json::array required;
  for (const auto& [name, schema] : members) {
    if (required.size() < needed) required.emplace_back(name);
    properties[name] = schema;
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}, {"additionalProperties", false}};
}

json::array expression_kinds(const json::object& as) {
  const auto e = [] { return ref("expression"); };
  const json::object unit = ref("unit");
  json::array out{ref("name"), json::object{{"type", "number"}}, json::object{{"type", "boolean"}},
                  object_of({{"column", ref("name")}, {"as", as}}, 1),
                  object_of({{"value", json::object{{"type", json::array{"string", "number", "boolean"}}}}, {"as", as}}, 1),
                  object_of({{"now", one_of(std::array{"date", "timestamp"})}, {"as", as}}, 1),
                  object_of({{"scalar", ref("intent")}, {"as", as}}, 1),
                  object_of({{"part", one_of(kParts)}, {"of", e()}, {"as", as}}, 2),
                  object_of({{"truncate", one_of(std::span(kUnits).first(6))}, {"of", e()}, {"as", as}}, 2),
                  object_of({{"elapsed", list_of(e(), 2, 2)}, {"unit", unit}, {"as", as}}, 2),
                  object_of({{"shift", e()}, {"by", json::object{{"type", "integer"}}}, {"unit", unit}, {"as", as}}, 3),
                  object_of({{"round", e()}, {"digits", json::object{{"type", "integer"}, {"minimum", 0}, {"maximum", 10}}}, {"as", as}}, 1),
                  object_of({{"previous", e()}, {"order", ref("order")}, {"within", list_of(e(), 1, 8)}, {"as", as}}, 2)};
  for (const char* name : {"integer", "abs", "lower", "upper", "length"}) out.push_back(object_of({{name, e()}, {"as", as}}, 1));
  for (const char* name : {"add", "multiply", "coalesce"}) out.push_back(object_of({{name, list_of(e(), 2, 8)}, {"as", as}}, 1));
  for (const char* name : {"subtract", "divide"}) out.push_back(object_of({{name, list_of(e(), 2, 2)}, {"as", as}}, 1));
  for (const auto name : kAggregateNames) {
    json::value of = name == "count" ? json::value(json::object{{"anyOf", json::array{constant("*"), e()}}}) : json::value(e());
    out.push_back(object_of({{name, std::move(of)}, {"where", ref("condition")}, {"per", ref("table")}, {"as", as}}, 1));
  }
  for (const auto name : std::span(kRankings).first(3)) out.push_back(object_of({{name, ref("order")}, {"within", list_of(e(), 1, 8)}, {"as", as}}, 1));
  return out;
}

json::array condition_kinds(const Limits& limits) {
  const json::object scalar{{"type", json::array{"string", "number", "boolean"}}};
  json::object range{{"anyOf", json::array{
      object_of({{"last", json::object{{"type", "integer"}, {"minimum", 1}}}, {"unit", ref("unit")}, {"whole", json::object{{"type", "boolean"}}}}, 2),
      object_of({{"this", ref("unit")}}, 1), object_of({{"from", json::object{{"type", "string"}}}, {"to", json::object{{"type", "string"}}}}, 2)}}};
  json::array out;
  for (const char* name : {"and", "or"}) out.push_back(object_of({{name, list_of(ref("condition"), 1, limits.filters)}}, 1));
  out.push_back(object_of({{"not", ref("condition")}}, 1));
  const std::span operators(kOperators);
  const auto compare = [&](json::value ops, std::string_view with, json::value value) {
    out.push_back(object_of({{"field", ref("expression")}, {"op", std::move(ops)}, {with, std::move(value)}}, 3));
  };
  compare(one_of(operators.first(6)), "value", scalar);
  compare(one_of(operators.first(6)), "other", ref("expression"));
  compare(one_of(operators.subspan(6, 2)), "value", list_of(scalar, 1, limits.in_values));
  compare(one_of(operators.subspan(6, 2)), "intent", ref("intent"));
  compare(constant("between"), "value", list_of(scalar, 2, 2));
  compare(constant("between"), "other", list_of(ref("expression"), 2, 2));
  compare(one_of(operators.subspan(9, 4)), "value", json::object{{"type", "string"}});
  compare(constant("within"), "value", std::move(range));
  out.push_back(object_of({{"field", ref("expression")}, {"op", one_of(operators.subspan(13, 2))}}, 2));
  out.push_back(object_of({{"exists", ref("table")}, {"where", ref("condition")}, {"by", json::object{{"type", "string"}}}, {"through", list_of(ref("node"), 1, limits.joins)}}, 1));
  return out;
}

std::string type_words(const Column& c) {
  std::string out(to_string(c.type == Type::epoch ? Type::timestamp : c.type));
  if (c.mask != Mask::none) out += ", shown masked";
  if (!c.filterable) out += ", not to be filtered or ordered by";
  if (!c.groupable) out += ", not to be grouped by";
  return out;
}

void describe_column(const Column& c, std::string& out) {
  out += fmt::format("- {} ({})", c.name, type_words(c));
  if (!c.description.empty()) out += ": " + c.description;
  if (!c.synonyms.empty()) out += "; also called " + listed(c.synonyms);
  for (std::size_t i = 0; i < c.values.size(); ++i)
    out += fmt::format("{} \"{}\"{}{}", i ? "," : "; values:", c.values[i].first, c.values[i].second.empty() ? "" : " = ", c.values[i].second);
  out += '\n';
}

}  // namespace

std::string_view intent_guide() {
  return R"(# Intents
An intent is one JSON object: {"from": TABLE, "dimensions": […], "measures": […], "where": CONDITION, "having": CONDITION, "order": […], "limit": N}. Only "from" and one
output are needed. Columns are TABLE.COLUMN. Tables that belong together are joined by themselves: "from" names the table whose rows are counted or listed.
- dimensions: what to list or to group by: columns or expressions. {"truncate": "month", "of": COLUMN} and {"part": "year", "of": COLUMN} for time.
- measures: {"count": "*"}, {"sum": X}, {"avg": X}, {"min": X}, {"max": X}, {"count_distinct": X}, each with "as": NAME, and with "where": CONDITION for some rows alone.
- expressions: a column, a number, {"value": "text"}, {"add": [A, B]}, {"subtract": [A, B]}, {"multiply": [A, B]}, {"divide": [A, B]}, {"round": A, "digits": N}, derived values.
- conditions: {"field": X, "op": OP, "value": V} with =, !=, <, <=, >, >=, contains, starts, ends, like; "in" and "not_in" with a list; "between" with two values; "is_null" and
  "not_null" without a value; "within" with {"last": N, "unit": "month"}, {"this": "year"} or {"from": DATE, "to": DATE}. "other" instead of "value" compares with an expression.
  {"and": […]}, {"or": […]}, {"not": C}, {"exists": TABLE, "where": C}.
- order: [{"by": NAME OR COLUMN, "desc": true}]. An intent may stand in "from" of another, whose columns are then its outputs' names.
Revenue by country in 2025, the best five:
{"from": "orders", "dimensions": ["customers.country"], "measures": [{"sum": "orders.total", "as": "revenue"}], "where": {"field": "orders.day", "op": "within",
"value": {"from": "2025-01-01", "to": "2025-12-31"}}, "order": [{"by": "revenue", "desc": true}], "limit": 5}
)";
}

json::value Dataset::intent_schema() const {
  const json::object as{{"type", "string"}, {"pattern", "^[A-Za-z_][A-Za-z0-9_]{0,59}$"}};
  std::vector<std::string> first, all, columns = names();
  for (const auto& t : tables) first.push_back(t.name);
  for (const auto& n : nodes) all.push_back(n.name);
  for (const auto& d : derived) columns.push_back(d.name);
  // Columns by their names; outputs by theirs, which have no dot.
  json::object known{{"anyOf", json::array{one_of(columns), as}}};
  json::object order = list_of(object_of({{"by", ref("expression")}, {"desc", json::object{{"type", "boolean"}}}}, 1), 1, 8);
  json::object intent = object_of({{"from", json::object{{"anyOf", json::array{ref("table"), ref("intent")}}}},
                                   {"through", list_of(ref("node"), 1, limits.joins)},
                                   {"optional", list_of(ref("node"), 1, limits.joins)},
                                   {"dimensions", list_of(ref("expression"), 0, limits.dimensions)},
                                   {"measures", list_of(ref("expression"), 0, limits.measures)},
                                   {"where", ref("condition")},
                                   {"having", ref("condition")},
                                   {"order", ref("order")},
                                   {"limit", json::object{{"type", "integer"}, {"minimum", 1}}},
                                   {"distinct", json::object{{"type", "boolean"}}}}, 0);
  json::object refusal = object_of({{"unanswerable", json::object{{"type", "string"}, {"minLength", 1}, {"maxLength", limits.text_bytes}}}}, 1);
  return json::object{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                      {"title", "A question about " + name},
                      {"anyOf", json::array{ref("intent"), std::move(refusal)}},
                      {"$defs", json::object{{"table", one_of(first)},
                                             {"node", one_of(all)},
                                             {"name", std::move(known)},
                                             {"unit", one_of(kUnits)},
                                             {"order", std::move(order)},
                                             {"expression", json::object{{"anyOf", expression_kinds(as)}}},
                                             {"condition", json::object{{"anyOf", condition_kinds(limits)}}},
                                             {"intent", std::move(intent)}}}};
}

std::string Dataset::describe() const {
  std::string out = "# " + name + "\n";
  if (!description.empty()) out += description + "\n";
  for (const auto& t : tables) {
    out += "\n## " + t.name + "\n";
    if (!t.description.empty()) out += t.description + "\n";
    if (!t.synonyms.empty()) out += "Also called " + listed(t.synonyms) + ".\n";
    for (const auto& c : t.columns)
      if (!c.hidden) describe_column(c, out);
  }
  if (!joins.empty()) out += "\n## How tables belong together\n";
  for (const auto& j : joins) {
    const std::string& to = j.role.empty() ? tables[j.to].name : j.role;
    const auto words = j.cardinality == Cardinality::many_to_one ? "has one" : j.cardinality == Cardinality::one_to_one ? "belongs to one, and only it to that," : "has several";
    out += fmt::format("- each {} {} {}{}\n", tables[j.from].name, words, to, j.role.empty() ? std::string() : " (a row of " + tables[j.to].name + ")");
  }
  if (!derived.empty()) out += "\n## Derived values\n";
  for (const auto& d : derived) out += "- " + d.name + (d.description.empty() ? "" : ": " + d.description) + "\n";
  return out;
}

}  // namespace ballast::query
