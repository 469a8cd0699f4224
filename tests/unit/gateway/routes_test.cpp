#include "gateway/routes.hpp"

#include <gtest/gtest.h>

namespace ballast::gateway {
namespace {

Route route(std::string name, std::vector<std::string> targets) {
  Route r{.name = std::move(name)};
  for (const auto& t : targets) r.targets.push_back(*target_from(t, "t"));
  return r;
}
Result<std::shared_ptr<const RouteTable>> table(std::vector<Route> routes, std::map<std::string, std::string> aliases = {}) {
  return RouteTable::create(std::move(routes), std::move(aliases),
                            {{"openai", {"gpt-5-mini", "gpt-5"}}, {"azure", {"gpt-5"}}, {"sim", {"sim-small"}, false}});
}

TEST(Routes, ANameResolvesAsRouteAliasTargetOrBareModel) {
  auto t = table({route("chat", {"openai/gpt-5-mini", "sim/sim-small"})}, {{"fast", "chat"}, {"small", "sim/sim-small"}});
  ASSERT_TRUE(t) << t.error().message;
  struct Case { std::string_view name, route; bool direct; };
  for (const auto& c : std::vector<Case>{{"chat", "chat", false},
                                         {"fast", "chat", false},
                                         {"small", "sim/sim-small", true},
                                         {"openai/gpt-5", "openai/gpt-5", true},
                                         {"openai/brand-new", "openai/brand-new", true},
                                         {"openai/ft:gpt/x", "openai/ft:gpt/x", true},
                                         {"sim-small", "sim/sim-small", true},
                                         {"gpt-5-mini", "openai/gpt-5-mini", true}}) {
    auto found = (*t)->resolve(c.name);
    ASSERT_TRUE(found) << c.name;
    EXPECT_EQ((*found)->name, c.route);
    EXPECT_EQ((*found)->direct, c.direct);
  }
  EXPECT_EQ((*t)->resolve("openai/ft:gpt/x").value()->targets[0].model, "ft:gpt/x");
}

TEST(Routes, AnUnknownNameIsToldTheNearest) {
  auto t = table({route("chat", {"sim/sim-small"}), route("research", {"sim/sim-small"})});
  struct Case { std::string name; ErrorCode code; std::string says; };
  for (const auto& c : std::vector<Case>{{"chta", ErrorCode::caller_not_found, "\"chat\""},
                                         {"sim-smal", ErrorCode::caller_not_found, "\"sim-small\""},
                                         {"sim/nope", ErrorCode::caller_not_found, "no model"},
                                         {"mistral/large", ErrorCode::caller_not_found, "no model"},
                                         {"gpt-5", ErrorCode::caller_invalid_request, "openai/gpt-5, azure/gpt-5"},
                                         {"", ErrorCode::caller_invalid_request, "name a model"},
                                         {"openai/", ErrorCode::caller_not_found, "no model"},
                                         {std::string(1000, 'x'), ErrorCode::caller_invalid_request, "256"}}) {
    auto found = (*t)->resolve(c.name);
    ASSERT_FALSE(found) << c.name;
    EXPECT_EQ(found.error().code, c.code) << c.name;
    EXPECT_EQ(found.error().field, "model");
    EXPECT_NE(found.error().message.find(c.says), std::string::npos) << found.error().message;
  }
}

TEST(Routes, ABadTableIsRefusedNamingTheField) {
  struct Case { std::vector<Route> routes; std::map<std::string, std::string> aliases; std::string field; };
  for (auto& c : std::vector<Case>{{{route("r", {})}, {}, "routes.r.targets"},
                                   {{route("r", {"opnai/x"})}, {}, "routes.r.targets"},
                                   {{route("r", {"sim/x"}), route("r", {"sim/x"})}, {}, "routes.r"},
                                   {{route("r", {"sim/x"})}, {{"r", "sim/sim-small"}}, "aliases.r"},
                                   {{route("r", {"sim/x"})}, {{"a", "nowhere"}}, "aliases.a"},
                                   {{route("r", {"sim/x"})}, {{"a", "b"}, {"b", "r"}}, "aliases.a"}}) {
    auto t = table(c.routes, c.aliases);
    ASSERT_FALSE(t) << c.field;
    EXPECT_EQ(t.error().field, c.field) << t.error().message;
  }
  EXPECT_NE(table({route("r", {"opnai/x"})}).error().message.find("openai"), std::string::npos);
}

TEST(Routes, ListsEveryName) {
  auto t = table({route("chat", {"sim/sim-small"})}, {{"fast", "chat"}});
  std::vector<std::string> names;
  for (const auto& n : (*t)->names()) names.push_back(n.kind + ":" + n.name);
  EXPECT_EQ(names, (std::vector<std::string>{"route:chat", "alias:fast", "model:azure/gpt-5", "model:openai/gpt-5", "model:openai/gpt-5-mini",
                                             "model:sim/sim-small"}));
}

TEST(Routes, TargetsSplitAtTheFirstSlash) {
  EXPECT_EQ(target_from("openrouter/meta/llama", "f")->model, "meta/llama");
  for (const auto* bad : {"x", "/x", "x/", ""}) EXPECT_FALSE(target_from(bad, "f")) << bad;
}

}  // namespace
}  // namespace ballast::gateway
