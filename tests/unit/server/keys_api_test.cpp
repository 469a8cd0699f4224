// /api/keys: who may, what is refused by name, and that a secret is shown once.
#include "api_house.hpp"

namespace ballast::server::test {
namespace {

TEST(KeysApi, OnlyAnAdminKeyMay) {
  House house;
  for (const auto& [method, path] : {std::pair("GET", "/api/keys"), {"POST", "/api/keys"}, {"DELETE", "/api/keys/key_1"}}) {
    expect_problem(house.ask(method, path), 401, "authorization", path);
    for (const auto secret : {kReader, kCaller, kWatcher}) EXPECT_EQ(house.ask(method, path, secret).status, 403) << method << " " << secret;
  }
}

TEST(KeysApi, AKeyIsMadeShownOnceUsedAndRevoked) {
  House house;
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"web","scopes":["call","usage"],"models":["chat"],"team":"t","expires":"2027-01-01"})");
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string secret = made.at("secret"), id = made.at("id");
  EXPECT_TRUE(secret.starts_with("blst_") && id.starts_with("key_"));
  EXPECT_EQ(made.at("expires"), "2027-01-01T00:00:00.000Z");
  const auto listed = house.ask("GET", "/api/keys", kAdmin);
  EXPECT_NE(listed.text.find(id), std::string::npos);
  EXPECT_EQ(listed.text.find(secret), std::string::npos) << "its hash is all there is";
  EXPECT_EQ(house.ask("GET", "/api/usage", secret).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/keys", secret).status, 403);
  EXPECT_NE(house.ask("GET", "/api/keys", kAdmin).text.find(R"("last_used":"2026-11-21T14:00:0)"), std::string::npos);
  EXPECT_EQ(house.ask("DELETE", "/api/keys/" + id, kAdmin).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/usage", secret).status, 401);
  EXPECT_EQ(house.ask("GET", "/api/keys", kAdmin).text.find(id), std::string::npos);
  EXPECT_NE(house.ask("GET", "/api/keys?revoked=true", kAdmin).text.find(id), std::string::npos);
}

TEST(KeysApi, BadInputNamesItsField) {
  House house;
  struct Row { std::string body, field; };
  for (const auto& [body, field] : {Row{"{}", "name"}, {R"({"name":""})", "name"}, {R"({"name":7})", "name"}, {R"({"name":")" + std::string(200, 'x') + "\"}", "name"},
                                    {R"({"name":"a","scopes":"fly"})", "scopes"}, {R"({"name":"a","scopes":[1]})", "scopes[0]"}, {R"({"name":"a","models":{}})", "models"},
                                    {R"({"name":"a","team":[]})", "team"}, {R"({"name":"a","expires":"soon"})", "expires"},
                                    {R"({"name":"a","expires":"2020-01-01"})", "expires"},
                                    {R"({"name":"a","expire":"2027-01-01"})", "expire"}, {R"({"name":"a","model":["chat"]})", "model"}})
    expect_problem(house.ask("POST", "/api/keys", kAdmin, body), 400, field, body);
  for (const std::string body : {"", "{", "[]", "\"x\"", R"({"name":"a"} trailing)"}) EXPECT_EQ(house.ask("POST", "/api/keys", kAdmin, body).status, 400) << body;
  EXPECT_EQ(house.ask("GET", "/api/keys", kAdmin).count("keys"), 4u) << "nothing was made";
}

TEST(KeysApi, ATextWithCommasIsAList) {
  House house;
  const auto made = house.ask("POST", "/api/keys", kAdmin, R"({"name":"a","models":"chat, fast","scopes":"call,usage"})");
  EXPECT_EQ(made.at("models"), R"(["chat","fast"])") << made.text;
  EXPECT_EQ(made.at("scopes"), "call,usage");
}

struct Made { std::string id, secret; };
Made make(House& house, const std::string& body) {
  const auto made = house.ask("POST", "/api/keys", kAdmin, body);
  EXPECT_EQ(made.status, 201) << made.text;
  return {made.at("id"), made.at("secret")};
}

TEST(KeysApi, AKeyIsShownAndChangedAndTheGatewayFollowsAtOnce) {
  House house;
  const auto key = make(house, R"({"name":"web","scopes":["call"],"models":["chat"],"team":"t"})");
  const std::string path = "/api/keys/" + key.id;
  EXPECT_EQ(house.ask("GET", "/api/usage", key.secret).status, 403);
  const auto changed = house.ask("PATCH", path, kAdmin, R"({"scopes":["call","usage"],"models":[],"expires":"2027-01-01"})");
  EXPECT_EQ(changed.status, 200) << changed.text;
  EXPECT_EQ(house.ask("GET", "/api/usage", key.secret).status, 200) << "from its next call on";
  const auto shown = house.ask("GET", path, kAdmin);
  EXPECT_EQ(shown.at("scopes"), "call,usage");
  EXPECT_EQ(shown.at("models"), "[]");
  EXPECT_EQ(shown.at("team"), "t") << "what is not named stays";
  EXPECT_EQ(shown.at("expires"), "2027-01-01T00:00:00.000Z");
  EXPECT_FALSE(shown.at("last_used").empty());
  EXPECT_EQ(house.ask("PATCH", path, kAdmin, R"({"expires":null})").at("expires"), "null");
  EXPECT_EQ(house.ask("GET", "/api/keys/config%3Acaller", kAdmin).at("name"), "caller");
  EXPECT_EQ(house.ask("GET", "/api/keys/key_nobody", kAdmin).status, 404);
  struct Row { std::string body, field; };
  for (const auto& [body, field] : {Row{R"({"expires":"2020-01-01"})", "expires"}, {R"({"name":""})", "name"}, {R"({"expire":null})", "expire"},
                                    {R"({"scopes":"fly"})", "scopes"}, {R"({"models":[1]})", "models[0]"}})
    expect_problem(house.ask("PATCH", path, kAdmin, body), 400, field, body);
  EXPECT_EQ(house.ask("PATCH", "/api/keys/key_nobody", kAdmin, "{}").status, 404);
  expect_problem(house.ask("PATCH", "/api/keys/config%3Acaller", kAdmin, "{}"), 409, "id");
  EXPECT_EQ(house.ask("DELETE", path, kAdmin).status, 200);
  expect_problem(house.ask("PATCH", path, kAdmin, R"({"expires":null})"), 409, "id");
  EXPECT_EQ(house.ask("GET", "/api/usage", key.secret).status, 401) << "a change does not bring it back";
}

TEST(KeysApi, ARotatedKeyHasTwoSecretsForAWhile) {
  House house;
  const auto key = make(house, R"({"name":"web","scopes":["usage"]})");
  const std::string path = "/api/keys/" + key.id + "/rotate";
  const auto rotated = house.ask("POST", path, kAdmin, R"({"overlap":3600})");
  ASSERT_EQ(rotated.status, 200) << rotated.text;
  const std::string second = rotated.at("secret");
  EXPECT_NE(second, key.secret);
  EXPECT_EQ(rotated.at("id"), key.id);
  for (const auto& secret : {key.secret, second}) EXPECT_EQ(house.ask("GET", "/api/usage", secret).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/keys", kAdmin).count("keys"), 5u) << "one key, two secrets";
  EXPECT_EQ(house.ask("PATCH", "/api/keys/" + key.id, kAdmin, R"({"name":"site"})").status, 200);
  EXPECT_EQ(house.ask("GET", "/api/usage", key.secret).status, 200) << "a change does not end the overlap";
  house.clock.advance(1h);
  EXPECT_EQ(house.ask("GET", "/api/usage", key.secret).status, 401);
  EXPECT_EQ(house.ask("GET", "/api/usage", second).status, 200);
  const std::string third = house.ask("POST", path, kAdmin).at("secret");
  EXPECT_EQ(house.ask("GET", "/api/usage", second).status, 401) << "no overlap: at once";
  EXPECT_EQ(house.ask("GET", "/api/usage", third).status, 200);
  for (const std::string body : {R"({"overlap":-1})", R"({"overlap":2592001})", R"({"overlap":"1h"})"}) expect_problem(house.ask("POST", path, kAdmin, body), 400, "overlap", body);
  expect_problem(house.ask("POST", path, kAdmin, R"({"over":1})"), 400, "over");
  EXPECT_EQ(house.ask("POST", "/api/keys/key_nobody/rotate", kAdmin).status, 404);
  EXPECT_EQ(house.ask("DELETE", "/api/keys/" + key.id, kAdmin).status, 200);
  EXPECT_EQ(house.ask("GET", "/api/usage", third).status, 401);
  expect_problem(house.ask("POST", path, kAdmin), 409, "id");
}

TEST(KeysApi, WhatCannotBeRevokedSaysWhy) {
  House house;
  EXPECT_EQ(house.ask("DELETE", "/api/keys/key_nobody", kAdmin).status, 404);
  expect_problem(house.ask("DELETE", "/api/keys/config%3Acaller", kAdmin), 409, "id");
  EXPECT_EQ(house.ask("PUT", "/api/keys", kAdmin).status, 405);
  EXPECT_EQ(house.ask("DELETE", "/api/keys", kAdmin).status, 405) << "all of them at once is no route";
}

}  // namespace
}  // namespace ballast::server::test
