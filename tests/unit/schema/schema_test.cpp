// What a schema refuses and how it says so; the drafts' sharper corners are in tests/contract/schema_suite.cpp.
#include "schema/schema.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace ballast::schema {
namespace {

json::value doc(std::string_view text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(nullptr);
}
Schema made(std::string_view text, const CompileOptions& options = {}) {
  auto schema = Schema::compile(doc(text), options);
  EXPECT_TRUE(schema.has_value()) << (schema ? "" : describe(schema.error()));
  return schema.value();
}
// "path: message (schema path)" a line.
std::string told(const Schema& schema, std::string_view instance, std::size_t most = 20) {
  std::string out;
  for (const auto& v : schema.check(doc(instance), most)) out += v.instance_path + ": " + v.message + " (" + v.schema_path + ")\n";
  return out;
}

constexpr std::string_view kOrder = R"({
  "type": "object", "required": ["id", "items"], "additionalProperties": false,
  "properties": {
    "id": {"type": "string", "pattern": "^ord-[0-9]+$"},
    "note": {"type": "string", "maxLength": 5},
    "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/item"}}},
  "$defs": {"item": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}, "price": {"type": "number", "minimum": 0}, "size": {"enum": ["s", "m", "l"]}}}}})";

TEST(Schema, TellsWhatIsWrongInTheOrderOfTheInstance) {
  const auto schema = made(kOrder);
  EXPECT_TRUE(schema.valid(doc(R"({"id":"ord-1","items":[{"sku":"a","price":0,"size":"m"}]})")));
  EXPECT_EQ(told(schema, R"({"items":[{"sku":"a"},{"price":-3,"size":"xl"},7],"notte":"x","id":"7"})"),
            "/items/1: must have the member \"sku\" (/properties/items/items/$ref/required)\n"
            "/items/1/price: must be at least 0, is -3 (/properties/items/items/$ref/properties/price/minimum)\n"
            "/items/1/size: must be one of \"s\", \"m\", \"l\", is \"xl\" (/properties/items/items/$ref/properties/size/enum)\n"
            "/items/2: must be an object, is an integer (/properties/items/items/$ref/type)\n"
            "/notte: is not allowed here; did you mean \"note\"? (/additionalProperties)\n"
            "/id: must match the regular expression ^ord-[0-9]+$ (/properties/id/pattern)\n");
  EXPECT_EQ(schema.check(doc(R"({"a":1,"b":2,"c":3})"), 2).size(), 2u);
  EXPECT_EQ(told(schema, "[]"), ": must be an object, is an array (/type)\n");
}

TEST(Schema, TellsOfAlternativesWhatTheNearestLacks) {
  const auto schema = made(R"({"oneOf": [
    {"properties": {"kind": {"const": "mail"}, "to": {"type": "string"}}, "required": ["kind", "to"]},
    {"properties": {"kind": {"const": "call"}, "number": {"type": "object", "properties": {"digits": {"minLength": 3}}}}, "required": ["kind", "number"]}]})");
  EXPECT_EQ(told(schema, R"({"kind":"call","number":{"digits":"1"}})"),
            ": fits none of 2 alternatives; the nearest is number 2 (/oneOf)\n"
            "/number/digits: must have at least 3 characters, has 1 (/oneOf/1/properties/number/properties/digits/minLength)\n");
  EXPECT_EQ(told(schema, R"({"kind":"call"})"),
            ": fits none of 2 alternatives; the nearest is number 2 (/oneOf)\n: must have the member \"number\" (/oneOf/1/required)\n");
  EXPECT_EQ(told(made(R"({"oneOf": [{"type": "integer"}, {"minimum": 2}]})"), "3"),
            ": must fit exactly one of 2 alternatives, fits number 1 and number 2 (/oneOf)\n");
}

TEST(Schema, EscapesPathsAndCountsCharactersNotBytes) {
  const auto schema = made(R"({"properties": {"a/b~c": {"maxLength": 2}}, "propertyNames": {"maxLength": 6}})");
  EXPECT_TRUE(schema.valid(doc("{\"a/b~c\":\"\U0001F600\u00e9\"}")));
  EXPECT_EQ(told(schema, R"({"a/b~c":"abc","much too long":1})"),
            "/a~1b~0c: must have at most 2 characters, has 3 (/properties/a~1b~0c/maxLength)\n"
            "/much too long: its name must have at most 6 characters, has 13 (/propertyNames/maxLength)\n");
}

TEST(Schema, RequireNamesTheFieldOfTheFirstAndJoinsTheRest) {
  const auto schema = made(kOrder);
  EXPECT_TRUE(require(schema, doc(R"({"id":"ord-1","items":[{"sku":"a"}]})"), "input").has_value());
  const auto refused = require(schema, doc(R"({"id":"ord-1","items":[{"sku":"a","price":-3}],"x":1})"), "input");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::caller_invalid_request);
  EXPECT_EQ(refused.error().field, "input/items/0/price");
  EXPECT_EQ(refused.error().message, "must be at least 0, is -3; input/x: is not allowed here");
}

