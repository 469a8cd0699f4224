// The schemas of /openapi.json: whole, and true of what is answered.
#include "api_house.hpp"
#include "shapes.hpp"

namespace ballast::server::test {
namespace {

void each_reference(const json::value& node, const auto& tell) {
  if (const auto* list = node.if_array())
    for (const auto& one : *list) each_reference(one, tell);
  if (const auto* o = node.if_object())
    for (const auto& [name, member] : *o) {
      if (name == "$ref") tell(member.get_string());
      each_reference(member, tell);
    }
}

TEST(Schemas, EveryReferenceLeadsToASchemaThatCompiles) {
  const json::value document = parse_json(openapi_document("test")).value();
  const auto& schemas = document.at("components").at("schemas").get_object();
  EXPECT_GT(schemas.size(), 50u);
  std::size_t references = 0;
  each_reference(document, [&](std::string_view to) {
    ++references;
    const std::string_view prefix = "#/components/schemas/";
    EXPECT_TRUE(to.starts_with(prefix) && schemas.contains(to.substr(prefix.size()))) << to;
  });
  EXPECT_GT(references, 100u);
  for (const auto& [name, ignored] : schemas) {
    const json::object whole{{"$ref", fmt::format("#/components/schemas/{}", std::string_view(name))}, {"components", document.at("components")}};
    const auto compiled = schema::Schema::compile(whole);
    EXPECT_TRUE(compiled) << name << ": " << (compiled ? "" : compiled.error().message);
  }
}

TEST(Schemas, WhatIsReadUnderApiSaysWhatItAnswers) {
  const json::value document = parse_json(openapi_document("test")).value();
  const Shapes shapes(document);
  for (const auto& [path, methods] : shapes.paths()) {
    const std::string_view name = path;
    const bool json = name.starts_with("/api/") && !name.ends_with("/events") && !name.ends_with("/live") && !name.ends_with("/steps") && name.find("export") == name.npos && name.find("compare") == name.npos;
    const auto* get = json ? methods.get_object().if_contains("get") : nullptr;
    if (get) EXPECT_TRUE(get->at("responses").at("200").get_object().contains("content")) << "GET " << name << " has no schema: name one in src/server/data/schemas.json";
  }
}

TEST(Schemas, AreTrueOfWhatIsAnswered) {
  House house;
  house.calls("config:caller", 1, 5);
  EXPECT_EQ(house.ask("POST", "/api/keys", kAdmin, R"({"name":"one"})").status, 201);
  const Shapes shapes(house.ask("GET", "/openapi.json").body());
  for (const auto& [path, target] : {std::pair("/api/calls", "/api/calls?limit=3"), {"/api/usage", "/api/usage?by=model,day"}, {"/api/keys", "/api/keys"}, {"/api/budgets", "/api/budgets"},
                                     {"/api/breakers", "/api/breakers"}, {"/api/providers", "/api/providers"}, {"/api/budgets/unknown", "/api/budgets/unknown"}}) {
    const auto answer = house.ask("GET", target, kAdmin);
    ASSERT_EQ(answer.status, 200) << target << " " << answer.text;
    EXPECT_EQ(shapes.fault("get", path, answer.body()), "") << target << " " << answer.text;
  }
  EXPECT_NE(shapes.fault("get", "/api/keys", json::object{{"keys", json::array{json::object{{"secret", "blst_"}}}}}), "") << "a member that nobody described is a fault";
}

}  // namespace
}  // namespace ballast::server::test
