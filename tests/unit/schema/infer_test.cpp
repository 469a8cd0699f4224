// What samples have in common, by tables.
#include "schema/infer.hpp"

#include <gtest/gtest.h>

#include "schema/schema.hpp"

namespace ballast::schema {
namespace {

json::value doc(std::string_view text) { return parse_json(text).value(); }

struct Row {
  const char *what, *samples, *schema;
};

constexpr Row kRows[] = {
    {"nothing", "[]", "true"},
    {"text", R"(["a","b"])", R"({"type":"string"})"},
    {"whole numbers", "[1,2.0]", R"({"type":"integer"})"},
    {"numbers", "[1,2.5]", R"({"type":"number"})"},
    {"nothing or a text", R"(["a",null])", R"({"type":["string","null"]})"},
    {"no item was seen", "[[],[]]", R"({"type":"array"})"},
    {"items of all arrays", R"([[1],[],["a",null]])",
     R"({"type":"array","items":{"type":["string","integer","null"]}})"},
    {"required is what each had", R"([{"a":1,"b":true},{"a":2}])",
     R"({"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},"additionalProperties":false})"},
    {"an object without members", "[{}]", R"({"type":"object","properties":{},"additionalProperties":false})"},
    {"items that are objects", R"([[{"a":1},{"a":null,"b":1}]])",
     R"({"type":"array","items":{"type":"object","required":["a"],"properties":{"a":{"type":["integer","null"]},"b":{"type":"integer"}},"additionalProperties":false}})"},
    {"a map", R"([{"x":1},{"y":2.5},{"z":3}])", R"({"type":"object","additionalProperties":{"type":"number"}})"},
    {"objects and others", R"([{"a":"x"},"a"])",
     R"({"type":["object","string"],"required":["a"],"properties":{"a":{"type":"string"}},"additionalProperties":false})"},
};

TEST(Infer, TellsWhatSamplesHaveInCommon) {
  for (const auto& row : kRows) {
    const auto samples = doc(row.samples);
    Structure whole, merged;
    for (const auto& sample : samples.as_array()) {
      whole.add(sample);
      Structure one;
      one.add(sample);
      merged.merge(one);
    }
    EXPECT_EQ(to_json(whole.schema()), row.schema) << row.what;
    EXPECT_EQ(to_json(merged.schema()), row.schema) << row.what << ", merged";
    EXPECT_EQ(whole.known(), !samples.as_array().empty());
    const auto schema = Schema::compile(whole.schema());
    ASSERT_TRUE(schema.has_value()) << row.what;
    for (const auto& sample : samples.as_array()) EXPECT_TRUE(schema->valid(sample)) << row.what;
  }
}

TEST(Infer, AnOpenStructureLeavesOtherMembersAlone) {
  Structure seen;
  seen.add(doc(R"({"a":{"b":1}})"));
  EXPECT_FALSE(Schema::compile(seen.schema())->valid(doc(R"({"a":{"b":1,"c":2}})")));
  EXPECT_TRUE(Schema::compile(seen.schema(true))->valid(doc(R"({"a":{"b":1,"c":2}})")));
  EXPECT_FALSE(Schema::compile(seen.schema(true))->valid(doc(R"({"a":{"c":2}})")));
}

TEST(Infer, ADeclaredSchemaGivesItsValuesAndItsOptionalMembers) {
  const auto declared = doc(R"({"type":"object","required":["kind"],"properties":{
    "kind":{"enum":["mail","call"]},"note":{"type":"string"},"later":{"$ref":"#/$defs/day"},
    "list":{"type":"array","items":{"$ref":"#/$defs/row"}}},
    "$defs":{"row":{"properties":{"state":{"const":"new"}}},"day":{"type":"string","description":"a day"}}})");
  Structure seen;
  seen.add(doc(R"({"kind":"mail","note":"x","list":[{"state":"new","n":1}]})"));
  const auto schema = refined(seen.schema(), declared);
  EXPECT_EQ(to_json(schema.at("required")), R"(["kind"])");
  EXPECT_EQ(to_json(schema.at("properties").at("kind")), R"({"type":"string","enum":["mail","call"]})");
  EXPECT_EQ(to_json(schema.at("properties").at("later")), R"({"type":"string"})");
  EXPECT_EQ(to_json(schema.at("properties").at("list").at("items").at("properties").at("state")),
            R"({"type":"string","const":"new"})");
  const auto compiled = Schema::compile(schema).value();
  EXPECT_TRUE(compiled.valid(doc(R"({"kind":"call"})")));
  EXPECT_FALSE(compiled.valid(doc(R"({"kind":"fax"})")));
  EXPECT_FALSE(compiled.valid(doc(R"({"kind":"call","list":[{"state":"old","n":1}]})")));
}

TEST(Infer, HostileSamplesAndDeclarationsStayWithinBounds) {
  json::value deep = 1;
  for (int i = 0; i < 400; ++i) deep = json::array{std::move(deep)};
  json::object wide;
  for (int i = 0; i < 20'000; ++i) wide["name" + std::to_string(i)] = i;
  Structure seen;
  seen.add(deep);
  EXPECT_TRUE(Schema::compile(seen.schema())->valid(deep));
  Structure names;
  names.add(wide);
  EXPECT_EQ(to_json(names.schema()), "true");
  Structure one;
  one.add(doc(R"({"a":1})"));
  const auto circle = doc(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}})");
  EXPECT_EQ(refined(one.schema(), circle), one.schema());
}

}  // namespace
}  // namespace ballast::schema