TEST(Schema, WhatDoesNotCompileIsNamedWithItsPlace) {
  struct Row {
    const char *schema, *field, *message;
  };
  const Row rows[] = {
      {"3", "", "a schema is an object"},
      {R"({"type":"strnig"})", "/type", "\"string\""},
      {R"({"type":["string","x"]})", "/type", "\"x\" is not a type"},
      {R"({"properties":{"a/b":{"minLength":-1}}})", "/properties/a~1b/minLength", "0 or more"},
      {R"({"properties":{"a":7}})", "/properties/a", "must be a schema"},
      {R"({"properties":[]})", "/properties", "members are schemas"},
      {R"({"allOf":[]})", "/allOf", "one or more"},
      {R"({"anyOf":[true,{"multipleOf":0}]})", "/anyOf/1/multipleOf", "above 0"},
      {R"({"items":{"pattern":"("}})", "/items/pattern", "not closed"},
      {R"({"patternProperties":{"[":true}})", "/patternProperties", "\"[\""},
      {R"({"required":"a"})", "/required", "list of member names"},
      {R"({"$ref":"#/$defs/nothing"})", "/$ref", "\"$defs\" is not there"},
      {R"({"$ref":"#nothing"})", "/$ref", "no anchor \"nothing\""},
      {R"({"$ref":"https://example.com/other.json"})", "/$ref", "\"https://example.com/other.json\", which is neither"},
      {R"({"$schema":"https://example.com/mine"})", "/$schema", "no draft known here"},
      {R"({"$ref":"#"})", "", "never end"},
      {R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"$ref":"#/$defs/a"},true]}},"items":{"$ref":"#/$defs/a"}})", "/$defs/", "never end"},
      {R"({"enum":1})", "/enum", "list of values"},
      {R"({"uniqueItems":1})", "/uniqueItems", "true or false"},
  };
  for (const auto& row : rows) {
    const auto schema = Schema::compile(doc(row.schema));
    ASSERT_FALSE(schema.has_value()) << row.schema;
    EXPECT_EQ(schema.error().code, ErrorCode::caller_invalid_request);
    EXPECT_TRUE(schema.error().field.starts_with(row.field)) << row.schema << ": " << schema.error().field;
    EXPECT_NE(schema.error().message.find(row.message), std::string::npos) << row.schema << ": " << schema.error().message;
  }
}

TEST(Schema, ReferencesLeadToRegisteredDocumentsAndTheirInsides) {
  CompileOptions options;
  options.documents.emplace("https://example.com/types.json", doc(R"({"$id":"https://example.com/types.json","$defs":{"age":{"$anchor":"age","type":"integer","minimum":0},
    "name":{"$id":"inner/name.json","type":"string"}}})"));
  options.documents.emplace("https://example.com/broken.json", doc(R"({"$schema":"https://example.com/unheard-of","$id":"https://example.com/broken.json"})"));
  const auto schema = made(R"({"$id":"https://example.com/root.json","properties":{"age":{"$ref":"types.json#age"},"name":{"$ref":"inner/name.json"}}})", options);
  EXPECT_TRUE(schema.valid(doc(R"({"age":3,"name":"x"})")));
  EXPECT_FALSE(schema.valid(doc(R"({"age":-3})")));
  EXPECT_FALSE(schema.valid(doc(R"({"name":3})")));
  const auto broken = Schema::compile(doc(R"({"$ref":"https://example.com/broken.json"})"), options);
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().field, "https://example.com/broken.json#/$schema");
}

TEST(Schema, FormatsAreRemarksUnlessAsked) {
  const auto* text = R"({"properties":{"at":{"format":"date-time"},"mail":{"format":"email"},"odd":{"format":"unheard-of"}}})";
  const auto* instance = R"({"at":"yesterday","mail":"nobody","odd":"x"})";
  EXPECT_TRUE(made(text).valid(doc(instance)));
  CompileOptions options;
  options.assert_format = true;
  EXPECT_EQ(told(made(text, options), instance),
            "/at: must have the format date-time (/properties/at/format)\n/mail: must have the format email (/properties/mail/format)\n");
}

TEST(Schema, OlderDraftsKeepTheirMeaning) {
  const auto draft4 = made(R"({"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"type":"integer","minimum":1,"exclusiveMinimum":true}}})");
  EXPECT_TRUE(draft4.valid(doc(R"({"n":2})")));
  EXPECT_FALSE(draft4.valid(doc(R"({"n":1})")));
  EXPECT_FALSE(draft4.valid(doc(R"({"n":2.0})")));
  EXPECT_TRUE(made(R"({"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"required":true}}})").valid(doc("{}")));
  const auto draft7 = made(R"({"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a","minimum":100,"definitions":{"a":{"type":"integer"}}})");
  EXPECT_TRUE(draft7.valid(doc("5.0")));
  const auto draft2019 = made(R"({"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{"type":"string"}],"unevaluatedItems":false})");
  EXPECT_TRUE(draft2019.valid(doc(R"(["a"])")));
  EXPECT_FALSE(draft2019.valid(doc(R"(["a",1])")));
}

TEST(Schema, IsSharedByThreads) {
  const auto schema = made(kOrder);
  const auto good = doc(R"({"id":"ord-1","items":[{"sku":"a","price":1.5}]})"), bad = doc(R"({"id":"ord-x","items":[]})");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([schema, &good, &bad] {
      for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(schema.valid(good));
        ASSERT_EQ(schema.check(bad).size(), 2u);
      }
    });
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace ballast::schema
