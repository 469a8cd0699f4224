// The form that answers and the form that tells are two: they must agree, whatever the schema and whatever the instance.
#include "schema/match.hpp"

#include <gtest/gtest.h>

#include <random>

namespace ballast::schema {
namespace {

using Dice = std::mt19937;
std::size_t below(Dice& dice, std::size_t n) { return dice() % n; }
json::value pick(Dice& dice, const json::array& from) { return from[below(dice, from.size())]; }

const json::array kNames{"a",
                         "b",
                         "kind",
                         "eight888",
                         "nine-nine",
                         "sixteen-letters.",
                         "a name of more than sixteen bytes",
                         "a name of MORE than sixteen bytes",
                         ""};
const json::array kScalars{
    nullptr, true,       false,         0, 1, -1, 1.0, 1.5, 9007199254740993, 18446744073709551615u, 1e300, "", "a",
    "kind",  "eight888", "\u00e9\u00e9"};
const json::array kTypes{"null", "boolean", "number", "integer", "string", "array", "object"};

json::value instance(Dice& dice, int depth) {
  const auto kind = below(dice, depth > 0 ? 4 : 2);
  if (kind < 2) return pick(dice, kScalars);
  const auto size = below(dice, 5);
  if (kind == 2) {
    json::array out;
    for (std::size_t i = 0; i < size; ++i) out.push_back(instance(dice, depth - 1));
    return out;
  }
  json::object out;
  for (std::size_t i = 0; i < size; ++i) out[pick(dice, kNames).as_string()] = instance(dice, depth - 1);
  return out;
}

json::value any_schema(Dice& dice, int depth);

json::array schemas(Dice& dice, int depth) {
  json::array out;
  for (std::size_t n = 1 + below(dice, 3); n > 0; --n) out.push_back(any_schema(dice, depth));
  return out;
}
json::object named_schemas(Dice& dice, int depth) {
  json::object out;
  for (std::size_t n = below(dice, 6); n > 0; --n) out[pick(dice, kNames).as_string()] = any_schema(dice, depth);
  return out;
}
json::array some(Dice& dice, const json::array& from, std::size_t most) {
  json::array out;
  for (std::size_t n = 1 + below(dice, most); n > 0; --n) out.push_back(pick(dice, from));
  return out;
}

void add_leaf(Dice& dice, json::object& out) {
  switch (below(dice, 12)) {
    case 0:
    case 1: out["type"] = pick(dice, kTypes); break;
    case 2: out["type"] = some(dice, kTypes, 3); break;
    case 3: out["enum"] = some(dice, kScalars, 12); break;
    case 4: out["const"] = below(dice, 2) ? pick(dice, kScalars) : instance(dice, 1); break;
    case 5:
      out[below(dice, 2) ? "minimum" : "exclusiveMinimum"] = pick(dice, {0, 1.0, 1.5, 9007199254740992, -1e300});
      break;
    case 6:
      out[below(dice, 2) ? "maximum" : "exclusiveMaximum"] = pick(dice, {0, 1, 1.5, 9007199254740993, 1e300});
      break;
    case 7: out["multipleOf"] = pick(dice, {1, 2, 0.5}); break;
    case 8: out[below(dice, 2) ? "minLength" : "maxLength"] = below(dice, 6); break;
    case 9: out["pattern"] = pick(dice, {"^a", "nine", "^[a-z]+$", "8|9", "a.*n"}); break;
    case 10: out["uniqueItems"] = true; break;
    default:
      out[std::string_view(pick(dice, {"minItems", "maxItems", "minProperties", "maxProperties"}).as_string())] =
          below(dice, 4);
      break;
  }
}

void add_applicator(Dice& dice, json::object& out, int depth) {
  switch (below(dice, 14)) {
    case 0:
    case 1:
    case 2: out["properties"] = named_schemas(dice, depth); break;
    case 3: out["required"] = some(dice, kNames, 2); break;
    case 4: out["additionalProperties"] = any_schema(dice, depth); break;
    case 5:
      out["patternProperties"] = json::object{{"^a", any_schema(dice, depth)}, {"8|n", any_schema(dice, depth)}};
      break;
    case 6: out["propertyNames"] = any_schema(dice, 0); break;
    case 7: out["items"] = any_schema(dice, depth); break;
    case 8: out["prefixItems"] = schemas(dice, depth); break;
    case 9:
      out["contains"] = any_schema(dice, depth), out["minContains"] = below(dice, 3),
      out["maxContains"] = 1 + below(dice, 3);
      break;
    case 10: out[std::string_view(pick(dice, {"allOf", "anyOf", "oneOf"}).as_string())] = schemas(dice, depth); break;
    case 11:
      out["if"] = any_schema(dice, depth), out["then"] = any_schema(dice, depth), out["else"] = any_schema(dice, depth);
      break;
    case 12: out["not"] = any_schema(dice, depth); break;
    default:
      out["dependentSchemas"] = named_schemas(dice, depth),
      out["dependentRequired"] = json::object{{"a", some(dice, kNames, 2)}};
      break;
  }
}

json::value any_schema(Dice& dice, int depth) {
  if (below(dice, 8) == 0) return below(dice, 3) > 0;
  json::object out;
  if (below(dice, 6) == 0) return json::object{{"$ref", below(dice, 2) ? "#/$defs/leaf" : "#/$defs/list"}};
  for (std::size_t n = below(dice, 3); n > 0; --n) add_leaf(dice, out);
  if (depth > 0)
    for (std::size_t n = below(dice, 3); n > 0; --n) add_applicator(dice, out, depth - 1);
  return out;
}

// A whole schema; one in three asks what has been evaluated, one in five has a dynamic reference.
json::object whole_schema(Dice& dice) {
  json::value made = any_schema(dice, 3);
  json::object out =
      made.is_object() ? std::move(made.get_object()) : json::object{{"anyOf", json::array{std::move(made)}}};
  if (below(dice, 3) == 0) out[below(dice, 2) ? "unevaluatedProperties" : "unevaluatedItems"] = any_schema(dice, 0);
  json::object leaf, list{{"items", below(dice, 5) == 0 ? json::object{{"$dynamicRef", "#node"}}
                                                        : json::object{{"$ref", "#/$defs/leaf"}}}};
  add_leaf(dice, leaf);
  leaf["$dynamicAnchor"] = "node";
  out["$defs"] = json::object{{"leaf", leaf}, {"list", list}};
  return out;
}

TEST(SchemaMatch, AnswersAsTheReasonsDo) {
  Dice dice(20261122);
  Scratch scratch;
  int valid = 0, invalid = 0;
  for (int round = 0; round < 6'000; ++round) {
    const auto document = whole_schema(dice);
    const auto program = build_program(document, {});
    ASSERT_TRUE(program.has_value()) << to_json(document) << describe(program.error());
    const Plan plan(**program);
    for (int i = 0; i < 12; ++i) {
      const auto value = instance(dice, 3);
      const bool fits = matches(**program, plan, scratch, value);
      Evaluator evaluator(**program, scratch, 64);
      const bool told = evaluator.run(value);
      ASSERT_EQ(fits, told) << to_json(document) << "\n" << to_json(value);
      ASSERT_EQ(evaluator.take_found().empty(), told) << to_json(document) << "\n" << to_json(value);
      ++(fits ? valid : invalid);
    }
  }
  EXPECT_GT(valid, 10'000);
  EXPECT_GT(invalid, 10'000);
}

TEST(NameTable, FindsEachNameOfEachLengthAndNoOther) {
  std::vector<std::string> names;
  for (std::size_t n = 0; n < 40; ++n)
    names.push_back(std::string("the names of a schema, at every length there").substr(0, n));
  const NameTable table({names.begin(), names.end()});
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(table.find(names[i]), i);
    for (std::size_t at = 0; at < names[i].size(); ++at) {
      std::string other = names[i];
      other[at] ^= 1;
      EXPECT_EQ(table.find(other), NameTable::kNothing) << other;
    }
  }
  EXPECT_EQ(NameTable().find("a"), NameTable::kNothing);
}

// The same ends, the same middle, the same length.
TEST(NameTable, NamesThatMeanHarmAreFoundAsSoon) {
  constexpr std::size_t count = 50'000;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    const auto number = std::to_string(100'000 + i);
    names.push_back("firstfirst" + number + "-middlemiddle-123456-lastlast");
  }
  const NameTable table({names.begin(), names.end()});
  for (std::uint32_t round = 0; round < 20; ++round)
    for (std::uint32_t i = 0; i < count; ++i)
      ASSERT_EQ(table.find(names[i]), i);  // minutes, if each were compared with the others
}

}  // namespace
}  // namespace ballast::schema
