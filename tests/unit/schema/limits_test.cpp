// Schemas and instances that mean harm: a clear answer, soon, and never a crash.
#include <gtest/gtest.h>

#include "schema/schema.hpp"

namespace ballast::schema {
namespace {

json::value doc(std::string_view text) { return parse_json(text).value(); }

json::value nested(int depth, const char* key) {
  json::value out = json::object();
  for (int i = 0; i < depth; ++i) {
    json::object up;
    up.emplace(key, std::move(out));
    out = std::move(up);
  }
  return out;
}

TEST(SchemaLimits, AnInstanceTenThousandDeep) {
  const auto schema = Schema::compile(doc(R"({"properties":{"child":{"$ref":"#"}}})")).value();
  EXPECT_TRUE(schema.valid(nested(500, "child")));
  const auto deep = nested(10'000, "child");
  EXPECT_FALSE(schema.valid(deep));
  const auto violations = schema.check(deep);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].message, "cannot be checked: more than 1500 schemas would be applied inside each other");
  EXPECT_TRUE(violations[0].instance_path.starts_with("/child/child/"));
  EXPECT_TRUE(Schema::compile(true).value().valid(deep));
}

// The deepest frames the evaluator has: alternatives that are explained, marks of what is evaluated, a dynamic scope, names.
TEST(SchemaLimits, EveryKindOfFrameAtOnceFitsTheStack) {
  const auto schema = Schema::compile(doc(R"({"$id":"https://example.com/a","$dynamicAnchor":"node","anyOf":[{"oneOf":[{"allOf":[{"if":true,"then":{
    "properties":{"child":{"$id":"b","$dynamicAnchor":"node","$ref":"a"}},"propertyNames":{"maxLength":9},"unevaluatedProperties":{"type":"string"}}}]}]}],
    "dependentSchemas":{"child":{"required":["other"]}},"unevaluatedProperties":false})")).value();
  for (const int depth : {100, 180, 10'000}) EXPECT_FALSE(schema.check(nested(depth, "child")).empty());
}

TEST(SchemaLimits, ALimitCannotBeTurnedAround) {
  const auto schema = Schema::compile(doc(R"({"$defs":{"tree":{"properties":{"child":{"$ref":"#/$defs/tree"}}}},"not":{"$ref":"#/$defs/tree"}})")).value();
  EXPECT_FALSE(schema.valid(nested(10'000, "child")));
  EXPECT_NE(schema.check(nested(10'000, "child")).at(0).message.find("cannot be checked"), std::string::npos);
}

TEST(SchemaLimits, ASchemaTenThousandDeep) {
  const auto deep = Schema::compile(nested(10'000, "items"));
  ASSERT_TRUE(deep.has_value());
  EXPECT_TRUE(deep->valid(doc("[[[[]]]]")));
  const auto inward = Schema::compile(nested(10'000, "not"));
  ASSERT_TRUE(inward.has_value());
  EXPECT_EQ(inward->check(doc("1")).size(), 1u);
}

TEST(SchemaLimits, DeepConstantsAndDeepItems) {
  json::value deep = json::array();
  for (int i = 0; i < 10'000; ++i) deep = json::array{std::move(deep)};
  const auto refused = Schema::compile(json::object{{"const", deep}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().field, "/const");
  const auto unique = Schema::compile(doc(R"({"uniqueItems":true})")).value();
  EXPECT_FALSE(unique.valid(json::array{deep, deep}));
  EXPECT_FALSE(Schema::compile(doc(R"({"enum":[[[1]],2]})")).value().valid(deep));
}

// 2^40 schemas would be applied.
TEST(SchemaLimits, AlternativesThatDouble) {
  json::object defs;
  for (int i = 0; i < 40; ++i) {
    const json::object next{{"$ref", "#/$defs/d" + std::to_string(i + 1)}};
    defs["d" + std::to_string(i)] = json::object{{"anyOf", json::array{next, next}}};
  }
  defs["d40"] = false;
  CompileOptions options;
  options.max_steps = 1'000'000;
  const auto schema = Schema::compile(json::object{{"$ref", "#/$defs/d0"}, {"$defs", defs}}, options).value();
  EXPECT_FALSE(schema.valid(1));
  EXPECT_EQ(schema.check(1).at(0).message, "cannot be checked in the 1000000 steps allowed");
}

TEST(SchemaLimits, HugeEnumsAndManyMembersStayFast) {
  json::array values, items;
  json::object properties, instance;
  for (int i = 0; i < 100'000; ++i) {
    const auto name = "value-" + std::to_string(i);
    values.push_back(json::value(name));
    items.push_back(json::value(i));
    properties[name] = json::object{{"type", "integer"}};
    instance[name] = i;
  }
  const auto choices = Schema::compile(json::object{{"items", json::object{{"enum", values}}}, {"uniqueItems", true}}).value();
  EXPECT_TRUE(choices.valid(values));
  values.push_back("value-7");
  EXPECT_EQ(choices.check(values).at(0).message, "must not repeat an item: items 7 and 100000 are equal");
  EXPECT_EQ(choices.check(items, 3).size(), 3u);
  const auto object = Schema::compile(json::object{{"properties", properties}, {"unevaluatedProperties", false}}).value();
  EXPECT_TRUE(object.valid(instance));
}

TEST(SchemaLimits, TooManySubschemasAndTooLongPatterns) {
  json::object properties;
  for (int i = 0; i < 1'000; ++i) properties["p" + std::to_string(i)] = json::object();
  CompileOptions options;
  options.max_nodes = 500;
  const auto refused = Schema::compile(json::object{{"properties", properties}}, options);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::caller_too_large);
  const auto pattern = Schema::compile(json::object{{"pattern", std::string(20'000, 'x')}});
  ASSERT_FALSE(pattern.has_value());
  EXPECT_EQ(pattern.error().code, ErrorCode::caller_too_large);
  EXPECT_EQ(pattern.error().field, "/pattern");
}

TEST(SchemaLimits, AHostileRegularExpressionIsAViolationThatSaysSo) {
  const auto schema = Schema::compile(doc(R"({"properties":{"a":{"not":{"pattern":"^(a+)+$"}}}})")).value();
  const json::value instance(json::object{{"a", std::string(200, 'a') + "!"}});
  EXPECT_FALSE(schema.valid(instance));
  const auto violations = schema.check(instance);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].instance_path, "/a");
  EXPECT_NE(violations[0].message.find("takes more steps on this text of 201 bytes than are allowed"), std::string::npos);
}

}  // namespace
}  // namespace ballast::schema
